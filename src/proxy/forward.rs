//! One request to an upstream and back.
//!
//! Nothing is sent twice that might have been acted on. The rule, in full:
//!
//! 1. While no connection stands, nothing was sent: every upstream of the route is tried, for every method.
//! 2. An upstream may close a kept connection at any time. When it was closed before a byte of the request was written,
//!    it is as if it had not been there: once more on a new connection, for every method.
//! 3. When it was closed under the written request and without an answer, the upstream may have acted: once more on a
//!    new connection, only for GET, HEAD and OPTIONS (RFC 9110 §9.2.1: safe, which is more than idempotent: a DELETE
//!    that is repeated would answer 404 to a deletion that worked) and only without a body (RFC 9112 §9.3.1).
//! 4. Otherwise never: not after a timeout, not after any part of an answer, not on a connection that was new, and not
//!    because of an answer's status.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use actix_http::ConnectionType;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ResponseHead};
use actix_web::http::header::{ALLOW, CONTENT_LENGTH, HeaderValue};
use actix_web::http::{self as inbound, StatusCode, Version};
use http::{HeaderName, HeaderValue as UpstreamValue};
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::{BodyLength, HeadBody, Progress, RequestBody, ResponseBody, Stage};
use super::error::{BadGateway, BadRequest, ForwardError, TimeoutPhase};
use super::headers::{RequestFields, body_length, copy_response_fields, max_forwards, request_fields};
use super::upgrade::{self, TunnelLimits};
use super::upstream::{ConnectError, Exchange, Head, Reuse, SendError, is_failure};
use super::{OwnNames, Route, UpstreamClient, UpstreamTimeouts};
use crate::origin::PublicOrigin;
use crate::secret::AccessToken;

/// As whom a request goes on. The upstream learns the public name from `X-Forwarded-Host`; `Host` names the upstream.
#[derive(Clone, Debug)]
pub struct ForwardContext<'a> {
    /// What `Authorization` says to the upstream.
    pub credentials: Credentials<'a>,
    /// What the upstream is told of the user beside it.
    pub identity: &'a [(HeaderName, UpstreamValue)],
    /// The cookies that stay with us.
    pub own_names: &'a OwnNames,
    /// What browsers call us.
    pub public_origin: &'a PublicOrigin,
    /// The peer of the connection.
    pub peer: Option<IpAddr>,
    /// Whether the peer is one of our own proxies, whose `X-Forwarded-For` counts.
    pub trusted_peer: bool,
    /// The trace of this request, for when the client has none (W3C Trace Context).
    pub traceparent: Option<String>,
    /// When a WebSocket ends, if the request becomes one.
    pub tunnel: TunnelLimits,
}

/// What `Authorization` says to the upstream.
#[derive(Clone, Copy, Debug)]
pub enum Credentials<'a> {
    /// Nothing: public routes.
    None,
    /// This token.
    Token(&'a AccessToken),
    /// What the client sent, which was verified.
    OfTheClient,
}

/// Sends `request` with its `payload` to an upstream of `route`, and gives the response back as it streams in.
///
/// The path must have come through [`RouteTable::find`](super::RouteTable::find). Dropping the future or the response
/// closes the upstream connection.
///
/// # Errors
/// [`ForwardError`]; nothing has been sent to the client then. An upstream that breaks off later ends the response's
/// body with an error, upon which actix closes the client's connection.
pub async fn forward(
    client: &UpstreamClient,
    route: &Route,
    request: &HttpRequest,
    payload: Payload,
    context: &ForwardContext<'_>,
) -> Result<HttpResponse, ForwardError> {
    if !route.allows(request.method()) {
        return Err(ForwardError::MethodNotAllowed);
    }
    check_target(request, context.public_origin)?;
    if max_forwards(request) == Some(0) {
        return Ok(own_options(route));
    }
    if upgrade::is_handshake(request)? {
        return forward_handshake(client, route, request, payload, context).await;
    }
    let length = body_length(request)?;
    let limit = route.max_body_size();
    if let (BodyLength::Exactly(length), Some(limit)) = (length, limit)
        && length > limit
    {
        return Err(ForwardError::BodyTooLarge { limit });
    }
    let body = RequestBody::new(payload, length).limited_to(limit);
    let outgoing = Outgoing { client, route, context, request, length, handshake: false };
    let (head, exchange) = outgoing.send(body).await?;
    respond(request, head, exchange, route, context.own_names)
}

/// A WebSocket's handshake: a request without a body; its payload is what the client sends after the 101.
async fn forward_handshake(
    client: &UpstreamClient,
    route: &Route,
    request: &HttpRequest,
    payload: Payload,
    context: &ForwardContext<'_>,
) -> Result<HttpResponse, ForwardError> {
    let outgoing = Outgoing { client, route, context, request, length: BodyLength::Absent, handshake: true };
    let (head, exchange) = outgoing.send(RequestBody::empty()).await?;
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return upgrade::switch(head, exchange, payload, context.own_names, context.tunnel.clone());
    }
    let mut response = respond(request, head, exchange, route, context.own_names)?;
    if response.body().size() == BodySize::Stream {
        // After a handshake actix would announce chunks and send none: the connection's end is the body's.
        end_with_connection(response.head_mut());
    }
    Ok(response)
}

/// A request target with a host in it must name ours (RFC 9112 §3.2.2); the authority form is CONNECT's.
fn check_target(request: &HttpRequest, origin: &PublicOrigin) -> Result<(), BadRequest> {
    let uri = request.uri();
    let Some(authority) = uri.authority().map(inbound::uri::Authority::as_str) else { return Ok(()) };
    let named =
        uri.scheme().is_some() && without_default_port(authority, origin).eq_ignore_ascii_case(origin.authority());
    if named { Ok(()) } else { Err(BadRequest::ForeignTarget) }
}

fn without_default_port<'a>(authority: &'a str, origin: &PublicOrigin) -> &'a str {
    authority.strip_suffix(if origin.is_https() { ":443" } else { ":80" }).unwrap_or(authority)
}

/// The answer to `OPTIONS` with `Max-Forwards: 0`, which is for us (RFC 9110 §7.6.2).
fn own_options(route: &Route) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    if let Ok(allow) = HeaderValue::from_str(&route.allow()) {
        response.insert_header((ALLOW, allow));
    }
    response.finish()
}

/// A request on its way to an upstream.
struct Outgoing<'a> {
    client: &'a UpstreamClient,
    route: &'a Route,
    context: &'a ForwardContext<'a>,
    request: &'a HttpRequest,
    length: BodyLength,
    handshake: bool,
}

impl Outgoing<'_> {
    /// Sends the request: on a connection that is there if possible, and once more on a new one if that was closed
    /// under it. How it fares is told to the upstream.
    async fn send(&self, mut body: RequestBody) -> Result<(Head, Exchange), ForwardError> {
        let Self { request, route, context, length, handshake, .. } = *self;
        let is_head = request.method() == inbound::Method::HEAD;
        let fields = request_fields(&RequestFields { request, route, context, length, handshake })?;
        let mut reuse = if handshake { Reuse::Never } else { Reuse::Allowed };
        loop {
            let (upstream, mut exchange) = self.client.connection(route, reuse).await.map_err(unreachable)?;
            let host = route.host_override().unwrap_or_else(|| upstream.host());
            write_head(exchange.head_buffer(), request, route, host, &fields);
            let progress = Rc::clone(body.progress());
            progress.restart();
            let first_look = progress.deadline(&route.timeouts()).min(progress.since() + shortest(&route.timeouts()));
            let mut timer = match exchange.take_timer() {
                Some(mut timer) => {
                    timer.as_mut().reset(first_look);
                    timer
                }
                None => Box::pin(sleep_until(first_look)),
            };
            let answered = self.answer(exchange.send(&mut body, is_head), &progress, timer.as_mut()).await;
            exchange.keep_timer(timer);
            let failure = match answered {
                Ok(Ok(head)) => {
                    if is_failure(head.status) {
                        upstream.failed()
                    } else {
                        upstream.answered()
                    }
                    return Ok((head, exchange));
                }
                Ok(Err(failure)) => failure,
                Err(timeout) => {
                    // A client that is too slow says nothing of the upstream.
                    if matches!(timeout, ForwardError::Timeout { .. }) {
                        upstream.failed();
                    }
                    return Err(timeout);
                }
            };
            match progress.stage() {
                Stage::Broken => return Err(BadRequest::BrokenBody.into()),
                Stage::TooLarge => return Err(too_large(route)),
                _ => {}
            }
            if !exchange.is_reused() {
                // An upload that it does not take, or a handshake, an upstream may end by closing: no client of its own
                // accord has it left out for everybody.
                let is_the_request_s = handshake || !self.is_bodyless();
                if !(is_the_request_s && failure.closed) {
                    upstream.failed();
                }
                return Err(BadGateway::Exchange(failure.error).into());
            }
            // The connection was an old one, which the upstream may close at any time. Where not a byte was written, it is
            // as if it had not been there.
            if !failure.unsent && !self.may_send_again(&failure) {
                if !failure.closed {
                    upstream.failed();
                }
                return Err(BadGateway::Exchange(failure.error).into());
            }
            reuse = Reuse::Never;
        }
    }

    /// Whether a request that was written, but not answered, may be sent once more: the third point of the rule above.
    fn may_send_again(&self, failure: &SendError) -> bool {
        let safe =
            matches!(*self.request.method(), inbound::Method::GET | inbound::Method::HEAD | inbound::Method::OPTIONS);
        self.is_bodyless() && safe && failure.closed
    }

    fn is_bodyless(&self) -> bool {
        matches!(self.length, BodyLength::Absent | BodyLength::Exactly(0))
    }

    /// Waits for the head of the answer, as long as the route says.
    async fn answer(
        &self,
        sending: impl Future<Output = Result<Head, SendError>>,
        progress: &Progress,
        mut timer: Pin<&mut Sleep>,
    ) -> Result<Result<Head, SendError>, ForwardError> {
        let timeouts = self.route.timeouts();
        let mut response = pin!(sending);
        loop {
            tokio::select! {
                biased;
                answer = &mut response => return Ok(answer),
                () = &mut timer => {
                    if progress.deadline(&timeouts) <= Instant::now() {
                        return Err(timed_out(progress.stage(), self.route));
                    }
                    timer.as_mut().reset(next_look(progress, &timeouts));
                }
            }
        }
    }
}

/// When to see whether the time is up: the deadline, unless the next stage could end sooner.
fn next_look(progress: &Progress, timeouts: &UpstreamTimeouts) -> Instant {
    progress.deadline(timeouts).min(Instant::now() + shortest(timeouts))
}

/// How soon any stage could end.
fn shortest(timeouts: &UpstreamTimeouts) -> Duration {
    timeouts.idle.min(timeouts.first_byte)
}

fn timed_out(stage: Stage, route: &Route) -> ForwardError {
    match stage {
        Stage::AwaitingClient => ForwardError::RequestBodyTooSlow,
        Stage::Broken => BadRequest::BrokenBody.into(),
        Stage::TooLarge => too_large(route),
        Stage::Sending => ForwardError::Timeout { phase: TimeoutPhase::RequestBody },
        Stage::Sent => ForwardError::Timeout { phase: TimeoutPhase::FirstByte },
    }
}

fn too_large(route: &Route) -> ForwardError {
    ForwardError::BodyTooLarge { limit: route.max_body_size().unwrap_or_default() }
}

fn unreachable(error: ConnectError) -> ForwardError {
    match error {
        ConnectError::Timeout => ForwardError::Timeout { phase: TimeoutPhase::Connect },
        ConnectError::Busy => ForwardError::Busy,
        error => ForwardError::Connect(error),
    }
}

/// Writes a head: the request line with path and query byte for byte, but for the route's own path where that is replaced;
/// `Host` first (RFC 9112 §3.2), then `fields`.
pub(super) fn write_head(out: &mut Vec<u8>, request: &HttpRequest, route: &Route, host: &str, fields: &[u8]) {
    let target = request.uri().path_and_query().map_or("/", inbound::uri::PathAndQuery::as_str);
    let (replacement, target) = route.rewritten(target);
    let method = request.method().as_str();
    out.reserve(method.len() + replacement.len() + target.len() + host.len() + fields.len() + 32);
    for part in [method, " ", replacement, target, " HTTP/1.1\r\nhost: ", host, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(fields);
    out.extend_from_slice(b"\r\n");
}

/// The upstream's response as ours.
fn respond(
    request: &HttpRequest,
    answer: Head,
    exchange: Exchange,
    route: &Route,
    own_names: &OwnNames,
) -> Result<HttpResponse, ForwardError> {
    let status = answer.status;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(BadGateway::UnexpectedUpgrade.into());
    }
    let is_head = request.method() == inbound::Method::HEAD;
    let body = response_body(is_head, &answer, exchange, route);
    let streams = body.size() == BodySize::Stream;
    let mut response = HttpResponse::with_body(status, body);
    let reason = reason(status, answer.reason());
    copy_response_fields(answer, is_head, response.headers_mut(), own_names)?;
    let head = response.head_mut();
    head.reason = reason;
    if is_head {
        // Else actix would announce chunks beside the upstream's length.
        head.no_chunking(true);
    } else if streams && request.version() < Version::HTTP_11 {
        // HTTP/1.0 has no chunks: the end of the connection is the end of the body (RFC 9112 §6.3).
        end_with_connection(head);
    }
    Ok(response)
}

fn end_with_connection(head: &mut ResponseHead) {
    head.no_chunking(true);
    head.set_connection_type(ConnectionType::Close);
}

fn response_body(is_head: bool, answer: &Head, mut exchange: Exchange, route: &Route) -> BoxBody {
    if let Some(whole) = exchange.take_whole_body() {
        exchange.finish();
        return BoxBody::new(whole);
    }
    if exchange.body_length() != Some(0) {
        return ResponseBody::new(exchange, route.timeouts().idle).boxed();
    }
    exchange.finish();
    let bodyless = matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if is_head && !bodyless && answer.values(&CONTENT_LENGTH).next().is_some() {
        HeadBody.boxed()
    } else if is_head || bodyless {
        BoxBody::new(actix_web::body::None::new())
    } else {
        BoxBody::new(())
    }
}

/// The upstream's reason phrase where it is not the usual one. actix wants it static, so that each is kept for good:
/// only short ones, and only so many.
fn reason(status: StatusCode, phrase: &[u8]) -> Option<&'static str> {
    const MOST: usize = 64;
    const LONGEST: usize = 64;
    thread_local! {
        static KEPT: RefCell<HashSet<&'static str>> = RefCell::default();
    }
    let usual = status.canonical_reason().map_or(Some(""), |_| None);
    let Ok(text) = std::str::from_utf8(phrase) else { return usual };
    if status.canonical_reason() == Some(text) {
        return None;
    }
    KEPT.with_borrow_mut(|kept| {
        if let Some(known) = kept.get(text) {
            return Some(*known);
        }
        if text.len() > LONGEST || kept.len() >= MOST {
            return usual;
        }
        let lasting: &'static str = Box::leak(text.to_owned().into_boxed_str());
        kept.insert(lasting);
        Some(lasting)
    })
}
