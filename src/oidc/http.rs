//! The HTTP client for requests to the provider: bounded in time and size, and it never follows a redirect.
//!
//! A forward proxy named by the environment (`HTTPS_PROXY`, `NO_PROXY`) is used, but not for an issuer on loopback.
//!
//! Must never put a request's or a response's body into an error: both carry codes, tokens and secrets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::{ProviderBuildError, ProviderSettings};
use crate::clock::{Clock, UnixTime};
use crate::origin;

/// Node's servers close idle connections after five seconds. A request that meets the closing is lost, and with it a
/// refresh token that rotates, so we let go first.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);
/// No `Retry-After` is believed beyond this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Characters of a cause that go into an error.
const CAUSE_CHARACTERS: usize = 200;

/// A client for one provider.
#[derive(Clone)]
pub(super) struct HttpClient {
    client: reqwest::Client,
    clock: Clock,
}

/// Why the provider could not serve a request; trying again later may help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The provider's metadata has not been read yet.
    #[error("the provider has not been discovered yet")]
    NotDiscovered,
    /// No connection: name resolution, TCP or TLS failed, for the reason given.
    #[error("cannot connect to the provider: {0}")]
    Connect(String),
    /// No complete response within the configured request timeout.
    #[error("the provider did not answer in time")]
    Timeout,
    /// The connection ended before the response was complete; the provider may have acted on the request.
    #[error("the connection to the provider broke before its response was complete")]
    Interrupted,
    /// The provider answered 429 or 5xx.
    #[error("the provider answered with status {status}")]
    Status {
        /// The status code.
        status: u16,
        /// How long it asks us to wait (RFC 9110 §10.2.3); an hour at most.
        retry_after: Option<Duration>,
    },
    /// The provider named an error that passes: `temporarily_unavailable` or `server_error`.
    #[error("the provider answered {0}")]
    Temporary(super::OAuthError),
    /// The client assertion could not be signed.
    #[error("the client assertion for the provider could not be signed")]
    NoCredentials,
    /// The runtime for provider traffic is stopping.
    #[error("the request to the provider was stopped")]
    Stopped,
}

impl Unavailable {
    /// How long the provider asks us to wait, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Why there is no response that could be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The provider cannot be reached, or says that it is not well.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The body is longer than we accept.
    #[error("the response is longer than {limit} bytes")]
    TooLarge {
        /// Bytes that we accept.
        limit: usize,
    },
    /// A redirect, which is never followed: it could carry a token to another host.
    #[error("the answer is a redirect (status {status}), which is not followed")]
    Redirect {
        /// The status code.
        status: u16,
    },
    /// A status other than 200 to a GET.
    #[error("the answer has status {status}")]
    Status {
        /// The status code.
        status: u16,
    },
    /// The body is not one JSON object with unique member names, where it must be.
    #[error("the answer is not a JSON object")]
    NotJson,
    /// The request is not one that HTTP can carry.
    #[error("the request could not be formed")]
    Request,
}

impl HttpClient {
    pub(super) fn new(settings: &ProviderSettings, clock: Clock) -> Result<Self, ProviderBuildError> {
        Self::for_issuer(&settings.issuer, settings.ca_file.as_deref(), settings.request_timeout, clock)
    }

    /// A client for `issuer`, which trusts the certificates of `ca_file` beside the system's. Each request may take
    /// `timeout`.
    pub(super) fn for_issuer(
        issuer: &str,
        ca_file: Option<&Path>,
        timeout: Duration,
        clock: Clock,
    ) -> Result<Self, ProviderBuildError> {
        let issuer = issuer_url(issuer)?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls_config(ca_file, &issuer)?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .timeout(timeout)
            .connect_timeout(timeout)
            .pool_idle_timeout(IDLE_CONNECTION)
            .user_agent(concat!("sealgate/", env!("CARGO_PKG_VERSION")));
        if origin::is_loopback(&issuer) {
            // A forward proxy's loopback is not ours.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| ProviderBuildError::HttpClient(root_cause(&error)))?;
        Ok(Self { client, clock })
    }

    /// The body of a 200 answer to a GET of `url`, at most `limit` bytes.
    pub(super) async fn get(&self, url: &Url, limit: usize) -> Result<Vec<u8>, HttpError> {
        self.get_response(url, limit).await.map(http::Response::into_body)
    }

    /// As [`HttpClient::get`], with the answer's header fields as far as [`HttpClient::send`] keeps them.
    pub(super) async fn get_response(&self, url: &Url, limit: usize) -> Result<http::Response<Vec<u8>>, HttpError> {
        let request = http::Request::get(url.as_str())
            .header(header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| HttpError::Request)?;
        let response = self.send(request, limit).await?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(HttpError::Status { status: status.as_u16() }),
        }
    }

    /// Sends `request`, and gives the response with at most `limit` bytes of body and, of its header
    /// fields, `Date` and `Age`; a redirect, 429 and 5xx are errors.
    pub(super) async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        limit: usize,
    ) -> Result<http::Response<Vec<u8>>, HttpError> {
        let request = reqwest::Request::try_from(request).map_err(|_| HttpError::Request)?;
        let mut response = self.client.execute(request).await.map_err(|error| classify(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(HttpError::Redirect { status: status.as_u16() });
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let retry_after = retry_after(response.headers(), &self.clock);
            return Err(Unavailable::Status { status: status.as_u16(), retry_after }.into());
        }
        // What tells the provider's time. The content type stays out: JSON is JSON whatever it is called.
        let of_time = [header::DATE, header::AGE].into_iter();
        let kept = of_time.filter_map(|name| Some((name.clone(), response.headers().get(name)?.clone()))).collect();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
            if body.len() + chunk.len() > limit {
                return Err(HttpError::TooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = http::Response::new(body);
        *answer.status_mut() = status;
        *answer.headers_mut() = kept;
        Ok(answer)
    }
}

/// The issuer as a URL that we may talk to: https, or http on loopback, without query and fragment (Discovery §3).
pub(super) fn issuer_url(issuer: &str) -> Result<Url, ProviderBuildError> {
    let refused = |problem| ProviderBuildError::Issuer { issuer: issuer.to_owned(), problem };
    let url = Url::parse(issuer).map_err(|_| refused("it is not a URL"))?;
    if !is_protected(&url) {
        return Err(refused("it must be https, or http on loopback"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(refused("it must have no query, fragment or user name"));
    }
    Ok(url)
}

/// Whether nobody between us and `url` can read along.
pub(super) fn is_protected(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && origin::is_loopback(url))
}

fn tls_config(ca_file: Option<&Path>, issuer: &Url) -> Result<ClientConfig, ProviderBuildError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = ca_file {
        for certificate in read_certificates(path)? {
            roots
                .add(certificate)
                .map_err(|error| ca_problem(path, format!("it holds an unusable certificate: {error}")))?;
        }
    }
    if roots.is_empty() && issuer.scheme() == "https" {
        return Err(ProviderBuildError::NoTrustedRoots);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ProviderBuildError::HttpClient(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ProviderBuildError> {
    let pem = std::fs::read(path).map_err(|error| ca_problem(path, error.to_string()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| ca_problem(path, "it is not PEM".to_owned()))?;
    if certificates.is_empty() {
        return Err(ca_problem(path, "it holds no certificate (BEGIN CERTIFICATE)".to_owned()));
    }
    Ok(certificates)
}

fn ca_problem(path: &Path, problem: String) -> ProviderBuildError {
    ProviderBuildError::CaFile { path: PathBuf::from(path), problem }
}

fn classify(error: &reqwest::Error) -> HttpError {
    if error.is_timeout() {
        Unavailable::Timeout.into()
    } else if error.is_connect() {
        Unavailable::Connect(root_cause(error)).into()
    } else {
        Unavailable::Interrupted.into()
    }
}

/// The innermost cause in words: of connecting or building, where nothing that we send can appear.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string().chars().filter(|character| !character.is_control()).take(CAUSE_CHARACTERS).collect()
}

/// When the answer left the provider, by the provider's clock, as far as it says (RFC 9110 §6.6.1), and the time that
/// it has spent in caches since (RFC 9111 §5.1).
pub(super) fn answered_at(headers: &HeaderMap) -> Option<UnixTime> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let date = jiff::fmt::rfc2822::parse(text(header::DATE)?).ok()?.timestamp().as_second();
    let age = text(header::AGE).and_then(|age| age.parse().ok()).unwrap_or(0);
    Some(UnixTime::from_secs(date).plus(Duration::from_secs(age)))
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_second();
            clock.now().until(UnixTime::from_secs(date))
        }
    };
    Some(delay.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110 §6.6.1, RFC 9111 §5.1
    #[test]
    fn the_time_of_an_answer_is_its_date_and_its_age_in_caches() {
        let read = |fields: &[(header::HeaderName, &'static str)]| {
            let value = |text| http::HeaderValue::from_static(text);
            answered_at(&fields.iter().map(|(name, text)| (name.clone(), value(text))).collect())
        };
        const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(read(&[(header::DATE, DATE)]), Some(UnixTime::from_secs(784_111_777)));
        assert_eq!(read(&[(header::DATE, DATE), (header::AGE, "30")]), Some(UnixTime::from_secs(784_111_807)));
        assert_eq!(read(&[(header::DATE, DATE), (header::AGE, "old")]), Some(UnixTime::from_secs(784_111_777)));
        assert_eq!(read(&[(header::DATE, "yesterday")]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date_and_is_bounded() {
        // 1994-11-06T08:49:37Z
        let clock = Clock::manual(UnixTime::from_secs(784_111_777 - 90));
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, http::HeaderValue::from_static(value));
            retry_after(&headers, &clock)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(read("999999999"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(read("soon"), None);
    }

    /// RFC 6750 §5.3, OpenID Connect Discovery §3
    #[test]
    fn an_issuer_in_clear_text_is_for_loopback_only() {
        for good in ["https://login.example.com/realm", "http://127.0.0.1:9", "http://localhost:9"] {
            issuer_url(good).expect(good);
        }
        for bad in
            ["http://login.example.com", "https://a.example/?q", "https://a.example/#f", "https://u@a.example", "x"]
        {
            assert!(issuer_url(bad).expect_err(bad).to_string().contains(bad));
        }
    }
}
