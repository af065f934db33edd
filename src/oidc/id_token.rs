//! ID tokens: the whole of OpenID Connect Core §3.1.3.7, and §12.2 for refreshed ones.
//!
//! Must never give claims of a token whose signature was not verified, however the token came. Must never put a
//! token or a claim's value into an error.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

use super::jwks::KeysError;
use super::jws::{self, JwsError, KeySource, Verified};
use super::preset::IssuerRule;
use crate::clock::UnixTime;
use crate::secret::Nonce;

/// The longest `sub` (OpenID Connect Core §2).
const LONGEST_SUBJECT: usize = 255;

/// Why an ID token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdTokenError {
    /// The token response has none, although `openid` was asked for (Core §3.1.3.3).
    #[error("the token response has no ID token")]
    Missing,
    /// Not a signed JWT: not three parts of base64url with JSON in them, or a member name is repeated.
    #[error("the ID token is not a well-formed signed JWT")]
    Malformed,
    /// Five parts: an encrypted token, which we do not support.
    #[error(
        "the ID token is encrypted, which is not supported; turn off ID token encryption for this client at the provider"
    )]
    Encrypted,
    /// The header has critical extensions (RFC 7515 §4.1.11); we know none.
    #[error("the ID token's header has critical extensions")]
    CriticalExtensions,
    /// The algorithm is not among the configured ones; `none` and HMAC never are.
    #[error("the ID token is signed with {0:?}, which the configuration does not allow")]
    Algorithm(String),
    /// The provider's keys cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The provider's key set has no key for this token, even after it was fetched again.
    #[error("the ID token is signed with a key that the provider does not publish")]
    UnknownKey,
    /// The signature does not match.
    #[error("the ID token's signature is not valid")]
    Signature,
    /// `iss` is missing or another.
    #[error("the ID token is from another issuer")]
    Issuer,
    /// `aud` is missing, or does not have our client_id.
    #[error("the ID token is for another audience")]
    Audience,
    /// `aud` names others beside us that are not configured as trusted.
    #[error("the ID token names a further audience that is not in trusted_audiences")]
    UntrustedAudience,
    /// `azp` is present and not our client_id.
    #[error("the ID token is for another authorized party")]
    AuthorizedParty,
    /// `sub` is missing, empty or longer than 255 characters.
    #[error("the ID token's subject is missing, empty or too long")]
    Subject,
    /// `exp` is missing or no number.
    #[error("the ID token has no valid expiry")]
    NoExpiry,
    /// `exp` has passed.
    #[error("the ID token has expired; if this is sudden, compare the clocks")]
    Expired,
    /// `iat` is missing, no number, or in the future.
    #[error("the ID token's time of issue is missing or in the future; if this is sudden, compare the clocks")]
    IssuedAt,
    /// `nbf` is no number, or in the future.
    #[error("the ID token is not valid yet; if this is sudden, compare the clocks")]
    NotBefore,
    /// `max_age` was asked for, and `auth_time` is missing or no number (Core §2).
    #[error("the ID token does not say when the user signed in, although max_age was asked for")]
    NoAuthenticationTime,
    /// `auth_time` is longer ago than the `max_age` that was asked for, or in the future (Core §3.1.3.7 item 13).
    #[error("the user signed in longer ago than max_age, or in the future; if this is sudden, compare the clocks")]
    AuthenticationTooOld,
    /// `nonce` is not the one of this login.
    #[error("the ID token's nonce is not the one of this login")]
    Nonce,
    /// `at_hash` does not fit the access token (Core §3.1.3.8).
    #[error("the ID token belongs to another access token")]
    AccessTokenHash,
}

/// What the original ID token said, for the comparison with a refreshed one (Core §12.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalIdentity {
    /// Its `iss`.
    pub issuer: String,
    /// Its `sub`.
    pub subject: String,
    /// Its `aud`, in any order.
    pub audience: Vec<String>,
    /// Its `nonce`, if it is still known.
    pub nonce: Option<String>,
    /// Its `azp`, if it had one.
    pub authorized_party: Option<String>,
}

impl OriginalIdentity {
    /// Reads the identity from the claims of a verified ID token; `None` when they lack `iss`, `sub` or `aud`.
    pub fn from_claims(claims: &Map<String, Value>) -> Option<Self> {
        let text = |name| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            issuer: text("iss")?,
            subject: text("sub")?,
            audience: audience(claims)?,
            nonce: text("nonce"),
            authorized_party: text("azp"),
        })
    }

    /// Core §12.2: iss, sub, aud and azp equal the originals, and the nonce too if there is one.
    pub(super) fn check(&self, claims: &Map<String, Value>) -> Result<(), IdentityChange> {
        let text = |name| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(&self.issuer) {
            return Err(IdentityChange::Issuer);
        }
        if text("sub") != Some(&self.subject) {
            return Err(IdentityChange::Subject);
        }
        let sorted = |mut list: Vec<String>| {
            list.sort();
            list.dedup();
            list
        };
        if audience(claims).map(sorted) != Some(sorted(self.audience.clone())) {
            return Err(IdentityChange::Audience);
        }
        if claims.get("azp").map(Value::as_str) != self.authorized_party.as_deref().map(Some) {
            return Err(IdentityChange::AuthorizedParty);
        }
        match (claims.get("nonce"), &self.nonce) {
            (Some(nonce), Some(original)) if nonce.as_str() != Some(original) => Err(IdentityChange::Nonce),
            _ => Ok(()),
        }
    }
}

/// What differs between a refreshed ID token and the original (Core §12.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityChange {
    /// Another `iss`.
    #[error("the refreshed ID token is from another issuer")]
    Issuer,
    /// Another `sub`.
    #[error("the refreshed ID token is for another user")]
    Subject,
    /// Another `aud`.
    #[error("the refreshed ID token is for another audience")]
    Audience,
    /// An `azp` where there was none, another one, or none where there was one.
    #[error("the refreshed ID token has another authorized party")]
    AuthorizedParty,
    /// A `nonce` that is not the original one.
    #[error("the refreshed ID token has another nonce")]
    Nonce,
}

/// What an ID token must say.
pub(super) struct Expectations<'a> {
    pub(super) issuer: &'a IssuerRule,
    pub(super) client_id: &'a str,
    pub(super) trusted_audiences: &'a [String],
    pub(super) algorithms: &'a [Algorithm],
    /// None for refreshed tokens, whose nonce [`OriginalIdentity`] compares.
    pub(super) nonce: Option<&'a Nonce>,
    /// What the authorization request asked for; none for refreshed tokens.
    pub(super) max_age: Option<Duration>,
    pub(super) access_token: &'a str,
    pub(super) now: UnixTime,
    pub(super) skew: Duration,
}

/// Verifies the signature and the claims of `token`, and gives the claims.
pub(super) async fn verify(
    token: &str,
    expected: &Expectations<'_>,
    keys: &KeySource<'_>,
) -> Result<Map<String, Value>, IdTokenError> {
    let Verified { claims, algorithm } = jws::verify(token, expected.algorithms, keys).await?;
    check_claims(&claims, algorithm, expected)?;
    Ok(claims)
}

/// Core §3.1.3.7, items 2–5, 9–11 and 13, and §3.1.3.8.
fn check_claims(
    claims: &Map<String, Value>,
    algorithm: Algorithm,
    expected: &Expectations<'_>,
) -> Result<(), IdTokenError> {
    if !expected.issuer.allows_claims(claims) {
        return Err(IdTokenError::Issuer);
    }
    check_audience(claims, expected)?;
    let subject = claims.get("sub").and_then(Value::as_str).ok_or(IdTokenError::Subject)?;
    if subject.is_empty() || subject.chars().count() > LONGEST_SUBJECT {
        return Err(IdTokenError::Subject);
    }
    check_times(claims, expected)?;
    check_authentication_time(claims, expected)?;
    if let Some(nonce) = expected.nonce {
        // `Nonce` compares in constant time.
        let same = claims.get("nonce").and_then(Value::as_str).is_some_and(|claim| Nonce::new(claim) == *nonce);
        if !same {
            return Err(IdTokenError::Nonce);
        }
    }
    match claims.get("at_hash") {
        None => Ok(()),
        Some(hash) => {
            let wanted = access_token_hash(expected.access_token, algorithm);
            let fits = hash.as_str().is_some_and(|hash| hash.as_bytes().ct_eq(wanted.as_bytes()).into());
            if fits { Ok(()) } else { Err(IdTokenError::AccessTokenHash) }
        }
    }
}

/// An `azp` is not demanded beside several audiences: Core's second errata took that out, and those audiences are
/// trusted by name.
fn check_audience(claims: &Map<String, Value>, expected: &Expectations<'_>) -> Result<(), IdTokenError> {
    let audience = audience(claims).ok_or(IdTokenError::Audience)?;
    if !audience.iter().any(|name| name == expected.client_id) {
        return Err(IdTokenError::Audience);
    }
    if audience.iter().any(|name| name != expected.client_id && !expected.trusted_audiences.contains(name)) {
        return Err(IdTokenError::UntrustedAudience);
    }
    match claims.get("azp") {
        Some(party) if party.as_str() != Some(expected.client_id) => Err(IdTokenError::AuthorizedParty),
        _ => Ok(()),
    }
}

impl From<JwsError> for IdTokenError {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Malformed => Self::Malformed,
            JwsError::Encrypted => Self::Encrypted,
            JwsError::CriticalExtensions => Self::CriticalExtensions,
            JwsError::Algorithm(name) => Self::Algorithm(name),
            JwsError::Keys(error) => Self::Keys(error),
            JwsError::UnknownKey => Self::UnknownKey,
            JwsError::Signature => Self::Signature,
        }
    }
}

fn check_times(claims: &Map<String, Value>, expected: &Expectations<'_>) -> Result<(), IdTokenError> {
    let latest = expected.now.plus(expected.skew);
    let expiry = claims.get("exp").and_then(numeric_date).ok_or(IdTokenError::NoExpiry)?;
    if expected.now >= expiry.plus(expected.skew) {
        return Err(IdTokenError::Expired);
    }
    if claims.get("iat").and_then(numeric_date).is_none_or(|issued| issued > latest) {
        return Err(IdTokenError::IssuedAt);
    }
    match claims.get("nbf") {
        Some(start) if numeric_date(start).is_none_or(|start| start > latest) => Err(IdTokenError::NotBefore),
        _ => Ok(()),
    }
}

/// Core §3.1.3.7 item 13.
fn check_authentication_time(claims: &Map<String, Value>, expected: &Expectations<'_>) -> Result<(), IdTokenError> {
    let Some(max_age) = expected.max_age else { return Ok(()) };
    let signed_in = claims.get("auth_time").and_then(numeric_date).ok_or(IdTokenError::NoAuthenticationTime)?;
    let is_recent = expected.now <= signed_in.plus(max_age).plus(expected.skew);
    let has_been = signed_in <= expected.now.plus(expected.skew);
    if is_recent && has_been { Ok(()) } else { Err(IdTokenError::AuthenticationTooOld) }
}

/// `aud` as a list: it may be one string (RFC 7519 §4.1.3). `None` when it is missing or anything else.
pub(super) fn audience(claims: &Map<String, Value>) -> Option<Vec<String>> {
    match claims.get("aud")? {
        Value::String(name) => Some(vec![name.clone()]),
        Value::Array(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// RFC 7519 §2: seconds, which may have a fraction.
#[allow(clippy::cast_possible_truncation, reason = "a float saturates, and the fraction of a second is dropped")]
pub(super) fn numeric_date(value: &Value) -> Option<UnixTime> {
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64)).map(UnixTime::from_secs)
}

/// Core §3.1.3.6: the left half of the hash that belongs to the signature's algorithm; Ed25519 has SHA-512.
fn access_token_hash(access_token: &str, algorithm: Algorithm) -> String {
    let text = access_token.as_bytes();
    let hash = match algorithm {
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => Sha384::digest(text).to_vec(),
        Algorithm::RS512 | Algorithm::PS512 | Algorithm::EdDSA => Sha512::digest(text).to_vec(),
        _ => Sha256::digest(text).to_vec(),
    };
    URL_SAFE_NO_PAD.encode(&hash[..hash.len() / 2])
}

#[cfg(test)]
mod tests;
