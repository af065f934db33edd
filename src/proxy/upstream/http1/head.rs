//! The head of an answer, and what it says of the body's end.

use std::mem::MaybeUninit;
use std::ops::Range;

use actix_web::http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::http::{StatusCode, Version};
use bytes::{Bytes, BytesMut};
use httparse::Status;

use super::chunks::Chunks;
use super::{ExchangeError, Framing, MAX_FIELDS, MAX_HEAD};

/// The head of an answer. Its values are slices of what was read.
pub(in crate::proxy) struct Head {
    /// The status.
    pub(in crate::proxy) status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub(in crate::proxy) version: Version,
    bytes: Bytes,
    reason: Range<usize>,
    fields: Vec<(HeaderName, Range<usize>)>,
}

impl Head {
    /// Takes a head out of `read`; none while it is not whole. `searched` says up to where its end was looked for before.
    pub(super) fn take(read: &mut BytesMut, searched: &mut usize) -> Result<Option<Self>, ExchangeError> {
        // As a rule all of it comes at once.
        let is_first = *searched == 0;
        if read.is_empty() || !is_first && !has_end(read, searched) {
            return if read.len() > MAX_HEAD { Err(ExchangeError::HeadTooLong) } else { Ok(None) };
        }
        let mut space = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let strict = httparse::ParserConfig::default();
        let length = match strict.parse_response_with_uninit_headers(&mut parsed, read, &mut space) {
            Ok(Status::Complete(length)) if length <= MAX_HEAD => length,
            Ok(Status::Complete(_)) | Err(httparse::Error::TooManyHeaders) => return Err(ExchangeError::HeadTooLong),
            // It is not whole, or what looked like its end was empty lines before it.
            Ok(Status::Partial) if read.len() > MAX_HEAD => return Err(ExchangeError::HeadTooLong),
            Ok(Status::Partial) => {
                if is_first {
                    *searched = read.len();
                }
                return Ok(None);
            }
            Err(_) => return Err(ExchangeError::NotHttp),
        };
        let place = |part: &[u8]| {
            let start = part.as_ptr().addr() - read.as_ptr().addr();
            start..start + part.len()
        };
        let not_http = ExchangeError::NotHttp;
        let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
        let Some(status) = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()) else { return Err(not_http) };
        let reason =
            parsed.reason.map_or(0..0, |reason| if reason.is_empty() { 0..0 } else { place(reason.as_bytes()) });
        let mut fields = Vec::with_capacity(parsed.headers.len());
        for field in &*parsed.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| ExchangeError::NotHttp)?;
            fields.push((name, if field.value.is_empty() { 0..0 } else { place(field.value) }));
        }
        let bytes = read.split_to(length).freeze();
        *searched = 0;
        Ok(Some(Self { status, version, bytes, reason, fields }))
    }

    /// The reason phrase.
    pub(in crate::proxy) fn reason(&self) -> &[u8] {
        &self.bytes[self.reason.clone()]
    }

    /// How many fields it has.
    pub(in crate::proxy) fn len(&self) -> usize {
        self.fields.len()
    }

    /// All fields in their order, repeated ones repeated.
    pub(in crate::proxy) fn fields(&self) -> impl Iterator<Item = (&HeaderName, &[u8])> {
        self.fields.iter().map(|(name, place)| (name, &self.bytes[place.clone()]))
    }

    /// The values of a field.
    pub(in crate::proxy) fn values<'a>(&'a self, wanted: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.fields().filter(move |(name, _)| *name == wanted).map(|(_, value)| value)
    }

    /// The fields, their values sharing what was read.
    pub(in crate::proxy) fn into_fields(self) -> impl Iterator<Item = (HeaderName, Option<HeaderValue>)> {
        let bytes = self.bytes;
        self.fields
            .into_iter()
            .map(move |(name, place)| (name, HeaderValue::from_maybe_shared(bytes.slice(place)).ok()))
    }

    /// How the body ends, by RFC 9112 §6.3; `is_head`: the request was HEAD.
    pub(super) fn framing(&self, is_head: bool) -> Result<Framing, ExchangeError> {
        let mut codings = self.values(&TRANSFER_ENCODING);
        let coding = codings.next();
        if let Some(coding) = coding {
            let is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if !is_chunked || codings.next().is_some() || self.version == Version::HTTP_10 {
                return Err(ExchangeError::TransferCoding);
            }
        }
        let is_without = is_head || self.status.is_informational() || matches!(self.status.as_u16(), 204 | 304);
        if is_without {
            return Ok(Framing::Ended);
        }
        if coding.is_some() {
            return Ok(Framing::Chunked(Chunks::new()));
        }
        match length(self.values(&CONTENT_LENGTH))? {
            Some(0) => Ok(Framing::Ended),
            Some(length) => Ok(Framing::Length(length)),
            None => Ok(Framing::UntilClose),
        }
    }

    /// Whether the connection lives on behind this answer (RFC 9112 §9.3).
    pub(super) fn keeps_connection(&self) -> bool {
        let mut options = self.values(&CONNECTION).flat_map(|value| value.split(|&byte| byte == b','));
        if self.version == Version::HTTP_10 {
            let (mut keeps, mut closes) = (false, false);
            for option in options {
                keeps |= option.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
                closes |= option.trim_ascii().eq_ignore_ascii_case(b"close");
            }
            return keeps && !closes;
        }
        !options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    }
}

/// The one length that all values give; lists count as several (RFC 9110 §8.6).
fn length<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<u64>, ExchangeError> {
    let mut found = None;
    for value in values.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii) {
        let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let length: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or(ExchangeError::Length)?;
        if found.replace(length).is_some_and(|before| before != length) {
            return Err(ExchangeError::Length);
        }
    }
    Ok(found)
}

/// Whether an empty line has come, so that parsing is worth it: an upstream that trickles must not have each byte parsed
/// again.
fn has_end(read: &[u8], searched: &mut usize) -> bool {
    let mut from = searched.saturating_sub(3);
    while let Some(at) = read.get(from..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let behind = from + at + 1;
        match read.get(behind..) {
            Some([b'\n', ..] | [b'\r', b'\n', ..]) => return true,
            _ => from = behind,
        }
    }
    *searched = read.len();
    false
}
