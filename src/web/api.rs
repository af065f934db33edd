//! `/api/**` and the other routes: session in, `Authorization: Bearer` out. Never a redirect to log in, but for a page
//! that a browser loads on a route that says so.

mod bearer;
pub(super) mod signed_out;
pub(super) mod user;

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::HeaderName;
use actix_web::{HttpRequest, HttpResponse, web};
use tokio::time::Instant;

use crate::proxy::{
    self, Credentials, ForwardContext, Route, RouteAuth, RouteToken, TunnelLimits, UpstreamClient, asks_for_websocket,
};
use crate::refresh::application::NoApplicationToken;
use crate::refresh::{Unusable, Usable};
use crate::secret::AccessToken;
use crate::session::Session;
use crate::session::cookies::{RequestCookies, SetCookie};
use crate::session::store::ActiveSession;
use crate::web::event_stream::{asks_for_event_stream, end_with_session};
use crate::web::fetch_metadata::is_preflight;
use crate::web::problem::Problem;
use crate::web::{Services, append_cookies, caching, conflict, csrf, step_up};

/// Forwards a request on its route.
///
/// # Errors
/// 401 without a live session or a good access token, as the route wants, 403 for forged requests, 405, and what the
/// upstream's failures become; each with the cookies that the request has earned.
pub async fn handle(
    services: &Services,
    client: &UpstreamClient,
    route: &Route,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    match route.auth() {
        RouteAuth::None => anonymous(services, client, route, request, payload).await,
        RouteAuth::Bearer => bearer::handle(services, client, route, request, payload).await,
        // What the client brings itself decides, and there is no way back to the session.
        RouteAuth::SessionOrBearer if bearer::is_given(request) => {
            bearer::handle(services, client, route, request, payload).await
        }
        RouteAuth::Session | RouteAuth::SessionOrBearer => {
            let answered = with_session(services, client, route, request, payload).await;
            answered.or_else(|problem| signed_out::answer(services, route, request, problem))
        }
        RouteAuth::Optional => perhaps_with_session(services, client, route, request, payload).await,
    }
}

async fn anonymous(
    services: &Services,
    client: &UpstreamClient,
    route: &Route,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    check_method(route, request.method())?;
    // A peer that has vanished must not keep its place at the upstream for ever.
    let idle = Some(services.sessions.settings().idle_timeout);
    let tunnel = TunnelLimits { idle, ..TunnelLimits::default() };
    let application = application_token(services, route).await?;
    let credentials = application.as_deref().map_or(Credentials::None, Credentials::Token);
    let passage = Passage { credentials, identity: &[], tunnel };
    forward(services, client, route, request, payload, passage).await
}

/// With a live session as [`with_session`], without one as [`anonymous`]; a session that is over counts as none, and its
/// cookies stay as they are.
async fn perhaps_with_session(
    services: &Services,
    client: &UpstreamClient,
    route: &Route,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let cookies = services.cookies(request);
    // A preflight is never sent on a session's behalf (Fetch standard §4.8).
    let session = (!is_preflight(request)).then(|| services.session(&cookies).ok()).flatten();
    if let Some(active) = session {
        check_method(route, request.method())?;
        csrf::check(route.csrf(), request, &services.site)?;
        let tunnel = tunnel_limits(services, request, &active.session);
        let usable = match is_ending(services, &active, &tunnel) {
            true => Err(Unusable::Ended),
            false => services.refresher.usable_for(&active, route.token_need()).await,
        };
        match usable {
            // Nobody is signed in any more.
            Err(Unusable::Ended) => {}
            Err(unusable) => return conflict::answer(services, request, &active, &cookies, unusable).await,
            Ok(usable) => {
                let state = SessionState { active, usable, cookies, tunnel };
                return on_behalf(services, client, route, request, payload, state).await;
            }
        }
    }
    if user::has_rules(route, request.method()) {
        return Err(Problem::not_signed_in());
    }
    let mut response = anonymous(services, client, route, request, payload).await?;
    caching::vary(&mut response);
    Ok(response)
}

async fn with_session(
    services: &Services,
    client: &UpstreamClient,
    route: &Route,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    if is_preflight(request) {
        // No origin but our own may use the session, so no preflight is ever granted.
        return Err(Problem::cross_origin());
    }
    check_method(route, request.method())?;
    csrf::check(route.csrf(), request, &services.site)?;
    let cookies = services.cookies(request);
    let active = services.session(&cookies)?;
    // From here on its end is heard of, also while it is refreshed and the upstream answers.
    let tunnel = tunnel_limits(services, request, &active.session);
    if is_ending(services, &active, &tunnel) {
        return Err(Problem::session_expired());
    }
    let usable = match services.refresher.usable_for(&active, route.token_need()).await {
        Ok(usable) => usable,
        Err(unusable) => return conflict::answer(services, request, &active, &cookies, unusable).await,
    };
    on_behalf(services, client, route, request, payload, SessionState { active, usable, cookies, tunnel }).await
}

/// Whether a page connects again while its logout is under way; to be asked only once `tunnel` hears of the end, so that
/// no moment is left between the two.
fn is_ending(services: &Services, active: &ActiveSession, tunnel: &TunnelLimits) -> bool {
    tunnel.ended.is_some() && services.refresher.has_ended(active.session.sid)
}

/// A request's session, ready to be used.
struct SessionState<'a> {
    /// As the request showed it.
    active: ActiveSession,
    /// As it is now.
    usable: Usable,
    /// The request's cookies.
    cookies: RequestCookies<'a>,
    /// When what the request opens ends.
    tunnel: TunnelLimits,
}

/// Forwards with a session's access token, or the application's where the route says so.
async fn on_behalf(
    services: &Services,
    client: &UpstreamClient,
    route: &Route,
    request: &HttpRequest,
    payload: web::Payload,
    state: SessionState<'_>,
) -> Result<HttpResponse, Problem> {
    let SessionState { active, usable, cookies, tunnel } = state;
    let forwarded = async {
        let identity = user::of_session(services, route, request.method(), &usable.session)?;
        let application = application_token(services, route).await?;
        let of_user = || usable.session.access_token_for(route.token_need()).map(|stored| &stored.token);
        let credentials = application.as_deref().or_else(of_user).map_or(Credentials::None, Credentials::Token);
        let passage = Passage { credentials, identity: &identity, tunnel: tunnel.clone() };
        forward(services, client, route, request, payload, passage).await
    };
    let forwarded = forwarded.await;
    // Only now: while the upstream took its time, the session may have been refreshed again, or ended.
    let lines = earned(services, &active, &usable, &cookies);
    match forwarded {
        Ok(response) if let Some(problem) = step_up::asked_for(services, &usable.session, &response) => {
            Err(problem.with_cookies(lines))
        }
        Ok(response) => {
            let mut response = if tunnel.ended.is_some() { end_with_session(response, tunnel) } else { response };
            remove_cors(&mut response);
            caching::keep_private(&mut response, !lines.is_empty());
            append_cookies(&mut response, lines);
            Ok(response)
        }
        Err(problem) => Err(problem.with_cookies(lines)),
    }
}

/// The application's token, on a route that acts as the application.
async fn application_token(services: &Services, route: &Route) -> Result<Option<Arc<AccessToken>>, Problem> {
    let RouteToken::Application(need) = route.token() else { return Ok(None) };
    // Boxed, so that requests on other routes have no room for it in their futures.
    match Box::pin(services.application.token(need)).await {
        Ok(token) => Ok(Some(token)),
        Err(NoApplicationToken::Unavailable { retry_after }) => Err(Problem::provider_unavailable(retry_after)),
        Err(_) => Err(Problem::token_not_granted()),
    }
}

/// The cookies that a request has earned: its activity, and the refreshed session unless something newer is known.
fn earned(services: &Services, active: &ActiveSession, usable: &Usable, cookies: &RequestCookies) -> Vec<SetCookie> {
    let mut lines: Vec<SetCookie> = services.sessions.touch(active).into_iter().collect();
    if let Some(sealed) = usable.renewed.as_ref().and_then(|renewed| services.refresher.to_deliver(renewed)) {
        lines.extend(services.sessions.deliver(&sealed, cookies));
    }
    lines
}

fn check_method(route: &Route, method: &Method) -> Result<(), Problem> {
    if route.allows(method) { Ok(()) } else { Err(Problem::method_not_allowed(&route.allow())) }
}

/// As whom a request passes.
struct Passage<'a> {
    credentials: Credentials<'a>,
    identity: &'a [(http::HeaderName, http::HeaderValue)],
    tunnel: TunnelLimits,
}

async fn forward(
    services: &Services,
    client: &UpstreamClient,
    route: &Route,
    request: &HttpRequest,
    payload: web::Payload,
    passage: Passage<'_>,
) -> Result<HttpResponse, Problem> {
    let peer = request.peer_addr().map(|address| address.ip());
    let context = ForwardContext {
        credentials: passage.credentials,
        identity: passage.identity,
        own_names: &services.own_names,
        public_origin: &services.site.origin,
        peer,
        trusted_peer: services.site.trusts(peer),
        traceparent: None,
        tunnel: passage.tunnel,
    };
    Ok(proxy::forward(client, route, request, payload.into_inner(), &context).await?)
}

/// A WebSocket and an event stream live no longer than their session; the expiry of the access token does not end them.
fn tunnel_limits(services: &Services, request: &HttpRequest, session: &Session) -> TunnelLimits {
    if !asks_for_websocket(request) && !asks_for_event_stream(request) {
        return TunnelLimits::default();
    }
    let left = services.clock.now().until(session.absolute_end);
    TunnelLimits {
        ends_at: Instant::now().checked_add(left),
        idle: Some(services.sessions.settings().idle_timeout),
        ended: Some(services.tunnels.end_of(session.sid)),
    }
}

/// What an upstream would grant to other origins, it cannot grant on a session's behalf.
fn remove_cors(response: &mut HttpResponse) {
    let is_grant = |name: &&HeaderName| name.as_str().starts_with("access-control-");
    while let Some(name) = response.headers().keys().find(is_grant).cloned() {
        response.headers_mut().remove(name);
    }
}
