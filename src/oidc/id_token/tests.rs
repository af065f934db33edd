//! ID tokens through the whole login: each test changes one thing of a token that is right.

use serde_json::json;

use super::*;
use crate::oidc::test_keys::{TestKey, encode, unsigned};
use crate::oidc::test_party::{MARKER, NOW, TestParty, access_token, redemption};
use crate::oidc::test_provider::Answer;
use crate::oidc::{RedeemError, Redemption, TokenSet, Unavailable};

async fn refused(changes: Value) -> IdTokenError {
    let party = TestParty::new().await;
    id_token_error(party.redeem_with_claims(changes).await)
}

fn id_token_error(outcome: Result<TokenSet, RedeemError>) -> IdTokenError {
    match outcome {
        Err(RedeemError::IdToken(error)) => {
            assert!(!format!("{error} {error:?}").contains(MARKER), "{error:?}");
            error
        }
        other => panic!("the ID token should be refused: {other:?}"),
    }
}

async fn refused_token(make: impl FnOnce(&TestParty) -> String) -> IdTokenError {
    let party = TestParty::new().await;
    party.gives_id_token(make(&party));
    id_token_error(party.redeem().await)
}

#[tokio::test]
async fn a_token_that_is_right_gives_its_claims_with_every_algorithm() {
    for key in [TestKey::es256("k"), TestKey::es384("k"), TestKey::rs256("k"), TestKey::ed25519("k")] {
        let algorithm = key.algorithm();
        let party = TestParty::with(key, |_| {}).await;
        let tokens = party.redeem_with_claims(json!({})).await.expect(algorithm);
        assert_eq!(tokens.claims.expect("claims")["sub"], "alice");
    }
}

/// OpenID Connect Core §3.1.3.7 item 2
#[tokio::test]
async fn another_issuer_or_none_is_refused() {
    assert_eq!(refused(json!({"iss": "https://evil.example"})).await, IdTokenError::Issuer);
    assert_eq!(refused(json!({"iss": null})).await, IdTokenError::Issuer);
}

/// OpenID Connect Core §3.1.3.7 item 3
#[tokio::test]
async fn another_audience_or_none_is_refused() {
    for audience in [json!("other"), json!(["other"]), json!([]), json!(7), json!(["client", 7]), json!(null)] {
        assert_eq!(refused(json!({"aud": audience})).await, IdTokenError::Audience, "{audience}");
    }
}

/// OpenID Connect Core §3.1.3.7 item 3
#[tokio::test]
async fn a_further_audience_is_refused_unless_it_is_trusted() {
    let audience = json!({"aud": ["client", "api"], "azp": "client"});
    assert_eq!(refused(audience.clone()).await, IdTokenError::UntrustedAudience);
    let trusting =
        TestParty::with(TestKey::es256("k1"), |settings| settings.trusted_audiences = vec!["api".to_owned()]).await;
    trusting.redeem_with_claims(audience).await.expect("a trusted audience");
}

/// OpenID Connect Core §3.1.3.7 items 4 and 5
#[tokio::test]
async fn another_authorized_party_is_refused() {
    assert_eq!(refused(json!({"azp": "other"})).await, IdTokenError::AuthorizedParty);
    assert_eq!(refused(json!({"azp": 7})).await, IdTokenError::AuthorizedParty);
}

/// OpenID Connect Core §2
#[tokio::test]
async fn a_missing_empty_or_long_subject_is_refused() {
    for subject in [json!(null), json!(""), json!(7), json!("a".repeat(256))] {
        assert_eq!(refused(json!({"sub": subject})).await, IdTokenError::Subject);
    }
}

/// OpenID Connect Core §3.1.3.7 item 9
#[tokio::test]
async fn an_expired_token_is_refused_beyond_the_skew() {
    let party = TestParty::new().await;
    party.redeem_with_claims(json!({"exp": NOW - 59})).await.expect("within the skew of 60 s");
    party.redeem_with_claims(json!({"exp": f64::from(2_000_000_000) + 0.5})).await.expect("a fraction of a second");
    assert_eq!(refused(json!({"exp": NOW - 60})).await, IdTokenError::Expired);
    party.clock.advance(Duration::from_secs(360));
    assert_eq!(id_token_error(party.redeem_with_claims(json!({})).await), IdTokenError::Expired);
    for expiry in [json!(null), json!("1795392300"), json!(true)] {
        assert_eq!(refused(json!({"exp": expiry})).await, IdTokenError::NoExpiry);
    }
}

/// OpenID Connect Core §3.1.3.7 item 10
#[tokio::test]
async fn a_token_from_the_future_or_without_a_time_of_issue_is_refused() {
    let party = TestParty::new().await;
    party.redeem_with_claims(json!({"iat": NOW + 60, "nbf": NOW + 60})).await.expect("within the skew of 60 s");
    assert_eq!(refused(json!({"iat": NOW + 61})).await, IdTokenError::IssuedAt);
    assert_eq!(refused(json!({"iat": null})).await, IdTokenError::IssuedAt);
    assert_eq!(refused(json!({"nbf": NOW + 61})).await, IdTokenError::NotBefore);
    assert_eq!(refused(json!({"nbf": "soon"})).await, IdTokenError::NotBefore);
}

/// OpenID Connect Core §3.1.3.7 item 11, RFC 9700 §4.5.3.2
#[tokio::test]
async fn another_nonce_or_none_is_refused() {
    for nonce in [json!("other"), json!(""), json!(null), json!(7)] {
        assert_eq!(refused(json!({"nonce": nonce})).await, IdTokenError::Nonce);
    }
}

/// OpenID Connect Core §3.1.3.8
#[tokio::test]
async fn a_hash_of_the_access_token_must_fit_when_it_is_there() {
    for (key, algorithm) in [
        (TestKey::es256("k"), Algorithm::ES256),
        (TestKey::es384("k"), Algorithm::ES384),
        (TestKey::ed25519("k"), Algorithm::EdDSA),
    ] {
        let hash = access_token_hash(&access_token(), algorithm);
        let party = TestParty::with(key, |_| {}).await;
        party.redeem_with_claims(json!({ "at_hash": hash })).await.expect("the hash that fits");
    }
    for hash in [json!(access_token_hash("other", Algorithm::ES256)), json!(""), json!(7)] {
        assert_eq!(refused(json!({ "at_hash": hash })).await, IdTokenError::AccessTokenHash);
    }
}

/// OpenID Connect Core, appendix A.3: the example's access token and hash.
#[test]
fn the_hash_is_the_one_of_the_specification() {
    assert_eq!(
        access_token_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", Algorithm::RS256),
        "77QmUPtjPfzWtF2AnpK9RQ"
    );
}

/// OpenID Connect Core §3.1.3.7 item 7
#[tokio::test]
async fn alg_none_is_refused() {
    let error = refused_token(|party| unsigned(&party.claims())).await;
    assert_eq!(error, IdTokenError::Algorithm("none".to_owned()));
}

/// RFC 8725 §2.1
#[tokio::test]
async fn hs256_with_the_public_key_is_refused() {
    let error = refused_token(|party| party.key.hs256_with_the_public_key(&party.claims())).await;
    assert_eq!(error, IdTokenError::Algorithm("HS256".to_owned()));
}

/// OpenID Connect Core §3.1.3.7 item 7
#[tokio::test]
async fn an_algorithm_that_is_not_configured_is_refused() {
    let party =
        TestParty::with(TestKey::es256("k1"), |settings| settings.id_token_algorithms = vec!["RS256".to_owned()]).await;
    let error = id_token_error(party.redeem_with_claims(json!({})).await);
    assert_eq!(error, IdTokenError::Algorithm("ES256".to_owned()));
}

/// RFC 8725 §3.1
#[tokio::test]
async fn an_algorithm_of_another_family_than_the_keys_is_refused() {
    let error =
        refused_token(|party| party.key.token_with_header(&json!({"alg": "RS256", "kid": "k1"}), &party.claims()))
            .await;
    assert_eq!(error, IdTokenError::UnknownKey);
}

/// OpenID Connect Core §3.1.3.7 item 6
#[tokio::test]
async fn a_signature_by_another_key_of_the_same_name_is_refused() {
    let error = refused_token(|party| TestKey::es256("k1").token(&party.claims())).await;
    assert_eq!(error, IdTokenError::Signature);
}

#[tokio::test]
async fn claims_changed_after_signing_are_refused() {
    let error = refused_token(|party| {
        let token = party.key.token(&party.claims());
        let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
        parts[1] = encode(party.claims_with(json!({"sub": "mallory"})).to_string());
        parts.join(".")
    })
    .await;
    assert_eq!(error, IdTokenError::Signature);
}

#[tokio::test]
async fn an_encrypted_token_is_refused_by_name() {
    assert_eq!(refused_token(|_| "a.b.c.d.e".to_owned()).await, IdTokenError::Encrypted);
}

/// RFC 7515 §4.1.11
#[tokio::test]
async fn critical_header_extensions_are_refused() {
    let header = json!({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": false});
    let error = refused_token(|party| party.key.token_with_header(&header, &party.claims())).await;
    assert_eq!(error, IdTokenError::CriticalExtensions);
}

#[tokio::test]
async fn what_is_no_signed_jwt_is_refused() {
    for token in ["x", "a.b", "a.b.c", "...", "a.b.c.d", "e30.e30.e30", "{}.{}.{}"] {
        assert_eq!(refused_token(|_| token.to_owned()).await, IdTokenError::Malformed, "{token}");
    }
    let header = json!({"alg": "ES256", "kid": 7});
    let error = refused_token(|party| party.key.token_with_header(&header, &party.claims())).await;
    assert_eq!(error, IdTokenError::Malformed);
}

/// RFC 7519 §4
#[tokio::test]
async fn a_repeated_claim_is_refused() {
    let error = refused_token(|party| {
        let claims = party.claims().to_string().replacen('{', r#"{"sub":"mallory","#, 1);
        let header = json!({"alg": "ES256", "kid": "k1"}).to_string();
        party.key.sign(&format!("{}.{}", encode(header), encode(claims)))
    })
    .await;
    assert_eq!(error, IdTokenError::Malformed);
}

/// OpenID Connect Core §10.1
#[tokio::test]
async fn without_a_key_id_every_key_of_the_algorithm_is_tried() {
    let party = TestParty::new().await;
    let keys = [TestKey::rs256("r").jwk(), TestKey::es256("other").jwk(), party.key.jwk()];
    party.server.answers("/jwks", Answer::json(200, &json!({ "keys": keys })));
    party.gives_id_token(party.key.token_with_header(&json!({"alg": "ES256"}), &party.claims()));
    party.redeem().await.expect("the third key fits");
}

/// OpenID Connect Core §10.1.1: signing keys rotated between two logins.
#[tokio::test]
async fn an_unknown_key_id_makes_the_keys_be_fetched_again() {
    let party = TestParty::new().await;
    party.redeem_with_claims(json!({})).await.expect("the first key");
    let new = TestKey::es256("k2");
    party.server.answers("/jwks", Answer::json(200, &json!({ "keys": [new.jwk()] })));
    party.gives_id_token(new.token(&party.claims()));
    party.redeem().await.expect("the new key");
    assert_eq!(party.server.received("/jwks").len(), 2);
}

/// OpenID Connect Core §10.1.1
#[tokio::test]
async fn without_a_key_id_a_new_key_is_found_by_fetching_again() {
    let party = TestParty::new().await;
    party.redeem_with_claims(json!({})).await.expect("the first key");
    let new = TestKey::es256("k2");
    party.server.answers("/jwks", Answer::json(200, &json!({ "keys": [new.jwk()] })));
    party.gives_id_token(new.token_with_header(&json!({"alg": "ES256"}), &party.claims()));
    party.redeem().await.expect("the new key");
}

/// OpenID Connect Core §10.1.1
#[tokio::test]
async fn fetches_for_unknown_keys_are_rate_limited() {
    let party = TestParty::new().await;
    party.gives_id_token(TestKey::es256("forged").token(&party.claims()));
    for _ in 0..5 {
        assert_eq!(id_token_error(party.redeem().await), IdTokenError::UnknownKey);
    }
    assert_eq!(party.server.received("/jwks").len(), 2, "the first fetch, and one for the unknown key");
}

#[tokio::test]
async fn concurrent_logins_share_one_fetch_of_the_keys() {
    let party = TestParty::new().await;
    party.gives_id_token(party.key.token(&party.claims()));
    let outcomes = futures_util::future::join_all((0..8).map(|_| party.redeem())).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(party.server.received("/jwks").len(), 1);
}

#[tokio::test]
async fn a_forged_signature_under_a_known_key_id_fetches_nothing() {
    let party = TestParty::new().await;
    party.gives_id_token(TestKey::es256("k1").token(&party.claims()));
    assert_eq!(id_token_error(party.redeem().await), IdTokenError::Signature);
    assert_eq!(party.server.received("/jwks").len(), 1);
}

#[tokio::test]
async fn keys_that_cannot_be_had_make_the_provider_unavailable() {
    let party = TestParty::new().await;
    party.server.answers("/jwks", Answer::text(503, MARKER));
    let error = party.redeem_with_claims(json!({})).await.expect_err("no keys");
    assert_eq!(error, RedeemError::Unavailable(Unavailable::Status { status: 503, retry_after: None }));
    party.server.answers("/jwks", Answer::text(200, MARKER));
    let error = id_token_error(party.redeem_with_claims(json!({})).await);
    assert_eq!(error, IdTokenError::Keys(KeysError::NotAKeySet));
}

#[tokio::test]
async fn a_key_set_beyond_half_a_mebibyte_is_refused() {
    let party = TestParty::new().await;
    party.server.answers("/jwks", Answer::json(200, &json!({"keys": [], "pad": "x".repeat(512 * 1024)})));
    let error = id_token_error(party.redeem_with_claims(json!({})).await);
    assert!(error.to_string().contains("524288"), "{error}");
}

async fn with_max_age(max_age: u64, auth_time: serde_json::Value) -> Result<TokenSet, RedeemError> {
    let party = TestParty::new().await;
    party.gives_id_token(party.key.token(&party.claims_with(json!({"auth_time": auth_time}))));
    let redemption = Redemption { max_age: Some(Duration::from_secs(max_age)), ..redemption() };
    party.provider.redeem(redemption).await
}

/// OpenID Connect Core §3.1.2.1, §3.1.3.7 item 13
#[tokio::test]
async fn a_sign_in_that_is_recent_enough_is_taken_with_the_tolerance_of_the_clocks() {
    for (max_age, auth_time) in [
        (300, json!(NOW)),
        (300, json!(NOW - 360)),
        (0, json!(NOW - 60)),
        (0, json!(NOW as f64 + 0.5)),
        (9, json!(NOW + 60)),
    ] {
        with_max_age(max_age, auth_time.clone()).await.unwrap_or_else(|error| panic!("{max_age} {auth_time}: {error}"));
    }
}

/// OpenID Connect Core §3.1.2.1, §3.1.3.7 item 13
#[tokio::test]
async fn a_sign_in_that_is_older_than_was_asked_for_or_from_the_future_is_refused() {
    for (max_age, auth_time) in [(300, NOW - 361), (0, NOW - 61), (300, NOW + 61), (0, 0), (0, i64::MAX), (0, i64::MIN)]
    {
        let error = id_token_error(with_max_age(max_age, json!(auth_time)).await);
        assert_eq!(error, IdTokenError::AuthenticationTooOld, "{max_age} {auth_time}");
    }
}

/// OpenID Connect Core §2: auth_time is REQUIRED when max_age was asked for.
#[tokio::test]
async fn an_id_token_that_keeps_the_time_of_the_sign_in_for_itself_is_refused() {
    for auth_time in [json!(null), json!("yesterday"), json!({}), json!(true)] {
        let error = id_token_error(with_max_age(300, auth_time.clone()).await);
        assert_eq!(error, IdTokenError::NoAuthenticationTime, "{auth_time}");
    }
}
