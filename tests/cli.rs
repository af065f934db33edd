//! The command line as its users see it: a file a case in `tests/cmd`, standard error and exit code included; and what
//! needs a key ring of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

const CONFIG: &str = r#"
[server]
public_url = "https://app.example.com"

[provider]
issuer = "https://login.example.com"
client_id = "spa-bff"
client_secret_file = "client_secret"
"#;

fn sealgate(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("the binary under test runs")
}

/// A folder with a configuration, the secret that it names, and a key ring.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("sealgate.toml"), CONFIG).expect("the folder is ours");
    let secret = folder.path().join("client_secret");
    fs::write(&secret, "marker-hunter2\n").expect("the folder is ours");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    assert!(sealgate(folder.path(), "keys generate").status.success());
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn commands_print_and_exit_as_their_files_say() {
    trycmd::TestCases::new().case("tests/cmd/*.toml");
}

#[test]
fn check_says_what_is_in_order() {
    let folder = folder();
    let output = sealgate(folder.path(), "check --config sealgate.toml --offline");
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert_eq!(out.lines().filter(|line| line.starts_with("ok: ")).count(), out.lines().count(), "{out}");
    assert!(out.contains("ok: keys.ring: generation 1, 1 key(s); "), "{out}");
    assert!(text(&output.stderr).is_empty());
}

#[test]
fn check_finds_sessions_that_outlive_the_ring_s_keys() {
    let folder = folder();
    fs::write(folder.path().join("more.toml"), "\n[session]\nabsolute_timeout = \"9h\"\n").expect("ours");
    let output = sealgate(folder.path(), "check --config sealgate.toml more.toml --offline");
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("error: more.toml:3: session.absolute_timeout: 9h is more than the key ring's"), "{out}");
}

#[test]
fn check_says_that_cookies_lose_their_prefix_over_http() {
    let folder = folder();
    fs::write(folder.path().join("more.toml"), "[server]\npublic_url = \"http://127.0.0.1:8080\"\n").expect("ours");
    let output = sealgate(folder.path(), "check --config sealgate.toml --config more.toml --offline");
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(
        out.contains("warning: more.toml:2: server.public_url: http://127.0.0.1:8080 is http on loopback"),
        "{out}"
    );
}

#[test]
fn check_refuses_a_ring_that_is_missing_or_open_to_others() {
    let folder = folder();
    let ring = folder.path().join("keys/ring.json");
    fs::set_permissions(&ring, fs::Permissions::from_mode(0o644)).expect("ours");
    let output = sealgate(folder.path(), "check --config sealgate.toml --offline");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("error: sealgate.toml: keys.ring: keys/ring.json: mode 0644"));
    fs::remove_file(&ring).expect("ours");
    let output = sealgate(folder.path(), "check --config sealgate.toml --offline --json");
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["ok"], false);
    let lines = report["lines"].as_array().expect("a list");
    assert!(lines.iter().any(|line| line["verdict"] == "error" && line["key"] == "keys.ring"), "{report:#}");
}

#[test]
fn check_says_when_the_provider_does_not_answer() {
    let folder = folder();
    // Nobody listens on port 1, and connecting to loopback needs no network.
    fs::write(folder.path().join("more.toml"), "[provider]\nissuer = \"http://127.0.0.1:1\"\n").expect("ours");
    let output = sealgate(folder.path(), "check --config sealgate.toml --config more.toml");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("error: more.toml:2: provider.issuer: "), "{}", text(&output.stdout));
}

#[test]
fn the_client_secret_is_in_no_output() {
    let folder = folder();
    for arguments in
        ["check --config sealgate.toml --offline", "check --config sealgate.toml --offline --json", "config reference"]
    {
        let output = sealgate(folder.path(), arguments);
        assert!(!(text(&output.stdout) + &text(&output.stderr)).contains("hunter2"), "{arguments}");
    }
}
