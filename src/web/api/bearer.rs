//! Requests that bring an access token of their own (RFC 6750).
//!
//! Sessions and their cookies are never looked at here: nothing that a browser sends by itself counts, so that no forged
//! request of another site can have an effect, and there is nothing to check but the token. Must never take a token from
//! anywhere but the `Authorization` header, nor fall back to the session.

use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use tokio::time::Instant;

use super::{Passage, application_token, check_method, forward, user};
use crate::oidc::{BearerError, IssuerFault, TokenRefused, VerifiedToken};
use crate::proxy::{Credentials, Missing, Route, TunnelLimits, UpstreamClient, asks_for_websocket};
use crate::secret::AccessToken;
use crate::web::event_stream::{asks_for_event_stream, end_with_session};
use crate::web::problem::{
    INSUFFICIENT_SCOPE, INVALID_REQUEST, INVALID_TOKEN, Problem, SIGN_IN_RETRY_AFTER, TOKEN_REQUIRED,
};
use crate::web::{Services, Site};

/// Characters of an access token. Larger ones than the largest providers write are attacks.
const LONGEST_TOKEN: usize = 16 * 1024;

/// Whether the request brings credentials of its own, of whatever kind.
pub(super) fn is_given(request: &HttpRequest) -> bool {
    request.headers().contains_key(AUTHORIZATION)
}

/// Forwards a request whose access token passes; its `Authorization` goes on as it is, unless the route acts as the
/// application.
///
/// # Errors
/// 401 and 403 with a challenge (RFC 6750 §3), 400 for a repeated `Authorization`, 405, 503 when the issuer cannot be
/// asked, and what the upstream's failures become.
pub(super) async fn handle(
    services: &Services,
    client: &UpstreamClient,
    route: &Route,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    check_method(route, request.method())?;
    let site = &services.site;
    let token = token(request).map_err(|fault| fault.problem(site))?;
    // The configuration sees to it that such a route has issuers.
    let verifier = services.bearer.get(route.index()).and_then(Option::as_ref).ok_or_else(Problem::internal)?;
    let verified = verifier.verify(&token).await.map_err(|error| refused(site, &error))?;
    let tunnel = tunnel_limits(services, request, &verified);
    let identity =
        user::of_token(route, request.method(), verified, &token).map_err(|missing| lacking(site, &missing))?;
    let application = application_token(services, route).await?;
    let credentials = application.as_deref().map_or(Credentials::OfTheClient, Credentials::Token);
    let passage = Passage { credentials, identity: &identity, tunnel: tunnel.clone() };
    let response = forward(services, client, route, request, payload, passage).await?;
    Ok(if asks_for_event_stream(request) { end_with_session(response, tunnel) } else { response })
}

/// Why there is no token to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoToken {
    /// Nothing was sent, or credentials of another kind.
    Missing,
    /// `Authorization` is there twice.
    Repeated,
    /// What stands behind `Bearer` is no token, or is too long.
    Malformed,
}

impl NoToken {
    fn problem(self, site: &Site) -> Problem {
        match self {
            // No error code: nothing was tried yet (RFC 6750 §3.1).
            Self::Missing => Problem::new(&TOKEN_REQUIRED, "Send an access token: Authorization: Bearer ….")
                .with_challenge(challenge(site, None, None)),
            Self::Repeated => Problem::new(&INVALID_REQUEST, "Send one Authorization header.")
                .with_challenge(challenge(site, Some("invalid_request"), None)),
            Self::Malformed => invalid_token(site, "The access token is malformed."),
        }
    }
}

/// The token of the only `Authorization` field (RFC 6750 §2.1).
fn token(request: &HttpRequest) -> Result<AccessToken, NoToken> {
    let mut fields = request.headers().get_all(AUTHORIZATION).map(HeaderValue::as_bytes);
    let field = fields.next().ok_or(NoToken::Missing)?;
    if fields.next().is_some() {
        return Err(NoToken::Repeated);
    }
    let end = field.iter().position(|&byte| byte == b' ').unwrap_or(field.len());
    let (scheme, rest) = field.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(NoToken::Missing);
    }
    let token = std::str::from_utf8(rest.trim_ascii()).map_err(|_| NoToken::Malformed)?;
    let characters = token.trim_end_matches('=');
    let is_token68 = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if characters.is_empty() || token.len() > LONGEST_TOKEN || !characters.bytes().all(is_token68) {
        return Err(NoToken::Malformed);
    }
    Ok(AccessToken::new(token))
}

fn refused(site: &Site, error: &BearerError) -> Problem {
    match error {
        BearerError::Refused(reason) => {
            tracing::info!(%error, "an access token was refused");
            let detail = match reason {
                TokenRefused::Expired => "The access token has expired.",
                TokenRefused::Malformed => "The access token is malformed.",
                _ => "The access token is not valid here.",
            };
            invalid_token(site, detail)
        }
        BearerError::InsufficientScope { required } => insufficient_scope(site, required),
        BearerError::Claim { claim } => user::forbidden(&Missing::Claim(claim)),
        BearerError::Issuer(fault) => unavailable(fault),
    }
}

fn lacking(site: &Site, missing: &Missing<'_>) -> Problem {
    missing.scopes().map_or_else(|| user::forbidden(missing), |scopes| insufficient_scope(site, &scopes))
}

fn invalid_token(site: &Site, detail: &str) -> Problem {
    Problem::new(&INVALID_TOKEN, detail).with_challenge(challenge(site, Some("invalid_token"), None))
}

fn insufficient_scope(site: &Site, scopes: &str) -> Problem {
    tracing::info!(%scopes, "an access token lacks a scope");
    Problem::new(&INSUFFICIENT_SCOPE, format!("The access token needs these scopes: {scopes}."))
        .with_challenge(challenge(site, Some("insufficient_scope"), Some(scopes)))
}

fn unavailable(fault: &IssuerFault) -> Problem {
    match fault {
        IssuerFault::Unavailable(_) | IssuerFault::Busy => {
            tracing::warn!(%fault, "an access token cannot be judged now")
        }
        fault => tracing::error!(%fault, "an access token cannot be judged"),
    }
    Problem::provider_unavailable(fault.retry_after().unwrap_or(SIGN_IN_RETRY_AFTER))
}

/// `WWW-Authenticate` (RFC 6750 §3). No part of it needs escaping: hosts, names of errors and scopes have no quotes.
fn challenge(site: &Site, error: Option<&str>, scopes: Option<&str>) -> String {
    let mut challenge = format!("Bearer realm=\"{}\"", site.origin.authority());
    for (name, value) in [("error", error), ("scope", scopes)] {
        if let Some(value) = value {
            challenge.push_str(&format!(", {name}=\"{value}\""));
        }
    }
    challenge
}

/// A WebSocket and an event stream live no longer than the access token: nobody could renew it.
fn tunnel_limits(services: &Services, request: &HttpRequest, verified: &VerifiedToken) -> TunnelLimits {
    if !asks_for_websocket(request) && !asks_for_event_stream(request) {
        return TunnelLimits::default();
    }
    let left = verified.good_until.map(|end| services.clock.now().until(end));
    TunnelLimits {
        ends_at: left.and_then(|left| Instant::now().checked_add(left)),
        idle: Some(services.sessions.settings().idle_timeout),
        ended: None,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(fields: &[&str]) -> Result<String, NoToken> {
        let request =
            fields.iter().fold(TestRequest::default(), |request, value| request.append_header((AUTHORIZATION, *value)));
        token(&request.to_http_request()).map(|token| token.expose().to_owned())
    }

    /// RFC 6750 §2.1, RFC 9110 §11.1.
    #[test]
    fn the_token_stands_behind_the_scheme_in_any_case() {
        for field in ["Bearer a.b-c_d~e+f/g==", "bearer a.b-c_d~e+f/g==", "BEARER   a.b-c_d~e+f/g=="] {
            assert_eq!(read(&[field]).as_deref(), Ok("a.b-c_d~e+f/g=="), "{field}");
        }
    }

    #[test]
    fn credentials_of_another_kind_are_none() {
        for field in ["Basic YTpi", "DPoP abc", "Bearerabc", "", "Bearer,"] {
            assert_eq!(read(&[field]), Err(NoToken::Missing), "{field:?}");
        }
        assert_eq!(read(&[]), Err(NoToken::Missing));
    }

    #[test]
    fn two_fields_are_refused_even_when_they_are_the_same() {
        assert_eq!(read(&["Bearer a", "Bearer a"]), Err(NoToken::Repeated));
        assert_eq!(read(&["Bearer a", "Basic YTpi"]), Err(NoToken::Repeated));
    }

    #[test]
    fn what_is_no_token_or_too_long_is_malformed() {
        let long = format!("Bearer {}", "a".repeat(LONGEST_TOKEN + 1));
        for field in [
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer a,b",
            "Bearer a, Bearer b",
            "Bearer =",
            "Bearer a=b",
            "Bearer \"a\"",
            &long,
        ] {
            assert_eq!(read(&[field]), Err(NoToken::Malformed), "{field}");
        }
    }

    /// RFC 6750 §3.
    #[test]
    fn a_challenge_names_the_realm_and_the_error_only_where_a_token_was_tried() {
        let site = Site::for_tests();
        assert_eq!(challenge(&site, None, None), "Bearer realm=\"app.example.com\"");
        assert_eq!(
            challenge(&site, Some("insufficient_scope"), Some("a b")),
            "Bearer realm=\"app.example.com\", error=\"insufficient_scope\", scope=\"a b\""
        );
    }
}
