//! What the log says of a request: the span around all of its lines, and the one line when it is answered.
//!
//! No query string, header or body may get in: they carry codes, states and tokens. Both run for every request, so
//! they must do next to nothing.

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpMessage as _};
use tracing::{Span, field};
use tracing_actix_web::{RequestId, RootSpanBuilder};

/// The target of the access lines: the one kind of line that may wait for others before it is written.
pub(super) const ACCESS: &str = "sealgate::access";

/// The span around a request: method, path without its query, request id, and at the end the status.
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let request_id = request.extensions().get::<RequestId>().copied();
        tracing::info_span!(
            target: "sealgate::telemetry",
            "request",
            method = %request.method(),
            path = request.uri().path(),
            request_id = request_id.map(field::display),
            status = field::Empty,
        )
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("status", status.as_u16());
    }
}

/// One line a request, when its response head is ready; the request itself stands in the span around it. `site` is its
/// public URL, where there are several.
pub fn access(site: Option<&str>, status: u16, elapsed: Duration) {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    match site {
        None => tracing::info!(target: ACCESS, status, milliseconds),
        Some(site) => tracing::info!(target: ACCESS, site, status, milliseconds),
    }
}
