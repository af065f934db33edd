//! What is right at the hostile provider: its keys, and what its good answers say; scripts change one thing of it.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::answer::Answer;
use crate::test_keys::TestKey;

/// In every secret that the provider makes up, so that one search finds any part that leaks.
pub const MARKER: &str = "hunter2";

/// The keys that it publishes: made once, for RSA takes its time.
pub static RSA_KEY: LazyLock<TestKey> = LazyLock::new(|| TestKey::rs256("rsa"));
/// The other one.
pub static EC_KEY: LazyLock<TestKey> = LazyLock::new(|| TestKey::es256("ec"));
/// A key of the same name as [`RSA_KEY`], which is not published.
pub static FORGED_KEY: LazyLock<TestKey> = LazyLock::new(|| TestKey::rs256("rsa"));
/// A key that is published by those who rotate.
pub static NEW_KEY: LazyLock<TestKey> = LazyLock::new(|| TestKey::rs256("new"));

/// What the right answers to a user's requests are made of.
#[derive(Clone, Default)]
pub struct Right {
    /// The issuer.
    pub issuer: String,
    /// The client.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: String,
    /// The nonce of the login.
    pub nonce: String,
    /// The state of the login.
    pub state: String,
    /// The code of the login.
    pub code: String,
    /// Where the browser is to go back to.
    pub redirect_uri: String,
    /// The access token that is given now.
    pub access_token: String,
    /// The refresh token that is given now.
    pub refresh_token: String,
    /// Seconds that the access token lives.
    pub expires_in: u32,
    /// The challenge of the login.
    pub challenge: String,
}

impl Right {
    /// A place at the provider where nobody may be led.
    pub fn elsewhere(&self) -> String {
        format!("{}/elsewhere", self.issuer)
    }

    /// The metadata.
    pub fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        json!({
            "issuer": self.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"), "userinfo_endpoint": at("/userinfo"), "revocation_endpoint": at("/revoke"),
            "end_session_endpoint": at("/end"), "authorization_response_iss_parameter_supported": true,
        })
    }

    /// The claims of the ID token.
    pub fn claims(&self) -> Value {
        json!({"iss": self.issuer, "aud": self.client_id, "sub": "alice", "exp": now() + 300, "iat": now(),
            "nonce": self.nonce, "name": "Alice"})
    }

    /// The claims with members changed, or removed by null.
    pub fn claims_with(&self, changes: &Value) -> Value {
        changed(self.claims(), changes)
    }

    /// The token response.
    pub fn response(&self) -> Value {
        json!({"access_token": self.access_token, "token_type": "Bearer", "expires_in": self.expires_in,
            "refresh_token": self.refresh_token, "id_token": RSA_KEY.token(&self.claims())})
    }

    /// The token response with members changed, or removed by null.
    pub fn response_with(&self, changes: &Value) -> Answer {
        Answer::json(&changed(self.response(), changes))
    }

    /// The token response with another ID token.
    pub fn with_id_token(&self, id_token: impl Into<String>) -> Answer {
        self.response_with(&json!({ "id_token": id_token.into() }))
    }

    /// The token response, in whose ID token claims are changed, or removed by null.
    pub fn with_claims(&self, changes: &Value) -> Answer {
        self.with_id_token(RSA_KEY.token(&self.claims_with(changes)))
    }

    /// The answer to the browser, with parameters changed or removed.
    pub fn callback(&self, changes: &Value) -> Answer {
        let mut url: Url = self.redirect_uri.parse().expect("a redirect URI is a URL");
        let parameters = changed(json!({"code": self.code, "state": self.state, "iss": self.issuer}), changes);
        for (name, value) in parameters.as_object().expect("an object") {
            url.query_pairs_mut().append_pair(name, value.as_str().expect("a text"));
        }
        Answer::redirect(302, url.as_str())
    }
}

/// The object with members changed, or removed by null.
pub fn changed(mut object: Value, changes: &Value) -> Value {
    let members = object.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    object
}

/// The time, in seconds, as tokens have it.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs()
}

/// The left half of the token's SHA-256 (OpenID Connect Core §3.1.3.6).
pub fn at_hash(access_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(access_token)[..16])
}
