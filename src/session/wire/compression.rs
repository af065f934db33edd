//! The compressed codec: two maps in one zstd frame (RFC 8878) with a preset dictionary, and beside it, as they are,
//! the bytes that do not compress.
//!
//! ```text
//! byte 0      the codec: 1
//! 1..3        bytes of the frame's first part, big-endian: the map that every request needs
//! 3..5        bytes of its second part: the map of what only login, refresh, logout and the user endpoint need
//! 5..n        the frame, without magic number, size, dictionary id and checksum: the seal around it authenticates it
//! n..         the opaque bytes, those of the first map first
//! ```
//! The parts end at block boundaries, so that the first inflates without the second, while the second may refer to
//! the first: the tokens of one login repeat one another. A codec number stands for a dictionary; neither may ever
//! change. A reader must never inflate to more than [`MAX_INFLATED`].

use std::cell::RefCell;
use std::io;
use std::sync::LazyLock;

use zstd::dict::DecoderDictionary;
use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation as _, OutBuffer};
use zstd::zstd_safe::FrameFormat;

use crate::secret::SecretBytes;
use crate::session::wire::WireError;

/// The first byte of the plaintext: zstd with the first dictionary.
pub const CODEC_ZSTD_1: u8 = 1;
/// The most bytes that both maps inflate to together.
pub const MAX_INFLATED: usize = 32 * 1024;

const DICTIONARY_1: &[u8] = include_bytes!("dictionary/1.zdict");
/// Higher levels gain half a percent and take four times as long.
pub(crate) const LEVEL: i32 = 3;
/// 32 KiB: no session is larger, and a decoder keeps a buffer of this size for each thread.
const WINDOW_LOG: u32 = 15;
const HEADER_BYTES: usize = 5;

thread_local! {
    static ENCODER: RefCell<Option<Encoder<'static>>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<Decoder<'static>>> = const { RefCell::new(None) };
}

static DECODER_DICTIONARY: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(DICTIONARY_1));

/// The parts of a compressed plaintext.
#[derive(Clone, Copy)]
pub struct Compressed<'b> {
    frame: &'b [u8],
    first_part: usize,
    /// What was left out of the maps.
    pub opaque: &'b [u8],
}

/// The two maps and the opaque bytes as one plaintext; none where the maps do not get smaller, or are larger than a
/// reader takes.
pub fn compress(first: &[u8], second: &[u8], opaque: &[u8]) -> Option<SecretBytes> {
    let inflated = first.len() + second.len();
    if inflated > MAX_INFLATED {
        return None;
    }
    let room = zstd::zstd_safe::compress_bound(first.len()) + zstd::zstd_safe::compress_bound(second.len());
    let mut plaintext = SecretBytes::from(vec![0; HEADER_BYTES + room]);
    let body = &mut plaintext[HEADER_BYTES..];
    let (first_part, second_part) = with_encoder(|encoder| write_frame(encoder, first, second, body)).ok()?;
    if HEADER_BYTES + first_part + second_part >= inflated {
        return None;
    }
    plaintext.truncate(HEADER_BYTES + first_part + second_part);
    plaintext[0] = CODEC_ZSTD_1;
    plaintext[1..3].copy_from_slice(&u16::try_from(first_part).ok()?.to_be_bytes());
    plaintext[3..5].copy_from_slice(&u16::try_from(second_part).ok()?.to_be_bytes());
    plaintext.extend_from_slice(opaque);
    Some(plaintext)
}

impl<'b> Compressed<'b> {
    /// Reads what stands behind the codec byte [`CODEC_ZSTD_1`].
    ///
    /// # Errors
    /// [`WireError::Malformed`].
    pub fn read(behind_codec: &'b [u8]) -> Result<Self, WireError> {
        let [a, b, c, d, body @ ..] = behind_codec else { return Err(WireError::Malformed) };
        let first_part = usize::from(u16::from_be_bytes([*a, *b]));
        let second_part = usize::from(u16::from_be_bytes([*c, *d]));
        let (frame, opaque) = body.split_at_checked(first_part + second_part).ok_or(WireError::Malformed)?;
        Ok(Self { frame, first_part, opaque })
    }

    /// The first map.
    ///
    /// # Errors
    /// [`WireError::NotInflatable`].
    pub fn first(&self) -> Result<SecretBytes, WireError> {
        inflate(&self.frame[..self.first_part])
    }

    /// Both maps, one behind the other.
    ///
    /// # Errors
    /// [`WireError::NotInflatable`].
    pub fn both(&self) -> Result<SecretBytes, WireError> {
        inflate(self.frame)
    }
}

/// Bytes of the frame's two parts.
fn write_frame(
    encoder: &mut Encoder<'static>,
    first: &[u8],
    second: &[u8],
    into: &mut [u8],
) -> io::Result<(usize, usize)> {
    let mut output = OutBuffer::around(into);
    run_whole(encoder, first, &mut output)?;
    enough_room(encoder.flush(&mut output)?)?;
    let first_part = output.pos();
    run_whole(encoder, second, &mut output)?;
    enough_room(encoder.finish(&mut output, true)?)?;
    Ok((first_part, output.pos() - first_part))
}

fn run_whole(encoder: &mut Encoder<'static>, part: &[u8], output: &mut OutBuffer<'_, [u8]>) -> io::Result<()> {
    let mut input = InBuffer::around(part);
    while input.pos() < part.len() {
        let before = (input.pos(), output.pos());
        encoder.run(&mut input, output)?;
        enough_room(usize::from((input.pos(), output.pos()) == before))?;
    }
    Ok(())
}

fn enough_room(left: usize) -> io::Result<()> {
    if left == 0 { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn inflate(frame: &[u8]) -> Result<SecretBytes, WireError> {
    // A byte more than may come, so that a full buffer is always too much.
    const ROOM: usize = MAX_INFLATED + 1;
    with_decoder(|decoder| {
        // A first guess that is right for all but the most repetitive.
        let mut inflated = SecretBytes::from(vec![0; (frame.len() * 3).clamp(512, ROOM)]);
        let mut input = InBuffer::around(frame);
        let mut length = 0;
        loop {
            let before = (input.pos(), length);
            let mut output = OutBuffer::around_pos(inflated.as_mut_slice(), length);
            decoder.run(&mut input, &mut output)?;
            length = output.pos();
            if length == ROOM {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            if length == inflated.len() {
                let mut larger = SecretBytes::from(vec![0; ROOM]);
                larger[..length].copy_from_slice(&inflated);
                inflated = larger;
            } else if input.pos() == frame.len() || (input.pos(), length) == before {
                inflated.truncate(length);
                return Ok(inflated);
            }
        }
    })
    .map_err(|_| WireError::NotInflatable)
}

fn with_encoder<T>(run: impl FnOnce(&mut Encoder<'static>) -> io::Result<T>) -> io::Result<T> {
    ENCODER.with_borrow_mut(|slot| {
        let encoder = match slot {
            Some(encoder) => {
                encoder.reinit()?;
                encoder
            }
            None => slot.insert(new_encoder()?),
        };
        run(encoder)
    })
}

fn with_decoder<T>(run: impl FnOnce(&mut Decoder<'static>) -> io::Result<T>) -> io::Result<T> {
    DECODER.with_borrow_mut(|slot| {
        let decoder = match slot {
            Some(decoder) => {
                decoder.reinit()?;
                decoder
            }
            None => slot.insert(new_decoder()?),
        };
        run(decoder)
    })
}

fn new_encoder() -> io::Result<Encoder<'static>> {
    let mut encoder = Encoder::with_dictionary(LEVEL, DICTIONARY_1)?;
    for parameter in [
        CParameter::WindowLog(WINDOW_LOG),
        CParameter::Format(FrameFormat::Magicless),
        CParameter::ContentSizeFlag(false),
        CParameter::ChecksumFlag(false),
        CParameter::DictIdFlag(false),
    ] {
        encoder.set_parameter(parameter)?;
    }
    Ok(encoder)
}

fn new_decoder() -> io::Result<Decoder<'static>> {
    let mut decoder = Decoder::with_prepared_dictionary(&DECODER_DICTIONARY)?;
    decoder.set_parameter(DParameter::Format(FrameFormat::Magicless))?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plaintext_of(first: &[u8], second: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 1 << 20];
        let (first_part, second_part) =
            with_encoder(|encoder| write_frame(encoder, first, second, &mut frame)).expect("there is room");
        let lengths = [first_part, second_part].map(|length| u16::try_from(length).expect("short").to_be_bytes());
        [lengths.concat().as_slice(), &frame[..first_part + second_part]].concat()
    }

    #[test]
    fn both_parts_come_back_and_the_first_without_the_second() {
        let plaintext = compress(&b"first ".repeat(20), &b"second ".repeat(20), b"opaque").expect("it gets smaller");
        assert_eq!(plaintext[0], CODEC_ZSTD_1);
        let compressed = Compressed::read(&plaintext[1..]).expect("ours");
        assert_eq!(compressed.first().expect("ours").as_slice(), b"first ".repeat(20));
        assert_eq!(compressed.both().expect("ours").as_slice(), [b"first ".repeat(20), b"second ".repeat(20)].concat());
        assert_eq!(compressed.opaque, b"opaque");
    }

    #[test]
    fn what_inflates_beyond_the_cap_is_refused_and_what_just_fits_is_not() {
        let (half, one_more) = (vec![b'a'; MAX_INFLATED / 2], vec![b'a'; MAX_INFLATED / 2 + 1]);
        let fits = plaintext_of(&half, &half);
        assert_eq!(Compressed::read(&fits).expect("read").both().expect("it fits").len(), MAX_INFLATED);
        let bomb = plaintext_of(&half, &one_more);
        assert!(bomb.len() < 200, "a few bytes that stand for many");
        assert!(matches!(Compressed::read(&bomb).expect("read").both(), Err(WireError::NotInflatable)));
        let bomb = plaintext_of(&vec![0; 1 << 24], b"");
        assert!(matches!(Compressed::read(&bomb).expect("read").first(), Err(WireError::NotInflatable)));
        assert!(compress(&half, &one_more, b"").is_none(), "nor is it written");
    }

    #[test]
    fn what_does_not_get_smaller_is_not_compressed() {
        let random: Vec<u8> = (0..=255_u8).map(|byte| byte.wrapping_mul(167)).collect();
        assert!(compress(&random, &random[..16], b"").is_none());
    }

    #[test]
    fn a_broken_frame_leaves_nothing_behind_for_the_next() {
        let whole = compress(&b"first ".repeat(20), b"", b"").expect("it gets smaller");
        for cut in 5..whole.len() {
            let length = u16::try_from(cut - 5).expect("short").to_be_bytes();
            let broken = [length.as_slice(), &[0, 0], &whole[5..cut]].concat();
            let inflated = Compressed::read(&broken).expect("read").first();
            assert!(inflated.is_err() || inflated.is_ok_and(|inflated| inflated.len() <= 120));
            assert_eq!(Compressed::read(&whole[1..]).expect("ours").first().expect("ours").len(), 120);
        }
    }
}
