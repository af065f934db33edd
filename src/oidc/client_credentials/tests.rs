//! The application's own token requests.

use serde_json::json;

use super::*;
use crate::oidc::test_keys::TestKey;
use crate::oidc::test_party::{MARKER, NOW, TestParty, access_token, token_response};
use crate::oidc::test_provider::Answer;
use crate::oidc::{ClientAuth, InvalidResponse};
use crate::secret::SecretString;

fn need() -> TokenNeed {
    TokenNeed::new(vec!["read".into()], None, Some("https://api.example.com".into()))
}

/// RFC 6749 §4.4.2, §2.3.1
#[tokio::test]
async fn a_request_names_the_grant_and_the_need_and_authenticates_the_client() {
    let secret = || SecretString::new(format!("{MARKER}-secret"));
    for auth in [ClientAuth::SecretBasic(secret()), ClientAuth::SecretPost(secret())] {
        let name = auth.name();
        let party = TestParty::with(TestKey::es256("k1"), |settings| settings.client_auth = auth).await;
        party.server.answers("/token", Answer::json(200, &token_response(json!({"id_token": "ignored"}))));
        let token = party.provider.client_token(&need()).await.expect("a token");
        assert_eq!((token.access_token.expose(), token.expires_at.as_secs()), (access_token().as_str(), NOW + 300));
        assert!(!format!("{token:?}").contains(MARKER));
        let request = party.server.received("/token").remove(0);
        let form = request.form();
        let mut names: Vec<_> = form.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match name {
            "client_secret_basic" => {
                assert_eq!(names, ["audience", "grant_type", "scope"]);
                assert!(request.headers["authorization"].starts_with("Basic "));
            }
            _ => assert_eq!(names, ["audience", "client_id", "client_secret", "grant_type", "scope"]),
        }
        assert_eq!(request.parameter("grant_type").as_deref(), Some("client_credentials"));
    }
}

/// RFC 6749 §5.2
#[tokio::test]
async fn what_goes_wrong_is_told_apart_and_repeats_no_secret() {
    let party = TestParty::new().await;
    let answers = [
        Answer::json(400, &json!({"error": "unauthorized_client", "error_description": format!("{MARKER}: secret/+")})),
        Answer::json(200, &token_response(json!({"access_token": null}))),
        Answer::json(200, &token_response(json!({"token_type": "DPoP"}))),
        Answer::text(503, ""),
    ];
    let mut errors = Vec::new();
    for answer in answers {
        party.server.answers("/token", answer);
        errors.push(party.provider.client_token(&need()).await.expect_err("a failure"));
    }
    assert!(errors.iter().all(|error| !format!("{error} {error:?}").contains(MARKER)));
    assert!(matches!(&errors[0], ClientCredentialsError::Rejected(error) if error.code() == "unauthorized_client"));
    assert_eq!(errors[1], ClientCredentialsError::InvalidResponse(InvalidResponse::NotJson));
    assert_eq!(errors[2], ClientCredentialsError::InvalidResponse(InvalidResponse::TokenType));
    assert!(matches!(errors[3], ClientCredentialsError::Unavailable(_)));
}
