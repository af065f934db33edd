//! Logging out at the provider: RP-Initiated Logout 1.0 and token revocation (RFC 7009).

use http::StatusCode;
use serde_json::{Map, Value};
use url::Url;

use super::http::{HttpError, Unavailable};
use super::oauth_error::{OAuthError, WireError};
use super::provider::RelyingParty;
use super::{Metadata, Preset, ProviderSettings};
use crate::secret::{IdToken, RefreshToken};

/// Bytes of a revocation response that we read; only errors have a body.
const REVOCATION_LIMIT: usize = 64 * 1024;

/// What became of a token that was to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// The provider says that the token is dead (or was never alive).
    Revoked,
    /// The provider announces no revocation endpoint; the token lives until it expires.
    NotSupported,
}

/// Why a token was not revoked. With every one of them the token may live (RFC 7009 §2.2.1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// The provider cannot serve us now; a 503 is here.
    #[error("the refresh token may still live: {0}")]
    Unavailable(#[from] Unavailable),
    /// The provider refused, `unsupported_token_type` say.
    #[error("the refresh token may still live: the revocation endpoint refused: {0}")]
    Rejected(OAuthError),
    /// The answer is neither a success nor an error that RFC 7009 knows.
    #[error("the refresh token may still live: the revocation endpoint's answer is not usable")]
    InvalidResponse,
}

/// Claims that tell the provider who logs out, the best first: what it issued for this, its own session, and then names.
const HINT_CLAIMS: [&str; 4] = ["login_hint", "sid", "preferred_username", "email"];
/// The longest hint that goes into an address.
const LONGEST_HINT: usize = 256;

/// One logout at the provider (RP-Initiated Logout §2).
#[derive(Clone, Copy, Debug)]
pub struct LogoutRequest<'a> {
    /// The session's ID token, where it is still there and short enough for an address.
    pub id_token_hint: Option<&'a IdToken>,
    /// The claims of that token, for `logout_hint` in its place.
    pub claims: &'a Map<String, Value>,
    /// Where the browser comes back to, exactly as registered.
    pub post_logout_redirect_uri: &'a str,
    /// Comes back with it.
    pub state: &'a str,
}

/// The provider's logout page for this user, or `None` when it has none. `client_id` is always there, so that the
/// provider can check the redirect also without the hint (RP-Initiated Logout §2).
pub(super) fn end_session_url(
    settings: &ProviderSettings,
    metadata: &Metadata,
    request: &LogoutRequest<'_>,
) -> Option<Url> {
    let LogoutRequest { id_token_hint, claims, post_logout_redirect_uri, state } = *request;
    let particulars = &settings.particulars;
    let own = particulars.logout_url.clone().or_else(|| particulars.preset?.logout_url(metadata));
    if let Some(own) = own {
        return own.fill(&settings.client_id, post_logout_redirect_uri, state);
    }
    let mut url = metadata.end_session_endpoint.clone()?;
    {
        let mut query = url.query_pairs_mut();
        if let Some(hint) = id_token_hint {
            query.append_pair("id_token_hint", hint.expose());
        }
        if let Some(hint) = logout_hint(particulars.preset, id_token_hint, claims) {
            query.append_pair("logout_hint", hint);
        }
        query.append_pair("client_id", &settings.client_id);
        query.append_pair("post_logout_redirect_uri", post_logout_redirect_uri);
        query.append_pair("state", state);
    }
    Some(url)
}

/// Who logs out, where the ID token does not say it. Entra ID goes by its own `login_hint` alone, and asks the user which
/// account is meant without it.
fn logout_hint<'a>(
    preset: Option<Preset>,
    id_token_hint: Option<&IdToken>,
    claims: &'a Map<String, Value>,
) -> Option<&'a str> {
    let names = match (preset, id_token_hint) {
        (Some(Preset::Entra), _) => &HINT_CLAIMS[..1],
        (_, None) => &HINT_CLAIMS[..],
        (_, Some(_)) => return None,
    };
    let text = |name: &&str| claims.get(*name).and_then(Value::as_str);
    names.iter().find_map(text).filter(|hint| !hint.is_empty() && hint.len() <= LONGEST_HINT)
}

/// The `oauth2` crate revokes over https only, even on loopback, so the request is made here.
pub(super) async fn revoke(party: &RelyingParty, token: &RefreshToken) -> Result<Revocation, RevokeError> {
    let metadata = party.discovered().await?;
    let Some(endpoint) = &metadata.revocation_endpoint else { return Ok(Revocation::NotSupported) };
    let credentials = party.client.credentials(&metadata.token_endpoint)?;
    // RFC 7009 §2.1, with the client authenticated as at the token endpoint.
    let form = [("token", token.expose()), ("token_type_hint", "refresh_token")];
    let request = credentials.post(endpoint, &form).map_err(|_| RevokeError::InvalidResponse)?;
    let response = party.http.send(request, REVOCATION_LIMIT).await.map_err(|error| match error {
        HttpError::Unavailable(unavailable) => RevokeError::Unavailable(unavailable),
        _ => RevokeError::InvalidResponse,
    })?;
    if response.status() == StatusCode::OK || response.status() == StatusCode::NO_CONTENT {
        return Ok(Revocation::Revoked);
    }
    let error: WireError = serde_json::from_slice(response.body()).map_err(|_| RevokeError::InvalidResponse)?;
    let secrets: Vec<&str> = credentials.secrets().chain([token.expose()]).collect();
    Err(RevokeError::Rejected(error.scrubbed(&secrets)))
}
