//! Promise 1: tokens never reach JavaScript, logs, error pages, metrics or URLs.

use serde_json::Value;

use crate::support::World;

/// A whole session at the highest log level, some of it going wrong.
async fn eventful_session(world: &World) {
    world.browser.sign_in_at("/bff/login?returnUrl=%2Forders").await;
    world.browser.user().await;
    world.browser.get("/api/echo").await;
    world.browser.post("/bff/refresh").await;
    world.browser.get("/api/status/500").await;
    let callback = world.new_browser().sign_in_up_to_callback("/bff/login").await;
    world.browser.arrive_from_elsewhere(callback.as_str()).await;
    let aborted = world.browser.sign_in_up_to_callback("/bff/login").await;
    world.provider.fail(500, Some(&["token"])).await;
    world.browser.arrive_from_elsewhere(aborted.as_str()).await;
    world.browser.post("/bff/refresh").await;
    world.provider.recover().await;
    let logout = world.browser.user().await["bff:logout_url"].as_str().expect("a text").to_owned();
    world.browser.navigate(&logout).await;
    world.browser.get("/api/echo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log_even_at_the_highest_level() {
    let world = World::plan().provider(|provider| provider.jwt_access_tokens = true).start().await;
    eventful_session(&world).await;
    let (log, issued) = (world.gate.log(), world.provider.issued().await);
    for kind in
        ["access_token", "refresh_token", "id_token", "code", "code_verifier", "state", "nonce", "client_secret"]
    {
        assert!(issued.iter().any(|issued| issued.kind == kind), "the test knows a {kind}");
    }
    for secret in &issued {
        let line = log.lines().find(|line| line.contains(&secret.value));
        assert!(line.is_none(), "a {} is in the log: {line:?}", secret.kind);
    }
    for value in world.browser.sealed_values() {
        assert!(!log.contains(&value), "a sealed cookie is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_anything_that_the_browser_is_shown() {
    let world = World::plan().provider(|provider| provider.jwt_access_tokens = true).start().await;
    // The echo of the upstream is left out: it shows the token because the test's upstream does.
    world.browser.sign_in().await;
    world.browser.user().await;
    world.browser.post("/bff/refresh").await;
    world.browser.get("/api/status/500").await;
    world.browser.navigate("/").await;
    world.browser.navigate("/bff/callback?code=x&state=y").await;
    let logout = world.browser.user().await["bff:logout_url"].as_str().expect("a text").to_owned();
    world.browser.navigate(&logout).await;
    for secret in world.provider.issued().await {
        let shown = world.browser.shown();
        let place = shown.iter().find(|shown| shown.contains(&secret.value));
        assert!(place.is_none(), "a {} was shown: {place:?}", secret.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_metrics() {
    let world = World::start().await;
    eventful_session(&world).await;
    let metrics = world.gate.management_text("/metrics").await;
    for secret in world.provider.issued().await {
        assert!(!metrics.contains(&secret.value), "a {} is in the metrics", secret.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_json_log_is_json() {
    let world = World::signed_in().await;
    world.browser.get("/api/echo").await;
    let log = world.gate.log();
    assert!(log.lines().count() > 3, "there is a log: {log}");
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()), "{line}");
    }
}
