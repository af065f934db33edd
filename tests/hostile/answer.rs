//! What a hostile provider says, and how: whole, a byte at a time, for ever, or never.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// Between two bytes of an answer that drips: too slow to end before any patience does.
const DRIP: Duration = Duration::from_millis(40);

/// One answer of an endpoint.
#[derive(Clone)]
pub struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    way: Way,
}

/// How an answer is sent.
#[derive(Clone, Copy)]
enum Way {
    Whole,
    Drip,
    Endless,
    Cut,
    Never,
    HangUp,
    Raw,
}

impl Answer {
    /// A 200 with this text as JSON, be it JSON or not.
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        let fields = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self { status: 200, fields, body: body.into(), way: Way::Whole }
    }

    /// A 200 with this JSON.
    pub fn json(body: &Value) -> Self {
        Self::text(body.to_string())
    }

    /// A redirect to that place.
    pub fn redirect(status: u16, location: impl Into<String>) -> Self {
        Self::text("").status(status).field("Location", location)
    }

    /// The connection is closed in place of an answer.
    pub fn hang_up() -> Self {
        Self { way: Way::HangUp, ..Self::text("") }
    }

    /// Nothing ever.
    pub fn never() -> Self {
        Self { way: Way::Never, ..Self::text("") }
    }

    /// These bytes in place of an HTTP response.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { way: Way::Raw, ..Self::text(bytes) }
    }

    /// A body that has no end.
    pub fn endless() -> Self {
        Self { way: Way::Endless, ..Self::text("") }
    }

    /// The same a byte at a time.
    pub fn dripping(self) -> Self {
        Self { way: Way::Drip, ..self }
    }

    /// The same, and the connection breaks in the middle of the body.
    pub fn cut(self) -> Self {
        Self { way: Way::Cut, ..self }
    }

    /// The same with that status.
    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same with this field in place of any of that name.
    pub fn field(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// The body, when it is JSON.
    pub fn as_json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    fn head(&self, framing: &str) -> String {
        let fields: String = self.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("HTTP/1.1 {} Told So\r\n{fields}{framing}Connection: close\r\n\r\n", self.status)
    }

    /// Sends it. An error is a client that has gone, having had enough.
    pub async fn send(&self, out: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        let head = || self.head(&format!("Content-Length: {}\r\n", self.body.len()));
        match self.way {
            Way::HangUp => return Ok(()),
            Way::Never => std::future::pending().await,
            Way::Raw => out.write_all(&self.body).await?,
            Way::Whole => out.write_all(&[head().as_bytes(), &self.body].concat()).await?,
            Way::Cut => {
                out.write_all(head().as_bytes()).await?;
                out.write_all(&self.body[..self.body.len() / 2]).await?;
            }
            Way::Drip => {
                out.write_all(head().as_bytes()).await?;
                for byte in &self.body {
                    out.write_all(&[*byte]).await?;
                    out.flush().await?;
                    tokio::time::sleep(DRIP).await;
                }
            }
            Way::Endless => {
                out.write_all(self.head("Transfer-Encoding: chunked\r\n").as_bytes()).await?;
                let piece = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
                loop {
                    out.write_all(&piece).await?;
                }
            }
        }
        out.flush().await?;
        out.shutdown().await
    }
}
