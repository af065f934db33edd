//! What reaches the client.

use super::harness::*;

/// What the client gets for a GET when the upstream sends `answer` and closes.
async fn got_of(answer: &'static str) -> String {
    got_for("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", answer).await
}

async fn got_for(request: &str, answer: &'static str) -> String {
    let upstream = Upstream::scripted(move |_, mut peer| async move {
        peer.request().await;
        peer.send(answer).await;
    })
    .await;
    Front::to(&upstream).exchange(request).await
}

#[test]
fn status_reason_and_repeated_fields_come_back_as_they_are() {
    run(async {
        let got = got_of(
            "HTTP/1.1 404 Nothing Here\r\nSet-Cookie: a=1\r\nLink: </a>\r\nSet-Cookie: b=2; Path=/\r\nLink: </b>, </c>\r\n\
             Content-Encoding: gzip\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: x\r\nContent-Length: 4\r\n\r\nbody",
        )
        .await;
        assert!(got.starts_with("HTTP/1.1 404 Nothing Here\r\n"), "{got}");
        assert_eq!(fields(&got, "set-cookie"), ["a=1", "b=2; Path=/"]);
        assert_eq!(fields(&got, "link"), ["</a>", "</b>, </c>"]);
        assert_eq!(fields(&got, "content-encoding"), ["gzip"]);
        assert_eq!(fields(&got, "date"), ["Thu, 01 Jan 1970 00:00:00 GMT"]);
        assert_eq!(fields(&got, "server"), ["x"]);
        assert_eq!(fields(&got, "content-length"), ["4"]);
        assert_eq!(fields(&got, "via"), [VIA]);
        assert_eq!(body(&got), "body");
    });
}

#[test]
fn statuses_without_a_name_come_back() {
    run(async {
        assert!(got_of("HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n").await.starts_with("HTTP/1.1 299 \r\n"));
        assert!(got_of("HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n").await.starts_with("HTTP/1.1 599 Odd\r\n"));
    });
}

/// DESIGN §7; RFC 6265bis §5.6
#[test]
fn an_upstream_cannot_set_our_cookies() {
    run(async {
        let got = got_of(
            "HTTP/1.1 200 OK\r\nSet-Cookie: __Host-sealgate=x; Path=/; Secure\r\nSet-Cookie: __Host-sealgate.1=x\r\n\
             Set-Cookie: sealgate=x\r\nSet-Cookie:  sealgate-seen = x\r\nSet-Cookie: sealgate_affinity=x\r\n\
             Set-Cookie: =sealgate=x\r\nSet-Cookie: sealgate\r\nSet-Cookie: sealgates=x\r\nSet-Cookie: theme=sealgate\r\n\
             Content-Length: 0\r\n\r\n",
        )
        .await;
        assert_eq!(fields(&got, "set-cookie"), ["sealgates=x", "theme=sealgate"]);
    });
}

/// RFC 9110 §7.6.1
#[test]
fn hop_by_hop_fields_of_responses_stay_here() {
    run(async {
        let got = got_of(
            "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n\
             Proxy-Authenticate: Basic\r\nTrailer: X-T\r\nVia: 1.0 fred\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
        for gone in ["x-hop", "keep-alive", "upgrade", "proxy-authenticate", "trailer"] {
            assert_eq!(field(&got, gone), None, "{gone}: {got}");
        }
        assert_eq!(fields(&got, "x-end"), ["1"]);
        assert_eq!(fields(&got, "via"), ["1.0 fred", VIA]);
    });
}

/// RFC 9700 §4.12: a redirect is the client's to follow, never ours with the token.
#[test]
fn redirects_pass_through() {
    run(async {
        let got = got_of("HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!((status(&got), field(&got, "location").as_deref()), (302, Some("http://elsewhere.test/")));
    });
}

/// RFC 9110 §9.3.2, §15.3.5, §15.4.5
#[test]
fn responses_without_a_body_keep_the_length_that_they_may_have() {
    run(async {
        let head = "HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let got = got_for(head, "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
        assert_eq!((fields(&got, "content-length"), body(&got)), (vec!["1234".to_owned()], ""));
        let got = got_for(head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        assert_eq!((status(&got), field(&got, "content-length"), body(&got)), (200, None, ""));
        let got = got_of("HTTP/1.1 204 No Content\r\nETag: \"x\"\r\n\r\n").await;
        assert_eq!((status(&got), field(&got, "content-length"), field(&got, "transfer-encoding")), (204, None, None));
        let got = got_of("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99\r\n\r\n").await;
        assert_eq!((status(&got), field(&got, "content-length").as_deref(), body(&got)), (304, Some("99"), ""));
        let got = got_of("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n").await;
        assert_eq!((field(&got, "content-length"), field(&got, "transfer-encoding")), (None, None));
        let got = got_of("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!((fields(&got, "content-length"), body(&got)), (vec!["0".to_owned()], ""));
    });
}

/// A client whose connection stays open would wait for a body that never comes.
#[test]
fn the_connection_goes_on_after_responses_without_a_body() {
    run(async {
        let upstream = Upstream::scripted(|_, mut peer| async move {
            while let Some(request) = peer.request().await {
                let answer = match request.split(' ').next() {
                    Some("HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
                    Some("DELETE") => "HTTP/1.1 204 No Content\r\n\r\n",
                    _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                };
                peer.send(answer).await;
            }
        })
        .await;
        let front = Front::to(&upstream);
        let got = front
            .exchange(
                "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\nDELETE /x HTTP/1.1\r\nHost: a\r\n\r\n\
                 GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            )
            .await;
        assert_eq!(got.matches("HTTP/1.1 ").count(), 3, "{got}");
        assert!(got.ends_with("\r\n\r\nok"), "{got}");
        assert_eq!(upstream.connections(), 1);
    });
}

#[test]
fn chunked_and_close_delimited_bodies_arrive_whole() {
    run(async {
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;ext\r\nlo\r\n0\r\nX-T: 1\r\n\r\n";
        let got = got_of(chunked).await;
        assert_eq!(field(&got, "transfer-encoding").as_deref(), Some("chunked"));
        assert!(body(&got).ends_with("0\r\n\r\n") && body(&got).contains("hel"), "{got}");
        let got = got_of("HTTP/1.1 200 OK\r\n\r\nto the end").await;
        assert!(got.contains("to the end") && got.ends_with("0\r\n\r\n"), "{got}");
        // RFC 9112 §6.3: an HTTP/1.0 client knows no chunks.
        let got = got_for("GET /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", chunked).await;
        assert_eq!((field(&got, "transfer-encoding"), body(&got)), (None, "hello"));
    });
}

/// RFC 9112 §6.3: the transfer coding overrides a length, which is not passed on.
#[test]
fn a_length_beside_a_transfer_coding_is_not_passed_on() {
    run(async {
        let got =
            got_of("HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
                .await;
        assert_eq!((field(&got, "content-length"), body(&got)), (None, "2\r\nok\r\n0\r\n\r\n"));
    });
}

#[test]
fn informational_responses_are_skipped() {
    run(async {
        let got = got_of(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
             HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        )
        .await;
        assert_eq!((status(&got), body(&got), field(&got, "link")), (200, "ok", None));
    });
}

#[test]
fn what_is_not_http_is_a_bad_gateway() {
    run(async {
        let long = Box::leak(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000)).into_boxed_str());
        let many = Box::leak(format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(129)).into_boxed_str());
        for answer in [
            "nonsense\r\n\r\n",
            "",
            "HTTP/1.1 200 OK\r\nX: trunc",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzipped",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
            long,
            many,
        ] {
            let got = got_of(answer).await;
            let shown: String = answer.chars().take(60).collect();
            assert_eq!((status(&got), body(&got)), (502, "upstream-failed"), "{shown:?}");
        }
    });
}

/// The client must be able to tell a body that broke off from a whole one.
#[test]
fn a_body_that_breaks_off_never_ends_cleanly() {
    run(async {
        let got = got_of("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
        assert_eq!(field(&got, "content-length").as_deref(), Some("100"));
        assert!(body(&got).len() < 100);
        let got = got_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
        assert!(!got.ends_with("0\r\n\r\n"), "{got}");
    });
}
