//! The proxy's work on messages without a connection, for benchmarks: what [`forward`](super::forward) does between
//! reading and writing, by the very functions that it calls.
//!
//! Must never do by itself what those functions do: what is measured here would then not be what requests pay.

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use bytes::BytesMut;

use super::error::{BadGateway, ForwardError};
use super::forward::write_head;
use super::headers::{RequestFields, body_length, copy_response_fields, request_fields};
use super::upgrade::is_handshake;
pub use super::upstream::decode_chunks;
use super::upstream::read_head;
use super::{ForwardContext, OwnNames, Route};

/// Appends to `out` the head of `request` as it goes to an upstream of `route` that is called `host` (`name:port`), with
/// its empty line (RFC 9112 §2.1).
///
/// # Errors
/// [`ForwardError::BadRequest`] or [`ForwardError::LoopDetected`] where the request may not go on.
pub fn request_head(
    out: &mut Vec<u8>,
    request: &HttpRequest,
    route: &Route,
    context: &ForwardContext<'_>,
    host: &str,
) -> Result<(), ForwardError> {
    let handshake = is_handshake(request)?;
    let length = body_length(request)?;
    let fields = request_fields(&RequestFields { request, route, context, length, handshake })?;
    write_head(out, request, route, host, &fields);
    Ok(())
}

/// Takes the head of an answer to a GET out of `read`, and gives its fields as they go to the client; none while it is not
/// whole.
///
/// # Errors
/// [`ForwardError::BadGateway`] where it is no head, its body has no sure end (RFC 9112 §6.3), or a field is malformed.
pub fn response_fields(read: &mut BytesMut, own_names: &OwnNames) -> Result<Option<HeaderMap>, ForwardError> {
    let Some(head) = read_head(read).map_err(BadGateway::Exchange)? else { return Ok(None) };
    let mut fields = HeaderMap::new();
    copy_response_fields(head, false, &mut fields, own_names)?;
    Ok(Some(fields))
}
