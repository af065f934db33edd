//! A provider that is hostile, or broken, against the real binary: every answer of it, whole, cut, forged or without
//! end, leads to a page that says so, to no session, and to nothing secret in a page or the log.
//!
//! The cases are data: a name, the endpoint, its answer, and what becomes of the login. For every one, whatever it is
//! about: no session cookie, the login used up, the code brought at most once, and a reason in the log.

mod answer;
mod id_tokens;
mod keys;
mod provider;
mod stage;
#[path = "../support/support.rs"]
mod support;
#[allow(dead_code, reason = "the unit tests use the rest of it")]
#[path = "../../src/oidc/test_keys.rs"]
mod test_keys;
mod token_response;
mod userinfo;

use self::stage::{Stage, play};

/// Growth of the resident memory over hundreds of hostile answers, tens of megabytes each.
const MOST_GROWTH_KIB: u64 = 48 * 1024;

/// RFC 6749 §5, OpenID Connect Core §3.1.3.7, §5.3: all tables against one server.
#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_answer_to_a_login_is_refused_and_leaves_nothing_behind() {
    let stage = Stage::start().await;
    let mut browsers = play(&stage, &token_response::cases()[..1]).await;
    let before = stage.gate.resident_kib();
    for cases in [token_response::cases(), id_tokens::cases(), userinfo::cases()] {
        browsers.extend(play(&stage, &cases).await);
    }
    stage.leaks_nothing(&browsers);
    let grown = stage.gate.resident_kib().saturating_sub(before);
    assert!(grown < MOST_GROWTH_KIB, "{grown} KiB more");
    eprintln!("GROWN {grown}");
}
