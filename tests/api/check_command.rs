//! `sealgate check` against the real provider: what it says of it, and that what it tells people to register is what
//! a login needs.

use std::os::unix::fs::PermissionsExt as _;

use rcgen::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::sealgate::{generate_ring, run, run_with};
use crate::support::{Browser, Provider, ProviderOptions, Sealgate, SealgateOptions, Upstream};

/// Runs the check on a configuration for that issuer, and gives the exit code and the report.
async fn check(issuer: &str, public_url: &str, provider: Value) -> (Option<i32>, Value) {
    let folder = TempDir::new().expect("a temporary folder");
    let ring = folder.path().join("keys/ring.json");
    generate_ring(&ring, "10m").await;
    let mut config = json!({
        "server": {"public_url": public_url},
        "provider": {"issuer": issuer, "client_id": "spa-bff", "client_secret_file": folder.path().join("secret")},
        "keys": {"ring": ring},
    });
    for (key, value) in provider.as_object().expect("a table") {
        match key.as_str() {
            "routes" => config["routes"] = value.clone(),
            key => config["provider"][key] = value.clone(),
        }
    }
    std::fs::write(folder.path().join("secret"), "marker-hunter2").expect("a new file");
    let file = folder.path().join("sealgate.toml");
    std::fs::write(&file, toml::to_string(&config).expect("the configuration is TOML")).expect("a new file");
    let output = run(&["check", "--json", "--config", file.to_str().expect("a path in UTF-8")]).await;
    assert!(!String::from_utf8_lossy(&output.stdout).contains("hunter2"));
    (output.status.code(), serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// The messages of that verdict on that key.
fn messages<'a>(report: &'a Value, verdict: &str, key: &str) -> Vec<&'a str> {
    let lines = report["lines"].as_array().expect("a list").iter();
    let wanted = lines.filter(|line| line["verdict"] == verdict && line["key"] == key);
    wanted.map(|line| line["message"].as_str().expect("a message")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_provider_passes_the_check() {
    let provider = Provider::start(ProviderOptions::default()).await;
    let (code, report) = check(&provider.issuer, "https://app.example.com", json!({})).await;
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(messages(&report, "ok", "provider.client_auth"), ["the provider takes client_secret_basic"]);
    let found = messages(&report, "ok", "provider.issuer").join("\n");
    for part in ["names itself exactly so", "PKCE with S256", "RFC 9207", "end_session_endpoint", "revocation_endpoint"]
    {
        assert!(found.contains(part), "{part}: {report:#}");
    }
    assert!(messages(&report, "ok", "provider.clock_skew")[0].contains("clock"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_does_not_offer_is_found() {
    let provider = Provider::start(ProviderOptions::default()).await;
    let wrong = json!({"id_token_algorithms": ["ES384"], "scopes": ["openid", "no-such-scope"]});
    let (code, report) = check(&provider.issuer, "https://app.example.com", wrong).await;
    assert_eq!(code, Some(1));
    assert_eq!(messages(&report, "error", "provider.id_token_algorithms").len(), 1, "{report:#}");
    assert!(messages(&report, "warning", "provider.scopes")[0].contains("no-such-scope"), "{report:#}");
    let (code, report) = check(&format!("{}/", provider.issuer), "https://app.example.com", json!({})).await;
    assert_eq!(code, Some(1));
    let message = messages(&report, "error", "provider.issuer")[0];
    assert!(message.ends_with("set provider.issuer to exactly what it says"), "{message}");
}

/// RFC 7662, RFC 9068: whoever takes tokens should know before the first of them comes.
#[tokio::test(flavor = "multi_thread")]
async fn issuers_of_access_tokens_are_asked_too() {
    let (provider, upstream) = tokio::join!(Provider::start(ProviderOptions::default()), Upstream::start());
    let options = SealgateOptions::new(&provider.issuer, upstream.port);
    provider.register(options.registration()).await;
    let asking = |secret: &str| json!({"introspection": true, "client_id": options.client_id, "client_secret": secret});
    let elsewhere = json!({"jwks_uri": format!("{}/nothing", provider.issuer)});
    for (settings, verdict, part) in [
        (json!({}), "ok", "can be read"),
        (elsewhere, "error", "jwks_uri"),
        (asking(&options.client_secret), "ok", "answers questions about tokens"),
        (asking("wrong"), "error", "client_secret"),
    ] {
        let mut issuer = settings.clone();
        issuer["issuer"] = json!(provider.issuer);
        issuer["audience"] = json!(["urn:test:api"]);
        let route = json!({"path": "/api", "upstream": "http://127.0.0.1:1", "auth": "bearer", "issuers": [issuer]});
        let (_, report) = check(&provider.issuer, "https://app.example.com", json!({"routes": [route]})).await;
        let found = messages(&report, verdict, "routes[0].issuers[0].issuer").join("");
        assert!(found.contains(part), "{settings}: {report:#}");
    }
}

/// RFC 8414 §2, RFC 9126 §5
#[tokio::test(flavor = "multi_thread")]
async fn how_the_client_authenticates_and_asks_is_compared_with_what_the_provider_takes() {
    let provider = Provider::start(ProviderOptions { par: "required", ..ProviderOptions::default() }).await;
    let (folder, pair) = (TempDir::new().expect("a folder"), KeyPair::generate().expect("a key pair"));
    let key = folder.path().join("client.pem");
    std::fs::write(&key, pair.serialize_pem()).expect("a new file");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("ours");
    let keys = json!({
        "client_auth": "private_key_jwt", "client_key_file": key, "response_mode": "form_post",
        "pushed_authorization_requests": "never",
    });
    let (code, report) = check(&provider.issuer, "https://app.example.com", keys).await;
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(messages(&report, "error", "provider.pushed_authorization_requests").len(), 1, "{report:#}");
    assert_eq!(messages(&report, "ok", "provider.client_auth"), ["the provider takes private_key_jwt"]);
    assert_eq!(messages(&report, "ok", "provider.response_mode"), ["the provider answers with form_post"]);
    let signed = messages(&report, "ok", "provider.client_assertion_algorithm");
    assert_eq!(signed, ["assertions are signed with ES256, which the provider takes"]);
    let file = messages(&report, "ok", "provider.client_key_file");
    assert!(file.len() == 1 && file[0].contains("mode 0600"), "{report:#}");
}

/// RFC 6749 §3.1.2.2, RP-Initiated Logout §3.1: the provider compares them as strings.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_registered_with_what_the_check_prints_logs_in_and_out() {
    let (provider, upstream) = tokio::join!(Provider::start(ProviderOptions::default()), Upstream::start());
    let options = SealgateOptions::new(&provider.issuer, upstream.port);
    let (_, report) = check(&provider.issuer, &options.public_url, json!({})).await;
    let uris: Vec<_> = messages(&report, "note", "provider.client_id")
        .iter()
        .map(|message| message.rsplit_once(": ").expect("a URI behind a colon").1.to_owned())
        .collect();
    let mut registration = options.registration();
    registration["redirect_uris"] = json!([uris[0]]);
    registration["post_logout_redirect_uris"] = json!([uris[1]]);
    provider.register(registration).await;
    let gate = Sealgate::start(options).await;
    let browser = Browser::new(gate.url());
    browser.sign_in().await;
    let user = browser.user().await;
    let logout = browser.navigate(user["bff:logout_url"].as_str().expect("a path")).await;
    let end_session: url::Url = logout.header("location")[0].parse().expect("a URL");
    let back = end_session.query_pairs().find(|(name, _)| name == "post_logout_redirect_uri");
    assert_eq!(back.map(|(_, uri)| uri.into_owned()).as_deref(), Some(uris[1].as_str()));
}

/// Without authorities every request to an https upstream would fail, and only then.
#[tokio::test(flavor = "multi_thread")]
async fn a_system_without_certificate_authorities_is_found_before_the_first_request() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a path in UTF-8").to_owned();
    generate_ring(&folder.path().join("ring.json"), "10m").await;
    std::fs::write(path("none.pem"), "").expect("a new file");
    std::fs::write(path("secret"), "marker-hunter2").expect("a new file");
    let config = json!({
        "server": {"listen": "127.0.0.1:0", "management_listen": "127.0.0.1:0", "public_url": "https://app.example.com"},
        "provider": {"issuer": "http://127.0.0.1:1", "client_id": "c", "client_secret_file": path("secret")},
        "keys": {"ring": path("ring.json")},
        "routes": [{"path": "/api", "upstream": "https://api.internal"}],
    });
    std::fs::write(path("sealgate.toml"), toml::to_string(&config).expect("TOML")).expect("a new file");
    std::fs::create_dir(path("empty")).expect("a new folder");
    let (config, none, empty) = (path("sealgate.toml"), path("none.pem"), path("empty"));
    for command in [&["serve", "--config", &config][..], &["check", "--offline", "--config", &config]] {
        let output = run_with(command, &[("SSL_CERT_FILE", &none), ("SSL_CERT_DIR", &empty)]).await;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert!(
            said.contains("no certificate authorities") && said.contains("upstream_ca_file"),
            "{command:?}: {said}"
        );
    }
}
