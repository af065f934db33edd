//! The provider from outside, over HTTP: as a browser and as a client.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;
use crate::clock::UnixTime;

const REDIRECT: &str = "http://127.0.0.1:8080/bff/callback";
const AFTER_LOGOUT: &str = "http://127.0.0.1:8080/";
/// RFC 7636 appendix B
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const FORM: &str = "application/x-www-form-urlencoded";

struct Setting {
    provider: DemoProvider,
    clock: Clock,
    browser: Client,
}

fn setting() -> Setting {
    let clock = Clock::manual(UnixTime::from_secs(1_795_392_000));
    let settings = DemoProviderSettings {
        client_id: "demo".to_owned(),
        client_secret: SecretString::new("s3:cret"),
        redirect_uri: REDIRECT.to_owned(),
        post_logout_redirect_uri: AFTER_LOGOUT.to_owned(),
        access_token_lifetime: Duration::from_secs(60),
    };
    let provider = DemoProvider::start(settings, 0, clock.clone()).expect("a free port");
    let browser = Client::builder().no_proxy().cookie_store(true).redirect(Policy::none()).build().expect("a client");
    Setting { provider, clock, browser }
}

/// The parameters of a good authorization request.
fn request() -> Vec<(&'static str, &'static str)> {
    vec![
        ("response_type", "code"),
        ("client_id", "demo"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid profile email offline_access"),
        ("state", "st&te"),
        ("nonce", "n0nce"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

/// A good request, but for one parameter.
fn request_with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut parameters = request();
    parameters.retain(|(known, _)| *known != name);
    parameters.push((name, value));
    parameters
}

impl Setting {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.provider.issuer())
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Response {
        let mut url = Url::parse(&self.url(path)).expect("a URL");
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.browser.get(url).send().await.expect("an answer")
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        self.browser.post(self.url(path)).form(form).send().await.expect("an answer")
    }

    /// Opens the form for `parameters`, and gives its hidden field.
    async fn form(&self, parameters: &[(&str, &str)]) -> String {
        let page = self.get("/authorize", parameters).await;
        assert_eq!(page.status(), 200);
        let html = page.text().await.expect("a page");
        hidden_field(&html, "login")
    }

    async fn log_in(&self) -> String {
        let login = self.form(&request()).await;
        let answer = self.post("/login", &[("login", &login), ("username", "ada"), ("password", "lovelace")]).await;
        parameter(&answer, "code").expect("a code")
    }

    async fn redeem(&self, code: &str, verifier: &str) -> Response {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
        ];
        self.token(&form).await
    }

    async fn token(&self, form: &[(&str, &str)]) -> Response {
        self.browser
            .post(self.url("/token"))
            .basic_auth("demo", Some("s3%3Acret"))
            .form(form)
            .send()
            .await
            .expect("an answer")
    }

    async fn refresh(&self, refresh_token: &str) -> Response {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
    }

    async fn signed_in(&self) -> Value {
        let code = self.log_in().await;
        tokens(self.redeem(&code, VERIFIER).await).await
    }
}

fn hidden_field(html: &str, name: &str) -> String {
    let (_, rest) = html.split_once(&format!("name=\"{name}\" value=\"")).expect("the hidden field");
    rest.split('"').next().expect("its value").to_owned()
}

/// A parameter of the redirect back to the client.
fn parameter(answer: &Response, name: &str) -> Option<String> {
    assert_eq!(answer.status(), 303);
    let url = Url::parse(answer.headers()["location"].to_str().expect("ASCII")).expect("a URL");
    assert!(url.as_str().starts_with(REDIRECT), "{url}");
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

async fn tokens(answer: Response) -> Value {
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer.json().await.expect("JSON")
}

async fn error(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.expect("JSON");
    (status, body["error"].as_str().expect("an error code").to_owned())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("a text")
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

/// OpenID Connect Discovery §4.3
#[tokio::test]
async fn the_metadata_names_the_issuer_and_what_is_supported() {
    let setting = setting();
    let answer = setting.get("/.well-known/openid-configuration", &[]).await;
    let metadata: Value = answer.json().await.expect("JSON");
    assert_eq!(metadata["issuer"], setting.provider.issuer());
    assert_eq!(metadata["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    let jwks: Value = setting.get("/jwks", &[]).await.json().await.expect("JSON");
    assert_eq!(jwks["keys"].as_array().map(Vec::len), Some(1));
}

/// OpenID Connect Core §3.1, RFC 9207 §2
#[tokio::test]
async fn a_login_gives_a_code_and_the_code_gives_tokens() {
    let setting = setting();
    let login = setting.form(&request()).await;
    let answer = setting.post("/login", &[("login", &login), ("username", "ada"), ("password", "lovelace")]).await;
    assert_eq!(parameter(&answer, "state").as_deref(), Some("st&te"));
    assert_eq!(parameter(&answer, "iss").as_deref(), Some(setting.provider.issuer()));
    let code = parameter(&answer, "code").expect("a code");

    let tokens = tokens(setting.redeem(&code, VERIFIER).await).await;
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&"Bearer".into(), &60.into()));
    let id = claims(text(&tokens, "id_token"));
    assert_eq!((&id["nonce"], &id["aud"]), (&"n0nce".into(), &"demo".into()));
    assert_eq!((&id["name"], &id["email"]), (&"Ada Lovelace".into(), &"ada@example.com".into()));
    assert_eq!(id["groups"], serde_json::json!(["engineering"]));
    let access_token = text(&tokens, "access_token");
    assert_eq!(id["at_hash"], URL_SAFE_NO_PAD.encode(&Sha256::digest(access_token)[..16]));
    let key = setting.provider.verifying_key();
    assert!(key.access_token(access_token, AUDIENCE, setting.clock.now()).is_ok());
    assert!(key.id_token_hint(text(&tokens, "id_token"), "demo").is_ok());
}

#[tokio::test]
async fn a_second_login_needs_no_password() {
    let setting = setting();
    setting.log_in().await;
    let again = setting.get("/authorize", &request()).await;
    assert!(parameter(&again, "code").is_some());
    let silent = setting.get("/authorize", &request_with("prompt", "none")).await;
    assert!(parameter(&silent, "code").is_some());
    let forced = setting.get("/authorize", &request_with("prompt", "login")).await;
    assert_eq!(forced.status(), 200);
}

/// OpenID Connect Core §3.1.2.1
#[tokio::test]
async fn a_login_that_is_too_old_for_max_age_is_asked_for_again() {
    let setting = setting();
    setting.log_in().await;
    setting.clock.advance(Duration::from_secs(31));
    assert_eq!(setting.get("/authorize", &request_with("max_age", "30")).await.status(), 200);
    assert_eq!(setting.get("/authorize", &request_with("max_age", "40")).await.status(), 303);
}

#[tokio::test]
async fn a_wrong_password_shows_the_form_again_with_an_error() {
    let setting = setting();
    let login = setting.form(&request()).await;
    let answer = setting.post("/login", &[("login", &login), ("username", "<ada>"), ("password", "nope")]).await;
    assert_eq!(answer.status(), 422);
    let html = answer.text().await.expect("a page");
    assert!(html.contains("role=\"alert\"") && html.contains("&lt;ada&gt;"), "{html}");
    assert_eq!(hidden_field(&html, "login"), login);
    let answer = setting.post("/login", &[("login", &login), ("username", "grace"), ("password", "hopper")]).await;
    assert!(parameter(&answer, "code").is_some());
}

#[tokio::test]
async fn a_form_works_once() {
    let setting = setting();
    let login = setting.form(&request()).await;
    let form = [("login", login.as_str()), ("username", "ada"), ("password", "lovelace")];
    assert_eq!(setting.post("/login", &form).await.status(), 303);
    assert_eq!(setting.post("/login", &form).await.status(), 400);
}

#[tokio::test]
async fn a_form_from_another_site_is_refused() {
    let setting = setting();
    let login = setting.form(&request()).await;
    let form = [("login", login.as_str()), ("username", "ada"), ("password", "lovelace")];
    let post = setting.browser.post(setting.url("/login")).header("Sec-Fetch-Site", "cross-site").form(&form);
    assert_eq!(post.send().await.expect("an answer").status(), 403);
}

#[tokio::test]
async fn pages_run_no_script_and_cannot_be_framed() {
    let setting = setting();
    let page = setting.get("/authorize", &request()).await;
    let policy = page.headers()["content-security-policy"].to_str().expect("ASCII").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("form-action"), "{policy}");
    let html = page.text().await.expect("a page");
    assert!(!html.contains("<script") && !html.contains("style="), "{html}");
    assert_eq!(setting.get("/style.css", &[]).await.headers()["content-type"], "text/css; charset=utf-8");
}

/// RFC 6749 §3.1.2.4
#[tokio::test]
async fn an_unregistered_client_or_redirect_uri_is_never_redirected_to() {
    let setting = setting();
    for parameters in [
        request_with("client_id", "another"),
        request_with("redirect_uri", "http://127.0.0.1:8080/bff/callback/"),
        request_with("redirect_uri", "https://evil.example/"),
        request_with("redirect_uri", ""),
        [request(), request_with("state", "other")].concat(),
    ] {
        let answer = setting.get("/authorize", &parameters).await;
        assert_eq!(answer.status(), 400, "{parameters:?}");
        assert!(!answer.headers().contains_key("location"));
    }
}

/// RFC 6749 §4.1.2.1, RFC 7636 §4.4.1
#[tokio::test]
async fn a_bad_request_goes_back_to_the_client_with_an_error() {
    let setting = setting();
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("response_mode", "form_post", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("scope", "profile", "invalid_scope"),
        ("request", "x.y.z", "request_not_supported"),
        ("request_uri", "urn:x", "request_uri_not_supported"),
        ("prompt", "none login", "invalid_request"),
        ("max_age", "soon", "invalid_request"),
        ("prompt", "none", "login_required"),
    ] {
        let answer = setting.get("/authorize", &request_with(name, value)).await;
        assert_eq!(parameter(&answer, "error").as_deref(), Some(error), "{name}={value}");
        assert_eq!(parameter(&answer, "state").as_deref(), Some("st&te"));
        assert_eq!(parameter(&answer, "iss").as_deref(), Some(setting.provider.issuer()));
        assert_eq!(parameter(&answer, "code"), None);
    }
}

/// RFC 7636 §4.6
#[tokio::test]
async fn a_code_without_its_verifier_is_worth_nothing() {
    let setting = setting();
    let code = setting.log_in().await;
    let other = VERIFIER.replace('d', "e");
    assert_eq!(error(setting.redeem(&code, &other).await).await, (400, "invalid_grant".to_owned()));
    let code = setting.log_in_again().await;
    assert_eq!(error(setting.redeem(&code, "").await).await, (400, "invalid_request".to_owned()));
}

impl Setting {
    async fn log_in_again(&self) -> String {
        parameter(&self.get("/authorize", &request()).await, "code").expect("a code")
    }
}

/// RFC 6749 §4.1.2
#[tokio::test]
async fn a_replayed_code_revokes_its_tokens() {
    let setting = setting();
    let code = setting.log_in().await;
    let first = tokens(setting.redeem(&code, VERIFIER).await).await;
    assert_eq!(error(setting.redeem(&code, VERIFIER).await).await, (400, "invalid_grant".to_owned()));
    let refresh = setting.refresh(text(&first, "refresh_token")).await;
    assert_eq!(error(refresh).await, (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn a_code_is_good_for_a_minute() {
    let setting = setting();
    let code = setting.log_in().await;
    setting.clock.advance(Duration::from_secs(60));
    assert_eq!(error(setting.redeem(&code, VERIFIER).await).await, (400, "invalid_grant".to_owned()));
}

/// RFC 6749 §6, RFC 9700 §4.14.2, OpenID Connect Core §12.2
#[tokio::test]
async fn refresh_tokens_rotate_and_a_replay_kills_the_whole_grant() {
    let setting = setting();
    let first = setting.signed_in().await;
    setting.clock.advance(Duration::from_secs(50));
    let second = tokens(setting.refresh(text(&first, "refresh_token")).await).await;
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_ne!(first["access_token"], second["access_token"]);
    let (before, after) = (claims(text(&first, "id_token")), claims(text(&second, "id_token")));
    for same in ["iss", "sub", "aud", "auth_time", "sid"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert!(after.get("nonce").is_none());

    let replay = setting.refresh(text(&first, "refresh_token")).await;
    assert_eq!(error(replay).await, (400, "invalid_grant".to_owned()));
    let newest = setting.refresh(text(&second, "refresh_token")).await;
    assert_eq!(error(newest).await, (400, "invalid_grant".to_owned()));
}

/// RFC 6749 §6
#[tokio::test]
async fn a_refresh_may_narrow_the_scope_and_never_widen_it() {
    let setting = setting();
    let first = setting.signed_in().await;
    let refresh_token = text(&first, "refresh_token");
    let form = |scope| [("grant_type", "refresh_token"), ("refresh_token", refresh_token), ("scope", scope)];
    assert_eq!(error(setting.token(&form("openid admin")).await).await, (400, "invalid_scope".to_owned()));
    let narrowed = tokens(setting.token(&form("openid email")).await).await;
    assert_eq!(claims(text(&narrowed, "access_token"))["scope"], "openid email");
}

/// RFC 6749 §2.3.1, §5.2
#[tokio::test]
async fn clients_authenticate_in_the_header_or_in_the_body_and_never_in_both() {
    let setting = setting();
    let post = |form: Vec<(&'static str, &'static str)>, basic: Option<&'static str>| {
        let mut request = setting.browser.post(setting.url("/token")).form(&form);
        if let Some(secret) = basic {
            request = request.basic_auth("demo", Some(secret));
        }
        async { error(request.send().await.expect("an answer")).await }
    };
    let grant = ("grant_type", "password");
    let body = |secret| vec![grant, ("client_id", "demo"), ("client_secret", secret)];
    assert_eq!(post(vec![grant], Some("s3%3Acret")).await.1, "unsupported_grant_type");
    assert_eq!(post(body("s3:cret"), None).await.1, "unsupported_grant_type");
    assert_eq!(post(body("s3:cret"), Some("s3%3Acret")).await, (400, "invalid_request".to_owned()));
    assert_eq!(post(body("wrong"), None).await, (401, "invalid_client".to_owned()));
    assert_eq!(post(vec![grant], Some("wrong")).await, (401, "invalid_client".to_owned()));
    assert_eq!(post(vec![grant, ("client_id", "demo")], None).await, (401, "invalid_client".to_owned()));
    assert_eq!(post(vec![grant, grant], Some("s3%3Acret")).await, (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn the_token_endpoint_reads_forms_only() {
    let setting = setting();
    let request = setting.browser.post(setting.url("/token")).header("Content-Type", "application/json").body("{}");
    assert_eq!(error(request.send().await.expect("an answer")).await, (400, "invalid_request".to_owned()));
    let get = setting.get("/token", &[]).await;
    assert!(get.status().is_client_error());
}

/// RFC 7009 §2
#[tokio::test]
async fn revoking_a_token_of_either_kind_ends_the_grant() {
    let setting = setting();
    for kind in ["refresh_token", "access_token"] {
        let tokens = setting.signed_in_again().await;
        let form = [("token", text(&tokens, kind)), ("client_id", "demo"), ("client_secret", "s3:cret")];
        assert_eq!(setting.post("/revoke", &form).await.status(), 200);
        let refresh = setting.refresh(text(&tokens, "refresh_token")).await;
        assert_eq!(error(refresh).await, (400, "invalid_grant".to_owned()), "{kind}");
    }
    let unknown = [("token", "unknown"), ("client_id", "demo"), ("client_secret", "s3:cret")];
    assert_eq!(setting.post("/revoke", &unknown).await.status(), 200);
    let stranger = setting.post("/revoke", &[("token", "unknown")]).await;
    assert_eq!(error(stranger).await, (401, "invalid_client".to_owned()));
}

impl Setting {
    async fn signed_in_again(&self) -> Value {
        let answer = self.get("/authorize", &request()).await;
        if answer.status() == 200 {
            return self.signed_in().await;
        }
        let code = parameter(&answer, "code").expect("a code");
        tokens(self.redeem(&code, VERIFIER).await).await
    }
}

/// OpenID Connect Core §5.3
#[tokio::test]
async fn userinfo_is_for_live_access_tokens() {
    let setting = setting();
    let tokens = setting.signed_in().await;
    let access_token = text(&tokens, "access_token");
    let ask = || async {
        let request = setting.browser.get(setting.url("/userinfo")).bearer_auth(access_token);
        request.send().await.expect("an answer")
    };
    let user: Value = ask().await.json().await.expect("JSON");
    assert_eq!(user["sub"], claims(text(&tokens, "id_token"))["sub"]);
    assert_eq!(user["email"], "ada@example.com");
    setting.clock.advance(Duration::from_secs(60));
    assert_eq!(ask().await.status(), 401);
    assert_eq!(setting.get("/userinfo", &[]).await.headers()["www-authenticate"], "Bearer");
}

/// OpenID Connect RP-Initiated Logout §2, §3
#[tokio::test]
async fn logging_out_with_the_id_token_ends_the_session_and_returns_with_the_state() {
    let setting = setting();
    let tokens = setting.signed_in().await;
    let hint = text(&tokens, "id_token");
    let query = [("id_token_hint", hint), ("post_logout_redirect_uri", AFTER_LOGOUT), ("state", "bye")];
    let answer = setting.get("/logout", &query).await;
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], "http://127.0.0.1:8080/?state=bye");
    let silent = setting.get("/authorize", &request_with("prompt", "none")).await;
    assert_eq!(parameter(&silent, "error").as_deref(), Some("login_required"));
    let refresh = setting.refresh(text(&tokens, "refresh_token")).await;
    assert_eq!(error(refresh).await, (400, "invalid_grant".to_owned()));
}

/// OpenID Connect RP-Initiated Logout §2
#[tokio::test]
async fn logging_out_without_an_id_token_asks_first() {
    let setting = setting();
    setting.log_in().await;
    let query = [("client_id", "demo"), ("post_logout_redirect_uri", AFTER_LOGOUT)];
    let page = setting.get("/logout", &query).await;
    assert_eq!(page.status(), 200);
    assert!(page.text().await.expect("a page").contains("name=\"confirm\""));
    assert!(parameter(&setting.get("/authorize", &request()).await, "code").is_some());
    let confirmed = [query[0], query[1], ("confirm", "yes")];
    assert_eq!(setting.get("/logout", &confirmed).await.status(), 200, "a link cannot confirm");
    assert_eq!(setting.post("/logout", &confirmed).await.headers()["location"], AFTER_LOGOUT);
    assert_eq!(setting.get("/authorize", &request()).await.status(), 200);
}

/// OpenID Connect RP-Initiated Logout §3
#[tokio::test]
async fn logging_out_never_redirects_to_an_unregistered_address() {
    let setting = setting();
    let tokens = setting.signed_in().await;
    let hint = text(&tokens, "id_token");
    for query in [
        vec![("id_token_hint", hint), ("post_logout_redirect_uri", "https://evil.example/")],
        vec![("post_logout_redirect_uri", AFTER_LOGOUT)],
        vec![("client_id", "another"), ("post_logout_redirect_uri", AFTER_LOGOUT)],
        vec![("id_token_hint", "not.a.token"), ("post_logout_redirect_uri", AFTER_LOGOUT)],
    ] {
        let answer = setting.get("/logout", &query).await;
        assert_eq!(answer.status(), 400, "{query:?}");
        assert!(!answer.headers().contains_key("location"));
    }
}

#[tokio::test]
async fn authorization_requests_may_be_posted() {
    let setting = setting();
    let body =
        reqwest::Body::from(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(request()).finish());
    let post = setting.browser.post(setting.url("/authorize")).header("Content-Type", FORM).body(body);
    assert_eq!(post.send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn the_provider_answers_on_127_0_0_1_as_well_as_on_its_name() {
    let setting = setting();
    let by_address = setting.provider.issuer().replace("localhost", "127.0.0.1");
    let url = format!("{by_address}/.well-known/openid-configuration");
    let metadata: Value = setting.browser.get(url).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(metadata["issuer"], setting.provider.issuer());
}
