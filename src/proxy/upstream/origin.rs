//! One upstream of a route: where it is, how it fares, and how many requests it has.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use http::{HeaderValue, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::health::{EjectionSettings, Health};
use super::pool::PoolKey;
use super::tls::UpstreamTls;
use crate::metrics::UpstreamMetrics;

/// Scheme, host and port: what connections are pooled by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Whether to speak TLS.
    pub(super) https: bool,
    /// A name or an address, an IPv6 one without brackets.
    pub(super) host: String,
    /// The port, also where it is the scheme's default.
    pub(super) port: u16,
    /// Of the three above, made once: every request asks for it twice.
    hash: u64,
}

impl Origin {
    /// The origin of these three.
    pub(super) fn new(https: bool, host: String, port: u16) -> Self {
        let mut hasher = DefaultHasher::new();
        (https, &host, port).hash(&mut hasher);
        let hash = hasher.finish();
        Self { https, host, port, hash }
    }
}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// One upstream of a route.
#[derive(Debug)]
pub(in crate::proxy) struct Upstream {
    origin: Arc<Origin>,
    host_header: HeaderValue,
    /// There if it is https.
    tls: Option<Arc<UpstreamTls>>,
    health: Health,
    /// One for each request that it may have at once.
    permits: Arc<Semaphore>,
    most: usize,
}

/// A request's place at an upstream, which is free again when this is dropped.
pub(in crate::proxy) type Permit = OwnedSemaphorePermit;

impl Upstream {
    /// The upstream at `uri`, of which scheme and authority count; none without an authority. It may have `most`
    /// requests at once, over all workers. `tls` is for https.
    pub(in crate::proxy) fn new(
        uri: &Uri,
        most: usize,
        ejection: EjectionSettings,
        tls: &Arc<UpstreamTls>,
        metrics: UpstreamMetrics,
    ) -> Option<Self> {
        let authority = uri.authority()?;
        let https = is_https(uri);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        // `Host` never has a user name (RFC 9110 §7.2), though the configuration's URI could.
        let host_and_port = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, behind)| behind);
        let host_header = HeaderValue::from_str(host_and_port).ok()?;
        let most = most.min(Semaphore::MAX_PERMITS);
        Some(Self {
            origin: Arc::new(Origin::new(https, host, port)),
            host_header,
            tls: https.then(|| Arc::clone(tls)),
            health: Health::new(ejection, metrics),
            permits: Arc::new(Semaphore::new(most)),
            most,
        })
    }

    /// Where it is.
    pub(super) fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// Whom to trust there, if it is https.
    pub(super) fn tls(&self) -> Option<&UpstreamTls> {
        self.tls.as_deref()
    }

    /// What its connections are pooled by now.
    pub(super) fn pool_key(&self) -> PoolKey {
        PoolKey { origin: Arc::clone(&self.origin), reading: self.tls.as_ref().map_or(0, |tls| tls.current().number) }
    }

    /// What `Host` says to it.
    pub(in crate::proxy) fn host(&self) -> &str {
        // It is made of a `str`, so it is one.
        self.host_header.to_str().unwrap_or_default()
    }

    /// The same as a field's value.
    pub(super) fn host_header(&self) -> HeaderValue {
        self.host_header.clone()
    }

    /// How many requests it has.
    pub(in crate::proxy) fn in_use(&self) -> usize {
        self.most.saturating_sub(self.permits.available_permits())
    }

    /// A place for one request more, if there is one.
    pub(in crate::proxy) fn try_permit(&self) -> Option<Permit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// The next place that becomes free, first come, first served.
    pub(super) async fn permit(&self) -> Option<Permit> {
        // It is never closed, so there always is one.
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// Whether requests should go there before they go to those that are not.
    pub(in crate::proxy) fn is_available(&self) -> bool {
        self.health.is_available()
    }

    /// It could not be reached, kept us waiting too long, broke off, or answered that it cannot.
    pub(in crate::proxy) fn failed(&self) {
        self.health.failed(self);
    }

    /// It answered as a server does that works.
    pub(in crate::proxy) fn answered(&self) {
        self.health.answered(self);
    }

    /// What the checks say of it from now on.
    pub(super) fn checked(&self, is_up: bool) {
        self.health.checked(self, is_up);
    }
}

/// Whether to speak TLS there.
pub(in crate::proxy) fn is_https(uri: &Uri) -> bool {
    uri.scheme() == Some(&http::uri::Scheme::HTTPS)
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.origin.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tls::{UpstreamTlsSettings, no_roots};
    use super::*;
    use crate::metrics::Metrics;

    fn made(uri: &Uri) -> Option<Upstream> {
        let tls = UpstreamTls::load(UpstreamTlsSettings::default(), no_roots(), Metrics::default());
        let ejection = EjectionSettings { after: 1, duration: Duration::from_secs(1) };
        Upstream::new(uri, 2, ejection, &Arc::new(tls.expect("no files")), UpstreamMetrics::default())
    }

    fn upstream(uri: &str) -> Upstream {
        made(&uri.parse().expect("a URI")).expect("an upstream")
    }

    #[test]
    fn places_are_counted_over_all_who_have_one() {
        let upstream = upstream("http://a.test");
        let (one, two) = (upstream.try_permit(), upstream.try_permit());
        assert!(one.is_some() && two.is_some() && upstream.try_permit().is_none());
        assert_eq!(upstream.in_use(), 2);
        drop(one);
        assert_eq!(upstream.in_use(), 1);
        assert!(upstream.try_permit().is_some());
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
            let origin = Origin::new(https, host.to_owned(), port);
            assert_eq!(**upstream.origin(), origin);
            assert_eq!(upstream.host_header(), header);
        }
    }

    #[test]
    fn a_uri_without_an_authority_is_no_upstream() {
        assert!(made(&Uri::from_static("/x")).is_none());
    }
}
