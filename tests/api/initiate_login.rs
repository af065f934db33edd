//! Logins that another site asks for: OpenID Connect Core §4.

use std::collections::HashMap;

use reqwest::{Method, StatusCode};
use url::{Url, form_urlencoded};

use crate::support::browser::Context;
use crate::support::{Reply, World};

fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

async fn ask(world: &World, pairs: &[(&str, &str)]) -> Reply {
    world.browser.arrive_from_elsewhere(&format!("/bff/initiate-login?{}", query(pairs))).await
}

/// From a login's answer through the provider, to where the callback leads.
async fn finish(world: &World, mut reply: Reply) -> Url {
    let ours = world.gate.url().parse::<Url>().expect("a URL").origin();
    loop {
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{} {}", reply.url, reply.body);
        let next = reply.location();
        if reply.url.path() == "/bff/callback" {
            return next;
        }
        reply = world.browser.arrive_from_elsewhere(next.as_str()).await;
        while reply.url.origin() != ours && reply.status.is_redirection() {
            reply = world.browser.arrive_from_elsewhere(reply.location().as_str()).await;
        }
    }
}

/// OpenID Connect Core §4: `iss`, `login_hint`, `target_link_uri`.
#[tokio::test(flavor = "multi_thread")]
async fn a_portal_leads_to_a_login_with_its_hint_and_its_target() {
    let world = World::start().await;
    let target = format!("{}/orders?page=2", world.gate.url());
    let pairs = [("iss", world.provider.issuer.as_str()), ("login_hint", "grace"), ("target_link_uri", &target)];
    let reply = ask(&world, &pairs).await;
    let parameters: HashMap<String, String> = reply.location().query_pairs().into_owned().collect();
    assert_eq!(parameters["login_hint"], "grace");
    assert_eq!(parameters["code_challenge_method"], "S256");
    assert_eq!(finish(&world, reply).await.as_str(), target);
    assert_eq!(world.browser.user().await["sub"], "grace");
}

/// OpenID Connect Core §4: by a form, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_the_portal_does_the_same() {
    let world = World::start().await;
    let form = query(&[("iss", &world.provider.issuer), ("login_hint", "grace"), ("foreign", "x")]);
    let request = world.browser.request(Method::POST, "/bff/initiate-login", Context::ForeignLink);
    let reply = request.field("Content-Type", "application/x-www-form-urlencoded").body(&form).send().await;
    reply.touches_no_cookie();
    assert_eq!(reply.location().path(), "/bff/initiate-login");
    assert!(!reply.location().as_str().contains("foreign"), "only what it takes goes on");
    let begun = world.browser.arrive_from_elsewhere(reply.location().as_str()).await;
    assert_eq!(finish(&world, begun).await.path(), "/");
    assert_eq!(world.browser.user().await["sub"], "grace");
}

/// OpenID Connect Core §4, RFC 9700 §4.11.1
#[tokio::test(flavor = "multi_thread")]
async fn another_issuer_none_or_a_target_elsewhere_begins_no_login() {
    let world = World::start().await;
    let issuer = world.provider.issuer.clone();
    let (slash, evil) = (format!("{issuer}/"), "https://evil.example/".to_owned());
    let wrong: [&[(&str, &str)]; 6] = [
        &[],
        &[("iss", &slash)],
        &[("iss", &evil)],
        &[("iss", &issuer), ("iss", &issuer)],
        &[("iss", &issuer), ("target_link_uri", &evil)],
        &[("iss", &issuer), ("target_link_uri", "/orders")],
    ];
    for pairs in wrong {
        let reply = ask(&world, pairs).await;
        assert_eq!(reply.error_page(4), 400, "{pairs:?}");
        reply.touches_no_cookie();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_and_frames_of_other_sites_begin_no_login() {
    let world = World::start().await;
    let target = format!("/bff/initiate-login?{}", query(&[("iss", &world.provider.issuer)]));
    for context in [Context::Fetch, Context::ForeignFetch, Context::Frame, Context::ForeignFrame] {
        let reply = world.browser.request(Method::GET, &target, context).send().await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{context:?}");
        reply.touches_no_cookie();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_that_may_not_pass_through_stays_here() {
    let world = World::plan().set("provider.passthrough_parameters", vec!["prompt"]).start().await;
    let reply = ask(&world, &[("iss", &world.provider.issuer), ("login_hint", "grace"), ("prompt", "none")]).await;
    let parameters: HashMap<String, String> = reply.location().query_pairs().into_owned().collect();
    assert!(!parameters.contains_key("login_hint") && !parameters.contains_key("prompt"), "{parameters:?}");
}
