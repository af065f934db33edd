//! Where an upstream is, and whether it could be reached lately.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use http::{HeaderValue, Uri};

/// How long an upstream that could not be reached is tried last.
const REST: Duration = Duration::from_secs(5);
/// What `rest_until` counts from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Scheme, host and port: what connections are pooled by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    /// Whether to speak TLS.
    pub(super) https: bool,
    /// A name or an address, an IPv6 one without brackets.
    pub(super) host: String,
    /// The port, also where it is the scheme's default.
    pub(super) port: u16,
}

/// One upstream of a route.
#[derive(Debug)]
pub(in crate::proxy) struct Upstream {
    origin: Arc<Origin>,
    host_header: HeaderValue,
    /// Milliseconds after [`START`] until which it is tried last; 0: it is well.
    rest_until: AtomicU64,
}

impl Upstream {
    /// The upstream at `uri`, of which scheme and authority count; none without an authority.
    pub(in crate::proxy) fn new(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?;
        let https = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        // `Host` never has a user name (RFC 9110 §7.2), though the configuration's URI could.
        let host_and_port = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, behind)| behind);
        let host_header = HeaderValue::from_str(host_and_port).ok()?;
        Some(Self { origin: Arc::new(Origin { https, host, port }), host_header, rest_until: AtomicU64::new(0) })
    }

    /// What its connections are pooled by.
    pub(super) fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// What `Host` says to it.
    pub(in crate::proxy) fn host_header(&self) -> HeaderValue {
        self.host_header.clone()
    }

    /// Whether it could not be reached lately.
    pub(in crate::proxy) fn is_resting(&self) -> bool {
        let until = self.rest_until.load(Ordering::Relaxed);
        until != 0 && millis(START.elapsed()) < until
    }

    /// It could not be reached: others go first for a while.
    pub(in crate::proxy) fn rest(&self) {
        self.rest_until.store(millis(START.elapsed() + REST), Ordering::Relaxed);
    }

    /// It was reached.
    pub(in crate::proxy) fn revive(&self) {
        self.rest_until.store(0, Ordering::Relaxed);
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.origin.https { "https" } else { "http" };
        // It is made of a `str`, so it is one.
        write!(f, "{scheme}://{}", self.host_header.to_str().unwrap_or_default())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(uri: &str) -> Upstream {
        Upstream::new(&uri.parse().expect("a URI")).expect("an upstream")
    }

    #[test]
    fn ports_default_by_scheme_and_the_host_header_is_as_configured() {
        for (uri, https, host, port, header) in [
            ("http://api.test", false, "api.test", 80, "api.test"),
            ("https://api.test", true, "api.test", 443, "api.test"),
            ("http://[::1]:3000", false, "::1", 3000, "[::1]:3000"),
            ("https://user@api.test:8443", true, "api.test", 8443, "api.test:8443"),
        ] {
            let upstream = upstream(uri);
            let origin = Origin { https, host: host.to_owned(), port };
            assert_eq!(**upstream.origin(), origin);
            assert_eq!(upstream.host_header(), header);
        }
    }

    #[test]
    fn a_uri_without_an_authority_is_no_upstream() {
        assert!(Upstream::new(&Uri::from_static("/x")).is_none());
    }
}
