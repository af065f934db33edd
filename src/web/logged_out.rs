//! `GET /bff/logged-out`: where the provider sends the browser after a logout, if `provider.post_logout_redirect_uri`
//! says so. It checks that `state` is the one that was sent (OpenID Connect RP-Initiated Logout 1.0 §3).
//!
//! Whoever leads a browser here ends nothing and learns nothing: must never touch a session or a cookie.

use actix_web::{HttpRequest, HttpResponse};

use crate::session::logout_state::LogoutState;
use crate::web::Services;
use crate::web::page::{self, SignedOutAt};
use crate::web::problem::{INVALID_REQUEST, LOGOUT_NOT_FOUND, Problem};
use crate::web::query::Parameters;

/// Says that the user is signed out.
///
/// # Errors
/// 400 for a `state` that no logout of this browser had.
pub fn handle(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    match state(services, request)? {
        Some(_) => Ok(page::signed_out(request, SignedOutAt::Everywhere)),
        None => Err(not_found()),
    }
}

/// The logout that the request comes back from; none: it has no `state`.
///
/// # Errors
/// As [`handle`].
pub(super) fn state(services: &Services, request: &HttpRequest) -> Result<Option<LogoutState>, Problem> {
    let parameters = Parameters::parse(request.query_string().as_bytes());
    let state = parameters.single("state");
    let state = state.map_err(|_| Problem::new(&INVALID_REQUEST, "The parameter state is given more than once."))?;
    let Some(state) = state else { return Ok(None) };
    services.sessions.own_logout(state, &services.cookies(request)).map(Some).ok_or_else(not_found)
}

fn not_found() -> Problem {
    Problem::new(&LOGOUT_NOT_FOUND, "It took too long, or began in another browser.")
}
