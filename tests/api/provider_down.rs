//! The provider may be down at any time, or have another time; who is signed in need not notice.

use std::time::Duration;

use reqwest::StatusCode;
use tempfile::TempDir;

use crate::support::ports::free_port;
use crate::support::sealgate::run_with;
use crate::support::{Browser, Provider, ProviderOptions, Sealgate, SealgateOptions, Upstream, World, eventually};

/// Complaint of peers' users: provider down at start-up.
#[tokio::test(flavor = "multi_thread")]
async fn the_provider_may_be_down_at_start_up_and_logins_work_once_it_is_there() {
    let (port, upstream) = (free_port(), Upstream::start().await);
    let gate = Sealgate::start(SealgateOptions::new(&format!("http://localhost:{port}"), upstream.port)).await;
    let browser = Browser::new(gate.url());
    let reply = browser.navigate("/bff/login").await;
    assert_eq!(reply.error_page(5), 503);
    reply.touches_no_cookie();
    assert_eq!(reply.header("retry-after").len(), 1);
    assert_eq!(gate.management("/readyz").await, Some(StatusCode::OK), "a provider that is down is no reason to drain");

    let provider = Provider::start(ProviderOptions { port, ..ProviderOptions::default() }).await;
    provider.register(gate.options.registration()).await;
    eventually("login to work again", Duration::from_secs(30), async || {
        (browser.navigate("/bff/login").await.status == StatusCode::SEE_OTHER).then_some(())
    })
    .await;
    browser.sign_in().await;
    assert_eq!(browser.user().await["sub"], "ada");
}

/// A Sealgate of its own whose clock is off by that, and a browser. Its key ring is older than its clock is slow.
async fn off_by(
    clock: &str,
    provider: &Provider,
    upstream: &Upstream,
    tolerance: &str,
) -> (Sealgate, Browser, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ring = folder.path().join("ring.json");
    let earlier = [("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1"), ("FAKETIME", "-5m")];
    let made = run_with(&["keys", "generate", "--ring", ring.to_str().expect("a path in UTF-8")], &earlier).await;
    assert!(made.status.success(), "{made:?}");
    let mut options = SealgateOptions::new(&provider.issuer, upstream.port).set("provider.clock_skew", tolerance);
    (options.clock, options.ring) = (clock.to_owned(), Some(ring));
    provider.register(options.registration()).await;
    let gate = Sealgate::start(options).await;
    let browser = Browser::new(gate.url());
    (gate, browser, folder)
}

/// Complaint of peers' users: clock skew. OpenID Connect Core §3.1.3.7 items 9 and 10: with some leeway.
#[tokio::test(flavor = "multi_thread")]
async fn clock_skew_below_the_tolerance_fails_no_login() {
    let (provider, upstream) = (Provider::start(ProviderOptions::default()).await, Upstream::start().await);
    for clock in ["-45s", "+45s"] {
        let (_gate, browser, _ring) = off_by(clock, &provider, &upstream, "60s").await;
        browser.sign_in().await;
        assert_eq!(browser.post("/bff/refresh").await.status, StatusCode::OK, "{clock}");
        assert_eq!(browser.user().await["sub"], "ada", "{clock}");
    }
}

/// Complaint of peers' users: clock skew. Beyond the tolerance an ID token is from the future, and the log says what to
/// look at.
#[tokio::test(flavor = "multi_thread")]
async fn clock_skew_beyond_the_tolerance_is_named_in_the_log() {
    let (provider, upstream) = (Provider::start(ProviderOptions::default()).await, Upstream::start().await);
    let (gate, browser, _ring) = off_by("-45s", &provider, &upstream, "10s").await;
    let callback = browser.sign_in_up_to_callback("/bff/login").await;
    browser.arrive_from_elsewhere(callback.as_str()).await.error_page(5);
    assert_eq!(browser.cookie("sealgate"), None);
    assert!(gate.log().contains("compare the clocks"), "{}", gate.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_session_works_on_while_the_provider_is_down() {
    let World { provider, upstream, gate, browser } = World::signed_in().await;
    provider.stop().await;
    assert_eq!(browser.user().await["sub"], "ada");
    assert_eq!(browser.get("/api/echo").await.status, StatusCode::OK);
    let refresh = browser.post("/bff/refresh").await;
    refresh.problem(503);
    refresh.touches_no_cookie();
    assert_eq!(browser.get("/api/echo").await.status, StatusCode::OK);
    assert_eq!(gate.management("/readyz").await, Some(StatusCode::OK));
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_that_is_down_ends_the_login_with_a_page() {
    let world = World::start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
    world.provider.fail(500, Some(&["token"])).await;
    let reply = world.browser.arrive_from_elsewhere(callback.as_str()).await;
    reply.error_page(5);
    assert_eq!(world.browser.cookie("sealgate"), None);
    world.provider.recover().await;
    world.browser.sign_in().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_answer_is_given_up() {
    let world = World::plan().set("provider.request_timeout", "1s").start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
    world.provider.hold(&["token"]).await;
    let reply = world.browser.arrive_from_elsewhere(callback.as_str()).await;
    reply.error_page(5);
}

/// RFC 8414 §3.3
#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_another_issuer_is_refused() {
    let world = World::start().await;
    let issuer = format!("http://127.0.0.1:{}", world.provider.port());
    let gate = world.another(|options| options.set("provider.issuer", issuer)).await;
    let reply = gate.get_with_cookies("/bff/user", "").await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let direct = Browser::new(&format!("http://127.0.0.1:{}", gate.options.port));
    let login = direct.navigate("/bff/login").await;
    login.error_page(5);
    assert!(login.header("location").is_empty());
}
