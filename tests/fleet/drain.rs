//! A replica that is told to stop hands its sessions over: it is not ready first, goes on answering while the balancer
//! moves the sessions, and finishes its flights.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::crowd::{Crowd, Pace};
use crate::support::wait::reach;
use crate::tally::show;

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_drains_fails_no_request_and_loses_no_flight() {
    let mut cluster = Cluster::plan().provider(|provider| provider.overlap = 10).start().await;
    let mut crowd = Crowd::sign_in(&cluster, 12).await;
    // There is always a flight in the air when it is told to stop.
    cluster.provider.delay(Duration::from_millis(300), &["token"]).await;
    crowd.begin(Pace { burst: 5, tabs: 2, every: Duration::from_secs(1) });
    reach(Instant::now() + Duration::from_secs(4)).await;
    cluster.stop(1).await;
    assert_eq!(cluster.balancer.in_use().await, Some(vec![0, 2]));
    reach(Instant::now() + Duration::from_secs(2)).await;
    let report = crowd.end(&cluster).await;
    show(&report.table("A replica drains", &cluster.memory()));
    let counts = &report.counts;
    assert_eq!(report.lost, 0);
    assert!(counts.server_errors.is_empty() && counts.broken.is_empty() && counts.odd.is_empty(), "{counts:?}");
}
