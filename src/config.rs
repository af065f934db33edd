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
mod server;
mod session;
mod site;
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
use self::easy_auth::RawCompat;
pub use self::finding::{ConfigError, Finding, Severity};
pub use self::markdown::markdown;
use self::position::Positions;
use self::reader::Reader;
pub use self::reader::SecretFile;
pub use self::reference::reference;
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
    /// The OpenID provider.
    pub provider: ProviderSettings,
    /// Sessions and their cookies.
    pub session: SessionSettings,
    /// Azure App Service's endpoints, if we have them besides our own.
    pub easy_auth: Option<EasyAuth>,
    /// The key ring's file.
    pub ring: PathBuf,
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
    /// What is logged, and how.
    pub log: LogConfig,
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
        let sources = sources::read(files, environment).map_err(|findings| ConfigError { findings })?;
        let mut findings = sources.findings;
        let (raw, meant) = unknown::deserialize(sources.values, &sources.positions, &mut findings);
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
        let raw_compat = RawCompat { compat: raw.server.compat.take(), provider: raw.server.compat_provider.take() };
        let (mut own_paths, server) = server::parse(raw.server, reader);
        let mut provider = provider::parse(raw.provider, reader);
        let preset = provider.as_ref().and_then(|provider| provider.particulars.preset);
        let compat = easy_auth::parse(raw_compat, preset, reader);
        own_paths.easy_auth = compat.as_ref().is_some_and(|compat| compat.easy_auth.is_some());
        if own_paths.easy_auth {
            easy_auth::check(&own_paths, reader);
        }
        if let (Some(provider), Some(server)) = (&provider, &server) {
            provider_kind::check_post_logout(provider, server, own_paths.easy_auth, reader);
        }
        let session = session::parse(raw.session, reader);
        let csrf = site::csrf(raw.csrf, reader);
        let ring = site::ring(raw.keys, reader);
        let groups_claim = provider.as_ref().map(|provider| provider.login_limits.groups_claim.as_str());
        let mut routes = routes::parse(raw.routes, &own_paths, groups_claim, compat.as_ref(), reader);
        let has_forward_auth = raw.forward_auth.is_some();
        let forward_auth = forward_auth::parse(raw.forward_auth, groups_claim, compat.as_ref(), reader);
        if let (true, Some(server), Some(session)) = (has_forward_auth, &server, &session) {
            forward_auth::check(server, session, reader);
        }
        if let (Some(routes), Some(provider)) = (&mut routes, &mut provider) {
            routes::tokens::fit(routes, provider, reader);
        }
        let has_identity_jwt = raw.identity_jwt.is_some();
        let identity_jwt = identity_jwt::parse(raw.identity_jwt, reader);
        if !has_identity_jwt {
            let of_routes = routes.iter().flatten().enumerate();
            let of_routes = of_routes.map(|(index, route)| (format!("routes[{index}]"), &route.access.signed_identity));
            let of_answers = forward_auth.iter().flatten();
            let of_answers = of_answers.map(|settings| ("forward_auth".to_owned(), &settings.signed_identity));
            identity_jwt::check(of_routes.chain(of_answers), reader);
        }
        let public_url = server.as_ref().map(|server| &server.public_url);
        let static_site = static_site::parse(raw.static_site, public_url, reader);
        let security_headers = static_site::security_headers(raw.security_headers, reader);
        let spa_settings = static_site::spa_settings(raw.spa_settings, reader);
        let pages = site::pages(raw.pages, reader);
        let log = site::log(raw.log, reader);
        if let (Some(public_url), Some(provider)) = (public_url, &provider) {
            provider::check_response_mode(provider, public_url, reader);
        }
        if let (Some(routes), Some(public_url)) = (&routes, public_url) {
            routes::check_hosts(routes, public_url, reader);
        }
        if let (Some(routes), Some(session)) = (&routes, &session) {
            routes::check_same_site(routes, session.same_site, reader);
        }
        if let (Some(routes), Some(Some(_))) = (&routes, &static_site) {
            routes::check_against_static(routes, reader);
        }
        Some(Self {
            server: server?,
            provider: provider?,
            session: session?,
            easy_auth: compat?.easy_auth,
            ring: ring?,
            csrf: csrf?,
            routes: routes?,
            forward_auth: forward_auth?,
            identity_jwt: identity_jwt?,
            static_site: static_site?,
            security_headers: security_headers?,
            spa_settings: spa_settings?,
            pages: pages?,
            log: log?,
        })
    }
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
