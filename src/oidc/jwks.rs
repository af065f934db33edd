//! The provider's signing keys (RFC 7517): kept between logins, fetched again when a token names one we do not know.
//!
//! Must never hand out a key for an algorithm or a use that is not its own, nor any symmetric key.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::http::{HttpClient, HttpError, Unavailable};
use super::json::read_object;

/// Bytes of a key set that we read.
const JWKS_LIMIT: usize = 512 * 1024;
/// Keys of a set that we keep.
const MOST_KEYS: usize = 100;
/// The longest modulus in base64url characters: 8192 bits, the most that the library verifies with.
const LONGEST_COMPONENT: usize = 8192 / 6 + 2;

/// Why there are no keys to verify with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// No usable answer from `jwks_uri`.
    #[error("cannot read the provider's keys: {0}")]
    Http(#[from] HttpError),
    /// The answer is not a JSON Web Key Set.
    #[error("the provider's key set is not a JSON Web Key Set")]
    NotAKeySet,
}

impl KeysError {
    /// Whether trying again later may help.
    pub(super) fn unavailable(&self) -> Option<&Unavailable> {
        match self {
            Self::Http(HttpError::Unavailable(unavailable)) => Some(unavailable),
            _ => None,
        }
    }
}

/// What a key can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl KeyKind {
    fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => Some(Self::Rsa),
            Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => Some(Self::Rsa),
            Algorithm::ES256 => Some(Self::P256),
            Algorithm::ES384 => Some(Self::P384),
            Algorithm::EdDSA => Some(Self::Ed25519),
            _ => None,
        }
    }
}

/// The algorithm that a JOSE header or a key names, if it is one with a public key that we can verify.
pub(super) fn signature_algorithm(name: &str) -> Option<Algorithm> {
    // RFC 9864 §2.2 gives Ed25519 a name of its own beside RFC 8037's EdDSA.
    let name = if name == "Ed25519" { "EdDSA" } else { name };
    let algorithm = name.parse().ok()?;
    KeyKind::of(algorithm).map(|_| algorithm)
}

struct VerificationKey {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    kind: KeyKind,
    key: DecodingKey,
}

/// The keys of one set that can verify signatures.
pub(super) struct KeySet(Vec<VerificationKey>);

impl KeySet {
    /// The keys that may have made a signature with `algorithm`. With `id` only those of that name (RFC 7515 §4.1.4).
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        self.0
            .iter()
            .filter(move |key| id.is_none() || key.id.as_deref() == id)
            .filter(move |key| KeyKind::of(algorithm) == Some(key.kind))
            .filter(move |key| key.algorithm.is_none_or(|own| own == algorithm))
            .map(|key| &key.key)
    }

    /// Reads a set; keys that are for something else, or malformed, are left out (RFC 7517 §5).
    pub(super) fn parse(text: &[u8]) -> Result<Self, KeysError> {
        #[derive(Deserialize)]
        struct RawSet {
            keys: Vec<Value>,
        }
        let set: RawSet = read_object(text).map_err(|_| KeysError::NotAKeySet)?;
        let keys = set
            .keys
            .into_iter()
            .filter(Value::is_object)
            .filter_map(|key| usable_key(serde_json::from_value(key).ok()?));
        Ok(Self(keys.take(MOST_KEYS).collect()))
    }
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

fn usable_key(raw: RawKey) -> Option<VerificationKey> {
    let for_signatures = raw.usage.as_deref().is_none_or(|usage| usage == "sig")
        && raw.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !for_signatures {
        return None;
    }
    // A key whose algorithm we do not know is not for any that we do.
    let algorithm = match &raw.alg {
        Some(name) => Some(signature_algorithm(name)?),
        None => None,
    };
    let bounded = |component: Option<String>| component.filter(|text| text.len() <= LONGEST_COMPONENT);
    let (kind, key) = match (raw.kty.as_str(), raw.crv.as_deref()) {
        ("RSA", _) => (KeyKind::Rsa, DecodingKey::from_rsa_components(&bounded(raw.n)?, &bounded(raw.e)?).ok()?),
        ("EC", Some("P-256")) => (KeyKind::P256, ec_key(&bounded(raw.x)?, &bounded(raw.y)?)?),
        ("EC", Some("P-384")) => (KeyKind::P384, ec_key(&bounded(raw.x)?, &bounded(raw.y)?)?),
        ("OKP", Some("Ed25519")) => (KeyKind::Ed25519, DecodingKey::from_ed_components(&bounded(raw.x)?).ok()?),
        _ => return None,
    };
    Some(VerificationKey { id: raw.kid, algorithm, kind, key })
}

fn ec_key(x: &str, y: &str) -> Option<DecodingKey> {
    DecodingKey::from_ec_components(x, y).ok()
}

/// The key set in use, and the fetches of it.
pub(super) struct KeyCache {
    current: ArcSwapOption<KeySet>,
    flight: Mutex<Flight>,
    refetch_gap: Duration,
    retry_gap: Duration,
}

#[derive(Default)]
struct Flight {
    /// When an unknown key last made us fetch again.
    refetched: Option<Instant>,
    /// When a fetch last failed, and how.
    failed: Option<(Instant, KeysError)>,
}

impl KeyCache {
    /// A cache that fetches again for unknown keys once in `refetch_gap`, and after a failure once in `retry_gap`.
    pub(super) fn new(refetch_gap: Duration, retry_gap: Duration) -> Self {
        Self { current: ArcSwapOption::empty(), flight: Mutex::default(), refetch_gap, retry_gap }
    }

    /// The keys as far as they are known, without asking anybody.
    pub(super) fn known(&self) -> Option<Arc<KeySet>> {
        self.current.load_full()
    }

    /// The keys, fetched now if there are none yet. Concurrent callers share one fetch.
    pub(super) async fn current(&self, http: &HttpClient, uri: &Url) -> Result<Arc<KeySet>, KeysError> {
        if let Some(keys) = self.current.load_full() {
            return Ok(keys);
        }
        let mut flight = self.flight.lock().await;
        match self.current.load_full() {
            Some(keys) => Ok(keys),
            None => self.fetch(http, uri, &mut flight).await,
        }
    }

    /// Keys newer than `seen`, in which a token's key was not: fetched now, or by a concurrent caller. `None` when
    /// the last such fetch is too recent (OpenID Connect Core §10.1.1; the limit keeps forged tokens from making us
    /// a nuisance).
    pub(super) async fn newer_than(
        &self,
        seen: &Arc<KeySet>,
        http: &HttpClient,
        uri: &Url,
    ) -> Result<Option<Arc<KeySet>>, KeysError> {
        let mut flight = self.flight.lock().await;
        if let Some(keys) = self.current.load_full().filter(|keys| !Arc::ptr_eq(keys, seen)) {
            return Ok(Some(keys));
        }
        if flight.refetched.is_some_and(|at| at.elapsed() < self.refetch_gap) {
            return Ok(None);
        }
        let keys = self.fetch(http, uri, &mut flight).await?;
        flight.refetched = Some(Instant::now());
        Ok(Some(keys))
    }

    /// Fetches the keys anew, so that a key that the provider has withdrawn is forgotten; the old stay on failure.
    pub(super) async fn renew(&self, http: &HttpClient, uri: &Url) -> Result<(), KeysError> {
        let mut flight = self.flight.lock().await;
        self.fetch(http, uri, &mut flight).await.map(|_| ())
    }

    async fn fetch(&self, http: &HttpClient, uri: &Url, flight: &mut Flight) -> Result<Arc<KeySet>, KeysError> {
        if let Some((at, error)) = &flight.failed
            && at.elapsed() < self.retry_gap
        {
            return Err(error.clone());
        }
        let outcome = match http.get(uri, JWKS_LIMIT).await {
            Ok(body) => KeySet::parse(&body),
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(keys) => {
                let keys = Arc::new(keys);
                self.current.store(Some(Arc::clone(&keys)));
                flight.failed = None;
                Ok(keys)
            }
            Err(error) => {
                flight.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oidc::test_keys::TestKey;

    fn candidates(key: Value, id: Option<&str>, algorithm: Algorithm) -> usize {
        let set = json!({ "keys": [key] }).to_string();
        KeySet::parse(set.as_bytes()).expect("a key set").candidates(id, algorithm).count()
    }

    fn jwk(changes: Value) -> Value {
        let mut key = TestKey::es256("k1").jwk();
        for (name, value) in changes.as_object().expect("an object") {
            key[name] = value.clone();
        }
        key
    }

    #[test]
    fn a_key_is_found_by_its_id_and_algorithm() {
        let key = jwk(json!({}));
        assert_eq!(candidates(key.clone(), Some("k1"), Algorithm::ES256), 1);
        assert_eq!(candidates(key.clone(), None, Algorithm::ES256), 1);
        assert_eq!(candidates(key.clone(), Some("k2"), Algorithm::ES256), 0);
        assert_eq!(candidates(key, Some("k1"), Algorithm::RS256), 0);
    }

    /// RFC 7517 §4.2–4.4
    #[test]
    fn a_key_for_another_use_operation_or_algorithm_is_left_out() {
        for changes in [
            json!({"use": "enc"}),
            json!({"key_ops": ["sign", "encrypt"]}),
            json!({"alg": "ES384"}),
            json!({"alg": "ECDH-ES"}),
            json!({"crv": "P-521"}),
            json!({"kty": "OKP"}),
        ] {
            assert_eq!(candidates(jwk(changes.clone()), Some("k1"), Algorithm::ES256), 0, "{changes}");
        }
        for changes in [json!({"use": null, "alg": null}), json!({"key_ops": ["verify"]})] {
            assert_eq!(candidates(jwk(changes.clone()), Some("k1"), Algorithm::ES256), 1, "{changes}");
        }
    }

    #[test]
    fn symmetric_keys_are_never_candidates() {
        let key = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "HS256"});
        assert_eq!(candidates(key, Some("k1"), Algorithm::HS256), 0);
        assert_eq!(signature_algorithm("HS256"), None);
        assert_eq!(signature_algorithm("none"), None);
    }

    #[test]
    fn malformed_keys_do_not_spoil_the_good_ones() {
        let set = json!({"keys": [7, {}, {"kty": "EC"}, {"kty": "RSA", "n": "!", "e": "AQAB"}, jwk(json!({}))]});
        let keys = KeySet::parse(set.to_string().as_bytes()).expect("a key set");
        assert_eq!(keys.0.len(), 1);
    }

    #[test]
    fn a_large_set_is_cut() {
        let set = json!({ "keys": vec![jwk(json!({})); MOST_KEYS + 1] });
        assert_eq!(KeySet::parse(set.to_string().as_bytes()).expect("a key set").0.len(), MOST_KEYS);
    }

    #[test]
    fn what_is_no_key_set_is_refused() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#] {
            assert_eq!(KeySet::parse(text.as_bytes()).err(), Some(KeysError::NotAKeySet), "{text}");
        }
    }
}
