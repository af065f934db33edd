//! Opening a connection: TCP, and TLS where the upstream is https.

use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::http1::{Connection, Io};
use super::origin::Upstream;

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
}

/// A new connection to `upstream`, ready for a request, within `patience`; and under which reading of the certificates
/// it was made.
pub(super) async fn connect(upstream: &Upstream, patience: Duration) -> Result<(Connection, u64), ConnectError> {
    let connected = timeout(patience, async {
        let (dialled, reading) = dial(upstream).await?;
        Ok((Connection::new(dialled), reading))
    });
    connected.await.unwrap_or(Err(ConnectError::Timeout))
}

/// TCP, and TLS where the upstream is https.
pub(super) async fn dial(upstream: &Upstream) -> Result<(Io, u64), ConnectError> {
    let origin = upstream.origin();
    let tcp = TcpStream::connect((origin.host.as_str(), origin.port)).await.map_err(ConnectError::Tcp)?;
    tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
    let Some(tls) = upstream.tls() else { return Ok((Io::Plain(tcp), 0)) };
    let name = match tls.server_name() {
        Some(name) => name.clone(),
        None => ServerName::try_from(origin.host.clone()).map_err(|_| ConnectError::Name)?,
    };
    let reading = tls.current();
    let io = reading.connector.connect(name, tcp).await.map_err(ConnectError::Tls)?;
    Ok((Io::Tls(Box::new(io)), reading.number))
}
