//! The head of the request that goes to the upstream.

use std::cell::Cell;
use std::net::IpAddr;
use std::ops::Deref;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{self as inbound, HeaderMap as InboundMap, HeaderName, HeaderValue};

use super::{ConnectionOptions, Treatment, treatment};
use crate::proxy::body::BodyLength;
use crate::proxy::error::{BadGateway, BadRequest, ForwardError};
use crate::proxy::upgrade::WEBSOCKET;
use crate::proxy::{Credentials, ForwardContext, OwnNames, Route};
use crate::secret::AccessToken;

/// What the fields of a browser's request take, with an access token of usual length.
const USUAL_BYTES: usize = 3 * 1024;
/// Memory beyond this is given back behind a request.
const MOST_KEPT: usize = 16 * 1024;
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

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

/// The fields of the request to the upstream as they go over the wire, but `Host`, which depends on the upstream and comes
/// first.
pub(in crate::proxy) fn request_fields(input: &RequestFields<'_>) -> Result<Fields, ForwardError> {
    let incoming = input.request.headers();
    let options = ConnectionOptions::parse(incoming.get_all(inbound::CONNECTION).map(|value| value.as_bytes()))
        .map_err(|_| BadRequest::TooManyConnectionOptions)?;
    let mut out = Fields::new();
    for (name, value) in incoming {
        let name = name.as_str();
        let passes = treatment(name) == Treatment::Pass && !input.context.own_names.has_header(name);
        if passes && !options.names(name) {
            out.add_verified(name, value);
        }
    }
    match input.length {
        BodyLength::Absent => {}
        BodyLength::Exactly(length) => out.add("content-length", length.to_string().as_bytes())?,
        BodyLength::Unknown => out.add_constant("transfer-encoding: chunked\r\n"),
    }
    if input.handshake {
        out.add_constant("connection: upgrade\r\n");
        out.add("upgrade", WEBSOCKET.as_bytes())?;
    }
    if input.route.forwards_cookies() && !options.names("cookie") {
        add_cookies(&mut out, incoming, input.context.own_names)?;
    }
    add_forwarded(&mut out, incoming, input.context)?;
    add_via(&mut out, incoming, input)?;
    add_trace(&mut out, incoming, input.context.traceparent.as_deref())?;
    if let Some(left) = max_forwards(input.request) {
        out.add("max-forwards", left.saturating_sub(1).to_string().as_bytes())?;
    }
    if let Some(prefix) = input.route.rewritten_prefix() {
        out.add("x-forwarded-prefix", prefix.as_bytes())?;
    }
    match input.context.credentials {
        Credentials::None => {}
        Credentials::Token(token) => out.add_bearer(token)?,
        // What was looked at before.
        Credentials::OfTheClient => {
            incoming.get_all(inbound::AUTHORIZATION).for_each(|value| out.add_verified("authorization", value));
        }
    }
    for (name, value) in input.context.identity {
        out.add(name.as_str(), value.as_bytes())?;
    }
    Ok(out)
}

thread_local! {
    /// The memory of this worker's last request.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Fields as they go over the wire: nothing gets into it that could end a field before its end.
pub(in crate::proxy) struct Fields(Vec<u8>);

impl Deref for Fields {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        let mut spare = std::mem::take(&mut self.0);
        spare.clear();
        spare.shrink_to(MOST_KEPT);
        let _ = SPARE.try_with(|kept| kept.set(spare));
    }
}

impl Fields {
    fn new() -> Self {
        let mut out = SPARE.try_with(Cell::take).unwrap_or_default();
        out.reserve(USUAL_BYTES);
        Self(out)
    }

    /// Adds a field; `name` is a field name in lower case.
    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), BadRequest> {
        if !is_field_value(value) {
            return Err(BadRequest::Malformed);
        }
        self.begin(name);
        self.0.extend_from_slice(value);
        self.end();
        Ok(())
    }

    /// Adds an access token (RFC 6750 §2.1), which was visible ASCII when the provider sent it: it is looked through once
    /// more for what would end the field, and nothing else, for it has thousands of characters.
    fn add_bearer(&mut self, token: &AccessToken) -> Result<(), BadGateway> {
        let token = token.expose().as_bytes();
        if memchr::memchr3(b'\r', b'\n', b'\0', token).is_some() {
            return Err(BadGateway::AccessToken);
        }
        self.begin("authorization");
        self.0.extend_from_slice(b"Bearer ");
        self.0.extend_from_slice(token);
        self.end();
        Ok(())
    }

    /// Adds a field whose value was verified when it was made: as the listener reads a request's fields.
    fn add_verified(&mut self, name: &str, value: &HeaderValue) {
        self.begin(name);
        self.0.extend_from_slice(value.as_bytes());
        self.end();
    }

    /// Adds a whole line of ours.
    fn add_constant(&mut self, line: &'static str) {
        self.0.extend_from_slice(line.as_bytes());
    }

    fn begin(&mut self, name: &str) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
    }

    fn end(&mut self) {
        self.0.extend_from_slice(b"\r\n");
    }
}

/// RFC 9110 §5.5: visible characters, spaces, tabs, and bytes that are not ASCII. Without a branch for each byte, so that
/// the compiler takes many at once.
fn is_field_value(value: &[u8]) -> bool {
    value.iter().fold(true, |good, &byte| good & ((byte >= b' ' && byte != 0x7f) | (byte == b'\t')))
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

/// The cookies that are not ours.
fn add_cookies(out: &mut Fields, incoming: &InboundMap, own: &OwnNames) -> Result<(), BadRequest> {
    let line = own.cookies_of_others(incoming.get_all(inbound::COOKIE).map(|value| value.as_bytes()));
    if line.is_empty() { Ok(()) } else { out.add("cookie", &line) }
}

fn add_forwarded(out: &mut Fields, incoming: &InboundMap, context: &ForwardContext<'_>) -> Result<(), BadRequest> {
    let origin = context.public_origin;
    out.add("x-forwarded-host", origin.authority().as_bytes())?;
    out.add_constant(if origin.is_https() { "x-forwarded-proto: https\r\n" } else { "x-forwarded-proto: http\r\n" });
    add_forwarded_for(out, incoming, context);
    Ok(())
}

/// The peer, behind the list that it sent if it is one of our own proxies.
fn add_forwarded_for(out: &mut Fields, incoming: &InboundMap, context: &ForwardContext<'_>) {
    let sent = context.trusted_peer.then(|| incoming.get_all(X_FORWARDED_FOR)).into_iter().flatten();
    let sent = sent.map(HeaderValue::as_bytes).filter(|value| !value.trim_ascii().is_empty());
    let mut separator: &[u8] = b"";
    let start = out.0.len();
    out.begin("x-forwarded-for");
    for value in sent {
        out.0.extend_from_slice(separator);
        out.0.extend_from_slice(value);
        separator = b", ";
    }
    match context.peer.as_ref().map(IpAddr::to_canonical) {
        Some(peer) => {
            out.0.extend_from_slice(separator);
            add_address(out, peer);
        }
        None if separator.is_empty() => return out.0.truncate(start),
        None => {}
    }
    out.end();
}

/// An address as `Display` writes it, at a fraction of the cost for IPv4.
fn add_address(out: &mut Fields, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        return out.0.extend_from_slice(address.to_string().as_bytes());
    };
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            out.0.push(b'.');
        }
        if octet >= 100 {
            out.0.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            out.0.push(b'0' + octet / 10 % 10);
        }
        out.0.push(b'0' + octet % 10);
    }
}

/// Passes `Via` on with us at its end; a list that names us already is a loop (RFC 9110 §7.6.3).
fn add_via(out: &mut Fields, incoming: &InboundMap, input: &RequestFields<'_>) -> Result<(), ForwardError> {
    let names = input.context.own_names;
    for value in incoming.get_all(inbound::VIA) {
        if value.as_bytes().split(|&byte| byte == b',').any(|element| names.are_in(element)) {
            return Err(ForwardError::LoopDetected);
        }
        out.add_verified("via", value);
    }
    out.add_verified("via", names.via(input.request.version()));
    Ok(())
}

/// The client's trace goes on if it is valid (W3C Trace Context §3.2), else ours begins.
fn add_trace(out: &mut Fields, incoming: &InboundMap, ours: Option<&str>) -> Result<(), BadRequest> {
    let mut parents = incoming.get_all(TRACEPARENT);
    match (parents.next(), parents.next(), ours) {
        (Some(parent), None, _) if is_traceparent(parent.as_bytes()) => {
            out.add_verified("traceparent", parent);
            incoming.get_all(TRACESTATE).for_each(|state| out.add_verified("tracestate", state));
            Ok(())
        }
        (_, _, Some(ours)) => out.add("traceparent", ours.as_bytes()),
        _ => Ok(()),
    }
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
