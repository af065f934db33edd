//! Pruning: keys leave the ring once no session that they sealed can be alive.
//!
//! Must never be early: a key that is gone opens nothing, and its sessions end.

use crate::clock::UnixTime;
use crate::keyring::{KeyId, KeyRecord, KeyRing, KeyState};

/// A key that is no use any more, or will be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prunable {
    /// The key.
    pub kid: KeyId,
    /// Its state.
    pub state: KeyState,
    /// From when it can be removed.
    pub from: UnixTime,
}

impl KeyRing {
    /// The keys that have an end, with the moment from which they can be removed, in the order of the file: those that
    /// have expired or are retired, and what is left of revoked ones. The primary and staged keys have none.
    pub fn prunable(&self, now: UnixTime) -> impl Iterator<Item = Prunable> {
        self.states(now).filter_map(|(record, state)| {
            let from = self.prunable_from(record, state)?;
            Some(Prunable { kid: record.kid, state, from })
        })
    }

    /// Removes the keys whose time has come, which makes the ring's next generation; the keys that were removed. With
    /// none to remove the ring stays as it was.
    pub fn prune(&mut self, now: UnixTime) -> Vec<Prunable> {
        let removed: Vec<Prunable> = self.prunable(now).filter(|key| key.from <= now).collect();
        if !removed.is_empty() {
            self.entries.retain(|entry| removed.iter().all(|key| key.kid != entry.record().kid));
            self.generation = self.generation.saturating_add(1);
        }
        removed
    }

    fn prunable_from(&self, record: &KeyRecord, state: KeyState) -> Option<UnixTime> {
        match state {
            KeyState::Staged | KeyState::Primary => None,
            KeyState::Retired | KeyState::Expired => self.opens_until(record),
            // Replicas that heard of the revocation late sealed with the key until then: the reason for the refusal
            // stays known for as long as such a cookie would have lived.
            // Its own end counts for the keys behind it.
            KeyState::Revoked => record.revoked.map(|revoked| self.retirement_end(revoked)).max(record.open_until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::lifecycle::fixture::{REST, START, after, ring_with_staged};

    #[test]
    fn a_retired_key_is_kept_to_the_last_second_and_then_removed() {
        let (mut ring, first, second) = ring_with_staged();
        let end = 600 + REST;
        assert_eq!(ring.prune(after(end - 1)), []);
        assert_eq!((ring.generation(), ring.records().count()), (2, 2));
        let removed = ring.prune(after(end));
        assert_eq!(removed, [Prunable { kid: first, state: KeyState::Expired, from: after(end) }]);
        assert_eq!(ring.generation(), 3);
        assert_eq!(ring.records().map(KeyRecord::kid).collect::<Vec<_>>(), [second]);
    }

    #[test]
    fn the_primary_and_a_staged_key_are_never_removed() {
        let (mut ring, _, second) = ring_with_staged();
        assert_eq!(ring.prunable(START).count(), 0);
        ring.prune(after(10_000_000));
        assert_eq!(ring.primary(after(10_000_000)).map(|key| key.kid()), Some(second));
    }

    #[test]
    fn what_is_left_of_a_revoked_key_is_removed_when_its_last_cookie_would_have_ended() {
        let (mut ring, _, second) = ring_with_staged();
        ring.revoke(second, after(100)).expect("a key of the ring");
        assert_eq!(ring.prune(after(100 + REST - 1)), []);
        let removed = ring.prune(after(100 + REST));
        assert_eq!(removed, [Prunable { kid: second, state: KeyState::Revoked, from: after(100 + REST) }]);
    }

    #[test]
    fn a_key_that_became_primary_again_is_kept_beyond_its_written_end() {
        let (mut ring, first, second) = ring_with_staged();
        ring.revoke(second, after(100)).expect("a key of the ring");
        ring.change(first, |record| record.open_until = Some(after(600 + REST)));
        ring.prune(after(10_000_000));
        assert_eq!(ring.primary(after(10_000_000)).map(|key| key.kid()), Some(first));
    }
}
