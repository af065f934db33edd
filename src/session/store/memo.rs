//! What was opened a moment ago, by the very text of its cookie: a page asks for many things at once, and
//! decrypting and reading the same cookie for each is most of what a request costs.
//!
//! Must never answer for a text that differs in a single character from the one that was opened, nor for one whose key has
//! been changed, revoked or withdrawn: it is emptied as soon as the ring is another one. It remembers what a cookie says,
//! never whether its session is alive: that is asked on every request. It is bounded, and forgets what is not asked for.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::keyring::KeyRing;

/// Parts of the memo that are locked apart, so that workers seldom wait for each other.
const SHARDS: usize = 16;
/// Cookies in one part. Each has one place; another one of that place takes it.
const PLACES: usize = 32;
/// Characters at the end of a text by which its place is found: those of the tag, which are as good as random.
const TAIL: usize = 16;
/// The longest text that is remembered, in characters.
const LONGEST: usize = 6 * 1024;

/// Remembers opened cookies of one kind. At most 512 of them; sessions take some 8 KB each.
pub(super) struct Memo<T> {
    shards: [Mutex<Shard<T>>; SHARDS],
    /// Keyed by the process, so that nobody can make cookies that share a place.
    places: RandomState,
}

struct Shard<T> {
    /// The ring with which all of these were opened. The memo must not keep a ring's keys alive.
    ring: Weak<KeyRing>,
    places: [Option<Opened<T>>; PLACES],
}

struct Opened<T> {
    sealed: Box<str>,
    content: Arc<T>,
    /// Whether it was asked for since the last look at those that are not.
    asked_for: bool,
}

impl<T> Memo<T> {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::new(Shard::of(Weak::new()))), places: RandomState::new() }
    }

    /// What `sealed` opened to under this very `ring`, if it is remembered.
    pub(super) fn find(&self, sealed: &str, ring: &Arc<KeyRing>) -> Option<Arc<T>> {
        let (shard, place) = self.place_of(sealed)?;
        let mut shard = self.shard(shard);
        shard.keep_to(ring);
        let opened = shard.places[place].as_mut().filter(|opened| *opened.sealed == *sealed)?;
        opened.asked_for = true;
        Some(Arc::clone(&opened.content))
    }

    /// Remembers that `sealed` opened to `content` under `ring`.
    pub(super) fn keep(&self, sealed: &str, content: &Arc<T>, ring: &Arc<KeyRing>) {
        let Some((shard, place)) = self.place_of(sealed) else { return };
        let opened = Opened { sealed: sealed.into(), content: Arc::clone(content), asked_for: true };
        let mut shard = self.shard(shard);
        shard.keep_to(ring);
        let replaced = shard.places[place].replace(opened);
        // What it held is wiped, and that takes a moment.
        drop(shard);
        drop(replaced);
    }

    /// Forgets what was not asked for since this was last called.
    pub(super) fn forget_unused(&self) {
        for shard in 0..SHARDS {
            for place in &mut self.shard(shard).places {
                if place.as_mut().is_some_and(|opened| !std::mem::take(&mut opened.asked_for)) {
                    *place = None;
                }
            }
        }
    }

    fn place_of(&self, sealed: &str) -> Option<(usize, usize)> {
        let bytes = sealed.as_bytes();
        if bytes.len() > LONGEST {
            return None;
        }
        let mut hasher = self.places.build_hasher();
        hasher.write(&bytes[bytes.len().checked_sub(TAIL)?..]);
        let hash = usize::try_from(hasher.finish() & 0xffff).ok()?;
        Some((hash % SHARDS, hash / SHARDS % PLACES))
    }

    fn shard(&self, index: usize) -> MutexGuard<'_, Shard<T>> {
        // A shard is whole between any two statements under the lock.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Shard<T> {
    fn of(ring: Weak<KeyRing>) -> Self {
        Self { ring, places: [const { None }; PLACES] }
    }

    /// Empties it unless it is of this ring.
    fn keep_to(&mut self, ring: &Arc<KeyRing>) {
        if !std::ptr::eq(self.ring.as_ptr(), Arc::as_ptr(ring)) {
            *self = Self::of(Arc::downgrade(ring));
        }
    }
}

/// The tokens in it are nobody's to see.
impl<T> std::fmt::Debug for Memo<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memo").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::aead::Algorithm;
    use crate::session::tests::{NOW, a_session};

    fn ring() -> Arc<KeyRing> {
        let hour = Duration::from_secs(3600);
        Arc::new(KeyRing::generate(Algorithm::default(), hour, hour * 8, NOW).expect("the system's randomness"))
    }

    fn text(number: u32) -> String {
        format!("{}{number:016}", "x".repeat(2000))
    }

    #[test]
    fn only_the_very_same_text_is_remembered() {
        let (memo, ring, session) = (Memo::new(), ring(), Arc::new(a_session()));
        memo.keep(&text(1), &session, &ring);
        assert!(memo.find(&text(1), &ring).is_some_and(|found| Arc::ptr_eq(&found, &session)));
        // Of the same place: only its beginning differs.
        let forged = format!("y{}", &text(1)[1..]);
        assert!(memo.find(&forged, &ring).is_none());
        assert!(memo.find(&text(1)[1..], &ring).is_none());
        assert!(memo.find(&text(1), &ring).is_some(), "a forged one does not push the good one out");
    }

    /// DESIGN §5: any memo of opened cookies is flushed when the ring changes.
    #[test]
    fn another_ring_empties_it_for_good() {
        let (memo, first, second) = (Memo::new(), ring(), ring());
        memo.keep(&text(1), &Arc::new(a_session()), &first);
        assert!(memo.find(&text(1), &second).is_none());
        assert!(memo.find(&text(1), &first).is_none());
    }

    #[test]
    fn it_holds_no_key_of_a_ring_that_is_gone() {
        let (memo, ring) = (Memo::new(), ring());
        memo.keep(&text(1), &Arc::new(a_session()), &ring);
        assert_eq!(Arc::strong_count(&ring), 1);
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten_and_wiped() {
        let (memo, ring, session) = (Memo::new(), ring(), Arc::new(a_session()));
        memo.keep(&text(1), &session, &ring);
        memo.forget_unused();
        assert!(memo.find(&text(1), &ring).is_some());
        memo.forget_unused();
        memo.forget_unused();
        assert!(memo.find(&text(1), &ring).is_none());
        assert_eq!(Arc::strong_count(&session), 1, "nothing of it is left");
    }

    #[test]
    fn it_is_bounded_in_number_and_in_size() {
        let (memo, ring, session) = (Memo::new(), ring(), Arc::new(a_session()));
        (0..5_000).for_each(|number| memo.keep(&text(number), &session, &ring));
        let kept = Arc::strong_count(&session) - 1;
        assert!((SHARDS * PLACES / 2..=SHARDS * PLACES).contains(&kept), "{kept}");
        let long = "x".repeat(LONGEST + 1);
        memo.keep(&long, &session, &ring);
        assert!(memo.find(&long, &ring).is_none());
        memo.keep("short", &session, &ring);
        assert!(memo.find("short", &ring).is_none());
    }
}
