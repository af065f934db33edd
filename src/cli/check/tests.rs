//! What the tests of the checks share: a folder with a configuration, its secret and a key ring.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::aead::Algorithm;
use crate::clock::UnixTime;
use crate::keyring::{KeyRing, RingFile, RingUpdateError};

/// When the ring of a [`Folder`] was made.
pub(super) const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

const CONFIG: &str = r#"
[server]
public_url = "https://app.example.com"
[provider]
issuer = "https://login.example.com"
client_id = "spa-bff"
"#;

/// A configuration that is in order, with what it names.
pub(super) struct Folder {
    folder: TempDir,
    files: Vec<PathBuf>,
}

impl Folder {
    /// `more` is a second file over the first.
    pub(super) fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut this = Self { folder, files: Vec::new() };
        let (secret, ring) = (this.path("secret"), this.path("keys/ring.json"));
        fs::write(&secret, "marker-hunter2").expect("the folder is ours");
        this.set_mode("secret", 0o600);
        let (propagation, max_session) = (Duration::from_secs(600), Duration::from_secs(8 * 3600));
        let new = KeyRing::generate(Algorithm::default(), propagation, max_session, NOW).expect("valid settings");
        RingFile::new(&ring).create(&new).expect("a new ring");
        let paths = format!("client_secret_file = {secret:?}\n[keys]\nring = {ring:?}\n");
        for (index, text) in [format!("{CONFIG}{paths}"), more.to_owned()].iter().enumerate() {
            let file = this.path(&format!("{index}.toml"));
            fs::write(&file, text).expect("the folder is ours");
            this.files.push(file);
        }
        this
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn loaded(&self) -> Loaded {
        Config::load_with(&self.files, []).expect("a valid configuration")
    }

    /// Replaces the second configuration file.
    pub(super) fn configure(&self, text: &str) {
        fs::write(&self.files[1], text).expect("the folder is ours");
    }

    /// Replaces all configuration files.
    pub(super) fn configure_alone(&self, text: &str) {
        fs::write(&self.files[0], "").expect("the folder is ours");
        self.configure(text);
    }

    pub(super) fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("the file is ours");
    }

    /// Makes a folder of the app, and configures it.
    pub(super) fn static_site(&self, name: &str) {
        let root = self.path(name);
        fs::create_dir_all(&root).expect("the folder is ours");
        fs::write(root.join("index.html"), "<!doctype html>").expect("the folder is ours");
        fs::write(&self.files[1], format!("[static]\nroot = {root:?}\n")).expect("the folder is ours");
    }

    pub(super) fn change_ring(&self, change: impl FnOnce(&mut KeyRing)) {
        let changed = RingFile::new(self.path("keys/ring.json")).update(|ring| {
            change(ring);
            Ok::<_, RingUpdateError>(())
        });
        changed.expect("a valid ring");
    }

    pub(super) fn check(&self, check: Check) -> Checked {
        self.check_at(NOW, check)
    }

    pub(super) fn check_at(&self, now: UnixTime, check: Check) -> Checked {
        self.run(now, false, check)
    }

    pub(super) fn check_offline(&self, check: Check) -> Checked {
        self.run(NOW, true, check)
    }

    fn run(&self, now: UnixTime, offline: bool, check: Check) -> Checked {
        let loaded = self.loaded();
        let mut report = Report::default();
        let clock = Clock::manual(now);
        check(&Subject { loaded: &loaded, files: &self.files, clock: &clock, offline }, &mut report);
        Checked(report)
    }
}

/// The lines of one check.
pub(super) struct Checked(Report);

impl Checked {
    /// Checks the usual folder with `more` configuration.
    pub(super) fn new(more: &str, check: Check) -> Self {
        Folder::new(more).check(check)
    }

    /// All lines as they are printed, without colours.
    pub(super) fn text(&self) -> String {
        let mut bytes = Vec::new();
        self.0.write(false, &mut bytes).expect("memory");
        anstream::adapter::strip_str(&String::from_utf8(bytes).expect("text")).to_string()
    }

    /// There is such a line, and its message contains `part`.
    pub(super) fn has(&self, verdict: Verdict, key: &str, part: &str) {
        let fits = |line: &report::Line| line.verdict == verdict && line.key == key && line.message.contains(part);
        assert!(self.0.lines().iter().any(fits), "no {verdict} on {key} with {part:?}:\n{}", self.text());
    }

    /// There is no line on `key`.
    pub(super) fn has_none(&self, key: &str) {
        assert!(self.0.lines().iter().all(|line| line.key != key), "a line on {key}:\n{}", self.text());
    }
}

#[test]
fn a_finding_is_placed_where_its_key_was_set() {
    let checked = Checked::new("\n[session]\nabsolute_timeout = \"9h\"", ring::check);
    assert!(checked.text().contains("1.toml:3: 9h is more than"), "{}", checked.text());
}

#[test]
fn no_check_prints_the_client_secret() {
    let folder = Folder::new("");
    for check in CHECKS {
        assert!(!folder.check_offline(*check).text().contains("hunter2"));
    }
}

#[test]
fn numbers_of_things_are_in_the_right_form() {
    assert_eq!([0, 1, 2].map(|number| counted(number, "error")), ["0 errors", "1 error", "2 errors"]);
}
