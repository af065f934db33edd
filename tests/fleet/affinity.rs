//! With affinity, strict rotation with reuse detection loses nobody: not to bursts, nor to a rolling restart, nor to a
//! rotation of the keys.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Plan};
use crate::crowd::{Crowd, Pace, Report};
use crate::support::wait::reach;
use crate::tally::show;

/// Deployments, keys and clients, all at once: what an ordinary day brings.
pub async fn ordinary_day(plan: Plan, visitors: usize, pace: Pace, duration: Duration) -> Report {
    let mut cluster = plan.start().await;
    let mut crowd = Crowd::sign_in(&cluster, visitors).await;
    let (before, end) = (cluster.memory(), Instant::now() + duration);
    crowd.begin(pace);
    cluster.rotate_keys().await;
    cluster.rolling_restart().await;
    reach(end).await;
    let report = crowd.end(&cluster).await;
    let memory = format!("{before} at first, {} at the end", cluster.memory());
    show(&(report.table("An ordinary day: affinity, strict rotation", &memory) + &cluster.lost_sessions()));
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_and_a_key_rotation_under_bursts_sign_nobody_out() {
    // Nobody pauses for longer than tokens are refreshed ahead of their end.
    let plan = Cluster::plan().provider(|provider| provider.access_token_ttl = 8);
    let pace = Pace { burst: 10, tabs: 1, every: Duration::from_secs(1) };
    let report = ordinary_day(plan, 30, pace, Duration::from_secs(20)).await;
    assert_eq!((report.lost, report.provider.duplicate_refreshes()), (0, 0));
}
