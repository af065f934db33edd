//! Access tokens that clients bring along: JWTs (RFC 9068), and opaque ones, which their issuer judges (RFC 7662).
//!
//! Must never take a token without its issuer, its audience and its times being right, nor show it to any issuer but its
//! own. Must never put a token or a claim's value into an error.

mod cache;
mod introspection;
mod issuer;
mod refusal;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use url::Url;

pub use self::introspection::IntrospectionError;
use self::issuer::TokenIssuer;
pub use self::issuer::{TokenIssuerError, probe as probe_token_issuer};
pub use self::refusal::{BearerError, IssuerFault, TokenRefused};
use super::claims::{RequiredClaim, scopes};
use super::id_token::{audience, numeric_date};
use super::jws::JwsError;
use super::provider::{Pacing, ProviderBuildError, algorithms};
use crate::clock::{Clock, UnixTime};
use crate::secret::{AccessToken, SecretString};

/// An issuer whose access tokens a route takes, and what they must say.
#[derive(Clone, Debug)]
pub struct TokenIssuerSettings {
    /// The issuer, exactly as its tokens name it.
    pub issuer: String,
    /// Audiences of which a token must name one. Empty only with introspection: then none is compared.
    pub audience: Vec<String>,
    /// Signature algorithms that a token may have; never `none`, never HMAC.
    pub algorithms: Vec<String>,
    /// Scopes that a token must have, all of them.
    pub required_scopes: Vec<String>,
    /// Claims that a token must have.
    pub required_claims: Vec<RequiredClaim>,
    /// Tolerance between the issuer's clock and ours, for `exp`, `iat` and `nbf`.
    pub clock_skew: Duration,
    /// Where its keys are; none: as its metadata say.
    pub jwks_uri: Option<Url>,
    /// Whether the header must say `at+jwt` (RFC 9068 §4).
    pub requires_type: bool,
    /// Certificates (PEM) to trust beside the system's roots when talking to it.
    pub ca_file: Option<PathBuf>,
    /// How it is asked about tokens; none: they are JWTs, which are verified here.
    pub introspection: Option<IntrospectionSettings>,
}

/// How an issuer is asked about tokens (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrospectionSettings {
    /// Our client identifier there.
    pub client_id: String,
    /// Its secret, sent as `client_secret_basic`.
    pub client_secret: SecretString,
    /// How long an answer is kept; zero: not at all.
    pub cache: Duration,
}

/// All issuers of tokens that the routes take. Each is there once, however many routes name it.
pub struct TokenIssuers {
    issuers: Vec<Arc<TokenIssuer>>,
    request_timeout: Duration,
    clock: Clock,
    runtime: Handle,
    pacing: Pacing,
}

impl TokenIssuers {
    /// No issuers yet. Their traffic runs on `runtime`, and each request may take `request_timeout`.
    pub fn new(request_timeout: Duration, clock: Clock, runtime: Handle) -> Self {
        Self { issuers: Vec::new(), request_timeout, clock, runtime, pacing: Pacing::default() }
    }

    /// The same, asking at another pace.
    #[must_use]
    pub fn with_pacing(self, pacing: Pacing) -> Self {
        Self { pacing, ..self }
    }

    /// What judges the tokens of one route; none for a route that takes none. Sends nothing yet.
    ///
    /// # Errors
    /// [`ProviderBuildError`].
    pub fn verifier(&mut self, accepted: &[TokenIssuerSettings]) -> Result<Option<BearerVerifier>, ProviderBuildError> {
        let accepted: Result<Vec<_>, ProviderBuildError> = accepted
            .iter()
            .map(|rules| {
                let algorithms = algorithms(&rules.algorithms)?;
                Ok(Accepted { issuer: self.issuer(rules)?, algorithms, rules: rules.clone() })
            })
            .collect();
        let accepted = accepted?;
        let (clock, runtime) = (self.clock.clone(), self.runtime.clone());
        Ok((!accepted.is_empty()).then_some(BearerVerifier { accepted, clock, runtime }))
    }

    /// Reads metadata and keys in the background, for as long as the verifiers live.
    pub fn start(&self) {
        for issuer in &self.issuers {
            self.runtime.spawn(issuer::keep_ready(Arc::downgrade(issuer)));
        }
    }

    fn issuer(&mut self, settings: &TokenIssuerSettings) -> Result<Arc<TokenIssuer>, ProviderBuildError> {
        if let Some(known) = self.issuers.iter().find(|known| known.is_for(settings)) {
            return Ok(Arc::clone(known));
        }
        let issuer = Arc::new(TokenIssuer::new(settings, self.request_timeout, self.clock.clone(), self.pacing)?);
        self.issuers.push(Arc::clone(&issuer));
        Ok(issuer)
    }
}

/// Judges the access tokens that one route takes.
pub struct BearerVerifier {
    accepted: Vec<Accepted>,
    clock: Clock,
    runtime: Handle,
}

/// An issuer and what this route asks of its tokens.
struct Accepted {
    issuer: Arc<TokenIssuer>,
    algorithms: Vec<Algorithm>,
    rules: TokenIssuerSettings,
}

/// An access token that is what it should be.
#[derive(Clone, PartialEq)]
pub struct VerifiedToken {
    /// What it says; with introspection what its issuer says of it.
    pub claims: Map<String, Value>,
    /// When it expires; none where its issuer does not say.
    pub expires_at: Option<UnixTime>,
    /// Until when it counts here, the clock skew included.
    pub good_until: Option<UnixTime>,
}

/// The names of the claims, no values.
impl std::fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("claims", &self.claims.keys().collect::<Vec<_>>())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl BearerVerifier {
    /// Judges `token`. A JWT is verified on the spot while its issuer's keys are known; everything else is asked for on
    /// the runtime for provider traffic.
    ///
    /// # Errors
    /// [`BearerError`].
    pub async fn verify(&self, token: &AccessToken) -> Result<VerifiedToken, BearerError> {
        let jwt = Unverified::read(token.expose());
        let nobody_s = if jwt.is_some() { TokenRefused::Issuer } else { TokenRefused::Malformed };
        let accepted = self.accepted_for(jwt.as_ref()).ok_or(nobody_s)?;
        let claims = match (&accepted.rules.introspection, jwt) {
            (Some(_), _) => {
                let (issuer, token) = (Arc::clone(&accepted.issuer), token.clone());
                match issuer.introspected(&token) {
                    Some(claims) => claims,
                    None => self.on_runtime(async move { issuer.introspect(&token).await }).await?,
                }
                .ok_or(TokenRefused::Inactive)?
            }
            (None, Some(jwt)) => {
                check_type(&jwt, accepted.rules.requires_type)?;
                self.verify_signature(accepted, token).await?
            }
            // `accepted_for` gives an issuer without introspection for JWTs alone.
            (None, None) => return Err(TokenRefused::Malformed.into()),
        };
        accepted.rules.check(claims, self.clock.now())
    }

    /// The issuer that the token is of, as far as it says so: opaque tokens are of the one that can be asked.
    fn accepted_for(&self, jwt: Option<&Unverified>) -> Option<&Accepted> {
        let named = jwt.and_then(|jwt| jwt.issuer.as_deref());
        self.accepted.iter().find(|accepted| match named {
            Some(issuer) => accepted.rules.issuer == issuer,
            None => accepted.rules.introspection.is_some(),
        })
    }

    async fn verify_signature(
        &self,
        accepted: &Accepted,
        token: &AccessToken,
    ) -> Result<Map<String, Value>, BearerError> {
        match accepted.issuer.verify_with_known_keys(token, &accepted.algorithms) {
            Some(verified) => verified,
            None => {
                let (issuer, token) = (Arc::clone(&accepted.issuer), token.clone());
                let algorithms = accepted.algorithms.clone();
                self.on_runtime(async move { issuer.verify(&token, &algorithms).await }).await
            }
        }
    }

    async fn on_runtime<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, BearerError>> + Send + 'static,
    ) -> Result<T, BearerError> {
        self.runtime.spawn(work).await.unwrap_or_else(|_| Err(IssuerFault::from(super::Unavailable::Stopped).into()))
    }
}

impl TokenIssuerSettings {
    /// RFC 9068 §4, RFC 7519 §4.1, RFC 7662 §2.2.
    fn check(&self, claims: Map<String, Value>, now: UnixTime) -> Result<VerifiedToken, BearerError> {
        let is_introspected = self.introspection.is_some();
        match claims.get("iss") {
            Some(issuer) if issuer.as_str() == Some(&self.issuer) => {}
            None if is_introspected => {}
            _ => return Err(TokenRefused::Issuer.into()),
        }
        let is_for_us = || audience(&claims).is_some_and(|names| names.iter().any(|name| self.audience.contains(name)));
        let compares_audience = !(is_introspected && self.audience.is_empty());
        if compares_audience && !is_for_us() {
            return Err(TokenRefused::Audience.into());
        }
        if claims.contains_key("cnf") {
            return Err(TokenRefused::SenderConstrained.into());
        }
        let expires_at = self.check_times(&claims, now)?;
        if !self.required_scopes.iter().all(|wanted| scopes(&claims).any(|scope| scope == wanted)) {
            return Err(BearerError::InsufficientScope { required: self.required_scopes.join(" ") });
        }
        if let Some(missing) = self.required_claims.iter().find(|required| !required.is_met_by(&claims)) {
            return Err(BearerError::Claim { claim: missing.path.as_str().to_owned() });
        }
        let good_until = expires_at.map(|expiry| expiry.plus(self.clock_skew));
        Ok(VerifiedToken { claims, expires_at, good_until })
    }

    fn check_times(&self, claims: &Map<String, Value>, now: UnixTime) -> Result<Option<UnixTime>, TokenRefused> {
        let date = |name: &str| claims.get(name).map(|value| numeric_date(value).ok_or(TokenRefused::Malformed));
        let (expiry, start, issued) = (date("exp").transpose()?, date("nbf").transpose()?, date("iat").transpose()?);
        if expiry.is_none() && self.introspection.is_none() {
            return Err(TokenRefused::NoExpiry);
        }
        if expiry.is_some_and(|expiry| now >= expiry.plus(self.clock_skew)) {
            return Err(TokenRefused::Expired);
        }
        let latest = now.plus(self.clock_skew);
        if start.is_some_and(|start| start > latest) || issued.is_some_and(|issued| issued > latest) {
            return Err(TokenRefused::NotYetValid);
        }
        Ok(expiry)
    }
}

/// What a JWT says of itself, before anything of it is believed.
struct Unverified {
    kind: Option<String>,
    issuer: Option<String>,
}

impl Unverified {
    /// None when the token is no JWT.
    fn read(token: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Header {
            #[serde(rename = "alg")]
            _algorithm: String,
            typ: Option<String>,
        }
        #[derive(Deserialize)]
        struct Claims {
            iss: Option<String>,
        }
        let mut parts = token.split('.');
        let (header, payload) = (decoded(parts.next()?)?, decoded(parts.next()?)?);
        let header: Header = serde_json::from_slice(&header).ok()?;
        let claims: Claims = serde_json::from_slice(&payload).ok()?;
        Some(Self { kind: header.typ, issuer: claims.iss })
    }
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// RFC 9068 §4: `at+jwt`, with or without `application/` (RFC 7515 §4.1.9). Where it is not required, a token that calls
/// itself something else still is something else (RFC 8725 §3.11).
fn check_type(jwt: &Unverified, is_required: bool) -> Result<(), TokenRefused> {
    let kind = jwt.kind.as_deref().map(|kind| {
        let kind = kind.to_ascii_lowercase();
        kind.strip_prefix("application/").map(str::to_owned).unwrap_or(kind)
    });
    match kind.as_deref() {
        Some("at+jwt") => Ok(()),
        None | Some("jwt") if !is_required => Ok(()),
        _ => Err(TokenRefused::Type),
    }
}

#[cfg(test)]
mod tests;
