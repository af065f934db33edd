//! Keys that nothing reads: found by serde, each with the key that was probably meant.

use std::collections::HashSet;

use config::{Map, Value, ValueKind};
use serde_ignored::Path;

use super::definitions::{self, Form, SECTIONS, SectionDefinition};
use super::finding::{Finding, Severity};
use super::position::Positions;
use super::raw::RawConfig;
use super::scope::Scope;
use super::sites;
use super::sources::PREFIX;

/// Reads the raw configuration; appends a finding for every key that it does not know and every section that is no
/// table. Those are left out. Also gives the keys that the unknown ones were probably meant to be.
pub(super) fn deserialize(
    mut values: Map<String, Value>,
    positions: &mut Positions,
    findings: &mut Vec<Finding>,
) -> (RawConfig, HashSet<String>) {
    repair_shape(&mut values, positions, findings);
    sites::inherit(&mut values, positions);
    let positions = &*positions;
    let mut unknown = Vec::new();
    let root = Value::new(None, ValueKind::Table(values));
    let raw = serde_ignored::deserialize(root, |path| unknown.push(key_path(&path)));
    // What sites have from the top is looked at there.
    unknown.retain(|path| !positions.is_inherited(path));
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
    repair_sections("", values, positions, findings);
    let Some(ValueKind::Array(sites)) = values.get_mut("sites").map(|sites| &mut sites.kind) else { return };
    for (index, site) in sites.iter_mut().enumerate() {
        if let ValueKind::Table(site) = &mut site.kind {
            repair_sections(&format!("sites[{index}]."), site, positions, findings);
        }
    }
}

/// The sections of the table whose keys are at `place`: those of a site, or at the top of a file.
fn repair_sections(place: &str, values: &mut Map<String, Value>, positions: &Positions, findings: &mut Vec<Finding>) {
    let mut refuse = |path: &str, message: String| findings.push(positions.finding(Severity::Error, path, message));
    let list = definitions::without_positions(place);
    let is_here = |section: &&SectionDefinition| {
        section.form != Form::ListWithin && (place.is_empty() || definitions::of_site(section.name))
    };
    for section in SECTIONS.iter().filter(is_here) {
        let (name, path) = (format!("{list}{}", section.name), format!("{place}{}", section.name));
        let Some(value) = values.get_mut(section.name) else { continue };
        match (section.form, &mut value.kind) {
            (Form::List | Form::ListInstead, ValueKind::Array(rows)) => {
                repair_rows(&path, section.name, rows, &mut refuse);
            }
            (Form::List | Form::ListInstead, kind) => {
                let remedy = if positions.is_from_environment(&path) {
                    let variable = section.variable(&section.keys[0]);
                    format!("set its keys by position, as in {}", variable_at(place, &variable))
                } else {
                    format!("write [[{name}]]")
                };
                refuse(&path, format!("must be a list of tables; {remedy}"));
                *kind = ValueKind::Array(Vec::new());
            }
            (_, ValueKind::Table(table)) => repair_lists(&path, section.name, table, &mut refuse),
            (_, kind) => {
                refuse(&path, format!("must be a table; write [{name}] and its keys below"));
                *kind = ValueKind::Table(Map::new());
            }
        }
    }
}

/// The variable of a site's key, by that at the top.
fn variable_at(place: &str, variable: &str) -> String {
    let place = place.replace('[', "__").replace("].", "__").to_ascii_uppercase();
    format!("{PREFIX}{place}{}", &variable[PREFIX.len()..])
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
    match nearest(path) {
        Some(near) => format!("is not a known key; did you mean {near}?"),
        None => "is not a known key; `sealgate config reference` lists them all".to_owned(),
    }
}

/// The key that was probably meant: the most alike in the same section, else one of exactly this name elsewhere.
fn nearest(path: &str) -> Option<String> {
    let (scope, path) = Scope::split(path);
    let Some((section, name)) = path.rsplit_once('.') else {
        return outermost(scope, &path).or_else(|| elsewhere(&path));
    };
    let plain = definitions::without_positions(section);
    let known = SECTIONS.iter().find(|definition| definition.name == plain);
    let within = SECTIONS.iter().filter_map(|other| other.name.strip_prefix(plain.as_str())?.strip_prefix('.'));
    known
        .and_then(|definition| alike(name, definition.keys.iter().map(|key| key.name).chain(within)))
        .map(|near| scope.key(&format!("{section}.{near}")))
        .or_else(|| elsewhere(name))
}

/// The key or section of a site, or the section of a file, that is most like `name`.
fn outermost(scope: Scope, name: &str) -> Option<String> {
    if scope == Scope::default() {
        let sections = SECTIONS.iter().map(|section| section.name).filter(|name| !name.contains('.'));
        return alike(name, sections).map(str::to_owned);
    }
    let own = SECTIONS.iter().filter(|section| section.name == "sites").flat_map(|section| section.keys);
    let sections = definitions::site_sections().map(|section| section.name);
    let near = alike(name, own.map(|key| key.name).chain(sections))?;
    let is_own = !definitions::of_site(near);
    Some(scope.key(&if is_own { format!("server.{near}") } else { near.to_owned() }))
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
            ("site", Some("sites")),
            ("sites[1].publik_url", Some("sites[1].public_url")),
            ("sites[1].prvider", Some("sites[1].provider")),
            ("sites[1].provider.isuer", Some("sites[1].provider.issuer")),
            ("sites[1].providers[0].isuer", Some("sites[1].providers[0].issuer")),
            ("providers[0].isuer", Some("providers[0].issuer")),
            ("sites[1].routes[3].issuers[0].audiense", Some("sites[1].routes[3].issuers[0].audience")),
            ("sites[1].listen", Some("server.listen")),
        ] {
            assert_eq!(nearest(path).as_deref(), near, "{path}");
        }
    }
}
