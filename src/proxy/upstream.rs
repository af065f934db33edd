//! The client side: connections to upstreams, over TCP or TLS, kept for reuse.
//!
//! This is the only place that names hyper's client; everything above sees [`UpstreamClient::connection`] and
//! [`Exchange::send`]. A client belongs to one worker: its connections live on the worker's own thread. It never follows
//! a redirect and never reads a proxy from the environment.

mod connect;
mod origin;
mod pool;

use std::rc::Rc;
use std::sync::Arc;

use http::response::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;

pub use self::connect::{ConnectError, TlsRootsError, upstream_tls};
pub(super) use self::origin::Upstream;

use self::connect::Connector;
use self::pool::{Connection, Pool};
use super::Route;
use super::body::{Progress, RequestBody, Stage};

/// The connections of one worker to all upstreams. Clones share them.
#[derive(Clone)]
pub struct UpstreamClient {
    connector: Rc<Connector>,
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

impl UpstreamClient {
    /// A client without connections, which trusts what `tls` trusts (see [`upstream_tls`]).
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        Self { connector: Rc::new(Connector::new(tls)), pool: Pool::new() }
    }

    /// A connection to one of the route's upstreams: the next of the round, or, where it cannot be reached, another.
    pub(super) async fn connection<'r>(
        &self,
        route: &'r Route,
        reuse: Reuse,
    ) -> Result<(&'r Upstream, Exchange), ConnectError> {
        let mut failure = ConnectError::NoUpstream;
        for upstream in route.candidates() {
            if reuse == Reuse::Allowed
                && let Some(connection) = self.pool.take(upstream.origin())
            {
                return Ok((upstream, self.exchange(upstream, connection, true)));
            }
            match self.connector.connect(upstream.origin(), route.timeouts().connect).await {
                Ok(connection) => {
                    upstream.revive();
                    return Ok((upstream, self.exchange(upstream, connection, false)));
                }
                Err(error) => {
                    tracing::warn!(%upstream, %error, "cannot connect to the upstream");
                    upstream.rest();
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    fn exchange(&self, upstream: &Upstream, connection: Connection, reused: bool) -> Exchange {
        let (pool, origin) = (Rc::clone(&self.pool), Arc::clone(upstream.origin()));
        Exchange { connection, reused, origin, pool, progress: None }
    }
}

/// A connection that is no longer HTTP's.
pub(super) type UpstreamIo = TokioIo<Upgraded>;

/// One request and its response on a connection. Dropping it before [`finish`](Self::finish) closes the connection.
pub(super) struct Exchange {
    connection: Connection,
    reused: bool,
    origin: Arc<origin::Origin>,
    pool: Rc<Pool>,
    progress: Option<Rc<Progress>>,
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
        Ok((response.into_parts().0, TokioIo::new(io)))
    }

    /// The response has been read to its end: the connection goes back to the pool, unless the request is still being
    /// sent (the upstream answered early) or the upstream wants it closed.
    pub(super) fn finish(self) {
        if self.progress.is_some_and(|progress| progress.stage() == Stage::Sent) {
            self.pool.put(self.origin, self.connection);
        }
    }
}
