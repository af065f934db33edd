//! Requests of our own pages are told from forged ones (RFC 10017 §6.1.3.3).

use reqwest::{Method, StatusCode};

use crate::support::browser::Context;
use crate::support::{Reply, World};

async fn refused(world: &World, reply: Reply) {
    reply.problem(403);
    reply.touches_no_cookie();
    assert!(world.upstream.seen().is_empty(), "{} reached the upstream", reply.url);
}

/// RFC 10017 §6.1.3.3.2
#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_the_custom_header_is_refused() {
    let world = World::signed_in().await;
    for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
        let reply = world.browser.request(method.clone(), "/api/echo", Context::Fetch).send().await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{method}");
    }
    let reply = world.browser.request(Method::GET, "/api/echo", Context::Fetch).send().await;
    refused(&world, reply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_header_with_another_value_is_refused() {
    let world = World::signed_in().await;
    let request = world.browser.request(Method::GET, "/api/echo", Context::Fetch);
    refused(&world, request.field("X-CSRF", "0").send().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_and_its_value_are_configurable() {
    let plan = World::plan().set("csrf", serde_json::json!({"header": "X-Requested-With", "value": "app"}));
    let world = plan.start().await;
    world.browser.sign_in().await;
    let with = |name: &'static str, value: &'static str| {
        world.browser.request(Method::GET, "/api/echo", Context::Fetch).field(name, value).send()
    };
    assert_eq!(with("X-Requested-With", "app").await.status, StatusCode::OK);
    assert_eq!(with("X-CSRF", "1").await.status, StatusCode::FORBIDDEN);
}

/// RFC 10017 §6.1.3.3; a sibling subdomain is not same origin.
#[tokio::test(flavor = "multi_thread")]
async fn cross_site_and_same_site_requests_are_refused_even_with_the_header() {
    let world = World::signed_in().await;
    let session = format!("sealgate={}", world.session_cookie());
    for context in [Context::ForeignFetch, Context::SiblingFetch] {
        // The cookie is put there by hand: the rule must hold where SameSite does not help.
        let request = world.browser.request(Method::GET, "/api/echo", context).field("X-CSRF", "1");
        refused(&world, request.field("Cookie", &session).send().await).await;
    }
}

/// RFC 10017 §6.1.3.3: `Origin` as the fallback.
#[tokio::test(flavor = "multi_thread")]
async fn without_fetch_metadata_a_foreign_origin_is_refused_and_our_own_passes() {
    let world = World::signed_in().await;
    let with_origin = |origin: String| {
        world.browser.fetch(Method::POST, "/api/echo").without("Sec-Fetch-Site").field("Origin", &origin).send()
    };
    for origin in ["https://evil.example", "null", &format!("{}.evil.example", world.gate.url()), "http://127.0.0.1"] {
        refused(&world, with_origin(origin.to_owned()).await).await;
    }
    assert_eq!(with_origin(world.gate.url().to_owned()).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_fetch_metadata_and_origin_the_header_is_enough() {
    let world = World::signed_in().await;
    let reply = world.browser.fetch(Method::GET, "/api/echo").without("Sec-Fetch-Site").send().await;
    assert_eq!(reply.status, StatusCode::OK);
}

/// DESIGN §3: for what cannot set headers, and for reading alone.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_routes_take_same_origin_reads_without_the_header_and_nothing_else() {
    let world = World::signed_in().await;
    let send = |method: Method, context: Context| world.browser.request(method, "/stream/echo", context).send();
    assert_eq!(send(Method::GET, Context::Fetch).await.status, StatusCode::OK);
    assert_eq!(send(Method::HEAD, Context::Fetch).await.status, StatusCode::OK);
    for (method, context) in [
        (Method::POST, Context::Fetch),
        (Method::GET, Context::SiblingFetch),
        (Method::GET, Context::Typed),
        (Method::GET, Context::ForeignLink),
    ] {
        assert_eq!(send(method.clone(), context).await.status, StatusCode::FORBIDDEN, "{method} {context:?}");
    }
    let unknown = world.browser.request(Method::GET, "/stream/echo", Context::Fetch).without("Sec-Fetch-Site");
    assert_eq!(unknown.send().await.status, StatusCode::FORBIDDEN, "no metadata, no passage");
}

#[tokio::test(flavor = "multi_thread")]
async fn page_routes_also_take_top_level_navigations() {
    let world = World::plan().set("session.same_site", "lax").signed_in().await;
    let send = |method: Method, context: Context| world.browser.request(method, "/page/echo", context).send();
    for context in [Context::Typed, Context::Link, Context::ForeignLink, Context::Fetch] {
        assert_eq!(send(Method::GET, context).await.status, StatusCode::OK, "{context:?}");
    }
    for (method, context) in [(Method::POST, Context::ForeignLink), (Method::GET, Context::SiblingFetch)] {
        assert_eq!(send(method.clone(), context).await.status, StatusCode::FORBIDDEN, "{method} {context:?}");
    }
}

/// RFC 10017 §6.1.3.3.2: on every request.
#[tokio::test(flavor = "multi_thread")]
async fn the_endpoints_want_the_header_too() {
    let world = World::signed_in().await;
    let user = world.browser.request(Method::GET, "/bff/user", Context::Fetch).send().await;
    user.problem(403);
    let refresh = world.browser.request(Method::POST, "/bff/refresh", Context::Fetch).send().await;
    refresh.problem(403);
    assert_eq!(world.provider.stats().await.refreshes(), 0);
}

/// The Fetch standard's CORS; upstream permissions end here.
#[tokio::test(flavor = "multi_thread")]
async fn cors_permissions_of_upstreams_are_removed_and_preflights_refused() {
    let world = World::signed_in().await;
    let reply = world.browser.get("/api/cors").await;
    assert!(reply.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{:?}", reply.headers);
    let before = world.upstream.seen().len();
    let preflight = world.browser.request(Method::OPTIONS, "/api/echo", Context::ForeignFetch);
    let preflight = preflight.field("Origin", "https://evil.example").field("Access-Control-Request-Method", "GET");
    let reply = preflight.field("Access-Control-Request-Headers", "x-csrf").send().await;
    assert!(reply.header("access-control-allow-origin").is_empty(), "{:?}", reply.headers);
    assert_eq!(world.upstream.seen().len(), before, "preflights are answered by us");
}

/// RFC 6455 §10.2
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_handshake_needs_exactly_our_origin() {
    let world = World::signed_in().await;
    let handshake = |origin: Option<String>| {
        let mut request = world.browser.request(Method::GET, "/api/echo", Context::Fetch);
        request = request.field("Connection", "Upgrade").field("Upgrade", "websocket");
        request = request.field("Sec-WebSocket-Version", "13").field("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
        if let Some(origin) = origin {
            request = request.field("Origin", &origin);
        }
        request.send()
    };
    for origin in [None, Some("https://evil.example".to_owned()), Some(format!("{}0", world.gate.url()))] {
        assert_eq!(handshake(origin.clone()).await.status, StatusCode::FORBIDDEN, "{origin:?}");
    }
    assert!(world.upstream.seen().is_empty());
}
