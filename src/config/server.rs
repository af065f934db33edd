//! `[server]`, typed.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::ServerConfig;
use super::leaf::Leaf;
use super::raw::RawServer;
use super::reader::Reader;
use super::values;
use crate::certificates::CertificateFiles;
use crate::origin::PublicOrigin;

/// Paths that the server answers itself, as far as they were read: a site's routes must keep off them.
#[derive(Default)]
pub(super) struct OwnPaths {
    pub(super) prefix: Option<String>,
    pub(super) public_health_path: Option<String>,
    /// Whether `/.auth` is ours, too.
    pub(super) easy_auth: bool,
}

/// What sites must know of the process, as far as it was read.
#[derive(Default)]
pub(super) struct Process {
    pub(super) public_health_path: Option<String>,
    /// Whether the listener does.
    pub(super) speaks_tls: bool,
    /// Whether any proxy is trusted; so it is said of a list that was not read.
    pub(super) trusts_proxies: bool,
}

/// Reads what is of the process: all but public_url and prefix, which are a site's. Also gives what sites must know of
/// it.
pub(super) fn parse(raw: RawServer, reader: &mut Reader<'_>) -> (Process, Option<ServerConfig>) {
    let listen = reader.value("server.listen", raw.listen, values::socket_address);
    let management_listen = reader.value("server.management_listen", raw.management_listen, values::socket_address);
    let trusted_proxies = reader.list("server.trusted_proxies", raw.trusted_proxies, values::network);
    let workers = reader.optional("server.workers", raw.workers, values::workers);
    let public_health_path =
        reader.optional("server.public_health_path", raw.public_health_path, values::path_below_root);
    let tls = certificate_files(
        ("server.tls_certificate_file", raw.tls_certificate_file),
        ("server.tls_key_file", raw.tls_key_file),
        reader,
    );
    let client_timeout = reader.value("server.client_timeout", raw.client_timeout, values::positive_duration);
    let keep_alive = reader.value("server.keep_alive", raw.keep_alive, values::positive_duration);
    let drain_delay = reader.value("server.drain_delay", raw.drain_delay, values::duration);
    let drain_deadline = reader.value("server.drain_deadline", raw.drain_deadline, values::duration);

    check_listeners(listen, management_listen, reader);
    check_trusted(trusted_proxies.as_deref().unwrap_or_default(), reader);
    let process = Process {
        public_health_path: public_health_path.clone().flatten(),
        speaks_tls: tls.as_ref().is_some_and(Option::is_some),
        trusts_proxies: trusted_proxies.as_ref().is_none_or(|networks| !networks.is_empty()),
    };
    let all = || {
        Some(ServerConfig {
            listen: listen?,
            management_listen: management_listen?,
            trusted_proxies: trusted_proxies?,
            public_health_path: public_health_path?,
            workers: workers?,
            tls: tls?,
            client_timeout: client_timeout?,
            keep_alive: keep_alive?,
            drain_delay: drain_delay?,
            drain_deadline: drain_deadline?,
        })
    };
    (process, all())
}

fn check_listeners(listen: Option<SocketAddr>, management: Option<SocketAddr>, reader: &mut Reader<'_>) {
    let (Some(listen), Some(management)) = (listen, management) else { return };
    if overlap(listen, management) {
        reader.error(
            "server.management_listen",
            format!("{management} is taken by server.listen ({listen}); give it a port of its own"),
        );
    }
}

/// A certificate and its key, both or neither. They are read when they are needed.
pub(super) fn certificate_files(
    (certificate_key, certificate): (&str, Option<Leaf>),
    (key_key, key): (&str, Option<Leaf>),
    reader: &mut Reader<'_>,
) -> Option<Option<CertificateFiles>> {
    let certificate = reader.optional(certificate_key, certificate, values::path)?;
    let key = reader.optional(key_key, key, values::path)?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Some(CertificateFiles { certificate, key })),
        (None, None) => Some(None),
        (Some(_), None) => {
            reader.error(certificate_key, format!("is set without {key_key}; set both, or neither"));
            None
        }
        (None, Some(_)) => {
            reader.error(key_key, format!("is set without {certificate_key}; set both, or neither"));
            None
        }
    }
}

/// A browser that speaks TLS with us is on https, and its cookies are to be.
pub(super) fn check_scheme(public_url: &PublicOrigin, reader: &mut Reader<'_>) {
    if !public_url.is_https() {
        reader.error(
            "server.public_url",
            format!("{public_url} is http, but server.tls_certificate_file makes the listener speak TLS; write https"),
        );
    }
}

/// Whoever is trusted can claim any client address.
fn check_trusted(networks: &[IpNet], reader: &mut Reader<'_>) {
    for (index, network) in networks.iter().enumerate().filter(|(_, network)| network.prefix_len() == 0) {
        reader.warning(
            &format!("server.trusted_proxies[{index}]"),
            format!("{network} is everybody, who can then claim any address; name the proxy's own network"),
        );
    }
}

pub(super) fn check_health_path(own: &OwnPaths, reader: &mut Reader<'_>) {
    let (Some(prefix), Some(path)) = (&own.prefix, &own.public_health_path) else { return };
    if is_under(path, prefix) {
        let key = reader.place("server.prefix");
        reader.error("server.public_health_path", format!("{path:?} lies under {key} ({prefix:?}); move it out"));
    }
}

/// Whether two listeners want the same port; port 0 is a new one each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_address = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_address
}

/// Whether `path` is `prefix` or lies below it.
pub(super) fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
