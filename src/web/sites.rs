//! The sites of this process, and which of them a request is for.
//!
//! Where there are several, the request's host decides, and nothing else: what is for no site is refused (RFC 9110
//! §15.5.20), and never answered by another one.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::HOST;
use actix_web::http::uri::Authority;

use super::Services;

/// All sites, one at least.
pub struct Sites {
    sites: Vec<Arc<Services>>,
    /// What `Host` may say, in lower case and sorted, and the place of the site that it means. Empty where there is one
    /// site: it has all requests.
    hosts: Vec<(String, usize)>,
}

impl Sites {
    /// All sites, one at least. No two are reached by the same host.
    pub fn new(sites: Vec<Services>) -> Self {
        let sites: Vec<_> = sites.into_iter().map(Arc::new).collect();
        let mut hosts = Vec::new();
        if sites.len() > 1 {
            let of = |(index, site): (usize, &Arc<Services>)| {
                site.site.origin.authorities().map(move |name| (name, index)).collect::<Vec<_>>()
            };
            hosts = sites.iter().enumerate().flat_map(of).collect();
            hosts.sort();
        }
        Self { sites, hosts }
    }

    /// The site that the request is for; none: there are several, and none has the request's host.
    pub fn of(&self, request: &HttpRequest) -> Option<&Services> {
        if self.hosts.is_empty() {
            return self.sites.first().map(AsRef::as_ref);
        }
        self.sites.get(position(&self.hosts, authority(request))?).map(AsRef::as_ref)
    }

    /// What the log calls a site: by its public URL, where there are several.
    pub fn shown<'a>(&self, site: &'a Services) -> Option<&'a str> {
        (!self.hosts.is_empty()).then(|| site.site.origin.as_str())
    }

    /// All sites.
    pub fn iter(&self) -> impl Iterator<Item = &Services> {
        self.sites.iter().map(AsRef::as_ref)
    }
}

/// Host and port as the request names them, absolute form and HTTP/2 before the `Host` field (RFC 9112 §3.3).
pub fn authority(request: &HttpRequest) -> &str {
    let named = request.uri().authority().map(Authority::as_str);
    named.or_else(|| request.headers().get(HOST)?.to_str().ok()).unwrap_or_default()
}

/// Names of hosts are compared without regard to case (RFC 9110 §4.2.3); without an allocation, as every request asks.
fn position(hosts: &[(String, usize)], name: &str) -> Option<usize> {
    let lower = || name.bytes().map(|byte| byte.to_ascii_lowercase());
    let found = hosts.binary_search_by(|(host, _)| host.bytes().cmp(lower())).ok()?;
    hosts.get(found).map(|(_, site)| *site)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::PublicOrigin;

    fn hosts(origins: &[&str]) -> Vec<(String, usize)> {
        let origins = origins.iter().map(|origin| origin.parse::<PublicOrigin>().expect("an origin")).enumerate();
        let mut hosts: Vec<_> = origins
            .flat_map(|(index, origin)| origin.authorities().map(move |name| (name, index)).collect::<Vec<_>>())
            .collect();
        hosts.sort();
        hosts
    }

    /// RFC 9110 §4.2.3, §4.2.1: the default port may be written, and case is nothing.
    #[test]
    fn a_host_means_its_own_site_alone() {
        let hosts = hosts(&[
            "https://a.example",
            "https://b.example:8443",
            "http://127.0.0.1:8080",
            "http://[::1]",
            "https://a.example:444",
        ]);
        for (name, site) in [
            ("a.example", Some(0)),
            ("A.Example", Some(0)),
            ("a.example:443", Some(0)),
            ("a.example:80", None),
            ("a.example:444", Some(4)),
            ("b.example:8443", Some(1)),
            ("b.example", None),
            ("127.0.0.1:8080", Some(2)),
            ("127.0.0.1", None),
            ("[::1]", Some(3)),
            ("[::1]:80", Some(3)),
            ("c.a.example", None),
            ("a.example.", None),
            ("a.exampl", None),
            ("", None),
        ] {
            assert_eq!(position(&hosts, name), site, "{name:?}");
        }
    }
}
