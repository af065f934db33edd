//! Signing out: here, at the provider, and for good.

use std::collections::HashMap;

use reqwest::{Method, StatusCode};
use url::Url;

use crate::support::browser::Context;
use crate::support::world::{Plan, SESSION};
use crate::support::{Reply, World};

async fn logout_url(world: &World) -> String {
    world.browser.user().await["bff:logout_url"].as_str().expect("a text").to_owned()
}

/// Signed out here, and the refresh token dead at the provider.
async fn is_signed_out(world: &World, reply: &Reply) {
    assert_eq!(world.browser.cookie(SESSION), None, "{:?}", reply.headers);
    let deleted = reply.set_cookies();
    assert!(deleted.iter().any(|cookie| cookie.name == SESSION && cookie.deletes()), "{deleted:?}");
    assert!(reply.header("clear-site-data").iter().any(|value| value.contains("\"cache\"")), "{:?}", reply.headers);
    assert!(reply.header("cache-control").join(",").contains("no-store"));
    world.browser.get("/bff/user").await.problem(401);
    world.browser.get("/api/echo").await.problem(401);
    let stats = world.provider.stats().await;
    assert_eq!((stats.requests("revocation"), stats.live_refresh_tokens()), (1, 0));
}

async fn is_still_signed_in(world: &World) {
    is_still_signed_in_beside(world, 0).await;
}

/// While so many others have signed out.
async fn is_still_signed_in_beside(world: &World, others: u32) {
    assert_eq!(world.browser.user().await["sub"], "ada");
    assert_eq!(world.provider.stats().await.requests("revocation"), others);
}

/// OpenID Connect RP-Initiated Logout §2, RFC 7009 §2
#[tokio::test(flavor = "multi_thread")]
async fn the_logout_link_signs_out_here_and_goes_to_the_provider() {
    let world = World::signed_in().await;
    let reply = world.browser.navigate(&logout_url(&world).await).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    let target = reply.location();
    assert!(target.as_str().starts_with(&format!("{}/session/end?", world.provider.issuer)), "{target}");
    let query: HashMap<String, String> = target.query_pairs().into_owned().collect();
    assert_eq!(vec![query["id_token_hint"].clone()], world.provider.issued_of("id_token").await);
    assert!(query["post_logout_redirect_uri"].starts_with(world.gate.url()));
    is_signed_out(&world, &reply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_accepts_the_logout_and_sends_the_browser_back() {
    let world = World::signed_in().await;
    let back = through_the_provider(&world).await;
    assert_eq!(back.origin(), world.gate.url().parse::<Url>().expect("a URL").origin());
    assert_eq!(back.path(), "/");
    let home = world.browser.arrive_from_elsewhere(back.as_str()).await;
    assert!(home.status.is_success() || home.status.is_redirection(), "{} {}", home.status, home.body);
}

/// Signs out here and at the provider; gives the address that the provider leads back to.
async fn through_the_provider(world: &World) -> Url {
    let reply = world.browser.navigate(&logout_url(world).await).await;
    let page = world.browser.arrive_from_elsewhere(reply.location().as_str()).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let field = |before: &str| {
        let rest = page.body.split_once(before).unwrap_or_else(|| panic!("no {before} in {}", page.body)).1;
        rest.split('"').next().expect("a quote behind it").to_owned()
    };
    let form = format!("xsrf={}&logout=yes", field(r#"name="xsrf" value=""#));
    let submit = world.browser.request(Method::POST, &field(r#"action=""#), Context::Link);
    submit.field("Content-Type", "application/x-www-form-urlencoded").body(&form).send().await.location()
}

fn checked() -> Plan {
    World::plan().set("provider.post_logout_redirect_uri", "PUBLIC_URL/bff/logged-out")
}

/// OpenID Connect RP-Initiated Logout §3
#[tokio::test(flavor = "multi_thread")]
async fn the_return_from_the_provider_is_checked_by_its_state_and_says_that_the_user_is_signed_out() {
    let world = checked().signed_in().await;
    let back = through_the_provider(&world).await;
    assert!(back.as_str().starts_with(&format!("{}/bff/logged-out?state=", world.gate.url())), "{back}");
    let page = world.browser.arrive_from_elsewhere(back.as_str()).await;
    assert_eq!((page.status, page.media_type()), (StatusCode::OK, "text/html"), "{}", page.body);
    assert!(page.body.contains("You are signed out"), "{}", page.body);
    page.touches_no_cookie();
    assert!(page.header("cache-control").join(",").contains("no-store"));
}

/// OpenID Connect RP-Initiated Logout §3: a wrong state, or none.
#[tokio::test(flavor = "multi_thread")]
async fn a_return_with_a_wrong_state_or_none_is_a_harmless_page() {
    let world = checked().signed_in().await;
    let other = world.new_browser();
    other.sign_in().await;
    let theirs = other.user().await["bff:logout_url"].as_str().expect("a text").to_owned();
    let way_out = other.navigate(&theirs).await.location();
    let (_, state) = way_out.query_pairs().find(|(name, _)| name == "state").expect("a state");
    for query in ["", "?state=", "?state=forged", "?state=a&state=b", &format!("?state={state}")] {
        let reply = world.browser.arrive_from_elsewhere(&format!("/bff/logged-out{query}")).await;
        assert_eq!(reply.error_page(4), 400, "{query}");
        reply.touches_no_cookie();
    }
    is_still_signed_in_beside(&world, 1).await;
}

/// RP-Initiated Logout §2: whatever was registered.
#[tokio::test(flavor = "multi_thread")]
async fn any_registered_address_may_be_where_a_logout_leads() {
    let world = World::plan().set("provider.post_logout_redirect_uri", "https://www.example.com/bye").signed_in().await;
    let reply = world.browser.navigate(&logout_url(&world).await).await;
    let query: HashMap<String, String> = reply.location().query_pairs().into_owned().collect();
    assert_eq!(query["post_logout_redirect_uri"], "https://www.example.com/bye");
    assert_eq!(query["client_id"], world.gate.options.client_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_gets_the_providers_logout_url_instead_of_a_redirect() {
    let world = World::signed_in().await;
    let reply = world.browser.post("/bff/logout").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let body: serde_json::Value = reply.json();
    let url = body["logout_url"].as_str().expect("a text");
    assert!(url.starts_with(&format!("{}/session/end?", world.provider.issuer)), "{url}");
    is_signed_out(&world, &reply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_on_our_own_page_signs_out_too() {
    let world = World::signed_in().await;
    let reply = world.browser.request(Method::POST, "/bff/logout", Context::Link).send().await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    is_signed_out(&world, &reply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_cannot_sign_the_user_out() {
    let world = World::plan().set("session.same_site", "lax").signed_in().await;
    for target in ["/bff/logout", "/bff/logout?sid=", "/bff/logout?sid=AAAAAAAAAAAAAAAAAAAAAA"] {
        let reply = world.browser.arrive_from_elsewhere(target).await;
        assert_eq!(reply.error_page(4), 403, "{target}");
        is_still_signed_in(&world).await;
    }
    let session = format!("{SESSION}={}", world.session_cookie());
    let forged = world.browser.request(Method::POST, "/bff/logout", Context::ForeignFetch);
    assert_eq!(forged.field("Cookie", &session).send().await.status, StatusCode::FORBIDDEN);
    is_still_signed_in(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sid_of_another_session_does_not_sign_out() {
    let world = World::plan().set("session.same_site", "lax").signed_in().await;
    let other = world.new_browser();
    other.sign_in().await;
    let theirs = other.user().await["bff:logout_url"].as_str().expect("a text").to_owned();
    let reply = world.browser.arrive_from_elsewhere(&theirs).await;
    assert_eq!(reply.error_page(4), 403);
    is_still_signed_in(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_without_a_session_harms_nobody() {
    let world = World::start().await;
    let reply = world.browser.navigate("/bff/logout").await;
    assert!(reply.status.is_redirection() || reply.status.is_success(), "{} {}", reply.status, reply.body);
    assert_eq!(world.provider.stats().await.requests("revocation"), 0);
}

/// Complaint of peers' users: the logout does nothing, because the app signs in whoever comes to it signed out.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_a_provider_without_one_ends_in_a_page_that_says_so() {
    let world = World::plan().provider(|provider| provider.without_logout = true).signed_in().await;
    let reply = world.browser.navigate(&logout_url(&world).await).await;
    assert_eq!((reply.status, reply.media_type()), (StatusCode::OK, "text/html"), "{}", reply.body);
    assert!(reply.body.contains("You are signed out") && reply.body.contains("not at the sign-in service"));
    assert!(reply.body.contains("href=\"/\"") && !reply.body.contains("http-equiv"), "{}", reply.body);
    is_signed_out(&world, &reply).await;
    let again = world.browser.navigate("/bff/logout").await;
    assert!(again.body.contains("You are signed out"), "{}", again.body);
    let from_elsewhere = world.browser.arrive_from_elsewhere("/bff/logout").await;
    assert_eq!(from_elsewhere.location().path(), "/", "whether somebody is signed in cannot be told here");
    let fetched = world.browser.post("/bff/logout").await.json::<serde_json::Value>();
    assert_eq!(fetched["logout_url"], format!("{}/bff/logout", world.gate.url()), "the same page");
}

/// RFC 7009 §2.2.1: the session ends here even if the provider cannot hear it.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_fails_is_logged_and_signs_out_all_the_same() {
    let world = World::signed_in().await;
    world.provider.fail(503, Some(&["revocation"])).await;
    let reply = world.browser.post("/bff/logout").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(world.browser.cookie(SESSION), None);
    assert!(world.gate.log().contains("revo"), "the failure is in the log");
}

/// DESIGN §3: after joining a refresh in flight, so that no refresh token survives.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_during_a_refresh_leaves_no_live_refresh_token() {
    let world = World::signed_in().await;
    let other_tab = world.browser.copy();
    world.provider.hold(&["token"]).await;
    let refresh = other_tab.post("/bff/refresh");
    let logout = async {
        crate::support::eventually("the refresh at the provider", std::time::Duration::from_secs(10), async || {
            (world.provider.stats().await.requests("token") > 1).then_some(())
        })
        .await;
        tokio::join!(world.browser.post("/bff/logout"), world.provider.recover()).0
    };
    let (_, logout) = tokio::join!(refresh, logout);
    assert_eq!(logout.status, StatusCode::OK, "{}", logout.body);
    assert_eq!(world.provider.stats().await.live_refresh_tokens(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_signed_out_can_sign_in_again() {
    let world = World::signed_in().await;
    world.browser.post("/bff/logout").await;
    world.browser.sign_in().await;
    assert_eq!(world.browser.user().await["sub"], "ada");
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
}
