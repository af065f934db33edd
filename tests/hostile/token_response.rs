//! What the token endpoint may say instead of tokens.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::provider::Endpoint;
use crate::right::{MARKER, Right};
use crate::stage::{Case, accepted, refused};

const NOT_JSON: &str = "not the JSON that RFC 6749 asks for";
const TYPE: &str = "a token of a type other than Bearer";
const TOKEN: &str = "an access token that a header field cannot carry";
const BROKEN: &str = "broke before its response was complete";

/// 502, and that line in the log.
fn invalid(name: &'static str, log: &'static str, script: impl Fn(&Right) -> Answer + Send + Sync + 'static) -> Case {
    refused(name, Endpoint::Token, 502, log, script)
}

/// 503, and that line in the log.
fn unwell(name: &'static str, log: &'static str, script: impl Fn(&Right) -> Answer + Send + Sync + 'static) -> Case {
    refused(name, Endpoint::Token, 503, log, script)
}

fn fine(name: &'static str, script: impl Fn(&Right) -> Answer + Send + Sync + 'static) -> Case {
    accepted(name, Endpoint::Token, script)
}

fn odd_member(name: &'static str, member: &'static str, value: Value, log: &'static str) -> Case {
    invalid(name, log, move |right| right.response_with(&crate::stage::with(member, value.clone())))
}

/// The right response as text, with something in front of its last brace.
fn with_text(right: &Right, text: &str) -> Answer {
    let body = right.response().to_string();
    Answer::text(format!("{}{text}}}", &body[..body.len() - 1]))
}

/// All cases.
pub fn cases() -> Vec<Case> {
    [bodies(), members(), refusals(), connections(), oddities()].into_iter().flatten().collect()
}

fn bodies() -> Vec<Case> {
    vec![
        invalid("an empty body", NOT_JSON, |_| Answer::text("")),
        invalid("a page", NOT_JSON, |_| {
            Answer::text(format!("<html>{MARKER}</html>")).field("Content-Type", "text/html")
        }),
        invalid("a list", NOT_JSON, |right| Answer::json(&json!([right.response()]))),
        invalid("null", NOT_JSON, |_| Answer::text("null")),
        invalid("a text", NOT_JSON, |right| Answer::json(&json!(right.response().to_string()))),
        invalid("JSON without its end", NOT_JSON, |right| {
            let body = right.response().to_string();
            Answer::text(&body[..body.len() - 2])
        }),
        invalid("more behind the JSON", NOT_JSON, |right| Answer::text(format!("{}{{}}", right.response()))),
        invalid("a byte order mark", NOT_JSON, |right| Answer::text(format!("\u{feff}{}", right.response()))),
        invalid("invalid UTF-8", NOT_JSON, |right| {
            let body = right.response().to_string().replace("Bearer\"", "Bearer\",\"x\":\"?\"");
            Answer::text(body.bytes().map(|byte| if byte == b'?' { 0xff } else { byte }).collect::<Vec<_>>())
        }),
        invalid("a repeated member", NOT_JSON, |right| {
            with_text(right, &format!(r#","access_token":"{MARKER}-other""#))
        }),
        invalid("a repeated member that we do not know", NOT_JSON, |right| with_text(right, r#","x":1,"x":2"#)),
        invalid("deep nesting", NOT_JSON, |right| {
            with_text(right, &format!(r#","x":{}{}"#, "[".repeat(100_000), "]".repeat(100_000)))
        }),
        invalid("parameters of a form", NOT_JSON, |right| {
            Answer::text(format!("access_token={}&token_type=bearer", right.access_token))
                .field("Content-Type", "application/x-www-form-urlencoded")
        }),
        invalid("compressed without being asked", NOT_JSON, |_| {
            Answer::text([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b].as_slice()).field("Content-Encoding", "gzip")
        }),
        invalid("ten megabytes", "answer is too long", |right| {
            right.response_with(&json!({"pad": "x".repeat(10_000_000)}))
        }),
        invalid("a body without end", "answer is too long", |_| Answer::endless()),
        invalid("another status of success", NOT_JSON, |right| Answer::json(&right.response()).status(201)),
        invalid("no content", NOT_JSON, |_| Answer::raw("HTTP/1.1 204 No Content\r\n\r\n")),
    ]
}

fn members() -> Vec<Case> {
    vec![
        odd_member("no access token", "access_token", Value::Null, NOT_JSON),
        odd_member("an access token that is a number", "access_token", json!(7), NOT_JSON),
        odd_member("an empty access token", "access_token", json!(""), TOKEN),
        odd_member("an access token with a line break", "access_token", json!("hunter2\r\nX-Admin: 1"), TOKEN),
        odd_member("an access token with NUL", "access_token", json!("hunter2\u{0}"), TOKEN),
        odd_member("an access token with a space", "access_token", json!("hunter2 x"), TOKEN),
        odd_member("an access token outside ASCII", "access_token", json!("hunter2é"), TOKEN),
        odd_member("no token type", "token_type", Value::Null, NOT_JSON),
        odd_member("a token type that is a list", "token_type", json!(["Bearer"]), NOT_JSON),
        odd_member("another token type", "token_type", json!("mac"), TYPE),
        odd_member("a token type that needs a key", "token_type", json!("DPoP"), TYPE),
        odd_member("a token type that is no type", "token_type", json!("N_A"), TYPE),
        odd_member("an empty token type", "token_type", json!(""), TYPE),
        odd_member("a token type with more behind it", "token_type", json!("Bearer x"), TYPE),
        odd_member("a negative lifetime", "expires_in", json!(-1), NOT_JSON),
        odd_member("a negative lifetime in quotes", "expires_in", json!("-1"), NOT_JSON),
        odd_member("a lifetime in words", "expires_in", json!("soon"), NOT_JSON),
        odd_member("a lifetime that is a list", "expires_in", json!([300]), NOT_JSON),
        odd_member("a lifetime that is true", "expires_in", json!(true), NOT_JSON),
        odd_member("a lifetime beyond all numbers", "expires_in", json!(1e300), NOT_JSON),
        odd_member("a refresh token that is a number", "refresh_token", json!(7), NOT_JSON),
        odd_member("an ID token that is an object", "id_token", json!({"sub": "alice"}), NOT_JSON),
        odd_member("a scope that is a list", "scope", json!(["openid"]), NOT_JSON),
        odd_member("tokens that no cookies hold", "access_token", json!(noise(9_000)), "does not fit the cookies")
            .with_status(500),
    ]
}

/// Characters that do not compress.
fn noise(length: usize) -> String {
    (0..length).map(|_| char::from(rand::random_range(b'A'..=b'Z'))).collect()
}

fn refusals() -> Vec<Case> {
    let error = |body: Value| move |_: &Right| Answer::json(&body).status(400);
    vec![
        refused(
            "a code that the provider does not know",
            Endpoint::Token,
            400,
            "refused: invalid_grant",
            error(json!({"error": "invalid_grant"})),
        ),
        invalid("another client secret", "refused: invalid_client", |_| {
            Answer::json(&json!({"error": "invalid_client"})).status(401).field("WWW-Authenticate", "Basic")
        }),
        invalid("an error that repeats our secrets", "refused: unrecognised", |right| {
            let description = format!("{} {} {}", right.code, right.client_secret, right.access_token);
            Answer::json(&json!({"error": right.client_secret, "error_description": description})).status(400)
        }),
        invalid(
            "an error that is markup",
            "refused: unrecognised",
            error(json!({"error": "<script>alert(1)</script>\r\n", "error_description": "<img src=x onerror=1>"})),
        ),
        invalid("an error that is a number", NOT_JSON, error(json!({"error": 7}))),
        invalid("a refusal without a body", NOT_JSON, |_| Answer::text("").status(400)),
        unwell("an error that passes", "temporarily_unavailable", error(json!({"error": "temporarily_unavailable"}))),
        unwell("an error of the server by name", "server_error", error(json!({"error": "server_error"}))),
        unwell("an error of the server", "status 500", |_| Answer::text(MARKER).status(500)),
        unwell("a server that asks to wait", "status 503", |_| {
            Answer::text("").status(503).field("Retry-After", "99999999999")
        }),
        unwell("too many requests", "status 429", |_| Answer::text("").status(429).field("Retry-After", "soon")),
    ]
}

fn connections() -> Vec<Case> {
    let mut cases: Vec<Case> = [300, 301, 302, 303, 307, 308]
        .map(|status| {
            invalid("a redirect", "a redirect, which is not followed", move |right| {
                Answer::redirect(status, right.elsewhere())
            })
        })
        .into();
    cases.extend([
        unwell("no answer", "did not answer in time", |_| Answer::never()),
        unwell("an answer that drips", "did not answer in time", |right| Answer::json(&right.response()).dripping()),
        unwell("a connection that is closed", BROKEN, |_| Answer::hang_up()),
        unwell("a connection that breaks", BROKEN, |right| Answer::json(&right.response()).cut()),
        unwell("no HTTP", BROKEN, |_| Answer::raw(format!("{MARKER}\r\n\r\n"))),
        unwell("two lengths", BROKEN, |_| {
            Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}")
        }),
        unwell("a header field without end", BROKEN, |_| {
            Answer::raw(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(4_000_000)))
        }),
        unwell("a thousand header fields", BROKEN, |_| {
            Answer::raw(format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(1_000)))
        }),
    ]);
    cases
}

/// What is not as usual, and right all the same.
fn oddities() -> Vec<Case> {
    vec![
        fine("another content type", |right| Answer::json(&right.response()).field("Content-Type", "text/plain")),
        fine("a token type in capitals", |right| right.response_with(&json!({"token_type": "BEARER"}))),
        fine("a lifetime in quotes", |right| right.response_with(&json!({"expires_in": "300"}))),
        fine("a lifetime with a fraction", |right| right.response_with(&json!({"expires_in": 300.9}))),
        fine("a lifetime of ages", |right| right.response_with(&json!({"expires_in": u64::MAX}))),
        fine("no lifetime", |right| right.response_with(&json!({"expires_in": null}))),
        fine("no refresh token", |right| right.response_with(&json!({"refresh_token": null}))),
        fine("members that nobody knows", |right| right.response_with(&json!({"x": {"y": [1, 2]}, "not_before": 0}))),
        fine("a body in which spaces abound", |right| Answer::text(format!("\n\n {} \n", right.response()))),
    ]
}
