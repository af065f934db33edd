//! Who may pass a route: each mode with each kind of request, at the real provider (RFC 6750, RFC 9068, RFC 7662).

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::browser::Context;
use crate::support::upstream::Seen;
use crate::support::{
    Browser, Provider, ProviderOptions, Reply, Sealgate, SealgateOptions, Upstream, World, eventually,
};

/// The audience of the provider's JWTs.
const AUDIENCE: &str = "urn:test:api";
const MODES: [&str; 5] = ["session", "bearer", "session_or_bearer", "optional", "none"];

/// As whom a request reaches the upstream, or how it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// With the session's token.
    Session,
    /// With the client's own `Authorization`.
    Client,
    /// Without credentials.
    Nobody,
    /// Not at all: status, type, what the challenge says beside the realm.
    Refused(u16, &'static str, Option<&'static str>),
}

use Outcome::{Client, Nobody, Session};

const NO_TOKEN: Outcome = Outcome::Refused(401, "token-required", Some(""));
const BAD_TOKEN: Outcome = Outcome::Refused(401, "invalid-token", Some(", error=\"invalid_token\""));
const SIGNED_OUT: Outcome = Outcome::Refused(401, "not-signed-in", None);
const EXPIRED: Outcome = Outcome::Refused(401, "session-expired", None);
const NO_HEADER: Outcome = Outcome::Refused(403, "csrf-header-missing", None);

/// The folder of the routes, whether somebody is signed in, the token, whether the CSRF header is sent; then the outcome of
/// each mode.
type Row<'a> = (&'static str, bool, Option<&'a str>, bool, [Outcome; 5]);

/// Provider, upstream and a Sealgate that has a route for each mode, `/<mode>`, and one for another audience,
/// `/elsewhere/<mode>`.
async fn world(change: impl FnOnce(&mut ProviderOptions), settings: &[(&str, Value)], issuer: Value) -> World {
    let mut provider = ProviderOptions { jwt_access_tokens: true, ..ProviderOptions::default() };
    change(&mut provider);
    let (provider, upstream) = tokio::join!(Provider::start(provider), Upstream::start());
    let mut options = SealgateOptions::new(&provider.issuer, upstream.port);
    let address = format!("http://127.0.0.1:{}", upstream.port);
    let mut routes = Vec::new();
    for mode in MODES {
        for (path, audience) in [(format!("/{mode}"), AUDIENCE), (format!("/elsewhere/{mode}"), "urn:elsewhere")] {
            let mut route = json!({"path": path, "upstream": address, "auth": mode});
            if mode.contains("bearer") {
                let mut issuer = issuer.clone();
                issuer["issuer"] = json!(provider.issuer);
                issuer.as_object_mut().expect("a table").entry("audience").or_insert(json!([audience]));
                if issuer["introspection"] == true {
                    issuer["client_id"] = json!(options.client_id);
                    issuer["client_secret"] = json!(options.client_secret);
                }
                route["issuers"] = json!([issuer]);
            }
            routes.push(route);
        }
    }
    options = options.set("routes", routes);
    for (key, value) in settings {
        options = options.set(key, value.clone());
    }
    provider.register(options.registration()).await;
    let gate = Sealgate::start(options).await;
    let browser = Browser::new(gate.url());
    World { provider, upstream, gate, browser }
}

/// The access token of a further login.
async fn a_token(world: &World) -> String {
    world.new_browser().sign_in().await;
    world.provider.issued_of("access_token").await.pop().expect("a token was issued")
}

/// Sends a request as each row says, and compares what becomes of it.
async fn check(world: &World, browser: &Browser, path: &str, token: Option<&str>, header: bool, expected: Outcome) {
    let before = world.upstream.seen().len();
    let mut request = browser.request(Method::GET, &format!("{path}/echo"), Context::Fetch);
    if header {
        request = request.field("X-CSRF", "1");
    }
    if let Some(token) = token {
        request = request.field("Authorization", &format!("Bearer {token}"));
    }
    let reply = request.send().await;
    let row = format!("{path}, token {}, header {header}: {} {}", token.is_some(), reply.status, reply.body);
    match expected {
        Outcome::Refused(status, kind, challenge) => {
            assert_eq!(reply.status.as_u16(), status, "{row}");
            assert_eq!(reply.problem(status), format!("urn:sealgate:error:{kind}"), "{row}");
            let host = world.gate.url().trim_start_matches("http://");
            let wanted: Vec<_> = challenge.iter().map(|rest| format!("Bearer realm=\"{host}\"{rest}")).collect();
            assert_eq!(reply.header("www-authenticate"), wanted, "{row}");
            assert_eq!(world.upstream.seen().len(), before, "{row}");
        }
        passes => {
            assert_eq!(reply.status.as_u16(), 200, "{row}");
            let seen: Seen = reply.json();
            let own = token.map(|token| format!("Bearer {token}")).unwrap_or_default();
            match (passes, &seen.header("authorization")[..]) {
                (Client, [value]) => assert_eq!(*value, own, "{row}"),
                (Session, [value]) => assert!(value.starts_with("Bearer ") && *value != own, "{row}"),
                (Nobody, []) => {}
                other => panic!("{other:?} in {row}"),
            }
            assert!(seen.header("cookie").is_empty(), "{row}");
        }
    }
    reply.touches_no_cookie();
}

/// The truth table while everything is valid.
#[tokio::test(flavor = "multi_thread")]
async fn each_mode_treats_each_request_as_it_should() {
    let world = world(|_| {}, &[], json!({})).await;
    let token = a_token(&world).await;
    world.browser.sign_in().await;
    world.browser.user().await;
    let nobody = world.new_browser();
    let forged = format!("{}x", &token[..token.len() - 1]);
    let table: [Row<'_>; 11] = [
        ("", true, None, true, [Session, NO_TOKEN, Session, Session, Nobody]),
        ("", true, None, false, [NO_HEADER, NO_TOKEN, NO_HEADER, NO_HEADER, Nobody]),
        ("", false, None, true, [SIGNED_OUT, NO_TOKEN, SIGNED_OUT, Nobody, Nobody]),
        ("", false, None, false, [NO_HEADER, NO_TOKEN, NO_HEADER, Nobody, Nobody]),
        ("", false, Some(&token), false, [NO_HEADER, Client, Client, Nobody, Nobody]),
        ("", false, Some(&token), true, [SIGNED_OUT, Client, Client, Nobody, Nobody]),
        ("", true, Some(&token), true, [Session, Client, Client, Session, Nobody]),
        ("", true, Some(&token), false, [NO_HEADER, Client, Client, NO_HEADER, Nobody]),
        ("", true, Some(&forged), true, [Session, BAD_TOKEN, BAD_TOKEN, Session, Nobody]),
        ("/elsewhere", false, Some(&token), false, [NO_HEADER, BAD_TOKEN, BAD_TOKEN, Nobody, Nobody]),
        ("/elsewhere", true, Some(&token), true, [Session, BAD_TOKEN, BAD_TOKEN, Session, Nobody]),
    ];
    for (folder, signed_in, token, header, outcomes) in table {
        let browser = if signed_in { &world.browser } else { &nobody };
        for (mode, outcome) in MODES.into_iter().zip(outcomes) {
            check(&world, browser, &format!("{folder}/{mode}"), token, header, outcome).await;
        }
    }
    assert!(!world.gate.log().contains(&token), "the token is not in the log");
}

/// The rows of the table that need time: the session has been idle for too long, and the token has expired.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_opens_nothing_and_an_optional_route_goes_on_without_it() {
    let short = |options: &mut ProviderOptions| options.access_token_ttl = 1;
    let world = world(short, &[("session.idle_timeout", json!("1s"))], json!({"clock_skew": "0s"})).await;
    let token = a_token(&world).await;
    world.browser.sign_in().await;
    eventually("the session's end", Duration::from_secs(30), async || {
        (world.browser.get("/bff/user?slide=false").await.status == 401).then_some(())
    })
    .await;
    let nobody = world.new_browser();
    for (mode, outcome) in MODES.into_iter().zip([EXPIRED, NO_TOKEN, EXPIRED, Nobody, Nobody]) {
        check(&world, &world.browser, &format!("/{mode}"), None, true, outcome).await;
    }
    for (mode, outcome) in MODES.into_iter().zip([EXPIRED, BAD_TOKEN, BAD_TOKEN, Nobody, Nobody]) {
        check(&world, &world.browser, &format!("/{mode}"), Some(&token), true, outcome).await;
    }
    for (mode, outcome) in MODES.into_iter().zip([SIGNED_OUT, BAD_TOKEN, BAD_TOKEN, Nobody, Nobody]) {
        check(&world, &nobody, &format!("/{mode}"), Some(&token), true, outcome).await;
    }
}

/// RFC 6750 §2.1, §2.2, §2.3: the header, once, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_in_the_authorization_header_alone_and_only_once() {
    let world = world(|_| {}, &[], json!({})).await;
    let token = a_token(&world).await;
    let nobody = world.new_browser();
    let get = |target: &str| nobody.request(Method::GET, target, Context::Fetch);
    get(&format!("/bearer/echo?access_token={token}")).send().await.problem(401);
    let twice = get("/bearer/echo").field("Authorization", &format!("Bearer {token}"));
    let reply = twice.field("Authorization", &format!("Bearer {token}")).send().await;
    assert_eq!(reply.problem(400), "urn:sealgate:error:invalid-request");
    assert!(reply.header("www-authenticate")[0].ends_with("error=\"invalid_request\""), "{:?}", reply.headers);
    let form = nobody.request(Method::POST, "/bearer/echo", Context::Fetch);
    let form = form.field("Content-Type", "application/x-www-form-urlencoded").body(&format!("access_token={token}"));
    form.send().await.problem(401);
    let basic = get("/session_or_bearer/echo").field("Authorization", "Basic YTpi").send().await;
    assert_eq!(basic.problem(401), "urn:sealgate:error:token-required");
    assert!(world.upstream.seen().is_empty());
}

/// A preflight carries no token, so nothing tells it from a request of anybody's.
#[tokio::test(flavor = "multi_thread")]
async fn preflights_pass_where_nobody_need_be_known_and_nowhere_else() {
    let world = world(|_| {}, &[], json!({})).await;
    for (mode, status) in MODES.into_iter().zip([403, 401, 403, 200, 200]) {
        let request = world.browser.request(Method::OPTIONS, &format!("/{mode}/echo"), Context::ForeignFetch);
        let request = request.field("Origin", "https://b.example").field("Access-Control-Request-Method", "POST");
        assert_eq!(request.send().await.status.as_u16(), status, "{mode}");
    }
}

/// RFC 7662: opaque tokens, about which the provider is asked.
#[tokio::test(flavor = "multi_thread")]
async fn opaque_tokens_are_judged_by_their_issuer_and_die_with_their_revocation() {
    let issuer = json!({"introspection": true, "introspection_cache": "0s", "audience": []});
    let world = world(|options| options.jwt_access_tokens = false, &[], issuer).await;
    let token = a_token(&world).await;
    assert!(!token.contains('.'), "an opaque token");
    let nobody = world.new_browser();
    check(&world, &nobody, "/bearer", Some(&token), false, Client).await;
    check(&world, &nobody, "/session_or_bearer", Some(&token), false, Client).await;
    check(&world, &nobody, "/bearer", Some("made-up"), false, BAD_TOKEN).await;
    assert!(!world.gate.log().contains(&token), "the token is not in the log");
    revoke(&world, &token).await;
    check(&world, &nobody, "/bearer", Some(&token), false, BAD_TOKEN).await;
}

/// RFC 7009 §2.1.
async fn revoke(world: &World, token: &str) {
    let SealgateOptions { client_id, client_secret, .. } = &world.gate.options;
    let url = format!("{}/token/revocation", world.provider.issuer);
    let form = [("token", token), ("token_type_hint", "access_token")];
    let request = reqwest::Client::new().post(url).basic_auth(client_id, Some(client_secret)).form(&form);
    assert!(request.send().await.expect("the provider answers").status().is_success());
}

/// An answer is believed for a moment, so that not every request asks.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_issuer_said_of_a_token_is_kept_for_a_moment() {
    let issuer = json!({"introspection": true, "audience": []});
    let world = world(|options| options.jwt_access_tokens = false, &[], issuer).await;
    let token = a_token(&world).await;
    let nobody = world.new_browser();
    let asked = async || world.provider.stats().await.requests("token");
    let before = asked().await;
    for _ in 0..5 {
        check(&world, &nobody, "/bearer", Some(&token), false, Client).await;
    }
    assert_eq!(asked().await, before + 1);
}

/// RFC 6750 §3.1.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_the_scopes_is_told_which_are_needed() {
    let issuer = json!({"required_scopes": ["orders.write", "orders.read"]});
    let world = world(|_| {}, &[], issuer).await;
    let token = a_token(&world).await;
    let wanted = ", error=\"insufficient_scope\", scope=\"orders.write orders.read\"";
    let refused = Outcome::Refused(403, "insufficient-scope", Some(wanted));
    check(&world, &world.new_browser(), "/bearer", Some(&token), false, refused).await;
}

/// A provider that is down is not the token's fault.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_issuer_is_down_opaque_tokens_get_503_and_jwts_pass() {
    let jwt = world(|_| {}, &[], json!({})).await;
    let token = a_token(&jwt).await;
    check(&jwt, &jwt.new_browser(), "/bearer", Some(&token), false, Client).await;
    jwt.provider.fail(500, None).await;
    check(&jwt, &jwt.new_browser(), "/bearer", Some(&token), false, Client).await;
    let issuer = json!({"introspection": true, "audience": []});
    let opaque = world(|options| options.jwt_access_tokens = false, &[], issuer).await;
    let token = a_token(&opaque).await;
    opaque.provider.fail(500, None).await;
    let request = opaque.browser.request(Method::GET, "/bearer/echo", Context::Fetch);
    let reply: Reply = request.field("Authorization", &format!("Bearer {token}")).send().await;
    assert_eq!(reply.problem(503), "urn:sealgate:error:provider-unavailable");
    assert!(!reply.header("retry-after").is_empty());
}

/// A token's end is the end of what it opened: nobody can renew it there.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_a_token_opened_is_closed_when_the_token_expires() {
    let short = |options: &mut ProviderOptions| options.access_token_ttl = 3;
    let world = world(short, &[], json!({"clock_skew": "2s"})).await;
    let token = a_token(&world).await;
    let url = world.gate.url().replace("http://", "ws://") + "/bearer/socket";
    let mut request = url.into_client_request().expect("a URL");
    request.headers_mut().insert(AUTHORIZATION, format!("Bearer {token}").parse().expect("a field value"));
    let (mut socket, _) = connect_async(request).await.expect("the token opens it");
    let end = tokio::time::timeout(Duration::from_secs(30), socket.next()).await.expect("it does not stay open");
    assert!(!matches!(end, Some(Ok(_))), "{end:?} in place of the end");
    check(&world, &world.new_browser(), "/bearer", Some(&token), false, BAD_TOKEN).await;
}
