//! Upstreams that fail: how they are left out, and come back.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::harness::*;
use crate::proxy::{EjectionSettings, HealthSettings, RouteSettings};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const LONG: Duration = Duration::from_secs(3600);

/// An upstream that answers with the status in the cell, or not at all when that is 0.
async fn changeable(first: u16) -> (Upstream, Rc<Cell<u16>>) {
    let now = Rc::new(Cell::new(first));
    let shared = Rc::clone(&now);
    let upstream = Upstream::scripted(move |_, mut peer| {
        let now = Rc::clone(&shared);
        async move {
            while peer.request().await.is_some() && now.get() != 0 {
                peer.send(format!("HTTP/1.1 {} Status\r\nContent-Length: 2\r\n\r\nok", now.get())).await;
            }
        }
    })
    .await;
    (upstream, now)
}

fn ejecting(upstreams: &[&str], after: u32, duration: Duration) -> RouteSettings {
    let mut settings = route("/", upstreams);
    settings.upstream_settings.ejection = EjectionSettings { after, duration };
    settings
}

/// Sends so many requests, and gives how many were answered with that status.
async fn answered(front: &Front, requests: usize, with: u16) -> usize {
    let mut count = 0;
    for _ in 0..requests {
        count += usize::from(status(&front.exchange(GET).await) == with);
    }
    count
}

#[test]
fn an_upstream_that_answers_503_is_left_out_after_so_many_in_a_row() {
    run(async {
        let ((bad, _), good) = (changeable(503).await, Upstream::answering(OK).await);
        let front = Front::start(vec![ejecting(&[&bad.uri, &good.uri], 3, LONG)], false);
        assert_eq!(answered(&front, 20, 503).await, 3);
        assert_eq!((bad.requests().len(), good.requests().len()), (3, 17));
        let metrics = front.metrics.render();
        let labels = format!("{{route=\"/\",upstream=\"{}\"}}", bad.uri);
        assert!(metrics.contains(&format!("sealgate_upstream_ejections_total{labels} 1")), "{metrics}");
        assert!(metrics.contains(&format!("sealgate_upstream_available{labels} 0")), "{metrics}");
    });
}

#[test]
fn an_upstream_that_breaks_off_or_is_silent_is_left_out_too() {
    run(async {
        let ((broken, _), good) = (changeable(0).await, Upstream::answering(OK).await);
        let silent = Upstream::scripted(|_, mut peer| async move {
            peer.closed().await;
        })
        .await;
        let mut settings = ejecting(&[&broken.uri, &silent.uri, &good.uri], 2, LONG);
        settings.timeouts.first_byte = Duration::from_millis(200);
        let front = Front::start(vec![settings], false);
        assert_eq!(answered(&front, 20, 200).await, 16);
        assert_eq!(broken.requests().len(), 2);
    });
}

#[test]
fn where_nobody_listens_is_left_out_without_anybody_noticing() {
    run(async {
        let good = Upstream::answering(OK).await;
        let dead = dead_uri();
        let front = Front::start(vec![ejecting(&[&dead, &good.uri], 1, LONG)], false);
        assert_eq!(answered(&front, 10, 200).await, 10);
        let metrics = front.metrics.render();
        assert!(metrics.contains(&format!("upstream_available{{route=\"/\",upstream=\"{dead}\"}} 0")), "{metrics}");
    });
}

#[test]
fn an_upstream_that_is_well_again_comes_back_after_its_time() {
    run(async {
        let ((first, now), second) = (changeable(502).await, Upstream::answering(OK).await);
        let front = Front::start(vec![ejecting(&[&first.uri, &second.uri], 1, Duration::from_millis(300))], false);
        assert_eq!(answered(&front, 2, 502).await, 1);
        now.set(200);
        let (seen, begun) = (first.requests().len(), Instant::now());
        while first.requests().len() == seen {
            assert!(begun.elapsed() < Duration::from_secs(15), "it never comes back");
            assert_eq!(status(&front.exchange(GET).await), 200);
        }
        let metrics = front.metrics.render();
        assert!(!metrics.contains("upstream_available{route=\"/\",upstream=\"http://127.0.0.1\"} 0"), "{metrics}");
    });
}

#[test]
fn where_all_are_left_out_all_are_tried_nevertheless() {
    run(async {
        let ((one, now), (two, _)) = (changeable(503).await, changeable(503).await);
        let front = Front::start(vec![ejecting(&[&one.uri, &two.uri], 1, LONG)], false);
        assert_eq!(answered(&front, 4, 503).await, 4);
        now.set(200);
        assert!(answered(&front, 4, 200).await >= 2);
        assert_eq!(answered(&front, 4, 200).await, 4, "the one that answers is the only one that is well");
    });
}

/// What a client does to itself is not the upstream's fault.
#[test]
fn a_client_that_is_too_slow_ejects_nobody() {
    run(async {
        let upstream = Upstream::scripted(|_, mut peer| async move {
            peer.closed().await;
        })
        .await;
        let mut settings = ejecting(&[&upstream.uri], 1, LONG);
        settings.timeouts.idle = Duration::from_millis(50);
        let front = Front::start(vec![settings], false);
        let answer = {
            let mut client = front.connect().await;
            let begun = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
            tokio::io::AsyncWriteExt::write_all(&mut client, begun).await.expect("it reads");
            read_response(&mut client).await
        };
        assert_eq!(status(&answer), 408);
        assert!(front.metrics.render().contains("} 1\n"), "{}", front.metrics.render());
    });
}

#[test]
fn an_upstream_that_fails_its_checks_is_left_out_until_it_passes_them() {
    run(async {
        let ((first, now), second) = (changeable(500).await, Upstream::answering(OK).await);
        let mut settings = route("/", &[&first.uri, &second.uri]);
        settings.upstream_settings.health = Some(HealthSettings {
            path: "/health?full=1".parse().expect("a path"),
            interval: Duration::from_millis(10),
            timeout: Duration::from_secs(5),
            failures: 2,
            successes: 2,
        });
        let front = Front::start(vec![settings], false);
        let labels = format!("{{route=\"/\",upstream=\"{}\"}}", first.uri);
        let available = |value: u8| format!("sealgate_upstream_available{labels} {value}\n");
        let becomes = async |value: u8| {
            let begun = Instant::now();
            while !front.metrics.render().contains(&available(value)) {
                assert!(begun.elapsed() < Duration::from_secs(15), "{}", front.metrics.render());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        becomes(0).await;
        let check = first.requests()[0].clone();
        assert!(check.starts_with("GET /health?full=1 HTTP/1.1\r\n"), "{check}");
        assert!(!check.to_lowercase().contains("authorization"), "{check}");
        // A 500 would arrive if a request came there.
        assert_eq!(answered(&front, 6, 200).await, 6);
        now.set(204);
        becomes(1).await;
        now.set(200);
        assert_eq!(answered(&front, 6, 200).await, 6);
        assert!(first.requests().iter().any(|request| request.starts_with("GET /x ")));
    });
}
