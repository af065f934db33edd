//! The head of the response that goes to the client.

use actix_web::http::header::{
    HeaderMap as OutboundMap, HeaderName as OutboundName, HeaderValue as OutboundValue, VIA,
};
use http::header::{self, HeaderMap};
use http::{StatusCode, Version};

use super::{ConnectionOptions, is_hop_by_hop};
use crate::proxy::OwnNames;
use crate::proxy::error::BadGateway;

/// Copies the fields of an upstream's response that are for the client.
///
/// The length is left out where actix writes it from the body: not with a 304 or a response to HEAD, whose length is that
/// of a body which is not there (RFC 9110 §8.6).
pub(in crate::proxy) fn copy_response_fields(
    from: &http::response::Parts,
    is_head: bool,
    to: &mut OutboundMap,
    own: &OwnNames,
) -> Result<(), BadGateway> {
    check_coding(from)?;
    let options = options(&from.headers)?;
    let keeps_length = (is_head || from.status == StatusCode::NOT_MODIFIED)
        // A transfer coding overrides a length (RFC 9112 §6.3).
        && !from.headers.contains_key(header::TRANSFER_ENCODING);
    to.reserve(from.headers.keys_len() + 1);
    for (name, value) in &from.headers {
        let dropped = is_hop_by_hop(name.as_str())
            || options.names(name.as_str())
            || *name == header::CONTENT_LENGTH && !keeps_length
            || *name == header::SET_COOKIE && own.cookies.owns_pair(cookie_pair(value.as_bytes()));
        if !dropped {
            let name = OutboundName::from_lowercase(name.as_str().as_bytes()).map_err(|_| BadGateway::Malformed)?;
            to.append(name, OutboundValue::from_bytes(value.as_bytes()).map_err(|_| BadGateway::Malformed)?);
        }
    }
    to.append(VIA, OutboundValue::from_str(own.via(from.version)).map_err(|_| BadGateway::Malformed)?);
    Ok(())
}

/// Refuses transfer codings but `chunked`: hyper leaves others in the body, and their name must not go on (RFC 9112 §6.1,
/// §7). HTTP/1.0 has none at all.
fn check_coding(from: &http::response::Parts) -> Result<(), BadGateway> {
    let mut codings = from.headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    let is_chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    let is_clear = is_chunked && codings.next().is_none() && from.version != Version::HTTP_10;
    if is_clear { Ok(()) } else { Err(BadGateway::TransferCoding) }
}

fn options(headers: &HeaderMap) -> Result<ConnectionOptions<'_>, BadGateway> {
    let values = headers.get_all(header::CONNECTION).iter();
    ConnectionOptions::parse(values.map(|value| value.as_bytes())).map_err(|_| BadGateway::Malformed)
}

/// The `name=value` of a `Set-Cookie` (RFC 6265bis §5.6).
fn cookie_pair(set_cookie: &[u8]) -> &[u8] {
    set_cookie.split(|&byte| byte == b';').next().unwrap_or_default()
}
