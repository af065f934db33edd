//! Pushed requests against a provider that takes them, refuses them, or answers nonsense.

use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::oidc::test_keys::TestKey;
use crate::oidc::test_party::{DISCOVERY, MARKER, REDIRECT_URI, TestParty, metadata, nonce, verifier};
use crate::oidc::test_provider::Answer;
use crate::oidc::{
    AuthorizationRequest, AuthorizationSettings, ClientAuth, OAuthError, Preset, PushedRequests, ResponseMode,
    TokenNeed,
};
use crate::secret::State;

const REFERENCE: &str = "urn:ietf:params:oauth:request_uri:a+b";

/// A party whose provider announces what `members` add, and whose requests are as `settings` say.
async fn party(members: Value, settings: AuthorizationSettings) -> TestParty {
    let party = TestParty::with(TestKey::es256("k1"), |all| {
        all.authorization = settings;
        all.request_timeout = Duration::from_millis(500);
    })
    .await;
    let mut document = metadata(&party.server);
    for (name, value) in members.as_object().expect("an object") {
        document[name] = if name.ends_with("_endpoint") {
            json!(party.server.url(value.as_str().expect("a path")))
        } else {
            value.clone()
        };
    }
    party.server.answers(DISCOVERY, Answer::json(200, &document));
    party.server.answers("/par", Answer::json(201, &json!({"request_uri": REFERENCE, "expires_in": 60})));
    party
}

fn announced() -> Value {
    json!({"pushed_authorization_request_endpoint": "/par"})
}

fn with(pushed: PushedRequests) -> AuthorizationSettings {
    AuthorizationSettings { pushed, ..AuthorizationSettings::default() }
}

async fn url_with(party: &TestParty, extra: &[(&str, &str)]) -> Result<Url, AuthorizationError> {
    let (state, nonce, verifier) = (State::new(format!("{MARKER}-state")), nonce(), verifier());
    let request = AuthorizationRequest {
        state: &state,
        nonce: &nonce,
        verifier: &verifier,
        redirect_uri: REDIRECT_URI,
        max_age: None,
        extra: extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    party.provider.authorization_url(&request).await
}

async fn url(party: &TestParty) -> Result<Url, AuthorizationError> {
    url_with(party, &[]).await
}

fn query(url: &Url) -> Vec<(String, String)> {
    url.query_pairs().into_owned().collect()
}

/// RFC 9126 §2.1, §4
#[tokio::test]
async fn the_browser_carries_nothing_but_the_reference_and_the_client() {
    let party = party(announced(), AuthorizationSettings::default()).await;
    let url = url(&party).await.expect("a URL");
    let expected = [("client_id", "client"), ("request_uri", REFERENCE)];
    assert_eq!(query(&url), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let request = &party.server.received("/par")[0];
    assert!(request.headers.contains_key("authorization"), "the client is authenticated");
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "client"),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid offline_access"),
        ("code_challenge_method", "S256"),
        ("nonce", nonce().expose()),
        ("state", &format!("{MARKER}-state")),
    ] {
        assert_eq!(request.parameter(name).as_deref(), Some(value), "{name}");
    }
    assert!(!request.body.contains(verifier().expose()));
}

/// RFC 9126 §4
#[tokio::test]
async fn every_login_pushes_a_request_of_its_own() {
    let party = party(announced(), AuthorizationSettings::default()).await;
    for _ in 0..2 {
        url(&party).await.expect("a URL");
    }
    assert_eq!(party.server.received("/par").len(), 2);
}

/// RFC 9126 §2.1: the client is authenticated once, whatever a link says.
#[tokio::test]
async fn a_link_cannot_bring_credentials_into_the_pushed_form() {
    let party = party(announced(), AuthorizationSettings::default()).await;
    let names = ["client_secret", "client_assertion", "client_assertion_type", "request", "request_uri", "client_id"];
    url_with(&party, &names.map(|name| (name, "evil"))).await.expect("a URL");
    assert!(!party.server.received("/par")[0].body.contains("evil"));
}

/// RFC 9126 §5
#[tokio::test]
async fn requests_are_pushed_where_that_is_announced_and_allowed() {
    let required = json!({"require_pushed_authorization_requests": true});
    for (members, pushed, expected) in [
        (json!({}), PushedRequests::Auto, Ok(0)),
        (json!({}), PushedRequests::Never, Ok(0)),
        (json!({}), PushedRequests::Always, Err(AuthorizationError::NoPushedEndpoint)),
        (announced(), PushedRequests::Auto, Ok(1)),
        (announced(), PushedRequests::Always, Ok(1)),
        (announced(), PushedRequests::Never, Ok(0)),
        (required, PushedRequests::Auto, Err(AuthorizationError::NoPushedEndpoint)),
    ] {
        let party = party(members.clone(), with(pushed)).await;
        let outcome = url(&party).await.map(|_| party.server.received("/par").len());
        assert_eq!(outcome, expected, "{members} {pushed:?}");
    }
}

/// RFC 9126 §2.3
#[tokio::test]
async fn a_refusal_is_told_by_its_code_and_repeats_nothing() {
    let party = party(announced(), AuthorizationSettings::default()).await;
    let description = format!("no such state: {MARKER}-state");
    let body = json!({"error": "invalid_request", "error_description": description});
    party.server.answers("/par", Answer::json(400, &body));
    let error = url(&party).await.expect_err("refused");
    assert_eq!(error, AuthorizationError::Rejected(OAuthError::new("invalid_request", None)));
    assert!(!format!("{error} {error:?}").contains(MARKER));
}

#[tokio::test]
async fn a_provider_that_cannot_take_the_request_now_is_unavailable() {
    let party = party(announced(), AuthorizationSettings::default()).await;
    for answer in [
        Answer::text(503, ""),
        Answer::text(429, ""),
        Answer::HangUp,
        Answer::Silence,
        Answer::json(400, &json!({"error": "temporarily_unavailable"})),
    ] {
        party.server.answers_once("/par", answer);
        assert!(matches!(url(&party).await, Err(AuthorizationError::Unavailable(_))));
    }
}

/// RFC 9126 §2.2
#[tokio::test]
async fn an_answer_that_is_no_reference_is_refused() {
    let party = party(announced(), AuthorizationSettings::default()).await;
    let long = "x".repeat(LONGEST_REQUEST_URI + 1);
    for answer in [
        Answer::text(201, "<html>"),
        Answer::json(201, &json!({"expires_in": 60})),
        Answer::json(201, &json!({"request_uri": ""})),
        Answer::json(201, &json!({"request_uri": "a b"})),
        Answer::json(201, &json!({"request_uri": long})),
        Answer::json(204, &json!({"request_uri": "urn:x"})),
        Answer::text(400, "no"),
        Answer::text(302, "").with("location", party.server.url("/elsewhere")),
    ] {
        party.server.answers_once("/par", answer);
        assert_eq!(url(&party).await, Err(AuthorizationError::InvalidResponse));
    }
    assert!(party.server.received("/elsewhere").is_empty());
}

/// OpenID Connect Core §9, RFC 9126 §2.1
#[tokio::test]
async fn a_public_client_pushes_with_its_name_alone() {
    let public = TestParty::with(TestKey::es256("k1"), |settings| settings.client_auth = ClientAuth::None).await;
    let mut document = metadata(&public.server);
    document["pushed_authorization_request_endpoint"] = json!(public.server.url("/par"));
    public.server.answers(DISCOVERY, Answer::json(200, &document));
    public.server.answers("/par", Answer::json(201, &json!({"request_uri": REFERENCE})));
    url(&public).await.expect("a URL");
    let names = public.server.received("/par")[0].form().into_iter().map(|(name, _)| name);
    assert_eq!(names.filter(|name| name.starts_with("client_")).collect::<Vec<_>>(), ["client_id"]);
}

/// RFC 8707 §2, OpenID Connect Core §3.1.2.1, OAuth 2.0 Form Post Response Mode
#[tokio::test]
async fn configured_parameters_go_along_and_a_links_take_the_place_of_their_namesakes() {
    let pairs = [("prompt", "login"), ("acr_values", "gold"), ("organization", "acme"), ("state", "evil")];
    let settings = AuthorizationSettings {
        response_mode: ResponseMode::FormPost,
        resources: vec!["https://a.example".to_owned(), "https://b.example".to_owned()],
        parameters: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..AuthorizationSettings::default()
    };
    let party = party(json!({}), settings).await;
    let extra = [("prompt", "consent"), ("max_age", "999"), ("resource", "https://evil.example"), ("hint", "x")];
    let url = url_with(&party, &extra).await.expect("a URL");
    let values = |name: &str| -> Vec<String> {
        query(&url).into_iter().filter(|(other, _)| other == name).map(|(_, value)| value).collect()
    };
    assert_eq!(values("response_mode"), ["form_post"]);
    assert_eq!(values("resource"), ["https://a.example", "https://b.example"]);
    assert_eq!(values("prompt"), ["consent"]);
    assert_eq!(values("acr_values"), ["gold"]);
    assert_eq!(values("organization"), ["acme"]);
    assert_eq!(values("hint"), ["x"]);
    assert_eq!(values("state"), [format!("{MARKER}-state")]);
    assert!(values("max_age").is_empty(), "one that would not be checked is not asked for");
}

/// RFC 8707 §2.1, RFC 6749 §6: a refresh may ask for what the login has named, and for no more.
#[tokio::test]
async fn a_login_names_what_routes_ask_for_beside_its_own() {
    let owned = |text: &str| text.to_owned();
    let of_routes = vec![
        TokenNeed::new(vec![owned("orders.read"), owned("openid")], Some(owned("https://orders.example")), None),
        TokenNeed::new(vec![owned("orders.read")], Some(owned("https://a.example")), None),
        TokenNeed::new(vec![owned("admin")], None, Some(owned("not a resource"))),
    ];
    let settings = AuthorizationSettings {
        resources: vec![owned("https://a.example")],
        of_routes,
        ..AuthorizationSettings::default()
    };
    for (preset, scope) in [
        (None, "openid offline_access orders.read admin"),
        // Whose scopes are of one API each.
        (Some(Preset::Entra), "openid offline_access"),
    ] {
        let party = TestParty::with(TestKey::es256("k1"), |all| {
            all.authorization = settings.clone();
            all.particulars.preset = preset;
        })
        .await;
        let url = url(&party).await.expect("a URL");
        let values = |name: &str| -> Vec<String> {
            query(&url).into_iter().filter(|(other, _)| other == name).map(|(_, value)| value).collect()
        };
        assert_eq!(values("scope"), [scope]);
        assert_eq!(values("resource"), ["https://a.example", "https://orders.example"]);
    }
}
