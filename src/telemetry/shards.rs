//! Something that every thread has one of, and that others reach when they must.
//!
//! Must never have two workers wait for each other, as long as there are not more threads than shards.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More than most machines have workers.
pub(super) const SHARDS: usize = 64;

/// One `T` a thread; threads beyond [`SHARDS`] share.
pub(super) struct Shards<T>(Box<[Shard<T>]>);

/// On cache lines of its own, so that neighbours do not disturb each other.
#[derive(Default)]
#[repr(align(128))]
struct Shard<T>(Mutex<T>);

impl<T> Shards<T> {
    /// The number of this thread's shard, below [`SHARDS`].
    pub(super) fn own_number() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        }
        NUMBER.try_with(|number| *number).unwrap_or_default()
    }

    /// The shard of that number, locked.
    pub(super) fn lock(&self, number: usize) -> MutexGuard<'_, T> {
        // Nothing that can panic runs under the lock but the writing of lines, which leaves whole ones.
        self.0[number % SHARDS].0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Default> Default for Shards<T> {
    fn default() -> Self {
        Self(std::iter::repeat_with(Shard::default).take(SHARDS).collect())
    }
}
