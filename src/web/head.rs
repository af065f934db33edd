//! How large the head of a response of ours is: nginx reads the whole of it into one buffer, of 4,096 bytes by default,
//! and answers 502 when it does not fit.

use actix_web::HttpResponse;

/// What the head of a callback or refresh response stays under while its session is one cookie.
pub const MAX_HEAD: usize = 4_000;

/// What the server adds when it writes the head: `date`, `content-length` of up to five digits, `connection: close`
/// towards clients of HTTP/1.0 (nginx by default), and the empty line.
const ADDED_BY_SERVER: usize = 37 + 23 + 19 + 2;

/// Bytes of the response's head as it goes out over HTTP/1.
pub fn head_bytes(response: &HttpResponse) -> usize {
    let reason = response.status().canonical_reason().unwrap_or_default();
    let status_line = "HTTP/1.1 303 \r\n".len() + reason.len();
    let fields = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    status_line + fields.sum::<usize>() + ADDED_BY_SERVER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_fields_count_each() {
        let mut response = HttpResponse::Ok().finish();
        let empty = head_bytes(&response);
        assert_eq!(empty, "HTTP/1.1 200 OK\r\n".len() + ADDED_BY_SERVER);
        crate::web::append_cookies(&mut response, ["a=b".to_owned(), "c=d".to_owned()]);
        assert_eq!(head_bytes(&response), empty + 2 * "set-cookie: a=b\r\n".len());
    }
}
