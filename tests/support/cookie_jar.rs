//! The cookies of one browser: kept by host as browsers do it (RFC 6265bis), open to the test's eyes and hands.

use std::time::{Duration, Instant};

use url::Url;

use super::browser::Context;

/// One cookie with the attributes that it came with.
#[derive(Clone, Debug)]
pub struct Cookie {
    /// The host that set it. Ports do not count.
    pub host: String,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    attributes: Vec<String>,
    received: Instant,
}

impl Cookie {
    /// Reads a `Set-Cookie` line.
    pub fn parse(host: &str, line: &str) -> Self {
        let mut parts = line.split(';').map(str::trim);
        let pair = parts.next().unwrap_or_default();
        let (name, value) = pair.split_once('=').unwrap_or_else(|| panic!("no name in Set-Cookie {line:?}"));
        Self {
            host: host.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            attributes: parts.map(str::to_owned).collect(),
            received: Instant::now(),
        }
    }

    /// Whether the attribute is there, in any case: `HttpOnly`, `SameSite=Strict`, `Secure`.
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|a| a.eq_ignore_ascii_case(attribute))
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find_map(|a| {
            let (n, value) = a.split_once('=')?;
            n.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// `Max-Age` in seconds.
    pub fn max_age(&self) -> Option<i64> {
        self.attribute("max-age")?.parse().ok()
    }

    /// Whether the line deletes the cookie instead of setting it.
    pub fn deletes(&self) -> bool {
        self.max_age().is_some_and(|age| age <= 0)
            || self.attribute("expires").is_some_and(|date| date.contains(" 1970 ") || date.contains("-1970 "))
    }

    /// Whether its `Max-Age` has passed.
    fn is_over(&self) -> bool {
        let lives = self.max_age().and_then(|age| u64::try_from(age).ok()).map(Duration::from_secs);
        lives.is_some_and(|lives| self.received.elapsed() >= lives)
    }

    fn path(&self) -> &str {
        self.attribute("path").unwrap_or("/")
    }

    /// RFC 6265bis §5.1.4 and §5.8.3: by host, path and site.
    fn goes_to(&self, url: &Url, context: &Context) -> bool {
        let path_matches = url.path() == self.path()
            || (url.path().starts_with(self.path())
                && (self.path().ends_with('/') || url.path().as_bytes().get(self.path().len()) == Some(&b'/')));
        let site_matches = !context.is_cross_site()
            || !(self.has("SameSite=Strict") || (self.has("SameSite=Lax") && !context.is_top_level_get()));
        !self.is_over() && url.host_str() == Some(&self.host) && path_matches && site_matches
    }
}

/// A browser's cookies.
#[derive(Clone, Debug, Default)]
pub struct CookieJar(Vec<Cookie>);

impl CookieJar {
    /// Follows a `Set-Cookie` line: sets, replaces or deletes.
    pub fn store(&mut self, cookie: Cookie) {
        self.0.retain(|old| !(old.host == cookie.host && old.name == cookie.name && old.path() == cookie.path()));
        if !cookie.deletes() {
            self.0.push(cookie);
        }
    }

    /// The `Cookie` field for a request, if any cookie goes with it.
    pub fn line(&self, url: &Url, context: &Context) -> Option<String> {
        let pairs: Vec<String> =
            self.0.iter().filter(|c| c.goes_to(url, context)).map(|c| format!("{}={}", c.name, c.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The cookies of a host.
    pub fn of<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Cookie> {
        self.0.iter().filter(move |cookie| cookie.host == host)
    }

    /// The cookie of that name and host.
    pub fn find(&self, host: &str, name: &str) -> Option<&Cookie> {
        self.0.iter().find(|cookie| cookie.host == host && cookie.name == name)
    }

    /// Puts a cookie there by hand.
    pub fn set(&mut self, host: &str, name: &str, value: &str) {
        self.store(Cookie::parse(host, &format!("{name}={value}; Path=/")));
    }

    /// Forgets every cookie of a host.
    pub fn clear(&mut self, host: &str) {
        self.0.retain(|cookie| cookie.host != host);
    }
}
