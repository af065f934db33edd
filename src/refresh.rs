//! Keeps sessions usable: refreshes their access tokens ahead of expiry, once, whoever asks.
//!
//! One flight per `sid` in this replica, whatever its access token is for: no two of them may spend one refresh token, and
//! a request whose need a landing has not met starts the next with the newest. A flight runs on a runtime of its own and finishes even if the client that
//! started it has gone; what it brought is kept, as the very bytes sealed, until a request shows the next generation.
//! A failing refresh must never touch the session's cookie.

pub mod application;
mod audience;
pub mod delivery;
mod flight;
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
use crate::metrics::Metrics;
use crate::oidc::{Provider, TokenNeed};
use crate::secret::RefreshToken;
use crate::session::providers::Providers;
use crate::session::store::{ActiveSession, SealedSession, SessionTooLarge, Sessions};
use crate::session::{Session, SessionId};

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
    flights: HashMap<SessionId, Flight>,
    kept: KeptResults,
    deliveries: Deliveries,
}

/// A refresh under way.
#[derive(Clone)]
struct Flight {
    /// What its access token is for; none: as at login.
    need: Option<TokenNeed>,
    /// Where its landing will be seen.
    landed: watch::Receiver<Option<Landed>>,
}

/// How a flight ended.
type Landed = Result<SealedSession, Failure>;

/// How a request gets a refreshed session.
enum Boarding {
    /// By waiting for a flight.
    Flight {
        /// Which.
        flight: Flight,
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
    /// There is no access token for what the flight was for; the session is as good as before.
    NotGranted(NotGranted),
    /// It could not be asked, or did not answer as it should; the refresh token may be good still.
    Unavailable { retry_after: Duration },
}

/// Why a live session gets no access token for one need.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotGranted {
    /// The provider refused (`invalid_target`, `invalid_scope` and the like).
    #[error("the provider refuses it")]
    Refused,
    /// The provider gave a token for the API of the login instead, which must not go to another.
    #[error("the provider gives a token for another API")]
    AnotherApi,
    /// The session with that token would fit no cookies, even without all others.
    #[error(transparent)]
    TooLarge(SessionTooLarge),
    /// The provider gave no refresh token at login, without which no other token can be had.
    #[error("the session has no refresh token")]
    NoRefreshToken,
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
    /// There is no access token for what the route needs; the session itself is good.
    NotGranted(NotGranted),
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
        self.usable_for(active, None).await
    }

    /// As [`Refresher::usable`], with an access token for `need`: obtained now if the session has none yet, and refreshed
    /// by itself. None: the one of the login.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub async fn usable_for(&self, active: &ActiveSession, need: Option<&TokenNeed>) -> Result<Usable, Unusable> {
        self.bring_up_to_date(&active.session, need, false).await
    }

    /// As [`Refresher::usable`], but refreshes even a young access token.
    ///
    /// # Errors
    /// See [`Unusable`]; also when the provider cannot be asked and the old token is good still.
    pub async fn force(&self, active: &ActiveSession) -> Result<Usable, Unusable> {
        self.bring_up_to_date(&active.session, None, true).await
    }

    /// The session as it is known here, without refreshing it: for requests that only look at it.
    pub fn look(&self, active: &ActiveSession) -> Usable {
        let (session, renewed) = self.newest(&active.session, None);
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

    async fn bring_up_to_date(
        &self,
        requested: &Arc<Session>,
        need: Option<&TokenNeed>,
        forced: bool,
    ) -> Result<Usable, Unusable> {
        let deadline = Instant::now() + LONGEST_WAIT;
        // What flights for other needs have brought meanwhile, and whether one of them was flown for this request.
        let (mut brought, mut detoured) = (None, false);
        loop {
            let (session, renewed) = self.newest(requested, brought.take());
            let valid = is_valid(&session, need, self.0.clock.now());
            if valid && !self.is_wanted(requested, &session, need, forced) {
                return Ok(Usable { session, renewed });
            }
            // Asked for this late because most requests do not get here, and need not read it.
            if session.refresh_token().is_none() {
                return self.without_refresh_token(&session, need, valid, forced).map(|()| Usable { session, renewed });
            }
            let (flight, ours) = match self.join_or_start(&session, need) {
                Ok(Boarding::Flight { flight, ours }) => (flight, ours),
                Ok(Boarding::Landed(landed)) => {
                    brought = Some(landed);
                    continue;
                }
                Err(failure) => return self.without(failure, valid, forced).map(|()| Usable { session, renewed }),
            };
            if valid && !ours && !forced {
                return Ok(Usable { session, renewed });
            }
            let is_for_us = flight.need.as_ref() == need;
            let late = Failure::Unavailable { retry_after: DEFAULT_RETRY_AFTER };
            let failure = match landing(flight, deadline.saturating_duration_since(Instant::now())).await {
                // One that was in the air for an older cookie brings nothing to a newer one.
                Some(Ok(sealed)) if sealed.session.generation > session.generation => {
                    let landed = self.state().deliveries.begin(sealed);
                    let session = landed.sealed().session.clone();
                    if is_for_us && session.access_token_for(need).is_some() {
                        return Ok(Usable { session, renewed: Some(landed) });
                    }
                    // A token that has no life would be flown for again and again.
                    if ours && std::mem::replace(&mut detoured, true) {
                        return self.without(late, valid, forced).map(|()| Usable { session, renewed: Some(landed) });
                    }
                    brought = Some(landed);
                    continue;
                }
                Some(Err(Failure::NotGranted(_))) if !is_for_us => {
                    brought = renewed;
                    continue;
                }
                Some(Err(failure)) => failure,
                Some(Ok(_)) | None => late,
            };
            return self.without(failure, valid, forced).map(|()| Usable { session, renewed });
        }
    }

    /// Whether a valid access token is to be replaced.
    fn is_wanted(&self, requested: &Session, newest: &Session, need: Option<&TokenNeed>, forced: bool) -> bool {
        if forced {
            // A forced refresh that another one has just satisfied needs none of its own.
            return newest.access_token() == requested.access_token();
        }
        is_due(newest, need, self.0.clock.now(), self.0.sessions.settings().refresh_before)
            && !self.0.hand_over.is_under_way(Instant::now())
    }

    fn without_refresh_token(
        &self,
        session: &Session,
        need: Option<&TokenNeed>,
        valid: bool,
        forced: bool,
    ) -> Result<(), Unusable> {
        match (valid, forced) {
            (true, false) => Ok(()),
            (true, true) => Err(Unusable::Conflict { expired: false }),
            (false, _) if need.is_some() && is_valid(session, None, self.0.clock.now()) => {
                Err(Unusable::NotGranted(NotGranted::NoRefreshToken))
            }
            (false, _) => Err(Unusable::Ended),
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
            Failure::NotGranted(reason) => Err(Unusable::NotGranted(reason)),
            Failure::Unavailable { retry_after } => Err(Unusable::ProviderUnavailable { retry_after }),
        }
    }

    /// The session as the last flight left it, with its cookies, when the request's is older. `brought` is what the
    /// request knows of already, which may not have been kept.
    fn newest(&self, requested: &Arc<Session>, brought: Option<Renewed>) -> (Arc<Session>, Option<Renewed>) {
        let now = Instant::now();
        self.0.hand_over.observe(now);
        let mut state = self.state();
        state.deliveries.observe(requested.sid, requested.generation);
        let known = brought.as_ref().map_or(requested.generation, |brought| brought.sealed().session.generation);
        let kept = state.kept.newer_than(requested.sid, requested.generation, now);
        let kept = kept.filter(|sealed| sealed.session.generation > known);
        match kept.map(|sealed| state.deliveries.begin(sealed)).or(brought) {
            Some(renewed) => (renewed.sealed().session.clone(), Some(renewed)),
            None => (requested.clone(), None),
        }
    }

    /// The flight for this session; or why there is none.
    fn join_or_start(&self, session: &Arc<Session>, need: Option<&TokenNeed>) -> Result<Boarding, Failure> {
        let now = Instant::now();
        let need = self.aim(session, need);
        let mut state = self.state();
        // A flight may have landed since the caller looked; another would spend the old refresh token twice.
        if let Some(sealed) = state.kept.find_newer(session.sid, session.generation) {
            return Ok(Boarding::Landed(state.deliveries.begin(sealed)));
        }
        if let Some(failure) = state.kept.failure(session.sid, session.generation, now) {
            return Err(failure);
        }
        if let Some(reason) = need.and_then(|need| state.kept.not_granted(session.sid, need, now)) {
            return Err(Failure::NotGranted(reason));
        }
        if let Some(flight) = state.flights.get(&session.sid).filter(|flight| is_in_the_air(flight)) {
            return Ok(Boarding::Flight { flight: flight.clone(), ours: false });
        }
        let (land, landed) = watch::channel(None);
        let flight = Flight { need: need.cloned(), landed };
        state.flights.insert(session.sid, flight.clone());
        let (this, session, need) = (self.clone(), session.clone(), flight.need.clone());
        self.0.runtime.spawn(async move {
            let flown = this.fly(&session, need.as_ref()).await;
            this.keep(&session, need.as_ref(), &flown);
            // Perhaps nobody waits any more: what was brought is kept for the next request.
            land.send_replace(Some(flown.landed));
        });
        Ok(Boarding::Flight { flight, ours: true })
    }

    /// What the next flight is for. Claims that come with the login's own access token are never older than that: it goes
    /// first where it has expired.
    fn aim<'a>(&self, session: &Session, need: Option<&'a TokenNeed>) -> Option<&'a TokenNeed> {
        let provider = self.provider_of(session);
        let claims_first = provider.is_some_and(|own| own.settings().reads_claims_with_the_access_token());
        let first =
            if claims_first { is_valid(session, None, self.0.clock.now()) } else { session.access_token().is_some() };
        need.filter(|_| first)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements under the lock, so a panic elsewhere leaves nothing half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flight whose task is gone without landing is none: its place is free, and nobody waits for it.
fn is_in_the_air(flight: &Flight) -> bool {
    flight.landed.has_changed().is_ok()
}

async fn landing(mut flight: Flight, wait: Duration) -> Option<Landed> {
    let landed = tokio::time::timeout(wait, flight.landed.wait_for(Option::is_some)).await;
    landed.ok()?.ok()?.clone()
}

#[cfg(test)]
mod tests;
