//! The long ones: `make soak` runs them, one after the other, and prints their figures. What is lost under strict reuse
//! detection is counted here and written down in docs/operations-measured.md.

use std::time::Duration;

use crate::affinity::ordinary_day;
use crate::cluster::{Cluster, Plan};
use crate::crowd::Pace;
use crate::departures::{Fault, live_through};
use crate::memory::growth;
use crate::round_robin::in_turn;

const VISITORS: usize = 200;
/// Nobody pauses for longer than tokens of [`LIFETIME`] are refreshed ahead of their end.
const BUSY: Pace = Pace { burst: 10, tabs: 1, every: Duration::from_millis(2500) };
const LIFETIME: u32 = 15;
/// Every burst finds an expired token of five seconds: the worst that can be.
const IDLE: Pace = Pace { burst: 10, tabs: 2, every: Duration::from_secs(8) };

/// `SOAK_SECONDS`, 120 by default.
fn duration() -> Duration {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(120))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn two_hundred_busy_sessions_outlive_a_rolling_restart_and_a_key_rotation() {
    let plan = Cluster::plan().provider(|provider| provider.access_token_ttl = LIFETIME);
    let report = ordinary_day(plan, VISITORS, BUSY, duration()).await;
    assert_eq!((report.lost, report.provider.duplicate_refreshes()), (0, 0));
}

/// Tokens that have expired when a session moves leave no time to wait for the other replica's cookie.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn what_a_rolling_restart_costs_sessions_whose_tokens_have_expired() {
    ordinary_day(Cluster::plan(), VISITORS, IDLE, duration()).await;
}

/// One fault, under strict reuse detection: the table says what it costs.
async fn costs(fault: Fault, plan: Plan) {
    live_through(fault, plan, VISITORS, IDLE, duration() / 3).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn what_restarts_at_a_slow_provider_cost_under_strict_reuse_detection() {
    costs(Fault::Restarts, Cluster::plan()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn what_killed_replicas_cost_under_strict_reuse_detection() {
    costs(Fault::Kills, Cluster::plan()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn what_scaling_costs_under_strict_reuse_detection() {
    costs(Fault::Scaling, Cluster::plan().replicas(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn what_vanishing_clients_cost_under_strict_reuse_detection() {
    costs(Fault::VanishingClients, Cluster::plan()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn what_round_robin_costs_under_strict_reuse_detection() {
    let cluster = Cluster::plan().round_robin().start().await;
    in_turn("Round robin, strict rotation", &cluster, VISITORS, IDLE, duration() / 3).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_hundred_thousand_sessions_take_no_more_memory_than_a_thousand() {
    let (first, last) = growth(1_000, 100_000).await;
    assert!(last * 10 <= first * 11, "{first} KiB became {last} KiB");
}
