//! What reaches the upstream.

use super::harness::*;
use crate::proxy::RouteAuth;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the upstream sees of a GET of `/x` with these header lines, through a public route.
async fn seen_of(headers: &str) -> String {
    let upstream = Upstream::answering(OK).await;
    let answer = Front::to(&upstream).get("/x", headers).await;
    assert_eq!(status(&answer), 200, "{answer}");
    upstream.request()
}

/// DESIGN §7: the path is forwarded byte for byte.
#[test]
fn path_and_query_arrive_byte_for_byte() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let front = Front::to(&upstream);
        let targets =
            ["/", "/a%20b/%C3%A4/%c3%a4", "/x?", "/x?a=../..//%2e%2f%00\\&b={c:[1]}&&=?/", "/x;v=1/y,z", "/x/?q=1"];
        for target in targets {
            assert_eq!(status(&front.get(target, "").await), 200, "{target}");
        }
        let lines: Vec<_> =
            upstream.requests().iter().map(|request| request.lines().next().map(str::to_owned)).collect();
        assert_eq!(lines, targets.map(|target| Some(format!("GET {target} HTTP/1.1"))));
    });
}

/// RFC 9110 §7.2
#[test]
fn host_names_the_upstream_and_forwarded_fields_name_us() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        Front::to(&upstream).get("/x", "").await;
        let seen = upstream.request();
        assert_eq!(fields(&seen, "host"), [upstream.uri.trim_start_matches("http://")]);
        assert_eq!(fields(&seen, "x-forwarded-host"), ["app.example.com"]);
        assert_eq!(fields(&seen, "x-forwarded-proto"), ["https"]);
        assert_eq!(fields(&seen, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(fields(&seen, "via"), [VIA]);
        assert!(seen.split("\r\n").nth(1).is_some_and(|line| line.starts_with("host:")), "{seen}");
    });
}

/// RFC 9700 §4.13, RFC 7239 §8.1; CVE-2026-40575, CVE-2025-64484, CVE-2026-30851
#[test]
fn what_a_client_says_of_itself_does_not_arrive() {
    run(async {
        let seen = seen_of(
            "Authorization: Bearer forged\r\nAUTHORIZATION: Basic x\r\nDPoP: proof\r\nForwarded: for=10.0.0.1\r\n\
             X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: gopher\r\n\
             X-Forwarded-User: admin\r\nX_Forwarded_For: 10.0.0.2\r\nx-forwarded_email: a@b\r\n\
             X_Forwarded_Access_Token_That_Is_Very_Long: x\r\nX-Real-IP: 10.0.0.1\r\nX_Real_IP: 10.0.0.1\r\n\
             Cookie: a=b\r\nX-Custom: kept\r\nX_Custom: kept too\r\n",
        )
        .await
        .to_ascii_lowercase();
        for gone in ["forged", "basic", "proof", "10.0.0", "evil", "gopher", "admin", "a@b", "very_long", "a=b"] {
            assert!(!seen.contains(gone), "{gone}: {seen}");
        }
        assert_eq!(fields(&seen, "x-custom"), ["kept"]);
        assert_eq!(fields(&seen, "x_custom"), ["kept too"]);
    });
}

/// RFC 10017 §6.1.3.6, RFC 6750 §2.1
#[test]
fn a_session_route_attaches_the_token_and_only_the_token() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let mut settings = route("/api", &[&upstream.uri]);
        settings.auth = RouteAuth::Session;
        let front = Front::start(vec![settings], false);
        front.get("/api/x", "Authorization: Bearer forged\r\nConnection: authorization\r\nCookie: a=b\r\n").await;
        let seen = upstream.request();
        assert_eq!(fields(&seen, "authorization"), ["Bearer the-access-token"]);
        assert_eq!(field(&seen, "cookie"), None);
    });
}

/// RFC 9110 §7.6.1
#[test]
fn hop_by_hop_fields_and_those_that_connection_names_stay_here() {
    run(async {
        let seen = seen_of(
            "Connection: X-Hop, x-forwarded-for\r\nConnection: Via, traceparent\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
             Proxy-Connection: keep-alive\r\nProxy-Authorization: x\r\nTE: trailers\r\nTrailer: X-T\r\n\
             Upgrade: h2c\r\nHTTP2-Settings: x\r\nX-End: 1\r\n",
        )
        .await;
        for gone in
            ["connection", "x-hop", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "http2-settings"]
        {
            assert_eq!(field(&seen, gone), None, "{gone}: {seen}");
        }
        for kept in ["x-end", "x-forwarded-for", "via", "traceparent"] {
            assert!(field(&seen, kept).is_some(), "{kept}: {seen}");
        }
    });
}

#[test]
fn repeated_fields_arrive_repeated() {
    run(async {
        let seen = seen_of("X-Many: one\r\nX-Other: x\r\nX-Many: two\r\nX-Many: three, four\r\n").await;
        assert_eq!(fields(&seen, "x-many"), ["one", "two", "three, four"]);
    });
}

/// RFC 7239 §8.1; CVE-2024-21494
#[test]
fn forwarded_for_grows_only_behind_our_own_proxies() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let front = Front::start(vec![route("/", &[&upstream.uri])], true);
        front.get("/x", "X-Forwarded-For: 203.0.113.7, 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n").await;
        assert_eq!(fields(&upstream.request(), "x-forwarded-for"), ["203.0.113.7, 10.0.0.1, 10.0.0.2, 127.0.0.1"]);
    });
}

/// DESIGN §7; "session cookies sent on to upstreams"
#[test]
fn our_cookies_never_arrive_and_others_only_where_the_route_says() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let mut open = route("/open", &[&upstream.uri]);
        open.forward_cookies = true;
        let front = Front::start(vec![open, route("/", &[&upstream.uri])], false);
        let cookies = "Cookie: a=1; __Host-sealgate=s; b=\"2=3\";  c;__Host-sealgate.1=s; sealgate-seen=s\r\n\
                       Cookie: __Host-sealgate-login-1=s; d=4; sealgate_affinity=s; =sealgate=s; e=\r\n";
        front.get("/open/x", cookies).await;
        front.get("/x", cookies).await;
        front.get("/open/x", "Cookie: __Host-sealgate=s\r\n").await;
        front.get("/open/x", "Cookie: a=1\r\nConnection: cookie\r\n").await;
        let seen: Vec<_> = upstream.requests().iter().map(|request| fields(request, "cookie")).collect();
        assert_eq!(seen, [vec!["a=1; b=\"2=3\"; c; d=4; e="], vec![], vec![], vec![]]);
    });
}

/// RFC 9110 §7.6.3
#[test]
fn via_is_appended_and_a_loop_detected() {
    run(async {
        let seen = seen_of("Via: 1.0 fred, 1.1 sealgate.example (sealgate)\r\n").await;
        assert_eq!(fields(&seen, "via"), ["1.0 fred, 1.1 sealgate.example (sealgate)", VIA]);
        let upstream = Upstream::answering(OK).await;
        let answer = Front::to(&upstream).get("/x", "Via: 1.0 fred\r\nVia: 1.1 p, 2 Sealgate-69BADDDE\r\n").await;
        assert_eq!((status(&answer), body(&answer)), (508, "loop-detected"));
        assert_eq!(upstream.connections(), 0);
    });
}

/// W3C Trace Context §3.2
#[test]
fn a_valid_trace_goes_on_and_any_other_is_replaced() {
    run(async {
        let theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let ours = "00-11111111111111111111111111111111-2222222222222222-01";
        let seen = seen_of(&format!("Traceparent: {theirs}\r\nTracestate: a=1\r\n")).await;
        assert_eq!(
            (fields(&seen, "traceparent"), fields(&seen, "tracestate")),
            (vec![theirs.to_owned()], vec!["a=1".to_owned()])
        );
        for bad in [
            "x",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            let seen = seen_of(&format!("Traceparent: {bad}\r\nTracestate: a=1\r\n")).await;
            assert_eq!(
                (fields(&seen, "traceparent"), fields(&seen, "tracestate")),
                (vec![ours.to_owned()], vec![]),
                "{bad}"
            );
        }
    });
}

/// RFC 9110 §7.6.2
#[test]
fn max_forwards_is_counted_down_and_the_last_hop_is_ours() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let front = Front::to(&upstream);
        let options =
            |left: &str| format!("OPTIONS /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nMax-Forwards: {left}\r\n\r\n");
        assert_eq!(status(&front.exchange(options("2")).await), 200);
        assert_eq!(fields(&upstream.request(), "max-forwards"), ["1"]);
        let last = front.exchange(options("0")).await;
        assert_eq!(status(&last), 204);
        assert!(field(&last, "allow").is_some_and(|methods| methods.contains("OPTIONS")), "{last}");
        assert_eq!(upstream.requests().len(), 1);
    });
}

/// RFC 9112 §3.2.2; CVE-2026-40575
#[test]
fn targets_with_another_host_and_the_methods_of_proxies_are_refused() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let front = Front::to(&upstream);
        for (line, expected) in [
            ("GET http://evil.example/x HTTP/1.1", 400),
            ("GET https://app.example.com.evil.example/x HTTP/1.1", 400),
            ("GET https://user@app.example.com/x HTTP/1.1", 400),
            ("GET https://app.example.com:444/x HTTP/1.1", 400),
            ("GET https://app.example.com/x HTTP/1.1", 200),
            ("GET https://APP.example.com:443/x HTTP/1.1", 200),
            ("CONNECT app.example.com:443 HTTP/1.1", 400),
            ("CONNECT /x HTTP/1.1", 405),
            ("TRACE /x HTTP/1.1", 405),
            ("OPTIONS * HTTP/1.1", 400),
        ] {
            let answer = front.exchange(format!("{line}\r\nHost: app.example.com\r\nConnection: close\r\n\r\n")).await;
            assert_eq!(status(&answer), expected, "{line}: {answer}");
        }
        let lines: Vec<_> =
            upstream.requests().iter().map(|request| request.lines().next().map(str::to_owned)).collect();
        assert_eq!(lines, vec![Some("GET /x HTTP/1.1".to_owned()); 2]);
    });
}

/// RFC 10017 §6.1.3.6
#[test]
fn methods_that_a_route_does_not_list_get_405_with_allow() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let mut settings = route("/", &[&upstream.uri]);
        settings.methods = vec![http::Method::GET, http::Method::HEAD];
        let front = Front::start(vec![settings], false);
        let answer = front.exchange("DELETE /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert_eq!((status(&answer), field(&answer, "allow")), (405, Some("GET, HEAD".to_owned())));
        assert_eq!(status(&front.get("/x", "").await), 200);
    });
}

/// RFC 9110 §7.8; in HTTP/1.0 the field must be ignored.
#[test]
fn other_upgrades_are_ignored() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let front = Front::to(&upstream);
        let answer = front.get("/x", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n").await;
        assert_eq!(status(&answer), 200, "{answer}");
        let answer = front.exchange("GET /x HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\n\r\n").await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(upstream.requests().iter().all(|request| field(request, "upgrade").is_none()));
    });
}

/// DESIGN §7, through the whole server: nothing of it reaches an upstream.
#[test]
fn paths_with_tricks_get_400_before_any_upstream() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let front = Front::start(vec![route("/api", &[&upstream.uri])], false);
        for path in [
            "/api/../admin",
            "/api/%2e%2e/admin",
            "/api/..;/admin",
            "/api//x",
            "/api/%2fx",
            "/api/%5cx",
            "/api/\\x",
            "/api/%00",
            "/api/%0d%0ax:y",
            "/api/%zz",
            "/%61pi/x",
            "//api/x",
        ] {
            assert_eq!(status(&front.get(path, "").await), 400, "{path}");
        }
        assert_eq!(status(&front.get("/x?/api/y", "").await), 404);
        assert_eq!(status(&front.get("/x#/api/y", "").await), 404);
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn bodies_arrive_as_they_were_framed() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let front = Front::to(&upstream);
        let head = |rest: &str| format!("POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{rest}");
        front.exchange(head("Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")).await;
        front.exchange(head("Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")).await;
        front.exchange(head("Content-Length: 0\r\n\r\n")).await;
        front.exchange(head("\r\n")).await;
        let [sized, chunked, empty, none] = &upstream.requests()[..] else { panic!("four requests") };
        assert_eq!((field(sized, "content-length").as_deref(), body(sized)), (Some("5"), "hello"));
        assert_eq!((field(sized, "transfer-encoding"), field(sized, "expect")), (None, None));
        assert_eq!(
            (fields(chunked, "transfer-encoding"), field(chunked, "content-length")),
            (vec!["chunked".to_owned()], None)
        );
        assert!(body(chunked).contains("hel") && body(chunked).ends_with("0\r\n\r\n"), "{chunked}");
        assert_eq!((field(empty, "content-length").as_deref(), body(empty)), (Some("0"), ""));
        assert_eq!((field(none, "content-length"), field(none, "transfer-encoding")), (None, None));
    });
}

#[test]
fn a_get_may_have_a_body() {
    run(async {
        let upstream = Upstream::answering(OK).await;
        let front = Front::to(&upstream);
        front.get("/x", "Content-Length: 2\r\n\r\nhi").await;
        front.get("/x", "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n").await;
        let [sized, chunked] = &upstream.requests()[..] else { panic!("two requests") };
        assert_eq!((field(sized, "content-length").as_deref(), body(sized)), (Some("2"), "hi"));
        assert_eq!(
            (field(chunked, "transfer-encoding").as_deref(), body(chunked)),
            (Some("chunked"), "2\r\nhi\r\n0\r\n\r\n")
        );
    });
}
