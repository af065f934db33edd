//! A request on its way, and the head of the answer, which may come before all of the request has gone.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::http::StatusCode;
use actix_web::rt;
use actix_web::rt::task::JoinHandle;
use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;

use super::io::{Reader, poll_fill};
use super::{Connection, ExchangeError, Framing, Head, SendError};
use crate::proxy::body::{RequestBody, Stage};

/// An upload that goes on by itself behind an early answer; it ends when this is dropped.
pub(super) struct Upload(JoinHandle<()>);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is to be written next: a line or a head, a piece of the body, the end of its chunk.
struct Outgoing {
    line: Vec<u8>,
    written: usize,
    piece: Bytes,
    tail: &'static [u8],
    chunked: bool,
    is_whole: bool,
    /// A byte was written.
    started: bool,
}

impl Outgoing {
    /// Writes what there is of the request, pulling its body as there is room; ready when all of it is written.
    fn poll_write<W>(&mut self, io: &mut W, body: &mut RequestBody, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        loop {
            while self.written < self.line.len() || !self.piece.is_empty() || !self.tail.is_empty() {
                let line = &self.line[self.written..];
                let count = if self.piece.is_empty() && self.tail.is_empty() {
                    // Most requests are a head alone, and the kernel takes one piece at less cost.
                    ready!(Pin::new(&mut *io).poll_write(cx, line))?
                } else {
                    let pieces = [IoSlice::new(line), IoSlice::new(&self.piece), IoSlice::new(self.tail)];
                    ready!(Pin::new(&mut *io).poll_write_vectored(cx, &pieces))?
                };
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.advance(count);
            }
            if self.is_whole {
                return Pin::new(io).poll_flush(cx);
            }
            self.line.clear();
            self.written = 0;
            match body.poll_piece(cx) {
                Poll::Pending => {
                    // What TLS has of it goes out while the client thinks.
                    ready!(Pin::new(&mut *io).poll_flush(cx))?;
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(piece))) => self.set(piece),
                Poll::Ready(None) => {
                    self.is_whole = true;
                    self.tail = if self.chunked { b"0\r\n\r\n" } else { b"" };
                }
                // The stage of the body tells it; the message cannot be ended.
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            }
        }
    }

    fn set(&mut self, piece: Bytes) {
        if piece.is_empty() {
            // As a chunk it would be the last one.
            return;
        }
        if self.chunked {
            self.line.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            self.tail = b"\r\n";
        }
        self.piece = piece;
    }

    fn advance(&mut self, mut count: usize) {
        self.started = true;
        let line = count.min(self.line.len() - self.written);
        self.written += line;
        count -= line;
        let piece = count.min(self.piece.len());
        self.piece.advance(piece);
        self.tail = &self.tail[count - piece..];
    }
}

impl Connection {
    /// Sends the request whose head is in the buffer, and waits for the head of the answer; 1xx but 101 are skipped
    /// (RFC 9110 §15.2). An answer may come while the body is still being sent, which then goes on by itself.
    ///
    /// `is_head`: the request is HEAD. `body` is left as it was if nothing was sent.
    pub(in crate::proxy::upstream) async fn send(
        &mut self,
        body: &mut RequestBody,
        is_head: bool,
    ) -> Result<Head, SendError> {
        let line = std::mem::take(&mut self.write);
        let chunked = body.is_chunked();
        let mut outgoing = Outgoing {
            line,
            written: 0,
            piece: Bytes::new(),
            tail: b"",
            chunked,
            is_whole: body.is_end(),
            started: false,
        };
        self.framing = Framing::UntilClose;
        self.reusable = false;
        let (mut searched, mut upload) = (0, Ok(false));
        let head = poll_fn(|cx| {
            if let (Ok(false), Reader::Whole(io)) = (&upload, &mut self.io) {
                let polled = outgoing.poll_write(io, body, cx);
                upload = match polled {
                    Poll::Pending => Ok(false),
                    Poll::Ready(Ok(())) => Ok(true),
                    Poll::Ready(Err(error)) => Err(error),
                };
                if body.progress().stage() == Stage::Broken {
                    return Poll::Ready(Err(ExchangeError::Closed));
                }
            }
            loop {
                match Head::take(&mut self.read, &mut searched) {
                    Ok(Some(head)) if head.status.is_informational() && head.status != SWITCHING => {}
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(None) => match ready!(poll_fill(&mut self.io, &mut self.read, &mut self.want, cx)) {
                        Ok(0) => return Poll::Ready(Err(ExchangeError::Closed)),
                        Ok(_) => {}
                        Err(error) => return Poll::Ready(Err(error.into())),
                    },
                }
            }
        })
        .await;
        let head = head.and_then(|head| Ok((head.framing(is_head)?, head)));
        let (framing, head) = head.map_err(|error| self.failed(error, &upload, outgoing.started))?;
        self.framing = framing;
        match upload {
            Ok(true) => {
                self.reusable = head.keeps_connection();
                self.write = outgoing.line;
            }
            // What the upstream does not take, nobody sends on.
            Err(_) => {}
            Ok(false) => self.upload_by_itself(outgoing, std::mem::replace(body, RequestBody::empty())),
        }
        Ok(head)
    }

    fn failed(&self, error: ExchangeError, upload: &io::Result<bool>, started: bool) -> SendError {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        let is_reset = |error: &io::Error| matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset);
        let closed = self.read.is_empty()
            && match &error {
                ExchangeError::Closed => true,
                ExchangeError::Io(error) => is_reset(error),
                _ => false,
            };
        // A connection that was closed before refuses the very first byte.
        let unsent = !started && upload.as_ref().is_err_and(is_reset);
        SendError { error, unsent, closed }
    }

    /// Goes on with an upload while the answer is read: who waits for its end before reading on would wait for ever.
    fn upload_by_itself(&mut self, mut outgoing: Outgoing, mut body: RequestBody) {
        let Reader::Whole(io) = std::mem::replace(&mut self.io, Reader::Gone) else { return };
        let (read, mut write) = tokio::io::split(io);
        let upload = rt::spawn(async move {
            if let Err(error) = poll_fn(|cx| outgoing.poll_write(&mut write, &mut body, cx)).await {
                tracing::debug!(%error, "an upload behind an early answer ended badly");
            }
        });
        self.io = Reader::Half(read, Upload(upload));
    }
}

const SWITCHING: StatusCode = StatusCode::SWITCHING_PROTOCOLS;
