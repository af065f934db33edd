//! `sealgate check`: everything that can be known before `serve`, one line a finding.
//!
//! It is a list of small checks, each of which looks at one thing and adds lines. It must never change anything, nor
//! print a secret.

mod cookies;
mod files;
mod in_front;
mod progress;
mod provider;
mod report;
mod ring;
mod tls;
mod token_issuers;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use self::report::{Report, Verdict};
use super::CliError;
use crate::clock::Clock;
use crate::config::{Config, Loaded, ProviderConfig, Scope, SiteConfig};

/// What `check` takes.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Configuration files; later ones win over earlier ones
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    config: Vec<PathBuf>,
    /// Do not ask the provider for its metadata
    #[arg(long)]
    offline: bool,
    /// Print {"ok", "errors", "warnings", "lines": [{verdict, file, line, variable, key, message}]}
    #[arg(long)]
    json: bool,
}

/// What a check looks at.
struct Subject<'a> {
    loaded: &'a Loaded,
    /// The configuration's files.
    files: &'a [PathBuf],
    clock: &'a Clock,
    offline: bool,
}

impl Subject<'_> {
    /// Looks at every site in turn.
    fn each_site(&self, report: &mut Report, mut look: impl FnMut(&SiteConfig, &mut Report)) {
        for site in &self.loaded.config.sites {
            report.enter(site.scope);
            look(site, report);
        }
        report.enter(Scope::default());
    }

    /// Looks at every provider of every site in turn.
    fn each_provider(&self, report: &mut Report, mut look: impl FnMut(&SiteConfig, &ProviderConfig, &mut Report)) {
        self.each_site(report, |site, report| {
            for provider in &site.providers {
                report.enter(provider.scope);
                look(site, provider, report);
            }
        });
    }
}

type Check = fn(&Subject<'_>, &mut Report);

/// All checks of a configuration that can be read, in the order of their lines.
const CHECKS: &[Check] =
    &[cookies::check, files::check, ring::check, tls::check, in_front::check, provider::check, token_issuers::check];

/// Checks what `args` names; lines go to `out`, with colours.
///
/// # Errors
/// [`CliError::Check`] when a line is an error; when `out` cannot be written.
pub fn run(args: &CheckArgs, clock: &Clock, out: &mut dyn Write) -> Result<(), CliError> {
    let mut report = Report::default();
    match Config::load(&args.config) {
        Err(error) => {
            error.findings.into_iter().for_each(|finding| report.add_finding(finding));
            report.note("configuration", "key ring, files and provider are looked at once the errors are corrected");
        }
        Ok(loaded) => {
            let shown: Vec<_> = args.config.iter().map(|file| file.display().to_string()).collect();
            report.ok("configuration", format!("{} can be used", shown.join(", ")));
            loaded.warnings.iter().cloned().for_each(|finding| report.add_finding(finding));
            let subject = Subject { loaded: &loaded, files: &args.config, clock, offline: args.offline };
            CHECKS.iter().for_each(|check| check(&subject, &mut report));
        }
    }
    report.write(args.json, out)?;
    let (errors, warnings) = (report.count(Verdict::Error), report.count(Verdict::Warning));
    if errors > 0 {
        return Err(CliError::Check { errors, warnings });
    }
    if !args.json {
        writeln!(out, "\nNo errors, {}.", counted(warnings, "warning"))?;
    }
    Ok(())
}

/// A number of things: `1 error`, `2 errors`.
pub(super) fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
mod tests;
