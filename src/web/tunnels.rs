//! The WebSockets and event streams that are open in this replica, by session, so that the end of a session ends them.
//!
//! They are known here and nowhere else: a logout at another replica reaches those of this one only when the browser comes
//! here with its tombstone. Must never decide whether somebody is signed in.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::session::SessionId;

/// So many sessions are kept before those without tunnels are looked for.
const FEW: usize = 64;

/// The sessions that have tunnels, or lately had.
#[derive(Default)]
pub struct Tunnels(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// What tells the tunnels of a session that it has ended.
    sessions: HashMap<SessionId, watch::Sender<bool>>,
    /// How many were left when those without tunnels were last removed.
    left: usize,
}

impl Tunnels {
    /// Becomes true when the session ends. To be asked for before the session's tunnel opens, and held as long as it does.
    pub fn end_of(&self, sid: SessionId) -> watch::Receiver<bool> {
        let mut known = self.known();
        // In proportion to how many came since: each costs the same in the end.
        if known.sessions.len() >= FEW.max(known.left * 2) {
            known.sessions.retain(|_, ended| !ended.is_closed());
            known.left = known.sessions.len();
        }
        known.sessions.entry(sid).or_default().subscribe()
    }

    /// Ends all tunnels of a session.
    pub fn end(&self, sid: SessionId) {
        if let Some(ended) = self.known().sessions.remove(&sid) {
            ended.send_replace(true);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // The map is whole between any two statements under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sid() -> SessionId {
        SessionId::random().expect("the system's randomness")
    }

    #[test]
    fn the_end_of_a_session_reaches_all_its_tunnels_and_no_others() {
        let tunnels = Tunnels::default();
        let (ended, other) = (sid(), sid());
        let (one, two, of_another) = (tunnels.end_of(ended), tunnels.end_of(ended), tunnels.end_of(other));
        tunnels.end(ended);
        assert!(*one.borrow() && *two.borrow() && !*of_another.borrow());
        assert!(!*tunnels.end_of(ended).borrow(), "a session that comes back has tunnels of its own");
    }

    #[test]
    fn sessions_whose_tunnels_are_gone_are_forgotten() {
        let tunnels = Tunnels::default();
        let open: Vec<_> = (0..10).map(|_| tunnels.end_of(sid())).collect();
        for _ in 0..10_000 {
            drop(tunnels.end_of(sid()));
        }
        assert!(tunnels.known().sessions.len() <= FEW);
        assert!(open.iter().all(|ended| ended.has_changed().is_ok()), "those that are open stay");
    }
}
