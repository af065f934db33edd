//! Keys rotate with a command while every session lives on (DESIGN §5).

use std::time::Duration;

use reqwest::StatusCode;

use crate::support::sealed::SealedValue;
use crate::support::sealgate::{key_ids, run, run_ok};
use crate::support::{World, eventually};

fn ring(world: &World) -> &str {
    world.gate.ring.to_str().expect("a path in UTF-8")
}

/// Waits until new logins are sealed with another key than `old`, and gives its id.
async fn activation(world: &World, old: &str) -> String {
    eventually("the new key to seal", Duration::from_secs(30), async || {
        let browser = world.new_browser();
        browser.sign_in().await;
        let kid = SealedValue::parse(&browser.cookie("sealgate").expect("signed in")).key_id();
        (kid != old).then_some(kid)
    })
    .await
}

/// Complaint of peers' users: key change logs everyone out or crashes.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_change_logs_nobody_out() {
    let world = World::plan().propagation("2s").signed_in().await;
    let old = SealedValue::parse(&world.session_cookie()).key_id();
    assert_eq!(key_ids(&world.gate.ring), std::slice::from_ref(&old));

    run_ok(&["keys", "rotate", "--ring", ring(&world), "--activate-after", "4s"]).await;
    assert_eq!(world.browser.user().await["sub"], "ada");
    let staged = world.new_browser();
    staged.sign_in().await;
    let kid = SealedValue::parse(&staged.cookie("sealgate").expect("signed in")).key_id();
    assert_eq!(kid, old, "a staged key does not seal yet");

    let new = activation(&world, &old).await;
    assert_eq!(key_ids(&world.gate.ring).len(), 2);
    assert!(key_ids(&world.gate.ring).contains(&new));

    assert_eq!(world.browser.user().await["sub"], "ada");
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
    assert_eq!(SealedValue::parse(&world.session_cookie()).key_id(), old, "nobody but login and refresh seals");
    assert!(world.gate.metric(r#"sealgate_cookie_opens_total{key_state="primary"}"#).await >= 1);
    assert!(world.gate.metric(r#"sealgate_cookie_opens_total{key_state="retired"}"#).await >= 1);

    world.browser.post("/bff/refresh").await;
    assert_eq!(SealedValue::parse(&world.session_cookie()).key_id(), new, "a refresh seals with the new key");
}

/// Complaint of peers' users: key change logs everyone out or crashes.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_change_that_went_wrong_crashes_nothing_and_logs_nobody_out() {
    let world = World::signed_in().await;
    std::fs::write(&world.gate.ring, "{\"format\":").expect("the ring is writable");
    world.gate.signal("HUP");
    eventually("the failed reload to be counted", Duration::from_secs(20), async || {
        (world.gate.metric("sealgate_ring_reload_failures_total").await > 0).then_some(())
    })
    .await;
    assert_eq!(world.browser.user().await["sub"], "ada");
    world.new_browser().sign_in().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_rotation_while_one_is_pending_is_refused() {
    let world = World::start().await;
    run_ok(&["keys", "rotate", "--ring", ring(&world)]).await;
    let second = run(&["keys", "rotate", "--ring", ring(&world)]).await;
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(key_ids(&world.gate.ring).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn generate_never_overwrites_a_ring() {
    let world = World::start().await;
    let before = std::fs::read(&world.gate.ring).expect("the ring is readable");
    let again = run(&["keys", "generate", "--ring", ring(&world)]).await;
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(std::fs::read(&world.gate.ring).expect("the ring is readable"), before);
}
