//! A WebSocket's way through (RFC 6455): its handshake, and after the upstream's 101 the bytes both ways.
//!
//! Must never look into those bytes, nor let a request become a tunnel that is no handshake: what an upstream takes for
//! a request must have passed our checks as one.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::ConnectionType;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Payload;
use actix_web::http::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use actix_web::http::{Method, StatusCode, Version};
use actix_web::rt;
use actix_web::rt::task::JoinHandle;
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::OwnNames;
use super::body::BodyLength;
use super::error::{BadGateway, BadRequest, ForwardError};
use super::headers::{body_length, copy_response_fields};
use super::upstream::{Exchange, Head, Switched, UpstreamIo};

/// The protocol's name in `Upgrade`.
pub(super) const WEBSOCKET: &str = "websocket";
/// The most bytes of one piece from the upstream.
const PIECE: usize = 16 * 1024;
/// How long the upstream may take to read a client's last bytes after the client is gone.
const FAREWELL: Duration = Duration::from_secs(5);

/// When a tunnel ends although neither side ends it.
#[derive(Clone, Debug, Default)]
pub struct TunnelLimits {
    /// When it ends, whatever happens; none: never.
    pub ends_at: Option<Instant>,
    /// How long no byte may pass in either direction; none: for ever.
    pub idle: Option<Duration>,
    /// Ends it by becoming true.
    pub ended: Option<watch::Receiver<bool>>,
}

/// Whether the request offers to become a WebSocket (RFC 6455 §4.1). Other offers in `Upgrade` may be ignored, and are;
/// those of HTTP/1.0 must be (RFC 9110 §7.8).
pub fn asks_for_websocket(request: &HttpRequest) -> bool {
    if request.version() < Version::HTTP_11 {
        return false;
    }
    let offers = request.headers().get_all(UPGRADE);
    let mut names = offers.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    names.any(|offer| {
        let name = offer.split(|&byte| byte == b'/').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(WEBSOCKET.as_bytes())
    })
}

/// Whether the request is a WebSocket's handshake.
///
/// # Errors
/// [`BadRequest::Handshake`] if it offers to become a WebSocket, but not as RFC 6455 §4.1 says: actix takes what follows
/// it for the tunnel's bytes whatever its method and length, so that it cannot be forwarded as something else.
pub(super) fn is_handshake(request: &HttpRequest) -> Result<bool, BadRequest> {
    if !asks_for_websocket(request) {
        return Ok(false);
    }
    let headers = request.headers();
    let mut offers = headers.get_all(UPGRADE).map(HeaderValue::as_bytes);
    let mut options = headers.get_all(CONNECTION).flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    let is_handshake = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && offers.next().is_some_and(is_websocket)
        && offers.next().is_none()
        && options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        && !headers.contains_key(TRANSFER_ENCODING)
        && matches!(body_length(request)?, BodyLength::Absent | BodyLength::Exactly(0));
    if is_handshake { Ok(true) } else { Err(BadRequest::Handshake) }
}

fn is_websocket(value: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(WEBSOCKET.as_bytes())
}

/// The answer to a handshake that the upstream has answered with 101: its body is the tunnel.
///
/// # Errors
/// [`BadGateway`] if the upstream changed to another protocol (RFC 6455 §4.1), or broke off.
pub(super) fn switch(
    head: Head,
    exchange: Exchange,
    payload: Payload,
    own_names: &OwnNames,
    limits: TunnelLimits,
) -> Result<HttpResponse, ForwardError> {
    let mut protocols = head.values(&UPGRADE);
    if !protocols.next().is_some_and(is_websocket) || protocols.next().is_some() {
        return Err(BadGateway::UnexpectedUpgrade.into());
    }
    drop(protocols);
    let io = exchange.switch().ok_or(BadGateway::UnexpectedUpgrade)?;
    let mut response = HttpResponse::with_body(StatusCode::SWITCHING_PROTOCOLS, Tunnel::open(io, payload, limits));
    copy_response_fields(head, false, response.headers_mut(), own_names)?;
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    response.head_mut().set_connection_type(ConnectionType::Upgrade);
    Ok(response.map_into_boxed_body())
}

/// The upstream's bytes as the body of the 101; the client's go the other way in a task of their own.
///
/// The task also ends the tunnel when its time is up: actix does not ask for the body while the client reads nothing.
struct Tunnel {
    upstream: SharedIo,
    buffer: BytesMut,
    activity: Rc<Cell<Instant>>,
    task: JoinHandle<()>,
    /// Dropped with the tunnel, which tells the task.
    _lives: oneshot::Sender<Infallible>,
}

impl Tunnel {
    fn open(io: UpstreamIo, payload: Payload, limits: TunnelLimits) -> Self {
        let upstream = SharedIo(Rc::new(RefCell::new(Some(io))));
        let activity = Rc::new(Cell::new(Instant::now()));
        let (lives, gone) = oneshot::channel();
        let task = rt::spawn(tend(payload, upstream.clone(), Rc::clone(&activity), limits, gone));
        Self { upstream, buffer: BytesMut::new(), activity, task, _lives: lives }
    }
}

impl MessageBody for Tunnel {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = self.get_mut();
        this.buffer.reserve(PIECE);
        let read = pin!(this.upstream.read_buf(&mut this.buffer)).poll(cx);
        match read {
            Poll::Ready(Ok(1..)) => {
                this.activity.set(Instant::now());
                Poll::Ready(Some(Ok(this.buffer.split().freeze())))
            }
            Poll::Ready(ended) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "the upstream broke a tunnel off");
                }
                // Without the upstream's half there is nobody to answer what the client still says.
                this.upstream.close();
                Poll::Ready(None)
            }
            Poll::Pending => {
                // The task does not end before the tunnel does, unless the time is up.
                let _ = ready!(Pin::new(&mut this.task).poll(cx));
                Poll::Ready(None)
            }
        }
    }
}

/// Keeps a tunnel until its time is up, or the client is gone and has been heard out.
async fn tend(
    payload: Payload,
    upstream: SharedIo,
    activity: Rc<Cell<Instant>>,
    limits: TunnelLimits,
    mut gone: oneshot::Receiver<Infallible>,
) {
    let ended_by_client = async {
        let mut copying = pin!(copy(payload, upstream.clone(), &activity));
        tokio::select! {
            () = &mut copying => {}
            _ = &mut gone => {
                // A closing handshake's last frame may be on its way still.
                let _ = timeout(FAREWELL, copying).await;
                return;
            }
        }
        // Only the tunnel's end, which has no value, is to be waited for.
        let _ = gone.await;
    };
    tokio::select! {
        () = ended_by_client => {}
        () = time_up(&limits, &activity) => tracing::debug!("a tunnel's time is up"),
        () = ended(limits.ended.clone()) => tracing::debug!("a tunnel is ended"),
    }
    upstream.close();
}

/// The client's bytes to the upstream, each piece as the upstream has room for it.
async fn copy(mut payload: Payload, mut upstream: SharedIo, activity: &Cell<Instant>) {
    while let Some(Ok(piece)) = payload.next().await {
        activity.set(Instant::now());
        if upstream.write_all(&piece).await.is_err() || upstream.flush().await.is_err() {
            // What the upstream said before it closed is read still; the reader sees the end.
            return;
        }
    }
    // The connection is closed anyway a moment later.
    let _ = upstream.shutdown().await;
}

async fn time_up(limits: &TunnelLimits, activity: &Cell<Instant>) {
    loop {
        let idle_end = limits.idle.and_then(|idle| activity.get().checked_add(idle));
        let Some(end) = limits.ends_at.into_iter().chain(idle_end).min() else { return pending().await };
        if end <= Instant::now() {
            return;
        }
        sleep_until(end).await;
    }
}

async fn ended(signal: Option<watch::Receiver<bool>>) {
    let Some(mut signal) = signal else { return pending().await };
    // Who could still say so is gone: so is the reason to go on.
    let _ = signal.wait_for(|ended| *ended).await;
}

/// The upstream's connection in the hands of both directions: whoever closes it closes it for both.
#[derive(Clone)]
struct SharedIo(Rc<RefCell<Option<UpstreamIo>>>);

impl SharedIo {
    fn close(&self) {
        let closed = self.0.borrow_mut().take();
        drop(closed);
    }

    fn poll_with<T>(
        &self,
        closed: io::Result<T>,
        poll: impl FnOnce(Pin<&mut Switched>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.0.borrow_mut().as_mut().map_or(Poll::Ready(closed), |upstream| poll(Pin::new(&mut upstream.io)))
    }
}

impl AsyncRead for SharedIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_with(Ok(()), |io| io.poll_read(cx, buffer))
    }
}

impl AsyncWrite for SharedIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(Err(io::ErrorKind::BrokenPipe.into()), |io| io.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(Ok(()), |io| io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(Ok(()), |io| io.poll_shutdown(cx))
    }
}
