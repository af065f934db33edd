//! The certified `oidc-provider` as a child process, and the channel through which tests look into it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How the provider behaves.
#[derive(Clone, Debug)]
pub struct ProviderOptions {
    /// The issuer's host; on `localhost` it is another site than the app on 127.0.0.1.
    pub host: String,
    /// Its cookies are for frames on other sites, too.
    pub cookies_in_frames: bool,
    /// Where it listens; 0: anywhere.
    pub port: u16,
    /// A new refresh token each time, and the death of the whole grant when an old one is replayed.
    pub rotate_refresh_token: bool,
    /// Seconds that an access token lives.
    pub access_token_ttl: u32,
    /// JWT access tokens (RFC 9068) instead of opaque ones.
    pub jwt_access_tokens: bool,
    /// Pushed authorization requests (RFC 9126): `off`, `optional` or `required`.
    pub par: &'static str,
    /// An API that access tokens, which are JWTs then, can be asked for (RFC 8707).
    pub resource: Option<String>,
    /// Several such APIs, each with what is special about its tokens: `{"ttl": seconds, "claims": {…}, "audience": "…"}`.
    pub resources: Vec<(String, Value)>,
    /// Asks for name and password, where it otherwise signs in whoever comes.
    pub form: bool,
    /// Seconds for which a refresh token that was used may be used again; 0: reuse is noticed at once.
    pub overlap: u32,
    /// Signs with a key that nobody has seen before.
    pub new_signing_key: bool,
    /// The file that carries sessions and grants over [`Provider::restart`].
    pub store: Option<PathBuf>,
    /// Forgets what [`Provider::issued`] would tell: there is too much of it under load.
    pub forgetful: bool,
    /// Has no logout of its own: no `end_session_endpoint`.
    pub without_logout: bool,
}

impl Default for ProviderOptions {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            cookies_in_frames: false,
            port: 0,
            rotate_refresh_token: true,
            access_token_ttl: 300,
            jwt_access_tokens: false,
            par: "off",
            resource: None,
            resources: Vec::new(),
            form: false,
            overlap: 0,
            new_signing_key: false,
            store: None,
            forgetful: false,
            without_logout: false,
        }
    }
}

/// A running provider; it ends with this value.
pub struct Provider {
    /// Its issuer identifier, on `localhost` while the app is on 127.0.0.1: cookies ignore ports.
    pub issuer: String,
    options: ProviderOptions,
    port: u16,
    http: Client,
    child: Child,
}

/// What the provider was asked for.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    requests: HashMap<String, u32>,
    token: HashMap<String, u32>,
    token_errors: HashMap<String, u32>,
    live: HashMap<String, u32>,
    client_auth: HashMap<String, u32>,
    duplicate_refreshes: u32,
    token_requests_at_once: u32,
}

impl Stats {
    /// Requests to an endpoint: `auth`, `request` (pushed), `token`, `revocation`, `end_session`, `discovery`, `jwks`, `me`.
    pub fn requests(&self, endpoint: &str) -> u32 {
        self.requests.get(endpoint).copied().unwrap_or(0)
    }

    /// Codes that somebody tried to redeem.
    pub fn redemptions(&self) -> u32 {
        self.token.get("authorization_code").copied().unwrap_or(0)
    }

    /// Refresh requests, failed ones among them.
    pub fn refreshes(&self) -> u32 {
        self.token.get("refresh_token").copied().unwrap_or(0)
    }

    /// Refresh requests whose refresh token had been presented before.
    pub fn duplicate_refreshes(&self) -> u32 {
        self.duplicate_refreshes
    }

    /// The most requests to the token endpoint that were under way at once.
    pub fn token_requests_at_once(&self) -> u32 {
        self.token_requests_at_once
    }

    /// Tokens that a client asked for in its own name.
    pub fn client_credentials(&self) -> u32 {
        self.token.get("client_credentials").copied().unwrap_or(0)
    }

    /// Token requests that failed with that error.
    pub fn token_errors(&self, error: &str) -> u32 {
        self.token_errors.get(error).copied().unwrap_or(0)
    }

    /// Successful requests to `token`, `revocation` or `pushed_authorization_request` whose client authenticated so.
    pub fn authenticated(&self, route: &str, method: &str) -> u32 {
        self.client_auth.get(&format!("{route} {method}")).copied().unwrap_or(0)
    }

    /// Refresh tokens that would still be accepted.
    pub fn live_refresh_tokens(&self) -> u32 {
        self.live.get("RefreshToken").copied().unwrap_or(0)
    }
}

/// Something secret that went over the wire between the provider and its client.
#[derive(Clone, Debug, Deserialize)]
pub struct Issued {
    /// `access_token`, `refresh_token`, `id_token`, `code`, `code_verifier`, `state`, `nonce`, `client_secret`,
    /// `client_assertion` or `request_uri`.
    pub kind: String,
    /// The secret itself.
    pub value: String,
}

impl Provider {
    /// Starts one and waits until it listens.
    pub async fn start(options: ProviderOptions) -> Self {
        let folder = folder();
        assert!(
            folder.join("node_modules/oidc-provider").is_dir(),
            "the test provider is not installed: run `make test`, or `npm ci` in {}",
            folder.display()
        );
        let (child, ready) = launch(&folder, &options).await;
        let port = ready["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        Self {
            issuer: ready["issuer"].as_str().expect("an issuer").to_owned(),
            options: ProviderOptions { port, ..options },
            port,
            http: Client::new(),
            child,
        }
    }

    /// Ends it and keeps what it has stored, if it has a store: connections are refused until [`Provider::come_back`].
    pub async fn go_down(&mut self) {
        let pid = self.child.id().expect("it is running").to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill runs");
        assert!(sent.success(), "the signal is sent");
        self.child.wait().await.expect("a child of ours");
    }

    /// Starts it again at the same address, with what `change` says.
    pub async fn come_back(&mut self, change: impl FnOnce(&mut ProviderOptions)) {
        change(&mut self.options);
        (self.child, _) = launch(&folder(), &self.options).await;
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it was asked for so far.
    pub async fn stats(&self) -> Stats {
        self.control("stats").await
    }

    /// Every secret that it has handed out or been shown.
    pub async fn issued(&self) -> Vec<Issued> {
        self.control("issued").await
    }

    /// Those secrets of one kind, oldest first.
    pub async fn issued_of(&self, kind: &str) -> Vec<String> {
        self.issued().await.into_iter().filter(|issued| issued.kind == kind).map(|issued| issued.value).collect()
    }

    /// Registers a client.
    pub async fn register(&self, metadata: Value) {
        self.command("clients", metadata).await;
    }

    /// Answers with that status from now on, at the named endpoints or everywhere.
    pub async fn fail(&self, status: u16, only: Option<&[&str]>) {
        self.command("mode", json!({"fail": status.to_string(), "only": only})).await;
    }

    /// Takes that long for each answer, at the named endpoints.
    pub async fn delay(&self, delay: Duration, only: &[&str]) {
        self.command("mode", json!({"delay": delay.as_millis(), "only": only})).await;
    }

    /// Keeps requests to the named endpoints waiting until [`Provider::recover`].
    pub async fn hold(&self, only: &[&str]) {
        self.command("mode", json!({"fail": "slow", "only": only})).await;
    }

    /// Leaves `refresh_token` out of refresh responses (RFC 6749 §6 allows it).
    pub async fn omit_refresh_token(&self) {
        self.command("mode", json!({"omitRefreshToken": true})).await;
    }

    /// Works normally again, and answers what it kept waiting.
    pub async fn recover(&self) {
        self.command("mode", json!({})).await;
    }

    /// Gives an account other groups.
    pub async fn regroup(&self, account: &str, groups: &[&str]) {
        self.command("account", json!({"id": account, "groups": groups})).await;
    }

    /// Makes every refresh token invalid.
    pub async fn forget_refresh_tokens(&self) {
        self.command("forget", json!({"model": "RefreshToken"})).await;
    }

    /// Ends it: connections are refused from now on.
    pub async fn stop(mut self) {
        self.child.kill().await.expect("the provider can be killed");
    }

    async fn control<T: serde::de::DeserializeOwned>(&self, command: &str) -> T {
        let url = format!("{}/__test/{command}", self.address());
        let response = self.http.get(url).send().await.expect("the control channel answers");
        response.json().await.expect("the control channel speaks JSON")
    }

    async fn command(&self, command: &str, body: Value) {
        let url = format!("{}/__test/{command}", self.address());
        let response = self.http.post(url).json(&body).send().await.expect("the control channel answers");
        assert!(response.status().is_success(), "{command}: {}", response.status());
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider")
}

/// Starts one, and gives the line that it prints when it listens.
async fn launch(folder: &Path, options: &ProviderOptions) -> (Child, Value) {
    let mut child = spawn(folder, options);
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut line = String::new();
    tokio::time::timeout(Duration::from_secs(120), BufReader::new(stdout).read_line(&mut line))
        .await
        .expect("the provider starts within two minutes")
        .expect("the provider's output is readable");
    (child, serde_json::from_str(&line).unwrap_or_else(|_| panic!("the provider said {line:?}")))
}

fn spawn(folder: &Path, options: &ProviderOptions) -> Child {
    let json = json!({
        "port": options.port,
        "host": options.host,
        "cookiesInFrames": options.cookies_in_frames,
        "rotateRefreshToken": options.rotate_refresh_token,
        "accessTokenTtl": options.access_token_ttl,
        "jwtAccessTokens": options.jwt_access_tokens,
        "par": options.par,
        "resource": options.resource,
        "resources": options.resources.iter().cloned().collect::<serde_json::Map<_, _>>(),
        "interaction": if options.form { "form" } else { "auto" },
        "overlap": options.overlap,
        "newSigningKey": options.new_signing_key,
        "store": options.store,
        "remember": !options.forgetful,
        "endSession": !options.without_logout,
    });
    Command::new("node")
        .arg("provider.mjs")
        .arg(json.to_string())
        .current_dir(folder)
        .env("NODE_NO_WARNINGS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(if std::env::var_os("TEST_PROVIDER_LOG").is_some() { Stdio::inherit() } else { Stdio::null() })
        .kill_on_drop(true)
        .spawn()
        .expect("node starts: the tests need Node.js 20.19 or later (`make test` says how)")
}
