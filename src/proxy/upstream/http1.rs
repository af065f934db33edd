//! The client's end of HTTP/1.1 (RFC 9112): one request and its answer on a connection, nothing in between.
//!
//! `httparse` reads heads and the sizes of chunks; framing, order and limits are kept here. A general client library
//! costs a task for each connection, channels to it and a second set of header fields, which together were an eighth of
//! what a request cost ([docs/benchmarks.md](../../../docs/benchmarks.md)). Whatever is not exactly framed is refused, for what
//! one side takes for the end of a message the other must too: no field, body or byte beyond an answer may ever pass for
//! the next one.

mod chunks;
mod head;
mod io;
mod offline;
mod send;

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

use self::chunks::Chunks;
pub(in crate::proxy) use self::head::Head;
pub(super) use self::io::Io;
pub(in crate::proxy) use self::io::Switched;
use self::io::{Reader, poll_fill};
pub use self::offline::decode_chunks;
pub(in crate::proxy) use self::offline::read_head;
use self::send::Upload;

/// The longest head of a response, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// The most fields in the head of a response.
const MAX_FIELDS: usize = 128;
/// What is read at once, at least and at most.
const READ: (usize, usize) = (8 * 1024, 64 * 1024);

/// Why there is no answer, or not a whole one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The connection was closed before the answer, or its body, was whole.
    #[error("the connection was closed before the end of the answer")]
    Closed,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// What came is not HTTP/1.1 (RFC 9112 §4, §5).
    #[error("the answer is not HTTP")]
    NotHttp,
    /// The head is longer than 64 KiB, or has more than 128 fields.
    #[error("the head of the answer is too long")]
    HeadTooLong,
    /// `Content-Length` is no length, or several (RFC 9112 §6.3).
    #[error("the answer has no length that could be relied on")]
    Length,
    /// The body is in a transfer coding that we did not offer to decode (RFC 9112 §7.4), or framed by two.
    #[error("the transfer coding of the answer is not chunked")]
    TransferCoding,
    /// The chunks do not hold together (RFC 9112 §7.1).
    #[error("the answer's chunks are malformed")]
    Chunks,
}

/// A request that got no answer.
#[derive(Debug)]
pub(in crate::proxy) struct SendError {
    /// Why.
    pub(in crate::proxy) error: ExchangeError,
    /// Not a byte of the request was written.
    pub(in crate::proxy) unsent: bool,
    /// The connection was closed under the request, before a byte of an answer came.
    pub(in crate::proxy) closed: bool,
}

/// A connection between exchanges, and during one.
pub(super) struct Connection {
    io: Reader,
    /// What was read and belongs to nothing yet.
    read: BytesMut,
    /// How much to read at once.
    want: usize,
    /// What is to be written of a head, or around pieces of a body.
    write: Vec<u8>,
    framing: Framing,
    /// The answer lets the connection live on, and nothing of the exchange is amiss.
    reusable: bool,
    /// What requests on it are waited for with, one after the other.
    pub(super) timer: Option<Pin<Box<Sleep>>>,
}

/// How an answer's body ends (RFC 9112 §6.3).
#[derive(Debug)]
enum Framing {
    /// It has ended, or there is none.
    Ended,
    /// So many bytes are to come.
    Length(u64),
    /// With the last chunk.
    Chunked(Chunks),
    /// With the connection.
    UntilClose,
}

impl Connection {
    pub(super) fn new(io: Io) -> Self {
        Self {
            io: Reader::Whole(io),
            read: BytesMut::new(),
            want: READ.0,
            write: Vec::new(),
            framing: Framing::Ended,
            reusable: true,
            timer: None,
        }
    }

    /// Whether it can take a request: it is open, and has said nothing that nobody asked for.
    pub(super) fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        // Nobody waits for what it says: it is looked at when it is wanted.
        let mut nobody = Context::from_waker(Waker::noop());
        Pin::new(&mut self.io).poll_read(&mut nobody, &mut buffer).is_pending()
    }

    /// Whether it may take another request: both messages have ended, and nothing came behind the answer.
    pub(super) fn is_done(&self) -> bool {
        self.reusable
            && matches!(self.framing, Framing::Ended)
            && self.read.is_empty()
            && matches!(self.io, Reader::Whole(_))
    }

    /// Where the head of the next request is to be written.
    pub(super) fn head_buffer(&mut self) -> &mut Vec<u8> {
        self.write.clear();
        &mut self.write
    }

    /// How long the body of the answer is, if that is known.
    pub(super) fn body_length(&self) -> Option<u64> {
        match self.framing {
            Framing::Ended => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked(_) | Framing::UntilClose => None,
        }
    }

    /// The body, if all of it is here already.
    pub(super) fn take_whole_body(&mut self) -> Option<Bytes> {
        let Framing::Length(length) = self.framing else { return None };
        let length = usize::try_from(length).ok().filter(|length| *length <= self.read.len())?;
        self.framing = Framing::Ended;
        Some(self.read.split_to(length).freeze())
    }

    /// The next piece of the answer's body; none at its end.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ExchangeError>>> {
        loop {
            match self.next_piece() {
                Ok(Piece::Some(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(Piece::End) => {
                    self.framing = Framing::Ended;
                    return Poll::Ready(None);
                }
                Ok(Piece::Missing) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match ready!(poll_fill(&mut self.io, &mut self.read, &mut self.want, cx)) {
                Ok(0) if matches!(self.framing, Framing::UntilClose) => self.framing = Framing::Ended,
                Ok(0) => return Poll::Ready(Some(Err(ExchangeError::Closed))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }

    fn next_piece(&mut self) -> Result<Piece, ExchangeError> {
        match &mut self.framing {
            Framing::Ended | Framing::Length(0) => Ok(Piece::End),
            Framing::Chunked(chunks) => chunks.next(&mut self.read),
            _ if self.read.is_empty() => Ok(Piece::Missing),
            Framing::UntilClose => Ok(Piece::Some(self.read.split().freeze())),
            Framing::Length(left) => {
                let here = usize::try_from(*left).map_or(self.read.len(), |left| left.min(self.read.len()));
                *left -= here as u64;
                if *left == 0 {
                    self.framing = Framing::Ended;
                }
                Ok(Piece::Some(self.read.split_to(here).freeze()))
            }
        }
    }

    /// The connection itself, from the first byte behind a 101.
    pub(super) fn switch(self) -> Option<Switched> {
        match self.io {
            Reader::Whole(io) => Some(Switched::new(self.read.freeze(), io)),
            Reader::Half(..) | Reader::Gone => None,
        }
    }
}

/// What there is of a body.
enum Piece {
    Some(Bytes),
    /// More must be read.
    Missing,
    End,
}

#[cfg(test)]
mod tests;
