//! A replica that is told to stop lets nobody down (promise 2).

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};

use crate::support::browser::Context;
use crate::support::wait::reach;
use crate::support::world::SESSION;
use crate::support::{World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn on_sigterm_readiness_fails_first_and_requests_are_served_on() {
    let mut world = World::plan().set("server.drain_delay", "4s").signed_in().await;
    world.gate.terminate();
    eventually("readiness to fail", Duration::from_secs(4), async || {
        (world.gate.management("/readyz").await == Some(StatusCode::SERVICE_UNAVAILABLE)).then_some(())
    })
    .await;
    assert_eq!(world.gate.management("/healthz").await, Some(StatusCode::OK), "draining is not illness");
    // A new connection, as a load balancer would open that has not noticed yet.
    assert_eq!(world.browser.copy().get("/api/echo").await.status, StatusCode::OK);
    assert_eq!(world.gate.exit_status().await.code(), Some(0), "{}", world.gate.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_answered_before_the_end() {
    let mut world = World::signed_in().await;
    let held = world.browser.fetch(Method::GET, "/api/hold").send();
    let stop = async {
        eventually("the request at the upstream", Duration::from_secs(10), async || {
            (!world.upstream.seen().is_empty()).then_some(())
        })
        .await;
        world.gate.terminate();
        eventually("the listener to close", Duration::from_secs(10), async || {
            let probe = tokio::net::TcpStream::connect(("127.0.0.1", world.gate.options.port)).await;
            probe.is_err().then_some(())
        })
        .await;
        world.upstream.release();
    };
    let (reply, ()) = tokio::join!(held, stop);
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(world.gate.exit_status().await.code(), Some(0), "{}", world.gate.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_in_flight_is_finished_before_the_end() {
    let mut world = World::signed_in().await;
    world.provider.hold(&["token"]).await;
    let refresh = world.browser.post("/bff/refresh");
    let stop = async {
        eventually("the refresh at the provider", Duration::from_secs(10), async || {
            (world.provider.stats().await.requests("token") > 1).then_some(())
        })
        .await;
        world.gate.terminate();
        world.provider.recover().await;
    };
    let (reply, ()) = tokio::join!(refresh, stop);
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(world.gate.exit_status().await.code(), Some(0), "{}", world.gate.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_ends_is_cut_off_at_the_deadline() {
    let mut world = World::plan().set("server.drain_deadline", "1s").signed_in().await;
    let events = world.browser.request(Method::GET, "/stream/events", Context::Fetch).start().await;
    assert_eq!(events.status(), StatusCode::OK);
    world.gate.terminate();
    assert_eq!(world.gate.exit_status().await.code(), Some(0), "{}", world.gate.log());
}

/// Under strict rotation a refresh in the middle of a hand-over could be one of two with the same refresh token.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_drains_starts_no_refresh_that_can_wait() {
    let plan = World::plan().set("server.drain_delay", "4s");
    let mut world = plan.provider(|provider| provider.access_token_ttl = 20).signed_in().await;
    // A fifth of the lifetime before its end a refresh is due.
    reach(Instant::now() + Duration::from_secs(16)).await;
    world.gate.terminate();
    eventually("readiness to fail", Duration::from_secs(4), async || {
        (world.gate.management("/readyz").await == Some(StatusCode::SERVICE_UNAVAILABLE)).then_some(())
    })
    .await;
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
    assert_eq!(world.provider.stats().await.refreshes(), 0, "it is for the replica that gets the session");
    assert_eq!(world.gate.exit_status().await.code(), Some(0), "{}", world.gate.log());
}

/// The replica that had the session until now may be refreshing it at this moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_takes_sessions_over_starts_no_refresh_that_can_wait_for_some_seconds() {
    let world = World::plan().provider(|provider| provider.access_token_ttl = 25).signed_in().await;
    let fresh = world.another(|options| options).await;
    reach(Instant::now() + Duration::from_secs(20) + Duration::from_millis(500)).await;
    let line = format!("{SESSION}={}", world.session_cookie());
    assert_eq!(fresh.get_with_cookies("/api/echo", &line).await.status, StatusCode::OK);
    assert_eq!(world.provider.stats().await.refreshes(), 0);
    eventually("the refresh once the session has stayed", Duration::from_secs(8), async || {
        fresh.get_with_cookies("/api/echo", &line).await;
        (world.provider.stats().await.refreshes() == 1).then_some(())
    })
    .await;
}

/// Promise 2: no session is lost by a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_a_restart() {
    let mut world = World::signed_in().await;
    world.gate.terminate();
    world.gate.exit_status().await;
    let gate = world.another(|options| options).await;
    let reply = gate.get_with_cookies("/bff/user", &format!("sealgate={}", world.session_cookie())).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
}

/// They may wait for others (`log.access_buffer`): until the next warning of the same worker, or until the end.
#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_requests_are_all_in_the_log_at_the_end() {
    let plan = World::plan().set("log.level", "info").set("log.access_buffer", "10s").set("server.workers", 1);
    let mut world = plan.start().await;
    let logged = |world: &World| -> Vec<String> {
        let log = world.gate.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let lines = lines.filter(|line| line["target"] == "sealgate::access");
        lines.map(|line| line["span"]["path"].as_str().expect("a path").to_owned()).collect()
    };
    world.browser.get("/public/first?secret=1").await;
    // What cannot be forwarded is warned of.
    world.upstream.go_down();
    world.browser.get("/public/second").await;
    assert_eq!(logged(&world).first().map(String::as_str), Some("/public/first"));
    world.gate.terminate();
    assert_eq!(world.gate.exit_status().await.code(), Some(0), "{}", world.gate.log());
    assert_eq!(logged(&world), ["/public/first", "/public/second"]);
    assert!(!world.gate.log().contains("secret=1"));
}
