//! The token endpoint (RFC 6749 §3.2), revocation (RFC 7009) and UserInfo (OpenID Connect Core §5.3).
//!
//! Must never say more than an error code to a client that is not authenticated.

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use crate::clock::UnixTime;
use crate::secret::SecretString;

use super::grants::{Grant, GrantError, Grants, Redeemed, random_text};
use super::keys::{AccessTokenClaims, IdTokenClaims, KeyError, bearer_token};
use super::params::Params;
use super::{AUDIENCE, Provider};

/// How long an ID token is good for the one check that it is made for, in seconds.
const ID_TOKEN_SECONDS: i64 = 300;

/// Why a request is refused (RFC 6749 §5.2).
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("the client could not be authenticated")]
    InvalidClient,
    #[error("{0}")]
    InvalidGrant(#[from] GrantError),
    #[error("the scope is wider than the one granted")]
    InvalidScope,
    #[error("only authorization_code and refresh_token are supported")]
    UnsupportedGrantType,
    #[error("a token could not be signed")]
    Server(#[from] KeyError),
}

impl Refusal {
    const fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::InvalidGrant(_) => (StatusCode::BAD_REQUEST, "invalid_grant"),
            Self::InvalidScope => (StatusCode::BAD_REQUEST, "invalid_scope"),
            Self::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::Server(_) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        }
    }

    fn response(&self) -> HttpResponse {
        let (status, error) = self.code();
        let mut response = HttpResponse::build(status);
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Basic realm=\"demo provider\""));
        }
        response
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header((PRAGMA, "no-cache"))
            .json(json!({ "error": error, "error_description": self.to_string() }))
    }
}

/// `POST /token`
pub async fn token(request: HttpRequest, body: web::Bytes, provider: web::Data<Provider>) -> HttpResponse {
    let answer = authenticated_form(&request, &body, &provider).and_then(|form| exchange(&form, &provider));
    match answer {
        Ok(tokens) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header((PRAGMA, "no-cache"))
            .json(tokens),
        Err(refusal) => refusal.response(),
    }
}

/// `POST /revoke`: 200 for any token, known or not (RFC 7009 §2.2); the whole grant ends.
pub async fn revoke(request: HttpRequest, body: web::Bytes, provider: web::Data<Provider>) -> HttpResponse {
    let form = match authenticated_form(&request, &body, &provider) {
        Ok(form) => form,
        Err(refusal) => return refusal.response(),
    };
    let Some(token) = form.value("token") else {
        return Refusal::InvalidRequest("token is missing").response();
    };
    let mut state = provider.state();
    state.grants.revoke_by_refresh_token(token);
    if let Ok(claims) = provider.keys.verifying().access_token(token, AUDIENCE, provider.clock.now()) {
        state.grants.revoke(grant_id(&claims));
    }
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).finish()
}

/// `GET /userinfo` and `POST /userinfo`
pub async fn userinfo(request: HttpRequest, provider: web::Data<Provider>) -> HttpResponse {
    let bearer = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer_token);
    let Some(token) = bearer else {
        return HttpResponse::Unauthorized().insert_header((WWW_AUTHENTICATE, "Bearer")).finish();
    };
    let claims = provider.keys.verifying().access_token(token, AUDIENCE, provider.clock.now()).ok();
    let state = provider.state();
    match claims.and_then(|claims| state.grants.by_id(grant_id(&claims))) {
        Some(grant) => HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(user_claims(grant)),
        None => {
            HttpResponse::Unauthorized().insert_header((WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")).finish()
        }
    }
}

fn exchange(form: &Params, provider: &Provider) -> Result<Value, Refusal> {
    let now = provider.clock.now();
    match form.value("grant_type") {
        Some("authorization_code") => {
            let redeemed = redeem_code(form, &mut provider.state().grants, now)?;
            let nonce = redeemed.grant.nonce.clone();
            Ok(tokens(provider, redeemed, nonce, None, now)?)
        }
        Some("refresh_token") => {
            let (redeemed, scope) = refresh(form, &mut provider.state().grants, now)?;
            Ok(tokens(provider, redeemed, None, scope, now)?)
        }
        Some(_) => Err(Refusal::UnsupportedGrantType),
        None => Err(Refusal::InvalidRequest("grant_type is missing")),
    }
}

fn redeem_code(form: &Params, grants: &mut Grants, now: UnixTime) -> Result<Redeemed, Refusal> {
    let code = form.value("code").ok_or(Refusal::InvalidRequest("code is missing"))?;
    let redirect_uri = form.value("redirect_uri").ok_or(Refusal::InvalidRequest("redirect_uri is missing"))?;
    let verifier = form.value("code_verifier").ok_or(Refusal::InvalidRequest("code_verifier is missing"))?;
    Ok(grants.redeem_code(code, redirect_uri, verifier, now)?)
}

/// The scope is looked at first: a request that asks for too much must not cost the refresh token.
fn refresh(form: &Params, grants: &mut Grants, now: UnixTime) -> Result<(Redeemed, Option<String>), Refusal> {
    let token = form.value("refresh_token").ok_or(Refusal::InvalidRequest("refresh_token is missing"))?;
    let scope = form.owned("scope");
    let within =
        |grant: &Grant| scope.iter().flat_map(|scope| scope.split_ascii_whitespace()).all(|s| grant.permits(s));
    if grants.by_refresh_token(token).is_some_and(|grant| !within(grant)) {
        return Err(Refusal::InvalidScope);
    }
    Ok((grants.rotate(token, now)?, scope))
}

fn tokens(
    provider: &Provider,
    redeemed: Redeemed,
    nonce: Option<String>,
    narrowed: Option<String>,
    now: UnixTime,
) -> Result<Value, KeyError> {
    let Redeemed { grant_id, grant, refresh_token } = redeemed;
    let scope = narrowed.unwrap_or_else(|| grant.scopes.join(" "));
    let access_token = provider.keys.sign_access_token(&AccessTokenClaims {
        iss: provider.issuer.clone(),
        sub: grant.user.sub.to_owned(),
        aud: AUDIENCE.to_owned(),
        client_id: provider.settings.client_id.clone(),
        scope: scope.clone(),
        iat: now.as_secs(),
        exp: now.plus(provider.settings.access_token_lifetime).as_secs(),
        jti: format!("{grant_id}.{}", random_text()),
    })?;
    let id_token = provider.keys.sign_id_token(&IdTokenClaims {
        iss: provider.issuer.clone(),
        sub: grant.user.sub.to_owned(),
        aud: provider.settings.client_id.clone(),
        exp: now.as_secs() + ID_TOKEN_SECONDS,
        iat: now.as_secs(),
        auth_time: grant.auth_time.as_secs(),
        nonce,
        at_hash: at_hash(&access_token),
        sid: grant.sid.clone(),
        name: grant.user.name.to_owned(),
        preferred_username: grant.user.username.to_owned(),
        email: grant.user.email.to_owned(),
        email_verified: true,
        groups: grant.user.groups.iter().map(|group| (*group).to_owned()).collect(),
    })?;
    let mut tokens = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": provider.settings.access_token_lifetime.as_secs(),
        "scope": scope,
        "id_token": id_token,
    });
    if let Some(refresh_token) = refresh_token {
        tokens["refresh_token"] = refresh_token.into();
    }
    Ok(tokens)
}

/// OpenID Connect Core §3.1.3.6: the left half of the SHA-256, as ES256 has it.
fn at_hash(access_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(access_token)[..16])
}

fn grant_id(claims: &AccessTokenClaims) -> &str {
    claims.jti.split_once('.').map_or("", |(grant_id, _)| grant_id)
}

fn user_claims(grant: &Grant) -> Value {
    json!({
        "sub": grant.user.sub,
        "name": grant.user.name,
        "preferred_username": grant.user.username,
        "email": grant.user.email,
        "email_verified": true,
        "groups": grant.user.groups,
    })
}

/// The form of a request that comes from the client (RFC 6749 §2.3.1): Basic or in the body, never both.
fn authenticated_form(request: &HttpRequest, body: &[u8], provider: &Provider) -> Result<Params, Refusal> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refusal::InvalidRequest("the body must be application/x-www-form-urlencoded"));
    }
    let form = Params::parse(body).map_err(|_| Refusal::InvalidRequest("a parameter comes more than once"))?;
    let (client_id, secret) = match request.headers().get(AUTHORIZATION) {
        Some(_) if form.value("client_secret").is_some() => {
            return Err(Refusal::InvalidRequest("two ways of client authentication at once"));
        }
        Some(basic) => basic.to_str().ok().and_then(basic_credentials).ok_or(Refusal::InvalidClient)?,
        None => match (form.owned("client_id"), form.owned("client_secret")) {
            (Some(client_id), Some(secret)) => (client_id, secret),
            _ => return Err(Refusal::InvalidClient),
        },
    };
    let known = client_id == provider.settings.client_id;
    if known & (SecretString::new(secret) == provider.settings.client_secret) {
        Ok(form)
    } else {
        Err(Refusal::InvalidClient)
    }
}

/// User name and password of HTTP Basic, each form-decoded (RFC 6749 §2.3.1).
fn basic_credentials(authorization: &str) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    Some((form_decoded(client_id), form_decoded(secret)))
}

fn form_decoded(text: &str) -> String {
    // As the name of a pair without `=`; `&` cannot stand unencoded in what was form-encoded.
    form_urlencoded::parse(text.as_bytes()).next().map_or_else(String::new, |(name, _)| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6749 §2.3.1
    #[test]
    fn basic_credentials_are_form_decoded() {
        let header = format!("Basic {}", STANDARD.encode("my%20app:s%3Ae+c%25ret"));
        assert_eq!(basic_credentials(&header), Some(("my app".to_owned(), "s:e c%ret".to_owned())));
        assert_eq!(basic_credentials("Bearer abc"), None);
        assert_eq!(basic_credentials("Basic !!!"), None);
    }
}
