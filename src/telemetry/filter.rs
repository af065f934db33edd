//! Which events and spans are logged.
//!
//! Must never let libraries that print what goes over the wire do so, whatever the configuration says. The answer for
//! a line of source is found once; what is not logged costs nothing.

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::{EnvFilter, Layer};

use super::TelemetryError;

/// Libraries whose finer lines show heads or frames.
const HELD_AT_INFO: [&str; 9] =
    ["actix_http", "actix_server", "actix_web", "h2", "hyper", "hyper_util", "mio", "reqwest", "rustls"];

/// The levels of modules, and the limit for libraries that print the wire.
pub(super) struct Filter {
    /// None: another filter decides.
    targets: Option<Targets>,
}

impl Filter {
    /// From `log.level`. With directives about spans a second filter decides beside it, which is asked anew for every
    /// event and needs tracing-subscriber's registry.
    pub(super) fn new(level: &str) -> Result<(Self, Option<EnvFilter>), TelemetryError> {
        // A lone level is for our own lines; libraries then speak up from `warn` on.
        let is_lone_level = level.parse::<LevelFilter>().is_ok();
        let directives = if is_lone_level { format!("warn,sealgate={level}") } else { level.to_owned() };
        let by_span = EnvFilter::try_new(&directives).map_err(|_| TelemetryError::Level(level.to_owned()))?;
        let targets = directives.split(',').filter(|directive| !directive.is_empty()).collect::<Vec<_>>().join(",");
        Ok(match targets.parse() {
            Ok(parsed) if !targets.is_empty() && !targets.contains('[') => (Self { targets: Some(parsed) }, None),
            _ => (Self { targets: None }, Some(by_span)),
        })
    }

    /// Whether to log what comes from this line of source.
    pub(super) fn allows(&self, metadata: &Metadata<'_>) -> bool {
        keeps_the_wire_quiet(metadata)
            && self.targets.as_ref().is_none_or(|targets| targets.would_enable(metadata.target(), metadata.level()))
    }

    /// Nothing finer is logged; none: unknown.
    pub(super) fn finest(&self) -> Option<LevelFilter> {
        self.targets.as_ref().and_then(Layer::<tracing_subscriber::Registry>::max_level_hint)
    }
}

impl<S: Subscriber> Layer<S> for Filter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.allows(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.finest()
    }
}

/// Beside the levels and not among them, where a directive for one module, or for all that happens in a span, wins.
fn keeps_the_wire_quiet(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || !HELD_AT_INFO.contains(&library)
}
