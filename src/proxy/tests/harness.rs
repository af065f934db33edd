//! A scripted upstream, a front server with the proxy in it, and a raw client.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::ALLOW;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::metrics::Metrics;
use crate::origin::PublicOrigin;
use crate::proxy::{
    AccessSettings, Credentials, CsrfMode, ForwardContext, ForwardError, Identity, OwnNames, RouteAuth, RouteSettings,
    RouteTable, TargetSettings, TunnelLimits, UpstreamClient, UpstreamSettings, UpstreamTimeouts, UpstreamWatch,
    forward, identity_headers,
};
use crate::secret::AccessToken;

/// No test takes longer.
const DEADLINE: Duration = Duration::from_secs(20);
/// What https://app.example.com adds to `Via`.
pub(super) const VIA: &str = "1.1 sealgate-69baddde";

/// Runs `test` as actix runs a worker, against the deadline.
pub(super) fn run(test: impl Future<Output = ()>) {
    let outcome = rt::System::new().block_on(async { tokio::time::timeout(DEADLINE, test).await });
    outcome.expect("the test ends before its deadline");
}

/// An upstream whose connections each follow a script.
pub(super) struct Upstream {
    pub(super) uri: String,
    connections: Rc<Cell<usize>>,
    requests: Rc<RefCell<Vec<String>>>,
}

impl Upstream {
    /// Runs `script` for every connection; it gets the connection's number, from 0.
    pub(super) async fn scripted<F, S>(script: S) -> Self
    where
        F: Future<Output = ()> + 'static,
        S: Fn(usize, Peer) -> F + 'static,
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let uri = format!("http://{}", listener.local_addr().expect("bound"));
        let connections = Rc::new(Cell::new(0));
        let requests = Rc::<RefCell<Vec<String>>>::default();
        let (count, seen) = (Rc::clone(&connections), Rc::clone(&requests));
        rt::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let peer = Peer { stream, buffer: Vec::new(), seen: Rc::clone(&seen) };
                rt::spawn(script(count.replace(count.get() + 1), peer));
            }
        });
        Self { uri, connections, requests }
    }

    /// Answers every request with `answer`, and keeps its connections.
    pub(super) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Rc::<[u8]>::from(answer.into());
        Self::scripted(move |_, mut peer| {
            let answer = Rc::clone(&answer);
            async move {
                while peer.request().await.is_some() {
                    peer.send(&answer).await;
                }
            }
        })
        .await
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.get()
    }

    /// All requests so far, head and body.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.borrow().clone()
    }

    /// The only request.
    pub(super) fn request(&self) -> String {
        let [request] = &self.requests.borrow()[..] else { panic!("{} requests", self.requests.borrow().len()) };
        request.clone()
    }
}

/// The upstream's end of a connection.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
    seen: Rc<RefCell<Vec<String>>>,
}

impl Peer {
    /// The next request, body and all; none if the connection ends before.
    pub(super) async fn request(&mut self) -> Option<String> {
        let head = self.head().await?;
        let length = if field(&head, "transfer-encoding").is_some() {
            self.filled(|buffer| find(buffer, b"0\r\n\r\n").map(|at| at + 5)).await?
        } else {
            let length = field(&head, "content-length").map_or(0, |length| length.parse().expect("a length"));
            self.filled(|buffer| (buffer.len() >= length).then_some(length)).await?
        };
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        let request = head + &String::from_utf8_lossy(&body);
        self.seen.borrow_mut().push(request.clone());
        Some(request)
    }

    /// The next request's head.
    pub(super) async fn head(&mut self) -> Option<String> {
        let length = self.filled(|buffer| find(buffer, b"\r\n\r\n").map(|at| at + 4)).await?;
        Some(String::from_utf8(self.buffer.drain(..length).collect()).expect("ASCII heads"))
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A client that is gone already shows in what it received.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// The next bytes, as they come; none at the end.
    pub(super) async fn piece(&mut self) -> Option<Vec<u8>> {
        self.filled(|buffer| (!buffer.is_empty()).then_some(())).await?;
        Some(std::mem::take(&mut self.buffer))
    }

    /// Waits until the proxy closes the connection, and gives how much it sent before.
    pub(super) async fn closed(&mut self) -> usize {
        let mut total = self.buffer.len();
        let mut piece = vec![0; 64 * 1024];
        loop {
            match self.stream.read(&mut piece).await {
                Ok(0) | Err(_) => return total,
                Ok(count) => total += count,
            }
        }
    }

    async fn filled<T>(&mut self, enough: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = enough(&self.buffer) {
                return Some(found);
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }
}

/// A server with the proxy in it.
pub(super) struct Front {
    pub(super) address: SocketAddr,
    pub(super) metrics: Metrics,
    _watch: UpstreamWatch,
}

impl Front {
    /// One worker, with these routes; the peer counts as one of our proxies if `trusted`.
    pub(super) fn start(routes: Vec<RouteSettings>, trusted: bool) -> Self {
        Self::start_limited(routes, trusted, TunnelLimits::default)
    }

    /// As `to`, with tunnels that end as `limits` says when they begin.
    pub(super) fn with_tunnels(upstream: &Upstream, limits: fn() -> TunnelLimits) -> Self {
        Self::start_limited(vec![route("/", &[&upstream.uri])], false, limits)
    }

    fn start_limited(routes: Vec<RouteSettings>, trusted: bool, limits: fn() -> TunnelLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let metrics = Metrics::default();
        let table = Arc::new(RouteTable::new(routes, &metrics).expect("usable files"));
        let watch = RouteTable::watch([&*table], &Handle::current(), &metrics);
        let origin: PublicOrigin = "https://app.example.com".parse().expect("an origin");
        let server = HttpServer::new(move || {
            let (client, table, origin) = (UpstreamClient::new(), Arc::clone(&table), origin.clone());
            App::new().default_service(web::to(move |request: HttpRequest, payload: web::Payload| {
                let (client, table, origin) = (client.clone(), Arc::clone(&table), origin.clone());
                async move { handle(&client, &table, &origin, trusted, limits(), request, payload).await }
            }))
        })
        .workers(1)
        .h1_allow_half_closed(false)
        .disable_signals()
        .listen(listener)
        .expect("listening")
        .run();
        rt::spawn(server);
        Self { address, metrics, _watch: watch }
    }

    /// One public route `/`, to one upstream.
    pub(super) fn to(upstream: &Upstream) -> Self {
        Self::start(vec![route("/", &[&upstream.uri])], false)
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the front listens")
    }

    /// Sends `request` on a connection of its own and reads until it is closed.
    pub(super) async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.expect("the front reads");
        read_to_end(&mut stream).await
    }

    /// As `exchange`, for a GET of `path` with these further header lines.
    pub(super) async fn get(&self, path: &str, headers: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n{headers}\r\n");
        self.exchange(request).await
    }
}

/// A public route with short times.
pub(super) fn route(path: &str, upstreams: &[&str]) -> RouteSettings {
    RouteSettings {
        path: path.to_owned(),
        upstreams: upstreams.iter().map(|uri| uri.parse().expect("a URI")).collect(),
        auth: RouteAuth::None,
        access: AccessSettings::default(),
        target: TargetSettings::default(),
        max_body_size: None,
        csrf: CsrfMode::Header,
        methods: Vec::new(),
        forward_cookies: false,
        timeouts: UpstreamTimeouts {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(10),
            idle: Duration::from_secs(10),
        },
        upstream_settings: UpstreamSettings::default(),
    }
}

/// An origin of this machine where nobody listens.
pub(super) fn dead_uri() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

pub(super) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset shows as an answer that is not whole.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one response with a `Content-Length` from a connection that stays open.
pub(super) async fn read_response(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut answer).await.expect("readable"), 0, "the connection ended");
        if let Some(end) = find(&answer, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end + 4]).into_owned();
            let length: usize = field(&head, "content-length").map_or(0, |length| length.parse().expect("a length"));
            if answer.len() >= end + 4 + length {
                return String::from_utf8_lossy(&answer).into_owned();
            }
        }
    }
}

/// The value of the first field `name` in the head of `message`.
pub(super) fn field(message: &str, name: &str) -> Option<String> {
    fields(message, name).into_iter().next()
}

/// The values of all fields `name` in the head of `message`.
pub(super) fn fields(message: &str, name: &str) -> Vec<String> {
    let head = message.split("\r\n\r\n").next().unwrap_or_default();
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).collect()
}

pub(super) fn status(message: &str) -> u16 {
    let code = message.split(' ').nth(1).unwrap_or_default();
    code.parse().unwrap_or_else(|_| panic!("no status in {message:?}"))
}

pub(super) fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// What the web layer does around the proxy, cut down: the error's kind is the body.
async fn handle(
    client: &UpstreamClient,
    table: &RouteTable,
    origin: &PublicOrigin,
    trusted_peer: bool,
    tunnel: TunnelLimits,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let route = match table.find("app.example.com", request.uri().path()) {
        Ok(Some(route)) => route,
        Ok(None) => return HttpResponse::NotFound().finish(),
        Err(refused) => return problem(&refused.into()),
    };
    let token = AccessToken::new("the-access-token");
    let set = route.identity_headers().iter().map(|header| &header.name);
    let own_names = OwnNames::new("__Host-sealgate", origin).with_headers(set);
    let context = ForwardContext {
        credentials: match route.auth() {
            RouteAuth::Session => Credentials::Token(&token),
            RouteAuth::Bearer => Credentials::OfTheClient,
            _ => Credentials::None,
        },
        identity: &identity_headers(route.identity_headers(), &Identity::default()),
        own_names: &own_names,
        public_origin: origin,
        peer: request.peer_addr().map(|address| address.ip()),
        trusted_peer,
        tunnel,
        traceparent: Some("00-11111111111111111111111111111111-2222222222222222-01".to_owned()),
    };
    match forward(client, route, &request, payload.into_inner(), &context).await {
        Ok(response) => response,
        Err(ForwardError::MethodNotAllowed) => {
            HttpResponse::MethodNotAllowed().insert_header((ALLOW, route.allow())).finish()
        }
        Err(error) => problem(&error),
    }
}

fn problem(error: &ForwardError) -> HttpResponse {
    HttpResponse::build(error.status()).body(error.kind())
}
