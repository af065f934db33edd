//! The relying-party modules of the OpenID Foundation's conformance suite, a test each. What the suite asks a person to
//! confirm, that the login was refused, is looked at here.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::provider::{Endpoint, Provider};
use crate::right::{EC_KEY, NEW_KEY, RSA_KEY, Right, at_hash, changed};
use crate::stage::{Case, Stage, accepted, play, refused, with};
use crate::support::world::SESSION;
use crate::{id_tokens, metadata, userinfo};

/// Plays one case on a stage of its own.
async fn plays(case: Case) {
    let stage = Stage::start().await;
    let browsers = play(&stage, &[case]).await;
    stage.leaks_nothing(&browsers);
}

/// The cases of that name.
async fn plays_of(cases: Vec<Case>, name: &str) {
    let cases: Vec<Case> = cases.into_iter().filter(|case| case.name == name).collect();
    assert!(!cases.is_empty(), "there is a case of that name: {name}");
    let stage = Stage::start().await;
    play(&stage, &cases).await;
}

async fn signs_in_with(token: impl Fn(&Right) -> String + Send + Sync + 'static) {
    plays(accepted("a login", Endpoint::Token, move |right| right.with_id_token(token(right)))).await;
}

async fn refuses(log: &'static str, claim: &'static str, value: Value) {
    plays(refused("a login", Endpoint::Token, 502, log, move |right| right.with_claims(&with(claim, value.clone()))))
        .await;
}

async fn user_with_userinfo(claims: Value) -> Value {
    let stage = Stage::start().await;
    stage.provider.answers(Endpoint::UserInfo, move |_| Answer::json(&claims));
    let browser = stage.browser();
    browser.sign_in().await;
    stage.leaks_nothing(&[]);
    assert_eq!(stage.provider.asked(Endpoint::Elsewhere), 0, "nobody was led elsewhere");
    browser.user().await
}

/// oidcc-client-test
#[tokio::test(flavor = "multi_thread")]
async fn a_login_completes() {
    plays(accepted("a login", Endpoint::Token, |right| Answer::json(&right.response()))).await;
}

/// oidcc-client-test-client-secret-basic, oidcc-client-test-nonce-unless-code-flow: the provider here refuses a token
/// request without HTTP Basic, and an authorization request without nonce or S256 challenge.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_sends_a_nonce_and_authenticates_with_client_secret_basic() {
    let stage = Stage::start().await;
    stage.browser().sign_in().await;
    assert_eq!(stage.provider.faults(), Vec::<String>::new());
    assert!(stage.provider.asked(Endpoint::Token) == 1);
}

/// oidcc-client-test-invalid-iss
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_of_another_issuer_is_refused() {
    refuses("from another issuer", "iss", json!("https://evil.example")).await;
}

/// oidcc-client-test-missing-sub
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_without_a_subject_is_refused() {
    refuses("subject is missing", "sub", Value::Null).await;
}

/// oidcc-client-test-invalid-aud
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_for_another_audience_is_refused() {
    refuses("for another audience", "aud", json!("another-client")).await;
}

/// oidcc-client-test-missing-aud
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_without_an_audience_is_refused() {
    refuses("for another audience", "aud", Value::Null).await;
}

/// oidcc-client-test-missing-iat
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_without_a_time_of_issue_is_refused() {
    refuses("time of issue is missing", "iat", Value::Null).await;
}

/// oidcc-client-test-nonce-invalid
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_with_another_nonce_is_refused() {
    refuses("nonce is not the one of this login", "nonce", json!("another")).await;
}

/// oidcc-client-test-invalid-athash
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_of_another_access_token_is_refused() {
    refuses("belongs to another access token", "at_hash", json!(at_hash("another"))).await;
}

/// oidcc-client-test-missing-athash: it is optional in the code flow (Core §3.1.3.6), and checked when it is there.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_may_have_a_hash_of_the_access_token_or_none() {
    signs_in_with(|right| RSA_KEY.token(&right.claims_with(&json!({"at_hash": at_hash(&right.access_token)})))).await;
    signs_in_with(|right| RSA_KEY.token(&right.claims())).await;
}

/// oidcc-client-test-kid-absent-single-jwks
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_without_a_key_id_is_verified_with_the_only_key() {
    without_key_ids(vec![changed(RSA_KEY.jwk(), &json!({"kid": null}))]).await;
}

/// oidcc-client-test-kid-absent-multiple-jwks
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_without_a_key_id_is_verified_with_whichever_key_fits() {
    without_key_ids(vec![NEW_KEY.jwk(), EC_KEY.jwk(), RSA_KEY.jwk()]).await;
}

/// A login with an ID token that names no key, at a provider that publishes these.
async fn without_key_ids(keys: Vec<Value>) {
    let provider = Provider::start().await;
    provider.answers(Endpoint::Jwks, move |_| Answer::json(&json!({ "keys": keys })));
    provider.answers(Endpoint::Token, |right| {
        right.with_id_token(RSA_KEY.token_with_header(&json!({"alg": "RS256"}), &right.claims()))
    });
    let stage = Stage::around(provider, |options| options).await;
    stage.browser().sign_in().await;
    assert_eq!(stage.provider.asked(Endpoint::Jwks), 1, "the first key set has the key");
}

/// oidcc-client-test-idtoken-sig-rs256
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_signed_with_rs256_is_accepted() {
    signs_in_with(|right| RSA_KEY.token(&right.claims())).await;
}

/// oidcc-client-test-idtoken-sig-none
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_that_is_not_signed_is_refused() {
    plays_of(id_tokens::cases(), "an algorithm that is none").await;
}

/// oidcc-client-test-invalid-sig-rs256
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_with_an_invalid_rs256_signature_is_refused() {
    plays_of(id_tokens::cases(), "a signature by another RSA key").await;
}

/// oidcc-client-test-invalid-sig-es256
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_with_an_invalid_es256_signature_is_refused() {
    plays_of(id_tokens::cases(), "a signature by another EC key").await;
}

/// oidcc-client-test-invalid-sig-hs256
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_signed_with_hs256_is_refused_whatever_the_secret() {
    plays_of(id_tokens::cases(), "the public key for a secret").await;
    plays_of(id_tokens::cases(), "the client secret for a key").await;
}

/// oidcc-client-test-userinfo-bearer-header, oidcc-client-test-userinfo-bearer-body: the header is the one way that is
/// used (RFC 6750 §2.1); the provider here refuses any other.
#[tokio::test(flavor = "multi_thread")]
async fn userinfo_is_asked_with_the_access_token_in_the_header() {
    let stage = Stage::start().await;
    stage.browser().sign_in().await;
    assert_eq!((stage.provider.asked(Endpoint::UserInfo), stage.provider.faults().len()), (1, 0));
}

/// oidcc-client-test-userinfo-invalid-sub
#[tokio::test(flavor = "multi_thread")]
async fn userinfo_of_another_user_is_refused() {
    plays_of(userinfo::cases(), "UserInfo of another user").await;
}

/// oidcc-client-test-userinfo-signed
#[tokio::test(flavor = "multi_thread")]
async fn signed_userinfo_is_accepted() {
    plays_of(userinfo::cases(), "signed UserInfo").await;
}

/// oidcc-client-test-scope-userinfo-claims
#[tokio::test(flavor = "multi_thread")]
async fn claims_of_scopes_come_from_userinfo() {
    let provider = Provider::start().await;
    let scopes = ["openid", "profile", "email", "phone", "address"];
    let stage = Stage::around(provider, |options| options.set("provider.scopes", scopes.to_vec())).await;
    stage.provider.answers(Endpoint::UserInfo, |_| {
        Answer::json(
            &json!({"sub": "alice", "email": "alice@example.com", "phone_number": "+1", "address": {"locality": "X"}}),
        )
    });
    let browser = stage.browser();
    let login = browser.navigate("/bff/login").await.location();
    let query: HashMap<String, String> = login.query_pairs().into_owned().collect();
    assert_eq!(query["scope"], scopes.join(" "));
    browser.sign_in().await;
    let user = browser.user().await;
    assert_eq!((&user["email"], &user["address"]["locality"]), (&json!("alice@example.com"), &json!("X")));
}

/// oidcc-client-test-aggregated-claims: left as they are, not taken for the provider's own (Core §5.6.2).
#[tokio::test(flavor = "multi_thread")]
async fn aggregated_claims_are_left_alone() {
    let sources = json!({"s": {"JWT": RSA_KEY.token(&json!({"address": "X", "sub": "mallory"}))}});
    let user =
        user_with_userinfo(json!({"sub": "alice", "_claim_names": {"address": "s"}, "_claim_sources": sources})).await;
    assert_eq!(
        (&user["sub"], &user["address"], &user["_claim_sources"]),
        (&json!("alice"), &Value::Null, &Value::Null)
    );
}

/// oidcc-client-test-distributed-claims: left where they are, and their access tokens shown to nobody (Core §5.6.2).
#[tokio::test(flavor = "multi_thread")]
async fn distributed_claims_are_not_fetched() {
    let sources = json!({"s": {"endpoint": "http://localhost:1/claims", "access_token": "hunter2-distributed"}});
    let user =
        user_with_userinfo(json!({"sub": "alice", "_claim_names": {"score": "s"}, "_claim_sources": sources})).await;
    assert_eq!((&user["sub"], &user["score"], &user["_claim_sources"]), (&json!("alice"), &Value::Null, &Value::Null));
}

/// oidcc-client-test-ignores-unparseable-key-in-jwks
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_used_do_not_spoil_the_others() {
    for case in metadata::odd_key_sets() {
        metadata::play_key_set(&case).await;
    }
}

/// oidcc-client-test-discovery-openid-config, oidcc-client-test-discovery-jwks-uri-keys: all endpoints, the keys' among
/// them, are those of the metadata.
#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_and_the_keys_that_they_name_are_read() {
    let stage = Stage::start().await;
    let login = stage.browser().navigate("/bff/login").await.location();
    assert!(login.as_str().starts_with(&format!("{}/authorize?", stage.provider.issuer)), "{login}");
    stage.browser().sign_in().await;
    assert!(stage.provider.asked(Endpoint::Discovery) >= 1 && stage.provider.asked(Endpoint::Jwks) >= 1);
}

/// oidcc-client-test-discovery-issuer-mismatch
#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_another_issuer_begin_no_login() {
    let provider = Provider::start().await;
    provider.answers(Endpoint::Discovery, |right| {
        Answer::json(&changed(right.metadata(), &json!({"issuer": "https://evil.example"})))
    });
    let stage = Stage::around(provider, |options| options).await;
    let cases = metadata::discovery().into_iter().filter(|case| case.name == "metadata of another issuer").collect();
    metadata::play_discovery(&stage, cases).await;
}

/// oidcc-client-test-signing-key-rotation
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_again_when_they_were_rotated_between_two_logins() {
    let stage = Stage::start().await;
    stage.browser().sign_in().await;
    let before = stage.provider.asked(Endpoint::Jwks);
    stage.provider.answers(Endpoint::Jwks, |_| Answer::json(&json!({"keys": [NEW_KEY.jwk()]})));
    stage.provider.answers(Endpoint::Token, |right| right.with_id_token(NEW_KEY.token(&right.claims())));
    stage.browser().sign_in().await;
    assert_eq!(stage.provider.asked(Endpoint::Jwks), before + 1);
}

/// oidcc-client-test-signing-key-rotation-just-before-signing
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_again_when_they_were_rotated_just_before_signing() {
    let stage = Stage::start().await;
    let provider = stage.provider.clone();
    stage.provider.answers(Endpoint::Token, move |right| {
        provider.answers(Endpoint::Jwks, |_| Answer::json(&json!({"keys": [NEW_KEY.jwk()]})));
        right.with_id_token(NEW_KEY.token(&right.claims()))
    });
    stage.browser().sign_in().await;
}

/// Refreshes with that answer; gives what the session says then.
async fn refresh_with(status: u16, token: impl Fn(&Right) -> String + Send + Sync + 'static) {
    let stage = Stage::start().await;
    let browser = stage.browser();
    browser.sign_in().await;
    let session = browser.cookie(SESSION);
    stage.provider.answers(Endpoint::Token, move |right| right.with_id_token(token(right)));
    assert_eq!(browser.post("/bff/refresh").await.status.as_u16(), status);
    assert_eq!(browser.cookie(SESSION) != session, status == 200, "the session is replaced after a success alone");
    assert_eq!(browser.user().await["sub"], "alice");
}

/// oidcc-client-test-refresh-token
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_brings_new_tokens_and_asks_userinfo_with_them() {
    let stage = Stage::start().await;
    let browser = stage.browser();
    browser.sign_in().await;
    let first = stage.provider.last().access_token;
    assert_eq!(browser.post("/bff/refresh").await.status.as_u16(), 200);
    assert_ne!(stage.provider.last().access_token, first, "UserInfo was asked last, with the new access token");
    assert_eq!(stage.provider.asked(Endpoint::UserInfo), 2);
    browser.get("/api/status/200").await;
    let sent = stage.upstream.last().header("authorization").concat();
    assert_eq!(sent, format!("Bearer {}", stage.provider.last().access_token));
}

/// oidcc-client-test-refresh-token-invalid-issuer
#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_id_token_of_another_issuer_is_refused() {
    refresh_with(503, |right| RSA_KEY.token(&right.claims_with(&json!({"iss": "https://evil.example"})))).await;
}

/// oidcc-client-test-refresh-token-invalid-sub
#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_id_token_of_another_user_is_refused() {
    refresh_with(401, |right| RSA_KEY.token(&right.claims_with(&json!({"sub": "bob"})))).await;
}

/// oidcc-client-test-refresh-token-invalid-aud
#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_id_token_for_another_audience_is_refused() {
    refresh_with(503, |right| RSA_KEY.token(&right.claims_with(&json!({"aud": "another-client"})))).await;
}

/// oidcc-client-test-refresh-token-invalid-azp
#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_id_token_with_an_authorized_party_where_there_was_none_is_refused() {
    refresh_with(401, |right| RSA_KEY.token(&right.claims_with(&json!({"azp": right.client_id})))).await;
}

/// Signs out, comes back with that query, and is still signed out.
async fn logout_and_back_with(query: &str) {
    let stage = Stage::start().await;
    let browser = stage.browser();
    browser.sign_in().await;
    let link = browser.user().await["bff:logout_url"].as_str().expect("a text").to_owned();
    let target = browser.navigate(&link).await.location();
    assert!(target.as_str().starts_with(&format!("{}/end?", stage.provider.issuer)), "{target}");
    let sent: HashMap<String, String> = target.query_pairs().into_owned().collect();
    assert!(!sent["state"].is_empty() && !sent["id_token_hint"].is_empty());
    let home = &sent["post_logout_redirect_uri"];
    let back = browser.arrive_from_elsewhere(&format!("{home}{}", query.replace("{state}", &sent["state"]))).await;
    assert!(back.status.is_success() || back.status.is_client_error(), "{} {}", back.status, back.body);
    assert_eq!(browser.cookie(SESSION), None);
    assert_eq!(browser.get("/bff/user").await.status.as_u16(), 401);
}

/// oidcc-client-test-rp-init-logout
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_goes_to_the_provider_and_comes_back_signed_out() {
    logout_and_back_with("?state={state}").await;
}

/// oidcc-client-test-rp-init-logout-no-state
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_that_comes_back_without_state_is_one_all_the_same() {
    logout_and_back_with("").await;
}

/// oidcc-client-test-rp-init-logout-other-state
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_that_comes_back_with_another_state_brings_nothing_back() {
    logout_and_back_with("?state=another").await;
}
