//! Logs: their format, their levels, the span around every request, the access line.
//!
//! No query string, header or body may get into a span or a line: they carry codes, states and tokens. Libraries
//! that print what goes over the wire are held at `info`, whatever the configuration says. A log that nobody reads any
//! more must never stop a request.

mod filter;
mod json;
mod lines;
mod output;
mod pretty;
mod request;
mod stamp;
#[cfg(test)]
mod tests;

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

use self::filter::Filter;
use self::lines::Lines;
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
    // On a terminal somebody looks on: in colours, and with every line at once. Elsewhere it is to cost little.
    let on_terminal = stderr().is_terminal();
    let (begun, guard) = if on_terminal && config.format == LogFormat::Pretty {
        // A line that cannot be written is lost: to complain of it on the same broken pipe would panic.
        let lines = fmt::layer().with_writer(stderr).with_ansi(true).with_target(false).log_internal_errors(false);
        (registry().with(by_span).with(filter).with(lines).try_init(), LogGuard::none())
    } else {
        let delay = if on_terminal { Duration::ZERO } else { config.access_buffer };
        let (output, guard) = Output::start(output::standard_error(), delay);
        let lines = Lines::new(config.format, filter, output);
        let begun = match by_span {
            None => registry().with(lines).try_init(),
            Some(by_span) => registry().with(by_span).with(lines).try_init(),
        };
        (begun, guard)
    };
    begun.map_err(|_| TelemetryError::SetUpBefore)?;
    Ok(guard)
}
