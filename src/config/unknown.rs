//! Keys that nothing reads: found by serde, each with the key that was probably meant.

use std::collections::HashSet;

use config::{Map, Value, ValueKind};
use serde_ignored::Path;

use super::definitions::{self, Form, SECTIONS, SectionDefinition};
use super::finding::{Finding, Severity};
use super::position::Positions;
use super::raw::RawConfig;

/// Reads the raw configuration; appends a finding for every key that it does not know and every section that is no
/// table. Those are left out. Also gives the keys that the unknown ones were probably meant to be.
pub(super) fn deserialize(
    mut values: Map<String, Value>,
    positions: &Positions,
    findings: &mut Vec<Finding>,
) -> (RawConfig, HashSet<String>) {
    repair_shape(&mut values, positions, findings);
    let mut unknown = Vec::new();
    let root = Value::new(None, ValueKind::Table(values));
    let raw = serde_ignored::deserialize(root, |path| unknown.push(key_path(&path)));
    for path in &unknown {
        findings.extend(positions.finding_everywhere(Severity::Error, path, &message(path)));
    }
    // After the repair nothing that stands in a file can fail here; and the error might quote a value.
    let raw = raw.unwrap_or_else(|_| {
        findings.push(positions.finding(Severity::Error, "", "the configuration cannot be read".to_owned()));
        RawConfig::default()
    });
    (raw, unknown.iter().filter_map(|path| nearest(path)).collect())
}

/// Sections must be tables and lists of tables; what is not becomes an empty one, with a finding.
fn repair_shape(values: &mut Map<String, Value>, positions: &Positions, findings: &mut Vec<Finding>) {
    let mut refuse = |path: &str, message: String| findings.push(positions.finding(Severity::Error, path, message));
    for section in SECTIONS.iter().filter(|section| section.form != Form::ListWithin) {
        let Some(value) = values.get_mut(section.name) else { continue };
        match (section.form, &mut value.kind) {
            (Form::List, ValueKind::Array(rows)) => repair_rows(section.name, section.name, rows, &mut refuse),
            (Form::List, kind) => {
                let remedy = if positions.is_from_environment(section.name) {
                    format!("set its keys by position, as in {}", section.variable(&section.keys[0]))
                } else {
                    format!("write [[{}]]", section.name)
                };
                refuse(section.name, format!("must be a list of tables; {remedy}"));
                *kind = ValueKind::Array(Vec::new());
            }
            (_, ValueKind::Table(table)) => repair_lists(section.name, section.name, table, &mut refuse),
            (_, kind) => {
                refuse(section.name, format!("must be a table; write [{}] and its keys below", section.name));
                *kind = ValueKind::Table(Map::new());
            }
        }
    }
}

/// The tables of the list at `path`, and what is in them.
fn repair_rows(path: &str, name: &str, rows: &mut [Value], refuse: &mut impl FnMut(&str, String)) {
    for (index, row) in rows.iter_mut().enumerate() {
        let path = format!("{path}[{index}]");
        let ValueKind::Table(table) = &mut row.kind else {
            refuse(&path, format!("must be a table: [[{name}]]"));
            row.kind = ValueKind::Table(Map::new());
            continue;
        };
        repair_lists(&path, name, table, refuse);
    }
}

/// The lists of tables within the table at `path`.
fn repair_lists(path: &str, name: &str, table: &mut Map<String, Value>, refuse: &mut impl FnMut(&str, String)) {
    let within = |section: &SectionDefinition| section.name.strip_prefix(name)?.strip_prefix('.');
    for (name, child) in SECTIONS.iter().filter_map(|section| Some((section.name, within(section)?))) {
        let Some(value) = table.get_mut(child) else { continue };
        let path = format!("{path}.{child}");
        match &mut value.kind {
            ValueKind::Array(rows) => repair_rows(&path, name, rows, refuse),
            kind => {
                refuse(&path, format!("must be a list of tables; write [[{name}]]"));
                *kind = ValueKind::Array(Vec::new());
            }
        }
    }
}

fn key_path(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", key_path(parent)),
        Path::Map { parent, key } => match key_path(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => key_path(parent),
    }
}

fn message(path: &str) -> String {
    if let Some((_, remedy)) = definitions::NOT_AVAILABLE_YET.iter().find(|(known, _)| *known == path) {
        return format!("is not available yet; {remedy}");
    }
    match nearest(path) {
        Some(near) => format!("is not a known key; did you mean {near}?"),
        None => "is not a known key; `sealgate config reference` lists them all".to_owned(),
    }
}

/// The key that was probably meant: the most alike in the same section, else one of exactly this name elsewhere.
fn nearest(path: &str) -> Option<String> {
    let Some((section, name)) = path.rsplit_once('.') else {
        let sections = SECTIONS.iter().map(|section| section.name).filter(|name| !name.contains('.'));
        return alike(path, sections).map(str::to_owned).or_else(|| elsewhere(path));
    };
    let plain = definitions::without_positions(section);
    let known = SECTIONS.iter().find(|definition| definition.name == plain);
    let within = SECTIONS.iter().filter_map(|other| other.name.strip_prefix(plain.as_str())?.strip_prefix('.'));
    known
        .and_then(|definition| alike(name, definition.keys.iter().map(|key| key.name).chain(within)))
        .map(|near| format!("{section}.{near}"))
        .or_else(|| elsewhere(name))
}

fn elsewhere(name: &str) -> Option<String> {
    SECTIONS.iter().find_map(|section| {
        let key = section.keys.iter().find(|key| key.name.eq_ignore_ascii_case(name))?;
        Some(section.path(key))
    })
}

fn alike<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase().replace('-', "_");
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_suggested() {
        for (path, near) in [
            ("server.lisen", Some("server.listen")),
            ("server.public-url", Some("server.public_url")),
            ("server.PREFIX", Some("server.prefix")),
            ("routes[3].upsteam", Some("routes[3].upstream")),
            ("routes[3].isuers", Some("routes[3].issuers")),
            ("routes[3].issuers[0].audiense", Some("routes[3].issuers[0].audience")),
            ("sever", Some("server")),
            ("route", Some("routes")),
            ("server.issuer", Some("provider.issuer")),
            ("public_url", Some("server.public_url")),
            ("provider.client_secret_fil", Some("provider.client_secret_file")),
            ("server.xyzzy", None),
            ("plugh", None),
            ("provider.deep.key", None),
        ] {
            assert_eq!(nearest(path).as_deref(), near, "{path}");
        }
    }
}
