//! `sealgate check`: everything that can be known before `serve`, one line a finding.
//!
//! It is a list of small checks, each of which looks at one thing and adds lines. It must never change anything, nor
//! print a secret.

mod provider;
mod ring;
mod transport;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::CliError;
use crate::clock::Clock;
use crate::config::{Config, Finding, Loaded, Severity};

/// What `check` takes.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Configuration files; later ones win over earlier ones
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    config: Vec<PathBuf>,
    /// Do not ask the provider for its metadata
    #[arg(long)]
    offline: bool,
    /// Print {"ok": …, "lines": […]} instead of lines for people
    #[arg(long)]
    json: bool,
}

/// What a check looks at.
struct Subject<'a> {
    loaded: &'a Loaded,
    clock: &'a Clock,
    offline: bool,
}

type Check = fn(&Subject<'_>, &mut Report);

/// All checks of a configuration that can be read, in the order of their lines.
const CHECKS: &[Check] = &[transport::check, ring::check, provider::check];

/// Checks what `args` names; lines go to `out`.
///
/// # Errors
/// [`CliError::Check`] when a line is an error; when `out` cannot be written.
pub fn run(args: &CheckArgs, clock: &Clock, out: &mut dyn Write) -> Result<(), CliError> {
    let mut report = Report::default();
    match Config::load(&args.config) {
        Err(error) => report.lines.extend(error.findings.into_iter().map(Line::from)),
        Ok(loaded) => {
            report.lines.extend(loaded.warnings.iter().cloned().map(Line::from));
            report.ok("configuration", format!("{} file(s) are valid", args.config.len()));
            let subject = Subject { loaded: &loaded, clock, offline: args.offline };
            CHECKS.iter().for_each(|check| check(&subject, &mut report));
        }
    }
    report.write(args.json, out)?;
    match report.errors() {
        0 => Ok(()),
        errors => Err(CliError::Check(errors)),
    }
}

/// The lines so far.
#[derive(Default)]
struct Report {
    lines: Vec<Line>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Error,
}

/// One line: a verdict, and a finding or what was found in order.
#[derive(Debug, Serialize)]
struct Line {
    verdict: Verdict,
    file: Option<PathBuf>,
    line: Option<usize>,
    variable: Option<String>,
    key: String,
    message: String,
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

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, file, line, variable, key, message } = self;
        let severity = match verdict {
            Verdict::Ok => return write!(f, "ok: {key}: {message}"),
            Verdict::Warning => Severity::Warning,
            Verdict::Error => Severity::Error,
        };
        let (file, variable) = (file.clone(), variable.clone());
        let finding = Finding { severity, file, line: *line, variable, key: key.clone(), message: message.clone() };
        write!(f, "{severity}: {finding}")
    }
}

impl Report {
    /// Says that `subject` is in order.
    fn ok(&mut self, subject: &str, message: impl Into<String>) {
        let (key, message) = (subject.to_owned(), message.into());
        self.lines.push(Line { verdict: Verdict::Ok, file: None, line: None, variable: None, key, message });
    }

    /// Adds a finding.
    fn add(&mut self, finding: Finding) {
        self.lines.push(finding.into());
    }

    fn errors(&self) -> usize {
        self.lines.iter().filter(|line| line.verdict == Verdict::Error).count()
    }

    fn write(&self, json: bool, out: &mut dyn Write) -> io::Result<()> {
        if json {
            let report = serde_json::json!({ "ok": self.errors() == 0, "lines": self.lines });
            return writeln!(out, "{report:#}");
        }
        self.lines.iter().try_for_each(|line| writeln!(out, "{line}"))
    }
}
