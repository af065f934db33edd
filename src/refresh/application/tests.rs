//! The application's tokens.

use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::oidc::test_party::{DISCOVERY, MARKER, metadata, quick, settings};
use crate::oidc::test_provider::{Answer, TestProvider};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

struct Stage {
    server: TestProvider,
    clock: Clock,
    metrics: Metrics,
    tokens: ApplicationTokens,
}

impl Stage {
    async fn new() -> Self {
        let server = TestProvider::start().await;
        server.answers(DISCOVERY, Answer::json(200, &metadata(&server)));
        let (clock, metrics) = (Clock::manual(NOW), Metrics::default());
        let provider = Provider::with_pacing(settings(&server.url("")), clock.clone(), Handle::current(), quick());
        let provider = provider.expect("a provider");
        let (before, runtime) = (Duration::from_secs(60), Handle::current());
        let tokens = ApplicationTokens::new(provider, before, clock.clone(), metrics.clone(), runtime);
        Self { server, clock, metrics, tokens }
    }

    fn gives(&self, token: &str, lifetime: u32) {
        let response = json!({"access_token": token, "token_type": "Bearer", "expires_in": lifetime});
        self.server.answers("/token", Answer::json(200, &response));
    }

    async fn token(&self) -> Result<String, NoApplicationToken> {
        self.tokens.token(&need()).await.map(|token| token.expose().to_owned())
    }

    fn asked(&self) -> usize {
        self.server.received("/token").len()
    }
}

fn need() -> TokenNeed {
    TokenNeed::new(vec!["stock.read".into()], Some("https://stock.example.com".into()), None)
}

/// RFC 6749 §4.4.2, RFC 8707 §2.2.
#[tokio::test]
async fn the_application_asks_in_its_own_name_with_scope_and_resource() {
    let stage = Stage::new().await;
    stage.gives("one", 300);
    assert_eq!(stage.token().await.as_deref(), Ok("one"));
    let request = stage.server.received("/token").remove(0);
    let parameter = |name| request.parameter(name);
    assert_eq!(parameter("grant_type").as_deref(), Some("client_credentials"));
    assert_eq!(parameter("scope").as_deref(), Some("stock.read"));
    assert_eq!(parameter("resource").as_deref(), Some("https://stock.example.com"));
    assert!(request.headers["authorization"].starts_with("Basic ") && parameter("refresh_token").is_none());
}

#[tokio::test]
async fn many_requests_at_once_cause_one_token_request() {
    let stage = Stage::new().await;
    stage.gives("one", 300);
    let got = join_all((0..50).map(|_| stage.token())).await;
    assert!(got.iter().all(|token| token.as_deref() == Ok("one")));
    assert_eq!(stage.asked(), 1);
}

#[tokio::test]
async fn each_need_has_a_token_of_its_own() {
    let stage = Stage::new().await;
    stage.gives("one", 300);
    assert_eq!(stage.token().await.as_deref(), Ok("one"));
    stage.gives("two", 300);
    assert_eq!(
        stage.tokens.token(&TokenNeed::default()).await.map(|token| token.expose().to_owned()).as_deref(),
        Ok("two")
    );
    assert_eq!(stage.token().await.as_deref(), Ok("one"));
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end_and_nobody_waits_for_that() {
    let stage = Stage::new().await;
    stage.gives("one", 300);
    assert!(stage.token().await.is_ok());
    stage.gives("two", 300);
    stage.clock.advance(Duration::from_secs(239));
    assert_eq!((stage.token().await.as_deref(), stage.asked()), (Ok("one"), 1));
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.token().await.as_deref(), Ok("one"), "a fifth of its life is left");
    stage.server.wait_for("/token", 2).await;
    let renewed = async {
        while stage.token().await.as_deref() != Ok("two") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed).await.expect("the new token");
    assert_eq!(stage.asked(), 2);
}

#[tokio::test]
async fn a_provider_that_is_down_is_left_in_peace_for_a_while() {
    let stage = Stage::new().await;
    stage.server.answers("/token", Answer::text(503, "{}").with("retry-after", "7"));
    for _ in 0..5 {
        let Err(NoApplicationToken::Unavailable { retry_after }) = stage.token().await else { panic!("no token") };
        assert!(retry_after > Duration::from_secs(5), "{retry_after:?}");
    }
    assert_eq!(stage.asked(), 1);
    assert!(stage.metrics.render().contains("application_tokens_total{outcome=\"unavailable\"} 1"));
}

#[tokio::test]
async fn a_valid_token_outlives_the_provider_s_failure() {
    let stage = Stage::new().await;
    stage.gives("one", 300);
    assert!(stage.token().await.is_ok());
    stage.server.answers("/token", Answer::text(500, "{}"));
    stage.clock.advance(Duration::from_secs(299));
    assert_eq!(stage.token().await.as_deref(), Ok("one"));
    stage.server.wait_for("/token", 2).await;
    stage.clock.advance(Duration::from_secs(1));
    assert!(matches!(stage.token().await, Err(NoApplicationToken::Unavailable { .. })));
}

/// RFC 6749 §5.2.
#[tokio::test]
async fn a_refusal_is_told_apart_and_not_repeated_at_once() {
    let stage = Stage::new().await;
    stage.server.answers("/token", Answer::json(400, &json!({"error": "unauthorized_client"})));
    for _ in 0..3 {
        assert_eq!(stage.token().await, Err(NoApplicationToken::Refused));
    }
    assert_eq!(stage.asked(), 1);
}

#[tokio::test]
async fn a_token_without_a_life_is_none() {
    let stage = Stage::new().await;
    stage.gives("one", 0);
    assert_eq!(stage.token().await, Err(NoApplicationToken::Refused));
    assert_eq!(stage.asked(), 1);
}

#[tokio::test]
async fn debug_shows_no_token() {
    let stage = Stage::new().await;
    stage.gives(MARKER, 300);
    assert!(stage.token().await.is_ok());
    assert!(!format!("{:?}", stage.tokens).contains(MARKER));
}
