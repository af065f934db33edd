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

use zeroize::Zeroizing;
use zstd::dict::DecoderDictionary;
use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation as _, OutBuffer};
use zstd::zstd_safe::FrameFormat;

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
pub fn compress(first: &[u8], second: &[u8], opaque: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let inflated = first.len() + second.len();
    if inflated > MAX_INFLATED {
        return None;
    }
    let room = zstd::zstd_safe::compress_bound(first.len()) + zstd::zstd_safe::compress_bound(second.len());
    let mut plaintext = Zeroizing::new(vec![0; HEADER_BYTES + room]);
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
    pub fn first(&self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        inflate(&self.frame[..self.first_part])
    }

    /// Both maps, one behind the other.
    ///
    /// # Errors
    /// [`WireError::NotInflatable`].
    pub fn both(&self) -> Result<Zeroizing<Vec<u8>>, WireError> {
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

fn inflate(frame: &[u8]) -> Result<Zeroizing<Vec<u8>>, WireError> {
    with_decoder(|decoder| {
        // A first guess that is right for all but the most repetitive, grown to the cap and not beyond.
        let mut inflated = Zeroizing::new(vec![0; (frame.len() * 5).clamp(256, MAX_INFLATED)]);
        let mut input = InBuffer::around(frame);
        let mut length = 0;
        loop {
            let mut output = OutBuffer::around_pos(inflated.as_mut_slice(), length);
            let before = (input.pos(), length);
            decoder.run(&mut input, &mut output)?;
            length = output.pos();
            let full = length == inflated.len();
            if !full && (input.pos() == frame.len() || (input.pos(), length) == before) {
                break;
            }
            if full && length == MAX_INFLATED {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            if full {
                let mut larger = Zeroizing::new(vec![0; MAX_INFLATED]);
                larger[..length].copy_from_slice(&inflated);
                inflated = larger;
            }
        }
        inflated.truncate(length);
        Ok(inflated)
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
