//! Tokens for the application itself: the client credentials grant (RFC 6749 §4.4).
//!
//! Nobody is signed in here. Must never give such a token to a session, nor put it into an error.

use std::fmt;

use super::http::Unavailable;
use super::oauth_error::OAuthError;
use super::provider::RelyingParty;
use super::token::{ExchangeError, InvalidResponse, client, exchange, sender, token_set};
use super::token_need::TokenNeed;
use crate::clock::UnixTime;
use crate::secret::AccessToken;

/// An access token of the application's own.
#[derive(Clone)]
pub struct ClientToken {
    /// The token.
    pub access_token: AccessToken,
    /// From `expires_in`, counted from before the request, or the configured default.
    pub expires_at: UnixTime,
}

impl fmt::Debug for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientToken([redacted] until {})", self.expires_at)
    }
}

/// Why the application gets no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientCredentialsError {
    /// The provider cannot serve us now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The provider refused: `unauthorized_client` where the registration does not allow this grant, `invalid_client` for
    /// a wrong secret, `invalid_scope`, `invalid_target`.
    #[error("the token endpoint refused: {0}")]
    Rejected(OAuthError),
    /// The answer is not a token response.
    #[error(transparent)]
    InvalidResponse(#[from] InvalidResponse),
}

/// Asks for a token. A refresh token that comes with it is left alone (RFC 6749 §4.4.3).
pub(super) async fn ask(party: &RelyingParty, need: &TokenNeed) -> Result<ClientToken, ClientCredentialsError> {
    let metadata = party.discovered().await?;
    let sent_at = party.clock.now();
    let client = client(party, &metadata);
    let credentials = party.client.credentials(&metadata.token_endpoint)?;
    let http = sender(party, &credentials);
    let mut request = client.exchange_client_credentials();
    for (name, value) in need.parameters() {
        request = request.add_extra_param(name, value);
    }
    let response = exchange(&credentials, &[], request.request_async(&http)).await?;
    let tokens = token_set(party, response, sent_at)?;
    Ok(ClientToken { access_token: tokens.access_token, expires_at: tokens.access_token_expires_at })
}

impl From<ExchangeError> for ClientCredentialsError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Unavailable(unavailable) => Self::Unavailable(unavailable),
            ExchangeError::Rejected(error) => Self::Rejected(error),
            ExchangeError::InvalidResponse(reason) => Self::InvalidResponse(reason),
        }
    }
}

#[cfg(test)]
mod tests;
