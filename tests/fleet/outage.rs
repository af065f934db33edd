//! What lies behind is down for a while: the sessions outlast it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::cluster::Cluster;
use crate::crowd::{Crowd, Pace};
use crate::support::wait::reach;
use crate::support::world::SESSION;
use crate::tally::{Counts, show};

const PACE: Pace = Pace { burst: 5, tabs: 1, every: Duration::from_secs(1) };

fn session_cookies(crowd: &Crowd) -> Vec<Option<String>> {
    crowd.visitors.iter().map(|visitor| visitor.browser.cookie(SESSION)).collect()
}

/// Complaint of peers' users: provider down means logged out. It comes back with other signing keys besides.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_for_two_lifetimes_costs_no_session_and_touches_no_cookie() {
    let lifetime = Duration::from_secs(4);
    let mut cluster = Cluster::plan().replicas(2).provider(|provider| provider.access_token_ttl = 4).start().await;
    let mut crowd = Crowd::sign_in(&cluster, 8).await;
    cluster.provider.go_down().await;
    let (before, down) = (session_cookies(&crowd), Instant::now());
    crowd.begin(PACE);
    reach(down + 2 * lifetime).await;
    assert_eq!(session_cookies(&crowd), before);
    let during = crowd.tally.counts();
    assert!(during.server_errors.contains_key("503 urn:sealgate:error:provider-unavailable"), "{during:?}");
    cluster.provider.come_back(|provider| provider.new_signing_key = true).await;
    reach(Instant::now() + lifetime).await;
    let report = crowd.end(&cluster).await;
    show(&report.table("Provider down for two lifetimes", &cluster.memory()));
    assert_eq!((report.lost, Counts::total(&report.counts.signed_out)), (0, 0));
    assert_eq!(report.provider.duplicate_refreshes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_down_for_a_lifetime_costs_no_session() {
    let mut cluster = Cluster::plan().replicas(2).provider(|provider| provider.access_token_ttl = 4).start().await;
    let mut crowd = Crowd::sign_in(&cluster, 8).await;
    cluster.upstream.go_down();
    let down = Instant::now();
    crowd.begin(PACE);
    reach(down + Duration::from_secs(6)).await;
    assert!(Counts::total(&crowd.tally.counts().server_errors) > 0, "{:?}", crowd.tally.counts());
    cluster.upstream.come_back().await;
    reach(Instant::now() + Duration::from_secs(2)).await;
    let replies = join_all(crowd.visitors.iter().map(|visitor| visitor.browser.get("/api/echo"))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:?}");
    let report = crowd.end(&cluster).await;
    show(&report.table("API down for a lifetime", &cluster.memory()));
    assert_eq!((report.lost, report.provider.duplicate_refreshes()), (0, 0));
}
