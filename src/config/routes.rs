//! `[[routes]]`, typed.

use http::Uri;

use super::leaf::Leaf;
use super::raw::RawRoute;
use super::reader::Reader;
use super::server::{OwnPaths, is_under};
use super::{network, upstreams, values};
use crate::proxy::{CsrfMode, RouteAuth, RouteSettings, UpstreamTimeouts};

/// Reads all routes, and compares their paths with each other and with `own`.
pub(super) fn parse(raw: Vec<RawRoute>, own: &OwnPaths, reader: &mut Reader<'_>) -> Option<Vec<RouteSettings>> {
    let mut paths: Vec<Option<String>> = Vec::new();
    let mut routes = Vec::new();
    for (index, mut raw) in raw.into_iter().enumerate() {
        let key = format!("routes[{index}].path");
        let path = reader.value(&key, raw.path.take(), values::whole_path);
        if let Some(path) = &path {
            if let Some(first) = paths.iter().position(|other| other.as_ref() == Some(path)) {
                reader.error(&key, format!("{path:?} is the path of routes[{first}] too; remove one"));
            }
            check_against_own(&key, path, own, reader);
        }
        paths.push(path.clone());
        routes.push(parse_route(index, path, raw, reader));
    }
    check_health_path(&paths, own, reader);
    routes.into_iter().collect()
}

/// A route for everything leaves nothing to the static files.
pub(super) fn check_against_static(routes: &[RouteSettings], reader: &mut Reader<'_>) {
    if let Some(index) = routes.iter().position(|route| route.path == "/") {
        reader.error(&format!("routes[{index}].path"), "takes all paths, so that [static] is never served; remove one");
    }
}

/// The health path hides one path of the route that it lies in. Of a route for everything that is to be expected.
fn check_health_path(paths: &[Option<String>], own: &OwnPaths, reader: &mut Reader<'_>) {
    let Some(health) = &own.public_health_path else { return };
    let hides = |path: &String| path != "/" && path != health && is_under(health, path);
    let Some(index) = paths.iter().position(|path| path.as_ref().is_some_and(hides)) else { return };
    reader.warning(
        "server.public_health_path",
        format!("{health:?} lies in routes[{index}], whose upstream never sees that path; take one of its own"),
    );
}

fn parse_route(
    index: usize,
    path: Option<String>,
    mut raw: RawRoute,
    reader: &mut Reader<'_>,
) -> Option<RouteSettings> {
    let key = |name: &str| format!("routes[{index}].{name}");
    let upstreams = reader.one_or_list(&key("upstream"), raw.upstream.take(), values::upstream);
    check_clear_text(&key("upstream"), upstreams.as_deref().unwrap_or_default(), reader);
    let auth = reader.value(&key("auth"), raw.auth.take(), route_auth);
    let csrf = reader.value(&key("csrf"), raw.csrf.take(), |leaf| {
        let modes = [("header", CsrfMode::Header), ("metadata", CsrfMode::Metadata), ("page", CsrfMode::Page)];
        values::choice(leaf, &modes)
    });
    let methods = reader.list(&key("methods"), raw.methods.take(), values::method);
    let forward_cookies = reader.value(&key("forward_cookies"), raw.forward_cookies.take(), values::boolean);
    let connect = reader.value(&key("connect_timeout"), raw.connect_timeout.take(), values::positive_duration);
    let first_byte = reader.value(&key("first_byte_timeout"), raw.first_byte_timeout.take(), values::positive_duration);
    let idle = reader.value(&key("idle_timeout"), raw.idle_timeout.take(), values::positive_duration);
    let upstream_settings = upstreams::parse(index, raw, upstreams.as_deref(), reader);
    Some(RouteSettings {
        path: path?,
        upstreams: upstreams?,
        auth: auth?,
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

fn route_auth(leaf: &Leaf) -> Result<RouteAuth, String> {
    let text = values::text(leaf)?;
    if matches!(text.as_str(), "bearer" | "session_or_bearer" | "optional") {
        return Err(format!("{text:?} is not available yet; use \"session\" or \"none\""));
    }
    values::choice(leaf, &[("session", RouteAuth::Session), ("none", RouteAuth::None)])
}

fn check_against_own(key: &str, path: &str, own: &OwnPaths, reader: &mut Reader<'_>) {
    if let Some(prefix) = own.prefix.as_ref().filter(|prefix| is_under(path, prefix)) {
        reader.error(
            key,
            format!("{path:?} lies under server.prefix ({prefix:?}), where our own endpoints are; move one"),
        );
    }
    if own.public_health_path.as_deref() == Some(path) {
        reader.error(key, format!("{path:?} is server.public_health_path too; move one"));
    }
}
