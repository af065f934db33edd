//! Sealgate in front of a real Keycloak, whose login page is filled in as a user does it: what docs/provider-keycloak.md
//! promises, and what the certified provider of the other tests does in its own way.
//!
//! `make test-keycloak` downloads Keycloak, starts it and runs these. They are ignored otherwise, for there is none.

mod realm;
#[path = "../support/support.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use reqwest::StatusCode;
use serde_json::{Value, json};

use self::realm::{Site, members};
use self::support::eventually;

/// How long a user waits for Keycloak on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Signs in, calls the API while access tokens of seconds run out, refreshes, and signs out here and at Keycloak.
async fn whole_session(site: &Site) {
    site.sign_in("ada").await;
    let user = site.browser.user().await;
    assert_eq!((&user["preferred_username"], &user["email"]), (&json!("ada"), &json!("ada@example.com")));

    let first = site.bearer_of_a_call().await;
    let claims = realm::claims(&first);
    assert_eq!((&claims["iss"], &claims["azp"]), (&json!(site.issuer()), &json!(site.gate.options.client_id)));
    let second = eventually("the next access token", PATIENCE, async || {
        let bearer = site.bearer_of_a_call().await;
        (bearer != first).then_some(bearer)
    })
    .await;
    assert_eq!(site.browser.post("/bff/refresh").await.status, StatusCode::OK);
    let third = site.bearer_of_a_call().await;
    assert!(third != second && third != first, "each refresh brings another one");
    assert_eq!(site.browser.user().await["sub"], user["sub"]);

    let back = site.sign_out(&user).await;
    assert!(back.as_str().starts_with(&format!("{}/?state=", site.gate.url())), "without a question: {back}");
    site.browser.get("/bff/user").await.problem(401);
    site.asks_for_the_password().await;

    let (log, shown) = (site.gate.log(), site.browser.shown());
    for token in [first, second, third] {
        assert!(!log.contains(&token), "no access token is in the log");
        assert!(!shown.iter().any(|shown| shown.contains(&token)), "no access token was shown");
    }
}

/// RFC 6749 §2.3.1, §6; OpenID Connect RP-Initiated Logout §2. Refresh tokens are used once.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Keycloak: make test-keycloak"]
async fn a_user_signs_in_calls_refreshes_and_signs_out_with_a_client_secret() {
    let site = Site::start(json!({}), |options| options).await;
    whole_session(&site).await;
    assert!(site.browser.shown().iter().all(|shown| !shown.contains(&site.gate.options.client_secret)));
}

/// RFC 9126 §4, §5: Keycloak takes no other request of this client than a pushed one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Keycloak: make test-keycloak"]
async fn pushed_requests_are_used_where_keycloak_requires_them() {
    let site = Site::start(json!({"attributes": {"require.pushed.authorization.requests": "true"}}), |o| o).await;
    let reply = site.browser.navigate("/bff/login").await;
    let location = reply.location();
    let names: Vec<String> = location.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["client_id", "request_uri"], "{location}");
    whole_session(&site).await;
}

/// OpenID Connect Core §9 `private_key_jwt`, RFC 7523 §2.2
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Keycloak: make test-keycloak"]
async fn a_client_proves_itself_with_a_key() {
    let (folder, pair) =
        (tempfile::tempdir().expect("a folder"), KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key pair"));
    let file = folder.path().join("client.pem");
    fs::write(&file, pair.serialize_pem()).expect("a new file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a file of ours");
    let point = pair.public_key_raw();
    let coordinate = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
    let key = json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "of-the-test",
        "x": coordinate(1), "y": coordinate(33),
    });
    let client = json!({
        "clientAuthenticatorType": "client-jwt",
        "secret": null,
        "attributes": {
            "use.jwks.string": "true",
            "jwks.string": json!({"keys": [key]}).to_string(),
            "token.endpoint.auth.signing.alg": "ES256",
            "require.pushed.authorization.requests": "true",
        },
    });
    let site = Site::start(client, |options| {
        let options = options.set("provider.client_secret", Value::Null).set("provider.client_auth", "private_key_jwt");
        options.set("provider.client_key_file", file.to_str()).set("provider.client_key_id", "of-the-test")
    })
    .await;
    whole_session(&site).await;
}

/// What the preset says of Keycloak's roles, with the mapper that the page asks for.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Keycloak: make test-keycloak"]
async fn realm_roles_decide_who_may_log_in() {
    let mapper = json!({
        "name": "realm roles", "protocol": "openid-connect", "protocolMapper": "oidc-usermodel-realm-role-mapper",
        "config": {
            "claim.name": "realm_access.roles", "jsonType.label": "String", "multivalued": "true",
            "id.token.claim": "true", "access.token.claim": "true",
        },
    });
    let site =
        Site::start(json!({"protocolMappers": [mapper]}), |o| o.set("provider.allowed_groups", vec!["staff"])).await;
    let refused = site.callback("grace").await;
    assert_eq!(refused.error_page(4), 403);
    site.browser.get("/bff/user").await.problem(401);
    let other = site.with_another_browser();
    other.sign_in("ada").await;
    assert_eq!(members(&other.browser.user().await, "/realm_access/roles"), ["staff"]);
}

/// RFC 10017 §6.1.2.2: who is signed out at Keycloak is signed out here once the access token has expired.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Keycloak: make test-keycloak"]
async fn a_session_that_was_ended_at_keycloak_ends_here() {
    let site = Site::start(json!({}), |options| options).await;
    site.sign_in("ada").await;
    site.end_all_sessions().await;
    eventually("the end of the session", PATIENCE, async || {
        (site.browser.get("/bff/user").await.status == StatusCode::UNAUTHORIZED
            || site.browser.get("/api/status/200").await.status == StatusCode::UNAUTHORIZED)
            .then_some(())
    })
    .await;
}
