//! Health, readiness, metrics and the ring's digest: on the management listener, and nowhere else.

use reqwest::StatusCode;

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_and_metrics_are_on_the_management_listener() {
    let world = World::start().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(world.gate.management(path).await, Some(StatusCode::OK), "{path}");
    }
    assert!(world.gate.management_text("/metrics").await.ends_with("# EOF\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_requests_and_logins() {
    let world = World::signed_in().await;
    world.browser.get("/api/echo").await;
    assert_eq!(world.gate.metric(r#"sealgate_logins_total{outcome="started"}"#).await, 1);
    assert_eq!(world.gate.metric(r#"sealgate_logins_total{outcome="succeeded"}"#).await, 1);
    assert_eq!(world.gate.metric(r#"sealgate_requests_total{handler="proxy",status_class="2"}"#).await, 1);
    assert_eq!(world.gate.metric(r#"sealgate_requests_total{handler="callback",status_class="3"}"#).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_listener_serves_none_of_it() {
    let world = World::start().await;
    for path in ["/healthz", "/readyz", "/metrics", "/ring", "/ringz", "/keys"] {
        let reply = world.browser.navigate(path).await;
        assert!(reply.body.contains("The app"), "{path} is the app's: {}", reply.body);
        assert!(!reply.body.contains("sealgate_"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_management_listener_serves_nothing_of_the_app() {
    let world = World::start().await;
    for path in ["/", "/bff/user", "/bff/login", "/api/echo", "/public/echo"] {
        assert_eq!(world.gate.management(path).await, Some(StatusCode::NOT_FOUND), "{path}");
    }
    assert!(world.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_health_path_is_there_only_when_configured() {
    let world = World::plan().set("server.public_health_path", "/alive").start().await;
    let reply = world.browser.navigate("/alive").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(!reply.body.contains("The app"));
}

/// Promise 1: tokens never reach metrics.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_digest_show_no_key_material() {
    let world = World::signed_in().await;
    let ring = std::fs::read_to_string(&world.gate.ring).expect("the ring is readable");
    let ring: serde_json::Value = serde_json::from_str(&ring).expect("the ring is JSON");
    let key = ring["keys"][0]["key"].as_str().expect("a key").trim_start_matches("sgk1_").to_owned();
    for path in ["/healthz", "/readyz", "/metrics"] {
        let text = world.gate.management_text(path).await;
        assert!(!text.contains(&key) && !text.contains("sgk1_"), "{path}");
    }
}
