//! Postponing: a staged key waits longer, because a replica does not have it yet.
//!
//! Must never touch a key that has sealed.

use std::time::Duration;

use super::MAX_ACTIVATE_AFTER;
use crate::clock::UnixTime;
use crate::keyring::{KeyId, KeyRing, KeyState};

/// Why no key was postponed. The ring is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostponeError {
    /// No key of this id.
    #[error("the ring has no key {0}; `sealgate keys list` shows the keys there are")]
    Unknown(KeyId),
    /// Only what has not happened yet can be postponed.
    #[error("key {kid} is {state}, and only a staged key can be postponed; `sealgate keys list` shows the states")]
    NotStaged {
        /// The key.
        kid: KeyId,
        /// The state that it is in.
        state: KeyState,
    },
    /// Less than a second.
    #[error("by: {} is less than a second; give 1s or more", humantime::format_duration(*.0))]
    TooShort(Duration),
    /// Staged for longer than a year: surely a slip.
    #[error(
        "by: {} would leave the key staged for longer than {}, so that it would be forgotten; give less",
        humantime::format_duration(*.0),
        humantime::format_duration(MAX_ACTIVATE_AFTER)
    )]
    TooLong(Duration),
}

impl KeyRing {
    /// Moves the activation of the staged key `kid` later by `by`, by default the ring's propagation, and the
    /// primary's end with it; makes the ring's next generation. The new activation.
    ///
    /// # Errors
    /// [`PostponeError`], with the ring unchanged.
    pub fn postpone(&mut self, kid: KeyId, by: Option<Duration>, now: UnixTime) -> Result<UnixTime, PostponeError> {
        let by = by.unwrap_or(self.propagation);
        let record = self.records().find(|record| record.kid == kid).ok_or(PostponeError::Unknown(kid))?;
        let state = self.state(record, now);
        if state != KeyState::Staged {
            return Err(PostponeError::NotStaged { kid, state });
        }
        let planned = record.not_before;
        let active_from = planned.plus(by);
        if by < Duration::from_secs(1) {
            return Err(PostponeError::TooShort(by));
        }
        if now.until(active_from) > MAX_ACTIVATE_AFTER {
            return Err(PostponeError::TooLong(by));
        }
        self.change(kid, |record| {
            record.not_before = active_from;
            // Only a ring that was edited by hand has an end for a key that is staged.
            record.open_until = record.open_until.map(|end| end.plus(by));
        });
        self.move_end_of_primary(planned, Some(active_from), now);
        self.generation = self.generation.saturating_add(1);
        Ok(active_from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::CLOCK_SKEW;
    use crate::keyring::lifecycle::fixture::{MAX_SESSION, PROPAGATION, START, after, ring_with_staged};

    #[test]
    fn the_activation_moves_by_the_propagation_unless_told_otherwise_and_the_primary_s_end_with_it() {
        let (mut ring, first, second) = ring_with_staged();
        for (by, expected) in [(None, after(1200)), (Some(Duration::from_secs(50)), after(1250))] {
            assert_eq!(ring.postpone(second, by, after(300)).expect("staged"), expected);
            let primary = ring.primary(after(300)).expect("the first").record();
            let end = expected.plus(MAX_SESSION + PROPAGATION + CLOCK_SKEW);
            assert_eq!((primary.kid(), primary.open_until()), (first, Some(end)));
        }
        assert_eq!(ring.generation(), 4);
        assert_eq!(ring.primary(after(1249)).map(|key| key.kid()), Some(first));
        assert_eq!(ring.primary(after(1250)).map(|key| key.kid()), Some(second));
        KeyRing::parse(&ring.to_json()).expect("a valid ring");
    }

    #[test]
    fn only_a_staged_key_is_postponed() {
        let (mut ring, first, second) = ring_with_staged();
        let digest = ring.digest();
        let error = ring.postpone(first, None, START).expect_err("primary");
        assert!(matches!(error, PostponeError::NotStaged { state: KeyState::Primary, .. }));
        let error = ring.postpone(second, None, after(600)).expect_err("active by now");
        assert!(matches!(error, PostponeError::NotStaged { state: KeyState::Primary, .. }));
        let stranger = KeyId::from_bytes([0xff; 4]);
        assert!(matches!(ring.postpone(stranger, None, START), Err(PostponeError::Unknown(_))));
        assert_eq!(ring.digest(), digest);
    }

    #[test]
    fn a_key_is_not_postponed_by_nothing_nor_beyond_a_year() {
        let (mut ring, _, second) = ring_with_staged();
        let none = ring.postpone(second, Some(Duration::from_millis(900)), START).expect_err("nothing");
        assert!(matches!(none, PostponeError::TooShort(_)));
        let long = ring.postpone(second, Some(MAX_ACTIVATE_AFTER), START).expect_err("too long");
        assert!(matches!(long, PostponeError::TooLong(_)));
    }
}
