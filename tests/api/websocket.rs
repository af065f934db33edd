//! WebSockets through Sealgate, with a real client and a real server at the two ends (RFC 6455).

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use reqwest::header::{COOKIE, HeaderMap, ORIGIN, SET_COOKIE};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::sessions::{about_to_refresh, beyond_refresh};
use crate::support::World;
use crate::support::wait::reach;
use crate::support::world::SESSION;

/// A client's end.
struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn says_back(&mut self, message: Message) {
        self.0.send(message.clone()).await.expect("the tunnel stands");
        assert_eq!(self.0.next().await.expect("an answer").expect("a message"), message);
    }

    /// Waits until the other side ends it.
    async fn ended(mut self) {
        let end = self.0.next().await;
        assert!(!matches!(end, Some(Ok(_))), "{end:?} in place of the end");
    }
}

/// What a page of our own sends to begin: its origin, and its cookies.
fn fields(world: &World) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(ORIGIN, world.gate.url().parse().expect("a field value"));
    if let Some(session) = world.browser.cookie(SESSION) {
        fields.insert(COOKIE, format!("{SESSION}={session}").parse().expect("a field value"));
    }
    fields
}

async fn handshake(world: &World, path: &str, fields: HeaderMap) -> Result<(Socket, Response), StatusCode> {
    let url = world.gate.url().replace("http://", "ws://") + path;
    let mut request = url.into_client_request().expect("a URL");
    request.headers_mut().extend(fields);
    match connect_async(request).await {
        Ok((socket, response)) => Ok((Socket(socket), response)),
        Err(Error::Http(response)) => Err(response.status()),
        Err(error) => panic!("{error}"),
    }
}

async fn open(world: &World) -> (Socket, Response) {
    handshake(world, "/api/socket", fields(world)).await.expect("the handshake is accepted")
}

/// Complaint of peers' users: WebSockets blocked by CSRF headers.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_not_blocked_by_csrf_headers_and_has_the_bearer_attached() {
    let world = World::signed_in().await;
    let (mut socket, response) = open(&world).await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    socket.says_back(Message::text("Grüße")).await;
    socket.says_back(Message::Binary(Bytes::from((0..=255).cycle().take(1_000_000).collect::<Vec<u8>>()))).await;
    let seen = world.upstream.last();
    assert_eq!(vec![seen.bearer().to_owned()], world.provider.issued_of("access_token").await);
    assert!(seen.header("cookie").is_empty(), "{:?}", seen.headers);
    assert_eq!(
        (seen.header("connection"), seen.header("upgrade"), seen.header("origin")),
        (vec!["upgrade"], vec!["websocket"], vec![world.gate.url()])
    );
    socket.0.close(None).await.expect("the tunnel stands");
    let farewell = socket.0.next().await.expect("an answer").expect("a message");
    assert!(farewell.is_close(), "{farewell:?}");
    socket.ended().await;
}

/// RFC 6455 §10.2; the session cookie is there by hand, as where `SameSite` does not help.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_another_origin_or_of_none_is_refused() {
    let world = World::signed_in().await;
    for origin in [None, Some("https://evil.example".to_owned()), Some(format!("{}0", world.gate.url()))] {
        let mut fields = fields(&world);
        fields.remove(ORIGIN);
        fields.extend(origin.as_ref().map(|origin| (ORIGIN, origin.parse().expect("a field value"))));
        for path in ["/api/socket", "/stream/socket", "/page/socket"] {
            let refused = handshake(&world, path, fields.clone()).await.err();
            assert_eq!(refused, Some(StatusCode::FORBIDDEN), "{path} {origin:?}");
        }
    }
    assert!(world.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_session_is_refused() {
    let world = World::start().await;
    let refused = handshake(&world, "/api/socket", fields(&world)).await.err();
    assert_eq!(refused, Some(StatusCode::UNAUTHORIZED));
    assert!(world.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_route_takes_sockets_of_any_origin_and_attaches_nothing() {
    let world = World::signed_in().await;
    let mut fields = fields(&world);
    fields.insert(ORIGIN, "https://elsewhere.example".parse().expect("a field value"));
    let (mut socket, _) = handshake(&world, "/public/socket", fields).await.expect("everybody may");
    socket.says_back(Message::text("hello")).await;
    let seen = world.upstream.last();
    assert!(seen.header("authorization").is_empty() && seen.header("cookie").is_empty(), "{:?}", seen.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_upstream_answers_in_place_of_a_101_arrives_as_it_is() {
    let world = World::signed_in().await;
    let refused = handshake(&world, "/api/status/418", fields(&world)).await.err();
    assert_eq!(refused, Some(StatusCode::IM_A_TEAPOT));
}

/// DESIGN §6: the new cookie reaches the browser on whatever response comes.
#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_of_a_refresh_arrives_on_the_101() {
    let world = about_to_refresh().await;
    let (mut socket, response) = open(&world).await;
    let cookies = response.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    let session = cookies.filter_map(|line| line.split_once(';')?.0.strip_prefix("sealgate=")).next();
    assert!(session.is_some_and(|session| session != world.session_cookie()), "{:?}", response.headers());
    assert_eq!(world.provider.stats().await.refreshes(), 1);
    socket.says_back(Message::text("hello")).await;
}

/// DESIGN §6: browsers do not follow redirects of handshakes.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_whose_session_lost_the_race_of_a_refresh_is_told_to_come_again() {
    let world = beyond_refresh().await;
    let refused = handshake(&world, "/api/socket", fields(&world)).await.err();
    assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE));
    assert!(world.upstream.seen().is_empty());
}

/// DESIGN §7: a WebSocket lives no longer than its session.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_the_session_s_sockets_and_nobody_else_s() {
    let world = World::signed_in().await;
    let (one, _) = open(&world).await;
    let (two, _) = open(&world).await;
    let public = handshake(&world, "/public/socket", fields(&world)).await;
    let (mut public, _) = public.expect("everybody may");
    let other = world.new_browser();
    other.sign_in().await;
    let mut others_fields = fields(&world);
    let cookie = format!("{SESSION}={}", other.cookie(SESSION).expect("signed in"));
    others_fields.insert(COOKIE, cookie.parse().expect("a field value"));
    let (mut others, _) = handshake(&world, "/api/socket", others_fields).await.expect("the handshake is accepted");

    world.browser.post("/bff/logout").await;
    one.ended().await;
    two.ended().await;
    others.says_back(Message::text("still here")).await;
    public.says_back(Message::text("still here")).await;
    other.post("/bff/logout").await;
    others.ended().await;
}

/// A logout elsewhere shows here when the browser comes by with its tombstone, and mostly with nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_another_replica_ends_sockets_here_at_the_browser_s_next_request() {
    ends_at_the_next_request(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_comes_back_after_a_logout_elsewhere_ends_its_sockets_here() {
    ends_at_the_next_request(true).await;
}

async fn ends_at_the_next_request(session_comes_back: bool) {
    let world = World::signed_in().await;
    let other = world.another(|options| options).await;
    let (mut socket, _) = open(&world).await;
    let session = world.session_cookie();
    let mut elsewhere: url::Url = other.url().parse().expect("an origin");
    elsewhere.set_port(Some(other.options.port)).expect("a port");
    let target = elsewhere.join("/bff/logout").expect("a path");
    world.browser.post(target.as_str()).await;
    socket.says_back(Message::text("not heard of yet")).await;
    if session_comes_back {
        world.browser.set_cookie(SESSION, &session);
    }
    world.browser.get("/api/echo").await.problem(401);
    socket.ended().await;
}

/// RFC 6455 §5.4, §5.5, §7.4: what Sealgate does not look into arrives as it was sent.
#[tokio::test(flavor = "multi_thread")]
async fn pings_fragments_and_close_codes_pass_in_both_directions() {
    let world = World::signed_in().await;
    let (mut socket, _) = handshake(&world, "/api/socket", fields(&world)).await.expect("accepted");
    let fragment = |data: &'static str, opcode, last| Message::Frame(Frame::message(data, OpCode::Data(opcode), last));
    for piece in [fragment("in ", Data::Text, false), fragment("three ", Data::Continue, false)] {
        socket.0.send(piece).await.expect("the tunnel stands");
    }
    // Between the fragments of a message (RFC 6455 §5.4); the pong overtakes the message.
    socket.0.send(Message::Ping("are you there".into())).await.expect("the tunnel stands");
    let pong = socket.0.next().await.expect("an answer").expect("a message");
    assert_eq!(pong, Message::Pong("are you there".into()));
    socket.0.send(fragment("pieces", Data::Continue, true)).await.expect("the tunnel stands");
    let whole = socket.0.next().await.expect("an answer").expect("a message");
    assert_eq!(whole, Message::text("in three pieces"));
    let reason = CloseFrame { code: CloseCode::Library(4321), reason: "had enough".into() };
    socket.0.close(Some(reason.clone())).await.expect("the tunnel stands");
    let farewell = socket.0.next().await.expect("an answer").expect("a message");
    assert_eq!(farewell, Message::Close(Some(reason)));
    socket.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_code_of_the_upstream_arrives() {
    let world = World::signed_in().await;
    let (mut socket, _) = open(&world).await;
    socket.0.send(Message::text("close 4000 enough of that")).await.expect("the tunnel stands");
    let farewell = socket.0.next().await.expect("an answer").expect("a message");
    let reason = CloseFrame { code: CloseCode::Library(4000), reason: "enough of that".into() };
    assert_eq!(farewell, Message::Close(Some(reason)));
    socket.ended().await;
}

/// Complaint of peers' users: WebSockets outliving the token. DESIGN §7: one lives no longer than its session.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_outlives_its_token_and_not_its_session() {
    let world = World::plan()
        .set("session.absolute_timeout", "8s")
        .set("session.idle_timeout", "8s")
        .provider(|provider| provider.access_token_ttl = 2)
        .signed_in()
        .await;
    let begun = Instant::now();
    let (mut socket, _) = open(&world).await;
    reach(begun + Duration::from_secs(4)).await;
    socket.says_back(Message::text("the access token has expired")).await;
    socket.ended().await;
    let lived = begun.elapsed();
    assert!((Duration::from_secs(6)..Duration::from_secs(11)).contains(&lived), "it ended after {lived:?}");
    world.browser.get("/bff/user").await.problem(401);
}

/// The `Upgrade` that curl sends with `--http2` is no handshake: such a request is sent to the same address again.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_offers_another_protocol_is_no_socket_when_its_session_lost_the_race() {
    let world = beyond_refresh().await;
    let request = world.browser.fetch(reqwest::Method::GET, "/api/echo").field("Upgrade", "h2c");
    assert_eq!(request.send().await.status, StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_says_nothing_ends_when_its_session_is_idle() {
    let world = World::plan().set("session.idle_timeout", "3s").signed_in().await;
    let (mut socket, _) = open(&world).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        socket.says_back(Message::text("talking keeps it open")).await;
        reach(Instant::now() + Duration::from_millis(500)).await;
    }
    // No response has brought the time of it to the browser.
    world.browser.get("/bff/user").await.problem(401);
    socket.ended().await;
    let lived = begun.elapsed();
    assert!((Duration::from_secs(7)..Duration::from_secs(12)).contains(&lived), "it ended after {lived:?}");
}

/// RFC 8707 §2.2: a handshake is a request as any other; its route's token is had first, and its cookie comes with the 101.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_to_an_api_with_a_token_of_its_own_gets_that_token() {
    let (upstream, resource) = (crate::support::Upstream::start().await, "https://orders.example.test");
    let to = format!("http://127.0.0.1:{}", upstream.port);
    let route = serde_json::json!({"path": "/api", "upstream": to, "resource": resource});
    let world = World::plan()
        .provider(|provider| provider.resources = vec![(resource.to_owned(), serde_json::json!({"ttl": 300}))])
        .set("routes", vec![route])
        .signed_in()
        .await;
    let (mut socket, response) = open(&world).await;
    socket.says_back(Message::text("hello")).await;
    let login = &world.provider.issued_of("access_token").await[0];
    assert_ne!(upstream.last().bearer(), login);
    assert_eq!(upstream.last().bearer().split('.').count(), 3, "a JWT, as the resource's are");
    let lines: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
    assert!(lines.iter().any(|line| line.as_bytes().starts_with(b"sealgate=")), "{lines:?}");
}
