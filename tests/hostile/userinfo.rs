//! What the UserInfo endpoint may say instead of claims.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::keys::{assembled, hmac_signed};
use crate::provider::Endpoint;
use crate::right::{EC_KEY, FORGED_KEY, MARKER, NEW_KEY, RSA_KEY, Right, changed, now};
use crate::stage::{Case, accepted, refused};

const MALFORMED: &str = "neither a JSON object nor a signed JWT";
const SUBJECT: &str = "UserInfo is about another user";

fn bad(name: &'static str, log: &'static str, script: impl Fn(&Right) -> Answer + Send + Sync + 'static) -> Case {
    refused(name, Endpoint::UserInfo, 502, log, script)
}

fn good(name: &'static str, script: impl Fn(&Right) -> Answer + Send + Sync + 'static) -> Case {
    accepted(name, Endpoint::UserInfo, script)
}

fn unwell(name: &'static str, log: &'static str, script: impl Fn(&Right) -> Answer + Send + Sync + 'static) -> Case {
    refused(name, Endpoint::UserInfo, 503, log, script)
}

/// The claims of a signed answer, with members changed, or removed by null.
pub fn signed(right: &Right, changes: &Value) -> Value {
    changed(json!({"iss": right.issuer, "aud": right.client_id, "sub": "alice", "groups": ["staff"]}), changes)
}

/// A signed answer.
pub fn jwt(token: String) -> Answer {
    Answer::text(token).field("Content-Type", "application/jwt")
}

/// All cases.
pub fn cases() -> Vec<Case> {
    [plain(), signatures(), connections(), oddities()].into_iter().flatten().collect()
}

fn plain() -> Vec<Case> {
    let mut cases = vec![
        bad("UserInfo without a body", MALFORMED, |_| Answer::text("")),
        bad("UserInfo that is a page", MALFORMED, |_| Answer::text("<html>").field("Content-Type", "text/html")),
        bad("UserInfo that is a list", MALFORMED, |_| Answer::text(r#"[{"sub":"alice"}]"#)),
        bad("UserInfo without its end", MALFORMED, |_| Answer::text(r#"{"sub":"alice""#)),
        bad("UserInfo with two users", MALFORMED, |_| Answer::text(r#"{"sub":"alice","sub":"bob"}"#)),
        bad("UserInfo nested deep", MALFORMED, |_| {
            Answer::text(format!(r#"{{"sub":"alice","x":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000)))
        }),
        bad("UserInfo that is no UTF-8", MALFORMED, |_| Answer::text(b"{\"sub\":\"alice\",\"x\":\"\xff\"}".as_slice())),
        bad("UserInfo of a megabyte", "answer is too long", |_| {
            Answer::json(&json!({"sub": "alice", "x": "x".repeat(1_000_000)}))
        }),
        bad("UserInfo without end", "answer is too long", |_| Answer::endless()),
    ];
    for subject in [Value::Null, json!("bob"), json!("Alice"), json!("alice "), json!(""), json!(7), json!(["alice"])] {
        cases.push(bad("UserInfo of another user", SUBJECT, move |_| Answer::json(&json!({"sub": subject}))));
    }
    for status in [201, 400, 401, 403, 404] {
        cases.push(bad("UserInfo refused", "UserInfo endpoint answered with status", move |right| {
            let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{}\"", right.access_token);
            Answer::json(&json!({"sub": "alice"})).status(status).field("WWW-Authenticate", challenge)
        }));
    }
    cases
}

fn signatures() -> Vec<Case> {
    let claims = |changes: Value| move |right: &Right| jwt(RSA_KEY.token(&signed(right, &changes)));
    vec![
        bad("UserInfo signed by another key", "UserInfo response's signature is not valid", |right| {
            jwt(FORGED_KEY.token(&signed(right, &json!({}))))
        }),
        bad("UserInfo signed by a key that nobody knows", "UserInfo response is signed with a key", |right| {
            jwt(NEW_KEY.token(&signed(right, &json!({}))))
        }),
        bad("UserInfo that is not signed", "UserInfo response is signed with \\\"none", |right| {
            jwt(assembled(&json!({"alg": "none"}), &signed(right, &json!({})), ""))
        }),
        bad("UserInfo signed with the client secret", "UserInfo response is signed with \\\"HS256", |right| {
            jwt(hmac_signed("HS256", right.client_secret.as_bytes(), &signed(right, &json!({}))))
        }),
        bad("UserInfo that is encrypted", "UserInfo response is encrypted", |_| jwt("a.b.c.d.e".to_owned())),
        bad("UserInfo of another issuer", "UserInfo response is from another issuer", claims(json!({"iss": "x"}))),
        bad("UserInfo of no issuer", "UserInfo response is from another issuer", claims(json!({"iss": null}))),
        bad("UserInfo for another audience", "UserInfo response is for another audience", claims(json!({"aud": "x"}))),
        bad("UserInfo for no audience", "UserInfo response is for another audience", claims(json!({"aud": null}))),
        bad("UserInfo that has expired", "UserInfo response has expired", claims(json!({"exp": now() - 120}))),
        bad("signed UserInfo of another user", SUBJECT, claims(json!({"sub": "bob"}))),
    ]
}

fn connections() -> Vec<Case> {
    let mut cases: Vec<Case> = [301, 302, 303, 307, 308]
        .map(|status| {
            bad("UserInfo elsewhere", "UserInfo endpoint answered with status 30", move |right| {
                Answer::redirect(status, right.elsewhere())
            })
        })
        .into();
    cases.extend([
        unwell("UserInfo that is down", "status 500", |_| Answer::text(MARKER).status(500)),
        unwell("UserInfo that never answers", "did not answer in time", |_| Answer::never()),
        unwell("UserInfo that drips", "did not answer in time", |_| {
            Answer::json(&json!({"sub": "alice", "x": [1, 2, 3, 4]})).dripping()
        }),
        unwell("UserInfo that hangs up", "broke before its response was complete", |_| Answer::hang_up()),
    ]);
    cases
}

/// What is not as usual, and right all the same.
fn oddities() -> Vec<Case> {
    vec![
        good("signed UserInfo", |right| jwt(EC_KEY.token(&signed(right, &json!({}))))),
        good("UserInfo of another content type", |_| Answer::text(" {\"sub\":\"alice\"}").field("Content-Type", "x/y")),
        good("UserInfo that would change who logged in", |_| {
            Answer::json(&json!({"sub": "alice", "iss": "evil", "aud": "evil", "nonce": "evil", "exp": 1, "acr": "9"}))
        }),
        good("UserInfo with claims that lie elsewhere", |right| {
            let source = json!({"endpoint": right.elsewhere(), "access_token": "hunter2-distributed"});
            Answer::json(&json!({"sub": "alice", "_claim_names": {"age": "s"}, "_claim_sources": {"s": source}}))
        }),
    ]
}
