//! Replicas whose clocks differ, and clients that are slow: neither signs anybody out.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cluster::Cluster;
use crate::crowd::Pace;
use crate::round_robin::in_turn;
use crate::support::browser::{Context, client};
use crate::support::ports::loopback;
use crate::support::wait::reach;
use crate::support::world::SESSION;
use crate::support::{Browser, Sealgate, eventually};

/// The time that a replica has.
async fn date(replica: &Sealgate) -> Timestamp {
    let reply = replica.get_with_cookies("/bff/user", "").await;
    let date = reply.header("date").concat();
    rfc2822::parse(&date).unwrap_or_else(|error| panic!("{error} in {date:?}")).timestamp()
}

/// Complaint of peers' users: clock skew.
#[tokio::test(flavor = "multi_thread")]
async fn clock_skew_between_replicas_signs_nobody_out() {
    let plan = Cluster::plan().round_robin().clocks(&["", "+2s", "-2s"]);
    let cluster = plan.provider(|provider| provider.rotate_refresh_token = false).start().await;
    let (fast, slow) = (date(cluster.replica(1)).await, date(cluster.replica(2)).await);
    assert!(fast.duration_since(slow).as_secs() >= 3, "their clocks are apart: {fast}, {slow}");
    let pace = Pace { burst: 6, tabs: 1, every: Duration::from_secs(2) };
    let report = in_turn("Clocks two seconds fast and slow", &cluster, 12, pace, Duration::from_secs(10)).await;
    assert_eq!(report.lost, 0);
}

/// The head of a request may take seconds to arrive; its cookies are as old as that.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_whose_cookie_was_overtaken_twice_is_served_and_starts_no_refresh() {
    let cluster = Cluster::plan().start().await;
    let browser = Browser::one_of_many(&cluster.origin, client());
    browser.sign_in().await;
    let origin = cluster.origin.parse().expect("a URL");
    let cookies = browser.cookies().line(&origin, &Context::Fetch).expect("signed in");
    let port = origin.port().expect("a port");
    let mut slow = TcpStream::connect(loopback(port)).await.expect("the balancer listens");
    let head = format!(
        "GET /api/echo HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nX-CSRF: 1\r\n\
         Sec-Fetch-Site: same-origin\r\nCookie: {cookies}\r\n\r\n"
    );
    let (first, last) = head.split_at(head.len() - 10);
    slow.write_all(first.as_bytes()).await.expect("the balancer reads");
    let lifetime = Duration::from_secs(5);
    for _ in 0..2 {
        let shown = browser.cookie(SESSION);
        reach(Instant::now() + lifetime).await;
        assert!(browser.get("/api/echo").await.status.is_success());
        assert_ne!(browser.cookie(SESSION), shown, "the session was refreshed");
    }
    let refreshes = cluster.provider.stats().await.refreshes();
    slow.write_all(last.as_bytes()).await.expect("the balancer reads");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.expect("text");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let stats = cluster.provider.stats().await;
    assert_eq!((stats.refreshes(), stats.duplicate_refreshes()), (refreshes, 0));
    eventually("the newest session to go on", Duration::from_secs(20), async || {
        browser.post("/bff/refresh").await.status.is_success().then_some(())
    })
    .await;
}
