//! Step-up: an API that wants a stronger or more recent login (RFC 9470).

use std::collections::HashMap;

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::World;

/// RFC 9470 §3, §4
#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_tells_the_app_how_to_begin_the_login_that_is_wanted() {
    let world = World::signed_in().await;
    let reply = world.browser.get("/api/step-up").await;
    assert_eq!(reply.problem(403), "urn:sealgate:error:step-up-required");
    let problem: Value = reply.json();
    assert_eq!((problem["acr_values"].as_str(), problem["max_age"].as_u64()), (Some("urn:gold urn:silver"), Some(60)));
    assert!(!reply.body.contains("of the API"), "the API's own body is dropped: {}", reply.body);
    assert!(
        reply.header("www-authenticate").is_empty() && reply.header("set-cookie").is_empty(),
        "{:?}",
        reply.headers
    );
    assert_eq!(world.browser.user().await["sub"], "ada", "the session goes on");

    let login = format!("{}&returnUrl=%2Forders", problem["login_url"].as_str().expect("a text"));
    let begun = world.browser.navigate(&login).await;
    let query: HashMap<String, String> = begun.location().query_pairs().into_owned().collect();
    assert_eq!((query["acr_values"].as_str(), query["max_age"].as_str()), ("urn:gold urn:silver", "60"));
    let back = world.browser.sign_in_at(&login).await;
    assert_eq!(back.location().path(), "/orders");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_url_works_as_it_is() {
    let world = World::signed_in().await;
    let problem: Value = world.browser.get("/api/step-up").await.json();
    let back = world.browser.sign_in_at(problem["login_url"].as_str().expect("a text")).await;
    assert_eq!(back.location().path(), "/");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_challenges_and_public_routes_pass_as_they_are() {
    let world = World::signed_in().await;
    let reply = world.browser.get("/api/invalid-token").await;
    assert_eq!((reply.status, reply.body.as_str()), (StatusCode::UNAUTHORIZED, "{}"));
    assert_eq!(reply.header("www-authenticate"), ["Bearer error=\"invalid_token\""]);
    let reply = world.browser.get("/public/step-up").await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(reply.body.contains("of the API"));
}
