//! The reverse proxy: which route a request belongs to, what goes on to the upstream, what comes back.
//!
//! It attaches the access token that it is handed; it never sees a session, and never follows a redirect.

mod body;
mod cookies;
pub mod easy_auth;
mod error;
mod forward;
mod headers;
mod identity;
pub mod offline;
mod own_names;
mod path;
mod route;
mod rules;
mod upgrade;
mod upstream;

use std::time::Duration;

use http::Uri;

pub use self::error::{BadGateway, BadRequest, ForwardError, TimeoutPhase};
pub use self::forward::{Credentials, ForwardContext, forward};
pub use self::identity::{HeaderPart, Identity, IdentityHeader, identity_headers};
pub use self::own_names::OwnNames;
pub use self::path::PathRefused;
pub use self::route::{Route, RouteTable, UpstreamWatch};
pub use self::rules::{Missing, Rule};
pub use self::upgrade::{TunnelLimits, asks_for_websocket};
pub use self::upstream::{
    ConnectError, EjectionSettings, ExchangeError, HealthSettings, UpstreamClient, UpstreamTlsError,
    UpstreamTlsSettings, system_authorities,
};
use crate::oidc::{TokenIssuerSettings, TokenNeed};

/// One route as the configuration describes it.
#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// A path of whole segments, `/api`: it matches itself and everything below.
    pub path: String,
    /// Where requests go: scheme and authority (http or https), without a path. At least one.
    pub upstreams: Vec<Uri>,
    /// Who may pass.
    pub auth: RouteAuth,
    /// What is asked of those who pass, and what the upstream is told of them.
    pub access: AccessSettings,
    /// For which host the route is, and what the upstream sees of the request's target.
    pub target: TargetSettings,
    /// Bytes of a request's body; none: as many as come.
    pub max_body_size: Option<u64>,
    /// How cross-site requests are told from our own.
    pub csrf: CsrfMode,
    /// Methods that may pass; empty: all but CONNECT and TRACE.
    pub methods: Vec<http::Method>,
    /// Whether cookies other than our own go on to the upstream.
    pub forward_cookies: bool,
    /// Bounds on the upstream.
    pub timeouts: UpstreamTimeouts,
    /// How the upstreams are chosen, reached and left out.
    pub upstream_settings: UpstreamSettings,
}

impl RouteSettings {
    /// Whether the certificate of an upstream is held to the system's authorities.
    pub fn trusts_the_system(&self) -> bool {
        self.upstream_settings.tls.ca_file.is_none() && self.upstreams.iter().any(upstream::is_https)
    }
}

/// How a route's upstreams are chosen, reached and left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Which of several comes next.
    pub balance: Balance,
    /// How many connections there may be.
    pub limits: ConnectionLimits,
    /// When one that fails is left out.
    pub ejection: EjectionSettings,
    /// How they are checked; none: not at all.
    pub health: Option<HealthSettings>,
    /// TLS, where they are https.
    pub tls: UpstreamTlsSettings,
}

/// Which of several upstreams comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests under way, over all workers; of those that have as many, the next of the round.
    LeastConnections,
}

/// How many connections a route may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In use to each upstream at once, over all workers; WebSockets count.
    pub max_connections: usize,
    /// Requests that may wait for one of those.
    pub max_waiting: usize,
    /// How long one that is not in use is kept for the next request.
    pub keep_alive: Duration,
}

/// What the configuration has for defaults.
impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            balance: Balance::RoundRobin,
            limits: ConnectionLimits { max_connections: 1024, max_waiting: 1024, keep_alive: Duration::from_secs(50) },
            ejection: EjectionSettings { after: 3, duration: Duration::from_secs(10) },
            health: None,
            tls: UpstreamTlsSettings::default(),
        }
    }
}

/// What is asked of those who pass a route, and what the upstream is told of them.
#[derive(Clone, Debug, Default)]
pub struct AccessSettings {
    /// Whose access tokens pass, where the client brings one itself.
    pub issuers: Vec<TokenIssuerSettings>,
    /// The names of the providers whose sessions pass; empty: all.
    pub providers: Vec<String>,
    /// What the user must have; all rules that the method meets count.
    pub rules: Vec<Rule>,
    /// Headers made of the user's claims.
    pub headers: Vec<IdentityHeader>,
    /// The access token that the upstream gets.
    pub token: RouteToken,
    /// Whether a page that a browser loads without a session leads to the login.
    pub leads_to_login: bool,
    /// Whether requests of sessions get a signed identity.
    pub signed_identity: SignedIdentity,
}

/// Whether requests get a signed identity, and for whom it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SignedIdentity {
    /// None.
    #[default]
    Absent,
    /// For the audience that follows from where they go: the route's own address, or with forward-auth the site's.
    ForThePlace,
    /// For this audience.
    For(String),
}

impl SignedIdentity {
    /// The audience, `of_the_place` unless another is configured; none: there is no signed identity.
    pub fn audience(&self, of_the_place: impl FnOnce() -> String) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::ForThePlace => Some(of_the_place()),
            Self::For(audience) => Some(audience.clone()),
        }
    }
}

/// Whose access token an upstream gets, and what it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RouteToken {
    /// The session's first: that of the login.
    #[default]
    Login,
    /// One of the session's own for this need.
    User(TokenNeed),
    /// The application's, whoever sends the request.
    Application(TokenNeed),
}

impl RouteToken {
    /// What the session's access token must be for; none: that of the login will do.
    pub fn of_session(&self) -> Option<&TokenNeed> {
        match self {
            Self::User(need) => Some(need),
            Self::Login | Self::Application(_) => None,
        }
    }
}

/// For which host a route is, and what its upstreams see of a request's target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetSettings {
    /// The only host that it is for, in lower case and without port; none: every host.
    pub host: Option<String>,
    /// What becomes of the route's path.
    pub path: PathRewrite,
    /// What `Host` says to the upstream; none: the upstream's own name.
    pub host_override: Option<String>,
}

/// What becomes of the route's path on the way to the upstream; what lies behind it goes on byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PathRewrite {
    /// It stays.
    #[default]
    Keep,
    /// This stands in its place: `/v2`, or nothing. Without a trailing slash.
    Replace(String),
}

/// Who may pass a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteAuth {
    /// Only requests with a live session; the access token is attached.
    Session,
    /// Only requests with an access token of their own, which goes on as it is; sessions are not looked at.
    Bearer,
    /// With an `Authorization` as `Bearer`, without one as `Session`.
    SessionOrBearer,
    /// Everybody; the access token of a live session is attached.
    Optional,
    /// Everybody; nothing is attached.
    None,
}

/// How a route tells requests of its own pages from forged ones (RFC 10017 §6.1.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsrfMode {
    /// The custom header on every request, and `Sec-Fetch-Site: same-origin` or a matching `Origin` where sent.
    Header,
    /// GET and HEAD with `Sec-Fetch-Site: same-origin`: for EventSource, downloads, images.
    Metadata,
    /// As `Metadata`, and top-level GET navigations.
    Page,
    /// As `Page`, and every method with `Sec-Fetch-Site: same-origin`: for apps that know of no header, and forms.
    SameOrigin,
}

impl CsrfMode {
    /// Whether browsers may load pages.
    pub fn takes_pages(self) -> bool {
        matches!(self, Self::Page | Self::SameOrigin)
    }
}

/// Bounds on how long an upstream may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamTimeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// From the last byte of the request to the head of the response.
    pub first_byte: Duration,
    /// Between two pieces of a body, either way.
    pub idle: Duration,
}

#[cfg(test)]
mod tests;
