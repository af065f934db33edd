//! A cookie that is not exactly what we sealed, for exactly this place, is "signed out": never a session, never a 5xx,
//! and never a reason to delete cookies.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::sealed::SealedValue;
use crate::support::sealgate::{Sealgate, generate_ring};
use crate::support::world::SESSION;
use crate::support::{Reply, World, eventually};

fn is_signed_out(reply: &Reply, what: &str) {
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}: {}", reply.body);
    assert_eq!(reply.media_type(), "application/problem+json", "{what}");
    reply.touches_no_cookie();
}

/// Signed out at the API and at `/bff/user`.
async fn opens_nothing(gate: &Sealgate, cookies: &str, what: &str) {
    for path in ["/bff/user", "/api/echo"] {
        is_signed_out(&gate.get_with_cookies(path, cookies).await, what);
    }
}

async fn opens(gate: &Sealgate, cookies: &str) {
    let reply = gate.get_with_cookies("/bff/user", cookies).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
}

/// DESIGN §4: the key id is authenticated, the tag covers every byte.
#[tokio::test(flavor = "multi_thread")]
async fn no_bit_of_the_session_cookie_can_be_changed() {
    let world = World::signed_in().await;
    let sealed = SealedValue::parse(&world.session_cookie());
    opens(&world.gate, &format!("{SESSION}={}", world.session_cookie())).await;
    let positions = 0..sealed.bytes.len();
    stream::iter(positions.map(|byte| (byte, byte % 8)))
        .for_each_concurrent(8, async |(byte, bit)| {
            let cookie = format!("{SESSION}={}", sealed.with_flipped_bit(byte, bit));
            let reply = world.gate.get_with_cookies("/bff/user", &cookie).await;
            is_signed_out(&reply, &format!("byte {byte}, bit {bit}"));
        })
        .await;
}

/// CVE-2023-28625, CVE-2024-24814: crafted cookies and chunk counts.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_session_cookies_are_signed_out() {
    let world = World::signed_in().await;
    let value = world.session_cookie();
    let body = &value[1..];
    let half = &value[..value.len() / 2];
    let values = [
        String::new(),
        "1".to_owned(),
        "1AQ".to_owned(),
        format!("0{body}"),
        format!("2{body}"),
        format!("3{body}"),
        format!("9{body}"),
        format!("x{body}"),
        format!("99999999999999999999{body}"),
        body.to_owned(),
        half.to_owned(),
        format!("{value}="),
        format!("{value}A"),
        format!("{value}AAAA"),
        value.replace('-', "+").replace('_', "/") + "%2B",
        format!("\"{value}\""),
        "1".to_owned() + &"A".repeat(3_000),
        "1".to_owned() + &"!".repeat(40),
    ];
    for value in values {
        opens_nothing(&world.gate, &format!("{SESSION}={value}"), &value).await;
    }
}

/// RFC 6265bis §4.2; RFC 9113 §8.2.3
#[tokio::test(flavor = "multi_thread")]
async fn a_session_cookie_that_comes_twice_is_signed_out() {
    let world = World::signed_in().await;
    let value = world.session_cookie();
    opens_nothing(&world.gate, &format!("{SESSION}={value}; {SESSION}={value}"), "twice the same").await;
    opens_nothing(&world.gate, &format!("{SESSION}=1AAAA; {SESSION}={value}"), "a planted one first").await;
    opens(&world.gate, &format!("other=1; {SESSION}={value}; other=2")).await;
}

/// DESIGN §4: chunk 0 says how many there are, so that a stale chunk is never joined.
#[tokio::test(flavor = "multi_thread")]
async fn stale_chunks_beside_a_whole_session_are_not_joined() {
    let world = World::signed_in().await;
    let value = world.session_cookie();
    opens(&world.gate, &format!("{SESSION}={value}; {SESSION}.1=AAAA; {SESSION}.2=BBBB")).await;
    opens_nothing(&world.gate, &format!("{SESSION}.1={value}"), "a chunk without the first").await;
    opens_nothing(&world.gate, &format!("{SESSION}=2{}; {SESSION}.1=AAAA", &value[1..]), "a stale second chunk").await;
}

/// DESIGN §4: one subkey per purpose, and the purpose in the associated data.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_cookie_is_no_session() {
    let world = World::start().await;
    let login = world.browser.navigate("/bff/login").await.set_cookies().remove(0);
    for value in [login.value.clone(), format!("1{}", login.value), login.value[1..].to_owned()] {
        opens_nothing(&world.gate, &format!("{SESSION}={value}"), "the value of a login cookie").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_no_login_cookie() {
    let world = World::signed_in().await;
    let session = world.session_cookie();
    let other = world.new_browser();
    let callback = other.sign_in_up_to_callback("/bff/login").await;
    let name = other.cookie_names().remove(0);
    for value in [session.clone(), session[1..].to_owned()] {
        other.set_cookie(&name, &value);
        other.arrive_from_elsewhere(callback.as_str()).await.error_page(4);
    }
    assert_eq!(world.provider.stats().await.redemptions(), 1, "the first sign-in, and nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_under_another_cookie_name_is_signed_out() {
    let world = World::signed_in().await;
    let value = world.session_cookie();
    let renamed = world.another(|options| options.set("session.cookie_name", "__Host-other")).await;
    opens_nothing(&renamed, &format!("other={value}"), "another base name").await;
    for name in ["sealgate-seen", "sealgate_affinity", "Sealgate", "__Host-sealgate"] {
        opens_nothing(&world.gate, &format!("{name}={value}"), name).await;
    }
}

/// The control of the tests below: with the ring alone in common, a replica opens the cookie.
#[tokio::test(flavor = "multi_thread")]
async fn another_replica_with_the_same_ring_and_configuration_opens_the_session() {
    let world = World::signed_in().await;
    let replica = world.another(|options| options).await;
    opens(&replica, &format!("{SESSION}={}", world.session_cookie())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_origin_is_signed_out() {
    let world = World::signed_in().await;
    let sibling = world
        .another(|mut options| {
            options.public_url = format!("http://127.0.0.1:{}", options.port);
            options
        })
        .await;
    opens_nothing(&sibling, &format!("{SESSION}={}", world.session_cookie()), "another origin").await;
}

/// DESIGN §4: the client is inside the seal.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_client_is_signed_out() {
    let world = World::signed_in().await;
    let other = world.another(|options| options.set("provider.client_id", "another-client")).await;
    opens_nothing(&other, &format!("{SESSION}={}", world.session_cookie()), "another client").await;
}

/// DESIGN §4: the issuer is inside the seal.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_issuer_is_signed_out() {
    let world = World::signed_in().await;
    let issuer = format!("http://127.0.0.1:{}", world.provider.port());
    let other = world.another(|options| options.set("provider.issuer", json!(issuer))).await;
    opens_nothing(&other, &format!("{SESSION}={}", world.session_cookie()), "another issuer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_key_is_not_in_the_ring_is_signed_out() {
    let world = World::signed_in().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ring = folder.path().join("other.json");
    generate_ring(&ring, "10m").await;
    let other = world
        .another(|mut options| {
            options.ring = Some(ring.clone());
            options
        })
        .await;
    opens_nothing(&other, &format!("{SESSION}={}", world.session_cookie()), "another ring").await;
    assert!(other.metric(r#"sealgate_cookie_opens_total{key_state="unknown"}"#).await >= 2);
}

/// DESIGN §2 `session.absolute_timeout`: it ends whatever happens.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_past_its_absolute_end_is_signed_out() {
    let plan = World::plan().set("session.absolute_timeout", "5s").set("session.idle_timeout", "5s");
    let world = plan.set("session.refresh_before", "1s").signed_in().await;
    let cookies = format!("{SESSION}={}", world.session_cookie());
    opens(&world.gate, &cookies).await;
    eventually("the session's end", Duration::from_secs(15), async || {
        (world.gate.get_with_cookies("/bff/user", &cookies).await.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    opens_nothing(&world.gate, &cookies, "past its end").await;
}
