//! The sites, typed: the one of the short form, or those of `[[sites]]`; and what holds between them.

use config::{Map, Value, ValueKind};

use super::definitions::{Form, site_sections};
use super::easy_auth::{self, RawCompat};
use super::leaf::Leaf;
use super::position::Positions;
use super::raw::{RawConfig, RawProvider, RawServer, RawSite};
use super::reader::Reader;
use super::scope::{OF_SERVER, Scope};
use super::server::{self, OwnPaths, Process};
use super::{
    ProviderConfig, SiteConfig, forward_auth, identity_jwt, provider, provider_kind, routes, session, site,
    static_site, values,
};

/// What the one provider of a site is called, where nobody asks for it by name.
const ONLY: &str = "default";
/// Names of providers stand in addresses.
const MAX_NAME: usize = 64;

/// Lets the sections at the top speak for every site that does not speak for itself: key by key, but lists whole.
pub(super) fn inherit(values: &mut Map<String, Value>, positions: &mut Positions) {
    let common: Vec<_> = site_sections()
        .filter(|section| !matches!(section.name, "provider" | "providers"))
        .filter_map(|section| Some((section, values.get(section.name)?.clone())))
        .collect();
    let of_server: Vec<_> = match values.get("server").map(|server| &server.kind) {
        Some(ValueKind::Table(server)) => {
            let shared = OF_SERVER.into_iter().filter(|key| *key != "public_url");
            shared.filter_map(|key| Some((key, server.get(key)?.clone()))).collect()
        }
        _ => Vec::new(),
    };
    let Some(ValueKind::Array(sites)) = values.get_mut("sites").map(|sites| &mut sites.kind) else { return };
    for (index, site) in sites.iter_mut().enumerate() {
        let ValueKind::Table(site) = &mut site.kind else { continue };
        for (section, common) in &common {
            let place = format!("sites[{index}].{}", section.name);
            match (section.form, &common.kind) {
                (Form::List, _) if site.contains_key(section.name) => {}
                (Form::List, _) => {
                    site.insert(section.name.to_owned(), common.clone());
                    positions.inherit(place);
                }
                (_, ValueKind::Table(common)) => {
                    let own =
                        site.entry(section.name.to_owned()).or_insert_with(|| Value::from(Map::<_, Value>::new()));
                    let ValueKind::Table(own) = &mut own.kind else { continue };
                    let said = own.clone();
                    for (key, value) in common.iter().filter(|(key, _)| !says(&said, key)) {
                        own.insert(key.clone(), value.clone());
                        positions.inherit(format!("{place}.{key}"));
                    }
                }
                _ => {}
            }
        }
        for (key, value) in &of_server {
            if !site.contains_key(*key) {
                site.insert((*key).to_owned(), value.clone());
                positions.inherit(format!("sites[{index}].{key}"));
            }
        }
    }
}

/// Whether a section has the key, or says the same in the other way: a secret itself, or the file that holds it.
fn says(section: &Map<String, Value>, key: &str) -> bool {
    let other = key.strip_suffix("_file").map_or_else(|| format!("{key}_file"), str::to_owned);
    section.contains_key(key) || section.contains_key(&other)
}

/// The keys of `[server]` that are a site's.
pub(super) struct OwnKeys {
    public_url: Option<Leaf>,
    prefix: Option<Leaf>,
    compat: Option<Leaf>,
    compat_provider: Option<Leaf>,
}

impl OwnKeys {
    /// Takes them out of the section; the rest is the process's.
    pub(super) fn take(server: &mut RawServer) -> Self {
        let RawServer { public_url, prefix, compat, compat_provider, .. } = server;
        Self {
            public_url: public_url.take(),
            prefix: prefix.take(),
            compat: compat.take(),
            compat_provider: compat_provider.take(),
        }
    }
}

/// Reads all sites before any is given up; there is one at least.
pub(super) fn parse(
    own: OwnKeys,
    config: RawConfig,
    process: &Process,
    reader: &mut Reader<'_>,
) -> Option<Vec<SiteConfig>> {
    let OwnKeys { public_url, prefix, compat, compat_provider } = own;
    if config.sites.is_empty() {
        let site = RawSite {
            public_url,
            prefix,
            compat,
            compat_provider,
            provider: config.provider,
            providers: config.providers,
            session: config.session,
            csrf: config.csrf,
            routes: config.routes,
            forward_auth: config.forward_auth,
            identity_jwt: config.identity_jwt,
            static_site: config.static_site,
            security_headers: config.security_headers,
            spa_settings: config.spa_settings,
            pages: config.pages,
        };
        return Some(vec![parse_site(Scope::default(), site, process, reader)?]);
    }
    refuse_short_form(
        &[
            ("server.public_url", public_url.is_some(), "public_url of its table"),
            ("provider", config.provider.is_some(), "[sites.provider] below it"),
            ("providers", !config.providers.is_empty(), "[[sites.providers]] below it"),
        ],
        reader,
    );
    let sites = config.sites.into_iter().enumerate();
    let sites: Vec<_> =
        sites.map(|(index, site)| parse_site(Scope::of_site(Some(index)), site, process, reader)).collect();
    reader.enter(Scope::default());
    let sites = sites.into_iter().collect::<Option<Vec<_>>>()?;
    check_origins(&sites, reader);
    Some(sites)
}

/// Whoever adds `[[sites]]` to a configuration must not believe that its first site is there still.
fn refuse_short_form(keys: &[(&str, bool, &str)], reader: &mut Reader<'_>) {
    for (key, _, place) in keys.iter().filter(|(_, is_set, _)| *is_set) {
        reader.error(
            key,
            format!(
                "is of the one site that a configuration without [[sites]] has; make it a [[sites]] too, as {place}"
            ),
        );
    }
}

fn parse_site(scope: Scope, raw: RawSite, process: &Process, reader: &mut Reader<'_>) -> Option<SiteConfig> {
    reader.enter(scope);
    let public_url = reader.value("server.public_url", raw.public_url, values::public_origin);
    let prefix = reader.value("server.prefix", raw.prefix, values::path_below_root);
    if let Some(public_url) = public_url.as_ref().filter(|_| process.speaks_tls) {
        server::check_scheme(public_url, reader);
    }
    let mut own_paths = OwnPaths {
        prefix: prefix.clone(),
        public_health_path: process.public_health_path.clone(),
        // Read with the first provider, whose name it has.
        easy_auth: false,
    };
    server::check_health_path(&own_paths, reader);
    let mut providers = parse_providers(scope, raw.provider, raw.providers, reader);
    reader.enter(scope);
    let first = providers.as_ref().and_then(|providers| providers.first()).map(|provider| &provider.settings);
    let raw_compat = RawCompat { compat: raw.compat, provider: raw.compat_provider };
    let compat = easy_auth::parse(raw_compat, first.and_then(|provider| provider.particulars.preset), reader);
    own_paths.easy_auth = compat.as_ref().is_some_and(|compat| compat.easy_auth.is_some());
    if own_paths.easy_auth {
        easy_auth::check(&own_paths, reader);
        if providers.as_ref().is_some_and(|providers| providers.len() > 1) {
            reader.error("server.compat", "knows one provider, and the site has several; leave it out");
        }
    }
    for provider in providers.iter().flatten() {
        reader.enter(provider.scope);
        if let (Some(public_url), Some(prefix)) = (&public_url, &prefix) {
            let own = (public_url, prefix.as_str());
            provider_kind::check_post_logout(&provider.settings, own, own_paths.easy_auth, reader);
            provider::check_response_mode(&provider.settings, public_url, reader);
        }
    }
    reader.enter(scope);
    let session = session::parse(raw.session, reader);
    let csrf = site::csrf(raw.csrf, reader);
    let groups_claim = first.map(|provider| provider.login_limits.groups_claim.clone());
    let groups_claim = groups_claim.as_deref();
    let mut routes = routes::parse(raw.routes, &own_paths, groups_claim, compat.as_ref(), reader);
    let (has_forward_auth, has_identity_jwt) = (raw.forward_auth.is_some(), raw.identity_jwt.is_some());
    let forward_auth = forward_auth::parse(raw.forward_auth, groups_claim, compat.as_ref(), reader);
    if let (true, Some(session)) = (has_forward_auth, &session) {
        forward_auth::check(process.trusts_proxies, session, reader);
    }
    if let (Some(routes), Some(providers)) = (&mut routes, &mut providers) {
        routes::tokens::fit(routes, providers, reader);
    }
    let identity_jwt = identity_jwt::parse(raw.identity_jwt, reader);
    if !has_identity_jwt {
        let of_routes = routes.iter().flatten().enumerate();
        let of_routes = of_routes.map(|(index, route)| (format!("routes[{index}]"), &route.access.signed_identity));
        let of_answers = forward_auth.iter().flatten();
        let of_answers = of_answers.map(|settings| ("forward_auth".to_owned(), &settings.signed_identity));
        identity_jwt::check(of_routes.chain(of_answers), reader);
    }
    if providers.as_ref().is_some_and(|providers| providers.len() > 1) {
        let of_routes = routes.iter().flatten().enumerate().filter(|(_, route)| route.access.providers.len() != 1);
        let of_routes = of_routes.map(|(index, route)| (format!("routes[{index}]"), &route.access.signed_identity));
        let of_answers = forward_auth.iter().flatten();
        let of_answers = of_answers.map(|settings| ("forward_auth".to_owned(), &settings.signed_identity));
        identity_jwt::check_of_several(of_routes.chain(of_answers), reader);
    }
    let static_site = static_site::parse(raw.static_site, public_url.as_ref(), reader);
    let security_headers = static_site::security_headers(raw.security_headers, reader);
    let spa_settings = static_site::spa_settings(raw.spa_settings, reader);
    let pages = site::pages(raw.pages, reader);
    if let (Some(routes), Some(public_url)) = (&routes, &public_url) {
        routes::check_hosts(routes, public_url, reader);
    }
    if let (Some(routes), Some(session)) = (&routes, &session) {
        routes::check_same_site(routes, session.same_site, reader);
    }
    if let (Some(routes), Some(providers)) = (&routes, &providers) {
        routes::check_providers(routes, providers, reader);
    }
    if let (Some(routes), Some(Some(_))) = (&routes, &static_site) {
        routes::check_against_static(routes, reader);
    }
    Some(SiteConfig {
        scope,
        public_url: public_url?,
        prefix: prefix?,
        easy_auth: compat?.easy_auth,
        providers: providers?,
        session: session?,
        csrf: csrf?,
        routes: routes?,
        forward_auth: forward_auth?,
        identity_jwt: identity_jwt?,
        static_site: static_site?,
        security_headers: security_headers?,
        spa_settings: spa_settings?,
        pages: pages?,
    })
}

/// `[provider]`, or all of `[[providers]]`.
fn parse_providers(
    scope: Scope,
    single: Option<RawProvider>,
    several: Vec<RawProvider>,
    reader: &mut Reader<'_>,
) -> Option<Vec<ProviderConfig>> {
    if several.is_empty() {
        let mut raw = single.unwrap_or_default();
        if raw.name.take().is_some() {
            reader.error("provider.name", "is for one of several [[providers]]; leave it out");
        }
        return Some(vec![parse_provider(scope, Some(ONLY.to_owned()), raw, reader)?]);
    }
    if single.is_some() {
        reader.error("provider", "is there beside [[providers]]; make it the first of them, with a name");
    }
    let mut names: Vec<Option<String>> = Vec::new();
    let mut providers = Vec::new();
    for (index, mut raw) in several.into_iter().enumerate() {
        let scope = scope.with_provider(Some(index));
        reader.enter(scope);
        let name = provider_name(raw.name.take(), &names, reader);
        names.push(name.clone());
        providers.push(parse_provider(scope, name, raw, reader));
    }
    let providers = providers.into_iter().collect::<Option<Vec<_>>>()?;
    check_registrations(&providers, reader);
    check_passthrough(&providers, reader);
    Some(providers)
}

fn provider_name(name: Option<Leaf>, others: &[Option<String>], reader: &mut Reader<'_>) -> Option<String> {
    const KEY: &str = "provider.name";
    if name.is_none() {
        reader.error(KEY, "is missing; set it, for example name = \"staff\"");
    }
    let name = reader.value(KEY, Some(name?), |leaf| {
        let text = values::text(leaf)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if text.len() <= MAX_NAME && text.bytes().all(is_name) {
            return Ok(text);
        }
        Err(format!("{text:?} is not a name; use at most {MAX_NAME} letters, digits, - and _"))
    })?;
    if others.iter().flatten().any(|other| *other == name) {
        reader.error(KEY, format!("{name:?} is the name of another provider; give each its own"));
        return None;
    }
    Some(name)
}

fn parse_provider(
    scope: Scope,
    name: Option<String>,
    raw: RawProvider,
    reader: &mut Reader<'_>,
) -> Option<ProviderConfig> {
    let settings = provider::parse(raw, reader)?;
    Some(ProviderConfig { scope, name: name?, settings })
}

/// A session says which registration it is of, and must say it of one provider.
fn check_registrations(providers: &[ProviderConfig], reader: &mut Reader<'_>) {
    for (index, provider) in providers.iter().enumerate() {
        let is_same = |other: &&ProviderConfig| {
            let (own, other) = (&provider.settings, &other.settings);
            own.issuer == other.issuer && own.client_id == other.client_id
        };
        if let Some(first) = providers[..index].iter().find(is_same) {
            reader.enter(provider.scope);
            reader.error(
                "provider.client_id",
                format!(
                    "{:?} at this issuer is the registration of {:?} too; remove one",
                    provider.settings.client_id, first.name
                ),
            );
        }
    }
}

/// The parameter that chooses a provider goes to none of them.
fn check_passthrough(providers: &[ProviderConfig], reader: &mut Reader<'_>) {
    let takes =
        |provider: &&ProviderConfig| provider.settings.passthrough_parameters.iter().any(|name| name == "provider");
    for provider in providers.iter().filter(takes) {
        reader.enter(provider.scope);
        reader.error(
            "provider.passthrough_parameters",
            "has \"provider\", by which links choose one of [[providers]]; leave it out",
        );
    }
}

/// Whether one is the other's, or could be taken for a cookie beside it: its chunks and companions have its name, then a
/// dot or a dash.
fn are_alike(a: &str, b: &str) -> bool {
    let begins =
        |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']));
    begins(a, b) || begins(b, a)
}

/// Requests are told apart by their host, and browsers send cookies to all ports of one.
fn check_origins(sites: &[SiteConfig], reader: &mut Reader<'_>) {
    for (index, site) in sites.iter().enumerate() {
        reader.enter(site.scope);
        let own = &site.public_url;
        for other in &sites[..index] {
            let (first, at) = (&other.public_url, other.key("server.public_url"));
            if own.authorities().any(|name| first.authorities().any(|other| other == name)) {
                reader.error(
                    "server.public_url",
                    format!("{own} is reached by the same host as {at} ({first}); requests could not be told apart"),
                );
            } else if own.host() == first.host() && are_alike(&site.session.cookie_name, &other.session.cookie_name) {
                reader.error(
                    "session.cookie_name",
                    format!(
                        "is like that of {}, and browsers send cookies to all ports of {}; give each a name of its own",
                        other.scope.key("session"),
                        own.host()
                    ),
                );
            }
        }
        if !own.is_https() && sites.iter().any(|site| site.public_url.is_https()) {
            reader.warning(
                "server.public_url",
                format!("{own} is http while other sites are https; its cookies have neither Secure nor __Host-"),
            );
        }
    }
    reader.enter(Scope::default());
}
