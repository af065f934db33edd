//! The head of the response that goes to the client.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, SET_COOKIE, TRANSFER_ENCODING, VIA};

use super::{ConnectionOptions, is_hop_by_hop};
use crate::proxy::OwnNames;
use crate::proxy::error::BadGateway;
use crate::proxy::upstream::Head;

/// Copies the fields of an upstream's response that are for the client.
///
/// The length is left out where actix writes it from the body: not with a 304 or a response to HEAD, whose length is that
/// of a body which is not there (RFC 9110 §8.6).
pub(in crate::proxy) fn copy_response_fields(
    from: Head,
    is_head: bool,
    to: &mut HeaderMap,
    own: &OwnNames,
) -> Result<(), BadGateway> {
    let keeps_length = (is_head || from.status == StatusCode::NOT_MODIFIED)
        // A transfer coding overrides a length (RFC 9112 §6.3).
        && from.values(&TRANSFER_ENCODING).next().is_none();
    // Nearly always none.
    let options = ConnectionOptions::parse(from.values(&CONNECTION)).map_err(|_| BadGateway::Malformed)?.into_owned();
    let via = own.via(from.version).clone();
    to.reserve(from.len() + 1);
    for (name, value) in from.into_fields() {
        let value = value.ok_or(BadGateway::Malformed)?;
        let dropped = is_hop_by_hop(name.as_str())
            || options.names(name.as_str())
            || name == CONTENT_LENGTH && !keeps_length
            || name == SET_COOKIE && own.cookies.owns_pair(cookie_pair(value.as_bytes()));
        if !dropped {
            to.append(name, value);
        }
    }
    to.append(VIA, via);
    Ok(())
}

/// The `name=value` of a `Set-Cookie` (RFC 6265bis §5.6).
fn cookie_pair(set_cookie: &[u8]) -> &[u8] {
    set_cookie.split(|&byte| byte == b';').next().unwrap_or_default()
}
