//! The lines of a check: collected first, then written in aligned columns for people or as JSON for machines.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::config::{Finding, Loaded, Scope, Severity};

/// How one thing was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// In order.
    Ok,
    /// In order, and something to know or to do elsewhere.
    Note,
    /// It works, but somebody should look at it.
    Warning,
    /// It does not work.
    Error,
}

impl Verdict {
    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Note => AnsiColor::Cyan.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default().bold(),
            Self::Error => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// Written in lower case, padded as asked.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// The lines so far.
#[derive(Default)]
pub(super) struct Report {
    lines: Vec<Line>,
    /// The site or the provider that is being looked at.
    scope: Scope,
}

/// One line: a verdict on a key, and where the key was set if that is part of the matter.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) verdict: Verdict,
    pub(super) file: Option<PathBuf>,
    pub(super) line: Option<usize>,
    pub(super) variable: Option<String>,
    pub(super) key: String,
    pub(super) message: String,
}

impl Line {
    /// The key; a finding about a whole file is about the configuration.
    fn subject(&self) -> &str {
        if self.key.is_empty() { "configuration" } else { &self.key }
    }

    /// `FILE:LINE` or the variable.
    fn place(&self) -> Option<String> {
        let Self { file, line, variable, .. } = self;
        let file = file.as_ref().map(|file| file.display());
        match (variable, file, line) {
            (Some(variable), ..) => Some(variable.clone()),
            (None, Some(file), Some(line)) => Some(format!("{file}:{line}")),
            (None, Some(file), None) => Some(file.to_string()),
            (None, None, _) => None,
        }
    }
}

impl From<Finding> for Line {
    fn from(finding: Finding) -> Self {
        let Finding { severity, file, line, variable, key, message } = finding;
        let verdict = match severity {
            Severity::Error => Verdict::Error,
            Severity::Warning => Verdict::Warning,
        };
        Self { verdict, file, line, variable, key, message }
    }
}

impl Report {
    /// Speaks of that site, or that provider, from now on: its keys are named as the short form names them.
    pub(super) fn enter(&mut self, scope: Scope) {
        self.scope = scope;
    }

    /// Says that what `subject` names is in order.
    pub(super) fn ok(&mut self, subject: &str, message: impl Into<String>) {
        self.unplaced(Verdict::Ok, subject, message);
    }

    /// Says what to know of `subject`.
    pub(super) fn note(&mut self, subject: &str, message: impl Into<String>) {
        self.unplaced(Verdict::Note, subject, message);
    }

    /// Adds a verdict on `key`; what is not in order is shown with the place where the key was set.
    pub(super) fn add(&mut self, loaded: &Loaded, verdict: Verdict, key: &str, message: impl Into<String>) {
        match verdict {
            Verdict::Ok => self.ok(key, message),
            Verdict::Note | Verdict::Warning | Verdict::Error => {
                let finding = loaded.finding(Severity::Error, &loaded.place(self.scope, key), message);
                self.lines.push(Line { verdict, key: self.scope.key(key), ..finding.into() });
            }
        }
    }

    /// Adds a finding of the configuration.
    pub(super) fn add_finding(&mut self, finding: Finding) {
        self.lines.push(finding.into());
    }

    fn unplaced(&mut self, verdict: Verdict, subject: &str, message: impl Into<String>) {
        let (key, message) = (self.scope.key(subject), message.into());
        self.lines.push(Line { verdict, file: None, line: None, variable: None, key, message });
    }

    /// How many lines have that verdict.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|line| line.verdict == verdict).count()
    }

    #[cfg(test)]
    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Writes all lines; colours are for the writer to take out where they are not wanted.
    pub(super) fn write(&self, json: bool, out: &mut dyn Write) -> io::Result<()> {
        if json { self.write_json(out) } else { self.write_table(out) }
    }

    fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let (errors, warnings) = (self.count(Verdict::Error), self.count(Verdict::Warning));
        let report = serde_json::json!({
            "ok": errors == 0,
            "errors": errors,
            "warnings": warnings,
            "lines": self.lines,
        });
        writeln!(out, "{report:#}")
    }

    fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.lines.iter().map(|line| line.subject().len()).max().unwrap_or(0);
        for line in &self.lines {
            let (Line { verdict, message, .. }, subject) = (line, line.subject());
            let style = verdict.style();
            write!(out, "{style}{verdict:<7}{style:#}  {subject:<width$}  ")?;
            if let Some(place) = line.place() {
                let place_style = Style::new().dimmed();
                write!(out, "{place_style}{place}:{place_style:#} ")?;
            }
            writeln!(out, "{}", printable(message))?;
        }
        Ok(())
    }
}

/// What a provider says goes into messages too: it must not move the cursor, nor make a second line.
fn printable(message: &str) -> String {
    message.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.ok("keys.ring", "fine");
        report.add_finding(Finding {
            severity: Severity::Error,
            file: Some("a.toml".into()),
            line: Some(3),
            variable: None,
            key: "server.listen".to_owned(),
            message: "is odd".to_owned(),
        });
        report
    }

    fn written(json: bool) -> String {
        let mut bytes = Vec::new();
        report().write(json, &mut bytes).expect("memory");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn lines_stand_in_columns() {
        let text = anstream::adapter::strip_str(&written(false)).to_string();
        assert_eq!(text, "ok       keys.ring      fine\nerror    server.listen  a.toml:3: is odd\n");
    }

    #[test]
    fn no_message_moves_the_cursor_or_makes_a_second_line() {
        let mut report = Report::default();
        report.ok("provider.issuer", "RS256\u{1b}[2J\nok everything");
        let mut bytes = Vec::new();
        report.write(false, &mut bytes).expect("memory");
        let text = String::from_utf8(bytes).expect("text");
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains("\u{1b}[2J"));
    }

    #[test]
    fn verdicts_have_colours_and_json_has_none() {
        assert!(written(false).contains("\u{1b}[1m\u{1b}[31merror"), "{:?}", written(false));
        let json = written(true);
        assert!(!json.contains('\u{1b}'));
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&value["ok"], &value["errors"]), (&false.into(), &1.into()));
        assert_eq!(value["lines"][1]["line"], 3);
    }
}
