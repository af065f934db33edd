//! Sessions over time: what a late response must not undo, lost races, ends, and what is written down of them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::support::wait::reach;
use crate::support::world::SESSION;
use crate::support::{Reply, World, eventually};

/// Seconds that access tokens live in these tests: a refresh is due when a fifth is left.
const LIFETIME: u32 = 6;

/// A browser whose next request starts a refresh.
pub async fn about_to_refresh() -> World {
    let world = World::plan()
        .set("provider.passthrough_parameters", vec!["login_hint"])
        .provider(|provider| provider.access_token_ttl = LIFETIME)
        .signed_in()
        .await;
    reach(Instant::now() + Duration::from_secs(LIFETIME.into()).mul_f32(0.85)).await;
    world
}

/// Until the request that the upstream holds has arrived there.
async fn held(world: &World) {
    eventually("the held request at the upstream", Duration::from_secs(10), async || {
        world.upstream.seen().iter().any(|request| request.target.ends_with("/hold")).then_some(())
    })
    .await;
}

fn sets_session(reply: &Reply) -> bool {
    reply.set_cookies().iter().any(|cookie| cookie.name == SESSION)
}

/// DESIGN §4: a late response can never bring an older refresh token back.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_response_that_began_before_a_refresh_brings_no_older_session_back() {
    let world = about_to_refresh().await;
    let (slow, newest) = tokio::join!(world.browser.get("/api/hold"), async {
        held(&world).await;
        // Another tab gets the refreshed session, and refreshes it once more.
        assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
        assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
        let newest = world.session_cookie();
        world.upstream.release();
        newest
    });
    assert_eq!(slow.status, StatusCode::OK);
    assert_eq!(world.session_cookie(), newest);
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    assert_eq!(world.provider.stats().await.token_errors("invalid_grant"), 0);
}

/// Complaint of peers' users: session back from the dead after logout.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_response_brings_no_session_back_from_the_dead_after_the_logout() {
    let world = about_to_refresh().await;
    let (slow, logout) = tokio::join!(world.browser.get("/api/hold"), async {
        held(&world).await;
        let logout = world.browser.post("/bff/logout").await;
        world.upstream.release();
        logout
    });
    assert_eq!((slow.status, logout.status), (StatusCode::OK, StatusCode::OK));
    assert!(!sets_session(&slow), "{:?}", slow.headers);
    world.browser.get("/bff/user").await.problem(401);
    assert_eq!(world.provider.stats().await.live_refresh_tokens(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_response_of_one_user_does_not_end_the_session_of_the_next() {
    let world = about_to_refresh().await;
    let (slow, ()) = tokio::join!(world.browser.get("/api/hold"), async {
        held(&world).await;
        world.browser.forget_provider();
        world.browser.sign_in_at("/bff/login?login_hint=grace").await;
        world.upstream.release();
    });
    assert!(!sets_session(&slow), "{:?}", slow.headers);
    assert_eq!(world.browser.user().await["sub"], "grace");
}

/// DESIGN §4: a session that a tombstone names is signed out and deleted, its refresh token revoked.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_another_replica_s_late_response_brings_back_is_deleted_and_revoked() {
    let world = World::plan().set("provider.passthrough_parameters", vec!["login_hint"]).signed_in().await;
    let of_ada = world.session_cookie();
    world.browser.forget_provider();
    world.browser.sign_in_at("/bff/login?login_hint=grace").await;
    assert_eq!(world.provider.stats().await.live_refresh_tokens(), 2);
    world.browser.set_cookie(SESSION, &of_ada);
    let reply = world.browser.get("/bff/user").await;
    reply.problem(401);
    assert_eq!(world.browser.cookie(SESSION), None, "the dead session is deleted");
    eventually("the revocation at the provider", Duration::from_secs(10), async || {
        (world.provider.stats().await.live_refresh_tokens() == 1).then_some(())
    })
    .await;
    world.browser.set_cookie(SESSION, &of_ada);
    world.browser.get("/bff/user").await.problem(401);
    assert_eq!(world.provider.stats().await.requests("revocation"), 1, "it is revoked once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_of_a_refresh_arrives_on_an_error_of_the_upstream_too() {
    let world = about_to_refresh().await;
    let reply = world.browser.get("/api/status/503").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(sets_session(&reply), "{:?}", reply.headers);
    assert_eq!(reply.header("cache-control"), ["no-store"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_shared_caches_may_keep_is_kept_by_none_when_it_brings_our_cookie() {
    let world = about_to_refresh().await;
    let reply = world.browser.get("/api/repeated").await;
    assert!(sets_session(&reply), "{:?}", reply.headers);
    assert_eq!(reply.header("cache-control"), ["no-store"]);
    assert!(reply.header("cdn-cache-control").is_empty() && reply.header("surrogate-control").is_empty());
}

/// Complaint of peers' users: tabs that overwrite each other's state.
#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_that_log_in_at_once_both_arrive() {
    let world = World::start().await;
    let first = world.browser.sign_in_up_to_callback("/bff/login?returnUrl=/first").await;
    let second = world.browser.sign_in_up_to_callback("/bff/login?returnUrl=/second").await;
    for (callback, path) in [(second, "/second"), (first, "/first")] {
        let reply = world.browser.arrive_from_elsewhere(callback.as_str()).await;
        assert_eq!((reply.status, reply.location().path()), (StatusCode::SEE_OTHER, path));
        assert_eq!(world.browser.user().await["sub"], "ada");
    }
}

/// Complaint of peers' users: refresh races, `invalid_grant`, logged out at random.
#[tokio::test(flavor = "multi_thread")]
async fn ten_restored_tabs_with_an_expired_token_all_get_the_one_refreshed_session() {
    let world = World::plan().provider(|provider| provider.access_token_ttl = 2).signed_in().await;
    reach(Instant::now() + Duration::from_secs(3)).await;
    let tabs: Vec<_> = (0..10).map(|_| world.browser.copy()).collect();
    world.provider.hold(&["token"]).await;
    let (replies, ()) = tokio::join!(join_all(tabs.iter().map(|tab| tab.get("/api/echo"))), async {
        eventually("the refresh at the provider", Duration::from_secs(10), async || {
            (world.provider.stats().await.requests("token") > 1).then_some(())
        })
        .await;
        world.provider.recover().await;
    });
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:?}");
    let stats = world.provider.stats().await;
    assert_eq!((stats.refreshes(), stats.token_errors("invalid_grant")), (1, 0));
    assert!(tabs.iter().all(|tab| tab.cookie(SESSION) == tabs[0].cookie(SESSION)));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_on_an_expired_token_make_one_refresh() {
    let world = World::plan().provider(|provider| provider.access_token_ttl = LIFETIME).signed_in().await;
    reach(Instant::now() + Duration::from_secs((LIFETIME + 1).into())).await;
    let replies = join_all((0..50).map(|_| world.browser.get("/api/echo"))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:?}");
    let stats = world.provider.stats().await;
    assert_eq!((stats.refreshes(), stats.token_errors("invalid_grant")), (1, 0));
}

/// A session whose access token has expired and whose refresh token is dead.
pub async fn beyond_refresh() -> World {
    let world = World::plan().provider(|provider| provider.access_token_ttl = 1).signed_in().await;
    world.provider.forget_refresh_tokens().await;
    reach(Instant::now() + Duration::from_secs(2)).await;
    world
}

/// DESIGN §6: only the same generation failing again, 3 s or more later, ends the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_refresh_token_sends_reads_round_again_before_it_ends_the_session() {
    let world = beyond_refresh().await;
    let session = world.session_cookie();
    let begun = Instant::now();
    let target = "/api/echo?a=b%2Fc";
    let mut rounds = 0;
    let end = loop {
        let reply = world.browser.get(target).await;
        if reply.status != StatusCode::TEMPORARY_REDIRECT {
            break reply;
        }
        rounds += 1;
        assert_eq!(reply.header("location"), [format!("{}{target}", world.gate.url())]);
        assert_eq!(reply.header("cache-control"), ["no-store"]);
        assert_eq!(world.session_cookie(), session, "a failing refresh never touches the session cookie");
        assert!(rounds < 15, "it goes on for ever");
    };
    assert!(end.problem(401).ends_with(":session-expired"));
    assert!(begun.elapsed() >= Duration::from_secs(3), "it ended after {:?}", begun.elapsed());
    assert_eq!(world.session_cookie(), session);
    world.browser.get("/bff/user").await.problem(401);
    assert_eq!(world.provider.stats().await.refreshes(), 1, "the dead token is remembered");
    assert!(world.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_refresh_token_answers_writes_with_a_conflict() {
    let world = beyond_refresh().await;
    let reply = world.browser.post("/api/echo").await;
    assert!(reply.problem(401).ends_with(":refresh-conflict"));
    assert!(!sets_session(&reply));
}

/// RFC 10017 §6.1.2.2, without affinity: the cookie that another replica's refresh has brought saves the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_race_ends_well_when_the_winner_s_cookie_arrives() {
    let world = World::plan().provider(|provider| provider.access_token_ttl = 2).signed_in().await;
    let winner = world.another(|options| options).await;
    reach(Instant::now() + Duration::from_secs(3)).await;
    let line = format!("{SESSION}={}", world.session_cookie());
    let won = winner.get_with_cookies("/api/echo", &line).await;
    assert_eq!(won.status, StatusCode::OK, "{}", won.body);
    let lost = world.browser.get("/api/echo").await;
    assert_eq!(lost.status, StatusCode::TEMPORARY_REDIRECT, "{}", lost.body);
    let newer = won.set_cookies().into_iter().find(|cookie| cookie.name == SESSION).expect("the refreshed session");
    world.browser.set_cookie(SESSION, &newer.value);
    // The replay has killed the grant, but the winner's access token lives.
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_it_is_idle_and_looking_does_not_keep_it_alive() {
    let world = World::plan().set("session.idle_timeout", "4s").signed_in().await;
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK, "activity keeps it alive");
        reach(Instant::now() + Duration::from_millis(500)).await;
    }
    eventually("the idle end", Duration::from_secs(10), async || {
        let reply = world.browser.get("/bff/user?slide=false").await;
        (reply.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    world.browser.get("/api/echo").await.problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_persistent_ends_with_the_browser() {
    let lasting = World::signed_in().await;
    let lives =
        |world: &World| world.browser.cookies().find(world.browser.host(), SESSION).expect("signed in").max_age();
    assert!(lives(&lasting).is_some_and(|seconds| seconds > 0));
    let passing = World::plan().set("session.persistent", false).signed_in().await;
    assert_eq!(lives(&passing), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_a_refresh_token_lives_as_long_as_its_access_token() {
    let plan = World::plan().registered("grant_types", vec!["authorization_code"]);
    let world = plan.provider(|provider| provider.access_token_ttl = 4).signed_in().await;
    assert!(world.provider.issued_of("refresh_token").await.is_empty());
    assert!(world.browser.post("/bff/refresh").await.problem(401).ends_with(":refresh-conflict"));
    assert_eq!(world.browser.user().await["sub"], "ada", "asking for a refresh ends nothing");
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
    let end = eventually("the end of the access token", Duration::from_secs(10), async || {
        let reply = world.browser.get("/api/echo").await;
        (reply.status != StatusCode::OK).then_some(reply)
    })
    .await;
    assert!(end.problem(401).ends_with(":session-expired"));
    world.browser.get("/bff/user").await.problem(401);
}

/// DESIGN §2: limits are checked at login, and again when a refreshed ID token brings new claims (CVE-2021-41230).
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_leaves_the_allowed_groups_is_signed_out_by_the_next_refresh() {
    let scopes = vec!["openid", "profile", "groups", "offline_access"];
    let plan = World::plan().set("provider.scopes", scopes).set("provider.allowed_groups", vec!["engineers"]);
    let world = plan.signed_in().await;
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK, "still among them");
    world.provider.regroup("ada", &["visitors"]).await;
    assert!(world.browser.post("/bff/refresh").await.problem(401).ends_with(":session-expired"));
    world.browser.get("/bff/user").await.problem(401);
    world.browser.get("/api/echo").await.problem(401);
    eventually("the revocation at the provider", Duration::from_secs(10), async || {
        (world.provider.stats().await.live_refresh_tokens() == 0).then_some(())
    })
    .await;
    assert!(world.upstream.seen().is_empty());
}

/// The keys in use, login, refresh, its failure, logout and a tombstone hit each leave one line that a machine can read.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_what_happened_to_sessions() {
    let world = World::signed_in().await;
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    let session = world.session_cookie();
    world.browser.post("/bff/logout").await;
    world.browser.set_cookie(SESSION, &session);
    world.browser.get("/bff/user").await.problem(401);
    world.browser.cookies().clear(world.browser.host());
    world.browser.sign_in().await;
    world.provider.forget_refresh_tokens().await;
    world.browser.post("/bff/refresh").await;
    let log = world.gate.log();
    for event in ["key_ring", "login", "refresh", "logout", "tombstone_hit", "refresh_failed"] {
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let of_event = lines.filter(|line| line["target"] == "sealgate::audit" && line["event"] == event).count();
        assert!(of_event >= 1, "no line of {event}");
    }
}
