//! The recipes without a balancer: Kubernetes, systemd, the configuration of replicas.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(deploy(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn succeeded(what: &str, output: &Output) -> String {
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {printed}");
    printed.into_owned()
}

fn python_tool(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.venv/bin").join(name))
}

/// The manifests that Kubernetes itself knows; those of the Gateway API are extensions.
const MANIFESTS: [&str; 8] = [
    "namespace.yaml",
    "serviceaccount.yaml",
    "configmap.yaml",
    "deployment.yaml",
    "service.yaml",
    "poddisruptionbudget.yaml",
    "networkpolicy.yaml",
    "ingress-nginx.yaml",
];

#[test]
fn the_manifests_are_valid_for_kubernetes_without_an_unknown_field() {
    let files = MANIFESTS.map(|name| deploy("kubernetes").join(name));
    for version in ["1.32", "1.37"] {
        let output = python_tool("kubernetes-validate").args(["--strict", "-k", version]).args(&files).output();
        let printed = succeeded(version, &output.expect("`make test` installs it"));
        assert_eq!(printed.matches(" passed ").count(), MANIFESTS.len(), "{printed}");
    }
}

/// A YAML file as JSON, a list of its documents.
fn documents(name: &str) -> Vec<Value> {
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let output = python_tool("python").args(["-c", script]).arg(deploy(name)).output();
    serde_json::from_str(&succeeded(name, &output.expect("`make test` installs it"))).expect("JSON")
}

#[test]
fn every_manifest_is_in_the_kustomization_or_leads_in_from_outside() {
    let listed = documents("kubernetes/kustomization.yaml")[0]["resources"].clone();
    let listed: Vec<&str> = listed.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let mut there: Vec<String> = fs::read_dir(deploy("kubernetes"))
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yaml") && name != "kustomization.yaml")
        .filter(|name| !["gateway.yaml", "ingress-nginx.yaml"].contains(&name.as_str()))
        .collect();
    there.sort();
    let mut sorted = listed.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, there);
    let kinds: Vec<Value> =
        documents("kubernetes/gateway.yaml").iter().map(|document| document["kind"].clone()).collect();
    assert_eq!(kinds, ["Gateway", "HTTPRoute", "BackendTrafficPolicy"]);
}

/// Puts a recipe's configuration where its paths lead, and has it checked.
fn check_configuration(text: &str) -> toml::Table {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    fs::create_dir_all(root.join("app")).expect("the folder is ours");
    fs::write(root.join("app/index.html"), "<!doctype html>").expect("the folder is ours");
    fs::write(root.join("client_secret"), "hunter2\n").expect("the folder is ours");
    fs::set_permissions(root.join("client_secret"), fs::Permissions::from_mode(0o440)).expect("the file is ours");
    fs::write(root.join("forward_auth_secret"), "0123456789".repeat(4)).expect("the folder is ours");
    fs::set_permissions(root.join("forward_auth_secret"), fs::Permissions::from_mode(0o440)).expect("the file is ours");
    let text = text
        .replace("/etc/sealgate/forward_auth_secret", &format!("{}/forward_auth_secret", root.display()))
        .replace("/etc/sealgate/client/", &format!("{}/", root.display()))
        .replace("/etc/sealgate/client_secret", &format!("{}/client_secret", root.display()))
        .replace("/etc/sealgate/keys/", &format!("{}/", root.display()))
        .replace("/srv/app", &format!("{}/app", root.display()));
    fs::write(root.join("sealgate.toml"), &text).expect("the folder is ours");
    let sealgate = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_sealgate")).args(arguments).current_dir(root).output().expect("it starts")
    };
    succeeded("keys generate", &sealgate(&["keys", "generate", "--ring", "ring.json"]));
    let printed = succeeded(&text, &sealgate(&["check", "--offline", "--config", "sealgate.toml"]));
    assert!(printed.contains("No errors, 0 warnings."), "{printed}");
    text.parse().expect("TOML")
}

fn seconds(text: &str) -> u64 {
    text.strip_suffix('s').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text:?} in seconds"))
}

/// How long the configuration lets a replica take to leave (`Application::run_until_stopped`).
fn longest_exit(config: &toml::Table) -> u64 {
    let server = config["server"].as_table().expect("a table");
    let read = |key: &str, default| server.get(key).and_then(toml::Value::as_str).map_or(default, seconds);
    // The last summand is the default of provider.request_timeout.
    read("drain_delay", 5) + read("drain_deadline", 30) + 10
}

#[test]
fn the_configuration_in_kubernetes_is_sound_and_leaves_time_to_leave() {
    let configmap = &documents("kubernetes/configmap.yaml")[0];
    let config = check_configuration(configmap["data"]["sealgate.toml"].as_str().expect("text"));
    let pod = &documents("kubernetes/deployment.yaml")[0]["spec"]["template"]["spec"];
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a number");
    assert!(grace >= longest_exit(&config), "{grace} s for {} s", longest_exit(&config));
    let probe = &pod["containers"][0]["readinessProbe"];
    let [period, timeout, failures] =
        ["periodSeconds", "timeoutSeconds", "failureThreshold"].map(|key| probe[key].as_u64().expect("a number"));
    let noticed = period * failures + timeout;
    let delay = seconds(config["server"]["drain_delay"].as_str().expect("text"));
    assert!(delay > noticed, "a drain_delay of {delay} s, where {noticed} s pass until the probes notice");
}

#[test]
fn the_configuration_of_a_replica_is_sound_and_leaves_time_to_leave() {
    let config = check_configuration(&read("sealgate.toml"));
    let unit = read("systemd/sealgate.service");
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).expect("it is set");
    assert!(seconds(stop) >= longest_exit(&config), "{stop} for {} s", longest_exit(&config));
}

#[test]
fn the_configuration_for_forward_auth_is_sound() {
    check_configuration(&read("forward-auth/sealgate.toml"));
}

#[test]
fn systemd_accepts_the_unit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let unit = folder.path().join("sealgate.service");
    let text = read("systemd/sealgate.service").replace("/usr/local/bin/sealgate", env!("CARGO_BIN_EXE_sealgate"));
    fs::write(&unit, text).expect("the folder is ours");
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output();
    let printed = succeeded("systemd-analyze", &output.expect("systemd-analyze is there (Debian: package systemd)"));
    assert!(printed.trim().is_empty(), "{printed}");
}

/// The image starts the binary with the arguments that the Deployment has, too.
#[test]
fn the_image_and_the_deployment_start_the_same_command() {
    let containerfile = read("container/Containerfile");
    let command = containerfile.lines().find_map(|line| line.strip_prefix("CMD ")).expect("a command");
    let command: Value = serde_json::from_str(command).expect("the exec form");
    let container = &documents("kubernetes/deployment.yaml")[0]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], command);
    assert!(containerfile.contains("USER 65532:65532"), "the user of the Deployment");
}

/// Plays the part of kubectl with a file for the Secret: `VERSION BASE64`.
const KUBECTL: &str = r#"#!/usr/bin/env bash
set -euo pipefail
[[ $1 == --namespace ]] && shift 2
case "$1 $2" in
  "create secret")
    [[ ! -e $STORE ]] || { echo "already exists" >&2; exit 1; }
    file=${5#--from-file=ring.json=}
    echo "1 $(base64 -w0 "$file")" >"$STORE"
    ;;
  "get secret")
    [[ $5 == *resourceVersion* ]] && cat "$STORE" || cut -d' ' -f2 "$STORE"
    ;;
  "patch secret")
    read -r version value < <(python3 -c '
import json, sys
patch = json.load(sys.stdin)
print(patch[0]["value"], patch[1]["value"])')
    read -r present _ <"$STORE"
    [[ $version == "$present" ]] || { echo "the test operation failed" >&2; exit 1; }
    echo "$((present + 1)) $value" >"$STORE"
    ;;
esac
"#;

#[test]
fn the_script_for_the_ring_makes_changes_and_never_damages_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kubectl = folder.path().join("kubectl");
    fs::write(&kubectl, KUBECTL).expect("the folder is ours");
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    let store = folder.path().join("store");
    let ring = |arguments: &[&str]| {
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
        Command::new(deploy("kubernetes/ring"))
            .args(arguments)
            .env("PATH", path)
            .env("STORE", &store)
            .env("SEALGATE", env!("CARGO_BIN_EXE_sealgate"))
            .output()
            .expect("the script starts")
    };
    succeeded("create", &ring(&["create", "--max-session", "12h"]));
    let first = fs::read_to_string(&store).expect("the secret is there");
    assert!(!ring(&["create"]).status.success(), "one that is there is not overwritten");
    assert_eq!(fs::read_to_string(&store).expect("the secret is there"), first);

    let printed = succeeded("rotate", &ring(&["rotate"]));
    assert!(printed.contains("Staged key"), "{printed}");
    let staged = fs::read_to_string(&store).expect("the secret is there");
    assert!(staged.starts_with("2 ") && staged != first);
    let listed = succeeded("list", &ring(&["list"]));
    assert!(listed.contains("staged") && listed.contains("primary"), "{listed}");

    let refused = ring(&["rotate"]);
    assert!(!refused.status.success(), "a second pending key is refused");
    assert_eq!(fs::read_to_string(&store).expect("the secret is there"), staged, "and the Secret is as it was");
}
