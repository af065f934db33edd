//! What `[[routes]]` says of a route's upstreams besides their places, typed.

use std::ops::RangeInclusive;

use http::Uri;
use http::uri::PathAndQuery;
use rustls::pki_types::ServerName;

use super::leaf::Leaf;
use super::raw::RawRoute;
use super::reader::Reader;
use super::server::certificate_files;
use super::values;
use crate::proxy::{
    Balance, ConnectionLimits, EjectionSettings, HealthSettings, UpstreamSettings, UpstreamTlsSettings,
};

/// How many connections or requests a setting may speak of.
const CONNECTIONS: usize = 1_000_000;
/// How many failures or checks in a row a setting may speak of.
const IN_A_ROW: RangeInclusive<u32> = 1..=1000;

/// Reads them; `upstreams` are those of the route, as far as they were read.
pub(super) fn parse(
    index: usize,
    raw: RawRoute,
    upstreams: Option<&[Uri]>,
    reader: &mut Reader<'_>,
) -> Option<UpstreamSettings> {
    let key = |name: &str| format!("routes[{index}].{name}");
    let balance = reader.value(&key("balance"), raw.balance, |leaf| {
        let ways = [("round_robin", Balance::RoundRobin), ("least_connections", Balance::LeastConnections)];
        values::choice(leaf, &ways)
    });
    let after = reader.value(&key("eject_after"), raw.eject_after, |leaf| values::number(leaf, 0..=*IN_A_ROW.end()));
    let duration = reader.value(&key("eject_for"), raw.eject_for, values::positive_duration);
    let max_connections =
        reader.value(&key("max_connections"), raw.max_connections, |leaf| values::number(leaf, 1..=CONNECTIONS));
    let max_waiting = reader.value(&key("max_waiting"), raw.max_waiting, |leaf| values::number(leaf, 0..=CONNECTIONS));
    let keep_alive = reader.value(&key("keep_alive"), raw.keep_alive, values::positive_duration);

    let path = reader.optional(&key("health_path"), raw.health_path, health_path);
    let interval = reader.value(&key("health_interval"), raw.health_interval, values::positive_duration);
    let timeout = reader.value(&key("health_timeout"), raw.health_timeout, values::positive_duration);
    let failures = reader.value(&key("health_failures"), raw.health_failures, |leaf| values::number(leaf, IN_A_ROW));
    let successes = reader.value(&key("health_successes"), raw.health_successes, |leaf| values::number(leaf, IN_A_ROW));

    let ca_file = reader.optional(&key("upstream_ca_file"), raw.upstream_ca_file, values::path);
    let identity = certificate_files(
        (&key("upstream_client_certificate_file"), raw.upstream_client_certificate_file),
        (&key("upstream_client_key_file"), raw.upstream_client_key_file),
        reader,
    );
    let server_name = reader.optional(&key("upstream_server_name"), raw.upstream_server_name, server_name);
    let health = match path? {
        Some(path) => Some(HealthSettings {
            path,
            interval: interval?,
            timeout: timeout?,
            failures: failures?,
            successes: successes?,
        }),
        None => None,
    };
    let tls = UpstreamTlsSettings { ca_file: ca_file?, identity: identity?, server_name: server_name? };
    check_use(&key, &tls, upstreams.unwrap_or_default(), reader);
    Some(UpstreamSettings {
        balance: balance?,
        limits: ConnectionLimits {
            max_connections: max_connections?,
            max_waiting: max_waiting?,
            keep_alive: keep_alive?,
        },
        ejection: EjectionSettings { after: after?, duration: duration? },
        health,
        tls,
    })
}

/// Whoever sets up TLS believes that there is some.
fn check_use(key: &impl Fn(&str) -> String, tls: &UpstreamTlsSettings, upstreams: &[Uri], reader: &mut Reader<'_>) {
    if upstreams.is_empty() || upstreams.iter().any(|upstream| upstream.scheme_str() == Some("https")) {
        return;
    }
    let set = [
        ("upstream_ca_file", tls.ca_file.is_some()),
        ("upstream_client_certificate_file", tls.identity.is_some()),
        ("upstream_server_name", tls.server_name.is_some()),
    ];
    for (name, _) in set.iter().filter(|(_, is_set)| *is_set) {
        reader.warning(&key(name), "is set, but no upstream of the route is https; make it so, or leave this out");
    }
}

/// A request target in origin form (RFC 9112 §3.2.1).
fn health_path(leaf: &Leaf) -> Result<Uri, String> {
    let text = values::text(leaf)?;
    let target = text.parse::<PathAndQuery>().ok().filter(|_| text.starts_with('/') && !text.contains('#'));
    target.map(Uri::from).ok_or_else(|| format!("{text:?} is not a path; write it as in \"/healthz\""))
}

fn server_name(leaf: &Leaf) -> Result<ServerName<'static>, String> {
    let text = values::text(leaf)?;
    let refused = |_| format!("{text:?} is neither a host name nor an IP address; leave scheme and port out");
    ServerName::try_from(text.clone()).map_err(refused)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::position::Positions;

    #[test]
    fn a_route_that_says_nothing_has_the_defaults_of_the_code() {
        let (positions, findings) = (Positions::default(), Vec::new());
        let mut reader = Reader::new(&positions, findings, HashSet::new());
        assert_eq!(parse(0, RawRoute::default(), None, &mut reader), Some(UpstreamSettings::default()));
    }

    #[test]
    fn a_health_path_is_a_path_and_perhaps_a_query() {
        for good in ["/", "/healthz", "/health?full=1"] {
            assert!(health_path(&Leaf::Text(good.to_owned())).is_ok_and(|uri| uri == good), "{good}");
        }
        for bad in ["healthz", "http://a/healthz", "/a b", "/a#b"] {
            assert!(health_path(&Leaf::Text(bad.to_owned())).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_server_name_has_neither_scheme_nor_port() {
        for good in ["api.internal", "10.0.0.1", "::1"] {
            assert!(server_name(&Leaf::Text(good.to_owned())).is_ok(), "{good}");
        }
        for bad in ["https://api.internal", "api.internal:443", "a b"] {
            assert!(server_name(&Leaf::Text(bad.to_owned())).is_err(), "{bad}");
        }
    }
}
