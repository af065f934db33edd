//! Opening a connection: TCP, TLS where the upstream is https, and hyper's end of HTTP/1.1 on top.

use std::io;
use std::time::Duration;

use actix_web::rt;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::super::body::RequestBody;
use super::origin::Upstream;
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
    /// As many connections as the route allows are in use, and no other became free in time.
    #[error("too many requests are under way")]
    Busy,
    /// The connection broke before it was of use.
    #[error("no HTTP: {0}")]
    Http(#[source] hyper::Error),
}

/// A connection without HTTP on it yet.
pub(super) enum Dialled {
    /// http.
    Plain(TcpStream),
    /// https.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A new connection to `upstream`, ready for a request, within `patience`; and under which reading of the certificates
/// it was made.
pub(super) async fn connect(upstream: &Upstream, patience: Duration) -> Result<(Connection, u64), ConnectError> {
    let connected = timeout(patience, async {
        let (dialled, reading) = dial(upstream).await?;
        let connection = match dialled {
            Dialled::Plain(io) => start(TokioIo::new(io)).await,
            Dialled::Tls(io) => start(TokioIo::new(io)).await,
        };
        Ok((connection?, reading))
    });
    connected.await.unwrap_or(Err(ConnectError::Timeout))
}

/// TCP, and TLS where the upstream is https.
pub(super) async fn dial(upstream: &Upstream) -> Result<(Dialled, u64), ConnectError> {
    let origin = upstream.origin();
    let tcp = TcpStream::connect((origin.host.as_str(), origin.port)).await.map_err(ConnectError::Tcp)?;
    tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
    let Some(tls) = upstream.tls() else { return Ok((Dialled::Plain(tcp), 0)) };
    let name = match tls.server_name() {
        Some(name) => name.clone(),
        None => ServerName::try_from(origin.host.clone()).map_err(|_| ConnectError::Name)?,
    };
    let reading = tls.current();
    let io = reading.connector.connect(name, tcp).await.map_err(ConnectError::Tls)?;
    Ok((Dialled::Tls(Box::new(io)), reading.number))
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
