//! What a page gets that is loaded without a session, on routes that say so: the login, and then the page.
//!
//! Only the navigation of a whole window may get it (`on_signed_out`). A fetch gets 401, always.

use actix_web::http::Method;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};
use url::form_urlencoded;

use crate::proxy::Route;
use crate::return_url::ReturnUrl;
use crate::web::fetch_metadata::is_top_level_navigation;
use crate::web::problem::Problem;
use crate::web::{Services, Site, append_cookies, own_response};

/// Leads to the login what is a page load and found no session; everything else stays as it is.
///
/// # Errors
/// The problem that it was handed.
pub(super) fn answer(
    services: &Services,
    route: &Route,
    request: &HttpRequest,
    problem: Problem,
) -> Result<HttpResponse, Problem> {
    if !route.leads_to_login() || !problem.is_signed_out() || !is_page_load(request) {
        return Err(problem);
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let location = login_address(&services.site, target);
    let mut response = own_response(HttpResponse::SeeOther()).insert_header((LOCATION, location)).finish();
    append_cookies(&mut response, problem.into_cookies());
    Ok(response)
}

fn is_page_load(request: &HttpRequest) -> bool {
    *request.method() == Method::GET && is_top_level_navigation(request)
}

/// The login that leads back to `target`; to the root, where a login would not go there.
pub(in crate::web) fn login_address(site: &Site, target: &str) -> String {
    let return_url = site.return_url(target).unwrap_or_else(|_| ReturnUrl::root());
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("returnUrl", return_url.as_str());
    site.origin.join(&format!("{}/login?{}", site.prefix, query.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_leads_back_to_the_page_or_to_the_root() {
        let long = format!("/{}", "a".repeat(600));
        for (target, expected) in [
            ("/page/a?b=c&d=%2F", "%2Fpage%2Fa%3Fb%3Dc%26d%3D%252F"),
            ("//evil.example", "%2F"),
            (long.as_str(), "%2F"),
        ] {
            let expected = format!("https://app.example.com/bff/login?returnUrl={expected}");
            assert_eq!(login_address(&Site::for_tests(), target), expected);
        }
    }
}
