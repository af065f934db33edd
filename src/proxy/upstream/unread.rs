//! Exchanges whose response somebody has stopped reading: they give their place at the upstream back.
//!
//! actix asks a body for its next piece only while the client takes what it was given, so a body cannot keep time
//! itself: a client that reads nothing would hold a connection for as long as it likes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::super::body::ResponseBodyError;
use super::Exchange;

/// How long a client may take for a piece at least, however short the route's idle timeout is: the upstream's silence is
/// another matter. nginx gives its clients as long (`send_timeout`).
#[cfg(not(test))]
const LEAST_PATIENCE: Duration = Duration::from_secs(60);
#[cfg(test)]
const LEAST_PATIENCE: Duration = Duration::from_secs(4);

/// An exchange whose response is being read.
pub(in crate::proxy) struct Reading {
    exchange: RefCell<Option<Exchange>>,
    asked_at: Cell<Instant>,
    patience: Duration,
    /// It has been read to its end.
    is_over: Cell<bool>,
    /// Whether the pool looks at it from time to time.
    watched: Cell<bool>,
}

impl Reading {
    /// The response of `exchange`, whose pieces may be asked for `patience` apart, or a minute if that is less.
    pub(in crate::proxy) fn new(exchange: Exchange, patience: Duration) -> Rc<Self> {
        let patience = patience.max(LEAST_PATIENCE);
        let (exchange, asked_at) = (RefCell::new(Some(exchange)), Cell::new(Instant::now()));
        Rc::new(Self { exchange, asked_at, patience, is_over: Cell::new(false), watched: Cell::new(false) })
    }

    /// The next piece; none at the end, upon which the connection is free for another request.
    pub(in crate::proxy) fn poll_body(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ResponseBodyError>>> {
        self.asked_at.set(Instant::now());
        let mut held = self.exchange.borrow_mut();
        let Some(exchange) = &mut *held else {
            return Poll::Ready(if self.is_over.get() { None } else { Some(Err(ResponseBodyError::Unread)) });
        };
        match ready!(exchange.poll_body(cx)) {
            Some(Ok(piece)) => {
                if exchange.body_length() == Some(0) {
                    // The last piece may lie with the client for long; the upstream has done its part.
                    self.is_over.set(true);
                    held.take().into_iter().for_each(Exchange::finish);
                } else if !self.watched.replace(true) {
                    // More is to come: from now on it is seen when nobody asks for it.
                    Rc::clone(&exchange.pool).look_at(Rc::downgrade(self));
                }
                Poll::Ready(Some(Ok(piece)))
            }
            Some(Err(error)) => {
                drop(held.take());
                Poll::Ready(Some(Err(ResponseBodyError::Broken(error))))
            }
            None => {
                self.is_over.set(true);
                held.take().into_iter().for_each(Exchange::finish);
                Poll::Ready(None)
            }
        }
    }

    /// The connection is closed; what of it is still to be read breaks off.
    pub(in crate::proxy) fn close(&self) {
        drop(self.exchange.take());
    }

    /// Closes the connection if nobody has asked for too long; whether it is still in use.
    pub(super) fn is_read(&self, now: Instant) -> bool {
        if now.duration_since(self.asked_at.get()) > self.patience {
            self.close();
        }
        self.exchange.borrow().is_some()
    }
}
