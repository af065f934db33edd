//! Messages without a connection are what goes over one.

use actix_web::test::TestRequest;
use bytes::BytesMut;

use super::harness::route;
use crate::metrics::Metrics;
use crate::origin::PublicOrigin;
use crate::proxy::offline::{request_head, response_fields};
use crate::proxy::{Credentials, ForwardContext, OwnNames, RouteTable, TunnelLimits};
use crate::secret::AccessToken;

fn origin() -> PublicOrigin {
    "https://app.example.com".parse().expect("an origin")
}

#[test]
fn a_request_s_head_is_whole_and_has_the_token_in_place_of_the_cookie() {
    let table = RouteTable::new(vec![route("/api", &["http://127.0.0.1:1"])], &Metrics::default());
    let table = table.expect("no files");
    let route = table.find("app.example.com", "/api/x").expect("a path").expect("a route");
    let request = TestRequest::with_uri("/api/x?y=%20").insert_header(("cookie", "__Host-sealgate=1x"));
    let origin = origin();
    let context = ForwardContext {
        credentials: Credentials::Token(&AccessToken::new("t")),
        identity: &[],
        own_names: &OwnNames::new("__Host-sealgate", &origin),
        public_origin: &origin,
        peer: None,
        trusted_peer: false,
        traceparent: None,
        tunnel: TunnelLimits::default(),
    };
    let mut head = Vec::new();
    request_head(&mut head, &request.to_http_request(), route, &context, "api:1").expect("a good request");
    let head = String::from_utf8(head).expect("ASCII");
    assert!(head.starts_with("GET /api/x?y=%20 HTTP/1.1\r\nhost: api:1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: Bearer t\r\n") && !head.contains("cookie"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn an_answer_s_fields_are_those_for_the_client() {
    let names = OwnNames::new("__Host-sealgate", &origin());
    let mut read = BytesMut::from("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nX-A: 1\r\nX-A: 2\r\n");
    assert!(response_fields(&mut read, &names).expect("so far it is a head").is_none());
    read.extend_from_slice(b"\r\nbody");
    let fields = response_fields(&mut read, &names).expect("a head").expect("whole");
    let values: Vec<_> = fields.get_all("x-a").collect();
    assert_eq!((values.len(), fields.contains_key("connection"), &read[..]), (2, false, &b"body"[..]));
}
