//! `proxy::RouteTable::find` and `return_url::ReturnUrl::parse`: a path that passes is read alike by everybody.

use std::sync::LazyLock;
use std::time::Duration;

use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;
use url::Url;

use sealgate::metrics::Metrics;
use sealgate::proxy::{
    AccessSettings, CsrfMode, RouteAuth, RouteSettings, RouteTable, TargetSettings, UpstreamSettings, UpstreamTimeouts,
};
use sealgate::return_url::{MAX_RETURN_URL_BYTES, ReturnUrl};

const ORIGIN: &str = "https://app.example.com";
const PREFIX: &str = "/bff";
const ROUTES: [&str; 4] = ["/api", "/api/admin", "/api/v1.0", "/apiary"];

static TABLE: LazyLock<RouteTable> =
    LazyLock::new(|| RouteTable::new(ROUTES.map(route).into(), &Metrics::default()).expect("no files"));

/// Reads the input as a request's path, and as a return URL.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Requests come with a path that the HTTP parser has let through.
    if let Some(path) = text.parse::<PathAndQuery>().ok().filter(|parsed| parsed.query().is_none()) {
        a_routed_path_has_one_reading(path.path());
    }
    if let Ok(return_url) = ReturnUrl::parse(text, PREFIX) {
        a_return_url_stays_with_us(&return_url);
    }
}

/// However much an upstream decodes and tidies up, it does not arrive at a path of another route.
fn a_routed_path_has_one_reading(path: &str) {
    let Ok(found) = TABLE.find("app.example.com", path) else { return };
    let found = found.map(|route| route.path());
    assert_eq!(found, route_of(&most_lenient_reading(path)), "{path:?} as a lenient server reads it");
    let url = Url::parse(ORIGIN).and_then(|origin| origin.join(path)).expect("a path on an origin");
    assert_eq!(
        found,
        TABLE.find("app.example.com", url.path()).expect("still a path").map(|route| route.path()),
        "{path:?} as {url}"
    );
}

/// The segments of a server that decodes first, then drops parameters, empty segments and dot segments.
fn most_lenient_reading(path: &str) -> Vec<Vec<u8>> {
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment.split(|byte| *byte == b';').next().unwrap_or_default() {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            name => segments.push(name.to_vec()),
        }
    }
    segments
}

fn route_of(segments: &[Vec<u8>]) -> Option<&'static str> {
    let leads_to = |route: &&str| {
        let names: Vec<&str> = route.split('/').filter(|name| !name.is_empty()).collect();
        names.len() <= segments.len() && names.iter().zip(segments).all(|(name, segment)| name.as_bytes() == segment)
    };
    ROUTES.into_iter().filter(leads_to).max_by_key(|route| route.len())
}

fn a_return_url_stays_with_us(return_url: &ReturnUrl) {
    let text = return_url.as_str();
    assert!(text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_control() || byte == b'\\'), "{text:?}");
    assert!(text.starts_with('/') && text.len() <= MAX_RETURN_URL_BYTES, "{text:?}");
    let url = Url::parse(&format!("{ORIGIN}{text}")).expect("what follows an origin is a URL");
    assert_eq!(url.origin().ascii_serialization(), ORIGIN, "{text:?}");
    // Browsers resolve `Location` against the page that they are on.
    let resolved = Url::parse(ORIGIN).and_then(|origin| origin.join(text)).expect("a reference");
    assert_eq!(resolved, url, "{text:?}");
    let path = percent_decode_str(url.path()).decode_utf8_lossy().to_ascii_lowercase();
    let first = path.trim_start_matches('/').split(['/', ';']).next().unwrap_or_default();
    assert_ne!(format!("/{first}"), PREFIX, "{text:?}");
    assert_eq!(ReturnUrl::parse(text, PREFIX).as_ref(), Ok(return_url), "{text:?} is read twice");
}

fn route(path: &str) -> RouteSettings {
    let second = Duration::from_secs(1);
    RouteSettings {
        path: path.to_owned(),
        upstreams: vec![http::Uri::from_static("http://127.0.0.1:1")],
        auth: RouteAuth::Session,
        access: AccessSettings::default(),
        target: TargetSettings::default(),
        max_body_size: None,
        csrf: CsrfMode::Header,
        methods: Vec::new(),
        forward_cookies: false,
        timeouts: UpstreamTimeouts { connect: second, first_byte: second, idle: second },
        upstream_settings: UpstreamSettings::default(),
    }
}
