//! The origin that browsers see (`server.public_url`): what cookies are bound to and every `Location` begins with.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// Scheme, host and port of the public site, without a trailing slash (RFC 6454 §4): `https://app.example.com`.
///
/// Once parsed it is https, or http on a loopback host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicOrigin {
    serialized: String,
    authority: String,
    https: bool,
}

/// Why a text is not usable as the public origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicOriginError {
    /// Not an absolute URL.
    #[error("{0:?} is not an absolute URL such as https://app.example.com")]
    NotAUrl(String),
    /// A scheme other than https and http.
    #[error("the scheme of {0:?} is neither https nor http")]
    Scheme(String),
    /// http to a host that is not loopback: tokens would be sent in clear text (RFC 6750 §5.3).
    #[error("{0:?} is http on a host that is not loopback; use https")]
    ClearText(String),
    /// A path, query, fragment or user name behind the origin.
    #[error("{0:?} is more than an origin; leave out the path, query, fragment and user name")]
    NotAnOrigin(String),
}

impl PublicOrigin {
    /// The origin as browsers send it in `Origin`, without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.serialized
    }

    /// Host, and the port where it is not the scheme's default: what `Host` must say.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// All that `Host` may say of it, in lower case: with the port, and without where it is the scheme's default.
    pub fn authorities(&self) -> impl Iterator<Item = String> {
        let default = if self.https { 443 } else { 80 };
        let bare = self.authority.strip_suffix(']').is_some() || !self.authority.contains(':');
        let with_port = bare.then(|| format!("{}:{default}", self.authority));
        [self.authority.to_ascii_lowercase()].into_iter().chain(with_port)
    }

    /// The host alone, an IPv6 address without its brackets: what a certificate must be for.
    pub fn host(&self) -> &str {
        let host = match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        };
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Whether browsers reach the site over TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Whether only this machine can be meant.
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.serialized).is_ok_and(|url| is_loopback(&url))
    }

    /// `path` (which begins with `/`) as an absolute URL on this origin.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.serialized)
    }
}

impl FromStr for PublicOrigin {
    type Err = PublicOriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|_| PublicOriginError::NotAUrl(text.to_owned()))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(PublicOriginError::Scheme(text.to_owned()));
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(PublicOriginError::NotAnOrigin(text.to_owned()));
        }
        if url.scheme() == "http" && !is_loopback(&url) {
            return Err(PublicOriginError::ClearText(text.to_owned()));
        }
        let serialized = url.origin().ascii_serialization();
        let authority = serialized.split_once("://").map(|(_, authority)| authority.to_owned()).unwrap_or_default();
        Ok(Self { https: url.scheme() == "https", serialized, authority })
    }
}

impl fmt::Display for PublicOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.serialized)
    }
}

/// Whether the URL's host can only be this machine: 127.0.0.0/8, ::1, `localhost` and names under it (RFC 6761 §6.3).
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> PublicOriginError {
        text.parse::<PublicOrigin>().expect_err(text)
    }

    #[test]
    fn an_https_origin_is_kept_without_a_slash_and_without_a_default_port() {
        let origin: PublicOrigin = "https://App.Example.com:443/".parse().expect("an origin");
        assert_eq!(origin.as_str(), "https://app.example.com");
        assert_eq!(origin.authority(), "app.example.com");
        assert!(origin.is_https());
        assert_eq!(origin.join("/x"), "https://app.example.com/x");
    }

    #[test]
    fn the_host_is_without_port_and_brackets() {
        for (origin, host) in [
            ("https://a.example", "a.example"),
            ("https://a.example:8443", "a.example"),
            ("https://[2001:db8::1]", "2001:db8::1"),
            ("https://[2001:db8::1]:8443", "2001:db8::1"),
        ] {
            assert_eq!(origin.parse::<PublicOrigin>().expect(origin).host(), host);
        }
    }

    /// RFC 6750 §5.3: no session cookie in clear text.
    #[test]
    fn http_is_for_loopback_only() {
        for text in ["http://127.0.0.1:8080", "http://localhost:3000", "http://[::1]:1", "http://app.localhost"] {
            assert!(!text.parse::<PublicOrigin>().expect(text).is_https());
        }
        assert!(matches!(refused("http://app.example.com"), PublicOriginError::ClearText(_)));
        assert!(matches!(refused("http://localhost.example.com"), PublicOriginError::ClearText(_)));
    }

    #[test]
    fn anything_behind_the_origin_is_refused() {
        for text in ["https://a.example/x", "https://a.example/?q", "https://a.example/#f", "https://u@a.example"] {
            assert!(matches!(refused(text), PublicOriginError::NotAnOrigin(_)), "{text}");
        }
        assert!(matches!(refused("app.example.com"), PublicOriginError::NotAUrl(_)));
        assert!(matches!(refused("ftp://app.example.com"), PublicOriginError::Scheme(_)));
    }
}
