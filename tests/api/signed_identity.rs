//! What upstreams are told of users under our signature, and the keys to verify it with.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::forward_front::SECRET;
use crate::support::{Browser, Provider, ProviderOptions, Sealgate, SealgateOptions, Upstream, World, eventually};

const HEADER: &str = "X-Sealgate-Jwt-Assertion";

/// As `docs/signed-identity.md` has it.
async fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().await.expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

async fn make_key(folder: &Path, name: &str) {
    let arguments = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name];
    openssl(folder, &arguments).await;
}

/// A world whose upstreams get signed identities, and the folder of its keys.
async fn signing() -> (World, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make_key(folder.path(), "key.pem").await;
    let public = openssl(folder.path(), &["pkey", "-in", "key.pem", "-pubout"]).await;
    fs::write(folder.path().join("public.pem"), public).expect("the folder is ours");
    let (provider, upstream) = tokio::join!(Provider::start(ProviderOptions::default()), Upstream::start());
    let address = format!("http://127.0.0.1:{}", upstream.port);
    let options = SealgateOptions::new(&provider.issuer, upstream.port)
        .set("provider.scopes", json!(["openid", "profile", "email", "groups", "offline_access"]))
        .set("server.trusted_proxies", vec!["127.0.0.1/32"])
        .set("session.same_site", "lax")
        .set(
            "identity_jwt",
            json!({
                "signing_key_file": folder.path().join("key.pem"), "claims": ["email", "groups"],
                "verification_keys_file": folder.path().join("public.pem"),
            }),
        )
        .set("forward_auth", json!({"proxy": "envoy", "secret": SECRET, "identity_jwt": true}))
        .set(
            "routes",
            json!([
                {"path": "/api", "upstream": address, "identity_jwt": true},
                {"path": "/orders", "upstream": address, "identity_jwt": true, "identity_jwt_audience": "orders"},
                {"path": "/shop", "upstream": address, "auth": "optional", "identity_jwt": true},
                {"path": "/plain", "upstream": address},
                {"path": "/public", "upstream": address, "auth": "none"},
            ]),
        );
    provider.register(options.registration()).await;
    let gate = Sealgate::start(options).await;
    let browser = Browser::new(gate.url());
    browser.sign_in().await;
    (World { provider, upstream, gate, browser }, folder)
}

/// The header's values at the upstream.
async fn identity(world: &World, path: &str) -> Vec<String> {
    let request = world.browser.fetch(Method::GET, path).field(HEADER, "forged").field("x_sealgate_jwt_assertion", "x");
    let reply = request.send().await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let seen = world.upstream.last();
    assert!(seen.header("x_sealgate_jwt_assertion").is_empty(), "{:?}", seen.headers);
    seen.header(HEADER).into_iter().map(str::to_owned).collect()
}

fn part(token: &str, index: usize) -> Value {
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(index).expect("three parts")).expect("base64url");
    serde_json::from_slice(&part).expect("JSON")
}

/// Runs the page's lines, with the library that the provider of the tests brings along.
async fn verify(world: &World, token: &str, audience: &str) -> Result<Value, String> {
    let script = "
        import { createRemoteJWKSet, jwtVerify } from 'jose';
        const [url, token, issuer, audience] = process.argv.slice(1);
        const keys = createRemoteJWKSet(new URL(url));
        const { payload } = await jwtVerify(token, keys, {
          issuer, audience, algorithms: ['ES256'], typ: 'sealgate-identity+jwt',
        });
        console.log(JSON.stringify(payload));";
    let keys = format!("{}/bff/jwks.json", world.gate.url());
    let output = Command::new("node")
        .args(["--input-type=module", "-e", script, &keys, token, world.gate.url(), audience])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider"))
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await.expect("in time").expect("node starts");
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).expect("JSON")),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// RFC 7519 §7.2, RFC 8725 §3.11.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_verifies_the_identity_with_the_published_keys() {
    let (world, _keys) = signing().await;
    let token = identity(&world, "/api/echo").await.remove(0);
    let audience = format!("{}/api", world.gate.url());
    let claims = verify(&world, &token, &audience).await.expect("it verifies");
    assert_eq!((&claims["sub"], &claims["email"]), (&json!("ada"), &json!("ada@example.test")));
    assert_eq!(claims["groups"], json!(["engineers"]));
    assert_eq!(claims["exp"].as_i64().expect("a time") - claims["iat"].as_i64().expect("a time"), 60);
    let allowed = ["sub", "sid", "email", "groups", "iss", "aud", "iat", "exp"];
    assert!(claims.as_object().expect("an object").keys().all(|name| allowed.contains(&name.as_str())), "{claims}");
    // One for another upstream does not do.
    let other = identity(&world, "/orders/echo").await.remove(0);
    assert!(verify(&world, &other, &audience).await.expect_err("another audience").contains("aud"));
    assert_eq!(verify(&world, &other, "orders").await.expect("it verifies")["sid"], claims["sid"]);
}

/// CVE-2026-30851: what tells of users comes from us alone, on every route.
#[tokio::test(flavor = "multi_thread")]
async fn a_route_gets_an_identity_only_where_it_shall_and_never_a_client_s() {
    let (world, _keys) = signing().await;
    let first = identity(&world, "/api/echo").await;
    assert_eq!(first.len(), 1);
    assert_eq!(identity(&world, "/api/echo").await, first, "signed once for half its life");
    assert_eq!(identity(&world, "/shop/echo").await.len(), 1);
    assert!(identity(&world, "/plain/echo").await.is_empty());
    assert!(identity(&world, "/public/echo").await.is_empty());
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    assert_ne!(identity(&world, "/api/echo").await, first, "the claims may be others since the refresh");
    let stranger = World { browser: world.new_browser(), ..world };
    assert!(identity(&stranger, "/shop/echo").await.is_empty());
}

/// Promise 1: no page sees an identity that is made for an upstream.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_forward_auth_has_one_for_the_proxy_and_none_for_browsers() {
    let (world, _keys) = signing().await;
    let ask = || world.browser.fetch(Method::GET, "/bff/auth/wiki");
    let reply = ask().field("X-Sealgate-Secret", SECRET).send().await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(part(reply.header(HEADER)[0], 1)["aud"], world.gate.url());
    assert!(!reply.header("x-envoy-auth-headers-to-remove")[0].contains("assertion"));
    let refused = ask().send().await;
    refused.problem(403);
    assert!(refused.header(HEADER).is_empty());
}

/// RFC 7517 §5: for everybody, and without the private part.
#[tokio::test(flavor = "multi_thread")]
async fn the_keys_are_public_and_may_be_cached() {
    let (world, _keys) = signing().await;
    let stranger = world.new_browser();
    let reply = stranger.request(Method::GET, "/bff/jwks.json", crate::support::browser::Context::ForeignFetch);
    let reply = reply.send().await;
    assert_eq!((reply.status, reply.media_type()), (StatusCode::OK, "application/jwk-set+json"));
    assert_eq!(reply.header("cache-control"), ["public, max-age=300"]);
    let set: Value = reply.json();
    let keys = set["keys"].as_array().expect("a list");
    assert_eq!(keys.len(), 1, "the signing key is there once: {set}");
    assert_eq!((&keys[0]["kty"], &keys[0]["crv"], &keys[0]["use"]), (&json!("EC"), &json!("P-256"), &json!("sig")));
    assert!(keys[0].get("d").is_none(), "{set}");
    stranger.post("/bff/jwks.json").await.problem(405);
    let without = World::start().await;
    assert_eq!(without.browser.get("/bff/jwks.json").await.problem(404), "urn:sealgate:error:not-found");
}

/// The steps of `docs/signed-identity.md`: at no time is there an identity whose key is not published.
#[tokio::test(flavor = "multi_thread")]
async fn the_signing_key_rotates_without_a_restart() {
    let (world, keys) = signing().await;
    let folder = keys.path();
    let old = identity(&world, "/api/echo").await.remove(0);
    make_key(folder, "next.pem").await;
    let public = async |name: &str| openssl(folder, &["pkey", "-in", name, "-pubout"]).await;
    let both = [public("key.pem").await, public("next.pem").await].concat();
    fs::write(folder.join("both.pem"), both).expect("the folder is ours");
    fs::rename(folder.join("both.pem"), folder.join("public.pem")).expect("renamed");
    eventually("two published keys", Duration::from_secs(30), async || {
        let set: Value = world.browser.get("/bff/jwks.json").await.json();
        (set["keys"].as_array()?.len() == 2).then_some(())
    })
    .await;
    fs::rename(folder.join("next.pem"), folder.join("key.pem")).expect("renamed");
    let new = eventually("an identity by the new key", Duration::from_secs(30), async || {
        let token = identity(&world, "/api/echo").await.remove(0);
        (part(&token, 0)["kid"] != part(&old, 0)["kid"]).then_some(token)
    })
    .await;
    let audience = format!("{}/api", world.gate.url());
    for token in [old, new] {
        verify(&world, &token, &audience).await.expect("both keys are published");
    }
}
