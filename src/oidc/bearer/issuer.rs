//! One issuer of access tokens: its metadata, its keys, and what it said of opaque tokens.
//!
//! Must never be asked more often than it takes: keys once in a while, a token once in the time that answers are kept.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use url::Url;

use super::super::discovery::{Discovery, DiscoveryError, Metadata};
use super::super::http::{HttpClient, Unavailable};
use super::super::jwks::{KeyCache, KeysError};
use super::super::jws::{self, KeySource};
use super::super::preset::IssuerRule;
use super::super::provider::{Pacing, ProviderBuildError};
use super::cache::IntrospectionCache;
use super::introspection::{self, IntrospectionError};
use super::{BearerError, IntrospectionSettings, IssuerFault, TokenIssuerSettings};
use crate::clock::Clock;
use crate::secret::AccessToken;

/// Tokens that an issuer is asked about at once. More are a flood of forged ones rather than users.
const QUESTIONS_AT_ONCE: usize = 64;

/// An issuer; shared by the routes that take its tokens.
pub(super) struct TokenIssuer {
    name: String,
    configured_jwks_uri: Option<Url>,
    ca_file: Option<PathBuf>,
    introspection: Option<IntrospectionSettings>,
    http: HttpClient,
    discovery: Discovery,
    keys: KeyCache,
    answers: IntrospectionCache,
    questions: Semaphore,
    pacing: Pacing,
    clock: Clock,
}

impl TokenIssuer {
    pub(super) fn new(
        settings: &TokenIssuerSettings,
        request_timeout: Duration,
        clock: Clock,
        pacing: Pacing,
    ) -> Result<Self, ProviderBuildError> {
        let http =
            HttpClient::for_issuer(&settings.issuer, settings.ca_file.as_deref(), request_timeout, clock.clone())?;
        Ok(Self {
            name: settings.issuer.clone(),
            configured_jwks_uri: settings.jwks_uri.clone(),
            ca_file: settings.ca_file.clone(),
            introspection: settings.introspection.clone(),
            http,
            discovery: Discovery::new(IssuerRule::new(&settings.issuer, None))?,
            keys: KeyCache::new(pacing.key_refetch_gap, pacing.on_demand_gap),
            answers: IntrospectionCache::default(),
            questions: Semaphore::new(QUESTIONS_AT_ONCE),
            pacing,
            clock,
        })
    }

    /// Whether it is the one that `settings` speak of, reached in the same way.
    pub(super) fn is_for(&self, settings: &TokenIssuerSettings) -> bool {
        self.name == settings.issuer
            && self.configured_jwks_uri == settings.jwks_uri
            && self.ca_file == settings.ca_file
            && self.introspection == settings.introspection
    }

    /// As [`TokenIssuer::verify`], without asking anybody; `None` when somebody must be asked.
    pub(super) fn verify_with_known_keys(
        &self,
        token: &AccessToken,
        algorithms: &[Algorithm],
    ) -> Option<Result<Map<String, Value>, BearerError>> {
        let verified = jws::verify_with_known(token.expose(), algorithms, &self.keys)?;
        Some(verified.map(|verified| verified.claims).map_err(BearerError::from))
    }

    /// The claims of a token that this issuer has signed.
    pub(super) async fn verify(
        &self,
        token: &AccessToken,
        algorithms: &[Algorithm],
    ) -> Result<Map<String, Value>, BearerError> {
        let uri = self.jwks_uri().await.map_err(IssuerFault::from)?;
        let source = KeySource { cache: &self.keys, http: &self.http, uri: &uri };
        Ok(jws::verify(token.expose(), algorithms, &source).await?.claims)
    }

    /// What this issuer has said of `token` a moment ago; `None` when it must be asked. The inner `None`: the token is
    /// not active.
    pub(super) fn introspected(&self, token: &AccessToken) -> Option<Option<Map<String, Value>>> {
        self.answers.find(token, self.clock.now())
    }

    /// What this issuer says of `token`; `None`: it is not active.
    pub(super) async fn introspect(&self, token: &AccessToken) -> Result<Option<Map<String, Value>>, BearerError> {
        // Callers ask for issuers with introspection alone.
        let Some(settings) = &self.introspection else { return Ok(None) };
        let _place = self.questions.try_acquire().map_err(|_| IssuerFault::Busy)?;
        let metadata = self.discovered().await.map_err(IssuerFault::from)?;
        let endpoint = metadata.introspection_endpoint.as_ref();
        let endpoint = endpoint.ok_or(IssuerFault::Introspection(IntrospectionError::NotSupported))?;
        let claims = introspection::ask(&self.http, endpoint, settings, token).await?;
        self.answers.keep(token, claims.clone(), settings.cache, self.clock.now());
        Ok(claims)
    }

    async fn jwks_uri(&self) -> Result<Url, Unavailable> {
        match &self.configured_jwks_uri {
            Some(uri) => Ok(uri.clone()),
            None => Ok(self.discovered().await?.jwks_uri.clone()),
        }
    }

    async fn discovered(&self) -> Result<Arc<Metadata>, Unavailable> {
        self.discovery.ensure(&self.http, self.pacing.on_demand_gap).await.ok_or(Unavailable::NotDiscovered)
    }

    /// Reads anew what it works with.
    async fn renew(&self) -> Result<(), TokenIssuerError> {
        let metadata = match (&self.configured_jwks_uri, &self.introspection) {
            (Some(_), None) => None,
            _ => Some(self.discovery.renew(&self.http).await?),
        };
        if self.introspection.is_some() {
            return Ok(());
        }
        let announced = metadata.as_ref().map(|metadata| &metadata.jwks_uri);
        if let Some(uri) = self.configured_jwks_uri.as_ref().or(announced) {
            self.keys.renew(&self.http, uri).await?;
        }
        Ok(())
    }
}

/// Why an issuer is not ready to have its tokens judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenIssuerError {
    /// Its settings cannot be used.
    #[error(transparent)]
    Settings(#[from] ProviderBuildError),
    /// Its metadata cannot be had.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// Its keys cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// It does not answer questions about tokens.
    #[error("it cannot be asked about tokens: {0}")]
    Introspection(IssuerFault),
}

/// Asks an issuer for what is needed of it, once: its keys, or its opinion of a token that nobody has issued. For checks
/// from the command line; needs a tokio runtime with I/O and time.
///
/// # Errors
/// [`TokenIssuerError`].
pub async fn probe(settings: &TokenIssuerSettings, request_timeout: Duration) -> Result<(), TokenIssuerError> {
    let issuer = TokenIssuer::new(settings, request_timeout, Clock::system(), Pacing::default())?;
    issuer.renew().await?;
    if issuer.introspection.is_none() {
        return Ok(());
    }
    match issuer.introspect(&AccessToken::new("sealgate-check")).await {
        Err(BearerError::Issuer(fault)) => Err(TokenIssuerError::Introspection(fault)),
        _ => Ok(()),
    }
}

/// Keeps metadata and keys as new as the pacing says, for as long as somebody has the issuer.
pub(super) async fn keep_ready(issuer: Weak<TokenIssuer>) {
    let mut failures = 0_u32;
    let mut is_announced = false;
    loop {
        let wait = {
            let Some(issuer) = issuer.upgrade() else { return };
            let name = &issuer.name;
            match issuer.renew().await {
                Ok(()) => {
                    if !is_announced || failures > 0 {
                        tracing::info!(issuer = %name, "the issuer of access tokens is ready");
                    }
                    (is_announced, failures) = (true, 0);
                    issuer.pacing.renewal
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let wait = issuer.pacing.backoff(failures, rand::random());
                    tracing::warn!(issuer = %name, %error, ?wait, "the issuer of access tokens is not ready");
                    wait
                }
            }
        };
        tokio::time::sleep(wait).await;
    }
}

impl From<introspection::AskError> for BearerError {
    fn from(error: introspection::AskError) -> Self {
        match error {
            introspection::AskError::Unavailable(unavailable) => IssuerFault::Unavailable(unavailable).into(),
            introspection::AskError::Answer(error) => IssuerFault::Introspection(error).into(),
        }
    }
}
