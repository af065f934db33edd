//! Why an access token does not open a route. None of it holds a token or a claim's value.

use std::time::Duration;

use super::super::http::Unavailable;
use super::super::jwks::KeysError;
use super::JwsError;
use super::introspection::IntrospectionError;

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BearerError {
    /// The token is not good, whatever was asked for (RFC 6750 §3.1, `invalid_token`).
    #[error("the access token is refused: {0}")]
    Refused(#[from] TokenRefused),
    /// The token is good, but lacks scopes (RFC 6750 §3.1, `insufficient_scope`).
    #[error("the access token lacks a scope; needed are: {required}")]
    InsufficientScope {
        /// All scopes that are needed, with spaces between them.
        required: String,
    },
    /// The token is good, but lacks a claim or one of its values.
    #[error("the access token's claim {claim} lacks a required value")]
    Claim {
        /// The claim, as configured.
        claim: String,
    },
    /// The issuer could not be asked.
    #[error("the access token could not be judged: {0}")]
    Issuer(#[from] IssuerFault),
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRefused {
    /// It is no JWT, and no issuer can be asked about it; or its parts are not what they should be.
    #[error("it is not well-formed")]
    Malformed,
    /// It is encrypted, which only its issuer's other clients can read.
    #[error("it is encrypted")]
    Encrypted,
    /// Its header has critical extensions (RFC 7515 §4.1.11).
    #[error("its header has critical extensions")]
    CriticalExtensions,
    /// It is signed with an algorithm that the route does not take.
    #[error("it is signed with an algorithm that is not allowed")]
    Algorithm,
    /// Its header does not say `at+jwt` (RFC 9068 §4).
    #[error("its type is not at+jwt; issuers that do not set it need require_at_jwt = false")]
    Type,
    /// It is of an issuer that the route does not list, or does not say of whom.
    #[error("it is of another issuer")]
    Issuer,
    /// Its key is not among those that its issuer publishes.
    #[error("its key is not known")]
    UnknownKey,
    /// Its signature does not match.
    #[error("its signature is not valid")]
    Signature,
    /// It is for others.
    #[error("it is for another audience")]
    Audience,
    /// It has no `exp`.
    #[error("it has no expiry")]
    NoExpiry,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("it is not valid yet")]
    NotYetValid,
    /// Its issuer says that it is not active (RFC 7662 §2.2).
    #[error("its issuer says that it is not active")]
    Inactive,
    /// It counts only together with a proof of its client's (RFC 8705, RFC 9449), which does not reach us.
    #[error("it is bound to a key of its client, so that it is no bearer token")]
    SenderConstrained,
}

/// Why an issuer could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerFault {
    /// It does not answer, or says that it is not well.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Its keys cannot be used.
    #[error(transparent)]
    Keys(KeysError),
    /// What it says of a token cannot be used.
    #[error(transparent)]
    Introspection(#[from] IntrospectionError),
    /// As many tokens are being asked about as may be.
    #[error("too many tokens are being asked about at once")]
    Busy,
}

impl IssuerFault {
    /// How long it asks us to wait, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(unavailable) => unavailable.retry_after(),
            _ => None,
        }
    }
}

impl From<JwsError> for BearerError {
    fn from(error: JwsError) -> Self {
        let refused = match error {
            JwsError::Keys(error) => {
                return match error.unavailable() {
                    Some(unavailable) => IssuerFault::Unavailable(unavailable.clone()).into(),
                    None => IssuerFault::Keys(error).into(),
                };
            }
            JwsError::Malformed => TokenRefused::Malformed,
            JwsError::Encrypted => TokenRefused::Encrypted,
            JwsError::CriticalExtensions => TokenRefused::CriticalExtensions,
            JwsError::Algorithm(_) => TokenRefused::Algorithm,
            JwsError::UnknownKey => TokenRefused::UnknownKey,
            JwsError::Signature => TokenRefused::Signature,
        };
        Self::Refused(refused)
    }
}
