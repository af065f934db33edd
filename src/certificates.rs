//! Certificates and their keys, as they are read from files: for the listener, and for upstreams that ask who we are.
//!
//! A private key is read only when nobody else can read it, is never printed, and leaves this module only as something
//! that signs. Whether a certificate is trusted is for TLS to decide; here only is told what it says of itself.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::clock::UnixTime;

/// No chain, bundle or key is larger.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
const MODE_BITS: u32 = 0o7777;
/// As for the key ring: 0400, 0440, 0600 and 0640 are the useful ones.
const ACCEPTED_KEY_MODE_BITS: u32 = 0o640;
/// When to begin to speak of an end that comes near, for certificates that live long.
const NOTICE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Why certificates or their key were not taken. No variant holds anything of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The system refused.
    #[error("{path}: cannot be read ({reason}); correct the path, or let this user read it", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A directory, a socket, a pipe.
    #[error("{path}: this is not a file; name the PEM file itself", path = .0.display())]
    NotAFile(PathBuf),
    /// Larger than any chain or key.
    #[error("{path}: larger than 4 MiB, which no certificate is; name the PEM file", path = .0.display())]
    TooLarge(PathBuf),
    /// Others than the owner could read the key, or more than the owner could change it.
    #[error(
        "{path}: mode {mode:04o} is not private; run `chmod 600 {path}` (0400, 0440, 0600 and 0640 are accepted)",
        path = .path.display()
    )]
    Mode {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not PEM (RFC 7468).
    #[error("{path}: is not valid PEM ({reason}); write it anew", path = .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Where it ends to be PEM.
        reason: pem::Error,
    },
    /// PEM, but no certificate in it.
    #[error(
        "{path}: holds no certificate; it must begin with -----BEGIN CERTIFICATE-----, the server's own first",
        path = .0.display()
    )]
    NoCertificate(PathBuf),
    /// PEM, but no private key in it, or one behind a passphrase.
    #[error(
        "{path}: holds no private key without a passphrase; `openssl pkey -in {path} -out KEY` writes one",
        path = .0.display()
    )]
    NoKey(PathBuf),
    /// Not X.509, or a field of it is not.
    #[error("{path}: holds a certificate that cannot be read ({reason}); have it issued anew", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is not the certificate's, or of a kind that TLS does not know.
    #[error(
        "{certificate} and {key} do not belong together ({reason}); name the key that the first certificate was issued for",
        certificate = .certificate.display(), key = .key.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        reason: Box<rustls::Error>,
    },
}

/// A certificate with its chain, and its private key, each in a file of PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the certificate itself first.
    pub certificate: PathBuf,
    /// Its key, which nobody else may read.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// Reads both, after the key's mode (that of the file itself where the path is a link), and sees that they belong
    /// together.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn load(&self) -> Result<Identity, CertificateError> {
        let chain = certificates(&self.certificate)?;
        let key = private_key(&self.key)?;
        let validity = Validity::of(&chain[0], &self.certificate)?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|reason| CertificateError::Mismatch {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            reason: Box::new(reason),
        })?;
        Ok(Identity { certified: Arc::new(certified), validity })
    }

    /// Both paths, for a watch.
    pub fn paths(&self) -> [PathBuf; 2] {
        [self.certificate.clone(), self.key.clone()]
    }
}

/// The certificates in a file of PEM, at least one: a chain, or authorities to trust.
///
/// # Errors
/// [`CertificateError`].
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let content = read(path, |_| Ok(()))?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
    let found = parsed.map_err(|reason| CertificateError::Pem { path: path.to_owned(), reason })?;
    if found.is_empty() { Err(CertificateError::NoCertificate(path.to_owned())) } else { Ok(found) }
}

/// The first private key in a file of PEM that nobody else can read.
///
/// # Errors
/// [`CertificateError`].
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let content = read(path, |mode| match mode & !ACCEPTED_KEY_MODE_BITS {
        0 => Ok(()),
        _ => Err(CertificateError::Mode { path: path.to_owned(), mode }),
    })?;
    PrivateKeyDer::from_pem_slice(&content).map_err(|reason| match reason {
        pem::Error::NoItemsFound => CertificateError::NoKey(path.to_owned()),
        reason => CertificateError::Pem { path: path.to_owned(), reason },
    })
}

fn read(
    path: &Path,
    accept_mode: impl Fn(u32) -> Result<(), CertificateError>,
) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let failed = |reason| CertificateError::Read { path: path.to_owned(), reason };
    // Asked before it is opened: opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(CertificateError::NotAFile(path.to_owned()));
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    accept_mode(metadata.permissions().mode() & MODE_BITS)?;
    if metadata.len() > MAX_BYTES {
        return Err(CertificateError::TooLarge(path.to_owned()));
    }
    // One byte of room beyond the size, so that the end is found without growing, which would leave copies behind.
    let room = usize::try_from(metadata.len()).unwrap_or(usize::MAX).saturating_add(1);
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_BYTES).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

/// Who we are in TLS: a chain, and what signs for it.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    validity: Validity,
}

/// The key signs, and is never shown.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("validity", &self.validity).finish_non_exhaustive()
    }
}

impl Identity {
    /// What TLS presents.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// From when to when the certificate itself counts.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether a client that asks for `host`, a name or an address, would take it (RFC 9525 §6).
    ///
    /// # Errors
    /// The certificate's names, in words.
    pub fn is_for(&self, host: &str) -> Result<(), String> {
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        let leaf = self.certified.cert.first().ok_or_else(|| "there is no certificate".to_owned())?;
        let parsed = ParsedCertificate::try_from(leaf).map_err(|error| error.to_string())?;
        rustls::client::verify_server_name(&parsed, &name).map_err(|error| error.to_string())
    }

    /// Whether both are the same certificate.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }
}

/// From when to when a certificate counts (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: UnixTime,
    /// The last one.
    pub not_after: UnixTime,
}

impl Validity {
    fn of(certificate: &CertificateDer<'_>, path: &Path) -> Result<Self, CertificateError> {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|error| CertificateError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
        let validity = parsed.validity();
        Ok(Self {
            not_before: UnixTime::from_secs(validity.not_before.timestamp()),
            not_after: UnixTime::from_secs(validity.not_after.timestamp()),
        })
    }

    /// Whether it counts at that moment.
    pub fn covers(&self, now: UnixTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether its end is so near that somebody should look: in the last third of its life, 14 days at most.
    pub fn ends_soon(&self, now: UnixTime) -> bool {
        now.until(self.not_after) < NOTICE.min(self.not_after.since(self.not_before) / 3)
    }
}

#[cfg(test)]
mod tests;
