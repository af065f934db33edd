//! Keeps sessions usable: refreshes their access tokens ahead of expiry, once, whoever asks.
//!
//! One flight per `sid` in this replica. A flight runs on a runtime of its own and finishes even if the client that
//! started it has gone; what it brought is kept, as the very bytes sealed, until a request shows the next generation.
//! A failing refresh must never touch the session's cookie.

pub mod delivery;
mod handover;
mod kept;
mod timing;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use self::delivery::{Deliveries, Renewed};
use self::handover::HandOver;
use self::kept::KeptResults;
use self::timing::{is_due, is_valid};
use crate::clock::Clock;
use crate::metrics::{Metrics, Outcome};
use crate::oidc::{OriginalIdentity, Provider, RefreshError, TokenSet, UserInfo, UserInfoError, check_login_limits};
use crate::secret::RefreshToken;
use crate::session::providers::Providers;
use crate::session::store::{ActiveSession, SealSessionError, SealedSession, SessionTooLarge, Sessions};
use crate::session::{Session, SessionId, StoredAccessToken};

/// How long a request waits for a flight before it is answered without it.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long a flight that failed for the provider's sake is not flown again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// What a client is told to wait when the provider says nothing.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(2);

/// Refreshes the sessions of one site, each at its own provider. Clones share the flights.
#[derive(Clone)]
pub struct Refresher(Arc<Inner>);

struct Inner {
    providers: Providers,
    sessions: Sessions,
    clock: Clock,
    metrics: Metrics,
    runtime: Handle,
    hand_over: HandOver,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    flights: HashMap<SessionId, watch::Receiver<Option<Landed>>>,
    kept: KeptResults,
    deliveries: Deliveries,
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
    Landed(Renewed),
}

/// Why a flight brought nothing.
#[derive(Clone, Debug)]
enum Failure {
    /// The provider no longer takes the refresh token, or there is none.
    Dead,
    /// The user is no longer among those who may log in.
    NotAllowed,
    /// The refreshed session fits no cookies: its tokens cannot be kept, and the old refresh token is spent.
    TooLarge(SessionTooLarge),
    /// It could not be asked, or did not answer as it should; the refresh token may be good still.
    Unavailable { retry_after: Duration },
}

/// A session with an access token that can be used now.
pub struct Usable {
    /// The session, refreshed or not.
    pub session: Arc<Session>,
    /// The cookies to deliver, when the session is newer than the request's.
    pub renewed: Option<Renewed>,
}

/// Why a session has no access token that could be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unusable {
    /// The session is over (RFC 10017 §6.1.2.2): its access token has expired and it has no refresh token, or the user
    /// may no longer log in.
    Ended,
    /// The session is over: what the provider sent for it fits no cookies.
    TooLarge(SessionTooLarge),
    /// The provider does not take the refresh token of this generation. Another replica may have used it and have a
    /// newer cookie on its way.
    Conflict {
        /// Whether the access token has expired, too; otherwise only a forced refresh ends like this.
        expired: bool,
    },
    /// The access token has expired and the provider cannot be asked now; the session itself may be good.
    ProviderUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
}

impl Refresher {
    /// A refresher whose flights run on `runtime`.
    pub fn new(providers: Providers, sessions: Sessions, clock: Clock, metrics: Metrics, runtime: Handle) -> Self {
        let (hand_over, state) = (HandOver::default(), Mutex::new(State::default()));
        Self(Arc::new(Inner { providers, sessions, clock, metrics, runtime, hand_over, state }))
    }

    /// The session with a usable access token: refreshed if that is due.
    ///
    /// The request that starts a flight waits for it and so carries the new cookie; others go on with the old access
    /// token while it is valid, and wait once it is not. While load balancers move sessions here or away, no flight
    /// starts before the token has expired: another replica may have one in the air.
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

    /// The session as it is known here, without refreshing it: for requests that only look at it.
    pub fn look(&self, active: &ActiveSession) -> Usable {
        let (session, renewed) = self.newest(&active.session);
        Usable { session, renewed }
    }

    /// What a response brings in place of `renewed` now that its head is ready: the same, or what a later flight has
    /// brought meanwhile; nothing when the session was ended, or the browser has shown a newer one long since.
    pub fn to_deliver(&self, renewed: &Renewed) -> Option<SealedSession> {
        if let Some(sealed) = renewed.if_still_newest() {
            return Some(sealed.clone());
        }
        let Session { sid, generation, .. } = *renewed.sealed().session;
        self.state().kept.newer_than(sid, generation, Instant::now())
    }

    /// Ends a session in this replica: it is refreshed no more and nothing of it is delivered. Gives the newest that is
    /// known of it, after any flight has landed: what a logout must revoke.
    pub async fn end(&self, session: Arc<Session>) -> Arc<Session> {
        let mut newest = session;
        let until = Instant::now() + LONGEST_WAIT;
        loop {
            let flight = {
                let mut state = self.state();
                if let Some(sealed) = state.kept.newer_than(newest.sid, newest.generation, Instant::now()) {
                    newest = sealed.session;
                }
                let flight = state.flights.get(&newest.sid).filter(|flight| is_in_the_air(flight)).cloned();
                let left = until.saturating_duration_since(Instant::now());
                match flight {
                    Some(flight) if !left.is_zero() => (flight, left),
                    _ => {
                        state.kept.claim_revocation(newest.sid);
                        state.deliveries.end(newest.sid);
                        return newest;
                    }
                }
            };
            landing(flight.0, flight.1).await;
        }
    }

    /// Whether the session was ended in this replica, or is being ended.
    pub fn has_ended(&self, sid: SessionId) -> bool {
        self.state().kept.has_ended(sid)
    }

    /// As [`Refresher::end`] for a session of which only the identifier is known; waits for nothing.
    pub fn forget(&self, sid: SessionId) {
        let mut state = self.state();
        state.kept.keep_end(sid);
        state.deliveries.end(sid);
    }

    /// Revokes the refresh token of a session that came back after its end, once, without anybody waiting.
    pub fn revoke_in_background(&self, session: &Session) {
        let Some(refresh_token) = session.refresh_token().cloned() else { return };
        if self.state().kept.claim_revocation(session.sid) {
            self.spawn_revocation(session, refresh_token);
        }
    }

    /// Revokes a refresh token of that session at the session's provider.
    fn spawn_revocation(&self, session: &Session, refresh_token: RefreshToken) {
        let (Some(provider), sid) = (self.provider_of(session), session.sid) else { return };
        self.0.runtime.spawn(async move {
            if let Err(error) = provider.revoke(&refresh_token).await {
                tracing::warn!(target: "sealgate::audit", event = "revocation_failed", ?sid, %error, "the refresh token may live on");
            }
        });
    }

    fn provider_of(&self, session: &Session) -> Option<Provider> {
        self.0.providers.of(&session.provider).map(|provider| provider.provider.clone())
    }

    /// From now on sessions move to other replicas: a refresh that can wait is theirs.
    pub fn start_draining(&self) {
        self.0.hand_over.start_draining();
    }

    /// Waits until no flight is in the air, `deadline` at most; whether that came true.
    pub async fn drain(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        loop {
            let next = self.state().flights.values().find(|flight| is_in_the_air(flight)).cloned();
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
            false => {
                is_due(&session, now, inner.sessions.settings().refresh_before)
                    && !inner.hand_over.is_under_way(Instant::now())
            }
        };
        if valid && !wanted {
            return Ok(go_on(renewed));
        }
        // Asked for this late because most requests do not get here, and need not read it.
        if session.refresh_token().is_none() {
            return match (valid, forced) {
                (true, false) => Ok(go_on(renewed)),
                (true, true) => Err(Unusable::Conflict { expired: false }),
                (false, _) => Err(Unusable::Ended),
            };
        }
        let (flight, ours) = match self.join_or_start(&session) {
            Ok(Boarding::Flight { flight, ours }) => (flight, ours),
            Ok(Boarding::Landed(renewed)) => {
                return Ok(Usable { session: renewed.sealed().session.clone(), renewed: Some(renewed) });
            }
            Err(failure) => return self.without(failure, valid, forced).map(|()| go_on(renewed)),
        };
        if valid && !ours && !forced {
            return Ok(go_on(renewed));
        }
        match landing(flight, LONGEST_WAIT).await {
            // One that was in the air for an older cookie brings nothing to a newer one.
            Some(Ok(sealed)) if sealed.session.generation > requested.generation => {
                let renewed = self.state().deliveries.begin(sealed);
                Ok(Usable { session: renewed.sealed().session.clone(), renewed: Some(renewed) })
            }
            Some(Err(failure)) => self.without(failure, valid, forced).map(|()| go_on(renewed)),
            Some(Ok(_)) | None => {
                let late = Failure::Unavailable { retry_after: DEFAULT_RETRY_AFTER };
                self.without(late, valid, forced).map(|()| go_on(renewed))
            }
        }
    }

    /// What a request gets when its flight brought nothing.
    fn without(&self, failure: Failure, valid: bool, forced: bool) -> Result<(), Unusable> {
        match failure {
            Failure::NotAllowed => Err(Unusable::Ended),
            // At once, and not when the old access token expires: its refresh token is spent, so nothing would be won
            // but an end without a reason.
            Failure::TooLarge(too_large) => Err(Unusable::TooLarge(too_large)),
            _ if valid && !forced => Ok(()),
            Failure::Dead => Err(Unusable::Conflict { expired: !valid }),
            Failure::Unavailable { retry_after } => Err(Unusable::ProviderUnavailable { retry_after }),
        }
    }

    /// The session as the last flight left it, with its cookies, when the request's is older.
    fn newest(&self, requested: &Arc<Session>) -> (Arc<Session>, Option<Renewed>) {
        let now = Instant::now();
        self.0.hand_over.observe(now);
        let mut state = self.state();
        state.deliveries.observe(requested.sid, requested.generation);
        match state.kept.newer_than(requested.sid, requested.generation, now) {
            Some(sealed) => (sealed.session.clone(), Some(state.deliveries.begin(sealed))),
            None => (requested.clone(), None),
        }
    }

    /// The flight for this session; or why there is none.
    fn join_or_start(&self, session: &Arc<Session>) -> Result<Boarding, Failure> {
        let now = Instant::now();
        let mut state = self.state();
        // A flight may have landed since the caller looked; another would spend the old refresh token twice.
        if let Some(sealed) = state.kept.newer_than(session.sid, session.generation, now) {
            return Ok(Boarding::Landed(state.deliveries.begin(sealed)));
        }
        if let Some(failure) = state.kept.failure(session.sid, session.generation, now) {
            return Err(failure);
        }
        if let Some(flight) = state.flights.get(&session.sid).filter(|flight| is_in_the_air(flight)) {
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
        let (Some(refresh_token), Some(original)) = (session.refresh_token(), original_identity(session)) else {
            return Err(Failure::Dead);
        };
        let Some(provider) = self.provider_of(session) else { return Err(Failure::Dead) };
        let asked = provider.refresh(refresh_token, &original).await;
        let (outcome, landed) = match asked {
            Ok(tokens) => (Outcome::Succeeded, self.seal_refreshed(&provider, session, tokens)),
            Err(error) => {
                let (outcome, failure) = classify(&error);
                tracing::warn!(target: "sealgate::audit", event = "refresh_failed", sid = ?session.sid, %error, "refresh failed");
                (outcome, Err(failure))
            }
        };
        inner.metrics.count_refresh(outcome);
        landed
    }

    fn seal_refreshed(&self, provider: &Provider, session: &Session, tokens: TokenSet) -> Landed {
        let now = self.0.clock.now();
        let access = StoredAccessToken::new(tokens.access_token, now, tokens.access_token_expires_at, tokens.scope);
        let next = session.refreshed(access, tokens.refresh_token, tokens.id_token, now);
        let next = match tokens.userinfo {
            UserInfo::Claims(userinfo) => next.with_userinfo(Some(userinfo)),
            UserInfo::Unused => next.with_userinfo(None),
            UserInfo::Kept => next,
        };
        // Of what is known now: claims that were never looked at again once let people stay (CVE-2021-41230).
        if let Err(error) = check_login_limits(&provider.settings().login_limits, &next.claims()) {
            tracing::warn!(target: "sealgate::audit", event = "refresh_not_allowed", sid = ?session.sid, %error, "a user may no longer log in");
            if let Some(refresh_token) = next.refresh_token().cloned() {
                self.spawn_revocation(session, refresh_token);
            }
            return Err(Failure::NotAllowed);
        }
        let generation = next.generation.0;
        let refresh_token = next.refresh_token().cloned();
        match self.0.sessions.seal(next) {
            Ok(sealed) => {
                tracing::info!(target: "sealgate::audit", event = "refresh", sid = ?session.sid, generation, "session refreshed");
                Ok(sealed)
            }
            Err(SealSessionError::TooLarge(too_large)) => {
                tracing::warn!(target: "sealgate::audit", event = "session_too_large", sid = ?session.sid, %too_large, "a refreshed session does not fit the cookies and ends");
                // Nobody can use it any more.
                if let Some(refresh_token) = refresh_token {
                    self.spawn_revocation(session, refresh_token);
                }
                Err(Failure::TooLarge(too_large))
            }
            Err(error) => {
                tracing::error!(sid = ?session.sid, %error, "a refreshed session cannot be sealed");
                // The old refresh token is spent and the new one cannot be kept.
                Err(Failure::Dead)
            }
        }
    }

    fn keep(&self, session: &Session, landed: &Landed) {
        let mut state = self.state();
        state.flights.remove(&session.sid);
        match landed {
            // The session was ended while the flight was in the air: what it brought must not live on.
            Ok(sealed) if state.kept.has_ended(session.sid) => {
                if let Some(refresh_token) = sealed.session.refresh_token().cloned() {
                    self.spawn_revocation(session, refresh_token);
                }
            }
            Ok(sealed) => state.kept.keep_refreshed(sealed.clone()),
            Err(failure) => {
                state.kept.keep_failure(session.sid, session.generation, failure.clone(), PAUSE_AFTER_FAILURE);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements under the lock, so a panic elsewhere leaves nothing half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flight whose task is gone without landing is none: its place is free, and nobody waits for it.
fn is_in_the_air(flight: &watch::Receiver<Option<Landed>>) -> bool {
    flight.has_changed().is_ok()
}

async fn landing(mut flight: watch::Receiver<Option<Landed>>, wait: Duration) -> Option<Landed> {
    let landed = tokio::time::timeout(wait, flight.wait_for(Option::is_some)).await;
    landed.ok()?.ok()?.clone()
}

fn classify(error: &RefreshError) -> (Outcome, Failure) {
    match error {
        RefreshError::InvalidGrant => (Outcome::Refused, Failure::Dead),
        // Another user's tokens must never enter this session; the old refresh token is spent.
        RefreshError::IdentityChanged(_) | RefreshError::UserInfo(UserInfoError::Subject) => {
            (Outcome::Invalid, Failure::Dead)
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::test_party::settings;
    use crate::session::tests::{NOW, a_session};

    #[tokio::test]
    async fn a_request_that_looked_before_a_landing_boards_no_second_flight() {
        let clock = Clock::manual(NOW);
        let site = crate::session::store::tests::site();
        let provider = Provider::new(settings("http://127.0.0.1:9"), clock.clone(), Handle::current())
            .expect("no network is needed");
        let providers = Providers::new(vec![("default".into(), provider)]);
        let refresher = Refresher::new(providers, site.sessions.clone(), clock, Metrics::default(), Handle::current());
        let old = Arc::new(a_session());
        let token = old.access_tokens[0].clone();
        let sealed = site.sessions.seal(old.refreshed(token, None, None, NOW)).expect("it fits");
        refresher.keep(&old, &Ok(sealed.clone()));
        assert!(matches!(refresher.join_or_start(&old), Ok(Boarding::Landed(_))));
        assert!(refresher.state().flights.is_empty());
    }
}
