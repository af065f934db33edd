//! Lines for machines: one JSON object a line (RFC 8259), with the event's fields beside `timestamp`, `level` and
//! `target`, and those of the span around it under `span`.
//!
//! Must never break the line or the object, whatever stands in a value.

use std::error::Error;
use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};

/// Writes fields as members, each with a comma behind it.
pub(super) struct Members<'a> {
    out: &'a mut String,
}

impl<'a> Members<'a> {
    /// Into `out`, after what is there.
    pub(super) fn new(out: &'a mut String) -> Self {
        Self { out }
    }

    fn key(&mut self, field: &Field) {
        let name = name(field);
        // Nearly all names are words of Rust.
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.out.push('"');
            self.out.push_str(name);
            self.out.push_str("\":");
        } else {
            string(self.out, name);
            self.out.push(':');
        }
    }

    fn number(&mut self, field: &Field, value: impl fmt::Display) {
        self.key(field);
        // Writing to a string cannot fail.
        let _ = write!(self.out, "{value},");
    }
}

impl Visit for Members<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity and nothing that is not a number.
        self.number(field, serde_json::Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field);
        string(self.out, value);
        self.out.push(',');
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.key(field);
        self.out.push('"');
        // A value whose text ends in an error is cut there.
        let _ = write!(Escaped(self.out), "{value:?}");
        self.out.push_str("\",");
    }
}

/// The field's name; one that is a word of Rust is written `r#type` there.
pub(super) fn name(field: &Field) -> &'static str {
    field.name().strip_prefix("r#").unwrap_or(field.name())
}

/// Appends a span as the last member of a line.
pub(super) fn span(out: &mut String, name: &str, fields: &str) {
    out.push_str(",\"span\":{");
    out.push_str(fields);
    out.push_str("\"name\":");
    string(out, name);
    out.push('}');
}

/// `members` without the member of this name.
pub(super) fn without(members: &str, name: &str) -> String {
    let object = format!("{{{}}}", members.strip_suffix(',').unwrap_or(members));
    let Ok(serde_json::Value::Object(mut object)) = serde_json::from_str(&object) else {
        return members.to_owned();
    };
    object.shift_remove(name);
    object.iter().map(|(key, value)| format!("{}:{value},", serde_json::Value::from(key.as_str()))).collect()
}

/// Appends a string with its quotation marks.
pub(super) fn string(out: &mut String, text: &str) {
    out.push('"');
    escape(out, text);
    out.push('"');
}

/// What is written to it is escaped.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// RFC 8259 §7.
fn escape(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(position) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        // What is escaped is ASCII, so both cuts lie between characters.
        let (plain, special) = rest.split_at(position);
        out.push_str(plain);
        match special.as_bytes()[0] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{control:04x}");
            }
        }
        rest = &special[1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// RFC 8259 §7.
        #[test]
        fn every_text_is_read_back_as_it_was(text in "(?s)[\\x00-\\x7f\\u{80}-\\u{10ffff}]{0,40}") {
            let mut out = String::new();
            string(&mut out, &text);
            prop_assert!(!out.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<String>(&out).expect("a JSON string"), text);
        }
    }

    #[test]
    fn control_characters_and_quotation_marks_are_escaped() {
        let mut out = String::new();
        string(&mut out, "a\"b\\c\nd\u{1b}[2Je\0");
        assert_eq!(out, r#""a\"b\\c\nd\u001b[2Je\u0000""#);
    }

    #[test]
    fn a_member_can_be_taken_out() {
        assert_eq!(without(r#""a":"}\",",,"b":[1,2],"c":null,"#, "b"), r#""a":"}\",",,"b":[1,2],"c":null,"#);
        assert_eq!(without(r#""a":"}\",","b":2,"c":null,"#, "b"), r#""a":"}\",","c":null,"#);
        assert_eq!(without("", "b"), "");
    }
}
