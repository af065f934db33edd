//! The layers of the configuration: TOML files in their order, then the environment. The only reader of `std::env`.
//!
//! Must never put the text of a line into a finding: it may hold a secret.

use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use config::{ConfigBuilder, File, FileFormat, Map, Source, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::finding::{Finding, Severity};
use super::position::{Place, Position, Positions};

/// What environment variables that count begin with.
pub(super) const PREFIX: &str = "SEALGATE__";
/// The longest list that the environment can make.
const MAX_LIST: usize = 1_000;

/// All layers in one.
pub(super) struct Sources {
    /// The values, later layers over earlier ones.
    pub(super) values: Map<String, Value>,
    /// Where they come from.
    pub(super) positions: Positions,
    /// What was left out of the values, and why.
    pub(super) findings: Vec<Finding>,
}

/// The process's environment.
pub(super) fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// Reads `files` in their order and `environment` over them.
///
/// # Errors
/// When a file cannot be read or is no TOML: every such file, every syntax error, and what else was found so far.
pub(super) fn read(files: &[PathBuf], environment: Vec<(OsString, OsString)>) -> Result<Sources, Vec<Finding>> {
    let mut findings = Vec::new();
    let mut is_whole = true;
    let mut positions = Positions::default();
    let mut builder = config::Config::builder();
    for (layer, path) in files.iter().enumerate() {
        positions.add_file(path.clone());
        match read_file(layer, path, &mut positions, &mut findings) {
            Some(text) => builder = builder.add_source(File::from_str(&text, FileFormat::Toml)),
            None => is_whole = false,
        }
    }
    for variable in variables(environment, &mut findings) {
        let place = Place::Environment { variable: variable.name.clone() };
        positions.add(variable.path.clone(), Position { layer: files.len(), place });
        builder = builder.add_source(variable);
    }
    if !is_whole {
        return Err(findings);
    }
    let values = merge(builder).map_err(|finding| vec![finding])?;
    Ok(Sources { values, positions, findings })
}

fn merge(builder: ConfigBuilder<config::builder::DefaultState>) -> Result<Map<String, Value>, Finding> {
    // The crate's error may quote a value, so it is not shown. Every file has been parsed once by now.
    builder
        .build()
        .and_then(|config| config.collect())
        .map_err(|_| finding(None, None, "", "the layers of the configuration cannot be merged"))
}

fn finding(file: Option<&Path>, line: Option<usize>, key: &str, message: impl Into<String>) -> Finding {
    Finding {
        severity: Severity::Error,
        file: file.map(Path::to_owned),
        line,
        variable: None,
        key: key.to_owned(),
        message: message.into(),
    }
}

/// The text of a file that is TOML, without the numbers that nothing could hold; each of those is a finding.
fn read_file(layer: usize, path: &Path, positions: &mut Positions, findings: &mut Vec<Finding>) -> Option<String> {
    let mut text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("cannot be read ({error}); give a TOML file that this user can read");
            findings.push(finding(Some(path), None, "", message));
            return None;
        }
    };
    let (document, errors) = DeTable::parse_recoverable(&text);
    findings.extend(errors.iter().map(|error| {
        let line = error.span().map(|span| line_of(&text, span.start));
        finding(Some(path), line, "", format!("is not valid TOML: {}", error.message()))
    }));
    if !errors.is_empty() {
        return None;
    }
    let mut walk = Walk { text: &text, path, layer, positions, findings, refused: Vec::new() };
    walk.table("", document.get_ref());
    let refused = walk.refused;
    drop(document);
    for span in refused {
        let blank = format!("{:<1$}", 0, span.len());
        text.replace_range(span, &blank);
    }
    Some(text)
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// Notes the line of every key in one file.
struct Walk<'a> {
    text: &'a str,
    path: &'a Path,
    layer: usize,
    positions: &'a mut Positions,
    findings: &'a mut Vec<Finding>,
    /// Where numbers stand that nothing could hold.
    refused: Vec<Range<usize>>,
}

impl Walk<'_> {
    fn table(&mut self, parent: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref();
            let path = if parent.is_empty() { name.to_string() } else { format!("{parent}.{name}") };
            self.value(path, key.span().start, value);
        }
    }

    fn value(&mut self, path: String, offset: usize, value: &Spanned<DeValue<'_>>) {
        let line = line_of(self.text, offset);
        match value.get_ref() {
            DeValue::Table(table) => self.table(&path, table),
            DeValue::Array(list) => {
                self.positions.replace_list(&path);
                for (index, element) in list.iter().enumerate() {
                    self.value(format!("{path}[{index}]"), element.span().start, element);
                }
            }
            DeValue::Integer(number) if i64::from_str_radix(number.as_str(), number.radix()).is_err() => {
                self.refuse(line, value.span(), &path, "is a number that does not fit 64 bits");
            }
            DeValue::Float(number) if number.as_str().parse::<f64>().map_or(true, |number| !number.is_finite()) => {
                self.refuse(line, value.span(), &path, "is not a finite number");
            }
            _ => {}
        }
        let place = Place::File { path: self.path.to_owned(), line };
        self.positions.add(path, Position { layer: self.layer, place });
    }

    fn refuse(&mut self, line: usize, span: Range<usize>, path: &str, message: &str) {
        self.refused.push(span);
        self.findings.push(finding(Some(self.path), Some(line), path, message));
    }
}

/// One environment variable, as a layer of its own: so their order is ours, and lists can be addressed by position,
/// which the crate's own environment source cannot do.
#[derive(Clone)]
struct Variable {
    name: String,
    path: String,
    value: String,
}

/// Without the value: it may be a secret.
impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variable").field("name", &self.name).field("path", &self.path).finish_non_exhaustive()
    }
}

impl Source for Variable {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok([(self.path.clone(), Value::from(self.value.as_str()))].into_iter().collect())
    }
}

fn variables(environment: Vec<(OsString, OsString)>, findings: &mut Vec<Finding>) -> Vec<Variable> {
    let mut variables = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)).map(str::to_owned) else { continue };
        let mut refuse = |message: &str| {
            let mut finding = finding(None, None, "", message);
            finding.variable = Some(name.clone());
            findings.push(finding);
        };
        match (key_path(&name[PREFIX.len()..]), value.into_string()) {
            (None, _) => refuse("names no key; write SEALGATE__SECTION__KEY, or SEALGATE__ROUTES__0__KEY in a list"),
            (_, Err(_)) => refuse("is not valid UTF-8"),
            (Some(path), Ok(value)) => variables.push(Variable { name, path, value }),
        }
    }
    // A list as a whole comes before its elements.
    variables.sort_by(|a, b| a.path.cmp(&b.path));
    variables
}

/// `ROUTES__0__UPSTREAM` → `routes[0].upstream`.
fn key_path(name: &str) -> Option<String> {
    let mut path = String::new();
    for segment in name.split("__") {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if segment.is_empty() || !segment.bytes().all(is_word) {
            return None;
        }
        if segment.bytes().all(|byte| byte.is_ascii_digit()) {
            let index: usize = segment.parse().ok().filter(|index| *index < MAX_LIST)?;
            if path.is_empty() {
                return None;
            }
            path.push_str(&format!("[{index}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&segment.to_ascii_lowercase());
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_name_keys_by_double_underscores() {
        assert_eq!(key_path("SERVER__LISTEN").as_deref(), Some("server.listen"));
        assert_eq!(key_path("PROVIDER__CLIENT_SECRET").as_deref(), Some("provider.client_secret"));
        assert_eq!(key_path("ROUTES__0__UPSTREAM__1").as_deref(), Some("routes[0].upstream[1]"));
        for name in ["", "__LISTEN", "SERVER__", "0", "A B", "ROUTES__99999999__PATH", "ROUTES__1000__PATH"] {
            assert_eq!(key_path(name), None, "{name}");
        }
    }

    #[test]
    fn debug_shows_no_value_of_a_variable() {
        let variable = Variable { name: "N".to_owned(), path: "p".to_owned(), value: "hunter2".to_owned() };
        assert!(!format!("{variable:?}").contains("hunter2"));
    }
}
