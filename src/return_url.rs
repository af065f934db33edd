//! Where the browser goes after login or logout: a path on our own origin, never an open redirect (RFC 9700 §4.11.1).

use std::fmt;

use url::Url;

/// The most bytes that a return URL may have: it travels in the login cookie.
pub const MAX_RETURN_URL_BYTES: usize = 512;

/// A path (with optional query and fragment) on our own origin, outside the endpoints' prefix, in ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnUrl(String);

/// Why a text is not a return URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReturnUrlError {
    /// More than [`MAX_RETURN_URL_BYTES`].
    #[error("returnUrl is longer than 512 bytes")]
    TooLong,
    /// Not a path: empty, relative, or an absolute URL.
    #[error("returnUrl is not a path that begins with one slash")]
    NotALocalPath,
    /// A control character, white space at the edge, or a backslash, as it is or percent-encoded.
    #[error("returnUrl has a control character or a backslash")]
    Forbidden,
    /// Under the prefix of our own endpoints: a login that ends at a login or a logout.
    #[error("returnUrl lies under the endpoints' own prefix")]
    UnderPrefix,
}

impl ReturnUrl {
    /// The site's root.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Reads `text` (already decoded from its query parameter); `prefix` is that of our endpoints, such as `/bff`.
    ///
    /// # Errors
    /// See [`ReturnUrlError`]; nothing is repaired but characters outside ASCII, which are percent-encoded.
    pub fn parse(text: &str, prefix: &str) -> Result<Self, ReturnUrlError> {
        if text.len() > MAX_RETURN_URL_BYTES {
            return Err(ReturnUrlError::TooLong);
        }
        if has_forbidden_character(text.as_bytes()) {
            return Err(ReturnUrlError::Forbidden);
        }
        let decoded: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
        if has_forbidden_character(&decoded) {
            return Err(ReturnUrlError::Forbidden);
        }
        if !text.starts_with('/') || decoded.starts_with(b"//") {
            return Err(ReturnUrlError::NotALocalPath);
        }
        let base = Url::parse("https://origin.invalid/").map_err(|_| ReturnUrlError::NotALocalPath)?;
        let resolved = base.join(text).map_err(|_| ReturnUrlError::NotALocalPath)?;
        // Dot segments may have hidden an encoded slash behind the first one.
        let two_slashes = percent_encoding::percent_decode_str(resolved.path()).take(2).eq(*b"//");
        if resolved.origin() != base.origin() || two_slashes {
            return Err(ReturnUrlError::NotALocalPath);
        }
        if is_under(resolved.path(), prefix) {
            return Err(ReturnUrlError::UnderPrefix);
        }
        let local = &resolved[url::Position::BeforePath..];
        if local.len() > MAX_RETURN_URL_BYTES {
            return Err(ReturnUrlError::TooLong);
        }
        Ok(Self(local.to_owned()))
    }

    /// The path as it follows the public origin in `Location`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A checked return URL with `name=value` at the end of its query, where it stands once. Both are taken as they are.
pub fn with_parameter(return_url: &str, name: &str, value: &str) -> String {
    let (rest, fragment) = return_url.split_once('#').map_or((return_url, None), |(rest, f)| (rest, Some(f)));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_other = |pair: &&str| !pair.is_empty() && pair.split('=').next() != Some(name);
    let pair = format!("{name}={value}");
    let query: Vec<&str> = query.split('&').filter(is_other).chain([pair.as_str()]).collect();
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{path}?{}{fragment}", query.join("&"))
}

impl fmt::Display for ReturnUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn has_forbidden_character(bytes: &[u8]) -> bool {
    let at_the_edge = bytes.first() == Some(&b' ') || bytes.last() == Some(&b' ');
    at_the_edge || bytes.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\')
}

/// Compares in the way of the most lenient reader: percent-decoded and without regard to case.
fn is_under(path: &str, prefix: &str) -> bool {
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().to_ascii_lowercase();
    let prefix = prefix.to_ascii_lowercase();
    path.strip_prefix(&prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest.starts_with(';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_paths_pass_with_query_and_fragment() {
        for text in ["/", "/a/b?c=d&e=https%3A%2F%2Fx.example#f", "/bffx", "/a/bff/login", "/a%20b", "/?u=//x"] {
            assert_eq!(ReturnUrl::parse(text, "/bff").expect(text).as_str(), text);
        }
    }

    #[test]
    fn characters_outside_ascii_are_percent_encoded() {
        assert_eq!(ReturnUrl::parse("/caf\u{e9}", "/bff").expect("a path").as_str(), "/caf%C3%A9");
    }

    /// RFC 9700 §4.11.1, CVE-2021-32786, CVE-2021-39191, CVE-2022-23527, CVE-2026-83589.
    #[test]
    fn ways_off_the_site_are_refused() {
        for text in [
            "",
            "a",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/%2fevil.example",
            "/%2Fevil.example",
            "/%5cevil.example",
            "/%09/evil.example",
            "/a%0d%0aSet-Cookie:x",
            "/a\r\nb",
            "/a\0",
            "/%00",
            "javascript:alert(1)",
            " /a",
            "/.//evil.example",
            "/a/..//evil.example",
            "/%2e//evil.example",
            "/x/../%2fevil.example",
            "/./%2Fevil.example",
            "/\u{7f}",
            "?x",
            "#x",
            "/ ",
        ] {
            assert!(ReturnUrl::parse(text, "/bff").is_err(), "{text:?} passed");
        }
    }

    #[test]
    fn our_own_endpoints_are_no_place_to_return_to() {
        for text in
            ["/bff", "/bff/", "/bff/logout", "/x/../bff/login", "/x/%2e%2e/bff/login", "/%62ff/login", "/BFF/login"]
        {
            assert_eq!(ReturnUrl::parse(text, "/bff"), Err(ReturnUrlError::UnderPrefix), "{text}");
        }
    }

    #[test]
    fn a_parameter_is_added_once_before_the_fragment() {
        for (before, after) in [
            ("/", "/?e=x"),
            ("/a?b=c", "/a?b=c&e=x"),
            ("/a?b=c#d?e=y", "/a?b=c&e=x#d?e=y"),
            ("/a?e=y&b=c&e", "/a?b=c&e=x"),
            ("/#", "/?e=x#"),
        ] {
            assert_eq!(with_parameter(before, "e", "x"), after);
            assert_eq!(with_parameter(after, "e", "x"), after);
        }
    }

    #[test]
    fn the_limit_is_512_bytes() {
        assert!(ReturnUrl::parse(&format!("/{}", "a".repeat(511)), "/bff").is_ok());
        assert_eq!(ReturnUrl::parse(&format!("/{}", "a".repeat(512)), "/bff"), Err(ReturnUrlError::TooLong));
    }
}
