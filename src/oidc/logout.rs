//! Logging out at the provider: RP-Initiated Logout 1.0 and token revocation (RFC 7009).

use http::StatusCode;
use url::Url;

use super::http::{HttpError, Unavailable};
use super::oauth_error::{OAuthError, WireError};
use super::provider::RelyingParty;
use super::{Metadata, ProviderSettings};
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

/// The provider's logout page for this user, or `None` when it announces none. `client_id` is always there, so that
/// the provider can check the redirect also without the hint (RP-Initiated Logout §2).
pub(super) fn end_session_url(
    settings: &ProviderSettings,
    metadata: &Metadata,
    id_token_hint: Option<&IdToken>,
    post_logout_redirect_uri: &str,
    state: Option<&str>,
) -> Option<Url> {
    let mut url = metadata.end_session_endpoint.clone()?;
    {
        let mut query = url.query_pairs_mut();
        if let Some(hint) = id_token_hint {
            query.append_pair("id_token_hint", hint.expose());
        }
        query.append_pair("client_id", &settings.client_id);
        query.append_pair("post_logout_redirect_uri", post_logout_redirect_uri);
        if let Some(state) = state {
            query.append_pair("state", state);
        }
    }
    Some(url)
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
