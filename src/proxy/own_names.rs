//! The names that are ours: those of our cookies, of the headers that tell upstreams of users, and what we call ourselves
//! in `Via`.

use actix_web::http::Version;
use actix_web::http::header::HeaderValue;
use http::HeaderName;
use sha2::{Digest as _, Sha256};

use super::cookies::OwnCookieNames;
use super::headers::dashed;
use crate::origin::PublicOrigin;

/// Our names towards clients and upstreams. Made once.
#[derive(Clone, Debug)]
pub struct OwnNames {
    pub(super) cookies: OwnCookieNames,
    /// Headers that routes set themselves, in lower case and with dashes only.
    headers: Vec<String>,
    /// Our pseudonym in `Via` (RFC 9110 §7.6.3).
    pseudonym: String,
    /// Our element of `Via` for messages of HTTP/1.0 and HTTP/1.1.
    via: [HeaderValue; 2],
}

impl OwnNames {
    /// The names of the site at `origin` whose session cookie is `session_cookie`; all its replicas have the same.
    ///
    /// The pseudonym is the site's own, `sealgate-` and eight hexadecimal digits of the origin's SHA-256: a Sealgate behind
    /// that of another site is no loop, and no other proxy calls itself so, as one by the site's host might.
    pub fn new(session_cookie: &str, origin: &PublicOrigin) -> Self {
        let digest = Sha256::digest(origin.as_str());
        let digits: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let pseudonym = format!("sealgate-{digits}");
        let value = |version| {
            let element = format!("{version} {pseudonym}");
            // Letters, digits, `-`, `.` and a space are a value.
            HeaderValue::try_from(element).unwrap_or_else(|_| HeaderValue::from_static("1.1 sealgate"))
        };
        let via = ["1.0", "1.1"].map(value);
        Self { cookies: OwnCookieNames::new(session_cookie), headers: Vec::new(), pseudonym, via }
    }

    /// The same, and these headers, which no client may send on any route.
    #[must_use]
    pub fn with_headers<'a>(mut self, names: impl Iterator<Item = &'a HeaderName>) -> Self {
        self.headers = names.map(|name| name.as_str().replace('_', "-")).collect();
        self.headers.sort();
        self.headers.dedup();
        self
    }

    /// The same, and the cookies of other sites on the same host: browsers send them to all of its ports.
    #[must_use]
    pub fn with_cookies_of<'a>(mut self, session_cookies: impl Iterator<Item = &'a str>) -> Self {
        session_cookies.for_each(|name| self.cookies.add(name));
        self
    }

    /// The cookies of these `Cookie` fields that are not ours, byte for byte and in order; several lines become one
    /// (RFC 9113 §8.2.3).
    pub fn cookies_of_others<'a>(&self, fields: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut line = Vec::new();
        for pair in fields.flat_map(|field| field.split(|&byte| byte == b';')).map(<[u8]>::trim_ascii) {
            if pair.is_empty() || self.cookies.owns_pair(pair) {
                continue;
            }
            if !line.is_empty() {
                line.extend_from_slice(b"; ");
            }
            line.extend_from_slice(pair);
        }
        line
    }

    /// Whether a header `name` (in lower case) could be read as one that routes set (CVE-2025-64484).
    pub(super) fn has_header(&self, name: &str) -> bool {
        !self.headers.is_empty()
            && self.headers.iter().any(|own| own.len() == name.len() && own.bytes().eq(name.bytes().map(dashed)))
    }

    /// What we add to `Via` of a message that came with `version`.
    pub(super) fn via(&self, version: Version) -> &HeaderValue {
        &self.via[usize::from(version != Version::HTTP_10)]
    }

    /// Whether an element of `Via` (protocol, name, comment) is one of ours.
    pub(super) fn are_in(&self, element: &[u8]) -> bool {
        let mut words = element.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|name| name.eq_ignore_ascii_case(self.pseudonym.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(origin: &str) -> OwnNames {
        OwnNames::new("__Host-sealgate", &origin.parse().expect("an origin"))
    }

    #[test]
    fn headers_of_ours_are_known_in_every_spelling() {
        let name = |text: &'static str| HeaderName::from_static(text);
        let (user, role) = (name("x-user"), name("x_role"));
        let names = of("https://app.example.com").with_headers([&user, &role].into_iter());
        assert!(names.has_header("x-user") && names.has_header("x_user"));
        assert!(names.has_header("x_role") && names.has_header("x-role"));
        assert!(!names.has_header("x-users") && !names.has_header("xuser"));
        assert!(!of("https://app.example.com").has_header("x-user"));
    }

    #[test]
    fn each_site_has_a_pseudonym_of_its_own_and_its_replicas_share_it() {
        let (one, other) = (of("https://app.example.com"), of("https://other.example.com"));
        assert_eq!(one.via(Version::HTTP_11), of("https://app.example.com").via(Version::HTTP_11));
        assert!(one.via(Version::HTTP_10).as_bytes().starts_with(b"1.0 sealgate-"));
        assert!(one.are_in(one.via(Version::HTTP_11).as_bytes()));
        assert!(
            one.are_in(
                format!(" {} (comment)", String::from_utf8_lossy(one.via(Version::HTTP_10).as_bytes()).to_uppercase())
                    .as_bytes()
            )
        );
        assert!(!one.are_in(other.via(Version::HTTP_11).as_bytes()));
        for element in ["1.1 sealgate", "1.1 app.example.com", "1.1", "", "1.1 p (1.1 sealgate)"] {
            assert!(!one.are_in(element.as_bytes()), "{element}");
        }
    }
}
