//! WebSockets, byte for byte: the handshake's head, what may not become a tunnel, and how tunnels end.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::harness::{Front, Peer, Upstream, body, field, fields, read_to_end, run, status};
use crate::proxy::TunnelLimits;

const HANDSHAKE: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: app.example.com\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: chat\r\nOrigin: https://app.example.com\r\nCookie: __Host-sealgate=secret\r\n\r\n";
pub(super) const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

/// An upstream that takes every handshake and goes on as `script` says; `closed` is told when a script is done.
async fn switching<F: Future<Output = ()> + 'static>(script: fn(Peer) -> F) -> (Upstream, Rc<Notify>) {
    let closed = Rc::new(Notify::new());
    let done = Rc::clone(&closed);
    let upstream = Upstream::scripted(move |_, mut peer| {
        let done = Rc::clone(&done);
        async move {
            peer.request().await.expect("a handshake");
            peer.send(SWITCHING).await;
            script(peer).await;
            done.notify_one();
        }
    })
    .await;
    (upstream, closed)
}

/// A client's end after the 101.
pub(super) async fn tunnel(front: &Front) -> TcpStream {
    let mut stream = front.connect().await;
    stream.write_all(HANDSHAKE.as_bytes()).await.expect("the front reads");
    let head = read_head(&mut stream).await;
    assert_eq!(status(&head), 101, "{head}");
    stream
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }
    String::from_utf8(head).expect("ASCII heads")
}

async fn echo(mut peer: Peer) {
    while let Some(piece) = peer.piece().await {
        peer.send(piece).await;
    }
}

/// RFC 6455 §4.1, RFC 9110 §7.8
#[test]
fn a_handshake_goes_on_with_its_own_fields_and_nothing_else_of_the_hop() {
    run(async {
        let (upstream, _) = switching(echo).await;
        let front = Front::to(&upstream);
        let mut stream = front.connect().await;
        stream.write_all(HANDSHAKE.as_bytes()).await.expect("the front reads");
        let head = read_head(&mut stream).await;
        assert_eq!(status(&head), 101, "{head}");
        let of_101 = |name| fields(&head, name);
        assert_eq!((of_101("upgrade"), of_101("connection")), (vec!["websocket".into()], vec!["upgrade".into()]));
        assert_eq!(of_101("sec-websocket-accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
        assert_eq!(of_101("sec-websocket-protocol"), ["chat"]);
        assert!(of_101("content-length").is_empty() && of_101("transfer-encoding").is_empty(), "{head}");
        let seen = upstream.request();
        assert!(seen.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{seen}");
        for (name, value) in [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "chat"),
            ("origin", "https://app.example.com"),
        ] {
            assert_eq!(fields(&seen, name), [value], "{name}");
        }
        for gone in ["cookie", "content-length", "transfer-encoding"] {
            assert_eq!(field(&seen, gone), None, "{gone}");
        }
    });
}

#[test]
fn bytes_pass_untouched_both_ways_also_those_that_come_with_the_heads() {
    run(async {
        let upstream = Upstream::scripted(|_, mut peer| async move {
            peer.head().await.expect("a handshake");
            peer.send([SWITCHING, "early"].concat()).await;
            echo(peer).await;
        })
        .await;
        let front = Front::to(&upstream);
        let mut stream = front.connect().await;
        stream
            .write_all([HANDSHAKE.as_bytes(), b"\x00\xff0\r\n\r\n"].concat().as_ref())
            .await
            .expect("the front reads");
        read_head(&mut stream).await;
        let mut back = [0; 12];
        stream.read_exact(&mut back).await.expect("early bytes");
        assert_eq!(&back, b"early\x00\xff0\r\n\r\n");
        let sent: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let mut received = vec![0; sent.len()];
        let (mut read, mut write) = stream.split();
        let (written, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut received));
        written.and(read).expect("the tunnel stands");
        assert!(received == sent, "bytes were changed");
    });
}

#[test]
fn a_refusal_passes_as_an_ordinary_response_whatever_its_framing() {
    run(async {
        for refusal in [
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
            "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        ] {
            let upstream = Upstream::answering(refusal).await;
            let answer = Front::to(&upstream).exchange(HANDSHAKE).await;
            assert_eq!((status(&answer), body(&answer)), (403, "no"), "{answer}");
            assert_eq!(field(&answer, "transfer-encoding"), None, "{answer}");
        }
    });
}

/// RFC 6455 §4.1
#[test]
fn a_switch_to_another_protocol_is_a_bad_gateway() {
    run(async {
        for protocol in ["Upgrade: h2c\r\n", "", "Upgrade: websocket\r\nUpgrade: h2c\r\n"] {
            let head = format!("HTTP/1.1 101 Switching Protocols\r\n{protocol}Connection: Upgrade\r\n\r\n");
            let upstream = Upstream::answering(head).await;
            let answer = Front::to(&upstream).exchange(HANDSHAKE).await;
            assert_eq!(status(&answer), 502, "{protocol}");
        }
    });
}

/// RFC 6455 §4.2.1: else the bytes behind such a request would reach the upstream as requests that nobody has checked.
#[test]
fn what_offers_a_websocket_and_is_no_handshake_is_refused() {
    run(async {
        let (upstream, _) = switching(echo).await;
        let front = Front::to(&upstream);
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        for request in [
            format!("POST /x HTTP/1.1\r\nHost: a\r\n{upgrade}Content-Length: 5\r\n\r\nhello"),
            format!("POST /x HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n"),
            format!("GET /x HTTP/1.1\r\nHost: a\r\n{upgrade}Content-Length: 5\r\n\r\nhello"),
            format!("GET /x HTTP/1.1\r\nHost: a\r\n{upgrade}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            format!("GET /x HTTP/1.1\r\nHost: a\r\n{upgrade}Upgrade: h2c\r\n\r\n"),
            "GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n".to_owned(),
            "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n".to_owned(),
        ] {
            let mut stream = front.connect().await;
            stream.write_all(request.as_bytes()).await.expect("the front reads");
            let head = read_head(&mut stream).await;
            assert_eq!(status(&head), 400, "{request}");
        }
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn the_end_of_the_upstream_ends_the_tunnel_after_its_last_bytes() {
    run(async {
        let (upstream, _) = switching(|mut peer| async move { peer.send("farewell").await }).await;
        let mut stream = tunnel(&Front::to(&upstream)).await;
        assert_eq!(read_to_end(&mut stream).await, "farewell");
    });
}

#[test]
fn a_client_that_is_gone_is_heard_out_and_takes_the_upstream_s_connection_along() {
    run(async {
        let (upstream, closed) = switching(|mut peer| async move {
            let mut heard = Vec::new();
            while let Some(piece) = peer.piece().await {
                heard.extend(piece);
            }
            assert_eq!(heard, b"farewell");
        })
        .await;
        let mut stream = tunnel(&Front::to(&upstream)).await;
        stream.write_all(b"farewell").await.expect("the tunnel stands");
        drop(stream);
        closed.notified().await;
    });
}

const LIFE: Duration = Duration::from_millis(300);

#[test]
fn a_tunnel_ends_when_its_time_is_up_however_busy_it_is() {
    run(async {
        let (upstream, closed) = switching(echo).await;
        let ends = || TunnelLimits { ends_at: Some(Instant::now() + LIFE), ..TunnelLimits::default() };
        let mut stream = tunnel(&Front::with_tunnels(&upstream, ends)).await;
        let mut byte = [0];
        while stream.write_all(b"x").await.is_ok() && matches!(stream.read(&mut byte).await, Ok(1)) {}
        closed.notified().await;
    });
}

/// The client's silence must not keep it: nobody asks for the body then. It is the back-pressure, too.
#[test]
fn a_tunnel_ends_when_its_time_is_up_although_the_client_reads_nothing() {
    thread_local! { static SENT: Cell<usize> = const { Cell::new(0) }; }
    run(async {
        let (upstream, closed) = switching(|mut peer| async move {
            let piece = [b'x'; 64 * 1024];
            while let Ok(()) = peer.stream.write_all(&piece).await {
                SENT.set(SENT.get() + piece.len());
            }
        })
        .await;
        let ends = || TunnelLimits { ends_at: Some(Instant::now() + LIFE), ..TunnelLimits::default() };
        let _silent = tunnel(&Front::with_tunnels(&upstream, ends)).await;
        closed.notified().await;
        assert!(SENT.get() < 64 * 1024 * 1024, "{} bytes went somewhere", SENT.get());
    });
}

#[test]
fn a_tunnel_ends_when_nothing_passes_for_too_long() {
    run(async {
        let (upstream, closed) = switching(echo).await;
        const IDLE: Duration = Duration::from_secs(1);
        let idle = || TunnelLimits { idle: Some(IDLE), ..TunnelLimits::default() };
        let mut stream = tunnel(&Front::with_tunnels(&upstream, idle)).await;
        let begun = Instant::now();
        let mut byte = [0];
        // Longer than the idle time in all, and never as long without a byte.
        while begun.elapsed() < IDLE * 3 / 2 {
            stream.write_all(b"x").await.expect("the tunnel stands");
            stream.read_exact(&mut byte).await.expect("the tunnel stands");
        }
        assert_eq!(read_to_end(&mut stream).await, "");
        closed.notified().await;
    });
}

#[test]
fn a_tunnel_ends_when_it_is_told_so_and_not_before() {
    static ENDED: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));
    run(async {
        let (upstream, closed) = switching(echo).await;
        let ended = || TunnelLimits { ended: Some(ENDED.subscribe()), ..TunnelLimits::default() };
        let mut stream = tunnel(&Front::with_tunnels(&upstream, ended)).await;
        stream.write_all(b"x").await.expect("the tunnel stands");
        stream.read_exact(&mut [0]).await.expect("the tunnel stands");
        ENDED.send_replace(true);
        assert_eq!(read_to_end(&mut stream).await, "");
        closed.notified().await;
    });
}
