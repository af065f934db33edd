//! The real binary, with a configuration and a key ring of its own, over real sockets.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::ports::{free_port, loopback};
use super::wait::eventually;

/// The binary under test: the one that Cargo has just built, or the one that `SEALGATE_BINARY` names.
fn binary() -> PathBuf {
    std::env::var_os("SEALGATE_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_sealgate").into(), PathBuf::from)
}

/// What the single-page app of the tests consists of.
pub const INDEX_HTML: &str = "<!doctype html><title>The app</title><h1>The app</h1>\n";

/// How a Sealgate is configured.
#[derive(Clone, Debug)]
pub struct SealgateOptions {
    /// `provider.issuer`.
    pub issuer: String,
    /// `provider.client_id`.
    pub client_id: String,
    /// `provider.client_secret`.
    pub client_secret: String,
    /// The upstream's port.
    pub upstream: u16,
    /// The port of the public listener.
    pub port: u16,
    /// The port of the management listener.
    pub management_port: u16,
    /// `server.public_url`.
    pub public_url: String,
    /// The ring to use; none: a new one.
    pub ring: Option<PathBuf>,
    /// The `propagation` of a new ring.
    pub propagation: String,
    /// How far its clock is off, in the words of `faketime -f`; empty: not at all.
    pub clock: String,
    /// Further keys, `("session.absolute_timeout", json!("2s"))`; null takes a key away, and `PUBLIC_URL` in a text
    /// stands for that.
    pub overrides: Vec<(String, Value)>,
}

impl SealgateOptions {
    /// A client of that provider in front of that upstream, on a port of its own.
    pub fn new(issuer: &str, upstream: u16) -> Self {
        let port = free_port();
        Self {
            issuer: issuer.to_owned(),
            client_id: format!("sealgate-{port}"),
            client_secret: format!("client-secret-of-the-tests-{port}-0123456789"),
            upstream,
            port,
            management_port: free_port(),
            public_url: format!("http://127.0.0.1:{port}"),
            ring: None,
            propagation: "10m".to_owned(),
            clock: String::new(),
            overrides: Vec::new(),
        }
    }

    /// Sets a key of the configuration.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.overrides.push((key.to_owned(), value.into()));
        self
    }

    /// The registration that this client needs at the provider (RFC 7591 §2).
    pub fn registration(&self) -> Value {
        json!({
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "redirect_uris": [format!("{}/bff/callback", self.public_url)],
            "post_logout_redirect_uris": [
                self.public_url.clone(), format!("{}/", self.public_url), format!("{}/bff/logged-out", self.public_url),
            ],
            "token_endpoint_auth_method": "client_secret_basic",
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        if !self.clock.is_empty() {
            // What `faketime` sets; itself it would stand between us and the process. The linker knows `$LIB`.
            command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1").env("FAKETIME", &self.clock);
        }
        command
    }

    fn config(&self, folder: &Path, ring: &Path) -> Value {
        let upstream = format!("http://127.0.0.1:{}", self.upstream);
        let route =
            |path: &str, csrf: &str| json!({"path": path, "upstream": upstream, "auth": "session", "csrf": csrf});
        let mut config = json!({
            "server": {
                "listen": loopback(self.port).to_string(),
                "public_url": self.public_url,
                "management_listen": loopback(self.management_port).to_string(),
                "drain_delay": "0s",
            },
            "provider": {
                "issuer": self.issuer,
                "client_id": self.client_id,
                "client_secret": self.client_secret,
                "scopes": ["openid", "profile", "offline_access"],
            },
            "session": {},
            "keys": {"ring": ring},
            "routes": [
                route("/api", "header"),
                route("/stream", "metadata"),
                route("/page", "page"),
                {"path": "/cookies", "upstream": upstream, "auth": "session", "csrf": "header", "forward_cookies": true},
                {"path": "/readonly", "upstream": upstream, "auth": "session", "csrf": "header", "methods": ["GET"]},
                {"path": "/public", "upstream": upstream, "auth": "none"},
            ],
            "static": {"root": folder.join("app")},
            "log": {"format": "json", "level": "trace", "access_buffer": "0s"},
        });
        for (key, value) in &self.overrides {
            let value = match value {
                Value::String(text) => text.replace("PUBLIC_URL", &self.public_url).into(),
                other => other.clone(),
            };
            set(&mut config, key, value);
        }
        config
    }
}

fn set(config: &mut Value, key: &str, value: Value) {
    let pointer = format!("/{}", key.replace('.', "/"));
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer has a slash");
    if let Some(list) = config.pointer_mut(parent).and_then(Value::as_array_mut) {
        list[name.parse::<usize>().expect("a position")] = value;
        return;
    }
    let parent: &mut Map<String, Value> =
        config.pointer_mut(parent).and_then(Value::as_object_mut).unwrap_or_else(|| panic!("no table for {key}"));
    if value.is_null() {
        parent.remove(name);
    } else {
        parent.insert(name.to_owned(), value);
    }
}

/// A running Sealgate; it ends with this value.
pub struct Sealgate {
    /// What it was started with.
    pub options: SealgateOptions,
    /// The file of its key ring.
    pub ring: PathBuf,
    management: String,
    http: Client,
    folder: TempDir,
    child: Child,
}

impl Sealgate {
    /// Starts one and waits until it is ready.
    pub async fn start(options: SealgateOptions) -> Self {
        let mut gate = Self::launch(options).await;
        eventually("readiness", Duration::from_secs(60), async || {
            if let Some(status) = gate.child.try_wait().expect("a child of ours") {
                panic!("sealgate ended with {status}: {}", gate.log());
            }
            (gate.management("/readyz").await == Some(StatusCode::OK)).then_some(())
        })
        .await;
        gate
    }

    /// Starts one without waiting for anything.
    pub async fn launch(options: SealgateOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("app")).expect("a new folder");
        fs::write(folder.path().join("app/index.html"), INDEX_HTML).expect("a new file");
        let ring = options.ring.clone().unwrap_or_else(|| folder.path().join("keys/ring.json"));
        if !ring.exists() {
            generate_ring(&ring, &options.propagation).await;
        }
        let config = options.config(folder.path(), &ring);
        let file = folder.path().join("sealgate.toml");
        write_secret(&file, &toml::to_string(&config).expect("the configuration is TOML"));
        let log = File::create(folder.path().join("log")).expect("a new file");
        let child = options
            .command()
            .args(["serve", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().expect("a plain client");
        Self { management: format!("http://{}", loopback(options.management_port)), options, ring, http, folder, child }
    }

    /// The origin that browsers see.
    pub fn url(&self) -> &str {
        &self.options.public_url
    }

    /// Everything that it wrote, to standard output and standard error.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("log")).expect("the log file is there");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The URL of its management listener.
    pub fn management_url(&self) -> &str {
        &self.management
    }

    /// Its resident memory in KiB, as the kernel counts it; 0 when it does not run.
    pub fn resident_kib(&self) -> u64 {
        let Some(pid) = self.child.id() else { return 0 };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|value| value.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
    }

    /// The status of a path on the management listener; none if nobody listens.
    pub async fn management(&self, path: &str) -> Option<StatusCode> {
        Some(self.http.get(format!("{}{path}", self.management)).send().await.ok()?.status())
    }

    /// The body of a path on the management listener.
    pub async fn management_text(&self, path: &str) -> String {
        let response = self.http.get(format!("{}{path}", self.management)).send().await;
        response.expect("the management listener answers").text().await.expect("text")
    }

    /// The value of a counter, `sealgate_cookie_opens_total{key_state="primary"}`; 0 if it is not there yet.
    pub async fn metric(&self, name: &str) -> u64 {
        let metrics = self.management_text("/metrics").await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.trim().parse().unwrap_or_else(|_| panic!("{name} is {value:?}")))
    }

    /// Sends a GET to the public listener, as a same-origin `fetch` with exactly these cookies.
    pub async fn get_with_cookies(&self, path: &str, cookies: &str) -> super::Reply {
        let origin: url::Url = self.url().parse().expect("an origin is a URL");
        let url: url::Url = format!("http://{}{path}", loopback(self.options.port)).parse().expect("a path");
        let host = &origin[url::Position::BeforeHost..url::Position::AfterPort];
        let request = self
            .http
            .get(url.clone())
            .header("Host", host)
            .header("Cookie", cookies)
            .header("Sec-Fetch-Site", "same-origin")
            .header("Sec-Fetch-Mode", "cors")
            .header("Sec-Fetch-Dest", "empty")
            .header("X-CSRF", "1");
        let response = request.send().await.expect("the public listener answers");
        let (status, headers) = (response.status(), response.headers().clone());
        super::Reply { url, status, headers, body: response.text().await.expect("text") }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it is running")
    }

    /// Asks it to stop (SIGTERM).
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill runs");
        assert!(sent.success(), "the signal is sent");
    }

    /// Waits for its end.
    pub async fn exit_status(&mut self) -> ExitStatus {
        tokio::time::timeout(Duration::from_secs(30), self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("it does not end: {}", self.log()))
            .expect("a child of ours")
    }
}

/// The client secret is in it, so only its owner may read it.
fn write_secret(file: &Path, text: &str) {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).expect("a new file");
    file.write_all(text.as_bytes()).expect("a writable file");
}

/// Runs a command of the binary to its end.
pub async fn run(arguments: &[&str]) -> Output {
    run_with(arguments, &[]).await
}

/// Runs a command of the binary to its end, with these variables in its environment.
pub async fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    let output = command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null()).output();
    tokio::time::timeout(Duration::from_secs(30), output).await.expect("a short command").expect("the binary starts")
}

/// Runs a command that must succeed, and gives its standard output.
pub async fn run_ok(arguments: &[&str]) -> String {
    let output = run(arguments).await;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out.into_owned()
}

/// Makes a ring with the real command.
pub async fn generate_ring(ring: &Path, propagation: &str) {
    fs::create_dir_all(ring.parent().expect("a file in a folder")).expect("a new folder");
    let ring = ring.to_str().expect("a path in UTF-8");
    run_ok(&["keys", "generate", "--ring", ring, "--propagation", propagation]).await;
}

/// The key ids of a ring, in the order of the file.
pub fn key_ids(ring: &Path) -> Vec<String> {
    let value: Value =
        serde_json::from_str(&fs::read_to_string(ring).expect("the ring is readable")).expect("the ring is JSON");
    let keys = value["keys"].as_array().expect("a list of keys");
    keys.iter().map(|key| key["kid"].as_str().expect("a key id").to_owned()).collect()
}
