//! `sealgate cookie`: what a browser's cookies are, and why they do not open; for whoever has to help a user.
//!
//! Must never print a token, the value of a claim, or any part of what was read.

mod inspect;
mod report;

use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use self::inspect::Bench;
use super::CliError;
use crate::clock::Clock;
use crate::config::{Config, SiteConfig};
use crate::keyring::RingFileError;

/// The longest input, in bytes: some eight times what servers take as a head.
const MAX_INPUT: u64 = 128 * 1024;

/// What to do with cookies.
#[derive(Debug, Subcommand)]
pub enum CookieCommand {
    /// Describe the cookies of a Cookie header on standard input; never a token
    Inspect(InspectArgs),
}

/// What `cookie inspect` takes.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Configuration files, which name the key ring: with them the cookies are opened and their contents described
    #[arg(long, value_name = "FILE", num_args = 1..)]
    config: Vec<PathBuf>,
    /// The public URL of the site that the cookies are from, where the configuration has several
    #[arg(long, value_name = "URL", requires = "config")]
    site: Option<String>,
    /// Print {"session", "cookies": [{name, kind, version, kid, key_state, chunks, characters, bytes, opens, problem, contents}]}
    #[arg(long)]
    json: bool,
}

/// Why no cookie could be looked at. What was read is never repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// Standard input failed.
    #[error("standard input cannot be read: {0}")]
    Input(io::Error),
    /// Too long for a header.
    #[error("standard input is longer than {MAX_INPUT} bytes, and so no Cookie header; paste the one header alone")]
    TooLong,
    /// Not UTF-8.
    #[error("standard input is not text; paste a Cookie header as the browser's developer tools or curl -v show it")]
    NotText,
    /// Nothing in it.
    #[error("standard input is empty; paste a Cookie header as the browser's developer tools or curl -v show it")]
    Empty,
    /// Not a single `name=value`.
    #[error(
        "standard input has no cookie, which is name=value; paste a Cookie header, not a token or one cookie's value"
    )]
    NoPair,
    /// Cookies, and none of ours.
    #[error("none of the cookies ({cookies}) is Sealgate's, whose names begin with {names}; {remedy}")]
    NoneOfOurs {
        /// How many cookies there are.
        cookies: usize,
        /// The base names that were looked for.
        names: String,
        /// What to try.
        remedy: &'static str,
    },
    /// The configuration has several sites, or another one.
    #[error("--site must be one of {sites}")]
    Site {
        /// Those that it has.
        sites: String,
    },
    /// The ring that the configuration names.
    #[error(transparent)]
    Ring(#[from] RingFileError),
}

/// Runs a command and prints its result.
///
/// # Errors
/// When the input holds no cookie of ours, or the configuration or its key ring cannot be read. A cookie that is
/// broken is described, and no error.
pub fn run(command: &CookieCommand, clock: &Clock, input: &mut dyn Read, out: &mut dyn Write) -> Result<(), CliError> {
    let CookieCommand::Inspect(args) = command;
    let bench = if args.config.is_empty() {
        Bench::without_keys()
    } else {
        let config = Config::load(&args.config)?.config;
        let site = chosen(&config.sites, args.site.as_deref())?;
        Bench::with_keys(&config.ring, site, clock.clone()).map_err(CookieError::from)?
    };
    let fields = read_fields(input)?;
    let report = bench.inspect(&fields)?;
    Ok(report.write(args.json, clock.now(), out)?)
}

/// The site at `public_url`; without it the only one.
fn chosen<'a>(sites: &'a [SiteConfig], public_url: Option<&str>) -> Result<&'a SiteConfig, CookieError> {
    let found = match (public_url, sites) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(url), _) => sites.iter().find(|site| site.public_url.as_str() == url.trim_end_matches('/')),
    };
    found.ok_or_else(|| {
        let sites: Vec<_> = sites.iter().map(|site| site.public_url.as_str()).collect();
        CookieError::Site { sites: sites.join(", ") }
    })
}

/// The values of the `Cookie` headers in the input, a line each; with or without the name, or as curl shows them.
fn read_fields(input: &mut dyn Read) -> Result<Vec<String>, CookieError> {
    let mut bytes = Vec::new();
    input.take(MAX_INPUT + 1).read_to_end(&mut bytes).map_err(CookieError::Input)?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(CookieError::TooLong);
    }
    let text = String::from_utf8(bytes).map_err(|_| CookieError::NotText)?;
    let fields: Vec<String> =
        text.lines().map(field_value).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if fields.is_empty() { Err(CookieError::Empty) } else { Ok(fields) }
}

fn field_value(line: &str) -> &str {
    let line = line.trim().trim_start_matches("> ");
    match line.split_at_checked("cookie:".len()) {
        Some((name, value)) if name.eq_ignore_ascii_case("cookie:") => value.trim(),
        _ => line,
    }
}

#[cfg(test)]
mod tests;
