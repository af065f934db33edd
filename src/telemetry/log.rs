//! What happens becomes a line, each value formatted once: a span's fields when it is opened, an event's when it
//! happens.
//!
//! Must never parse what it has written, or keep a line from being written because a value cannot be shown.

use std::cell::Cell;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

use super::filter::Filter;
use super::json::{self, Members};
use super::output::Output;
use super::pretty::{self, Words};
use super::request::ACCESS;
use super::spans::Spans;
use super::stamp;
use crate::clock;
use crate::config::LogFormat;

/// A thread keeps the memory of its last line, up to this size.
const MAX_KEPT: usize = 16 * 1024;

thread_local! {
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// Takes what happens, and has the lines written.
pub(super) struct Log {
    format: LogFormat,
    filter: Filter,
    spans: Spans,
    output: Arc<Output>,
}

impl Log {
    /// Lines in this format, of what the filter lets through, to this output.
    pub(super) fn new(format: LogFormat, filter: Filter, output: Arc<Output>) -> Self {
        Self { format, filter, spans: Spans::default(), output }
    }

    fn pretty_line(&self, line: &mut String, event: &Event<'_>) {
        stamp::push(line, clock::microseconds());
        line.push(' ');
        line.push_str(pretty::level(*event.metadata().level()));
        line.push(' ');
        if let Some(span) = span_of(event) {
            self.spans.show(&span, true, &mut |name, fields| pretty::span(line, name, fields));
            line.push(' ');
        }
        event.record(&mut Words::new(line));
        line.push('\n');
    }

    fn json_line(&self, line: &mut String, event: &Event<'_>) {
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
        if let Some(span) = span_of(event) {
            self.spans.show(&span, false, &mut |name, fields| json::span(line, name, fields));
        }
        line.push_str("}\n");
    }
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.filter.allows(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.filter.finest()
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = spare_line();
        match self.format {
            LogFormat::Pretty => attributes.record(&mut Words::new(&mut fields)),
            LogFormat::Json => attributes.record(&mut Members::new(&mut fields)),
        }
        let parent = if attributes.is_contextual() { Spans::innermost() } else { attributes.parent().cloned() };
        let id = self.spans.open(attributes.metadata(), parent, &fields);
        keep(fields);
        id
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut added = spare_line();
        match self.format {
            LogFormat::Pretty => values.record(&mut Words::new(&mut added)),
            LogFormat::Json => values.record(&mut Members::new(&mut added)),
        }
        self.spans.change(span, |fields| {
            match self.format {
                LogFormat::Pretty if !fields.is_empty() => fields.push(' '),
                LogFormat::Pretty => {}
                LogFormat::Json => values.record(&mut Forget(fields)),
            }
            fields.push_str(&added);
        });
        keep(added);
    }

    /// No line shows it.
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = spare_line();
        match self.format {
            LogFormat::Pretty => self.pretty_line(&mut line, event),
            LogFormat::Json => self.json_line(&mut line, event),
        }
        if event.metadata().target() == ACCESS {
            self.output.write_soon(&line)
        } else {
            self.output.write(&line)
        }
        keep(line);
    }

    fn enter(&self, span: &Id) {
        Spans::enter(span);
    }

    fn exit(&self, span: &Id) {
        Spans::exit(span);
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.spans.hold(span);
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        self.spans.release(&span)
    }

    fn current_span(&self) -> Current {
        self.spans.current()
    }
}

/// The innermost span that an event happens in.
fn span_of(event: &Event<'_>) -> Option<Id> {
    if event.is_contextual() { Spans::innermost() } else { event.parent().cloned() }
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
