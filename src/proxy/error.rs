//! Why a request could not be forwarded.
//!
//! No variant holds a header's value, a path, a query or a body: the web layer may log any of them.

use actix_web::http::StatusCode;

use super::path::PathRefused;
use super::upstream::{ConnectError, ExchangeError};

/// Why there is no answer of an upstream to pass on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The request is one that no server may pass on.
    #[error("the request cannot be forwarded: {0}")]
    BadRequest(BadRequest),
    /// The route does not let this method pass; the answer needs `Allow` ([`Route::allow`](super::Route::allow)).
    #[error("the route does not allow this method")]
    MethodNotAllowed,
    /// The client stopped sending the body for longer than the route's idle time.
    #[error("the client stopped sending the request body")]
    RequestBodyTooSlow,
    /// The request's body is longer than the route takes.
    #[error("the request body is longer than {limit} bytes")]
    BodyTooLarge {
        /// Bytes that it takes.
        limit: u64,
    },
    /// The request has come through us before (RFC 9110 §7.6.3).
    #[error("the request has passed this proxy before")]
    LoopDetected,
    /// No upstream of the route could be reached. Nothing was sent.
    #[error("no upstream could be reached")]
    Connect(#[source] ConnectError),
    /// As many requests are under way as the route allows, and as many wait. Nothing was sent.
    #[error("too many requests are under way on the route")]
    Busy,
    /// An upstream kept us waiting.
    #[error("the upstream timed out: {phase}")]
    Timeout {
        /// What we waited for.
        phase: TimeoutPhase,
    },
    /// The upstream closed the connection before its answer, or its answer is not HTTP.
    #[error("the upstream did not answer properly")]
    BadGateway(#[source] BadGateway),
}

/// What makes a request one that no server may pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRequest {
    /// The request target names another host than ours.
    #[error("its target names another host")]
    ForeignTarget,
    /// The path cannot be passed on.
    #[error("{0}")]
    Path(#[from] PathRefused),
    /// The target or a field is not valid in HTTP/1.1.
    #[error("its head is malformed")]
    Malformed,
    /// `Connection` names more fields than any client has reason to.
    #[error("its Connection field names too many others")]
    TooManyConnectionOptions,
    /// It offers to become a WebSocket, but not as a handshake does (RFC 6455 §4.2.1).
    #[error("its WebSocket handshake is malformed")]
    Handshake,
    /// The body ended early or was malformed.
    #[error("its body is incomplete")]
    BrokenBody,
}

/// What an upstream's answer lacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadGateway {
    /// The connection broke, or what came is not HTTP.
    #[error("the exchange failed")]
    Exchange(#[from] ExchangeError),
    /// 101 where no upgrade, or one to another protocol, was asked for (RFC 9110 §15.2.2).
    #[error("it switched protocols unasked")]
    UnexpectedUpgrade,
    /// A head that cannot be passed on.
    #[error("the head of its answer is malformed")]
    Malformed,
    /// The access token is not a valid field value (RFC 6750 §2.1), so that it cannot be attached.
    #[error("the access token cannot be sent in a header")]
    AccessToken,
}

/// What we waited for when the time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutPhase {
    /// A connection.
    Connect,
    /// The upstream reading the request body.
    RequestBody,
    /// The head of the response.
    FirstByte,
}

impl std::fmt::Display for TimeoutPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting took too long",
            Self::RequestBody => "it stopped reading the request body",
            Self::FirstByte => "it did not begin to answer",
        })
    }
}

impl ForwardError {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestBodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LoopDetected => StatusCode::LOOP_DETECTED,
            Self::Connect(_) | Self::BadGateway(_) => StatusCode::BAD_GATEWAY,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// A stable name for the log.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad-request",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::RequestBodyTooSlow => "request-body-too-slow",
            Self::BodyTooLarge { .. } => "request-body-too-large",
            Self::LoopDetected => "loop-detected",
            Self::Connect(_) => "upstream-unreachable",
            Self::Busy => "upstream-busy",
            Self::Timeout { .. } => "upstream-timeout",
            Self::BadGateway(_) => "upstream-failed",
        }
    }
}

impl From<PathRefused> for ForwardError {
    fn from(reason: PathRefused) -> Self {
        Self::BadRequest(BadRequest::Path(reason))
    }
}

impl From<BadRequest> for ForwardError {
    fn from(reason: BadRequest) -> Self {
        Self::BadRequest(reason)
    }
}

impl From<BadGateway> for ForwardError {
    fn from(reason: BadGateway) -> Self {
        Self::BadGateway(reason)
    }
}
