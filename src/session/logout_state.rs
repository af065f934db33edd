//! The `state` of a logout at the provider: which session it ended, and when it began.
//!
//! It travels as `state` itself, sealed, so that nothing has to be kept for it. That it belongs to the browser that
//! brings it back is told by that browser's tombstone, which names the session.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::secret::SecretBytes;
use crate::session::wire::{WireError, read_map, strip_codec};
use crate::session::{SessionId, session_time};

/// Behind the tags of [`session_time`].
const RETURN_URL: u32 = 2;

/// How long a user may take at the provider, which may ask whether to sign out.
pub const LIFETIME: Duration = Duration::from_secs(600);

/// One logout on its way (OpenID Connect RP-Initiated Logout 1.0 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutState {
    /// The session that it ended.
    pub sid: SessionId,
    /// When it began.
    pub at: UnixTime,
    /// Where it leads in the end, a checked path; none: to the page that says so.
    pub return_url: Option<String>,
}

impl LogoutState {
    /// Whether it is still good at `now`; one from the future beyond `skew` is not.
    pub fn is_live(&self, now: UnixTime, skew: Duration) -> bool {
        self.at <= now.plus(skew) && now < self.at.plus(LIFETIME)
    }

    /// The plaintext to seal.
    pub fn encode(&self) -> SecretBytes {
        let mut map = session_time::write(self.sid, self.at);
        map.optional_text(RETURN_URL, self.return_url.as_deref());
        map.finish_plain()
    }

    /// Reads what [`LogoutState::encode`] wrote.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn decode(plaintext: &[u8]) -> Result<Self, WireError> {
        let (sid, at) = session_time::decode(plaintext)?;
        let mut return_url = None;
        read_map(strip_codec(plaintext)?, |tag, decoder| {
            let is_ours = tag == RETURN_URL;
            if is_ours {
                return_url = Some(decoder.str()?.to_owned());
            }
            Ok(is_ours)
        })?;
        Ok(Self { sid, at, return_url })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::NOW;

    #[test]
    fn it_survives_the_round_trip_and_lives_ten_minutes() {
        let state = LogoutState { sid: SessionId([3; 16]), at: NOW, return_url: None };
        assert_eq!(LogoutState::decode(&state.encode()).expect("ours"), state);
        let leads_on = LogoutState { return_url: Some("/bye".to_owned()), ..state.clone() };
        assert_eq!(LogoutState::decode(&leads_on.encode()).expect("ours"), leads_on);
        let skew = Duration::from_secs(60);
        assert!(state.is_live(NOW, skew) && state.is_live(NOW.minus(skew), skew));
        assert!(!state.is_live(NOW.plus(LIFETIME), skew) && !state.is_live(NOW.minus(skew * 2), skew));
    }
}
