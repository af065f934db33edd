//! Authorization requests (OpenID Connect Core §3.1.2.1) and what comes back: code flow with PKCE, nothing else.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::http::Unavailable;
use super::oauth_error::OAuthError;
use super::preset::{IssuerRule, Preset};
use super::provider::RelyingParty;
use super::{Metadata, ProviderSettings, TokenNeed, pushed};
use crate::secret::{CodeVerifier, Nonce, State};

/// Random bytes in a state, a nonce and a verifier: 256 bits.
const RANDOM_BYTES: usize = 32;

/// What every authorization request of ours says, as the configuration has it.
#[derive(Clone, Debug, Default)]
pub struct AuthorizationSettings {
    /// Whether requests are pushed to the provider first (RFC 9126).
    pub pushed: PushedRequests,
    /// How the answer comes back.
    pub response_mode: ResponseMode,
    /// The longest time since the user last proved who they are (OpenID Connect Core §3.1.2.1, `max_age`).
    pub max_age: Option<Duration>,
    /// The APIs that the access token is for: absolute URIs without fragment (RFC 8707 §2). Named in token requests too.
    pub resources: Vec<String>,
    /// What routes ask for beside it: named here, so that refreshes can ask for it (RFC 8707 §2.1, RFC 6749 §6), and not
    /// when the code is redeemed.
    pub of_routes: Vec<TokenNeed>,
    /// Further parameters, none of which secures the flow. One from the login's link takes the place of its namesake.
    pub parameters: Vec<(String, String)>,
}

/// When authorization requests are pushed (RFC 9126).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PushedRequests {
    /// When the provider announces where to.
    #[default]
    Auto,
    /// Each; a provider that announces no endpoint lets nobody in.
    Always,
    /// None, whatever the provider announces.
    Never,
}

/// How the authorization response comes to our callback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the query of a redirect (RFC 6749 §4.1.2).
    #[default]
    Query,
    /// As a form that the provider's page posts (OAuth 2.0 Form Post Response Mode); the code is in no URL then.
    FormPost,
}

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
    /// The longest time since the user last proved who they are, in whole seconds; the ID token's is checked.
    pub max_age: Option<Duration>,
    /// Further parameters from the login's link, already filtered: `prompt`, `login_hint`, … Names of our own
    /// parameters are left out.
    pub extra: Vec<(String, String)>,
}

/// Why there is no URL to send the browser to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizationError {
    /// The provider cannot be asked now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Requests are to be pushed, and the provider announces no endpoint for that.
    #[error(
        "authorization requests are to be pushed, but the provider announces no pushed_authorization_request_endpoint"
    )]
    NoPushedEndpoint,
    /// The provider refused the pushed request: `invalid_client`, `invalid_request` or another (RFC 9126 §2.3).
    #[error("the pushed authorization request was refused: {0}")]
    Rejected(OAuthError),
    /// The answer is not the one of RFC 9126 §2.2.
    #[error("the answer to the pushed authorization request is not the JSON that RFC 9126 asks for")]
    InvalidResponse,
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

/// Where to send the browser: to the authorization endpoint with all parameters, or with a reference to those that
/// were pushed.
pub(super) async fn authorization_url(
    party: &RelyingParty,
    parameters: &[(String, String)],
) -> Result<Url, AuthorizationError> {
    let metadata = party.discovered().await?;
    let (settings, endpoint) = (&party.settings, &metadata.pushed_authorization_request_endpoint);
    let mut url = metadata.authorization_endpoint.clone();
    match (settings.authorization.pushed, endpoint) {
        (PushedRequests::Never, _) => {}
        (PushedRequests::Auto, None) if !metadata.require_pushed_authorization_requests => {}
        (_, None) => return Err(AuthorizationError::NoPushedEndpoint),
        (_, Some(endpoint)) => {
            let request_uri = pushed::push(party, &metadata, endpoint, parameters).await?;
            // RFC 9126 §4
            url.query_pairs_mut()
                .append_pair("client_id", &settings.client_id)
                .append_pair("request_uri", &request_uri);
            return Ok(url);
        }
    }
    url.query_pairs_mut().extend_pairs(parameters);
    Ok(url)
}

/// All parameters of one request, each but `resource` once (RFC 6749 §3.1, RFC 8707 §2).
pub(super) fn parameters(settings: &ProviderSettings, request: &AuthorizationRequest<'_>) -> Vec<(String, String)> {
    let AuthorizationSettings { response_mode, resources, of_routes, parameters, .. } = &settings.authorization;
    let challenge = code_challenge(request.verifier);
    let scope = scopes(settings).join(" ");
    let mut all: Vec<(String, String)> = [
        ("response_type", "code"),
        ("client_id", &settings.client_id),
        // As text, so that the token request repeats it to the letter.
        ("redirect_uri", request.redirect_uri),
        ("scope", &scope),
        ("state", request.state.expose()),
        ("nonce", request.nonce.expose()),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let mut add = |name: &str, value: String| all.push((name.to_owned(), value));
    if *response_mode == ResponseMode::FormPost {
        add("response_mode", "form_post".to_owned());
    }
    if let Some(max_age) = request.max_age {
        add("max_age", max_age.as_secs().to_string());
    }
    let mut named: Vec<&str> = resources.iter().map(String::as_str).collect();
    for resource in of_routes.iter().filter_map(TokenNeed::resource) {
        if !named.contains(&resource) {
            named.push(resource);
        }
    }
    named.into_iter().for_each(|resource| add("resource", resource.to_owned()));
    // The first of a name counts: ours, then the link's, then the configuration's.
    for (name, value) in request.extra.iter().chain(parameters) {
        if !is_ours(name) && !all.iter().any(|(other, _)| other == name) {
            all.push((name.clone(), value.clone()));
        }
    }
    if let Some(preset) = settings.particulars.preset {
        preset.complete(&mut all);
    }
    all
}

/// Parameters that are Sealgate's to set: they secure the flow, authenticate the client of a pushed request, or would
/// replace either.
pub const OWN_PARAMETERS: &[&str] = &[
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "id_token_hint",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// `max_age` is checked and `resource` repeated at the token endpoint, so both come from their own places alone.
fn is_ours(name: &str) -> bool {
    OWN_PARAMETERS.contains(&name) || matches!(name, "max_age" | "resource")
}

/// RFC 7636 §4.2
fn code_challenge(verifier: &CodeVerifier) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()))
}

/// The configured scopes, with `openid` first when it is not among them (Core §3.1.2.1), and those of the routes.
fn scopes(settings: &ProviderSettings) -> Vec<&str> {
    let absent = !settings.scopes.iter().any(|scope| scope == "openid");
    let mut scopes: Vec<&str> =
        absent.then_some("openid").into_iter().chain(settings.scopes.iter().map(String::as_str)).collect();
    // Where scopes are of one API each, a login that named those of several would leave open which its token is for.
    let one_api_at_a_time = settings.particulars.preset.is_some_and(Preset::names_apis_by_scope);
    let of_routes = settings.authorization.of_routes.iter().filter(|_| !one_api_at_a_time);
    for scope in of_routes.filter_map(TokenNeed::scope).flat_map(|scope| scope.split(' ')) {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes
}

/// RFC 9207 §2.4: compared as a simple string, and not to be left out by a provider that announces it.
pub(super) fn check_issuer_parameter(
    issuer: &IssuerRule,
    metadata: Option<&Metadata>,
    parameter: Option<&str>,
) -> Result<(), IssuerMismatch> {
    match (parameter, metadata) {
        (Some(parameter), _) if issuer.allows_response_of(parameter) => Ok(()),
        (Some(_), _) => Err(IssuerMismatch::Another),
        (None, Some(metadata)) if metadata.authorization_response_iss_parameter_supported => {
            Err(IssuerMismatch::Absent)
        }
        (None, Some(_)) => Ok(()),
        (None, None) => Err(IssuerMismatch::NotDiscovered),
    }
}
