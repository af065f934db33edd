//! A provider that logs users in as it should, but for the endpoint that a test gives a script of its own.
//!
//! It is strict towards its client: what a real one would refuse (the client's secret, the verifier, the redirect URI)
//! it refuses, and notes. It remembers every secret that went over the wire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::form_urlencoded;

use crate::answer::Answer;
use crate::right::{EC_KEY, MARKER, RSA_KEY, Right};
use crate::support::ports::{free_port, loopback};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The metadata document.
    Discovery,
    /// Where browsers log in.
    Authorize,
    /// Codes and refresh tokens.
    Token,
    /// The keys.
    Jwks,
    /// Claims.
    UserInfo,
    /// Where tokens are revoked.
    Revocation,
    /// Pushed authorization requests, where a test announces them.
    Pushed,
    /// Anything else: where nobody may be led.
    Elsewhere,
}

impl Endpoint {
    fn of(path: &str) -> Self {
        match path {
            "/.well-known/openid-configuration" => Self::Discovery,
            "/authorize" => Self::Authorize,
            "/token" => Self::Token,
            "/jwks" => Self::Jwks,
            "/userinfo" => Self::UserInfo,
            "/revoke" => Self::Revocation,
            "/par" => Self::Pushed,
            _ => Self::Elsewhere,
        }
    }
}

/// What an endpoint answers, given what the right answer would be made of.
pub type Script = Arc<dyn Fn(&Right) -> Answer + Send + Sync>;

#[derive(Default)]
struct State {
    client: (String, String),
    scripts: HashMap<Endpoint, Script>,
    asked: HashMap<Endpoint, usize>,
    redeemed: HashMap<String, usize>,
    logins: HashMap<String, Right>,
    secrets: Vec<String>,
    faults: Vec<String>,
    last: Right,
    expires_in: u32,
    serial: u32,
}

/// A running provider; it ends with the test's runtime.
#[derive(Clone)]
pub struct Provider {
    /// Its issuer, on `localhost` while the app is on 127.0.0.1: cookies ignore ports.
    pub issuer: String,
    state: Arc<Mutex<State>>,
}

impl Provider {
    /// Starts one.
    pub async fn start() -> Self {
        let port = free_port();
        let provider = Self::new(&format!("http://localhost:{port}"));
        let listener = TcpListener::bind(loopback(port)).await.expect("a free port");
        let server = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        provider
    }

    /// Starts one with TLS, for a certificate and its key.
    pub async fn start_with_tls(signed: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Self {
        let port = free_port();
        let provider = Self::new(&format!("https://localhost:{port}"));
        let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .and_then(|config| config.with_no_client_auth().with_single_cert(vec![signed.cert.der().clone()], key))
                .expect("a TLS configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(loopback(port)).await.expect("a free port");
        let server = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust the certificate breaks the handshake off.
                if let Ok(stream) = acceptor.accept(stream).await {
                    server.serve(stream).await;
                }
            }
        });
        provider
    }

    fn new(issuer: &str) -> Self {
        let state = State { expires_in: 300, ..State::default() };
        Self { issuer: issuer.to_owned(), state: Arc::new(Mutex::new(state)) }
    }

    /// Registers the one client.
    pub fn register(&self, client_id: &str, client_secret: &str) {
        let mut state = self.state();
        state.client = (client_id.to_owned(), client_secret.to_owned());
        state.secrets.push(client_secret.to_owned());
    }

    /// What an endpoint answers from now on.
    pub fn answers(&self, endpoint: Endpoint, script: impl Fn(&Right) -> Answer + Send + Sync + 'static) {
        self.plays(endpoint, Arc::new(script));
    }

    /// As [`Provider::answers`].
    pub fn plays(&self, endpoint: Endpoint, script: Script) {
        self.state().scripts.insert(endpoint, script);
    }

    /// From now on all answers are right again.
    pub fn behaves(&self) {
        self.state().scripts.clear();
    }

    /// How long access tokens live from now on, in seconds.
    pub fn expires_in(&self, seconds: u32) {
        self.state().expires_in = seconds;
    }

    /// How often an endpoint was asked.
    pub fn asked(&self, endpoint: Endpoint) -> usize {
        self.state().asked.get(&endpoint).copied().unwrap_or(0)
    }

    /// How often a code was brought.
    pub fn redemptions(&self, code: &str) -> usize {
        self.state().redeemed.get(code).copied().unwrap_or(0)
    }

    /// The newest request's facts.
    pub fn last(&self) -> Right {
        self.state().last.clone()
    }

    /// What the client did that a provider refuses.
    pub fn faults(&self) -> Vec<String> {
        self.state().faults.clone()
    }

    /// Every secret that went over the wire, and the mark of those that it made up.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = self.state().secrets.clone();
        secrets.push(MARKER.to_owned());
        secrets
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Some(request) = Request::read(&mut stream).await else { return };
        let answer = self.answer(&request);
        // An error is a client that has had enough.
        let _ = answer.send(&mut stream).await;
    }

    fn answer(&self, request: &Request) -> Answer {
        let endpoint = Endpoint::of(&request.path);
        let right = {
            let mut state = self.state();
            *state.asked.entry(endpoint).or_default() += 1;
            match state.right(&self.issuer, endpoint, request) {
                Ok(right) => right,
                Err(fault) => {
                    state.faults.push(format!("{endpoint:?}: {fault}"));
                    return Answer::json(&json!({"error": "invalid_grant"})).status(400);
                }
            }
        };
        let script = {
            let mut state = self.state();
            state.last = right.clone();
            state.scripts.get(&endpoint).cloned()
        };
        let answer = match script {
            Some(script) => script(&right),
            None => usual(endpoint, &right),
        };
        let id_token = answer.as_json().and_then(|body| body["id_token"].as_str().map(str::to_owned));
        self.state().secrets.extend(id_token.filter(|token| token.len() > 40));
        answer
    }
}

fn usual(endpoint: Endpoint, right: &Right) -> Answer {
    match endpoint {
        Endpoint::Discovery => Answer::json(&right.metadata()),
        Endpoint::Authorize => right.callback(&json!({})),
        Endpoint::Token => Answer::json(&right.response()),
        Endpoint::Jwks => Answer::json(&json!({"keys": [RSA_KEY.jwk(), EC_KEY.jwk()]})),
        Endpoint::UserInfo => Answer::json(&json!({"sub": "alice", "groups": ["staff"]})),
        Endpoint::Revocation => Answer::text(""),
        Endpoint::Pushed | Endpoint::Elsewhere => Answer::text("{}").status(404),
    }
}

impl State {
    /// What the right answer is made of, or what is wrong with the request.
    fn right(&mut self, issuer: &str, endpoint: Endpoint, request: &Request) -> Result<Right, String> {
        let (client_id, client_secret) = self.client.clone();
        let base = Right { issuer: issuer.to_owned(), client_id, client_secret, ..Right::default() };
        match endpoint {
            Endpoint::Authorize => self.begin(base, request),
            Endpoint::Token => {
                let basic = request.fields.get("authorization").and_then(|field| field.strip_prefix("Basic "));
                let credentials = STANDARD.encode(format!("{}:{}", base.client_id, base.client_secret));
                if basic != Some(&credentials) {
                    return Err("the client does not authenticate".to_owned());
                }
                self.redeem(request)
            }
            Endpoint::UserInfo => {
                let bearer = request.fields.get("authorization").and_then(|field| field.strip_prefix("Bearer "));
                let access_token = bearer.ok_or("no access token in the header")?;
                if request.target.contains(MARKER) || request.body.contains(MARKER) {
                    return Err("an access token outside the header".to_owned());
                }
                Ok(Right { access_token: access_token.to_owned(), ..base })
            }
            _ => Ok(base),
        }
    }

    fn begin(&mut self, base: Right, request: &Request) -> Result<Right, String> {
        let parameter = |name: &str| request.query(name).ok_or(format!("no {name}"));
        if parameter("code_challenge_method")? != "S256" || parameter("response_type")? != "code" {
            return Err("no code flow with S256".to_owned());
        }
        self.serial += 1;
        let right = Right {
            nonce: parameter("nonce")?,
            state: parameter("state")?,
            redirect_uri: parameter("redirect_uri")?,
            challenge: parameter("code_challenge")?,
            code: format!("{MARKER}-code-{}", self.serial),
            ..base
        };
        self.secrets.extend([right.nonce.clone(), right.state.clone(), right.code.clone()]);
        self.logins.insert(right.code.clone(), right.clone());
        Ok(right)
    }

    fn redeem(&mut self, request: &Request) -> Result<Right, String> {
        let (code, refresh) = (request.form("code"), request.form("refresh_token"));
        let key = code.clone().or(refresh).ok_or("neither code nor refresh token")?;
        let login = self.logins.get(&key).cloned().ok_or("a code or refresh token that was not given")?;
        if let Some(code) = code {
            *self.redeemed.entry(code).or_default() += 1;
            let verifier = request.form("code_verifier").ok_or("no verifier")?;
            self.secrets.push(verifier.clone());
            if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != login.challenge {
                return Err("a verifier that does not fit the challenge".to_owned());
            }
            if request.form("redirect_uri").as_ref() != Some(&login.redirect_uri) {
                return Err("another redirect URI".to_owned());
            }
        }
        self.serial += 1;
        let right = Right {
            access_token: format!("{MARKER}-access-{}", self.serial),
            refresh_token: format!("{MARKER}-refresh-{}", self.serial),
            expires_in: self.expires_in,
            ..login
        };
        self.logins.insert(right.refresh_token.clone(), right.clone());
        Ok(right)
    }
}

/// One request, as it came.
struct Request {
    target: String,
    path: String,
    fields: HashMap<String, String>,
    body: String,
}

impl Request {
    async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let mut lines = head.split("\r\n");
        let target = lines.next()?.split(' ').nth(1)?.to_owned();
        let fields: HashMap<_, _> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = fields.get("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        let mut body = bytes.split_off(end + 4);
        while body.len() < length {
            if stream.read_buf(&mut body).await.ok()? == 0 {
                return None;
            }
        }
        let path = target.split('?').next()?.to_owned();
        Some(Self { target, path, fields, body: String::from_utf8(body).ok()? })
    }

    fn query(&self, name: &str) -> Option<String> {
        parameter(self.target.split_once('?')?.1, name)
    }

    fn form(&self, name: &str) -> Option<String> {
        parameter(&self.body, name)
    }
}

fn parameter(text: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(text.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
