//! What routes ask of users beyond a session, where they lead, and what they tell upstreams.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::browser::Context;
use crate::support::upstream::Seen;
use crate::support::{Reply, World};

/// A world with these routes behind the usual ones, signed in as ada of the engineers.
async fn with_routes(routes: &[Value]) -> World {
    let mut all = vec![json!({"path": "/public", "auth": "none"})];
    all.extend(routes.iter().cloned());
    let world = World::start().await;
    let upstream = format!("http://127.0.0.1:{}", world.upstream.port);
    for route in &mut all {
        route["upstream"] = json!(upstream);
    }
    drop(world.gate);
    let mut options = crate::support::SealgateOptions::new(&world.provider.issuer, world.upstream.port);
    let scopes = json!(["openid", "profile", "email", "groups", "offline_access"]);
    options = options.set("routes", all).set("provider.scopes", scopes);
    world.provider.register(options.registration()).await;
    let gate = crate::support::Sealgate::start(options).await;
    let browser = crate::support::Browser::new(gate.url());
    browser.sign_in().await;
    World { gate, browser, ..world }
}

fn seen(reply: &Reply) -> Seen {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    reply.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_lets_those_pass_who_have_what_it_asks_for() {
    let world = with_routes(&[json!({"path": "/api", "rules": [
        {"required_groups": ["engineers", "admirals"]},
        {"methods": ["POST"], "required_claims": {"email": ["grace@example.test"]}},
        {"methods": ["DELETE"], "required_scopes": ["openid", "orders.delete"]},
    ]})])
    .await;
    seen(&world.browser.get("/api/echo").await);
    for (method, missing) in [(Method::POST, "claim email"), (Method::DELETE, "scope")] {
        let reply = world.browser.fetch(method, "/api/echo").send().await;
        assert_eq!(reply.problem(403), "urn:sealgate:error:forbidden-by-rule");
        assert!(reply.body.contains(missing), "{}", reply.body);
        assert!(!reply.body.contains("grace") && !reply.body.contains("ada@"), "no values: {}", reply.body);
    }
    assert_eq!(world.upstream.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_route_may_ask_for_a_login_by_method() {
    let rules = json!([{"methods": ["POST"], "required_groups": ["engineers"]}]);
    let world = with_routes(&[json!({"path": "/shop", "auth": "optional", "rules": rules})]).await;
    let nobody = world.new_browser();
    assert!(seen(&nobody.get("/shop/echo").await).header("authorization").is_empty());
    assert_eq!(nobody.post("/shop/echo").await.problem(401), "urn:sealgate:error:not-signed-in");
    assert!(!seen(&world.browser.post("/shop/echo").await).header("authorization").is_empty());
    let anonymous = nobody.get("/shop/echo").await;
    assert!(anonymous.header("vary").join(",").to_ascii_lowercase().contains("cookie"));
}

/// RFC 9110 §15.5.14: known beforehand by the length, or noticed on the way.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_gets_413_however_it_is_sent() {
    let world = with_routes(&[json!({"path": "/api", "max_body_size": "1KiB"})]).await;
    let post = |body: &str| world.browser.fetch(Method::POST, "/api/echo").body(body).send();
    assert_eq!(seen(&post(&"x".repeat(1024)).await).body.len(), 1024);
    assert_eq!(post(&"x".repeat(1025)).await.problem(413), "urn:sealgate:error:content-too-large");
    assert_eq!(world.upstream.seen().len(), 1);
}

/// DESIGN §7: byte for byte behind the route's own path.
#[tokio::test(flavor = "multi_thread")]
async fn a_route_s_path_can_be_stripped_or_replaced() {
    let world = with_routes(&[
        json!({"path": "/strip/me", "strip_prefix": true}),
        json!({"path": "/old", "replace_prefix": "/v2", "host_override": "tenant.internal:81"}),
    ])
    .await;
    for (path, target) in [
        ("/strip/me/a%20b;v=1/echo?q=%2Fstrip", "/a%20b;v=1/echo?q=%2Fstrip"),
        ("/strip/me", "/"),
        ("/strip/me?q", "/?q"),
        ("/old/strip/echo", "/v2/strip/echo"),
    ] {
        assert_eq!(seen(&world.browser.get(path).await).target, target, "{path}");
    }
    let last = world.upstream.last();
    assert_eq!((last.header("host"), last.header("x-forwarded-prefix")), (vec!["tenant.internal:81"], vec!["/old"]));
    for path in ["/strip/me/..%2fadmin", "/strip/me//admin", "/strip/me/x;/%2Fadmin"] {
        world.browser.get(path).await.problem(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_be_for_one_host_only() {
    let world = with_routes(&[
        json!({"path": "/where", "auth": "none", "replace_prefix": "/everywhere"}),
        json!({"path": "/where", "auth": "none", "host": "b.example", "replace_prefix": "/b"}),
        json!({"path": "/only", "auth": "none", "host": "b.example"}),
    ])
    .await;
    let get = |path: &str, host: &str| {
        let url = format!("{}{path}", world.gate.url());
        reqwest::Client::builder().no_proxy().build().expect("a client").get(url).header("Host", host).send()
    };
    for (host, target) in
        [("a.example", "/everywhere/echo"), ("B.example:99", "/b/echo"), ("b.example.evil", "/everywhere/echo")]
    {
        let answer: Seen = get("/where/echo", host).await.expect("an answer").json().await.expect("JSON");
        assert_eq!(answer.target, target, "{host}");
    }
    assert_eq!(get("/only/echo", "b.example").await.expect("an answer").status(), 200);
    let before = world.upstream.seen().len();
    get("/only/echo", "a.example").await.expect("an answer");
    assert_eq!(world.upstream.seen().len(), before, "for another host there is no such route");
}

/// CVE-2026-30851, CVE-2025-64484: what tells of users comes from us alone, on every route.
#[tokio::test(flavor = "multi_thread")]
async fn headers_from_claims_are_set_and_never_taken_from_clients() {
    let world = with_routes(&[
        json!({"path": "/api", "headers": {"X-User": "{sub}", "X-Team": "team={groups}", "X-Nobody": "{nobody}"}}),
        json!({"path": "/proxy", "header_preset": "oauth2-proxy"}),
        json!({"path": "/azure", "header_preset": "easyauth", "roles_claim": "groups"}),
    ])
    .await;
    let forged = [
        "X-User",
        "x_user",
        "X-Team",
        "X-Nobody",
        "X-Forwarded-User",
        "X-Auth-Request-Email",
        "X_Auth_Request_Preferred_Username",
        "X-MS-CLIENT-PRINCIPAL-ID",
        "X-MS-TOKEN-AAD-ACCESS-TOKEN",
    ];
    for path in ["/api/echo", "/proxy/echo", "/azure/echo", "/public/echo"] {
        let request = world.browser.request(Method::GET, path, Context::Fetch).field("X-CSRF", "1");
        let request = forged.iter().fold(request, |request, name| request.field(name, "forged"));
        let seen = seen(&request.send().await);
        assert!(seen.headers.iter().all(|(_, value)| value != "forged"), "{path}: {:?}", seen.headers);
        let expected: &[(&str, &str)] = match path {
            "/api/echo" => &[("x-user", "ada"), ("x-team", "team=engineers")],
            "/proxy/echo" => &[
                ("x-forwarded-user", "ada"),
                ("x-forwarded-email", "ada@example.test"),
                ("x-forwarded-groups", "engineers"),
                ("x-auth-request-user", "ada"),
            ],
            "/azure/echo" => &[("x-ms-client-principal-id", "ada"), ("x-ms-client-principal-idp", "aad")],
            _ => &[],
        };
        for (name, value) in expected {
            assert_eq!(seen.header(name), [*value], "{path}: {name}");
        }
        match path {
            "/proxy/echo" => assert_eq!(seen.header("x-forwarded-access-token"), [seen.bearer()]),
            "/azure/echo" => {
                let principal = STANDARD.decode(seen.header("x-ms-client-principal")[0]).expect("base64");
                let principal: Value = serde_json::from_slice(&principal).expect("JSON");
                let role = json!({"typ": principal["role_typ"], "val": "engineers"});
                assert!(principal["claims"].as_array().is_some_and(|claims| claims.contains(&role)), "{principal}");
                assert_eq!(seen.header("x-ms-token-aad-access-token"), [seen.bearer()]);
            }
            _ => {}
        }
    }
}
