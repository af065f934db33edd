//! Token requests against a provider that answers well, badly or not at all.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::oidc::ClientAuth;
use crate::oidc::test_keys::TestKey;
use crate::oidc::test_party::{
    DISCOVERY, MARKER, NOW, REDIRECT_URI, TestParty, access_token, code, metadata, nonce, refresh_token,
    token_response, verifier,
};
use crate::oidc::test_provider::Answer;
use crate::secret::SecretString;

/// A redeem and a refresh against the same answer; neither error shows a secret.
async fn both_fail(answer: Answer) -> (RedeemError, RefreshError) {
    let party = TestParty::with(TestKey::es256("k1"), |s| s.request_timeout = Duration::from_millis(500)).await;
    party.server.answers("/token", answer);
    let (redeem, refresh) = (party.redeem().await, party.refresh().await);
    let (redeem, refresh) = (redeem.expect_err("a failure"), refresh.expect_err("a failure"));
    for shown in [format!("{redeem} {redeem:?}"), format!("{refresh} {refresh:?}")] {
        assert!(!shown.contains(MARKER), "{shown}");
    }
    (redeem, refresh)
}

async fn invalid(answer: Answer) -> InvalidResponse {
    match both_fail(answer).await {
        (RedeemError::InvalidResponse(one), RefreshError::InvalidResponse(other)) if one == other => one,
        other => panic!("both should be invalid responses: {other:?}"),
    }
}

async fn unavailable(answer: Answer) -> Unavailable {
    match both_fail(answer).await {
        (RedeemError::Unavailable(one), RefreshError::Unavailable(other)) if one == other => one,
        other => panic!("both should be unavailable: {other:?}"),
    }
}

/// RFC 6749 §4.1.3, RFC 7636 §4.5
#[tokio::test]
async fn a_code_is_redeemed_with_the_verifier_and_the_redirect_uri() {
    let party = TestParty::new().await;
    let tokens = party.redeem_with_claims(json!({})).await.expect("tokens");
    assert_eq!(tokens.access_token.expose(), access_token());
    assert_eq!(tokens.access_token_expires_at, UnixTime::from_secs(NOW + 300));
    assert_eq!(tokens.refresh_token.expect("a refresh token").expose(), "new-refresh");
    let request = &party.server.received("/token")[0];
    let form: Vec<_> = request.form();
    let mut names: Vec<_> = form.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["code", "code_verifier", "grant_type", "redirect_uri"]);
    assert_eq!(request.parameter("grant_type").as_deref(), Some("authorization_code"));
    assert_eq!(request.parameter("code").as_deref(), Some(code().expose()));
    assert_eq!(request.parameter("code_verifier").as_deref(), Some(verifier().expose()));
    assert_eq!(request.parameter("redirect_uri").as_deref(), Some(REDIRECT_URI));
}

/// RFC 6749 §2.3.1
#[tokio::test]
async fn client_secret_basic_encodes_the_id_and_the_secret_first() {
    let party = TestParty::with(TestKey::es256("k1"), |settings| settings.client_id = "a client:1".to_owned()).await;
    party.server.answers("/token", Answer::text(500, ""));
    party.refresh().await.expect_err("a failure");
    let request = &party.server.received("/token")[0];
    let credentials = request.headers["authorization"].strip_prefix("Basic ").expect("Basic").to_owned();
    let credentials = String::from_utf8(STANDARD.decode(credentials).expect("base64")).expect("ASCII");
    assert_eq!(credentials, format!("a+client%3A1:{MARKER}%3A+secret%2F%2B"));
    assert_eq!(request.parameter("client_secret"), None);
}

/// RFC 6749 §2.3.1
#[tokio::test]
async fn client_secret_post_sends_the_secret_in_the_body_alone() {
    let secret = ClientAuth::SecretPost(SecretString::new("a secret"));
    let party = TestParty::with(TestKey::es256("k1"), |settings| settings.client_auth = secret).await;
    party.server.answers("/token", Answer::text(500, ""));
    party.refresh().await.expect_err("a failure");
    let request = &party.server.received("/token")[0];
    assert_eq!(request.parameter("client_id").as_deref(), Some("client"));
    assert_eq!(request.parameter("client_secret").as_deref(), Some("a secret"));
    assert!(!request.headers.contains_key("authorization"));
}

/// RFC 6749 §5.1
#[tokio::test]
async fn without_expires_in_the_configured_lifetime_counts() {
    let party = TestParty::new().await;
    let id_token = party.key.token(&party.claims());
    let response = token_response(json!({"id_token": id_token, "expires_in": null, "scope": "openid"}));
    party.server.answers("/token", Answer::json(200, &response));
    let tokens = party.redeem().await.expect("tokens");
    assert_eq!(tokens.access_token_expires_at, UnixTime::from_secs(NOW + 600));
    assert_eq!(tokens.scope.as_deref(), Some("openid"));
}

#[tokio::test]
async fn a_content_type_that_is_not_json_does_not_matter_when_the_body_is() {
    let party = TestParty::new().await;
    let response = token_response(json!({"id_token": party.key.token(&party.claims()), "token_type": "BEARER"}));
    party.server.answers("/token", Answer::json(200, &response).with("content-type", "text/html"));
    party.redeem().await.expect("tokens");
}

/// OpenID Connect Core §3.1.3.3
#[tokio::test]
async fn a_login_without_an_id_token_is_refused() {
    let party = TestParty::new().await;
    party.server.answers("/token", Answer::json(200, &token_response(json!({}))));
    let error = party.redeem().await.expect_err("no ID token");
    assert_eq!(error, RedeemError::IdToken(IdTokenError::Missing));
}

/// RFC 6749 §5.2
#[tokio::test]
async fn an_error_response_gives_its_code_and_no_secret_that_it_repeats() {
    let description = format!("the code {} is spent", code().expose());
    let body = json!({"error": "invalid_client", "error_description": description});
    let (redeem, refresh) = both_fail(Answer::json(401, &body)).await;
    let RedeemError::Rejected(error) = redeem else { panic!("{redeem:?}") };
    assert_eq!((error.code(), error.description()), ("invalid_client", None));
    assert!(matches!(refresh, RefreshError::Rejected(error) if error.code() == "invalid_client"));
}

/// RFC 6749 §5.2
#[tokio::test]
async fn a_dead_refresh_token_is_told_apart_from_other_refusals() {
    let answer = Answer::json(400, &json!({"error": "invalid_grant", "error_description": MARKER}));
    let (redeem, refresh) = both_fail(answer).await;
    assert!(matches!(redeem, RedeemError::Rejected(error) if error.code() == "invalid_grant"));
    assert_eq!(refresh, RefreshError::InvalidGrant);
}

#[tokio::test]
async fn a_provider_that_is_unwell_is_unavailable_and_says_for_how_long() {
    for status in [500, 502, 503, 429] {
        let answer = Answer::json(status, &json!({"error": MARKER})).with("retry-after", "7");
        let found = unavailable(answer).await;
        assert_eq!(found, Unavailable::Status { status, retry_after: Some(Duration::from_secs(7)) });
    }
    for code in ["temporarily_unavailable", "server_error"] {
        let found = unavailable(Answer::json(400, &json!({"error": code}))).await;
        assert!(matches!(found, Unavailable::Temporary(_)), "{found:?}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_unavailable() {
    assert_eq!(unavailable(Answer::Silence).await, Unavailable::Timeout);
    assert_eq!(unavailable(Answer::HangUp).await, Unavailable::Interrupted);
}

#[tokio::test]
async fn a_connection_that_is_refused_says_why() {
    let party = TestParty::new().await;
    let mut document = metadata(&party.server);
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    document["token_endpoint"] = json!(format!("http://{unused}/token"));
    party.server.answers(DISCOVERY, Answer::json(200, &document));
    let error = party.refresh().await.expect_err("nobody listens");
    assert!(matches!(&error, RefreshError::Unavailable(Unavailable::Connect(_))), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_no_token_response_is_refused_without_repeating_it() {
    let marker = MARKER;
    for body in [
        marker.to_owned(),
        format!("[\"{marker}\"]"),
        format!(r#"{{"access_token":"{marker}"}}"#),
        format!(r#"{{"access_token":7,"token_type":"{marker}"}}"#),
        format!(r#"{{"access_token":"{marker}","access_token":"x","token_type":"Bearer"}}"#),
        format!(r#"{{"access_token":"{marker}","token_type":"Bearer","expires_in":"{marker}"}}"#),
        String::new(),
    ] {
        assert_eq!(invalid(Answer::text(200, body.clone())).await, InvalidResponse::NotJson, "{body}");
        assert_eq!(invalid(Answer::text(400, body.clone())).await, InvalidResponse::NotJson, "{body}");
    }
}

/// RFC 6749 §7.1
#[tokio::test]
async fn a_token_type_that_we_do_not_know_is_refused() {
    let answer = Answer::json(200, &token_response(json!({"token_type": "DPoP"})));
    assert_eq!(invalid(answer).await, InvalidResponse::TokenType);
}

/// RFC 6750 §2.1
#[tokio::test]
async fn an_access_token_that_no_header_can_carry_is_refused() {
    for token in ["", "a b", "a\r\nx-admin: 1", "ä"] {
        let answer = Answer::json(200, &token_response(json!({ "access_token": token })));
        assert_eq!(invalid(answer).await, InvalidResponse::AccessToken, "{token:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let party = TestParty::new().await;
    let answer = Answer::text(307, MARKER).with("location", party.server.url("/elsewhere"));
    party.server.answers("/token", answer);
    let error = party.refresh().await.expect_err("a redirect");
    assert_eq!(error, RefreshError::InvalidResponse(InvalidResponse::Redirect));
    assert!(party.server.received("/elsewhere").is_empty());
}

#[tokio::test]
async fn an_answer_beyond_256_kib_is_refused() {
    let answer = Answer::json(200, &token_response(json!({"pad": MARKER.repeat(25_000)})));
    assert_eq!(invalid(answer).await, InvalidResponse::TooLarge);
}

/// RFC 6749 §6
#[tokio::test]
async fn a_refresh_sends_the_token_and_takes_the_new_one() {
    let party = TestParty::new().await;
    party.server.answers("/token", Answer::json(200, &token_response(json!({}))));
    let tokens = party.refresh().await.expect("tokens");
    assert_eq!(tokens.refresh_token.expect("a refresh token").expose(), "new-refresh");
    assert_eq!((tokens.id_token, tokens.claims), (None, None));
    let request = &party.server.received("/token")[0];
    assert_eq!(request.parameter("grant_type").as_deref(), Some("refresh_token"));
    assert_eq!(request.parameter("refresh_token").as_deref(), Some(refresh_token().expose()));
    assert!(request.headers.contains_key("authorization"), "RFC 10017 §6.1.2.2: the client is authenticated");
}

/// RFC 6749 §6
#[tokio::test]
async fn a_refresh_that_names_no_new_refresh_token_keeps_the_old() {
    let party = TestParty::new().await;
    party.server.answers("/token", Answer::json(200, &token_response(json!({"refresh_token": null}))));
    assert_eq!(party.refresh().await.expect("tokens").refresh_token, Some(refresh_token()));
}

async fn refresh_with_claims(changes: serde_json::Value) -> Result<TokenSet, RefreshError> {
    let party = TestParty::new().await;
    party.gives_id_token(party.key.token(&party.claims_with(changes)));
    party.refresh().await
}

/// OpenID Connect Core §12.2
#[tokio::test]
async fn a_refreshed_id_token_of_the_same_user_is_taken_with_or_without_the_nonce() {
    for changes in [json!({}), json!({"nonce": null}), json!({"aud": ["client"]})] {
        let tokens = refresh_with_claims(changes).await.expect("tokens");
        assert_eq!(tokens.claims.expect("claims")["sub"], "alice");
    }
}

/// OpenID Connect Core §12.2
#[tokio::test]
async fn a_refreshed_id_token_of_another_user_is_refused() {
    let error = refresh_with_claims(json!({"sub": "mallory"})).await.expect_err("another user");
    assert_eq!(error, RefreshError::IdentityChanged(IdentityChange::Subject));
}

/// OpenID Connect Core §12.2
#[tokio::test]
async fn a_refreshed_id_token_with_an_authorized_party_where_there_was_none_is_refused() {
    let error = refresh_with_claims(json!({"azp": "client"})).await.expect_err("another azp");
    assert_eq!(error, RefreshError::IdentityChanged(IdentityChange::AuthorizedParty));
}

/// OpenID Connect Core §12.2
#[tokio::test]
async fn a_refreshed_id_token_with_another_nonce_is_refused() {
    let error = refresh_with_claims(json!({"nonce": "other"})).await.expect_err("another nonce");
    assert_eq!(error, RefreshError::IdentityChanged(IdentityChange::Nonce));
}

/// OpenID Connect Core §12.2
#[tokio::test]
async fn a_refreshed_id_token_of_another_issuer_is_refused() {
    let error = refresh_with_claims(json!({"iss": "https://evil.example"})).await.expect_err("another issuer");
    assert_eq!(error, RefreshError::IdToken(IdTokenError::Issuer));
    let party = TestParty::new().await;
    party.gives_id_token(party.key.token(&party.claims()));
    let original = OriginalIdentity { issuer: "https://login.example.com".to_owned(), ..party.original() };
    let error = party.provider.refresh(&refresh_token(), &original).await.expect_err("another issuer");
    assert_eq!(error, RefreshError::IdentityChanged(IdentityChange::Issuer));
}

/// OpenID Connect Core §12.2
#[tokio::test]
async fn a_refreshed_id_token_for_another_audience_is_refused() {
    let party = TestParty::with(TestKey::es256("k1"), |s| s.trusted_audiences = vec!["api".to_owned()]).await;
    party.gives_id_token(party.key.token(&party.claims_with(json!({"aud": ["api", "client"]}))));
    let error = party.refresh().await.expect_err("a further audience");
    assert_eq!(error, RefreshError::IdentityChanged(IdentityChange::Audience));
    let original = OriginalIdentity { audience: vec!["client".to_owned(), "api".to_owned()], ..party.original() };
    party.provider.refresh(&refresh_token(), &original).await.expect("the order does not matter");
}

/// The refresh token may be spent by then: nobody is signed out because the provider signs with a key that it does not
/// publish yet. What cannot be verified is not used.
#[tokio::test]
async fn a_refreshed_id_token_under_a_key_that_nobody_knows_counts_as_absent() {
    let party = TestParty::new().await;
    party.gives_id_token(TestKey::es256("not published").token(&party.claims_with(json!({"sub": "mallory"}))));
    let tokens = party.refresh().await.expect("tokens");
    assert!(tokens.id_token.is_none() && tokens.claims.is_none() && tokens.refresh_token.is_some());
}

/// OpenID Connect Core §12.2, §3.1.3.7
#[tokio::test]
async fn a_refreshed_id_token_with_a_forged_signature_is_refused() {
    let party = TestParty::new().await;
    party.gives_id_token(TestKey::es256("k1").token(&party.claims()));
    let error = party.refresh().await.expect_err("a forgery");
    assert_eq!(error, RefreshError::IdToken(IdTokenError::Signature));
}

#[tokio::test]
async fn a_refresh_while_the_keys_cannot_be_had_keeps_the_session_and_leaves_the_id_token_out() {
    let party = TestParty::new().await;
    party.gives_id_token(party.key.token(&party.claims()));
    party.server.answers("/jwks", Answer::text(503, ""));
    let tokens = party.refresh().await.expect("tokens");
    assert_eq!(tokens.refresh_token.expect("a refresh token").expose(), "new-refresh");
    assert_eq!((tokens.id_token, tokens.claims), (None, None));
}

#[tokio::test]
async fn debug_shows_neither_tokens_nor_claim_values() {
    let party = TestParty::new().await;
    let tokens = party.redeem_with_claims(json!({"name": MARKER})).await.expect("tokens");
    let shown = format!("{tokens:?} {:?}", party.provider.settings());
    assert!(!shown.contains(MARKER) && !shown.contains("alice"), "{shown}");
    let nonce = nonce();
    assert!(!format!("{nonce:?}").contains(MARKER));
}

/// RFC 8707 §2.2
#[tokio::test]
async fn the_apis_that_the_token_is_for_are_named_at_the_code_and_at_each_refresh() {
    let resources = ["https://a.example/", "urn:b"].map(str::to_owned).to_vec();
    let party =
        TestParty::with(TestKey::es256("k1"), |settings| settings.authorization.resources = resources.clone()).await;
    party.redeem_with_claims(json!({})).await.expect("tokens");
    party.refresh().await.expect("tokens");
    let requests = party.server.received("/token");
    assert_eq!(requests.len(), 2);
    for request in requests {
        let named: Vec<_> = request.form().into_iter().filter(|(name, _)| name == "resource").collect();
        assert_eq!(named.iter().map(|(_, value)| value).collect::<Vec<_>>(), resources.iter().collect::<Vec<_>>());
    }
}

/// RFC 8707 §2.2, RFC 6749 §6
#[tokio::test]
async fn a_refresh_for_another_api_names_it_in_place_of_the_login_s() {
    let party = TestParty::with(TestKey::es256("k1"), |settings| {
        settings.authorization.resources = vec!["https://login.example".to_owned()];
    })
    .await;
    let id_token = party.key.token(&party.claims());
    party.server.answers("/token", Answer::json(200, &token_response(json!({ "id_token": id_token }))));
    let need = TokenNeed::new(vec!["read".into()], Some("https://orders.example".into()), None);
    let tokens = party.provider.refresh_for(&refresh_token(), &party.original(), Some(&need)).await.expect("tokens");
    assert!(tokens.id_token.is_some(), "it is as good as any");
    let request = party.server.received("/token").remove(0);
    let named: Vec<_> = request.form().into_iter().filter(|(name, _)| name == "resource").collect();
    assert_eq!(named, [("resource".to_owned(), "https://orders.example".to_owned())]);
    assert_eq!(request.parameter("scope").as_deref(), Some("offline_access openid read"));
}

/// RFC 8707 §2, RFC 6749 §5.2: what is refused is the API, and not the refresh token.
#[tokio::test]
async fn a_refusal_of_what_was_named_is_none_of_the_refresh_token() {
    let need = TokenNeed::new(vec!["api://orders/.default".into()], None, None);
    let asked = async |preset, body: Value, need: Option<&TokenNeed>| {
        let party = TestParty::with(TestKey::es256("k1"), |settings| settings.particulars.preset = preset).await;
        party.server.answers("/token", Answer::json(400, &body));
        party.provider.refresh_for(&refresh_token(), &party.original(), need).await.expect_err("a refusal")
    };
    let error = |code: &str, description: &str| json!({"error": code, "error_description": description});
    for code in ["invalid_target", "invalid_scope", "access_denied", "consent_required", "interaction_required"] {
        let refused = asked(None, error(code, ""), Some(&need)).await;
        assert!(matches!(&refused, RefreshError::NotGranted { error, .. } if error.code() == code), "{refused:?}");
        let of_the_login = asked(None, error(code, ""), None).await;
        assert!(matches!(of_the_login, RefreshError::Rejected(_)), "{of_the_login:?}");
    }
    let consent = error("invalid_grant", "AADSTS65001: The user or administrator has not consented");
    let entra = Some(crate::oidc::Preset::Entra);
    assert!(matches!(asked(entra, consent.clone(), Some(&need)).await, RefreshError::NotGranted { .. }));
    assert_eq!(asked(None, consent, Some(&need)).await, RefreshError::InvalidGrant);
    let expired = error("invalid_grant", "AADSTS700082: The refresh token has expired");
    assert_eq!(asked(entra, expired, Some(&need)).await, RefreshError::InvalidGrant);
}
