//! The whole installation: provider, API, replicas, balancer, and the faults that can be done to it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::balancer::{Balancer, Place, Spread};
use crate::losses::lost_sessions;
use crate::support::ports::free_port;
use crate::support::sealgate::run_ok;
use crate::support::wait::reach;
use crate::support::{Provider, ProviderOptions, Sealgate, SealgateOptions, Upstream, eventually};

/// Places that the balancer knows; replicas come and go there.
const PLACES: usize = 5;

/// The time between two replicas of a deployment: what Kubernetes calls `minReadySeconds`.
const SETTLING_IN: Duration = Duration::from_secs(3);

/// What a [`Cluster`] shall be like.
pub struct Plan {
    replicas: usize,
    spread: Spread,
    provider: ProviderOptions,
    overrides: Vec<(String, Value)>,
    clocks: Vec<&'static str>,
    propagation: &'static str,
    max_session: &'static str,
    /// The ring of each replica, made from the one that the commands change.
    rings: fn(&Path, &Path, usize) -> PathBuf,
}

/// All the parts, running.
pub struct Cluster {
    /// The origin that browsers see: the balancer's.
    pub origin: String,
    /// The ring that the commands change.
    pub ring: PathBuf,
    /// The OpenID provider.
    pub provider: Provider,
    /// The API.
    pub upstream: Upstream,
    /// HAProxy.
    pub balancer: Balancer,
    replicas: Vec<Option<Sealgate>>,
    options: Vec<SealgateOptions>,
    /// What replicas that are gone have written.
    logs: Vec<(usize, String)>,
    /// Rings and stores; removed last.
    _folder: TempDir,
}

impl Cluster {
    /// Begins to say what shall be different: three replicas with affinity, strict rotation with reuse detection,
    /// access tokens of five seconds.
    pub fn plan() -> Plan {
        let provider = ProviderOptions {
            port: free_port(),
            access_token_ttl: 5,
            jwt_access_tokens: true,
            forgetful: true,
            ..ProviderOptions::default()
        };
        Plan {
            replicas: 3,
            spread: Spread::Affinity,
            provider,
            overrides: Vec::new(),
            clocks: Vec::new(),
            propagation: "2s",
            max_session: "8h",
            rings: |ring, _, _| ring.to_owned(),
        }
    }

    /// The replicas that run.
    pub fn running(&self) -> impl Iterator<Item = &Sealgate> {
        self.replicas.iter().flatten()
    }

    /// A replica that runs.
    pub fn replica(&self, index: usize) -> &Sealgate {
        self.replicas[index].as_ref().expect("it runs")
    }

    /// Starts the replica at that place, and waits until it gets requests.
    pub async fn start(&mut self, index: usize) {
        assert!(self.replicas[index].is_none(), "it runs");
        self.replicas[index] = Some(Sealgate::start(self.options[index].clone()).await);
        self.settled().await;
    }

    /// Kills a replica as a failing machine does: no word to anybody.
    pub async fn kill(&mut self, index: usize) {
        let mut replica = self.replicas[index].take().expect("it runs");
        replica.signal("KILL");
        replica.exit_status().await;
        self.logs.push((index, replica.log()));
    }

    /// Stops a replica as a deployment does (SIGTERM), and waits for its end.
    pub async fn stop(&mut self, index: usize) {
        let mut replica = self.replicas[index].take().expect("it runs");
        replica.terminate();
        let status = replica.exit_status().await;
        assert_eq!(status.code(), Some(0), "{}", replica.log());
        self.logs.push((index, replica.log()));
    }

    /// Replaces every replica, one after the other, each when the one before has settled in.
    pub async fn rolling_restart(&mut self) {
        for index in 0..self.replicas.len() {
            if self.replicas[index].is_some() {
                self.stop(index).await;
                self.start(index).await;
                reach(Instant::now() + SETTLING_IN).await;
            }
        }
    }

    /// Waits until the balancer uses exactly the replicas that run.
    pub async fn settled(&self) {
        let ready: Vec<usize> = (0..PLACES).filter(|index| self.replicas[*index].is_some()).collect();
        self.balancer.settled(&ready).await;
    }

    /// Runs `sealgate keys …` on the ring.
    pub async fn keys(&self, arguments: &[&str]) -> String {
        let ring = self.ring.to_str().expect("a path in UTF-8");
        run_ok(&[&["keys"], arguments, &["--ring", ring]].concat()).await
    }

    /// Rotates the keys: waits until every replica has the staged key, and then until it seals.
    pub async fn rotate_keys(&self) {
        self.keys(&["rotate"]).await;
        self.arrived().await;
        eventually("the staged key to seal", Duration::from_secs(30), async || {
            let list: Value = serde_json::from_str(&self.keys(&["list", "--json"]).await).expect("JSON");
            let keys = list["keys"].as_array().expect("a list of keys");
            keys.iter().all(|key| key["state"] != "staged").then_some(())
        })
        .await;
    }

    /// Waits until every replica uses the ring, as an operator does it: `keys check --replica … --wait`.
    pub async fn arrived(&self) {
        let replicas: Vec<&str> = self.running().map(Sealgate::management_url).collect();
        self.keys(&[&["check", "--wait", "30s", "--replica"], replicas.as_slice()].concat()).await;
    }

    /// What the replicas wrote of those sessions whose refresh was refused: which replica did what, and when.
    pub fn lost_sessions(&self) -> String {
        let running =
            self.replicas.iter().enumerate().filter_map(|(index, replica)| Some((index, replica.as_ref()?.log())));
        lost_sessions(self.logs.iter().cloned().chain(running))
    }

    /// The resident memory of each replica, in MiB, for people.
    pub fn memory(&self) -> String {
        let each = self.running().map(|replica| format!("{:.1}", replica.resident_kib() as f64 / 1024.0));
        format!("{} MiB", each.collect::<Vec<_>>().join(", "))
    }
}

impl Plan {
    /// How many replicas there are at first.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Requests are spread one by one, whatever session they are of.
    #[must_use]
    pub fn round_robin(mut self) -> Self {
        self.spread = Spread::RoundRobin;
        self
    }

    /// Changes the provider.
    #[must_use]
    pub fn provider(mut self, change: impl FnOnce(&mut ProviderOptions)) -> Self {
        change(&mut self.provider);
        self
    }

    /// Sets a key of every replica's configuration.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.overrides.push((key.to_owned(), value.into()));
        self
    }

    /// Sets the replicas' clocks, in the words of `faketime -f`; no word: the right time.
    #[must_use]
    pub fn clocks(mut self, clocks: &[&'static str]) -> Self {
        self.clocks = clocks.to_vec();
        self
    }

    /// How long sessions may live, and so keys.
    #[must_use]
    pub fn max_session(mut self, max_session: &'static str) -> Self {
        self.max_session = max_session;
        self.set("session.absolute_timeout", max_session).set("session.idle_timeout", max_session)
    }

    /// Gives each replica a ring of its own: `rings(the commands' ring, a folder, the replica)` makes it.
    #[must_use]
    pub fn rings(mut self, rings: fn(&Path, &Path, usize) -> PathBuf) -> Self {
        self.rings = rings;
        self
    }

    /// Starts all parts.
    pub async fn start(self) -> Cluster {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ring = folder.path().join("keys/ring.json");
        std::fs::create_dir(folder.path().join("keys")).expect("a new folder");
        let arguments = ["--propagation", self.propagation, "--max-session", self.max_session];
        let path = ring.to_str().expect("a path in UTF-8");
        run_ok(&[&["keys", "generate", "--ring", path], arguments.as_slice()].concat()).await;

        let store = Some(folder.path().join("provider.json"));
        let provider = ProviderOptions { store, ..self.provider };
        let (provider, upstream) = tokio::join!(Provider::start(provider), Upstream::start());
        let port = free_port();
        let origin = format!("http://127.0.0.1:{port}");
        let mut first = SealgateOptions::new(&provider.issuer, upstream.port)
            .set("log.level", "info")
            .set("server.drain_delay", "1s")
            .set("server.workers", 1);
        first.public_url.clone_from(&origin);
        first.overrides.extend(self.overrides);
        provider.register(first.registration()).await;
        let options: Vec<SealgateOptions> = (0..PLACES)
            .map(|index| {
                let mut options = first.clone();
                (options.port, options.management_port) = (free_port(), free_port());
                options.ring = Some((self.rings)(&ring, folder.path(), index));
                options.clock = self.clocks.get(index).copied().unwrap_or_default().to_owned();
                options
            })
            .collect();
        let place = |options: &SealgateOptions| Place { port: options.port, management_port: options.management_port };
        let places: Vec<Place> = options.iter().map(place).collect();
        let balancer = Balancer::start(port, self.spread, &places).await;
        let mut replicas: Vec<Option<Sealgate>> = Vec::new();
        for options in &options[..self.replicas] {
            replicas.push(Some(Sealgate::start(options.clone()).await));
        }
        replicas.resize_with(PLACES, || None);
        let cluster = Cluster {
            origin,
            ring,
            provider,
            upstream,
            balancer,
            _folder: folder,
            replicas,
            options,
            logs: Vec::new(),
        };
        cluster.settled().await;
        cluster
    }
}
