//! Tombstones: sessions that this browser has ended, so that a late response cannot bring one back.

use crate::clock::UnixTime;
use crate::secret::SecretBytes;
use crate::session::wire::{MapWriter, WireError, read_list, read_map, read_members, strip_codec};
use crate::session::{Generation, Session, SessionId};

/// How many ended sessions one browser remembers; the one that would end first goes first.
pub const MAX_ENTRIES: usize = 4;

/// One ended session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The session.
    pub sid: SessionId,
    /// Its generation when it ended.
    pub generation: Generation,
    /// Its absolute end: after that the cookie opens no more, and the entry can go.
    pub until: UnixTime,
}

/// The entry for a session as it is now.
impl From<&Session> for Ended {
    fn from(session: &Session) -> Self {
        Self { sid: session.sid, generation: session.generation, until: session.absolute_end }
    }
}

/// The ended sessions of one browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstone(Vec<Ended>);

mod tag {
    pub const ENTRIES: u32 = 0;

    pub const SID: u32 = 0;
    pub const GENERATION: u32 = 1;
    pub const UNTIL: u32 = 2;
}

impl Tombstone {
    /// Whether the session is named as ended.
    pub fn names(&self, sid: &SessionId) -> bool {
        self.0.iter().any(|ended| ended.sid == *sid)
    }

    /// Adds a session; drops those whose end has passed, and the nearest to its end when there are too many.
    #[must_use]
    pub fn with(mut self, ended: Ended, now: UnixTime) -> Self {
        self.0.retain(|entry| entry.until > now && entry.sid != ended.sid);
        self.0.push(ended);
        self.0.sort_by_key(|entry| entry.until);
        let surplus = self.0.len().saturating_sub(MAX_ENTRIES);
        self.0.drain(..surplus);
        self
    }

    /// The ended sessions, the first to end first.
    pub fn entries(&self) -> &[Ended] {
        &self.0
    }

    /// When the last of the sessions would have ended; none when there are none.
    pub fn until(&self) -> Option<UnixTime> {
        self.0.iter().map(|ended| ended.until).max()
    }

    /// The plaintext to seal.
    pub fn encode(&self) -> SecretBytes {
        let mut map = MapWriter::default();
        map.maps(tag::ENTRIES, &self.0, |entry, ended| {
            entry.bytes(tag::SID, ended.sid.as_bytes());
            entry.unsigned(tag::GENERATION, ended.generation.0);
            entry.integer(tag::UNTIL, ended.until.as_secs());
        });
        map.finish_plain()
    }

    /// Reads what [`Tombstone::encode`] wrote.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn decode(plaintext: &[u8]) -> Result<Self, WireError> {
        let mut entries = None;
        read_map(strip_codec(plaintext)?, |tag, decoder| {
            if tag != tag::ENTRIES {
                return Ok(false);
            }
            entries = Some(read_list(decoder, decode_entry)?);
            Ok(true)
        })?;
        Ok(Self(entries.ok_or(WireError::Missing(tag::ENTRIES))?))
    }
}

fn decode_entry(decoder: &mut minicbor::Decoder<'_>) -> Result<Ended, WireError> {
    let (mut sid, mut generation, mut until) = (None, None, None);
    read_members(decoder, |tag, decoder| {
        match tag {
            tag::SID => sid = Some(SessionId(decoder.bytes()?.try_into().map_err(|_| WireError::Malformed)?)),
            tag::GENERATION => generation = Some(Generation(decoder.u64()?)),
            tag::UNTIL => until = Some(UnixTime::from_secs(decoder.i64()?)),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Ended {
        sid: sid.ok_or(WireError::Missing(tag::SID))?,
        generation: generation.ok_or(WireError::Missing(tag::GENERATION))?,
        until: until.ok_or(WireError::Missing(tag::UNTIL))?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::tests::NOW;

    fn ended(id: u8, minutes: u64) -> Ended {
        let until = NOW.plus(Duration::from_secs(60 * minutes));
        Ended { sid: SessionId([id; 16]), generation: Generation(u64::from(id)), until }
    }

    #[test]
    fn it_survives_the_round_trip() {
        let tombstone = Tombstone::default().with(ended(1, 10), NOW).with(ended(2, 5), NOW);
        assert_eq!(Tombstone::decode(&tombstone.encode()).expect("ours"), tombstone);
        assert!(tombstone.names(&SessionId([1; 16])) && tombstone.names(&SessionId([2; 16])));
        assert!(!tombstone.names(&SessionId([3; 16])));
        assert_eq!(tombstone.until(), Some(ended(1, 10).until));
    }

    #[test]
    fn four_are_kept_and_the_nearest_to_its_end_goes_first() {
        let tombstone =
            (1..=5).fold(Tombstone::default(), |tombstone, id| tombstone.with(ended(id, 10 + u64::from(id)), NOW));
        assert!(!tombstone.names(&SessionId([1; 16])));
        assert!((2..=5).all(|id| tombstone.names(&SessionId([id; 16]))));
    }

    #[test]
    fn an_entry_goes_when_its_session_could_not_live_any_more() {
        let tombstone = Tombstone::default().with(ended(1, 1), NOW);
        let later = NOW.plus(Duration::from_secs(61));
        assert!(!tombstone.with(ended(2, 10), later).names(&SessionId([1; 16])));
    }
}
