//! The operations of the data plane, each on the same input in every run: what `seal.rs` takes the time of, and
//! `instructions.rs` has the instructions counted of.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;
use actix_web::test::TestRequest;
use bytes::BytesMut;

use sealgate::aead::Algorithm;
use sealgate::proxy::offline::{decode_chunks, request_head, response_fields};
use sealgate::proxy::{Credentials, ForwardContext, OwnNames, TunnelLimits};
use sealgate::session::cookies::RequestCookies;

use super::site::{Site, entra_access_token, entra_session, origin, twenty_routes};

/// Something that measures operations.
pub trait Measure {
    /// Measures `run` on what `prepare` makes, which does not count.
    fn measure<I, O>(&mut self, name: &'static str, what: &str, prepare: impl FnMut() -> I, run: impl FnMut(I) -> O);
}

/// All operations. `name` is how they are asked for, `what` says it in words.
pub fn measure_all(measure: &mut impl Measure) {
    session(measure);
    request(measure);
    answer(measure);
}

fn session(measure: &mut impl Measure) {
    let site = Site::new(Algorithm::Xaes256Gcm);
    let names = site.sessions.names();
    let session = entra_session();
    let open = |field: &str| {
        let cookies = RequestCookies::parse([field.as_bytes()], names);
        site.sessions.open(&cookies).expect("it is ours")
    };
    let unknown = || site.unknown_cookie_field(&session);
    measure.measure("open", "open a session, from the `Cookie` field", unknown, |field| open(&field));
    let known = unknown();
    open(&known);
    let what = "open a session whose cookie was opened a moment ago";
    measure.measure("open-remembered", what, || (), |()| open(&known));
    let none = RequestCookies::default();
    measure.measure(
        "seal",
        "seal a session, to the `Set-Cookie` lines",
        || session.clone(),
        |session| site.sessions.deliver(&site.sessions.seal(session).expect("it fits"), &none),
    );
}

fn request(measure: &mut impl Measure) {
    let table = twenty_routes();
    let path = "/api/service-7/users/4711/orders";
    let find = || table.find("app.example.com", std::hint::black_box(path)).expect("a good path");
    measure.measure("route", "find one of twenty routes", || (), |()| find());
    let route = find().expect("it is one of them");

    let site = Site::new(Algorithm::Xaes256Gcm);
    let cookies = site.cookie_field(&site.sessions.seal(entra_session()).expect("it fits"));
    let request = browser_request(&format!("{path}?page=2"), &cookies);
    let (origin, token) = (origin(), entra_access_token());
    let own_names = OwnNames::new("__Host-sealgate", &origin);
    let context = ForwardContext {
        credentials: Credentials::Token(&token),
        identity: &[],
        own_names: &own_names,
        public_origin: &origin,
        peer: Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))),
        trusted_peer: false,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        tunnel: TunnelLimits::default(),
    };
    // A connection keeps the memory of its last head.
    let mut head = Vec::new();
    measure.measure(
        "request-head",
        "write the head of a request to an upstream, with the access token",
        || (),
        |()| {
            head.clear();
            request_head(&mut head, &request, route, &context, "orders.internal:8080").expect("a good request");
        },
    );
}

fn answer(measure: &mut impl Measure) {
    let own_names = OwnNames::new("__Host-sealgate", &origin());
    measure.measure(
        "response-head",
        "read the head of an answer, and make the client's fields of it",
        || BytesMut::from(ANSWER),
        |mut read| response_fields(&mut read, &own_names).expect("a good answer").expect("a whole one"),
    );
    let body = [b"400\r\n".as_slice(), &[b'x'; 1024], b"\r\n"].concat().repeat(16);
    let body = [&body[..], b"0\r\n\r\n"].concat();
    measure.measure(
        "chunks",
        "take 16 KiB out of sixteen chunks",
        || BytesMut::from(&body[..]),
        |mut read| {
            let mut bytes = 0;
            assert!(decode_chunks(&mut read, |piece| bytes += piece.len()).expect("good chunks"), "they end");
            bytes
        },
    );
}

/// What an API answers, with a cookie of its own.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT\r\n\
    Content-Type: application/json; charset=utf-8\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n\
    Cache-Control: no-cache\r\nETag: \"33a64df551425fcc55e4d42a148795d9\"\r\nVary: Accept-Encoding\r\n\
    X-Request-Id: 4f1c9a1e-6f0a-4c55-9a58-1f4a4b6d7a11\r\nX-Content-Type-Options: nosniff\r\n\
    Set-Cookie: cart=4711; Path=/; Secure; HttpOnly; SameSite=Lax\r\n\r\n";

/// A browser's `fetch` from the app's own page.
fn browser_request(target: &str, cookies: &str) -> HttpRequest {
    let fields = [
        ("host", "app.example.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "application/json"),
        ("accept-language", "en-GB,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br"),
        ("referer", "https://app.example.com/orders"),
        ("connection", "keep-alive"),
        ("cookie", cookies),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-origin"),
        ("x-csrf", "1"),
    ];
    let request = TestRequest::with_uri(target);
    fields.into_iter().fold(request, TestRequest::insert_header).to_http_request()
}
