//! A provider that is hostile, or broken, against the real binary: every answer of it, whole, cut, forged or without
//! end, leads to a page that says so, to no session, and to nothing secret in a page or the log.
//!
//! The cases are data: a name, the endpoint, its answer, and what becomes of the login. For every one, whatever it is
//! about: no session cookie, the login used up, the code brought at most once, and a reason in the log.

mod answer;
mod callbacks;
mod certificates;
mod conformance;
mod id_tokens;
mod keys;
mod metadata;
mod provider;
mod pushed;
mod refreshes;
mod right;
mod stage;
#[path = "../support/support.rs"]
mod support;
#[allow(dead_code, reason = "the unit tests use the rest of it")]
#[path = "../../src/oidc/test_keys.rs"]
mod test_keys;
mod token_response;
mod userinfo;
mod who;

use futures_util::{StreamExt as _, stream};

use self::provider::{Endpoint, Provider};
use self::stage::{Stage, play};

/// Growth of the resident memory over three hundred hostile answers, some of them of megabytes.
const MOST_GROWTH_KIB: u64 = 32 * 1024;

/// RFC 6749 §5, OpenID Connect Core §3.1.3.7, §5.3: all tables against one server.
#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_answer_to_a_login_is_refused_and_leaves_nothing_behind() {
    let stage = Stage::start().await;
    let mut browsers = play(&stage, &token_response::cases()[..1]).await;
    let before = stage.gate.resident_kib();
    for cases in [callbacks::cases(), token_response::cases(), id_tokens::cases(), userinfo::cases()] {
        browsers.extend(play(&stage, &cases).await);
    }
    stage.leaks_nothing(&browsers);
    let grown = stage.gate.resident_kib().saturating_sub(before);
    assert!(grown < MOST_GROWTH_KIB, "{grown} KiB more");
}

/// OpenID Connect Discovery §4.3, RFC 8414 §3.3
#[tokio::test(flavor = "multi_thread")]
async fn hostile_metadata_begin_no_login_and_are_forgotten_once_there_are_good_ones() {
    let provider = Provider::start().await;
    provider.answers(Endpoint::Discovery, |_| answer::Answer::hang_up());
    let stage = Stage::around(provider, |options| options).await;
    let browsers = metadata::play_discovery(&stage, metadata::discovery()).await;
    stage.leaks_nothing(&browsers);
}

/// RFC 7517 §5, OpenID Connect Core §10.1
#[tokio::test(flavor = "multi_thread")]
async fn hostile_key_sets_verify_nothing() {
    let cases: Vec<_> = metadata::key_sets().into_iter().chain(metadata::odd_key_sets()).collect();
    stream::iter(&cases).for_each_concurrent(2, metadata::play_key_set).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_set_is_asked_for_again_at_the_next_login() {
    for case in metadata::no_key_sets() {
        metadata::play_key_set(&case).await;
    }
}

/// OpenID Connect Core §12.2, RFC 6749 §6
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_answer_to_a_refresh_leaves_a_session_alone_while_its_access_token_lives() {
    let stage = Stage::start().await;
    let browsers = refreshes::play_while_valid(&stage).await;
    stage.leaks_nothing(&browsers);
}

/// RFC 10017 §6.1.2.2
#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_access_token_has_expired_waits_for_the_provider_or_ends_as_the_answer_says() {
    let stage = Stage::start().await;
    let browsers = refreshes::play_once_expired(&stage).await;
    stage.leaks_nothing(&browsers);
}

/// RFC 7009 §2.2
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_answer_to_a_revocation_keeps_nobody_signed_in() {
    let stage = Stage::start().await;
    let browsers = callbacks::play_logouts(&stage).await;
    stage.leaks_nothing(&browsers);
}

/// RFC 9126 §2.2
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_answer_to_a_pushed_request_begins_no_login() {
    let provider = Provider::start().await;
    provider.answers(Endpoint::Discovery, |right| {
        let pushed = serde_json::json!({"pushed_authorization_request_endpoint": format!("{}/par", right.issuer)});
        answer::Answer::json(&right::changed(right.metadata(), &pushed))
    });
    let stage = Stage::around(provider, |options| options).await;
    let browsers = pushed::play(&stage).await;
    stage.leaks_nothing(&browsers);
}
