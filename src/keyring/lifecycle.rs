//! The life of a key, as dates: who seals, who opens, until when; and the changes that make a ring's next generation.
//!
//! A state is never stored, it follows from the dates and the time, which is an argument everywhere here. Must never
//! read a clock or a file.

mod postponement;
mod pruning;
mod retirement;
mod revocation;
mod settings;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::format::{RingError, check_settings};
use super::{Entry, KeyId, KeyMaterial, KeyRing, RingKey};
use crate::aead::Algorithm;
use crate::clock::UnixTime;

pub use postponement::PostponeError;
pub use pruning::Prunable;
pub use retirement::RetireError;
pub use revocation::{Replacement, Revocation, RevokeError};
pub use settings::NewSettings;

/// How far the replicas' clocks may be apart beyond the propagation, in the end of a retired key.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The longest that a new key may stay staged: 366 days.
pub const MAX_ACTIVATE_AFTER: Duration = Duration::from_secs(366 * 86_400);

/// Everything about a key that is not secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    pub(super) kid: KeyId,
    pub(super) algorithm: Algorithm,
    pub(super) created: UnixTime,
    pub(super) not_before: UnixTime,
    pub(super) open_until: Option<UnixTime>,
    pub(super) revoked: Option<UnixTime>,
    pub(super) note: String,
}

impl KeyRecord {
    /// The key id.
    pub fn kid(&self) -> KeyId {
        self.kid
    }

    /// The algorithm that the key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// When the key was made.
    pub fn created(&self) -> UnixTime {
        self.created
    }

    /// When the key becomes, or became, the one that seals.
    pub fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// The written end of the key; see [`KeyRing::opens_until`] for the one that counts.
    pub fn open_until(&self) -> Option<UnixTime> {
        self.open_until
    }

    /// When the key was revoked.
    pub fn revoked(&self) -> Option<UnixTime> {
        self.revoked
    }

    /// What its maker wrote about it.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// Newer keys rank higher. The creation and the key id break ties, so that every replica agrees.
    fn rank(&self) -> (UnixTime, UnixTime, KeyId) {
        (self.not_before, self.created, self.kid)
    }
}

/// Where a key stands in its life. Written in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Opens, and will seal once its `not_before` has come.
    Staged,
    /// Seals and opens.
    Primary,
    /// Opens what it sealed, until its end.
    Retired,
    /// Opens nothing: no session that it sealed can be alive.
    Expired,
    /// Erased; its cookies are refused.
    Revoked,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Staged => "staged",
            Self::Primary => "primary",
            Self::Retired => "retired",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        })
    }
}

/// The states of the keys.
impl KeyRing {
    /// The key that seals at `now`: the newest that is not revoked and whose `not_before` has come. A new key waits
    /// for its date, so there is none when all others are revoked.
    pub fn primary(&self, now: UnixTime) -> Option<&RingKey> {
        let active = self.entries.iter().filter_map(Entry::live).filter(|key| key.record.not_before <= now);
        active.max_by_key(|key| key.record.rank())
    }

    /// The key that waits for its `not_before` at `now`: the next to become primary.
    pub fn staged(&self, now: UnixTime) -> Option<&RingKey> {
        let staged = self.entries.iter().filter_map(Entry::live).filter(|key| key.record.not_before > now);
        staged.min_by_key(|key| key.record.rank())
    }

    /// Every key, revoked ones too, with its state at `now`, in the order of the file.
    pub fn states(&self, now: UnixTime) -> impl Iterator<Item = (&KeyRecord, KeyState)> {
        self.records().map(move |record| (record, self.state(record, now)))
    }

    /// When `record`'s key stops opening: the latest of its `open_until`, of what its successor's activation makes of
    /// it under the present settings, and of the `open_until` of the keys before it. `None` for a key without a
    /// successor, and for a revoked one, which opens nothing at all.
    ///
    /// So a `max_session` that grows moves ends that are written already, and after one that shrinks no key ends before
    /// the longer sessions of earlier times, which refreshes seal with newer keys.
    ///
    /// The primary opens beyond this moment, should its successor have been revoked meanwhile.
    pub fn opens_until(&self, record: &KeyRecord) -> Option<UnixTime> {
        if record.revoked.is_some() {
            return None;
        }
        let by_successor = self.successor(record).map(|next| self.retirement_end(next.not_before));
        let own = record.open_until.max(by_successor)?;
        let before = self.records().filter(|other| other.rank() < record.rank()).filter_map(|other| other.open_until);
        before.max().max(Some(own))
    }

    pub(super) fn state(&self, record: &KeyRecord, now: UnixTime) -> KeyState {
        if record.revoked.is_some() {
            KeyState::Revoked
        } else if record.not_before > now {
            KeyState::Staged
        } else if self.primary(now).is_some_and(|primary| primary.kid() == record.kid) {
            KeyState::Primary
        } else if self.opens_until(record).is_some_and(|end| end <= now) {
            KeyState::Expired
        } else {
            KeyState::Retired
        }
    }

    fn successor(&self, record: &KeyRecord) -> Option<&KeyRecord> {
        let newer = self.records().filter(|other| other.revoked.is_none() && other.rank() > record.rank());
        newer.min_by_key(|other| other.rank())
    }

    /// The last replica hears of the successor after the propagation at the latest; what it sealed until then lives
    /// for the longest session, on a clock that may be off by the skew.
    fn retirement_end(&self, successor_active: UnixTime) -> UnixTime {
        successor_active.plus(self.max_session).plus(self.propagation).plus(CLOCK_SKEW)
    }
}

/// Why no ring was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The propagation or the longest session is outside its bounds.
    #[error(transparent)]
    Settings(RingError),
    /// No randomness.
    #[error("the operating system gave no random bytes for a key ({0}); try again")]
    Random(rand::rngs::SysError),
}

/// Why no key was staged. The ring is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// Replicas would seal with the new key before others can open it.
    #[error(
        "activate-after: {} is shorter than the ring's propagation, in which some replicas cannot open the new key's \
         cookies yet; give {} or more",
        humantime::format_duration(*.activate_after),
        humantime::format_duration(*.propagation)
    )]
    TooSoon {
        /// What was asked for.
        activate_after: Duration,
        /// The least that is safe.
        propagation: Duration,
    },
    /// Staged for longer than a year: surely a slip.
    #[error(
        "activate-after: {} is longer than {}, so that the key would be forgotten; give less",
        humantime::format_duration(*.activate_after),
        humantime::format_duration(MAX_ACTIVATE_AFTER)
    )]
    TooLate {
        /// What was asked for.
        activate_after: Duration,
    },
    /// One rotation at a time.
    #[error("key {kid} is staged already and becomes primary at {not_before}; rotate again after that")]
    Pending {
        /// The key that is staged.
        kid: KeyId,
        /// When it becomes primary.
        not_before: UnixTime,
    },
    /// A new propagation or longest session is outside its bounds.
    #[error(transparent)]
    Settings(RingError),
    /// No randomness.
    #[error("the operating system gave no random bytes for a key ({0}); try again")]
    Random(rand::rngs::SysError),
}

/// The changes.
impl KeyRing {
    /// A ring of generation 1 with one key, primary at once.
    ///
    /// # Errors
    /// When a duration is outside its bounds, or the system has no randomness.
    pub fn generate(
        algorithm: Algorithm,
        propagation: Duration,
        max_session: Duration,
        now: UnixTime,
    ) -> Result<Self, GenerateError> {
        check_settings(propagation, max_session).map_err(GenerateError::Settings)?;
        let mut ring = Self { generation: 1, propagation, max_session, entries: Vec::new() };
        ring.add(algorithm, now, now, "").map_err(GenerateError::Random)?;
        Ok(ring)
    }

    /// Stages a key, which makes the ring's next generation, and sets the primary's end.
    ///
    /// The new key becomes primary `activate_after` from `now`: by default and at least the ring's propagation. Where
    /// no key seals, because all are revoked, there is nothing to wait for, and the default is at once. The algorithm
    /// is the primary's unless given.
    ///
    /// # Errors
    /// [`RotateError`], with the ring unchanged: for a time that is too short or too long, or when a key is staged.
    pub fn rotate(
        &mut self,
        now: UnixTime,
        activate_after: Option<Duration>,
        algorithm: Option<Algorithm>,
        note: &str,
    ) -> Result<KeyId, RotateError> {
        if let Some(staged) = self.staged(now) {
            return Err(RotateError::Pending { kid: staged.kid(), not_before: staged.record.not_before });
        }
        let primary = self.primary(now).map(|key| (key.kid(), key.algorithm()));
        let least = if primary.is_some() { self.propagation } else { Duration::ZERO };
        let activate_after = activate_after.unwrap_or(least);
        if activate_after < least {
            return Err(RotateError::TooSoon { activate_after, propagation: self.propagation });
        }
        if activate_after > MAX_ACTIVATE_AFTER {
            return Err(RotateError::TooLate { activate_after });
        }
        let algorithm = algorithm.or(primary.map(|(_, algorithm)| algorithm)).unwrap_or_default();
        let active_from = now.plus(activate_after);
        let kid = self.add(algorithm, now, active_from, note).map_err(RotateError::Random)?;
        if let Some((predecessor, _)) = primary {
            let end = self.retirement_end(active_from);
            // An end that is there already is that of longer sessions, from before the settings changed.
            self.change(predecessor, |record| record.open_until = record.open_until.max(Some(end)));
        }
        self.generation = self.generation.saturating_add(1);
        Ok(kid)
    }

    fn add(
        &mut self,
        algorithm: Algorithm,
        created: UnixTime,
        not_before: UnixTime,
        note: &str,
    ) -> Result<KeyId, rand::rngs::SysError> {
        let (kid, material) = loop {
            let material = KeyMaterial::random()?;
            let kid = material.kid(algorithm);
            if self.records().all(|record| record.kid != kid) {
                break (kid, material);
            }
        };
        let note = note.to_owned();
        let record = KeyRecord { kid, algorithm, created, not_before, open_until: None, revoked: None, note };
        self.entries.push(Entry::Live(Box::new(RingKey::new(record, material))));
        Ok(kid)
    }

    /// Moves the primary's end along when its successor, which was to be active at `planned`, will be so at `active`, or
    /// not at all. An end beyond what the settings make of `planned` is that of longer sessions, from before they
    /// changed: it is not made earlier.
    fn move_end_of_primary(&mut self, planned: UnixTime, active: Option<UnixTime>, now: UnixTime) {
        let Some(primary) = self.primary(now) else { return };
        let kid = primary.kid();
        let longer = primary.record.open_until.filter(|end| *end > self.retirement_end(planned));
        let end = active.map(|active| self.retirement_end(active)).max(longer);
        self.change(kid, |record| record.open_until = end);
    }

    fn change(&mut self, kid: KeyId, change: impl FnOnce(&mut KeyRecord)) {
        let mut records = self.entries.iter_mut().map(|entry| match entry {
            Entry::Live(key) => &mut key.record,
            Entry::Revoked(record) => record,
        });
        if let Some(record) = records.find(|record| record.kid == kid) {
            change(record);
        }
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
