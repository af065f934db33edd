//! How large cookies may become, and what happens beyond.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::browser::Context;
use crate::support::world::SESSION;
use crate::support::{World, eventually};

/// The `Cookie` line that is still read.
const LONGEST_LINE: usize = 16_384;

async fn with_groups() -> World {
    let plan = World::plan().set("provider.scopes", vec!["openid", "groups", "offline_access"]);
    plan.set("provider.passthrough_parameters", vec!["login_hint"]).signed_in().await
}

fn logged(world: &World, event: &str) -> Vec<Value> {
    let lines = world.gate.log();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"] == event).collect()
}

/// Complaint of peers' users: cookie too large, 431 and redirect loops. RFC 6585 §5.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_line_beyond_the_limit_gets_431_and_loses_our_cookies() {
    let world = World::signed_in().await;
    world.browser.set_cookie("sealgate-login-stale", &"x".repeat(LONGEST_LINE));
    let reply = world.browser.get("/api/echo").await;
    assert_eq!(reply.problem(431), "urn:sealgate:error:cookies-too-large");
    assert!(!reply.body.contains("other applications"), "{}", reply.body);
    assert!(world.browser.cookie_names().is_empty(), "{:?}", world.browser.cookie_names());
    assert!(world.upstream.seen().is_empty());
    // The browser is out of it by itself.
    world.browser.sign_in().await;
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_load_beyond_the_limit_gets_a_page_that_names_other_applications() {
    let world = World::signed_in().await;
    world.browser.set_cookie("another_app", &"x".repeat(LONGEST_LINE));
    let reply = world.browser.navigate("/").await;
    assert_eq!((reply.status.as_u16(), reply.media_type()), (431, "text/html"));
    assert!(reply.body.contains("other applications on the same host"), "{}", reply.body);
    assert_eq!(world.browser.cookie_names(), ["another_app"], "only ours are deleted");
    assert!(reply.header("location").is_empty(), "no redirect loop");
}

/// Complaint of peers' users: login cookies that pile up.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_that_deletes_many_cookies_fits_a_head_itself() {
    let world = World::signed_in().await;
    for id in 0..60 {
        world.browser.set_cookie(&format!("sealgate-login-{id:016}"), &"x".repeat(400));
    }
    let first = world.browser.get("/bff/user").await;
    first.problem(431);
    let bytes: usize = first.header("set-cookie").iter().map(|line| line.len() + "set-cookie: \r\n".len()).sum();
    assert!(bytes < 3_000, "{bytes}");
    assert_eq!(world.browser.cookie(SESSION), None, "the session goes first");
    eventually("the rest to be deleted", Duration::from_secs(20), async || {
        (world.browser.get("/bff/user").await.status != StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).then_some(())
    })
    .await;
    world.browser.sign_in().await;
    assert_eq!(world.browser.user().await["sub"], "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_line_at_the_limit_passes() {
    let world = World::signed_in().await;
    let ours = world.browser.cookies().line(&format!("{}/", world.gate.url()).parse().expect("a URL"), &Context::Fetch);
    let ours = ours.expect("signed in");
    let line = |length: usize| format!("{ours}; x={}", "x".repeat(length - ours.len() - 4));
    assert_eq!(world.gate.get_with_cookies("/bff/user", &line(LONGEST_LINE)).await.status, StatusCode::OK);
    assert_eq!(world.gate.get_with_cookies("/bff/user", &line(LONGEST_LINE + 1)).await.status.as_u16(), 431);
}

/// The parser's own limit, whose answer is empty, is far above ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_very_long_cookie_line_still_gets_an_answer_that_explains() {
    let world = World::start().await;
    let reply = world.gate.get_with_cookies("/bff/user", &format!("x={}", "x".repeat(120_000))).await;
    assert_eq!(reply.problem(431), "urn:sealgate:error:cookies-too-large");
}

/// DESIGN §4: over the budget the login fails with a page that names the largest token and the remedy.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_does_not_fit_says_what_is_large_to_the_user_and_to_the_log() {
    let world = with_groups().await;
    world.browser.forget_provider();
    let callback = world.browser.sign_in_up_to_callback("/bff/login?login_hint=huge").await;
    let reply = world.browser.arrive_from_elsewhere(callback.as_str()).await;
    assert_eq!((reply.status.as_u16(), reply.media_type()), (500, "text/html"));
    let page = reply.body.replace("&#x27;", "'");
    assert!(page.contains("ID token's claims") && page.contains("fewer groups"), "{page}");
    let logged = logged(&world, "session_too_large");
    assert_eq!(logged.len(), 1);
    assert_eq!(logged[0]["level"], "WARN");
    assert!(logged[0]["too_large"].as_str().is_some_and(|text| text.contains("claims")), "{}", logged[0]);
    assert_eq!(world.browser.user().await["sub"], "ada", "the session before it lives on");
}

/// A refreshed session that cannot be written has lost its refresh token: it ends at once, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_does_not_fit_ends_the_session_and_says_what_is_large() {
    let world = with_groups().await;
    world.provider.regroup("ada", &[&"x7Zq".repeat(10), &random(9_000)]).await;
    let reply = world.browser.post("/bff/refresh").await;
    assert_eq!(reply.problem(500), "urn:sealgate:error:session-too-large");
    assert!(reply.body.contains("ID token's claims"), "{}", reply.body);
    assert!(reply.header("location").is_empty());
    assert_eq!(logged(&world, "session_too_large").len(), 1);
    assert_eq!(world.browser.get("/api/echo").await.problem(401), "urn:sealgate:error:session-expired");
    assert_eq!(world.browser.cookie(SESSION), None, "the tombstone has ended it");
    assert_eq!(world.browser.get("/api/echo").await.problem(401), "urn:sealgate:error:not-signed-in");
    let stats = world.provider.stats().await;
    assert_eq!(stats.refreshes(), 1, "it is not tried again");
    eventually("the revocation", Duration::from_secs(20), async || {
        (world.provider.stats().await.live_refresh_tokens() == 0).then_some(())
    })
    .await;
}

/// Once a process, and not once a login.
#[tokio::test(flavor = "multi_thread")]
async fn more_cookies_than_one_are_warned_of_once() {
    let world = with_groups().await;
    let warnings = || world.gate.log().lines().filter(|line| line.contains("proxy_buffer_size")).count();
    assert_eq!(warnings(), 0);
    world.browser.forget_provider();
    world.browser.sign_in_at("/bff/login?login_hint=large").await;
    assert!(world.browser.cookie("sealgate.1").is_some(), "two cookies");
    assert_eq!(warnings(), 1);
    world.browser.post("/bff/refresh").await;
    world.browser.sign_in_at("/bff/login?login_hint=large").await;
    assert_eq!(warnings(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_deletes_every_chunk() {
    let world = with_groups().await;
    world.browser.forget_provider();
    world.browser.sign_in_at("/bff/login?login_hint=large").await;
    let reply = world.browser.post("/bff/logout").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let deleted: Vec<String> =
        reply.set_cookies().into_iter().filter(|cookie| cookie.deletes()).map(|cookie| cookie.name).collect();
    for name in ["sealgate", "sealgate.1", "sealgate.2"] {
        assert!(deleted.iter().any(|deleted| deleted == name), "{name} of {deleted:?}");
    }
    assert_eq!(world.browser.cookie_names(), ["sealgate-ended"]);
}

/// The session and a long return URL would not fit one head of nginx's default buffer together.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_in_two_steps_signs_in_buries_the_old_session_and_leads_to_the_return_url() {
    let world = with_groups().await;
    let mut old = world.session_cookie();
    let return_url = format!("/{}", "a".repeat(511));
    let group = random(3_000);
    let mut reply = world.browser.navigate("/").await;
    for length in (1_200..group.len()).step_by(50) {
        world.provider.regroup("ada", &[&group[..length]]).await;
        old = world.session_cookie();
        reply = world.browser.sign_in_at(&format!("/bff/login?returnUrl={return_url}")).await;
        if reply.location().path() == "/bff/landing" {
            break;
        }
    }
    let landing = reply.location();
    assert_eq!(landing.path(), "/bff/landing");
    let set: Vec<String> = reply.set_cookies().into_iter().map(|cookie| cookie.name).collect();
    assert_eq!(set, [SESSION, "sealgate_affinity"], "the session comes with the first step");
    // The strict cookies are not shown to it.
    let reply = world.browser.arrive_from_elsewhere(landing.as_str()).await;
    assert_eq!((reply.status, reply.location().path()), (StatusCode::SEE_OTHER, return_url.as_str()));
    assert!(!world.browser.cookie_names().iter().any(|name| name.contains("login")), "{:?}", reply.headers);
    assert_eq!(world.browser.user().await["sub"], "ada");
    // The back button, and the session that was replaced.
    let again = world.browser.navigate(landing.as_str()).await;
    assert_eq!((again.status.as_u16(), again.media_type()), (400, "text/html"));
    assert!(again.body.contains("already signed in") && again.set_cookies().is_empty(), "{}", again.body);
    world.browser.set_cookie(SESSION, &old);
    world.browser.get("/bff/user").await.problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_step_is_nothing_without_a_login_of_this_browser() {
    let world = World::start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login?returnUrl=/orders").await;
    let state = callback.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    let landing = format!("/bff/landing?state={state}");
    let other = world.new_browser();
    let reply = other.arrive_from_elsewhere(&landing).await;
    assert_eq!((reply.status.as_u16(), reply.media_type()), (400, "text/html"));
    assert!(reply.set_cookies().is_empty() && reply.header("location").is_empty());
    // Too early, it signs nobody in.
    assert_eq!(world.browser.arrive_from_elsewhere(&landing).await.location().path(), "/orders");
    assert_eq!(world.browser.cookie(SESSION), None);
    for bad in ["/bff/landing", "/bff/landing?state=a&state=b"] {
        assert_eq!(world.browser.navigate(bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

/// Text of so many characters that no compressor makes small.
pub fn random(characters: usize) -> String {
    use base64::Engine as _;
    let mut text = String::new();
    while text.len() < characters {
        text += &base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(rand::random::<[u8; 30]>());
    }
    text.truncate(characters);
    text
}
