//! Access tokens of the application itself, for routes that act as the application and not as the user (RFC 6749 §4.4).
//!
//! One for each need, in memory alone, shared by all workers of the process; each is asked for once at a time and renewed
//! ahead of its end. Such a token must never get into a cookie.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::timing::ahead;
use super::{DEFAULT_RETRY_AFTER, LONGEST_WAIT};
use crate::clock::{Clock, UnixTime};
use crate::metrics::{Metrics, Outcome};
use crate::oidc::{ClientCredentialsError, ClientToken, Provider, TokenNeed};
use crate::secret::AccessToken;

/// The pause after the first failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two requests that fail.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The application's tokens at one provider. Clones share them.
#[derive(Clone)]
pub struct ApplicationTokens(Arc<Inner>);

struct Inner {
    provider: Provider,
    refresh_before: Duration,
    clock: Clock,
    metrics: Metrics,
    runtime: Handle,
    slots: Mutex<HashMap<TokenNeed, Slot>>,
}

/// What is known of the token for one need.
#[derive(Default)]
struct Slot {
    current: Option<Current>,
    /// Closed or changed when the request that is under way has ended.
    under_way: Option<watch::Receiver<bool>>,
    failures: u32,
    /// Not asked for again before that moment, and why.
    pause: Option<(Instant, NoApplicationToken)>,
}

struct Current {
    token: Arc<AccessToken>,
    renew_at: UnixTime,
    expires_at: UnixTime,
}

/// Why the application has no token now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoApplicationToken {
    /// The provider cannot be asked now.
    #[error("the provider cannot be asked for the application's token now")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// The provider gives the application none.
    #[error("the provider gives the application no token")]
    Refused,
}

impl fmt::Debug for ApplicationTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApplicationTokens([redacted])")
    }
}

impl ApplicationTokens {
    /// No token yet; requests for them run on `runtime`. A token is renewed `refresh_before` its end, or a fifth of its
    /// lifetime before it where that is later.
    pub fn new(provider: Provider, refresh_before: Duration, clock: Clock, metrics: Metrics, runtime: Handle) -> Self {
        Self(Arc::new(Inner { provider, refresh_before, clock, metrics, runtime, slots: Mutex::default() }))
    }

    /// The token for `need`. While it is valid nobody waits, neither for the next one nor for a provider that is down.
    ///
    /// # Errors
    /// See [`NoApplicationToken`].
    pub async fn token(&self, need: &TokenNeed) -> Result<Arc<AccessToken>, NoApplicationToken> {
        let deadline = Instant::now() + LONGEST_WAIT;
        loop {
            let mut landed = match self.current_or_flight(need) {
                Ok(token) => return Ok(token),
                Err(Waiting::Paused(reason)) => return Err(reason),
                Err(Waiting::UnderWay(landed)) => landed,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, landed.wait_for(|landed| *landed)).await.is_err() {
                return Err(NoApplicationToken::Unavailable { retry_after: DEFAULT_RETRY_AFTER });
            }
        }
    }

    fn current_or_flight(&self, need: &TokenNeed) -> Result<Arc<AccessToken>, Waiting> {
        let now = self.0.clock.now();
        let mut slots = self.slots();
        // Needs come from the configuration, so that there are few.
        let slot = slots.entry(need.clone()).or_default();
        let valid = slot.current.as_ref().filter(|current| now < current.expires_at);
        let valid = valid.map(|current| (current.token.clone(), now >= current.renew_at));
        if let Some((token, false)) = valid {
            return Ok(token);
        }
        let paused = slot.pause.filter(|(until, _)| Instant::now() < *until);
        let landed = match (slot.under_way.clone().filter(|landed| landed.has_changed().is_ok()), paused) {
            (Some(landed), _) => Waiting::UnderWay(landed),
            (None, Some((until, reason))) => Waiting::Paused(reason.after(until)),
            (None, None) => {
                let (land, landed) = watch::channel(false);
                slot.under_way = Some(landed.clone());
                let (this, need) = (self.clone(), need.clone());
                self.0.runtime.spawn(async move {
                    let asked = this.0.provider.client_token(&need).await;
                    this.take(&need, asked);
                    land.send_replace(true);
                });
                Waiting::UnderWay(landed)
            }
        };
        valid.map(|(token, _)| token).ok_or(landed)
    }

    fn take(&self, need: &TokenNeed, asked: Result<ClientToken, ClientCredentialsError>) {
        let now = self.0.clock.now();
        let mut slots = self.slots();
        let slot = slots.entry(need.clone()).or_default();
        slot.under_way = None;
        // One that has no life would be asked for again at once, and for ever.
        let asked = asked
            .map_err(Failure::Asking)
            .and_then(|token| if token.expires_at > now { Ok(token) } else { Err(Failure::Lifeless) });
        match asked {
            Ok(ClientToken { access_token, expires_at }) => {
                let renew_at = expires_at.minus(ahead(expires_at.since(now), self.0.refresh_before));
                slot.current = Some(Current { token: Arc::new(access_token), renew_at, expires_at });
                (slot.failures, slot.pause) = (0, None);
                self.0.metrics.count_application_token(Outcome::Succeeded);
                tracing::info!(target: "sealgate::audit", event = "application_token", %need, "the application has a new access token");
            }
            Err(error) => {
                slot.failures = slot.failures.saturating_add(1);
                let (outcome, reason) = classify(&error);
                let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(slot.failures - 1)).min(LONGEST_PAUSE);
                let pause = match reason {
                    NoApplicationToken::Unavailable { retry_after } => doubled.max(retry_after.min(LONGEST_PAUSE)),
                    NoApplicationToken::Refused => doubled,
                };
                slot.pause = Some((Instant::now() + pause, reason));
                self.0.metrics.count_application_token(outcome);
                tracing::warn!(target: "sealgate::audit", event = "application_token_failed", %need, %error, ?pause, "the application gets no access token");
            }
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<TokenNeed, Slot>> {
        // The map is whole between any two statements under the lock, so a panic elsewhere leaves nothing half done.
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no token at once.
enum Waiting {
    UnderWay(watch::Receiver<bool>),
    Paused(NoApplicationToken),
}

impl NoApplicationToken {
    /// The same, with the time that is left until then.
    fn after(self, until: Instant) -> Self {
        match self {
            Self::Unavailable { .. } => {
                Self::Unavailable { retry_after: until.saturating_duration_since(Instant::now()) }
            }
            Self::Refused => self,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Asking(ClientCredentialsError),
    #[error("the provider gave a token that has expired already")]
    Lifeless,
}

fn classify(error: &Failure) -> (Outcome, NoApplicationToken) {
    match error {
        Failure::Asking(ClientCredentialsError::Unavailable(unavailable)) => {
            let retry_after = unavailable.retry_after().unwrap_or_default();
            (Outcome::Unavailable, NoApplicationToken::Unavailable { retry_after })
        }
        Failure::Asking(ClientCredentialsError::Rejected(_)) => (Outcome::Refused, NoApplicationToken::Refused),
        Failure::Asking(_) | Failure::Lifeless => (Outcome::Invalid, NoApplicationToken::Refused),
    }
}

#[cfg(test)]
mod tests;
