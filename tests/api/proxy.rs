//! API calls: session in, `Authorization: Bearer` out, and nothing else that the client could use.

use reqwest::{Method, StatusCode};

use crate::support::browser::Context;
use crate::support::upstream::Seen;
use crate::support::{Browser, Reply, World};

fn echoed(reply: &Reply) -> Seen {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    reply.json()
}

/// RFC 9700 §4.3.2
#[tokio::test(flavor = "multi_thread")]
async fn an_api_call_has_the_access_token_attached_and_no_cookie() {
    let world = World::signed_in().await;
    let seen = echoed(&world.browser.get("/api/echo?q=1").await);
    assert_eq!(seen.target, "/api/echo?q=1");
    assert_eq!(vec![seen.bearer().to_owned()], world.provider.issued_of("access_token").await);
    assert!(seen.header("cookie").is_empty(), "{:?}", seen.headers);
}

/// Complaint of peers' users: 302 to the login page for fetch calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_call_without_a_session_is_401_and_no_302_to_a_login_page() {
    let world = World::start().await;
    let reply = world.browser.get("/api/echo").await;
    reply.problem(401);
    assert!(reply.header("location").is_empty());
    reply.touches_no_cookie();
    assert!(world.upstream.seen().is_empty());
}

/// Complaint of peers' users: 302 to the login page for fetch calls. Navigations get none either.
#[tokio::test(flavor = "multi_thread")]
async fn a_navigation_to_the_api_without_a_session_is_401_too() {
    let world = World::start().await;
    let reply = world.browser.navigate("/page/echo").await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(reply.header("location").is_empty());
}

/// RFC 9700 §4.13; the client's own credentials never pass.
#[tokio::test(flavor = "multi_thread")]
async fn the_clients_authorization_and_dpop_are_replaced() {
    let world = World::signed_in().await;
    let request = world.browser.fetch(Method::GET, "/api/echo").field("Authorization", "Bearer forged");
    let seen = echoed(&request.field("authorization", "Basic Zm9v").field("DPoP", "forged").send().await);
    assert_eq!(vec![seen.bearer().to_owned()], world.provider.issued_of("access_token").await);
    assert!(seen.header("dpop").is_empty());
}

/// CVE-2026-30851: on public routes too.
#[tokio::test(flavor = "multi_thread")]
async fn a_public_route_passes_without_a_session_and_without_credentials() {
    let world = World::signed_in().await;
    let request = world.browser.request(Method::GET, "/public/echo", Context::ForeignLink);
    let seen =
        echoed(&request.field("Authorization", "Bearer forged").field("X-Forwarded-For", "6.6.6.6").send().await);
    assert!(seen.header("authorization").is_empty() && seen.header("cookie").is_empty(), "{:?}", seen.headers);
    assert!(!seen.header("x-forwarded-for").join(",").contains("6.6.6.6"));
    echoed(&world.new_browser().get("/public/echo").await);
}

/// RFC 7239 §8.1; CVE-2024-21494, CVE-2024-21499, CVE-2025-64484
#[tokio::test(flavor = "multi_thread")]
async fn forwarding_fields_of_the_client_are_replaced_by_our_own() {
    let world = World::signed_in().await;
    let mut request = world.browser.fetch(Method::GET, "/api/echo");
    for name in ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X_Forwarded_For"] {
        request = request.field(name, "evil.example");
    }
    let seen = echoed(&request.send().await);
    assert!(seen.headers.iter().all(|(_, value)| !value.contains("evil.example")), "{:?}", seen.headers);
    assert_eq!(seen.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.header("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.header("x-forwarded-host"), [world.gate.url().trim_start_matches("http://")]);
}

/// RFC 9110 §7.6.1, §7.6.3
#[tokio::test(flavor = "multi_thread")]
async fn hop_by_hop_fields_stay_here_and_via_is_added() {
    let world = World::signed_in().await;
    let request = world.browser.fetch(Method::GET, "/api/echo").field("Connection", "X-Private, keep-alive");
    let seen = echoed(&request.field("X-Private", "1").field("TE", "trailers").field("X-Kept", "1").send().await);
    for name in ["x-private", "te", "keep-alive", "proxy-authorization"] {
        assert!(seen.header(name).is_empty(), "{name}: {:?}", seen.headers);
    }
    assert_eq!(seen.header("x-kept"), ["1"]);
    assert_eq!(seen.header("via").len(), 1);
}

/// RFC 9110 §5.3
#[tokio::test(flavor = "multi_thread")]
async fn repeated_fields_stay_repeated_both_ways() {
    let world = World::signed_in().await;
    let request = world.browser.fetch(Method::GET, "/api/repeated").field("X-Many", "one");
    let reply = request.field("X-Many", "two").send().await;
    assert_eq!(echoed(&reply).header("x-many"), ["one", "two"]);
    assert_eq!(reply.header("x-twice"), ["one", "two"]);
    let cookies = reply.header("set-cookie");
    assert!(cookies.contains(&"theirs=1; Path=/") && cookies.contains(&"more=2"), "{cookies:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_cannot_set_our_cookies() {
    let world = World::signed_in().await;
    let session = world.session_cookie();
    let reply = world.browser.get("/api/repeated").await;
    assert!(reply.header("set-cookie").iter().all(|line| !line.starts_with("sealgate=")), "{:?}", reply.headers);
    assert_eq!(world.session_cookie(), session);
}

/// RFC 9111 §5.2.2
#[tokio::test(flavor = "multi_thread")]
async fn answers_to_a_session_lose_what_shared_caches_may_do() {
    let world = World::signed_in().await;
    let reply = world.browser.get("/api/repeated").await;
    let control = reply.header("cache-control").join(",");
    assert!(control.contains("private") && !control.contains("public") && !control.contains("s-maxage"), "{control}");
    assert!(reply.header("cdn-cache-control").is_empty() && reply.header("surrogate-control").is_empty());
    assert!(reply.header("vary").join(",").to_ascii_lowercase().contains("cookie"));
    let silent = world.browser.get("/api/echo").await;
    assert!(silent.header("cache-control").join(",").contains("no-store"), "{:?}", silent.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_cookies_pass_only_where_the_route_says_so_and_ours_never() {
    let world = World::signed_in().await;
    world.browser.set_cookie("theirs", "1");
    assert!(echoed(&world.browser.get("/api/echo").await).header("cookie").is_empty());
    assert_eq!(echoed(&world.browser.get("/cookies/echo").await).header("cookie"), ["theirs=1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_bodies_pass_as_they_are() {
    let world = World::signed_in().await;
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let seen = echoed(&world.browser.fetch(method.clone(), "/api/echo").body("{\"a\": 1}").send().await);
        assert_eq!((seen.method.as_str(), seen.body.as_str()), (method.as_str(), "{\"a\": 1}"));
    }
}

/// RFC 10017 §6.1.3.6
#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_restrict_its_methods() {
    let world = World::signed_in().await;
    assert_eq!(world.browser.get("/readonly/echo").await.status, StatusCode::OK);
    let refused = world.browser.post("/readonly/echo").await;
    refused.problem(405);
    assert_eq!(refused.header("allow"), ["GET"]);
    assert_eq!(world.upstream.seen().len(), 1);
}

/// RFC 10017 §6.1.3.6; CVE-2025-54576
#[tokio::test(flavor = "multi_thread")]
async fn routes_match_whole_segments_of_the_path_and_nothing_else() {
    let world = World::signed_in().await;
    for path in ["/apis/echo", "/x?/api/echo", "/ap", "/x/api/echo"] {
        let reply = world.browser.navigate(path).await;
        assert!(reply.body.contains("The app"), "{path} is not a route: {}", reply.body);
    }
    assert!(world.upstream.seen().is_empty());
}

/// RFC 9700 §4.12: never followed with the token.
#[tokio::test(flavor = "multi_thread")]
async fn upstream_redirects_pass_through_and_are_never_followed() {
    let world = World::signed_in().await;
    let reply = world.browser.get("/api/redirect").await;
    assert_eq!(reply.status, StatusCode::FOUND);
    assert_eq!(reply.header("location"), ["https://elsewhere.example/x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_of_the_upstream_pass_through_its_401_among_them() {
    let world = World::signed_in().await;
    for code in [201, 204, 304, 401, 403, 404, 500, 503] {
        let reply = world.browser.get(&format!("/api/status/{code}")).await;
        assert_eq!(reply.status.as_u16(), code);
        reply.touches_no_cookie();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_arrive_whole() {
    let world = World::signed_in().await;
    let reply = world.browser.get("/api/large/5000000").await;
    assert_eq!((reply.status, reply.body.len()), (StatusCode::OK, 5_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_when_they_are_sent_and_not_at_the_end() {
    let world = World::signed_in().await;
    let request = world.browser.request(Method::GET, "/stream/events", Context::Fetch);
    let mut events = request.start().await;
    let first = events.chunk().await.expect("a healthy stream").expect("a first event");
    assert_eq!(first.as_ref(), b"data: first\n\n");
    world.upstream.release();
    let second = events.chunk().await.expect("a healthy stream").expect("a second event");
    assert_eq!(second.as_ref(), b"data: second\n\n");
}

/// As a WebSocket: `EventSource` comes again by itself, and is told that nobody is signed in.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_the_session_s_event_streams() {
    let world = World::signed_in().await;
    let other = world.new_browser();
    other.sign_in().await;
    let open = async |browser: &Browser| {
        let request = browser.request(Method::GET, "/stream/events", Context::Fetch);
        let mut events = request.field("Accept", "text/event-stream").start().await;
        let first = events.chunk().await.expect("a healthy stream").expect("a first event");
        assert_eq!(first.as_ref(), b"data: first\n\n");
        events
    };
    let (mut ours, mut others) = (open(&world.browser).await, open(&other).await);
    world.browser.post("/bff/logout").await;
    assert_eq!(ours.chunk().await.expect("the end is clean"), None);
    let again = world.browser.request(Method::GET, "/stream/events", Context::Fetch);
    assert_eq!(again.field("Accept", "text/event-stream").send().await.status, StatusCode::UNAUTHORIZED);
    world.upstream.release();
    let second = others.chunk().await.expect("a healthy stream").expect("a second event");
    assert_eq!(second.as_ref(), b"data: second\n\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_not_there_is_a_502_problem() {
    let world = World::plan().set("routes.0.upstream", "http://127.0.0.1:9").signed_in().await;
    let reply = world.browser.get("/api/echo").await;
    reply.problem(502);
    reply.touches_no_cookie();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_answer_is_a_504_problem() {
    let world = World::plan().set("routes.0.first_byte_timeout", "1s").signed_in().await;
    world.browser.get("/api/hold").await.problem(504);
}

/// Complaint of peers' users: session cookies sent on to upstreams.
#[tokio::test(flavor = "multi_thread")]
async fn session_cookies_are_not_sent_on_to_upstreams() {
    let world = World::signed_in().await;
    world.browser.get("/cookies/echo").await;
    let seen = serde_json::to_string(&world.upstream.last()).expect("plain text");
    assert!(!seen.contains(&world.session_cookie()));
}
