//! Large bodies, and what holds them back.

use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::harness::*;

const LARGE: usize = 64 << 20;
/// More than the buffers of four sockets on this machine ever hold, less than the body.
const HELD: usize = 40 << 20;
const PIECE: usize = 64 << 10;
/// A write that takes this long is held back.
const STALL: Duration = Duration::from_millis(500);

/// Writes `LARGE` bytes as long as somebody takes them; how many went before a write was held back.
async fn write_until_stalled(stream: &mut (impl AsyncWriteExt + Unpin)) -> usize {
    let piece = vec![b'x'; PIECE];
    let mut written = 0;
    while written < LARGE {
        match tokio::time::timeout(STALL, stream.write(&piece[..PIECE.min(LARGE - written)])).await {
            Ok(count) => written += count.expect("the other side is there"),
            Err(_) => break,
        }
    }
    written
}

async fn write_rest(stream: &mut (impl AsyncWriteExt + Unpin), mut written: usize) {
    let piece = vec![b'x'; PIECE];
    while written < LARGE {
        let next = PIECE.min(LARGE - written);
        stream.write_all(&piece[..next]).await.expect("the other side is there");
        written += next;
    }
}

#[test]
fn an_upload_waits_for_the_upstream_and_then_arrives_whole() {
    run(async {
        let go = Rc::new(Notify::new());
        let start = Rc::clone(&go);
        let upstream = Upstream::scripted(move |_, mut peer| {
            let start = Rc::clone(&start);
            async move {
                start.notified().await;
                peer.head().await;
                let mut left = LARGE;
                while left > 0 {
                    left -= peer.piece().await.expect("the body comes").len();
                }
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").await;
            }
        })
        .await;
        let mut client = Front::to(&upstream).connect().await;
        let head = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
        client.write_all(head.as_bytes()).await.expect("it reads");
        let written = write_until_stalled(&mut client).await;
        assert!(written < HELD, "{written} bytes were buffered");
        go.notify_one();
        write_rest(&mut client, written).await;
        let answer = read_response(&mut client).await;
        assert_eq!((status(&answer), body(&answer)), (200, "fine"));
    });
}

#[test]
fn a_download_waits_for_the_client_and_then_arrives_whole() {
    run(async {
        let stalled = Rc::new(Notify::new());
        let waiting = Rc::clone(&stalled);
        let upstream = Upstream::scripted(move |_, mut peer| {
            let waiting = Rc::clone(&waiting);
            async move {
                peer.request().await;
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n")).await;
                let written = write_until_stalled(&mut peer.stream).await;
                assert!(written < HELD, "{written} bytes were buffered");
                waiting.notify_one();
                write_rest(&mut peer.stream, written).await;
            }
        })
        .await;
        let mut settings = route("/", &[&upstream.uri]);
        // Shorter than the client's silence, which is not the upstream's.
        settings.timeouts.idle = STALL / 2;
        let mut client = Front::start(vec![settings], false).connect().await;
        client.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("it reads");
        stalled.notified().await;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("it comes");
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        assert_eq!(answer.len() - head, LARGE);
    });
}

/// Otherwise a few clients could take all places at an upstream, and keep them.
#[test]
fn a_client_that_reads_nothing_gives_its_place_at_the_upstream_back() {
    run(async {
        let upstream = Upstream::scripted(|connection, mut peer| async move {
            peer.request().await;
            if connection == 0 {
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n")).await;
                write_until_stalled(&mut peer.stream).await;
                let mut rest = Vec::new();
                let _ = peer.stream.read_to_end(&mut rest).await;
            } else {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").await;
            }
        })
        .await;
        let mut settings = route("/", &[&upstream.uri]);
        settings.upstream_settings.limits.max_connections = 1;
        settings.timeouts.idle = STALL;
        // The other one waits for so long: longer than the idler may take, and the next look at it.
        settings.timeouts.connect = Duration::from_secs(18);
        let front = Front::start(vec![settings], false);
        let mut idler = front.connect().await;
        idler.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("it reads");
        let mut other = front.connect().await;
        other.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("it reads");
        let answer = read_response(&mut other).await;
        assert_eq!((status(&answer), body(&answer)), (200, "fine"));
        drop(idler);
    });
}

/// Server-sent events: every piece at once, not when a buffer is full.
#[test]
fn pieces_pass_as_they_come_in_both_directions() {
    run(async {
        let upstream = Upstream::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n0\r\n\r\n") {
                // Chunks or parts of them, as the socket gives them.
                let piece = peer.piece().await.expect("the body comes");
                heard.extend_from_slice(&piece);
                peer.send(piece).await;
            }
        })
        .await;
        let mut client = Front::to(&upstream).connect().await;
        client.write_all(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await.expect("it reads");
        let mut answer = Vec::new();
        let mut wanted = String::new();
        for round in 0..5 {
            client.write_all(format!("5\r\nping{round}\r\n").as_bytes()).await.expect("it reads");
            wanted += &format!("ping{round}");
            while chunk_data(&answer) != wanted {
                assert_ne!(client.read_buf(&mut answer).await.expect("readable"), 0, "{answer:?}");
            }
        }
        client.write_all(b"0\r\n\r\n").await.expect("it reads");
        while !answer.ends_with(b"0\r\n\r\n") {
            assert_ne!(client.read_buf(&mut answer).await.expect("readable"), 0);
        }
    });
}

/// The data of the whole chunks behind a head, however they were cut.
fn chunk_data(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let mut rest = body(&text);
    let mut data = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        let Some(chunk) = behind.get(..size + 2) else { break };
        data += &chunk[..size];
        rest = &behind[size + 2..];
    }
    data
}

#[test]
fn an_upstream_that_stops_reading_times_out() {
    run(async {
        let upstream = Upstream::scripted(|_, peer| async move {
            // Holds the connection, and reads nothing.
            std::future::pending::<()>().await;
            drop(peer);
        })
        .await;
        let mut settings = route("/", &[&upstream.uri]);
        settings.timeouts.idle = Duration::from_millis(500);
        let mut client = Front::start(vec![settings], false).connect().await;
        let head = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
        client.write_all(head.as_bytes()).await.expect("it reads");
        let (mut reader, mut writer) = client.into_split();
        let upload = actix_web::rt::spawn(async move {
            write_until_stalled_or_refused(&mut writer).await;
            writer
        });
        let mut answer = Vec::new();
        while !answer.ends_with(b"upstream-timeout") {
            assert_ne!(reader.read_buf(&mut answer).await.expect("readable"), 0, "{answer:?}");
        }
        assert_eq!(status(&String::from_utf8_lossy(&answer)), 504);
        upload.abort();
    });
}

async fn write_until_stalled_or_refused(stream: &mut (impl AsyncWriteExt + Unpin)) {
    let piece = vec![b'x'; PIECE];
    for _ in 0..LARGE / PIECE {
        if stream.write_all(&piece).await.is_err() {
            return;
        }
    }
}
