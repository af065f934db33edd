//! Which hosts lie in a network of one's own, as far as a name or an address tells.
//!
//! Must never resolve a name: what a configuration means must not depend on the network.

use std::net::{IpAddr, Ipv4Addr};

/// Ends of names that are resolved inside one network only: RFC 6761 §6.3, RFC 6762 §3, RFC 8375, ICANN's `.internal`,
/// and what Kubernetes gives its services.
const LOCAL_SUFFIXES: &[&str] =
    &[".localhost", ".local", ".internal", ".home.arpa", ".svc", ".cluster.local", ".svc.cluster.local"];

/// Whether the host of a URL is this machine, a private address, a name of one label, or a name of an own network.
pub(super) fn is_local(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    match host.parse() {
        Ok(IpAddr::V4(address)) => is_local_v4(address),
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => is_local_v4(address),
            None => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
        },
        Err(_) => !host.contains('.') || LOCAL_SUFFIXES.iter().any(|suffix| host.ends_with(suffix)),
    }
}

/// Loopback, RFC 1918, RFC 3927, and the shared addresses of RFC 6598.
fn is_local_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || (first == 100 && (64..128).contains(&second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_of_an_own_network_are_local() {
        for host in [
            "localhost",
            "api",
            "api.localhost",
            "printer.local",
            "API.Internal.",
            "api.shop.svc",
            "api.shop.svc.cluster.local",
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "[::1]",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(is_local(host), "{host}");
        }
    }

    #[test]
    fn public_names_and_addresses_are_not() {
        for host in [
            "api.example.com",
            "localhost.example.com",
            "svc.example",
            "mylocal.example",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "[2001:db8::1]",
            "[::ffff:8.8.8.8]",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
