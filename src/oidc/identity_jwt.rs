//! The signed identity: a short-lived JWT (RFC 7519) that tells an upstream who its user is, signed with a key of ours
//! (ES256), and the public keys that it is verified with (RFC 7517).
//!
//! Here we issue, and not the provider: an upstream trusts our key set and nothing that anybody sends in our name. Must
//! never hold a token of the provider's, and never be made without an audience.

mod key;
mod memo;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

pub use self::key::IdentityKeyError;
use self::key::{PublicKey, SigningKey};
use self::memo::Memo;
pub use self::memo::MemoKey;
use crate::clock::{Clock, UnixTime};
use crate::file_watch::{self, FileWatch};

/// Claims that say what the JWT is; none of the user's takes their place.
pub const OWN_CLAIMS: [&str; 8] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid"];

/// What signed identities are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityJwtSettings {
    /// The private key, P-256 in PEM; nobody else may read it. Read again when it changes.
    pub signing_key_file: PathBuf,
    /// Public keys that are published beside that of the signing key, in PEM. Read again when it changes.
    pub verification_keys_file: Option<PathBuf>,
    /// The header that upstreams find it in.
    pub header: HeaderName,
    /// How long one counts.
    pub lifetime: Duration,
    /// Claims of the user that it has, beside `sub`; none of [`OWN_CLAIMS`].
    pub claims: Vec<String>,
}

impl IdentityJwtSettings {
    /// Reads the keys, to see whether they are good.
    ///
    /// # Errors
    /// [`IdentityKeyError`].
    pub fn check_keys(&self) -> Result<(), IdentityKeyError> {
        Keys::load(self).map(drop)
    }
}

/// Signs identities for one site. Clones share the keys.
#[derive(Clone, Debug)]
pub struct IdentitySigner(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: IdentityJwtSettings,
    issuer: String,
    clock: Clock,
    keys: ArcSwap<Keys>,
    memo: Memo,
}

#[derive(Debug)]
struct Keys {
    signing: SigningKey,
    /// The key set as JSON (RFC 7517 §5).
    published: Bytes,
}

impl Keys {
    fn load(settings: &IdentityJwtSettings) -> Result<Self, IdentityKeyError> {
        let signing = SigningKey::load(&settings.signing_key_file)?;
        let mut public = vec![signing.public().clone()];
        if let Some(file) = &settings.verification_keys_file {
            for key in PublicKey::load_all(file)? {
                if !public.contains(&key) {
                    public.push(key);
                }
            }
        }
        let keys: Vec<Value> = public.iter().map(PublicKey::jwk).collect();
        Ok(Self { signing, published: json!({ "keys": keys }).to_string().into() })
    }
}

impl IdentitySigner {
    /// Reads the keys. `issuer` is what upstreams know the site by: its origin.
    ///
    /// # Errors
    /// [`IdentityKeyError`].
    pub fn load(settings: IdentityJwtSettings, issuer: &str, clock: Clock) -> Result<Self, IdentityKeyError> {
        let keys = ArcSwap::from_pointee(Keys::load(&settings)?);
        Ok(Self(Arc::new(Inner { settings, issuer: issuer.to_owned(), clock, keys, memo: Memo::default() })))
    }

    /// Reads the keys again whenever a file of theirs changes.
    pub fn watch(&self, runtime: &Handle) -> FileWatch {
        let settings = &self.0.settings;
        let files = [settings.signing_key_file.clone()].into_iter().chain(settings.verification_keys_file.clone());
        let this = self.clone();
        file_watch::watch(files.collect(), runtime, move || this.reload())
    }

    fn reload(&self) -> bool {
        match Keys::load(&self.0.settings) {
            Ok(keys) => {
                let key_id = keys.signing.public().key_id().to_owned();
                self.0.keys.store(Arc::new(keys));
                // Another worker may still keep one of the old key; that is good until it expires.
                self.0.memo.clear();
                tracing::info!(%key_id, "the keys of signed identities were read");
                true
            }
            Err(error) => {
                tracing::error!(%error, "the keys of signed identities cannot be used; the old ones stay");
                false
            }
        }
    }

    /// The header that upstreams find it in.
    pub fn header(&self) -> &HeaderName {
        &self.0.settings.header
    }

    /// The public keys, as a JWK set.
    pub fn published(&self) -> Bytes {
        self.0.keys.load().published.clone()
    }

    /// The identity for `audience` as a field's value, signed now or a moment ago for the same `key`; `claims` are the
    /// user's, `sub` and `sid` among them. None when the library fails, which only a lack of memory or randomness makes
    /// it do.
    pub fn token(
        &self,
        key: MemoKey,
        audience: &str,
        claims: impl FnOnce() -> Map<String, Value>,
    ) -> Option<HeaderValue> {
        let Inner { memo, clock, settings, .. } = &*self.0;
        let now = clock.now();
        if let Some(token) = memo.find(&key, now) {
            return Some(token);
        }
        let token = self.sign(audience, claims(), now)?;
        // Half of its life is left to whoever gets it.
        memo.keep(key, &token, now.plus(settings.lifetime / 2));
        Some(token)
    }

    fn sign(&self, audience: &str, of_user: Map<String, Value>, now: UnixTime) -> Option<HeaderValue> {
        let Inner { issuer, settings, keys, .. } = &*self.0;
        let mut claims = Map::new();
        let kept = ["sub", "sid"].into_iter().chain(settings.claims.iter().map(String::as_str));
        for name in kept {
            if let Some(value) = of_user.get(name) {
                claims.insert(name.to_owned(), value.clone());
            }
        }
        claims.insert("iss".to_owned(), issuer.as_str().into());
        claims.insert("aud".to_owned(), audience.into());
        claims.insert("iat".to_owned(), now.as_secs().into());
        claims.insert("exp".to_owned(), now.plus(settings.lifetime).as_secs().into());
        let token = keys.load().signing.sign(&Value::Object(claims))?;
        let mut value = HeaderValue::from_str(&token).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests;
