//! `GET|POST /bff/logout`: ends the session here, revokes its refresh token, and leads to the provider's own logout.

use actix_web::http::header::{HeaderName, HeaderValue, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::metrics::Outcome;
use crate::oidc::{LogoutRequest, Provider};
use crate::return_url::ReturnUrl;
use crate::session::Session;
use crate::session::cookies::RequestCookies;
use crate::session::store::{ActiveSession, SignedOut};
use crate::web::fetch_metadata::{is_navigation, is_prefetch, is_same_origin};
use crate::web::head::{MAX_HEAD, head_bytes};
use crate::web::page::{self, SignedOutAt};
use crate::web::problem::{INVALID_REQUEST, INVALID_RETURN_URL, LOGOUT_REFUSED, Problem};
use crate::web::query::{Parameters, Repeated};
use crate::web::{Services, append_cookies, own_response};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Signs the browser out: a navigation goes on to the provider, a fetch learns where it should go. The page in `returnUrl`
/// comes at the end: at once where the provider has no logout, and otherwise if it sends the browser back to where we
/// look at what comes back.
///
/// # Errors
/// 400 for a bad return URL, 403 unless the request brings the session's own `sid` or comes from our own origin.
pub async fn handle(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let parameters = Parameters::parse(request.query_string().as_bytes());
    let refused = |reason: &dyn std::fmt::Display| Problem::new(&INVALID_RETURN_URL, format!("{reason}."));
    let then = match parameters.single("returnUrl") {
        Ok(text) => text.map(|text| services.site.return_url(text)).transpose().map_err(|error| refused(&error))?,
        Err(Repeated) => return Err(refused(&"returnUrl is given more than once")),
    };
    sign_out(services, request, then.as_ref()).await
}

/// As [`handle`]; in the end the browser comes to the page `then` of this site, as far as we are asked where it goes.
///
/// # Errors
/// As [`handle`].
pub(super) async fn sign_out(
    services: &Services,
    request: &HttpRequest,
    then: Option<&ReturnUrl>,
) -> Result<HttpResponse, Problem> {
    let parameters = Parameters::parse(request.query_string().as_bytes());
    let sid = parameters.single("sid").map_err(|_| Problem::new(&INVALID_REQUEST, "sid is given more than once."))?;
    if is_prefetch(request) {
        // A browser that only looks ahead at the link must not sign its user out.
        return Err(Problem::new(&LOGOUT_REFUSED, "Signing out needs a page load or a fetch."));
    }
    let from_our_page = is_same_origin(request, services.site.origin.as_str()) == Some(true);
    let cookies = services.cookies(request);
    let session = match services.sessions.open(&cookies) {
        Ok(ActiveSession { session, .. }) => Some(session),
        // Over, but its tokens may live on at the provider.
        Err(SignedOut::Ended(session) | SignedOut::Idle(session) | SignedOut::Expired(session)) => Some(session),
        Err(_) => None,
    };
    let own_link = session.as_ref().zip(sid).is_some_and(|(session, sid)| session.sid.matches(sid));
    if !own_link && !from_our_page {
        return match session {
            // Nothing is open here, or a strict cookie stayed at home: nothing that a forged link could end, or say.
            None if is_navigation(request) => Ok(see_other(end(services, then))),
            _ => Err(Problem::new(&LOGOUT_REFUSED, "Sign out from within the application.")),
        };
    }
    let Some(session) = session else {
        let mut response = finish(services, request, then, None);
        append_cookies(&mut response, services.sessions.delete_session());
        return Ok(response);
    };
    services.tunnels.end(session.sid);
    let newest = services.refresher.end(session.clone()).await;
    // Pages connect again as soon as their sockets close; from here on they are refused.
    services.tunnels.end(session.sid);
    revoke(services, &newest).await;
    let lines = services.sessions.end(&newest, &cookies).map_err(|error| {
        tracing::error!(%error, "a session ends without a tombstone");
        Problem::internal().with_cookies(services.sessions.delete_session())
    })?;
    tracing::info!(target: "sealgate::audit", event = "logout", sid = ?newest.sid, "a user logged out");
    let state = services.sessions.logout_state(newest.sid, then.map(ReturnUrl::as_str)).map_err(|error| {
        tracing::error!(%error, "a logout has no state");
        Problem::internal().with_cookies(lines.iter().cloned())
    })?;
    let with_cookies = |session: &Session| {
        let mut response = finish(services, request, then, Some((session, &state)));
        append_cookies(&mut response, lines.iter().cloned());
        response
    };
    let response = with_cookies(&newest);
    if head_bytes(&response) > MAX_HEAD && newest.id_token().is_some() && is_one_cookie(services, &cookies) {
        // A long ID token packs well into the cookie and stands in the address as it is. The provider gets our
        // client_id all the same, and may ask the user whether to sign out.
        tracing::info!(sid = ?newest.sid, "the ID token is too long for the address of the provider's logout");
        return Ok(with_cookies(&newest.without_id_token()));
    }
    Ok(response)
}

/// Whether the session is one that passes nginx by default; who has larger ones has set more room.
fn is_one_cookie(services: &Services, cookies: &RequestCookies) -> bool {
    !services.sessions.names().chunks()[1..].iter().any(|name| cookies.has(name))
}

/// RFC 7009: the refresh token dies with the session; when that cannot be done it is said in the log, because the
/// token may live on.
async fn revoke(services: &Services, session: &Session) {
    let Some(refresh_token) = session.refresh_token() else { return };
    let Some(provider) = services.provider_of(session) else { return };
    match provider.revoke(refresh_token).await {
        Ok(_) => services.metrics.count_logout(Outcome::Succeeded),
        Err(error) => {
            services.metrics.count_logout(Outcome::Unavailable);
            tracing::warn!(target: "sealgate::audit", event = "revocation_failed", sid = ?session.sid, %error, "the refresh token may live on");
        }
    }
}

/// As [`leave`], and what the browser's cache has of the session goes too.
fn finish(
    services: &Services,
    request: &HttpRequest,
    then: Option<&ReturnUrl>,
    session: Option<(&Session, &str)>,
) -> HttpResponse {
    let mut response = leave(services, request, then, session);
    response.headers_mut().insert(CLEAR_SITE_DATA, HeaderValue::from_static("\"cache\""));
    response
}

/// OpenID Connect RP-Initiated Logout §2.
///
/// Where the provider has no logout, its own session goes on, and an app that signs in whoever is not signed in would
/// undo the logout at once: so a person is told instead of led to the app, and a script is led to where that is told.
/// An address that is configured is the operator's own choice, and not the app's root.
fn leave(
    services: &Services,
    request: &HttpRequest,
    then: Option<&ReturnUrl>,
    session: Option<(&Session, &str)>,
) -> HttpResponse {
    let site = &services.site;
    let own = session.and_then(|(session, _)| services.provider_of(session));
    let provider = own.unwrap_or(&services.providers.default_one().provider);
    let goal = match session {
        _ if !provider.has_logout() => match provider.settings().particulars.post_logout_redirect_uri.clone() {
            Some(elsewhere) if elsewhere != site.logged_out_uri() => elsewhere,
            _ if then.is_some() => end(services, then),
            _ if is_navigation(request) => return page::signed_out(request, SignedOutAt::HereAlone),
            _ => site.origin.join(&format!("{}/logout", site.prefix)),
        },
        None => end(services, then),
        Some((session, state)) => way_out(services, provider, session, state).unwrap_or_else(|| end(services, then)),
    };
    if is_navigation(request) {
        see_other(goal)
    } else {
        own_response(HttpResponse::Ok()).json(json!({ "logout_url": goal }))
    }
}

/// Where a logout leads that the provider has no part in.
fn end(services: &Services, then: Option<&ReturnUrl>) -> String {
    services.site.origin.join(then.map_or("/", ReturnUrl::as_str))
}

/// The provider's logout for this session.
fn way_out(services: &Services, provider: &Provider, session: &Session, state: &str) -> Option<String> {
    let back = services.site.post_logout_redirect_uri(provider);
    let claims = session.claims();
    let id_token_hint = session.id_token();
    let request = LogoutRequest { id_token_hint, claims: &claims, post_logout_redirect_uri: &back, state };
    provider.end_session_url(&request).map(String::from)
}

fn see_other(goal: String) -> HttpResponse {
    own_response(HttpResponse::SeeOther()).insert_header((LOCATION, goal)).finish()
}
