//! The configuration: raw serde structs on one side, the typed [`Config`] on the other. Parsed once, never checked again.
//!
//! Must never print a value that may be a secret, not even in an error.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::oidc::ProviderSettings;
use crate::origin::PublicOrigin;
use crate::proxy::RouteSettings;
use crate::session::SessionSettings;
use crate::web::{CsrfHeader, StaticSettings};

/// A whole, valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listeners and how they stop.
    pub server: ServerConfig,
    /// The OpenID provider.
    pub provider: ProviderSettings,
    /// Sessions and their cookies.
    pub session: SessionSettings,
    /// The key ring's file.
    pub ring: PathBuf,
    /// The custom header of `csrf = "header"` routes.
    pub csrf: CsrfHeader,
    /// The proxied routes; none lies under the endpoints' prefix, no two have the same path.
    pub routes: Vec<RouteSettings>,
    /// The single-page app, if we serve it.
    pub static_site: Option<StaticSettings>,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// Listeners and how they stop.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where browsers (or the load balancer) reach us.
    pub listen: SocketAddr,
    /// The origin that browsers see.
    pub public_url: PublicOrigin,
    /// Health, readiness and metrics.
    pub management_listen: SocketAddr,
    /// Peers whose `X-Forwarded-*` count.
    pub trusted_proxies: Vec<IpNet>,
    /// A path on the public listener that answers 200, for platforms with one port.
    pub public_health_path: Option<String>,
    /// The prefix of our own endpoints, `/bff`.
    pub prefix: String,
    /// Worker threads; none: one a processor.
    pub workers: Option<usize>,
    /// How long a client may take over a request's head, and over the silence between two pieces of a body.
    pub client_timeout: Duration,
    /// On SIGTERM: how long readiness fails while the listener stays open.
    pub drain_delay: Duration,
    /// On SIGTERM: how long requests and refreshes in flight may take after that.
    pub drain_deadline: Duration,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Lines for people or for machines.
    pub format: LogFormat,
    /// A level (`info`) or directives (`info,sealgate::refresh=debug`).
    pub level: String,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}
