//! An upstream on a bare socket: it says what the case says, and keeps every byte that it was sent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::case::{Answer, Then};
use crate::message::{Framing, Head, parse_body, partial_body};
use crate::support::alone::ACCESS_TOKEN;

/// Fields that every request has by us, exactly once.
const OURS: [&str; 6] = ["host", "authorization", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "via"];

/// A listening upstream; its tasks end with the test's runtime.
pub struct Upstream {
    /// Its port on 127.0.0.1.
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
    late: Arc<Late>,
}

/// When what is late is asked for, and when it has been sent.
#[derive(Default)]
struct Late {
    now: Notify,
    sent: Notify,
}

#[derive(Default)]
struct Seen {
    requests: Vec<String>,
    faults: Vec<String>,
}

impl Upstream {
    /// Listens, and answers the n-th request, on whatever connection, with the n-th of `answers`.
    pub async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound listener").port();
        let seen = Arc::<Mutex<Seen>>::default();
        let late = Arc::<Late>::default();
        let upstream = Self { port, seen: Arc::clone(&seen), late: Arc::clone(&late) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection =
                    Connection { stream, port, buffer: Vec::new(), seen: Arc::clone(&seen), late: Arc::clone(&late) };
                tokio::spawn(connection.serve(answers.clone()));
            }
        });
        upstream
    }

    /// Has what is late sent, and waits until it is.
    pub async fn send_late(&self) {
        self.late.now.notify_one();
        self.late.sent.notified().await;
    }

    /// Waits for the first request's head.
    pub async fn saw_a_head(&self) {
        while self.seen.lock().expect("nobody panics with the lock").requests.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether exactly these requests came, and all were sound; waits for what is under way.
    pub async fn saw(&self, wanted: &[String]) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            {
                let seen = self.seen.lock().expect("nobody panics with the lock");
                if let Some(fault) = seen.faults.first() {
                    return Err(format!("the upstream saw {fault}"));
                }
                if seen.requests == wanted {
                    return Ok(());
                }
                if seen.requests.len() > wanted.len() || tokio::time::Instant::now() > deadline {
                    return Err(format!("the upstream saw {:#?}\nin place of {wanted:#?}", seen.requests));
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

struct Connection {
    stream: TcpStream,
    port: u16,
    buffer: Vec<u8>,
    seen: Arc<Mutex<Seen>>,
    late: Arc<Late>,
}

impl Connection {
    async fn serve(mut self, answers: Vec<Answer>) {
        loop {
            let (head, framing) = match self.head().await {
                Ok(Some(head)) => head,
                Ok(None) => return,
                Err(fault) => return self.seen.lock().expect("nobody panics with the lock").faults.push(fault),
            };
            // A place in the order of the heads.
            let number = {
                let mut seen = self.seen.lock().expect("nobody panics with the lock");
                seen.requests.push(format!("{head}…"));
                seen.requests.len() - 1
            };
            let answer = answers.get(number).or(answers.last()).expect("an answer at least");
            if answer.early {
                self.send(answer).await;
            }
            let body = self.body(&framing).await;
            let whole = match body {
                Ok(body) => {
                    self.note(number, format!("{head}{}", String::from_utf8_lossy(&body)));
                    true
                }
                Err(body) => {
                    self.note(number, format!("{head}{}…", String::from_utf8_lossy(&body)));
                    false
                }
            };
            if !whole {
                return;
            }
            if !answer.early {
                self.send(answer).await;
            }
            if !answer.late.is_empty() {
                self.late.now.notified().await;
                let _ = self.stream.write_all(answer.late.as_bytes()).await;
                self.late.sent.notify_one();
            }
            match answer.then {
                Then::Keep => {}
                Then::Close => return,
                Then::Reset => {
                    self.stream.set_zero_linger().expect("a socket");
                    return;
                }
            }
        }
    }

    fn note(&self, number: usize, request: String) {
        self.seen.lock().expect("nobody panics with the lock").requests[number] = request;
    }

    async fn send(&mut self, answer: &Answer) {
        // Who is gone sees nothing of it.
        let _ = self.stream.write_all(answer.bytes.as_bytes()).await;
    }

    /// The next head without what is ours in it, and how its body ends. None: the connection ended before it began.
    async fn head(&mut self) -> Result<Option<(String, Framing)>, String> {
        loop {
            if let Some((head, length)) = Head::parse(&self.buffer)? {
                self.buffer.drain(..length);
                let framing = head.request_framing()?;
                return Ok(Some((self.without_ours(head)?, framing)));
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                _ if self.buffer.is_empty() => return Ok(None),
                _ => return Err(format!("a broken head: {:?}", String::from_utf8_lossy(&self.buffer))),
            }
        }
    }

    /// The body, or what came of it.
    async fn body(&mut self, framing: &Framing) -> Result<Vec<u8>, Vec<u8>> {
        loop {
            match parse_body(&self.buffer, framing) {
                Ok(Some((body, length))) => {
                    self.buffer.drain(..length);
                    return Ok(body);
                }
                Ok(None) => {}
                Err(_) => return Err(partial_body(&self.buffer, framing)),
            }
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                return Err(partial_body(&self.buffer, framing));
            }
        }
    }

    fn without_ours(&self, mut head: Head) -> Result<String, String> {
        for name in OURS {
            if head.fields(name).len() != 1 {
                return Err(format!("{name} not exactly once: {head:?}"));
            }
        }
        let (host, token) = (format!("127.0.0.1:{}", self.port), format!("Bearer {ACCESS_TOKEN}"));
        if head.fields("host") != [host.as_str()] || head.fields("authorization") != [token.as_str()] {
            return Err(format!("another host or token: {head:?}"));
        }
        head.lines.retain(|(name, _)| !OURS.contains(&name.as_str()) && name != "x-csrf");
        let lines: String = head.lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Ok(format!("{}\r\n{lines}\r\n", head.first))
    }
}
