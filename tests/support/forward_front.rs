//! nginx or Envoy as the recipes of `deploy/forward-auth/` have them: they forward to an application themselves, and ask
//! Sealgate.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::ports::{free_port, loopback};
use super::recipe_host::{self, HOST, make_certificate};
use super::wait::eventually;
use super::{Browser, SealgateOptions};

/// What the proxy shows.
pub const SECRET: &str = "a-secret-of-the-tests-0123456789abcdef";

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// nginx with `auth_request`.
    Nginx,
    /// Envoy with `ext_authz`.
    Envoy,
}

/// A proxy that asks; it ends with this value.
pub struct ForwardFront {
    /// The origin that browsers see.
    pub origin: String,
    folder: TempDir,
    child: Option<Child>,
    kind: Kind,
    https: u16,
}

impl ForwardFront {
    /// A place for one, so that Sealgate can be told its origin; [`ForwardFront::start`] starts it.
    pub async fn prepare(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        make_certificate(folder.path()).await;
        let https = free_port();
        Self { origin: format!("https://{HOST}:{https}"), folder, child: None, kind, https }
    }

    /// What Sealgate is told of it.
    pub fn configure(&self, mut options: SealgateOptions) -> SealgateOptions {
        options.public_url.clone_from(&self.origin);
        let name = match self.kind {
            Kind::Nginx => "nginx",
            Kind::Envoy => "envoy",
        };
        options
            .set("server.trusted_proxies", vec!["127.0.0.1/32"])
            .set("session.same_site", "lax")
            .set("provider.scopes", vec!["openid", "profile", "email", "offline_access"])
            .set("routes", json!([]))
            .set(
                "forward_auth",
                json!({
                    "proxy": name, "secret": SECRET, "headers": {"X-User": "{sub}", "X-Email": "{email}"},
                }),
            )
    }

    /// Starts it in front of Sealgate and the application, and waits until it listens.
    pub async fn start(&mut self, gate: u16, application: u16) {
        self.start_with(gate, application, |text| text).await;
    }

    /// The same with a change to the recipe.
    pub async fn start_with(&mut self, gate: u16, application: u16, change: impl FnOnce(String) -> String) {
        let file = self.write(gate, application, change);
        let log = File::create(self.folder.path().join("front.log")).expect("the folder is ours");
        let child = self.command(&file);
        let child =
            { child }.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log).spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{:?}: {error}; `make test` installs it", self.kind)));
        eventually("the proxy in front to listen", Duration::from_secs(30), async || {
            if let Some(status) = self.child.as_mut().expect("it was started").try_wait().expect("a child of ours") {
                panic!("it ended with {status}: {}", self.log());
            }
            TcpStream::connect(loopback(self.https)).await.ok().map(drop)
        })
        .await;
    }

    /// The same in front of a folder of files, as the page has it: `root` in the place of `proxy_pass` and what belongs to
    /// it.
    pub async fn start_with_files(&mut self, gate: u16, files: &Path) {
        let with_files = |text: String| {
            let (before, rest) = text.split_once("        proxy_pass http://application;").expect("it is there");
            let (_, behind) = rest.split_once("        # An empty one is not sent.").expect("it is there");
            // As nginx's own mime.types has them.
            let types = "types { text/html html; text/css css; image/svg+xml svg; }";
            format!("{before}        root {};\n        {types}\n{behind}", files.display())
        };
        self.start_with(gate, free_port(), with_files).await;
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("front.log")).unwrap_or_default()
    }

    /// A browser that has not been anywhere yet.
    pub fn browser(&self) -> Browser {
        Browser::one_of_many(&self.origin, self.client())
    }

    /// A client that trusts its certificate and finds its name.
    pub fn client(&self) -> Client {
        recipe_host::client(self.folder.path())
    }

    /// The recipe with its addresses, paths and secret replaced; the file to start with.
    fn write(&self, gate: u16, application: u16, change: impl FnOnce(String) -> String) -> PathBuf {
        let name = match self.kind {
            Kind::Nginx => "nginx.conf",
            Kind::Envoy => "envoy.yaml",
        };
        let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/forward-auth").join(name);
        let mut text = fs::read_to_string(&recipe).expect("the recipe is there");
        for (from, to) in self.replacements(gate, application) {
            assert!(text.contains(&from), "{name}: nothing to replace for {from:?}");
            text = text.replace(&from, &to);
        }
        let folder = self.folder.path();
        let file = folder.join(name);
        fs::write(&file, change(text)).expect("the folder is ours");
        if self.kind == Kind::Envoy {
            return file;
        }
        let secret = format!("proxy_set_header X-Sealgate-Secret \"{SECRET}\";\n");
        fs::write(folder.join("sealgate-secret.conf"), secret).expect("the folder is ours");
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
            .collect();
        let around = format!(
            "daemon off; master_process off; pid {}/nginx.pid; error_log stderr warn;\nevents {{}}\nhttp {{\n{paths}include {};\n}}\n",
            folder.display(),
            file.display()
        );
        let file = folder.join("around.conf");
        fs::write(&file, around).expect("the folder is ours");
        file
    }

    fn replacements(&self, gate: u16, application: u16) -> Vec<(String, String)> {
        let (folder, https) = (self.folder.path().display().to_string(), self.https);
        let text = |from: &str, to: String| (from.to_owned(), to);
        match self.kind {
            Kind::Nginx => vec![
                text("10.0.0.11:8080", loopback(gate).to_string()),
                text("10.0.0.21:3000", loopback(application).to_string()),
                text("listen 443", format!("listen 127.0.0.1:{https}")),
                text("/etc/nginx/tls/app.example.com.crt", format!("{folder}/cert.pem")),
                text("/etc/nginx/tls/app.example.com.key", format!("{folder}/key.pem")),
                text("/etc/nginx/sealgate-secret.conf", format!("{folder}/sealgate-secret.conf")),
                text("/var/log/nginx", folder.clone()),
            ],
            Kind::Envoy => vec![
                text("port_value: 9901", "port_value: 0".to_owned()),
                text("address: 10.0.0.11, port_value: 8080", format!("address: 127.0.0.1, port_value: {gate}")),
                text("address: 10.0.0.21, port_value: 3000", format!("address: 127.0.0.1, port_value: {application}")),
                text("address: 0.0.0.0, port_value: 443", format!("address: 127.0.0.1, port_value: {https}")),
                text("/etc/envoy/tls/app.example.com.crt", format!("{folder}/cert.pem")),
                text("/etc/envoy/tls/app.example.com.key", format!("{folder}/key.pem")),
                text("THE SECRET", SECRET.to_owned()),
            ],
        }
    }

    fn command(&self, file: &Path) -> Command {
        let mut command = match self.kind {
            Kind::Nginx => Command::new("nginx"),
            Kind::Envoy => Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.venv/bin/envoy")),
        };
        match self.kind {
            Kind::Nginx => command.args(["-e", "stderr", "-c"]).arg(file),
            Kind::Envoy => command.args(["--use-dynamic-base-id", "--concurrency", "2", "-c"]).arg(file),
        };
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())).kill_on_drop(true);
        command
    }
}
