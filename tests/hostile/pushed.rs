//! What the endpoint for pushed authorization requests may answer: then no login begins.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::provider::{Endpoint, Script};
use crate::right::{MARKER, Right};
use crate::stage::Stage;
use crate::support::Browser;

const INVALID: &str = "not the JSON that RFC 9126 asks for";

/// Name, status of the page, text in the log, answer.
type Case = (&'static str, u16, &'static str, Script);

fn cases() -> Vec<Case> {
    let script = |script: fn(&Right) -> Answer| -> Script { Arc::new(script) };
    let uri = |value: Value| -> Script {
        Arc::new(move |_| Answer::json(&json!({"request_uri": value, "expires_in": 60})).status(201))
    };
    vec![
        ("no body", 502, INVALID, script(|_| Answer::text("").status(201))),
        ("a page", 502, INVALID, script(|_| Answer::text(format!("<html>{MARKER}")))),
        (
            "a reference twice",
            502,
            INVALID,
            script(|_| Answer::text(r#"{"request_uri":"urn:a","request_uri":"urn:b"}"#)),
        ),
        ("a reference that is a number", 502, INVALID, uri(json!(7))),
        ("an empty reference", 502, INVALID, uri(json!(""))),
        ("a reference with a line break", 502, INVALID, uri(json!("urn:x\r\nSet-Cookie: x=y"))),
        ("a reference of a megabyte", 502, INVALID, uri(json!("x".repeat(1_000_000)))),
        ("a reference of three thousand", 502, INVALID, uri(json!("x".repeat(3_000)))),
        ("a body without end", 502, INVALID, script(|_| Answer::endless())),
        ("a redirect", 502, INVALID, script(|right| Answer::redirect(307, right.elsewhere()))),
        (
            "a refusal that repeats our secret",
            502,
            "unrecognised",
            script(|right| {
                Answer::json(&json!({"error": right.client_secret, "error_description": right.client_secret}))
                    .status(400)
            }),
        ),
        (
            "a refusal",
            502,
            "invalid_request",
            script(|_| Answer::json(&json!({"error": "invalid_request"})).status(400)),
        ),
        ("an error of the server", 503, "status 500", script(|_| Answer::text(MARKER).status(500))),
        ("no answer", 503, "did not answer in time", script(|_| Answer::never())),
        ("a connection that breaks", 503, "broke before", script(|right| Answer::json(&right.metadata()).cut())),
    ]
}

/// Plays all cases; gives the browsers.
pub async fn play(stage: &Stage) -> Vec<Browser> {
    let mut browsers = Vec::new();
    for (name, status, log, script) in cases() {
        let (browser, from) = (stage.browser(), stage.gate.log().len());
        stage.provider.plays(Endpoint::Pushed, script);
        let reply = browser.navigate("/bff/login").await;
        assert_eq!(reply.error_page(5), status, "{name}: {}", reply.body);
        reply.touches_no_cookie();
        stage.logs(from, log).await;
        browsers.push(browser);
    }
    assert_eq!(stage.provider.asked(Endpoint::Elsewhere), 0, "nobody was led elsewhere");
    browsers
}
