//! What upstreams send: answers that do not end where they say, two where one was asked for, and what is no HTTP.

use crate::case::{Case, FINE, Then, answer, broken, case, fine, got, problem, with_field};

/// All of them.
pub fn cases() -> Vec<Case> {
    [framing(), bodies_that_break(), without_bodies(), more_than_one(), informational(), heads(), ends()]
        .into_iter()
        .flatten()
        .collect()
}

fn answered(name: &'static str, bytes: &str) -> Case {
    case(name).upstream([answer(bytes), answer(FINE)]).seen_get()
}

/// What is no answer: a 502, the upstream's connection gone, the client's as before.
fn bad(name: &'static str, bytes: &str) -> Case {
    answered(name, bytes).got(problem(502, "upstream-unreachable"))
}

fn ok(rest: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{rest}")
}

/// RFC 9112 §6.3.
fn framing() -> Vec<Case> {
    vec![
        answered(
            "CL and TE: the coding counts",
            &ok("Content-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        )
        .got(got(200, "hi")),
        bad("CL twice, different", &ok("Content-Length: 2\r\nContent-Length: 4\r\n\r\nhifi")),
        bad("CL as a list, different", &ok("Content-Length: 2, 4\r\n\r\nhifi")),
        answered(
            "trailers are dropped",
            &ok("Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n"),
        )
        .got(got(200, "hi"))
        .next(fine()),
        answered("CL twice, the same, becomes one", &ok("Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi"))
            .got(got(200, "hi")),
        bad("CL with a sign", &ok("Content-Length: +2\r\n\r\nhi")),
        bad("CL that is no number", &ok("Content-Length: two\r\n\r\nhi")),
        bad("CL beyond 64 bits", &ok("Content-Length: 18446744073709551618\r\n\r\nhi")),
        answered("neither: the connection's end is the body's", "HTTP/1.1 200 OK\r\n\r\nuntil the end")
            .upstream([answer("HTTP/1.1 200 OK\r\n\r\nuntil the end").then(Then::Close), answer(FINE)])
            .got(got(200, "until the end"))
            .next(fine()),
        case("HTTP/1.0 with a length")
            .upstream([answer("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi").then(Then::Close), answer(FINE)])
            .seen_get()
            .got(got(200, "hi"))
            .next(fine()),
        case("a coding that nobody asked for")
            .upstream([answer(ok("Transfer-Encoding: gzip\r\n\r\nzipped")).then(Then::Close), answer(FINE)])
            .seen_get()
            .got(problem(502, "upstream-unreachable"))
            .next(fine()),
        bad("a coding below chunks", &ok("Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")).next(fine()),
        bad("chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
            .next(fine()),
    ]
}

/// RFC 9112 §8: a client must see that a body is not whole.
fn bodies_that_break() -> Vec<Case> {
    let breaking = |name, bytes: &str, then, most| {
        case(name)
            .upstream([answer(bytes).then(then), answer(FINE)])
            .seen_get()
            .got(broken(200, most))
            .closed()
            .next(fine())
    };
    vec![
        breaking("a body shorter than its length", &ok("Content-Length: 40\r\n\r\nshort"), Then::Close, "short"),
        breaking("a body reset on the way", &ok("Content-Length: 40\r\n\r\nshort"), Then::Reset, "short"),
        breaking(
            "chunks without an end",
            &ok("Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"),
            Then::Close,
            "short",
        ),
        breaking("a chunk that is cut", &ok("Transfer-Encoding: chunked\r\n\r\n9\r\nshort"), Then::Close, "short"),
        breaking(
            "a chunk size that is none",
            &ok("Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n"),
            Then::Keep,
            "short",
        ),
        breaking(
            "a chunk size beyond 64 bits",
            &ok("Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n10000000000000000\r\n"),
            Then::Keep,
            "short",
        ),
        breaking(
            "a chunk without its end",
            &ok("Transfer-Encoding: chunked\r\n\r\n5\r\nshortXX0\r\n\r\n"),
            Then::Keep,
            "short",
        ),
    ]
}

/// RFC 9110 §6.4.1, RFC 9112 §6.3: these have no body, and what comes is not theirs.
fn without_bodies() -> Vec<Case> {
    let head = |name, bytes: &str| {
        case(name)
            .sends("HEAD {path}/x HTTP/1.1\r\n{own}\r\n")
            .heads(&[0])
            .upstream([answer(bytes), answer(FINE)])
            .seen("HEAD {path}/x HTTP/1.1\r\n\r\n")
    };
    vec![
        answered("204 with a body", "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison")
            .got(got(204, ""))
            .next(fine()),
        answered(
            "204 with chunks",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n",
        )
        .got(got(204, ""))
        .next(fine()),
        answered("304 with a body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison")
            .got(with_field(304, "content-length", "6"))
            .next(fine()),
        head("HEAD with a body", &ok("Content-Length: 6\r\n\r\npoison"))
            .got(with_field(200, "content-length", "6"))
            .next(fine()),
        head(
            "HEAD with an answer in the place of a body",
            &ok("Content-Length: 40\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"),
        )
        .got(with_field(200, "content-length", "40"))
        .next(fine()),
        head("HEAD with chunks", &ok("Transfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n"))
            .got(got(200, ""))
            .next(fine()),
        answered("205 has an empty body", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n")
            .got(got(205, ""))
            .next(fine()),
    ]
}

/// Queue poisoning: what nobody asked for must never answer the next request, whoever's it is.
fn more_than_one() -> Vec<Case> {
    const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let twice = |name, first: &str| answered(name, &format!("{first}{POISON}")).next(fine());
    vec![
        twice("two answers to one request", FINE).got(fine()),
        twice("a body longer than its length", &ok("Content-Length: 4\r\n\r\nfine and more")).got(fine()),
        twice("an answer behind the last chunk", &ok("Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"))
            .got(got(200, "hi")),
        twice("an answer behind a 204", "HTTP/1.1 204 No Content\r\n\r\n").got(got(204, "")),
        twice("an answer behind a 304", "HTTP/1.1 304 Not Modified\r\n\r\n").got(got(304, "")),
        twice("an answer behind an empty one", &ok("Content-Length: 0\r\n\r\n")).got(got(200, "")),
        case("two answers to the first of two requests at once")
            .sends("GET {path}/x HTTP/1.1\r\n{own}\r\nGET {path}/x HTTP/1.1\r\n{own}\r\n")
            .upstream([answer(format!("{FINE}{POISON}")), answer(FINE)])
            .seen_get()
            .seen_get()
            .got(fine())
            .got(fine()),
        case("an answer before the request is there: its connection is not used again")
            .sends_post("Content-Length: 40", "the first twenty byt")
            .upstream([answer(FINE).early(), answer(FINE)])
            .seen("POST {path}/x HTTP/1.1\r\ncontent-length: 40\r\n\r\nthe first twenty byt…")
            .got(fine())
            .closed()
            .next(fine()),
    ]
}

/// RFC 9110 §15.2: those in between are not passed on, and 101 only where it was asked for.
fn informational() -> Vec<Case> {
    let flood = |status: &str, times: usize| format!("HTTP/1.1 {status}\r\nX-Hint: 1\r\n\r\n").repeat(times);
    vec![
        answered("a 100", &format!("{}{FINE}", flood("100 Continue", 1))).got(fine()).next(fine()),
        answered("a 102", &format!("{}{FINE}", flood("102 Processing", 1))).got(fine()).next(fine()),
        answered("a 103", &format!("{}{FINE}", flood("103 Early Hints", 1))).got(fine()).next(fine()),
        answered("five hundred 103s", &format!("{}{FINE}", flood("103 Early Hints", 500))).got(fine()).next(fine()),
        answered("a 199", &format!("{}{FINE}", flood("199 Nothing", 1))).got(fine()).next(fine()),
        bad(
            "a 101 that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nbytes",
        )
        .next(fine()),
        bad("a 101 to h2c", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nbytes")
            .next(fine()),
    ]
}

/// RFC 9112 §2.2, §4, §5; RFC 9110 §5.5.
fn heads() -> Vec<Case> {
    let long = |bytes: usize| "a".repeat(bytes);
    let fields = |count: usize| (0..count).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    let empty = "Content-Length: 0\r\n\r\n";
    vec![
        bad("NUL in a value", &ok("X-Field: 1\0x\r\nContent-Length: 0\r\n\r\n")).next(fine()),
        bad("a bare CR in a value", &ok("X-Field: 1\rSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n")).next(fine()),
        answered("an injected line is a line of its own", &ok("X-Field: 1\nX-Other: 2\r\nContent-Length: 0\r\n\r\n"))
            .got(with_field(200, "x-other", "2")),
        bad("a folded field", &ok("X-Field: 1\r\n 2\r\nContent-Length: 0\r\n\r\n")).next(fine()),
        bad("a space before the colon", &ok("X-Field : 1\r\nContent-Length: 0\r\n\r\n")).next(fine()),
        bad("a line without a colon", &ok("X-Field\r\nContent-Length: 0\r\n\r\n")).next(fine()),
        bad("status 99", &format!("HTTP/1.1 99 Low\r\n{empty}")).next(fine()),
        bad("status 1000", &format!("HTTP/1.1 1000 High\r\n{empty}")).next(fine()),
        bad("status 000", &format!("HTTP/1.1 000 None\r\n{empty}")).next(fine()),
        answered("status 999 is one", &format!("HTTP/1.1 999 Odd\r\n{empty}")).got(got(999, "")).next(fine()),
        answered("no reason phrase", &format!("HTTP/1.1 200\r\n{empty}")).got(got(200, "")).next(fine()),
        bad("no status line", &format!("X-Field: 1\r\n{empty}")).next(fine()),
        bad("another protocol", &format!("ICY 200 OK\r\n{empty}")).next(fine()),
        bad("HTTP/2 in the words of HTTP/1.1", &format!("HTTP/2 200 OK\r\n{empty}")).next(fine()),
        bad("a head of more than 64 KiB", &ok(&format!("X-Field: {}\r\nContent-Length: 0\r\n\r\n", long(70_000)))).next(fine()),
        bad("two hundred fields", &ok(&format!("{}Content-Length: 0\r\n\r\n", fields(200)))).next(fine()),
        answered("a field of 16,000 characters", &ok(&format!("X-Long: {}\r\nX-Field: 1\r\nContent-Length: 0\r\n\r\n", long(16_000))))
            .got(with_field(200, "x-field", "1"))
            .next(fine()),
        answered("hop-by-hop fields, and those that Connection names, stay behind",
            &ok("Connection: x-field, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Field: 1\r\nX-Kept: 2\r\nTE: a\r\nContent-Length: 0\r\n\r\n"))
            .got(with_field(200, "x-kept", "2"))
            .next(fine()),
    ]
}

/// RFC 9112 §9.3.1: what was not answered is repeated only where it was an old connection and the method is idempotent.
fn ends() -> Vec<Case> {
    let silent = |then| answer("").then(then);
    vec![
        case("HTTP/0.9")
            .upstream([answer("just text").then(Then::Close), answer(FINE)])
            .seen_get()
            .got(problem(502, "upstream-unreachable"))
            .next(fine()),
        case("not a byte on a new connection")
            .upstream([silent(Then::Close), answer(FINE)])
            .seen_get()
            .got(problem(502, "upstream-unreachable"))
            .next(fine()),
        case("a reset on a new connection")
            .upstream([silent(Then::Reset), answer(FINE)])
            .seen_get()
            .got(problem(502, "upstream-unreachable"))
            .next(fine()),
        case("half a head")
            .upstream([answer("HTTP/1.1 200 OK\r\nContent-Le").then(Then::Close), answer(FINE)])
            .seen_get()
            .got(problem(502, "upstream-unreachable"))
            .next(fine()),
        case("not a byte on an old connection: a GET is repeated once")
            .sends("GET {path}/x HTTP/1.1\r\n{own}\r\nGET {path}/x HTTP/1.1\r\n{own}\r\n")
            .upstream([answer(FINE), silent(Then::Close), answer(FINE)])
            .seen_get()
            .seen_get()
            .seen_get()
            .got(fine())
            .got(fine()),
        case("not a byte on an old connection: a POST is not repeated")
            .sends("GET {path}/x HTTP/1.1\r\n{own}\r\nPOST {path}/x HTTP/1.1\r\n{own}Content-Length: 2\r\n\r\nhi")
            .upstream([answer(FINE), silent(Then::Close), answer(FINE)])
            .seen_get()
            .seen("POST {path}/x HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi")
            .got(fine())
            .got(problem(502, "upstream-unreachable"))
            .next(fine()),
        case("half an answer on an old connection is not repeated")
            .sends("GET {path}/x HTTP/1.1\r\n{own}\r\nGET {path}/x HTTP/1.1\r\n{own}\r\n")
            .upstream([
                answer(FINE),
                answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").then(Then::Close),
                answer(FINE),
            ])
            .seen_get()
            .seen_get()
            .got(fine())
            .got(broken(200, "half"))
            .closed()
            .next(fine()),
        case("the upstream's wish to close is not the client's")
            .upstream([
                answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfine").then(Then::Close),
                answer(FINE),
            ])
            .seen_get()
            .got(fine())
            .next(fine()),
    ]
}
