//! TLS on the public listener: its certificate, which is read again whenever its files change.
//!
//! A pair that cannot be used is logged, and the one in use stays. Connections that stand are never touched: a new
//! certificate is for new handshakes. TLS 1.2 and 1.3 with forward secrecy only (RFC 9325 §3.1, §4.1), HTTP/1.1 by ALPN
//! (RFC 7301); HTTP/2 is not offered, because its streams cannot be bounded here.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::interval;

use crate::certificates::{CertificateError, CertificateFiles, Identity};
use crate::clock::Clock;
use crate::file_watch::{self, FileWatch};
use crate::metrics::{CertificateUse, Metrics};

/// How often an end that comes near is spoken of.
const REMINDER: Duration = Duration::from_secs(6 * 60 * 60);

/// The listener's certificate, as it is now. Clones share it.
#[derive(Clone, Debug)]
pub struct ListenerCertificate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    files: CertificateFiles,
    current: ArcSwap<Identity>,
    clock: Clock,
    metrics: Metrics,
}

/// Keeps a certificate in step with its files, and speaks of its end, for as long as it lives.
#[derive(Debug)]
#[must_use = "the watch ends when this is dropped"]
pub struct CertificateWatch {
    _files: FileWatch,
    reminder: AbortHandle,
}

impl Drop for CertificateWatch {
    fn drop(&mut self) {
        self.reminder.abort();
    }
}

impl ListenerCertificate {
    /// Reads the pair. One that has expired is taken, and said to be so: some clients may still come.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn load(files: CertificateFiles, clock: Clock, metrics: Metrics) -> Result<Self, CertificateError> {
        let current = files.load()?;
        metrics.certificate_ends(CertificateUse::Listener, current.validity().not_after.as_secs());
        let current = ArcSwap::from_pointee(current);
        Ok(Self(Arc::new(Shared { files, current, clock, metrics })))
    }

    /// How to accept connections. What is presented follows the files.
    ///
    /// # Errors
    /// When the cryptography library offers no version of TLS that is safe.
    pub fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(self.clone());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        // ALPN is actix's to add: "http/1.1" alone, as it is built without HTTP/2.
        Ok(builder.with_no_client_auth().with_cert_resolver(resolver))
    }

    /// Follows the files until the watch is dropped.
    pub fn watch(&self, runtime: &Handle) -> CertificateWatch {
        let (following, reminding) = (self.clone(), self.clone());
        let files = file_watch::watch(self.0.files.paths().to_vec(), runtime, move || following.reload());
        // What changed between the first reading and the watch is seen now.
        self.reload();
        let reminder = runtime.spawn(async move {
            let mut reminders = interval(REMINDER);
            loop {
                reminders.tick().await;
                reminding.remind();
            }
        });
        CertificateWatch { _files: files, reminder: reminder.abort_handle() }
    }

    /// Reads the files again. A pair that cannot be used does not replace one that can.
    fn reload(&self) {
        let Shared { files, current, clock, metrics } = &*self.0;
        let (certificate, old) = (files.certificate.display(), current.load_full());
        match files.load() {
            Err(error) => {
                metrics.count_certificate_reload_failure(CertificateUse::Listener);
                tracing::error!(%error, "the listener's new certificate cannot be used; the old one stays");
            }
            Ok(new) if new.is_same_as(&old) => {}
            Ok(new) if !new.validity().covers(clock.now()) && old.validity().covers(clock.now()) => {
                metrics.count_certificate_reload_failure(CertificateUse::Listener);
                let validity = new.validity();
                tracing::error!(
                    %certificate, not_before = %validity.not_before, not_after = %validity.not_after,
                    "the listener's new certificate is not valid now; the old one stays"
                );
            }
            Ok(new) => {
                let not_after = new.validity().not_after;
                metrics.certificate_ends(CertificateUse::Listener, not_after.as_secs());
                current.store(Arc::new(new));
                tracing::info!(%certificate, %not_after, "the listener has a new certificate");
                self.remind();
            }
        }
    }

    fn remind(&self) {
        let (validity, now) = (self.0.current.load().validity(), self.0.clock.now());
        let (certificate, not_after) = (self.0.files.certificate.display(), validity.not_after);
        if !validity.covers(now) {
            let not_before = validity.not_before;
            tracing::error!(%certificate, %not_before, %not_after, "the listener's certificate is not valid now; put a new one into its place");
        } else if validity.ends_soon(now) {
            tracing::warn!(%certificate, %not_after, "the listener's certificate ends soon; put a new one into its place");
        }
    }
}

impl ResolvesServerCert for ListenerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current.load().certified())
    }
}

#[cfg(test)]
mod tests;
