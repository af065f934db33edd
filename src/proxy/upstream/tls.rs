//! TLS towards a route's upstreams: whom to trust, as whom to come, and under which name to ask.
//!
//! Files are read at the start and whenever they change; what cannot be used then is logged, and what is in use stays.
//! Each reading has a number of its own, so that no connection which was made under another one is used for a request.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::certificates::{self, CertificateError, CertificateFiles};
use crate::clock::UnixTime;
use crate::metrics::{CertificateUse, Metrics};

/// Counts readings in this process; 0 stands for no TLS.
static READINGS: AtomicU64 = AtomicU64::new(1);

/// Whom a route trusts behind https, and as whom it comes there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTlsSettings {
    /// The authorities to trust, in PEM; none: the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate for upstreams that ask for one (RFC 8446 §4.3.2).
    pub identity: Option<CertificateFiles>,
    /// The name that the upstream's certificate must have, and that it is asked for (RFC 6066 §3); none: its host's.
    pub server_name: Option<ServerName<'static>>,
}

/// Why there is no TLS for upstreams.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamTlsError {
    /// A file cannot be used.
    #[error(transparent)]
    Files(#[from] CertificateError),
    /// A certificate in the file of authorities cannot be one.
    #[error("{path}: holds a certificate that cannot be an authority's ({reason}); take it out", path = .path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        reason: Box<rustls::Error>,
    },
    /// There is no authority that could be trusted.
    #[error(
        "this system has no certificate authorities, so that no https upstream could be trusted: install them (the \
         package ca-certificates), or name your own with upstream_ca_file"
    )]
    NoSystemRoots,
    /// The cryptography library offers no version of TLS that is safe.
    #[error("no usable version of TLS: {0}")]
    Versions(#[source] rustls::Error),
}

/// TLS for upstreams, as the files say now.
pub(in crate::proxy) struct UpstreamTls {
    settings: UpstreamTlsSettings,
    system: Arc<RootCertStore>,
    current: ArcSwap<Reading>,
    metrics: Metrics,
}

/// The configuration is made of it, so it need not be shown.
impl std::fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamTls").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What one reading of the files made.
pub(super) struct Reading {
    pub(super) number: u64,
    pub(super) connector: TlsConnector,
    /// When our own certificate ends, if there is one.
    not_after: Option<UnixTime>,
}

/// The system's roots. Certificates that cannot be read are logged and left out.
///
/// # Errors
/// [`UpstreamTlsError::NoSystemRoots`] if there is none: every request would fail, and only then.
pub(in crate::proxy) fn system_roots() -> Result<Arc<RootCertStore>, UpstreamTlsError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "cannot read some of the system's certificates");
    }
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() { Err(UpstreamTlsError::NoSystemRoots) } else { Ok(Arc::new(roots)) }
}

/// How many authorities the system trusts.
///
/// # Errors
/// [`UpstreamTlsError::NoSystemRoots`] if there is none.
pub fn system_authorities() -> Result<usize, UpstreamTlsError> {
    system_roots().map(|roots| roots.len())
}

/// Nobody.
pub(in crate::proxy) fn no_roots() -> Arc<RootCertStore> {
    Arc::new(RootCertStore::empty())
}

impl UpstreamTls {
    /// Reads the files.
    pub(in crate::proxy) fn load(
        settings: UpstreamTlsSettings,
        system: Arc<RootCertStore>,
        metrics: Metrics,
    ) -> Result<Self, UpstreamTlsError> {
        let current = ArcSwap::from_pointee(read(&settings, &system)?);
        Ok(Self { settings, system, current, metrics })
    }

    /// The files that were read.
    pub(in crate::proxy) fn files(&self) -> Vec<PathBuf> {
        let identity = self.settings.identity.iter().flat_map(CertificateFiles::paths);
        self.settings.ca_file.iter().cloned().chain(identity).collect()
    }

    /// Reads the files again.
    pub(in crate::proxy) fn reload(&self) -> bool {
        match read(&self.settings, &self.system) {
            Ok(reading) => {
                self.current.store(Arc::new(reading));
                tracing::info!(files = ?self.files(), "the certificates for upstreams were read again");
                true
            }
            Err(error) => {
                self.metrics.count_certificate_reload_failure(CertificateUse::Upstream);
                tracing::error!(%error, "the new certificates for upstreams cannot be used; the old ones stay");
                false
            }
        }
    }

    /// When our own certificate ends, if there is one.
    pub(in crate::proxy) fn not_after(&self) -> Option<UnixTime> {
        self.current.load().not_after
    }

    pub(super) fn current(&self) -> Arc<Reading> {
        self.current.load_full()
    }

    pub(super) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.settings.server_name.as_ref()
    }
}

fn read(settings: &UpstreamTlsSettings, system: &Arc<RootCertStore>) -> Result<Reading, UpstreamTlsError> {
    let roots = match &settings.ca_file {
        None => Arc::clone(system),
        Some(path) => {
            let authority = |reason| UpstreamTlsError::Authority { path: path.clone(), reason: Box::new(reason) };
            Arc::new(store(certificates::certificates(path)?).map_err(authority)?)
        }
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(UpstreamTlsError::Versions)?
        .with_root_certificates(roots);
    let identity = settings.identity.as_ref().map(CertificateFiles::load).transpose()?;
    let mut config = match &identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified()))),
        None => builder.with_no_client_auth(),
    };
    // RFC 7301.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Reading {
        number: READINGS.fetch_add(1, Ordering::Relaxed),
        connector: TlsConnector::from(Arc::new(config)),
        not_after: identity.map(|identity| identity.validity().not_after),
    })
}

fn store(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    certificates.into_iter().try_for_each(|certificate| roots.add(certificate))?;
    Ok(roots)
}
