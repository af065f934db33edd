//! `[csrf]`, `[keys]`, `[static]` and `[log]`, typed.

use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use super::leaf::Leaf;
use super::raw::{RawCsrf, RawKeys, RawLog, RawStatic};
use super::reader::Reader;
use super::{LogConfig, LogFormat, values};
use crate::web::{CsrfHeader, StaticSettings};

const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace", "off"];

pub(super) fn csrf(raw: RawCsrf, reader: &mut Reader<'_>) -> Option<CsrfHeader> {
    let name = reader.value("csrf.header", raw.header, values::csrf_header);
    let value = reader.value("csrf.value", raw.value, values::header_value);
    Some(CsrfHeader { name: name?, value: value? })
}

pub(super) fn ring(raw: RawKeys, reader: &mut Reader<'_>) -> Option<PathBuf> {
    reader.value("keys.ring", raw.ring, values::path)
}

pub(super) fn static_site(raw: Option<RawStatic>, reader: &mut Reader<'_>) -> Option<Option<StaticSettings>> {
    match raw {
        None => Some(None),
        Some(raw) => reader.value("static.root", raw.root, static_root).map(|root| Some(StaticSettings { root })),
    }
}

fn static_root(leaf: &Leaf) -> Result<PathBuf, String> {
    let root = values::path(leaf)?;
    if !root.is_dir() {
        return Err(format!("{} is not a folder; build the app first, or name its folder", root.display()));
    }
    if !root.join("index.html").is_file() {
        return Err(format!("{} has no index.html; name the folder of the built app", root.display()));
    }
    Ok(root)
}

pub(super) fn log(raw: RawLog, reader: &mut Reader<'_>) -> Option<LogConfig> {
    let format = reader.value("log.format", raw.format, |leaf| {
        values::choice(leaf, &[("pretty", LogFormat::Pretty), ("json", LogFormat::Json)])
    });
    let level = reader.value("log.level", raw.level, level);
    Some(LogConfig { format: format?, level: level? })
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
