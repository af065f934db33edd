//! Signed JWTs of the provider (RFC 7515, RFC 7519): ID tokens, and UserInfo responses that are signed.
//!
//! Must never give claims of a token whose signature was not verified. Keys come from the provider's published set
//! alone: what a header brings along (`jwk`, `jku`, `x5c`, `x5u`) is not looked at (RFC 8725 §3.10). Must never put a
//! token or a claim's value into an error.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use url::Url;

use super::http::HttpClient;
use super::json::parse_object;
use super::jwks::{KeyCache, KeySet, KeysError, signature_algorithm};

/// Characters of an algorithm's name that go into an error.
const ALGORITHM_CHARACTERS: usize = 20;

/// Why a token is no signed JWT of the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JwsError {
    /// Not three parts of base64url with JSON objects in them, or a member name is repeated.
    Malformed,
    /// Five parts: encrypted (RFC 7516 §3.1).
    Encrypted,
    /// The header has critical extensions (RFC 7515 §4.1.11); we know none.
    CriticalExtensions,
    /// The algorithm is not among those that are allowed; `none` and HMAC never are.
    Algorithm(String),
    /// The provider's keys cannot be had.
    Keys(KeysError),
    /// The provider's key set has no key for this token, even after it was fetched again.
    UnknownKey,
    /// The signature does not match.
    Signature,
}

/// Where keys come from.
pub(super) struct KeySource<'a> {
    pub(super) cache: &'a KeyCache,
    pub(super) http: &'a HttpClient,
    pub(super) uri: &'a Url,
}

/// What a token says whose signature is right. Its claims are not judged yet.
pub(super) struct Verified {
    pub(super) claims: Map<String, Value>,
    pub(super) algorithm: Algorithm,
}

/// Verifies the signature of `token`, which must be made with one of `algorithms`.
pub(super) async fn verify(token: &str, algorithms: &[Algorithm], keys: &KeySource<'_>) -> Result<Verified, JwsError> {
    let token = SignedToken::parse(token, algorithms)?;
    token.verify_signature(keys).await?;
    token.claims()
}

/// As [`verify`], but only with keys that are known already; `None` when it takes newer ones to tell.
pub(super) fn verify_with_known(
    token: &str,
    algorithms: &[Algorithm],
    cache: &KeyCache,
) -> Option<Result<Verified, JwsError>> {
    let token = match SignedToken::parse(token, algorithms) {
        Ok(token) => token,
        Err(error) => return Some(Err(error)),
    };
    match token.verify_with(&cache.known()?) {
        Ok(()) => Some(token.claims()),
        Err(JwsError::Signature) if token.key_id.is_some() => Some(Err(JwsError::Signature)),
        Err(_) => None,
    }
}

/// A token in parts, its signature not yet verified.
struct SignedToken<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    signed: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> SignedToken<'a> {
    fn parse(token: &'a str, algorithms: &[Algorithm]) -> Result<Self, JwsError> {
        match token.bytes().filter(|byte| *byte == b'.').count() {
            2 => {}
            4 => return Err(JwsError::Encrypted),
            _ => return Err(JwsError::Malformed),
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwsError::Malformed)?;
        let header = parse_object(&decode(header)?).map_err(|_| JwsError::Malformed)?;
        if header.contains_key("crit") {
            return Err(JwsError::CriticalExtensions);
        }
        let name = header.get("alg").and_then(Value::as_str).ok_or(JwsError::Malformed)?;
        let printable = || name.chars().filter(char::is_ascii_graphic).take(ALGORITHM_CHARACTERS).collect();
        let algorithm = signature_algorithm(name)
            .filter(|algorithm| algorithms.contains(algorithm))
            .ok_or_else(|| JwsError::Algorithm(printable()))?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(JwsError::Malformed),
        };
        Ok(Self { algorithm, key_id, signed, payload, signature })
    }

    /// What it says; only for after its signature was verified.
    fn claims(&self) -> Result<Verified, JwsError> {
        let claims = parse_object(&decode(self.payload)?).map_err(|_| JwsError::Malformed)?;
        Ok(Verified { claims, algorithm: self.algorithm })
    }

    async fn verify_signature(&self, source: &KeySource<'_>) -> Result<(), JwsError> {
        let keys = source.cache.current(source.http, source.uri).await.map_err(JwsError::Keys)?;
        let first = match self.verify_with(&keys) {
            // A named key that is there and does not fit is a forgery; anything else may be a key that is new.
            Err(JwsError::Signature) if self.key_id.is_some() => return Err(JwsError::Signature),
            Err(error) => error,
            Ok(()) => return Ok(()),
        };
        match source.cache.newer_than(&keys, source.http, source.uri).await.map_err(JwsError::Keys)? {
            Some(newer) => self.verify_with(&newer),
            None => Err(first),
        }
    }

    /// Core §10.1: without a key id, every key that fits the algorithm may be the one.
    fn verify_with(&self, keys: &Arc<KeySet>) -> Result<(), JwsError> {
        let mut outcome = Err(JwsError::UnknownKey);
        for key in keys.candidates(self.key_id.as_deref(), self.algorithm) {
            let verified = jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), key, self.algorithm);
            if verified.is_ok_and(|valid| valid) {
                return Ok(());
            }
            outcome = Err(JwsError::Signature);
        }
        outcome
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JwsError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Malformed)
}
