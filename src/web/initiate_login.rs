//! `GET|POST /bff/initiate-login`: another site, the provider's portal say, has the user sign in here (OpenID Connect
//! Core §4, `initiate_login_uri`).
//!
//! That the request comes from elsewhere is the point. So it may choose nothing but the user's name for the provider and
//! a page of this site, and only a page load gets a flow.

use actix_web::http::Method;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use url::form_urlencoded;

use crate::return_url::{ReturnUrl, ReturnUrlError};
use crate::session::providers::SiteProvider;
use crate::web::callback::parameters;
use crate::web::fetch_metadata::shows_no_top_level_navigation;
use crate::web::login::{self, Flow};
use crate::web::problem::{INVALID_REQUEST, INVALID_RETURN_URL, LOGIN_NEEDS_NAVIGATION, Problem};
use crate::web::query::Parameters;
use crate::web::{Services, Site, own_response};

/// What such a request may say.
const PARAMETERS: [&str; 3] = ["iss", "login_hint", "target_link_uri"];

/// Sends the browser to the provider, as `/bff/login` does.
///
/// # Errors
/// 400 for another issuer or a target on another site, 401 for what is no page load, 503 while the provider is not known.
pub async fn handle(
    services: &Services,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    if shows_no_top_level_navigation(request) {
        return Err(Problem::new(&LOGIN_NEEDS_NAVIGATION, "Load this address as a page; do not fetch it."));
    }
    let parameters = parameters(request, payload).await?;
    let (provider, return_url) = check(services, &parameters)?;
    if *request.method() == Method::POST {
        return again_as_get(&services.site, &parameters);
    }
    let extra = login::passthrough(provider, &parameters, |name| name == "login_hint")?;
    let max_age = provider.provider.settings().authorization.max_age;
    let flow = Flow { provider, return_url: return_url.as_str(), extra, max_age, silent: false };
    login::begin(services, request, flow).await
}

/// Browsers show a form of another site no cookies at all, and so not the logins that are under way.
fn again_as_get(site: &Site, parameters: &Parameters) -> Result<HttpResponse, Problem> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for name in PARAMETERS {
        if let Some(value) = single(parameters, name)? {
            query.append_pair(name, value);
        }
    }
    let location = site.origin.join(&format!("{}/initiate-login?{}", site.prefix, query.finish()));
    Ok(own_response(HttpResponse::SeeOther()).insert_header((LOCATION, location)).finish())
}

/// The provider that is to be asked, by its issuer, and where to go afterwards.
fn check<'a>(services: &'a Services, parameters: &Parameters) -> Result<(&'a SiteProvider, ReturnUrl), Problem> {
    single(parameters, "login_hint")?;
    let provider = single(parameters, "iss")?.and_then(|issuer| services.providers.with_issuer(issuer));
    let provider = provider
        .ok_or_else(|| Problem::new(&INVALID_REQUEST, "The parameter iss is missing, or names another provider."))?;
    let target = single(parameters, "target_link_uri")?;
    let return_url = target.map_or_else(|| Ok(ReturnUrl::root()), |target| return_url(&services.site, target))?;
    Ok((provider, return_url))
}

fn single<'a>(parameters: &'a Parameters, name: &str) -> Result<Option<&'a str>, Problem> {
    let value = parameters.single(name);
    value.map_err(|_| Problem::new(&INVALID_REQUEST, format!("The parameter {name} is given more than once.")))
}

/// The page of this site that the target names; the root for an endpoint of ours, which portals that know no page name.
fn return_url(site: &Site, target: &str) -> Result<ReturnUrl, Problem> {
    let refused = || Problem::new(&INVALID_RETURN_URL, "target_link_uri is not a page of this site.");
    let local = target.strip_prefix(site.origin.as_str()).ok_or_else(refused)?;
    if local.is_empty() {
        return Ok(ReturnUrl::root());
    }
    match site.return_url(local) {
        Err(ReturnUrlError::UnderPrefix) => Ok(ReturnUrl::root()),
        parsed => parsed.map_err(|_| refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_page_of_this_site() {
        for (target, local) in [
            ("https://app.example.com", "/"),
            ("https://app.example.com/orders?page=2#x", "/orders?page=2#x"),
            ("https://app.example.com/bff/initiate-login", "/"),
        ] {
            assert_eq!(return_url(&Site::for_tests(), target).expect(target).as_str(), local);
        }
    }

    /// OpenID Connect Core §4, RFC 9700 §4.11.1
    #[test]
    fn a_target_elsewhere_is_refused() {
        for target in [
            "",
            "/orders",
            "https://evil.example/",
            "https://app.example.com.evil.example/",
            "https://app.example.com@evil.example/",
            "https://app.example.com:8443/",
            "https://app.example.com//evil.example",
            "https://app.example.com/\\evil.example",
            "http://app.example.com/",
            "javascript:alert(1)",
        ] {
            assert!(return_url(&Site::for_tests(), target).is_err(), "{target}");
        }
    }
}
