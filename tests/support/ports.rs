//! Free ports on the loopback interface.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on. It lies below the range that the kernel hands out for outgoing connections and is
/// given out once a process, so that neither tests beside this one nor clients take it before its server does.
pub fn free_port() -> u16 {
    let base = 12_000 + (std::process::id() % 190) as u16 * 100;
    for _ in 0..2_000 {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(loopback(port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {base} on");
}

/// That port on 127.0.0.1.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
