//! The bytes inside the seal: a codec byte, then a CBOR map (RFC 8949) whose keys are small integers.
//!
//! Tags that this release does not know are kept as they are and written again, so that releases can run side by
//! side. A reader must never trust a length in the input before it has the bytes.

pub mod compression;
mod opaque;
mod token;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

pub use self::opaque::Opaque;
pub use self::token::read_token;
use crate::secret::SecretBytes;

/// The first byte of the plaintext: CBOR as it is, without compression.
pub const CODEC_PLAIN: u8 = 0;

/// Why bytes from inside a seal do not read as what they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A codec byte of a later release, or none at all.
    #[error("the codec is not known to this release")]
    UnknownCodec,
    /// Not the CBOR that we write.
    #[error("the contents do not read as what they should be")]
    Malformed,
    /// A member that must be there is not.
    #[error("the member {0} is missing")]
    Missing(u32),
    /// The compressed part does not inflate, or to more than it may.
    #[error("the contents do not inflate as they should")]
    NotInflatable,
}

impl From<minicbor::decode::Error> for WireError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Malformed
    }
}

/// Members with tags of a later release, as they were read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UnknownMembers(Vec<(u32, SecretBytes)>);

/// Writes the members of one map, in the order in which they are given.
pub struct MapWriter {
    members: Encoder<Vec<u8>>,
    count: u64,
    opaque: Option<SecretBytes>,
}

impl Default for MapWriter {
    fn default() -> Self {
        Self { members: Encoder::new(Vec::new()), count: 0, opaque: None }
    }
}

impl MapWriter {
    /// A map that will be compressed: what does not compress goes behind `opaque` instead.
    pub fn beside(opaque: SecretBytes) -> Self {
        Self { opaque: Some(opaque), ..Self::default() }
    }

    /// Writes a token: beside the map where there is such a place, and all but its readable parts; else as a text.
    pub fn token(&mut self, tag: u32, token: &str) {
        match self.opaque.take() {
            None => self.text(tag, token),
            Some(mut opaque) => {
                self.member(tag, |encoder| token::write_token(encoder, &mut opaque, token));
                self.opaque = Some(opaque);
            }
        }
    }

    /// As [`MapWriter::token`], if there is one.
    pub fn optional_token(&mut self, tag: u32, token: Option<&str>) {
        if let Some(token) = token {
            self.token(tag, token);
        }
    }

    /// Writes random bytes: beside the map where there is such a place.
    pub fn random(&mut self, tag: u32, bytes: &[u8]) {
        match self.opaque.take() {
            None => self.bytes(tag, bytes),
            Some(mut opaque) => {
                opaque.extend_from_slice(bytes);
                self.opaque = Some(opaque);
                self.unsigned(tag, bytes.len() as u64);
            }
        }
    }

    /// Writes a text.
    pub fn text(&mut self, tag: u32, value: &str) {
        self.member(tag, |encoder| drop(encoder.str(value)));
    }

    /// Writes a text, if there is one.
    pub fn optional_text(&mut self, tag: u32, value: Option<&str>) {
        if let Some(value) = value {
            self.text(tag, value);
        }
    }

    /// Writes bytes.
    pub fn bytes(&mut self, tag: u32, value: &[u8]) {
        self.member(tag, |encoder| drop(encoder.bytes(value)));
    }

    /// Writes a number that is never negative.
    pub fn unsigned(&mut self, tag: u32, value: u64) {
        self.member(tag, |encoder| drop(encoder.u64(value)));
    }

    /// Writes an integer.
    pub fn integer(&mut self, tag: u32, value: i64) {
        self.member(tag, |encoder| drop(encoder.i64(value)));
    }

    /// Writes a list of maps, each with `write`.
    pub fn maps<T>(&mut self, tag: u32, items: &[T], write: impl Fn(&mut Self, &T)) {
        let mut opaque = self.opaque.take();
        self.member(tag, |encoder| {
            drop(encoder.array(items.len() as u64));
            for item in items {
                let mut map = Self { opaque: opaque.take(), ..Self::default() };
                write(&mut map, item);
                let (map, beside) = map.into_parts();
                encoder.writer_mut().extend_from_slice(&map);
                opaque = beside;
            }
        });
        self.opaque = opaque;
    }

    /// Adds the members of `other`, which has no place beside it.
    pub fn append(&mut self, other: Self) {
        self.count += other.count;
        self.members.writer_mut().extend_from_slice(&SecretBytes::from(other.members.into_writer()));
    }

    /// Writes members that were kept for a later release.
    pub fn unknown(&mut self, members: &UnknownMembers) {
        for (tag, raw) in &members.0 {
            self.member(*tag, |encoder| encoder.writer_mut().extend_from_slice(raw));
        }
    }

    /// The map's bytes.
    pub fn finish(self) -> SecretBytes {
        self.into_parts().0
    }

    /// The map's bytes, and what was written beside it.
    pub fn into_parts(self) -> (SecretBytes, Option<SecretBytes>) {
        let mut encoder = Encoder::new(Vec::new());
        drop(encoder.map(self.count));
        encoder.writer_mut().extend_from_slice(&SecretBytes::from(self.members.into_writer()));
        (encoder.into_writer().into(), self.opaque)
    }

    /// The codec byte and the map: what is sealed.
    pub fn finish_plain(self) -> SecretBytes {
        let map = self.finish();
        let mut plaintext = SecretBytes::from(Vec::with_capacity(map.len() + 1));
        plaintext.push(CODEC_PLAIN);
        plaintext.extend_from_slice(&map);
        plaintext
    }

    // Writing into a Vec cannot fail, so the encoder's results are dropped.
    fn member(&mut self, tag: u32, write: impl FnOnce(&mut Encoder<Vec<u8>>)) {
        self.count += 1;
        drop(self.members.u32(tag));
        write(&mut self.members);
    }
}

/// The decoded map's bytes behind the codec byte.
///
/// # Errors
/// [`WireError::UnknownCodec`].
pub fn strip_codec(plaintext: &[u8]) -> Result<&[u8], WireError> {
    match plaintext {
        [CODEC_PLAIN, map @ ..] => Ok(map),
        _ => Err(WireError::UnknownCodec),
    }
}

/// Reads the one map in `bytes`: `member` is called for each tag and either reads the value and answers `true`, or
/// leaves it and answers `false`, in which case it is kept.
///
/// # Errors
/// [`WireError::Malformed`] for anything but one map of definite length with integer keys and nothing behind it.
pub fn read_map<'b>(
    bytes: &'b [u8],
    member: impl FnMut(u32, &mut Decoder<'b>) -> Result<bool, WireError>,
) -> Result<UnknownMembers, WireError> {
    let mut decoder = Decoder::new(bytes);
    let unknown = read_members(&mut decoder, member)?;
    if decoder.position() == bytes.len() { Ok(unknown) } else { Err(WireError::Malformed) }
}

/// As [`read_map`], for a map inside another.
///
/// # Errors
/// As [`read_map`].
pub fn read_members<'b>(
    decoder: &mut Decoder<'b>,
    mut member: impl FnMut(u32, &mut Decoder<'b>) -> Result<bool, WireError>,
) -> Result<UnknownMembers, WireError> {
    let count = decoder.map()?.ok_or(WireError::Malformed)?;
    let mut unknown = UnknownMembers::default();
    for _ in 0..count {
        let tag = decoder.u32()?;
        if member(tag, decoder)? {
            continue;
        }
        let start = decoder.position();
        decoder.skip()?;
        let raw = decoder.input().get(start..decoder.position()).ok_or(WireError::Malformed)?;
        unknown.0.push((tag, raw.to_vec().into()));
    }
    Ok(unknown)
}

/// Reads a list, an element at a time.
///
/// # Errors
/// [`WireError::Malformed`] for anything but an array of definite length.
pub fn read_list<'b, T>(
    decoder: &mut Decoder<'b>,
    mut element: impl FnMut(&mut Decoder<'b>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    if decoder.datatype()? != Type::Array {
        return Err(WireError::Malformed);
    }
    let count = decoder.array()?.ok_or(WireError::Malformed)?;
    (0..count).map(|_| element(decoder)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_later_release_survive_the_round_trip() {
        let mut writer = MapWriter::default();
        writer.text(0, "known");
        writer.integer(99, -5);
        writer.maps(100, &[b"later"], |inner, bytes| inner.bytes(1, *bytes));
        let original = writer.finish_plain();

        let read = |plaintext: &[u8]| {
            let mut known = None;
            let map = strip_codec(plaintext).expect("our codec");
            let unknown = read_map(map, |tag, decoder| match tag {
                0 => {
                    known = Some(decoder.str()?.to_owned());
                    Ok(true)
                }
                _ => Ok(false),
            })
            .expect("our map");
            (known.expect("member 0"), unknown)
        };
        let (known, unknown) = read(&original);
        let mut writer = MapWriter::default();
        writer.text(0, &known);
        writer.unknown(&unknown);
        assert_eq!(writer.finish_plain(), original);
    }

    #[test]
    fn another_codec_is_refused() {
        assert!(matches!(strip_codec(&[1, 0xa0]), Err(WireError::UnknownCodec)));
        assert!(matches!(strip_codec(&[]), Err(WireError::UnknownCodec)));
    }

    #[test]
    fn what_is_not_one_map_is_refused() {
        let skip_all = |bytes: &[u8]| read_map(bytes, |_, _| Ok(false)).is_err();
        assert!(!skip_all(&[0xa0]));
        for bytes in [
            &[][..],
            &[0xa1],
            &[0xa0, 0],
            &[0xbf, 0xff],
            &[0xa1, 0x61, b'a', 0],
            &[0xbb, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert!(skip_all(bytes), "{bytes:x?}");
        }
    }

    #[test]
    fn a_list_that_claims_more_than_it_has_is_refused_without_allocating_for_it() {
        let mut decoder = Decoder::new(&[0x9b, 0, 0, 255, 255, 255, 255, 255, 255, 0]);
        assert!(read_list(&mut decoder, |decoder| Ok(decoder.u8()?)).is_err());
    }
}
