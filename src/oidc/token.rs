//! The token endpoint: codes and refresh tokens in, verified token sets out (RFC 6749 §4.1.3, §6; OpenID Connect
//! Core §3.1.3, §12).
//!
//! Must never give a token out before everything about its response is verified, and never put a response, a code, a
//! verifier or a token into an error.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures_util::future::BoxFuture;
use oauth2::{Client, ClientId, EndpointNotSet, EndpointSet, RequestTokenError, TokenUrl};
use serde_json::{Map, Value};

use super::Metadata;
use super::client_authentication::Credentials;
use super::http::{HttpError, Unavailable};
use super::id_token::{self, Expectations, IdTokenError, IdentityChange, OriginalIdentity};
use super::json::parse_object;
use super::jws::KeySource;
use super::oauth_error::{OAuthError, WireError};
use super::provider::RelyingParty;
use super::token_need::TokenNeed;
use super::token_response::WireTokenResponse;
use super::userinfo::{self, UserInfo, UserInfoError};
use crate::clock::UnixTime;
use crate::secret::{AccessToken, AuthorizationCode, CodeVerifier, IdToken, Nonce, RefreshToken};

/// Bytes of a token response that we read.
const TOKEN_RESPONSE_LIMIT: usize = 256 * 1024;
/// How long a refresh waits for UserInfo: well below what a request waits for the refresh.
const USERINFO_PATIENCE: Duration = Duration::from_secs(2);

/// What a token request yields, all of it verified. `Debug` shows no token, and of the claims the names alone.
#[derive(Clone, PartialEq)]
pub struct TokenSet {
    /// For the API.
    pub access_token: AccessToken,
    /// From `expires_in`, counted from before the request, or the configured default.
    pub access_token_expires_at: UnixTime,
    /// The granted scope; `None` when it is the one asked for (RFC 6749 §5.1).
    pub scope: Option<String>,
    /// The refresh token to use from now on: after a refresh that named none, the one that was sent (RFC 6749 §6).
    pub refresh_token: Option<RefreshToken>,
    /// The ID token, verified. Always there after a login; after a refresh only if the provider sent one.
    pub id_token: Option<IdToken>,
    /// The claims of that ID token.
    pub claims: Option<Map<String, Value>>,
    /// What UserInfo says beside it.
    pub userinfo: UserInfo,
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("access_token", &self.access_token)
            .field("access_token_expires_at", &self.access_token_expires_at)
            .field("scope", &self.scope)
            .field("refresh_token", &self.refresh_token)
            .field("id_token", &self.id_token)
            .field("claims", &self.claims.as_ref().map(|claims| claims.keys().collect::<Vec<_>>()))
            .finish_non_exhaustive()
    }
}

/// A code, and what its login transaction knows of it.
#[derive(Clone, Debug)]
pub struct Redemption {
    /// From the authorization response.
    pub code: AuthorizationCode,
    /// The verifier whose challenge was sent (RFC 7636 §4.5).
    pub verifier: CodeVerifier,
    /// What the ID token must carry.
    pub nonce: Nonce,
    /// As in the authorization request, to the letter.
    pub redirect_uri: String,
    /// What was asked for: the ID token must then say when the user proved who they are (Core §3.1.3.7 item 13).
    pub max_age: Option<Duration>,
}

/// Why a token response cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResponse {
    /// Not the JSON of RFC 6749 §5.1 or §5.2, or a member is missing, repeated or of the wrong type.
    #[error("the token endpoint's answer is not the JSON that RFC 6749 asks for")]
    NotJson,
    /// Longer than 256 KiB.
    #[error("the token endpoint's answer is too long")]
    TooLarge,
    /// A redirect, which is never followed.
    #[error("the token endpoint answered with a redirect, which is not followed")]
    Redirect,
    /// A `token_type` other than Bearer (RFC 6749 §7.1).
    #[error("the token endpoint gave a token of a type other than Bearer")]
    TokenType,
    /// An access token that is empty, or has characters that a header field cannot carry (RFC 6750 §2.1).
    #[error("the token endpoint gave an access token that a header field cannot carry")]
    AccessToken,
}

/// Why a code yields no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedeemError {
    /// The provider cannot serve us now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The provider refused: `invalid_grant` for a code that is spent or late, `invalid_client` for a wrong secret.
    #[error("the token endpoint refused: {0}")]
    Rejected(OAuthError),
    /// The answer is not a token response.
    #[error(transparent)]
    InvalidResponse(#[from] InvalidResponse),
    /// The ID token does not verify.
    #[error(transparent)]
    IdToken(IdTokenError),
    /// UserInfo gives no claims, or another user's.
    #[error(transparent)]
    UserInfo(UserInfoError),
}

/// Why a refresh token yields no new tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The refresh token is dead: expired, revoked, or used by someone else (RFC 6749 §5.2).
    #[error("the refresh token is no longer valid")]
    InvalidGrant,
    /// The provider cannot serve us now. After a timeout or an interruption it may have acted all the same.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The provider gives no token for what the refresh named: `invalid_target` (RFC 8707 §2), `invalid_scope` or another.
    /// The refresh token may be good for others.
    #[error("the provider gives no access token for {need}: {error}")]
    NotGranted {
        /// What was asked for.
        need: TokenNeed,
        /// The provider's word.
        error: OAuthError,
    },
    /// The provider refused for another reason, `invalid_client` say.
    #[error("the token endpoint refused: {0}")]
    Rejected(OAuthError),
    /// The answer is not a token response.
    #[error(transparent)]
    InvalidResponse(#[from] InvalidResponse),
    /// The ID token does not verify.
    #[error(transparent)]
    IdToken(IdTokenError),
    /// The ID token verifies, but is not for the user who logged in (Core §12.2).
    #[error(transparent)]
    IdentityChanged(#[from] IdentityChange),
    /// UserInfo gives no claims, or another user's. Where it cannot be asked the refresh goes on without it.
    #[error(transparent)]
    UserInfo(#[from] UserInfoError),
}

/// What can go wrong with a token request, before any ID token is looked at.
pub(super) enum ExchangeError {
    Unavailable(Unavailable),
    Rejected(OAuthError),
    InvalidResponse(InvalidResponse),
}

pub(super) async fn redeem(party: &RelyingParty, redemption: &Redemption) -> Result<TokenSet, RedeemError> {
    let Redemption { code, verifier, nonce, redirect_uri, max_age } = redemption;
    let metadata = party.discovered().await?;
    let sent_at = party.clock.now();
    let client = client(party, &metadata);
    let mut request = client
        .exchange_code(oauth2::AuthorizationCode::new(code.expose().to_owned()))
        .set_pkce_verifier(oauth2::PkceCodeVerifier::new(verifier.expose().to_owned()))
        .add_extra_param("redirect_uri", redirect_uri);
    for resource in &party.settings.authorization.resources {
        request = request.add_extra_param("resource", resource);
    }
    let credentials = party.client.credentials(&metadata.token_endpoint)?;
    let http = sender(party, &credentials);
    let sent = [code.expose(), verifier.expose()];
    let response = exchange(&credentials, &sent, request.request_async(&http)).await?;
    let mut tokens = token_set(party, response, sent_at)?;
    let id_token = tokens.id_token.as_ref().ok_or(RedeemError::IdToken(IdTokenError::Missing))?;
    let claims = verify_id_token(party, &metadata, id_token, &tokens.access_token, (Some(nonce), *max_age)).await;
    tokens.claims = Some(claims.map_err(|error| match unavailable(&error) {
        Some(unavailable) => RedeemError::Unavailable(unavailable),
        None => RedeemError::IdToken(error),
    })?);
    let subject = subject(&tokens).ok_or(RedeemError::IdToken(IdTokenError::Subject))?;
    tokens.userinfo = userinfo::fetch(party, &metadata, &tokens.access_token, subject).await?;
    Ok(tokens)
}

pub(super) async fn refresh(
    party: &RelyingParty,
    refresh_token: &RefreshToken,
    original: &OriginalIdentity,
    need: Option<&TokenNeed>,
) -> Result<TokenSet, RefreshError> {
    let metadata = party.discovered().await?;
    let sent_at = party.clock.now();
    let client = client(party, &metadata);
    let sent = oauth2::RefreshToken::new(refresh_token.expose().to_owned());
    let credentials = party.client.credentials(&metadata.token_endpoint)?;
    let http = sender(party, &credentials);
    let mut request = client.exchange_refresh_token(&sent);
    for (name, value) in need.unwrap_or(&TokenNeed::default()).refresh_parameters(&party.settings) {
        request = request.add_extra_param(name, value);
    }
    let answered = exchange(&credentials, &[refresh_token.expose()], request.request_async(&http)).await;
    let response = answered.map_err(|error| refresh_error(party, need, error))?;
    let mut tokens = token_set(party, response, sent_at)?;
    tokens.refresh_token.get_or_insert_with(|| refresh_token.clone());
    if let Some(id_token) = &tokens.id_token {
        let verified = verify_id_token(party, &metadata, id_token, &tokens.access_token, (None, None)).await;
        take_refreshed(&mut tokens, verified, original)?;
    }
    if need.is_some() {
        // A token for another API is none for UserInfo.
        tokens.userinfo = UserInfo::Kept;
        return Ok(tokens);
    }
    let asked = userinfo::fetch(party, &metadata, &tokens.access_token, &original.subject);
    // Others wait for these tokens, and not for claims.
    let answered = tokio::time::timeout(USERINFO_PATIENCE, asked).await;
    tokens.userinfo = match answered.unwrap_or(Err(UserInfoError::Unavailable(Unavailable::Timeout))) {
        Ok(userinfo) => userinfo,
        // As above: what it said before stays until the next refresh.
        Err(error @ (UserInfoError::Unavailable(_) | UserInfoError::UnknownKey)) => {
            tracing::warn!(%error, "UserInfo cannot be had at a refresh; what it said before stays");
            UserInfo::Kept
        }
        Err(error) => return Err(error.into()),
    };
    Ok(tokens)
}

/// Tells a refusal of what was named from one of the refresh token itself.
fn refresh_error(party: &RelyingParty, need: Option<&TokenNeed>, error: ExchangeError) -> RefreshError {
    match (need, error) {
        (Some(need), ExchangeError::Rejected(error)) if refuses_the_need(party, &error) => {
            RefreshError::NotGranted { need: need.clone(), error }
        }
        (_, error) => error.into(),
    }
}

/// RFC 6749 §5.2, RFC 8707 §2, RFC 9470 §5 and OpenID Connect Core §3.1.2.6: what is wrong lies in what was asked for, or
/// in what the user has not agreed to.
fn refuses_the_need(party: &RelyingParty, error: &OAuthError) -> bool {
    let codes = ["invalid_target", "invalid_scope", "access_denied", "consent_required", "interaction_required"];
    codes.contains(&error.code()) || party.settings.particulars.preset.is_some_and(|preset| preset.refuses_api(error))
}

/// Puts the claims of a refreshed ID token in, if it is the same user's.
fn take_refreshed(
    tokens: &mut TokenSet,
    verified: Result<Map<String, Value>, IdTokenError>,
    original: &OriginalIdentity,
) -> Result<(), RefreshError> {
    match verified {
        Ok(claims) => {
            original.check(&claims)?;
            tokens.claims = Some(claims);
        }
        // The old refresh token may be spent by now, so failing here would end the session. A refresh response need
        // not have an ID token (Core §12.2): without the key to verify it with, this one counts as absent.
        Err(error) if unavailable(&error).is_some() || error == IdTokenError::UnknownKey => {
            tracing::warn!(%error, "a refreshed ID token is left out");
            tokens.id_token = None;
        }
        Err(error) => return Err(RefreshError::IdToken(error)),
    }
    Ok(())
}

fn subject(tokens: &TokenSet) -> Option<&str> {
    tokens.claims.as_ref()?.get("sub")?.as_str()
}

pub(super) type TokenClient = Client<
    WireError,
    WireTokenResponse,
    oauth2::basic::BasicTokenIntrospectionResponse,
    oauth2::StandardRevocableToken,
    WireError,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// The library's client knows no secret: [`Credentials`] authenticate its requests.
pub(super) fn client(party: &RelyingParty, metadata: &Metadata) -> TokenClient {
    Client::new(ClientId::new(party.settings.client_id.clone()))
        .set_token_uri(TokenUrl::from_url(metadata.token_endpoint.clone()))
}

/// Sends with the provider's client. The future owns what it needs: one that borrows is not `Send` inside the library.
pub(super) fn sender(
    party: &RelyingParty,
    credentials: &Credentials,
) -> impl Fn(oauth2::HttpRequest) -> BoxFuture<'static, Result<oauth2::HttpResponse, HttpError>> + Send + Sync + use<> {
    let (http, credentials) = (party.http.clone(), credentials.clone());
    move |mut request| {
        let http = http.clone();
        credentials.apply(&mut request);
        Box::pin(async move { http.send(request, TOKEN_RESPONSE_LIMIT).await.and_then(one_object) })
    }
}

/// The library reads the first object of a body and leaves what stands behind it.
fn one_object(response: oauth2::HttpResponse) -> Result<oauth2::HttpResponse, HttpError> {
    parse_object(response.body()).map(|_| ()).map_err(|_| HttpError::NotJson)?;
    Ok(response)
}

/// Awaits the response and turns what went wrong into words of ours: the library's errors hold the raw body.
pub(super) async fn exchange<F>(
    credentials: &Credentials,
    sent: &[&str],
    request: F,
) -> Result<WireTokenResponse, ExchangeError>
where
    F: Future<Output = Result<WireTokenResponse, RequestTokenError<HttpError, WireError>>>,
{
    let error = match request.await {
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    Err(match error {
        RequestTokenError::ServerResponse(wire) => {
            let secrets: Vec<&str> = credentials.secrets().chain(sent.iter().copied()).collect();
            let error = wire.scrubbed(&secrets);
            match error.code() {
                "temporarily_unavailable" | "server_error" => ExchangeError::Unavailable(Unavailable::Temporary(error)),
                _ => ExchangeError::Rejected(error),
            }
        }
        RequestTokenError::Request(HttpError::Unavailable(unavailable)) => ExchangeError::Unavailable(unavailable),
        RequestTokenError::Request(HttpError::TooLarge { .. }) => {
            ExchangeError::InvalidResponse(InvalidResponse::TooLarge)
        }
        RequestTokenError::Request(HttpError::Redirect { .. }) => {
            ExchangeError::InvalidResponse(InvalidResponse::Redirect)
        }
        _ => ExchangeError::InvalidResponse(InvalidResponse::NotJson),
    })
}

/// The response as tokens; its ID token is not verified yet.
pub(super) fn token_set(
    party: &RelyingParty,
    response: WireTokenResponse,
    sent_at: UnixTime,
) -> Result<TokenSet, InvalidResponse> {
    if !response.is_bearer() {
        return Err(InvalidResponse::TokenType);
    }
    let access_token = response.access_token();
    if access_token.is_empty() || !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(InvalidResponse::AccessToken);
    }
    let lifetime = response.lifetime().unwrap_or(party.settings.default_access_token_lifetime);
    Ok(TokenSet {
        access_token: AccessToken::new(access_token),
        access_token_expires_at: sent_at.plus(lifetime),
        scope: response.scope().map(str::to_owned),
        refresh_token: response.refresh_token().map(RefreshToken::new),
        id_token: response.id_token().map(IdToken::new),
        claims: None,
        userinfo: UserInfo::Unused,
    })
}

async fn verify_id_token(
    party: &RelyingParty,
    metadata: &Metadata,
    id_token: &IdToken,
    access_token: &AccessToken,
    (nonce, max_age): (Option<&Nonce>, Option<Duration>),
) -> Result<Map<String, Value>, IdTokenError> {
    let expected = Expectations {
        issuer: &party.issuer,
        client_id: &party.settings.client_id,
        trusted_audiences: &party.settings.trusted_audiences,
        algorithms: &party.algorithms,
        nonce,
        max_age,
        access_token: access_token.expose(),
        now: party.clock.now(),
        skew: party.settings.clock_skew,
    };
    let keys = KeySource { cache: &party.keys, http: &party.http, uri: &metadata.jwks_uri };
    id_token::verify(id_token.expose(), &expected, &keys).await
}

fn unavailable(error: &IdTokenError) -> Option<Unavailable> {
    match error {
        IdTokenError::Keys(error) => error.unavailable().cloned(),
        _ => None,
    }
}

impl From<UserInfoError> for RedeemError {
    fn from(error: UserInfoError) -> Self {
        match error {
            UserInfoError::Unavailable(unavailable) => Self::Unavailable(unavailable),
            error => Self::UserInfo(error),
        }
    }
}

impl From<ExchangeError> for RedeemError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Unavailable(unavailable) => Self::Unavailable(unavailable),
            ExchangeError::Rejected(error) => Self::Rejected(error),
            ExchangeError::InvalidResponse(reason) => Self::InvalidResponse(reason),
        }
    }
}

impl From<ExchangeError> for RefreshError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Unavailable(unavailable) => Self::Unavailable(unavailable),
            ExchangeError::Rejected(error) if error.code() == "invalid_grant" => Self::InvalidGrant,
            ExchangeError::Rejected(error) => Self::Rejected(error),
            ExchangeError::InvalidResponse(reason) => Self::InvalidResponse(reason),
        }
    }
}

#[cfg(test)]
mod tests;
