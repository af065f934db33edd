//! HAProxy in front of the replicas, as its users run it: health checks on `/readyz`, and either one replica a session
//! by the cookie `sealgate_affinity`, or round robin.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::support::eventually;
use crate::support::ports::loopback;

/// How requests are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// A session's requests go to one replica while it is there.
    Affinity,
    /// Each request goes to the next replica.
    RoundRobin,
}

/// Where a replica may come to live: its public and its management port.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Of the public listener.
    pub port: u16,
    /// Of the management listener.
    pub management_port: u16,
}

/// A running HAProxy; it ends with this value.
pub struct Balancer {
    control: PathBuf,
    _child: Child,
    _folder: TempDir,
}

impl Balancer {
    /// Starts one that listens at `port`, for replicas that come and go at those places.
    pub async fn start(port: u16, spread: Spread, places: &[Place]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let control = folder.path().join("control");
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, config(port, spread, places, &control)).expect("a new file");
        let child = Command::new("haproxy")
            .args(["-db", "-q", "-f"])
            .arg(&file)
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("haproxy is installed: `make test` says how");
        Self { control, _child: child, _folder: folder }
    }

    /// Waits until exactly these replicas get requests.
    pub async fn settled(&self, ready: &[usize]) {
        let what = format!("haproxy to use {ready:?}");
        eventually(&what, Duration::from_secs(30), async || (self.in_use().await? == ready).then_some(())).await;
    }

    /// The replicas that get requests.
    pub async fn in_use(&self) -> Option<Vec<usize>> {
        let mut socket = UnixStream::connect(&self.control).await.ok()?;
        socket.write_all(b"show stat\n").await.ok()?;
        let mut table = String::new();
        socket.read_to_string(&mut table).await.ok()?;
        let rows = table.lines().filter_map(|line| line.strip_prefix("replicas,replica"));
        let up = rows.filter(|row| row.split(',').any(|field| field == "UP"));
        Some(up.filter_map(|row| row.split(',').next()?.parse().ok()).collect())
    }
}

fn config(port: u16, spread: Spread, places: &[Place], control: &std::path::Path) -> String {
    let balance = match spread {
        Spread::Affinity => "balance hash req.cook(sealgate_affinity)\n  hash-type consistent",
        Spread::RoundRobin => "balance roundrobin",
    };
    let mut config = format!(
        "global
  maxconn 1000
  stats socket {control} mode 600 level admin
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  retries 3
  option redispatch 1
  retry-on conn-failure
  option forwardfor
frontend public
  bind {public}
  default_backend replicas
backend replicas
  {balance}
  option httpchk GET /readyz
  http-check expect status 200
  default-server check inter 200ms fall 1 rise 1
",
        control = control.display(),
        public = loopback(port),
    );
    for (index, place) in places.iter().enumerate() {
        let (address, management) = (loopback(place.port), place.management_port);
        let id = index + 1;
        writeln!(config, "  server replica{index} {address} id {id} port {management}").expect("memory");
    }
    config
}
