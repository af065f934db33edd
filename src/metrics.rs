//! Counters that every layer may raise and the management listener prints.
//!
//! Must never carry a label that comes from a request: label values are enums of ours, or stand in the configuration, so
//! that their number is fixed.

use std::fmt::{self, Write as _};
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// How one request ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Which part of the server answered.
    pub handler: Handler,
    /// The hundreds of the status code: 2 for 2xx.
    pub status_class: u16,
}

/// The part of the server that answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the endpoints' own")]
#[repr(u8)]
pub enum Handler {
    Login,
    Callback,
    User,
    Logout,
    Refresh,
    Auth,
    Proxy,
    Static,
    Other,
}

/// How a login, refresh or logout ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// The end of it.
    pub outcome: Outcome,
}

/// The end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A login transaction began.
    Started,
    /// It did what it was for.
    Succeeded,
    /// The provider, or the user there, said no.
    Refused,
    /// The provider could not be reached or answered nonsense.
    Unavailable,
    /// We refused it: a check of ours failed.
    Invalid,
}

/// The state of the key that a cookie names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OpenLabels {
    /// See [`OpenedWith`].
    pub key_state: OpenedWith,
}

/// What became of a cookie that was to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpenedWith {
    /// Opened with a key that is not active yet.
    Staged,
    /// Opened with the key that seals now.
    Primary,
    /// Opened with a key that has a successor.
    Retired,
    /// Refused: its key is revoked.
    Revoked,
    /// Refused: its key is not in the ring, or no longer opens.
    Unknown,
    /// Refused: malformed, or the tag does not match.
    Rejected,
}

/// What a certificate of ours is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CertificateLabels {
    /// See [`CertificateUse`].
    pub certificate: CertificateUse,
}

/// One upstream, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLabels {
    /// The route's path.
    pub route: String,
    /// Scheme, host and port.
    pub upstream: String,
}

/// What one upstream counts. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct UpstreamMetrics {
    /// How often it was left out.
    pub ejections: Counter,
    /// 1, or 0 from when it was left out until it answers again.
    pub available: Gauge,
}

/// To whom we show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateUse {
    /// To clients of the public listener.
    Listener,
    /// To upstreams that ask for one; of several, the one that ends first.
    Upstream,
}

macro_rules! lower_case_labels {
    ($($label:ty),+) => {$(
        /// The variant's name in lower case, as the other tools of the field write labels.
        impl EncodeLabelValue for $label {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), fmt::Error> {
                encoder.write_str(&format!("{self:?}").to_ascii_lowercase())
            }
        }
    )+};
}

lower_case_labels!(Handler, Outcome, OpenedWith, CertificateUse);

/// All counters of one process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Requests answered, by part and class of status.
    pub requests: Family<RequestLabels, Counter>,
    /// Logins, by how they went on.
    pub logins: Family<OutcomeLabels, Counter>,
    /// Refreshes sent to the provider, by outcome.
    pub refreshes: Family<OutcomeLabels, Counter>,
    /// Access tokens for APIs that were left out of a session's cookies for want of room.
    pub token_drops: Counter,
    /// Requests for tokens of the application's own, by outcome.
    pub application_tokens: Family<OutcomeLabels, Counter>,
    /// Logouts, by outcome of the revocation.
    pub logouts: Family<OutcomeLabels, Counter>,
    /// Sealed cookies that were to be opened, by the state of their key.
    pub opens: Family<OpenLabels, Counter>,
    /// Reads of the key ring that failed since the start.
    pub ring_reload_failures: Counter,
    /// When our certificates end, in seconds since the epoch.
    pub certificate_ends: Family<CertificateLabels, Gauge>,
    /// Changed certificates that could not be used.
    pub certificate_reload_failures: Family<CertificateLabels, Counter>,
    /// Upstreams that were left out.
    pub upstream_ejections: Family<UpstreamLabels, Counter>,
    /// Whether upstreams are not left out.
    pub upstream_available: Family<UpstreamLabels, Gauge>,
    found: Arc<Found>,
}

/// The counters that every request raises, once they were found in their families.
#[derive(Debug, Default)]
struct Found {
    /// By [`Handler`] and class of status.
    requests: [[OnceLock<Counter>; STATUS_CLASSES]; HANDLERS],
    /// Of [`OpenedWith::Primary`], the usual one.
    opened_with_primary: OnceLock<Counter>,
}

const HANDLERS: usize = Handler::Other as usize + 1;
/// 1xx to 5xx, and 0 for what is none of them.
const STATUS_CLASSES: usize = 6;

impl Metrics {
    /// Counts one answered request.
    pub fn count_request(&self, handler: Handler, status: u16) {
        let labels = RequestLabels { handler, status_class: status / 100 };
        match self.found.requests[handler as usize].get(usize::from(labels.status_class)) {
            Some(found) => found.get_or_init(|| self.requests.get_or_create_owned(&labels)).inc(),
            None => self.requests.get_or_create(&labels).inc(),
        };
    }

    /// Counts one step of a login.
    pub fn count_login(&self, outcome: Outcome) {
        self.logins.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts one refresh that was sent to the provider.
    pub fn count_refresh(&self, outcome: Outcome) {
        self.refreshes.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts one request for a token of the application's own.
    pub fn count_application_token(&self, outcome: Outcome) {
        self.application_tokens.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts one logout.
    pub fn count_logout(&self, outcome: Outcome) {
        self.logouts.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts one attempt to open a sealed cookie.
    pub fn count_open(&self, key_state: OpenedWith) {
        let labels = OpenLabels { key_state };
        match key_state {
            OpenedWith::Primary => {
                self.found.opened_with_primary.get_or_init(|| self.opens.get_or_create_owned(&labels)).inc()
            }
            _ => self.opens.get_or_create(&labels).inc(),
        };
    }

    /// Tells when a certificate ends, in seconds since the epoch.
    pub fn certificate_ends(&self, certificate: CertificateUse, seconds: i64) {
        self.certificate_ends.get_or_create(&CertificateLabels { certificate }).set(seconds);
    }

    /// Counts one changed certificate that could not be used.
    pub fn count_certificate_reload_failure(&self, certificate: CertificateUse) {
        self.certificate_reload_failures.get_or_create(&CertificateLabels { certificate }).inc();
    }

    /// The counters of one upstream.
    pub fn upstream(&self, route: &str, upstream: &str) -> UpstreamMetrics {
        let labels = UpstreamLabels { route: route.to_owned(), upstream: upstream.to_owned() };
        UpstreamMetrics {
            ejections: self.upstream_ejections.get_or_create_owned(&labels),
            available: self.upstream_available.get_or_create_owned(&labels),
        }
    }

    /// The counters in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut registry = Registry::with_prefix("sealgate");
        registry.register("requests", "Requests answered", self.requests.clone());
        registry.register("logins", "Login transactions by outcome", self.logins.clone());
        registry.register("refreshes", "Refresh requests to the provider by outcome", self.refreshes.clone());
        registry.register(
            "token_drops",
            "Access tokens left out of a session because it did not fit its cookies",
            self.token_drops.clone(),
        );
        registry.register(
            "application_tokens",
            "Requests for access tokens of the application by outcome",
            self.application_tokens.clone(),
        );
        registry.register("logouts", "Logouts by outcome of the revocation", self.logouts.clone());
        registry.register(
            "cookie_opens",
            "Sealed cookies opened or refused, by the state of their key",
            self.opens.clone(),
        );
        registry.register(
            "ring_reload_failures",
            "Reads of the key ring that failed",
            self.ring_reload_failures.clone(),
        );
        registry.register_with_unit(
            "certificate_not_after",
            "When a certificate of ours ends, since 1970",
            Unit::Seconds,
            self.certificate_ends.clone(),
        );
        registry.register(
            "certificate_reload_failures",
            "Changed certificates that could not be used",
            self.certificate_reload_failures.clone(),
        );
        registry.register(
            "upstream_ejections",
            "How often an upstream was left out for its failures",
            self.upstream_ejections.clone(),
        );
        registry.register(
            "upstream_available",
            "1, or 0 from when an upstream was left out until it answers again",
            self.upstream_available.clone(),
        );
        let mut text = String::new();
        // Writing into a String cannot fail; an empty page would only mean that it did.
        let _ = encode(&mut text, &registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_printed_with_their_labels() {
        let metrics = Metrics::default();
        metrics.count_request(Handler::Proxy, 204);
        metrics.count_open(OpenedWith::Primary);
        let text = metrics.render();
        assert!(text.contains(r#"sealgate_requests_total{handler="proxy",status_class="2"} 1"#), "{text}");
        assert!(text.contains(r#"sealgate_cookie_opens_total{key_state="primary"} 1"#), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
