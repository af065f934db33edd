//! Replicas and clients that go without a word, each fault apart. Where the provider does not rotate refresh tokens, or
//! allows an overlap, nobody is lost. Under reuse detection a refresh whose result died with its replica, or which two
//! replicas made because a session moved in the middle of it, ends a session: those are counted by `make soak`.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;

use crate::cluster::{Cluster, Plan};
use crate::crowd::{Crowd, Pace, Report};
use crate::support::browser::client;
use crate::support::wait::reach;
use crate::support::{Browser, eventually};
use crate::tally::show;

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Every replica is replaced, three times, at a provider that takes a while for a refresh.
    Restarts,
    /// A replica is killed and comes back, each in turn, three times, at such a provider.
    Kills,
    /// Two replicas become five, and two again.
    Scaling,
    /// Browsers close their tabs while a refresh is on its way, and come back with what they had.
    VanishingClients,
}

/// How long a refresh takes at a slow provider.
const SLOW: Duration = Duration::from_millis(200);

async fn inflict(fault: Fault, cluster: &mut Cluster, crowd: &Crowd) {
    match fault {
        Fault::Restarts => {
            cluster.provider.delay(SLOW, &["token"]).await;
            for _ in 0..3 {
                cluster.rolling_restart().await;
            }
            cluster.provider.recover().await;
        }
        Fault::Kills => {
            cluster.provider.delay(SLOW, &["token"]).await;
            for round in 0..9 {
                cluster.kill(round % 3).await;
                cluster.settled().await;
                cluster.start(round % 3).await;
                reach(Instant::now() + Duration::from_secs(1)).await;
            }
            cluster.provider.recover().await;
        }
        Fault::Scaling => {
            for index in 2..5 {
                cluster.start(index).await;
            }
            for index in (2..5).rev() {
                cluster.stop(index).await;
                cluster.settled().await;
            }
        }
        Fault::VanishingClients => {
            // Each refresh takes longer than the patience of those who ask for it.
            cluster.provider.delay(SLOW, &["token"]).await;
            for _ in 0..10 {
                let leave = crowd.visitors.iter().map(|visitor| {
                    let refresh = visitor.browser.fetch(Method::POST, "/bff/refresh").try_send();
                    tokio::time::timeout(Duration::from_millis(100), refresh)
                });
                join_all(leave).await;
            }
            cluster.provider.recover().await;
        }
    }
}

/// Lets a crowd live through a fault.
pub async fn live_through(fault: Fault, plan: Plan, visitors: usize, pace: Pace, duration: Duration) -> Report {
    let mut cluster = plan.start().await;
    let mut crowd = Crowd::sign_in(&cluster, visitors).await;
    let end = Instant::now() + duration;
    crowd.begin(pace);
    inflict(fault, &mut cluster, &crowd).await;
    reach(end).await;
    let report = crowd.end(&cluster).await;
    show(&(report.table(&format!("{fault:?}"), &cluster.memory()) + &cluster.lost_sessions()));
    report
}

const PACE: Pace = Pace { burst: 6, tabs: 2, every: Duration::from_secs(3) };
const SHORT: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn killed_replicas_sign_nobody_out_where_the_provider_overlaps() {
    let plan = Cluster::plan().provider(|provider| provider.overlap = 10);
    assert_eq!(live_through(Fault::Kills, plan, 12, PACE, SHORT).await.lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_signs_nobody_out_where_refresh_tokens_are_not_rotated() {
    let plan = Cluster::plan().replicas(2).provider(|provider| provider.rotate_refresh_token = false);
    assert_eq!(live_through(Fault::Scaling, plan, 12, PACE, SHORT).await.lost, 0);
}

/// The flight goes on without its client, and its replica keeps what it brings.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_vanish_in_the_middle_of_a_refresh_are_not_signed_out_even_under_strict_rotation() {
    let report = live_through(Fault::VanishingClients, Cluster::plan(), 12, PACE, SHORT).await;
    assert_eq!((report.lost, report.provider.duplicate_refreshes()), (0, 0));
}

/// CVE-2026-48090: a client that is gone in the middle of the exchange.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_vanish_in_the_middle_of_a_callback_can_sign_in_again() {
    let cluster = Cluster::plan().start().await;
    let browser = Browser::one_of_many(&cluster.origin, client());
    let callback = browser.sign_in_up_to_callback("/bff/login").await;
    cluster.provider.hold(&["token"]).await;
    let request = browser.request(Method::GET, callback.as_str(), crate::support::browser::Context::ForeignLink);
    let gone = tokio::time::timeout(Duration::from_millis(500), request.try_send()).await;
    assert!(gone.is_err(), "the provider holds the exchange, and the client lost patience");
    cluster.provider.recover().await;
    eventually("the code to be spent", Duration::from_secs(20), async || {
        (cluster.provider.stats().await.redemptions() == 1).then_some(())
    })
    .await;
    let again = browser.arrive_from_elsewhere(callback.as_str()).await;
    assert!(!again.status.is_server_error(), "{} {}", again.status, again.body);
    browser.sign_in().await;
    assert_eq!(browser.user().await["sub"], "ada");
}
