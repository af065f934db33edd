//! Metadata of all kinds beside a configuration, and a provider that answers over a socket.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::*;
use crate::cli::check::tests::{Checked, Folder, NOW};
use crate::oidc::test_keys::TestKey;
use crate::oidc::test_provider::{Answer, TestProvider};
use crate::oidc::{
    AssertionAudience, AuthorizationSettings, ClientAuth, LoginLimits, Particulars, PrivateKeyJwt, PushedRequests,
    ResponseMode, UserInfoUse,
};
use crate::secret::SecretString;

const DISCOVERY: &str = "/.well-known/openid-configuration";

fn metadata() -> Metadata {
    let url = |path: &str| format!("https://login.example.com/{path}").parse().expect("a URL");
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    Metadata {
        issuer: "https://login.example.com".to_owned(),
        authorization_endpoint: url("authorize"),
        token_endpoint: url("token"),
        jwks_uri: url("jwks"),
        end_session_endpoint: Some(url("logout")),
        revocation_endpoint: Some(url("revoke")),
        introspection_endpoint: None,
        userinfo_endpoint: None,
        scopes_supported: list(&["openid", "profile", "offline_access"]),
        token_endpoint_auth_methods_supported: list(&["client_secret_basic"]),
        token_endpoint_auth_signing_alg_values_supported: Vec::new(),
        pushed_authorization_request_endpoint: None,
        require_pushed_authorization_requests: false,
        response_modes_supported: list(&["query"]),
        grant_types_supported: Vec::new(),
        code_challenge_methods_supported: list(&["S256"]),
        id_token_signing_alg_values_supported: list(&["RS256"]),
        authorization_response_iss_parameter_supported: true,
    }
}

fn settings() -> ProviderSettings {
    ProviderSettings {
        issuer: "https://login.example.com".to_owned(),
        client_id: "spa-bff".to_owned(),
        client_auth: ClientAuth::SecretBasic(SecretString::new("s")),
        scopes: vec!["openid".to_owned(), "offline_access".to_owned()],
        authorization: AuthorizationSettings::default(),
        ca_file: None,
        clock_skew: Duration::ZERO,
        request_timeout: Duration::from_secs(1),
        default_access_token_lifetime: Duration::from_secs(1),
        id_token_algorithms: vec!["RS256".to_owned()],
        trusted_audiences: Vec::new(),
        userinfo: UserInfoUse::Never,
        passthrough_parameters: Vec::new(),
        login_limits: LoginLimits::default(),
        particulars: Particulars::default(),
    }
}

/// What is not in order.
fn found(metadata: &Metadata, settings: &ProviderSettings) -> Vec<(Verdict, &'static str)> {
    let judgements = compare(metadata, settings).into_iter().map(|(verdict, key, _)| (verdict, key));
    judgements.filter(|(verdict, _)| *verdict != Verdict::Ok).collect()
}

#[test]
fn of_a_provider_that_fits_every_line_is_in_order() {
    assert_eq!(found(&metadata(), &settings()), []);
    assert_eq!(compare(&metadata(), &settings()).len(), 10);
}

#[test]
fn what_the_provider_does_not_take_is_an_error() {
    let mut settings = settings();
    settings.client_auth = ClientAuth::SecretPost(SecretString::new("s"));
    settings.id_token_algorithms = vec!["ES256".to_owned()];
    let expected = [(Verdict::Error, "provider.client_auth"), (Verdict::Error, "provider.id_token_algorithms")];
    assert_eq!(found(&metadata(), &settings), expected);
    let (_, _, message) = client_authentication::check(&metadata(), &settings).remove(0);
    assert!(message.ends_with("set it to \"client_secret_basic\", if the client is registered so"), "{message}");
}

#[test]
fn a_provider_that_says_nothing_of_algorithms_is_believed() {
    let mut metadata = metadata();
    metadata.id_token_signing_alg_values_supported.clear();
    assert_eq!(found(&metadata, &settings()), []);
}

#[test]
fn a_scope_that_is_not_listed_is_a_warning_and_no_list_a_note() {
    let mut settings = settings();
    settings.scopes.push("api".to_owned());
    assert_eq!(found(&metadata(), &settings), [(Verdict::Warning, "provider.scopes")]);
    let mut silent = metadata();
    silent.scopes_supported.clear();
    assert_eq!(found(&silent, &settings), [(Verdict::Note, "provider.scopes")]);
}

#[test]
fn that_there_will_be_no_refresh_token_is_said() {
    let mut settings = settings();
    settings.scopes.pop();
    assert_eq!(found(&metadata(), &settings), [(Verdict::Note, "provider.scopes")]);
}

/// RFC 7636 §4.2, RFC 9700 §2.1.1
#[test]
fn pkce_without_s256_is_an_error_and_silence_a_warning() {
    let mut metadata = metadata();
    metadata.code_challenge_methods_supported = vec!["plain".to_owned()];
    assert_eq!(found(&metadata, &settings()), [(Verdict::Error, ISSUER)]);
    metadata.code_challenge_methods_supported.clear();
    assert_eq!(found(&metadata, &settings()), [(Verdict::Warning, ISSUER)]);
}

#[test]
fn a_provider_that_cannot_log_out_is_a_warning() {
    let mut metadata = metadata();
    metadata.end_session_endpoint = None;
    metadata.revocation_endpoint = None;
    assert_eq!(found(&metadata, &settings()), [(Verdict::Warning, ISSUER); 2]);
}

/// RFC 9207 §3
#[test]
fn responses_that_do_not_name_their_issuer_are_a_note() {
    let mut metadata = metadata();
    metadata.authorization_response_iss_parameter_supported = false;
    assert_eq!(found(&metadata, &settings()), [(Verdict::Note, ISSUER)]);
}

/// RFC 6749 §3.2
#[test]
fn an_endpoint_in_clear_text_beside_an_https_issuer_is_a_warning() {
    let mut metadata = metadata();
    metadata.userinfo_endpoint = Some("http://127.0.0.1:9/me".parse().expect("a URL"));
    assert_eq!(found(&metadata, &settings()), [(Verdict::Warning, ISSUER)]);
    metadata.issuer = "http://127.0.0.1:9".to_owned();
    assert_eq!(found(&metadata, &settings()), [(Verdict::Note, ISSUER)]);
}

/// OpenID Connect Discovery §3
#[test]
fn userinfo_that_is_wanted_and_not_there_is_an_error() {
    let mut settings = settings();
    settings.userinfo = UserInfoUse::Login;
    let mut metadata = metadata();
    metadata.userinfo_endpoint = Some("https://login.example.com/me".parse().expect("a URL"));
    assert_eq!(found(&metadata, &settings), []);
    metadata.userinfo_endpoint = None;
    assert_eq!(found(&metadata, &settings), [(Verdict::Error, "provider.userinfo")]);
}

/// Complaint of peers' users: clock skew.
#[test]
fn clocks_that_are_apart_are_a_warning_beyond_half_the_tolerance_and_an_error_beyond_it() {
    const SKEW: Duration = Duration::from_secs(60);
    let at = |seconds: i64| UnixTime::from_secs(NOW.as_secs() + seconds);
    let verdict = |seconds: i64| clocks(Some(at(seconds)), (NOW, at(5)), SKEW).0;
    for seconds in [-61, -31, -1, 0, 5, 6, 36, 66] {
        assert_ne!(verdict(seconds), Verdict::Error, "{seconds}");
    }
    for seconds in [-31, -1, 0, 5, 6, 36] {
        assert_eq!(verdict(seconds), Verdict::Ok, "{seconds}");
    }
    for seconds in [-61, -32, 37, 66] {
        assert_eq!(verdict(seconds), Verdict::Warning, "{seconds}");
    }
    for seconds in [-3600, -62, 67, 3600] {
        assert_eq!(verdict(seconds), Verdict::Error, "{seconds}");
    }
    assert_eq!(clocks(None, (NOW, NOW), SKEW).0, Verdict::Note);
    let (_, _, message) = clocks(Some(at(-3601)), (NOW, NOW), SKEW);
    assert!(message.starts_with("the provider's clock is 1h behind ours, 1m are tolerated"), "{message}");
}

/// Runs the whole check against a provider that gives `answer`, on a thread of its own: it has a runtime of its own.
async fn asked(answer: impl FnOnce(&str) -> Answer, more: &str) -> Checked {
    let provider = TestProvider::start().await;
    let issuer = provider.url("");
    provider.answers(DISCOVERY, answer(&issuer));
    let more = format!("[provider]\nissuer = \"{issuer}\"\n{more}");
    tokio::task::spawn_blocking(move || Folder::new(&more).check(check)).await.expect("no panic")
}

fn document(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/auth"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "code_challenge_methods_supported": ["S256"],
    })
}

/// `NOW` as a date of HTTP.
const NOW_IN_HTTP: &str = "Fri, 15 Jan 2027 08:00:00 GMT";

#[tokio::test]
async fn a_provider_that_answers_is_compared_with_the_configuration() {
    let checked = asked(|issuer| Answer::json(200, &document(issuer)).with("date", NOW_IN_HTTP), "").await;
    checked.has(Verdict::Ok, ISSUER, "answers, and names itself exactly so");
    checked.has(Verdict::Ok, "provider.client_auth", "the provider takes client_secret_basic");
    checked.has(Verdict::Ok, "provider.clock_skew", "agree; 1m are tolerated");
    checked.has(Verdict::Note, ISSUER, "http on loopback");
    checked.has(Verdict::Warning, ISSUER, "no end_session_endpoint");
}

#[tokio::test]
async fn a_provider_whose_clock_is_wrong_is_an_error() {
    let late = "Fri, 15 Jan 2027 08:10:00 GMT";
    let checked = asked(|issuer| Answer::json(200, &document(issuer)).with("date", late), "").await;
    checked.has(Verdict::Error, "provider.clock_skew", "9m 59s ahead of ours, 1m are tolerated; set both by NTP");
}

#[tokio::test]
async fn what_keeps_the_metadata_from_being_used_is_an_error_with_its_remedy() {
    let slash = |issuer: &str| Answer::json(200, &document(&format!("{issuer}/")));
    asked(slash, "").await.has(Verdict::Error, ISSUER, "set provider.issuer to exactly what it says");
    asked(|_| Answer::text(404, "{}"), "").await.has(Verdict::Error, ISSUER, "is the whole issuer, with its path");
    asked(|_| Answer::text(200, "<html>"), "").await.has(Verdict::Error, ISSUER, "is not a metadata document");
    asked(|_| Answer::text(503, ""), "").await.has(Verdict::Error, ISSUER, "see that it runs");
    asked(|_| Answer::HangUp, "").await.has(Verdict::Error, ISSUER, "see that it runs");
    let slow = "request_timeout = \"50ms\"\n";
    asked(|_| Answer::Silence, slow).await.has(Verdict::Error, ISSUER, "did not answer in time; see that this machine");
    let clear = |issuer: &str| {
        let mut document = document(issuer);
        document["token_endpoint"] = "http://login.example.com/token".into();
        Answer::json(200, &document)
    };
    asked(clear, "").await.has(Verdict::Error, ISSUER, "token_endpoint in the metadata");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_points_to_the_ca_file() {
    let (provider, _) = TestProvider::start_with_tls().await;
    let more = format!("[provider]\nissuer = \"{}\"\n", provider.url(""));
    let checked = tokio::task::spawn_blocking(move || Folder::new(&more).check(check)).await.expect("no panic");
    checked.has(Verdict::Error, ISSUER, "if it has an authority of its own, set provider.ca_file");
}

#[test]
fn offline_nobody_is_asked_and_it_is_said() {
    let checked = Folder::new("").check_offline(check);
    checked.has(Verdict::Note, ISSUER, "https://login.example.com was not asked (--offline)");
}

/// RFC 9126 §5
#[test]
fn pushed_requests_that_cannot_be_or_must_be_are_errors() {
    let endpoint = Some("https://login.example.com/par".parse().expect("a URL"));
    for (pushed, announced, required, expected) in [
        (PushedRequests::Auto, false, false, Verdict::Ok),
        (PushedRequests::Auto, true, true, Verdict::Ok),
        (PushedRequests::Auto, false, true, Verdict::Error),
        (PushedRequests::Always, true, false, Verdict::Ok),
        (PushedRequests::Always, false, false, Verdict::Error),
        (PushedRequests::Never, false, false, Verdict::Ok),
        (PushedRequests::Never, true, false, Verdict::Note),
        (PushedRequests::Never, true, true, Verdict::Error),
    ] {
        let (mut metadata, mut settings) = (metadata(), settings());
        metadata.pushed_authorization_request_endpoint = endpoint.clone().filter(|_| announced);
        metadata.require_pushed_authorization_requests = required;
        settings.authorization.pushed = pushed;
        let (verdict, key, message) = authorization::check(&metadata, &settings).remove(0);
        assert_eq!((verdict, key), (expected, "provider.pushed_authorization_requests"), "{message}");
    }
}

/// OAuth 2.0 Form Post Response Mode §2
#[test]
fn a_response_mode_that_the_provider_does_not_announce_is_a_warning() {
    let (mut metadata, mut settings) = (metadata(), settings());
    settings.authorization.response_mode = ResponseMode::FormPost;
    assert_eq!(found(&metadata, &settings), [(Verdict::Warning, "provider.response_mode")]);
    metadata.response_modes_supported.push("form_post".to_owned());
    assert_eq!(found(&metadata, &settings), []);
}

/// RFC 8414 §2
#[test]
fn assertions_that_the_provider_does_not_take_are_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let key_file = folder.path().join("key.pem");
    std::fs::write(&key_file, TestKey::es256("c").pem()).expect("a file");
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).expect("ours");
    let (mut metadata, mut settings) = (metadata(), settings());
    let audience = AssertionAudience::default();
    settings.client_auth =
        ClientAuth::PrivateKeyJwt(PrivateKeyJwt { key_file, key_id: None, algorithm: None, audience });
    metadata.token_endpoint_auth_methods_supported.push("private_key_jwt".to_owned());
    const ALGORITHM: &str = "provider.client_assertion_algorithm";
    assert_eq!(found(&metadata, &settings), [(Verdict::Note, ALGORITHM)]);
    metadata.token_endpoint_auth_signing_alg_values_supported = vec!["RS256".to_owned()];
    assert_eq!(found(&metadata, &settings), [(Verdict::Error, ALGORITHM)]);
    metadata.token_endpoint_auth_signing_alg_values_supported.push("ES256".to_owned());
    assert_eq!(found(&metadata, &settings), []);
}

/// RFC 8414 §2: none is asked for, so that nothing is issued that nobody uses.
#[tokio::test]
async fn a_provider_without_client_credentials_is_noticed_where_a_route_needs_them() {
    let route = "[[routes]]\npath = \"/stock\"\nupstream = \"http://127.0.0.1:3000\"\ntoken = \"application\"\n";
    let with = |grants: Option<&'static [&'static str]>| {
        move |issuer: &str| {
            let mut document = document(issuer);
            if let Some(grants) = grants {
                document["grant_types_supported"] = json!(grants);
            }
            Answer::json(200, &document)
        }
    };
    let none = asked(with(Some(&["authorization_code"])), route).await;
    none.has(Verdict::Warning, "routes", "/stock acts as the application, and the provider announces no");
    let known = asked(with(Some(&["authorization_code", "client_credentials"])), route).await;
    known.has(Verdict::Ok, "routes", "the provider knows client_credentials, for /stock");
    asked(with(None), route).await.has(Verdict::Note, "routes", "it was not tried");
}
