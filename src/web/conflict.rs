//! What a request gets whose session has no usable access token.
//!
//! A refresh token that the provider refuses may have been used by another replica, whose cookie is on its way: the
//! browser is asked to come again, and only the same generation failing again, a while later, ends the session. The
//! session's own cookie is never touched here.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};

use crate::refresh::{NotGranted, Unusable};
use crate::session::Session;
use crate::session::cookies::{RequestCookies, SetCookie};
use crate::session::refresh_marker::GRACE;
use crate::session::store::ActiveSession;
use crate::web::original::Original;
use crate::web::problem::{Problem, REFRESH_CONFLICT};
use crate::web::{Services, append_cookies, own_response};

/// How long a browser is held before it is sent to the same address again.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers in place of the route.
///
/// # Errors
/// 401 when the session is over or another attempt may help, 502 when the provider gives no token for what the route
/// needs, 503 when it is down.
pub async fn answer(
    services: &Services,
    request: &HttpRequest,
    active: &ActiveSession,
    cookies: &RequestCookies<'_>,
    unusable: Unusable,
) -> Result<HttpResponse, Problem> {
    answer_original(services, &Original::of(request), active, cookies, unusable).await
}

/// As [`answer`] for a request that another proxy asks about.
///
/// # Errors
/// As [`answer`].
pub async fn answer_original(
    services: &Services,
    original: &Original<'_>,
    active: &ActiveSession,
    cookies: &RequestCookies<'_>,
    unusable: Unusable,
) -> Result<HttpResponse, Problem> {
    let session = &active.session;
    match unusable {
        Unusable::ProviderUnavailable { retry_after } => {
            Err(Problem::provider_unavailable(retry_after).with_cookies(earlier_refresh(services, active, cookies)))
        }
        Unusable::NotGranted(reason) => {
            Err(not_granted(&reason).with_cookies(earlier_refresh(services, active, cookies)))
        }
        Unusable::Ended => Err(ended(services, session, cookies, Problem::session_expired())),
        Unusable::TooLarge(too_large) => Err(ended(services, session, cookies, Problem::session_too_large(&too_large))),
        // Nothing is lost while the access token lives.
        Unusable::Conflict { expired: false } => Err(conflict()),
        Unusable::Conflict { expired: true } => lost_race(services, original, session, cookies).await,
    }
}

async fn lost_race(
    services: &Services,
    original: &Original<'_>,
    session: &Session,
    cookies: &RequestCookies<'_>,
) -> Result<HttpResponse, Problem> {
    let now = services.clock.now();
    let since = services.sessions.refresh_marker(session, cookies);
    if since.is_some_and(|since| now.since(since) >= GRACE) {
        return Err(ended(services, session, cookies, Problem::session_expired()));
    }
    let marker = services.sessions.mark_refresh(session, since.unwrap_or(now)).map_err(|error| {
        tracing::error!(%error, "a refresh marker cannot be sealed");
        Problem::internal()
    })?;
    if original.opens_websocket {
        return Err(Problem::provider_unavailable(PAUSE).with_cookies([marker]));
    }
    if !matches!(original.method, Method::GET | Method::HEAD) {
        return Err(conflict().with_cookies([marker]));
    }
    tokio::time::sleep(PAUSE).await;
    let location = services.site.origin.join(original.target);
    let mut response = own_response(HttpResponse::TemporaryRedirect()).insert_header((LOCATION, location)).finish();
    append_cookies(&mut response, [marker]);
    Ok(response)
}

/// What an earlier flight has brought and no response has delivered yet.
fn earlier_refresh(services: &Services, active: &ActiveSession, cookies: &RequestCookies) -> Vec<SetCookie> {
    let renewed = services.refresher.look(active).renewed;
    let sealed = renewed.as_ref().and_then(|renewed| services.refresher.to_deliver(renewed));
    sealed.map(|sealed| services.sessions.deliver(&sealed, cookies)).unwrap_or_default()
}

/// The session goes on.
fn not_granted(reason: &NotGranted) -> Problem {
    tracing::info!(%reason, "there is no access token for a route");
    match reason {
        NotGranted::TooLarge(too_large) => Problem::session_too_large(too_large),
        _ => Problem::token_not_granted(),
    }
}

fn conflict() -> Problem {
    Problem::new(&REFRESH_CONFLICT, "Another request may have refreshed the session. Try again in a moment.")
}

/// The session is over: a tombstone says so, so that `/bff/user` agrees from now on.
fn ended(services: &Services, session: &Session, cookies: &RequestCookies<'_>, problem: Problem) -> Problem {
    tracing::info!(target: "sealgate::audit", event = "session_ended", sid = ?session.sid, "the session cannot be refreshed any more");
    services.tunnels.end(session.sid);
    match services.sessions.bury(session.into(), cookies) {
        Ok(tombstone) => problem.with_cookies([tombstone]),
        Err(error) => {
            tracing::error!(%error, "a tombstone cannot be sealed");
            problem
        }
    }
}
