//! How long idle connections are kept: a load balancer sends requests down those that it has.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::ports::loopback;
use crate::support::{Sealgate, World};

/// A connection over which one request went, and stays open.
async fn idle_connection(gate: &Sealgate) -> TcpStream {
    let mut stream = TcpStream::connect(loopback(gate.options.port)).await.expect("it listens");
    let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", gate.options.port);
    stream.write_all(request.as_bytes()).await.expect("an open connection");
    let mut answer = Vec::new();
    while !answer.ends_with(b"</h1>\n") {
        let read = stream.read_buf(&mut answer).await.expect("an answer");
        assert!(read > 0, "it ended at {:?}", String::from_utf8_lossy(&answer));
    }
    stream
}

/// Waits for the server's end of the connection.
async fn closed(mut stream: TcpStream) {
    let end = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut [0])).await;
    assert_eq!(end.expect("it ends").unwrap_or(0), 0, "nothing is sent unasked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_after_the_keep_alive_and_not_before() {
    let world = World::plan().set("server.keep_alive", "8s").start().await;
    let stream = idle_connection(&world.gate).await;
    let begun = Instant::now();
    closed(stream).await;
    let lived = begun.elapsed();
    assert!((Duration::from_secs(7)..Duration::from_secs(15)).contains(&lived), "it ended after {lived:?}");
}

/// The keep-alive is longer than the platform waits; nobody is on such a connection.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let mut world = World::start().await;
    let stream = idle_connection(&world.gate).await;
    let begun = Instant::now();
    world.gate.terminate();
    closed(stream).await;
    assert_eq!(world.gate.exit_status().await.code(), Some(0), "{}", world.gate.log());
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
}
