//! How connections to upstreams are made, kept, and given up.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::harness::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const POST: &str = "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";

/// An upstream that answers the first request of each connection, and closes the connection on the second.
async fn forgetful() -> Upstream {
    Upstream::scripted(|_, mut peer| async move {
        peer.request().await;
        peer.send(OK).await;
        peer.request().await;
    })
    .await
}

#[test]
fn one_connection_serves_many_requests() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let front = Front::to(&upstream);
        for request in [GET, POST, GET, "HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"] {
            // The script answers HEAD with a body too; that connection ends there.
            assert_eq!(status(&front.exchange(request).await), 200);
        }
        assert_eq!((upstream.connections(), upstream.requests().len()), (1, 4));
    });
}

#[test]
fn chunked_responses_give_their_connection_back() {
    run(async {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        let upstream = Upstream::answering(answer).await;
        let front = Front::to(&upstream);
        for _ in 0..3 {
            assert_eq!(status(&front.exchange(GET).await), 200);
        }
        assert_eq!(upstream.connections(), 1);
    });
}

#[test]
fn a_connection_that_the_upstream_wants_closed_is_not_used_again() {
    run(async {
        let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
        let front = Front::to(&upstream);
        for _ in 0..3 {
            assert_eq!(status(&front.exchange(POST).await), 200);
        }
        assert_eq!(upstream.connections(), 3);
    });
}

/// RFC 9110 §9.2.2, RFC 9112 §9.3.1
#[test]
fn a_get_on_a_stale_connection_is_sent_once_more_on_a_new_one() {
    run(async {
        let upstream = forgetful().await;
        let front = Front::to(&upstream);
        assert_eq!(status(&front.exchange(GET).await), 200);
        assert_eq!(status(&front.exchange(GET).await), 200);
        assert_eq!((upstream.connections(), upstream.requests().len()), (2, 3));
    });
}

/// RFC 9110 §9.2.2: a proxy must not repeat what is not idempotent.
#[test]
fn a_post_on_a_stale_connection_is_not_sent_again() {
    run(async {
        let upstream = forgetful().await;
        let front = Front::to(&upstream);
        assert_eq!(status(&front.exchange(GET).await), 200);
        let answer = front.exchange(POST).await;
        assert_eq!((status(&answer), body(&answer)), (502, "upstream-failed"));
        assert_eq!((upstream.connections(), upstream.requests().len()), (1, 2));
        let bare = "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(status(&front.exchange(GET).await), 200);
        assert_eq!(status(&front.exchange(bare).await), 502);
    });
}

/// A body is gone once it has been read, even if the method is idempotent.
#[test]
fn a_put_with_a_body_is_not_sent_again() {
    run(async {
        let upstream = forgetful().await;
        let front = Front::to(&upstream);
        assert_eq!(status(&front.exchange(GET).await), 200);
        assert_eq!(status(&front.exchange(POST.replace("POST", "PUT")).await), 502);
        assert_eq!(upstream.connections(), 1);
    });
}

/// RFC 9110 §9.2.1: a repeated DELETE would answer 404 to a deletion that worked.
#[test]
fn what_is_idempotent_but_not_safe_is_not_sent_again() {
    run(async {
        for method in ["DELETE", "PUT"] {
            let upstream = forgetful().await;
            let front = Front::to(&upstream);
            assert_eq!(status(&front.exchange(GET).await), 200);
            assert_eq!(status(&front.exchange(GET.replace("GET", method)).await), 502, "{method}");
            assert_eq!(upstream.connections(), 1);
        }
    });
}

#[test]
fn a_new_connection_that_fails_is_not_tried_again() {
    run(async {
        let upstream = Upstream::scripted(|_, mut peer| async move {
            peer.request().await;
        })
        .await;
        let answer = Front::to(&upstream).exchange(GET).await;
        assert_eq!((status(&answer), upstream.connections()), (502, 1));
    });
}

/// A connection that was closed while it was idle costs nobody anything, whatever the method.
#[test]
fn an_idle_connection_that_was_closed_is_replaced_for_a_post_too() {
    run(async {
        let upstream = Upstream::scripted(|_, mut peer| async move {
            peer.request().await;
            peer.send(OK).await;
        })
        .await;
        let front = Front::to(&upstream);
        for _ in 0..5 {
            let mut client = front.connect().await;
            client.write_all(POST.as_bytes()).await.expect("the front reads");
            assert_eq!(status(&read_to_end(&mut client).await), 200);
            // The worker learns of the end of its idle connection when it next looks at its sockets: give it a request
            // of another kind to do so.
            assert_eq!(status(&front.get("//", "").await), 400);
        }
        assert_eq!(upstream.connections(), 5);
    });
}

#[test]
fn an_upstream_that_is_not_there_is_a_bad_gateway() {
    run(async {
        let front = Front::start(vec![route("/", &[&dead_uri()])], false);
        let answer = front.exchange(POST).await;
        assert_eq!((status(&answer), body(&answer)), (502, "upstream-unreachable"));
        let front = Front::start(vec![route("/", &["http://does-not-exist.invalid"])], false);
        assert_eq!(status(&front.exchange(GET).await), 502);
    });
}

#[test]
fn another_upstream_takes_over_for_one_that_is_not_there() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let front = Front::start(vec![route("/", &[&dead_uri(), &upstream.uri, &dead_uri()])], false);
        for _ in 0..6 {
            assert_eq!(status(&front.exchange(POST).await), 200);
        }
        assert_eq!(upstream.requests().len(), 6);
    });
}

#[test]
fn upstreams_take_turns() {
    run(async {
        let (one, two) = (Upstream::answering(OK).await, Upstream::answering(OK).await);
        let front = Front::start(vec![route("/", &[&one.uri, &two.uri])], false);
        for _ in 0..6 {
            assert_eq!(status(&front.exchange(GET).await), 200);
        }
        assert_eq!((one.requests().len(), two.requests().len()), (3, 3));
    });
}

#[test]
fn an_upstream_that_does_not_speak_tls_is_a_bad_gateway() {
    run(async {
        let upstream = Upstream::scripted(|_, mut peer| async move {
            peer.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        })
        .await;
        let front = Front::start(vec![route("/", &[&upstream.uri.replace("http:", "https:")])], false);
        let answer = front.exchange(GET).await;
        assert_eq!((status(&answer), body(&answer)), (502, "upstream-unreachable"));
    });
}

#[test]
fn a_silent_upstream_times_out() {
    run(async {
        let upstream = Upstream::scripted(|_, mut peer| async move {
            peer.request().await;
            peer.closed().await;
        })
        .await;
        let mut settings = route("/", &[&upstream.uri]);
        settings.timeouts.first_byte = Duration::from_millis(50);
        let front = Front::start(vec![settings], false);
        for request in [GET, POST] {
            let answer = front.exchange(request).await;
            assert_eq!((status(&answer), body(&answer)), (504, "upstream-timeout"));
        }
    });
}

#[test]
fn a_response_that_stops_midway_is_cut_off() {
    run(async {
        let upstream = Upstream::scripted(|_, mut peer| async move {
            peer.request().await;
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
            peer.closed().await;
        })
        .await;
        let mut settings = route("/", &[&upstream.uri]);
        settings.timeouts.idle = Duration::from_millis(50);
        let answer = Front::start(vec![settings], false).exchange(GET).await;
        assert!(answer.contains("half") && !answer.ends_with("0\r\n\r\n"), "{answer}");
    });
}

#[test]
fn a_client_that_stops_midway_is_told_so() {
    run(async {
        let upstream = Upstream::scripted(|_, mut peer| async move {
            peer.closed().await;
        })
        .await;
        let mut settings = route("/", &[&upstream.uri]);
        settings.timeouts.idle = Duration::from_millis(50);
        let front = Front::start(vec![settings], false);
        let mut client = front.connect().await;
        client.write_all(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await.expect("it reads");
        let answer = read_response(&mut client).await;
        assert_eq!((status(&answer), body(&answer)), (408, "request-body-too-slow"));
    });
}

/// CVE-2026-48090: client gone mid-exchange
#[test]
fn a_client_that_leaves_takes_the_upstream_connection_with_it() {
    run(async {
        let (seen, arrived) = oneshot::channel();
        let (ended, gone) = oneshot::channel();
        let signals = std::cell::RefCell::new(Some((seen, ended)));
        let upstream = Upstream::scripted(move |_, mut peer| {
            let signals = signals.take();
            async move {
                let (seen, ended) = signals.expect("one connection");
                peer.request().await;
                seen.send(()).expect("the test waits");
                peer.closed().await;
                ended.send(()).expect("the test waits");
            }
        })
        .await;
        let front = Front::to(&upstream);
        let mut client = front.connect().await;
        client.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("it reads");
        arrived.await.expect("the request arrives");
        drop(client);
        gone.await.expect("the upstream connection ends");
    });
}

/// An upstream that makes events, or takes an upload, for nobody is told at once, and not when it next writes.
#[test]
fn a_client_that_leaves_in_the_middle_of_a_body_takes_the_upstream_connection_with_it() {
    for request in [
        "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
    ] {
        run(async {
            let (ended, gone) = oneshot::channel();
            let ended = std::cell::RefCell::new(Some(ended));
            let upstream = Upstream::scripted(move |_, mut peer| {
                let ended = ended.take();
                async move {
                    peer.head().await;
                    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
                    peer.closed().await;
                    ended.expect("one connection").send(()).expect("the test waits");
                }
            })
            .await;
            let mut client = Front::to(&upstream).connect().await;
            client.write_all(request.as_bytes()).await.expect("it reads");
            let mut answer = Vec::new();
            while !answer.ends_with(b"half\r\n") {
                assert_ne!(client.read_buf(&mut answer).await.expect("readable"), 0);
            }
            let left = Instant::now();
            drop(client);
            gone.await.expect("the upstream connection ends");
            assert!(left.elapsed() < Duration::from_secs(5), "sooner than by the idle time");
        });
    }
}

/// The answer counts, and the rest of the request has nowhere to go.
#[test]
fn an_early_answer_is_passed_on_and_the_connection_given_up() {
    run(async {
        let (ended, gone) = oneshot::channel();
        let ended = std::cell::RefCell::new(Some(ended));
        let upstream = Upstream::scripted(move |_, mut peer| {
            let ended = ended.take();
            async move {
                peer.head().await;
                peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
                peer.closed().await;
                ended.expect("one connection").send(()).expect("the test waits");
            }
        })
        .await;
        let front = Front::to(&upstream);
        let mut client = front.connect().await;
        client
            .write_all(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\npart")
            .await
            .expect("it reads");
        let answer = read_response(&mut client).await;
        assert_eq!((status(&answer), body(&answer)), (413, "big"));
        gone.await.expect("the upstream connection ends");
    });
}

/// RFC 9110 §15.2: there may be any number of them, but not for ever.
#[test]
fn an_upstream_that_only_ever_says_wait_times_out() {
    run(async {
        let (ended, gone) = oneshot::channel();
        let ended = std::cell::RefCell::new(Some(ended));
        let upstream = Upstream::scripted(move |_, mut peer| {
            let ended = ended.take();
            async move {
                peer.request().await;
                let hints = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(100);
                while peer.stream.write_all(hints.as_bytes()).await.is_ok() {}
                ended.expect("one connection").send(()).expect("the test waits");
            }
        })
        .await;
        let mut settings = route("/", &[&upstream.uri]);
        settings.timeouts.first_byte = Duration::from_millis(300);
        let answer = Front::start(vec![settings], false).exchange(GET).await;
        assert_eq!((status(&answer), body(&answer)), (504, "upstream-timeout"));
        gone.await.expect("the upstream connection ends");
    });
}

/// A body that breaks off must not look whole to the upstream.
#[test]
fn a_broken_request_body_is_not_ended_cleanly() {
    run(async {
        let (ended, gone) = oneshot::channel();
        let ended = std::cell::RefCell::new(Some(ended));
        let upstream = Upstream::scripted(move |_, mut peer| {
            let ended = ended.take();
            async move {
                assert!(peer.request().await.is_none(), "the body looked whole");
                ended.expect("one connection").send(()).expect("the test waits");
            }
        })
        .await;
        let front = Front::to(&upstream);
        let request = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n";
        front.exchange(request).await;
        gone.await.expect("the upstream connection ends");
    });
}
