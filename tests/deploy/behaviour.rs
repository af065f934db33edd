//! What the recipes do with requests.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use reqwest::header::{CONNECTION, COOKIE, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::balancer::{Choice, KINDS, Kind};
use crate::site::{Site, places};
use crate::support::browser::Context;
use crate::support::recipe_host::client;
use crate::support::{Browser, Reply, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn every_recipe_passes_its_balancer_s_own_check() {
    for kind in KINDS {
        for choice in [Choice::Affinity, Choice::RoundRobin] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let file = kind.prepare(choice, &places(folder.path()).await);
            let output = kind.check(&file).output().await.expect("it is installed: `make test` says how");
            let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{kind:?} {choice:?}: {printed}");
            assert!(!printed.to_lowercase().contains("warn"), "{kind:?} {choice:?}: {printed}");
        }
    }
}

/// The two recipes of a balancer differ in the choice of the replica alone.
#[test]
fn the_recipes_without_affinity_have_nothing_else_of_their_own() {
    for kind in KINDS {
        let read = |choice| std::fs::read_to_string(kind.recipe(choice)).expect("the recipe is there");
        let (with, without) = (read(Choice::Affinity), read(Choice::RoundRobin));
        let own: Vec<&str> = without.lines().filter(|line| !with.contains(line)).map(str::trim).collect();
        let expected: &[&str] = match kind {
            Kind::Haproxy => &["balance roundrobin"],
            Kind::Nginx => &[],
            Kind::Envoy => &["lb_policy: ROUND_ROBIN"],
        };
        let own: Vec<&str> = own.into_iter().filter(|line| !line.contains("in front of three replicas")).collect();
        assert_eq!(own, expected, "{kind:?}");
        assert!(with.contains("sealgate_affinity") && !without.contains("sealgate_affinity"), "{kind:?}");
    }
}

/// DESIGN §6: the cookie lets a balancer keep a session at one replica, and requests without it spread evenly.
async fn sessions_stay_and_others_spread(kind: Kind) {
    let site = Site::start(kind, Choice::Affinity).await;
    let mut used = [0; 3];
    for _ in 0..8 {
        let browser = site.signed_in().await;
        assert!(browser.cookie("sealgate_affinity").is_some(), "{:?}", browser.cookie_names());
        let before = site.proxied().await;
        for _ in 0..6 {
            assert_eq!(browser.get("/api/echo").await.status, StatusCode::OK);
            assert_eq!(browser.post("/bff/refresh").await.status, StatusCode::OK);
        }
        let after = site.proxied().await;
        let landed: Vec<usize> = (0..3).filter(|&replica| after[replica] > before[replica]).collect();
        assert_eq!(landed.len(), 1, "{kind:?}: one session, one replica: {before:?} {after:?}");
        used[landed[0]] += 1;
    }
    assert!(used.iter().filter(|sessions| **sessions > 0).count() > 1, "{kind:?}: sessions spread: {used:?}");

    let before = site.proxied().await;
    let stranger = site.browser();
    for _ in 0..90 {
        assert_eq!(stranger.get("/public/echo").await.status, StatusCode::OK);
    }
    let after = site.proxied().await;
    let shares: Vec<u64> = before.iter().zip(after).map(|(before, after)| after - before).collect();
    assert!(shares.iter().all(|share| (10..=60).contains(share)), "{kind:?}: strangers spread: {shares:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_keeps_a_session_at_one_replica() {
    sessions_stay_and_others_spread(Kind::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_keeps_a_session_at_one_replica() {
    sessions_stay_and_others_spread(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_keeps_a_session_at_one_replica() {
    sessions_stay_and_others_spread(Kind::Envoy).await;
}

/// One session, requests in turn at three replicas; also through the recipe: what the upstream is told of the client,
/// long heads, event streams and WebSockets.
async fn everything_passes(kind: Kind) {
    let scopes = vec!["openid", "profile", "groups", "offline_access"];
    let site = Site::with(kind, Choice::RoundRobin, |options| options.set("provider.scopes", scopes.clone())).await;
    let (browser, callback) = signed_in_with_two_cookies(&site).await;
    assert!(!callback.header("strict-transport-security").is_empty(), "{:?}", callback.headers);

    let before = site.proxied().await;
    for _ in 0..12 {
        let reply = browser.fetch(Method::GET, "/api/echo").field("X-Forwarded-For", "203.0.113.9").send().await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    }
    let after = site.proxied().await;
    assert!((0..3).all(|replica| after[replica] > before[replica]), "in turn: {before:?} {after:?}");
    let seen = site.upstream.last();
    let forwarded_for = seen.header("x-forwarded-for").join(", ");
    // Where the client is on loopback, Envoy names an address of its own host instead.
    let client = if kind == Kind::Envoy { forwarded_for.split(", ").next().unwrap_or_default() } else { "127.0.0.1" };
    assert_eq!(forwarded_for, format!("{client}, 127.0.0.1"), "{kind:?}: the client, the balancer");
    assert_ne!(client, "203.0.113.9", "{kind:?}: what the client says about itself");
    assert_eq!(seen.header("x-forwarded-proto"), ["https"]);
    assert_eq!(format!("https://{}", seen.header("x-forwarded-host")[0]), site.origin);

    cookies_of_other_apps_pass(&browser).await;
    events_pass_as_they_come(&site, &browser).await;
    a_socket_passes(&site, &browser).await;
}

/// The user is in more and more groups, with names that cannot be compressed, until the session is split.
async fn signed_in_with_two_cookies(site: &Site) -> (Browser, Reply) {
    for count in (20..200).step_by(20) {
        let groups: Vec<String> = (0..count).map(|_| URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>())).collect();
        site.provider.regroup("ada", &groups.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let browser = site.browser();
        let callback = browser.sign_in().await;
        if browser.cookie("__Host-sealgate.1").is_some() {
            return (browser, callback);
        }
    }
    panic!("no session was split");
}

/// What a browser may have beside ours: the line is then longer than nginx's and others' default.
async fn cookies_of_other_apps_pass(browser: &Browser) {
    let line: String = (0..3).map(|part| format!("other{part}={}; ", "x".repeat(1_000))).collect();
    let reply = browser.fetch(Method::GET, "/public/echo").field("Cookie", line.trim_end_matches("; ")).send().await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
}

async fn events_pass_as_they_come(site: &Site, browser: &Browser) {
    let mut events = browser.request(Method::GET, "/stream/events", Context::Fetch).start().await;
    let first = events.chunk().await.expect("a healthy stream").expect("a first event");
    assert_eq!(first, "data: first\n\n", "the second has not been sent yet");
    site.upstream.release();
    let second = events.chunk().await.expect("a healthy stream").expect("a second event");
    assert_eq!(second, "data: second\n\n");
}

/// RFC 6455 over the balancer's TLS.
async fn a_socket_passes(site: &Site, browser: &Browser) {
    let cookies: Vec<String> =
        browser.cookies().of(browser.host()).map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
    let handshake = client(&site.places.folder)
        .get(format!("{}/api/socket", site.origin))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
        .header(ORIGIN, &site.origin)
        .header(COOKIE, cookies.join("; "));
    let response = handshake.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS, "{:?}", response.headers());
    let tunnel = response.upgrade().await.expect("a tunnel");
    let mut socket = WebSocketStream::from_raw_socket(tunnel, Role::Client, None).await;
    for message in [Message::text("Grüße"), Message::binary(vec![7; 100_000])] {
        socket.send(message.clone()).await.expect("the tunnel stands");
        assert_eq!(socket.next().await.expect("an answer").expect("a message"), message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_passes_long_heads_events_and_sockets() {
    everything_passes(Kind::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_passes_long_heads_events_and_sockets() {
    everything_passes(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_passes_long_heads_events_and_sockets() {
    everything_passes(Kind::Envoy).await;
}

/// DESIGN §4: at most three chunks, each a line under 3,800 bytes. No session is as long at present, so the replicas are
/// stand-ins here.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_with_three_chunks_passes_every_balancer() {
    for kind in KINDS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let places = places(folder.path()).await;
        for last in 11..=13 {
            for port in [places.port, places.management_port] {
                let listener = TcpListener::bind(format!("{}{last}:{port}", places.network)).await;
                tokio::spawn(three_chunks(listener.expect("a free address")));
            }
        }
        let _balancer = kind.start(&kind.prepare(Choice::Affinity, &places), folder.path());
        let http = client(&places.folder);
        let url = format!("https://{}:{}/", crate::support::recipe_host::HOST, places.https);
        let reply = eventually("the balancer to pass the head", Duration::from_secs(30), async || {
            let cookie: String = (0..3).map(|part| format!("c{part}={}; ", "x".repeat(3_750))).collect();
            let reply = http.get(&url).header(COOKIE, cookie).send().await.ok()?;
            (reply.status() == StatusCode::OK).then_some(reply)
        })
        .await;
        let lines = reply.headers().get_all("set-cookie").iter();
        assert_eq!(lines.filter(|line| line.len() == 3_799).count(), 3, "{kind:?}: {:?}", reply.headers());
    }
}

async fn three_chunks(listener: TcpListener) {
    let line = format!("Set-Cookie: {}\r\n", "x".repeat(3_797) + "=1");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n{}\r\n", line.repeat(3));
    while let Ok((mut stream, _)) = listener.accept().await {
        let head = head.clone();
        tokio::spawn(async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            // A balancer that has gone does not count.
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.shutdown().await;
        });
    }
}

/// Promise 2: a replica less costs nobody a request.
async fn a_leaving_replica_costs_no_request(kind: Kind) {
    let drain = if kind == Kind::Nginx { "0s" } else { "8s" };
    let mut site = Site::with(kind, Choice::Affinity, |options| options.set("server.drain_delay", drain)).await;
    let browsers = futures_util::future::join_all((0..6).map(|_| site.signed_in())).await;
    let (sent, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let load = futures_util::future::join_all(browsers.iter().enumerate().map(|(at, browser)| {
        let (sent, stop) = (&sent, &stop);
        async move {
            // nginx asks nobody whether he is ready: what cannot be repeated is not in the promise there.
            let method = if at % 2 == 0 && kind != Kind::Nginx { Method::POST } else { Method::GET };
            let mut failures = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match browser.fetch(method.clone(), "/api/echo").try_send().await {
                    Ok(reply) if reply.status == StatusCode::OK => {}
                    Ok(reply) => failures.push(format!("{method} {} {}", reply.status, reply.body)),
                    Err(error) => failures.push(format!("{method} {error:?}")),
                }
                sent.fetch_add(1, Ordering::Relaxed);
            }
            failures
        }
    }));
    let leave = async {
        let some = async |count| {
            let until = sent.load(Ordering::Relaxed) + count;
            eventually("requests", Duration::from_secs(60), async || {
                (sent.load(Ordering::Relaxed) > until).then_some(())
            })
            .await;
        };
        some(60).await;
        let begun = Instant::now();
        site.replicas[0].terminate();
        let status = site.replicas[0].exit_status().await;
        assert_eq!(status.code(), Some(0), "{}", site.replicas[0].log());
        assert!(begun.elapsed() < Duration::from_secs(25), "it left in {:?}", begun.elapsed());
        some(60).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (failures, ()) = tokio::join!(load, leave);
    let failures = failures.concat();
    assert!(failures.is_empty(), "{kind:?}: {} of {sent:?}: {:?}", failures.len(), failures.first());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_leaves_haproxy_costs_no_request() {
    a_leaving_replica_costs_no_request(Kind::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_leaves_nginx_costs_no_request_that_can_be_repeated() {
    a_leaving_replica_costs_no_request(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_leaves_envoy_costs_no_request() {
    a_leaving_replica_costs_no_request(Kind::Envoy).await;
}
