//! The refresh marker: a generation whose refresh token the provider refused, and since when.
//!
//! Another replica may have won the race for that token and have a newer cookie on its way, so only the same
//! generation failing again, a while later, ends the session.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::secret::SecretBytes;
use crate::session::wire::{MapWriter, WireError, read_map, strip_codec};
use crate::session::{Generation, SessionId};

/// How long the cookie lasts.
pub const LIFETIME: Duration = Duration::from_secs(10);
/// The same generation failing this long after its first failure has lost no race: its refresh token is dead.
pub const GRACE: Duration = Duration::from_secs(3);

/// The first failure of one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshMarker {
    /// The session.
    pub sid: SessionId,
    /// The generation that could not be refreshed.
    pub generation: Generation,
    /// When that was first seen.
    pub since: UnixTime,
}

mod tag {
    pub const SID: u32 = 0;
    pub const GENERATION: u32 = 1;
    pub const SINCE: u32 = 2;
}

impl RefreshMarker {
    /// The plaintext to seal.
    pub fn encode(&self) -> SecretBytes {
        let mut map = MapWriter::default();
        map.bytes(tag::SID, self.sid.as_bytes());
        map.integer(tag::GENERATION, i64::try_from(self.generation.0).unwrap_or(i64::MAX));
        map.integer(tag::SINCE, self.since.as_secs());
        map.finish_plain()
    }

    /// Reads what [`RefreshMarker::encode`] wrote.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn decode(plaintext: &[u8]) -> Result<Self, WireError> {
        let (mut sid, mut generation, mut since) = (None, None, None);
        read_map(strip_codec(plaintext)?, |tag, decoder| {
            match tag {
                tag::SID => sid = Some(SessionId(decoder.bytes()?.try_into().map_err(|_| WireError::Malformed)?)),
                tag::GENERATION => generation = Some(Generation(decoder.u64()?)),
                tag::SINCE => since = Some(UnixTime::from_secs(decoder.i64()?)),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self {
            sid: sid.ok_or(WireError::Missing(tag::SID))?,
            generation: generation.ok_or(WireError::Missing(tag::GENERATION))?,
            since: since.ok_or(WireError::Missing(tag::SINCE))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::NOW;

    #[test]
    fn it_survives_the_round_trip() {
        let marker = RefreshMarker { sid: SessionId([3; 16]), generation: Generation(7), since: NOW };
        assert_eq!(RefreshMarker::decode(&marker.encode()).expect("ours"), marker);
    }
}
