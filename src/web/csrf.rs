//! Tells requests of our own pages from forged ones (RFC 10017 §6.1.3.3).

use actix_web::HttpRequest;
use actix_web::http::Method;

use crate::proxy::{CsrfMode, asks_for_websocket};
use crate::web::Site;
use crate::web::fetch_metadata::{is_same_origin, is_top_level_navigation, origin, site};
use crate::web::problem::Problem;

/// Lets a request pass or says why not.
///
/// # Errors
/// A problem of status 403.
pub fn check(mode: CsrfMode, request: &HttpRequest, our_site: &Site) -> Result<(), Problem> {
    check_original(mode, request, request.method(), asks_for_websocket(request), our_site)
}

/// As [`check`] for the request that `request` asks about, of which it has the fields.
///
/// # Errors
/// A problem of status 403.
pub fn check_original(
    mode: CsrfMode,
    request: &HttpRequest,
    method: &Method,
    opens_websocket: bool,
    our_site: &Site,
) -> Result<(), Problem> {
    let same_origin = is_same_origin(request, our_site.origin.as_str());
    if opens_websocket {
        // No page can add a header of its own, and no CORS stands in its way: `Origin` alone tells (RFC 6455 §10.2).
        let ours = *method == Method::GET && origin(request).is_some() && same_origin == Some(true);
        return if ours { Ok(()) } else { Err(Problem::cross_origin()) };
    }
    if has_header(request, our_site) && same_origin != Some(false) {
        return Ok(());
    }
    let safe = matches!(*method, Method::GET | Method::HEAD);
    let from_our_page = site(request) == Some("same-origin") && same_origin == Some(true);
    let by_metadata = safe && from_our_page;
    let by_page = *method == Method::GET && site(request).is_some() && is_top_level_navigation(request);
    match mode {
        CsrfMode::Metadata if by_metadata => Ok(()),
        CsrfMode::Page if by_metadata || by_page => Ok(()),
        CsrfMode::SameOrigin if from_our_page || by_page => Ok(()),
        _ if same_origin == Some(false) => Err(Problem::cross_origin()),
        _ => Err(Problem::csrf_header_missing(&our_site.csrf.name, &our_site.csrf.value)),
    }
}

fn has_header(request: &HttpRequest, our_site: &Site) -> bool {
    let mut values = request.headers().get_all(our_site.csrf.name.as_str());
    values.next().is_some_and(|value| value.as_bytes() == our_site.csrf.value.as_bytes()) && values.next().is_none()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn passes(mode: CsrfMode, method: Method, headers: &[(&'static str, &'static str)]) -> bool {
        let our_site = Site::for_tests();
        let request = headers.iter().fold(TestRequest::default(), |request, header| request.append_header(*header));
        check(mode, &request.method(method).to_http_request(), &our_site).is_ok()
    }

    const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");
    const SIBLING: (&str, &str) = ("sec-fetch-site", "same-site");
    const CROSS: (&str, &str) = ("sec-fetch-site", "cross-site");
    const HEADER: (&str, &str) = ("x-csrf", "1");

    /// RFC 10017 §6.1.3.3.2.
    #[test]
    fn header_mode_wants_the_header_on_every_request_and_no_other_site() {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            assert!(passes(CsrfMode::Header, method.clone(), &[HEADER]));
            assert!(passes(CsrfMode::Header, method.clone(), &[HEADER, OWN]));
            assert!(passes(CsrfMode::Header, method.clone(), &[HEADER, ("origin", "https://app.example.com")]));
            assert!(!passes(CsrfMode::Header, method.clone(), &[OWN]));
            assert!(!passes(CsrfMode::Header, method.clone(), &[HEADER, CROSS]));
            assert!(!passes(CsrfMode::Header, method.clone(), &[HEADER, SIBLING]));
            assert!(!passes(CsrfMode::Header, method.clone(), &[HEADER, ("origin", "https://evil.example")]));
            assert!(!passes(CsrfMode::Header, method.clone(), &[("x-csrf", "0")]));
            assert!(!passes(CsrfMode::Header, method, &[HEADER, HEADER]));
        }
    }

    /// RFC 6455 §10.2.
    #[test]
    fn a_websocket_handshake_wants_our_origin_once_in_every_mode_and_nothing_else() {
        const UPGRADE: (&str, &str) = ("upgrade", "websocket");
        const ORIGIN: (&str, &str) = ("origin", "https://app.example.com");
        for mode in [CsrfMode::Header, CsrfMode::Metadata, CsrfMode::Page, CsrfMode::SameOrigin] {
            assert!(passes(mode, Method::GET, &[UPGRADE, ORIGIN]));
            assert!(passes(mode, Method::GET, &[UPGRADE, ORIGIN, OWN]));
            for refused in [
                &[UPGRADE][..],
                &[UPGRADE, HEADER],
                &[UPGRADE, HEADER, OWN],
                &[UPGRADE, HEADER, ("origin", "null")],
                &[UPGRADE, HEADER, ("origin", "https://app.example.com.evil.example")],
                &[UPGRADE, HEADER, ORIGIN, ORIGIN],
                &[UPGRADE, HEADER, ORIGIN, CROSS],
                &[UPGRADE, HEADER, ORIGIN, SIBLING],
            ] {
                assert!(!passes(mode, Method::GET, refused), "{refused:?}");
            }
            assert!(!passes(mode, Method::POST, &[UPGRADE, ORIGIN, HEADER]));
        }
    }

    #[test]
    fn metadata_mode_lets_our_own_pages_read_without_the_header() {
        assert!(passes(CsrfMode::Metadata, Method::GET, &[OWN]));
        assert!(passes(CsrfMode::Metadata, Method::HEAD, &[OWN]));
        assert!(passes(CsrfMode::Metadata, Method::POST, &[OWN, HEADER]));
        for refused in [&[][..], &[CROSS], &[SIBLING], &[("sec-fetch-site", "none")], &[OWN, ("origin", "null")]] {
            assert!(!passes(CsrfMode::Metadata, Method::GET, refused), "{refused:?}");
        }
        assert!(!passes(CsrfMode::Metadata, Method::POST, &[OWN]));
    }

    #[test]
    fn page_mode_lets_top_level_navigations_in_as_well() {
        let navigation = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), CROSS];
        assert!(passes(CsrfMode::Page, Method::GET, &navigation));
        assert!(passes(CsrfMode::Page, Method::GET, &[OWN]));
        assert!(!passes(CsrfMode::Page, Method::POST, &navigation));
        assert!(!passes(CsrfMode::Metadata, Method::GET, &navigation));
        let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"), CROSS];
        assert!(!passes(CsrfMode::Page, Method::GET, &frame));
        assert!(!passes(CsrfMode::Page, Method::GET, &[("sec-fetch-mode", "cors"), CROSS]));
    }

    /// A browser says by itself where a form comes from, and no page can make it say otherwise.
    #[test]
    fn same_origin_mode_lets_our_own_forms_write_and_nobody_else_s() {
        const FORM: [(&str, &str); 2] = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        for method in [Method::POST, Method::DELETE, Method::GET] {
            assert!(passes(CsrfMode::SameOrigin, method.clone(), &[OWN, ("origin", "https://app.example.com")]));
            assert!(passes(CsrfMode::SameOrigin, method, &[FORM[0], FORM[1], OWN]));
        }
        let refused: [&[(&str, &str)]; 6] = [
            &[],
            &[CROSS],
            &[SIBLING],
            &[("sec-fetch-site", "none"), FORM[0], FORM[1]],
            &[OWN, ("origin", "https://evil.example")],
            &[("origin", "https://app.example.com")],
        ];
        for refused in refused {
            assert!(!passes(CsrfMode::SameOrigin, Method::POST, refused), "{refused:?}");
        }
        assert!(passes(CsrfMode::SameOrigin, Method::GET, &[FORM[0], FORM[1], CROSS]), "a link from elsewhere");
        assert!(!passes(CsrfMode::Page, Method::POST, &[OWN]), "page mode reads");
    }
}
