//! Opening a connection: TCP, TLS where the upstream is https, and hyper's end of HTTP/1.1 on top.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::super::body::RequestBody;
use super::origin::Origin;
use super::pool::Connection;

/// The longest head of a response, in bytes; also what is buffered before it is parsed.
const MAX_HEAD: usize = 64 * 1024;
/// The most fields in the head of a response.
const MAX_FIELDS: usize = 128;

/// Why an upstream cannot be reached. Nothing of any request has been sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The route has no upstream with a host.
    #[error("the route has no upstream")]
    NoUpstream,
    /// The name does not resolve, or nobody listens.
    #[error("no connection: {0}")]
    Tcp(#[source] io::Error),
    /// Neither a connection nor a refusal within the route's connect time.
    #[error("no connection in time")]
    Timeout,
    /// The host is neither a name nor an address that a certificate could have.
    #[error("no certificate can match its name")]
    Name,
    /// The TLS handshake failed: a certificate that we do not trust, or no TLS there.
    #[error("no TLS: {0}")]
    Tls(#[source] io::Error),
    /// The connection broke before it was of use.
    #[error("no HTTP: {0}")]
    Http(#[source] hyper::Error),
}

/// Why there is no TLS for upstreams.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsRootsError {
    /// A certificate of the configuration cannot be a root.
    #[error("a certificate authority's certificate is not usable: {0}")]
    Certificate(#[source] rustls::Error),
    /// The cryptography library offers no version of TLS that is safe.
    #[error("no usable version of TLS: {0}")]
    Versions(#[source] rustls::Error),
}

/// TLS towards upstreams: the system's roots and `extra` ones, HTTP/1.1 by ALPN (RFC 7301). Reads files: once a process.
///
/// # Errors
/// [`TlsRootsError`]. Certificates of the *system* that cannot be read are logged and left out.
pub fn upstream_tls(extra: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, TlsRootsError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "cannot read some of the system's certificates");
    }
    roots.add_parsable_certificates(system.certs);
    for certificate in extra {
        roots.add(certificate.clone()).map_err(TlsRootsError::Certificate)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsRootsError::Versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Opens connections.
pub(super) struct Connector {
    tls: TlsConnector,
}

impl Connector {
    pub(super) fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls: TlsConnector::from(tls) }
    }

    /// A new connection to `origin`, ready for a request, within `patience`.
    pub(super) async fn connect(&self, origin: &Origin, patience: Duration) -> Result<Connection, ConnectError> {
        tokio::time::timeout(patience, self.connect_patiently(origin)).await.unwrap_or(Err(ConnectError::Timeout))
    }

    async fn connect_patiently(&self, origin: &Origin) -> Result<Connection, ConnectError> {
        let tcp = TcpStream::connect((origin.host.as_str(), origin.port)).await.map_err(ConnectError::Tcp)?;
        tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
        if !origin.https {
            return start(TokioIo::new(tcp)).await;
        }
        let name = ServerName::try_from(origin.host.clone()).map_err(|_| ConnectError::Name)?;
        let tls = self.tls.connect(name, tcp).await.map_err(ConnectError::Tls)?;
        start(TokioIo::new(tls)).await
    }
}

/// Puts hyper on `io` and a task of this worker behind it.
async fn start<T>(io: T) -> Result<Connection, ConnectError>
where
    T: Read + Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .handshake::<_, RequestBody>(io)
        .await
        .map_err(ConnectError::Http)?;
    let task = rt::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "an upstream connection ended badly");
        }
    });
    Ok(Connection::new(sender, task))
}
