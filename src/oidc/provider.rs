//! The provider as the rest of Sealgate sees it: one cheap handle, with everything that talks to the provider behind it.
//!
//! All traffic runs on the runtime that the handle was given, whichever runtime awaits the answer: the connections
//! outlive a worker, and a request that has been sent is finished even if nobody waits for it any more.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use tokio::runtime::Handle;
use url::Url;

use super::client_authentication::{ClientAuthentication, ClientKeyError};
use super::discovery::{Discovery, DiscoveryError};
use super::http::HttpClient;
use super::jwks::{KeyCache, signature_algorithm};
use super::logout::LogoutRequest;
use super::preset::IssuerRule;
use super::{
    AuthorizationError, AuthorizationRequest, ClientCredentialsError, ClientToken, IssuerMismatch, Metadata,
    OriginalIdentity, ProviderSettings, RedeemError, Redemption, RefreshError, Revocation, RevokeError, TokenNeed,
    TokenSet, Unavailable, authorization, client_credentials, logout, token,
};
use crate::clock::Clock;
use crate::file_watch::FileWatch;
use crate::secret::RefreshToken;

/// A handle to one provider. Clones share everything.
#[derive(Clone)]
pub struct Provider {
    party: Arc<RelyingParty>,
}

/// Why the settings make no provider. All of it is known without the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderBuildError {
    /// The issuer is not a URL that we may talk to.
    #[error("the issuer {issuer:?} cannot be used: {problem}")]
    Issuer {
        /// As configured.
        issuer: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file of certificates cannot be used.
    #[error("cannot use the certificates in {}: {problem}", path.display())]
    CaFile {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The system has no trusted certificates and none are configured, so no https provider could be reached.
    #[error("no trusted certificates: the system has none; install ca-certificates or set provider.ca_file")]
    NoTrustedRoots,
    /// The key that signs client assertions cannot be used.
    #[error(transparent)]
    ClientKey(#[from] ClientKeyError),
    /// An algorithm that no ID token may have, or that we cannot verify.
    #[error(
        "{0:?} cannot be an ID token algorithm; use RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA"
    )]
    Algorithm(String),
    /// The list of algorithms is empty, so every ID token would be refused.
    #[error("no ID token algorithm is allowed")]
    NoAlgorithm,
    /// The HTTP client cannot be set up, for the reason given.
    #[error("cannot set up the HTTP client: {0}")]
    HttpClient(String),
}

/// No metadata yet: the provider has not answered since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider has not been discovered yet")]
pub struct ProviderUnavailable;

/// How often the provider is asked for its metadata and keys.
#[derive(Clone, Copy, Debug)]
pub struct Pacing {
    /// The wait after the first failed discovery; doubled with each further one.
    pub first_retry: Duration,
    /// The longest wait between two discoveries that fail.
    pub longest_retry: Duration,
    /// The wait after a successful discovery until metadata and keys are read again.
    pub renewal: Duration,
    /// While there is nothing to work with: the least time between attempts that requests cause.
    pub on_demand_gap: Duration,
    /// The least time between two fetches that unknown keys cause (OpenID Connect Core §10.1.1).
    pub key_refetch_gap: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(60),
            renewal: Duration::from_secs(3600),
            on_demand_gap: Duration::from_secs(1),
            key_refetch_gap: Duration::from_secs(30),
        }
    }
}

impl Pacing {
    /// The wait after `failures` in a row: between half and the whole of the doubled time, as `random` (0 to 1) says,
    /// so that replicas do not ask all at once.
    pub(super) fn backoff(&self, failures: u32, random: f64) -> Duration {
        let doubled = self.first_retry.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        doubled.min(self.longest_retry).mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

impl Provider {
    /// A provider with the usual pacing; see [`Provider::with_pacing`].
    pub fn new(settings: ProviderSettings, clock: Clock, runtime: Handle) -> Result<Self, ProviderBuildError> {
        Self::with_pacing(settings, clock, runtime, Pacing::default())
    }

    /// A provider whose traffic runs on `runtime`. Reads `ca_file` and the system's certificates, but sends nothing.
    pub fn with_pacing(
        settings: ProviderSettings,
        clock: Clock,
        runtime: Handle,
        pacing: Pacing,
    ) -> Result<Self, ProviderBuildError> {
        let algorithms = algorithms(&settings.id_token_algorithms)?;
        let http = HttpClient::new(&settings, clock.clone())?;
        let issuer = IssuerRule::new(&settings.issuer, settings.particulars.preset);
        let client =
            ClientAuthentication::new(&settings.client_auth, &settings.client_id, &settings.issuer, clock.clone())?;
        let party = RelyingParty {
            client,
            key_watch: OnceLock::new(),
            discovery: Discovery::new(issuer.clone())?,
            issuer,
            keys: KeyCache::new(pacing.key_refetch_gap, pacing.on_demand_gap),
            settings,
            algorithms,
            clock,
            http,
            pacing,
            runtime,
            started: AtomicBool::new(false),
        };
        Ok(Self { party: Arc::new(party) })
    }

    /// Starts discovery in the background: with back-off until it succeeds, then again every hour, when the old
    /// metadata stay if that fails. Watches the client's key too, where it has one. Ends with the last clone of this
    /// handle. A second call does nothing.
    pub fn start(&self) {
        if !self.party.started.swap(true, Ordering::SeqCst) {
            if let Some(watch) = self.party.client.watch(&self.party.runtime) {
                // The first start sets it, and there is no other.
                let _ = self.party.key_watch.set(watch);
            }
            self.party.runtime.spawn(keep_discovered(Arc::downgrade(&self.party)));
        }
    }

    /// The provider's metadata; `None` until discovered.
    pub fn metadata(&self) -> Option<Arc<Metadata>> {
        self.party.discovery.current()
    }

    /// The metadata, after one attempt to get them if there are none yet. Attempts that failed within the last
    /// second are not repeated.
    pub async fn ready(&self) -> Result<Arc<Metadata>, ProviderUnavailable> {
        if let Some(metadata) = self.metadata() {
            return Ok(metadata);
        }
        let outcome = self.on_runtime(|party| async move { party.discovered().await }).await;
        outcome.ok().and_then(Result::ok).ok_or(ProviderUnavailable)
    }

    /// The settings that it was built with.
    pub fn settings(&self) -> &ProviderSettings {
        &self.party.settings
    }

    /// Where to send the browser to log in (OpenID Connect Core §3.1.2.1), with PKCE S256. Where requests are pushed
    /// (RFC 9126), the provider is asked first, and the URL can be used once.
    ///
    /// # Errors
    /// [`AuthorizationError`].
    pub async fn authorization_url(&self, request: &AuthorizationRequest<'_>) -> Result<Url, AuthorizationError> {
        let parameters = authorization::parameters(self.settings(), request);
        self.on_runtime(|party| async move { authorization::authorization_url(&party, &parameters).await }).await?
    }

    /// Checks the callback's `iss` (RFC 9207 §2.4), before anything is redeemed. A callback without it can only be
    /// judged once the metadata are known: see [`Provider::ready`].
    pub fn check_issuer_parameter(&self, iss: Option<&str>) -> Result<(), IssuerMismatch> {
        authorization::check_issuer_parameter(&self.party.issuer, self.metadata().as_deref(), iss)
    }

    /// Redeems the code (RFC 6749 §4.1.3) and verifies the ID token (OpenID Connect Core §3.1.3.7). Gives nothing
    /// unless all of it is right.
    pub async fn redeem(&self, redemption: Redemption) -> Result<TokenSet, RedeemError> {
        self.on_runtime(|party| async move { token::redeem(&party, &redemption).await }).await?
    }

    /// Refreshes (RFC 6749 §6), verifying a new ID token and its identity with `original` (OpenID Connect Core
    /// §12.2). The request is finished even if the caller goes away.
    pub async fn refresh(
        &self,
        refresh_token: &RefreshToken,
        original: &OriginalIdentity,
    ) -> Result<TokenSet, RefreshError> {
        self.refresh_for(refresh_token, original, None).await
    }

    /// As [`Provider::refresh`], with an access token for `need` (RFC 8707 §2.2) instead of the login's; UserInfo is not
    /// asked then.
    pub async fn refresh_for(
        &self,
        refresh_token: &RefreshToken,
        original: &OriginalIdentity,
        need: Option<&TokenNeed>,
    ) -> Result<TokenSet, RefreshError> {
        let (refresh_token, original, need) = (refresh_token.clone(), original.clone(), need.cloned());
        self.on_runtime(|party| async move { token::refresh(&party, &refresh_token, &original, need.as_ref()).await })
            .await?
    }

    /// A token for the application itself (RFC 6749 §4.4).
    pub async fn client_token(&self, need: &TokenNeed) -> Result<ClientToken, ClientCredentialsError> {
        let need = need.clone();
        self.on_runtime(|party| async move { client_credentials::ask(&party, &need).await }).await?
    }

    /// Revokes a refresh token (RFC 7009). After any error the token may live.
    pub async fn revoke(&self, token: &RefreshToken) -> Result<Revocation, RevokeError> {
        let token = token.clone();
        self.on_runtime(|party| async move { logout::revoke(&party, &token).await }).await?
    }

    /// Where to send the browser to log out (RP-Initiated Logout §2); `None` when the provider announces no such
    /// page, or is not discovered yet.
    pub fn end_session_url(&self, request: &LogoutRequest<'_>) -> Option<Url> {
        logout::end_session_url(self.settings(), &*self.metadata()?, request)
    }

    /// Whether there is a logout at the provider; false before it is discovered.
    pub fn has_logout(&self) -> bool {
        self.metadata().is_some_and(|metadata| self.settings().particulars.has_logout(&metadata))
    }

    async fn on_runtime<T, F>(&self, work: impl FnOnce(Arc<RelyingParty>) -> F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.party.runtime.spawn(work(Arc::clone(&self.party))).await.map_err(|_| Unavailable::Stopped)
    }
}

/// What a request to the provider needs.
pub(super) struct RelyingParty {
    pub(super) settings: ProviderSettings,
    pub(super) issuer: IssuerRule,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) client: ClientAuthentication,
    pub(super) clock: Clock,
    pub(super) http: HttpClient,
    pub(super) keys: KeyCache,
    discovery: Discovery,
    pacing: Pacing,
    runtime: Handle,
    started: AtomicBool,
    key_watch: OnceLock<FileWatch>,
}

impl RelyingParty {
    /// The metadata, read now if there are none yet.
    pub(super) async fn discovered(&self) -> Result<Arc<Metadata>, Unavailable> {
        self.discovery.ensure(&self.http, self.pacing.on_demand_gap).await.ok_or(Unavailable::NotDiscovered)
    }

    async fn renew(&self) -> Result<(), DiscoveryError> {
        let metadata = self.discovery.renew(&self.http).await?;
        if let Err(error) = self.keys.renew(&self.http, &metadata.jwks_uri).await {
            tracing::warn!(%error, "the provider's keys could not be read; the next login tries again");
        }
        Ok(())
    }
}

async fn keep_discovered(party: Weak<RelyingParty>) {
    let mut failures = 0_u32;
    let mut announced = false;
    loop {
        let wait = {
            let Some(party) = party.upgrade() else { return };
            let issuer = &party.settings.issuer;
            match party.renew().await {
                Ok(()) => {
                    if !announced || failures > 0 {
                        tracing::info!(%issuer, "provider discovered");
                    }
                    (announced, failures) = (true, 0);
                    party.pacing.renewal
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let wait = party.pacing.backoff(failures, rand::random());
                    tracing::warn!(%issuer, %error, ?wait, "discovery failed");
                    wait
                }
            }
        };
        tokio::time::sleep(wait).await;
    }
}

pub(super) fn algorithms(names: &[String]) -> Result<Vec<Algorithm>, ProviderBuildError> {
    if names.is_empty() {
        return Err(ProviderBuildError::NoAlgorithm);
    }
    names
        .iter()
        .map(|name| signature_algorithm(name).ok_or_else(|| ProviderBuildError::Algorithm(name.clone())))
        .collect()
}

#[cfg(test)]
mod tests;
