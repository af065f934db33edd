//! What a provider may send the browser back with, and what it may answer when a session is over.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::provider::{Endpoint, Script};
use crate::right::{MARKER, Right};
use crate::stage::{Case, Stage, refused};
use crate::support::Browser;
use crate::support::world::SESSION;

/// Redirects to the callback that redeem nothing.
pub fn cases() -> Vec<Case> {
    let back = |name, status, log, changes: Value| {
        refused(name, Endpoint::Authorize, status, log, move |right: &Right| right.callback(&changes))
    };
    let slash = |right: &Right| right.callback(&json!({"iss": format!("{}/", right.issuer)}));
    let error = |code: &str| json!({"error": code, "error_description": format!("{MARKER} <b>"), "code": null});
    let mismatch = "a callback names another issuer";
    vec![
        back("a callback of another issuer", 400, mismatch, json!({"iss": "https://evil.example"})),
        back("a callback of no issuer", 400, mismatch, json!({"iss": null})),
        refused("a callback of an issuer with a slash behind it", Endpoint::Authorize, 400, mismatch, slash),
        back("a refusal", 403, "login_refused", error("access_denied")),
        back("a refusal that is markup", 403, "login_refused", error("<script>alert(1)</script>")),
        back("a refusal of an issuer that is another", 400, mismatch, {
            let mut changes = error("access_denied");
            changes["iss"] = json!("https://evil.example");
            changes
        }),
        back("an empty code", 400, "", json!({"code": ""})),
        back("no code", 400, "", json!({"code": null})),
    ]
}

/// Signs users out at a provider whose revocation endpoint answers like that.
pub async fn play_logouts(stage: &Stage) -> Vec<Browser> {
    let script = |script: fn(&Right) -> Answer| -> Script { Arc::new(script) };
    let answers = [
        ("an error of the server", script(|_| Answer::text(MARKER).status(503).field("Retry-After", "9"))),
        ("an error by name", script(|_| Answer::json(&json!({"error": "unsupported_token_type"})).status(400))),
        ("a page that refuses", script(|_| Answer::text("<html>").status(403))),
        ("a redirect", script(|right| Answer::redirect(307, right.elsewhere()))),
        ("a body without end", script(|_| Answer::endless())),
        ("no answer", script(|_| Answer::never())),
        ("a connection that is closed", script(|_| Answer::hang_up())),
    ];
    let mut browsers = Vec::new();
    for (name, script) in answers {
        let browser = stage.browser();
        browser.sign_in().await;
        let (link, from) = (browser.user().await["bff:logout_url"].clone(), stage.gate.log().len());
        stage.provider.plays(Endpoint::Revocation, script);
        let reply = browser.navigate(link.as_str().expect("a text")).await;
        assert_eq!(reply.status.as_u16(), 303, "{name}: {}", reply.body);
        assert_eq!(browser.cookie(SESSION), None, "{name}");
        assert_eq!(browser.get("/bff/user").await.status.as_u16(), 401, "{name}");
        stage.logs(from, "revocation_failed").await;
        browsers.push(browser);
    }
    assert_eq!(stage.provider.asked(Endpoint::Elsewhere), 0, "nobody was led elsewhere");
    browsers
}
