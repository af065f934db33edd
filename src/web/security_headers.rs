//! What browsers are told to refuse on the single-page app's behalf: the content security policy and its siblings.
//!
//! Only on the app's own files: responses of upstreams keep what their upstream says, and our own endpoints and pages
//! have a stricter policy of their own. Must never give out the same nonce twice.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::origin::PublicOrigin;

/// Where a policy has the nonce of the response.
const NONCE: &str = "{nonce}";
/// Where a policy has the origins of the providers' issuers.
const PROVIDER: &str = "{provider}";
const POLICY: HeaderName = HeaderName::from_static("content-security-policy");
const STRICT_TRANSPORT: HeaderName = HeaderName::from_static("strict-transport-security");

/// The configured values; an empty one is not sent.
#[derive(Clone, Debug, Default)]
pub struct SecurityHeaderSettings {
    /// `Content-Security-Policy`, with `{nonce}` and `{provider}` where those belong.
    pub content_security_policy: String,
    /// `Strict-Transport-Security`, for https alone.
    pub strict_transport_security: String,
    /// Further fields: name and value.
    pub others: Vec<(String, String)>,
}

/// The fields of one site.
#[derive(Clone, Debug)]
pub struct SecurityHeaders {
    /// The text between the nonces.
    policy: Vec<String>,
    fixed: Vec<(HeaderName, HeaderValue)>,
}

/// A text that one response uses once: 128 random bits in base64 (CSP3 §7.1).
#[derive(Clone, Debug)]
pub struct Nonce(String);

impl Nonce {
    /// A new one.
    pub fn fresh() -> Self {
        Self(STANDARD.encode(rand::random::<[u8; 16]>()))
    }

    /// Letters, digits, `+`, `/` and `=`: nothing that HTML or a header would need to escape.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SecurityHeaders {
    /// The fields for a site at `origin` whose providers have these issuers. Values that are no field values are left out;
    /// the configuration has refused them.
    pub fn new(settings: &SecurityHeaderSettings, origin: &PublicOrigin, issuers: &[&str]) -> Self {
        let origins =
            issuers.iter().filter_map(|issuer| Some(url::Url::parse(issuer).ok()?.origin().ascii_serialization()));
        let mut providers: Vec<String> = Vec::new();
        for origin in origins {
            if !providers.contains(&origin) {
                providers.push(origin);
            }
        }
        let policy = settings.content_security_policy.replace(PROVIDER, &providers.join(" "));
        let policy = if policy.is_empty() { Vec::new() } else { policy.split(NONCE).map(str::to_owned).collect() };
        let https =
            origin.is_https().then(|| (STRICT_TRANSPORT.to_string(), settings.strict_transport_security.clone()));
        let fixed = settings
            .others
            .iter()
            .cloned()
            .chain(https)
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, value)| Some((name.parse().ok()?, HeaderValue::from_str(&value).ok()?)))
            .collect();
        Self { policy, fixed }
    }

    /// Whether the policy wants a nonce, so that no two responses are alike.
    pub fn wants_nonce(&self) -> bool {
        self.policy.len() > 1
    }

    /// Adds the fields that every file carries.
    pub fn add_fixed(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.fixed {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// Adds the policy of a page with this nonce.
    pub fn add_policy(&self, headers: &mut HeaderMap, nonce: &Nonce) {
        if self.policy.is_empty() {
            return;
        }
        // The configuration takes field values only.
        if let Ok(value) = HeaderValue::from_str(&self.policy.join(nonce.as_str())) {
            headers.insert(POLICY, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(policy: &str, origin: &str) -> SecurityHeaders {
        let settings = SecurityHeaderSettings {
            content_security_policy: policy.to_owned(),
            strict_transport_security: "max-age=1".to_owned(),
            others: vec![("x-a".to_owned(), String::new())],
        };
        SecurityHeaders::new(&settings, &origin.parse().expect("an origin"), &["https://login.example.com/tenant"])
    }

    fn policy(headers: &SecurityHeaders) -> String {
        let mut map = HeaderMap::new();
        headers.add_policy(&mut map, &Nonce::fresh());
        map.get(POLICY).map(|value| value.to_str().expect("ASCII").to_owned()).unwrap_or_default()
    }

    #[test]
    fn every_response_has_a_nonce_of_its_own() {
        let headers = headers("script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'", "https://a.example");
        assert!(headers.wants_nonce());
        assert_ne!(policy(&headers), policy(&headers));
        assert_eq!(policy(&headers).matches("'nonce-").count(), 2);
    }

    #[test]
    fn the_provider_stands_in_the_policy_as_its_origin() {
        let headers = headers("form-action 'self' {provider}", "https://a.example");
        assert!(!headers.wants_nonce());
        assert_eq!(policy(&headers), "form-action 'self' https://login.example.com");
    }

    /// RFC 6797 §7.2.
    #[test]
    fn strict_transport_security_is_for_https_and_an_empty_value_sends_nothing() {
        for (origin, sent) in [("https://a.example", true), ("http://127.0.0.1:8080", false)] {
            let mut map = HeaderMap::new();
            headers("", origin).add_fixed(&mut map);
            assert_eq!(map.contains_key(STRICT_TRANSPORT), sent, "{origin}");
            assert!(!map.contains_key("x-a"));
            assert_eq!(policy(&headers("", origin)), "");
        }
    }
}
