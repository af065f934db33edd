//! Small programs of Node.js behind Sealgate, each written for another proxy: `tests/apps/`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running program; it ends with this value.
pub struct App {
    /// Its port on 127.0.0.1.
    pub port: u16,
    _child: Child,
}

impl App {
    /// Starts the program of this name, and waits until it listens.
    pub async fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps");
        let mut child = Command::new("node")
            .arg(folder.join(format!("{name}.mjs")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
        let line = line.expect("it listens in time").expect("text").expect("a line");
        let ready: Value = serde_json::from_str(&line).expect("JSON");
        let port = ready["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        Self { port, _child: child }
    }
}
