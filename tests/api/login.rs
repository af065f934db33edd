//! Signing in: `/bff/login`, the way through the provider, `/bff/callback` and `/bff/user`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::browser::Context;
use crate::support::wait::reach;
use crate::support::world::{Plan, SESSION};
use crate::support::{Reply, World};

fn query(reply: &Reply) -> HashMap<String, String> {
    reply.location().query_pairs().into_owned().collect()
}

/// RFC 10017 §6.1.3.1, RFC 7636 §4.3, RFC 9700 §2.1.1
#[tokio::test(flavor = "multi_thread")]
async fn login_redirects_to_the_provider_with_state_nonce_and_an_s256_challenge() {
    let world = World::start().await;
    let reply = world.browser.navigate("/bff/login").await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert!(reply.location().as_str().starts_with(&format!("{}/auth?", world.provider.issuer)));
    let query = query(&reply);
    assert_eq!(query["response_type"], "code");
    assert_eq!(query["client_id"], world.gate.options.client_id);
    assert_eq!(query["redirect_uri"], format!("{}/bff/callback", world.gate.url()));
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["code_challenge"].len(), 43, "SHA-256 in base64url");
    assert!(query["state"].len() >= 22, "at least 128 bits of state");
    assert!(query["nonce"].len() >= 22, "at least 128 bits of nonce");
    let scopes: Vec<&str> = query["scope"].split(' ').collect();
    assert_eq!(scopes, ["openid", "profile", "offline_access"]);
    assert!(!query.contains_key("code_verifier"), "the verifier stays with us");
}

/// RFC 9700 §2.1.1: fresh for every transaction.
#[tokio::test(flavor = "multi_thread")]
async fn every_login_has_a_state_nonce_and_challenge_of_its_own() {
    let world = World::start().await;
    let first = query(&world.browser.navigate("/bff/login").await);
    let second = query(&world.browser.navigate("/bff/login").await);
    for parameter in ["state", "nonce", "code_challenge"] {
        assert_ne!(first[parameter], second[parameter], "{parameter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn login_comes_back_signed_in_at_the_return_url() {
    let world = World::start().await;
    let reply = world.browser.sign_in_at("/bff/login?returnUrl=%2Forders%3Fpage%3D2").await;
    assert_eq!(reply.location().as_str(), format!("{}/orders?page=2", world.gate.url()));
    assert!(world.browser.cookie(SESSION).is_some());
}

/// Complaint of peers' users: provider down at start-up. Nor does a login that comes before discovery has ended fail.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_login_after_the_start_waits_for_discovery() {
    let world = World::start().await;
    assert_eq!(world.browser.navigate("/bff/login").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_without_a_return_url_comes_back_at_the_root() {
    let world = World::start().await;
    let reply = world.browser.sign_in().await;
    assert_eq!(reply.location().as_str(), format!("{}/", world.gate.url()));
}

/// RFC 10017 §6.1.3.2
#[tokio::test(flavor = "multi_thread")]
async fn the_session_cookie_is_http_only_strict_and_bound_to_the_host() {
    let world = World::start().await;
    let reply = world.browser.sign_in().await;
    let cookies = reply.set_cookies();
    let session = cookies.iter().find(|cookie| cookie.name == SESSION).expect("a session cookie");
    assert!(session.has("HttpOnly") && session.has("SameSite=Strict") && session.has("Path=/"), "{session:?}");
    assert_eq!(session.attribute("domain"), None);
    assert!(session.max_age().is_some_and(|age| (8 * 3600 - 60..=8 * 3600).contains(&age)), "{session:?}");
    assert!(session.name.len() + session.value.len() <= 4096, "RFC 6265bis §5.6");
}

/// RFC 10017 §6.1.3.2; the login cookie is lax, strict would not come back from the provider.
#[tokio::test(flavor = "multi_thread")]
async fn the_login_cookie_is_http_only_lax_and_lives_ten_minutes() {
    let world = World::start().await;
    let reply = world.browser.navigate("/bff/login").await;
    let cookies = reply.set_cookies();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let login = &cookies[0];
    assert!(login.has("HttpOnly") && login.has("SameSite=Lax") && login.has("Path=/"), "{login:?}");
    assert_eq!((login.attribute("domain"), login.max_age()), (None, Some(600)));
}

/// RFC 9700 §4.2.4: state is deleted after use.
#[tokio::test(flavor = "multi_thread")]
async fn the_callback_deletes_its_login_cookie() {
    let world = World::start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
    let before = world.browser.cookie_names();
    let reply = world.browser.arrive_from_elsewhere(callback.as_str()).await;
    assert!(reply.set_cookies().iter().any(|cookie| cookie.deletes() && before.contains(&cookie.name)));
    assert!(before.iter().all(|name| !world.browser.cookie_names().contains(name)), "{before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_endpoints_are_never_cached_and_send_no_referrer() {
    let world = World::start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
    let replies = [
        world.browser.navigate("/bff/login").await,
        world.browser.arrive_from_elsewhere(callback.as_str()).await,
        world.browser.get("/bff/user").await,
        world.new_browser().get("/bff/user").await,
        world.browser.navigate("/bff/callback").await,
    ];
    for reply in replies {
        assert!(reply.header("cache-control").join(",").contains("no-store"), "{} {:?}", reply.url, reply.headers);
        assert_eq!(reply.header("referrer-policy"), ["no-referrer"], "{}", reply.url);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_shows_claims_lifetimes_and_the_way_out() {
    let world = World::signed_in().await;
    let user = world.browser.user().await;
    assert_eq!(user["sub"], "ada");
    assert_eq!(user["name"], "Ada Lovelace");
    let seconds = |name: &str| user[name].as_u64().unwrap_or_else(|| panic!("{name} is a number: {user}"));
    assert!((3_500..=28_800).contains(&seconds("bff:session_expires_in")), "{user}");
    assert!((240..=300).contains(&seconds("bff:access_token_expires_in")), "{user}");
    let logout = user["bff:logout_url"].as_str().expect("a text");
    assert!(logout.starts_with("/bff/logout?sid="), "{logout}");
}

/// Tokens never reach JavaScript.
#[tokio::test(flavor = "multi_thread")]
async fn user_shows_no_token() {
    let world = World::signed_in().await;
    let user = world.browser.user().await.to_string();
    for issued in world.provider.issued().await {
        assert!(!user.contains(&issued.value), "a {} is in {user}", issued.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_is_a_list_of_types_and_values_when_so_configured() {
    let world = World::plan().set("session.user_format", "duende").signed_in().await;
    let user: Vec<Value> = serde_json::from_value(world.browser.user().await).expect("a list");
    let value = |name: &str| user.iter().find(|claim| claim["type"] == name).map(|claim| claim["value"].clone());
    assert_eq!(value("sub"), Some("ada".into()));
    assert!(value("bff:logout_url").is_some_and(|url| url.as_str().is_some_and(|url| url.contains("sid="))));
}

#[tokio::test(flavor = "multi_thread")]
async fn user_is_401_when_signed_out() {
    let world = World::start().await;
    let reply = world.browser.get("/bff/user").await;
    reply.problem(401);
    reply.touches_no_cookie();
}

/// RFC 9700 §4.11.1; GHSA-qqxw-m5fj-f7gv, GHSA-j7px-6hwj-hpjg, GHSA-4mf2-f3wh-gvf2, CVE-2021-32786, CVE-2021-39191,
/// CVE-2022-23527, CVE-2026-83589
#[tokio::test(flavor = "multi_thread")]
async fn login_refuses_return_urls_that_leave_the_site() {
    let world = World::start().await;
    let long = format!("%2F{}", "a".repeat(512));
    let refused = [
        "https%3A%2F%2Fevil.example%2F",
        "%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%5C%2Fevil.example",
        "%5C%5Cevil.example",
        "%2F%09%2Fevil.example",
        "%2F%0A%2Fevil.example",
        "%2F%0D%0ASet-Cookie%3Ax%3D1",
        "%20%2F%2Fevil.example",
        "%2F%252Fevil.example",
        "%2F%255Cevil.example",
        "%2F%2509%2Fevil.example",
        "javascript%3Aalert(1)",
        "evil.example",
        "%2F%00",
        "%2Fbff%2Flogin",
        "%2Fbff%2Flogout",
        "",
        &long,
    ];
    for return_url in refused {
        let reply = world.browser.navigate(&format!("/bff/login?returnUrl={return_url}")).await;
        assert_eq!(reply.error_page(4), 400, "{return_url}");
        reply.touches_no_cookie();
        assert!(!reply.body.contains("evil.example"), "{return_url} comes back in {}", reply.body);
    }
    assert_eq!(world.provider.stats().await.requests("auth"), 0);
}

/// RFC 6749 §3.1
#[tokio::test(flavor = "multi_thread")]
async fn login_refuses_a_repeated_return_url() {
    let world = World::start().await;
    let reply = world.browser.navigate("/bff/login?returnUrl=%2Fa&returnUrl=%2Fb").await;
    assert_eq!(reply.error_page(4), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_by_fetch_gets_401_and_no_flow() {
    let world = World::start().await;
    let reply = world.browser.get("/bff/login").await;
    reply.problem(401);
    reply.touches_no_cookie();
    assert!(reply.header("location").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn login_by_prefetch_gets_401_and_no_flow() {
    let world = World::start().await;
    let request = world.browser.request(Method::GET, "/bff/login", Context::Link);
    let reply = request.field("Sec-Purpose", "prefetch").send().await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    reply.touches_no_cookie();
}

#[tokio::test(flavor = "multi_thread")]
async fn login_in_a_frame_is_refused_unless_it_asks_silently_from_our_own_page() {
    let world = World::plan().set("provider.passthrough_parameters", vec!["prompt"]).start().await;
    let frame = |target: &'static str, context: Context| {
        let request = world.browser.request(Method::GET, target, context).without("Sec-Fetch-Dest");
        request.field("Sec-Fetch-Dest", "iframe").send()
    };
    for refused in [
        frame("/bff/login", Context::Link).await,
        frame("/bff/login", Context::ForeignLink).await,
        frame("/bff/login?prompt=none", Context::ForeignLink).await,
    ] {
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.url);
        refused.touches_no_cookie();
    }
    let silent = frame("/bff/login?prompt=none", Context::Link).await;
    assert_eq!((silent.status, query(&silent)["prompt"].as_str()), (StatusCode::SEE_OTHER, "none"));
}

/// Browsers without fetch metadata (and curl) are told from `fetch` by `Accept`.
#[tokio::test(flavor = "multi_thread")]
async fn without_fetch_metadata_accept_decides_what_is_a_navigation() {
    let world = World::start().await;
    let bare = |accept: &'static str| {
        let request = world.browser.request(Method::GET, "/bff/login", Context::Link);
        let request = request.without("Sec-Fetch-Site").without("Sec-Fetch-Mode").without("Sec-Fetch-Dest");
        request.without("Accept").field("Accept", accept).send()
    };
    assert_eq!(bare("text/html,*/*;q=0.8").await.status, StatusCode::SEE_OTHER);
    assert_eq!(bare("application/json").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_parameters_pass_through_to_the_provider_and_others_do_not() {
    let world = World::plan().set("provider.passthrough_parameters", vec!["login_hint", "ui_locales"]).start().await;
    let target = "/bff/login?login_hint=grace&ui_locales=de&acr_values=high&redirect_uri=https%3A%2F%2Fevil.example";
    let query = query(&world.browser.navigate(target).await);
    assert_eq!((query["login_hint"].as_str(), query["ui_locales"].as_str()), ("grace", "de"));
    assert!(!query.contains_key("acr_values"));
    assert_eq!(query["redirect_uri"], format!("{}/bff/callback", world.gate.url()));
}

/// Complaint of peers' users: tabs that overwrite each other's state.
#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_do_not_overwrite_each_other_s_state() {
    let world = World::start().await;
    let first = world.browser.sign_in_up_to_callback("/bff/login?returnUrl=%2Ffirst").await;
    let second = world.browser.sign_in_up_to_callback("/bff/login?returnUrl=%2Fsecond").await;
    let second = world.browser.arrive_from_elsewhere(second.as_str()).await;
    let first = world.browser.arrive_from_elsewhere(first.as_str()).await;
    assert_eq!(second.location().path(), "/second");
    assert_eq!(first.location().path(), "/first");
}

/// Complaint of peers' users: login cookies that pile up.
#[tokio::test(flavor = "multi_thread")]
async fn login_cookies_do_not_pile_up_and_the_oldest_goes_first() {
    let world = World::start().await;
    let first = world.browser.navigate("/bff/login").await.set_cookies().remove(0).name;
    // Their age is counted in seconds.
    reach(Instant::now() + Duration::from_millis(1_100)).await;
    for _ in 0..11 {
        world.browser.navigate("/bff/login").await;
    }
    let names = world.browser.cookie_names();
    assert!(names.len() <= 8, "{names:?}");
    assert!(!names.contains(&first), "the oldest is gone: {names:?}");
    world.browser.sign_in().await;
}

/// GHSA-f24x-5g9q-753f: session fixation at sign-in.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_login_replaces_the_session_and_shares_nothing_with_it() {
    let world = World::plan().set("provider.passthrough_parameters", vec!["login_hint"]).signed_in().await;
    let (old, old_user) = (world.session_cookie(), world.browser.user().await);
    world.browser.forget_provider();
    world.browser.sign_in_at("/bff/login?login_hint=grace").await;
    let user = world.browser.user().await;
    assert_ne!(world.session_cookie(), old);
    assert_eq!((old_user["sub"].as_str(), user["sub"].as_str()), (Some("ada"), Some("grace")));
    assert_ne!(old_user["bff:logout_url"], user["bff:logout_url"], "a sid of its own");
}

fn plan_with_groups() -> Plan {
    let scopes = vec!["openid", "profile", "groups", "offline_access"];
    World::plan().set("provider.scopes", scopes).set("provider.passthrough_parameters", vec!["login_hint"])
}

/// Complaint of peers' users: leftover chunks. DESIGN §4: lines under 3,800 bytes, at most three.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_session_is_split_and_a_smaller_one_has_no_leftover_chunks() {
    let world = plan_with_groups().start().await;
    let reply = world.browser.sign_in_at("/bff/login?login_hint=large").await;
    let chunks: Vec<String> = world
        .browser
        .cookie_names()
        .into_iter()
        .filter(|name| name == SESSION || name.starts_with("sealgate."))
        .collect();
    assert_eq!(chunks, [SESSION, "sealgate.1"]);
    assert!(reply.header("set-cookie").iter().all(|line| line.len() < 3_800), "{:?}", reply.headers);
    assert_eq!(world.browser.user().await["sub"], "large");
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    assert_eq!(world.browser.user().await["sub"], "large");

    world.browser.forget_provider();
    world.browser.sign_in_at("/bff/login?login_hint=ada").await;
    assert!(world.browser.cookie("sealgate.1").is_none(), "the second chunk is deleted");
    assert_eq!(world.browser.user().await["sub"], "ada");
}

/// Complaint of peers' users: cookie too large, 431 and redirect loops.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_too_large_ends_in_a_page_and_not_in_a_redirect_loop() {
    let world = plan_with_groups().start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login?login_hint=huge").await;
    let reply = world.browser.arrive_from_elsewhere(callback.as_str()).await;
    assert!(reply.status.is_client_error() || reply.status.is_server_error(), "{}", reply.status);
    assert_eq!(reply.media_type(), "text/html");
    assert!(reply.body.contains("token") || reply.body.contains("claims"), "it names what is large: {}", reply.body);
    assert!(reply.header("location").is_empty());
    assert!(world.browser.cookie(SESSION).is_none());
}

/// RFC 6749 §2.3.1
#[tokio::test(flavor = "multi_thread")]
async fn login_works_with_the_client_secret_in_the_body() {
    let plan = World::plan().set("provider.client_auth", "client_secret_post");
    let world = plan.registered("token_endpoint_auth_method", "client_secret_post").signed_in().await;
    assert_eq!(world.browser.user().await["sub"], "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_works_with_jwt_access_tokens() {
    let world = World::plan().provider(|provider| provider.jwt_access_tokens = true).signed_in().await;
    world.browser.get("/api/echo").await;
    assert!(world.upstream.last().bearer().starts_with("eyJ"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_in_an_allowed_email_domain_gets_a_page_and_no_session() {
    let plan = World::plan().set("provider.scopes", vec!["openid", "email", "offline_access"]);
    let world = plan.set("provider.allowed_email_domains", vec!["example.com"]).start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
    let reply = world.browser.arrive_from_elsewhere(callback.as_str()).await;
    assert_eq!(reply.error_page(4), 403);
    assert_eq!(world.browser.cookie(SESSION), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_affinity_cookie_is_set_at_login_and_is_no_secret_of_the_session() {
    let world = World::signed_in().await;
    let affinity = world.browser.cookie("sealgate_affinity").expect("set at login");
    let logout = world.browser.user().await["bff:logout_url"].as_str().expect("a text").to_owned();
    assert!(!logout.contains(&affinity), "a hash of the sid, not the sid");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_serve_the_single_page_app() {
    let world = World::start().await;
    for path in ["/", "/orders/17"] {
        let reply = world.browser.navigate(path).await;
        assert_eq!((reply.status, reply.media_type()), (StatusCode::OK, "text/html"), "{path}");
        assert!(reply.body.contains("The app"), "{path}");
    }
}
