//! A login's identifier, and what load balancers may know of it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A login's random identifier, 128 bits; it lives as long as the session. Not a credential.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub(super) [u8; Self::BYTES]);

impl SessionId {
    /// Bytes of an identifier.
    pub const BYTES: usize = 16;

    /// A new one from the operating system; none when it gives no random bytes.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; Self::BYTES];
        SysRng.try_fill_bytes(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Whether `text` is this identifier, in constant time.
    pub fn matches(&self, text: &str) -> bool {
        text.parse::<Self>().is_ok_and(|other| self.0.ct_eq(&other.0).into())
    }

    /// What load balancers hash a session by: no secret, and not the identifier itself.
    pub fn affinity(&self) -> String {
        let digest = Sha256::new().chain_update(b"sealgate affinity").chain_update(self.0).finalize();
        URL_SAFE_NO_PAD.encode(&digest[..12])
    }
}

/// Base64url, 22 characters.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SessionId {
    /// The first characters only: enough to follow one session through a log, not enough for its logout link.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", URL_SAFE_NO_PAD.encode(&self.0[..6]))
    }
}

/// A text that is no session identifier.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("not a session identifier")]
pub struct SessionIdError;

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| SessionIdError)?;
        bytes.try_into().map(Self).map_err(|_| SessionIdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_reads_back_and_matches_only_itself() {
        let sid = SessionId::random().expect("the system's randomness");
        assert_eq!(sid.to_string().parse::<SessionId>().expect("ours"), sid);
        assert!(sid.matches(&sid.to_string()));
        assert!(!sid.matches("") && !sid.matches(&SessionId([0; 16]).to_string()));
    }
}
