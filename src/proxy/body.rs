//! The bodies on their way through: the client's payload as hyper reads it, the upstream's answer as actix reads it.
//!
//! Neither is ever gathered: each piece is pulled when the other side has room for it, so that a slow reader slows the
//! writer and not our memory.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Payload;
use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::UpstreamTimeouts;
use super::upstream::{Exchange, Reading};

/// How long a body is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// There is none.
    Absent,
    /// As many bytes, in `Content-Length`.
    Exactly(u64),
    /// As many as come; chunked.
    Unknown,
}

/// How far the request body has come: written by the body, read by who waits for the answer.
#[derive(Debug)]
pub(super) struct Progress {
    stage: Cell<Stage>,
    since: Cell<Instant>,
}

/// Who keeps the request from going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The upstream (or our own connection task) has yet to ask for the next piece.
    Sending,
    /// The client has yet to send the next piece.
    AwaitingClient,
    /// The body has been handed over whole.
    Sent,
    /// The client's body ended early or was malformed.
    Broken,
    /// The client's body is longer than the route takes.
    TooLarge,
}

impl Progress {
    fn new(stage: Stage) -> Rc<Self> {
        Rc::new(Self { stage: Cell::new(stage), since: Cell::new(Instant::now()) })
    }

    /// Who keeps the request from going on.
    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// When we have waited long enough, if nothing happens before.
    pub(super) fn deadline(&self, timeouts: &UpstreamTimeouts) -> Instant {
        let patience = if self.stage.get() == Stage::Sent { timeouts.first_byte } else { timeouts.idle };
        self.since.get() + patience
    }

    /// Starts the clock again: the connection stands, what came before was not the exchange.
    pub(super) fn restart(&self) {
        self.since.set(Instant::now());
    }

    fn reached(&self, stage: Stage) {
        self.stage.set(stage);
        self.since.set(Instant::now());
    }
}

/// The client's payload, as hyper wants bodies.
pub(super) struct RequestBody {
    payload: Payload,
    /// What is still to come of `Content-Length`.
    remaining: Option<u64>,
    /// How much may still come, where the route has a limit.
    room: Option<u64>,
    progress: Rc<Progress>,
}

/// The client's payload failed. Says nothing more: hyper only passes it back to us.
#[derive(Debug, thiserror::Error)]
#[error("the request body is incomplete")]
pub(super) struct BrokenPayload;

impl RequestBody {
    /// A body of `length`.
    pub(super) fn new(payload: Payload, length: BodyLength) -> Self {
        let (stage, remaining) = match length {
            BodyLength::Absent | BodyLength::Exactly(0) => (Stage::Sent, Some(0)),
            BodyLength::Exactly(length) => (Stage::Sending, Some(length)),
            BodyLength::Unknown => (Stage::Sending, None),
        };
        Self { payload, remaining, room: None, progress: Progress::new(stage) }
    }

    /// The same, broken off beyond `limit` bytes.
    pub(super) fn limited_to(self, limit: Option<u64>) -> Self {
        Self { room: limit, ..self }
    }

    /// A body without content.
    pub(super) fn empty() -> Self {
        Self::new(Payload::None, BodyLength::Absent)
    }

    /// Where to see how far this body has come.
    pub(super) fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }

    fn broken(&self) -> Poll<Option<Result<Frame<Bytes>, BrokenPayload>>> {
        self.ended(Stage::Broken)
    }

    fn ended(&self, stage: Stage) -> Poll<Option<Result<Frame<Bytes>, BrokenPayload>>> {
        self.progress.reached(stage);
        Poll::Ready(Some(Err(BrokenPayload)))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BrokenPayload;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenPayload>>> {
        let this = self.get_mut();
        if this.is_end_stream() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.payload).poll_next(cx) {
            Poll::Pending => {
                if this.progress.stage() != Stage::AwaitingClient {
                    this.progress.reached(Stage::AwaitingClient);
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(piece))) => {
                let Ok(length) = u64::try_from(piece.len()) else { return this.broken() };
                if let Some(room) = &mut this.room {
                    let Some(left) = room.checked_sub(length) else { return this.ended(Stage::TooLarge) };
                    *room = left;
                }
                if let Some(remaining) = &mut this.remaining {
                    let Some(left) = remaining.checked_sub(length) else { return this.broken() };
                    *remaining = left;
                }
                this.progress.reached(if this.remaining == Some(0) { Stage::Sent } else { Stage::Sending });
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Poll::Ready(Some(Err(_))) => this.broken(),
            Poll::Ready(None) if this.remaining.is_some() => this.broken(),
            Poll::Ready(None) => {
                this.progress.reached(Stage::Sent);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The upstream's body, as actix wants bodies. Dropping it before its end closes the upstream connection.
pub(super) struct ResponseBody {
    incoming: Incoming,
    size: BodySize,
    /// Held until the end, then handed back to the pool; or until nobody reads on.
    reading: Rc<Reading>,
    idle: IdleTimer,
}

/// Why a response broke off; the client sees its connection closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResponseBodyError {
    #[error("the upstream broke the response off")]
    Broken(#[source] hyper::Error),
    #[error("the upstream stopped sending the response body")]
    Idle,
}

impl ResponseBody {
    /// The body `incoming` of `exchange`, whose pieces may be `idle` apart.
    pub(super) fn new(incoming: Incoming, exchange: Exchange, idle: Duration) -> Self {
        let size = incoming.size_hint().exact().map_or(BodySize::Stream, BodySize::Sized);
        Self { incoming, size, reading: Reading::new(exchange, idle), idle: IdleTimer::new(idle) }
    }
}

impl MessageBody for ResponseBody {
    type Error = ResponseBodyError;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ResponseBodyError>>> {
        let this = self.get_mut();
        this.reading.is_asked();
        loop {
            match Pin::new(&mut this.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.idle.stop();
                    if this.incoming.is_end_stream() {
                        // The last piece may lie with the client for long; the upstream has done its part.
                        this.reading.finish();
                    } else {
                        this.reading.is_to_be_asked();
                    }
                    // Trailers are dropped: actix cannot send them. An empty piece would end a chunked body.
                    if let Ok(piece) = frame.into_data()
                        && !piece.is_empty()
                    {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    this.reading.close();
                    return Poll::Ready(Some(Err(ResponseBodyError::Broken(error))));
                }
                Poll::Ready(None) => {
                    this.reading.finish();
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    ready!(this.idle.poll_elapsed(cx));
                    this.reading.close();
                    return Poll::Ready(Some(Err(ResponseBodyError::Idle)));
                }
            }
        }
    }
}

/// The body of a response to HEAD whose length is in its head (RFC 9110 §9.3.2).
///
/// It calls itself a stream, because actix would hold it to a length, and takes a pipelined HEAD for another method.
pub(super) struct HeadBody;

impl MessageBody for HeadBody {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(None)
    }
}

/// Measures how long nothing comes, and costs nothing while something does: the timer is set only when we must wait, and
/// one that was set for an earlier wait is moved only when it fires.
struct IdleTimer {
    patience: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    fn new(patience: Duration) -> Self {
        Self { patience, waiting_since: None, timer: None }
    }

    fn stop(&mut self) {
        self.waiting_since = None;
    }

    fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.waiting_since.get_or_insert_with(Instant::now) + self.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}
