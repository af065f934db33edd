//! Access tokens that clients bring along: RFC 9068 §4, RFC 7662, RFC 6750.

use serde_json::json;

use super::*;
use crate::oidc::claims::{ClaimPath, Wanted};
use crate::oidc::test_keys::{TestKey, encode, unsigned};
use crate::oidc::test_party::{DISCOVERY, NOW, metadata, quick};
use crate::oidc::test_provider::{Answer, TestProvider};

const AUDIENCE: &str = "https://api.example.com";

/// An issuer that signs with `key`, and a verifier for its tokens.
struct TestIssuer {
    server: TestProvider,
    key: TestKey,
    clock: Clock,
    verifier: BearerVerifier,
}

impl TestIssuer {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut TokenIssuerSettings)) -> Self {
        let (server, key) = (TestProvider::start().await, TestKey::es256("k1"));
        let mut described = metadata(&server);
        described["introspection_endpoint"] = json!(server.url("/introspect"));
        server.answers(DISCOVERY, Answer::json(200, &described));
        server.answers("/jwks", Answer::json(200, &json!({ "keys": [key.jwk()] })));
        let clock = Clock::manual(UnixTime::from_secs(NOW));
        let mut settings = settings(&server);
        change(&mut settings);
        let mut issuers =
            TokenIssuers::new(Duration::from_secs(5), clock.clone(), Handle::current()).with_pacing(quick());
        let verifier = issuers.verifier(&[settings]).expect("good settings").expect("an issuer");
        Self { server, key, clock, verifier }
    }

    async fn introspecting(change: impl FnOnce(&mut TokenIssuerSettings)) -> Self {
        Self::with(|settings| {
            let client_secret = SecretString::new("secret:/+");
            let cache = Duration::from_secs(30);
            settings.introspection =
                Some(IntrospectionSettings { client_id: "gate way".to_owned(), client_secret, cache });
            change(settings);
        })
        .await
    }

    fn claims(&self, changes: &Value) -> Value {
        let mut claims = json!({
            "iss": self.server.url(""), "sub": "ada", "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW,
            "client_id": "script", "scope": "read write",
        });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        claims
    }

    fn token(&self, changes: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"});
        self.key.token_with_header(&header, &self.claims(changes))
    }

    async fn verify(&self, token: impl Into<String>) -> Result<VerifiedToken, BearerError> {
        self.verifier.verify(&AccessToken::new(token.into())).await
    }

    async fn refusal(&self, token: impl Into<String>) -> TokenRefused {
        match self.verify(token).await {
            Err(BearerError::Refused(reason)) => reason,
            other => panic!("not refused: {other:?}"),
        }
    }

    fn asked(&self, path: &str) -> usize {
        self.server.received(path).len()
    }
}

fn settings(server: &TestProvider) -> TokenIssuerSettings {
    TokenIssuerSettings {
        issuer: server.url(""),
        audience: vec!["urn:other".to_owned(), AUDIENCE.to_owned()],
        algorithms: vec!["ES256".to_owned()],
        required_scopes: Vec::new(),
        required_claims: Vec::new(),
        clock_skew: Duration::from_secs(60),
        jwks_uri: None,
        requires_type: true,
        ca_file: None,
        introspection: None,
    }
}

/// RFC 9068 §4.
#[tokio::test]
async fn a_good_token_passes_with_its_claims() {
    let issuer = TestIssuer::new().await;
    let verified = issuer.verify(issuer.token(&json!({}))).await.expect("a good token");
    assert_eq!(verified.claims["sub"], "ada");
    assert_eq!(verified.expires_at, Some(UnixTime::from_secs(NOW + 300)));
    assert_eq!(verified.good_until, Some(UnixTime::from_secs(NOW + 360)));
    issuer.verify(issuer.token(&json!({"aud": ["x", AUDIENCE]}))).await.expect("one of several audiences");
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_for_a_new_one() {
    let issuer = TestIssuer::new().await;
    for _ in 0..3 {
        issuer.verify(issuer.token(&json!({}))).await.expect("a good token");
    }
    assert_eq!(issuer.asked("/jwks"), 1);
    let next = TestKey::es256("k2");
    issuer.server.answers("/jwks", Answer::json(200, &json!({ "keys": [next.jwk()] })));
    let header = json!({"alg": "ES256", "kid": "k2", "typ": "at+jwt"});
    issuer.verify(next.token_with_header(&header, &issuer.claims(&json!({})))).await.expect("a new key");
    assert_eq!(issuer.asked("/jwks"), 2);
    for _ in 0..3 {
        let header = json!({"alg": "ES256", "kid": "nobody's", "typ": "at+jwt"});
        let forged = TestKey::es256("k3").token_with_header(&header, &issuer.claims(&json!({})));
        assert_eq!(issuer.refusal(forged).await, TokenRefused::UnknownKey);
    }
    assert_eq!(issuer.asked("/jwks"), 2, "forged keys do not make us a nuisance");
}

/// RFC 9068 §4, RFC 7519 §4.1; GHSA-wcvh-g65p-v576, CVE-2022-29226: not any token will do.
#[tokio::test]
async fn a_token_whose_claims_are_not_right_is_refused() {
    let issuer = TestIssuer::new().await;
    for (changes, reason) in [
        (json!({"iss": "https://evil.example"}), TokenRefused::Issuer),
        (json!({"iss": null}), TokenRefused::Issuer),
        (json!({"aud": "https://api.example.com.evil.example"}), TokenRefused::Audience),
        (json!({"aud": "https://api.example.com/"}), TokenRefused::Audience),
        (json!({"aud": []}), TokenRefused::Audience),
        (json!({"aud": null}), TokenRefused::Audience),
        (json!({"exp": null}), TokenRefused::NoExpiry),
        (json!({"exp": "never"}), TokenRefused::Malformed),
        (json!({"exp": NOW - 60}), TokenRefused::Expired),
        (json!({"nbf": NOW + 61}), TokenRefused::NotYetValid),
        (json!({"iat": NOW + 61}), TokenRefused::NotYetValid),
        (json!({"cnf": {"jkt": "x"}}), TokenRefused::SenderConstrained),
    ] {
        assert_eq!(issuer.refusal(issuer.token(&changes)).await, reason, "{changes}");
    }
    for changes in [json!({"exp": NOW - 59}), json!({"nbf": NOW + 60}), json!({"iat": null})] {
        issuer.verify(issuer.token(&changes)).await.unwrap_or_else(|error| panic!("{changes}: {error}"));
    }
}

/// RFC 8725 §2.1, §3.1.
#[tokio::test]
async fn a_token_that_is_not_signed_as_it_should_be_is_refused() {
    let issuer = TestIssuer::new().await;
    let claims = issuer.claims(&json!({}));
    let with_header = |header: Value| issuer.key.token_with_header(&header, &claims);
    let good = issuer.token(&json!({}));
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    for (token, reason) in [
        (
            TestKey::es256("k1").token_with_header(&json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}), &claims),
            TokenRefused::Signature,
        ),
        (format!("{head}.{}", encode([0; 64])), TokenRefused::Signature),
        (format!("{}.{signature}", head.replace(&encode("ada"), &encode("eve"))), TokenRefused::Signature),
        (with_header(json!({"alg": "ES384", "kid": "k1", "typ": "at+jwt"})), TokenRefused::Algorithm),
        (with_header(json!({"alg": "HS256", "kid": "k1", "typ": "at+jwt"})), TokenRefused::Algorithm),
        (with_header(json!({"alg": "none", "typ": "at+jwt"})), TokenRefused::Algorithm),
        (with_header(json!({"alg": "ES256", "typ": "at+jwt", "crit": ["x"]})), TokenRefused::CriticalExtensions),
        (format!("{good}.x.y"), TokenRefused::Encrypted),
        (unsigned(&claims), TokenRefused::Type),
        ("opaque".to_owned(), TokenRefused::Malformed),
        ("a.b.c".to_owned(), TokenRefused::Malformed),
    ] {
        if token == good {
            continue;
        }
        assert_eq!(issuer.refusal(token.clone()).await, reason, "{token}");
    }
}

/// RFC 9068 §4, RFC 8725 §3.11: an ID token is no access token.
#[tokio::test]
async fn the_type_must_be_at_jwt_unless_it_is_said_otherwise() {
    let strict = TestIssuer::new().await;
    let lenient = TestIssuer::with(|settings| settings.requires_type = false).await;
    for (kind, passes, passes_leniently) in [
        (json!("at+jwt"), true, true),
        (json!("application/at+JWT"), true, true),
        (json!("JWT"), false, true),
        (json!(null), false, true),
        (json!("logout+jwt"), false, false),
        (json!("dpop+jwt"), false, false),
    ] {
        for (issuer, passes) in [(&strict, passes), (&lenient, passes_leniently)] {
            let mut header = json!({"alg": "ES256", "kid": "k1", "typ": kind});
            header.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
            let token = issuer.key.token_with_header(&header, &issuer.claims(&json!({})));
            assert_eq!(issuer.verify(token).await.is_ok(), passes, "{kind}");
        }
    }
}

/// RFC 6750 §3.1.
#[tokio::test]
async fn scopes_and_claims_are_asked_for_after_everything_else() {
    let issuer = TestIssuer::with(|settings| {
        settings.required_scopes = vec!["read".to_owned(), "admin".to_owned()];
        let wanted = Wanted::Any(vec![json!("ops")]);
        settings.required_claims = vec![RequiredClaim { path: ClaimPath::new("realm_access.roles"), wanted }];
    })
    .await;
    let lacks_scope = issuer.verify(issuer.token(&json!({}))).await;
    assert_eq!(lacks_scope, Err(BearerError::InsufficientScope { required: "read admin".to_owned() }));
    let lacks_claim = issuer.verify(issuer.token(&json!({"scope": "admin read"}))).await;
    assert_eq!(lacks_claim, Err(BearerError::Claim { claim: "realm_access.roles".to_owned() }));
    let good = json!({"scope": "admin read", "realm_access": {"roles": ["dev", "ops"]}});
    issuer.verify(issuer.token(&good)).await.expect("a token with all of it");
    assert_eq!(issuer.refusal(issuer.token(&json!({"exp": NOW - 100}))).await, TokenRefused::Expired);
}

#[tokio::test]
async fn a_configured_key_set_needs_no_discovery() {
    let other = TestProvider::start().await;
    let key = TestKey::es256("k1");
    other.answers("/keys", Answer::json(200, &json!({ "keys": [key.jwk()] })));
    let uri = other.url("/keys").parse().expect("a URL");
    let issuer = TestIssuer::with(|settings| settings.jwks_uri = Some(uri)).await;
    let header = json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"});
    issuer.verify(key.token_with_header(&header, &issuer.claims(&json!({})))).await.expect("its key");
    assert_eq!(issuer.asked(DISCOVERY), 0);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_told_from_a_bad_token() {
    let issuer = TestIssuer::new().await;
    issuer.server.answers("/jwks", Answer::json(503, &json!({})).with("retry-after", "7"));
    match issuer.verify(issuer.token(&json!({}))).await {
        Err(BearerError::Issuer(fault)) => assert_eq!(fault.retry_after(), Some(Duration::from_secs(7))),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn routes_that_name_the_same_issuer_share_it() {
    let server = TestProvider::start().await;
    let mut issuers = TokenIssuers::new(Duration::from_secs(5), Clock::system(), Handle::current());
    let (one, mut other) = (settings(&server), settings(&server));
    other.audience = vec!["urn:further".to_owned()];
    for settings in [&one, &other] {
        issuers.verifier(std::slice::from_ref(settings)).expect("good settings").expect("a verifier");
    }
    assert_eq!(issuers.issuers.len(), 1);
    assert!(issuers.verifier(&[]).expect("nothing to get wrong").is_none());
}

/// RFC 7662 §2.1, §2.2; RFC 6749 §2.3.1.
#[tokio::test]
async fn an_opaque_token_is_asked_about_once_in_a_while() {
    let issuer = TestIssuer::introspecting(|_| {}).await;
    let active = json!({"active": true, "sub": "ada", "aud": AUDIENCE, "scope": "read", "exp": NOW + 10});
    issuer.server.answers("/introspect", Answer::json(200, &active));
    for _ in 0..3 {
        let verified = issuer.verify("opaque").await.expect("an active token");
        assert_eq!(verified.claims["sub"], "ada");
    }
    let asked = issuer.server.received("/introspect");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].parameter("token").as_deref(), Some("opaque"));
    assert_eq!(asked[0].headers["authorization"], "Basic Z2F0ZSt3YXk6c2VjcmV0JTNBJTJGJTJC");
    issuer.clock.advance(Duration::from_secs(10));
    issuer.verify("opaque").await.expect("within the skew");
    assert_eq!(issuer.asked("/introspect"), 2, "no answer is kept beyond the expiry");
}

/// RFC 7662 §2.2.
#[tokio::test]
async fn what_the_issuer_does_not_call_an_active_bearer_token_for_us_is_refused() {
    let issuer = TestIssuer::introspecting(|settings| {
        settings.introspection.as_mut().expect("it is on").cache = Duration::ZERO;
    })
    .await;
    let answered = |answer: Value| issuer.server.answers("/introspect", Answer::json(200, &answer));
    for (answer, reason) in [
        (json!({"active": false}), TokenRefused::Inactive),
        (json!({"active": true}), TokenRefused::Audience),
        (json!({"active": true, "aud": "urn:elsewhere"}), TokenRefused::Audience),
        (json!({"active": true, "aud": AUDIENCE, "iss": "https://evil.example"}), TokenRefused::Issuer),
        (json!({"active": true, "aud": AUDIENCE, "exp": NOW - 60}), TokenRefused::Expired),
        (json!({"active": true, "aud": AUDIENCE, "token_type": "DPoP"}), TokenRefused::Inactive),
        (json!({"active": true, "aud": AUDIENCE, "token_type": "refresh_token"}), TokenRefused::Inactive),
        (json!({"active": true, "aud": AUDIENCE, "cnf": {"x5t#S256": "x"}}), TokenRefused::SenderConstrained),
    ] {
        answered(answer.clone());
        assert_eq!(issuer.refusal("opaque").await, reason, "{answer}");
    }
    for answer in [json!({}), json!({"active": "true", "aud": AUDIENCE}), json!([])] {
        answered(answer.clone());
        let verdict = issuer.verify("opaque").await;
        let fault = IssuerFault::Introspection(IntrospectionError::NotAnAnswer);
        assert_eq!(verdict, Err(fault.into()), "{answer}");
    }
    issuer.server.answers("/introspect", Answer::json(401, &json!({"error": "invalid_client"})));
    let rejected = IssuerFault::Introspection(IntrospectionError::Rejected { status: 401 });
    assert_eq!(issuer.verify("opaque").await, Err(rejected.into()));
}

#[tokio::test]
async fn without_an_audience_every_active_token_of_the_issuer_passes() {
    let issuer = TestIssuer::introspecting(|settings| settings.audience.clear()).await;
    issuer.server.answers("/introspect", Answer::json(200, &json!({"active": true, "sub": "ada"})));
    assert_eq!(issuer.verify("opaque").await.expect("active").expires_at, None);
}

/// A token must not be shown to an issuer that it is not of.
#[tokio::test]
async fn a_jwt_of_another_issuer_is_never_sent_to_the_one_that_can_be_asked() {
    let issuer = TestIssuer::introspecting(|_| {}).await;
    let foreign = issuer.token(&json!({"iss": "https://elsewhere.example"}));
    assert_eq!(issuer.refusal(foreign).await, TokenRefused::Issuer);
    assert_eq!(issuer.asked("/introspect"), 0);
    issuer.server.answers("/introspect", Answer::json(200, &json!({"active": false})));
    assert_eq!(issuer.refusal(issuer.token(&json!({}))).await, TokenRefused::Inactive);
    assert_eq!(issuer.asked("/introspect"), 1, "its own JWTs may have been revoked");
}

#[tokio::test]
async fn no_error_shows_the_token() {
    let issuer = TestIssuer::new().await;
    let token = issuer.token(&json!({"aud": "s3cr3tm4rker"}));
    let error = issuer.verify(token.clone()).await.expect_err("another audience");
    let shown = format!("{error} {error:?} {:?}", issuer.verify(issuer.token(&json!({}))).await);
    assert!(!shown.contains("s3cr3tm4rker") && !shown.contains(&token) && !shown.contains("ada"), "{shown}");
}
