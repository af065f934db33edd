//! Keeps sessions usable: refreshes their access tokens ahead of expiry, once, whoever asks.
//!
//! One flight per `sid` in this replica. A flight runs on a runtime of its own and finishes even if the client that
//! started it has gone; what it brought is kept, as the very bytes sealed, until a while after a request has shown the next generation.
//! A failing refresh must never touch the session's cookie.

mod kept;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use self::kept::{Kept, KeptResults};
use crate::clock::{Clock, UnixTime};
use crate::metrics::{Metrics, Outcome};
use crate::oidc::{OriginalIdentity, Provider, RefreshError, TokenSet};
use crate::session::store::{ActiveSession, SealedSession, Sessions};
use crate::session::{Session, SessionId, StoredAccessToken};

/// How long a request waits for a flight before it is answered without it.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long a flight that failed for the provider's sake is not flown again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// What a client is told to wait when the provider says nothing.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(2);

/// Refreshes sessions of one provider. Clones share the flights.
#[derive(Clone)]
pub struct Refresher(Arc<Inner>);

struct Inner {
    provider: Provider,
    sessions: Sessions,
    clock: Clock,
    metrics: Metrics,
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    flights: HashMap<SessionId, watch::Receiver<Option<Landed>>>,
    kept: KeptResults,
}

/// How a flight ended.
type Landed = Result<SealedSession, Failure>;

/// How a request gets a refreshed session.
enum Boarding {
    /// By waiting for a flight.
    Flight {
        /// Where its landing will be seen.
        flight: watch::Receiver<Option<Landed>>,
        /// Whether the request has started it.
        ours: bool,
    },
    /// At once: a flight has just landed.
    Landed(SealedSession),
}

/// Why a flight brought nothing.
#[derive(Clone, Debug)]
enum Failure {
    /// The provider no longer takes the refresh token.
    Dead,
    /// It could not be asked, or did not answer as it should; the refresh token may be good still.
    Unavailable { retry_after: Duration },
}

/// A session with an access token that can be used now.
pub struct Usable {
    /// The session, refreshed or not.
    pub session: Arc<Session>,
    /// The cookies to deliver, when the session is newer than the request's.
    pub renewed: Option<SealedSession>,
}

/// Why a session has no access token that could be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unusable {
    /// The access token has expired and the refresh token is dead or missing (RFC 10017 §6.1.2.2).
    Ended,
    /// The access token has expired and the provider cannot be asked now; the session itself may be good.
    ProviderUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
}

impl Refresher {
    /// A refresher whose flights run on `runtime`.
    pub fn new(provider: Provider, sessions: Sessions, clock: Clock, metrics: Metrics, runtime: Handle) -> Self {
        let state = Mutex::new(State::default());
        Self(Arc::new(Inner { provider, sessions, clock, metrics, runtime, state }))
    }

    /// The session with a usable access token: refreshed if that is due.
    ///
    /// The request that starts a flight waits for it and so carries the new cookie; others go on with the old access
    /// token while it is valid, and wait once it is not.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub async fn usable(&self, active: &ActiveSession) -> Result<Usable, Unusable> {
        self.bring_up_to_date(&active.session, false).await
    }

    /// As [`Refresher::usable`], but refreshes even a young access token.
    ///
    /// # Errors
    /// See [`Unusable`]; also when the provider cannot be asked and the old token is good still.
    pub async fn force(&self, active: &ActiveSession) -> Result<Usable, Unusable> {
        self.bring_up_to_date(&active.session, true).await
    }

    /// The newest that is known of a session, after any flight of it has landed: what a logout must revoke.
    pub async fn settle(&self, session: Arc<Session>) -> Arc<Session> {
        let flight = self.state().flights.get(&session.sid).cloned();
        if let Some(flight) = flight {
            landing(flight, LONGEST_WAIT).await;
        }
        self.newest(&session).0
    }

    /// What to deliver in place of `renewed` now: the same, or what a later flight has brought meanwhile. A response
    /// that took its time must not bring a spent refresh token back.
    pub fn up_to_date(&self, renewed: SealedSession) -> SealedSession {
        self.newest(&renewed.session).1.unwrap_or(renewed)
    }

    /// Waits until no flight is in the air, `deadline` at most; whether that came true.
    pub async fn drain(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        loop {
            let next = self.state().flights.values().next().cloned();
            let Some(flight) = next else { return true };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            landing(flight, left).await;
        }
    }

    async fn bring_up_to_date(&self, requested: &Arc<Session>, forced: bool) -> Result<Usable, Unusable> {
        let inner = &*self.0;
        let (session, renewed) = self.newest(requested);
        let now = inner.clock.now();
        let go_on = |renewed| Usable { session: session.clone(), renewed };
        let valid = is_valid(&session, now);
        // A forced refresh that another one has just satisfied needs none of its own.
        let wanted = match forced {
            true => renewed.is_none(),
            false => is_due(&session, now, inner.sessions.settings().refresh_before),
        };
        if valid && !wanted {
            return Ok(go_on(renewed));
        }
        let (flight, ours) = match self.join_or_start(&session) {
            Ok(Boarding::Flight { flight, ours }) => (flight, ours),
            Ok(Boarding::Landed(sealed)) => {
                return Ok(Usable { session: sealed.session.clone(), renewed: Some(sealed) });
            }
            Err(failure) => return self.without(failure, valid && !forced).map(|()| go_on(renewed)),
        };
        if valid && !ours && !forced {
            return Ok(go_on(renewed));
        }
        match landing(flight, LONGEST_WAIT).await {
            Some(Ok(sealed)) => Ok(Usable { session: sealed.session.clone(), renewed: Some(sealed) }),
            Some(Err(failure)) => self.without(failure, valid && !forced).map(|()| go_on(renewed)),
            None => {
                let late = Failure::Unavailable { retry_after: DEFAULT_RETRY_AFTER };
                self.without(late, valid && !forced).map(|()| go_on(renewed))
            }
        }
    }

    /// What a request gets when its flight brought nothing.
    fn without(&self, failure: Failure, valid: bool) -> Result<(), Unusable> {
        match failure {
            _ if valid => Ok(()),
            Failure::Dead => Err(Unusable::Ended),
            Failure::Unavailable { retry_after } => Err(Unusable::ProviderUnavailable { retry_after }),
        }
    }

    /// The session as the last flight left it, with its cookies, when the request's is older.
    fn newest(&self, requested: &Arc<Session>) -> (Arc<Session>, Option<SealedSession>) {
        match self.state().kept.newer_than(requested.sid, requested.generation, Instant::now()) {
            Some(sealed) => (sealed.session.clone(), Some(sealed)),
            None => (requested.clone(), None),
        }
    }

    /// The flight for this session; or why there is none.
    fn join_or_start(&self, session: &Arc<Session>) -> Result<Boarding, Failure> {
        let now = Instant::now();
        let mut state = self.state();
        // A flight may have landed since the caller looked; another would spend the old refresh token twice.
        if let Some(sealed) = state.kept.newer_than(session.sid, session.generation, now) {
            return Ok(Boarding::Landed(sealed));
        }
        if let Some(failure) = state.kept.failure(session.sid, session.generation, now) {
            return Err(failure);
        }
        if session.refresh_token.is_none() {
            return Err(Failure::Dead);
        }
        // A flight whose task is gone without landing is none: its place is free.
        if let Some(flight) = state.flights.get(&session.sid).filter(|flight| flight.has_changed().is_ok()) {
            return Ok(Boarding::Flight { flight: flight.clone(), ours: false });
        }
        let (land, flight) = watch::channel(None);
        state.flights.insert(session.sid, flight.clone());
        let (this, session) = (self.clone(), session.clone());
        self.0.runtime.spawn(async move {
            let landed = this.fly(&session).await;
            this.keep(&session, &landed);
            // Perhaps nobody waits any more: what was brought is kept for the next request.
            land.send_replace(Some(landed));
        });
        Ok(Boarding::Flight { flight, ours: true })
    }

    async fn fly(&self, session: &Session) -> Landed {
        let inner = &*self.0;
        let (Some(refresh_token), Some(original)) = (&session.refresh_token, original_identity(session)) else {
            return Err(Failure::Dead);
        };
        let asked = inner.provider.refresh(refresh_token, &original).await;
        let (outcome, landed) = match asked {
            Ok(tokens) => (Outcome::Succeeded, self.seal_refreshed(session, tokens)),
            Err(error) => {
                let (outcome, failure) = classify(&error);
                tracing::warn!(target: "sealgate::audit", event = "refresh_failed", sid = ?session.sid, %error, "refresh failed");
                (outcome, Err(failure))
            }
        };
        inner.metrics.count_refresh(outcome);
        landed
    }

    fn seal_refreshed(&self, session: &Session, tokens: TokenSet) -> Landed {
        let now = self.0.clock.now();
        let access = StoredAccessToken::new(tokens.access_token, now, tokens.access_token_expires_at, tokens.scope);
        let next = session.refreshed(access, tokens.refresh_token, tokens.id_token, now);
        let generation = next.generation.0;
        self.0.sessions.seal(next).inspect(|_| {
            tracing::info!(target: "sealgate::audit", event = "refresh", sid = ?session.sid, generation, "session refreshed");
        }).map_err(|error| {
            tracing::error!(sid = ?session.sid, %error, "a refreshed session cannot be sealed");
            Failure::Unavailable { retry_after: DEFAULT_RETRY_AFTER }
        })
    }

    fn keep(&self, session: &Session, landed: &Landed) {
        let mut state = self.state();
        state.flights.remove(&session.sid);
        let kept = match landed {
            Ok(sealed) => Kept::Refreshed(sealed.clone()),
            Err(Failure::Dead) => Kept::Dead { generation: session.generation },
            Err(Failure::Unavailable { retry_after }) => Kept::Paused {
                generation: session.generation,
                until: Instant::now() + PAUSE_AFTER_FAILURE,
                retry_after: *retry_after,
            },
        };
        state.kept.insert(session.sid, kept);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements under the lock, so a panic elsewhere leaves nothing half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn landing(mut flight: watch::Receiver<Option<Landed>>, wait: Duration) -> Option<Landed> {
    let landed = tokio::time::timeout(wait, flight.wait_for(Option::is_some)).await;
    landed.ok()?.ok()?.clone()
}

fn classify(error: &RefreshError) -> (Outcome, Failure) {
    match error {
        RefreshError::InvalidGrant => (Outcome::Refused, Failure::Dead),
        // Another user's tokens must never enter this session; the old refresh token is spent.
        RefreshError::IdentityChanged(_) => (Outcome::Invalid, Failure::Dead),
        RefreshError::Unavailable(unavailable) => {
            let retry_after = unavailable.retry_after().unwrap_or(DEFAULT_RETRY_AFTER);
            (Outcome::Unavailable, Failure::Unavailable { retry_after })
        }
        _ => (Outcome::Invalid, Failure::Unavailable { retry_after: DEFAULT_RETRY_AFTER }),
    }
}

/// Who the session belongs to, as its ID token said at login (OpenID Connect Core §12.2).
fn original_identity(session: &Session) -> Option<OriginalIdentity> {
    OriginalIdentity::from_claims(&session.claims())
}

fn is_valid(session: &Session, now: UnixTime) -> bool {
    session.access_token().is_some_and(|stored| now < stored.expires_at)
}

/// Whether it is time: min(`refresh_before`, a fifth of the lifetime) and a jitter of up to a quarter of that ahead of
/// expiry. The jitter is fixed for a session's generation, so that all its requests agree.
fn is_due(session: &Session, now: UnixTime, refresh_before: Duration) -> bool {
    let Some(stored) = session.access_token() else { return true };
    let ahead = refresh_before.min(stored.lifetime() / 5);
    let mut hasher = DefaultHasher::new();
    (session.sid, session.generation).hash(&mut hasher);
    let quarter = u32::try_from(hasher.finish() % 256).unwrap_or(0);
    let jitter = ahead / 4 * quarter / 256;
    now.until(stored.expires_at) <= ahead + jitter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::{ClientAuth, LoginLimits, ProviderSettings};
    use crate::secret::SecretString;
    use crate::session::tests::{NOW, a_session};

    fn a_provider() -> ProviderSettings {
        ProviderSettings {
            issuer: "http://127.0.0.1:9".into(),
            client_id: "spa".into(),
            client_auth: ClientAuth::SecretBasic(SecretString::new("secret")),
            scopes: vec!["openid".into()],
            ca_file: None,
            clock_skew: Duration::from_secs(60),
            request_timeout: Duration::from_secs(1),
            default_access_token_lifetime: Duration::from_secs(60),
            id_token_algorithms: vec!["ES256".into()],
            trusted_audiences: Vec::new(),
            passthrough_parameters: Vec::new(),
            login_limits: LoginLimits::default(),
        }
    }

    #[tokio::test]
    async fn a_request_that_looked_before_a_landing_boards_no_second_flight() {
        let clock = Clock::manual(NOW);
        let site = crate::session::store::tests::site();
        let provider = Provider::new(a_provider(), clock.clone(), Handle::current()).expect("no network is needed");
        let refresher = Refresher::new(provider, site.sessions.clone(), clock, Metrics::default(), Handle::current());
        let old = Arc::new(a_session());
        let token = old.access_tokens[0].clone();
        let sealed = site.sessions.seal(old.refreshed(token, None, None, NOW)).expect("it fits");
        refresher.keep(&old, &Ok(sealed.clone()));
        assert!(matches!(refresher.join_or_start(&old), Ok(Boarding::Landed(_))));
        assert!(refresher.state().flights.is_empty());
        let late = site.sessions.seal(a_session()).expect("it fits");
        assert_eq!(refresher.up_to_date(late).session.generation, sealed.session.generation);
    }

    #[test]
    fn a_refresh_is_due_a_fifth_of_a_short_lifetime_ahead_and_the_configured_time_ahead_of_a_long_one() {
        // The token of the sample session lives for 300 s.
        let session = a_session();
        let at = |seconds| NOW.plus(Duration::from_secs(seconds));
        let hour = Duration::from_secs(3600);
        assert!(!is_due(&session, at(224), hour), "a fifth and a quarter of it are 75 s");
        assert!(is_due(&session, at(240), hour), "a fifth is 60 s");
        let ten = Duration::from_secs(10);
        assert!(!is_due(&session, at(287), ten));
        assert!(is_due(&session, at(290), ten));
        assert!(is_valid(&session, at(299)) && !is_valid(&session, at(300)));
    }
}
