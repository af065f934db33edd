//! Logs: their format, their levels, the span around every request, the access line.
//!
//! No query string, header or body may get into a span or a line: they carry codes, states and tokens. Libraries
//! that print what goes over the wire are held at `info`, whatever the configuration says.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpMessage as _};
use tracing::{Span, field};
use tracing_actix_web::{RequestId, RootSpanBuilder};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

use crate::config::{LogConfig, LogFormat};

/// Libraries whose finer lines show heads or frames.
const HELD_AT_INFO: [&str; 9] =
    ["actix_http", "actix_server", "actix_web", "h2", "hyper", "hyper_util", "mio", "reqwest", "rustls"];

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// `log.level` is neither a level nor a list of directives.
    #[error(
        "log.level {0:?} is neither a level such as \"info\" nor directives such as \"info,sealgate::refresh=debug\""
    )]
    Level(String),
    /// The process logs already.
    #[error("logging has been set up before")]
    SetUpBefore,
}

/// Begins to log to standard error.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = filter(&config.level)?;
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    match config.format {
        LogFormat::Pretty => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    }
    .map_err(|_| TelemetryError::SetUpBefore)
}

/// A lone level is for our own lines; libraries then speak up from `warn` on.
fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let wrong = || TelemetryError::Level(level.to_owned());
    let is_lone_level = level.parse::<tracing::level_filters::LevelFilter>().is_ok();
    let directives = if is_lone_level { format!("warn,sealgate={level}") } else { level.to_owned() };
    let mut filter = EnvFilter::try_new(&directives).map_err(|_| wrong())?;
    if !is_lone_level {
        for library in HELD_AT_INFO {
            let held: Directive = format!("{library}=info").parse().map_err(|_| wrong())?;
            filter = filter.add_directive(held);
        }
    }
    Ok(filter)
}

/// The span around a request: method, path without its query, request id, and at the end the status.
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let request_id = request.extensions().get::<RequestId>().copied();
        tracing::info_span!(
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

/// One line a request, when its response head is ready.
pub fn access(request: &HttpRequest, status: u16, elapsed: Duration) {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(target: "sealgate::access", method = %request.method(), path = request.uri().path(), status, milliseconds);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_level_is_for_our_own_lines() {
        let filter = filter("trace").expect("a level").to_string();
        assert!(filter.contains("sealgate=trace") && filter.contains("warn"), "{filter}");
    }

    #[test]
    fn libraries_that_print_the_wire_are_held_even_when_asked_for_more() {
        let filter = filter("trace,hyper=trace").expect("directives").to_string();
        assert!(filter.contains("hyper=info") && !filter.contains("hyper=trace"), "{filter}");
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        assert!(filter("sealgate=loud").is_err());
    }
}
