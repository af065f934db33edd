//! The last activity: a small sealed cookie of its own, so that being active never rewrites the tokens.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::secret::SecretBytes;
use crate::session::wire::WireError;
use crate::session::{SessionId, session_time};

/// When the session was last in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose activity it was.
    pub sid: SessionId,
    /// When.
    pub at: UnixTime,
}

impl Seen {
    /// Whether activity at `now` is worth a new cookie: a tenth of the idle time has passed since `last`.
    pub fn is_due(last: UnixTime, now: UnixTime, idle_timeout: Duration) -> bool {
        now.since(last) >= (idle_timeout / 10).max(Duration::from_secs(1))
    }

    /// The plaintext to seal.
    pub fn encode(&self) -> SecretBytes {
        session_time::encode(self.sid, self.at)
    }

    /// Reads what [`Seen::encode`] wrote.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn decode(plaintext: &[u8]) -> Result<Self, WireError> {
        let (sid, at) = session_time::decode(plaintext)?;
        Ok(Self { sid, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::NOW;

    #[test]
    fn it_survives_the_round_trip() {
        let seen = Seen { sid: SessionId([3; 16]), at: NOW };
        assert_eq!(Seen::decode(&seen.encode()).expect("ours"), seen);
    }

    #[test]
    fn it_is_due_after_a_tenth_of_the_idle_time() {
        let idle = Duration::from_secs(100);
        assert!(!Seen::is_due(NOW, NOW.plus(Duration::from_secs(9)), idle));
        assert!(Seen::is_due(NOW, NOW.plus(Duration::from_secs(10)), idle));
        assert!(!Seen::is_due(NOW, NOW, Duration::from_secs(2)));
    }
}
