//! Event streams on session routes: they end with their session, as WebSockets do.
//!
//! `EventSource` comes again by itself, then gets 401 and stops (HTML §9.2.3). Must never look into the events.

use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use tokio::time::sleep_until;

use crate::proxy::TunnelLimits;

const EVENT_STREAM: &[u8] = b"text/event-stream";

/// Whether the request asks for an event stream, as `EventSource` does.
pub fn asks_for_event_stream(request: &HttpRequest) -> bool {
    request
        .headers()
        .get_all(ACCEPT)
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .any(is_event_stream)
}

/// The response, which ends when `limits` say so if it is an event stream that has no end of its own.
pub fn end_with_session(response: HttpResponse, limits: TunnelLimits) -> HttpResponse {
    let is_endless = response.body().size() == BodySize::Stream
        && response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).is_some_and(is_event_stream);
    if !is_endless {
        return response;
    }
    response.map_body(|_, stream| BoxBody::new(EventStream { stream: Some(stream), end: Box::pin(end(limits)) }))
}

fn is_event_stream(media_range: &[u8]) -> bool {
    let media_type = media_range.split(|&byte| byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(EVENT_STREAM)
}

async fn end(limits: TunnelLimits) {
    let at = async {
        match limits.ends_at {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    };
    let ended = async {
        match limits.ended {
            // Who could still say so is gone: so is the reason to go on.
            Some(mut signal) => drop(signal.wait_for(|ended| *ended).await),
            None => pending().await,
        }
    };
    tokio::select! {
        () = at => tracing::debug!("an event stream ends with its session's time"),
        () = ended => tracing::debug!("an event stream ends with its session"),
    }
}

/// An upstream's events until the end; after it nothing, and the upstream's connection is closed.
struct EventStream {
    stream: Option<BoxBody>,
    end: Pin<Box<dyn Future<Output = ()>>>,
}

impl MessageBody for EventStream {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        let Some(stream) = &mut this.stream else { return Poll::Ready(None) };
        if this.end.as_mut().poll(cx).is_ready() {
            this.stream = None;
            return Poll::Ready(None);
        }
        Pin::new(stream).poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::{BodyStream, to_bytes};
    use actix_web::test::TestRequest;
    use futures_util::stream;
    use tokio::sync::watch;
    use tokio::time::{Duration, Instant};

    use super::*;

    fn endless(content_type: &str) -> HttpResponse {
        let events = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(b"data: x\n\n")));
        HttpResponse::Ok().insert_header((CONTENT_TYPE, content_type)).body(BodyStream::new(events))
    }

    #[actix_web::test]
    async fn an_event_stream_ends_with_its_session() {
        let (signal, ended) = watch::channel(false);
        let limits = TunnelLimits { ended: Some(ended), ..TunnelLimits::default() };
        let mut body = end_with_session(endless("text/event-stream; charset=utf-8"), limits).into_body();
        let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await;
        assert_eq!(next.expect("an event").expect("events come"), "data: x\n\n");
        signal.send_replace(true);
        assert_eq!(to_bytes(body).await.expect("the end is clean"), "");
    }

    #[actix_web::test]
    async fn an_event_stream_ends_at_the_session_s_absolute_end() {
        tokio::time::pause();
        let ends_at = Instant::now().checked_add(Duration::from_secs(5));
        let silent = BodyStream::new(stream::pending::<Result<Bytes, std::io::Error>>());
        let silent = HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/event-stream")).body(silent);
        let limits = TunnelLimits { ends_at, ..TunnelLimits::default() };
        assert_eq!(to_bytes(end_with_session(silent, limits).into_body()).await.expect("the end is clean"), "");
        assert!(Some(Instant::now()) >= ends_at);
    }

    #[actix_web::test]
    async fn downloads_and_what_has_a_length_are_left_alone() {
        let over = || TunnelLimits { ends_at: Some(Instant::now()), ..TunnelLimits::default() };
        let mut download = end_with_session(endless("application/octet-stream"), over()).into_body();
        assert!(std::future::poll_fn(|cx| Pin::new(&mut download).poll_next(cx)).await.is_some());
        let sized = HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/event-stream")).body("data: x\n\n");
        assert_eq!(to_bytes(end_with_session(sized, over()).into_body()).await.expect("whole"), "data: x\n\n");
    }

    #[test]
    fn event_streams_are_asked_for_as_event_source_does() {
        let asks = |accept: &str| {
            asks_for_event_stream(&TestRequest::default().insert_header((ACCEPT, accept)).to_http_request())
        };
        assert!(asks("text/event-stream") && asks("application/json, Text/Event-Stream;q=0.5"));
        assert!(!asks("*/*") && !asks("text/html,application/xhtml+xml") && !asks("text/event-streams"));
    }
}
