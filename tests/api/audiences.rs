//! Several APIs behind one session, each with an access token of its own (RFC 8707).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::wait::reach;
use crate::support::world::{Plan, SESSION};
use crate::support::{Upstream, World, eventually};

const APIS: [&str; 3] = ["orders", "billing", "stock"];

fn resource(api: &str) -> String {
    format!("https://{api}.example.test")
}

/// One upstream for each API, and a world whose routes lead there.
struct Apis {
    upstreams: Vec<Upstream>,
    plan: Plan,
}

impl Apis {
    /// `ttls` are the seconds that the tokens live, `claims` what they have beside the usual.
    async fn plan(ttls: [u32; 3], claims: impl Fn(&str) -> Value) -> Self {
        let upstreams = vec![Upstream::start().await, Upstream::start().await, Upstream::start().await];
        let routes = APIS.iter().zip(&upstreams).map(|(api, upstream)| {
            let to = format!("http://127.0.0.1:{}", upstream.port);
            json!({"path": format!("/{api}"), "upstream": to, "resource": resource(api)})
        });
        let login = json!({"path": "/api", "upstream": format!("http://127.0.0.1:{}", upstreams[0].port)});
        let routes: Vec<Value> = routes.chain([login]).collect();
        let resources = APIS.iter().zip(ttls);
        let resources =
            resources.map(|(api, ttl)| (resource(api), json!({"ttl": ttl, "claims": claims(api)}))).collect();
        let plan = World::plan()
            .provider(|provider| provider.resources = resources)
            .set("provider.scopes", json!(["openid", "profile", "offline_access", "api"]))
            .set("routes", routes);
        Self { upstreams, plan }
    }

    async fn signed_in(self) -> (World, Vec<Upstream>) {
        (self.plan.signed_in().await, self.upstreams)
    }
}

/// No further claims.
fn plain(_: &str) -> Value {
    json!({})
}

/// As many characters of claims as Entra ID's access tokens have, which nothing makes smaller.
fn like_entra(api: &str) -> Value {
    use sha2::{Digest as _, Sha256};
    let block = |block: u8| URL_SAFE_NO_PAD.encode(Sha256::new().chain_update(api).chain_update([block]).finalize());
    json!({"groups": (0..32).map(block).collect::<Vec<_>>()})
}

/// The access tokens that have reached an upstream, each once.
fn tokens(upstream: &Upstream) -> BTreeSet<String> {
    upstream.seen().iter().map(|request| request.bearer().to_owned()).collect()
}

/// The claims of a JWT.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

fn cookie_characters(world: &World) -> usize {
    let value = |name: &String| world.browser.cookie(name).map_or(0, |value| value.len());
    world.browser.cookie_names().iter().map(|name| name.len() + value(name) + "=; ".len()).sum()
}

/// RFC 8707 §2.2: each API gets a token that is for it alone.
#[tokio::test(flavor = "multi_thread")]
async fn each_api_gets_a_token_for_itself() {
    let (world, upstreams) = Apis::plan([300; 3], plain).await.signed_in().await;
    for _ in 0..2 {
        for (api, upstream) in APIS.iter().zip(&upstreams) {
            let reply = world.browser.get(&format!("/{api}/echo")).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
            assert_eq!(claims(upstream.last().bearer())["aud"], resource(api));
        }
    }
    let stats = world.provider.stats().await;
    assert_eq!((stats.refreshes(), stats.duplicate_refreshes()), (3, 0), "one for each API, then none");
    world.browser.get("/api/echo").await;
    let login = &world.provider.issued_of("access_token").await[0];
    assert_eq!(upstreams[0].last().bearer(), login, "a route that names nothing has the login's token");
    assert_eq!(world.provider.stats().await.refreshes(), 3);
    assert!(cookie_characters(&world) < 7_000, "{}", cookie_characters(&world));
}

/// Show 2: each token has a life of its own, and the session stays within its share of the `Cookie` line.
#[tokio::test(flavor = "multi_thread")]
async fn three_apis_tokens_are_refreshed_independently_as_each_expires() {
    let (world, upstreams) = Apis::plan([4, 8, 300], plain).await.signed_in().await;
    eventually("new tokens as they expire", Duration::from_secs(40), async || {
        for (api, upstream) in APIS.iter().zip(&upstreams) {
            let reply = world.browser.get(&format!("/{api}/echo")).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
            assert_eq!(claims(upstream.last().bearer())["aud"], resource(api));
            assert!(cookie_characters(&world) < 7_000, "{}", cookie_characters(&world));
        }
        (tokens(&upstreams[0]).len() >= 4 && tokens(&upstreams[1]).len() >= 2).then_some(())
    })
    .await;
    assert_eq!(tokens(&upstreams[2]).len(), 1, "the one that lives long is kept all along");
    let stats = world.provider.stats().await;
    let had: usize = upstreams.iter().map(|upstream| tokens(upstream).len()).sum();
    assert_eq!(stats.refreshes() as usize, had, "a refresh for each token, and no more");
    assert_eq!((stats.duplicate_refreshes(), stats.token_errors("invalid_grant")), (0, 0));
    assert_eq!(world.browser.user().await["sub"], "ada");
}

/// Show 2: strict rotation, where a refresh token that comes twice ends the whole grant.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_over_three_apis_after_expiry_sends_one_refresh_at_a_time_and_loses_no_request() {
    let (world, upstreams) = Apis::plan([2; 3], plain).await.signed_in().await;
    for api in APIS {
        assert_eq!(world.browser.get(&format!("/{api}/echo")).await.status, StatusCode::OK);
    }
    reach(Instant::now() + Duration::from_secs(3)).await;
    let calls = (0..20).flat_map(|_| APIS).map(|api| {
        let world = &world;
        async move { world.browser.get(&format!("/{api}/echo")).await }
    });
    let replies = join_all(calls).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:?}");
    for (api, upstream) in APIS.iter().zip(&upstreams) {
        assert!(upstream.seen().iter().all(|request| claims(request.bearer())["aud"] == resource(api)));
    }
    let stats = world.provider.stats().await;
    assert_eq!(stats.token_requests_at_once(), 1, "never two at once");
    assert_eq!((stats.duplicate_refreshes(), stats.token_errors("invalid_grant")), (0, 0), "each spent once");
    assert!(stats.refreshes() >= 6, "{}", stats.refreshes());
    // The grant lives.
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    assert_eq!(world.provider.stats().await.live_refresh_tokens(), 1);
}

/// Show 2: tokens that do not fit together take turns, and the log tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn large_tokens_make_room_for_each_other_within_the_budget() {
    let (world, upstreams) = Apis::plan([300; 3], like_entra).await.signed_in().await;
    for round in 0..4 {
        for (api, upstream) in APIS.iter().zip(&upstreams) {
            let reply = world.browser.get(&format!("/{api}/echo")).await;
            assert_eq!(reply.status, StatusCode::OK, "round {round}: {}", reply.body);
            assert_eq!(claims(upstream.last().bearer())["aud"], resource(api));
            assert!(cookie_characters(&world) < 7_000, "{}", cookie_characters(&world));
        }
    }
    assert!(world.gate.metric("sealgate_token_drops_total").await > 0);
    let warnings = world.gate.log().matches("token_dropped_repeatedly").count();
    assert!((1..=3).contains(&warnings), "once for each token at most: {warnings}");
    let stats = world.provider.stats().await;
    assert_eq!((stats.duplicate_refreshes(), stats.token_errors("invalid_grant")), (0, 0));
    assert_eq!(world.browser.user().await["sub"], "ada", "the claims outlive the ID token");
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
}

/// RFC 6749 §5.2: what the provider does not grant is no end of the session, and no loop of questions.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_the_provider_gives_no_token_for_costs_its_own_route_alone() {
    let Apis { upstreams, plan } = Apis::plan([300; 3], plain).await;
    let to = format!("http://127.0.0.1:{}", upstreams[0].port);
    let odd = json!({"path": "/odd", "upstream": to, "scopes": ["unheard-of"], "csrf": "page"});
    let login = json!({"path": "/api", "upstream": to});
    let world = plan.set("routes", vec![odd, login]).signed_in().await;
    let session = world.session_cookie();
    for _ in 0..3 {
        let reply = world.browser.get("/odd/echo").await;
        assert_eq!(reply.problem(502), "urn:sealgate:error:token-not-granted");
        reply.touches_no_cookie();
    }
    assert_eq!(world.browser.navigate("/odd/echo").await.error_page(5), 502);
    assert!(upstreams[0].seen().is_empty());
    assert_eq!(world.provider.stats().await.token_errors("invalid_scope"), 1, "asked once");
    assert_eq!(world.session_cookie(), session);
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    assert!(world.gate.log().contains("invalid_scope"), "the provider's word is in the log");
}

/// A provider that ignores the API, as Auth0 does without a policy for it: the login's token must not go to another, and the
/// new refresh token that came with it must reach the browser.
#[tokio::test(flavor = "multi_thread")]
async fn the_login_s_token_never_goes_to_another_api_and_no_refresh_token_is_lost() {
    let login = "https://login-api.example.test";
    let Apis { upstreams, plan } = Apis::plan([300; 3], plain).await;
    let resources =
        vec![(login.to_owned(), json!({"ttl": 300})), (resource("orders"), json!({"ttl": 300, "audience": login}))];
    let to = format!("http://127.0.0.1:{}", upstreams[0].port);
    let orders = json!({"path": "/orders", "upstream": to, "resource": resource("orders")});
    let world = plan
        .provider(|provider| provider.resources = resources)
        .set("provider.resource", json!([login]))
        .set("routes", vec![orders, json!({"path": "/api", "upstream": to})])
        .signed_in()
        .await;
    let session = world.session_cookie();
    for _ in 0..2 {
        assert_eq!(world.browser.get("/orders/echo").await.problem(502), "urn:sealgate:error:token-not-granted");
    }
    assert!(upstreams[0].seen().is_empty());
    assert_ne!(world.session_cookie(), session, "with the new refresh token in it");
    assert_eq!(world.provider.stats().await.refreshes(), 1);
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
    assert_eq!(claims(upstreams[0].last().bearer())["aud"], login);
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    let stats = world.provider.stats().await;
    assert_eq!((stats.duplicate_refreshes(), stats.token_errors("invalid_grant")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_route_sends_its_own_token_for_those_who_are_signed_in() {
    let Apis { upstreams, plan } = Apis::plan([300; 3], plain).await;
    let to = format!("http://127.0.0.1:{}", upstreams[0].port);
    let optional = json!({"path": "/orders", "upstream": to, "auth": "optional", "resource": resource("orders")});
    let world = plan.set("routes", vec![optional]).start().await;
    assert_eq!(world.browser.get("/orders/echo").await.status, StatusCode::OK);
    assert!(upstreams[0].last().header("authorization").is_empty());
    world.browser.sign_in().await;
    assert_eq!(world.browser.get("/orders/echo").await.status, StatusCode::OK);
    assert_eq!(claims(upstreams[0].last().bearer())["aud"], resource("orders"));
}

/// The login names all resources, so that refreshes can ask for each; what logs out is the one refresh token.
#[tokio::test(flavor = "multi_thread")]
async fn logout_revokes_the_newest_refresh_token_whatever_it_was_used_for() {
    let (world, _upstreams) = Apis::plan([300; 3], plain).await.signed_in().await;
    for api in APIS {
        assert_eq!(world.browser.get(&format!("/{api}/echo")).await.status, StatusCode::OK);
    }
    let user = world.browser.user().await;
    let left = user["bff:access_token_expires_in"].as_u64().expect("seconds");
    assert!((200..=300).contains(&left), "of the login's token: {left}");
    assert_eq!(world.provider.stats().await.live_refresh_tokens(), 1);
    world.browser.navigate(user["bff:logout_url"].as_str().expect("a link")).await;
    assert_eq!(world.provider.stats().await.live_refresh_tokens(), 0);
    assert!(world.browser.cookie(SESSION).is_none());
}
