//! What `/bff/auth` answers, and to whom. The recipes with real proxies are in `tests/deploy/`.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::support::browser::Context;
use crate::support::forward_front::SECRET;
use crate::support::wait::reach;
use crate::support::world::{Plan, SESSION};
use crate::support::{Reply, World};

/// What such a test is configured with; `more` goes into `[forward_auth]`.
fn plan(proxy: &str, more: Value) -> Plan {
    let mut section = json!({"proxy": proxy, "secret": SECRET, "headers": {"X-User": "{sub}"}});
    for (key, value) in more.as_object().expect("a table") {
        match value {
            Value::Null => drop(section.as_object_mut().and_then(|section| section.remove(key))),
            value => section[key] = value.clone(),
        }
    }
    World::plan()
        .set("server.trusted_proxies", vec!["127.0.0.1/32"])
        .set("session.same_site", "lax")
        .set("forward_auth", section)
}

/// Asks as nginx does for a request of the browser.
async fn nginx_asks(world: &World, method: &str, target: &str, context: Context) -> Reply {
    let request = world.browser.request(Method::GET, "/bff/auth", context).field("X-Sealgate-Secret", SECRET);
    request.field("X-Original-Method", method).field("X-Original-URI", target).send().await
}

/// Asks as Traefik and Caddy do.
async fn traefik_asks(world: &World, method: &str, target: &str, context: Context) -> Reply {
    let request = world.browser.request(Method::GET, "/bff/auth", context).field("X-Sealgate-Secret", SECRET);
    request.field("X-Forwarded-Method", method).field("X-Forwarded-Uri", target).send().await
}

fn login_for(target: &str) -> String {
    format!("/bff/login?{}", form_urlencoded::Serializer::new(String::new()).append_pair("returnUrl", target).finish())
}

/// The path and query of a redirect to our own origin.
fn local<'a>(world: &World, location: &'a str) -> &'a str {
    location.strip_prefix(world.gate.url()).unwrap_or_else(|| panic!("elsewhere: {location}"))
}

const ANSWERS: [&str; 7] = [
    "x-user",
    "authorization",
    "x-auth-request-access-token",
    "cookie",
    "set-cookie",
    "x-sealgate-set-cookie-1",
    "x-sealgate-redirect",
];

fn says_nothing(reply: &Reply) {
    assert_eq!(reply.problem(403), "urn:sealgate:error:forward-auth-refused");
    let told: Vec<_> = ANSWERS.iter().filter(|name| !reply.header(name).is_empty()).collect();
    assert!(told.is_empty(), "{told:?}");
}

/// Promise 1: a page can reach the endpoint through the very same proxy, with any field but the secret.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_show_the_secret_learns_nothing() {
    let world = plan("nginx", json!({"access_token": true, "header_preset": "oauth2-proxy"})).signed_in().await;
    let ask = || {
        let request = world.browser.request(Method::GET, "/bff/auth", Context::Fetch).field("X-CSRF", "1");
        request.field("X-Original-Method", "GET").field("X-Original-URI", "/")
    };
    says_nothing(&ask().send().await);
    let almost = &SECRET[..SECRET.len() - 1];
    for wrong in ["", "null", almost, &format!("{SECRET}x"), &SECRET.to_uppercase()] {
        says_nothing(&ask().field("X-Sealgate-Secret", wrong).send().await);
    }
    says_nothing(&ask().field("X-Sealgate-Secret", SECRET).field("X-Sealgate-Secret", SECRET).send().await);
    says_nothing(&ask().field("X_Sealgate_Secret", SECRET).send().await);

    let token = world.provider.issued_of("access_token").await.remove(0);
    let good = ask().field("X-Sealgate-Secret", SECRET).send().await;
    assert_eq!(good.status, StatusCode::OK, "{}", good.body);
    assert_eq!(good.header("authorization"), [format!("Bearer {token}")]);
    assert_eq!(good.header("x-auth-request-access-token"), [&*token]);
    assert_eq!((good.header("x-user"), good.header("cache-control")), (vec!["ada"], vec!["no-store"]));
    let log = world.gate.log();
    assert!(!log.contains(SECRET) && !log.contains(&token), "neither is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_secret_is_replaced_the_old_one_and_the_new_one_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{}\n{SECRET}\n", "n".repeat(40))).expect("the folder is ours");
    let world = plan("nginx", json!({"secret": null, "secret_file": file})).signed_in().await;
    assert_eq!(nginx_asks(&world, "GET", "/", Context::Fetch).await.status, StatusCode::OK);
    let request = world.browser.fetch(Method::GET, "/bff/auth").field("X-Sealgate-Secret", &"n".repeat(40));
    let request = request.field("X-Original-Method", "GET").field("X-Original-URI", "/");
    assert_eq!(request.send().await.status, StatusCode::OK);
    let both = format!("{}\n{SECRET}", "n".repeat(40)).replace('\n', " ");
    says_nothing(&world.browser.fetch(Method::GET, "/bff/auth").field("X-Sealgate-Secret", &both).send().await);
}

/// STANDARDS B, CVE-2024-21494: an address that nobody trusts may not ask, whatever it knows.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_trusted_proxy_learns_nothing() {
    let world = plan("nginx", json!({})).set("server.trusted_proxies", vec!["10.0.0.5/32"]).signed_in().await;
    says_nothing(&nginx_asks(&world, "GET", "/", Context::Fetch).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_section_there_is_no_such_endpoint() {
    let world = World::plan().set("server.trusted_proxies", vec!["127.0.0.1/32"]).signed_in().await;
    let reply = nginx_asks(&world, "GET", "/", Context::Fetch).await;
    assert_eq!(reply.problem(404), "urn:sealgate:error:not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_access_token_no_answer_has_one_whatever_the_preset() {
    for preset in ["oauth2-proxy", "easyauth"] {
        let world = plan("nginx", json!({"header_preset": preset})).signed_in().await;
        let reply = nginx_asks(&world, "GET", "/", Context::Typed).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        let token = world.provider.issued_of("access_token").await.remove(0);
        assert!(!format!("{:?}", reply.headers).contains(&token), "{preset}: {:?}", reply.headers);
        assert_eq!(reply.header("x-user"), ["ada"]);
    }
}

/// The complaint: after the login one lands on the front page.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_load_that_is_signed_out_gets_the_login_with_its_path_and_query() {
    let target = "/wiki/a%20b?x=1&y=%2F%26z&u=https%3A%2F%2Fe.example";
    let world = plan("nginx", json!({})).start().await;
    for method in ["GET", "HEAD"] {
        let reply = nginx_asks(&world, method, target, Context::Link).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert_eq!(local(&world, reply.header("x-sealgate-redirect")[0]), login_for(target));
        assert!(reply.header("location").is_empty());
    }
    let world = plan("traefik", json!({})).start().await;
    let reply = traefik_asks(&world, "GET", target, Context::Typed).await;
    assert_eq!(
        (reply.status, local(&world, reply.header("location")[0])),
        (StatusCode::SEE_OTHER, &*login_for(target))
    );
    let callback = world.browser.sign_in_at(reply.location().as_str()).await;
    assert_eq!(local(&world, callback.location().as_str()), target);
    assert_eq!(traefik_asks(&world, "GET", target, Context::ForeignLink).await.status, StatusCode::OK);
}

/// RFC 9700 §4.11.1: what the login cannot lead back to, it does not lead to.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_may_not_be_returned_to_becomes_the_root() {
    let world = plan("traefik", json!({})).start().await;
    let long = format!("/{}", "a".repeat(600));
    for target in ["//evil.example/", "/\\evil.example", "/%2fevil.example", "/bff/logout", &long] {
        let reply = traefik_asks(&world, "GET", target, Context::Typed).await;
        assert_eq!(local(&world, reply.header("location")[0]), login_for("/"), "{target}");
    }
    let absolute = traefik_asks(&world, "GET", "https://evil.example/", Context::Typed).await;
    assert_eq!(absolute.error_page(4), 400);
}

/// The complaint: 302 to the login page for fetch calls.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_page_load_gets_a_401_and_never_a_redirect() {
    let world = plan("traefik", json!({})).start().await;
    for (method, context) in
        [("GET", Context::Fetch), ("POST", Context::Fetch), ("GET", Context::Frame), ("POST", Context::Link)]
    {
        let reply = traefik_asks(&world, method, "/a", context).await;
        assert_eq!(
            (reply.status, reply.header("location")),
            (StatusCode::UNAUTHORIZED, vec![]),
            "{method} {context:?}"
        );
    }
    let world = plan("nginx", json!({})).start().await;
    let reply = nginx_asks(&world, "GET", "/a", Context::Fetch).await;
    assert_eq!((reply.status, reply.header("x-sealgate-redirect")), (StatusCode::UNAUTHORIZED, vec![]));
}

/// RFC 10017 §6.1.3.3; the method is the original's, of which nginx asks with GET.
#[tokio::test(flavor = "multi_thread")]
async fn forged_requests_are_refused_by_the_original_s_method_and_origin() {
    let world = plan("nginx", json!({})).signed_in().await;
    for (method, context, passes) in [
        ("GET", Context::Typed, true),
        ("GET", Context::ForeignLink, true),
        ("GET", Context::Frame, true),
        ("GET", Context::ForeignFrame, false),
        ("GET", Context::ForeignFetch, false),
        ("GET", Context::SiblingFetch, false),
        ("POST", Context::Fetch, true),
        ("POST", Context::Link, true),
        ("POST", Context::ForeignForm, false),
        ("POST", Context::ForeignFetch, false),
        ("DELETE", Context::SiblingFetch, false),
        ("PURGE", Context::Typed, false),
    ] {
        // The browser keeps its lax cookies back by itself; others do not.
        let line = format!("{SESSION}={}", world.session_cookie());
        let request = world.new_browser();
        let request = request.request(Method::GET, "/bff/auth", context).field("Cookie", &line);
        let request = request.field("X-Sealgate-Secret", SECRET).field("X-Original-URI", "/a");
        let reply = request.field("X-Original-Method", method).send().await;
        let expected = if passes { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(reply.status, expected, "{method} {context:?}: {}", reply.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_csrf_page_what_changes_something_needs_the_custom_header() {
    let world = plan("nginx", json!({"csrf": "page"})).signed_in().await;
    let post = nginx_asks(&world, "POST", "/a", Context::Fetch).await;
    assert_eq!(post.problem(403), "urn:sealgate:error:csrf-header-missing");
    let request = world.browser.fetch(Method::GET, "/bff/auth").field("X-Sealgate-Secret", SECRET);
    let request = request.field("X-Original-Method", "POST").field("X-Original-URI", "/a");
    assert_eq!(request.send().await.status, StatusCode::OK);
    assert_eq!(nginx_asks(&world, "GET", "/a", Context::Fetch).await.status, StatusCode::OK);
}

/// RFC 6455 §10.2: the fields of the handshake that a proxy passes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_with_our_own_origin_alone() {
    let world = plan("nginx", json!({})).signed_in().await;
    let own = world.gate.url().to_owned();
    let ask = |site: &'static str, origin: &str| {
        let request = world.browser.request(Method::GET, "/bff/auth", Context::Fetch);
        let request = request.without("Sec-Fetch-Mode").without("Sec-Fetch-Site").field("Sec-Fetch-Mode", "websocket");
        let request = request.field("Sec-Fetch-Site", site).field("Origin", origin).field("X-CSRF", "1");
        let request = request.field("X-Sealgate-Secret", SECRET).field("X-Original-URI", "/socket");
        request.field("X-Original-Method", "GET").send()
    };
    assert_eq!(ask("same-origin", &own).await.status, StatusCode::OK);
    assert_eq!(ask("cross-site", "https://evil.example").await.problem(403), "urn:sealgate:error:cross-origin");
    assert_eq!(ask("same-origin", "null").await.problem(403), "urn:sealgate:error:cross-origin");
}

/// STANDARDS B, CVE-2026-40575: fields in another proxy's form, and second copies, come from browsers.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_says_of_the_original_is_not_believed() {
    let rules = json!([{"methods": ["DELETE"], "required_groups": ["admirals"]}]);
    let world = plan("traefik", json!({"rules": rules})).signed_in().await;
    let ask = || world.browser.fetch(Method::GET, "/bff/auth").field("X-Sealgate-Secret", SECRET);
    let forged = ask().field("X-Forwarded-Method", "DELETE").field("X-Forwarded-Uri", "/a");
    let reply = forged.field("X-Original-Method", "GET").field("X-Original-URI", "/b").send().await;
    assert_eq!(reply.problem(403), "urn:sealgate:error:forbidden-by-rule");
    let only_forged = ask().field("X-Original-Method", "GET").field("X-Original-URI", "/b").send().await;
    assert_eq!(only_forged.problem(400), "urn:sealgate:error:invalid-request");
    let twice = ask().field("X-Forwarded-Method", "GET").field("X-Forwarded-Method", "DELETE");
    assert_eq!(twice.field("X-Forwarded-Uri", "/a").send().await.problem(400), "urn:sealgate:error:invalid-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_for_the_original_s_method() {
    let rules = json!([{"methods": ["DELETE"], "required_claims": {"sub": ["grace"]}}]);
    let world = plan("nginx", json!({"rules": rules})).signed_in().await;
    assert_eq!(nginx_asks(&world, "GET", "/a", Context::Fetch).await.status, StatusCode::OK);
    let refused = nginx_asks(&world, "DELETE", "/a", Context::Fetch).await;
    assert_eq!(refused.problem(403), "urn:sealgate:error:forbidden-by-rule");
    assert!(!refused.body.contains("grace") && refused.header("x-user").is_empty(), "{}", refused.body);
}

/// Envoy asks with the original's method, and with its target behind the endpoint.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_asks_below_the_endpoint_with_the_original_s_method_and_others_do_not() {
    let rules = json!([{"methods": ["DELETE"], "required_claims": {"sub": ["grace"]}}]);
    let world =
        plan("envoy", json!({"rules": rules, "headers": {"X-User": "{sub}", "X-None": "{none}"}})).start().await;
    let ask = |method: Method, target: &str, context| {
        let request = world.browser.request(method, &format!("/bff/auth{target}"), context);
        request.field("X-Sealgate-Secret", SECRET).field("X-Original-Method", "GET").send()
    };
    let reply = ask(Method::GET, "/wiki?a=b%2Fc", Context::Typed).await;
    assert_eq!(local(&world, reply.header("location")[0]), login_for("/wiki?a=b%2Fc"));
    world.browser.sign_in().await;
    let reply = ask(Method::POST, "/wiki//x/../y;z?a", Context::Fetch).await;
    assert_eq!((reply.status, reply.header("x-user")), (StatusCode::OK, vec!["ada"]));
    assert_eq!(reply.header("x-envoy-auth-headers-to-remove"), ["x-none,authorization,cookie"]);
    assert_eq!(ask(Method::HEAD, "/wiki", Context::Fetch).await.status, StatusCode::OK);
    assert_eq!(ask(Method::DELETE, "/wiki", Context::Fetch).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(Method::GET, "", Context::Fetch).await.problem(400), "urn:sealgate:error:invalid-request");
    assert_eq!(ask(Method::GET, "orize", Context::Fetch).await.problem(404), "urn:sealgate:error:not-found");

    let nginx = plan("nginx", json!({})).signed_in().await;
    let below = nginx.browser.request(Method::GET, "/bff/auth/a", Context::Fetch).field("X-Sealgate-Secret", SECRET);
    assert_eq!(below.send().await.problem(404), "urn:sealgate:error:not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_gets_the_cookies_of_others_only_where_it_shall() {
    for (forwards, expected) in [(false, vec![]), (true, vec!["theirs=1; more=2"])] {
        let world = plan("nginx", json!({"forward_cookies": forwards})).signed_in().await;
        world.browser.set_cookie("theirs", "1");
        world.browser.set_cookie("more", "2");
        let reply = nginx_asks(&world, "GET", "/a", Context::Fetch).await;
        assert_eq!((reply.status, reply.header("cookie")), (StatusCode::OK, expected), "{forwards}");
    }
}

/// nginx before 1.23 passes on the first `Set-Cookie`, later ones join them to one that is none.
#[tokio::test(flavor = "multi_thread")]
async fn nginx_gets_each_cookie_in_a_field_of_its_own_and_others_set_cookie() {
    for proxy in ["nginx", "traefik"] {
        let world = plan(proxy, json!({})).signed_in().await;
        let late = world.browser.copy();
        world.browser.post("/bff/refresh").await;
        let newest = world.session_cookie();
        let world = World { browser: late, ..world };
        let reply = match proxy {
            "nginx" => nginx_asks(&world, "GET", "/a", Context::Fetch).await,
            _ => traefik_asks(&world, "GET", "/a", Context::Fetch).await,
        };
        let (own, other) = match proxy {
            "nginx" => ("x-sealgate-set-cookie-1", "set-cookie"),
            _ => ("set-cookie", "x-sealgate-set-cookie-1"),
        };
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        assert_eq!((reply.header(own).len(), reply.header(other).len()), (1, 0), "{:?}", reply.headers);
        assert!(reply.header(own)[0].starts_with(&format!("{SESSION}={newest};")), "{:?}", reply.headers);
        assert!(reply.header("x-sealgate-set-cookie-2").is_empty());
    }
}

/// Complaint of peers' users: session back from the dead after logout.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_ended_passes_no_more_and_its_cookie_is_deleted() {
    let world = plan("nginx", json!({})).signed_in().await;
    let session = world.session_cookie();
    assert_eq!(world.browser.post("/bff/logout").await.status, StatusCode::OK);
    world.browser.set_cookie(SESSION, &session);
    let reply = nginx_asks(&world, "GET", "/a?b", Context::Link).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(local(&world, reply.header("x-sealgate-redirect")[0]), login_for("/a?b"));
    let deletion = reply.header("x-sealgate-set-cookie-1")[0];
    assert!(deletion.starts_with(&format!("{SESSION}=;")) && deletion.contains("Max-Age=0"), "{deletion}");
}

/// DESIGN §6: the browser comes again, to the original's own address; only what can be repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_another_replica_may_have_won_sends_the_original_again() {
    let expired = async |proxy: &str| {
        let world = plan(proxy, json!({})).provider(|provider| provider.access_token_ttl = 2).signed_in().await;
        world.provider.forget_refresh_tokens().await;
        reach(Instant::now() + Duration::from_secs(3)).await;
        world
    };
    let (nginx, traefik) = tokio::join!(expired("nginx"), expired("traefik"));
    let (first, second) = tokio::join!(
        nginx_asks(&nginx, "GET", "/a?b=c", Context::Link),
        traefik_asks(&traefik, "GET", "/a?b=c", Context::Fetch)
    );
    assert_eq!(first.status, StatusCode::UNAUTHORIZED);
    assert_eq!(local(&nginx, first.header("x-sealgate-redirect")[0]), "/a?b=c");
    assert_eq!(first.header("x-sealgate-set-cookie-1").len(), 1, "the marker");
    assert_eq!(second.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(local(&traefik, second.header("location")[0]), "/a?b=c");
    let post = nginx_asks(&nginx, "POST", "/a", Context::Fetch).await;
    assert_eq!(post.problem(401), "urn:sealgate:error:refresh-conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_provider_down_an_expired_token_is_503_and_keeps_the_session() {
    let world = plan("envoy", json!({})).provider(|provider| provider.access_token_ttl = 2).signed_in().await;
    world.provider.fail(500, Some(&["token"])).await;
    reach(Instant::now() + Duration::from_secs(3)).await;
    let reply = world.browser.fetch(Method::GET, "/bff/auth/a").field("X-Sealgate-Secret", SECRET).send().await;
    assert_eq!(reply.problem(503), "urn:sealgate:error:provider-unavailable");
    reply.touches_no_cookie();
    assert_eq!(world.gate.metric(r#"sealgate_requests_total{handler="auth",status_class="5"}"#).await, 1);
}

/// The secret and what the application believes go through no route.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_and_the_headers_of_users_pass_no_route() {
    let world = plan("nginx", json!({})).signed_in().await;
    let request = world.browser.fetch(Method::GET, "/api/echo").field("X-Sealgate-Secret", SECRET);
    let reply = request.field("X-User", "forged").field("x_user", "forged").send().await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let seen = world.upstream.last();
    assert!(seen.headers.iter().all(|(_, value)| value != SECRET && value != "forged"), "{:?}", seen.headers);
}
