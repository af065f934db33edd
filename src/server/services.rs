//! Builds what the endpoints of each site work with. What is the process's, the key ring, the counters, the clock and
//! the runtime, all sites share.

use std::time::Duration;

use http::HeaderName;
use tokio::runtime::Handle;

use super::StartError;
use crate::clock::Clock;
use crate::config::{Config, SiteConfig};
use crate::keyring::RingHandle;
use crate::metrics::Metrics;
use crate::oidc::{Provider, ProviderBuildError, TokenIssuers};
use crate::proxy::{OwnNames, RouteTable};
use crate::refresh::Refresher;
use crate::refresh::application::ApplicationTokens;
use crate::seal::Sealer;
use crate::session::cookies::CookieNames;
use crate::session::providers::Providers;
use crate::session::store::Sessions;
use crate::web::forward_auth;
use crate::web::redemptions::Redemptions;
use crate::web::security_headers::SecurityHeaders;
use crate::web::signed_identity::SignedIdentities;
use crate::web::sites::Sites;
use crate::web::spa_settings::SpaSettings;
use crate::web::static_site::StaticSite;
use crate::web::tunnels::Tunnels;
use crate::web::{Services, Site};

/// What all sites share.
pub(super) struct Shared {
    pub(super) ring: RingHandle,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    /// Of provider traffic.
    pub(super) runtime: Handle,
}

/// All sites; their providers are looked for from now on.
pub(super) fn sites(config: &Config, shared: &Shared) -> Result<Sites, StartError> {
    let sites = config.sites.iter().map(|site| services(config, site, shared)).collect::<Result<Vec<_>, _>>()?;
    Ok(Sites::new(sites))
}

fn services(config: &Config, site: &SiteConfig, shared: &Shared) -> Result<Services, StartError> {
    let Shared { ring, clock, metrics, runtime } = shared;
    check_session_length(config, site, ring.current().max_session())?;
    let origin = site.public_url.clone();
    let names = CookieNames::new(&site.session.cookie_name, origin.is_https());
    let set_by_routes = site.routes.iter().flat_map(|route| &route.access.headers);
    let set_by_answers = site.forward_auth.iter().flat_map(|settings| &settings.headers);
    let secret_field = HeaderName::from_static(forward_auth::SECRET_FIELD);
    let shown = site.forward_auth.iter().map(|_| &secret_field);
    let of_ours = set_by_routes.chain(set_by_answers).map(|header| &header.name).chain(shown);
    let of_ours = of_ours.chain(site.identity_jwt.iter().map(|settings| &settings.header));
    let neighbours =
        config.sites.iter().filter(|other| other.public_url != origin && other.public_url.host() == origin.host());
    let own_names = OwnNames::new(names.session(), &origin)
        .with_headers(of_ours)
        .with_cookies_of(neighbours.map(|other| other.session.cookie_name.as_str()));
    let providers = providers(site, shared)?;
    let registrations = providers.iter().map(|provider| provider.id.clone()).collect();
    let skew = site.providers.iter().map(|provider| provider.settings.clock_skew).max().unwrap_or_default();
    let sealer = Sealer::new(ring.clone(), origin.clone(), clock.clone(), metrics.clone());
    let sessions = Sessions::new(sealer, names, site.session.clone(), registrations, clock.clone(), skew);
    let mut issuers = TokenIssuers::new(site.provider().request_timeout, clock.clone(), runtime.clone());
    let bearer = site.routes.iter().map(|route| issuers.verifier(&route.access.issuers));
    let bearer = bearer.collect::<Result<_, _>>().map_err(StartError::TokenIssuer)?;
    issuers.start();
    let refresher =
        Refresher::new(providers.clone(), sessions.clone(), clock.clone(), metrics.clone(), runtime.clone());
    let application = ApplicationTokens::new(
        providers.default_one().provider.clone(),
        site.session.refresh_before,
        clock.clone(),
        metrics.clone(),
        runtime.clone(),
    );
    let identities = site.identity_jwt.clone().map(|settings| {
        let answers = site.forward_auth.as_ref().map(|settings| &settings.signed_identity);
        SignedIdentities::load(settings, &origin, clock, &site.routes, answers)
    });
    let identities = identities.transpose()?;
    let routes = RouteTable::new(site.routes.clone(), metrics)?;
    let static_site = static_site(site, metrics)?;
    Ok(Services {
        site: Site {
            origin,
            prefix: site.prefix.clone(),
            csrf: site.csrf.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            easy_auth: site.easy_auth.clone(),
        },
        sessions,
        providers,
        refresher,
        application,
        routes,
        forward_auth: site.forward_auth.clone(),
        identities,
        bearer,
        own_names,
        redemptions: Redemptions::default(),
        tunnels: Tunnels::default(),
        static_site,
        spa_settings: SpaSettings::new(&site.spa_settings),
        pages: site.pages.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
    })
}

fn providers(site: &SiteConfig, shared: &Shared) -> Result<Providers, ProviderBuildError> {
    let providers = site.providers.iter().map(|config| {
        let provider = Provider::new(config.settings.clone(), shared.clock.clone(), shared.runtime.clone())?;
        Ok((config.name.clone(), provider))
    });
    let providers = Providers::new(providers.collect::<Result<Vec<_>, ProviderBuildError>>()?);
    providers.iter().for_each(|provider| provider.provider.start());
    Ok(providers)
}

fn static_site(site: &SiteConfig, metrics: &Metrics) -> Result<Option<StaticSite>, StartError> {
    let Some(settings) = &site.static_site else { return Ok(None) };
    let issuers: Vec<_> = site.providers.iter().map(|provider| provider.settings.issuer.as_str()).collect();
    let headers = SecurityHeaders::new(&site.security_headers, &site.public_url, &issuers);
    let failed = |error| StartError::Static { root: settings.to_string(), error };
    StaticSite::new(settings, headers, metrics).map(Some).map_err(failed)
}

/// A session must not outlive the key that seals it (`open_until` reckons with the ring's longest session).
fn check_session_length(config: &Config, site: &SiteConfig, max_session: Duration) -> Result<(), StartError> {
    let timeout = site.session.absolute_timeout;
    if timeout <= max_session {
        return Ok(());
    }
    Err(StartError::SessionOutlivesKeys {
        timeout: humantime::format_duration(timeout),
        ring: config.ring.display().to_string(),
        max_session: humantime::format_duration(max_session),
    })
}
