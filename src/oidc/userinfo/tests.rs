//! UserInfo through whole logins and refreshes: each test changes one thing of an answer that is right.

use serde_json::json;

use super::*;
use crate::oidc::test_keys::{TestKey, encode, unsigned};
use crate::oidc::test_party::{MARKER, NOW, TestParty, access_token, metadata};
use crate::oidc::test_provider::Answer;
use crate::oidc::{IdTokenError, RedeemError, RefreshError, UserInfoUse};

const PATH: &str = "/userinfo";

async fn party() -> TestParty {
    let party = TestParty::with(TestKey::es256("k1"), |settings| settings.userinfo = UserInfoUse::Login).await;
    let mut document = metadata(&party.server);
    document["userinfo_endpoint"] = json!(party.server.url(PATH));
    party.server.answers("/.well-known/openid-configuration", Answer::json(200, &document));
    party.gives_id_token(party.key.token(&party.claims()));
    party.server.answers(PATH, Answer::json(200, &json!({"sub": "alice", "groups": ["staff"]})));
    party
}

fn signed(party: &TestParty, changes: Value) -> Value {
    let mut claims = json!({"iss": party.server.url(""), "aud": "client", "sub": "alice", "groups": ["staff"]});
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

async fn redeemed(party: &TestParty) -> Map<String, Value> {
    match party.redeem().await.expect("a login").userinfo {
        UserInfo::Claims(claims) => claims,
        _ => panic!("UserInfo gave no claims"),
    }
}

async fn refused(answer: Answer) -> UserInfoError {
    let party = party().await;
    party.server.answers(PATH, answer);
    refused_by(&party).await
}

async fn refused_by(party: &TestParty) -> UserInfoError {
    match party.redeem().await {
        Err(RedeemError::UserInfo(error)) => {
            assert!(!format!("{error} {error:?}").contains(MARKER), "{error:?}");
            error
        }
        other => panic!("UserInfo should be refused: {other:?}"),
    }
}

/// RFC 6750 §2.1, RFC 9700 §4.3.2
#[tokio::test]
async fn the_access_token_goes_into_the_header_alone() {
    let party = party().await;
    assert_eq!(redeemed(&party).await["groups"], json!(["staff"]));
    let [asked] = party.server.received(PATH).try_into().expect("one request");
    assert_eq!(asked.headers["authorization"], format!("Bearer {}", access_token()));
    assert!(!asked.path.contains('?') && asked.body.is_empty());
}

#[tokio::test]
async fn unless_configured_it_is_not_asked() {
    let party = TestParty::new().await;
    let tokens = party.redeem_with_claims(json!({})).await.expect("a login");
    assert!(tokens.userinfo == UserInfo::Unused);
    assert!(party.server.received(PATH).is_empty());
}

/// RFC 9700 §4.5.3.2
#[tokio::test]
async fn it_is_not_asked_before_the_id_token_has_verified() {
    let party = party().await;
    let outcome = party.redeem_with_claims(json!({"nonce": "other"})).await;
    assert!(matches!(outcome, Err(RedeemError::IdToken(IdTokenError::Nonce))));
    assert!(party.server.received(PATH).is_empty());
}

/// OpenID Connect Core §5.3.2
#[tokio::test]
async fn another_subject_or_none_is_refused() {
    for subject in [json!("bob"), json!(""), json!("Alice"), json!(7), json!(["alice"]), json!(null)] {
        let error = refused(Answer::json(200, &json!({"sub": subject}))).await;
        assert_eq!(error, UserInfoError::Subject, "{subject}");
    }
}

/// OpenID Connect Core §5.3.2
#[tokio::test]
async fn a_signed_answer_is_verified_and_taken() {
    let party = party().await;
    let token = party.key.token(&signed(&party, json!({})));
    party.server.answers(PATH, Answer::text(200, token).with("content-type", "application/jwt"));
    assert_eq!(redeemed(&party).await["groups"], json!(["staff"]));
}

/// OpenID Connect Core §5.3.2
#[tokio::test]
async fn a_signed_answer_that_does_not_verify_is_refused() {
    let party = party().await;
    let claims = signed(&party, json!({}));
    let with = |changes| party.key.token(&signed(&party, changes));
    let cases = [
        (TestKey::es256("k1").token(&claims), UserInfoError::Signature),
        (TestKey::es256("k2").token(&claims), UserInfoError::UnknownKey),
        (unsigned(&claims), UserInfoError::Algorithm("none".to_owned())),
        (party.key.hs256_with_the_public_key(&claims), UserInfoError::Algorithm("HS256".to_owned())),
        ("a.b.c.d.e".to_owned(), UserInfoError::Encrypted),
        (with(json!({"iss": "https://evil.example"})), UserInfoError::Issuer),
        (with(json!({"iss": null})), UserInfoError::Issuer),
        (with(json!({"aud": "other"})), UserInfoError::Audience),
        (with(json!({"aud": null})), UserInfoError::Audience),
        (with(json!({"exp": NOW - 61})), UserInfoError::Expired),
        (with(json!({"sub": "bob"})), UserInfoError::Subject),
    ];
    for (token, error) in cases {
        party.server.answers(PATH, Answer::text(200, token));
        assert_eq!(refused_by(&party).await, error);
    }
}

#[tokio::test]
async fn what_is_no_answer_is_refused_without_repeating_it() {
    let repeated = format!(r#"{{"sub":"alice","x":"{MARKER}","sub":"alice"}}"#);
    for body in ["", "[]", "null", MARKER, r#"{"sub":"alice""#, &repeated, &encode(MARKER)] {
        assert_eq!(refused(Answer::text(200, body)).await, UserInfoError::Malformed, "{body}");
    }
    let long = json!({"sub": "alice", "pad": "x".repeat(USERINFO_LIMIT)});
    assert_eq!(refused(Answer::json(200, &long)).await, UserInfoError::TooLarge);
    for status in [201, 400, 401, 403, 404] {
        assert_eq!(refused(Answer::text(status, MARKER)).await, UserInfoError::Status { status });
    }
}

/// RFC 9700 §4.3.2: a redirect would carry the access token to another place.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let party = party().await;
    let elsewhere = party.server.url("/elsewhere");
    party.server.answers(PATH, Answer::text(307, "").with("location", elsewhere));
    assert_eq!(refused_by(&party).await, UserInfoError::Status { status: 307 });
    assert!(party.server.received("/elsewhere").is_empty());
}

#[tokio::test]
async fn a_login_without_an_endpoint_says_what_to_do() {
    let party = TestParty::with(TestKey::es256("k1"), |settings| settings.userinfo = UserInfoUse::Login).await;
    party.gives_id_token(party.key.token(&party.claims()));
    let error = refused_by(&party).await;
    assert_eq!(error, UserInfoError::NoEndpoint);
    assert!(error.to_string().contains("provider.userinfo"));
}

#[tokio::test]
async fn a_login_waits_for_an_endpoint_that_is_unwell() {
    let party = party().await;
    party.server.answers(PATH, Answer::text(503, MARKER).with("retry-after", "7"));
    assert!(matches!(party.redeem().await, Err(RedeemError::Unavailable(Unavailable::Status { status: 503, .. }))));
}

/// The refresh token may be spent by then: nobody is signed out because UserInfo is down.
#[tokio::test]
async fn a_refresh_while_userinfo_cannot_be_had_keeps_what_it_said() {
    let party = party().await;
    let unknown = TestKey::es256("k2").token(&signed(&party, json!({})));
    for answer in [Answer::text(500, ""), Answer::HangUp, Answer::text(200, unknown)] {
        party.server.answers(PATH, answer);
        assert!(party.refresh().await.expect("a refresh").userinfo == UserInfo::Kept);
    }
}

/// CVE-2021-41230: claims that were never read again.
#[tokio::test]
async fn a_refresh_reads_the_claims_again() {
    let party = party().await;
    party.redeem().await.expect("a login");
    party.server.answers(PATH, Answer::json(200, &json!({"sub": "alice", "groups": []})));
    let UserInfo::Claims(claims) = party.refresh().await.expect("a refresh").userinfo else { panic!("no claims") };
    assert_eq!(claims["groups"], json!([]));
}

/// OpenID Connect Core §5.3.2
#[tokio::test]
async fn a_refresh_refuses_another_user_s_claims() {
    let party = party().await;
    party.server.answers(PATH, Answer::json(200, &json!({"sub": "bob"})));
    assert_eq!(party.refresh().await.err(), Some(RefreshError::UserInfo(UserInfoError::Subject)));
}

/// OpenID Connect Core §5.6.2: their tokens would go where anybody says.
#[tokio::test]
async fn claims_that_lie_elsewhere_are_neither_fetched_nor_kept() {
    let party = party().await;
    let source = json!({"endpoint": party.server.url("/elsewhere"), "access_token": MARKER});
    let answer = json!({"sub": "alice", "_claim_names": {"age": "s"}, "_claim_sources": {"s": source}});
    party.server.answers(PATH, Answer::json(200, &answer));
    assert!(redeemed(&party).await.is_empty());
    assert!(party.server.received("/elsewhere").is_empty());
}

fn merged(mut claims: Value, userinfo: Value) -> Value {
    let claims = claims.as_object_mut().expect("an object");
    merge_userinfo(claims, userinfo.as_object().expect("an object").clone());
    Value::Object(claims.clone())
}

#[test]
fn userinfo_never_sets_what_secures_the_login() {
    let evil: Map<String, Value> = ID_TOKEN_CLAIMS.iter().map(|name| ((*name).to_owned(), json!("evil"))).collect();
    for claims in [json!({}), json!({"iss": "good", "acr": "2", "sid": "s", "auth_time": 1})] {
        assert_eq!(merged(claims.clone(), Value::Object(evil.clone())), claims);
    }
}

#[test]
fn an_address_from_userinfo_is_not_verified_because_another_one_was() {
    let verified = json!({"email": "a@example.com", "email_verified": true});
    assert_eq!(merged(verified.clone(), json!({"email": "b@example.com"})), json!({"email": "b@example.com"}));
    assert_eq!(merged(verified.clone(), json!({"email": "a@example.com"})), verified);
    let both = json!({"email": "b@example.com", "email_verified": false});
    assert_eq!(merged(verified, both.clone()), both);
}

#[test]
fn what_the_id_token_says_too_is_not_kept_twice() {
    let claims = json!({"name": "Alice", "email": "a@example.com", "email_verified": true});
    let mut userinfo = json!({"name": "Alice", "groups": [], "email_verified": true});
    let userinfo = userinfo.as_object_mut().expect("an object");
    beside_id_token(userinfo, claims.as_object().expect("an object"));
    assert_eq!(json!(userinfo), json!({"groups": [], "email_verified": true}));
}
