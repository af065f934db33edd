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

/// The first line of a check about that key.
fn line_on<'a>(out: &'a str, key: &str) -> &'a str {
    let is_about = |line: &&str| line.split_whitespace().nth(1) == Some(key);
    out.lines().find(is_about).unwrap_or_else(|| panic!("no line on {key}:\n{out}"))
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
    let lines = out.lines().take_while(|line| !line.is_empty());
    assert!(lines.clone().count() > 8 && lines.clone().all(|line| line.starts_with(['o', 'n'])), "{out}");
    assert_eq!(line_on(&out, "configuration"), "ok       configuration                sealgate.toml can be used");
    assert!(line_on(&out, "keys.ring").ends_with("keys/ring.json (mode 0600): generation 1, 1 key, propagation 10m"));
    assert!(out.ends_with("\n\nNo errors, 0 warnings.\n"), "{out}");
    assert!(!out.contains('\u{1b}'), "no colours in a pipe");
    assert!(text(&output.stderr).is_empty());
}

#[test]
fn check_finds_sessions_that_outlive_the_ring_s_keys() {
    let folder = folder();
    fs::write(folder.path().join("more.toml"), "\n[session]\nabsolute_timeout = \"9h\"\n").expect("ours");
    let output = sealgate(folder.path(), "check --config sealgate.toml more.toml --offline");
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    let line = line_on(&out, "session.absolute_timeout");
    assert!(line.starts_with("error ") && line.contains(" more.toml:3: 9h is more than the key ring's"), "{out}");
}

#[test]
fn serve_refuses_sessions_that_outlive_the_ring_s_keys() {
    let folder = folder();
    fs::write(folder.path().join("more.toml"), "[session]\nabsolute_timeout = \"9h\"\n").expect("ours");
    let output = sealgate(folder.path(), "serve --config sealgate.toml more.toml");
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(err.contains("error: session.absolute_timeout is 9h, but the key ring keys/ring.json keeps"), "{err}");
}

#[test]
fn check_says_that_cookies_lose_their_prefix_over_http() {
    let folder = folder();
    fs::write(folder.path().join("more.toml"), "[server]\npublic_url = \"http://127.0.0.1:8080\"\n").expect("ours");
    let output = sealgate(folder.path(), "check --config sealgate.toml --config more.toml --offline");
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    let line = line_on(&out, "server.public_url");
    let message = " more.toml:2: http://127.0.0.1:8080 is http on loopback: cookies lose the __Host- prefix and Secure";
    assert!(line.starts_with("warning ") && line.contains(message), "{out}");
    assert!(out.ends_with("\n\nNo errors, 1 warning.\n"), "{out}");
}

#[test]
fn check_refuses_a_ring_that_is_missing_or_open_to_others() {
    let folder = folder();
    let ring = folder.path().join("keys/ring.json");
    fs::set_permissions(&ring, fs::Permissions::from_mode(0o644)).expect("ours");
    let output = sealgate(folder.path(), "check --config sealgate.toml --offline");
    assert_eq!(output.status.code(), Some(1));
    let out = text(&output.stdout);
    let line = line_on(&out, "keys.ring");
    assert!(line.starts_with("error ") && line.contains(" sealgate.toml: keys/ring.json: mode 0644"), "{out}");
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
    let out = text(&output.stdout);
    let line = line_on(&out, "provider.issuer");
    assert!(line.starts_with("error ") && line.contains(" more.toml:2: cannot read http://127.0.0.1:1/"), "{out}");
    assert!(line.ends_with("; see that it runs and can be reached from here"), "{out}");
    assert!(text(&output.stderr).starts_with("error: the check found 1 error and "), "no progress in a pipe");
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

const TWELVE_MISTAKES: [(&str, &str); 2] = [
    (
        "base.toml",
        r#"[server]
public_url = "http://app.example.com"
management_listen = "127.0.0.1:8080"
workers = "four"
listn = "127.0.0.1:80"

[provider]
issuer = "https://login.example.com"
client_secret_file = "no/such/file"
scopes = ["openid", "a b"]

[[routes]]
path = "/bff/api"
upstream = "http://127.0.0.1:3000"
"#,
    ),
    (
        "site.toml",
        r#"[session]
absolute_timeout = 8
same_site = "none"

[keys]
ring = ""
"#,
    ),
];

#[test]
fn twelve_mistakes_of_twelve_kinds_are_twelve_findings_of_one_run() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in TWELVE_MISTAKES {
        fs::write(folder.path().join(name), text).expect("the folder is ours");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["check", "--config", "base.toml", "site.toml", "--json"])
        .env("SEALGATE__LOG__LEVEL", "loud")
        .current_dir(folder.path())
        .output()
        .expect("the binary under test runs");
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let lines = report["lines"].as_array().expect("a list").iter().filter(|line| line["verdict"] == "error");
    let found: Vec<_> = lines
        .map(|line| {
            let place = line["file"].as_str().or(line["variable"].as_str()).expect("a place");
            (place, line["line"].as_u64().unwrap_or(0), line["key"].as_str().expect("a key"))
        })
        .collect();
    assert_eq!(
        found,
        [
            ("base.toml", 2, "server.public_url"),
            ("base.toml", 3, "server.management_listen"),
            ("base.toml", 4, "server.workers"),
            ("base.toml", 5, "server.listn"),
            ("base.toml", 7, "provider.client_id"),
            ("base.toml", 9, "provider.client_secret_file"),
            ("base.toml", 10, "provider.scopes[1]"),
            ("base.toml", 13, "routes[0].path"),
            ("site.toml", 2, "session.absolute_timeout"),
            ("site.toml", 3, "session.same_site"),
            ("site.toml", 6, "keys.ring"),
            ("SEALGATE__LOG__LEVEL", 0, "log.level"),
        ],
        "{report:#}"
    );
}
