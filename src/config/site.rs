//! `[csrf]`, `[keys]`, `[pages]` and `[log]`, typed.

use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::leaf::Leaf;
use super::raw::{RawCsrf, RawKeys, RawLog, RawPages};
use super::reader::Reader;
use super::{LogConfig, LogFormat, values};
use crate::web::CsrfHeader;
use crate::web::page::Pages;

const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace", "off"];
/// Who looks at the log after something went wrong is not to wait for its last lines.
const MAX_ACCESS_BUFFER: Duration = Duration::from_secs(10);

pub(super) fn csrf(raw: RawCsrf, reader: &mut Reader<'_>) -> Option<CsrfHeader> {
    let name = reader.value("csrf.header", raw.header, values::csrf_header);
    let value = reader.value("csrf.value", raw.value, values::header_value);
    Some(CsrfHeader { name: name?, value: value? })
}

pub(super) fn ring(raw: RawKeys, reader: &mut Reader<'_>) -> Option<PathBuf> {
    reader.value("keys.ring", raw.ring, values::path)
}

pub(super) fn pages(raw: RawPages, reader: &mut Reader<'_>) -> Option<Pages> {
    let load = |leaf: &Leaf| Pages::load(&values::path(leaf)?).map_err(|error| error.to_string());
    reader.optional("pages.templates", raw.templates, load).map(Option::unwrap_or_default)
}

pub(super) fn log(raw: RawLog, reader: &mut Reader<'_>) -> Option<LogConfig> {
    let format = reader.value("log.format", raw.format, |leaf| {
        values::choice(leaf, &[("pretty", LogFormat::Pretty), ("json", LogFormat::Json)])
    });
    let level = reader.value("log.level", raw.level, level);
    let access_buffer = reader.value("log.access_buffer", raw.access_buffer, |leaf| {
        values::at_most(values::duration(leaf)?, MAX_ACCESS_BUFFER)
    });
    Some(LogConfig { format: format?, level: level?, access_buffer: access_buffer? })
}

/// A level, or directives. A lone word that is no level would count as a module's name and silence everything else.
fn level(leaf: &Leaf) -> Result<String, String> {
    let text = values::text(leaf)?;
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    for directive in text.split(',').map(str::trim) {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if !is_level(level) {
            return Err(format!("{level:?} is not a level; use one of {}", LEVELS.join(", ")));
        }
    }
    match EnvFilter::builder().parse(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(format!("{text:?} is not a level or a list of target=level")),
    }
}
