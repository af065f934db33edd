//! Revoking: a key is erased before its time, because somebody may have it who should not.
//!
//! Must never leave a ring without a key that seals, and never keep the material of a revoked key.

use crate::clock::UnixTime;
use crate::keyring::{Entry, KeyId, KeyRecord, KeyRing, KeyState};

/// Why no key was revoked. The ring is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// No key of this id.
    #[error("the ring has no key {0}; `sealgate keys list` shows the keys there are")]
    Unknown(KeyId),
    /// Revoked before.
    #[error("key {kid} has been revoked already, at {revoked}; nothing is left to revoke")]
    Already {
        /// The key.
        kid: KeyId,
        /// Since when it is revoked.
        revoked: UnixTime,
    },
    /// No randomness for the key that replaces it.
    #[error("the operating system gave no random bytes for a key ({0}); try again")]
    Random(rand::rngs::SysError),
}

/// The key that seals from now on in place of a revoked one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// The key that was staged already; its time came earlier.
    Staged(KeyId),
    /// A new key, which no replica knows before it has the changed ring.
    New(KeyId),
}

/// What the revocation of a key ends, and what it did or would do to the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The state that the key was in.
    pub was: KeyState,
    /// From when to when the key sealed the sessions that may be alive now; `None` if there can be none.
    pub sealed: Option<(UnixTime, UnixTime)>,
    /// What seals in its place; `None` when another key seals anyway.
    pub replacement: Option<Replacement>,
}

impl KeyRing {
    /// Erases the key `kid`, which makes the ring's next generation: its cookies are refused from now on.
    ///
    /// Where the ring would be left without its primary key, a replacement seals at once: the staged key if there is
    /// one, else a new key of the same algorithm.
    ///
    /// # Errors
    /// [`RevokeError`], with the ring unchanged.
    pub fn revoke(&mut self, kid: KeyId, now: UnixTime) -> Result<Revocation, RevokeError> {
        let record = self.records().find(|record| record.kid == kid).ok_or(RevokeError::Unknown(kid))?.clone();
        if let Some(revoked) = record.revoked {
            return Err(RevokeError::Already { kid, revoked });
        }
        let (was, sealed) = (self.state(&record, now), self.sealed_and_alive(&record, now));
        let mut changed = self.clone();
        changed.erase(kid, now);
        let unsealed = was == KeyState::Primary || changed.primary(now).is_none();
        let replacement = if unsealed { Some(changed.replace(&record, now)?) } else { None };
        // The primary's end was that of a rotation which no longer takes place.
        if was == KeyState::Staged {
            let next = changed.primary(now).and_then(|primary| changed.successor(&primary.record));
            let active = next.map(|next| next.not_before);
            changed.move_end_of_primary(record.not_before, active, now);
        }
        changed.generation = changed.generation.saturating_add(1);
        *self = changed;
        Ok(Revocation { was, sealed, replacement })
    }

    fn erase(&mut self, kid: KeyId, now: UnixTime) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.record().kid == kid) {
            // The material is wiped when the live entry is dropped here.
            *entry = Entry::Revoked(KeyRecord { revoked: Some(now), ..entry.record().clone() });
        }
    }

    fn replace(&mut self, revoked: &KeyRecord, now: UnixTime) -> Result<Replacement, RevokeError> {
        if let Some(staged) = self.staged(now).map(|key| key.kid()) {
            self.change(staged, |record| record.not_before = now);
            return Ok(Replacement::Staged(staged));
        }
        let note = format!("replaces {}, which was revoked", revoked.kid);
        self.add(revoked.algorithm, now, now, &note).map(Replacement::New).map_err(RevokeError::Random)
    }

    /// From when to when `record`'s key sealed the sessions that may be alive at `now`; `None` if there can be none.
    ///
    /// A session that is alive was sealed no longer ago than the longest session.
    pub fn sealed_and_alive(&self, record: &KeyRecord, now: UnixTime) -> Option<(UnixTime, UnixTime)> {
        if !matches!(self.state(record, now), KeyState::Primary | KeyState::Retired) {
            return None;
        }
        let from = record.not_before.max(now.minus(self.max_session));
        // Replicas that heard of the successor late sealed with this key for up to the propagation longer.
        let until = self.successor(record).map_or(now, |next| next.not_before.plus(self.propagation).min(now));
        (from <= until).then_some((from, until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aead::Algorithm;
    use crate::keyring::lifecycle::fixture::{START, after, ring, ring_of, ring_with_staged};
    use crate::keyring::{Lookup, RingKey};

    #[test]
    fn a_revoked_key_leaves_a_tombstone_without_its_text() {
        let (mut ring, first) = ring();
        ring.revoke(first, after(100)).expect("a key of the ring");
        let json: serde_json::Value = serde_json::from_slice(&ring.to_json()).expect("JSON");
        assert_eq!(json["keys"][0]["kid"], first.to_string());
        assert_eq!(json["keys"][0]["revoked"], after(100).to_string());
        assert!(json["keys"][0]["key"].is_null());
        assert!(matches!(ring.find(first, after(100)), Lookup::Revoked));
        KeyRing::parse(&ring.to_json()).expect("a valid ring");
    }

    #[test]
    fn a_revoked_primary_is_replaced_at_once_by_a_new_key_of_its_algorithm() {
        let (mut ring, first) = ring_of(Algorithm::XChaCha20Poly1305);
        let done = ring.revoke(first, after(100)).expect("a key of the ring");
        let primary = ring.primary(after(100)).expect("a replacement");
        assert_ne!(primary.kid(), first);
        assert_eq!(primary.algorithm(), Algorithm::XChaCha20Poly1305);
        assert_eq!(
            done,
            Revocation {
                was: KeyState::Primary,
                sealed: Some((START, after(100))),
                replacement: Some(Replacement::New(primary.kid()))
            }
        );
        assert_eq!(ring.generation(), 2);
    }

    #[test]
    fn a_revoked_primary_is_replaced_by_the_staged_key_if_there_is_one() {
        let (mut ring, first, second) = ring_with_staged();
        let done = ring.revoke(first, after(100)).expect("a key of the ring");
        assert_eq!(done.replacement, Some(Replacement::Staged(second)));
        let primary = ring.primary(after(100)).expect("a replacement");
        assert_eq!((primary.kid(), primary.record().not_before()), (second, after(100)));
        assert_eq!((ring.generation(), ring.records().count()), (3, 2));
    }

    #[test]
    fn a_revoked_primary_is_not_replaced_by_a_retired_key() {
        let (mut ring, first, second) = ring_with_staged();
        let done = ring.revoke(second, after(700)).expect("a key of the ring");
        assert_eq!(done.sealed, Some((after(600), after(700))));
        let primary = ring.primary(after(700)).map(RingKey::kid).expect("a replacement");
        assert!(primary != first && primary != second);
        assert!(matches!(ring.find(first, after(700)), Lookup::Usable(_, KeyState::Retired)));
    }

    #[test]
    fn to_revoke_a_staged_key_ends_no_session_and_takes_the_primary_s_end_back() {
        let (mut ring, first, second) = ring_with_staged();
        let done = ring.revoke(second, after(100)).expect("a key of the ring");
        assert_eq!(done, Revocation { was: KeyState::Staged, sealed: None, replacement: None });
        let primary = ring.primary(after(1_000_000)).expect("the first");
        assert_eq!((primary.kid(), primary.record().open_until()), (first, None));
    }

    #[test]
    fn to_revoke_a_retired_key_ends_what_it_sealed_and_leaves_the_primary() {
        let (mut ring, first, second) = ring_with_staged();
        let done = ring.revoke(first, after(28_900)).expect("a key of the ring");
        assert_eq!((done.was, done.replacement), (KeyState::Retired, None));
        assert_eq!(done.sealed, Some((after(100), after(1200))));
        assert_eq!(ring.primary(after(28_900)).map(RingKey::kid), Some(second));
    }

    #[test]
    fn where_the_only_key_left_is_staged_its_revocation_brings_a_new_one() {
        let (mut ring, first, second) = ring_with_staged();
        ring.erase(first, after(10));
        let done = ring.revoke(second, after(20)).expect("a key of the ring");
        assert!(matches!(done.replacement, Some(Replacement::New(_))));
        assert!(ring.primary(after(20)).is_some());
    }

    #[test]
    fn an_unknown_key_and_a_revoked_one_are_refused_and_the_ring_stays() {
        let (mut ring, first) = ring();
        let stranger = KeyId::from_bytes([0xff; 4]);
        assert!(matches!(ring.revoke(stranger, START), Err(RevokeError::Unknown(kid)) if kid == stranger));
        ring.revoke(first, START).expect("a key of the ring");
        let digest = ring.digest();
        let error = ring.revoke(first, after(5)).expect_err("revoked already");
        assert!(matches!(error, RevokeError::Already { revoked, .. } if revoked == START));
        assert_eq!(ring.digest(), digest);
    }
}
