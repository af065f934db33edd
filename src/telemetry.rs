//! Logs: their format, their levels, the span around every request, the access line.
//!
//! No query string, header or body may get into a span or a line: they carry codes, states and tokens. Libraries
//! that print what goes over the wire are held at `info`, whatever the configuration says. A log that nobody reads any
//! more must never stop a request.

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

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use self::lines::Lines;
pub use self::output::LogGuard;
use self::output::Output;
pub use self::request::{RequestSpan, access};
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

/// Begins to log to standard error. What is logged until the guard is dropped gets there.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(config: &LogConfig) -> Result<LogGuard, TelemetryError> {
    let filter = filter(&config.level)?;
    let (lines, guard) = lines(config, stderr().is_terminal());
    let log = registry().with(filter).with(filter_fn(keeps_the_wire_quiet)).with(lines);
    log.try_init().map_err(|_| TelemetryError::SetUpBefore)?;
    Ok(guard)
}

type BoxedLayer<S> = Box<dyn Layer<S> + Send + Sync>;

/// On a terminal somebody looks on: in colours, and with every line at once. Elsewhere it is to cost little.
fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(config: &LogConfig, on_terminal: bool) -> (BoxedLayer<S>, LogGuard) {
    if on_terminal && config.format == LogFormat::Pretty {
        // A line that cannot be written is lost: to complain of it on the same broken pipe would panic.
        let lines = fmt::layer().with_writer(stderr).with_ansi(true).with_target(false).log_internal_errors(false);
        return (lines.boxed(), LogGuard::none());
    }
    let delay = if on_terminal { Duration::ZERO } else { config.access_buffer };
    let (output, guard) = Output::start(output::standard_error(), delay);
    (Lines::new(config.format, output).boxed(), guard)
}

/// A lone level is for our own lines; libraries then speak up from `warn` on.
fn filter<S: Subscriber + for<'a> LookupSpan<'a>>(level: &str) -> Result<BoxedLayer<S>, TelemetryError> {
    let is_lone_level = level.parse::<tracing::level_filters::LevelFilter>().is_ok();
    let directives = if is_lone_level { format!("warn,sealgate={level}") } else { level.to_owned() };
    let filter = EnvFilter::try_new(&directives).map_err(|_| TelemetryError::Level(level.to_owned()))?;
    if directives.contains('[') {
        return Ok(filter.boxed());
    }
    // Without directives for spans the other filter decides the same, once for each line of source.
    let directives: Vec<_> = directives.split(',').filter(|directive| !directive.is_empty()).collect();
    Ok(match directives.join(",").parse::<Targets>() {
        Ok(targets) if !directives.is_empty() => targets.boxed(),
        _ => filter.boxed(),
    })
}

/// Beside the filter and not within it, where a directive for one module, or for all that happens in a span, wins.
fn keeps_the_wire_quiet(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || !HELD_AT_INFO.contains(&library)
}
