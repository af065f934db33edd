//! Authorization requests (OpenID Connect Core §3.1.2.1) and what comes back: code flow with PKCE, nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, Scope};
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{Metadata, ProviderSettings};
use crate::secret::{CodeVerifier, Nonce, State};

/// Random bytes in a state, a nonce and a verifier: 256 bits.
const RANDOM_BYTES: usize = 32;
/// Parameters that are ours to set; a passthrough of that name would send them twice (RFC 6749 §3.1).
const OWN_PARAMETERS: [&str; 9] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "client_secret",
];

/// One authorization request, beside what the settings say.
#[derive(Debug)]
pub struct AuthorizationRequest<'a> {
    /// Comes back in the callback.
    pub state: &'a State,
    /// Comes back in the ID token.
    pub nonce: &'a Nonce,
    /// Sent as its S256 challenge (RFC 7636 §4.2); itself only to the token endpoint.
    pub verifier: &'a CodeVerifier,
    /// Our callback, exactly as registered.
    pub redirect_uri: &'a str,
    /// Further parameters, already filtered: `prompt`, `login_hint`, … Names of our own parameters are left out.
    pub extra: Vec<(String, String)>,
}

/// The callback's `iss` is not the configured issuer's (RFC 9207 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerMismatch {
    /// Another issuer answered: a mix-up attack, or another provider's callback.
    #[error("the authorization response is from another issuer")]
    Another,
    /// The provider announces that it always sends `iss`, and did not.
    #[error("the authorization response lacks the issuer that the provider announces to send")]
    Absent,
    /// There is none, and whether the provider always sends it is not known before discovery.
    #[error("whether the authorization response may lack its issuer is not known before discovery")]
    NotDiscovered,
}

/// A new `state`: 256 bits from the operating system.
pub fn fresh_state() -> State {
    State::new(random_text())
}

/// A new `nonce`: 256 bits from the operating system.
pub fn fresh_nonce() -> Nonce {
    Nonce::new(random_text())
}

/// A new code verifier: 256 bits from the operating system, 43 characters (RFC 7636 §4.1).
pub fn fresh_verifier() -> CodeVerifier {
    CodeVerifier::new(random_text())
}

/// 256 bits from the operating system, 43 characters of base64url.
pub(super) fn random_text() -> String {
    let mut bytes = [0; RANDOM_BYTES];
    // Without randomness from the system no login could be safe, and nothing else in the process either.
    SysRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn authorization_url(
    settings: &ProviderSettings,
    metadata: &Metadata,
    request: &AuthorizationRequest<'_>,
) -> Url {
    let client = BasicClient::new(ClientId::new(settings.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(metadata.authorization_endpoint.clone()));
    let mut builder = client
        .authorize_url(|| CsrfToken::new(request.state.expose().to_owned()))
        .add_scopes(scopes(settings).map(|scope| Scope::new(scope.to_owned())))
        // By hand: the library panics at a verifier of another length than its own.
        .add_extra_param("code_challenge", code_challenge(request.verifier))
        .add_extra_param("code_challenge_method", "S256")
        // As text, so that the token request repeats it to the letter.
        .add_extra_param("redirect_uri", request.redirect_uri)
        .add_extra_param("nonce", request.nonce.expose());
    for (name, value) in &request.extra {
        if !OWN_PARAMETERS.contains(&name.as_str()) {
            builder = builder.add_extra_param(name, value);
        }
    }
    builder.url().0
}

/// RFC 7636 §4.2
fn code_challenge(verifier: &CodeVerifier) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()))
}

/// The configured scopes, with `openid` first when it is not among them (Core §3.1.2.1).
fn scopes(settings: &ProviderSettings) -> impl Iterator<Item = &str> {
    let absent = !settings.scopes.iter().any(|scope| scope == "openid");
    absent.then_some("openid").into_iter().chain(settings.scopes.iter().map(String::as_str))
}

/// RFC 9207 §2.4: compared as a simple string, and not to be left out by a provider that announces it.
pub(super) fn check_issuer_parameter(
    issuer: &str,
    metadata: Option<&Metadata>,
    parameter: Option<&str>,
) -> Result<(), IssuerMismatch> {
    match (parameter, metadata) {
        (Some(parameter), _) if parameter == issuer => Ok(()),
        (Some(_), _) => Err(IssuerMismatch::Another),
        (None, Some(metadata)) if metadata.authorization_response_iss_parameter_supported => {
            Err(IssuerMismatch::Absent)
        }
        (None, Some(_)) => Ok(()),
        (None, None) => Err(IssuerMismatch::NotDiscovered),
    }
}
