//! Retiring: the primary makes way for a staged key before that key's time.
//!
//! Must never let a key seal that some replica cannot open yet.

use crate::clock::UnixTime;
use crate::keyring::{KeyId, KeyRing, KeyState};

/// Why no key was retired. The ring is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetireError {
    /// No key of this id.
    #[error("the ring has no key {0}; `sealgate keys list` shows the keys there are")]
    Unknown(KeyId),
    /// Without a successor nobody could log in.
    #[error("key {0} has no successor; stage one with `sealgate keys rotate` first")]
    NoSuccessor(KeyId),
    /// Replicas would seal with the staged key before others can open it.
    #[error("key {successor} may not have reached every replica before {from}; wait until then")]
    TooSoon {
        /// The key that is staged.
        successor: KeyId,
        /// When it can open everywhere.
        from: UnixTime,
    },
    /// A staged key has sealed nothing yet.
    #[error("key {0} is staged and has sealed nothing yet; to be rid of it, `sealgate keys revoke {0}`")]
    Staged(KeyId),
    /// Retired, and perhaps expired since.
    #[error("key {kid} is {state} already, and {}", ends(*.state, *.opens_until))]
    Already {
        /// The key.
        kid: KeyId,
        /// The state that it is in.
        state: KeyState,
        /// Its end.
        opens_until: Option<UnixTime>,
    },
}

fn ends(state: KeyState, opens_until: Option<UnixTime>) -> String {
    match (state, opens_until) {
        (KeyState::Retired, Some(end)) => format!("opens until {end}"),
        (KeyState::Retired, None) => "opens what it sealed".to_owned(),
        _ => "opens nothing".to_owned(),
    }
}

impl KeyRing {
    /// Retires the primary key `kid` at once in favour of the staged key, which makes the ring's next generation. The
    /// key that seals now.
    ///
    /// # Errors
    /// [`RetireError`], with the ring unchanged: above all when the staged key is younger than the propagation.
    pub fn retire(&mut self, kid: KeyId, now: UnixTime) -> Result<KeyId, RetireError> {
        let record = self.records().find(|record| record.kid == kid).ok_or(RetireError::Unknown(kid))?;
        match self.state(record, now) {
            KeyState::Primary => {}
            KeyState::Staged => return Err(RetireError::Staged(kid)),
            state @ (KeyState::Retired | KeyState::Expired | KeyState::Revoked) => {
                return Err(RetireError::Already { kid, state, opens_until: self.opens_until(record) });
            }
        }
        let staged = self.staged(now).ok_or(RetireError::NoSuccessor(kid))?;
        let (successor, from) = (staged.kid(), staged.record.created.plus(self.propagation));
        if from > now {
            return Err(RetireError::TooSoon { successor, from });
        }
        let planned = staged.record.not_before;
        self.move_end_of_primary(planned, Some(now), now);
        self.change(successor, |record| record.not_before = now);
        self.generation = self.generation.saturating_add(1);
        Ok(successor)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::keyring::lifecycle::fixture::{REST, START, after, ring};

    fn staged_for_an_hour() -> (KeyRing, KeyId, KeyId) {
        let (mut ring, first) = ring();
        let second = ring.rotate(START, Some(Duration::from_secs(3600)), None, "").expect("nothing is staged");
        (ring, first, second)
    }

    #[test]
    fn the_staged_key_seals_at_once_when_every_replica_can_open_it() {
        let (mut ring, first, second) = staged_for_an_hour();
        assert_eq!(ring.retire(first, after(600)).expect("staged for long enough"), second);
        assert_eq!(ring.primary(after(600)).map(|key| key.kid()), Some(second));
        let old = ring.records().find(|record| record.kid() == first).expect("kept");
        assert_eq!(ring.state(old, after(600)), KeyState::Retired);
        assert_eq!(ring.opens_until(old), Some(after(600 + REST)));
        assert_eq!(ring.generation(), 3);
        KeyRing::parse(&ring.to_json()).expect("a valid ring");
    }

    #[test]
    fn a_key_that_some_replica_may_not_have_does_not_seal() {
        let (mut ring, first, second) = staged_for_an_hour();
        let digest = ring.digest();
        let error = ring.retire(first, after(599)).expect_err("too soon");
        assert!(matches!(error, RetireError::TooSoon { successor, from } if successor == second && from == after(600)));
        assert_eq!(ring.digest(), digest);
    }

    #[test]
    fn every_other_key_is_refused_with_the_remedy() {
        let (mut ring, first) = ring();
        let alone = ring.retire(first, START).expect_err("no successor");
        assert!(alone.to_string().contains("keys rotate"), "{alone}");
        let second = ring.rotate(START, None, None, "").expect("nothing is staged");
        let staged = ring.retire(second, START).expect_err("staged");
        assert!(staged.to_string().contains(&format!("keys revoke {second}")), "{staged}");
        let retired = ring.retire(first, after(600)).expect_err("retired").to_string();
        assert_eq!(retired, format!("key {first} is retired already, and opens until {}", after(600 + REST)));
        let expired = ring.retire(first, after(600 + REST)).expect_err("expired").to_string();
        assert_eq!(expired, format!("key {first} is expired already, and opens nothing"));
        let stranger = KeyId::from_bytes([0xff; 4]);
        assert!(matches!(ring.retire(stranger, START), Err(RetireError::Unknown(_))));
    }
}
