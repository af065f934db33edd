//! A whole site: provider, API, three replicas, a balancer with its recipe in front, and browsers that come by TLS.

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use tempfile::TempDir;
use tokio::process::Child;

use crate::balancer::{Choice, Kind, Places};
use crate::support::ports::free_port;
use crate::support::recipe_host::{HOST, client, make_certificate};
use crate::support::{Browser, Provider, ProviderOptions, Sealgate, SealgateOptions, Upstream, eventually};

static SITES: AtomicU8 = AtomicU8::new(1);

/// Everything of one deployment.
pub struct Site {
    pub origin: String,
    pub provider: Provider,
    pub upstream: Upstream,
    pub replicas: Vec<Sealgate>,
    pub places: Places,
    http: Client,
    _folder: TempDir,
    balancer: Child,
}

/// The places of one site: a loopback network of its own, so that the replicas have addresses as in the recipes.
pub async fn places(folder: &Path) -> Places {
    make_certificate(folder).await;
    put_together(folder);
    let (process, site) = (2 + std::process::id() % 250, SITES.fetch_add(1, Ordering::Relaxed));
    Places {
        network: format!("127.{process}.{site}."),
        port: free_port(),
        management_port: free_port(),
        https: free_port(),
        http: free_port(),
        folder: folder.to_owned(),
    }
}

impl Site {
    /// Starts everything and waits until the balancer passes requests on.
    pub async fn start(kind: Kind, choice: Choice) -> Self {
        Self::with(kind, choice, |options| options).await
    }

    /// The same with a change to the replicas' configuration.
    pub async fn with(kind: Kind, choice: Choice, change: impl Fn(SealgateOptions) -> SealgateOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let places = places(folder.path()).await;
        let (provider, upstream) = tokio::join!(Provider::start(ProviderOptions::default()), Upstream::start());
        let origin = format!("https://{HOST}:{}", places.https);
        let mut options = SealgateOptions::new(&provider.issuer, upstream.port);
        options.public_url.clone_from(&origin);
        options.ring = Some(folder.path().join("keys/ring.json"));
        provider.register(options.registration()).await;
        let mut replicas = Vec::new();
        for last in 11..=13 {
            let replica = options
                .clone()
                .set("server.listen", format!("{}{last}:{}", places.network, places.port))
                .set("server.management_listen", format!("{}{last}:{}", places.network, places.management_port))
                .set("server.trusted_proxies", vec!["127.0.0.1/32"]);
            replicas.push(Sealgate::launch(change(replica)).await);
        }
        let file = kind.prepare(choice, &places);
        let balancer = kind.start(&file, &places.folder);
        let http = client(&places.folder);
        let mut site = Self { origin, provider, upstream, replicas, places, http, _folder: folder, balancer };
        for replica in 0..3 {
            eventually("a replica to be ready", Duration::from_secs(60), async || {
                (site.management(replica, "/readyz").await?.0 == StatusCode::OK).then_some(())
            })
            .await;
        }
        eventually("the balancer to use all replicas", Duration::from_secs(30), async || {
            if let Some(status) = site.balancer.try_wait().expect("a child of ours") {
                panic!("{kind:?} ended with {status}: {}", site.log());
            }
            site.all_answer().await
        })
        .await;
        site
    }

    /// What the balancer wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.places.folder.join("balancer.log")).expect("the log is there")
    }

    /// A browser that has not been anywhere yet.
    pub fn browser(&self) -> Browser {
        Browser::one_of_many(&self.origin, client(&self.places.folder))
    }

    /// A browser that is signed in.
    pub async fn signed_in(&self) -> Browser {
        let browser = self.browser();
        browser.sign_in().await;
        browser
    }

    /// How many requests each replica has passed on to the API so far.
    pub async fn proxied(&self) -> [u64; 3] {
        let mut counts = [0; 3];
        for (replica, count) in counts.iter_mut().enumerate() {
            let (_, metrics) = self.management(replica, "/metrics").await.unwrap_or_default();
            let lines = metrics.lines().filter(|line| line.starts_with(r#"sealgate_requests_total{handler="proxy""#));
            *count = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
        }
        counts
    }

    /// What a replica's management listener answers.
    async fn management(&self, replica: usize, path: &str) -> Option<(StatusCode, String)> {
        let url = format!("http://{}{}:{}{path}", self.places.network, 11 + replica, self.places.management_port);
        let response = self.http.get(url).send().await.ok()?;
        Some((response.status(), response.text().await.ok()?))
    }

    /// Balancers come to use a replica at their own pace.
    async fn all_answer(&self) -> Option<()> {
        let before = self.proxied().await;
        for _ in 0..30 {
            let response = self.http.get(format!("{}/public/echo", self.origin)).send().await.ok()?;
            (response.status() == StatusCode::OK).then_some(())?;
        }
        let after = self.proxied().await;
        before.iter().zip(after).all(|(before, after)| after > *before).then_some(())
    }
}

/// For HAProxy, which wants the certificate and its key in one file.
fn put_together(folder: &Path) {
    let both = ["cert.pem", "key.pem"].map(|name| std::fs::read(folder.join(name)).expect("openssl wrote it"));
    std::fs::write(folder.join("both.pem"), both.concat()).expect("the folder is ours");
}
