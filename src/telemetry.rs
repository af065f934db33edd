//! Logs: their format, their levels, the span around every request, the access line.
//!
//! No query string, header or body may get into a span or a line: they carry codes, states and tokens. Libraries
//! that print what goes over the wire are held at `info`, whatever the configuration says. A log that nobody reads any
//! more must never stop a request.

mod filter;
mod json;
mod log;
mod output;
mod pretty;
mod request;
mod shards;
mod spans;
mod stamp;
#[cfg(test)]
mod tests;

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{DefaultFields, Format};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt, registry};

use self::filter::Filter;
use self::log::Log;
pub use self::output::LogGuard;
use self::output::Output;
pub use self::request::{RequestSpan, access};
use crate::config::{LogConfig, LogFormat};

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

/// Begins to log to standard error. Until the guard is dropped, lines of requests may wait to be written together.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(config: &LogConfig) -> Result<LogGuard, TelemetryError> {
    let (filter, by_span) = Filter::new(&config.level)?;
    let is_terminal = stderr().is_terminal();
    // In colours for somebody who looks on, and for a while of searching by span, tracing-subscriber does it.
    if by_span.is_some() || is_terminal && config.format == LogFormat::Pretty {
        // A line that cannot be written is lost: to complain of it on the same broken pipe would panic.
        let lines = fmt::layer().with_writer(stderr).with_ansi(is_terminal).log_internal_errors(false);
        let log = registry().with(by_span).with(filter).with(shaped(lines, config.format));
        log.try_init().map_err(|_| TelemetryError::SetUpBefore)?;
        return Ok(LogGuard::none());
    }
    let delay = if is_terminal { Duration::ZERO } else { config.access_buffer };
    let (output, guard) = Output::start(output::standard_error(), delay);
    Log::new(config.format, filter, output).try_init().map_err(|_| TelemetryError::SetUpBefore)?;
    Ok(guard)
}

/// The same words and the same shape from tracing-subscriber.
fn shaped<S, W>(lines: fmt::Layer<S, DefaultFields, Format, W>, format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    match format {
        LogFormat::Pretty => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    }
}
