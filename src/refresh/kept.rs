//! What flights left behind, for requests that still show the older generation; bounded in bytes.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::oidc::TokenNeed;
use crate::refresh::{Failure, NotGranted};
use crate::session::store::SealedSession;
use crate::session::{Generation, SessionId};

/// The most bytes that kept results take; beyond it the oldest goes first.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// What an entry takes besides its cookies.
const ENTRY_BYTES: usize = 320;
/// How long a result is kept on once a request has shown it. Browsers put the cookies on a request before they have a
/// connection for it, so that one with the older cookie can arrive after one with the newer: it must not start a flight
/// with a refresh token that is spent.
const KEPT_ONCE_SHOWN: Duration = Duration::from_secs(120);

/// How long a token that was not granted is not asked for again.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(30);
/// What a need takes in an entry.
const NEED_BYTES: usize = 256;
/// So many times a token may be left out for want of room before somebody should hear of it.
const DROPS_BEFORE_WARNING: u32 = 3;

/// What is known of one session beside what its cookie says.
#[derive(Default)]
struct Entry {
    ticket: u64,
    /// The newest session, as the very cookies sealed.
    refreshed: Option<SealedSession>,
    /// A request has shown it: it goes after a while.
    is_shown: bool,
    /// Why the last flight from a generation failed.
    failed: Option<(Generation, Remembered)>,
    /// For which needs there is no token, and until when that counts.
    not_granted: Vec<(TokenNeed, NotGranted, Instant)>,
    /// How often the tokens for these needs were left out.
    drops: Vec<(TokenNeed, u32)>,
    /// The session was ended here: it is refreshed no more.
    ended: bool,
    /// Its refresh token was, or is being, revoked.
    revoked: bool,
}

/// A failure that need not be tried again.
enum Remembered {
    /// The refresh token of that generation is dead, for good.
    Final(Failure),
    /// The provider did not answer; it is not asked again before that moment.
    Until(Instant, Failure),
}

impl Entry {
    fn bytes(&self) -> usize {
        let needs = NEED_BYTES * (self.not_granted.len() + self.drops.len());
        ENTRY_BYTES + needs + self.refreshed.as_ref().map_or(0, SealedSession::bytes)
    }
}

/// One entry a session, the oldest first to go.
pub(super) struct KeptResults {
    by_session: HashMap<SessionId, Entry>,
    order: VecDeque<(u64, SessionId)>,
    /// What requests have shown, and when it goes, the soonest first.
    shown: VecDeque<(Instant, u64, SessionId)>,
    bytes: usize,
    next_ticket: u64,
    max_bytes: usize,
}

impl Default for KeptResults {
    fn default() -> Self {
        Self::bounded(MAX_BYTES)
    }
}

impl KeptResults {
    fn bounded(max_bytes: usize) -> Self {
        let (order, shown) = (VecDeque::new(), VecDeque::new());
        Self { by_session: HashMap::new(), order, shown, bytes: 0, next_ticket: 0, max_bytes }
    }

    /// Keeps a session that a flight has brought.
    pub fn keep_refreshed(&mut self, sealed: SealedSession) {
        self.change(sealed.session.sid, |entry| {
            entry.failed = None;
            entry.refreshed = Some(sealed);
        });
    }

    /// Remembers that a flight from `generation` failed; a session that an earlier flight brought stays.
    pub fn keep_failure(&mut self, sid: SessionId, generation: Generation, failure: Failure, pause: Duration) {
        let remembered = match failure {
            Failure::Unavailable { .. } => Remembered::Until(Instant::now() + pause, failure),
            Failure::Dead | Failure::NotAllowed | Failure::TooLarge(_) | Failure::NotGranted(_) => {
                Remembered::Final(failure)
            }
        };
        self.change(sid, |entry| entry.failed = Some((generation, remembered)));
    }

    /// Remembers for a while that there is no token for `need`.
    pub fn keep_not_granted(&mut self, sid: SessionId, need: &TokenNeed, reason: NotGranted, now: Instant) {
        self.change(sid, |entry| {
            entry.not_granted.retain(|(other, _, until)| other != need && now < *until);
            entry.not_granted.push((need.clone(), reason, now + PAUSE_AFTER_REFUSAL));
        });
    }

    /// Why a token for `need` need not be asked for now.
    pub fn not_granted(&self, sid: SessionId, need: &TokenNeed, now: Instant) -> Option<NotGranted> {
        let refused = &self.by_session.get(&sid)?.not_granted;
        refused.iter().find(|(other, _, until)| other == need && now < *until).map(|(_, reason, _)| reason.clone())
    }

    /// Counts a token that was left out; whether it is time to say so, which happens once.
    pub fn count_drop(&mut self, sid: SessionId, need: &TokenNeed) -> bool {
        let mut count = 0;
        self.change(sid, |entry| match entry.drops.iter_mut().find(|(other, _)| other == need) {
            Some((_, drops)) => {
                *drops = drops.saturating_add(1);
                count = *drops;
            }
            None => entry.drops.push((need.clone(), 1)),
        });
        count == DROPS_BEFORE_WARNING
    }

    /// Remembers that the session was ended here.
    pub fn keep_end(&mut self, sid: SessionId) {
        self.change(sid, |entry| *entry = Entry { ended: true, revoked: entry.revoked, ..Entry::default() });
    }

    /// Whether the session was ended here.
    pub fn has_ended(&self, sid: SessionId) -> bool {
        self.by_session.get(&sid).is_some_and(|entry| entry.ended)
    }

    /// Whether an ended session's refresh token is still to be revoked; the caller does it, and nobody after it.
    pub fn claim_revocation(&mut self, sid: SessionId) -> bool {
        let claimed = !self.by_session.get(&sid).is_some_and(|entry| entry.revoked);
        self.change(sid, |entry| *entry = Entry { ended: true, revoked: true, ..Entry::default() });
        claimed
    }

    /// The kept session if it is newer than `generation`. One that a request has shown goes after a while.
    pub fn newer_than(&mut self, sid: SessionId, generation: Generation, now: Instant) -> Option<SealedSession> {
        while let Some((_, ticket, sid)) = self.shown.pop_front_if(|(until, ..)| *until <= now) {
            self.remove_if_current(ticket, sid);
        }
        if let Some(newer) = self.find_newer(sid, generation) {
            return Some(newer);
        }
        let entry = self.by_session.get_mut(&sid)?;
        entry.refreshed.as_ref()?;
        if !entry.is_shown {
            entry.is_shown = true;
            self.shown.push_back((now + KEPT_ONCE_SHOWN, entry.ticket, sid));
        }
        None
    }

    /// The kept session if it is newer than `generation`, which no request need have shown.
    pub fn find_newer(&self, sid: SessionId, generation: Generation) -> Option<SealedSession> {
        let sealed = self.by_session.get(&sid)?.refreshed.as_ref()?;
        (sealed.session.generation > generation).then(|| sealed.clone())
    }

    /// Why a refresh of this generation need not be tried now.
    pub fn failure(&self, sid: SessionId, generation: Generation, now: Instant) -> Option<Failure> {
        let entry = self.by_session.get(&sid)?;
        if entry.ended {
            return Some(Failure::Dead);
        }
        match entry.failed.as_ref()? {
            (failed, Remembered::Final(failure)) if *failed == generation => Some(failure.clone()),
            (failed, Remembered::Until(until, failure)) if *failed == generation && now < *until => {
                Some(failure.clone())
            }
            _ => None,
        }
    }

    fn change(&mut self, sid: SessionId, change: impl FnOnce(&mut Entry)) {
        let mut entry = self.remove(sid).unwrap_or_default();
        change(&mut entry);
        entry.ticket = self.next_ticket;
        // Its turn to go was the old ticket's.
        entry.is_shown = false;
        self.next_ticket += 1;
        self.bytes += entry.bytes();
        self.order.push_back((entry.ticket, sid));
        self.by_session.insert(sid, entry);
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.bytes > self.max_bytes {
            let Some((ticket, sid)) = self.order.pop_front() else { break };
            self.remove_if_current(ticket, sid);
        }
        // Tickets of entries that went before their turn would pile up behind a long-lived front.
        if self.order.len() > 2 * self.by_session.len() + 64 {
            let by_session = &self.by_session;
            self.order.retain(|(ticket, sid)| by_session.get(sid).is_some_and(|entry| entry.ticket == *ticket));
        }
    }

    fn remove_if_current(&mut self, ticket: u64, sid: SessionId) {
        if self.by_session.get(&sid).is_some_and(|entry| entry.ticket == ticket) {
            self.remove(sid);
        }
    }

    fn remove(&mut self, sid: SessionId) -> Option<Entry> {
        let entry = self.by_session.remove(&sid)?;
        self.bytes -= entry.bytes();
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::session::tests::a_session;

    const SECOND: Duration = Duration::from_secs(1);

    fn sid(id: u8) -> SessionId {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([id; 16]).parse().expect("16 bytes")
    }

    fn refreshed(generation: u64) -> SealedSession {
        let mut session = a_session();
        session.generation = Generation(generation);
        SealedSession::for_tests(Arc::new(session), vec!["x".repeat(1000)])
    }

    #[test]
    fn a_dead_refresh_token_is_remembered_for_its_generation_only() {
        let mut kept = KeptResults::default();
        kept.keep_failure(sid(1), Generation(3), Failure::Dead, SECOND);
        let now = Instant::now();
        assert!(matches!(kept.failure(sid(1), Generation(3), now), Some(Failure::Dead)));
        assert!(kept.failure(sid(1), Generation(4), now).is_none());
        assert!(kept.failure(sid(2), Generation(3), now).is_none());
    }

    #[test]
    fn a_pause_ends() {
        let mut kept = KeptResults::default();
        let failure = Failure::Unavailable { retry_after: SECOND };
        kept.keep_failure(sid(1), Generation(0), failure, SECOND);
        assert!(kept.failure(sid(1), Generation(0), Instant::now()).is_some());
        assert!(kept.failure(sid(1), Generation(0), Instant::now() + SECOND).is_none());
    }

    #[test]
    fn a_result_outlives_the_first_request_that_shows_it() {
        let mut kept = KeptResults::default();
        let (sid, now) = (a_session().sid, Instant::now());
        kept.keep_refreshed(refreshed(1));
        assert!(kept.newer_than(sid, Generation(0), now).is_some());
        assert!(kept.newer_than(sid, Generation(1), now).is_none(), "nothing newer than itself");
        let late = now + KEPT_ONCE_SHOWN - Duration::from_millis(1);
        assert!(kept.newer_than(sid, Generation(0), late).is_some(), "a request that was overtaken gets it");
        assert!(kept.newer_than(sid, Generation(0), now + KEPT_ONCE_SHOWN).is_none());
        assert_eq!((kept.by_session.len(), kept.shown.len(), kept.bytes), (0, 0, 0));
    }

    #[test]
    fn a_failure_after_a_refresh_does_not_lose_what_the_refresh_brought() {
        let mut kept = KeptResults::default();
        let sid = a_session().sid;
        kept.keep_refreshed(refreshed(1));
        kept.keep_failure(sid, Generation(1), Failure::Unavailable { retry_after: SECOND }, SECOND);
        assert!(kept.newer_than(sid, Generation(0), Instant::now()).is_some());
    }

    #[test]
    fn an_ended_session_is_refreshed_no_more() {
        let mut kept = KeptResults::default();
        let sid = a_session().sid;
        kept.keep_refreshed(refreshed(1));
        kept.keep_end(sid);
        assert!(kept.newer_than(sid, Generation(0), Instant::now()).is_none());
        assert!(matches!(kept.failure(sid, Generation(9), Instant::now()), Some(Failure::Dead)));
    }

    #[test]
    fn the_refresh_token_of_an_ended_session_is_revoked_once() {
        let mut kept = KeptResults::default();
        kept.keep_end(sid(1));
        assert!(kept.claim_revocation(sid(1)));
        assert!(!kept.claim_revocation(sid(1)));
        kept.keep_end(sid(1));
        assert!(!kept.claim_revocation(sid(1)));
    }

    #[test]
    fn the_bytes_are_bounded_and_the_oldest_goes_first() {
        let mut kept = KeptResults::bounded(ENTRY_BYTES * 3);
        for id in 1..=4 {
            kept.keep_end(sid(id));
        }
        assert_eq!(kept.by_session.len(), 3);
        let has_ended = |id| kept.failure(sid(id), Generation(0), Instant::now()).is_some();
        assert!(!has_ended(1) && has_ended(4));
        for _ in 0..1000 {
            kept.keep_end(sid(2));
        }
        assert!(kept.order.len() < 100, "{} tickets", kept.order.len());
        assert_eq!(kept.bytes, ENTRY_BYTES * 3);
    }
}
