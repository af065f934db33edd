//! What somebody with a socket, a cookie jar and patience tries: raw requests, responses that overtake each other,
//! prefetches, a log that nobody reads.

use std::process::Stdio;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::browser::Context;
use crate::support::ports::{free_port, loopback};
use crate::support::{Browser, Sealgate, World, eventually};

/// Sends bytes as they are, and gives what comes back until the server closes.
async fn raw(gate: &Sealgate, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(loopback(gate.options.port)).await.expect("the listener accepts");
    stream.write_all(request).await.expect("the request is small");
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer))
        .await
        .expect("the server closes the connection")
        .expect("a readable connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// RFC 9112 §3.2
#[tokio::test(flavor = "multi_thread")]
async fn a_host_field_that_is_no_host_is_400_everywhere() {
    let world = World::start().await;
    for host in ["a b", "user@app", "a/b", "a,b", "a:99999", "", "\u{fc}"] {
        for path in ["/", "/bff/login", "/api/echo", "/public/echo"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = raw(&world.gate, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{host:?} {path}: {answer}");
        }
    }
    assert!(world.upstream.seen().is_empty());
}

/// Other spellings of our own addresses reach neither our endpoints nor an upstream.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_spelling_of_an_endpoint_s_path_is_that_endpoint() {
    let world = World::signed_in().await;
    for path in [
        "/%62ff/logout",
        "/BFF/logout",
        "/bff/logout/",
        "/bff/%6cogout",
        "/bff//logout",
        "//bff/logout",
        "/x/../bff/logout",
        "/bff;x/logout",
        "/bff/logout;x",
        "/bff%2flogout",
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nCookie: sealgate={}\r\nSec-Fetch-Site: same-origin\r\n\
             Accept: text/html\r\nConnection: close\r\n\r\n",
            world.gate.options.port,
            world.session_cookie(),
        );
        let answer = raw(&world.gate, request.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["200", "400", "404"].contains(&status), "{path}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("set-cookie"), "{path}: {answer}");
    }
    assert_eq!(world.provider.stats().await.requests("revocation"), 0);
}

/// DESIGN §6: a request that was put together before the refresh may arrive after one that shows the new cookie.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_overtaken_by_the_new_cookie_does_not_replay_the_refresh_token() {
    let world = World::signed_in().await;
    let overtaken = world.browser.copy();
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK, "shows the new cookie");
    assert_eq!(overtaken.post("/bff/refresh").await.status, StatusCode::OK);
    let stats = world.provider.stats().await;
    assert_eq!((stats.refreshes(), stats.token_errors("invalid_grant")), (1, 0));
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK, "the grant lives");
}

/// DESIGN §4: a late response can never bring an older refresh token back.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_response_delivers_the_newest_session_and_not_the_one_that_it_began_with() {
    let world = World::signed_in().await;
    let slow = world.browser.copy();
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    let held = slow.get("/api/hold");
    let meanwhile = async {
        eventually("the slow request at the upstream", Duration::from_secs(10), async || {
            (!world.upstream.seen().is_empty()).then_some(())
        })
        .await;
        assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
        assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK);
        world.upstream.release();
    };
    let (reply, ()) = tokio::join!(held, meanwhile);
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(slow.cookie("sealgate"), world.browser.cookie("sealgate"), "the newest of all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefetch_of_the_logout_link_signs_nobody_out() {
    let world = World::signed_in().await;
    let link = world.browser.user().await["bff:logout_url"].as_str().expect("a text").to_owned();
    for purpose in ["prefetch", "prefetch;prerender"] {
        let request = world.browser.request(Method::GET, &link, Context::Link).field("Sec-Purpose", purpose);
        let reply = request.send().await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{purpose}");
        reply.touches_no_cookie();
    }
    assert_eq!(world.browser.user().await["sub"], "ada");
}

/// Another site may send the browser to the logout; the strict cookie stays away, and nothing happens.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_from_another_site_clears_neither_cookies_nor_cache() {
    let world = World::signed_in().await;
    let reply = world.browser.arrive_from_elsewhere("/bff/logout").await;
    assert!(reply.header("clear-site-data").is_empty(), "{:?}", reply.headers);
    reply.touches_no_cookie();
    assert_eq!(world.browser.user().await["sub"], "ada");
}

/// Another site may start logins with return URLs of its choice: the Cookie line stays below nginx's 8,182 bytes.
#[tokio::test(flavor = "multi_thread")]
async fn logins_that_another_site_starts_do_not_fill_the_cookie_line() {
    let world = World::signed_in().await;
    let target = format!("/bff/login?returnUrl=/{}", "a".repeat(500));
    for _ in 0..10 {
        assert_eq!(world.browser.arrive_from_elsewhere(&target).await.status, StatusCode::SEE_OTHER);
    }
    let cookies = world.browser.cookies();
    let characters: usize =
        cookies.of(world.browser.host()).map(|cookie| cookie.name.len() + cookie.value.len() + 3).sum();
    assert!(characters < 7_000, "{characters} characters");
}

/// What an operator meets at night: a port that is taken, a ring that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_says_why_and_exits_with_1() {
    let world = World::start().await;
    let mut second = Sealgate::launch(world.gate.options.clone()).await;
    assert_eq!(second.exit_status().await.code(), Some(1), "{}", second.log());
    assert!(second.log().contains("error: server.listen"), "{}", second.log());

    let mut options = world.gate.options.clone();
    options.port = free_port();
    let options = options.set("keys.ring", "/nonexistent/ring.json");
    let mut without_ring = Sealgate::launch(options).await;
    assert_eq!(without_ring.exit_status().await.code(), Some(1), "{}", without_ring.log());
    assert!(without_ring.log().contains("error: /nonexistent/ring.json"), "{}", without_ring.log());
}

/// What an operator meets at night: the collector behind standard error has gone.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_served_when_nobody_reads_the_log_any_more() {
    let address = loopback(free_port()).to_string();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["demo", "--listen", &address, "--log-level", "info"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let browser = Browser::new(&format!("http://{address}"));
    eventually("the demo", Duration::from_secs(20), async || TcpStream::connect(&address).await.ok()).await;
    drop(demo.stderr.take());
    for _ in 0..5 {
        assert_eq!(browser.navigate("/").await.status, StatusCode::OK);
    }
    assert!(demo.try_wait().expect("a child of ours").is_none(), "it runs on");
}
