//! What a provider may answer to a refresh, and what becomes of the session (DESIGN §6 in one sentence each): while its
//! access token lives nothing happens to it; after that it waits for the provider, or ends, as the answer says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::provider::{Endpoint, Script};
use crate::right::{EC_KEY, FORGED_KEY, MARKER, NEW_KEY, RSA_KEY, Right, now};
use crate::stage::{PATIENCE, Stage, with};
use crate::support::wait::reach;
use crate::support::world::SESSION;
use crate::support::{Browser, eventually};

/// The grace of a refresh that may have been lost to another replica, and a little more.
const GRACE: Duration = Duration::from_millis(3_100);

/// What a refresh comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The provider is as good as down: the refresh token may be good still.
    Waits,
    /// The refresh token is dead, or its answer is somebody else's.
    Ends,
    /// The refresh goes on without what is wrong.
    Goes,
}

/// One answer to a refresh.
pub struct Case {
    /// What it is about.
    pub name: &'static str,
    at: Endpoint,
    script: Script,
    fate: Fate,
    log: &'static str,
}

fn case(
    name: &'static str,
    at: Endpoint,
    fate: Fate,
    log: &'static str,
    script: impl Fn(&Right) -> Answer + Send + Sync + 'static,
) -> Case {
    Case { name, at, script: Arc::new(script), fate, log }
}

fn claim(name: &'static str, fate: Fate, log: &'static str, claim: &'static str, value: Value) -> Case {
    case(name, Endpoint::Token, fate, log, move |right| {
        // A refreshed ID token need not have a nonce (Core §12.2).
        let mut changes = json!({"nonce": null});
        changes[claim] = value.clone();
        right.with_claims(&changes)
    })
}

/// All cases.
pub fn cases() -> Vec<Case> {
    use Endpoint::{Token, UserInfo};
    use Fate::{Ends, Goes, Waits};
    let not_json = "not the JSON that RFC 6749 asks for";
    vec![
        case("a dead refresh token", Token, Ends, "the refresh token is no longer valid", |_| {
            Answer::json(&json!({"error": "invalid_grant"})).status(400)
        }),
        claim("another user", Ends, "for another user", "sub", json!("bob")),
        claim("another nonce", Ends, "another nonce", "nonce", json!("another")),
        claim("a nonce that is a number", Ends, "another nonce", "nonce", json!(7)),
        case("an authorized party where there was none", Token, Ends, "another authorized party", |right| {
            right.with_claims(&json!({"azp": right.client_id}))
        }),
        case("UserInfo of another user", UserInfo, Ends, "UserInfo is about another user", |_| {
            Answer::json(&json!({"sub": "bob"}))
        }),
        claim("another issuer", Waits, "from another issuer", "iss", json!("https://evil.example")),
        claim("another audience", Waits, "for another audience", "aud", json!("evil")),
        claim("no audience", Waits, "for another audience", "aud", Value::Null),
        claim("no subject", Waits, "subject is missing", "sub", Value::Null),
        claim("an ID token that has expired", Waits, "has expired", "exp", json!(now() - 120)),
        claim("an ID token from the future", Waits, "in the future", "iat", json!(now() + 600)),
        case("a forged ID token", Token, Waits, "signature is not valid", |right| {
            right.with_id_token(FORGED_KEY.token(&right.claims()))
        }),
        case("an ID token that is not signed", Token, Waits, "does not allow", |right| {
            right.with_id_token(crate::keys::assembled(&json!({"alg": "none"}), &right.claims(), ""))
        }),
        case("an encrypted ID token", Token, Waits, "encryption", |right| right.with_id_token("a.b.c.d.e")),
        case("another client secret", Token, Waits, "invalid_client", |_| {
            Answer::json(&json!({"error": "invalid_client"})).status(401)
        }),
        case("a user who is asked for again", Token, Waits, "interaction_required", |_| {
            Answer::json(&json!({"error": "interaction_required"})).status(400)
        }),
        case("an error of the server", Token, Waits, "status 500", |_| Answer::text(MARKER).status(500)),
        case("a redirect", Token, Waits, "which is not followed", |right| Answer::redirect(307, right.elsewhere())),
        case("a page", Token, Waits, not_json, |_| Answer::text("<html>")),
        case("a body without end", Token, Waits, "answer is too long", |_| Answer::endless()),
        case("no answer", Token, Waits, "did not answer in time", |_| Answer::never()),
        case("a connection that breaks", Token, Waits, "broke before", |right| Answer::json(&right.response()).cut()),
        case("no access token", Token, Waits, not_json, |right| {
            right.response_with(&with("access_token", Value::Null))
        }),
        case("an access token with a line break", Token, Waits, "cannot carry", |right| {
            right.response_with(&json!({"access_token": "hunter2\r\nX: y"}))
        }),
        case("another token type", Token, Waits, "other than Bearer", |right| {
            right.response_with(&json!({"token_type": "DPoP"}))
        }),
        case("a negative lifetime", Token, Waits, not_json, |right| right.response_with(&json!({"expires_in": -1}))),
        case("UserInfo refused", UserInfo, Waits, "UserInfo endpoint answered with status 403", |_| {
            Answer::text("").status(403)
        }),
        case("forged UserInfo", UserInfo, Waits, "UserInfo response's signature is not valid", |right| {
            crate::userinfo::jwt(FORGED_KEY.token(&crate::userinfo::signed(right, &json!({}))))
        }),
        case("UserInfo that is a page", UserInfo, Waits, "neither a JSON object", |_| Answer::text("<html>")),
        case("UserInfo that is down", UserInfo, Goes, "what it said before stays", |_| Answer::text("").status(500)),
        case("a key that nobody knows", Token, Goes, "a refreshed ID token is left out", |right| {
            right.with_id_token(NEW_KEY.token(&right.claims_with(&json!({"sub": "bob"}))))
        }),
        case("no ID token", Token, Goes, "session refreshed", |right| right.response_with(&json!({"id_token": null}))),
        case("an ID token of another algorithm", Token, Goes, "session refreshed", |right| {
            right.with_id_token(EC_KEY.token(&right.claims()))
        }),
        case("an ID token without nonce", Token, Goes, "session refreshed", |right| {
            right.with_id_token(RSA_KEY.token(&right.claims_with(&json!({"nonce": null}))))
        }),
        case("no refresh token", Token, Goes, "session refreshed", |right| {
            right.response_with(&json!({"refresh_token": null}))
        }),
    ]
}

/// Forced refreshes while the access token lives.
pub async fn play_while_valid(stage: &Stage) -> Vec<Browser> {
    let mut played = Vec::new();
    for case in cases() {
        let browser = stage.browser();
        browser.sign_in().await;
        let (session, from) = (browser.cookie(SESSION), stage.gate.log().len());
        let mine = stage.provider.last().access_token;
        stage.provider.plays(case.at, case.script.clone());
        let reply = browser.post("/bff/refresh").await;
        stage.provider.behaves();
        match case.fate {
            Fate::Goes => assert_eq!(reply.status.as_u16(), 200, "{}: {}", case.name, reply.body),
            Fate::Waits => {
                assert_eq!(reply.problem(503), "urn:sealgate:error:provider-unavailable", "{}", case.name);
                assert!(!reply.header("retry-after").is_empty(), "{}", case.name);
            }
            Fate::Ends => assert_eq!(reply.problem(401), "urn:sealgate:error:refresh-conflict", "{}", case.name),
        }
        stage.logs(from, case.log).await;
        assert_eq!(browser.cookie(SESSION) == session, case.fate != Fate::Goes, "{}", case.name);
        // Whatever it was, the session is whose it was, and its access token is used.
        assert_eq!(browser.user().await["sub"], "alice", "{}", case.name);
        assert_eq!(browser.user().await["groups"], json!(["staff"]), "{}", case.name);
        assert_eq!(browser.get("/api/status/200").await.status.as_u16(), 200, "{}", case.name);
        let sent = stage.upstream.last().header("authorization").concat();
        assert_eq!(sent == format!("Bearer {mine}"), case.fate != Fate::Goes, "{}", case.name);
        played.push((case, browser));
    }
    for (case, browser) in &played {
        if case.fate == Fate::Waits {
            eventually(case.name, PATIENCE, async || {
                (browser.post("/bff/refresh").await.status.as_u16() == 200).then_some(())
            })
            .await;
        }
    }
    assert_eq!(stage.provider.asked(Endpoint::Elsewhere), 0, "nobody was led elsewhere");
    played.into_iter().map(|(_, browser)| browser).collect()
}

/// Refreshes that a request needs, because its access token has expired.
pub async fn play_once_expired(stage: &Stage) -> Vec<Browser> {
    stage.provider.expires_in(1);
    let mut players = Vec::new();
    for case in cases() {
        let browser = stage.browser();
        browser.sign_in().await;
        players.push((case, browser));
    }
    reach(Instant::now() + Duration::from_millis(1_100)).await;
    stage.provider.expires_in(300);
    for (case, browser) in &players {
        let (session, from, before) = (browser.cookie(SESSION), stage.gate.log().len(), stage.upstream.seen().len());
        stage.provider.plays(case.at, case.script.clone());
        let reply = browser.post("/api/status/200").await;
        stage.provider.behaves();
        match case.fate {
            Fate::Goes => assert_eq!(reply.status.as_u16(), 200, "{}: {}", case.name, reply.body),
            Fate::Waits => {
                assert_eq!(reply.problem(503), "urn:sealgate:error:provider-unavailable", "{}", case.name);
                reply.touches_no_cookie();
            }
            Fate::Ends => assert_eq!(reply.problem(401), "urn:sealgate:error:refresh-conflict", "{}", case.name),
        }
        stage.logs(from, case.log).await;
        if case.fate != Fate::Goes {
            assert_eq!(stage.upstream.seen().len(), before, "{}: the API was asked", case.name);
            assert_eq!(browser.cookie(SESSION), session, "{}: the session's cookie is touched", case.name);
        }
    }
    reach(Instant::now() + GRACE).await;
    for (case, browser) in &players {
        let reply = browser.get("/api/status/200").await;
        if case.fate == Fate::Ends {
            assert_eq!(reply.problem(401), "urn:sealgate:error:session-expired", "{}", case.name);
            assert_eq!(browser.get("/bff/user").await.status.as_u16(), 401, "{}", case.name);
        } else {
            assert_eq!(reply.status.as_u16(), 200, "{}: {}", case.name, reply.body);
        }
    }
    players.into_iter().map(|(_, browser)| browser).collect()
}
