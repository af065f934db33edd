//! Listening on this machine only, and servers that stop when they are dropped.
//!
//! Must never hand out a listener that another machine can reach: the demo's passwords are printed on its login page.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use actix_web::dev::{Server, ServerHandle};

/// How often another port is tried when the system's choice is free on 127.0.0.1 but taken on ::1.
const PORT_ATTEMPTS: usize = 16;

/// Why the demo cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoopbackError {
    /// An address that other machines may reach.
    #[error("the demo listens on loopback only, and {0} is not; use 127.0.0.1:{port} or [::1]:{port}", port = .0.port())]
    NotLoopback(SocketAddr),
    /// The address is taken or otherwise refused by the system.
    #[error("cannot listen on {address}: {source}; choose another port")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens on `address`; port 0 lets the system choose.
///
/// # Errors
/// When `address` is not loopback, or the system refuses it.
pub fn listen(address: SocketAddr) -> Result<TcpListener, LoopbackError> {
    if !address.ip().is_loopback() {
        return Err(LoopbackError::NotLoopback(address));
    }
    TcpListener::bind(address).map_err(|source| LoopbackError::Bind { address, source })
}

/// `address` itself, or for port 0 the same address with a port that is free at this moment.
///
/// # Errors
/// As [`listen`].
pub fn free_address(address: SocketAddr) -> Result<SocketAddr, LoopbackError> {
    listen(address)?.local_addr().map_err(|source| LoopbackError::Bind { address, source })
}

/// Listens on `port` of both addresses that the name `localhost` may stand for (RFC 6761 §6.3); on 127.0.0.1 alone
/// where the machine has no IPv6. All the listeners have the same port, also when the system chose it.
///
/// # Errors
/// When the port is taken on either address: its owner there would otherwise receive our visitors.
pub fn listen_on_localhost(port: u16) -> Result<Vec<TcpListener>, LoopbackError> {
    let mut attempts_left = PORT_ATTEMPTS;
    loop {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let first = listen(address)?;
        let chosen = first.local_addr().map_err(|source| LoopbackError::Bind { address, source })?.port();
        attempts_left -= 1;
        match listen(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), chosen)) {
            Ok(second) => return Ok(vec![first, second]),
            Err(error) if !is_taken(&error) => return Ok(vec![first]),
            Err(_) if port == 0 && attempts_left > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_taken(error: &LoopbackError) -> bool {
    matches!(error, LoopbackError::Bind { source, .. } if source.kind() == ErrorKind::AddrInUse)
}

/// A server on a task of its own; it stops when this is dropped.
pub struct RunningServer(ServerHandle);

impl RunningServer {
    /// Runs `server`; to be called inside a tokio runtime.
    pub fn spawn(server: Server) -> Self {
        let handle = server.handle();
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "a server of the demo has failed");
            }
        });
        Self(handle)
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        // The command is sent by the call; the future only tells when it is done.
        drop(self.0.stop(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_can_reach_is_refused_with_the_remedy() {
        for address in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080"] {
            let error = listen(address.parse().expect("an address")).expect_err(address);
            assert!(matches!(error, LoopbackError::NotLoopback(_)), "{address}");
            assert!(error.to_string().contains("use 127.0.0.1:8080"), "{error}");
        }
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let address = taken.local_addr().expect("bound");
        let error = listen(address).expect_err("taken");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[test]
    fn all_listeners_of_localhost_share_one_port() {
        let ports: Vec<u16> = listen_on_localhost(0)
            .expect("a free port")
            .iter()
            .map(|listener| listener.local_addr().expect("bound").port())
            .collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
    }

    #[test]
    fn port_zero_becomes_a_port_that_can_be_announced() {
        let address = free_address("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        assert_ne!(address.port(), 0);
    }
}
