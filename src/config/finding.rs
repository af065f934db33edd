//! What is wrong, or doubtful, with a configuration, and where.
//!
//! A finding must never hold the value of a secret.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Whether a finding keeps the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but somebody should look at this.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong or doubtful. Displayed as `FILE:LINE: KEY: MESSAGE`, leaving out what is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// The file that set the key, or should have.
    pub file: Option<PathBuf>,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// The environment variable that set the key, if it was one.
    pub variable: Option<String>,
    /// The key's path, such as `routes[0].upstream`; empty when the finding is about a whole file.
    pub key: String,
    /// The problem and, behind a semicolon, the remedy; lower case, no full stop.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(variable) = &self.variable {
            write!(f, "{variable}: ")?;
        } else if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// A configuration that cannot be used: everything that was found, in the order of the files, a line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.findings))]
pub struct ConfigError {
    /// The findings, warnings among them; at least one is an error.
    pub findings: Vec<Finding>,
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_file_line_key_and_message() {
        let mut finding = Finding {
            severity: Severity::Error,
            file: Some("a/b.toml".into()),
            line: Some(12),
            variable: None,
            key: "server.listen".to_owned(),
            message: "is missing".to_owned(),
        };
        assert_eq!(finding.to_string(), "a/b.toml:12: server.listen: is missing");
        finding.line = None;
        assert_eq!(finding.to_string(), "a/b.toml: server.listen: is missing");
        finding.file = None;
        finding.key.clear();
        assert_eq!(finding.to_string(), "is missing");
        finding.variable = Some("SEALGATE__X".to_owned());
        assert_eq!(finding.to_string(), "SEALGATE__X: is missing");
    }
}
