//! Sessions that move between replicas: when one begins and when one ends.
//!
//! A load balancer moves a session in one moment, and the replica that had it may be refreshing it just then: a refresh
//! here would use the same refresh token a second time, which strict reuse detection answers by ending the session. So
//! a refresh that can wait waits until the other's cookie has reached the browser.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long after its first session a replica takes sessions over from others: as long as load balancers need to agree
/// on it, and a refresh in the air to land.
const TAKING_OVER: Duration = Duration::from_secs(3);

/// Where this replica stands.
#[derive(Debug, Default)]
pub(super) struct HandOver {
    first_session: OnceLock<Instant>,
    draining: AtomicBool,
}

impl HandOver {
    /// Takes note that a session has come.
    pub fn observe(&self, now: Instant) {
        self.first_session.get_or_init(|| now);
    }

    /// From now on the load balancer moves the sessions to others, at a moment that nobody here knows.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether a refresh that can wait is to wait.
    pub fn is_under_way(&self, now: Instant) -> bool {
        let takes_over = self.first_session.get().is_some_and(|first| now.duration_since(*first) < TAKING_OVER);
        takes_over || self.draining.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_taken_over_for_a_while_after_the_first() {
        let (hand_over, start) = (HandOver::default(), Instant::now());
        assert!(!hand_over.is_under_way(start), "nobody has come");
        hand_over.observe(start);
        hand_over.observe(start + TAKING_OVER);
        assert!(hand_over.is_under_way(start) && !hand_over.is_under_way(start + TAKING_OVER));
    }

    #[test]
    fn sessions_are_handed_over_from_the_signal_to_stop_until_the_end() {
        let (hand_over, start) = (HandOver::default(), Instant::now());
        hand_over.observe(start);
        let later = start + 100 * TAKING_OVER;
        assert!(!hand_over.is_under_way(later));
        hand_over.start_draining();
        assert!(hand_over.is_under_way(later));
    }
}
