//! The UserInfo endpoint (OpenID Connect Core §5.3): claims that the provider leaves out of the ID token.
//!
//! Asked with the access token in the header, never in a URL (RFC 6750 §2.1), once the ID token has verified. Its answer
//! must speak of the same user (§5.3.2), and never says anything about the login itself: what secures a session comes
//! from the ID token alone. Claims that lie elsewhere (§5.6.2) are never fetched. Must never put a token or a claim's
//! value into an error.

use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use super::http::{HttpError, Unavailable};
use super::id_token::{audience, numeric_date};
use super::json::parse_object;
use super::jwks::KeysError;
use super::jws::{self, JwsError, KeySource, Verified};
use super::provider::RelyingParty;
use super::{Metadata, UserInfoUse};
use crate::secret::AccessToken;

/// Bytes of an answer that we read; what a cookie can hold is far less.
const USERINFO_LIMIT: usize = 64 * 1024;

/// Claims that say how, where and for whom a user logged in, and those that tokens stand beside (Core §5.6.2): UserInfo
/// never sets them.
const ID_TOKEN_CLAIMS: [&str; 22] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "nonce",
    "azp",
    "acr",
    "amr",
    "auth_time",
    "sid",
    "at_hash",
    "c_hash",
    "s_hash",
    "rt_hash",
    "cnf",
    "events",
    "sub_jwk",
    "_claim_names",
    "_claim_sources",
];

/// Claims that say of another one that the provider has verified it (Core §5.1).
const VERIFIED: [(&str, &str); 2] = [("email", "email_verified"), ("phone_number", "phone_number_verified")];

/// Why UserInfo gives no claims.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserInfoError {
    /// The endpoint cannot serve us now.
    #[error("UserInfo: {0}")]
    Unavailable(#[from] Unavailable),
    /// The metadata name no endpoint.
    #[error("the provider announces no userinfo_endpoint; set provider.userinfo to \"never\"")]
    NoEndpoint,
    /// A status other than 200 (RFC 6750 §3.1), a redirect among them, which is never followed.
    #[error("the UserInfo endpoint answered with status {status}")]
    Status {
        /// The status code.
        status: u16,
    },
    /// Longer than 64 KiB.
    #[error("the UserInfo endpoint's answer is too long")]
    TooLarge,
    /// Neither a JSON object nor a well-formed signed JWT, or a member name is repeated.
    #[error("the UserInfo endpoint's answer is neither a JSON object nor a signed JWT")]
    Malformed,
    /// Five parts: an encrypted response, which we do not support.
    #[error(
        "the UserInfo response is encrypted, which is not supported; turn off its encryption for this client at the provider"
    )]
    Encrypted,
    /// The algorithm is not among the configured ones; `none` and HMAC never are.
    #[error("the UserInfo response is signed with {0:?}, which the configuration does not allow")]
    Algorithm(String),
    /// The provider's keys cannot be had.
    #[error(transparent)]
    Keys(KeysError),
    /// The provider's key set has no key for it, even after it was fetched again.
    #[error("the UserInfo response is signed with a key that the provider does not publish")]
    UnknownKey,
    /// The signature does not match.
    #[error("the UserInfo response's signature is not valid")]
    Signature,
    /// A signed response whose `iss` is missing or another.
    #[error("the UserInfo response is from another issuer")]
    Issuer,
    /// A signed response whose `aud` is missing, or without our client_id.
    #[error("the UserInfo response is for another audience")]
    Audience,
    /// A signed response whose `exp` has passed.
    #[error("the UserInfo response has expired")]
    Expired,
    /// `sub` is missing, or not the ID token's (§5.3.2): tokens of another user.
    #[error("UserInfo is about another user than the ID token")]
    Subject,
}

/// What UserInfo said at a login or a refresh, beside the ID token.
#[derive(Clone, PartialEq, Default)]
pub enum UserInfo {
    /// It is not used: claims come from the ID token alone.
    #[default]
    Unused,
    /// It could not be asked at a refresh: what it said before stays.
    Kept,
    /// Its claims, without those that are the ID token's to say.
    Claims(Map<String, Value>),
}

/// What UserInfo says of `subject`.
pub(super) async fn fetch(
    party: &RelyingParty,
    metadata: &Metadata,
    access_token: &AccessToken,
    subject: &str,
) -> Result<UserInfo, UserInfoError> {
    if party.settings.userinfo == UserInfoUse::Never {
        return Ok(UserInfo::Unused);
    }
    let endpoint = metadata.userinfo_endpoint.as_ref().ok_or(UserInfoError::NoEndpoint)?;
    let body = ask(party, endpoint.as_str(), access_token).await?;
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    let mut claims = match is_object {
        true => parse_object(&body).map_err(|_| UserInfoError::Malformed)?,
        false => signed_claims(party, metadata, &body).await?,
    };
    if claims.get("sub").and_then(Value::as_str) != Some(subject) {
        return Err(UserInfoError::Subject);
    }
    claims.retain(|name, value| !value.is_null() && !ID_TOKEN_CLAIMS.contains(&name.as_str()));
    Ok(UserInfo::Claims(claims))
}

async fn ask(party: &RelyingParty, endpoint: &str, access_token: &AccessToken) -> Result<Vec<u8>, UserInfoError> {
    let mut bearer =
        HeaderValue::try_from(format!("Bearer {}", access_token.expose())).map_err(|_| UserInfoError::Malformed)?;
    bearer.set_sensitive(true);
    let request = http::Request::get(endpoint)
        .header(header::ACCEPT, "application/json, application/jwt")
        .header(header::AUTHORIZATION, bearer)
        .body(Vec::new())
        .map_err(|_| UserInfoError::NoEndpoint)?;
    let answer = party.http.send(request, USERINFO_LIMIT).await.map_err(|error| match error {
        HttpError::Unavailable(unavailable) => UserInfoError::Unavailable(unavailable),
        HttpError::TooLarge { .. } => UserInfoError::TooLarge,
        HttpError::Redirect { status } | HttpError::Status { status } => UserInfoError::Status { status },
        HttpError::Request | HttpError::NotJson => UserInfoError::Malformed,
    })?;
    match answer.status() {
        StatusCode::OK => Ok(answer.into_body()),
        status => Err(UserInfoError::Status { status: status.as_u16() }),
    }
}

/// §5.3.2: a signed response says from whom and for whom it is.
async fn signed_claims(
    party: &RelyingParty,
    metadata: &Metadata,
    body: &[u8],
) -> Result<Map<String, Value>, UserInfoError> {
    let token = std::str::from_utf8(body.trim_ascii()).map_err(|_| UserInfoError::Malformed)?;
    let keys = KeySource { cache: &party.keys, http: &party.http, uri: &metadata.jwks_uri };
    let Verified { claims, .. } = jws::verify(token, &party.algorithms, &keys).await?;
    if claims.get("iss").and_then(Value::as_str) != Some(&party.settings.issuer) {
        return Err(UserInfoError::Issuer);
    }
    if !audience(&claims).is_some_and(|audience| audience.contains(&party.settings.client_id)) {
        return Err(UserInfoError::Audience);
    }
    let skew = party.settings.clock_skew;
    let expired = |expiry| numeric_date(expiry).is_none_or(|expiry| party.clock.now() >= expiry.plus(skew));
    if claims.get("exp").is_some_and(expired) {
        return Err(UserInfoError::Expired);
    }
    Ok(claims)
}

impl From<JwsError> for UserInfoError {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Malformed | JwsError::CriticalExtensions => Self::Malformed,
            JwsError::Encrypted => Self::Encrypted,
            JwsError::Algorithm(name) => Self::Algorithm(name),
            JwsError::Keys(error) => match error.unavailable() {
                Some(unavailable) => Self::Unavailable(unavailable.clone()),
                None => Self::Keys(error),
            },
            JwsError::UnknownKey => Self::UnknownKey,
            JwsError::Signature => Self::Signature,
        }
    }
}

/// The claims of a user: those of the ID token, with what UserInfo says on top. What secures the login stays the ID
/// token's, whatever UserInfo says; and an address that UserInfo brings is not verified because the ID token's was.
pub fn merge_userinfo(claims: &mut Map<String, Value>, userinfo: Map<String, Value>) {
    for (address, flag) in VERIFIED {
        let another = userinfo.get(address).is_some_and(|address_there| claims.get(address) != Some(address_there));
        if another && !userinfo.contains_key(flag) {
            claims.remove(flag);
        }
    }
    claims.extend(userinfo.into_iter().filter(|(name, _)| !ID_TOKEN_CLAIMS.contains(&name.as_str())));
}

/// What of UserInfo need not be kept beside an ID token of these claims, because it says the same, is left out.
pub fn beside_id_token(userinfo: &mut Map<String, Value>, claims: &Map<String, Value>) {
    let is_flag = |name: &str| VERIFIED.iter().any(|(_, flag)| *flag == name);
    userinfo.retain(|name, value| is_flag(name) || claims.get(name) != Some(value));
}

#[cfg(test)]
mod tests;
