//! The client side: connections to upstreams, over TCP or TLS, kept for reuse.
//!
//! This is the only place that names hyper's client; everything above sees [`UpstreamClient::connection`] and
//! [`Exchange::send`]. A client belongs to one worker: its connections live on the worker's own thread. It never follows
//! a redirect and never reads a proxy from the environment.

mod check;
mod connect;
mod health;
mod origin;
mod pool;
mod tls;
mod unread;

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::select_all;
use http::response::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

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
use self::origin::Permit;
use self::pool::{Connection, Pool, PoolKey};
use super::Route;
use super::body::{Progress, RequestBody, Stage};

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
            progress: None,
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
    pub(super) io: TokioIo<Upgraded>,
    _permit: Permit,
}

/// One request and its response on a connection. Dropping it before [`finish`](Self::finish) closes the connection.
pub(super) struct Exchange {
    connection: Connection,
    reused: bool,
    key: PoolKey,
    pool: Rc<Pool>,
    keep_alive: Duration,
    progress: Option<Rc<Progress>>,
    permit: Permit,
}

/// A request that got no answer.
pub(super) struct SendError {
    /// What hyper says of it.
    pub(super) error: hyper::Error,
    /// The request, if nothing of it was written.
    pub(super) unsent: Option<Request<RequestBody>>,
}

impl SendError {
    /// Whether the connection was closed under the request before an answer came.
    pub(super) fn is_closed_connection(&self) -> bool {
        let io = std::error::Error::source(&self.error).and_then(|source| source.downcast_ref::<std::io::Error>());
        self.error.is_incomplete_message()
            || self.error.is_canceled()
            || self.error.is_closed()
            || io.is_some_and(|io| {
                use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
                matches!(io.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
            })
    }
}

impl Exchange {
    /// Whether the connection had a request before this one.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Sends `request`, and waits for the head of the response; 1xx are skipped.
    pub(super) async fn send(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, SendError> {
        self.progress = Some(request.body().progress());
        self.connection.sender.try_send_request(request).await.map_err(|mut failure| {
            let unsent = failure.take_message();
            SendError { error: failure.into_error(), unsent }
        })
    }

    /// The response is a 101: the connection itself, from the first byte behind that.
    pub(super) async fn switch(self, mut response: Response<Incoming>) -> Result<(Parts, UpstreamIo), hyper::Error> {
        let io = hyper::upgrade::on(&mut response).await?;
        Ok((response.into_parts().0, UpstreamIo { io: TokioIo::new(io), _permit: self.permit }))
    }

    /// The response has been read to its end: the connection goes back to the pool, unless the request is still being
    /// sent (the upstream answered early) or the upstream wants it closed.
    pub(super) fn finish(self) {
        if self.progress.is_some_and(|progress| progress.stage() == Stage::Sent) {
            self.pool.put(self.key, self.connection, self.keep_alive);
        }
    }
}
