//! A client on a bare socket. What it gets it reads strictly, and then it asks for something else on the same
//! connection: that answer tells whether the connection is open, and that nothing lay before it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::case::Case;
use crate::message::{Framing, Head, Response, parse_body, partial_body};
use crate::support::alone::Alone;
use crate::support::ports::loopback;
use crate::upstream::Upstream;

/// Where the question behind the case goes.
pub const PROBE_PATH: &str = "/probe";
/// The answer there.
pub const PROBE_ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nstill in order";
const PROBED: &str = "still in order";
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of a case.
pub struct Outcome {
    /// The answers.
    pub got: Vec<Response>,
    /// Whether the connection took a further request.
    pub open: bool,
}

/// Plays the client's part.
pub async fn play(gate: &Alone, path: &str, case: &Case, upstream: &Upstream) -> Result<Outcome, String> {
    let exchange = async {
        let mut connection = Connection::open(gate).await;
        for (number, part) in case.sends.split("{wait}").enumerate() {
            if number > 0 {
                upstream.saw_a_head().await;
            }
            connection.send(&filled(gate, path, part)).await;
        }
        let mut got = Vec::new();
        while got.len() < case.got.len() {
            match connection.response(case.heads.contains(&got.len())).await? {
                Some(response) => got.push(response),
                None => return Ok(Outcome { got, open: false }),
            }
        }
        let probe = filled(gate, PROBE_PATH, "GET {path} HTTP/1.1\r\n{own}\r\n");
        connection.send(&probe).await;
        match connection.response(false).await? {
            Some(response) if response.body == PROBED => Ok(Outcome { got, open: true }),
            Some(more) => {
                got.push(more);
                Ok(Outcome { got, open: true })
            }
            None => Ok(Outcome { got, open: false }),
        }
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err("nothing more happens".to_owned()))
}

/// What the next client gets for a GET.
pub async fn next(gate: &Alone, path: &str) -> Result<Response, String> {
    let exchange = async {
        let mut connection = Connection::open(gate).await;
        connection.send(&filled(gate, path, "GET {path}/next HTTP/1.1\r\n{own}\r\n")).await;
        connection.response(false).await?.ok_or_else(|| "the connection of the next client ended".to_owned())
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err("the next client waits for ever".to_owned()))
}

fn filled(gate: &Alone, path: &str, template: &str) -> String {
    let host = gate.gate.url().trim_start_matches("http://");
    let auth = format!("Cookie: {}\r\nX-CSRF: 1\r\n", gate.session);
    let own = format!("Host: {host}\r\n{auth}");
    let pairs = [("{path}", path), ("{own}", &own), ("{auth}", &auth), ("{host}", host), ("{session}", &gate.session)];
    pairs.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(gate: &Alone) -> Self {
        let stream = TcpStream::connect(loopback(gate.gate.options.port)).await.expect("the server listens");
        Self { stream, buffer: Vec::new() }
    }

    async fn send(&mut self, bytes: &str) {
        // A server that has closed the connection shows in what is read.
        let _ = self.stream.write_all(bytes.as_bytes()).await;
    }

    /// More bytes; false at the end.
    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    /// The next response; none when the connection ends before it begins.
    async fn response(&mut self, to_head: bool) -> Result<Option<Response>, String> {
        let (head, length) = loop {
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
            if !self.more().await {
                let rest = String::from_utf8_lossy(&self.buffer);
                return if rest.is_empty() { Ok(None) } else { Err(format!("a broken head: {rest:?}")) };
            }
        };
        self.buffer.drain(..length);
        let status = head.status()?;
        let framing = head.response_framing(status, to_head)?;
        let (body, whole) = self.body(&framing).await?;
        Ok(Some(Response { status, head, body: String::from_utf8_lossy(&body).into_owned(), whole }))
    }

    async fn body(&mut self, framing: &Framing) -> Result<(Vec<u8>, bool), String> {
        loop {
            if let Some((body, length)) = parse_body(&self.buffer, framing)? {
                self.buffer.drain(..length);
                return Ok((body, true));
            }
            if !self.more().await {
                let body = partial_body(&self.buffer, framing);
                self.buffer.clear();
                return Ok((body, *framing == Framing::Close));
            }
        }
    }
}
