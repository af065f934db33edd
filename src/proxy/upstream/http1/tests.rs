//! Heads and chunks, cut wherever a network may cut them. What connections do is shown over real sockets, in
//! `proxy/tests` and `tests/desync`.

use super::*;

/// The data of `input`, which comes in pieces cut at `cut`; whether it came to its end, and what was left.
fn decoded(input: &[u8], cut: usize) -> Result<(Vec<u8>, bool, Vec<u8>), ExchangeError> {
    let (mut chunks, mut read, mut data) = (Chunks::new(), BytesMut::new(), Vec::new());
    for (part, missing) in [(&input[..cut], &input[cut..]), (&input[cut..], &b""[..])] {
        read.extend_from_slice(part);
        loop {
            match chunks.next(&mut read)? {
                Piece::Some(piece) => data.extend_from_slice(&piece),
                Piece::Missing => break,
                Piece::End => {
                    return Ok((data, true, [&read[..], missing].concat()));
                }
            }
        }
    }
    Ok((data, false, read.to_vec()))
}

#[test]
fn chunks_are_the_same_wherever_they_are_cut() {
    let input = b"5\r\nhello\r\n1;name=\"x\"\r\n,\r\nA\r\n 123456789\r\n0\r\nX-T: 1\r\n\r\nrest";
    for cut in 0..input.len() {
        let (data, ended, rest) = decoded(input, cut).unwrap_or_else(|error| panic!("{cut}: {error}"));
        assert_eq!((&data[..], ended, &rest[..]), (&b"hello, 123456789"[..], true, &b"rest"[..]), "cut at {cut}");
    }
}

/// RFC 9112 §7.1
#[test]
fn what_is_no_chunk_is_refused() {
    for input in [
        &b"x\r\n"[..],
        b"\r\n\r\n",
        b"-1\r\n",
        b"0x5\r\nhello\r\n",
        b"10000000000000000\r\n",
        b"5\r\nhelloXX",
        b"5\r\nhello\n0\r\n",
        b"5\nhello\r\n",
        b"5;x\ny\r\nhello\r\n0\r\n\r\n",
        b"0\r\nbad trailer\r\n\r\n",
    ] {
        let text = String::from_utf8_lossy(input);
        assert!(matches!(decoded(input, input.len()), Err(ExchangeError::Chunks)), "{text:?}");
    }
}

#[test]
fn lines_around_chunks_are_bounded() {
    let long_line = [b"5;".as_slice(), &[b'x'; 20_000]].concat();
    assert!(matches!(decoded(&long_line, 0), Err(ExchangeError::Chunks)));
    let many = [b"1;".as_slice(), &[b'x'; 1000], b"\r\ny\r\n"].concat().repeat(100);
    assert!(matches!(decoded(&many, 0), Err(ExchangeError::Chunks)));
    let trailers = [b"0\r\n".as_slice(), &b"X-T: 1\r\n".repeat(3000)].concat();
    assert!(matches!(decoded(&trailers, 0), Err(ExchangeError::Chunks)));
}

fn head(text: &str) -> Result<Option<Head>, ExchangeError> {
    Head::take(&mut BytesMut::from(text), &mut 0)
}

#[test]
fn a_head_is_taken_once_it_is_whole() {
    let text = b"\r\nHTTP/1.1 200 Fine\r\nX-A: 1\r\nX-Empty:\r\nX-A: 2\r\n\r\nrest";
    let (mut read, mut searched) = (BytesMut::new(), 0);
    let mut found = None;
    for byte in text {
        assert!(found.is_none() || read.len() < 5);
        read.extend_from_slice(&[*byte]);
        if found.is_none() {
            found = Head::take(&mut read, &mut searched).expect("a head");
        }
    }
    let found = found.expect("whole");
    assert_eq!((found.status.as_u16(), found.reason(), &read[..]), (200, &b"Fine"[..], &b"rest"[..]));
    let fields: Vec<_> = found.fields().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(fields, [("x-a", &b"1"[..]), ("x-empty", b""), ("x-a", b"2")]);
    let values: Vec<_> = found.into_fields().map(|(_, value)| value.expect("a value")).collect();
    assert_eq!(values, ["1", "", "2"]);
}

#[test]
fn what_is_no_head_is_refused() {
    for text in [
        "SSH-2.0-x\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 No\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    ] {
        assert!(matches!(head(text), Err(ExchangeError::NotHttp)), "{text:?}");
    }
}

#[test]
fn heads_are_bounded_in_bytes_and_fields() {
    let fields = "X: 1\r\n".repeat(MAX_FIELDS + 1);
    assert!(matches!(head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")), Err(ExchangeError::HeadTooLong)));
    let long = "x".repeat(MAX_HEAD);
    for end in ["", "\r\n\r\n"] {
        assert!(matches!(head(&format!("HTTP/1.1 200 OK\r\nX: {long}{end}")), Err(ExchangeError::HeadTooLong)));
    }
}

/// RFC 9112 §6.3, RFC 9110 §8.6
#[test]
fn the_end_of_a_body_is_told_in_one_way_only() {
    let framing = |text: &str, is_head| head(text).expect("a head").expect("whole").framing(is_head);
    let ok = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    assert!(matches!(framing(&ok("Content-Length: 5\r\n"), false), Ok(Framing::Length(5))));
    assert!(matches!(framing(&ok("Content-Length: 5\r\n"), true), Ok(Framing::Ended)));
    assert!(matches!(framing(&ok("Content-Length: 0\r\n"), false), Ok(Framing::Ended)));
    assert!(matches!(framing(&ok("Content-Length: 5, 5\r\nContent-Length: 5\r\n"), false), Ok(Framing::Length(5))));
    assert!(matches!(
        framing(&ok("Transfer-Encoding: Chunked\r\nContent-Length: 5\r\n"), false),
        Ok(Framing::Chunked(_))
    ));
    assert!(matches!(framing(&ok(""), false), Ok(Framing::UntilClose)));
    for code in [204, 304] {
        let text = format!("HTTP/1.1 {code} x\r\nContent-Length: 5\r\n\r\n");
        assert!(matches!(framing(&text, false), Ok(Framing::Ended)), "{code}");
    }
    for length in ["+5", "-5", "5x", "", "5,", "5, 6", "0x5", "18446744073709551616", "5 5"] {
        let refused = framing(&ok(&format!("Content-Length: {length}\r\n")), false);
        assert!(matches!(refused, Err(ExchangeError::Length)), "{length:?}");
    }
    for coding in ["gzip", "gzip, chunked", "chunked, chunked", "identity", "xchunked", ""] {
        let refused = framing(&ok(&format!("Transfer-Encoding: {coding}\r\n")), false);
        assert!(matches!(refused, Err(ExchangeError::TransferCoding)), "{coding:?}");
    }
    let old = framing("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false);
    assert!(matches!(old, Err(ExchangeError::TransferCoding)));
}

/// RFC 9112 §9.3
#[test]
fn a_connection_lives_on_where_both_sides_mean_it() {
    let keeps = |text: &str| head(text).expect("a head").expect("whole").keeps_connection();
    assert!(keeps("HTTP/1.1 200 OK\r\n\r\n"));
    assert!(!keeps("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n"));
    assert!(!keeps("HTTP/1.0 200 OK\r\n\r\n"));
    assert!(keeps("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n"));
    assert!(!keeps("HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n\r\n"));
}
