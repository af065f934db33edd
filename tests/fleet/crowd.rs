//! Many visitors who use the app for a while, and the report of how they fared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::support::browser::client;
use crate::support::provider::Stats;
use crate::tally::{Counts, Tally, listed, table};
use crate::visitor::Visitor;

/// Logins at a time.
const LOGINS: usize = 4;
/// Connections of all visitors together: the machine belongs to others, too.
const CONNECTIONS: usize = 200;

/// How much the visitors do.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Calls that a tab begins at once.
    pub burst: usize,
    /// Tabs of a visitor, each with bursts of its own.
    pub tabs: usize,
    /// The mean time between the bursts of a tab.
    pub every: Duration,
}

/// Signed-in visitors.
pub struct Crowd {
    /// All of them.
    pub visitors: Vec<Arc<Visitor>>,
    /// What became of their requests.
    pub tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    tabs: Vec<JoinHandle<()>>,
    begun: Instant,
}

/// How a crowd fared.
pub struct Report {
    /// Visitors.
    pub sessions: usize,
    /// Visitors whose session was found dead, during the run or by the refresh that ends it.
    pub lost: usize,
    /// What became of the requests.
    pub counts: Counts,
    /// What the provider was asked for.
    pub provider: Stats,
    /// How long it took.
    pub took: Duration,
}

impl Crowd {
    /// Signs that many visitors in.
    pub async fn sign_in(cluster: &Cluster, visitors: usize) -> Self {
        let (http, tally) = (client(), Arc::new(Tally::default()));
        let network = Arc::new(Semaphore::new(CONNECTIONS));
        let sign_in = |_| {
            let visitor =
                Arc::new(Visitor::new(&cluster.origin, http.clone(), Arc::clone(&network), Arc::clone(&tally)));
            async move {
                visitor.browser.sign_in().await;
                visitor
            }
        };
        let visitors = stream::iter(0..visitors).map(sign_in).buffer_unordered(LOGINS).collect().await;
        let stop = Arc::new(AtomicBool::new(false));
        Self { visitors, tally, stop, tabs: Vec::new(), begun: Instant::now() }
    }

    /// Lets the visitors begin.
    pub fn begin(&mut self, pace: Pace) {
        self.begun = Instant::now();
        for visitor in &self.visitors {
            for _ in 0..pace.tabs {
                self.tabs.push(tokio::spawn(use_tab(Arc::clone(visitor), pace, Arc::clone(&self.stop))));
            }
        }
    }

    /// Lets them come to an end, and sees whose session lives on.
    pub async fn end(self, cluster: &Cluster) -> Report {
        self.stop.store(true, Ordering::SeqCst);
        join_all(self.tabs).await.into_iter().for_each(|tab| tab.expect("no tab panics"));
        let took = self.begun.elapsed();
        let counts = self.tally.counts();
        let alive = |visitor: Arc<Visitor>| async move { !visitor.is_signed_out() && visitor.is_alive().await };
        let alive: Vec<bool> = stream::iter(self.visitors.clone()).map(alive).buffer_unordered(8).collect().await;
        let lost = alive.iter().filter(|alive| !**alive).count();
        Report { sessions: self.visitors.len(), lost, counts, provider: cluster.provider.stats().await, took }
    }
}

async fn use_tab(visitor: Arc<Visitor>, pace: Pace, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) && !visitor.is_signed_out() {
        // From half to one and a half times the mean, so that tabs drift apart.
        let pause = pace.every.mul_f64(0.5 + rand::random::<f64>());
        let until = Instant::now() + pause;
        while Instant::now() < until && !stop.load(Ordering::SeqCst) {
            tokio::time::sleep(pause.min(Duration::from_millis(100))).await;
        }
        visitor.burst(pace.burst).await;
    }
}

impl Report {
    /// The table for people.
    pub fn table(&self, title: &str, memory: &str) -> String {
        let counts = &self.counts;
        let ms = |share| format!("{:.1} ms", counts.percentile(share).as_secs_f64() * 1000.0);
        table(
            title,
            &[
                ("duration", format!("{:.0} s", self.took.as_secs_f64())),
                ("requests", counts.requests.to_string()),
                ("sessions", self.sessions.to_string()),
                ("refreshes sent", self.provider.refreshes().to_string()),
                ("duplicate refreshes", self.provider.duplicate_refreshes().to_string()),
                ("refused refreshes", self.provider.token_errors("invalid_grant").to_string()),
                ("signed-out sessions", self.lost.to_string()),
                ("signed-out responses", listed(&counts.signed_out)),
                ("lost races: redirects, conflicts", format!("{}, {}", counts.redirects, counts.conflicts)),
                ("5xx", listed(&counts.server_errors)),
                ("broken connections", listed(&counts.broken)),
                ("anything else", listed(&counts.odd)),
                ("p50, p99", format!("{}, {}", ms(0.5), ms(0.99))),
                ("resident memory", memory.to_owned()),
            ],
        )
    }
}
