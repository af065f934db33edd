//! What may stand in place of the metadata, and of the keys that they lead to.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::provider::{Endpoint, Provider};
use crate::right::{EC_KEY, FORGED_KEY, MARKER, NEW_KEY, RSA_KEY, Right, changed};
use crate::stage::{Case, Outcome, Stage, accepted, refused};
use crate::support::Browser;

const NOT_METADATA: &str = "is not a metadata document";
const MISMATCH: &str = "they must be identical";
const NOT_KEYS: &str = "not a JSON Web Key Set";
const UNKNOWN_KEY: &str = "signed with a key that the provider does not publish";
const TOO_LONG: &str = "the response is longer than";

fn bad(name: &'static str, log: &'static str, script: impl Fn(&Right) -> Answer + Send + Sync + 'static) -> Case {
    refused(name, Endpoint::Discovery, 503, log, script)
}

/// The metadata with a member changed, or removed by null.
fn member(name: &'static str, log: &'static str, member: &'static str, value: Value) -> Case {
    bad(name, log, move |right| Answer::json(&changed(right.metadata(), &crate::stage::with(member, value.clone()))))
}

/// Metadata that are refused.
pub fn discovery() -> Vec<Case> {
    let mut cases = vec![
        member("metadata of another issuer", MISMATCH, "issuer", json!("https://evil.example")),
        bad("an issuer with a slash behind it", MISMATCH, |right| {
            Answer::json(&changed(right.metadata(), &json!({"issuer": format!("{}/", right.issuer)})))
        }),
        bad("an issuer in capitals", MISMATCH, |right| {
            Answer::json(&changed(right.metadata(), &json!({"issuer": right.issuer.to_uppercase()})))
        }),
        member("an issuer that is markup", MISMATCH, "issuer", json!("<script>\r\nX: y")),
        member("metadata of no issuer", "lacks issuer", "issuer", Value::Null),
        member("an issuer that is a list", NOT_METADATA, "issuer", json!(["http://localhost"])),
        bad("metadata without a body", NOT_METADATA, |_| Answer::text("")),
        bad("metadata that are a page", NOT_METADATA, |_| Answer::text("<html>").field("Content-Type", "text/html")),
        bad("metadata in a list", NOT_METADATA, |right| Answer::json(&json!([right.metadata()]))),
        bad("metadata without their end", NOT_METADATA, |right| {
            let body = right.metadata().to_string();
            Answer::text(&body[..body.len() - 1])
        }),
        bad("metadata with two issuers", NOT_METADATA, |right| {
            Answer::text(right.metadata().to_string().replacen('{', r#"{"issuer":"https://evil.example","#, 1))
        }),
        bad("metadata nested deep", NOT_METADATA, |right| {
            let deep = format!(r#"{{"x":{}{},"#, "[".repeat(100_000), "]".repeat(100_000));
            Answer::text(right.metadata().to_string().replacen('{', &deep, 1))
        }),
        bad("metadata that are no UTF-8", NOT_METADATA, |_| Answer::text(b"{\"issuer\":\"\xff\"}".as_slice())),
        bad("two megabytes of metadata", TOO_LONG, |right| {
            Answer::json(&changed(right.metadata(), &json!({"x": "x".repeat(2_000_000)})))
        }),
        bad("metadata without end", TOO_LONG, |_| Answer::endless()),
        bad("metadata that drip", "did not answer in time", |right| Answer::json(&right.metadata()).dripping()),
        bad("no metadata ever", "did not answer in time", |_| Answer::never()),
        bad("metadata that break off", "broke before its response was complete", |right| {
            Answer::json(&right.metadata()).cut()
        }),
        bad("metadata from nobody", "broke before its response was complete", |_| Answer::hang_up()),
    ];
    for (status, log) in [(404, "status 404"), (500, "status 500"), (204, "status 204"), (401, "status 401")] {
        cases.push(bad("metadata refused", log, move |right| Answer::json(&right.metadata()).status(status)));
    }
    for status in [301, 302, 307, 308] {
        cases.push(bad("metadata elsewhere", "which is not followed", move |right| {
            Answer::redirect(status, right.elsewhere())
        }));
    }
    for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        cases.push(member("metadata without an endpoint", "lacks ", name, Value::Null));
    }
    for (name, url) in [
        ("authorization_endpoint", "javascript:alert(1)"),
        ("token_endpoint", "http://login.example.com/token"),
        ("jwks_uri", "file:///etc/passwd"),
        ("userinfo_endpoint", "https://user:password@login.example.com/"),
        ("revocation_endpoint", "/revoke"),
        ("token_endpoint", ""),
    ] {
        cases.push(member("an endpoint that others can listen to", "must be an https URL", name, json!(url)));
    }
    cases
}

/// Key sets at which a login fails, each for a server of its own.
pub fn key_sets() -> Vec<Case> {
    let keys = |keys: Vec<Value>| move |_: &Right| Answer::json(&json!({ "keys": keys }));
    let rsa_with = |changes: Value| keys(vec![changed(RSA_KEY.jwk(), &changes)]);
    let bad = |name, status, log, script: Box<dyn Fn(&Right) -> Answer + Send + Sync>| {
        refused(name, Endpoint::Jwks, status, log, script)
    };
    vec![
        bad("an empty key set", 502, UNKNOWN_KEY, Box::new(keys(vec![]))),
        bad("keys for encryption", 502, UNKNOWN_KEY, Box::new(rsa_with(json!({"use": "enc"})))),
        bad("a key for another algorithm", 502, UNKNOWN_KEY, Box::new(rsa_with(json!({"alg": "RS512"})))),
        bad("a key for other operations", 502, UNKNOWN_KEY, Box::new(rsa_with(json!({"key_ops": ["sign"]})))),
        bad("a key of another name", 502, UNKNOWN_KEY, Box::new(rsa_with(json!({"kid": "another"})))),
        bad("a key of another kind", 502, UNKNOWN_KEY, Box::new(rsa_with(json!({"kty": "oct", "k": "aHVudGVyMg"})))),
        bad("a key without its modulus", 502, UNKNOWN_KEY, Box::new(rsa_with(json!({"n": null})))),
        bad("a modulus of a megabyte", 502, TOO_LONG, Box::new(rsa_with(json!({"n": "A".repeat(1_000_000)})))),
        bad("another key of the same name", 502, "signature is not valid", Box::new(keys(vec![FORGED_KEY.jwk()]))),
        bad("ten thousand keys", 502, TOO_LONG, Box::new(keys(vec![NEW_KEY.jwk(); 10_000]))),
        bad("ten thousand small keys", 502, UNKNOWN_KEY, Box::new(keys(vec![json!({"kty": "RSA"}); 10_000]))),
    ]
}

/// Answers that are no key sets, one after the other for one server that has no keys yet.
pub fn no_key_sets() -> Vec<Case> {
    let bad = |name, log, script: fn(&Right) -> Answer| refused(name, Endpoint::Jwks, 502, log, script);
    let unwell = |name, log, script: fn(&Right) -> Answer| refused(name, Endpoint::Jwks, 503, log, script);
    vec![
        bad("keys without a body", NOT_KEYS, |_| Answer::text("")),
        bad("keys that are a page", NOT_KEYS, |_| Answer::text(format!("<html>{MARKER}"))),
        bad("keys in a bare list", NOT_KEYS, |_| Answer::json(&json!([RSA_KEY.jwk()]))),
        bad("keys in an object", NOT_KEYS, |_| Answer::json(&json!({"keys": {"rsa": RSA_KEY.jwk()}}))),
        bad("keys nested deep", NOT_KEYS, |_| {
            Answer::text(format!(r#"{{"keys":[{}{}]}}"#, "[".repeat(50_000), "]".repeat(50_000)))
        }),
        bad("two sets of keys", NOT_KEYS, |_| Answer::text(r#"{"keys":[],"keys":[]}"#)),
        bad("keys without end", TOO_LONG, |_| Answer::endless()),
        bad("keys elsewhere", "which is not followed", |right| Answer::redirect(302, right.elsewhere())),
        bad("keys that nobody may read", "status 403", |_| Answer::text("{}").status(403)),
        unwell("keys that drip", "did not answer in time", |_| {
            Answer::json(&json!({"keys": [RSA_KEY.jwk()]})).dripping()
        }),
        unwell("keys of a server that is down", "status 500", |_| Answer::text("").status(500)),
        unwell("keys that break off", "broke before its response was complete", |_| {
            Answer::json(&json!({"keys": [RSA_KEY.jwk()]})).cut()
        }),
    ]
}

/// Key sets that are odd, but have the key.
pub fn odd_key_sets() -> Vec<Case> {
    let good = |name, keys: Vec<Value>| accepted(name, Endpoint::Jwks, move |_| Answer::json(&json!({ "keys": keys })));
    let without_id = |key: Value| changed(key, &json!({"kid": null}));
    vec![
        good(
            "keys of kinds that nobody knows",
            vec![
                json!({"kty": "AKP", "alg": "ML-DSA-999", "pub": "AAAA", "kid": "quantum"}),
                json!({"kty": "made-up", "kid": "x"}),
                json!({"kty": 7}),
                json!("text"),
                Value::Null,
                json!({"kty": "RSA", "kid": "rsa", "n": "!", "e": "AQAB"}),
                RSA_KEY.jwk(),
            ],
        ),
        good("a key among others of its name", vec![FORGED_KEY.jwk(), EC_KEY.jwk(), RSA_KEY.jwk()]),
        good(
            "a key that says no more than what it is",
            vec![changed(RSA_KEY.jwk(), &json!({"alg": null, "use": null})), without_id(EC_KEY.jwk())],
        ),
    ]
}

/// Answers to a gate that has not discovered its provider: no flow begins, and the log says why. Then it recovers.
pub async fn play_discovery(stage: &Stage, cases: Vec<Case>) -> Vec<Browser> {
    let mut browsers = Vec::new();
    for case in cases {
        let from = stage.gate.log().len();
        let Outcome::Refused(status, log) = case.outcome else { panic!("{} is not refused", case.name) };
        stage.provider.plays(case.at, case.script.clone());
        let browser = stage.browser();
        // Each request sets off an attempt, a second after the last one at the earliest.
        crate::support::eventually(case.name, crate::stage::PATIENCE, async || {
            let reply = browser.navigate("/bff/login").await;
            assert_eq!(reply.error_page(5), status, "{}: {}", case.name, reply.body);
            reply.touches_no_cookie();
            stage.gate.log().get(from..).is_some_and(|log_now| log_now.contains(log)).then_some(())
        })
        .await;
        browsers.push(browser);
    }
    assert_eq!(stage.provider.asked(Endpoint::Elsewhere), 0, "nobody was led elsewhere");
    stage.provider.behaves();
    let browser = stage.browser();
    crate::support::eventually("a login after all", crate::stage::PATIENCE, async || {
        (browser.navigate("/bff/login").await.status.as_u16() == 303).then_some(())
    })
    .await;
    browser.sign_in().await;
    browsers.push(browser);
    browsers
}

/// A server of its own for a key set.
pub async fn play_key_set(case: &Case) {
    let provider = Provider::start().await;
    provider.plays(case.at, case.script.clone());
    let stage = Stage::around(provider, |options| options).await;
    let browsers = crate::stage::play(&stage, std::slice::from_ref(case)).await;
    stage.leaks_nothing(&browsers);
}
