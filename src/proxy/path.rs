//! Which request paths may be routed at all, and how they are compared with a route's prefix.
//!
//! A path is forwarded byte for byte or refused, never repaired: whatever two servers could read differently (dot
//! segments, encoded slashes, path parameters that hide a segment) is refused before a route is looked for.

/// Why a path is refused; the answer is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathRefused {
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// Two slashes in a row: some servers merge them.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// A segment `.` or `..`, also with path parameters behind it (`/..;/`).
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%2e`: a dot segment to whoever decodes before splitting.
    #[error("the path has an encoded dot")]
    EncodedDot,
    /// `%2f`: a separator to whoever decodes before splitting.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// `\` or `%5c`: a separator on some systems.
    #[error("the path has a backslash")]
    Backslash,
    /// A control character, NUL among them, raw or encoded.
    #[error("the path has a control character")]
    Control,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("the path has an invalid percent encoding")]
    InvalidEncoding,
    /// An encoded letter or a path parameter that makes the path belong to another route than its bytes say.
    #[error("the path could be read as another route's")]
    Ambiguous,
}

/// Refuses every path that two servers could split differently. An empty last segment (a trailing slash) is fine.
pub(super) fn check(path: &str) -> Result<(), PathRefused> {
    let Some(segments) = path.strip_prefix('/') else { return Err(PathRefused::NotAbsolute) };
    let mut rest = segments.as_bytes();
    loop {
        match rest.iter().position(|&byte| byte == b'/') {
            Some(end) => {
                check_segment(&rest[..end], false)?;
                rest = &rest[end + 1..];
            }
            None => return check_segment(rest, true),
        }
    }
}

/// Whether `path` is `prefix` or lies below it, by whole segments. `prefix` has no trailing slash; that of `/` is empty.
pub(super) fn is_under(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether some servers may read `path` otherwise than by its bytes: it has encoded characters or path parameters.
pub(super) fn has_other_readings(path: &str) -> bool {
    path.bytes().any(|byte| matches!(byte, b'%' | b';'))
}

/// As [`is_under`], but as a server reads that decodes every segment and drops its parameters.
pub(super) fn is_under_when_decoded(prefix: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    prefix.split('/').all(|wanted| segments.next().is_some_and(|segment| decoded(segment).eq(decoded(wanted))))
}

/// The bytes of a segment as such a server reads it.
fn decoded(segment: &str) -> impl Iterator<Item = u8> {
    let mut bytes = segment.bytes();
    std::iter::from_fn(move || match bytes.next()? {
        b'%' => {
            let (high, low) = (bytes.next()?, bytes.next()?);
            hex_pair(high, low)
        }
        byte => Some(byte),
    })
    .take_while(|&byte| byte != b';')
}

fn check_segment(segment: &[u8], last: bool) -> Result<(), PathRefused> {
    let mut name_length = None;
    let mut position = 0;
    while let Some(&byte) = segment.get(position) {
        match byte {
            b'%' => {
                let pair = segment.get(position + 1).zip(segment.get(position + 2));
                match pair.and_then(|(&high, &low)| hex_pair(high, low)).ok_or(PathRefused::InvalidEncoding)? {
                    b'.' => return Err(PathRefused::EncodedDot),
                    b'/' => return Err(PathRefused::EncodedSlash),
                    b'\\' => return Err(PathRefused::Backslash),
                    0..=0x1f | 0x7f => return Err(PathRefused::Control),
                    b';' => name_length = name_length.or(Some(position)),
                    _ => {}
                }
                position += 3;
                continue;
            }
            b'\\' => return Err(PathRefused::Backslash),
            0..=0x1f | 0x7f => return Err(PathRefused::Control),
            b';' => name_length = name_length.or(Some(position)),
            _ => {}
        }
        position += 1;
    }
    match &segment[..name_length.unwrap_or(segment.len())] {
        b"." | b".." => Err(PathRefused::DotSegment),
        b"" if !last => Err(PathRefused::EmptySegment),
        _ => Ok(()),
    }
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_pass() {
        for path in [
            "/",
            "/api",
            "/api/",
            "/api/a.b/..c/c../...",
            "/api/a%20b/%C3%A4",
            "/api/x;v=1/y",
            "/api/%252e%252e/x",
            "/api/a:b@c/(d)*!$&'+,=~_-",
            "/api/{\"json\"}|x",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    /// DESIGN §7; CVE-2026-40575, CVE-2025-54576 and their kin.
    #[test]
    fn paths_that_two_servers_could_split_differently_are_refused() {
        use PathRefused as P;
        for (path, reason) in [
            ("", P::NotAbsolute),
            ("*", P::NotAbsolute),
            ("api", P::NotAbsolute),
            ("//", P::EmptySegment),
            ("//api", P::EmptySegment),
            ("/api//x", P::EmptySegment),
            ("/api/;x/y", P::EmptySegment),
            ("/api/.", P::DotSegment),
            ("/api/..", P::DotSegment),
            ("/./api", P::DotSegment),
            ("/api/../admin", P::DotSegment),
            ("/api/..;/admin", P::DotSegment),
            ("/api/..;x=1/admin", P::DotSegment),
            ("/api/..%3b/admin", P::DotSegment),
            ("/api/.;/admin", P::DotSegment),
            ("/api/%2e%2e/admin", P::EncodedDot),
            ("/api/.%2E/admin", P::EncodedDot),
            ("/api/%2e", P::EncodedDot),
            ("/api/file%2etxt", P::EncodedDot),
            ("/api%2fadmin", P::EncodedSlash),
            ("/api/..%2Fadmin", P::EncodedSlash),
            ("/api\\admin", P::Backslash),
            ("/api/..\\admin", P::Backslash),
            ("/api%5cadmin", P::Backslash),
            ("/api/x%5C..", P::Backslash),
            ("/api/\0", P::Control),
            ("/api/%00", P::Control),
            ("/api/x%00.png", P::Control),
            ("/api/\t", P::Control),
            ("/api/%0d%0aX:y", P::Control),
            ("/api/%7f", P::Control),
            ("/api/%", P::InvalidEncoding),
            ("/api/%4", P::InvalidEncoding),
            ("/api/%zz", P::InvalidEncoding),
            ("/api/%4/1", P::InvalidEncoding),
            ("/api/%+1", P::InvalidEncoding),
        ] {
            assert_eq!(check(path), Err(reason), "{path:?}");
        }
    }

    #[test]
    fn a_prefix_matches_by_whole_segments() {
        assert!(is_under("/api", "/api"));
        assert!(is_under("/api", "/api/"));
        assert!(is_under("/api", "/api/x"));
        assert!(is_under("", "/x"));
        assert!(!is_under("/api", "/apix"));
        assert!(!is_under("/api", "/API"));
        assert!(!is_under("/api", "/api;x"));
        assert!(!is_under("/api/v1", "/api"));
    }

    #[test]
    fn the_decoded_reading_sees_through_encodings_and_parameters() {
        for path in ["/api", "/api/x", "/%61pi/x", "/ap%69", "/api;x/y", "/api%3Bx/y"] {
            assert!(is_under_when_decoded("/api", path), "{path}");
            assert!(is_under_when_decoded("", path), "{path}");
        }
        for path in ["/apix", "/api%78", "/x/api", "/"] {
            assert!(!is_under_when_decoded("/api", path), "{path}");
        }
    }
}
