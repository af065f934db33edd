//! Several APIs behind one session, each with an access token of its own (RFC 8707).

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
    async fn plan(ttls: [u32; 3], claims: Value) -> Self {
        let upstreams = vec![Upstream::start().await, Upstream::start().await, Upstream::start().await];
        let routes = APIS.iter().zip(&upstreams).map(|(api, upstream)| {
            let to = format!("http://127.0.0.1:{}", upstream.port);
            json!({"path": format!("/{api}"), "upstream": to, "resource": resource(api)})
        });
        let login = json!({"path": "/api", "upstream": format!("http://127.0.0.1:{}", upstreams[0].port)});
        let routes: Vec<Value> = routes.chain([login]).collect();
        let resources = APIS.iter().zip(ttls);
        let resources = resources.map(|(api, ttl)| (resource(api), json!({"ttl": ttl, "claims": claims}))).collect();
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
    let (world, upstreams) = Apis::plan([300; 3], json!({})).await.signed_in().await;
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
