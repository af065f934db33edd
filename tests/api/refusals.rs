//! What the log says of a session cookie that is refused, for whoever has to find out why a user is signed out. The
//! cookies are sealed here, with the server's own ring; no provider is needed.

use std::time::Duration;

use reqwest::StatusCode;
use sealgate::clock::Clock;
use sealgate::keyring::{KeyRing, RingFile, RingUpdateError};
use serde_json::Value;

use crate::support::alone::{alone, session_cookie};
use crate::support::eventually;
use crate::support::sealgate::Sealgate;

/// The log lines about refused sessions, after a request with these cookies was answered with 401.
async fn lines_after(gate: &Sealgate, cookies: &str) -> Vec<Value> {
    let reply = gate.get_with_cookies("/bff/user", cookies).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(reply.set_cookies().is_empty(), "a cookie that does not open is never deleted");
    eventually("a line in the log", Duration::from_secs(20), async || {
        let log = gate.log();
        assert!(!log.contains("hunter2"));
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let refused: Vec<_> =
            lines.filter(|line| line["message"] == "signed out" || line["event"] == "other_provider").collect();
        (!refused.is_empty()).then_some(refused)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_client_is_refused_with_a_line_of_its_own() {
    let gate = alone(|options| options).await.gate;
    let good = session_cookie(&gate, gate.url(), &gate.options.client_id);
    assert_eq!(gate.get_with_cookies("/bff/user", &good).await.status, StatusCode::OK, "the control");
    let lines = lines_after(&gate, &session_cookie(&gate, gate.url(), "another-client")).await;
    assert_eq!((lines.len(), &lines[0]["event"]), (1, &"other_provider".into()), "{lines:?}");
    assert!(lines[0]["message"].as_str().is_some_and(|text| text.contains("client_id may have changed")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_site_is_refused_with_a_hint_at_the_keys_that_may_have_changed() {
    let gate = alone(|options| options).await.gate;
    let lines = lines_after(&gate, &session_cookie(&gate, "https://old.example.com", &gate.options.client_id)).await;
    let reason = lines[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("session.cookie_name or server.public_url may have changed"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_s_session_is_refused_with_the_key_id() {
    let gate = alone(|options| options).await.gate;
    let cookie = session_cookie(&gate, gate.url(), &gate.options.client_id);
    let now = Clock::system().now();
    let revoke = |ring: &mut KeyRing| {
        let kid = ring.primary(now).expect("a primary key").kid();
        ring.revoke(kid, now).expect("a key of the ring");
        Ok::<_, RingUpdateError>(kid)
    };
    let (_, kid) = RingFile::new(gate.ring.clone()).update(revoke).expect("a writable ring");
    eventually("the new ring", Duration::from_secs(30), async || {
        gate.management_text("/ring").await.contains(r#""generation":2"#).then_some(())
    })
    .await;
    let lines = lines_after(&gate, &cookie).await;
    let reason = lines[0]["reason"].as_str().expect("a reason");
    assert!(reason.ends_with(&format!("the key {kid} is revoked")), "{lines:?}");
}
