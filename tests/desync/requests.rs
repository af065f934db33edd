//! What clients send: lengths that contradict each other, heads that servers read differently, requests behind requests.

use crate::case::{Case, Then, answer, case, fine, got, problem, with_field};

const SMUGGLED: &str = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";

/// All of them.
pub fn cases() -> Vec<Case> {
    [
        lengths(),
        codings(),
        chunks(),
        heads(),
        targets(),
        hosts(),
        connection_fields(),
        upgrades(),
        sequences(),
        limits(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The parser's own refusal: an empty 400, and the connection closed (RFC 9112 §2.2).
fn refused(case: Case) -> Case {
    case.got(got(400, "")).closed()
}

/// RFC 9112 §6.2, §6.3; RFC 9110 §8.6.
fn lengths() -> Vec<Case> {
    let smuggle = |lines: &str| format!("POST {{path}}/x HTTP/1.1\r\n{{own}}{lines}\r\n\r\n0\r\n\r\n{SMUGGLED}");
    vec![
        refused(case("CL and TE").sends(smuggle("Content-Length: 4\r\nTransfer-Encoding: chunked"))),
        refused(case("TE and CL").sends(smuggle("Transfer-Encoding: chunked\r\nContent-Length: 4"))),
        refused(case("CL 0 and TE").sends(smuggle("Content-Length: 0\r\nTransfer-Encoding: chunked"))),
        refused(case("CL twice, the same").sends_post("Content-Length: 2\r\nContent-Length: 2", "hi")),
        refused(case("CL twice, different").sends_post("Content-Length: 2\r\nContent-Length: 40", "hi")),
        refused(case("CL as a list").sends_post("Content-Length: 2, 2", "hi")),
        refused(case("CL with a plus").sends_post("Content-Length: +2", "hi")),
        refused(case("CL with a minus").sends_post("Content-Length: -2", "hi")),
        refused(case("CL in hexadecimal").sends_post("Content-Length: 0x2", "hi")),
        refused(case("CL with a space in it").sends_post("Content-Length: 1 2", "hi")),
        refused(case("CL with a fraction").sends_post("Content-Length: 2.0", "hi")),
        refused(case("CL empty").sends_post("Content-Length:", "hi")),
        refused(case("CL beyond 64 bits").sends_post("Content-Length: 18446744073709551618", "hi")),
        case("CL with zeros before it is that length")
            .sends_post("Content-Length: 0002", "hi")
            .seen("POST {path}/x HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi")
            .got(fine()),
        case("a length under another name is a field like any other, and does not arrive")
            .sends_post("Content_Length: 40\r\nContent-Length: 2", "hi")
            .seen("POST {path}/x HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi")
            .got(fine()),
        case("a GET with a body")
            .sends("GET {path}/x HTTP/1.1\r\n{own}Content-Length: 2\r\n\r\nhi")
            .seen("GET {path}/x HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi")
            .got(fine()),
    ]
}

/// RFC 9112 §6.1, §7.
fn codings() -> Vec<Case> {
    let coded = |coding: &str| format!("Transfer-Encoding: {coding}");
    vec![
        refused(case("TE chunked twice in a list").sends_post(&coded("chunked, chunked"), "0\r\n\r\n")),
        refused(
            case("TE chunked in two fields")
                .sends_post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ),
        refused(case("TE identity").sends_post(&coded("identity"), "hi")),
        refused(case("TE xchunked").sends_post(&coded("xchunked"), "0\r\n\r\n")),
        refused(case("TE chunked and gzip").sends_post(&coded("chunked, gzip"), "0\r\n\r\n")),
        refused(case("TE gzip and chunked").sends_post(&coded("gzip, chunked"), "0\r\n\r\n")),
        refused(case("TE chunked in quotes").sends_post(&coded("\"chunked\""), "0\r\n\r\n")),
        refused(case("TE chunked with a vertical tab").sends_post(&coded("\u{b}chunked"), "0\r\n\r\n")),
        refused(case("TE folded").sends_post("Transfer-Encoding:\r\n chunked", "0\r\n\r\n")),
        refused(case("TE empty").sends_post("Transfer-Encoding:", "0\r\n\r\n")),
        refused(case("TE with a space before the colon").sends_post("Transfer-Encoding : chunked", "0\r\n\r\n")),
        case("TE chunked in capitals")
            .sends_post(&coded("CHUNKED"), "2\r\nhi\r\n0\r\n\r\n")
            .seen("POST {path}/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nhi")
            .got(fine()),
        refused(
            case("TE in HTTP/1.0")
                .sends("POST {path}/x HTTP/1.0\r\n{own}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        ),
    ]
}

/// RFC 9112 §7.1.
fn chunks() -> Vec<Case> {
    let chunked = |name, body: &str| case(name).sends_post("Transfer-Encoding: chunked", body);
    let arrives = |case: Case| case.seen("POST {path}/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nhi").got(fine());
    // Nothing of it goes on, and no answer comes: actix closes a connection whose input it cannot read.
    let breaks = Case::closed;
    vec![
        arrives(chunked("a chunk with an extension", "2;a=b\r\nhi\r\n0;c\r\n\r\n")),
        arrives(chunked("a chunk size with zeros before it", "0002\r\nhi\r\n000\r\n\r\n")),
        arrives(chunked("trailers are dropped", "2\r\nhi\r\n0\r\nX-Trailer: 1\r\n\r\n")),
        arrives(chunked(
            "trailers cannot be fields",
            "2\r\nhi\r\n0\r\nAuthorization: Bearer forged\r\nContent-Length: 9\r\n\r\n",
        )),
        breaks(chunked("a chunk size that is none", "z\r\nhi\r\n0\r\n\r\n")),
        breaks(chunked("a chunk size below zero", "-2\r\nhi\r\n0\r\n\r\n")),
        breaks(chunked("a chunk size with a sign", "+2\r\nhi\r\n0\r\n\r\n")),
        breaks(chunked("a chunk size with 0x", "0x2\r\nhi\r\n0\r\n\r\n")),
        breaks(chunked("a chunk size beyond 64 bits", "10000000000000002\r\nhi\r\n0\r\n\r\n")),
        breaks(chunked("a chunk size that ends with LF alone", "2\nhi\r\n0\r\n\r\n")),
        breaks(chunked("a chunk extension with LF alone", "2;a\nhi\r\n0\r\n\r\n")),
        breaks(chunked("no chunk size", "\r\nhi\r\n0\r\n\r\n")),
        breaks(chunked("a chunk with more than its size", "2\r\nhix\r\n0\r\n\r\n")),
        chunked(
            "a chunk size that is none, behind a chunk that has gone on already",
            "2\r\nhi\r\n{wait}z\r\nhi\r\n0\r\n\r\n",
        )
        .seen("POST {path}/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nhi…")
        .got(problem(400, "invalid-request"))
        .closed(),
        arrives(chunked("a trailer that is no field is dropped like any other", "2\r\nhi\r\n0\r\nX-Trailer\r\n\r\n")),
    ]
}

/// RFC 9112 §2.2, §5; RFC 9110 §5.5.
fn heads() -> Vec<Case> {
    let get = |name, line: &str| case(name).sends_get_with(line);
    vec![
        refused(get("a space before the colon", "X-Field : 1")),
        refused(get("a folded field", "X-Field: 1\r\n 2")),
        refused(get("a line without a colon", "X-Field")),
        refused(get("a field without a name", ": 1")),
        refused(get("a bare CR in a value", "X-Field: 1\rX-Other: 2")),
        refused(get("NUL in a value", "X-Field: 1\0x")),
        refused(get("NUL in a name", "X-\0Field: 1")),
        refused(get("a control character in a value", "X-Field: \u{7f}")),
        refused(case("a folded first field").sends("GET {path}/x HTTP/1.1\r\n Host: a\r\n{own}\r\n")),
        refused(case("a request line of other words").sends("GET {path}/x HTTP/1.1 HTTP/1.1\r\n{own}\r\n")),
        refused(case("two spaces in the request line").sends("GET  {path}/x HTTP/1.1\r\n{own}\r\n")),
        refused(case("a tab in the request line").sends("GET\t{path}/x HTTP/1.1\r\n{own}\r\n")),
        refused(case("HTTP/0.9").sends("GET {path}/x\r\n")),
        refused(case("HTTP/1.2").sends("GET {path}/x HTTP/1.2\r\n{own}\r\n")),
        refused(case("HTTP/2.0 in the words of HTTP/1.1").sends("GET {path}/x HTTP/2.0\r\n{own}\r\n")),
        refused(case("a bare CR behind the request line").sends("GET {path}/x HTTP/1.1\r{own}\r\n")),
        refused(case("a method that is no word").sends("G@T {path}/x HTTP/1.1\r\n{own}\r\n")),
        case("lines that end with LF alone are lines (RFC 9112 §2.2), and go on with CRLF")
            .sends("GET {path}/x HTTP/1.1\n{own}X-Field: 1\n\n")
            .seen("GET {path}/x HTTP/1.1\r\nx-field: 1\r\n\r\n")
            .got(fine()),
        case("empty lines before a request are not part of it")
            .sends("\r\n\r\nGET {path}/x HTTP/1.1\r\n{own}\r\n")
            .seen_get()
            .got(fine()),
        case("a method in lower case is another method")
            .sends("get {path}/x HTTP/1.1\r\n{own}\r\n")
            .seen("get {path}/x HTTP/1.1\r\n\r\n")
            .got(fine()),
        get(
            "fields with underscores for what we remove",
            "X_Forwarded_For: 1.2.3.4\r\nX-Forwarded_Host: evil\r\nTransfer_Encoding: chunked",
        )
        .seen_get()
        .got(fine()),
        get(
            "Authorization and DPoP of the client",
            "Authorization: Bearer forged\r\nAuthorization: Basic eDp5\r\nDPoP: a\r\nDPoP: b",
        )
        .seen_get()
        .got(fine()),
        get("cookies that are not ours pass where the route says so", "Cookie: a=1; ; b=\"2\"; =c; d")
            .seen("GET {path}/x HTTP/1.1\r\ncookie: a=1; b=\"2\"; =c; d\r\n\r\n")
            .got(fine()),
        get(
            "our cookies stay here under any of their names",
            "Cookie: sealgate.1=x; sealgate-seen=y; sealgate_affinity=z; a=1",
        )
        .seen("GET {path}/x HTTP/1.1\r\ncookie: a=1\r\n\r\n")
        .got(fine()),
        get("the session cookie twice is no session", "Cookie: sealgate=1x").got(problem(401, "session-expired")),
        get("repeated fields stay repeated", "X-Field: 1\r\nX-Field:\r\nX-Field: 2")
            .seen("GET {path}/x HTTP/1.1\r\nx-field: 1\r\nx-field: \r\nx-field: 2\r\n\r\n")
            .got(fine()),
    ]
}

/// RFC 9112 §3.2.
fn targets() -> Vec<Case> {
    vec![
        case("a target with our own host in it")
            .sends("GET http://{host}{path}/x?y HTTP/1.1\r\n{own}\r\n")
            .seen("GET {path}/x?y HTTP/1.1\r\n\r\n")
            .got(fine()),
        case("a target with another host in it")
            .sends("GET http://evil.example{path}/x HTTP/1.1\r\n{own}\r\n")
            .got(problem(400, "invalid-request")),
        case("a target with another host in it, and the same Host")
            .sends("GET http://evil.example{path}/x HTTP/1.1\r\nHost: evil.example\r\n{auth}\r\n")
            .got(problem(400, "invalid-request")),
        case("CONNECT").sends("CONNECT {host} HTTP/1.1\r\n{own}\r\n").got(problem(400, "invalid-request")).closed(),
        case("OPTIONS for the server itself is not for a route")
            .sends("OPTIONS * HTTP/1.1\r\n{own}\r\n")
            .got(problem(400, "path-refused")),
        case("TRACE").sends("TRACE {path}/x HTTP/1.1\r\n{own}\r\n").got(problem(405, "method-not-allowed")),
        case("dot segments").sends("GET {path}/../x HTTP/1.1\r\n{own}\r\n").got(problem(400, "path-refused")),
        case("an encoded line in the path")
            .sends("GET {path}/x%0d%0aX-Field:%201 HTTP/1.1\r\n{own}\r\n")
            .got(problem(400, "path-refused")),
    ]
}

/// RFC 9112 §3.2, RFC 9110 §7.2.
fn hosts() -> Vec<Case> {
    let with = |name, hosts: &str| case(name).sends(format!("GET {{path}}/x HTTP/1.1\r\n{hosts}{{auth}}\r\n"));
    vec![
        refused(with("no Host", "")),
        refused(with("Host twice", "Host: {host}\r\nHost: {host}\r\n")),
        refused(with("two Hosts", "Host: {host}\r\nHost: evil.example\r\n")),
        with("an empty Host", "Host:\r\n").got(problem(400, "invalid-request")),
        with("a Host with a path", "Host: {host}/x\r\n").got(problem(400, "invalid-request")),
        with("a Host with a user", "Host: u@{host}\r\n").got(problem(400, "invalid-request")),
        with("Hosts in one field", "Host: {host}, evil.example\r\n").got(problem(400, "invalid-request")),
        refused(with("Host with a space before the colon", "Host : {host}\r\n")),
    ]
}

/// RFC 9110 §7.6.1.
fn connection_fields() -> Vec<Case> {
    let naming = |name, option: &str, more: &str| case(name).sends_get_with(&format!("Connection: {option}{more}"));
    vec![
        naming("Connection names Host", "host", "").seen_get().got(fine()),
        naming("Connection names Cookie: it is read here and stays here", "cookie", "\r\nCookie: a=1")
            .seen_get()
            .got(fine()),
        naming("Connection names Authorization", "authorization", "").seen_get().got(fine()),
        naming("Connection names the CSRF header: it is read here", "x-csrf", "").seen_get().got(fine()),
        naming("Connection names X-Forwarded-For and Via", "x-forwarded-for, via", "").seen_get().got(fine()),
        naming("Connection names a field", "x-field, x-none", "\r\nX-Field: 1\r\nX-Kept: 2")
            .seen("GET {path}/x HTTP/1.1\r\nx-kept: 2\r\n\r\n")
            .got(fine()),
        case("Connection names Content-Length: the body keeps its length")
            .sends_post("Connection: content-length\r\nContent-Length: 2", "hi")
            .seen("POST {path}/x HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi")
            .got(fine()),
        case("Connection names Transfer-Encoding: the body stays chunked")
            .sends_post("Connection: transfer-encoding\r\nTransfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n")
            .seen("POST {path}/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nhi")
            .got(fine()),
        naming("Connection: close ends the connection", "close", "").seen_get().got(fine()).closed(),
        naming("Connection: close among others ends it too", "x-a, Close", "").seen_get().got(fine()).closed(),
        naming("Connection names a hundred fields", &["x-a"; 100].join(","), "").got(problem(400, "invalid-request")),
        case("HTTP/1.0 closes").sends("GET {path}/x HTTP/1.0\r\n{own}\r\n").seen_get().got(fine()).closed(),
        case("HTTP/1.0 with keep-alive")
            .sends("GET {path}/x HTTP/1.0\r\n{own}Connection: keep-alive\r\n\r\n")
            .seen_get()
            .got(fine()),
    ]
}

/// RFC 9110 §7.8, §10.1.1; RFC 6455 §4.2.1.
fn upgrades() -> Vec<Case> {
    let websocket = "Upgrade: websocket\r\nOrigin: http://{host}";
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    vec![
        case("Upgrade without Connection is no handshake")
            .sends_get_with(&format!("{websocket}\r\n{key}"))
            .got(problem(400, "invalid-request"))
            .closed(),
        case("a handshake by POST with a body")
            .sends_post(
                &format!("Connection: Upgrade\r\n{websocket}\r\n{key}\r\nContent-Length: {}", SMUGGLED.len()),
                SMUGGLED,
            )
            .got(problem(403, "cross-origin"))
            .closed(),
        case("a handshake with a body")
            .sends_get_with(&format!("Connection: Upgrade\r\n{websocket}\r\n{key}\r\nContent-Length: 2\r\n\r\nhi"))
            .got(problem(400, "invalid-request"))
            .closed(),
        case("a handshake without Origin")
            .sends_get_with(&format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{key}"))
            .got(problem(403, "cross-origin"))
            .closed(),
        case("h2c is not offered, so it is not taken, and the connection ends")
            .sends_get_with(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
            )
            .seen_get()
            .got(fine())
            .closed(),
        case("a preface of HTTP/2 in clear text").sends("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").got(got(400, "")).closed(),
        case("Expect: 100-continue is answered here, and does not arrive")
            .sends_post("Expect: 100-continue\r\nContent-Length: 2", "hi")
            .seen("POST {path}/x HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi")
            .got(got(100, ""))
            .got(fine()),
        case("an expectation that nobody knows")
            .sends_post("Expect: the-unexpected\r\nContent-Length: 2", "hi")
            .seen("POST {path}/x HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi")
            .got(fine()),
    ]
}

/// RFC 9112 §9.3.
fn sequences() -> Vec<Case> {
    let get = "GET {path}/x HTTP/1.1\r\n{own}\r\n";
    let post = "POST {path}/x HTTP/1.1\r\n{own}Content-Length: 2\r\n\r\nhi";
    let seen_post = "POST {path}/x HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi";
    let in_turn = || [answer(FIRST), answer(SECOND)];
    vec![
        case("two GETs at once are answered in order")
            .sends(format!("{get}{get}"))
            .upstream(in_turn())
            .seen_get()
            .seen_get()
            .got(got(200, "first"))
            .got(got(200, "second")),
        // Nothing is answered any more, see `breaks` above.
        case("a GET and what is none").sends(format!("{get}GARBAGE\r\n\r\n")).closed(),
        case("a GET that is under way and what is none")
            .sends(format!("{get}{{wait}}GARBAGE\r\n\r\n"))
            .upstream([answer("")])
            .seen_get()
            .closed(),
        case("a POST and a GET at once")
            .sends(format!("{post}{get}"))
            .upstream(in_turn())
            .seen(seen_post)
            .seen_get()
            .got(got(200, "first"))
            .got(got(200, "second")),
        case("a GET behind a refused request is answered on its own")
            .sends(format!("GET {{path}}/../x HTTP/1.1\r\n{{own}}\r\n{get}"))
            .seen_get()
            .got(problem(400, "path-refused"))
            .got(fine()),
        case("the body of a refused request is no request")
            .sends(format!(
                "POST {{path}}/../x HTTP/1.1\r\n{{own}}Content-Length: {}\r\n\r\n{SMUGGLED}",
                SMUGGLED.len()
            ))
            .got(problem(400, "path-refused"))
            .closed(),
        case("a body that is shorter than said waits for the rest, and what comes is the rest")
            .sends_post("Content-Length: 40", "hi")
            .upstream([answer(FIRST).early().then(Then::Close)])
            .seen("POST {path}/x HTTP/1.1\r\ncontent-length: 40\r\n\r\nhi…")
            .got(got(200, "first"))
            .closed(),
        // A documented limit: actix encodes the GET's answer as the HEAD's, without its body.
        case("HEAD behind a GET at once takes the body of the GET's answer away")
            .sends(format!("{get}HEAD {{path}}/x HTTP/1.1\r\n{{own}}\r\n"))
            .upstream([answer(FIRST), answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")])
            .heads(&[0, 1])
            .seen_get()
            .seen("HEAD {path}/x HTTP/1.1\r\n\r\n")
            .got(with_field(200, "content-length", "5"))
            .got(with_field(200, "content-length", "6")),
        case("HEAD on its own keeps the length that the upstream said")
            .sends("HEAD {path}/x HTTP/1.1\r\n{own}\r\n")
            .upstream([answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")])
            .heads(&[0])
            .seen("HEAD {path}/x HTTP/1.1\r\n\r\n")
            .got(with_field(200, "content-length", "6")),
    ]
}

/// RFC 9110 §15.5.15, RFC 6585 §5.
fn limits() -> Vec<Case> {
    let long = |bytes: usize| "a".repeat(bytes);
    let fields = |count: usize| (0..count).map(|number| format!("X-{number}: 1")).collect::<Vec<_>>().join("\r\n");
    vec![
        case("a path of 8,000 characters")
            .sends(format!("GET {{path}}/{} HTTP/1.1\r\n{{own}}\r\n", long(8_000)))
            .seen(format!("GET {{path}}/{} HTTP/1.1\r\n\r\n", long(8_000)))
            .got(fine()),
        case("a path of 70,000 characters")
            .sends(format!("GET {{path}}/{} HTTP/1.1\r\n{{own}}\r\n", long(70_000)))
            .got(got(400, ""))
            .closed(),
        case("a field of 200,000 characters").sends_get_with(&format!("X-Field: {}", long(200_000))).got(got(431, "")).closed(),
        case("two hundred fields").sends_get_with(&fields(200)).got(got(431, "")).closed(),
        case("cookies of 20,000 characters").sends_get_with(&format!("Cookie: a={}", long(20_000))).got(problem(431, "cookies-too-large")),
        case("a method of 300 characters")
            .sends(format!("{} {{path}}/x HTTP/1.1\r\n{{own}}\r\n", "M".repeat(300)))
            .seen(format!("{} {{path}}/x HTTP/1.1\r\n\r\n", "M".repeat(300)))
            .got(fine()),
        case("a body over the limit of an endpoint that has one")
            .sends(format!("POST /bff/callback HTTP/1.1\r\n{{own}}Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n{}", long(100_000)))
            .got(problem(413, "content-too-large")).closed(),
    ]
}

const FIRST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst";
const SECOND: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond";
