//! How relying parties may authenticate and ask, each against the certified provider that takes nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::support::world::Plan;
use crate::support::{World, eventually};

/// The parameters of a query.
fn query(url: &Url) -> Vec<(String, String)> {
    url.query_pairs().into_owned().collect()
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    query(url).into_iter().find(|(other, _)| other == name).map(|(_, value)| value)
}

/// Signs in, calls the API, refreshes, calls it again and logs out, and gives what the provider counted.
async fn whole_session(world: &World) -> crate::support::provider::Stats {
    world.browser.sign_in().await;
    let user = world.browser.user().await;
    assert_eq!(user["sub"], "ada");
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
    world.browser.navigate(user["bff:logout_url"].as_str().expect("a path")).await;
    world.provider.stats().await
}

/// Nothing that went over the wire as a secret is in the log or was shown to the browser.
async fn keeps_its_secrets(world: &World, kinds: &[&str]) {
    let issued = world.provider.issued().await;
    for kind in kinds {
        assert!(issued.iter().any(|issued| issued.kind == *kind), "the test knows a {kind}");
    }
    let (log, shown) = (world.gate.log(), world.browser.shown());
    // The upstream's echo shows the access token because the test's upstream does.
    for secret in issued.iter().filter(|issued| issued.kind != "access_token") {
        assert!(!log.contains(&secret.value), "a {} is in the log", secret.kind);
        assert!(!shown.iter().any(|shown| shown.contains(&secret.value)), "a {} was shown", secret.kind);
    }
}

/// A client's key pair.
struct ClientKey {
    folder: TempDir,
    pair: KeyPair,
}

impl ClientKey {
    fn new(kind: &'static SignatureAlgorithm) -> Self {
        let key =
            Self { folder: TempDir::new().expect("a folder"), pair: KeyPair::generate_for(kind).expect("a key pair") };
        key.write(&key.pair);
        key
    }

    fn path(&self) -> String {
        self.folder.path().join("client.pem").to_str().expect("a path in UTF-8").to_owned()
    }

    fn write(&self, pair: &KeyPair) {
        let draft = self.folder.path().join("draft");
        fs::write(&draft, pair.serialize_pem()).expect("writable");
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::rename(draft, self.path()).expect("renamed");
    }

    /// A world whose client has this key and no secret.
    fn plan(&self) -> Plan {
        World::plan()
            .set("provider.client_secret", Value::Null)
            .set("provider.client_auth", "private_key_jwt")
            .set("provider.client_key_file", self.path())
            .registered("client_secret", Value::Null)
            .registered("token_endpoint_auth_method", "private_key_jwt")
            .registered("public_key_pem", self.pair.public_key_pem())
    }
}

async fn signs_with(kind: &'static SignatureAlgorithm, algorithm: &str, configured: Option<&str>) {
    let key = ClientKey::new(kind);
    let mut plan = key.plan().provider(|provider| provider.par = "required");
    plan = plan.registered("token_endpoint_auth_signing_alg", algorithm);
    if let Some(configured) = configured {
        plan = plan.set("provider.client_assertion_algorithm", configured);
    }
    let world = plan.start().await;
    let stats = whole_session(&world).await;
    for (route, count) in [("pushed_authorization_request", 1), ("token", 2), ("revocation", 1)] {
        assert_eq!(stats.authenticated(route, "private_key_jwt"), count, "{route} with {algorithm}: {stats:?}");
    }
    keeps_its_secrets(&world, &["client_assertion", "request_uri", "code", "refresh_token"]).await;
    let assertions = world.provider.issued_of("client_assertion").await;
    assert_eq!(assertions.len(), 4, "each request has one of its own");
}

/// OpenID Connect Core §9, RFC 7523 §2.2, RFC 9126 §2.1
#[tokio::test(flavor = "multi_thread")]
async fn a_client_authenticates_with_rs256() {
    signs_with(&PKCS_RSA_SHA256, "RS256", None).await;
}

/// OpenID Connect Core §9, FAPI 2.0 §5.4.1
#[tokio::test(flavor = "multi_thread")]
async fn a_client_authenticates_with_ps256() {
    signs_with(&PKCS_RSA_SHA256, "PS256", Some("PS256")).await;
}

/// OpenID Connect Core §9, FAPI 2.0 §5.4.1
#[tokio::test(flavor = "multi_thread")]
async fn a_client_authenticates_with_es256() {
    signs_with(&PKCS_ECDSA_P256_SHA256, "ES256", None).await;
}

/// RFC 8037 §3.1, FAPI 2.0 §5.4.1
#[tokio::test(flavor = "multi_thread")]
async fn a_client_authenticates_with_eddsa() {
    signs_with(&PKCS_ED25519, "EdDSA", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_for_the_token_endpoint_is_taken_too() {
    let key = ClientKey::new(&PKCS_ECDSA_P256_SHA256);
    let world = key.plan().set("provider.client_assertion_audience", "token_endpoint").start().await;
    let stats = whole_session(&world).await;
    assert_eq!(stats.authenticated("token", "private_key_jwt"), 2);
    let assertion = world.provider.issued_of("client_assertion").await.remove(0);
    let claims = assertion.split('.').nth(1).expect("three parts");
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64url")).expect("JSON");
    assert_eq!(claims["aud"], format!("{}/token", world.provider.issuer));
}

/// A key rolls over as the documentation says: the provider knows the new one first, then the file changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_key_rolls_over_without_a_restart() {
    let key = ClientKey::new(&PKCS_ECDSA_P256_SHA256);
    let world = key.plan().signed_in().await;
    let next = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key pair");
    let mut registration = world.gate.options.registration();
    registration["token_endpoint_auth_method"] = json!("private_key_jwt");
    registration["public_key_pem"] = json!(next.public_key_pem());
    registration.as_object_mut().expect("an object").remove("client_secret");
    world.provider.register(registration).await;
    key.write(&next);
    eventually("the new key", Duration::from_secs(30), async || {
        let log = world.gate.log();
        log.contains("the client's key was read again").then_some(())
    })
    .await;
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    assert_eq!(world.provider.stats().await.token_errors("invalid_client"), 0);
}

/// OpenID Connect Core §9 `none`, RFC 7636
#[tokio::test(flavor = "multi_thread")]
async fn a_public_client_logs_in_with_pkce_alone_and_the_log_advises_against_it() {
    let plan = World::plan().set("provider.client_secret", Value::Null).set("provider.client_auth", "none");
    let plan = plan.registered("client_secret", Value::Null).registered("token_endpoint_auth_method", "none");
    let world = plan.provider(|provider| provider.par = "optional").start().await;
    let stats = whole_session(&world).await;
    for (route, count) in [("pushed_authorization_request", 1), ("token", 2), ("revocation", 1)] {
        assert_eq!(stats.authenticated(route, "none"), count, "{route}: {stats:?}");
    }
    assert_eq!(stats.live_refresh_tokens(), 0);
    assert!(world.gate.log().contains("is a public client"));
}

/// RFC 9126 §4, §5
#[tokio::test(flavor = "multi_thread")]
async fn where_requests_are_pushed_the_browser_carries_a_reference_that_is_used_once() {
    for par in ["optional", "required"] {
        let world = World::plan().provider(|provider| provider.par = par).start().await;
        let first = world.browser.navigate("/bff/login?returnUrl=%2Forders&login_hint=grace").await.location();
        let names: Vec<_> = query(&first).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["client_id", "request_uri"], "{first}");
        let again = world.browser.navigate("/bff/login").await.location();
        assert_ne!(parameter(&first, "request_uri"), parameter(&again, "request_uri"), "each login has its own");
        let reply = world.browser.sign_in_at("/bff/login?returnUrl=%2Forders&login_hint=grace").await;
        assert_eq!(reply.location().path(), "/orders");
        assert_eq!(world.browser.user().await["sub"], "grace", "what was pushed arrived");
        keeps_its_secrets(&world, &["request_uri", "state", "nonce"]).await;
    }
}

/// RFC 9126 §5: without the endpoint everything goes through the browser, as before.
#[tokio::test(flavor = "multi_thread")]
async fn where_they_need_not_be_pushed_never_keeps_them_in_the_browser() {
    let plan = World::plan().set("provider.pushed_authorization_requests", "never");
    let world = plan.provider(|provider| provider.par = "optional").start().await;
    let url = world.browser.navigate("/bff/login").await.location();
    assert!(parameter(&url, "request_uri").is_none() && parameter(&url, "code_challenge").is_some(), "{url}");
    whole_session(&world).await;
    assert_eq!(world.provider.stats().await.requests("request"), 0);
}

/// RFC 9126 §2.3
#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_request_that_is_refused_ends_with_a_page_that_says_so() {
    let plan = World::plan().provider(|provider| provider.par = "required");
    let world = plan.set("provider.client_secret", "another-secret-than-the-registered-one").start().await;
    let reply = world.browser.navigate("/bff/login").await;
    assert_eq!(reply.error_page(5), 502);
    assert!(reply.body.contains("invalid_client"), "{}", reply.body);
    reply.touches_no_cookie();
    assert!(!world.gate.log().contains("another-secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_cannot_take_pushed_requests_now_is_an_outage() {
    let world = World::plan().provider(|provider| provider.par = "required").start().await;
    world.browser.navigate("/bff/login").await;
    world.provider.fail(503, Some(&["request"])).await;
    let reply = world.browser.navigate("/bff/login").await;
    assert_eq!(reply.error_page(5), 503);
    assert_eq!(reply.header("retry-after").len(), 1);
    reply.touches_no_cookie();
    world.provider.recover().await;
    world.browser.sign_in().await;
}

/// OpenID Connect Core §3.1.2.1, §3.1.3.7 item 13
#[tokio::test(flavor = "multi_thread")]
async fn a_configured_max_age_is_asked_for_and_the_shorter_of_two_counts() {
    let plan = World::plan().set("provider.max_age", "1h").set("provider.passthrough_parameters", vec!["max_age"]);
    let world = plan.start().await;
    for (login, expected) in [
        ("/bff/login", "3600"),
        ("/bff/login?max_age=60", "60"),
        ("/bff/login?max_age=0", "0"),
        ("/bff/login?max_age=999999", "3600"),
    ] {
        let url = world.browser.navigate(login).await.location();
        assert_eq!(parameter(&url, "max_age").as_deref(), Some(expected), "{login}");
        world.browser.sign_in_at(login).await;
        assert_eq!(world.browser.user().await["sub"], "ada");
    }
    for bad in ["-1", "soon", "", "1.5", "99999999999", "1&max_age=1"] {
        let reply = world.browser.navigate(&format!("/bff/login?max_age={bad}")).await;
        assert_eq!(reply.error_page(4), 400, "{bad}");
    }
}

/// RFC 8707 §2, §2.2
#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_asked_for_and_the_access_token_is_for_it_after_each_refresh_too() {
    const RESOURCE: &str = "https://api.example.com/orders";
    let plan = World::plan().provider(|provider| provider.resource = Some(RESOURCE.to_owned()));
    let world = plan.set("provider.resource", vec![RESOURCE]).start().await;
    world.browser.sign_in().await;
    world.browser.get("/api/echo").await;
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    world.browser.get("/api/echo").await;
    let tokens = world.provider.issued_of("access_token").await;
    assert_eq!(tokens.len(), 2);
    for token in tokens {
        let claims = token.split('.').nth(1).expect("a JWT");
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64url")).expect("JSON");
        assert_eq!(claims["aud"], RESOURCE);
    }
}

/// OpenID Connect Core §3.1.2.1: what is configured is said at each login, unless the link says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn configured_parameters_are_in_each_request_and_a_link_may_say_otherwise() {
    let plan = World::plan()
        .set("provider.prompt", "login")
        .set("provider.acr_values", vec!["urn:gold", "urn:silver"])
        .set("provider.ui_locales", vec!["de", "en"])
        .set("provider.claims", r#"{"id_token":{"email":null}}"#)
        .set("provider.audience", "an api")
        .set("provider.authorization_parameters", json!({"organization": "acme"}));
    let world = plan.start().await;
    let url = world.browser.navigate("/bff/login?ui_locales=fr").await.location();
    for (name, value) in [
        ("prompt", "login"),
        ("acr_values", "urn:gold urn:silver"),
        ("ui_locales", "fr"),
        ("claims", r#"{"id_token":{"email":null}}"#),
        ("audience", "an api"),
        ("organization", "acme"),
    ] {
        let values: Vec<_> = query(&url).into_iter().filter(|(other, _)| other == name).collect();
        assert_eq!(values, [(name.to_owned(), value.to_owned())]);
    }
}
