//! With affinity, strict rotation with reuse detection loses nobody: not to bursts, a rolling restart, a rotation of
//! the keys, nor to replicas that come and go.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::crowd::{Crowd, Pace, Report};
use crate::support::wait::reach;
use crate::tally::show;

/// Deployments, keys and clients, all at once: what an ordinary day brings.
pub async fn ordinary_day(visitors: usize, pace: Pace, duration: Duration) -> Report {
    let mut cluster = Cluster::plan().start().await;
    let mut crowd = Crowd::sign_in(&cluster, visitors).await;
    let before = cluster.memory();
    let end = tokio::time::Instant::now() + duration;
    crowd.begin(pace);
    cluster.rotate_keys().await;
    cluster.rolling_restart().await;
    reach(end.into_std()).await;
    let report = crowd.end(&cluster).await;
    let memory = format!("{before} at first, {} at the end", cluster.memory());
    show(&report.table("An ordinary day: affinity, strict rotation", &memory));
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_and_a_key_rotation_under_bursts_sign_nobody_out() {
    let pace = Pace { burst: 10, tabs: 2, every: Duration::from_secs(3) };
    let report = ordinary_day(30, pace, Duration::from_secs(20)).await;
    assert_eq!(report.lost, 0);
    assert_eq!(report.provider.duplicate_refreshes(), 0);
}
