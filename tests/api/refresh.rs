//! Access tokens are renewed ahead of time, once, and no session is lost on the way.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::support::wait::reach;
use crate::support::world::SESSION;
use crate::support::{World, eventually};

/// RFC 6749 §6
#[tokio::test(flavor = "multi_thread")]
async fn a_forced_refresh_renews_the_tokens_and_gives_the_new_lifetimes() {
    let world = World::signed_in().await;
    let before = world.session_cookie();
    let reply = world.browser.post("/bff/refresh").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let lifetimes: serde_json::Value = reply.json();
    assert!(lifetimes["bff:access_token_expires_in"].as_u64().is_some_and(|s| s > 290), "{lifetimes}");
    assert_ne!(world.session_cookie(), before);
    assert_eq!(world.provider.stats().await.refreshes(), 1);
    world.browser.get("/api/echo").await;
    let tokens = world.provider.issued_of("access_token").await;
    assert_eq!((tokens.len(), world.upstream.last().bearer()), (2, tokens[1].as_str()));
}

/// RFC 6749 §6: the provider rotates, each new refresh token replaces the old.
#[tokio::test(flavor = "multi_thread")]
async fn refreshes_follow_one_another_under_strict_rotation() {
    let world = World::signed_in().await;
    for _ in 0..5 {
        assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    }
    let stats = world.provider.stats().await;
    assert_eq!((stats.refreshes(), stats.token_errors("invalid_grant")), (5, 0));
    assert_eq!(world.browser.user().await["sub"], "ada");
}

/// RFC 6749 §6: "If a new refresh token is issued …" and if not, the old one stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_omitted_refresh_token_keeps_the_old_one() {
    let world = World::plan().provider(|provider| provider.rotate_refresh_token = false).signed_in().await;
    world.provider.omit_refresh_token().await;
    for _ in 0..3 {
        assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    }
    assert_eq!(world.provider.stats().await.token_errors("invalid_grant"), 0);
    assert_eq!(world.provider.issued_of("refresh_token").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_without_a_session_is_a_401_problem() {
    let world = World::start().await;
    world.browser.post("/bff/refresh").await.problem(401);
}

/// Complaint of peers' users: refresh races, `invalid_grant`, logged out at random.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_tabs_in_a_refresh_race_cause_one_refresh_and_log_nobody_out() {
    let world = World::signed_in().await;
    world.provider.hold(&["token"]).await;
    let replies = tokio::join!(join_all((0..20).map(|_| world.browser.post("/bff/refresh"))), async {
        eventually("the refresh at the provider", Duration::from_secs(10), async || {
            (world.provider.stats().await.requests("token") > 1).then_some(())
        })
        .await;
        world.provider.recover().await;
    })
    .0;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:?}");
    assert_eq!(world.provider.stats().await.refreshes(), 1);
    assert_eq!(world.browser.user().await["sub"], "ada");
}

/// DESIGN §6: the result is kept until a request shows the next generation.
#[tokio::test(flavor = "multi_thread")]
async fn a_tab_with_the_older_cookie_gets_the_result_of_the_refresh_that_it_missed() {
    let world = World::signed_in().await;
    let late = world.browser.copy();
    world.browser.post("/bff/refresh").await;
    assert_eq!(late.post("/bff/refresh").await.status, StatusCode::OK);
    assert_eq!(world.provider.stats().await.refreshes(), 1);
    assert_eq!(late.cookie(SESSION), Some(world.session_cookie()), "the very bytes that were sealed");
}

/// DESIGN §6: ahead of expiry by a fifth of the lifetime.
#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_near_its_end_is_renewed_by_the_next_api_call() {
    let world = World::plan().provider(|provider| provider.access_token_ttl = 5).signed_in().await;
    eventually("the second access token at the upstream", Duration::from_secs(15), async || {
        let reply = world.browser.get("/api/echo").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        let tokens = world.provider.issued_of("access_token").await;
        (tokens.len() > 1 && tokens[1] == world.upstream.last().bearer()).then_some(())
    })
    .await;
    let stats = world.provider.stats().await;
    assert_eq!((stats.refreshes(), stats.token_errors("invalid_grant")), (1, 0));
}

/// DESIGN §6: one flight per session, under strict rotation with reuse detection.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_near_the_end_of_the_token_succeeds_with_one_refresh() {
    let lifetime = Duration::from_secs(6);
    let world = World::plan().provider(|provider| provider.access_token_ttl = 6).signed_in().await;
    reach(Instant::now() + lifetime.mul_f32(0.9)).await;
    let replies = join_all((0..20).map(|_| world.browser.get("/api/echo"))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:?}");
    let stats = world.provider.stats().await;
    assert_eq!((stats.refreshes(), stats.token_errors("invalid_grant")), (1, 0));
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_after_the_end_of_the_token_waits_for_one_refresh_and_succeeds() {
    let world = World::plan().provider(|provider| provider.access_token_ttl = 2).signed_in().await;
    reach(Instant::now() + Duration::from_secs(3)).await;
    let replies = join_all((0..20).map(|_| world.browser.get("/api/echo"))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:?}");
    assert_eq!(world.provider.stats().await.token_errors("invalid_grant"), 0);
    let (old, seen) = (&world.provider.issued_of("access_token").await[0], world.upstream.seen());
    assert!(seen.iter().all(|request| request.bearer() != old), "an expired token reached the upstream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_goes_on_when_its_client_has_gone() {
    let world = World::signed_in().await;
    let late = world.browser.copy();
    world.provider.hold(&["token"]).await;
    let request = world.browser.fetch(reqwest::Method::POST, "/bff/refresh").start();
    let gone = tokio::time::timeout(Duration::from_millis(500), request).await;
    assert!(gone.is_err(), "the provider holds the refresh, and the client lost patience");
    world.provider.recover().await;
    eventually("the refresh at the provider", Duration::from_secs(10), async || {
        (world.provider.stats().await.refreshes() == 1).then_some(())
    })
    .await;
    assert_eq!(late.post("/bff/refresh").await.status, StatusCode::OK);
    assert_eq!(world.provider.stats().await.refreshes(), 1, "the result was kept");
}

/// Complaint of peers' users: refresh races, `invalid_grant`, logged out at random.
/// DESIGN §6: `invalid_grant` with a valid access token: carry on, touch no cookie.
#[tokio::test(flavor = "multi_thread")]
async fn invalid_grant_logs_nobody_out_while_the_access_token_lives() {
    let world = World::signed_in().await;
    let session = world.session_cookie();
    world.provider.forget_refresh_tokens().await;
    world.browser.post("/bff/refresh").await;
    assert_eq!(world.session_cookie(), session);
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
    world.browser.post("/bff/refresh").await;
    assert_eq!(world.provider.stats().await.refreshes(), 1, "a dead refresh token is remembered");
}

/// RFC 10017 §6.1.2.2: the session ends when the refresh token dies.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_call_with_a_dead_refresh_token_and_an_expired_access_token_never_passes() {
    let world = World::plan().provider(|provider| provider.access_token_ttl = 2).signed_in().await;
    world.provider.forget_refresh_tokens().await;
    reach(Instant::now() + Duration::from_secs(3)).await;
    let reply = world.browser.post("/api/echo").await;
    reply.problem(401);
    assert!(world.upstream.seen().is_empty());
}

/// Complaint of peers' users: provider down means logged out.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_with_the_provider_down_is_503_with_retry_after_and_keeps_the_session() {
    let world = World::plan().provider(|provider| provider.access_token_ttl = 2).signed_in().await;
    world.provider.fail(500, Some(&["token"])).await;
    reach(Instant::now() + Duration::from_secs(3)).await;
    let reply = world.browser.get("/api/echo").await;
    reply.problem(503);
    reply.touches_no_cookie();
    assert_eq!(reply.header("retry-after").len(), 1);
    assert!(world.upstream.seen().is_empty());
    world.provider.recover().await;
    eventually("an API call after the provider's recovery", Duration::from_secs(15), async || {
        (world.browser.get("/api/echo").await.status == StatusCode::OK).then_some(())
    })
    .await;
}
