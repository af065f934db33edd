//! What a request says of where it comes from: Fetch Metadata (W3C), `Origin`, `Accept`.

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, HeaderName, ORIGIN};

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

/// A field that is sent once and reads as text; a repeated or unreadable one counts as sent with an empty value.
fn single<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    let mut values = request.headers().get_all(name);
    let first = values.next()?;
    if values.next().is_some() {
        return Some("");
    }
    Some(first.to_str().unwrap_or_default())
}

/// `Sec-Fetch-Site`, if sent.
pub fn site(request: &HttpRequest) -> Option<&str> {
    single(request, &SITE)
}

/// `Origin`, if sent.
pub fn origin(request: &HttpRequest) -> Option<&str> {
    single(request, &ORIGIN)
}

/// Whether the page that sent the request is of our own origin, as far as the request tells: by `Sec-Fetch-Site`
/// where it is sent and by `Origin` where that is sent. None: it tells nothing.
pub fn is_same_origin(request: &HttpRequest, our_origin: &str) -> Option<bool> {
    match (site(request), origin(request)) {
        (None, None) => None,
        (site, origin) => {
            Some(site.is_none_or(|site| site == "same-origin") && origin.is_none_or(|origin| origin == our_origin))
        }
    }
}

/// Whether the browser shows the answer as a page: by `Sec-Fetch-Mode` where it is sent, else by `Accept`.
pub fn is_navigation(request: &HttpRequest) -> bool {
    match single(request, &MODE) {
        Some(mode) => mode == "navigate",
        None => accept(request).contains("text/html"),
    }
}

/// Whether the browser says that the request would become a WebSocket.
pub fn opens_websocket(request: &HttpRequest) -> bool {
    single(request, &MODE) == Some("websocket")
}

/// Whether the browser only looks ahead: nobody has followed the link yet.
pub fn is_prefetch(request: &HttpRequest) -> bool {
    single(request, &PURPOSE).is_some()
}

/// Whether the answer replaces the whole window's page (not a frame's, not a prefetch).
pub fn is_top_level_navigation(request: &HttpRequest) -> bool {
    is_navigation(request) && single(request, &DEST).is_none_or(|dest| dest == "document") && !is_prefetch(request)
}

/// Whether the request shows that its answer would not become a page: a fetch, a prefetch, a frame. What shows nothing
/// (a browser without Fetch Metadata, a command line) is given the benefit of the doubt.
pub fn shows_no_top_level_navigation(request: &HttpRequest) -> bool {
    if is_prefetch(request) || request.headers().contains_key("x-requested-with") {
        return true;
    }
    if single(request, &MODE).is_some() {
        return !is_top_level_navigation(request);
    }
    let accept = accept(request);
    !(accept.is_empty() || accept.contains("text/html") || accept.contains("*/*"))
}

/// Whether a frame of our own origin navigates: what a silent login does.
pub fn is_same_origin_frame(request: &HttpRequest) -> bool {
    single(request, &MODE) == Some("navigate")
        && single(request, &DEST) == Some("iframe")
        && site(request) == Some("same-origin")
}

/// Whether it is a CORS preflight (Fetch standard, CORS-preflight fetch).
pub fn is_preflight(request: &HttpRequest) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key("access-control-request-method")
}

/// Whether the client would take a page for an answer, as far as `Accept` tells.
pub fn accepts_page(request: &HttpRequest) -> bool {
    accept(request).contains("text/html")
}

fn accept(request: &HttpRequest) -> &str {
    request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const OURS: &str = "https://app.example.com";

    fn request(headers: &[(&'static str, &'static str)]) -> HttpRequest {
        headers.iter().fold(TestRequest::default(), |request, header| request.append_header(*header)).to_http_request()
    }

    #[test]
    fn same_origin_is_told_by_both_fields_where_both_are_sent() {
        for (headers, expected) in [
            (&[][..], None),
            (&[("sec-fetch-site", "same-origin")], Some(true)),
            (&[("sec-fetch-site", "same-site")], Some(false)),
            (&[("sec-fetch-site", "cross-site")], Some(false)),
            (&[("sec-fetch-site", "none")], Some(false)),
            (&[("origin", OURS)], Some(true)),
            (&[("origin", "null")], Some(false)),
            (&[("origin", "https://app.example.com.evil.example")], Some(false)),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], Some(false)),
            (&[("origin", OURS), ("origin", OURS)], Some(false)),
        ] {
            assert_eq!(is_same_origin(&request(headers), OURS), expected, "{headers:?}");
        }
    }

    #[test]
    fn fetches_prefetches_and_frames_show_that_they_are_no_navigation() {
        for headers in [
            &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")][..],
            &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
            &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-purpose", "prefetch")],
            &[("accept", "application/json")],
            &[("x-requested-with", "XMLHttpRequest"), ("accept", "text/html")],
        ] {
            assert!(shows_no_top_level_navigation(&request(headers)), "{headers:?}");
        }
        for headers in [
            &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")][..],
            &[("accept", "text/html,application/xhtml+xml")],
            &[("accept", "*/*")],
            &[],
        ] {
            assert!(!shows_no_top_level_navigation(&request(headers)), "{headers:?}");
        }
    }
}
