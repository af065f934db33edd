//! `[[routes]]`, typed.

pub(super) mod headers;
mod issuers;
pub(super) mod rules;
pub(super) mod tokens;
mod wanted;

use http::Uri;

pub(super) use self::rules::ClaimNames;
use super::easy_auth::Compat;
use super::leaf::Leaf;
use super::raw::RawRoute;
use super::reader::Reader;
use super::server::{OwnPaths, is_under};
use super::{ProviderConfig, identity_jwt, network, upstreams, values};
use crate::origin::PublicOrigin;
use crate::proxy::{AccessSettings, CsrfMode, PathRewrite, RouteAuth, RouteSettings, TargetSettings, UpstreamTimeouts};
use crate::session::SameSite;
use crate::web::easy_auth;

/// Reads all routes, and compares their paths with each other and with `own`. `groups_claim` is the provider's, if it is
/// known; without `compat`, what it says is wrong.
pub(super) fn parse(
    raw: Vec<RawRoute>,
    own: &OwnPaths,
    groups_claim: Option<&str>,
    compat: Option<&Compat>,
    reader: &mut Reader<'_>,
) -> Option<Vec<RouteSettings>> {
    let mut paths: Vec<Option<String>> = Vec::new();
    let mut hosts: Vec<Option<String>> = Vec::new();
    let mut routes = Vec::new();
    for (index, mut raw) in raw.into_iter().enumerate() {
        let key = format!("routes[{index}].path");
        let path = reader.value(&key, raw.path.take(), values::whole_path);
        let host = reader.optional(&format!("routes[{index}].host"), raw.host.take(), values::host);
        let known_host = host.clone().flatten();
        if let Some(path) = &path {
            let is_same = |other: usize| paths[other].as_ref() == Some(path) && hosts[other] == known_host;
            if let Some(first) = (0..index).find(|other| is_same(*other)) {
                let first = reader.place(&format!("routes[{first}]"));
                reader.error(&key, format!("{path:?} is the path of {first} too; remove one"));
            }
            check_against_own(&key, path, own, reader);
        }
        paths.push(path.clone());
        hosts.push(known_host);
        routes.push(parse_route(index, path, host, (groups_claim, compat), raw, reader));
    }
    check_health_path(&paths, own, reader);
    routes.into_iter().collect()
}

/// A route for everything leaves nothing to the static files.
pub(super) fn check_against_static(routes: &[RouteSettings], reader: &mut Reader<'_>) {
    if let Some(index) = routes.iter().position(|route| route.path == "/" && route.target.host.is_none()) {
        reader.error(&format!("routes[{index}].path"), "takes all paths, so that [static] is never served; remove one");
    }
}

/// A name that no provider has would keep everybody out.
pub(super) fn check_providers(routes: &[RouteSettings], providers: &[ProviderConfig], reader: &mut Reader<'_>) {
    let known: Vec<_> = providers.iter().map(|provider| provider.name.as_str()).collect();
    for (index, route) in routes.iter().enumerate() {
        for (position, name) in route.access.providers.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                reader.error(
                    &format!("routes[{index}].providers[{position}]"),
                    format!("{name:?} is the name of no provider of the site; use {}", known.join(", ")),
                );
            }
        }
    }
}

/// A session's cookies are sent to their own host alone.
pub(super) fn check_hosts(routes: &[RouteSettings], public_url: &PublicOrigin, reader: &mut Reader<'_>) {
    for (index, route) in routes.iter().enumerate() {
        let Some(host) = &route.target.host else { continue };
        let is_public = host.trim_matches(['[', ']']).eq_ignore_ascii_case(public_url.host());
        if !is_public && matches!(route.auth, RouteAuth::Session | RouteAuth::SessionOrBearer | RouteAuth::Optional) {
            let at = reader.place("server.public_url");
            reader.warning(
                &format!("routes[{index}].host"),
                format!("is not that of {at} ({public_url}), so that no session reaches the route"),
            );
        }
    }
}

/// A page that a login leads to is loaded as a link of the provider's, to which browsers do not show a strict cookie: it
/// would lead to the login again, and so on for ever.
pub(super) fn check_same_site(routes: &[RouteSettings], same_site: SameSite, reader: &mut Reader<'_>) {
    let Some(index) = routes.iter().position(|route| route.access.leads_to_login) else { return };
    if same_site == SameSite::Strict {
        let problem = "\"login\" needs cookies that come along when the provider leads back to the page";
        reader.error(
            &format!("routes[{index}].on_signed_out"),
            format!("{problem}; set session.same_site = \"lax\", or leave it out"),
        );
    }
}

/// The health path hides one path of the route that it lies in. Of a route for everything that is to be expected.
fn check_health_path(paths: &[Option<String>], own: &OwnPaths, reader: &mut Reader<'_>) {
    let Some(health) = &own.public_health_path else { return };
    let hides = |path: &String| path != "/" && path != health && is_under(health, path);
    let Some(index) = paths.iter().position(|path| path.as_ref().is_some_and(hides)) else { return };
    reader.warning(
        "server.public_health_path",
        format!(
            "{health:?} lies in {}, whose upstream never sees that path; take one of its own",
            reader.place(&format!("routes[{index}]"))
        ),
    );
}

fn parse_route(
    index: usize,
    path: Option<String>,
    host: Option<Option<String>>,
    shared: (Option<&str>, Option<&Compat>),
    mut raw: RawRoute,
    reader: &mut Reader<'_>,
) -> Option<RouteSettings> {
    let key = |name: &str| format!("routes[{index}].{name}");
    let upstreams = reader.one_or_list(&key("upstream"), raw.upstream.take(), values::upstream);
    check_clear_text(&key("upstream"), upstreams.as_deref().unwrap_or_default(), reader);
    let auth = reader.value(&key("auth"), raw.auth.take(), route_auth);
    let csrf = reader.value(&key("csrf"), raw.csrf.take(), |leaf| {
        let modes = [
            ("header", CsrfMode::Header),
            ("metadata", CsrfMode::Metadata),
            ("page", CsrfMode::Page),
            ("same_origin", CsrfMode::SameOrigin),
        ];
        values::choice(leaf, &modes)
    });
    let on_signed_out = reader.value(&key("on_signed_out"), raw.on_signed_out.take(), |leaf| {
        values::choice(leaf, &[("refuse", false), ("login", true)])
    });
    let methods = reader.list(&key("methods"), raw.methods.take(), values::method);
    let forward_cookies = reader.value(&key("forward_cookies"), raw.forward_cookies.take(), values::boolean);
    let connect = reader.value(&key("connect_timeout"), raw.connect_timeout.take(), values::positive_duration);
    let first_byte = reader.value(&key("first_byte_timeout"), raw.first_byte_timeout.take(), values::positive_duration);
    let idle = reader.value(&key("idle_timeout"), raw.idle_timeout.take(), values::positive_duration);
    let max_body_size = reader.optional(&key("max_body_size"), raw.max_body_size.take(), values::size);
    let target = target(&key, host, &mut raw, reader);
    let access = access(index, auth, shared, &mut raw, reader);
    if on_signed_out == Some(true) {
        check_signed_out(&key("on_signed_out"), auth, csrf, reader);
    }
    let upstream_settings = upstreams::parse(index, raw, upstreams.as_deref(), reader);
    Some(RouteSettings {
        path: path?,
        upstreams: upstreams?,
        auth: auth?,
        access: AccessSettings { leads_to_login: on_signed_out?, ..access? },
        target: target?,
        max_body_size: max_body_size?,
        csrf: csrf?,
        methods: methods?,
        forward_cookies: forward_cookies?,
        timeouts: UpstreamTimeouts { connect: connect?, first_byte: first_byte?, idle: idle? },
        upstream_settings: upstream_settings?,
    })
}

/// What goes to an upstream, access tokens among it, must not cross networks of others in clear text (RFC 6750 §5.3).
fn check_clear_text(key: &str, upstreams: &[Uri], reader: &mut Reader<'_>) {
    for (index, upstream) in upstreams.iter().enumerate() {
        let host = upstream.host().unwrap_or_default();
        if upstream.scheme_str() == Some("http") && !network::is_local(host) {
            let key = if upstreams.len() == 1 { key.to_owned() } else { format!("{key}[{index}]") };
            reader.warning(
                &key,
                format!("{upstream} is http to a public name, so access tokens travel in clear text; use https"),
            );
        }
    }
}

/// Only a page can be led to a login, and only one that needs a session.
fn check_signed_out(key: &str, auth: Option<RouteAuth>, csrf: Option<CsrfMode>, reader: &mut Reader<'_>) {
    if csrf.is_some_and(|csrf| !csrf.takes_pages()) {
        reader.error(
            key,
            "\"login\" is for pages that browsers load; set csrf = \"page\" or \"same_origin\" too, or leave it out",
        );
    } else if auth.is_some_and(|auth| !matches!(auth, RouteAuth::Session | RouteAuth::SessionOrBearer)) {
        reader.error(key, "\"login\" has no meaning with this auth, which asks nobody to be signed in; leave it out");
    }
}

const AUTH_NAMES: [(&str, RouteAuth); 5] = [
    ("session", RouteAuth::Session),
    ("bearer", RouteAuth::Bearer),
    ("session_or_bearer", RouteAuth::SessionOrBearer),
    ("optional", RouteAuth::Optional),
    ("none", RouteAuth::None),
];

fn route_auth(leaf: &Leaf) -> Result<RouteAuth, String> {
    values::choice(leaf, &AUTH_NAMES)
}

fn route_auth_name(auth: RouteAuth) -> &'static str {
    AUTH_NAMES.iter().find(|(_, known)| *known == auth).map_or("session", |(name, _)| name)
}

/// What the upstream sees of a request's target.
fn target(
    key: &impl Fn(&str) -> String,
    host: Option<Option<String>>,
    raw: &mut RawRoute,
    reader: &mut Reader<'_>,
) -> Option<TargetSettings> {
    let strips = reader.value(&key("strip_prefix"), raw.strip_prefix.take(), values::boolean);
    let replacement = reader.optional(&key("replace_prefix"), raw.replace_prefix.take(), values::whole_path);
    let host_override = reader.optional(&key("host_override"), raw.host_override.take(), |leaf| {
        values::authority(leaf).map(|authority| authority.to_string())
    });
    let path = match (strips?, replacement?) {
        (true, Some(_)) => {
            reader.error(&key("replace_prefix"), "is set, and strip_prefix too; remove one of them");
            return None;
        }
        (true, None) => PathRewrite::Replace(String::new()),
        (false, Some(replacement)) => PathRewrite::Replace(replacement.trim_end_matches('/').to_owned()),
        (false, None) => PathRewrite::Keep,
    };
    Some(TargetSettings { host: host?, path, host_override: host_override? })
}

/// What is asked of users, and what the upstream is told of them.
fn access(
    index: usize,
    auth: Option<RouteAuth>,
    (groups_claim, compat): (Option<&str>, Option<&Compat>),
    raw: &mut RawRoute,
    reader: &mut Reader<'_>,
) -> Option<AccessSettings> {
    let route = format!("routes[{index}]");
    let providers = reader.list(&format!("{route}.providers"), raw.providers.take(), values::text);
    let (has_rules, has_headers) = (!raw.rules.is_empty(), raw.headers.is_some() || raw.header_preset.is_some());
    let groups = reader.optional(&format!("{route}.groups_claim"), raw.groups_claim.take(), values::text);
    let roles = reader.value(&format!("{route}.roles_claim"), raw.roles_claim.take(), values::text);
    let issuers = issuers::parse(&route, std::mem::take(&mut raw.issuers), reader);
    let names =
        ClaimNames { groups: groups?.unwrap_or_else(|| groups_claim.unwrap_or("groups").to_owned()), roles: roles? };
    let rules = rules::parse(&route, std::mem::take(&mut raw.rules), &names, reader);
    let known = headers::Known {
        claims: &names,
        easy_auth: compat.map_or("aad", |compat| &compat.provider),
        by_default: compat.is_some_and(|compat| compat.easy_auth.is_some()) && auth != Some(RouteAuth::None),
    };
    let headers = headers::parse(&route, raw.header_preset.take(), raw.headers.take(), &known, reader);
    let token = tokens::parse(&route, auth, raw, reader);
    let signed_identity =
        identity_jwt::wanted(&route, raw.identity_jwt.take(), raw.identity_jwt_audience.take(), auth, reader);
    let (auth, issuers, providers) = (auth?, issuers?, providers?);
    let takes_tokens = matches!(auth, RouteAuth::Bearer | RouteAuth::SessionOrBearer);
    if takes_tokens && issuers.is_empty() {
        reader.error(&format!("{route}.issuers"), "is missing; say with [[routes.issuers]] whose access tokens pass");
    } else if !takes_tokens && !issuers.is_empty() {
        reader.error(
            &format!("{route}.issuers"),
            "has no meaning with this auth, which takes no access tokens from clients; set auth = \"bearer\" or \
             \"session_or_bearer\", or leave it out",
        );
    }
    if auth == RouteAuth::None {
        for (name, is_set) in [("rules", has_rules), ("headers", has_headers)] {
            if is_set {
                reader.error(
                    &format!("{route}.{name}"),
                    "has no meaning with auth = \"none\", where nobody is known; set another auth, or leave it out",
                );
            }
        }
    }
    if matches!(auth, RouteAuth::Bearer | RouteAuth::None) && !providers.is_empty() {
        reader.error(
            &format!("{route}.providers"),
            "has no meaning with this auth, which takes no sessions; set another auth, or leave it out",
        );
    }
    Some(AccessSettings {
        issuers,
        providers,
        rules: rules?,
        headers: headers?,
        token: token?,
        leads_to_login: false,
        signed_identity: signed_identity?,
    })
}

fn check_against_own(key: &str, path: &str, own: &OwnPaths, reader: &mut Reader<'_>) {
    if let Some(prefix) = own.prefix.as_ref().filter(|prefix| is_under(path, prefix)) {
        let at = reader.place("server.prefix");
        reader.error(key, format!("{path:?} lies under {at} ({prefix:?}), where our own endpoints are; move one"));
    }
    if own.easy_auth && is_under(path, easy_auth::PREFIX) {
        reader.error(
            key,
            format!("{path:?} lies under {}, where server.compat has its endpoints; move it", easy_auth::PREFIX),
        );
    }
    if own.public_health_path.as_deref() == Some(path) {
        reader.error(key, format!("{path:?} is server.public_health_path too; move one"));
    }
}
