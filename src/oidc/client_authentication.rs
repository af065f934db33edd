//! Client authentication (RFC 6749 §2.3, OpenID Connect Core §9): the one place that says who we are to the provider's
//! token, revocation and pushed authorization request endpoints.
//!
//! Must never authenticate by two methods at once (RFC 6749 §2.3), nor let a secret, an assertion or a key into an error
//! or a log line.

mod key;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Request, header};
use tokio::runtime::Handle;
use url::{Url, form_urlencoded};

pub use self::key::{AssertionAlgorithm, ClientKey, ClientKeyError};
use super::http::Unavailable;
use crate::clock::{Clock, UnixTime};
use crate::file_watch::{self, FileWatch};
use crate::secret::SecretString;

/// How long an assertion counts: it is sent as soon as it is made.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);
/// RFC 7523 §2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How the client authenticates at the provider's endpoints.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// `client_secret_basic`: HTTP Basic (RFC 6749 §2.3.1).
    SecretBasic(SecretString),
    /// `client_secret_post`: in the request body (RFC 6749 §2.3.1).
    SecretPost(SecretString),
    /// `private_key_jwt`: a fresh assertion for each request, signed with a key that only we have (RFC 7523 §2.2).
    PrivateKeyJwt(PrivateKeyJwt),
    /// `none`: a public client, which anybody can claim to be; PKCE alone protects its codes.
    None,
}

impl ClientAuth {
    /// The name in `token_endpoint_auth_methods_supported` (RFC 8414 §2).
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SecretBasic(_) => "client_secret_basic",
            Self::SecretPost(_) => "client_secret_post",
            Self::PrivateKeyJwt(_) => "private_key_jwt",
            Self::None => "none",
        }
    }
}

/// What assertions are made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateKeyJwt {
    /// The private key, in PEM; nobody else may read it. Read again when it changes.
    pub key_file: PathBuf,
    /// The `kid` that the provider knows the key by; none: the assertion names no key.
    pub key_id: Option<String>,
    /// The signature algorithm; none: the usual one of the key's kind.
    pub algorithm: Option<AssertionAlgorithm>,
    /// Whom assertions are for.
    pub audience: AssertionAudience,
}

impl PrivateKeyJwt {
    /// Reads the key.
    ///
    /// # Errors
    /// [`ClientKeyError`].
    pub fn load_key(&self) -> Result<ClientKey, ClientKeyError> {
        ClientKey::load(&self.key_file, self.algorithm)
    }
}

/// The `aud` of an assertion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AssertionAudience {
    /// The issuer identifier, alone and at every endpoint (draft-ietf-oauth-rfc7523bis, FAPI 2.0 §5.3.3.1): no other
    /// server can have been named as the endpoint by a forged announcement.
    #[default]
    Issuer,
    /// The token endpoint's URL, at every endpoint (RFC 7523 §3): for providers that know nothing else.
    TokenEndpoint,
}

/// What makes the credentials for requests to one provider.
pub(super) struct ClientAuthentication {
    client_id: String,
    issuer: String,
    clock: Clock,
    method: Method,
}

enum Method {
    SecretBasic(SecretString),
    SecretPost(SecretString),
    Assertion(Arc<Signer>),
    None,
}

/// The key in use and what it is used for.
struct Signer {
    settings: PrivateKeyJwt,
    key: ArcSwap<ClientKey>,
}

impl ClientAuthentication {
    /// Reads the key, where there is one.
    pub(super) fn new(auth: &ClientAuth, client_id: &str, issuer: &str, clock: Clock) -> Result<Self, ClientKeyError> {
        let method = match auth {
            ClientAuth::SecretBasic(secret) => Method::SecretBasic(secret.clone()),
            ClientAuth::SecretPost(secret) => Method::SecretPost(secret.clone()),
            ClientAuth::PrivateKeyJwt(settings) => {
                let key = ArcSwap::from_pointee(settings.load_key()?);
                Method::Assertion(Arc::new(Signer { settings: settings.clone(), key }))
            }
            ClientAuth::None => Method::None,
        };
        Ok(Self { client_id: client_id.to_owned(), issuer: issuer.to_owned(), clock, method })
    }

    /// Reads the key again whenever its file changes; nothing where there is no file.
    pub(super) fn watch(&self, runtime: &Handle) -> Option<FileWatch> {
        let Method::Assertion(signer) = &self.method else { return None };
        let (files, signer) = (vec![signer.settings.key_file.clone()], Arc::clone(signer));
        Some(file_watch::watch(files, runtime, move || signer.reload()))
    }

    /// Credentials for one request; an assertion among them is good for this request alone.
    pub(super) fn credentials(&self, token_endpoint: &Url) -> Result<Credentials, Unavailable> {
        let client_id = || ("client_id", SecretString::new(self.client_id.as_str()));
        Ok(match &self.method {
            Method::SecretBasic(secret) => Credentials::basic(&self.client_id, secret),
            Method::SecretPost(secret) => {
                Credentials::in_the_body(vec![client_id(), ("client_secret", secret.clone())])
            }
            Method::Assertion(signer) => {
                let audience = match signer.settings.audience {
                    AssertionAudience::Issuer => self.issuer.as_str(),
                    AssertionAudience::TokenEndpoint => token_endpoint.as_str(),
                };
                let assertion = signer.assertion(&self.client_id, audience, self.clock.now())?;
                let kind = ("client_assertion_type", SecretString::new(ASSERTION_TYPE));
                Credentials::in_the_body(vec![client_id(), kind, ("client_assertion", assertion)])
            }
            Method::None => Credentials::in_the_body(vec![client_id()]),
        })
    }
}

impl Signer {
    /// Whether the file holds a key that can be used; the old one stays otherwise.
    fn reload(&self) -> bool {
        match self.settings.load_key() {
            Ok(key) => {
                self.key.store(Arc::new(key));
                tracing::info!(file = %self.settings.key_file.display(), "the client's key was read again");
                true
            }
            Err(error) => {
                tracing::error!(%error, "the client's key cannot be read again; the old one stays in use");
                false
            }
        }
    }

    fn assertion(&self, client_id: &str, audience: &str, now: UnixTime) -> Result<SecretString, Unavailable> {
        let claims = serde_json::json!({
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": super::authorization::random_text(),
            "iat": now.as_secs(),
            "exp": now.plus(ASSERTION_LIFETIME).as_secs(),
        });
        let key = self.key.load();
        key.sign(self.settings.key_id.as_deref(), &claims).ok_or(Unavailable::NoCredentials)
    }
}

/// What authenticates one request: a header field, or parameters of its form. `Debug` shows nothing of it.
#[derive(Clone)]
pub(super) struct Credentials {
    authorization: Option<SecretString>,
    parameters: Vec<(&'static str, SecretString)>,
    /// What a provider's answer must not be repeated with.
    secrets: Vec<SecretString>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}

impl Credentials {
    /// RFC 6749 §2.3.1: both parts are form-encoded first.
    fn basic(client_id: &str, secret: &SecretString) -> Self {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let credentials = format!("{}:{}", encode(client_id), encode(secret.expose()));
        let authorization = SecretString::new(format!("Basic {}", STANDARD.encode(credentials)));
        Self { secrets: vec![secret.clone()], authorization: Some(authorization), parameters: Vec::new() }
    }

    fn in_the_body(parameters: Vec<(&'static str, SecretString)>) -> Self {
        let is_secret = |name: &str| matches!(name, "client_secret" | "client_assertion");
        let secrets = parameters.iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.clone()).collect();
        Self { authorization: None, parameters, secrets }
    }

    /// The secrets that go with the request.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(SecretString::expose)
    }

    /// Authenticates a token request of the library's, which has put a `client_id` into the form: beside HTTP Basic some
    /// providers take that for a second method.
    pub(super) fn apply(&self, request: &mut Request<Vec<u8>>) {
        let body = std::mem::take(request.body_mut());
        self.write(request, form_urlencoded::parse(&body).filter(|(name, _)| name != "client_id"));
    }

    /// A form for `endpoint`, with the client authenticated. What it says itself stays: an authorization request names
    /// its client however that is authenticated (RFC 9126 §2.1).
    pub(super) fn post(&self, endpoint: &Url, form: &[(&str, &str)]) -> Result<Request<Vec<u8>>, http::Error> {
        let mut request = Request::post(endpoint.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Vec::new())?;
        self.write(&mut request, form.iter().map(|(name, value)| (Cow::from(*name), Cow::from(*value))));
        Ok(request)
    }

    fn write<'a>(&self, request: &mut Request<Vec<u8>>, form: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) {
        let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = form.collect();
        for (name, value) in &self.parameters {
            if !pairs.iter().any(|(other, _)| other == name) {
                pairs.push((Cow::from(*name), Cow::from(value.expose())));
            }
        }
        *request.body_mut() = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into_bytes();
        // It is ASCII: base64 behind a word.
        if let Some(Ok(mut value)) = self.authorization.as_ref().map(|value| HeaderValue::from_str(value.expose())) {
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
    }
}

#[cfg(test)]
mod tests;
