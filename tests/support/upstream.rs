//! A small API behind Sealgate, written on the bare socket so that it sees every byte as it was sent.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::ports::{free_port, loopback};

/// A request as it arrived: names in the case that was sent, repeated fields repeated.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The request target, byte for byte.
    pub target: String,
    /// The fields in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body, if it is text.
    pub body: String,
}

impl Seen {
    /// The values of a field, in order; the name in any case.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// The bearer token of the only `Authorization` field.
    pub fn bearer(&self) -> &str {
        let values = self.header("authorization");
        assert_eq!(values.len(), 1, "one Authorization field: {values:?}");
        values[0].strip_prefix("Bearer ").expect("a bearer token")
    }
}

/// The API. It answers by the last segments of the path:
///
/// `…/echo` the request as JSON · `…/hold` the same, once [`Upstream::release`] was called or `…/release` asked for · `…/status/CODE` ·
/// `…/repeated` fields that occur twice, cookies, and permission for shared caches · `…/large/BYTES` chunked ·
/// `…/events` an event stream whose second event waits for the release · `…/redirect` a 302 to another host ·
/// `…/cors` CORS permissions · `…/step-up` a challenge of RFC 9470 · `…/invalid-token` another challenge · `…/socket` a WebSocket that says everything back,
/// and closes when it is told `close CODE REASON`.
pub struct Upstream {
    /// Its port on 127.0.0.1.
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    gate: Arc<watch::Sender<bool>>,
    task: AbortHandle,
}

/// So many requests are remembered, and the older half of them forgotten when there are more.
const REMEMBERED: usize = 20_000;

impl Upstream {
    /// Starts one; its task ends with the test's runtime.
    pub async fn start() -> Self {
        let (port, seen, gate) = (free_port(), Arc::default(), Arc::new(watch::Sender::new(false)));
        let task = listen(port, Connection { seen: Arc::clone(&seen), gate: Arc::clone(&gate) }).await;
        Self { port, seen, gate, task }
    }

    /// Ends it: connections break, and new ones are refused until [`Upstream::come_back`].
    pub fn go_down(&self) {
        self.task.abort();
    }

    /// Listens again at the same port.
    pub async fn come_back(&mut self) {
        let connection = Connection { seen: Arc::clone(&self.seen), gate: Arc::clone(&self.gate) };
        self.task = listen(self.port, connection).await;
    }

    /// Every request that arrived, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no test panics while it holds the lock").clone()
    }

    /// The newest request.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request reached the upstream")
    }

    /// Lets every held answer go, now and later.
    pub fn release(&self) {
        self.gate.send_replace(true);
    }
}

async fn listen(port: u16, connection: Connection) -> AbortHandle {
    let listener = TcpListener::bind(loopback(port)).await.expect("a free port");
    let accept = async move {
        // Dropped with the task, and its connections with it.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            // An answer is written in pieces, which are not to wait for each other.
            stream.set_nodelay(true).expect("a TCP connection");
            connections.spawn(connection.clone().serve(stream));
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::spawn(accept).abort_handle()
}

#[derive(Clone)]
struct Connection {
    seen: Arc<Mutex<Vec<Seen>>>,
    gate: Arc<watch::Sender<bool>>,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream) {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        while let Some(request) = read_request(&mut read).await {
            self.remember(&request);
            if request.target.ends_with("/socket") {
                return echo(&request, tokio::io::join(read, write)).await;
            }
            if self.answer(request, &mut write).await.is_err() {
                return;
            }
        }
    }

    fn remember(&self, request: &Seen) {
        let mut seen = self.seen.lock().expect("no test panics while it holds the lock");
        if seen.len() == REMEMBERED {
            seen.drain(..REMEMBERED / 2);
        }
        seen.push(request.clone());
    }

    async fn answer(&mut self, request: Seen, out: &mut (impl AsyncWriteExt + Unpin)) -> std::io::Result<()> {
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        let segments: Vec<&str> = path.split('/').collect();
        match segments.as_slice() {
            [.., "hold"] => {
                self.released().await;
                whole(out, "200 OK", "", &json(&request)).await
            }
            [.., "release"] => {
                self.gate.send_replace(true);
                whole(out, "200 OK", "", "{}").await
            }
            // These two never have a body (RFC 9110 §6.4.1).
            [.., "status", code @ ("204" | "304")] => {
                out.write_all(format!("HTTP/1.1 {code} Told So\r\n\r\n").as_bytes()).await
            }
            [.., "status", code] => whole(out, &format!("{code} Told So"), "", "{}").await,
            [.., "repeated"] => {
                let fields = "X-Twice: one\r\nX-Twice: two\r\nSet-Cookie: theirs=1; Path=/\r\nSet-Cookie: more=2\r\n\
                              Set-Cookie: sealgate=forged; Path=/\r\nCache-Control: public, s-maxage=600\r\n\
                              CDN-Cache-Control: max-age=600\r\nSurrogate-Control: max-age=600\r\n";
                whole(out, "200 OK", fields, &json(&request)).await
            }
            [.., "cors"] => {
                let fields = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n";
                whole(out, "200 OK", fields, "{}").await
            }
            [.., "step-up"] => {
                let fields = "WWW-Authenticate: Bearer error=\"insufficient_user_authentication\", \
                              acr_values=\"urn:gold urn:silver\", max_age=\"60\"\r\nSet-Cookie: theirs=1\r\n";
                whole(out, "401 Unauthorized", fields, "{\"secret\":\"of the API\"}").await
            }
            [.., "invalid-token"] => {
                whole(out, "401 Unauthorized", "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n", "{}").await
            }
            [.., "redirect"] => whole(out, "302 Found", "Location: https://elsewhere.example/x\r\n", "").await,
            [.., "large", bytes] => large(out, bytes.parse().expect("a number of bytes")).await,
            [.., "events"] => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
                out.write_all(head.as_bytes()).await?;
                chunk(out, b"data: first\n\n").await?;
                self.released().await;
                chunk(out, b"data: second\n\n").await?;
                out.write_all(b"0\r\n\r\n").await
            }
            _ => whole(out, "200 OK", "", &json(&request)).await,
        }
    }

    async fn released(&mut self) {
        // An error means that the upstream is gone, and the test with it.
        let _ = self.gate.subscribe().wait_for(|open| *open).await;
    }
}

/// RFC 6455 §4.2.2: the handshake's answer, then each message back.
async fn echo(handshake: &Seen, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let accept = derive_accept_key(handshake.header("sec-websocket-key").concat().as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        // A client that is gone shows in the next read.
        if let Some((code, reason)) = asked_to_close(&message) {
            let _ = socket.close(Some(CloseFrame { code, reason })).await;
        } else if message.is_text() || message.is_binary() {
            let _ = socket.send(message).await;
        }
    }
}

/// `close CODE REASON`.
fn asked_to_close(message: &Message) -> Option<(CloseCode, Utf8Bytes)> {
    let (code, reason) = message.to_text().ok()?.strip_prefix("close ")?.split_once(' ')?;
    Some((code.parse::<u16>().ok()?.into(), reason.into()))
}

fn json(request: &Seen) -> String {
    serde_json::to_string(request).expect("plain text becomes JSON")
}

async fn whole(out: &mut (impl AsyncWriteExt + Unpin), status: &str, fields: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    out.write_all(head.as_bytes()).await?;
    out.write_all(body.as_bytes()).await
}

async fn large(out: &mut (impl AsyncWriteExt + Unpin), bytes: usize) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    out.write_all(head.as_bytes()).await?;
    let block = [b'x'; 16 * 1024];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(block.len());
        chunk(out, &block[..now]).await?;
        left -= now;
    }
    out.write_all(b"0\r\n\r\n").await
}

async fn chunk(out: &mut (impl AsyncWriteExt + Unpin), piece: &[u8]) -> std::io::Result<()> {
    out.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
    out.write_all(piece).await?;
    out.write_all(b"\r\n").await?;
    out.flush().await
}

/// Reads one request; none when the connection ended.
async fn read_request(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Seen> {
    let line = read_line(read).await?;
    let mut words = line.splitn(3, ' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = read_line(read).await?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut seen = Seen { method, target, headers, body: String::new() };
    let length = seen.header("content-length").first().and_then(|value| value.parse::<usize>().ok());
    let body = match length {
        Some(length) => read_exactly(read, length).await?,
        None if !seen.header("transfer-encoding").is_empty() => read_chunks(read).await?,
        None => Vec::new(),
    };
    seen.body = String::from_utf8_lossy(&body).into_owned();
    Some(seen)
}

async fn read_line(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut line = Vec::new();
    read.read_until(b'\n', &mut line).await.ok()?;
    let line = line.strip_suffix(b"\r\n")?;
    Some(String::from_utf8_lossy(line).into_owned())
}

async fn read_exactly(read: &mut (impl AsyncReadExt + Unpin), length: usize) -> Option<Vec<u8>> {
    let mut body = vec![0; length];
    read.read_exact(&mut body).await.ok()?;
    Some(body)
}

async fn read_chunks(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(read_line(read).await?.split(';').next()?.trim(), 16).ok()?;
        let mut piece = read_exactly(read, size + 2).await?;
        piece.truncate(size);
        if size == 0 {
            return Some(body);
        }
        body.append(&mut piece);
    }
}
