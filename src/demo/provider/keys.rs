//! The demo provider's signing key, fresh at every start, and the tokens signed with it.
//!
//! The private key never leaves this file.

use std::collections::HashSet;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;

/// The `typ` of access tokens (RFC 9068 §2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";
/// The `typ` of ID tokens.
const ID_TOKEN_TYPE: &str = "JWT";

/// What an access token says (RFC 9068 §2.2).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessTokenClaims {
    /// The issuer.
    pub iss: String,
    /// Who signed in.
    pub sub: String,
    /// The API that it is for.
    pub aud: String,
    /// The client that it was issued to.
    pub client_id: String,
    /// What it permits, space-separated.
    pub scope: String,
    /// When it was issued.
    pub iat: i64,
    /// When it ends.
    pub exp: i64,
    /// The grant's identifier, a dot, and a random part.
    pub jti: String,
}

/// What an ID token says (OpenID Connect Core §2).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdTokenClaims {
    /// The issuer.
    pub iss: String,
    /// Who signed in.
    pub sub: String,
    /// The client.
    pub aud: String,
    /// When it ends.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// When the user typed the password.
    pub auth_time: i64,
    /// The nonce of the authorization request; not in tokens from a refresh (§12.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Half of the access token's SHA-256 (§3.1.3.6).
    pub at_hash: String,
    /// The session at the provider.
    pub sid: String,
    /// The full name.
    pub name: String,
    /// The user name.
    pub preferred_username: String,
    /// The mail address.
    pub email: String,
    /// Whether it has been verified.
    pub email_verified: bool,
    /// The groups.
    pub groups: Vec<String>,
}

/// Why a key could not be made or a token not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The cryptographic library made no key.
    #[error("cannot make a signing key for the demo provider")]
    Generation,
    /// The token library refused the key or the claims.
    #[error("cannot use the demo provider's signing key: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
}

/// Why a token is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not a token of this issuer for this audience: shape, type, algorithm, signature, `iss` or `aud` are wrong.
    #[error("the token is not one that this provider issued for this audience")]
    Invalid,
    /// It was ours, and its time is over.
    #[error("the token has expired")]
    Expired,
}

/// The private half.
pub struct SigningKey {
    private: EncodingKey,
    kid: String,
    jwks: JwkSet,
    verifying: VerifyingKey,
}

impl SigningKey {
    /// Makes a key on P-256 for the tokens of `issuer`.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn generate(issuer: &str) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyError::Generation)?;
        let document = pair.to_pkcs8v1().map_err(|_| KeyError::Generation)?;
        let private = EncodingKey::from_ec_der(document.as_ref());
        let mut jwk = Jwk::from_encoding_key(&private, Algorithm::ES256)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let verifying = VerifyingKey { public: DecodingKey::from_jwk(&jwk)?, issuer: issuer.to_owned() };
        Ok(Self { private, kid, jwks: JwkSet { keys: vec![jwk] }, verifying })
    }

    /// The public half as a key set (RFC 7517 §5).
    pub fn jwks(&self) -> &JwkSet {
        &self.jwks
    }

    /// The public half, to check tokens with.
    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// Signs an access token.
    ///
    /// # Errors
    /// When the token library fails.
    pub fn sign_access_token(&self, claims: &AccessTokenClaims) -> Result<String, KeyError> {
        self.sign(ACCESS_TOKEN_TYPE, claims)
    }

    /// Signs an ID token.
    ///
    /// # Errors
    /// When the token library fails.
    pub fn sign_id_token(&self, claims: &IdTokenClaims) -> Result<String, KeyError> {
        self.sign(ID_TOKEN_TYPE, claims)
    }

    fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, KeyError> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(typ.to_owned());
        header.kid = Some(self.kid.clone());
        Ok(jsonwebtoken::encode(&header, claims, &self.private)?)
    }
}

/// The public half, with the issuer whose tokens it checks.
#[derive(Clone)]
pub struct VerifyingKey {
    public: DecodingKey,
    issuer: String,
}

impl VerifyingKey {
    /// Checks an access token: type, signature, issuer, audience and end (RFC 9068 §4).
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn access_token(&self, token: &str, audience: &str, now: UnixTime) -> Result<AccessTokenClaims, TokenError> {
        let claims: AccessTokenClaims = self.verify(token, ACCESS_TOKEN_TYPE, audience)?;
        if claims.exp <= now.as_secs() {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }

    /// Checks an ID token that comes back as a hint; an expired one is as good (RP-Initiated Logout §2).
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn id_token_hint(&self, token: &str, client_id: &str) -> Result<IdTokenClaims, TokenError> {
        self.verify(token, ID_TOKEN_TYPE, client_id)
    }

    fn verify<T: DeserializeOwned>(&self, token: &str, typ: &str, audience: &str) -> Result<T, TokenError> {
        let mut validation = Validation::new(Algorithm::ES256);
        // The library would ask the system's clock; the end is compared by the callers.
        validation.validate_exp = false;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[audience]);
        validation.required_spec_claims = HashSet::from(["exp", "iss", "aud", "sub"].map(str::to_owned));
        let data = jsonwebtoken::decode::<T>(token, &self.public, &validation).map_err(|_| TokenError::Invalid)?;
        if data.header.typ.as_deref() != Some(typ) {
            return Err(TokenError::Invalid);
        }
        Ok(data.claims)
    }
}

/// What follows the scheme `Bearer`, in any case (RFC 9110 §11.1).
pub fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_000);

    fn claims() -> AccessTokenClaims {
        AccessTokenClaims {
            iss: "http://localhost:1".to_owned(),
            sub: "ada".to_owned(),
            aud: "demo-api".to_owned(),
            client_id: "demo".to_owned(),
            scope: "openid".to_owned(),
            iat: NOW.as_secs(),
            exp: NOW.as_secs() + 60,
            jti: "grant.token".to_owned(),
        }
    }

    #[test]
    fn a_token_of_our_own_passes_until_its_end() {
        let key = SigningKey::generate("http://localhost:1").expect("a key");
        let token = key.sign_access_token(&claims()).expect("a token");
        let verify = |now| key.verifying().access_token(&token, "demo-api", now).map(|claims| claims.sub);
        assert_eq!(verify(NOW), Ok("ada".to_owned()));
        assert_eq!(verify(UnixTime::from_secs(1_060)), Err(TokenError::Expired));
    }

    #[test]
    fn tokens_for_others_from_others_or_of_another_type_are_refused() {
        let key = SigningKey::generate("http://localhost:1").expect("a key");
        let other = SigningKey::generate("http://localhost:1").expect("a key");
        let token = key.sign_access_token(&claims()).expect("a token");
        let refused = |key: &SigningKey, audience| key.verifying().access_token(&token, audience, NOW).err();
        assert_eq!(refused(&key, "another-api"), Some(TokenError::Invalid));
        assert_eq!(refused(&other, "demo-api"), Some(TokenError::Invalid));
        assert_eq!(key.verifying().id_token_hint(&token, "demo-api").err(), Some(TokenError::Invalid));
        let foreign = AccessTokenClaims { iss: "http://localhost:2".to_owned(), ..claims() };
        let foreign = key.sign_access_token(&foreign).expect("a token");
        assert_eq!(key.verifying().access_token(&foreign, "demo-api", NOW).err(), Some(TokenError::Invalid));
    }

    #[test]
    fn the_key_set_has_no_private_member() {
        let key = SigningKey::generate("http://localhost:1").expect("a key");
        let jwks = serde_json::to_value(key.jwks()).expect("JSON");
        let jwk = &jwks["keys"][0];
        assert_eq!(
            (&jwk["kty"], &jwk["crv"], &jwk["alg"], &jwk["use"]),
            (&"EC".into(), &"P-256".into(), &"ES256".into(), &"sig".into())
        );
        assert!(jwk.get("d").is_none());
        assert!(jwk["kid"].is_string());
    }

    #[test]
    fn the_bearer_scheme_is_read_in_any_case() {
        assert_eq!(bearer_token("bEARER abc"), Some("abc"));
        assert_eq!(bearer_token("Basic abc"), None);
        assert_eq!(bearer_token("Bearer"), None);
    }
}
