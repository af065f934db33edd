//! Logs: their format, their levels, the span around every request, the access line.
//!
//! No query string, header or body may get into a span or a line: they carry codes, states and tokens. Libraries
//! that print what goes over the wire are held at `info`, whatever the configuration says. A log that nobody reads any
//! more must never stop a request.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpMessage as _};
use tracing::{Level, Metadata, Span, field};
use tracing_actix_web::{RequestId, RootSpanBuilder};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

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
    // A line that cannot be written is lost: to complain of it on the same broken pipe would panic.
    let lines = fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).log_internal_errors(false);
    let lines = match config.format {
        LogFormat::Pretty => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    let log = registry().with(filter).with(filter_fn(keeps_the_wire_quiet)).with(lines);
    log.try_init().map_err(|_| TelemetryError::SetUpBefore)
}

/// A lone level is for our own lines; libraries then speak up from `warn` on.
fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let is_lone_level = level.parse::<tracing::level_filters::LevelFilter>().is_ok();
    let directives = if is_lone_level { format!("warn,sealgate={level}") } else { level.to_owned() };
    EnvFilter::try_new(&directives).map_err(|_| TelemetryError::Level(level.to_owned()))
}

/// Beside the filter and not within it, where a directive for one module, or for all that happens in a span, wins.
fn keeps_the_wire_quiet(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || !HELD_AT_INFO.contains(&library)
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

/// One line a request, when its response head is ready; the request itself stands in the span around it.
pub fn access(status: u16, elapsed: Duration) {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(target: "sealgate::access", status, milliseconds);
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
        #[derive(Clone, Default)]
        struct Seen(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
        impl std::io::Write for Seen {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().expect("one thread").extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        for level in ["trace,hyper=trace", "info,actix_http::h1::dispatcher=trace", "info,[request]=trace"] {
            let seen = Seen::default();
            let writer = seen.clone();
            let lines = fmt::layer().with_writer(move || writer.clone());
            let filter = filter(level).expect("directives");
            tracing::subscriber::with_default(
                registry().with(filter).with(filter_fn(keeps_the_wire_quiet)).with(lines),
                || {
                    let _request = tracing::info_span!("request").entered();
                    tracing::trace!(target: "actix_http::h1::dispatcher", "a head");
                    tracing::debug!(target: "hyper", "a frame");
                    tracing::info!(target: "hyper", "a word");
                },
            );
            let seen = String::from_utf8(seen.0.lock().expect("one thread").clone()).expect("text");
            assert!(!seen.contains("a head") && !seen.contains("a frame"), "{level}: {seen}");
            assert!(seen.contains("a word"), "{level}: {seen}");
        }
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        assert!(filter("sealgate=loud").is_err());
    }
}
