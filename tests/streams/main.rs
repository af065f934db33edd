//! Bodies and connections in bulk through the real binary and a session route: unchanged, and in constant memory.
//!
//! The ordinary tests move 64 MiB each way; `make bench-streams` moves 1 GiB and opens thousands of connections, with the
//! release binary, and prints the figures that stand in docs/proxying.md.

mod bulk;
#[path = "../support/support.rs"]
mod support;

use std::io::Write as _;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt, stream};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, COOKIE, IF_RANGE, ORIGIN, RANGE,
};
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use self::bulk::{Digest, Pattern};
use self::support::Upstream;
use self::support::alone::{Alone, alone};
use self::support::ports::loopback;

const MIB: u64 = 1024 * 1024;
/// How much more memory a transfer may take, however long it is.
const MOST_GROWTH: u64 = 16 * MIB;

/// Everything that the tests here talk to.
struct World {
    sockets: Upstream,
    gate: Alone,
    http: Client,
}

impl World {
    async fn start() -> Self {
        let (bulk, sockets) = (bulk::start(), Upstream::start().await);
        let route = |path: &str, port: u16| {
            let upstream = format!("http://127.0.0.1:{port}");
            serde_json::json!({"path": path, "upstream": upstream, "auth": "session", "csrf": "header"})
        };
        let routes = vec![route("/bulk", bulk), route("/sockets", sockets.port)];
        // A log at the level of production: what it writes is not what is measured.
        let gate =
            alone(|options| options.set("routes", routes).set("log.level", "info").set("server.keep_alive", "10m"))
                .await;
        let http = Client::builder().no_proxy().build().expect("a plain client");
        Self { sockets, gate, http }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.gate.gate.url());
        self.http.request(method, url).header(COOKIE, &self.gate.session).header("X-CSRF", "1")
    }

    /// Sends so many bytes, with their length or in chunks, and gives the digest that the upstream made of them.
    async fn upload(&self, bytes: u64, sized: bool) -> String {
        let pieces = stream::iter(Pattern::new(bytes).map(Ok::<_, std::convert::Infallible>));
        let mut request = self.request(Method::POST, "/bulk/digest").body(Body::wrap_stream(pieces));
        if sized {
            request = request.header(CONTENT_LENGTH, bytes);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        response.text().await.expect("a digest")
    }

    /// Fetches so many bytes and gives their digest.
    async fn download(&self, bytes: u64, sized: bool) -> String {
        let kind = if sized { "sized" } else { "chunked" };
        let response = self.request(Method::GET, &format!("/bulk/{kind}/{bytes}")).send().await.expect("an answer");
        assert_eq!(response.content_length(), sized.then_some(bytes));
        let mut digest = Digest::default();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            digest.update(&piece.expect("a whole body"));
        }
        digest.hex()
    }

    /// A line of `/proc/PID/status`, in bytes.
    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gate.gate.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
        let kib: u64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
        kib * 1024
    }

    /// The memory in use now.
    fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that ever was.
    fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }
}

fn report(line: &str) {
    // Lost if nobody listens.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Moves so many bytes each way, with their length and in chunks, and checks every one of them.
async fn move_unchanged(bytes: u64) {
    let world = World::start().await;
    // Pools and buffers have their size after this.
    for sized in [true, false] {
        world.upload(8 * MIB, sized).await;
        world.download(8 * MIB, sized).await;
    }
    let wanted = Digest::of(Pattern::new(bytes));
    let before = world.resident();
    for sized in [true, false] {
        let framing = if sized { "with their length" } else { "in chunks" };
        let begun = Instant::now();
        assert_eq!(world.upload(bytes, sized).await, wanted, "up, {framing}");
        let up = begun.elapsed();
        assert_eq!(world.download(bytes, sized).await, wanted, "down, {framing}");
        let down = begun.elapsed() - up;
        report(&format!("{} MiB {framing}: up in {up:.1?}, down in {down:.1?}", bytes / MIB));
    }
    let (after, peak) = (world.resident(), world.peak());
    report(&format!("memory: {} KiB before, {} KiB after, {} KiB at most", before / 1024, after / 1024, peak / 1024));
    let growth = peak.saturating_sub(before);
    assert!(growth < MOST_GROWTH, "it took {growth} bytes more");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_64_mib_pass_unchanged_and_in_constant_memory() {
    move_unchanged(64 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes its time: `make bench-streams`"]
async fn bodies_of_1_gib_pass_unchanged_and_in_constant_memory() {
    move_unchanged(1024 * MIB).await;
}

/// RFC 9110 §8.4: a coding belongs to the content; only who asked for it may undo it.
#[tokio::test(flavor = "multi_thread")]
async fn content_codings_pass_untouched() {
    let world = World::start().await;
    for coding in ["gzip", "br", "zstd", "gzip, br"] {
        let request = world.request(Method::GET, "/bulk/coded").header(ACCEPT_ENCODING, coding);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.headers()[CONTENT_ENCODING], coding);
        // Not what any of them would look like: nobody may try to read it.
        assert_eq!(response.bytes().await.expect("a body").as_ref(), bulk::coded(coding));
        let request = world.request(Method::POST, "/bulk/digest").header(CONTENT_ENCODING, coding);
        let response = request.body(bulk::coded(coding)).send().await.expect("an answer");
        assert_eq!(response.headers()["x-content-encoding"], coding);
        assert_eq!(response.text().await.expect("a digest"), Digest::of([bulk::coded(coding)]));
    }
}

/// RFC 9110 §14.
#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_the_upstream_s_business() {
    let world = World::start().await;
    let ask = async |range: &'static str, tag: &'static str| -> Response {
        let request = world.request(Method::GET, "/bulk/ranges").header(RANGE, range).header(IF_RANGE, tag);
        request.send().await.expect("an answer")
    };
    let part = ask("bytes=2-4", "\"v1\"").await;
    assert_eq!(
        (part.status(), &part.headers()[CONTENT_RANGE]),
        (StatusCode::PARTIAL_CONTENT, &"bytes 2-4/10".parse().expect("a value"))
    );
    assert_eq!(part.text().await.expect("a body"), "234");
    let outdated = ask("bytes=2-4", "\"v0\"").await;
    assert_eq!(outdated.status(), StatusCode::OK);
    assert_eq!(outdated.text().await.expect("a body"), "0123456789");
    let beyond = ask("bytes=20-", "\"v1\"").await;
    assert_eq!(
        (beyond.status(), &beyond.headers()[CONTENT_RANGE]),
        (StatusCode::RANGE_NOT_SATISFIABLE, &"bytes */10".parse().expect("a value"))
    );
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open_socket(world: &World) -> Socket {
    let url = world.gate.gate.url().replace("http://", "ws://") + "/sockets/socket";
    let mut request = url.into_client_request().expect("a URL");
    let fields = request.headers_mut();
    fields.insert(ORIGIN, world.gate.gate.url().parse().expect("a field value"));
    fields.insert(COOKIE, world.gate.session.parse().expect("a field value"));
    connect_async(request).await.expect("the handshake is accepted").0
}

async fn says_back(socket: &mut Socket, text: String) {
    socket.send(Message::text(text.clone())).await.expect("the tunnel stands");
    assert_eq!(socket.next().await.expect("an answer").expect("a message"), Message::text(text));
}

/// All of them open, each of them alive, and what they cost.
async fn open_sockets(world: &World, count: usize) -> u64 {
    let before = world.resident();
    let opening = stream::iter(0..count).map(|_| open_socket(world)).buffer_unordered(32);
    let mut sockets: Vec<_> = opening.collect().await;
    for (number, socket) in sockets.iter_mut().enumerate() {
        says_back(socket, format!("number {number}")).await;
    }
    assert_eq!(world.sockets.seen().len(), count);
    let cost = world.resident().saturating_sub(before);
    report(&format!("{count} WebSockets: {} KiB, {} bytes each", cost / 1024, cost / count as u64));
    cost
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sockets_are_open_at_once() {
    open_sockets(&World::start().await, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs 4,000 open files: `make bench-streams`"]
async fn a_thousand_sockets_are_open_at_once() {
    let cost = open_sockets(&World::start().await, 1_000).await;
    assert!(cost < 128 * MIB, "{cost} bytes");
}

/// One request on a connection that stays open.
async fn keep_alive(world: &World) -> TcpStream {
    let mut stream = TcpStream::connect(loopback(world.gate.gate.options.port)).await.expect("the server listens");
    ask(world, &mut stream).await;
    stream
}

async fn ask(world: &World, stream: &mut TcpStream) {
    let host = world.gate.gate.url().trim_start_matches("http://");
    let request =
        format!("GET /bulk/small HTTP/1.1\r\nHost: {host}\r\nCookie: {}\r\nX-CSRF: 1\r\n\r\n", world.gate.session);
    stream.write_all(request.as_bytes()).await.expect("the connection is open");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nsmall") {
        assert_ne!(stream.read_buf(&mut answer).await.expect("readable"), 0, "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs 10,100 open files on each side: `make bench-streams`"]
async fn ten_thousand_idle_connections_cost_little() {
    const COUNT: usize = 10_000;
    let world = World::start().await;
    for _ in 0..100 {
        keep_alive(&world).await;
    }
    let before = world.resident();
    let begun = Instant::now();
    let opening = stream::iter(0..COUNT).map(|_| keep_alive(&world)).buffer_unordered(32);
    let mut open: Vec<_> = opening.collect().await;
    let took = begun.elapsed();
    let cost = world.resident().saturating_sub(before);
    report(&format!(
        "{COUNT} idle connections, opened in {took:.1?}: {} KiB, {} bytes each",
        cost / 1024,
        cost / COUNT as u64
    ));
    let all = stream::iter(&mut open).for_each_concurrent(32, |stream| ask(&world, stream));
    tokio::time::timeout(Duration::from_secs(120), all).await.expect("all of them are open still");
    report(&format!("after another request on each: {} KiB at most", world.peak() / 1024));
    assert!(cost < 256 * MIB, "{cost} bytes");
}
