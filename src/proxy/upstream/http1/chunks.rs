//! The chunked transfer coding (RFC 9112 §7.1): data out, sizes, extensions and trailers gone.

use bytes::BytesMut;
use httparse::Status;

use super::{ExchangeError, MAX_FIELDS, Piece};

/// The longest line of a size with its extensions, and the longest section of trailers, in bytes.
const MAX_LINE: usize = 16 * 1024;
/// How many bytes of extensions a body may have in all: more than any has reason to.
const MAX_EXTENSIONS: usize = 64 * 1024;

/// Where in the chunks we are.
#[derive(Debug)]
pub(super) struct Chunks {
    state: State,
    /// What sizes and extensions took so far beyond what sizes need.
    extensions: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self { state: State::Size, extensions: 0 }
    }

    /// The next piece of data in `read`, which loses what was read.
    pub(super) fn next(&mut self, read: &mut BytesMut) -> Result<Piece, ExchangeError> {
        loop {
            match self.state {
                // httparse takes an empty line for the last chunk, and line feeds for parts of an extension.
                State::Size if read.first().is_some_and(|first| !first.is_ascii_hexdigit()) => {
                    return Err(ExchangeError::Chunks);
                }
                State::Size => match httparse::parse_chunk_size(read) {
                    Ok(Status::Complete((line, size))) if memchr::memchr(b'\n', read) == Some(line - 1) => {
                        // `ffffffffffffffff` and the line's end need no more.
                        self.extensions += line.saturating_sub(18);
                        if line > MAX_LINE || self.extensions > MAX_EXTENSIONS {
                            return Err(ExchangeError::Chunks);
                        }
                        drop(read.split_to(line));
                        self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                    }
                    Ok(Status::Partial) if read.len() <= MAX_LINE => return Ok(Piece::Missing),
                    _ => return Err(ExchangeError::Chunks),
                },
                State::Data(_) if read.is_empty() => return Ok(Piece::Missing),
                State::Data(left) => {
                    let here = usize::try_from(left).map_or(read.len(), |left| left.min(read.len()));
                    let left = left - here as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Piece::Some(read.split_to(here).freeze()));
                }
                State::DataEnd => match &read[..read.len().min(2)] {
                    b"\r\n" => {
                        drop(read.split_to(2));
                        self.state = State::Size;
                    }
                    b"" | b"\r" => return Ok(Piece::Missing),
                    _ => return Err(ExchangeError::Chunks),
                },
                State::Trailers => {
                    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
                    return match httparse::parse_headers(read, &mut fields) {
                        Ok(Status::Complete((length, _))) if length <= MAX_LINE => {
                            // They are dropped: nobody was told that they may come.
                            drop(read.split_to(length));
                            Ok(Piece::End)
                        }
                        Ok(Status::Partial) if read.len() <= MAX_LINE => Ok(Piece::Missing),
                        _ => Err(ExchangeError::Chunks),
                    };
                }
            }
        }
    }
}
