//! The client side: connections to upstreams, over TCP or TLS, kept for reuse.
//!
//! Everything above sees [`UpstreamClient::connection`] and [`Exchange::send`]; how HTTP is spoken is
//! `http1`'s. A client belongs to one worker: its connections live on the worker's own thread. It never follows a redirect
//! and never reads a proxy from the environment.

mod check;
mod connect;
mod health;
mod http1;
mod origin;
mod pool;
mod tls;
mod unread;

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select_all;
use tokio::time::{Sleep, timeout};

pub use self::check::HealthSettings;
pub(super) use self::check::check;
pub use self::connect::ConnectError;
pub use self::health::EjectionSettings;
pub(super) use self::health::is_failure;
pub(super) use self::origin::{Upstream, is_https};
pub(super) use self::tls::{UpstreamTls, no_roots, system_roots};
pub use self::tls::{UpstreamTlsError, UpstreamTlsSettings, system_authorities};
pub(super) use self::unread::Reading;

use self::connect::connect;
use self::http1::Connection;
pub use self::http1::{ExchangeError, decode_chunks};
pub(super) use self::http1::{Head, SendError, Switched, read_head};
use self::origin::Permit;
use self::pool::{Pool, PoolKey};
use super::Route;
use super::body::RequestBody;

/// The connections of one worker to all upstreams. Clones share them.
#[derive(Clone)]
pub struct UpstreamClient {
    pool: Rc<Pool>,
}

/// Whether a connection that was used before will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reuse {
    /// Take an idle one if there is one.
    Allowed,
    /// Open a new one.
    Never,
}

impl Default for UpstreamClient {
    fn default() -> Self {
        Self::new()
    }
}

impl UpstreamClient {
    /// A client without connections.
    pub fn new() -> Self {
        Self { pool: Pool::new() }
    }

    /// A connection to one of the route's upstreams: the next that is well, or, where it cannot be reached, another;
    /// those that are left out only when no other can be reached.
    ///
    /// # Errors
    /// [`ConnectError`] of the last that was tried; [`ConnectError::Busy`] when all that are well have as many requests
    /// as they may, and as many wait, or none ended in time.
    pub(super) async fn connection<'r>(
        &self,
        route: &'r Route,
        reuse: Reuse,
    ) -> Result<(&'r Upstream, Exchange), ConnectError> {
        if let Some(only) = route.only_upstream() {
            return self.connection_to_any(&[only], route, reuse).await;
        }
        let (well, left_out) = route.candidates();
        match self.connection_to_any(&well, route, reuse).await {
            Err(error) if left_out.is_empty() || matches!(error, ConnectError::Busy) => Err(error),
            Err(_) => self.connection_to_any(&left_out, route, reuse).await,
            connected => connected,
        }
    }

    async fn connection_to_any<'r>(
        &self,
        upstreams: &[&'r Upstream],
        route: &Route,
        reuse: Reuse,
    ) -> Result<(&'r Upstream, Exchange), ConnectError> {
        let (mut failure, mut full) = (ConnectError::NoUpstream, Vec::new());
        for &upstream in upstreams {
            let Some(permit) = upstream.try_permit() else {
                full.push(upstream);
                continue;
            };
            match self.exchange(upstream, permit, route, reuse).await {
                Ok(exchange) => return Ok((upstream, exchange)),
                Err(error) => failure = error,
            }
        }
        if full.is_empty() {
            return Err(failure);
        }
        let (upstream, permit) = wait_for_any(&full, route).await?;
        Ok((upstream, self.exchange(upstream, permit, route, reuse).await?))
    }

    async fn exchange(
        &self,
        upstream: &Upstream,
        permit: Permit,
        route: &Route,
        reuse: Reuse,
    ) -> Result<Exchange, ConnectError> {
        let made = |key, connection, reused| Exchange {
            connection,
            reused,
            key,
            pool: Rc::clone(&self.pool),
            keep_alive: route.limits().keep_alive,
            permit,
        };
        let key = upstream.pool_key();
        if reuse == Reuse::Allowed
            && let Some(connection) = self.pool.take(&key)
        {
            return Ok(made(key, connection, true));
        }
        match connect(upstream, route.timeouts().connect).await {
            Ok((connection, reading)) => Ok(made(PoolKey { reading, ..key }, connection, false)),
            Err(error) => {
                tracing::warn!(%upstream, %error, "cannot connect to the upstream");
                upstream.failed();
                Err(error)
            }
        }
    }
}

/// The first place that becomes free, within the route's time for connecting.
async fn wait_for_any<'r>(full: &[&'r Upstream], route: &Route) -> Result<(&'r Upstream, Permit), ConnectError> {
    let _waiting = route.wait().ok_or(ConnectError::Busy)?;
    let places = full.iter().map(|&upstream| Box::pin(async move { (upstream, upstream.permit().await) }));
    match timeout(route.timeouts().connect, select_all(places)).await {
        Ok(((upstream, Some(permit)), ..)) => Ok((upstream, permit)),
        _ => Err(ConnectError::Busy),
    }
}

/// A connection that is no longer HTTP's. It keeps its place at the upstream.
pub(super) struct UpstreamIo {
    /// The bytes both ways.
    pub(super) io: Switched,
    _permit: Permit,
}

/// One request and its response on a connection. Dropping it before [`finish`](Self::finish) closes the connection.
pub(super) struct Exchange {
    connection: Connection,
    reused: bool,
    key: PoolKey,
    pool: Rc<Pool>,
    keep_alive: Duration,
    permit: Permit,
}

impl Exchange {
    /// Whether the connection had a request before this one.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Where the head of the request is to be written, whole, before [`send`](Self::send).
    pub(super) fn head_buffer(&mut self) -> &mut Vec<u8> {
        self.connection.head_buffer()
    }

    /// The connection's timer, which is to be given back: it is cheaper to move one on than to make one.
    pub(super) fn take_timer(&mut self) -> Option<Pin<Box<Sleep>>> {
        self.connection.timer.take()
    }

    /// Keeps the timer for the next request.
    pub(super) fn keep_timer(&mut self, timer: Pin<Box<Sleep>>) {
        self.connection.timer = Some(timer);
    }

    /// Sends the request, and waits for the head of the response; 1xx are skipped. `is_head`: it is HEAD.
    pub(super) async fn send(&mut self, body: &mut RequestBody, is_head: bool) -> Result<Head, SendError> {
        self.connection.send(body, is_head).await
    }

    /// How long the body of the response is from here, if that is known.
    pub(super) fn body_length(&self) -> Option<u64> {
        self.connection.body_length()
    }

    /// The body of the response, if all of it has come with its head.
    pub(super) fn take_whole_body(&mut self) -> Option<Bytes> {
        self.connection.take_whole_body()
    }

    /// The next piece of the body; none at its end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ExchangeError>>> {
        self.connection.poll_body(cx)
    }

    /// The response is a 101: the connection itself, from the first byte behind that.
    pub(super) fn switch(self) -> Option<UpstreamIo> {
        Some(UpstreamIo { io: self.connection.switch()?, _permit: self.permit })
    }

    /// The response has been read to its end: the connection goes back to the pool, unless the request was still being
    /// sent (the upstream answered early), the upstream wants it closed or has sent more than its answer.
    pub(super) fn finish(self) {
        if self.connection.is_done() {
            self.pool.put(self.key, self.connection, self.keep_alive);
        }
    }
}
