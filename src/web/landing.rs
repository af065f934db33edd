//! `GET /bff/landing`: the second step of a callback whose head would have been too large for one, or whose answer was
//! posted: other sites' forms bring no lax cookies, and the tombstones of earlier sessions are in one.
//!
//! The first step has brought the session; the login transaction still holds where to go. Must never bring a session or
//! redeem anything: all it does is to clear up behind a login of this browser.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};

use crate::session::login_transaction::LoginTransaction;
use crate::web::callback::without_transaction;
use crate::web::problem::{INVALID_REQUEST, Problem};
use crate::web::query::Parameters;
use crate::web::{Services, Site, append_cookies, own_response};

/// Where the callback sends the browser for the second step.
pub fn address(site: &Site, transaction: &LoginTransaction) -> String {
    // Our own state is base64url: nothing in it needs an escape.
    site.origin.join(&format!("{}/landing?state={}", site.prefix, transaction.state.expose()))
}

/// Deletes the login, buries the session that it replaced, and leads to its return URL.
///
/// # Errors
/// 400 without a login of this browser.
pub fn handle(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let parameters = Parameters::parse(request.query_string().as_bytes());
    let state = match parameters.single("state") {
        Ok(Some(state)) => state,
        _ => return Err(Problem::new(&INVALID_REQUEST, "The parameter state is missing or repeated.")),
    };
    let cookies = services.cookies(request);
    let Some(transaction) = services.sessions.login_transaction(state, &cookies) else {
        return without_transaction(services, request, &cookies);
    };
    let lines = services.sessions.finish_login(state, transaction.replaces.as_ref(), &cookies).map_err(|error| {
        tracing::error!(%error, "a tombstone cannot be sealed");
        Problem::internal()
    })?;
    let location = services.site.origin.join(&transaction.return_url);
    let mut response = own_response(HttpResponse::SeeOther()).insert_header((LOCATION, location)).finish();
    append_cookies(&mut response, lines);
    Ok(response)
}
