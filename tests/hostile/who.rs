//! Who may log in, and stay, by claims that UserInfo alone knows.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::provider::{Endpoint, Provider};
use crate::stage::{PATIENCE, Stage, is_refused};
use crate::support::{SealgateOptions, eventually};

async fn stage(change: impl FnOnce(SealgateOptions) -> SealgateOptions) -> Stage {
    Stage::around(Provider::start().await, change).await
}

fn says(stage: &Stage, claims: Value) {
    stage.provider.answers(Endpoint::UserInfo, move |_| Answer::json(&claims));
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_userinfo_decide_who_may_log_in() {
    let stage = stage(|options| options.set("provider.allowed_groups", vec!["staff"])).await;
    stage.browser().sign_in().await;
    for claims in [json!({"sub": "alice"}), json!({"sub": "alice", "groups": ["guests"]})] {
        says(&stage, claims);
        let browser = stage.browser();
        let callback = browser.sign_in_up_to_callback("/bff/login").await;
        let reply = browser.arrive_from_elsewhere(callback.as_str()).await;
        is_refused(&browser, &reply, 403).await;
    }
    eventually("the refresh tokens are revoked", PATIENCE, async || {
        (stage.provider.asked(Endpoint::Revocation) == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_userinfo_is_not_verified_by_the_id_token_s_word_for_another() {
    let stage = stage(|options| options.set("provider.allowed_email_domains", vec!["example.com"])).await;
    stage.provider.answers(Endpoint::Token, |right| {
        right.with_claims(&json!({"email": "alice@evil.example", "email_verified": true}))
    });
    for (claims, status) in [
        (json!({"sub": "alice"}), 403),
        (json!({"sub": "alice", "email": "alice@example.com", "email_verified": false}), 403),
        (json!({"sub": "alice", "email": "alice@example.com", "email_verified": true}), 303),
    ] {
        says(&stage, claims);
        let browser = stage.browser();
        let callback = browser.sign_in_up_to_callback("/bff/login").await;
        assert_eq!(browser.arrive_from_elsewhere(callback.as_str()).await.status.as_u16(), status);
    }
}

/// CVE-2021-41230: claims that were read at the login, and never again.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_the_groups_is_signed_out_at_the_next_refresh() {
    let stage = stage(|options| options.set("provider.allowed_groups", vec!["staff"])).await;
    let browser = stage.browser();
    browser.sign_in().await;
    // The ID token is left out, so that UserInfo is all there is.
    stage.provider.answers(Endpoint::Token, |right| right.response_with(&json!({"id_token": null})));
    says(&stage, json!({"sub": "alice", "groups": ["guests"]}));
    let from = stage.gate.log().len();
    assert_eq!(browser.post("/bff/refresh").await.problem(401), "urn:sealgate:error:session-expired");
    stage.logs(from, "refresh_not_allowed").await;
    assert_eq!(browser.get("/bff/user").await.status.as_u16(), 401);
    assert_eq!(browser.get("/api/status/200").await.status.as_u16(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_shows_what_userinfo_says_now() {
    let stage = stage(|options| options).await;
    let browser = stage.browser();
    browser.sign_in().await;
    says(&stage, json!({"sub": "alice", "name": "Alice B.", "groups": ["ops"]}));
    browser.post("/bff/refresh").await;
    let user = browser.user().await;
    assert_eq!((&user["name"], &user["groups"]), (&json!("Alice B."), &json!(["ops"])));
}

/// The new tokens are there already: nobody waits for claims until a proxy gives up.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_waits_two_seconds_for_userinfo_and_no_longer() {
    let stage = stage(|options| options.set("provider.request_timeout", "60s")).await;
    let browser = stage.browser();
    browser.sign_in().await;
    stage.provider.answers(Endpoint::UserInfo, |_| Answer::never());
    let begun = Instant::now();
    assert_eq!(browser.post("/bff/refresh").await.status.as_u16(), 200);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(browser.user().await["groups"], json!(["staff"]), "what it said before");
}
