//! Stand-ins for the well-known providers, each with what it does in its own way, as their documentation says it: what
//! they refuse is refused here too. A provider that keeps to the standards is `provider`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::{Url, form_urlencoded};

type Parameters = HashMap<String, String>;

/// Whose ways it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Entra ID's issuer of all organisations.
    Entra,
    /// Google.
    Google,
    /// A realm of Keycloak.
    Keycloak,
    /// An Auth0 tenant without "RP-Initiated Logout End Session Endpoint Discovery".
    Auth0,
    /// A custom authorization server of Okta.
    Okta,
    /// A user pool of Cognito.
    Cognito,
}

/// A running stand-in; it ends with the test's runtime.
#[derive(Clone)]
pub struct QuirkyProvider {
    /// What goes into `provider.issuer`.
    pub issuer: String,
    state: Arc<State>,
}

struct State {
    kind: Kind,
    base: String,
    key: EcdsaKeyPair,
    codes: Mutex<HashMap<String, Parameters>>,
    claims: Mutex<Map<String, Value>>,
    asked: Mutex<Vec<(String, Parameters)>>,
}

struct Answer {
    status: u16,
    location: Option<String>,
    body: Value,
}

impl QuirkyProvider {
    /// Starts one.
    pub async fn start(kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://localhost:{}", listener.local_addr().expect("an address").port());
        let issuer = match kind {
            Kind::Entra => format!("{base}/organizations/v2.0"),
            Kind::Keycloak => format!("{base}/realms/shop"),
            Kind::Auth0 => format!("{base}/"),
            Kind::Okta => format!("{base}/oauth2/default"),
            Kind::Cognito => format!("{base}/eu-central-1_pool"),
            Kind::Google => base.clone(),
        };
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key pair");
        let (codes, claims, asked) = (Mutex::default(), Mutex::default(), Mutex::default());
        let state = Arc::new(State { kind, base, key, codes, claims, asked });
        let provider = Self { issuer, state };
        let server = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        provider
    }

    /// Members of the ID token from now on, beside and instead of the usual ones.
    pub fn claims(&self, claims: Value) {
        *self.state.claims.lock().expect("no test panics while it holds them") =
            claims.as_object().expect("an object").clone();
    }

    /// The parameters of the last request to `path`.
    pub fn asked(&self, path: &str) -> Parameters {
        let asked = self.state.asked.lock().expect("no test panics while it holds them");
        asked.iter().rev().find(|(other, _)| other == path).unwrap_or_else(|| panic!("nobody asked {path}")).1.clone()
    }

    /// How many requests there were to `path`.
    pub fn requests(&self, path: &str) -> usize {
        let asked = self.state.asked.lock().expect("no test panics while it holds them");
        asked.iter().filter(|(other, _)| other == path).count()
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some((path, parameters)) = read_request(&mut stream).await else { return };
        let asked = (path.clone(), parameters.clone());
        self.state.asked.lock().expect("no test panics while it holds them").push(asked);
        let Answer { status, location, body } = self.answer(&path, &parameters);
        let location = location.map(|url| format!("location: {url}\r\n")).unwrap_or_default();
        let body = body.to_string();
        let text = format!(
            "HTTP/1.1 {status} Told So\r\nconnection: close\r\ncontent-type: application/json\r\n{location}\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        // A client that has gone wants no answer.
        let _ = stream.write_all(text.as_bytes()).await;
    }

    fn answer(&self, path: &str, parameters: &Parameters) -> Answer {
        let discovery = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        if discovery.strip_prefix(&self.state.base) == Some(path) {
            return ok(self.metadata());
        }
        match (path, self.state.kind) {
            ("/authorize", _) => self.authorize(parameters),
            ("/token", _) => self.token(parameters),
            ("/jwks", _) => ok(json!({ "keys": [self.jwk()] })),
            ("/revoke", _) => ok(json!({})),
            ("/logout", Kind::Cognito) => back(parameters, "logout_uri", "post_logout_redirect_uri"),
            ("/v2/logout", Kind::Auth0) => back(parameters, "returnTo", "post_logout_redirect_uri"),
            ("/logout", Kind::Entra | Kind::Keycloak | Kind::Okta) => {
                back(parameters, "post_logout_redirect_uri", "none")
            }
            _ => Answer { status: 404, location: None, body: json!({}) },
        }
    }

    fn metadata(&self) -> Value {
        let State { kind, base, .. } = &*self.state;
        let issuer = match kind {
            Kind::Entra => format!("{base}/{{tenantid}}/v2.0"),
            _ => self.issuer.clone(),
        };
        let mut metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/token"),
            "jwks_uri": format!("{base}/jwks"),
            "id_token_signing_alg_values_supported": ["ES256"],
        });
        // Entra ID revokes nothing; Google and this Auth0 announce no logout, Cognito one that is not the standard's.
        if *kind != Kind::Entra {
            metadata["revocation_endpoint"] = format!("{base}/revoke").into();
        }
        if !matches!(kind, Kind::Google | Kind::Auth0) {
            metadata["end_session_endpoint"] = format!("{base}/logout").into();
        }
        metadata
    }

    /// Signs in whoever comes.
    fn authorize(&self, parameters: &Parameters) -> Answer {
        let mut redirect: Url = parameters["redirect_uri"].parse().expect("a redirect URI");
        let refuses_offline = matches!(self.state.kind, Kind::Google | Kind::Cognito);
        if refuses_offline && words(parameters, "scope").contains(&"offline_access") {
            redirect.query_pairs_mut().append_pair("error", "invalid_scope");
        } else {
            let mut codes = self.state.codes.lock().expect("no test panics while it holds them");
            let code = format!("code-{}", codes.len());
            redirect.query_pairs_mut().append_pair("code", &code);
            codes.insert(code, parameters.clone());
        }
        redirect.query_pairs_mut().append_pair("state", &parameters["state"]);
        Answer { status: 302, location: Some(redirect.into()), body: Value::Null }
    }

    fn token(&self, parameters: &Parameters) -> Answer {
        if parameters["grant_type"] == "refresh_token" {
            // Again with an ID token, as Entra ID and others do.
            return ok(self.tokens(&Parameters::new(), false));
        }
        let begun = self.state.codes.lock().expect("no test panics while it holds them").remove(&parameters["code"]);
        let Some(begun) = begun else { return refused("invalid_grant") };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&parameters["code_verifier"]));
        if begun["code_challenge"] != challenge {
            return refused("invalid_grant");
        }
        let offline = match self.state.kind {
            Kind::Google => {
                begun.get("access_type").is_some_and(|kind| kind == "offline")
                    && words(&begun, "prompt").contains(&"consent")
            }
            Kind::Keycloak | Kind::Cognito => true,
            Kind::Entra | Kind::Auth0 | Kind::Okta => words(&begun, "scope").contains(&"offline_access"),
        };
        ok(self.tokens(&begun, offline))
    }

    fn tokens(&self, begun: &Parameters, offline: bool) -> Value {
        let client = self.asked_for_client();
        let now = jiff::Timestamp::now().as_second();
        let mut claims = json!({
            "iss": self.issuer, "sub": "ada", "aud": client, "iat": now, "exp": now + 300, "name": "Ada Lovelace",
        });
        if let Some(nonce) = begun.get("nonce") {
            claims["nonce"] = nonce.as_str().into();
        }
        for (name, value) in self.state.claims.lock().expect("no test panics while it holds them").iter() {
            claims[name] = value.clone();
        }
        let mut tokens = json!({
            "access_token": "the-access-token", "token_type": "Bearer", "expires_in": 300, "id_token": self.sign(&claims),
        });
        if offline {
            tokens["refresh_token"] = "the-refresh-token".into();
        }
        tokens
    }

    fn asked_for_client(&self) -> String {
        self.asked("/authorize")["client_id"].clone()
    }

    /// The issuer of this tenant.
    pub fn tenant_issuer(&self, tenant: &str) -> String {
        format!("{}/{tenant}/v2.0", self.state.base)
    }

    fn jwk(&self) -> Value {
        let point = self.state.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1", "x": x, "y": y })
    }

    fn sign(&self, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let parts = format!("{}.{}", encode(&json!({ "alg": "ES256", "kid": "1" })), encode(claims));
        let signature = self.state.key.sign(&SystemRandom::new(), parts.as_bytes()).expect("a signature");
        format!("{parts}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn ok(body: Value) -> Answer {
    Answer { status: 200, location: None, body }
}

fn refused(error: &str) -> Answer {
    Answer { status: 400, location: None, body: json!({ "error": error }) }
}

/// A logout that wants its client and where to go on by this name, and knows no parameter of the other one.
fn back(parameters: &Parameters, name: &str, foreign: &str) -> Answer {
    match (parameters.get("client_id"), parameters.get(name), parameters.get(foreign)) {
        (Some(_), Some(url), None) => Answer { status: 302, location: Some(url.clone()), body: Value::Null },
        _ => refused("invalid_request"),
    }
}

fn words<'a>(parameters: &'a Parameters, name: &str) -> Vec<&'a str> {
    parameters.get(name).map(|words| words.split(' ').collect()).unwrap_or_default()
}

/// The path, and the parameters of query and form.
async fn read_request(stream: &mut TcpStream) -> Option<(String, Parameters)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let target = head.split(' ').nth(1)?.to_owned();
    let is_length =
        |(name, value): (&str, &str)| name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse());
    let length: usize =
        head.lines().filter_map(|line| line.split_once(": ")).find_map(is_length).unwrap_or(Ok(0)).ok()?;
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = form_urlencoded::parse(query.as_bytes()).into_owned().chain(form_urlencoded::parse(&body).into_owned());
    Some((path.to_owned(), pairs.collect()))
}
