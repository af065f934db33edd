//! One parser a type of value. Each gives a message that says what is wrong and what to write instead.
//!
//! None is used for secrets: messages quote the value.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderName, Method, Uri};
use ipnet::IpNet;
use url::Url;

use super::leaf::Leaf;
use crate::origin::{PublicOrigin, is_loopback};

/// The longest life of a cookie that browsers grant (RFC 6265bis §5.6.2).
pub(super) const MAX_COOKIE_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Any string but the empty one.
pub(super) fn text(leaf: &Leaf) -> Result<String, String> {
    match leaf {
        Leaf::Text(text) | Leaf::Untyped(text) if text.trim().is_empty() => Err("is empty".to_owned()),
        Leaf::Text(text) | Leaf::Untyped(text) => Ok(text.clone()),
        Leaf::Nothing => Err("is not set, although a later element of the list is".to_owned()),
        other => Err(format!("must be a string, not {}; write it in quotes", other.kind())),
    }
}

pub(super) fn path(leaf: &Leaf) -> Result<PathBuf, String> {
    text(leaf).map(PathBuf::from)
}

pub(super) fn boolean(leaf: &Leaf) -> Result<bool, String> {
    match leaf {
        Leaf::Boolean(value) => Ok(*value),
        Leaf::Untyped(text) => text.parse().map_err(|_| format!("{text:?} is neither true nor false")),
        other => Err(format!("must be true or false, not {}", other.kind())),
    }
}

/// A whole number within `range`.
pub(super) fn number<N>(leaf: &Leaf, range: RangeInclusive<N>) -> Result<N, String>
where
    N: TryFrom<i64> + PartialOrd + Display,
{
    let number = match leaf {
        Leaf::Integer(number) => Some(*number),
        Leaf::Untyped(text) => text.parse().ok(),
        other => return Err(format!("must be a whole number, not {}", other.kind())),
    };
    number
        .and_then(|number| N::try_from(number).ok())
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
}

pub(super) fn workers(leaf: &Leaf) -> Result<usize, String> {
    number(leaf, 1..=1024)
}

/// One of `choices`, by name.
pub(super) fn choice<T: Copy>(leaf: &Leaf, choices: &[(&str, T)]) -> Result<T, String> {
    let text = text(leaf)?;
    let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
        format!("{text:?} is not one of {}", names.join(", "))
    })
}

/// A duration with its unit, zero included.
pub(super) fn duration(leaf: &Leaf) -> Result<Duration, String> {
    const REMEDY: &str = "write a number and its unit, such as \"60s\" or \"8h\"";
    match leaf {
        Leaf::Text(text) | Leaf::Untyped(text) => {
            humantime::parse_duration(text).map_err(|_| format!("{text:?} is not a duration; {REMEDY}"))
        }
        other => Err(format!("must be a duration, not {}; {REMEDY}", other.kind())),
    }
}

/// A duration above zero.
pub(super) fn positive_duration(leaf: &Leaf) -> Result<Duration, String> {
    duration(leaf)
        .and_then(|duration| if duration.is_zero() { Err("must be more than zero".to_owned()) } else { Ok(duration) })
}

/// A duration in whole seconds, one at least, `most` at most.
pub(super) fn seconds(leaf: &Leaf, most: Duration) -> Result<Duration, String> {
    let duration = positive_duration(leaf)?;
    if duration.subsec_nanos() != 0 {
        return Err("must be in whole seconds".to_owned());
    }
    at_most(duration, most)
}

pub(super) fn at_most(duration: Duration, most: Duration) -> Result<Duration, String> {
    if duration > most {
        return Err(format!("must be at most {}", humantime::format_duration(most)));
    }
    Ok(duration)
}

pub(super) fn socket_address(leaf: &Leaf) -> Result<SocketAddr, String> {
    let text = text(leaf)?;
    text.parse().map_err(|_| format!("{text:?} is not an IP address and port; write them as in \"127.0.0.1:8080\""))
}

/// A network in CIDR form, or a single address.
pub(super) fn network(leaf: &Leaf) -> Result<IpNet, String> {
    let text = text(leaf)?;
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is not a network; write it as in \"10.0.0.0/8\""))
}

pub(super) fn public_origin(leaf: &Leaf) -> Result<PublicOrigin, String> {
    let text = text(leaf)?;
    refuse_user_info(&text)?;
    text.parse().map_err(|error: crate::origin::PublicOriginError| error.to_string())
}

/// An issuer, kept to the letter (OpenID Connect Discovery §3): https, or http on loopback, no query, no fragment.
pub(super) fn issuer(leaf: &Leaf) -> Result<String, String> {
    let text = text(leaf)?;
    refuse_user_info(&text)?;
    let url = Url::parse(&text)
        .ok()
        .filter(|url| url.has_host() && !text.contains(char::is_whitespace))
        .ok_or_else(|| format!("{text:?} is not an absolute URL such as https://login.example.com"))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{text:?} has a query or a fragment, which an issuer must not"));
    }
    match url.scheme() {
        "https" => Ok(text),
        "http" if is_loopback(&url) => Ok(text),
        "http" => Err(format!("{text:?} is http on a host that is not loopback; use https")),
        _ => Err(format!("the scheme of {text:?} is neither https nor http")),
    }
}

/// An upstream's origin.
pub(super) fn upstream(leaf: &Leaf) -> Result<Uri, String> {
    let text = text(leaf)?;
    refuse_user_info(&text)?;
    let url = Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| format!("{text:?} is not an http or https URL; write it as in \"http://127.0.0.1:3000\""))?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "{text:?} is more than an origin; leave out the path and the query (paths go on as they are)"
        ));
    }
    url.origin().ascii_serialization().parse().map_err(|_| format!("{text:?} is not usable as an origin"))
}

/// A URL with a password must not be quoted.
fn refuse_user_info(text: &str) -> Result<(), String> {
    let authority = text.split_once("//").map_or(text, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("has a user name or a password in its URL; leave them out".to_owned());
    }
    Ok(())
}

/// A path of whole segments: begins with a slash, ends with none but if it is the root, needs no decoding.
pub(super) fn whole_path(leaf: &Leaf) -> Result<String, String> {
    let text = text(leaf)?;
    let Some(rest) = text.strip_prefix('/') else {
        return Err(format!("{text:?} does not begin with a slash"));
    };
    if rest.is_empty() {
        return Ok(text);
    }
    if rest.ends_with('/') {
        return Err(format!("{text:?} ends with a slash; leave it out (whole segments match anyway)"));
    }
    if rest.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(format!("{text:?} has an empty or dot segment"));
    }
    // RFC 3986 §3.3, without `%` and `;`: paths are matched as they arrive, never decoded.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&byte);
    if !rest.bytes().all(allowed) {
        return Err(format!("{text:?} has a character that a path here must not have; use letters, digits and -._~"));
    }
    Ok(text)
}

/// As [`whole_path`], but not the root.
pub(super) fn path_below_root(leaf: &Leaf) -> Result<String, String> {
    whole_path(leaf).and_then(|path| if path == "/" { Err("must not be the root".to_owned()) } else { Ok(path) })
}

pub(super) fn method(leaf: &Leaf) -> Result<Method, String> {
    let text = text(leaf)?;
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| format!("{text:?} is not a method"))?;
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(format!("{text} never passes; leave it out"));
    }
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(format!("methods are case-sensitive; write {:?}", text.to_ascii_uppercase()));
    }
    Ok(method)
}

/// A scope token (RFC 6749 §3.3).
pub(super) fn scope(leaf: &Leaf) -> Result<String, String> {
    let text = text(leaf)?;
    if text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
        return Ok(text);
    }
    Err(format!("{text:?} is not one scope; write each scope as an element of its own"))
}

/// A host as it stands in `Host`, without its port, in lower case; an address of IPv6 in its brackets.
pub(super) fn host(leaf: &Leaf) -> Result<String, String> {
    let authority = authority(leaf)?;
    if authority.port().is_some() {
        return Err(format!("{:?} has a port; leave it out", authority.as_str()));
    }
    Ok(authority.host().to_ascii_lowercase())
}

/// A host and, where it has one, its port.
pub(super) fn authority(leaf: &Leaf) -> Result<Authority, String> {
    let text = text(leaf)?;
    let authority = text.parse::<Authority>().ok();
    authority
        .filter(|authority| !authority.host().is_empty() && !text.contains('@'))
        .ok_or_else(|| format!("{text:?} is not a host; write it as in \"api.example.com\", without scheme and path"))
}

/// Bytes, as a number or with a unit: `10MiB`.
pub(super) fn size(leaf: &Leaf) -> Result<u64, String> {
    const UNITS: [(&str, u64); 7] = [
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("b", 1),
    ];
    let text = match leaf {
        Leaf::Integer(number) => number.to_string(),
        leaf => text(leaf)?,
    };
    let lower = text.trim().to_ascii_lowercase();
    let (number, unit) =
        UNITS.iter().find_map(|(unit, bytes)| Some((lower.strip_suffix(unit)?, *bytes))).unwrap_or((&lower, 1));
    let size = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    size.ok_or_else(|| format!("{text:?} is not a size; write bytes, or a whole number and its unit as in \"10MiB\""))
}

/// A token (RFC 9110 §5.6.2): what a cookie name, a header name and a method are made of.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// A header that a page of another site cannot send without asking first, and that scripts may set.
pub(super) fn csrf_header(leaf: &Leaf) -> Result<String, String> {
    let text = text(leaf)?;
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("{text:?} is not a header name"))?;
    let name = name.as_str();
    if SAFELISTED_HEADERS.contains(&name) {
        return Err(format!("{text:?} can be sent by any site (it is on the CORS safelist); take a name of your own"));
    }
    if FORBIDDEN_HEADERS.contains(&name) || reserved(name) {
        return Err(format!("{text:?} cannot be set by scripts, or means something else; take a name of your own"));
    }
    Ok(text)
}

/// Fetch standard §2.2.2, and the headers that proxies add.
fn reserved(name: &str) -> bool {
    ["sec-", "proxy-", "x-forwarded-", "access-control-"].iter().any(|prefix| name.starts_with(prefix))
}

/// Fetch standard §2.2.2, CORS-safelisted and no-CORS-safelisted request-headers.
const SAFELISTED_HEADERS: &[&str] = &[
    "accept",
    "accept-language",
    "content-language",
    "content-type",
    "device-memory",
    "downlink",
    "dpr",
    "ect",
    "range",
    "rtt",
    "save-data",
    "viewport-width",
    "width",
];

/// Fetch standard §2.2.2, forbidden request-headers, and those that a browser, a proxy or Sealgate sets itself.
const FORBIDDEN_HEADERS: &[&str] = &[
    "accept-charset",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "date",
    "dnt",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "last-event-id",
    "origin",
    "pragma",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
];

/// A header value in visible ASCII.
pub(super) fn header_value(leaf: &Leaf) -> Result<String, String> {
    let text = text(leaf)?;
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text);
    }
    Err(format!("{text:?} has spaces, or characters outside visible ASCII"))
}

#[cfg(test)]
mod tests;
