//! `[provider]`: how the client authenticates, and what authorization requests say.

use super::*;
use crate::oidc::test_keys::TestKey;
use crate::oidc::{AssertionAlgorithm, AssertionAudience, ClientAuth, PushedRequests, ResponseMode};

const WITHOUT_SECRET: &str = r#"[server]
public_url = "https://app.example.com"
[provider]
issuer = "https://login.example.com"
client_id = "spa-bff"
"#;

/// A configuration with `keys` in `[provider]`, and with a secret.
fn with(keys: &str) -> Fixture {
    Fixture::new(&[&format!("{MINIMAL}{keys}")])
}

/// One that signs with a key of that kind; `KEY` in `keys` is its file.
fn with_key(key: &TestKey, keys: &str) -> Fixture {
    let mut fixture = Fixture::new(&[]);
    let path = fixture.write("key.pem", &key.pem());
    let keys = keys.replace("KEY", path.to_str().expect("UTF-8"));
    let file = fixture.write("0.toml", &format!("{WITHOUT_SECRET}client_auth = \"private_key_jwt\"\n{keys}"));
    fixture.files.push(file);
    fixture
}

#[test]
fn a_client_with_a_key_needs_no_secret() {
    let keys = "client_key_file = \"KEY\"\nclient_key_id = \"k1\"\nclient_assertion_algorithm = \"PS256\"\n\
                client_assertion_audience = \"token_endpoint\"\n";
    let fixture = with_key(&TestKey::rs256("k"), keys);
    let loaded = fixture.load().expect("valid");
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.secret_files.len(), 1, "check looks at who may change it");
    let ClientAuth::PrivateKeyJwt(settings) = &loaded.config.sites[0].provider().client_auth else {
        panic!("the configured one")
    };
    assert_eq!((settings.key_id.as_deref(), settings.algorithm), (Some("k1"), Some(AssertionAlgorithm::Ps256)));
    assert_eq!(settings.audience, AssertionAudience::TokenEndpoint);
    let settings = with_key(&TestKey::rs256("k"), "client_key_file = \"KEY\"\n").config().provider.client_auth;
    let ClientAuth::PrivateKeyJwt(settings) = settings else { panic!("the configured one") };
    assert_eq!((settings.key_id, settings.algorithm, settings.audience), (None, None, AssertionAudience::Issuer));
}

#[test]
fn a_key_that_cannot_sign_is_told_with_its_remedy() {
    let finding = with_key(&TestKey::es256("k"), "").only_finding();
    assert!(finding.contains("provider.client_key_file: is missing; provider.client_auth"), "{finding}");
    let finding = with_key(&TestKey::es384("k"), "client_key_file = \"KEY\"\n").only_finding();
    assert!(finding.contains("provider.client_key_file: ") && finding.contains("EC P-256"), "{finding}");
    let fixture = with_key(&TestKey::es256("k"), "client_key_file = \"KEY\"\nclient_assertion_algorithm = \"RS256\"\n");
    let finding = fixture.only_finding();
    assert!(
        finding.contains("provider.client_assertion_algorithm: ") && finding.contains("but ES256 can"),
        "{finding}"
    );
    let fixture = with_key(&TestKey::es256("k"), "client_key_file = \"KEY\"\n");
    set_mode(&fixture.folder.path().join("key.pem"), 0o604);
    let finding = fixture.only_finding();
    assert!(finding.contains("provider.client_key_file: ") && finding.contains("chmod 600"), "{finding}");
    let finding = with_key(&TestKey::es256("k"), "client_key_file = \"KEY\"\nclient_assertion_algorithm = \"none\"\n");
    assert!(finding.only_finding().contains("\"none\" is not one of \"RS256\", \"PS256\""));
}

/// RFC 9700 §2.5
#[test]
fn a_public_client_is_possible_and_discouraged() {
    let fixture = Fixture::new(&[&format!("{WITHOUT_SECRET}client_auth = \"none\"\n")]);
    assert!(matches!(fixture.config().provider.client_auth, ClientAuth::None));
    let finding = fixture.only_finding();
    assert!(finding.contains("provider.client_auth: \"none\" is a public client"), "{finding}");
}

#[test]
fn a_secret_or_a_key_that_is_not_used_is_pointed_out() {
    let findings = with("client_auth = \"none\"\nclient_key_file = \"k\"\n").findings();
    for key in ["provider.client_secret", "provider.client_key_file"] {
        let expected = format!("{key}: is not used with this provider.client_auth; remove one of them");
        assert!(findings.iter().any(|finding| finding.ends_with(&expected)), "{findings:#?}");
    }
}

/// OpenID Connect Core §3.1.2.1, RFC 8707 §2
#[test]
fn authorization_requests_say_what_is_configured() {
    let config = with(
        r#"pushed_authorization_requests = "always"
response_mode = "form_post"
prompt = "login  consent"
max_age = "0s"
acr_values = ["gold", "silver"]
ui_locales = ["de-AT", "en"]
claims = '{"id_token": {"acr": {"essential": true}}}'
resource = ["https://api.example.com/v1", "urn:example:b"]
audience = "an api"
[provider.authorization_parameters]
organization = "acme"
"#,
    )
    .config();
    let authorization = config.provider.authorization;
    assert_eq!(authorization.pushed, PushedRequests::Always);
    assert_eq!(authorization.response_mode, ResponseMode::FormPost);
    assert_eq!(authorization.max_age, Some(Duration::ZERO));
    assert_eq!(authorization.resources, ["https://api.example.com/v1", "urn:example:b"]);
    let expected = [
        ("prompt", "login consent"),
        ("acr_values", "gold silver"),
        ("ui_locales", "de-AT en"),
        ("claims", r#"{"id_token":{"acr":{"essential":true}}}"#),
        ("audience", "an api"),
        ("organization", "acme"),
    ];
    assert_eq!(authorization.parameters, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let silent = with("").config().provider.authorization;
    assert_eq!((silent.parameters.len(), silent.pushed, silent.max_age), (0, PushedRequests::Auto, None));
}

/// RFC 8707 §2: a resource is absolute, without fragment.
#[test]
fn parameters_that_nobody_may_set_or_that_say_nonsense_are_refused() {
    for (keys, expected) in [
        ("prompt = \"none\"", "provider.prompt: \"none\" would let nobody sign in"),
        ("max_age = \"1500ms\"", "provider.max_age: must be in whole seconds"),
        ("max_age = 60", "provider.max_age: must be a duration"),
        ("acr_values = [\"a b\"]", "provider.acr_values[0]: \"a b\" is not one word"),
        ("claims = \"[]\"", "provider.claims: is not a JSON object"),
        ("claims = '{\"userinfo\": []}'", "provider.claims: has a member userinfo that is not an object"),
        ("resource = [\"/api\"]", "provider.resource[0]: \"/api\" is not an absolute URI"),
        ("resource = [\"https://a.example/#b\"]", "provider.resource[0]: \"https://a.example/#b\" has a fragment"),
        ("authorization_parameters = \"a\"", "provider.authorization_parameters: must be a table, not a string"),
        ("authorization_parameters = { state = \"x\" }", "provider.authorization_parameters.state: secures the flow"),
        ("authorization_parameters = { prompt = \"x\" }", "has a key of its own: write provider.prompt"),
        ("authorization_parameters = { \"a b\" = \"x\" }", "is not a parameter name"),
        ("authorization_parameters = { a = 1 }", "provider.authorization_parameters.a: must be a string"),
        ("passthrough_parameters = [\"client_assertion\"]", "must not come from a link: it secures the flow"),
        ("passthrough_parameters = [\"resource\"]", "write provider.resource"),
    ] {
        let finding = with(keys).only_finding();
        assert!(finding.contains(expected), "{keys}: {finding}");
    }
}

#[test]
fn further_parameters_come_from_the_environment_too() {
    let fixture = with("").with("SEALGATE__PROVIDER__AUTHORIZATION_PARAMETERS__ORGANIZATION", "007");
    let parameters = fixture.config().provider.authorization.parameters;
    assert_eq!(parameters, [("organization".to_owned(), "007".to_owned())]);
    let fixture = with("").with("SEALGATE__PROVIDER__AUTHORIZATION_PARAMETERS", "{ organization = \"acme\" }");
    let parameters = fixture.config().provider.authorization.parameters;
    assert_eq!(parameters, [("organization".to_owned(), "acme".to_owned())]);
    let finding = with("").with("SEALGATE__PROVIDER__AUTHORIZATION_PARAMETERS", "acme").only_finding();
    assert!(finding.contains("is not a table; write { name"), "{finding}");
}

/// OAuth 2.0 Form Post Response Mode §2: the cookie must come with another site's form.
#[test]
fn a_posted_answer_needs_https() {
    let text = MINIMAL.replace("https://app.example.com", "http://127.0.0.1:8080");
    let finding = Fixture::new(&[&format!("{text}response_mode = \"form_post\"\n")]).only_finding();
    assert!(finding.contains("provider.response_mode: \"form_post\" needs cookies"), "{finding}");
}
