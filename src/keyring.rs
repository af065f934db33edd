//! The key ring: the keys that seal and open cookies, and how they follow one another.
//!
//! ```text
//! rotate → STAGED ──not_before──▶ PRIMARY ──successor active──▶ RETIRED ──open_until──▶ EXPIRED
//!          opens                  seals and opens               opens                   opens nothing
//! any ──revoke──▶ REVOKED (key erased, its cookies refused)
//! ```
//!
//! Every replica reads the same file, at slightly different times. A new key is therefore staged first: it opens
//! everywhere before anyone seals with it, provided that the file arrives within the ring's `propagation`.
//!
//! Must never print key material, never try keys in turn (a cookie names its key), and never replace a ring in use by
//! one that does not validate or that is older.

mod file;
mod format;
mod handle;
mod key;
mod lifecycle;
mod watch;

use std::fmt;
use std::time::Duration;

use crate::aead::{Algorithm, Cipher};
use crate::clock::UnixTime;
use key::KeyMaterial;

pub use file::{MAX_RING_BYTES, RingFile, RingFileError, RingUpdateError};
pub use format::{FORMAT, RingDigest, RingError};
pub use handle::{KeySummary, RingHandle, RingSummary};
pub use key::{KEY_TEXT_PREFIX, KeyId, KeyIdError, KeyTextError, Purpose};
pub use lifecycle::{
    CLOCK_SKEW, GenerateError, KeyRecord, KeyState, MAX_ACTIVATE_AFTER, NewSettings, PostponeError, Prunable,
    Replacement, RetireError, Revocation, RevokeError, RotateError,
};
pub use watch::WatchGuard;

/// A validated key ring, as one generation of its file holds it.
#[derive(Clone)]
pub struct KeyRing {
    generation: u64,
    propagation: Duration,
    max_session: Duration,
    /// In the order of the file, which has no meaning of its own. Never empty.
    entries: Vec<Entry>,
}

/// A key of the ring, or what is left of a revoked one.
#[derive(Clone)]
enum Entry {
    Live(Box<RingKey>),
    Revoked(KeyRecord),
}

impl Entry {
    fn record(&self) -> &KeyRecord {
        match self {
            Self::Live(key) => &key.record,
            Self::Revoked(record) => record,
        }
    }

    fn live(&self) -> Option<&RingKey> {
        match self {
            Self::Live(key) => Some(key),
            Self::Revoked(_) => None,
        }
    }
}

/// A key that is not revoked, with its ciphers ready.
#[derive(Clone)]
pub struct RingKey {
    record: KeyRecord,
    material: KeyMaterial,
    /// In the order of [`Purpose::ALL`].
    ciphers: [Cipher; Purpose::ALL.len()],
}

impl RingKey {
    fn new(record: KeyRecord, material: KeyMaterial) -> Self {
        let ciphers = Purpose::ALL.map(|purpose| material.cipher(record.algorithm, purpose));
        Self { record, material, ciphers }
    }

    /// The key id.
    pub fn kid(&self) -> KeyId {
        self.record.kid
    }

    /// The algorithm that the key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.record.algorithm
    }

    /// The key's dates and note.
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }

    /// The cipher under the subkey for `purpose`.
    pub fn cipher(&self, purpose: Purpose) -> &Cipher {
        // `Purpose::ALL` is in the order of declaration, which a test keeps.
        &self.ciphers[purpose as usize]
    }
}

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingKey").field("record", &self.record).finish_non_exhaustive()
    }
}

/// What the ring knows about a key id.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'a> {
    /// The key opens: it is staged, primary or retired.
    Usable(&'a RingKey, KeyState),
    /// The key was revoked and erased; its cookies are refused.
    Revoked,
    /// The key is in the ring still, but no session that it sealed can be alive.
    Expired,
    /// The ring has no such key.
    Unknown,
}

impl KeyRing {
    /// How many times the ring has been written, counted from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Within which time a new ring reaches every replica, the skew of their clocks included.
    pub fn propagation(&self) -> Duration {
        self.propagation
    }

    /// The longest that any session may live.
    pub fn max_session(&self) -> Duration {
        self.max_session
    }

    /// What the ring knows about `kid` at `now`.
    pub fn find(&self, kid: KeyId, now: UnixTime) -> Lookup<'_> {
        let Some(entry) = self.entries.iter().find(|entry| entry.record().kid == kid) else {
            return Lookup::Unknown;
        };
        match (entry, self.state(entry.record(), now)) {
            (Entry::Revoked(_), _) | (_, KeyState::Revoked) => Lookup::Revoked,
            (_, KeyState::Expired) => Lookup::Expired,
            (Entry::Live(key), state) => Lookup::Usable(key, state),
        }
    }

    fn records(&self) -> impl Iterator<Item = &KeyRecord> {
        self.entries.iter().map(Entry::record)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("generation", &self.generation)
            .field("propagation", &self.propagation)
            .field("max_session", &self.max_session)
            .field("keys", &self.records().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn ring() -> KeyRing {
        let (propagation, max_session) = (Duration::from_secs(600), Duration::from_secs(28_800));
        KeyRing::generate(Algorithm::default(), propagation, max_session, NOW).expect("valid settings")
    }

    #[test]
    fn each_purpose_has_its_own_place_among_the_ciphers() {
        let ring = ring();
        let key = ring.primary(NOW).expect("a new ring has a primary");
        for (at, purpose) in Purpose::ALL.into_iter().enumerate() {
            assert_eq!(purpose as usize, at);
            let sealed = key.cipher(purpose).seal(&[0; 24], b"", b"text").expect("short");
            let expected = key.material.cipher(key.algorithm(), purpose).seal(&[0; 24], b"", b"text").expect("short");
            assert_eq!(sealed, expected);
        }
    }

    #[test]
    fn debug_shows_no_key_material() {
        let ring = ring();
        let text = ring.primary(NOW).expect("a primary").material.to_text();
        let shown = format!("{ring:?} {:?} {:?}", ring.primary(NOW), ring.find(KeyId::from_bytes([0; 4]), NOW));
        assert!(shown.contains("generation: 1"), "{shown}");
        assert!(!shown.contains(KEY_TEXT_PREFIX), "{shown}");
        assert!(!shown.contains(&text.expose()[KEY_TEXT_PREFIX.len()..]), "{shown}");
    }
}
