//! Identities that were signed a moment ago: a signature costs more than everything else of a request.
//!
//! Must never answer for another session, generation or place. It is bounded, and what it holds expires soon.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderValue;

use crate::clock::UnixTime;

/// Parts that are locked apart, so that workers seldom wait for each other.
const SHARDS: usize = 16;
/// Identities in one part. Each has one place; another one of that place takes it.
const PLACES: usize = 32;

/// For whom an identity is, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoKey {
    /// The session's identifier.
    pub session: [u8; 16],
    /// Its generation: claims change with it.
    pub generation: u64,
    /// The route, or whatever has one audience.
    pub place: usize,
}

/// At most 512 identities of a kilobyte or so.
pub(super) struct Memo {
    shards: [Mutex<[Option<Kept>; PLACES]>; SHARDS],
    places: RandomState,
}

struct Kept {
    key: MemoKey,
    token: HeaderValue,
    until: UnixTime,
}

impl Default for Memo {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::new([const { None }; PLACES])), places: RandomState::new() }
    }
}

impl Memo {
    /// What was kept for exactly this key, unless its time has passed.
    pub(super) fn find(&self, key: &MemoKey, now: UnixTime) -> Option<HeaderValue> {
        let (shard, place) = self.place_of(key);
        let shard = self.shard(shard);
        let kept = shard[place].as_ref().filter(|kept| kept.key == *key && now < kept.until)?;
        Some(kept.token.clone())
    }

    /// Keeps an identity until then.
    pub(super) fn keep(&self, key: MemoKey, token: &HeaderValue, until: UnixTime) {
        let (shard, place) = self.place_of(&key);
        self.shard(shard)[place] = Some(Kept { key, token: token.clone(), until });
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for shard in 0..SHARDS {
            *self.shard(shard) = [const { None }; PLACES];
        }
    }

    fn place_of(&self, key: &MemoKey) -> (usize, usize) {
        let hash = usize::try_from(self.places.hash_one(key) & 0xffff).unwrap_or_default();
        (hash % SHARDS, hash / SHARDS % PLACES)
    }

    fn shard(&self, index: usize) -> MutexGuard<'_, [Option<Kept>; PLACES]> {
        // A shard is whole between any two statements under the lock.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it holds is nobody's to see.
impl std::fmt::Debug for Memo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memo").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: MemoKey = MemoKey { session: [7; 16], generation: 1, place: 0 };
    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    #[test]
    fn it_answers_for_the_very_same_key_until_its_time_has_passed() {
        let (memo, token, later) =
            (Memo::default(), HeaderValue::from_static("a.b.c"), UnixTime::from_secs(1_800_000_030));
        memo.keep(KEY, &token, later);
        assert_eq!(memo.find(&KEY, NOW), Some(token));
        for other in
            [MemoKey { session: [8; 16], ..KEY }, MemoKey { generation: 2, ..KEY }, MemoKey { place: 1, ..KEY }]
        {
            assert_eq!(memo.find(&other, NOW), None, "{other:?}");
        }
        assert_eq!(memo.find(&KEY, later), None);
        memo.clear();
        assert_eq!(memo.find(&KEY, NOW), None);
    }

    #[test]
    fn however_many_sessions_there_are_it_stays_as_large_as_it_is() {
        let memo = Memo::default();
        for generation in 0..5_000 {
            memo.keep(MemoKey { generation, ..KEY }, &HeaderValue::from_static("x"), UnixTime::from_secs(i64::MAX));
        }
        let kept = (0..5_000).filter(|&generation| memo.find(&MemoKey { generation, ..KEY }, NOW).is_some()).count();
        assert!((SHARDS * PLACES / 2..=SHARDS * PLACES).contains(&kept), "{kept}");
    }
}
