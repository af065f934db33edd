//! What a request is aimed at: refuses what is not for us, or cannot be told.

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::HOST;
use actix_web::http::uri::Authority;

use crate::web::problem::{INVALID_REQUEST, Problem};
use crate::web::sites::authority;

/// Refuses CONNECT, a `Host` that is none (RFC 9112 §3.2), and an absolute-form target for another host (§3.2.2).
pub(super) fn check(request: &HttpRequest) -> Result<(), Problem> {
    let refused = |detail| Err(Problem::new(&INVALID_REQUEST, detail));
    if *request.method() == Method::CONNECT {
        return refused("This is no forward proxy.");
    }
    let host = request.headers().get(HOST);
    if host.is_some_and(|host| !host.to_str().is_ok_and(is_host)) {
        return refused("The Host field is not a host.");
    }
    match request.uri().authority() {
        Some(authority) if host.is_none_or(|host| host.as_bytes() != authority.as_str().as_bytes()) => {
            refused("The target's host is not the Host field's.")
        }
        _ => Ok(()),
    }
}

/// The host that the request is for, without its port; for requests that [`check`] lets pass.
pub(super) fn host(request: &HttpRequest) -> &str {
    let named = authority(request);
    match named.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => named,
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), which has no user name, and for http is not empty (§4.2.1).
fn is_host(text: &str) -> bool {
    // The usual kind needs no parser.
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if !name.is_empty() && name.bytes().all(is_plain) && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return port.is_empty() || port.parse::<u16>().is_ok();
    }
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte);
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let port = text.strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':')).unwrap_or_default();
    text.bytes().all(is_usual) && (port.is_empty() || port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_told_without_its_port() {
        use actix_web::test::TestRequest;
        for (field, expected) in [
            ("a.example", "a.example"),
            ("a.example:8443", "a.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("a.example:", "a.example"),
        ] {
            let request = TestRequest::default().insert_header((HOST, field)).to_http_request();
            assert_eq!(host(&request), expected, "{field}");
        }
    }

    /// RFC 9112 §3.2.
    #[test]
    fn a_host_is_a_name_or_an_address_and_a_port() {
        for host in ["app.example.com", "app.example.com:8443", "127.0.0.1:80", "[::1]:8080", "[::1]", "a_b", "a"] {
            assert!(is_host(host), "{host}");
        }
        for not in ["", "a b", "@", "u@a", "a/b", "a,b", "a?b", "a#b", "a:99999", "a:x", "a\\b", "a<b", "[::1"] {
            assert!(!is_host(not), "{not:?}");
        }
    }
}
