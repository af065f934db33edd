//! The commands: what each takes, and which function runs it.
//!
//! Nothing here decides anything about sessions, keys or providers; commands call the layers below. Output goes
//! through the writers that are handed in, never straight to the process's; what shows on a terminal while a command
//! waits is the one exception.

mod check;
mod completions;
mod config;
mod cookie;
mod demo;
mod keys;
mod moment;
mod serve;

use std::error::Error;
use std::fmt;
use std::io::{self, Write};

use anstyle::AnsiColor;
use clap::{Parser, Subcommand};

use crate::clock::Clock;
use crate::config::{ConfigError, Severity};

/// A stateless Backend-for-Frontend: OpenID Connect login, tokens sealed in a cookie, an API proxy.
#[derive(Debug, Parser)]
#[command(name = "sealgate", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the BFF until SIGTERM or SIGINT.
    Serve(serve::ServeArgs),
    /// Run the BFF with a demo provider, API and app around it, on loopback, without any set-up.
    Demo(demo::DemoArgs),
    /// Validate the configuration, the key ring and the provider's metadata; one line a finding.
    Check(check::CheckArgs),
    /// Make, show and rotate the keys that seal cookies.
    Keys(keys::KeysArgs),
    /// Look into cookies, for support: what they are, and why they do not open.
    #[command(subcommand)]
    Cookie(cookie::CookieCommand),
    /// Print what can be configured.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
}

/// Runs the command that `cli` names; data goes to `out`.
///
/// # Errors
/// Whatever kept the command from doing its work; see [`CliError::report`].
pub fn run(cli: Cli, out: &mut dyn Write) -> Result<(), CliError> {
    let clock = Clock::system();
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => Ok(demo::run(&args, out)?),
        Command::Check(args) => check::run(&args, &clock, out),
        Command::Keys(args) => {
            let (input, messages) = (&mut io::stdin().lock(), &mut anstream::stderr());
            Ok(keys::run(args, &clock, keys::Streams { input, out, messages })?)
        }
        Command::Cookie(command) => cookie::run(&command, &clock, &mut io::stdin().lock(), out),
        Command::Config(command) => Ok(config::run(&command, out)?),
        Command::Completions(args) => Ok(completions::run(&args, out)?),
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server did not start, or ended badly.
    #[error(transparent)]
    Serve(#[from] crate::server::ServeError),
    /// The demo did not run.
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    /// The key ring cannot be made, read or changed.
    #[error(transparent)]
    Keys(#[from] keys::KeysError),
    /// No cookie could be looked at.
    #[error(transparent)]
    Cookie(#[from] cookie::CookieError),
    /// `check` printed errors.
    #[error(
        "the check found {} and {}, listed on standard output",
        check::counted(*.errors, "error"),
        check::counted(*.warnings, "warning")
    )]
    Check {
        /// How many errors; one at least.
        errors: usize,
        /// How many warnings.
        warnings: usize,
    },
    /// The output cannot be written.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

impl CliError {
    /// Whether whoever read our output has closed it, as `head` does: no failure of ours.
    pub fn is_closed_pipe(&self) -> bool {
        match self {
            Self::Output(error) | Self::Keys(keys::KeysError::Output(error)) => {
                error.kind() == io::ErrorKind::BrokenPipe
            }
            _ => false,
        }
    }

    /// Writes the error for people: one line each, `error: …` or `warning: …`, with colours; those are for the writer
    /// to take out where they are not wanted.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn report(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Config(error) => {
                error.findings.iter().try_for_each(|finding| labelled(finding.severity, finding, out))
            }
            other => labelled(Severity::Error, &with_causes(other), out),
        }
    }
}

fn labelled(severity: Severity, message: &dyn fmt::Display, out: &mut dyn Write) -> io::Result<()> {
    let color = match severity {
        Severity::Error => AnsiColor::Red,
        Severity::Warning => AnsiColor::Yellow,
    };
    let style = color.on_default().bold();
    writeln!(out, "{style}{severity}:{style:#} {message}")
}

/// The error and its causes in one sentence; a cause that is already part of it is not repeated.
fn with_causes(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !sentence.contains(&text) {
            sentence.push_str(": ");
            sentence.push_str(&text);
        }
        cause = error.source();
    }
    sentence
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_follows_its_error_once() {
        let inner = io::Error::other("disk full");
        assert_eq!(with_causes(&CliError::Output(inner)), "the output cannot be written: disk full");
    }

    #[test]
    fn each_finding_is_a_line_of_its_own() {
        let error = crate::config::Config::load_with(&[], []).expect_err("nothing is set");
        let mut text = Vec::new();
        CliError::from(error).report(&mut text).expect("memory");
        let text = anstream::adapter::strip_bytes(&text).into_vec();
        let text = String::from_utf8(text).expect("text");
        assert!(text.lines().count() >= 3);
        assert!(text.lines().all(|line| line.starts_with("error: ")), "{text}");
    }
}
