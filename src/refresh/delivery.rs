//! Cookies on their way to a browser, and what overtakes them.
//!
//! A response may take long, and its `Set-Cookie` is decided when its head is ready: by then a newer generation may
//! have been sealed or shown, or the session ended. Such a cookie must stay here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::session::store::SealedSession;
use crate::session::{Generation, SessionId};

/// No generation is newer than that of a session that was ended.
const ENDED: u64 = u64::MAX;

/// A refreshed session that a response is to carry.
#[derive(Clone)]
pub struct Renewed {
    sealed: SealedSession,
    newest: Arc<AtomicU64>,
}

impl Renewed {
    /// The session.
    pub fn sealed(&self) -> &SealedSession {
        &self.sealed
    }

    /// The sealed session, unless something newer is known by now.
    pub fn if_still_newest(&self) -> Option<&SealedSession> {
        (self.newest.load(Ordering::SeqCst) <= self.sealed.session.generation.0).then_some(&self.sealed)
    }
}

/// The newest generation of every session that has a cookie on its way.
#[derive(Default)]
pub(super) struct Deliveries(HashMap<SessionId, Weak<AtomicU64>>);

impl Deliveries {
    /// Begins to deliver a session.
    pub fn begin(&mut self, sealed: SealedSession) -> Renewed {
        let session = &sealed.session;
        let newest = self.0.get(&session.sid).and_then(Weak::upgrade).unwrap_or_else(|| {
            let newest = Arc::new(AtomicU64::new(0));
            if self.0.len() >= 64 && self.0.len() == self.0.capacity() {
                self.0.retain(|_, on_its_way| on_its_way.strong_count() > 0);
            }
            self.0.insert(session.sid, Arc::downgrade(&newest));
            newest
        });
        newest.fetch_max(session.generation.0, Ordering::SeqCst);
        Renewed { sealed, newest }
    }

    /// Takes note that a session has come as far as `generation`.
    pub fn observe(&mut self, sid: SessionId, generation: Generation) {
        self.overtake(sid, generation.0);
    }

    /// Takes note that a session was ended: nothing of it is delivered any more.
    pub fn end(&mut self, sid: SessionId) {
        self.overtake(sid, ENDED);
    }

    fn overtake(&mut self, sid: SessionId, by: u64) {
        if self.0.is_empty() {
            return;
        }
        match self.0.get(&sid).map(Weak::upgrade) {
            Some(Some(newest)) => {
                newest.fetch_max(by, Ordering::SeqCst);
            }
            Some(None) => {
                self.0.remove(&sid);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::a_session;

    fn sealed(generation: u64) -> SealedSession {
        let mut session = a_session();
        session.generation = Generation(generation);
        SealedSession::for_tests(Arc::new(session), Vec::new())
    }

    #[test]
    fn a_cookie_that_was_overtaken_stays_here() {
        let mut deliveries = Deliveries::default();
        let first = deliveries.begin(sealed(1));
        assert!(first.if_still_newest().is_some());
        deliveries.observe(a_session().sid, Generation(1));
        assert!(first.if_still_newest().is_some(), "another tab has shown the same one");
        deliveries.observe(a_session().sid, Generation(2));
        assert!(first.if_still_newest().is_none(), "another tab has shown a newer one");
    }

    #[test]
    fn a_newer_flight_overtakes_an_older_cookie() {
        let mut deliveries = Deliveries::default();
        let first = deliveries.begin(sealed(1));
        let second = deliveries.begin(sealed(2));
        assert!(first.if_still_newest().is_none() && second.if_still_newest().is_some());
    }

    #[test]
    fn nothing_of_an_ended_session_is_delivered() {
        let mut deliveries = Deliveries::default();
        let renewed = deliveries.begin(sealed(1));
        deliveries.end(a_session().sid);
        assert!(renewed.if_still_newest().is_none());
    }

    #[test]
    fn what_was_delivered_leaves_nothing_behind() {
        let mut deliveries = Deliveries::default();
        drop(deliveries.begin(sealed(1)));
        deliveries.observe(a_session().sid, Generation(1));
        assert!(deliveries.0.is_empty());
    }
}
