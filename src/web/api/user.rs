//! What a route's rules ask of a request's user, and what its upstream is told of them.
//!
//! Must cost nothing on routes without rules and headers.

use actix_web::http::Method;
use http::{HeaderName, HeaderValue};

use crate::oidc::{VerifiedToken, scopes};
use crate::proxy::{Identity, IdentityHeader, Missing, Route, RouteToken, Rule, identity_headers};
use crate::secret::AccessToken;
use crate::session::{Session, StoredAccessToken};
use crate::web::Services;
use crate::web::problem::{FORBIDDEN_BY_RULE, Problem};

/// Headers for an upstream.
pub(in crate::web) type Fields = Vec<(HeaderName, HeaderValue)>;

/// Whether `route` wants to know who sends a request with this method.
fn is_asked_for(route: &Route, method: &Method) -> bool {
    !route.identity_headers().is_empty() || has_rules(route, method)
}

/// Whether a rule of `route` is for requests with this method.
pub(super) fn has_rules(route: &Route, method: &Method) -> bool {
    have_for(route.rules(), method)
}

fn have_for(rules: &[Rule], method: &Method) -> bool {
    rules.iter().any(|rule| rule.is_for(method.as_str()))
}

/// The headers for the user of a session, if the rules let them pass.
pub(super) fn of_session(
    services: &Services,
    route: &Route,
    method: &Method,
    session: &Session,
) -> Result<Fields, Problem> {
    if !route.providers().is_empty() {
        check_provider(services, route, session)?;
    }
    let (rules, headers) = (route.rules(), route.identity_headers());
    let mut fields = of_session_with(services, route.token(), rules, headers, method, session)?;
    fields.extend(services.identities.as_ref().and_then(|signed| signed.for_route(route, session)));
    Ok(fields)
}

/// The same by these rules, with these headers, and the login's access token.
pub(in crate::web) fn of_session_for(
    services: &Services,
    rules: &[Rule],
    headers: &[IdentityHeader],
    method: &Method,
    session: &Session,
) -> Result<Fields, Problem> {
    of_session_with(services, &RouteToken::Login, rules, headers, method, session)
}

fn of_session_with(
    services: &Services,
    token: &RouteToken,
    rules: &[Rule],
    headers: &[IdentityHeader],
    method: &Method,
    session: &Session,
) -> Result<Fields, Problem> {
    if headers.is_empty() && !have_for(rules, method) {
        return Ok(Fields::new());
    }
    let stored = session.access_token_for(token.of_session());
    // RFC 6749 §5.1: those that were asked for, where the provider does not say otherwise.
    let scopes = match stored.and_then(StoredAccessToken::scopes) {
        Some(granted) => granted.split(' ').map(str::to_owned).collect(),
        None => services.provider_of(session).map(|provider| provider.settings().scopes.clone()).unwrap_or_default(),
    };
    let identity = Identity {
        claims: session.claims(),
        scopes,
        access_token: stored.map(|stored| &stored.token),
        id_token: session.id_token(),
        expires_at: stored.map(|stored| stored.expires_at),
    };
    let identity = without_token_of_others(token, identity);
    check(rules, method, &identity).map_err(|missing| forbidden(&missing))?;
    Ok(identity_headers(headers, &identity))
}

/// Whether the route takes sessions of this one's provider.
fn check_provider(services: &Services, route: &Route, session: &Session) -> Result<(), Problem> {
    let own = services.providers.of(&session.provider).map(|provider| provider.name.as_str());
    if own.is_some_and(|own| route.providers().iter().any(|name| name == own)) {
        return Ok(());
    }
    tracing::info!(provider = own, "a route does not take sessions of this provider");
    Err(Problem::new(&FORBIDDEN_BY_RULE, "You are signed in with a provider that does not count here."))
}

/// The headers for the user of an access token that the client brought along, or what the rules find missing.
pub(super) fn of_token<'a>(
    route: &'a Route,
    method: &Method,
    verified: VerifiedToken,
    token: &AccessToken,
) -> Result<Fields, Missing<'a>> {
    if !is_asked_for(route, method) {
        return Ok(Fields::new());
    }
    let identity = Identity {
        scopes: scopes(&verified.claims).map(str::to_owned).collect(),
        claims: verified.claims,
        access_token: Some(token),
        id_token: None,
        expires_at: verified.expires_at,
    };
    let identity = without_token_of_others(route.token(), identity);
    check(route.rules(), method, &identity)?;
    Ok(identity_headers(route.identity_headers(), &identity))
}

/// An upstream that gets the application's token gets no other in a further header.
fn without_token_of_others<'a>(token: &RouteToken, identity: Identity<'a>) -> Identity<'a> {
    match token {
        RouteToken::Application(_) => Identity { access_token: None, id_token: None, expires_at: None, ..identity },
        RouteToken::Login | RouteToken::User(_) => identity,
    }
}

fn check<'a>(rules: &'a [Rule], method: &Method, identity: &Identity<'_>) -> Result<(), Missing<'a>> {
    let mut rules = rules.iter().filter(|rule| rule.is_for(method.as_str()));
    match rules.find_map(|rule| rule.missing(identity)) {
        Some(missing) => Err(missing),
        None => Ok(()),
    }
}

/// What is missing, by its name: neither what the user has nor what would do.
pub(super) fn forbidden(missing: &Missing<'_>) -> Problem {
    let detail = match missing {
        Missing::Claim(claim) => format!("Your account lacks a value of the claim {claim} that is needed here."),
        _ => "The access token lacks a scope that is needed here.".to_owned(),
    };
    tracing::info!(%detail, "a rule refused a request");
    Problem::new(&FORBIDDEN_BY_RULE, detail)
}
