//! Discovery as it goes on in the background, the URLs for browsers, and revocation.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};

use super::*;
use crate::oidc::discovery;
use crate::oidc::test_keys::TestKey;
use crate::oidc::test_party::{
    DISCOVERY, MARKER, REDIRECT_URI, TestParty, metadata, nonce, quick, redemption, refresh_token, settings, verifier,
};
use crate::oidc::test_provider::{Answer, TestProvider};
use crate::oidc::{ClientAuth, OAuthError, fresh_nonce, fresh_state, fresh_verifier};
use crate::secret::{CodeVerifier, IdToken, SecretString, State};

async fn until(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), poll).await.expect(what);
}

async fn url(provider: &Provider, extra: Vec<(String, String)>) -> Result<Url, AuthorizationError> {
    let (state, nonce, verifier) = (State::new("the state"), nonce(), verifier());
    let request = AuthorizationRequest {
        state: &state,
        nonce: &nonce,
        verifier: &verifier,
        redirect_uri: REDIRECT_URI,
        max_age: None,
        extra,
    };
    provider.authorization_url(&request).await
}

fn query(url: &Url) -> Vec<(String, String)> {
    url.query_pairs().into_owned().collect()
}

fn has(url: &Url, name: &str, value: &str) -> bool {
    query(url).iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).eq([value])
}

#[test]
fn backoff_doubles_up_to_a_minute_with_jitter() {
    let pacing = Pacing::default();
    let longest: Vec<_> = (1..=8).map(|failures| pacing.backoff(failures, 1.0).as_secs()).collect();
    assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(pacing.backoff(3, 0.0), Duration::from_secs(2));
    assert_eq!(pacing.backoff(u32::MAX, 0.5), Duration::from_secs(45));
}

#[test]
fn no_algorithm_with_a_shared_secret_or_without_a_signature_can_be_configured() {
    for name in ["none", "HS256", "HS512", "ES512", "rs256", ""] {
        let error = algorithms(&[name.to_owned()]).expect_err(name);
        assert!(matches!(error, ProviderBuildError::Algorithm(_)), "{error}");
    }
    assert!(matches!(algorithms(&[]), Err(ProviderBuildError::NoAlgorithm)));
    assert_eq!(algorithms(&["ES256".into(), "Ed25519".into()]).expect("known"), [Algorithm::ES256, Algorithm::EdDSA]);
}

#[tokio::test]
async fn a_certificate_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in [
        ("absent.pem", None),
        ("empty.pem", Some("")),
        ("broken.pem", Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")),
        ("garbage.pem", Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
    ] {
        let path = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).expect("a file");
        }
        let mut settings = settings("https://login.example.com");
        settings.ca_file = Some(path);
        let error = Provider::new(settings, Clock::system(), Handle::current()).err().expect(name);
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// RFC 6749 §3.2: TLS, with a certificate that only `ca_file` vouches for.
#[tokio::test]
async fn a_provider_with_a_private_authority_is_trusted_through_the_certificate_file() {
    let (server, certificate) = TestProvider::start_with_tls().await;
    server.answers(DISCOVERY, Answer::json(200, &metadata(&server)));
    let mut settings = settings(&server.url(""));
    let error = discovery::fetch(&settings).await.expect_err("an unknown authority");
    assert!(error.to_string().contains("certificate"), "{error}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), certificate).expect("a file");
    settings.ca_file = Some(file.path().to_owned());
    discovery::fetch(&settings).await.expect("metadata");
}

/// Complaint of peers' users: provider down at start-up.
#[tokio::test]
async fn a_provider_that_is_down_at_the_start_is_found_once_it_is_up() {
    let party = TestParty::new().await;
    for answer in [Answer::HangUp, Answer::text(503, ""), Answer::text(404, ""), Answer::text(200, "<html>")] {
        party.server.answers_once(DISCOVERY, answer);
    }
    assert!(party.provider.metadata().is_none());
    party.provider.start();
    party.provider.start();
    until("the metadata", || party.provider.metadata().is_some()).await;
    assert!(party.server.received(DISCOVERY).len() >= 5);
}

#[tokio::test]
async fn metadata_and_keys_are_renewed_and_the_old_stay_when_that_fails() {
    let party = TestParty::new().await;
    party.provider.start();
    party.server.wait_for("/jwks", 2).await;
    party.server.answers(DISCOVERY, Answer::text(500, ""));
    let asked = party.server.received(DISCOVERY).len();
    party.server.wait_for(DISCOVERY, asked + 2).await;
    assert!(party.provider.metadata().is_some());
    let mut document = metadata(&party.server);
    document["token_endpoint"] = json!(party.server.url("/new-token"));
    party.server.answers(DISCOVERY, Answer::json(200, &document));
    let renewed = || party.provider.metadata().is_some_and(|metadata| metadata.token_endpoint.path() == "/new-token");
    until("the new endpoint", renewed).await;
}

#[tokio::test]
async fn discovery_ends_with_the_last_handle() {
    let party = TestParty::new().await;
    let watched = Arc::downgrade(&party.provider.party);
    party.provider.start();
    party.server.wait_for("/jwks", 1).await;
    drop(party.provider);
    until("the end of the background task", || watched.strong_count() == 0).await;
}

#[tokio::test]
async fn the_first_requests_set_discovery_off_and_share_one_attempt() {
    let party = TestParty::new().await;
    url(&party.provider, Vec::new()).await.expect("a URL");
    assert!(party.provider.metadata().is_some());
    let another = TestParty::new().await;
    let outcomes = futures_util::future::join_all((0..8).map(|_| another.provider.ready())).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(another.server.received(DISCOVERY).len(), 1);
}

#[tokio::test]
async fn attempts_that_requests_cause_are_rate_limited() {
    let server = TestProvider::start().await;
    let pacing = Pacing { on_demand_gap: Duration::from_secs(3600), ..quick() };
    let provider = Provider::with_pacing(settings(&server.url("")), Clock::system(), Handle::current(), pacing)
        .expect("a provider");
    for _ in 0..5 {
        assert_eq!(provider.ready().await, Err(ProviderUnavailable));
    }
    assert_eq!(server.received(DISCOVERY).len(), 1);
}

/// RFC 8414 §3.3
#[tokio::test]
async fn metadata_of_another_issuer_are_never_used() {
    let party = TestParty::new().await;
    let mut document = metadata(&party.server);
    document["issuer"] = json!(party.server.url("/"));
    party.server.answers(DISCOVERY, Answer::json(200, &document));
    assert_eq!(party.provider.ready().await, Err(ProviderUnavailable));
    let error = discovery::fetch(party.provider.settings()).await.expect_err("another issuer");
    assert!(matches!(error, DiscoveryError::IssuerMismatch { .. }), "{error}");
}

#[tokio::test]
async fn discovery_follows_no_redirect_and_reads_no_more_than_256_kib() {
    let party = TestParty::new().await;
    let redirect = Answer::text(302, "").with("location", party.server.url("/elsewhere"));
    party.server.answers(DISCOVERY, redirect);
    let error = discovery::fetch(party.provider.settings()).await.expect_err("a redirect");
    assert!(error.to_string().contains("redirect"), "{error}");
    assert!(party.server.received("/elsewhere").is_empty());
    party.server.answers(DISCOVERY, Answer::json(200, &json!({"pad": MARKER.repeat(25_000)})));
    let error = discovery::fetch(party.provider.settings()).await.expect_err("too long");
    assert!(error.to_string().contains("262144"), "{error}");
    assert!(!format!("{error} {error:?}").contains(MARKER));
}

/// OpenID Connect Core §3.1.2.1, RFC 7636 §4.2–4.3
#[tokio::test]
async fn the_authorization_url_asks_for_a_code_with_pkce() {
    let party = TestParty::new().await;
    let mut document = metadata(&party.server);
    document["authorization_endpoint"] = json!(party.server.url("/auth?tenant=a"));
    party.server.answers(DISCOVERY, Answer::json(200, &document));
    party.provider.ready().await.expect("metadata");
    let extra = vec![("prompt".to_owned(), "login".to_owned()), ("ui_locales".to_owned(), "de&x=1".to_owned())];
    let url = url(&party.provider, extra).await.expect("a URL");
    assert!(url.as_str().starts_with(&party.server.url("/auth?tenant=a&")), "{url}");
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "client"),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid offline_access"),
        ("state", "the state"),
        ("nonce", nonce().expose()),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
        ("ui_locales", "de&x=1"),
    ] {
        assert!(has(&url, name, value), "{name} in {url}");
    }
    assert!(!url.as_str().contains(verifier().expose()), "the verifier is for the token endpoint alone");
}

/// RFC 7636 appendix B
#[tokio::test]
async fn the_code_challenge_is_the_one_of_the_specification() {
    let party = TestParty::new().await;
    party.provider.ready().await.expect("metadata");
    let (state, nonce) = (fresh_state(), fresh_nonce());
    let verifier = CodeVerifier::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let request = AuthorizationRequest {
        state: &state,
        nonce: &nonce,
        verifier: &verifier,
        redirect_uri: REDIRECT_URI,
        max_age: None,
        extra: Vec::new(),
    };
    let url = party.provider.authorization_url(&request).await.expect("a URL");
    assert!(has(&url, "code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"), "{url}");
}

/// RFC 6749 §3.1
#[tokio::test]
async fn a_passthrough_cannot_repeat_a_parameter_of_ours() {
    let party = TestParty::with(TestKey::es256("k1"), |settings| settings.scopes = vec!["profile".to_owned()]).await;
    party.provider.ready().await.expect("metadata");
    let extra = ["redirect_uri", "scope", "state", "nonce", "client_id", "response_type", "code_challenge"];
    let extra = extra.map(|name| (name.to_owned(), "https://evil.example".to_owned())).to_vec();
    let url = url(&party.provider, extra).await.expect("a URL");
    assert!(!url.as_str().contains("evil"), "{url}");
    assert!(has(&url, "scope", "openid profile"), "openid is always asked for: {url}");
}

/// RFC 9700 §2.1.1, RFC 7636 §4.1
#[test]
fn states_nonces_and_verifiers_are_fresh_and_of_256_bits() {
    let texts = [fresh_state().expose(), fresh_nonce().expose(), fresh_verifier().expose(), fresh_verifier().expose()]
        .map(str::to_owned);
    for (index, text) in texts.iter().enumerate() {
        assert_eq!(text.len(), 43);
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        assert!(!texts[index + 1..].contains(text));
    }
}

/// RFC 9207 §2.4
#[tokio::test]
async fn an_authorization_response_of_another_issuer_is_refused() {
    let party = TestParty::new().await;
    let issuer = party.server.url("");
    assert_eq!(party.provider.check_issuer_parameter(None), Err(IssuerMismatch::NotDiscovered));
    party.provider.ready().await.expect("metadata");
    assert_eq!(party.provider.check_issuer_parameter(Some(&issuer)), Ok(()));
    assert_eq!(party.provider.check_issuer_parameter(None), Ok(()));
    for other in [format!("{issuer}/"), issuer.to_uppercase(), String::new(), "https://evil.example".to_owned()] {
        assert_eq!(party.provider.check_issuer_parameter(Some(&other)), Err(IssuerMismatch::Another));
    }
}

/// RFC 9207 §2.4
#[tokio::test]
async fn an_issuer_that_is_announced_must_not_be_absent() {
    let party = TestParty::new().await;
    let mut document = metadata(&party.server);
    document["authorization_response_iss_parameter_supported"] = json!(true);
    party.server.answers(DISCOVERY, Answer::json(200, &document));
    party.provider.ready().await.expect("metadata");
    assert_eq!(party.provider.check_issuer_parameter(None), Err(IssuerMismatch::Absent));
}

/// RP-Initiated Logout §2
#[tokio::test]
async fn the_logout_url_has_the_hint_the_client_and_the_way_back() {
    let party = TestParty::new().await;
    let back = "https://app.example.com/";
    let claims = json!({ "sub": "alice", "sid": "the session", "email": "alice@example.com" });
    let claims = claims.as_object().expect("an object");
    let request =
        |id_token_hint| LogoutRequest { id_token_hint, claims, post_logout_redirect_uri: back, state: "the state" };
    assert_eq!(party.provider.end_session_url(&request(None)), None, "not discovered yet");
    party.provider.ready().await.expect("metadata");
    let hint = IdToken::new("the hint");
    let url = party.provider.end_session_url(&request(Some(&hint))).expect("a URL");
    assert_eq!(url.path(), "/logout");
    for (name, value) in [
        ("id_token_hint", "the hint"),
        ("client_id", "client"),
        ("post_logout_redirect_uri", back),
        ("state", "the state"),
    ] {
        assert!(has(&url, name, value), "{name} in {url}");
    }
    assert_eq!(query(&url).len(), 4, "{url}");
    let url = party.provider.end_session_url(&request(None)).expect("a URL");
    assert!(has(&url, "logout_hint", "the session") && query(&url).len() == 4, "{url}");
}

/// RFC 7009 §2.1
#[tokio::test]
async fn a_refresh_token_is_revoked_with_the_client_authenticated() {
    let party = TestParty::new().await;
    party.server.answers("/revoke", Answer::text(200, ""));
    assert_eq!(party.provider.revoke(&refresh_token()).await, Ok(Revocation::Revoked));
    let request = &party.server.received("/revoke")[0];
    assert_eq!(request.parameter("token").as_deref(), Some(refresh_token().expose()));
    assert_eq!(request.parameter("token_type_hint").as_deref(), Some("refresh_token"));
    assert!(request.headers["authorization"].starts_with("Basic "));
    assert_eq!(request.parameter("client_secret"), None);

    let secret = ClientAuth::SecretPost(SecretString::new("a secret"));
    let party = TestParty::with(TestKey::es256("k1"), |settings| settings.client_auth = secret).await;
    party.server.answers("/revoke", Answer::text(200, ""));
    assert_eq!(party.provider.revoke(&refresh_token()).await, Ok(Revocation::Revoked));
    let request = &party.server.received("/revoke")[0];
    assert_eq!(request.parameter("client_secret").as_deref(), Some("a secret"));
}

/// RFC 7009 §2.2.1
#[tokio::test]
async fn a_revocation_that_fails_says_that_the_token_may_live() {
    let party = TestParty::new().await;
    party.server.answers_once("/revoke", Answer::text(503, MARKER).with("retry-after", "30"));
    party.server.answers_once("/revoke", Answer::json(400, &json!({"error": "unsupported_token_type"})));
    party.server.answers_once("/revoke", Answer::text(400, MARKER));
    let status = Unavailable::Status { status: 503, retry_after: Some(Duration::from_secs(30)) };
    for expected in [
        RevokeError::Unavailable(status),
        RevokeError::Rejected(OAuthError::new("unsupported_token_type", None)),
        RevokeError::InvalidResponse,
    ] {
        let error = party.provider.revoke(&refresh_token()).await.expect_err("a failure");
        assert_eq!(error, expected);
        assert!(error.to_string().contains("may still live"), "{error}");
        assert!(!format!("{error} {error:?}").contains(MARKER));
    }
}

#[tokio::test]
async fn a_provider_without_revocation_is_no_error() {
    let party = TestParty::new().await;
    let mut document = metadata(&party.server);
    document["revocation_endpoint"] = json!(null);
    document["end_session_endpoint"] = json!(null);
    party.server.answers(DISCOVERY, Answer::json(200, &document));
    assert_eq!(party.provider.revoke(&refresh_token()).await, Ok(Revocation::NotSupported));
    assert_eq!(
        party.provider.end_session_url(&LogoutRequest {
            id_token_hint: None,
            claims: &Map::new(),
            post_logout_redirect_uri: "https://app.example.com/",
            state: "s"
        }),
        None
    );
}

/// Client gone mid-exchange (CVE-2026-48090): what was sent is finished.
#[tokio::test]
async fn a_refresh_goes_on_when_its_caller_has_gone() {
    let party = TestParty::new().await;
    party.provider.ready().await.expect("metadata");
    let provider = party.provider.clone();
    let original = party.original();
    let caller = tokio::spawn(async move { provider.refresh(&refresh_token(), &original).await });
    tokio::task::yield_now().await;
    caller.abort();
    party.server.wait_for("/token", 1).await;
}

#[test]
fn callers_on_another_runtime_get_their_answer() {
    let traffic =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let party = traffic.block_on(TestParty::new());
    let worker = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O or time");
    worker.block_on(party.redeem_with_claims(json!({}))).expect("tokens");
    traffic.shutdown_background();
    let error = worker.block_on(party.refresh()).expect_err("the runtime has stopped");
    assert_eq!(error, RefreshError::Unavailable(Unavailable::Stopped));
}

#[test]
fn handles_and_futures_can_be_sent_between_threads() {
    fn sendable<T: Send>(value: T) -> T {
        value
    }
    fn check(provider: &Provider, original: &OriginalIdentity) {
        let token = refresh_token();
        drop(sendable(provider.redeem(redemption())));
        drop(sendable(provider.refresh(&token, original)));
        drop(sendable(provider.revoke(&token)));
        drop(sendable(provider.ready()));
        drop(sendable(provider.clone()));
    }
    let _ = check;
}
