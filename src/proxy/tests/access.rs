//! What a route lets pass: bodies up to a size, the client's own token, headers that it sets itself; and where it leads.

use http::HeaderName;
use tokio::io::AsyncWriteExt;

use super::harness::*;
use crate::proxy::{HeaderPart, IdentityHeader, PathRewrite, RouteAuth};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// RFC 9110 §15.5.14: a length that is too long needs no upstream.
#[test]
fn a_body_that_says_that_it_is_too_long_is_refused_before_the_upstream_is_asked() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let mut settings = route("/", &[&upstream.uri]);
        settings.max_body_size = Some(4);
        let front = Front::start(vec![settings], false);
        let post = |length: usize, body: &str| {
            format!(
                "POST /x HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            )
        };
        assert_eq!(status(&front.exchange(post(4, "four")).await), 200);
        let refused = front.exchange(post(5, "five!")).await;
        assert_eq!((status(&refused), body(&refused)), (413, "request-body-too-large"));
        assert_eq!(upstream.requests().len(), 1);
    });
}

/// A body without a length is broken off where it becomes too long; the upstream never sees it as whole.
#[test]
fn a_body_in_chunks_is_refused_when_it_becomes_too_long() {
    run(async {
        // It reads the head alone, as a server may that waits for the whole body.
        let upstream = Upstream::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.closed().await;
        })
        .await;
        let mut settings = route("/", &[&upstream.uri]);
        settings.max_body_size = Some(8);
        let front = Front::start(vec![settings], false);
        let mut client = front.connect().await;
        let head =
            "POST /x HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.write_all(head.as_bytes()).await.expect("the front reads");
        client.write_all(b"5\r\nhello\r\n").await.expect("the front reads");
        client.write_all(b"5\r\nworld\r\n").await.expect("the front reads");
        let answer = read_response(&mut client).await;
        assert_eq!((status(&answer), body(&answer)), (413, "request-body-too-large"));
    });
}

/// RFC 6750 §2.1
#[test]
fn a_bearer_route_passes_the_client_s_authorization_on_as_it_is() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let mut settings = route("/api", &[&upstream.uri]);
        settings.auth = RouteAuth::Bearer;
        let front = Front::start(vec![settings], false);
        front
            .get("/api/x", "Authorization: bearer  a.b.c\r\nConnection: authorization\r\nCookie: sealgate=x\r\n")
            .await;
        let seen = upstream.request();
        assert_eq!(fields(&seen, "authorization"), ["bearer  a.b.c"]);
        assert_eq!(field(&seen, "cookie"), None);
    });
}

/// CVE-2026-30851, CVE-2025-64484
#[test]
fn a_header_that_a_route_sets_is_taken_from_no_client_in_any_spelling() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let mut settings = route("/api", &[&upstream.uri]);
        let parts = vec![HeaderPart::Text("ours".to_owned())];
        settings.access.headers = vec![IdentityHeader { name: HeaderName::from_static("x-user"), parts }];
        let front = Front::start(vec![settings], false);
        front.get("/api/x", "X-User: forged\r\nX_USER: forged\r\nx-user: forged\r\nConnection: X-User\r\n").await;
        let seen = upstream.request();
        assert_eq!(fields(&seen, "x-user"), ["ours"]);
        assert!(!seen.contains("forged"), "{seen}");
    });
}

#[test]
fn the_upstream_sees_the_replaced_path_and_the_host_that_it_is_told() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let mut settings = route("/api", &[&upstream.uri]);
        settings.target.path = PathRewrite::Replace("/v2".to_owned());
        settings.target.host_override = Some("tenant.internal".to_owned());
        let front = Front::start(vec![settings], false);
        front.get("/api/a%20b?q=1", "X-Forwarded-Prefix: /forged\r\n").await;
        let seen = upstream.request();
        assert!(seen.starts_with("GET /v2/a%20b?q=1 HTTP/1.1\r\n"), "{seen}");
        assert_eq!(fields(&seen, "host"), ["tenant.internal"]);
        assert_eq!(fields(&seen, "x-forwarded-prefix"), ["/api"]);
    });
}
