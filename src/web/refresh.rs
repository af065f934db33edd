//! `POST /bff/refresh`: a refresh because the page asks for one.

use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use crate::proxy::CsrfMode;
use crate::session::store::ActiveSession;
use crate::web::problem::Problem;
use crate::web::{Services, append_cookies, conflict, csrf, own_response, user};

/// Refreshes the session and answers with the new lifetimes.
///
/// # Errors
/// 401 when signed out or when the refresh token is dead, 403 for other origins, 503 when the provider is down.
pub async fn handle(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    checked(services, request, CsrfMode::Header).await
}

/// As [`handle`], for requests that are told from forged ones in this way.
///
/// # Errors
/// As [`handle`].
pub(super) async fn checked(
    services: &Services,
    request: &HttpRequest,
    csrf: CsrfMode,
) -> Result<HttpResponse, Problem> {
    csrf::check(csrf, request, &services.site)?;
    renew(services, request).await
}

/// As [`handle`], for a request that is known to be our own page's.
///
/// # Errors
/// As [`handle`].
pub(super) async fn renew(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let cookies = services.cookies(request);
    let active = services.session(&cookies)?;
    let usable = match services.refresher.force(&active).await {
        Ok(usable) => usable,
        Err(unusable) => return conflict::answer(services, request, &active, &cookies, unusable).await,
    };
    // A refresh is activity, and its seal says when.
    let refreshed = ActiveSession { last_seen: usable.session.issued_at, session: usable.session, ..active };
    let lifetimes = user::lifetimes(services, &refreshed, false);
    let mut response = own_response(HttpResponse::Ok()).json(Value::Object(lifetimes));
    if let Some(sealed) = usable.renewed.as_ref().and_then(|renewed| services.refresher.to_deliver(renewed)) {
        append_cookies(&mut response, services.sessions.deliver(&sealed, &cookies));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::store::tests::worst;
    use crate::web::head::{MAX_HEAD, head_bytes};

    /// Seven logins under way, a stale chunk, and the activity on the same response.
    #[test]
    fn the_largest_session_of_one_cookie_fits_the_head_of_a_refresh() {
        let mut response = own_response(HttpResponse::Ok()).json(serde_json::json!({}));
        append_cookies(&mut response, worst::refresh());
        assert!(head_bytes(&response) <= MAX_HEAD, "{}", head_bytes(&response));
    }
}
