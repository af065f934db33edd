//! Lines for people, without colours: time, level, the spans around the event, its message, its other fields.
//!
//! Must never write a control character: a value with a line break would forge a line, one with an escape sequence
//! would work on the terminal of who reads the log.

use std::error::Error;
use std::fmt::{self, Write as _};

use tracing::Level;
use tracing::field::{Field, Visit};

use super::json::name;

/// Writes fields as `name=value`, with a space between two; the message without its name.
pub(super) struct Words<'a> {
    out: &'a mut String,
    is_first: bool,
}

impl<'a> Words<'a> {
    /// Into `out`, after what is there.
    pub(super) fn new(out: &'a mut String) -> Self {
        Self { out, is_first: true }
    }

    fn key(&mut self, field: &Field) {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.push(' ');
        }
        if field.name() != "message" {
            self.out.push_str(name(field));
            self.out.push('=');
        }
    }
}

impl Visit for Words<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            return self.record_debug(field, &format_args!("{value}"));
        }
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            return self.record_debug(field, &value);
        }
        // As `Debug` writes it, at a tenth of the cost: the path of every request comes this way.
        self.key(field);
        self.out.push('"');
        self.out.push_str(value);
        self.out.push('"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if is_of_the_log_crate(field) {
            return;
        }
        self.key(field);
        self.out.push_str(itoa::Buffer::new().format(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        match value.source() {
            None => self.record_debug(field, &format_args!("{value}")),
            Some(source) => {
                let name = name(field);
                self.record_debug(field, &format_args!("{value} {name}.sources={}", Sources(source)));
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if is_of_the_log_crate(field) {
            return;
        }
        self.key(field);
        // A value whose text ends in an error is cut there.
        let _ = write!(Harmless(self.out), "{value:?}");
    }
}

/// Lines of the `log` crate bring their target, file and line as fields.
fn is_of_the_log_crate(field: &Field) -> bool {
    field.name().starts_with("log.")
}

/// An error and what led to it, as a list.
struct Sources<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        let mut next = Some(self.0);
        while let Some(error) = next {
            list.entry(&format_args!("{error}"));
            next = error.source();
        }
        list.finish()
    }
}

/// Appends a span; one follows the other without a space.
pub(super) fn span(out: &mut String, name: &str, fields: &str) {
    out.push_str(name);
    if !fields.is_empty() {
        out.push('{');
        out.push_str(fields);
        out.push('}');
    }
    out.push(':');
}

/// The level, right-aligned.
pub(super) fn level(level: Level) -> &'static str {
    match level {
        Level::TRACE => "TRACE",
        Level::DEBUG => "DEBUG",
        Level::INFO => " INFO",
        Level::WARN => " WARN",
        Level::ERROR => "ERROR",
    }
}

/// What is written to it loses its control characters.
struct Harmless<'a>(&'a mut String);

impl fmt::Write for Harmless<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            self.0.push_str(text);
            return Ok(());
        }
        for character in text.chars() {
            match character {
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                '\0'..='\x1f' | '\x7f' => write!(self.0, "\\x{:02x}", u32::from(character))?,
                '\u{80}'..='\u{9f}' => write!(self.0, "\\u{{{:x}}}", u32::from(character))?,
                harmless => self.0.push(harmless),
            }
        }
        Ok(())
    }
}
