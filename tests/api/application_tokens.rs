//! Routes that act as the application and not as the user (RFC 6749 §4.4).

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::wait::reach;
use crate::support::world::Plan;
use crate::support::{Upstream, World, eventually};

const STOCK: &str = "https://stock.example.test";

/// `/stock` acts as the application for those who are signed in, `/news` for everybody; the token lives for `ttl` seconds.
async fn plan(ttl: u32) -> (Plan, Upstream) {
    let upstream = Upstream::start().await;
    let to = format!("http://127.0.0.1:{}", upstream.port);
    let route = |path: &str, auth: &str| json!({"path": path, "upstream": to, "auth": auth, "token": "application", "resource": STOCK, "scopes": ["api"]});
    let login = json!({"path": "/api", "upstream": to});
    let plan = World::plan()
        .provider(|provider| provider.resources = vec![(STOCK.to_owned(), json!({"ttl": ttl}))])
        .registered("grant_types", vec!["authorization_code", "refresh_token", "client_credentials"])
        .registered("scope", "openid profile offline_access api")
        .set("server.workers", 4)
        .set("routes", vec![route("/stock", "session"), route("/news", "none"), login]);
    (plan, upstream)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_over_several_workers_share_one_token_of_the_application() {
    let (plan, upstream) = plan(300).await;
    let world = plan.signed_in().await;
    let session = world.session_cookie();
    let paths = ["/stock/echo", "/news/echo"];
    let replies = join_all((0..60).map(|at| world.browser.get(paths[at % 2]))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:?}");
    assert_eq!(world.provider.stats().await.client_credentials(), 1);
    let seen = upstream.seen();
    let token = seen[0].bearer().to_owned();
    assert!(seen.iter().all(|request| request.bearer() == token));
    assert_ne!(token, world.provider.issued_of("access_token").await[0], "not the user's");
    assert_eq!(world.session_cookie(), session, "it is in no cookie");
    world.browser.get("/api/echo").await;
    assert_ne!(upstream.last().bearer(), token, "other routes act as the user");
    assert_eq!(world.gate.metric("sealgate_application_tokens_total{outcome=\"succeeded\"}").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_pass_is_decided_as_ever() {
    let (plan, upstream) = plan(300).await;
    let world = plan.start().await;
    world.browser.get("/stock/echo").await.problem(401);
    assert!(upstream.seen().is_empty());
    assert_eq!(world.browser.get("/news/echo").await.status, StatusCode::OK);
    world.browser.sign_in().await;
    let forged = world.browser.fetch(Method::POST, "/stock/echo").without("x-csrf").send().await;
    forged.problem(403);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_renewed_ahead_of_its_end_and_no_call_waits_for_it() {
    let (plan, upstream) = plan(4).await;
    let world = plan.start().await;
    eventually("a new token at the upstream", Duration::from_secs(30), async || {
        assert_eq!(world.browser.get("/news/echo").await.status, StatusCode::OK);
        let first = upstream.seen()[0].bearer().to_owned();
        (upstream.last().bearer() != first).then_some(())
    })
    .await;
    assert_eq!(world.provider.stats().await.client_credentials(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_noticed_only_once_the_token_has_expired() {
    let (plan, upstream) = plan(3).await;
    let world = plan.start().await;
    assert_eq!(world.browser.get("/news/echo").await.status, StatusCode::OK);
    let expired = Instant::now() + Duration::from_secs(4);
    world.provider.fail(500, Some(&["token"])).await;
    assert_eq!(world.browser.get("/news/echo").await.status, StatusCode::OK);
    reach(expired).await;
    let asked = world.provider.stats().await.requests("token");
    let replies = join_all((0..20).map(|_| world.browser.get("/news/echo"))).await;
    for reply in &replies {
        assert_eq!(reply.problem(503), "urn:sealgate:error:provider-unavailable");
        assert_eq!(reply.header("retry-after").len(), 1);
        reply.touches_no_cookie();
    }
    assert!(world.provider.stats().await.requests("token") <= asked + 1, "it is left in peace");
    let reached = upstream.seen().len();
    world.provider.recover().await;
    eventually("a call after the provider's recovery", Duration::from_secs(30), async || {
        (world.browser.get("/news/echo").await.status == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(upstream.seen().len(), reached + 1);
}

/// RFC 6749 §5.2: `unauthorized_client`; this provider says `invalid_request`.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_may_not_act_for_itself_is_told_so_in_the_log() {
    let (plan, upstream) = plan(300).await;
    let world = plan.registered("grant_types", vec!["authorization_code", "refresh_token"]).start().await;
    assert_eq!(world.browser.get("/news/echo").await.problem(502), "urn:sealgate:error:token-not-granted");
    assert!(upstream.seen().is_empty());
    let log = world.gate.log();
    assert!(log.contains("application_token_failed") && log.contains("the token endpoint refused"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_client_s_secret_nor_the_token_is_in_the_log() {
    let (plan, upstream) = plan(300).await;
    let world = plan.signed_in().await;
    assert_eq!(world.browser.get("/stock/echo").await.status, StatusCode::OK);
    let (log, token) = (world.gate.log(), upstream.last().bearer().to_owned());
    assert!(log.contains("application_token"), "{log}");
    for secret in [token.as_str(), token.rsplit('.').next().expect("a part"), &world.gate.options.client_secret] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}
