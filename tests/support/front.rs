//! A real nginx or HAProxy between the browser and Sealgate, with its own defaults for every buffer but for what a test
//! sets.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::ports::loopback;
use super::wait::eventually;

/// A running reverse proxy; it ends with this value.
pub struct Front {
    folder: TempDir,
    _child: Child,
}

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// nginx; settings are lines of its `location`.
    Nginx,
    /// HAProxy; settings are lines of its `global` section.
    Haproxy,
}

impl Front {
    /// Starts one on `port`, in front of the server on `gate`, and waits until it listens.
    pub async fn start(kind: Kind, port: u16, gate: u16, settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = match kind {
            Kind::Nginx => nginx(port, gate, settings),
            Kind::Haproxy => haproxy(port, gate, settings),
        };
        fs::write(folder.path().join("config"), config).expect("a new file");
        let child = spawn(kind, folder.path());
        eventually("the proxy in front to listen", Duration::from_secs(20), async || {
            TcpStream::connect(loopback(port)).await.ok().map(drop)
        })
        .await;
        Self { folder, _child: child }
    }

    /// What nginx wrote to its error log.
    pub fn error_log(&self) -> String {
        fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

fn nginx(port: u16, gate: u16, settings: &str) -> String {
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log error.log warn;
         events {{}}
         http {{
           access_log off;
           client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
           server {{
             listen 127.0.0.1:{port};
             location / {{
               proxy_pass http://127.0.0.1:{gate};
               proxy_set_header Host $http_host;
               {settings}
             }}
           }}
         }}"
    )
}

fn haproxy(port: u16, gate: u16, settings: &str) -> String {
    format!(
        "global\n  {settings}\n\
         defaults\n  mode http\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n\
         frontend browsers\n  bind 127.0.0.1:{port}\n  default_backend gate\n\
         backend gate\n  server gate 127.0.0.1:{gate}\n"
    )
}

fn spawn(kind: Kind, folder: &Path) -> Child {
    let mut command = match kind {
        Kind::Nginx => Command::new("nginx"),
        Kind::Haproxy => Command::new("haproxy"),
    };
    match kind {
        Kind::Nginx => command.arg("-p").arg(folder).args(["-c", "config", "-e", "error.log"]),
        Kind::Haproxy => command.args(["-db", "-f", "config"]).current_dir(folder),
    };
    command
        .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("nginx and HAProxy are installed: `make test` says how")
}
