//! The configuration: raw serde structs on one side, the typed [`Config`] on the other. Parsed once, never checked again.
//!
//! Layers, later ones over earlier ones: the defaults of the key definitions, TOML files in their order, the environment
//! (`SEALGATE__SECTION__KEY`). Relative paths in it are relative to the working directory.
//!
//! Must never print a value that may be a secret, not even in an error.

mod definitions;
mod easy_auth;
mod finding;
mod forward_auth;
mod identity_jwt;
mod leaf;
mod markdown;
mod network;
mod position;
mod provider;
mod provider_kind;
mod raw;
mod reader;
mod reference;
mod routes;
mod scope;
mod server;
mod session;
mod site;
mod sites;
mod sources;
mod static_site;
mod unknown;
mod upstreams;
mod values;

use std::collections::HashSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use self::definitions::{Form, KeyDefinition, Preset, SECTIONS, SectionDefinition};
pub use self::finding::{ConfigError, Finding, Severity};
pub use self::markdown::markdown;
use self::position::Positions;
use self::reader::Reader;
pub use self::reader::SecretFile;
pub use self::reference::reference;
pub use self::scope::Scope;
use self::sites::OwnKeys;
use crate::certificates::CertificateFiles;
use crate::oidc::{IdentityJwtSettings, ProviderSettings};
use crate::origin::PublicOrigin;
use crate::proxy::RouteSettings;
use crate::session::SessionSettings;
use crate::web::CsrfHeader;
use crate::web::easy_auth::EasyAuth;
use crate::web::forward_auth::ForwardAuthSettings;
use crate::web::page::Pages;
use crate::web::security_headers::SecurityHeaderSettings;
use crate::web::static_site::StaticSettings;

/// A whole, valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listeners and how they stop.
    pub server: ServerConfig,
    /// The sites, one at least; no two are reached by the same host.
    pub sites: Vec<SiteConfig>,
    /// The key ring's file.
    pub ring: PathBuf,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// One site: an origin with its providers, its sessions and its routes.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// Where its keys stand.
    pub scope: Scope,
    /// The origin that browsers see.
    pub public_url: PublicOrigin,
    /// The prefix of our own endpoints, `/bff`.
    pub prefix: String,
    /// The OpenID providers, one at least; the first is the default. No two have the same name or registration.
    pub providers: Vec<ProviderConfig>,
    /// Azure App Service's endpoints, if we have them besides our own; never with several providers.
    pub easy_auth: Option<EasyAuth>,
    /// Sessions and their cookies.
    pub session: SessionSettings,
    /// The custom header of `csrf = "header"` routes.
    pub csrf: CsrfHeader,
    /// The proxied routes; none lies under the endpoints' prefix, no two have the same path.
    pub routes: Vec<RouteSettings>,
    /// How other proxies ask whether a request may pass; none: they cannot.
    pub forward_auth: Option<ForwardAuthSettings>,
    /// What signed identities are like; none: there are none.
    pub identity_jwt: Option<IdentityJwtSettings>,
    /// The single-page app, if we serve it.
    pub static_site: Option<StaticSettings>,
    /// What browsers refuse on its behalf.
    pub security_headers: SecurityHeaderSettings,
    /// What it is told at run time; public.
    pub spa_settings: serde_json::Map<String, serde_json::Value>,
    /// The pages that people see.
    pub pages: Pages,
}

impl SiteConfig {
    /// The default provider.
    pub fn provider(&self) -> &ProviderSettings {
        // Parsed so; the demo has one too.
        &self.providers.first().expect("a site has a provider").settings
    }

    /// Where the key stands that the short form calls `key`.
    pub fn key(&self, key: &str) -> String {
        self.scope.key(key)
    }
}

/// One provider of a site.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Where its keys stand.
    pub scope: Scope,
    /// What links call it: letters, digits, `-` and `_`.
    pub name: String,
    /// Its settings.
    pub settings: ProviderSettings,
}

impl ProviderConfig {
    /// Where the key stands that the short form calls `key`.
    pub fn key(&self, key: &str) -> String {
        self.scope.key(key)
    }
}

/// What `[security_headers]` says when nothing is set.
pub fn default_security_headers() -> SecurityHeaderSettings {
    let positions = Positions::default();
    let mut reader = Reader::new(&positions, Vec::new(), HashSet::new());
    // The defaults are valid: loading any configuration in the tests reads all of them.
    static_site::security_headers(raw::RawSecurityHeaders::default(), &mut reader).unwrap_or_default()
}

/// A valid configuration, and what somebody should look at nevertheless.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Findings of [`Severity::Warning`].
    pub warnings: Vec<Finding>,
    /// The files that secrets were read from.
    pub secret_files: Vec<SecretFile>,
    positions: Positions,
}

impl Loaded {
    /// Where the key stands that the short form calls `key`, for a site or a provider: at the top where that speaks for
    /// the site.
    pub fn place(&self, scope: Scope, key: &str) -> String {
        self.positions.place(scope, key)
    }

    /// A finding about `key`, placed where it was set: for checks that need more than the configuration.
    pub fn finding(&self, severity: Severity, key: &str, message: impl Into<String>) -> Finding {
        self.positions.finding(severity, key, message.into())
    }
}

impl Config {
    /// Reads `files`, later ones over earlier ones, and the process's environment over them all.
    ///
    /// # Errors
    /// Everything that is wrong, at once, each with its file, line and key where they are known. Only a file that
    /// cannot be read or is no TOML keeps the rest from being looked at.
    pub fn load(files: &[PathBuf]) -> Result<Loaded, ConfigError> {
        Self::load_with(files, sources::environment())
    }

    /// As [`Config::load`], with `environment` in place of the process's.
    ///
    /// # Errors
    /// See [`Config::load`].
    pub fn load_with(
        files: &[PathBuf],
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded, ConfigError> {
        let environment = environment.into_iter().collect();
        let mut sources = sources::read(files, environment).map_err(|findings| ConfigError { findings })?;
        let mut findings = sources.findings;
        let (raw, meant) = unknown::deserialize(sources.values, &mut sources.positions, &mut findings);
        let mut reader = Reader::new(&sources.positions, findings, meant);
        let config = Self::parse(raw, &mut reader);
        let (findings, secret_files) = reader.finish();
        match config {
            Some(config) if findings.iter().all(|finding| finding.severity == Severity::Warning) => {
                Ok(Loaded { config, warnings: findings, secret_files, positions: sources.positions })
            }
            _ => Err(ConfigError { findings }),
        }
    }

    fn parse(mut raw: raw::RawConfig, reader: &mut Reader<'_>) -> Option<Self> {
        // Every section is read before any is given up.
        let own = OwnKeys::take(&mut raw.server);
        let (process, server) = server::parse(std::mem::take(&mut raw.server), reader);
        let ring = site::ring(std::mem::take(&mut raw.keys), reader);
        let log = site::log(std::mem::take(&mut raw.log), reader);
        let sites = sites::parse(own, raw, &process, reader);
        Some(Self { server: server?, sites: sites?, ring: ring?, log: log? })
    }
}

/// Listeners and how they stop.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where browsers (or the load balancer) reach us.
    pub listen: SocketAddr,
    /// Health, readiness and metrics.
    pub management_listen: SocketAddr,
    /// Peers whose `X-Forwarded-*` count.
    pub trusted_proxies: Vec<IpNet>,
    /// A path on the public listener that answers 200, for platforms with one port.
    pub public_health_path: Option<String>,
    /// Worker threads; none: one a processor.
    pub workers: Option<usize>,
    /// The listener's certificate, if it speaks TLS itself.
    pub tls: Option<CertificateFiles>,
    /// How long a client may take over a request's head.
    pub client_timeout: Duration,
    /// How long an idle connection stays open for a next request.
    pub keep_alive: Duration,
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
    /// How long the line of a request may wait to be written with others; zero: not at all.
    pub access_buffer: Duration,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests;
