//! A realm of its own in the Keycloak that is running, for each test, and Sealgate in front.

use std::env;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::support::browser::{Context, client};
use crate::support::{Browser, Reply, Sealgate, SealgateOptions, Upstream};

/// Seconds that an access token lives: short, so that tests see the next.
const ACCESS_TOKEN_LIFESPAN: u32 = 6;
const PASSWORD: &str = "a-password-of-the-tests";

/// The administrator's end of the Keycloak that `scripts/with-keycloak` has started.
#[derive(Clone)]
struct Keycloak {
    url: String,
    http: Client,
}

impl Keycloak {
    fn running() -> Self {
        let url = env::var("KEYCLOAK_URL").expect("a Keycloak is running: make test-keycloak starts one");
        Self { url, http: client() }
    }

    /// Sends a request to the admin API as its administrator.
    async fn administer(&self, method: Method, path: &str, body: &Value) {
        let token = self.http.post(format!("{}/realms/master/protocol/openid-connect/token", self.url));
        let password = env::var("KEYCLOAK_ADMIN_PASSWORD").expect("the administrator's password");
        let form = [("grant_type", "password"), ("client_id", "admin-cli"), ("username", "admin")];
        let form = [form.as_slice(), &[("password", password.as_str())]].concat();
        let token = token.form(&form).send().await.expect("Keycloak answers");
        let token: Value = token.json().await.expect("a token response");
        let bearer = token["access_token"].as_str().unwrap_or_else(|| panic!("no administrator: {token}"));
        let request = self.http.request(method, format!("{}/admin/realms{path}", self.url));
        let reply = request.bearer_auth(bearer).json(body).send().await.expect("Keycloak answers");
        let status = reply.status();
        assert!(status.is_success(), "{path}: {status} {}", reply.text().await.unwrap_or_default());
    }
}

/// Sealgate in front of a realm.
pub struct Site {
    keycloak: Keycloak,
    realm: String,
    upstream: std::sync::Arc<Upstream>,
    /// The server under test.
    pub gate: std::sync::Arc<Sealgate>,
    /// A browser that has not been anywhere yet.
    pub browser: Browser,
}

impl Site {
    /// Makes a realm whose client has these members beside the usual ones, and starts Sealgate with Keycloak's preset.
    pub async fn start(client: Value, change: impl FnOnce(SealgateOptions) -> SealgateOptions) -> Self {
        let (keycloak, upstream) = (Keycloak::running(), Upstream::start().await);
        let mut options = SealgateOptions::new("", upstream.port);
        let realm = format!("realm-{}", options.port);
        options.issuer = format!("{}/realms/{realm}", keycloak.url);
        keycloak.administer(Method::POST, "", &representation(&realm, &options, client)).await;
        // The preset's scopes.
        let options = options.set("provider.preset", "keycloak").set("provider.scopes", Value::Null);
        let gate = Sealgate::start(change(options)).await;
        let browser = Browser::new(gate.url());
        Self { keycloak, realm, upstream: upstream.into(), gate: gate.into(), browser }
    }

    /// The same with a browser that has not been anywhere yet.
    pub fn with_another_browser(&self) -> Self {
        let (keycloak, realm) = (self.keycloak.clone(), self.realm.clone());
        let (upstream, gate) = (self.upstream.clone(), self.gate.clone());
        Self { keycloak, realm, upstream, browser: Browser::new(gate.url()), gate }
    }

    /// The realm's issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.gate.options.issuer
    }

    /// Signs that user in.
    pub async fn sign_in(&self, name: &str) {
        let reply = self.callback(name).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    }

    /// Fills Keycloak's login page in, and gives what the callback answers.
    pub async fn callback(&self, name: &str) -> Reply {
        let page = self.login_page().await;
        let form = page.body.split("<form").find(|form| form.contains("kc-form-login")).expect("the login form");
        let action = form.split_once("action=\"").and_then(|(_, rest)| rest.split('"').next()).expect("its action");
        let fields = [("username", name), ("password", PASSWORD), ("credentialId", "")];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.browser.request(Method::POST, &action.replace("&amp;", "&"), Context::Link);
        let request = request.field("Content-Type", "application/x-www-form-urlencoded");
        let reply = request.body(&body).send().await;
        assert_eq!(reply.status, StatusCode::FOUND, "the password is right: {}", reply.body);
        self.browser.arrive_from_elsewhere(reply.location().as_str()).await
    }

    /// A login leads to the page that asks for the password: nobody is signed in at Keycloak.
    pub async fn asks_for_the_password(&self) {
        assert!(self.login_page().await.body.contains("kc-form-login"));
    }

    async fn login_page(&self) -> Reply {
        let reply = self.browser.navigate("/bff/login").await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
        let mut page = self.browser.arrive_from_elsewhere(reply.location().as_str()).await;
        while page.status.is_redirection() {
            let next = page.location();
            assert!(next.as_str().starts_with(self.issuer()), "a page of the realm: {next}");
            page = self.browser.arrive_from_elsewhere(next.as_str()).await;
        }
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        page
    }

    /// Signs out here and at Keycloak, and gives the address that it leads back to.
    pub async fn sign_out(&self, user: &Value) -> Url {
        let reply = self.browser.navigate(user["bff:logout_url"].as_str().expect("a path")).await;
        let way_out = reply.location();
        assert!(way_out.as_str().starts_with(self.issuer()), "{way_out}");
        self.browser.arrive_from_elsewhere(way_out.as_str()).await.location()
    }

    /// Calls the API, and gives the bearer token that arrived there.
    pub async fn bearer_of_a_call(&self) -> String {
        let reply = self.browser.get("/api/status/200").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        self.upstream.last().bearer().to_owned()
    }

    /// Signs everybody out at Keycloak.
    pub async fn end_all_sessions(&self) {
        self.keycloak.administer(Method::POST, &format!("/{}/logout-all", self.realm), &json!({})).await;
    }
}

/// The realm as the admin API takes it: a client that is confidential and sends PKCE, refresh tokens that are used once,
/// the users `ada`, who is `staff`, and `grace`.
fn representation(realm: &str, options: &SealgateOptions, client: Value) -> Value {
    let mut all = json!({
        "clientId": options.client_id,
        "secret": options.client_secret,
        "publicClient": false,
        "standardFlowEnabled": true,
        "implicitFlowEnabled": false,
        "directAccessGrantsEnabled": false,
        "redirectUris": [format!("{}/bff/callback", options.public_url)],
        "attributes": {
            "post.logout.redirect.uris": format!("{}/", options.public_url),
            "pkce.code.challenge.method": "S256",
        },
    });
    merge(&mut all, client);
    let user = |name: &str, roles: &[&str]| {
        json!({
            "username": name, "enabled": true, "email": format!("{name}@example.com"), "emailVerified": true,
            "firstName": name, "lastName": name, "realmRoles": roles,
            "credentials": [{"type": "password", "value": PASSWORD, "temporary": false}],
        })
    };
    json!({
        "realm": realm,
        "enabled": true,
        "accessTokenLifespan": ACCESS_TOKEN_LIFESPAN,
        "revokeRefreshToken": true,
        "refreshTokenMaxReuse": 0,
        "roles": {"realm": [{"name": "staff"}]},
        "clients": [all],
        "users": [user("ada", &["staff"]), user("grace", &[])],
    })
}

/// Puts the members of `from` into `into`, those of objects one by one; null takes a member away.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                match value {
                    Value::Null => drop(into.remove(&name)),
                    value => merge(into.entry(name).or_insert(Value::Null), value),
                }
            }
        }
        (into, from) => *into = from,
    }
}

/// The claims of a JWT.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

/// The texts of a list within claims.
pub fn members<'a>(claims: &'a Value, pointer: &str) -> Vec<&'a str> {
    let list = claims.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no {pointer} in {claims}"));
    list.iter().filter_map(Value::as_str).collect()
}
