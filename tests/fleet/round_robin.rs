//! Without affinity, correctness rests on the provider: with an overlap, or without rotation, nobody is signed out.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::crowd::{Crowd, Pace, Report};
use crate::support::wait::reach;
use crate::tally::show;

/// Lets a crowd use replicas in turn.
pub async fn in_turn(title: &str, cluster: &Cluster, visitors: usize, pace: Pace, duration: Duration) -> Report {
    let mut crowd = Crowd::sign_in(cluster, visitors).await;
    let end = std::time::Instant::now() + duration;
    crowd.begin(pace);
    reach(end).await;
    let report = crowd.end(cluster).await;
    show(&report.table(title, &cluster.memory()));
    report
}

const PACE: Pace = Pace { burst: 6, tabs: 1, every: Duration::from_secs(2) };
const SHORT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_signs_nobody_out_where_the_provider_overlaps() {
    let cluster = Cluster::plan().round_robin().provider(|provider| provider.overlap = 10).start().await;
    let report = in_turn("Round robin, rotation with overlap", &cluster, 12, PACE, SHORT).await;
    assert_eq!(report.lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_signs_nobody_out_where_refresh_tokens_are_not_rotated() {
    let plan = Cluster::plan().round_robin().provider(|provider| provider.rotate_refresh_token = false);
    let report = in_turn("Round robin, no rotation", &plan.start().await, 12, PACE, SHORT).await;
    assert_eq!(report.lost, 0);
}
