//! Why a server does not start, or ends badly. Each says what to correct; none holds a secret.

use std::net::SocketAddr;

use crate::certificates::CertificateError;
use crate::keyring::RingFileError;
use crate::oidc::{IdentityKeyError, ProviderBuildError};
use crate::proxy::UpstreamTlsError;
use crate::telemetry;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The key ring cannot be used.
    #[error(transparent)]
    Ring(#[from] RingFileError),
    /// Sessions would outlive the keys that open them.
    #[error(
        "session.absolute_timeout is {timeout}, but the key ring {ring} keeps keys for sessions of at most {max_session}; shorten the one, or bring a longer --max-session with `sealgate keys rotate`"
    )]
    SessionOutlivesKeys {
        /// The configured timeout.
        timeout: humantime::FormattedDuration,
        /// The ring's file.
        ring: String,
        /// Its longest session.
        max_session: humantime::FormattedDuration,
    },
    /// The provider's settings cannot be used.
    #[error(transparent)]
    Provider(#[from] ProviderBuildError),
    /// The settings of an issuer of access tokens cannot be used.
    #[error("[[routes.issuers]]: {0}")]
    TokenIssuer(ProviderBuildError),
    /// The keys of signed identities cannot be used.
    #[error("identity_jwt.signing_key_file, identity_jwt.verification_keys_file: {0}")]
    IdentityKeys(#[from] IdentityKeyError),
    /// The folder of the single-page app cannot be read.
    #[error("static.root {root} cannot be read: {error}")]
    Static {
        /// The folder.
        root: String,
        /// Why.
        error: std::io::Error,
    },
    /// An address cannot be listened on.
    #[error("{key} {address} cannot be listened on: {error}; is another process using it?")]
    Listen {
        /// The configuration's key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The listener's certificate cannot be used.
    #[error("server.tls_certificate_file, server.tls_key_file: {0}")]
    Certificate(#[from] CertificateError),
    /// There is no TLS for the listener.
    #[error("the listener cannot speak TLS: {0}")]
    Tls(rustls::Error),
    /// There is no TLS towards upstreams.
    #[error("TLS towards an upstream is not possible: {0}")]
    UpstreamTls(#[from] UpstreamTlsError),
    /// Threads cannot be started.
    #[error("the runtime cannot be started: {0}")]
    Runtime(std::io::Error),
}

/// Why a running server ended badly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It never started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No log.
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    /// A listener failed.
    #[error("a listener failed: {0}")]
    Listener(std::io::Error),
}
