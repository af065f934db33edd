//! The head of the request that goes to the upstream.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{self as inbound, HeaderMap as InboundMap};
use actix_web::http::{Method, Version};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::{ConnectionOptions, Treatment, treatment};
use crate::proxy::body::BodyLength;
use crate::proxy::error::{BadGateway, BadRequest, ForwardError};
use crate::proxy::upgrade::WEBSOCKET;
use crate::proxy::{ForwardContext, OwnNames, Route};
use crate::secret::AccessToken;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const MAX_FORWARDS: HeaderName = HeaderName::from_static("max-forwards");

/// What is known of the request besides its own fields.
pub(in crate::proxy) struct RequestFields<'a> {
    /// The request as it came in.
    pub(in crate::proxy) request: &'a HttpRequest,
    /// Its route.
    pub(in crate::proxy) route: &'a Route,
    /// Who sent it, and as whom it goes on.
    pub(in crate::proxy) context: &'a ForwardContext<'a>,
    /// How long its body is.
    pub(in crate::proxy) length: BodyLength,
    /// Whether it is a WebSocket's handshake.
    pub(in crate::proxy) handshake: bool,
}

/// The fields of the request to the upstream, but `Host`, which depends on the upstream and comes first.
pub(in crate::proxy) fn request_fields(input: &RequestFields<'_>) -> Result<HeaderMap, ForwardError> {
    let incoming = input.request.headers();
    let options = ConnectionOptions::parse(incoming.get_all(inbound::CONNECTION).map(|value| value.as_bytes()))
        .map_err(|_| BadRequest::TooManyConnectionOptions)?;
    let mut outgoing = HeaderMap::with_capacity(incoming.len() + 8);
    // Its place; the value follows with the upstream.
    outgoing.insert(header::HOST, HeaderValue::from_static(""));
    for (name, value) in incoming {
        if treatment(name.as_str()) == Treatment::Pass && !options.names(name.as_str()) {
            let name = HeaderName::from_lowercase(name.as_str().as_bytes()).map_err(|_| BadRequest::Malformed)?;
            outgoing.append(name, copied(value.as_bytes())?);
        }
    }
    set_framing(&mut outgoing, input.length);
    if input.handshake {
        outgoing.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        outgoing.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
    }
    if input.route.forwards_cookies() && !options.names(header::COOKIE.as_str()) {
        set_cookies(&mut outgoing, incoming, input.context.own_names)?;
    }
    set_forwarded(&mut outgoing, incoming, input.context)?;
    set_via(&mut outgoing, incoming, input)?;
    set_trace(&mut outgoing, incoming, input.context.traceparent.as_deref())?;
    if let Some(left) = max_forwards(input.request) {
        outgoing.insert(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
    if let Some(token) = input.context.access_token {
        outgoing.insert(header::AUTHORIZATION, bearer(token)?);
    }
    Ok(outgoing)
}

/// How long the request says its body is.
pub(in crate::proxy) fn body_length(request: &HttpRequest) -> Result<BodyLength, BadRequest> {
    let headers = request.headers();
    let mut lengths = headers.get_all(inbound::CONTENT_LENGTH);
    if let Some(length) = lengths.next() {
        let digits = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let length = digits.and_then(|digits| digits.parse().ok()).ok_or(BadRequest::Malformed)?;
        // Two lengths, or one beside a transfer coding, are an attempt at smuggling (RFC 9112 §6.3).
        let alone = lengths.next().is_none() && !headers.contains_key(inbound::TRANSFER_ENCODING);
        return if alone { Ok(BodyLength::Exactly(length)) } else { Err(BadRequest::Malformed) };
    }
    Ok(if headers.contains_key(inbound::TRANSFER_ENCODING) { BodyLength::Unknown } else { BodyLength::Absent })
}

/// `Max-Forwards` of an OPTIONS request (RFC 9110 §7.6.2); other methods that it is for do not pass.
pub(in crate::proxy) fn max_forwards(request: &HttpRequest) -> Option<u32> {
    if request.method() != Method::OPTIONS {
        return None;
    }
    request.headers().get(inbound::MAX_FORWARDS)?.to_str().ok()?.parse().ok()
}

fn copied(value: &[u8]) -> Result<HeaderValue, BadRequest> {
    HeaderValue::from_bytes(value).map_err(|_| BadRequest::Malformed)
}

fn owned(value: Vec<u8>) -> Result<HeaderValue, BadRequest> {
    HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(|_| BadRequest::Malformed)
}

fn set_framing(outgoing: &mut HeaderMap, length: BodyLength) {
    match length {
        BodyLength::Absent => {}
        BodyLength::Exactly(length) => {
            outgoing.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        BodyLength::Unknown => {
            outgoing.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

/// The cookies that are not ours, byte for byte and in order; several lines become one (RFC 9113 §8.2.3).
fn set_cookies(outgoing: &mut HeaderMap, incoming: &InboundMap, own: &OwnNames) -> Result<(), BadRequest> {
    let own = &own.cookies;
    let mut line = Vec::new();
    for value in incoming.get_all(inbound::COOKIE) {
        for pair in value.as_bytes().split(|&byte| byte == b';').map(<[u8]>::trim_ascii) {
            if pair.is_empty() || own.owns_pair(pair) {
                continue;
            }
            if !line.is_empty() {
                line.extend_from_slice(b"; ");
            }
            line.extend_from_slice(pair);
        }
    }
    if !line.is_empty() {
        outgoing.insert(header::COOKIE, owned(line)?);
    }
    Ok(())
}

fn set_forwarded(
    outgoing: &mut HeaderMap,
    incoming: &InboundMap,
    context: &ForwardContext<'_>,
) -> Result<(), BadRequest> {
    let origin = context.public_origin;
    outgoing.insert(X_FORWARDED_HOST, copied(origin.authority().as_bytes())?);
    let scheme = if origin.is_https() { "https" } else { "http" };
    outgoing.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    if let Some(chain) = forwarded_for(incoming, context) {
        outgoing.insert(X_FORWARDED_FOR, owned(chain)?);
    }
    Ok(())
}

/// The peer, behind the list that it sent if it is one of our own proxies.
fn forwarded_for(incoming: &InboundMap, context: &ForwardContext<'_>) -> Option<Vec<u8>> {
    let mut chain = Vec::new();
    if context.trusted_peer {
        for value in incoming.get_all("x-forwarded-for").filter(|value| !value.as_bytes().trim_ascii().is_empty()) {
            chain.extend_from_slice(value.as_bytes());
            chain.extend_from_slice(b", ");
        }
    }
    match context.peer.as_ref().map(IpAddr::to_canonical) {
        Some(peer) => chain.extend_from_slice(peer.to_string().as_bytes()),
        None => chain.truncate(chain.len().saturating_sub(2)),
    }
    (!chain.is_empty()).then_some(chain)
}

/// Passes `Via` on with us at its end; a list that names us already is a loop (RFC 9110 §7.6.3).
fn set_via(outgoing: &mut HeaderMap, incoming: &InboundMap, input: &RequestFields<'_>) -> Result<(), ForwardError> {
    let names = input.context.own_names;
    for value in incoming.get_all(inbound::VIA) {
        if value.as_bytes().split(|&byte| byte == b',').any(|element| names.are_in(element)) {
            return Err(ForwardError::LoopDetected);
        }
        outgoing.append(header::VIA, copied(value.as_bytes())?);
    }
    let version =
        if input.request.version() == Version::HTTP_10 { http::Version::HTTP_10 } else { http::Version::HTTP_11 };
    outgoing.append(header::VIA, copied(names.via(version).as_bytes())?);
    Ok(())
}

/// The client's trace goes on if it is valid (W3C Trace Context §3.2), else ours begins.
fn set_trace(outgoing: &mut HeaderMap, incoming: &InboundMap, ours: Option<&str>) -> Result<(), BadRequest> {
    let mut parents = incoming.get_all("traceparent");
    match (parents.next(), parents.next()) {
        (Some(parent), None) if is_traceparent(parent.as_bytes()) => {
            outgoing.insert(TRACEPARENT, copied(parent.as_bytes())?);
            for state in incoming.get_all("tracestate") {
                outgoing.append(TRACESTATE, copied(state.as_bytes())?);
            }
        }
        _ => {
            if let Some(ours) = ours {
                outgoing.insert(TRACEPARENT, copied(ours.as_bytes())?);
            }
        }
    }
    Ok(())
}

/// `version-trace-parent-flags` in lower-case hexadecimal; neither identifier all zero, the version not ff.
fn is_traceparent(text: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &[u8]| part.iter().all(|&byte| byte == b'0');
    let mut parts = text.splitn(5, |&byte| byte == b'-');
    let [version, trace, parent, flags] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let lengths = (version.len(), trace.len(), parent.len(), flags.len()) == (2, 32, 16, 2);
    lengths
        && [version, trace, parent, flags].into_iter().all(is_hex)
        && version != b"ff"
        && !is_zero(trace)
        && !is_zero(parent)
        // Only later versions may have more parts.
        && (version != b"00" || parts.next().is_none())
}

fn bearer(token: &AccessToken) -> Result<HeaderValue, BadGateway> {
    let text = [b"Bearer ", token.expose().as_bytes()].concat();
    let mut value = HeaderValue::from_maybe_shared(Bytes::from(text)).map_err(|_| BadGateway::AccessToken)?;
    value.set_sensitive(true);
    Ok(value)
}
