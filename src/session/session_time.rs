//! A session's identifier and a moment, as bytes: all that the activity cookie and the state of a logout hold.
//!
//! What tells the two apart is the purpose that they are sealed for; must never be read under another one.

use crate::clock::UnixTime;
use crate::secret::SecretBytes;
use crate::session::SessionId;
use crate::session::wire::{MapWriter, WireError, read_map, strip_codec};

mod tag {
    pub const SID: u32 = 0;
    pub const AT: u32 = 1;
}

/// The plaintext to seal.
pub(super) fn encode(sid: SessionId, at: UnixTime) -> SecretBytes {
    write(sid, at).finish_plain()
}

/// As [`encode`], for more to be written behind it.
pub(super) fn write(sid: SessionId, at: UnixTime) -> MapWriter {
    let mut map = MapWriter::default();
    map.bytes(tag::SID, sid.as_bytes());
    map.integer(tag::AT, at.as_secs());
    map
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// See [`WireError`].
pub(super) fn decode(plaintext: &[u8]) -> Result<(SessionId, UnixTime), WireError> {
    let (mut sid, mut at) = (None, None);
    read_map(strip_codec(plaintext)?, |tag, decoder| {
        match tag {
            tag::SID => sid = Some(SessionId(decoder.bytes()?.try_into().map_err(|_| WireError::Malformed)?)),
            tag::AT => at = Some(UnixTime::from_secs(decoder.i64()?)),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((sid.ok_or(WireError::Missing(tag::SID))?, at.ok_or(WireError::Missing(tag::AT))?))
}
