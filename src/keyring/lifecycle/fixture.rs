//! What the tests of the life of keys share: one ring, in the same state at the same time.

use std::time::Duration;

use crate::aead::Algorithm;
use crate::clock::UnixTime;
use crate::keyring::{CLOCK_SKEW, KeyId, KeyRing};

/// When the ring was made.
pub(super) const START: UnixTime = UnixTime::from_secs(1_800_000_000);
pub(super) const PROPAGATION: Duration = Duration::from_secs(600);
pub(super) const MAX_SESSION: Duration = Duration::from_secs(28_800);
/// Seconds from a successor's activation to the end of its predecessor.
pub(super) const REST: u64 = MAX_SESSION.as_secs() + PROPAGATION.as_secs() + CLOCK_SKEW.as_secs();

/// So many seconds after [`START`].
pub(super) fn after(seconds: u64) -> UnixTime {
    START.plus(Duration::from_secs(seconds))
}

/// A ring with one key, and that key.
pub(super) fn ring() -> (KeyRing, KeyId) {
    ring_of(Algorithm::default())
}

/// As [`ring`], for another algorithm.
pub(super) fn ring_of(algorithm: Algorithm) -> (KeyRing, KeyId) {
    let ring = KeyRing::generate(algorithm, PROPAGATION, MAX_SESSION, START).expect("valid settings");
    let first = ring.primary(START).expect("a primary").kid();
    (ring, first)
}

/// A ring with a primary key and one that was staged at [`START`], for the propagation; and both keys.
pub(super) fn ring_with_staged() -> (KeyRing, KeyId, KeyId) {
    let (mut ring, first) = ring();
    let second = ring.rotate(START, None, None, "").expect("nothing is staged");
    (ring, first, second)
}
