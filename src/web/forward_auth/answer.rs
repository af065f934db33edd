//! What an answer holds, whichever proxy asked: for the application, for the browser, and where to log in.

use actix_web::http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use actix_web::{HttpRequest, HttpResponse};

use super::{AskingProxy, ForwardAuthSettings, Passing, cookies_of_others};
use crate::web::api::signed_out::login_address;
use crate::web::original::Original;
use crate::web::problem::Problem;
use crate::web::{Services, append_cookies, own_response};

/// What Envoy takes off the original request (a list of field names).
const ENVOY_REMOVES: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// The original may pass: as whom, and with which cookies.
pub(super) fn passes(
    services: &Services,
    settings: &ForwardAuthSettings,
    request: &HttpRequest,
    passing: &Passing,
) -> HttpResponse {
    let mut response = own_response(HttpResponse::Ok()).finish();
    let headers = response.headers_mut();
    for (name, value) in &passing.identity {
        insert(headers, name.as_str(), value.as_bytes());
    }
    if let Some(stored) = passing.usable.session.access_token().filter(|_| settings.access_token) {
        insert(headers, AUTHORIZATION.as_str(), format!("Bearer {}", stored.token.expose()).as_bytes());
    }
    if let Some(line) = settings.forward_cookies.then(|| cookies_of_others(services, request)).flatten() {
        insert(headers, COOKIE.as_str(), &line);
    }
    if settings.proxy == AskingProxy::Envoy {
        // Fields that the answer does not replace stay as the browser sent them.
        let of_claims = settings.headers.iter().map(|header| &header.name);
        let of_claims = of_claims.chain(services.identities.iter().map(|signed| signed.header()));
        let all = of_claims.map(|name| name.as_str()).chain(["authorization", "cookie"]);
        let absent: Vec<&str> = all.filter(|name| !headers.contains_key(*name)).collect();
        insert(headers, ENVOY_REMOVES.as_str(), absent.join(",").as_bytes());
    }
    append_cookies(&mut response, passing.lines.iter().cloned());
    response
}

fn insert(headers: &mut HeaderMap, name: &str, value: &[u8]) {
    match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
        (Ok(name), Ok(value)) => {
            headers.insert(name, value);
        }
        // Names come from a checked configuration, and values are fields' already.
        _ => tracing::error!(name, "an answer's field cannot be written"),
    }
}

/// Sends a page load to the login, and from there back to where it was going; with the cookies of `problem`, which says
/// that nobody is signed in.
pub(super) fn to_login(services: &Services, original: &Original<'_>, problem: Problem) -> HttpResponse {
    let location = login_address(&services.site, original.target);
    let mut response = own_response(HttpResponse::SeeOther()).insert_header((LOCATION, location)).finish();
    append_cookies(&mut response, problem.into_cookies());
    response
}
