//! Silent login: `prompt=none`, with the whole page or in a frame.

use reqwest::{Method, StatusCode};
use url::Url;

use crate::support::browser::Context;
use crate::support::world::SESSION;
use crate::support::{Reply, World};

/// Follows redirects, at the provider and here, to the first page. `context` is how it began.
async fn follow(world: &World, target: &str, context: Context) -> Reply {
    let mut reply = world.browser.request(Method::GET, target, context).send().await;
    for _ in 0..10 {
        if !reply.status.is_redirection() {
            return reply;
        }
        reply = world.browser.request(Method::GET, reply.location().as_str(), context).send().await;
    }
    panic!("round in circles: {}", reply.url);
}

/// Signed out here, and known to the provider.
async fn known_to_the_provider(world: &World) {
    world.browser.sign_in().await;
    let host = world.browser.host().to_owned();
    world.browser.cookies().clear(&host);
}

/// OpenID Connect Core §3.1.2.6
#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_user_the_provider_does_not_know_comes_back_with_the_reason() {
    let world = World::start().await;
    let before = "/bff/login?prompt=none&returnUrl=%2Forders%3Fpage%3D2%23last";
    let page = follow(&world, before, Context::Link).await;
    assert_eq!(page.url.as_str(), format!("{}/orders?page=2&bff_error=login_required#last", world.gate.url()));
    assert_eq!(page.status, StatusCode::OK, "the app, not an error page");
    assert_eq!(world.browser.cookie(SESSION), None);
    assert!(world.browser.cookie_names().is_empty(), "the login cookie is used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_user_the_provider_knows_comes_back_signed_in() {
    let world = World::start().await;
    known_to_the_provider(&world).await;
    let page = follow(&world, "/bff/login?prompt=none&returnUrl=%2Forders", Context::Link).await;
    assert_eq!(page.url.as_str(), format!("{}/orders", world.gate.url()));
    assert_eq!(world.browser.user().await["sub"], "ada");
}

/// Never a loop: what comes back from a silent login asks for none by itself, and the reason does not pile up.
#[tokio::test(flavor = "multi_thread")]
async fn the_reason_stands_in_the_address_once() {
    let world = World::start().await;
    let again = "/bff/login?prompt=none&returnUrl=%2F%3Fbff_error%3Dlogin_required";
    assert_eq!(follow(&world, again, Context::Link).await.url.query(), Some("bff_error=login_required"));
}

/// A login that was to ask the user and is answered so is a failure like others.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_ask_shows_the_providers_refusal() {
    let world = World::start().await;
    let login = world.browser.navigate("/bff/login").await.location();
    let (_, state) = login.query_pairs().find(|(name, _)| name == "state").expect("a state");
    let issuer = &world.provider.issuer;
    let callback = format!("/bff/callback?error=login_required&state={state}&iss={issuer}");
    assert_eq!(world.browser.arrive_from_elsewhere(&callback).await.error_page(4), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_is_told_whether_the_provider_knows_the_user() {
    let world = World::start().await;
    let page = follow(&world, "/bff/silent-login", Context::Frame).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let message = r#"{"source":"bff-silent-login","isLoggedIn":false,"error":"login_required"}"#;
    assert!(page.body.contains(&format!("postMessage({message}, \"{}\")", world.gate.url())), "{}", page.body);
    let policy = page.header("content-security-policy").join("");
    assert!(policy.contains("frame-ancestors 'self'") && policy.contains("default-src 'none'"), "{policy}");

    known_to_the_provider(&world).await;
    let page = follow(&world, "/bff/silent-login", Context::Frame).await;
    assert!(page.body.contains(r#"{"source":"bff-silent-login","isLoggedIn":true}"#), "{}", page.body);
    assert_eq!(world.browser.user().await["sub"], "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_is_told_of_a_login_that_fails_too() {
    let world = World::start().await;
    known_to_the_provider(&world).await;
    world.provider.fail(500, Some(&["token"])).await;
    let page = follow(&world, "/bff/silent-login", Context::Frame).await;
    assert!(page.body.contains(r#""isLoggedIn":false,"error":"failed"}"#), "{}", page.body);
    assert_eq!(world.browser.cookie(SESSION), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_frame_of_our_own_begins_a_silent_login() {
    let world = World::start().await;
    for context in [Context::Typed, Context::Link, Context::ForeignLink, Context::Fetch, Context::ForeignFrame] {
        let reply = world.browser.request(Method::GET, "/bff/silent-login", context).send().await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{context:?}");
        reply.touches_no_cookie();
    }
    let invented: Url = format!("{}/bff/silent-login?outcome=x", world.gate.url()).parse().expect("a URL");
    assert_eq!(world.browser.navigate(invented.as_str()).await.error_page(4), 400);
}
