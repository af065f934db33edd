//! The layer that makes lines of events and spans, each value formatted once: a span's fields when it is made, an
//! event's when it happens.
//!
//! Must never parse what it has written, keep a line from being written because a value cannot be shown, or hold a
//! lock while a value is formatted.

use std::cell::Cell;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::filter::Filter;
use super::json::{self, Members};
use super::output::Output;
use super::pretty::{self, Words};
use super::request::ACCESS;
use super::stamp;
use crate::clock;
use crate::config::LogFormat;

/// Enough for a request's span, so that its text grows into one piece of memory.
const SPAN_TEXT: usize = 192;
/// A thread keeps the memory of its last line, up to this size.
const MAX_KEPT: usize = 16 * 1024;

thread_local! {
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// Formats events and has them written.
pub(super) struct Lines {
    format: LogFormat,
    filter: Filter,
    output: Arc<Output>,
}

impl Lines {
    /// Lines in this format, of what the filter lets through, to this output.
    pub(super) fn new(format: LogFormat, filter: Filter, output: Arc<Output>) -> Self {
        Self { format, filter, output }
    }
}

/// A span's fields, as they stand in a line.
struct SpanText(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    // The filter is no layer of its own: each would cost every entering and leaving of a span.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.filter.interest(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.filter.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.filter.finest()
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut text = String::with_capacity(SPAN_TEXT);
        match self.format {
            LogFormat::Pretty => attributes.record(&mut Words::new(&mut text, true)),
            LogFormat::Json => attributes.record(&mut Members::new(&mut text)),
        }
        span.extensions_mut().insert(SpanText(text));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        // Formatted before the span is locked: a value may log while it is formatted.
        let mut added = spare_line();
        match self.format {
            LogFormat::Pretty => values.record(&mut Words::new(&mut added, true)),
            LogFormat::Json => values.record(&mut Members::new(&mut added)),
        }
        if let Some(SpanText(text)) = span.extensions_mut().get_mut() {
            match self.format {
                LogFormat::Pretty if !text.is_empty() => text.push(' '),
                LogFormat::Pretty => {}
                LogFormat::Json => values.record(&mut Forget(text)),
            }
            text.push_str(&added);
        }
        keep(added);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = spare_line();
        match self.format {
            LogFormat::Pretty => pretty_line(&mut line, event, &context),
            LogFormat::Json => json_line(&mut line, event, &context),
        }
        if event.metadata().target() == ACCESS {
            self.output.write_soon(&line)
        } else {
            self.output.write(&line)
        }
        keep(line);
    }
}

/// The memory of this thread's last line; new where a value logs while it is formatted.
fn spare_line() -> String {
    LINE.try_with(Cell::take).unwrap_or_default()
}

fn keep(mut line: String) {
    line.clear();
    line.shrink_to(MAX_KEPT);
    let _ = LINE.try_with(|kept| kept.set(line));
}

fn pretty_line<S: Subscriber + for<'a> LookupSpan<'a>>(line: &mut String, event: &Event<'_>, context: &Context<'_, S>) {
    stamp::push(line, clock::microseconds());
    line.push(' ');
    line.push_str(pretty::level(*event.metadata().level()));
    line.push(' ');
    if let Some(innermost) = context.event_span(event) {
        match innermost.parent() {
            None => pretty_span(line, &innermost),
            Some(_) => innermost.scope().from_root().for_each(|span| pretty_span(line, &span)),
        }
        line.push(' ');
    }
    event.record(&mut Words::new(line, true));
    line.push('\n');
}

fn pretty_span<S: for<'a> LookupSpan<'a>>(line: &mut String, span: &SpanRef<'_, S>) {
    line.push_str(span.name());
    if let Some(SpanText(text)) = span.extensions().get()
        && !text.is_empty()
    {
        line.push('{');
        line.push_str(text);
        line.push('}');
    }
    line.push(':');
}

fn json_line<S: Subscriber + for<'a> LookupSpan<'a>>(line: &mut String, event: &Event<'_>, context: &Context<'_, S>) {
    let metadata = event.metadata();
    line.push_str("{\"timestamp\":\"");
    stamp::push(line, clock::microseconds());
    line.push_str("\",\"level\":\"");
    line.push_str(metadata.level().as_str());
    line.push_str("\",");
    event.record(&mut Members::new(line));
    line.push_str("\"target\":");
    match metadata.target() {
        // Lines of the `log` crate bring their target as a field.
        "log" => json::string(line, &log_target(event)),
        target => json::string(line, target),
    }
    if let Some(span) = context.event_span(event) {
        line.push_str(",\"span\":{");
        if let Some(SpanText(text)) = span.extensions().get() {
            line.push_str(text);
        }
        line.push_str("\"name\":");
        json::string(line, span.name());
        line.push('}');
    }
    line.push_str("}\n");
}

/// Takes fields out of a span's members before they are written anew; hardly ever is one there.
struct Forget<'a>(&'a mut String);

impl Visit for Forget<'_> {
    fn record_debug(&mut self, field: &Field, _: &dyn std::fmt::Debug) {
        let name = json::name(field);
        if self.0.contains(&format!("\"{name}\":")) {
            *self.0 = json::without(self.0, name);
        }
    }
}

/// The target of a line of the `log` crate.
fn log_target(event: &Event<'_>) -> String {
    struct Target(String);
    impl Visit for Target {
        fn record_str(&mut self, field: &Field, value: &str) {
            if field.name() == "log.target" {
                value.clone_into(&mut self.0);
            }
        }
        fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
    }
    let mut target = Target("log".to_owned());
    event.record(&mut target);
    target.0
}
