//! From raw values to typed ones, collecting what is wrong on the way.
//!
//! Keys are named as the short form names them; where the site that is being read has them, the reader knows.
//! Every method gives `None` only after it has noted a finding, so that callers read all keys before they give up.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::definitions::{self, Preset};
use super::finding::{Finding, Severity};
use super::leaf::Leaf;
use super::position::{Place, Position, Positions, within};
use super::scope::Scope;
use super::values;
use crate::secret::SecretString;

/// What to do about a file that cannot be read.
const CORRECT_PATH: &str = "correct the path, or let this user read it";

/// Reads values and keeps the findings.
pub(super) struct Reader<'a> {
    positions: &'a Positions,
    /// The site and the provider that are being read.
    scope: Scope,
    findings: Vec<Finding>,
    /// Keys that have their finding already; what lies below them needs no other.
    settled: HashSet<String>,
    /// Keys that were probably meant by unknown ones.
    meant: HashSet<String>,
    secret_files: Vec<SecretFile>,
}

/// A file that holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// The key that names it.
    pub key: String,
    /// The file.
    pub path: PathBuf,
}

impl<'a> Reader<'a> {
    /// Goes on from `findings`. `meant` are the keys that somebody probably meant to set.
    pub(super) fn new(positions: &'a Positions, findings: Vec<Finding>, meant: HashSet<String>) -> Self {
        let settled = findings.iter().map(|finding| finding.key.clone()).filter(|key| !key.is_empty()).collect();
        Self { positions, scope: Scope::default(), findings, settled, meant, secret_files: Vec::new() }
    }

    /// Reads the keys of that site, or of that provider, from now on.
    pub(super) fn enter(&mut self, scope: Scope) {
        self.scope = scope;
    }

    /// Where the key stands that the short form calls `key`.
    pub(super) fn place(&self, key: &str) -> String {
        self.positions.place(self.scope, key)
    }

    /// All findings, in the order of the files, and the files that secrets were read from. What was said at the top for
    /// several sites is there once.
    pub(super) fn finish(self) -> (Vec<Finding>, Vec<SecretFile>) {
        let mut findings = each_once(self.findings);
        self.positions.sort(&mut findings);
        (findings, each_once(self.secret_files))
    }

    /// Notes an error about `key`, unless what is wrong with it is known already.
    pub(super) fn error(&mut self, key: &str, message: impl Into<String>) {
        let key = self.place(key);
        if !within(&key, &self.settled) {
            self.findings.push(self.positions.finding(Severity::Error, &key, message.into()));
        }
    }

    /// Notes that `key` is missing, unless an unknown key was probably meant to be it.
    fn missing(&mut self, key: &str, remedy: &str) {
        if !within(&self.place(key), &self.meant) {
            self.error(key, format!("is missing{remedy}"));
        }
    }

    /// Notes a doubt about `key`.
    pub(super) fn warning(&mut self, key: &str, message: impl Into<String>) {
        self.findings.push(self.positions.finding(Severity::Warning, &self.place(key), message.into()));
    }

    /// The value of `key`, or its default, through `parse`.
    pub(super) fn value<T>(
        &mut self,
        key: &str,
        leaf: Option<Leaf>,
        parse: impl Fn(&Leaf) -> Result<T, String>,
    ) -> Option<T> {
        let leaf = self.or_default(key, leaf)?;
        self.checked(key, parse(&leaf))
    }

    /// The value of `key` through `parse`, or nothing when it is not set.
    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        leaf: Option<Leaf>,
        parse: impl Fn(&Leaf) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match leaf {
            None => Some(None),
            Some(_) => self.value(key, leaf, parse).map(Some),
        }
    }

    /// The elements of the list at `key`, or of its default, each through `parse`.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        leaf: Option<Leaf>,
        parse: impl Fn(&Leaf) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let elements = match self.or_default(key, leaf)? {
            Leaf::List(elements) => elements,
            Leaf::Untyped(text) => self.checked(key, untyped_list(&text))?,
            other => {
                self.error(key, format!("must be a list, not {}; write it in brackets: [\"…\"]", other.kind()));
                return None;
            }
        };
        self.elements(key, &elements, parse)
    }

    /// The elements of the list at `key`; a single value counts as a list of one.
    pub(super) fn one_or_list<T>(
        &mut self,
        key: &str,
        leaf: Option<Leaf>,
        parse: impl Fn(&Leaf) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        match self.or_default(key, leaf)? {
            Leaf::List(elements) if elements.is_empty() => {
                self.error(key, "is empty; name at least one");
                None
            }
            Leaf::List(elements) => self.elements(key, &elements, parse),
            Leaf::Untyped(text) => {
                let elements = self.checked(key, untyped_list(&text))?;
                self.one_or_list(key, Some(Leaf::List(elements)), parse)
            }
            single => self.checked(key, parse(&single)).map(|value| vec![value]),
        }
    }

    /// The table at `key`, whose names are of the operator's own choice; empty when it is not set.
    pub(super) fn table(&mut self, key: &str, leaf: Option<Leaf>) -> Option<BTreeMap<String, Leaf>> {
        let Some(leaf) = leaf else { return Some(BTreeMap::new()) };
        match self.or_default(key, Some(leaf))? {
            Leaf::Table(table) => Some(table),
            Leaf::Untyped(text) => self.checked(key, untyped_table(&text)),
            other => {
                self.error(
                    key,
                    format!("must be a table, not {}; write [{}] and its keys below", other.kind(), self.place(key)),
                );
                None
            }
        }
    }

    /// The secret at `key`, or the content of the file at `key` with `_file` behind it.
    ///
    /// Two layers may set one each, and the later counts; one layer must not set both.
    pub(super) fn secret(&mut self, key: &str, leaf: Option<Leaf>, file: Option<Leaf>) -> Option<SecretString> {
        let file_key = format!("{key}_file");
        match (leaf, file) {
            (Some(leaf), None) => self.inline_secret(key, &leaf),
            (None, Some(file)) => self.secret_file(&file_key, Some(file)),
            (Some(leaf), Some(file)) => {
                let layer = |key: &str| self.positions.last(&self.place(key)).map(|position| position.layer);
                match layer(key).cmp(&layer(&file_key)) {
                    std::cmp::Ordering::Greater => self.inline_secret(key, &leaf),
                    std::cmp::Ordering::Less => self.secret_file(&file_key, Some(file)),
                    std::cmp::Ordering::Equal => {
                        self.error(key, format!("is set, and {} too; remove one of them", self.place(&file_key)));
                        None
                    }
                }
            }
            (None, None) => {
                let file_key = self.place(&file_key);
                if !within(&file_key, &self.meant) {
                    self.missing(key, &format!("; set {file_key} to a file that holds it"));
                }
                None
            }
        }
    }

    /// Notes a file that holds a secret which is not read as a text.
    pub(super) fn note_secret_file(&mut self, key: &str, path: &Path) {
        self.secret_files.push(SecretFile { key: self.place(key), path: path.to_owned() });
    }

    fn inline_secret(&mut self, key: &str, leaf: &Leaf) -> Option<SecretString> {
        if let Some(Position { place: Place::File { path, .. }, .. }) = self.positions.last(&self.place(key))
            && is_readable_by_others(path)
        {
            self.warning(
                key,
                "stands in a file that every user of this machine can read; chmod o-r, or use the _file key",
            );
        }
        match leaf {
            Leaf::Text(text) | Leaf::Untyped(text) if !text.is_empty() => Some(SecretString::new(text.as_str())),
            Leaf::Text(_) | Leaf::Untyped(_) => {
                self.error(key, "is empty");
                None
            }
            other => {
                self.error(key, format!("must be a string, not {}; write it in quotes", other.kind()));
                None
            }
        }
    }

    fn secret_file(&mut self, key: &str, file: Option<Leaf>) -> Option<SecretString> {
        let path = self.value(key, file, values::path)?;
        let content = match fs::read(&path).map(Zeroizing::new) {
            Ok(content) => content,
            Err(error) => {
                self.error(key, format!("{} cannot be read: {error}; {CORRECT_PATH}", path.display()));
                return None;
            }
        };
        if is_readable_by_others(&path) {
            let shown = path.display();
            self.warning(key, format!("{shown} can be read by every user of this machine; chmod o-r {shown}"));
        }
        let Ok(text) = std::str::from_utf8(&content) else {
            self.error(key, format!("{} does not hold text in UTF-8", path.display()));
            return None;
        };
        self.secret_files.push(SecretFile { key: self.place(key), path: path.clone() });
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            self.error(key, format!("{} is empty; put the secret into it", path.display()));
            return None;
        }
        Some(SecretString::new(text))
    }

    fn or_default(&mut self, key: &str, leaf: Option<Leaf>) -> Option<Leaf> {
        match leaf {
            Some(Leaf::Text(text)) if self.positions.is_from_environment(&self.place(key)) => Some(Leaf::Untyped(text)),
            Some(leaf) => Some(leaf),
            None => match definitions::find(key).map(|definition| (definition.name, definition.preset)) {
                Some((_, Preset::Default(text))) => Some(from_toml(text)),
                Some((name, Preset::Required(example))) => {
                    self.missing(key, &format!("; set it, for example {name} = {example}"));
                    None
                }
                Some((name, Preset::RequiredUnless(other, example))) => {
                    self.missing(key, &format!("; set it, for example {name} = {example}, or set {other}"));
                    None
                }
                _ => {
                    self.missing(key, "");
                    None
                }
            },
        }
    }

    fn elements<T>(
        &mut self,
        key: &str,
        elements: &[Leaf],
        parse: impl Fn(&Leaf) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let parsed: Vec<_> = elements
            .iter()
            .enumerate()
            .map(|(index, element)| self.checked(&format!("{key}[{index}]"), parse(element)))
            .collect();
        parsed.into_iter().collect()
    }

    fn checked<T>(&mut self, key: &str, parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|message| self.error(key, message)).ok()
    }
}

fn each_once<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

/// A list in an environment variable: as in a file when it begins with a bracket, else the elements between commas.
pub(super) fn untyped_list(text: &str) -> Result<Vec<Leaf>, String> {
    let text = text.trim();
    if !text.starts_with('[') {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        return Ok(parts.map(|part| Leaf::Text(part.to_owned())).collect());
    }
    match toml_value(text) {
        Some(Leaf::List(elements)) => Ok(elements),
        _ => Err("is not a list; write [\"a\", \"b\"], or a,b without brackets".to_owned()),
    }
}

/// A table in one environment variable, as a file would have it on one line.
fn untyped_table(text: &str) -> Result<BTreeMap<String, Leaf>, String> {
    match toml_value(text.trim()) {
        Some(Leaf::Table(table)) => Ok(table),
        _ => Err("is not a table; write { name = \"value\" }, or set it by name, …__NAME=value".to_owned()),
    }
}

fn toml_value(text: &str) -> Option<Leaf> {
    let table: BTreeMap<String, Leaf> = toml::from_str(&format!("value = {text}")).ok()?;
    table.into_iter().find_map(|(name, value)| (name == "value").then_some(value))
}

/// A default of the definitions.
fn from_toml(text: &str) -> Leaf {
    let mut table: BTreeMap<String, Leaf> =
        // The definitions are ours, and loading any configuration in the tests reads all of them.
        toml::from_str(&format!("value = {text}")).expect("the defaults are valid TOML");
    table.remove("value").unwrap_or(Leaf::Nothing)
}

#[cfg(unix)]
fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_readable_by_others(_: &Path) -> bool {
    false
}

/// Checks that the file at `path` can be read, and hands its bytes to `check`.
pub(super) fn readable(path: PathBuf, check: impl Fn(&[u8]) -> Result<(), String>) -> Result<PathBuf, String> {
    let content =
        fs::read(&path).map_err(|error| format!("{} cannot be read: {error}; {CORRECT_PATH}", path.display()))?;
    check(&content).map_err(|message| format!("{} {message}", path.display()))?;
    Ok(path)
}
