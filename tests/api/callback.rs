//! What does not belong to a login of this browser ends at the callback with a page, before anything is redeemed.

use reqwest::{Method, StatusCode};
use url::Url;

use crate::support::browser::Context;
use crate::support::world::SESSION;
use crate::support::{Reply, World};

/// The callback's URL with some of its parameters replaced or added.
fn with(callback: &Url, changes: &[(&str, &str)]) -> Url {
    let mut url = callback.clone();
    let kept: Vec<(String, String)> =
        callback.query_pairs().into_owned().filter(|(name, _)| changes.iter().all(|(n, _)| n != name)).collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .extend_pairs(changes.iter().filter(|(_, value)| !value.is_empty()));
    url
}

/// A page with a 4xx, no session, and nothing redeemed.
async fn refused(world: &World, reply: &Reply) {
    reply.error_page(4);
    assert!(reply.set_cookies().iter().all(|cookie| cookie.name != SESSION), "{:?}", reply.headers);
    assert_eq!(world.provider.stats().await.redemptions(), 0, "{} redeemed a code", reply.url);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_without_a_login_gets_a_page_that_links_home_and_no_new_flow() {
    let world = World::start().await;
    let reply = world.browser.arrive_from_elsewhere("/bff/callback?code=abc&state=def").await;
    refused(&world, &reply).await;
    assert!(reply.body.contains(r#"href="/""#), "{}", reply.body);
    assert!(reply.header("location").is_empty());
}

/// CVE-2023-27496
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_without_state_is_refused() {
    let world = World::start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
    for target in [with(&callback, &[("state", "")]), callback.join("/bff/callback").expect("a URL")] {
        let reply = world.browser.arrive_from_elsewhere(target.as_str()).await;
        refused(&world, &reply).await;
    }
}

/// RFC 9700 §4.7.1
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_with_another_state_is_refused() {
    let world = World::start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
    let reply = world.browser.arrive_from_elsewhere(with(&callback, &[("state", "forged")]).as_str()).await;
    refused(&world, &reply).await;
}

/// RFC 9700 §4.7.1: login CSRF, the attacker's code in the victim's browser.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_of_another_browser_is_refused() {
    let world = World::start().await;
    let attacker = world.new_browser();
    let callback = attacker.sign_in_up_to_callback("/bff/login").await;
    let reply = world.browser.arrive_from_elsewhere(callback.as_str()).await;
    refused(&world, &reply).await;

    world.browser.navigate("/bff/login").await;
    let reply = world.browser.arrive_from_elsewhere(callback.as_str()).await;
    refused(&world, &reply).await;
}

/// RFC 9700 §4.7.1: cookies are bound to the state that names them.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_cookie_under_the_name_of_another_login_is_refused() {
    let world = World::start().await;
    let victim = world.browser.navigate("/bff/login").await.set_cookies().remove(0);
    let attacker = world.new_browser();
    let callback = attacker.sign_in_up_to_callback("/bff/login").await;
    let name = attacker.cookie_names().remove(0);
    world.browser.set_cookie(&name, &victim.value);
    let reply = world.browser.arrive_from_elsewhere(callback.as_str()).await;
    refused(&world, &reply).await;
}

/// Complaint of peers' users: back button on the callback.
#[tokio::test(flavor = "multi_thread")]
async fn the_back_button_on_the_callback_redeems_nothing_and_keeps_the_session() {
    let world = World::start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
    world.browser.arrive_from_elsewhere(callback.as_str()).await;
    let session = world.session_cookie();
    let again = world.browser.arrive_from_elsewhere(callback.as_str()).await;
    again.error_page(4);
    assert_eq!(world.provider.stats().await.redemptions(), 1);
    assert_eq!(world.session_cookie(), session);
    assert_eq!(world.browser.user().await["sub"], "ada");
}

/// RFC 9207 §2.4
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_from_another_issuer_or_from_none_is_refused() {
    let world = World::start().await;
    for issuer in ["https://evil.example", &format!("{}/", world.provider.issuer), ""] {
        let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
        let reply = world.browser.arrive_from_elsewhere(with(&callback, &[("iss", issuer)]).as_str()).await;
        refused(&world, &reply).await;
    }
}

/// RFC 6749 §3.1
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_with_repeated_parameters_is_refused() {
    let world = World::start().await;
    for parameter in ["code", "state", "iss"] {
        let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
        let mut twice = callback.clone();
        let value = callback.query_pairs().find(|(name, _)| name == parameter).expect("it is there").1.into_owned();
        twice.query_pairs_mut().append_pair(parameter, &value);
        let reply = world.browser.arrive_from_elsewhere(twice.as_str()).await;
        refused(&world, &reply).await;
    }
}

/// RFC 6749 §3.1
#[tokio::test(flavor = "multi_thread")]
async fn unknown_parameters_of_a_callback_are_ignored() {
    let world = World::start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
    let reply = world.browser.arrive_from_elsewhere(with(&callback, &[("session_state", "x.y")]).as_str()).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
}

/// RFC 6749 §4.1.2.1; CVE-2021-32792
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_provider_becomes_a_page_without_its_markup() {
    let world = World::start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
    let injected = r#"<script>alert(1)</script><img src=x onerror=alert(2)>"'"#;
    let changes = [("error", "access_denied"), ("error_description", injected), ("code", "")];
    let reply = world.browser.arrive_from_elsewhere(with(&callback, &changes).as_str()).await;
    refused(&world, &reply).await;
    assert!(!reply.body.contains("<script") && !reply.body.contains("<img"), "{}", reply.body);
    assert!(!reply.header("content-security-policy").is_empty(), "a second line of defence");
}

/// RFC 6749 §4.1.2.1: not even the error code is believed to be plain text, nor without its login.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_without_a_login_or_with_markup_for_a_code_is_a_safe_page() {
    let world = World::start().await;
    let target = "/bff/callback?error=%3Cscript%3Ealert(1)%3C%2Fscript%3E&error_description=%3Cb%3Ex&state=nobody";
    let reply = world.browser.arrive_from_elsewhere(target).await;
    refused(&world, &reply).await;
    assert!(!reply.body.contains("<b>x"), "{}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_the_provider_does_not_know_ends_in_a_page() {
    let world = World::start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
    let reply = world.browser.arrive_from_elsewhere(with(&callback, &[("code", "forged")]).as_str()).await;
    reply.error_page(4);
    assert_eq!(world.browser.cookie(SESSION), None);
    assert_eq!(world.provider.stats().await.token_errors("invalid_grant"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_than_get_and_post_are_not_callbacks() {
    let world = World::start().await;
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let reply = world.browser.request(method.clone(), "/bff/callback", Context::Link).send().await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
}
