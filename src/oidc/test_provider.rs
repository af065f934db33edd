//! A provider for tests: an HTTP/1.1 server on port 0 that answers as scripted, well or badly, and remembers what it
//! was asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::form_urlencoded;

/// One answer.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A status, header lines and a body.
    Http { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// The connection is closed instead.
    HangUp,
    /// No answer ever.
    Silence,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, body.to_string())
    }

    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self::Http { status, headers: vec![("content-type", "application/json".to_owned())], body: body.into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Http { headers, .. } = &mut self {
            headers.retain(|(other, _)| *other != name);
            headers.push((name, value.into()));
        }
        self
    }
}

/// One request, as received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Received {
    /// The form's parameters, repeated ones included.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.form().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

#[derive(Default)]
struct Script {
    /// Answers to give once each, in order; then the standing one.
    next: HashMap<String, VecDeque<Answer>>,
    standing: HashMap<String, Answer>,
    received: Vec<Received>,
}

/// The server; it stops with the test's runtime.
#[derive(Clone)]
pub(crate) struct TestProvider {
    base: String,
    script: Arc<Mutex<Script>>,
}

impl TestProvider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let provider = Self { base, script: Arc::default() };
        let server = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.answer(stream).await });
            }
        });
        provider
    }

    /// A server with TLS, and its certificate in PEM, which nobody trusts yet.
    pub(crate) async fn start_with_tls() -> (Self, String) {
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .and_then(|builder| {
                    builder.with_no_client_auth().with_single_cert(vec![signed.cert.der().clone()], key)
                })
                .expect("a TLS configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("https://{}", listener.local_addr().expect("an address"));
        let provider = Self { base, script: Arc::default() };
        let server = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust the certificate breaks the handshake off.
                if let Ok(stream) = acceptor.accept(stream).await {
                    server.answer(stream).await;
                }
            }
        });
        (provider, signed.cert.pem())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// What `path` answers from now on.
    pub(crate) fn answers(&self, path: &str, answer: Answer) {
        self.script().standing.insert(path.to_owned(), answer);
    }

    /// What `path` answers once, before the standing answer.
    pub(crate) fn answers_once(&self, path: &str, answer: Answer) {
        self.script().next.entry(path.to_owned()).or_default().push_back(answer);
    }

    /// The requests to `path` so far.
    pub(crate) fn received(&self, path: &str) -> Vec<Received> {
        self.script().received.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// Waits until `path` has been asked `count` times.
    pub(crate) async fn wait_for(&self, path: &str, count: usize) {
        let poll = async {
            while self.received(path).len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), poll).await.expect("the requests within ten seconds");
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no test panics while it holds the script")
    }

    fn next_answer(&self, request: Received) -> Answer {
        let mut script = self.script();
        let path = request.path.clone();
        script.received.push(request);
        script
            .next
            .get_mut(&path)
            .and_then(VecDeque::pop_front)
            .or_else(|| script.standing.get(&path).cloned())
            .unwrap_or_else(|| Answer::text(404, "{}"))
    }

    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Some(request) = read_request(&mut stream).await else { return };
        match self.next_answer(request) {
            Answer::HangUp => {}
            Answer::Silence => std::future::pending().await,
            Answer::Http { status, headers, body } => {
                let mut text = format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\n");
                for (name, value) in headers {
                    text.push_str(&format!("{name}: {value}\r\n"));
                }
                text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
                // The client may have gone, having read enough.
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Received { path, headers, body: String::from_utf8(body).ok()? })
}
