//! The long ones: `make soak` runs them, one after the other, and prints their figures. What is lost under strict reuse
//! detection is counted here and written down in docs/operations-measured.md.

use std::time::Duration;

use crate::affinity::ordinary_day;
use crate::cluster::Cluster;
use crate::crowd::Pace;
use crate::departures::{Fault, live_through};
use crate::memory::growth;
use crate::round_robin::in_turn;

const PACE: Pace = Pace { burst: 10, tabs: 2, every: Duration::from_secs(8) };
const VISITORS: usize = 200;

/// `SOAK_SECONDS`, 120 by default.
fn duration() -> Duration {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(120))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn two_hundred_sessions_outlive_a_rolling_restart_and_a_key_rotation() {
    let report = ordinary_day(VISITORS, PACE, duration()).await;
    assert_eq!((report.lost, report.provider.duplicate_refreshes()), (0, 0));
}

/// The faults apart, under strict reuse detection: the table says what they cost.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn what_faults_cost_under_strict_reuse_detection() {
    for fault in [Fault::Kills, Fault::Scaling, Fault::VanishingClients] {
        live_through(fault, Cluster::plan(), VISITORS, PACE, duration() / 3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn what_round_robin_costs_under_strict_reuse_detection() {
    in_turn("Round robin, strict rotation", Cluster::plan(), VISITORS, PACE, duration() / 3).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_hundred_thousand_sessions_take_no_more_memory_than_a_thousand() {
    let (first, last) = growth(1_000, 100_000).await;
    assert!(last * 10 <= first * 11, "{first} KiB became {last} KiB");
}
