//! New settings: how long sessions may live and how fast the ring arrives can change, with a rotation.
//!
//! Sessions that are alive keep the end that is sealed in them. Must never let a key end before the last of them, under
//! the settings that were as under those that will be.

use std::time::Duration;

use super::{RotateError, check_settings};
use crate::aead::Algorithm;
use crate::clock::UnixTime;
use crate::keyring::{KeyId, KeyRing};

/// The settings that come with a new key; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewSettings {
    /// Within which time a changed ring reaches every replica.
    pub propagation: Option<Duration>,
    /// The longest that any session may live.
    pub max_session: Option<Duration>,
}

impl KeyRing {
    /// As [`KeyRing::rotate`], with other settings from now on. For this one rotation the longer of old and new count:
    /// for the activation of the new key and for the end of the present one.
    ///
    /// # Errors
    /// [`RotateError`], with the ring unchanged.
    pub fn rotate_with(
        &mut self,
        settings: NewSettings,
        now: UnixTime,
        activate_after: Option<Duration>,
        algorithm: Option<Algorithm>,
        note: &str,
    ) -> Result<KeyId, RotateError> {
        let propagation = settings.propagation.unwrap_or(self.propagation);
        let max_session = settings.max_session.unwrap_or(self.max_session);
        check_settings(propagation, max_session).map_err(RotateError::Settings)?;
        let mut changed = self.clone();
        changed.propagation = self.propagation.max(propagation);
        changed.max_session = self.max_session.max(max_session);
        let kid = changed.rotate(now, activate_after, algorithm, note)?;
        (changed.propagation, changed.max_session) = (propagation, max_session);
        *self = changed;
        Ok(kid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::lifecycle::fixture::{MAX_SESSION, PROPAGATION, START, after, ring};
    use crate::keyring::{CLOCK_SKEW, KeyState};

    const LONGER: NewSettings = NewSettings { propagation: None, max_session: Some(Duration::from_secs(43_200)) };
    const SHORTER: NewSettings = NewSettings { propagation: None, max_session: Some(Duration::from_secs(3_600)) };

    fn end(ring: &KeyRing, kid: KeyId) -> UnixTime {
        let record = ring.records().find(|record| record.kid() == kid).expect("a key of the ring");
        ring.opens_until(record).expect("it has a successor")
    }

    /// When a session of `length` that was sealed at the very last may end.
    fn last_end(sealed_before: u64, length: Duration) -> UnixTime {
        after(sealed_before).plus(length + PROPAGATION + CLOCK_SKEW)
    }

    #[test]
    fn longer_and_shorter_sessions_both_end_before_the_key_that_sealed_them() {
        for (settings, longest) in [(LONGER, Duration::from_secs(43_200)), (SHORTER, MAX_SESSION)] {
            let (mut ring, first) = ring();
            let second = ring.rotate_with(settings, START, None, None, "").expect("nothing is staged");
            assert_eq!(Some(ring.max_session()), settings.max_session);
            assert_eq!((end(&ring, first), ring.generation()), (last_end(600, longest), 2));
            ring.postpone(second, Some(Duration::from_secs(100)), after(10)).expect("staged");
            assert!(end(&ring, first) >= last_end(600, longest));
            ring.retire(first, after(650)).expect("staged for long enough");
            assert!(end(&ring, first) >= last_end(600, longest));
            KeyRing::parse(&ring.to_json()).expect("a valid ring");
        }
    }

    #[test]
    fn a_rotation_that_is_taken_back_leaves_longer_sessions_their_key() {
        let (mut ring, first) = ring();
        let second = ring.rotate_with(SHORTER, START, None, None, "").expect("nothing is staged");
        ring.revoke(second, after(10)).expect("staged");
        let third = ring.rotate(after(20), Some(Duration::from_secs(3600)), None, "").expect("nothing is staged");
        assert_eq!(end(&ring, first), last_end(600, MAX_SESSION));
        ring.retire(first, after(620)).expect("staged for long enough");
        assert_eq!(
            (end(&ring, first), ring.primary(after(620)).map(|key| key.kid())),
            (last_end(600, MAX_SESSION), Some(third))
        );
    }

    /// A refresh seals a session of before, which lives on to its own end, with the key of now.
    #[test]
    fn no_key_ends_before_the_longer_sessions_of_earlier_settings() {
        let (mut ring, first) = ring();
        let second = ring.rotate_with(SHORTER, START, None, None, "").expect("nothing is staged");
        ring.rotate(after(1000), None, None, "").expect("the second is active");
        assert_eq!(end(&ring, second), last_end(600, MAX_SESSION));
        ring.revoke(first, after(5000)).expect("a key of the ring");
        assert_eq!(ring.prune(last_end(600, MAX_SESSION).minus(Duration::from_secs(1))), []);
        assert_eq!(end(&ring, second), last_end(600, MAX_SESSION));
        assert_eq!(ring.prune(last_end(600, MAX_SESSION)).len(), 2);
    }

    #[test]
    fn a_propagation_that_changes_counts_at_its_longer_for_this_rotation() {
        for (new, least) in [(1200, 1200), (60, 600)] {
            let (mut ring, _) = ring();
            let settings = NewSettings { propagation: Some(Duration::from_secs(new)), max_session: None };
            let soon = ring.rotate_with(settings, START, Some(Duration::from_secs(least - 1)), None, "");
            assert!(matches!(soon, Err(RotateError::TooSoon { .. })));
            assert_eq!((ring.propagation(), ring.generation()), (PROPAGATION, 1), "it was refused whole");
            let second = ring.rotate_with(settings, START, None, None, "").expect("nothing is staged");
            let staged = ring.staged(START).expect("staged");
            assert_eq!((staged.kid(), staged.record().not_before()), (second, after(least)));
            assert_eq!(ring.propagation(), Duration::from_secs(new));
        }
    }

    #[test]
    fn settings_outside_their_bounds_are_refused() {
        let (mut ring, _) = ring();
        let settings = NewSettings { max_session: Some(Duration::ZERO), ..NewSettings::default() };
        let error = ring.rotate_with(settings, START, None, None, "").expect_err("no time at all");
        assert!(error.to_string().starts_with("max_session: "), "{error}");
    }

    /// A ring whose file was edited by hand.
    #[test]
    fn an_end_that_was_written_before_max_session_grew_is_no_longer_the_one_that_counts() {
        let (mut ring, first) = ring();
        ring.rotate(START, None, None, "").expect("nothing is staged");
        let text = String::from_utf8(ring.to_json().to_vec()).expect("JSON");
        let edited = KeyRing::parse(text.replace("\"8h\"", "\"12h\"").as_bytes()).expect("a valid ring");
        let longer = last_end(600, Duration::from_secs(43_200));
        assert_eq!(end(&edited, first), longer);
        let record = edited.records().find(|record| record.kid() == first).expect("kept");
        assert_eq!(edited.state(record, longer.minus(Duration::from_secs(1))), KeyState::Retired);
        assert_eq!(edited.state(record, longer), KeyState::Expired);
    }
}
