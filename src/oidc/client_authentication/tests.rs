//! Credentials as they go over the wire, and keys as they come from files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::oidc::test_keys::TestKey;
use crate::oidc::test_party::{DISCOVERY, MARKER, NOW, TestParty, metadata};
use crate::oidc::test_provider::{Answer, Received};

/// A folder with a key file.
struct KeyFile {
    folder: TempDir,
}

impl KeyFile {
    fn new(key: &TestKey) -> Self {
        let file = Self { folder: tempfile::tempdir().expect("a folder") };
        file.write(&key.pem());
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("client.pem")
    }

    fn write(&self, text: &str) {
        let draft = self.folder.path().join("draft");
        fs::write(&draft, text).expect("writable");
        set_mode(&draft, 0o600);
        fs::rename(draft, self.path()).expect("renamed");
    }

    fn settings(&self) -> PrivateKeyJwt {
        let audience = AssertionAudience::default();
        PrivateKeyJwt { key_file: self.path(), key_id: None, algorithm: None, audience }
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

async fn party(auth: ClientAuth) -> TestParty {
    let party = TestParty::with(TestKey::es256("k1"), |settings| settings.client_auth = auth).await;
    for path in ["/token", "/revoke"] {
        party.server.answers(path, Answer::json(400, &json!({"error": "invalid_client"})));
    }
    party
}

/// The token request and the revocation request of one party.
async fn requests(party: &TestParty) -> [Received; 2] {
    let token = crate::oidc::test_party::refresh_token();
    party.refresh().await.expect_err("refused");
    party.provider.revoke(&token).await.expect_err("refused");
    ["/token", "/revoke"].map(|path| party.server.received(path).pop().expect("one request"))
}

fn part(assertion: &str, index: usize) -> Value {
    let part = assertion.split('.').nth(index).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

fn verified(key: &TestKey, algorithm: AssertionAlgorithm, assertion: &str) -> bool {
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.jwk()).expect("a JWK");
    let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).expect("a key");
    let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
    let algorithm = algorithm.name().parse().expect("a known algorithm");
    jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &decoding, algorithm).expect("verifiable")
}

/// RFC 7523 §3, draft-ietf-oauth-rfc7523bis, FAPI 2.0 §5.3.3.1
#[tokio::test]
async fn an_assertion_names_us_and_the_issuer_and_lives_a_minute() {
    let key = TestKey::es256("c1");
    let file = KeyFile::new(&key);
    let auth = ClientAuth::PrivateKeyJwt(PrivateKeyJwt { key_id: Some("c1".to_owned()), ..file.settings() });
    let party = party(auth).await;
    let mut identifiers = Vec::new();
    for request in requests(&party).await {
        assert_eq!(request.parameter("client_assertion_type").as_deref(), Some(ASSERTION_TYPE));
        assert_eq!(request.parameter("client_id").as_deref(), Some("client"));
        assert!(!request.headers.contains_key("authorization") && request.parameter("client_secret").is_none());
        let assertion = request.parameter("client_assertion").expect("an assertion");
        assert!(verified(&key, AssertionAlgorithm::Es256, &assertion));
        assert_eq!(part(&assertion, 0), json!({"alg": "ES256", "typ": "JWT", "kid": "c1"}));
        let mut claims = part(&assertion, 1);
        identifiers.push(claims["jti"].take());
        let expected = json!({
            "iss": "client", "sub": "client", "aud": party.server.url(""), "jti": null, "iat": NOW, "exp": NOW + 60,
        });
        assert_eq!(claims, expected);
    }
    assert_ne!(identifiers[0], identifiers[1], "each is used once (RFC 7523 §3 item 7)");
    assert!(identifiers[0].as_str().is_some_and(|id| id.len() == 43), "{identifiers:?}");
}

/// RFC 7523 §3 item 3
#[tokio::test]
async fn an_assertion_can_be_for_the_token_endpoint_at_every_endpoint() {
    let file = KeyFile::new(&TestKey::es256("c1"));
    let audience = AssertionAudience::TokenEndpoint;
    let party = party(ClientAuth::PrivateKeyJwt(PrivateKeyJwt { audience, ..file.settings() })).await;
    for request in requests(&party).await {
        let assertion = request.parameter("client_assertion").expect("an assertion");
        assert_eq!(part(&assertion, 1)["aud"], party.server.url("/token"));
        assert_eq!(part(&assertion, 0).get("kid"), None);
    }
}

/// RFC 7518 §3.1, RFC 8037 §3.1
#[test]
fn every_algorithm_signs_with_a_key_of_its_kind() {
    use AssertionAlgorithm::{EdDsa, Es256, Ps256, Rs256};
    let keys = [TestKey::rs256("r"), TestKey::es256("e"), TestKey::ed25519("d")];
    let files = [0, 1, 2].map(|index| KeyFile::new(&keys[index]));
    for (index, asked, expected) in [
        (0, None, Rs256),
        (0, Some(Rs256), Rs256),
        (0, Some(Ps256), Ps256),
        (1, None, Es256),
        (1, Some(Es256), Es256),
        (2, None, EdDsa),
        (2, Some(EdDsa), EdDsa),
    ] {
        let key = ClientKey::load(&files[index].path(), asked).expect("a key");
        assert_eq!(key.algorithm(), expected);
        let assertion = key.sign(None, &json!({"iss": "client"})).expect("a signature");
        assert!(verified(&keys[index], expected, assertion.expose()), "{expected:?}");
    }
    for (index, asked) in [(0, Es256), (1, Rs256), (1, EdDsa), (2, Es256), (2, Ps256)] {
        let error = ClientKey::load(&files[index].path(), Some(asked)).expect_err("another kind");
        assert!(matches!(error, ClientKeyError::Mismatch { .. }), "{error}");
    }
}

#[test]
fn a_key_that_cannot_be_used_is_refused_by_name() {
    let file = KeyFile::new(&TestKey::es256("c1"));
    set_mode(&file.path(), 0o644);
    let error = file.settings().load_key().expect_err("open to others").to_string();
    assert!(error.contains("client.pem: mode 0644"), "{error}");
    for (text, problem) in [
        (TestKey::es384("c1").pem(), "use RSA of 2048 bits"),
        ("nothing".to_owned(), "holds no private key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned(), "use RSA of 2048 bits"),
    ] {
        file.write(&text);
        let error = file.settings().load_key().expect_err(problem).to_string();
        assert!(error.contains("client.pem: ") && error.contains(problem), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_was_replaced_signs_from_then_on_and_one_that_cannot_be_used_does_not() {
    let (old, new) = (TestKey::es256("c1"), TestKey::rs256("c2"));
    let file = KeyFile::new(&old);
    let party = party(ClientAuth::PrivateKeyJwt(file.settings())).await;
    party.provider.start();
    let signs = async |key: &TestKey, algorithm: AssertionAlgorithm| {
        let [request, _] = requests(&party).await;
        let assertion = request.parameter("client_assertion").expect("an assertion");
        part(&assertion, 0)["alg"] == algorithm.name() && verified(key, algorithm, &assertion)
    };
    file.write("not a key");
    assert!(signs(&old, AssertionAlgorithm::Es256).await);
    file.write(&new.pem());
    let poll = async { while !signs(&new, AssertionAlgorithm::Rs256).await {} };
    tokio::time::timeout(Duration::from_secs(20), poll).await.expect("the new key is in use");
}

/// OpenID Connect Core §9, RFC 6749 §3.2.1
#[tokio::test]
async fn a_public_client_names_itself_and_proves_nothing() {
    let party = party(ClientAuth::None).await;
    for request in requests(&party).await {
        assert_eq!(request.parameter("client_id").as_deref(), Some("client"));
        assert_eq!(request.form().iter().filter(|(name, _)| name.starts_with("client_")).count(), 1);
        assert!(!request.headers.contains_key("authorization"));
    }
}

/// What a provider repeats of them is kept out of errors.
#[tokio::test]
async fn credentials_know_what_in_them_is_secret_and_show_none_of_it() {
    let file = KeyFile::new(&TestKey::es256("c1"));
    let auth = ClientAuth::PrivateKeyJwt(file.settings());
    let client = ClientAuthentication::new(&auth, "client", "https://a.example", Clock::system()).expect("a key");
    let credentials = client.credentials(&"https://a.example/token".parse().expect("a URL")).expect("a signature");
    let secrets: Vec<&str> = credentials.secrets().collect();
    assert!(secrets.len() == 1 && secrets[0].split('.').count() == 3);
    assert_eq!(format!("{credentials:?}"), "Credentials([redacted])");
}

/// RFC 6749 §2.3: one method a request.
#[tokio::test]
async fn a_secret_goes_into_the_header_or_into_the_body_and_never_into_both() {
    for (auth, in_header) in [
        (ClientAuth::SecretBasic(SecretString::new(MARKER)), true),
        (ClientAuth::SecretPost(SecretString::new(MARKER)), false),
    ] {
        let party = party(auth).await;
        party.server.answers(DISCOVERY, Answer::json(200, &metadata(&party.server)));
        for request in requests(&party).await {
            assert_eq!(request.headers.contains_key("authorization"), in_header);
            assert_eq!(request.parameter("client_secret").is_none(), in_header);
            assert_eq!(request.parameter("client_id").is_none(), in_header);
        }
    }
}
