//! `GET /bff/logged-out`: where the provider sends the browser after a logout, if `provider.post_logout_redirect_uri`
//! says so. It checks that `state` is the one that was sent (OpenID Connect RP-Initiated Logout 1.0 §3).
//!
//! Whoever leads a browser here ends nothing and learns nothing: must never touch a session or a cookie.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};

use crate::session::logout_state::LogoutState;
use crate::web::page::{self, SignedOutAt};
use crate::web::problem::{INVALID_REQUEST, LOGOUT_NOT_FOUND, Problem};
use crate::web::query::Parameters;
use crate::web::{Services, own_response};

/// Says that the user is signed out, or leads to the page that the logout asked for.
///
/// # Errors
/// 400 for a `state` that no logout of this browser had.
pub fn handle(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    state(services, request)?.map(|state| end(services, request, &state)).ok_or_else(not_found)
}

/// The page that the logout leads to, or the one that says that it is done.
pub(super) fn end(services: &Services, request: &HttpRequest, state: &LogoutState) -> HttpResponse {
    match &state.return_url {
        Some(path) => {
            own_response(HttpResponse::SeeOther()).insert_header((LOCATION, services.site.origin.join(path))).finish()
        }
        None => page::signed_out(request, SignedOutAt::Everywhere),
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
