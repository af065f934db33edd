//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0 §2): ends the session at the provider and its grants.
//!
//! Must never redirect to an address that is not registered, and never end a session without asking unless an ID token
//! of that very session vouches for the request.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use url::Url;

use super::Provider;
use super::authorize::session_cookie;
use super::pages::{self, LogoutQuestion};
use super::params::Params;
use super::sessions::COOKIE_NAME;

/// A request to sign out: everything in it is checked.
struct LogoutRequest {
    /// The session that the ID token hint names.
    hinted_sid: Option<String>,
    /// Whether the user has answered our question.
    confirmed: bool,
    client_id: Option<String>,
    redirect: Option<String>,
    state: Option<String>,
}

/// `GET /logout`
pub async fn get(request: HttpRequest, provider: web::Data<Provider>) -> HttpResponse {
    answer(&request, request.query_string().as_bytes(), &provider, false)
}

/// `POST /logout`: from the client, or from the form that asks.
pub async fn post(request: HttpRequest, body: web::Bytes, provider: web::Data<Provider>) -> HttpResponse {
    let foreign = request.headers().get("Sec-Fetch-Site").is_some_and(|site| site == "cross-site");
    answer(&request, &body, &provider, !foreign)
}

fn answer(request: &HttpRequest, parameters: &[u8], provider: &Provider, may_confirm: bool) -> HttpResponse {
    let logout = match check(parameters, provider, may_confirm) {
        Ok(logout) => logout,
        Err(reason) => {
            return pages::message(provider, StatusCode::BAD_REQUEST, "This sign-out request is not valid", reason);
        }
    };
    let mut state = provider.state();
    let now = provider.clock.now();
    let current = session_cookie(request).and_then(|cookie| state.sessions.find(&cookie, now).cloned());
    let current_sid = current.as_ref().map(|session| session.sid.as_str());
    let vouched = logout.hinted_sid.as_deref().is_some_and(|sid| current_sid.is_none_or(|current| current == sid));
    match &current {
        Some(session) if !vouched && !logout.confirmed => {
            return pages::logout(
                provider,
                &LogoutQuestion {
                    name: session.user.name,
                    client_id: logout.client_id.as_deref(),
                    redirect: logout.redirect.as_deref(),
                    state: logout.state.as_deref(),
                },
            );
        }
        _ => {}
    }
    for sid in [current_sid, logout.hinted_sid.as_deref()].into_iter().flatten() {
        state.sessions.end(sid);
        state.grants.revoke_session(sid);
    }
    signed_out(provider, &logout)
}

fn check(parameters: &[u8], provider: &Provider, may_confirm: bool) -> Result<LogoutRequest, &'static str> {
    let params = Params::parse(parameters).map_err(|_| "A parameter comes more than once.")?;
    let client_id = params.owned("client_id");
    if client_id.as_ref().is_some_and(|client_id| *client_id != provider.settings.client_id) {
        return Err("The client_id is not registered here.");
    }
    let hint = params
        .value("id_token_hint")
        .map(|hint| provider.keys.verifying().id_token_hint(hint, &provider.settings.client_id))
        .transpose()
        .map_err(|_| "The id_token_hint is not a token of this provider for this client.")?;
    let redirect = params.owned("post_logout_redirect_uri");
    if let Some(redirect) = &redirect {
        if client_id.is_none() && hint.is_none() {
            return Err("A post_logout_redirect_uri needs a client_id or an id_token_hint.");
        }
        if *redirect != provider.settings.post_logout_redirect_uri {
            return Err("The post_logout_redirect_uri is not registered for this client.");
        }
    }
    Ok(LogoutRequest {
        hinted_sid: hint.map(|claims| claims.sid),
        confirmed: may_confirm && params.value("confirm") == Some("yes"),
        client_id,
        redirect,
        state: params.owned("state"),
    })
}

fn signed_out(provider: &Provider, logout: &LogoutRequest) -> HttpResponse {
    let expired = (SET_COOKIE, format!("{COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"));
    let target = logout.redirect.as_deref().and_then(|redirect| Url::parse(redirect).ok());
    let Some(mut url) = target else {
        let mut page = pages::message(
            provider,
            StatusCode::OK,
            "You are signed out",
            "Your session at the demo provider has ended.",
        );
        pages::add_header(&mut page, expired);
        return page;
    };
    if let Some(state) = &logout.state {
        url.query_pairs_mut().append_pair("state", state);
    }
    HttpResponse::SeeOther()
        .insert_header((LOCATION, String::from(url)))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(expired)
        .finish()
}
