//! A token as pieces: what can be read in it is written as it reads, so that it compresses; what is random is kept
//! apart, because it does not compress and because a compressor that sees a secret beside text of somebody else's
//! choice tells of it by the length of its output.
//!
//! A token is an array. Its elements are, in the order of the token:
//!
//! | element | stands for |
//! | --- | --- |
//! | byte string | its base64url: a JSON object, such as the header or payload of a JWT (RFC 7515 §7.1) |
//! | unsigned integer n | the base64url of the next n opaque bytes |
//! | negative integer −1−n | n characters of base64url: the next ⌊n/4⌋·3 opaque bytes encoded, then n mod 4 as they are |
//! | array of one, \[n\] | the next n opaque bytes as they are |
//!
//! Between two elements stands a dot, but for the last kind, which stands for itself alone. Reading what was written
//! gives the same token to the byte, whatever it is: a segment that would not encode to itself takes the third form,
//! and a token that no form fits is kept whole in the last.

use base64::Engine as _;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::base64url::BASE64URL;
use crate::secret::{SecretBytes, SecretString};
use crate::session::wire::{Opaque, WireError};

/// Runs of base64url shorter than this are not worth an element of their own.
const SHORTEST_RUN: usize = 4;
/// A token of more pieces is kept whole.
const MOST_PIECES: usize = 16;

enum Piece<'t> {
    Json(SecretBytes),
    Bytes(SecretBytes),
    Characters(&'t str),
    Literal(&'t str),
}

/// Writes `token` as its pieces, the opaque ones behind `opaque`.
pub(super) fn write_token(encoder: &mut Encoder<Vec<u8>>, opaque: &mut SecretBytes, token: &str) {
    let pieces = Some(pieces_of(token)).filter(|pieces| pieces.len() <= MOST_PIECES);
    let pieces = pieces.unwrap_or_else(|| vec![Piece::Literal(token)]);
    // Writing into a Vec cannot fail, so the encoder's results are dropped.
    drop(encoder.array(pieces.len() as u64));
    for piece in pieces {
        match piece {
            Piece::Json(json) => drop(encoder.bytes(&json)),
            Piece::Bytes(bytes) => {
                opaque.extend_from_slice(&bytes);
                drop(encoder.u64(bytes.len() as u64));
            }
            Piece::Characters(characters) => {
                let (quadruples, rest) = characters.split_at(characters.len() / 4 * 4);
                // Whole quadruples of the alphabet always decode.
                opaque.extend_from_slice(&SecretBytes::from(BASE64URL.decode(quadruples).unwrap_or_default()));
                opaque.extend_from_slice(rest.as_bytes());
                drop(encoder.int((-1 - i64::try_from(characters.len()).unwrap_or(i64::MAX - 1)).into()));
            }
            Piece::Literal(text) => {
                opaque.extend_from_slice(text.as_bytes());
                drop(encoder.array(1).and_then(|encoder| encoder.u64(text.len() as u64)));
            }
        }
    }
}

/// Reads a token: a plain text, or what [`write_token`] wrote.
///
/// # Errors
/// [`WireError::Malformed`].
pub fn read_token<'b>(decoder: &mut Decoder<'b>, opaque: &mut Opaque<'b>) -> Result<SecretString, WireError> {
    if decoder.datatype()? == Type::String {
        return Ok(SecretString::new(decoder.str()?));
    }
    // Its length first: a text that grows leaves parts of the token behind in memory.
    let mut length = 0;
    read_parts(&mut decoder.clone(), &mut opaque.clone(), |part| {
        length += match part {
            Part::Literal(text) => text.len(),
            Part::Encoded(bytes) => (bytes.len() * 4).div_ceil(3),
        };
    })?;
    let mut token = SecretBytes::from(vec![0; length]);
    let mut at = 0;
    read_parts(decoder, opaque, |part| {
        at += match part {
            Part::Literal(text) => token.get_mut(at..at + text.len()).map_or(0, |room| {
                room.copy_from_slice(text.as_bytes());
                text.len()
            }),
            // Straight into its place: as a growing text it would be copied and checked in pieces.
            Part::Encoded(bytes) => BASE64URL.encode_slice(bytes, &mut token[at..]).unwrap_or(0),
        };
    })?;
    String::from_utf8(std::mem::take(&mut *token)).map(SecretString::new).map_err(|_| WireError::Malformed)
}

enum Part<'b> {
    Literal(&'b str),
    /// As base64url.
    Encoded(&'b [u8]),
}

fn read_parts<'b>(
    decoder: &mut Decoder<'b>,
    opaque: &mut Opaque<'b>,
    mut part: impl FnMut(Part<'b>),
) -> Result<(), WireError> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| WireError::Malformed);
    let count = decoder.array()?.ok_or(WireError::Malformed)?;
    let mut after_segment = false;
    for _ in 0..count {
        let kind = decoder.datatype()?;
        let is_segment = kind != Type::Array;
        if is_segment && after_segment {
            part(Part::Literal("."));
        }
        after_segment = is_segment;
        match kind {
            Type::Array if decoder.array()? == Some(1) => part(Part::Literal(text(opaque.take(decoder.u64()?)?)?)),
            Type::Bytes => part(Part::Encoded(decoder.bytes()?)),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => part(Part::Encoded(opaque.take(decoder.u64()?)?)),
            Type::I8 | Type::I16 | Type::I32 => {
                let characters = u64::try_from(-1 - decoder.i64()?).map_err(|_| WireError::Malformed)?;
                part(Part::Encoded(opaque.take(characters / 4 * 3)?));
                part(Part::Literal(text(opaque.take(characters % 4)?)?));
            }
            _ => return Err(WireError::Malformed),
        }
    }
    Ok(())
}

fn pieces_of(token: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    // What lies between the last piece and the next, and is not (yet) a piece.
    let mut literal_from = 0;
    let mut at = 0;
    while at < token.len() {
        let run = token[at..].bytes().take_while(|byte| is_base64url(*byte)).count();
        if run < SHORTEST_RUN {
            let other = token[at + run..].chars().next().map_or(0, char::len_utf8);
            at += run + other;
            continue;
        }
        let between = &token[literal_from..at];
        let after_segment = pieces.last().is_some_and(|piece| !matches!(piece, Piece::Literal(_)));
        let is_implied = between.is_empty() || (between == "." && after_segment);
        if !is_implied {
            pieces.push(Piece::Literal(between));
        }
        pieces.push(segment(&token[at..at + run]));
        at += run;
        literal_from = at;
    }
    if literal_from < token.len() {
        pieces.push(Piece::Literal(&token[literal_from..]));
    }
    pieces
}

/// `characters` are of the alphabet of base64url.
fn segment(characters: &str) -> Piece<'_> {
    // Strict to the last bit: what decodes encodes to itself.
    let Ok(bytes) = BASE64URL.decode(characters).map(SecretBytes::from) else { return Piece::Characters(characters) };
    match bytes.first() {
        Some(b'{') => Piece::Json(bytes),
        _ => Piece::Bytes(bytes),
    }
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The CBOR and the opaque bytes.
    fn written(token: &str) -> (Vec<u8>, Vec<u8>) {
        let mut encoder = Encoder::new(Vec::new());
        let mut opaque = SecretBytes::from(b"before".to_vec());
        write_token(&mut encoder, &mut opaque, token);
        (encoder.into_writer(), opaque[6..].to_vec())
    }

    fn read(cbor: &[u8], opaque: &[u8]) -> Result<String, WireError> {
        let (mut decoder, mut opaque) = (Decoder::new(cbor), Opaque::new(opaque));
        let token = read_token(&mut decoder, &mut opaque)?;
        assert_eq!((decoder.position(), opaque.left()), (cbor.len(), 0), "all of it is read");
        Ok(token.expose().to_owned())
    }

    fn survives(token: &str) -> bool {
        let (cbor, opaque) = written(token);
        read(&cbor, &opaque).is_ok_and(|read| read == token)
    }

    #[test]
    fn the_claims_of_a_jwt_are_written_as_they_read_and_its_signature_is_not() {
        let token =
            format!("{}.{}.c2lnbmF0dXJl", BASE64URL.encode(r#"{"alg":"none"}"#), BASE64URL.encode(r#"{"a":1}"#));
        let (cbor, opaque) = written(&token);
        assert_eq!(cbor, b"\x83\x4e{\"alg\":\"none\"}\x47{\"a\":1}\x09");
        assert_eq!(opaque, b"signature");
        assert_eq!(read(&cbor, &opaque).expect("ours"), token);
    }

    #[test]
    fn an_opaque_token_takes_three_bytes_for_four_characters() {
        let (cbor, opaque) = written("1//0gAbCdEfGhIjKlMnOp");
        assert_eq!((cbor.len(), opaque.len()), (4, 3 + 12 + 2));
        assert!(survives("1//0gAbCdEfGhIjKlMnOp"));
    }

    #[test]
    fn whatever_a_provider_issues_survives_to_the_byte() {
        for token in [
            "",
            ".",
            "...",
            "a",
            "abcde",
            "abcd.",
            ".abcd",
            "abcd..efgh",
            "abcd.ef.ghij",
            "e30.e30.",
            "e30=.e30=",
            "eyJ9",
            "eyJ.eyJ9.AA",
            "eyJhIjoxfR.eyJhIjoxfQ.AB",
            "ya29.a0AfH6SMBx-_",
            "v1.MbCdE",
            "1//0gAbCd",
            "a b c",
            "grüße.aus.Köln",
            "+/+/abcd+/==",
            &"ab+".repeat(100),
            &"abcd+".repeat(100),
            &"x".repeat(10_000),
            "{\"not\":\"encoded\"}",
        ] {
            assert!(survives(token), "{token:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_survives(token in ".{0,200}") {
            prop_assert!(survives(&token));
        }

        #[test]
        fn any_segments_survive(segments in prop::collection::vec("[A-Za-z0-9_-]{0,20}", 0..8), glue in "[./+= ]") {
            prop_assert!(survives(&segments.join(&glue)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(cbor in prop::collection::vec(any::<u8>(), 0..64), opaque in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_token(&mut Decoder::new(&cbor), &mut Opaque::new(&opaque));
        }
    }

    #[test]
    fn a_length_beyond_what_is_there_is_refused_without_allocating_for_it() {
        for cbor in
            [b"\x81\x1b\x7f\xff\xff\xff\xff\xff\xff\xff".as_slice(), b"\x81\x3a\xff\xff\xff\xff", b"\x81\x81\x18\xff"]
        {
            assert!(matches!(read(cbor, b"ab"), Err(WireError::Malformed)), "{cbor:x?}");
        }
    }
}
