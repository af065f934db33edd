//! The provider's metadata: OpenID Connect Discovery 1.0 and RFC 8414, read in the background and again every hour.
//!
//! Must never use metadata whose `issuer` is not the configured one, nor an endpoint that others could listen to.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::http::{HttpClient, HttpError, answered_at, is_protected, issuer_url};
use super::json::read_object;
use super::preset::IssuerRule;
use super::{ProviderBuildError, ProviderSettings};
use crate::clock::{Clock, UnixTime};

/// Bytes of a metadata document that we read.
const METADATA_LIMIT: usize = 256 * 1024;

/// What the provider says of itself (OpenID Connect Discovery §3), checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Identical to the configured issuer, but for Entra ID's issuers of many tenants.
    pub issuer: String,
    /// Where browsers are sent to log in; may have a query.
    pub authorization_endpoint: Url,
    /// Where codes and refresh tokens are redeemed.
    pub token_endpoint: Url,
    /// Where the keys of ID tokens are.
    pub jwks_uri: Url,
    /// Where browsers are sent to log out (RP-Initiated Logout §2.1).
    pub end_session_endpoint: Option<Url>,
    /// Where tokens are revoked (RFC 7009).
    pub revocation_endpoint: Option<Url>,
    /// Where tokens are judged that only the provider can read (RFC 7662).
    pub introspection_endpoint: Option<Url>,
    /// Where claims are read with an access token.
    pub userinfo_endpoint: Option<Url>,
    /// Scopes, as far as the provider tells.
    pub scopes_supported: Vec<String>,
    /// Ways to authenticate at the token endpoint; `client_secret_basic` when it does not say (RFC 8414 §2).
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Signature algorithms of client assertions (RFC 8414 §2); empty when it does not say.
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// Where authorization requests are pushed (RFC 9126 §5).
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// Whether it takes no others (RFC 9126 §5).
    pub require_pushed_authorization_requests: bool,
    /// How authorization responses come; `query` and `fragment` when it does not say (RFC 8414 §2).
    pub response_modes_supported: Vec<String>,
    /// Grants of the token endpoint (RFC 8414 §2); empty when it does not say.
    pub grant_types_supported: Vec<String>,
    /// PKCE methods; empty when it does not say, which does not mean that there are none.
    pub code_challenge_methods_supported: Vec<String>,
    /// Signature algorithms of ID tokens.
    pub id_token_signing_alg_values_supported: Vec<String>,
    /// Whether every authorization response carries `iss` (RFC 9207 §3).
    pub authorization_response_iss_parameter_supported: bool,
}

/// Why there is no metadata.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The settings do not make a client.
    #[error(transparent)]
    Settings(#[from] ProviderBuildError),
    /// No usable answer from the discovery URL.
    #[error("cannot read {url}: {source}")]
    Http {
        /// The discovery URL.
        url: String,
        /// What went wrong.
        source: HttpError,
    },
    /// The answer is not a metadata document.
    #[error("{url} is not a metadata document: it is not JSON, or a member has the wrong type")]
    NotMetadata {
        /// The discovery URL.
        url: String,
    },
    /// A member that we cannot do without is missing.
    #[error("the metadata of {issuer} lacks {member}")]
    Missing {
        /// The configured issuer.
        issuer: String,
        /// The member's name.
        member: &'static str,
    },
    /// The document is another issuer's (RFC 8414 §3.3).
    #[error("the metadata names the issuer {announced:?} but {configured:?} is configured; they must be identical")]
    IssuerMismatch {
        /// The issuer in the document; printable, at most 200 characters.
        announced: String,
        /// The issuer in the configuration.
        configured: String,
    },
    /// An endpoint that is neither https nor http on loopback, or has a fragment or a user name.
    #[error("{member} in the metadata of {issuer} must be an https URL (or http on loopback) without fragment")]
    Endpoint {
        /// The configured issuer.
        issuer: String,
        /// The member's name.
        member: &'static str,
    },
}

/// The metadata, and when they were sent.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The metadata.
    pub metadata: Metadata,
    /// The provider's time when it answered, in whole seconds, if it said so (RFC 9110 §6.6.1).
    pub date: Option<UnixTime>,
}

/// Reads the metadata once, with a client of its own: for checks from the command line. Needs a tokio runtime with
/// I/O and time.
pub async fn fetch(settings: &ProviderSettings) -> Result<Fetched, DiscoveryError> {
    let http = HttpClient::new(settings, Clock::system())?;
    let rule = IssuerRule::new(&settings.issuer, settings.particulars.preset);
    read(&http, &discovery_url(&settings.issuer)?, &rule).await
}

/// The metadata that is in use, and the attempts to get it.
pub(super) struct Discovery {
    issuer: IssuerRule,
    url: Url,
    current: ArcSwapOption<Metadata>,
    last_attempt: Mutex<Option<Instant>>,
}

impl Discovery {
    pub(super) fn new(issuer: IssuerRule) -> Result<Self, ProviderBuildError> {
        Ok(Self {
            url: discovery_url(issuer.configured())?,
            issuer,
            current: ArcSwapOption::empty(),
            last_attempt: Mutex::new(None),
        })
    }

    pub(super) fn current(&self) -> Option<Arc<Metadata>> {
        self.current.load_full()
    }

    /// Reads the metadata anew; the old stays when that fails.
    pub(super) async fn renew(&self, http: &HttpClient) -> Result<Arc<Metadata>, DiscoveryError> {
        let mut last_attempt = self.last_attempt.lock().await;
        self.attempt(http, &mut last_attempt).await
    }

    /// The metadata, read now if there is none yet, unless an attempt less than `gap` ago has failed. Concurrent
    /// callers share one attempt.
    pub(super) async fn ensure(&self, http: &HttpClient, gap: Duration) -> Option<Arc<Metadata>> {
        if let Some(metadata) = self.current() {
            return Some(metadata);
        }
        let mut last_attempt = self.last_attempt.lock().await;
        if let Some(metadata) = self.current() {
            return Some(metadata);
        }
        if last_attempt.is_some_and(|at| at.elapsed() < gap) {
            return None;
        }
        match self.attempt(http, &mut last_attempt).await {
            Ok(metadata) => Some(metadata),
            Err(error) => {
                tracing::warn!(%error, "discovery on demand failed");
                None
            }
        }
    }

    async fn attempt(
        &self,
        http: &HttpClient,
        last_attempt: &mut Option<Instant>,
    ) -> Result<Arc<Metadata>, DiscoveryError> {
        let outcome = read(http, &self.url, &self.issuer).await;
        *last_attempt = Some(Instant::now());
        let metadata = Arc::new(outcome?.metadata);
        self.current.store(Some(Arc::clone(&metadata)));
        Ok(metadata)
    }
}

/// Discovery §4.1: the issuer without a trailing slash, and the well-known path behind it.
fn discovery_url(issuer: &str) -> Result<Url, ProviderBuildError> {
    let mut url = issuer_url(issuer)?;
    let path = format!("{}/.well-known/openid-configuration", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

async fn read(http: &HttpClient, url: &Url, issuer: &IssuerRule) -> Result<Fetched, DiscoveryError> {
    let answer = http.get_response(url, METADATA_LIMIT).await;
    let answer = answer.map_err(|source| DiscoveryError::Http { url: url.to_string(), source })?;
    let date = answered_at(answer.headers());
    let raw = read_object(answer.body()).map_err(|_| DiscoveryError::NotMetadata { url: url.to_string() })?;
    Ok(Fetched { metadata: check(raw, issuer)?, date })
}

/// The members as they come.
#[derive(Deserialize)]
struct RawMetadata {
    issuer: Option<String>,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    jwks_uri: Option<String>,
    end_session_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    introspection_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    scopes_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
    pushed_authorization_request_endpoint: Option<String>,
    require_pushed_authorization_requests: Option<bool>,
    response_modes_supported: Option<Vec<String>>,
    grant_types_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    authorization_response_iss_parameter_supported: Option<bool>,
}

fn check(raw: RawMetadata, rule: &IssuerRule) -> Result<Metadata, DiscoveryError> {
    let issuer = rule.configured();
    let missing = |member| DiscoveryError::Missing { issuer: issuer.to_owned(), member };
    let announced = raw.issuer.ok_or_else(|| missing("issuer"))?;
    if !rule.allows_metadata_of(&announced) {
        let announced = announced.chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(DiscoveryError::IssuerMismatch { announced, configured: issuer.to_owned() });
    }
    let optional = |member, text: Option<String>| {
        text.map(|text| endpoint(&text).ok_or(DiscoveryError::Endpoint { issuer: issuer.to_owned(), member }))
            .transpose()
    };
    let required = |member, text| optional(member, text)?.ok_or_else(|| missing(member));
    Ok(Metadata {
        authorization_endpoint: required("authorization_endpoint", raw.authorization_endpoint)?,
        token_endpoint: required("token_endpoint", raw.token_endpoint)?,
        jwks_uri: required("jwks_uri", raw.jwks_uri)?,
        end_session_endpoint: optional("end_session_endpoint", raw.end_session_endpoint)?,
        revocation_endpoint: optional("revocation_endpoint", raw.revocation_endpoint)?,
        introspection_endpoint: optional("introspection_endpoint", raw.introspection_endpoint)?,
        userinfo_endpoint: optional("userinfo_endpoint", raw.userinfo_endpoint)?,
        scopes_supported: raw.scopes_supported.unwrap_or_default(),
        token_endpoint_auth_methods_supported: raw
            .token_endpoint_auth_methods_supported
            .unwrap_or_else(|| vec!["client_secret_basic".to_owned()]),
        token_endpoint_auth_signing_alg_values_supported: raw
            .token_endpoint_auth_signing_alg_values_supported
            .unwrap_or_default(),
        pushed_authorization_request_endpoint: optional(
            "pushed_authorization_request_endpoint",
            raw.pushed_authorization_request_endpoint,
        )?,
        require_pushed_authorization_requests: raw.require_pushed_authorization_requests.unwrap_or(false),
        response_modes_supported: raw
            .response_modes_supported
            .unwrap_or_else(|| vec!["query".to_owned(), "fragment".to_owned()]),
        grant_types_supported: raw.grant_types_supported.unwrap_or_default(),
        code_challenge_methods_supported: raw.code_challenge_methods_supported.unwrap_or_default(),
        id_token_signing_alg_values_supported: raw.id_token_signing_alg_values_supported.unwrap_or_default(),
        authorization_response_iss_parameter_supported: raw
            .authorization_response_iss_parameter_supported
            .unwrap_or(false),
        issuer: announced,
    })
}

fn endpoint(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let bare = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    (bare && is_protected(&url)).then_some(url)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://login.example.com";

    fn document() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.example.com/auth?tenant=a",
            "token_endpoint": "https://login.example.com/token",
            "jwks_uri": "https://keys.example.com/jwks",
        })
    }

    fn checked(document: Value) -> Result<Metadata, DiscoveryError> {
        check(serde_json::from_value(document).expect("metadata members"), &IssuerRule::new(ISSUER, None))
    }

    fn with(member: &str, value: Value) -> Value {
        let mut document = document();
        document[member] = value;
        document
    }

    #[test]
    fn a_document_with_only_the_required_members_is_enough() {
        let metadata = checked(document()).expect("metadata");
        assert_eq!(metadata.authorization_endpoint.query(), Some("tenant=a"));
        assert_eq!(metadata.token_endpoint_auth_methods_supported, ["client_secret_basic"]);
        assert!(!metadata.authorization_response_iss_parameter_supported);
        assert!(metadata.end_session_endpoint.is_none());
    }

    /// RFC 8414 §3.3, OpenID Connect Discovery §4.3
    #[test]
    fn another_issuer_is_refused_even_by_a_slash() {
        for other in ["https://login.example.com/", "https://LOGIN.example.com", "https://evil.example", ""] {
            let error = checked(with("issuer", json!(other))).expect_err(other);
            assert!(matches!(error, DiscoveryError::IssuerMismatch { .. }), "{error}");
        }
    }

    #[test]
    fn a_missing_endpoint_is_named() {
        for member in ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"] {
            let error = checked(with(member, Value::Null)).expect_err(member);
            assert!(error.to_string().contains(member), "{error}");
        }
    }

    /// RFC 6749 §3.1, RFC 6750 §5.3
    #[test]
    fn an_endpoint_in_clear_text_or_with_a_fragment_is_refused() {
        for member in [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "end_session_endpoint",
            "revocation_endpoint",
            "pushed_authorization_request_endpoint",
        ] {
            for bad in
                ["http://login.example.com/x", "https://a.example/#f", "https://u:p@a.example/", "/x", "file:///x"]
            {
                let error = checked(with(member, json!(bad))).expect_err(bad);
                assert!(error.to_string().contains(member), "{error}");
            }
            checked(with(member, json!("http://127.0.0.1:9/x"))).expect("http on loopback");
        }
    }

    /// OpenID Connect Discovery §4.1
    #[test]
    fn the_well_known_path_follows_the_issuers_own() {
        for (issuer, url) in [
            ("https://a.example", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/realms/r", "https://a.example/realms/r/.well-known/openid-configuration"),
            ("https://a.example/t/", "https://a.example/t/.well-known/openid-configuration"),
        ] {
            assert_eq!(discovery_url(issuer).expect(issuer).as_str(), url);
        }
    }
}
