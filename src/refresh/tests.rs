//! Flights for several needs, one after the other.

use base64::Engine as _;
use serde_json::{Value, json};

use super::flight::Flown;
use super::*;
use crate::base64url::BASE64URL;
use crate::oidc::UserInfoUse;
use crate::oidc::test_party::{DISCOVERY, metadata, quick, settings};
use crate::oidc::test_provider::{Answer, TestProvider};
use crate::secret::{AccessToken, IdToken};
use crate::session::Generation;
use crate::session::tests::{NOW, a_session};

struct Stage {
    server: TestProvider,
    refresher: Refresher,
    clock: Clock,
}

impl Stage {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut crate::oidc::ProviderSettings)) -> Self {
        let server = TestProvider::start().await;
        server.answers(DISCOVERY, Answer::json(200, &metadata(&server)));
        let mut settings = settings(&server.url(""));
        change(&mut settings);
        let site = crate::session::store::tests::site();
        let (clock, runtime) = (site.clock.clone(), Handle::current());
        let provider =
            Provider::with_pacing(settings, clock.clone(), runtime.clone(), quick()).expect("no network is needed");
        let refresher = Refresher::new(
            Providers::for_tests(a_session().provider, provider),
            site.sessions.clone(),
            clock.clone(),
            Metrics::default(),
            runtime,
        );
        Self { server, refresher, clock }
    }

    /// One answer of the token endpoint.
    fn gives(&self, access_token: &str, more: Value) {
        let mut response = json!({"access_token": access_token, "token_type": "Bearer", "expires_in": 600});
        response.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.server.answers_once("/token", Answer::json(200, &response));
    }

    fn refuses(&self, error: &str) {
        self.server.answers_once("/token", Answer::json(400, &json!({ "error": error })));
    }

    async fn usable(&self, session: &Arc<Session>, api: &str) -> Result<Usable, Unusable> {
        self.refresher.usable_for(&active(session), Some(&need(api))).await
    }

    /// What was sent to the token endpoint under that name, in order.
    fn sent(&self, name: &str) -> Vec<String> {
        self.server.received("/token").iter().filter_map(|request| request.parameter(name)).collect()
    }
}

fn need(api: &str) -> TokenNeed {
    TokenNeed::new(Vec::new(), Some(format!("https://{api}.example.com")), None)
}

fn active(session: &Arc<Session>) -> ActiveSession {
    ActiveSession { session: session.clone(), last_seen: NOW, cookie_characters: 0 }
}

/// A session whose claims name who it belongs to, with this first access token.
fn signed_in_with(access_token: &str) -> Arc<Session> {
    let claims = json!({"iss": "https://login.example.com", "sub": "ada", "aud": "client"}).to_string();
    let id_token = IdToken::new(format!("e30.{}.c2ln", BASE64URL.encode(claims)));
    let session = a_session();
    let mut first = session.access_tokens[0].clone();
    first.token = AccessToken::new(access_token);
    let mut session = session.refreshed(first, None, Some(id_token), NOW);
    session.generation = Generation(0);
    Arc::new(session)
}

fn signed_in() -> Arc<Session> {
    signed_in_with("the access token")
}

fn token_of<'a>(session: &'a Session, api: &str) -> Option<&'a str> {
    session.access_token_for(Some(&need(api))).map(|stored| stored.token.expose())
}

fn reason(usable: Result<Usable, Unusable>) -> NotGranted {
    match usable {
        Err(Unusable::NotGranted(reason)) => reason,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it is usable"),
    }
}

#[tokio::test]
async fn a_request_that_looked_before_a_landing_boards_no_second_flight() {
    let Stage { refresher, .. } = Stage::new().await;
    let old = signed_in();
    let token = old.access_tokens[0].clone();
    let sealed = refresher.0.sessions.seal(old.refreshed(token, None, None, NOW)).expect("it fits");
    refresher.keep(&old, None, &Flown::from(Ok(sealed)));
    assert!(matches!(refresher.join_or_start(&old, None), Ok(Boarding::Landed(_))));
    assert!(refresher.state().flights.is_empty());
}

/// RFC 8707 §2.2.
#[tokio::test]
async fn a_token_for_an_api_is_had_once_and_stands_beside_the_login_s() {
    let (stage, session) = (Stage::new().await, signed_in());
    stage.gives("for-orders", json!({"refresh_token": "second"}));
    let Ok(usable) = stage.usable(&session, "orders").await else { panic!("a token") };
    assert_eq!(token_of(&usable.session, "orders"), Some("for-orders"));
    assert!(usable.session.access_token() == session.access_token());
    assert_eq!(usable.session.generation, Generation(1));
    assert_eq!(stage.sent("resource"), ["https://orders.example.com"]);
    let renewed = usable.renewed.expect("cookies to deliver").sealed().session.clone();
    // With the older cookie and with the newer.
    for session in [&session, &renewed] {
        let Ok(usable) = stage.usable(session, "orders").await else { panic!("a token") };
        assert_eq!(token_of(&usable.session, "orders"), Some("for-orders"));
    }
    assert_eq!(stage.server.received("/token").len(), 1);
}

/// RFC 6749 §6: with the newest refresh token each, never two at once.
#[tokio::test]
async fn needs_that_come_at_once_fly_one_after_the_other() {
    let (stage, session) = (Stage::new().await, signed_in());
    for (index, token) in ["first", "second", "third"].iter().enumerate() {
        stage.gives(&format!("{token}-access"), json!({"refresh_token": format!("refresh {index}")}));
    }
    let apis = ["orders", "billing", "stock"];
    let got = futures_util::future::join_all(apis.map(|api| stage.usable(&session, api))).await;
    for (usable, api) in got.iter().zip(apis) {
        let session = &usable.as_ref().unwrap_or_else(|_| panic!("a token for {api}")).session;
        assert!(token_of(session, api).is_some(), "{api}");
    }
    let mut sent = stage.sent("refresh_token");
    assert_eq!(sent, ["the refresh token", "refresh 0", "refresh 1"]);
    sent = stage.sent("resource");
    sent.sort();
    assert_eq!(sent, ["https://billing.example.com", "https://orders.example.com", "https://stock.example.com"]);
    let newest = stage.refresher.look(&active(&session)).session;
    assert_eq!(newest.generation, Generation(3));
    assert!(apis.iter().all(|api| token_of(&newest, api).is_some()));
}

#[tokio::test]
async fn refreshing_one_token_keeps_the_valid_ones_and_drops_the_expired() {
    let (stage, session) = (Stage::new().await, signed_in());
    stage.gives("orders", json!({"expires_in": 60}));
    stage.gives("billing", json!({"expires_in": 600}));
    assert!(stage.usable(&session, "orders").await.is_ok() && stage.usable(&session, "billing").await.is_ok());
    stage.clock.advance(Duration::from_secs(299));
    // The login's expires in a second.
    stage.gives("login", json!({}));
    let Ok(usable) = stage.refresher.force(&active(&session)).await else { panic!("refreshed") };
    assert_eq!(usable.session.access_token().map(|stored| stored.token.expose()), Some("login"));
    assert_eq!((token_of(&usable.session, "orders"), token_of(&usable.session, "billing")), (None, Some("billing")));
}

#[tokio::test]
async fn a_forced_refresh_is_of_the_login_s_token_whatever_else_has_landed() {
    let (stage, session) = (Stage::new().await, signed_in());
    stage.gives("orders", json!({}));
    assert!(stage.usable(&session, "orders").await.is_ok());
    stage.gives("login", json!({}));
    let Ok(usable) = stage.refresher.force(&active(&session)).await else { panic!("refreshed") };
    assert_eq!(usable.session.access_token().map(|stored| stored.token.expose()), Some("login"));
    assert_eq!(usable.session.generation, Generation(2));
}

/// RFC 8707 §2, RFC 6749 §5.2.
#[tokio::test]
async fn a_refusal_of_one_api_ends_no_session_and_is_remembered() {
    let (stage, session) = (Stage::new().await, signed_in());
    for (api, error) in [("orders", "invalid_target"), ("billing", "invalid_scope"), ("stock", "access_denied")] {
        stage.refuses(error);
        for _ in 0..2 {
            assert!(matches!(reason(stage.usable(&session, api).await), NotGranted::Refused), "{error}");
        }
    }
    assert_eq!(stage.server.received("/token").len(), 3);
    assert!(stage.refresher.usable(&active(&session)).await.is_ok());
    stage.gives("others", json!({}));
    assert!(stage.usable(&session, "others").await.is_ok(), "other APIs are asked for");
    stage.gives("login", json!({}));
    assert!(stage.refresher.force(&active(&session)).await.is_ok());
}

#[tokio::test]
async fn the_refresh_token_that_came_with_a_token_for_another_api_is_kept() {
    let claims = BASE64URL.encode(json!({"aud": "https://login-api.example.com"}).to_string());
    let jwt = format!("e30.{claims}.c2ln");
    let (stage, session) = (Stage::new().await, signed_in_with(&jwt));
    stage.gives(&jwt, json!({"refresh_token": "second"}));
    for _ in 0..2 {
        assert!(matches!(reason(stage.usable(&session, "orders").await), NotGranted::AnotherApi));
    }
    assert_eq!(stage.server.received("/token").len(), 1);
    let look = stage.refresher.look(&active(&session));
    assert!(look.renewed.is_some(), "its cookie is to be delivered");
    assert_eq!(look.session.refresh_token().map(RefreshToken::expose), Some("second"));
    assert!(token_of(&look.session, "orders").is_none());
}

#[tokio::test]
async fn a_token_that_fits_no_cookie_costs_its_own_route_alone() {
    let (stage, session) = (Stage::new().await, signed_in());
    let huge = incompressible(6_000);
    stage.gives(&huge, json!({"refresh_token": "second"}));
    assert!(matches!(reason(stage.usable(&session, "orders").await), NotGranted::TooLarge(_)));
    let look = stage.refresher.look(&active(&session)).session;
    assert_eq!(look.refresh_token().map(RefreshToken::expose), Some("second"));
    assert!(stage.refresher.usable(&active(&look)).await.is_ok());
}

#[tokio::test]
async fn tokens_that_were_left_out_are_had_again_and_the_repetition_is_noticed() {
    let (stage, session) = (Stage::new().await, signed_in());
    let large = || incompressible(2_500);
    for round in 0..3 {
        for api in ["orders", "billing"] {
            stage.gives(&large(), json!({}));
            let Ok(usable) = stage.usable(&session, api).await else { panic!("{api} in round {round}") };
            assert!(token_of(&usable.session, api).is_some());
        }
    }
    // Each but the very first has driven out the other.
    assert_eq!(stage.server.received("/token").len(), 6);
    assert_eq!(stage.refresher.0.metrics.token_drops.get(), 5);
}

/// RFC 10017 §6.1.2.2.
#[tokio::test]
async fn a_dead_refresh_token_is_one_for_every_need() {
    let (stage, session) = (Stage::new().await, signed_in());
    stage.refuses("invalid_grant");
    for api in ["orders", "billing"] {
        assert!(matches!(stage.usable(&session, api).await, Err(Unusable::Conflict { expired: true })));
    }
    assert_eq!(stage.server.received("/token").len(), 1);
    assert!(stage.refresher.usable(&active(&session)).await.is_ok(), "the login's token lives");
}

#[tokio::test]
async fn a_session_without_a_refresh_token_has_no_token_but_the_login_s() {
    let (stage, session) = (Stage::new().await, signed_in());
    let new = crate::session::NewSession {
        provider: session.provider.clone(),
        absolute_end: session.absolute_end,
        access_token: session.access_tokens[0].clone(),
        refresh_token: None,
        id_token: session.id_token().expect("one").clone(),
    };
    let session = Arc::new(Session::begin(session.sid, new, NOW));
    assert!(matches!(reason(stage.usable(&session, "orders").await), NotGranted::NoRefreshToken));
    stage.clock.advance(Duration::from_secs(300));
    assert!(matches!(stage.usable(&session, "orders").await, Err(Unusable::Ended)));
}

/// CVE-2021-41230: claims of UserInfo, which come with the login's token, are never older than that.
#[tokio::test]
async fn claims_that_come_with_the_login_s_token_are_renewed_before_another_api_s_token() {
    let stage = Stage::with(|settings| settings.userinfo = UserInfoUse::Login).await;
    let (session, orders) = (signed_in(), need("orders"));
    assert_eq!(stage.refresher.aim(&session, Some(&orders)), Some(&orders));
    stage.clock.advance(Duration::from_secs(300));
    assert_eq!(stage.refresher.aim(&session, Some(&orders)), None);
    let without = Stage::new().await;
    without.clock.advance(Duration::from_secs(300));
    assert_eq!(without.refresher.aim(&session, Some(&orders)), Some(&orders));
}

#[tokio::test]
async fn a_token_without_a_life_is_not_asked_for_for_ever() {
    let stage = Stage::with(|settings| settings.userinfo = UserInfoUse::Login).await;
    let session = signed_in();
    stage.clock.advance(Duration::from_secs(300));
    let mut document = metadata(&stage.server);
    document["userinfo_endpoint"] = stage.server.url("/userinfo").into();
    stage.server.answers(DISCOVERY, Answer::json(200, &document));
    stage.server.answers("/userinfo", Answer::json(200, &json!({"sub": "ada"})));
    for _ in 0..5 {
        stage.gives("lifeless", json!({"expires_in": 0}));
    }
    assert!(matches!(stage.usable(&session, "orders").await, Err(Unusable::ProviderUnavailable { .. })));
    assert_eq!(stage.server.received("/userinfo").len(), 2);
    assert_eq!(stage.server.received("/token").len(), 2);
}

fn incompressible(bytes: usize) -> String {
    use rand::TryRng as _;
    let mut random = vec![0; bytes * 3 / 4];
    rand::rngs::SysRng.try_fill_bytes(&mut random).expect("randomness");
    BASE64URL.encode(random)
}
