//! The demo's single-page app: plain files in the binary, unpacked into a folder of their own for as long as it runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::TempDir;

use super::provider::users::USERS;

/// Everything that the app consists of, but for what [`SpaFacts`] adds.
const FILES: [(&str, &[u8]); 5] = [
    ("index.html", include_bytes!("../../web/demo/index.html")),
    ("app.css", include_bytes!("../../web/demo/app.css")),
    ("app.js", include_bytes!("../../web/demo/app.js")),
    ("sealgate.js", include_bytes!("../../web/client/index.js")),
    ("favicon.svg", include_bytes!("../../web/demo/favicon.svg")),
];

/// The file that tells the app about this very run.
const FACTS_FILE: &str = "demo.json";

/// Why the app could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the demo's page to {path:?}: {source}; is there space in the folder for temporary files?")]
pub struct SpaError {
    path: PathBuf,
    source: io::Error,
}

/// What the page tells its reader about this run; nothing secret.
#[derive(Clone, Debug)]
pub struct SpaFacts<'a> {
    /// The provider's issuer.
    pub issuer: &'a str,
    /// The command that started the demo, to be copied.
    pub program: &'a str,
    /// The key ring's file.
    pub ring: &'a Path,
    /// How long an access token lives, in seconds.
    pub access_token_lifetime: u64,
    /// How long a new key waits before it seals, in seconds.
    pub propagation: u64,
}

/// The unpacked app; the folder goes when this is dropped.
pub struct Spa {
    folder: TempDir,
}

impl Spa {
    /// Unpacks the app into a new folder for temporary files.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be written.
    pub fn unpack(facts: &SpaFacts<'_>) -> Result<Self, SpaError> {
        let folder = tempfile::Builder::new()
            .prefix("sealgate-demo-page-")
            .tempdir()
            .map_err(|source| SpaError { path: std::path::PathBuf::from("a temporary folder"), source })?;
        for (name, content) in FILES {
            write(&folder.path().join(name), content)?;
        }
        write(&folder.path().join(FACTS_FILE), facts.to_json().as_bytes())?;
        Ok(Self { folder })
    }

    /// The folder with `index.html`.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }
}

#[derive(Serialize)]
struct FactsFile<'a> {
    issuer: &'a str,
    program: &'a str,
    ring: String,
    access_token_lifetime: u64,
    propagation: u64,
    users: Vec<UserHint>,
}

#[derive(Serialize)]
struct UserHint {
    name: &'static str,
    username: &'static str,
    password: &'static str,
}

impl SpaFacts<'_> {
    fn to_json(&self) -> String {
        let users = USERS
            .iter()
            .map(|user| UserHint { name: user.name, username: user.username, password: user.password })
            .collect();
        let file = FactsFile {
            issuer: self.issuer,
            program: self.program,
            ring: self.ring.display().to_string(),
            access_token_lifetime: self.access_token_lifetime,
            propagation: self.propagation,
            users,
        };
        // Strings and numbers always make JSON; without the file the page shows its general words.
        serde_json::to_string_pretty(&file).unwrap_or_default()
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), SpaError> {
    fs::write(path, content).map_err(|source| SpaError { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked() -> Spa {
        let facts = SpaFacts {
            issuer: "http://localhost:1",
            program: "sealgate",
            ring: Path::new("/tmp/ring.json"),
            access_token_lifetime: 60,
            propagation: 5,
        };
        Spa::unpack(&facts).expect("a temporary folder")
    }

    fn file(name: &str) -> &'static str {
        let (_, content) = FILES.iter().find(|(known, _)| *known == name).expect("a file of ours");
        std::str::from_utf8(content).expect("text")
    }

    #[test]
    fn the_folder_is_there_while_the_app_is_and_gone_afterwards() {
        let spa = unpacked();
        let root = spa.root().to_owned();
        assert!(root.join("index.html").is_file() && root.join("app.js").is_file());
        drop(spa);
        assert!(!root.exists());
    }

    #[test]
    fn the_page_learns_of_this_run() {
        let spa = unpacked();
        let text = fs::read_to_string(spa.root().join(FACTS_FILE)).expect("written");
        let facts: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(facts["ring"], "/tmp/ring.json");
        assert_eq!(facts["users"][0]["username"], "ada");
    }

    #[test]
    fn the_page_has_no_inline_script_or_style_and_nothing_from_elsewhere() {
        let html = file("index.html");
        for forbidden in
            ["<style", " style=", " onclick=", "javascript:", "<script>", "//cdn", "src=\"http", "href=\"http"]
        {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert!(!file("app.css").contains("@import") && !file("app.css").contains("url("));
        for forbidden in ["innerHTML", "eval(", "localStorage", "document.cookie"] {
            assert!(!file("app.js").contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn everything_that_tests_and_scripts_look_for_has_its_id() {
        for id in [
            "sign-in",
            "sign-out",
            "user-name",
            "call-api",
            "api-result",
            "token-seconds",
            "refresh-now",
            "cookie-size",
            "refresh-count",
            "status",
        ] {
            assert_eq!(file("index.html").matches(&format!(" id=\"{id}\"")).count(), 1, "#{id}");
        }
    }
}
