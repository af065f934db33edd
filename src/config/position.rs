//! Where each key was set: file and line, or environment variable.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::finding::{Finding, Severity};
use super::scope::Scope;

/// A place where a key was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Counts the layers: files in their order, then the environment.
    pub(super) layer: usize,
    /// The place itself.
    pub(super) place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A file, and the line in it from 1.
    File { path: PathBuf, line: usize },
    /// An environment variable.
    Environment { variable: String },
}

/// The positions of all keys that were set, by path (`routes[0].upstream`); of a list's elements too.
#[derive(Clone, Debug, Default)]
pub(super) struct Positions {
    files: Vec<PathBuf>,
    by_path: HashMap<String, Vec<Position>>,
    /// Paths within `[[sites]]` that the same path at the top speaks for.
    inherited: HashSet<String>,
}

impl Positions {
    /// Notes that `file` is one of the layers.
    pub(super) fn add_file(&mut self, file: PathBuf) {
        self.files.push(file);
    }

    /// Notes that `path` was set at `position`.
    pub(super) fn add(&mut self, path: String, position: Position) {
        self.by_path.entry(path).or_default().push(position);
    }

    /// Forgets what lies below the list at `path`: a later layer replaces lists whole.
    pub(super) fn replace_list(&mut self, path: &str) {
        let below = format!("{path}[");
        self.by_path.retain(|known, _| !known.starts_with(&below));
    }

    /// Notes that what stands at `path`, within a site, was said at the top.
    pub(super) fn inherit(&mut self, path: String) {
        self.inherited.insert(path);
    }

    /// Where the key stands that the short form calls `key`: in the scope, or at the top where the scope says nothing of
    /// it and the top does.
    pub(super) fn place(&self, scope: Scope, key: &str) -> String {
        let path = scope.key(key);
        if self.is_inherited(&path) { key.to_owned() } else { path }
    }

    /// Whether what stands at `path`, within a site, was said at the top.
    pub(super) fn is_inherited(&self, path: &str) -> bool {
        within(path, &self.inherited)
    }

    /// Where the value that counts was set.
    pub(super) fn last(&self, path: &str) -> Option<&Position> {
        self.by_path.get(path).and_then(|positions| positions.last())
    }

    /// Whether the value that counts comes from the environment.
    pub(super) fn is_from_environment(&self, path: &str) -> bool {
        matches!(self.last(path), Some(Position { place: Place::Environment { .. }, .. }))
    }

    /// A finding about `path`, where it was set; if nowhere, where its section begins, or in the first file.
    pub(super) fn finding(&self, severity: Severity, path: &str, message: String) -> Finding {
        let position = self.nearest(path);
        let fallback = || self.files.first().cloned();
        let (file, line, variable) = match position.map(|position| &position.place) {
            Some(Place::File { path, line }) => (Some(path.clone()), Some(*line), None),
            Some(Place::Environment { variable }) => (None, None, Some(variable.clone())),
            None => (fallback(), None, None),
        };
        Finding { severity, file, line, variable, key: path.to_owned(), message }
    }

    /// A finding for each place where `path` was set.
    pub(super) fn finding_everywhere(&self, severity: Severity, path: &str, message: &str) -> Vec<Finding> {
        let Some(positions) = self.by_path.get(path) else {
            return vec![self.finding(severity, path, message.to_owned())];
        };
        positions
            .iter()
            .map(|position| {
                let (file, line, variable) = match &position.place {
                    Place::File { path, line } => (Some(path.clone()), Some(*line), None),
                    Place::Environment { variable } => (None, None, Some(variable.clone())),
                };
                Finding { severity, file, line, variable, key: path.to_owned(), message: message.to_owned() }
            })
            .collect()
    }

    /// Orders findings as a reader meets them: by file, then by line; what has no line comes first.
    pub(super) fn sort(&self, findings: &mut [Finding]) {
        findings.sort_by_key(|finding| {
            let layer = finding.file.as_ref().and_then(|file| self.files.iter().position(|known| known == file));
            (layer.unwrap_or(self.files.len()), finding.line)
        });
    }

    fn nearest(&self, path: &str) -> Option<&Position> {
        let mut path = path;
        loop {
            if let Some(position) = self.last(path) {
                return Some(position);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}

/// Whether `path` or anything that it lies in is one of `paths`.
pub(super) fn within(path: &str, paths: &HashSet<String>) -> bool {
    let mut path = path;
    loop {
        if paths.contains(path) {
            return true;
        }
        match path.rfind(['.', '[']) {
            Some(end) => path = &path[..end],
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(layer: usize, line: usize) -> Position {
        Position { layer, place: Place::File { path: format!("{layer}.toml").into(), line } }
    }

    #[test]
    fn a_missing_key_is_found_where_its_section_begins() {
        let mut positions = Positions::default();
        positions.add_file("0.toml".into());
        positions.add("server".to_owned(), at(0, 3));
        positions.add("routes[0]".to_owned(), at(0, 9));
        let line = |path: &str| positions.finding(Severity::Error, path, String::new()).line;
        assert_eq!(line("server.public_url"), Some(3));
        assert_eq!(line("routes[0].path"), Some(9));
        assert_eq!(line("provider.issuer"), None);
        let finding = positions.finding(Severity::Error, "provider.issuer", String::new());
        assert_eq!(finding.file, Some("0.toml".into()));
    }

    #[test]
    fn a_later_layer_counts_and_replaces_lists_whole() {
        let mut positions = Positions::default();
        positions.add("server.listen".to_owned(), at(0, 1));
        positions.add("server.listen".to_owned(), at(1, 7));
        positions.add("provider.scopes[3]".to_owned(), at(0, 2));
        positions.replace_list("provider.scopes");
        assert_eq!(positions.last("server.listen"), Some(&at(1, 7)));
        assert_eq!(positions.last("provider.scopes[3]"), None);
    }
}
