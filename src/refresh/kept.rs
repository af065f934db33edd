//! What flights brought, kept for requests that still show the older generation; bounded in bytes.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::refresh::Failure;
use crate::session::store::SealedSession;
use crate::session::{Generation, SessionId};

/// The most bytes that kept results take; beyond it the oldest goes first.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// What an entry takes besides its cookies.
const ENTRY_BYTES: usize = 256;
/// How long a result is kept on once a request has shown it. Browsers put the cookies on a request before they have a
/// connection for it, so that one with the older cookie can arrive after one with the newer: it must not start a flight
/// with a refresh token that is spent.
const KEPT_ONCE_SHOWN: Duration = Duration::from_secs(120);

/// What one flight left behind.
pub(super) enum Kept {
    /// A newer session, as the very cookies sealed.
    Refreshed(SealedSession),
    /// The refresh token of this generation is dead.
    Dead {
        /// The generation that holds it.
        generation: Generation,
    },
    /// The provider did not answer; it is not asked again before `until`.
    Paused {
        /// The generation that was to be refreshed.
        generation: Generation,
        /// The end of the pause.
        until: Instant,
        /// What clients are told.
        retry_after: Duration,
    },
}

impl Kept {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + if let Self::Refreshed(sealed) = self { sealed.bytes() } else { 0 }
    }
}

/// The newest result a session, oldest first to go.
pub(super) struct KeptResults {
    by_session: HashMap<SessionId, Entry>,
    order: VecDeque<(u64, SessionId)>,
    /// What requests have shown, and when it goes, the soonest first.
    shown: VecDeque<(Instant, u64, SessionId)>,
    bytes: usize,
    next_ticket: u64,
    max_bytes: usize,
}

struct Entry {
    ticket: u64,
    kept: Kept,
    is_shown: bool,
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

    /// Keeps a result in place of an older one of the same session.
    pub fn insert(&mut self, sid: SessionId, kept: Kept) {
        self.remove(sid);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.bytes += kept.bytes();
        self.by_session.insert(sid, Entry { ticket, kept, is_shown: false });
        self.order.push_back((ticket, sid));
        while self.bytes > self.max_bytes {
            let Some((ticket, sid)) = self.order.pop_front() else { break };
            self.remove_if(sid, ticket);
        }
        // Tickets of results that went before their turn would pile up behind a long-lived front.
        if self.order.len() > 2 * self.by_session.len() + 64 {
            let by_session = &self.by_session;
            self.order.retain(|(ticket, sid)| by_session.get(sid).is_some_and(|entry| entry.ticket == *ticket));
        }
    }

    /// The kept session if it is newer than `generation`. One that a request has shown goes after a while.
    pub fn newer_than(&mut self, sid: SessionId, generation: Generation, now: Instant) -> Option<SealedSession> {
        while let Some((_, ticket, sid)) = self.shown.pop_front_if(|(until, ..)| *until <= now) {
            self.remove_if(sid, ticket);
        }
        let entry = self.by_session.get_mut(&sid)?;
        let Kept::Refreshed(sealed) = &entry.kept else { return None };
        if sealed.session.generation > generation {
            return Some(sealed.clone());
        }
        if !entry.is_shown {
            entry.is_shown = true;
            self.shown.push_back((now + KEPT_ONCE_SHOWN, entry.ticket, sid));
        }
        None
    }

    /// Why a refresh of this generation need not be tried now.
    pub fn failure(&mut self, sid: SessionId, generation: Generation, now: Instant) -> Option<Failure> {
        match &self.by_session.get(&sid)?.kept {
            Kept::Dead { generation: dead } if *dead == generation => Some(Failure::Dead),
            Kept::Paused { generation: paused, until, retry_after } if *paused == generation && now < *until => {
                Some(Failure::Unavailable { retry_after: *retry_after })
            }
            _ => None,
        }
    }

    /// Removes the result that has this ticket, if it is still the session's.
    fn remove_if(&mut self, sid: SessionId, ticket: u64) {
        if self.by_session.get(&sid).is_some_and(|entry| entry.ticket == ticket) {
            self.remove(sid);
        }
    }

    fn remove(&mut self, sid: SessionId) {
        if let Some(Entry { kept, .. }) = self.by_session.remove(&sid) {
            self.bytes -= kept.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sid(id: u8) -> SessionId {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([id; 16]).parse().expect("16 bytes")
    }

    fn dead() -> Kept {
        Kept::Dead { generation: Generation(3) }
    }

    #[test]
    fn a_dead_refresh_token_is_remembered_for_its_generation_only() {
        let mut kept = KeptResults::default();
        kept.insert(sid(1), dead());
        let now = Instant::now();
        assert!(matches!(kept.failure(sid(1), Generation(3), now), Some(Failure::Dead)));
        assert!(kept.failure(sid(1), Generation(4), now).is_none());
        assert!(kept.failure(sid(2), Generation(3), now).is_none());
    }

    #[test]
    fn a_result_outlives_the_first_request_that_shows_it() {
        let site = crate::session::store::tests::site();
        let mut newer = crate::session::tests::a_session();
        newer.generation = Generation(1);
        let (sid, now) = (newer.sid, Instant::now());
        let mut kept = KeptResults::default();
        kept.insert(sid, Kept::Refreshed(site.sessions.seal(newer).expect("it fits")));
        assert!(kept.newer_than(sid, Generation(1), now).is_none(), "nothing newer than itself");
        let late = now + KEPT_ONCE_SHOWN - Duration::from_millis(1);
        assert!(kept.newer_than(sid, Generation(0), late).is_some(), "a request that was overtaken gets it");
        assert!(kept.newer_than(sid, Generation(0), now + KEPT_ONCE_SHOWN).is_none());
        assert_eq!((kept.by_session.len(), kept.shown.len(), kept.bytes), (0, 0, 0));
    }

    #[test]
    fn a_pause_ends() {
        let mut kept = KeptResults::default();
        let (now, second) = (Instant::now(), std::time::Duration::from_secs(1));
        kept.insert(sid(1), Kept::Paused { generation: Generation(0), until: now + second, retry_after: second });
        assert!(kept.failure(sid(1), Generation(0), now).is_some());
        assert!(kept.failure(sid(1), Generation(0), now + second).is_none());
    }

    #[test]
    fn the_bytes_are_bounded_and_the_oldest_goes_first() {
        let mut kept = KeptResults::bounded(ENTRY_BYTES * 3);
        for id in 1..=4 {
            kept.insert(sid(id), dead());
        }
        assert_eq!(kept.by_session.len(), 3);
        assert!(!kept.by_session.contains_key(&sid(1)));
        for _ in 0..1000 {
            kept.insert(sid(2), dead());
        }
        assert!(kept.order.len() < 100, "{} tickets", kept.order.len());
        assert_eq!(kept.bytes, ENTRY_BYTES * 3);
    }
}
