//! How many requests an upstream gets at once, and what becomes of the others.

use std::time::{Duration, Instant};

use actix_web::rt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::broadcast;

use super::harness::*;
use super::upgrade::{SWITCHING, tunnel};
use crate::proxy::ConnectionLimits;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// An upstream that answers each request once it is told to.
async fn patient() -> (Upstream, broadcast::Sender<()>) {
    let (go, _) = broadcast::channel(16);
    let sender = go.clone();
    let upstream = Upstream::scripted(move |_, mut peer| {
        let sender = sender.clone();
        async move {
            loop {
                let mut told = sender.subscribe();
                if peer.request().await.is_none() {
                    return;
                }
                told.recv().await.expect("the test goes on");
                peer.send(OK).await;
            }
        }
    })
    .await;
    (upstream, go)
}

fn limited(upstream: &Upstream, max_connections: usize, max_waiting: usize, patience: Duration) -> Front {
    let mut settings = route("/", &[&upstream.uri]);
    settings.timeouts.connect = patience;
    let keep_alive = Duration::from_secs(50);
    settings.upstream_settings.limits = ConnectionLimits { max_connections, max_waiting, keep_alive };
    Front::start(vec![settings], false)
}

/// Sends a GET and leaves its answer for later.
async fn begin(front: &Front) -> TcpStream {
    let mut client = front.connect().await;
    client.write_all(GET.as_bytes()).await.expect("the front reads");
    client
}

async fn arrived(upstream: &Upstream, count: usize) {
    while upstream.requests().len() < count {
        rt::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn a_request_beyond_the_limit_waits_for_its_turn() {
    run(async {
        let (upstream, go) = patient().await;
        let front = limited(&upstream, 1, 10, Duration::from_secs(15));
        let mut first = begin(&front).await;
        arrived(&upstream, 1).await;
        let mut second = begin(&front).await;
        go.send(()).expect("the upstream listens");
        assert_eq!(status(&read_to_end(&mut first).await), 200);
        arrived(&upstream, 2).await;
        go.send(()).expect("the upstream listens");
        assert_eq!(status(&read_to_end(&mut second).await), 200);
        assert_eq!(upstream.connections(), 1, "the second had the first one's connection");
    });
}

#[test]
fn a_request_that_may_not_wait_is_told_so_at_once() {
    run(async {
        let (upstream, go) = patient().await;
        let front = limited(&upstream, 1, 0, Duration::from_secs(15));
        let mut first = begin(&front).await;
        arrived(&upstream, 1).await;
        let begun = Instant::now();
        let refused = front.exchange(GET).await;
        assert_eq!((status(&refused), body(&refused)), (503, "upstream-busy"));
        assert!(begun.elapsed() < Duration::from_secs(10));
        go.send(()).expect("the upstream listens");
        assert_eq!(status(&read_to_end(&mut first).await), 200);
        assert_eq!(upstream.requests().len(), 1);
    });
}

#[test]
fn waiting_ends_with_the_time_for_connecting() {
    run(async {
        let (upstream, _go) = patient().await;
        let front = limited(&upstream, 1, 10, Duration::from_millis(100));
        let _first = begin(&front).await;
        arrived(&upstream, 1).await;
        let refused = front.exchange(GET).await;
        assert_eq!((status(&refused), body(&refused)), (503, "upstream-busy"));
    });
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    run(async {
        let (upstream, go) = patient().await;
        let front = limited(&upstream, 1, 10, Duration::from_secs(15));
        let first = begin(&front).await;
        arrived(&upstream, 1).await;
        let mut second = begin(&front).await;
        drop(first);
        arrived(&upstream, 2).await;
        // Told as often as it takes: the upstream may still be about to listen.
        let telling = rt::spawn(async move {
            loop {
                let _ = go.send(());
                rt::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert_eq!(status(&read_to_end(&mut second).await), 200);
        telling.abort();
    });
}

#[test]
fn a_websocket_keeps_its_place_as_long_as_it_is_open() {
    run(async {
        let upstream = Upstream::scripted(|number, mut peer| async move {
            while peer.request().await.is_some() {
                peer.send(if number == 0 { SWITCHING } else { OK }).await;
                if number == 0 {
                    peer.closed().await;
                }
            }
        })
        .await;
        let front = limited(&upstream, 1, 0, Duration::from_secs(15));
        let socket = tunnel(&front).await;
        assert_eq!(status(&front.exchange(GET).await), 503);
        drop(socket);
        let begun = Instant::now();
        while status(&front.exchange(GET).await) != 200 {
            assert!(begun.elapsed() < Duration::from_secs(15), "the place never became free");
        }
    });
}

#[test]
fn an_upstream_with_room_takes_what_another_has_none_for() {
    run(async {
        let ((slow, _go), quick) = (patient().await, Upstream::answering(OK).await);
        let mut settings = route("/", &[&slow.uri, &quick.uri]);
        settings.upstream_settings.limits.max_connections = 1;
        let front = Front::start(vec![settings], false);
        let _first = begin(&front).await;
        arrived(&slow, 1).await;
        for _ in 0..4 {
            assert_eq!(status(&front.exchange(GET).await), 200);
        }
        assert_eq!((slow.requests().len(), quick.requests().len()), (1, 4));
    });
}

#[test]
fn a_connection_is_not_kept_beyond_its_time() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let mut settings = route("/", &[&upstream.uri]);
        settings.upstream_settings.limits.keep_alive = Duration::from_nanos(1);
        let front = Front::start(vec![settings], false);
        for _ in 0..3 {
            assert_eq!(status(&front.exchange(GET).await), 200);
        }
        assert_eq!(upstream.connections(), 3);
    });
}
