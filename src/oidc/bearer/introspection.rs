//! Asking an issuer about a token (RFC 7662).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode, header};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::super::http::{HttpClient, HttpError, Unavailable};
use super::super::json::parse_object;
use super::IntrospectionSettings;
use crate::secret::AccessToken;

/// Bytes of an answer that we read.
const ANSWER_LIMIT: usize = 64 * 1024;

/// What is wrong with an issuer's introspection, or with our credentials for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntrospectionError {
    /// Its metadata announce no introspection endpoint.
    #[error("the issuer announces no introspection_endpoint")]
    NotSupported,
    /// It does not take our credentials, or does not let us ask.
    #[error("the introspection endpoint answered {status}; correct the issuer's client_id and client_secret")]
    Rejected {
        /// The status code: 401 or 403.
        status: u16,
    },
    /// Its answer is not what RFC 7662 §2.2 wants.
    #[error("the introspection endpoint's answer is not usable")]
    NotAnAnswer,
}

/// Why there is no answer.
pub(super) enum AskError {
    Unavailable(Unavailable),
    Answer(IntrospectionError),
}

/// What the issuer says of `token`; `None`: it is not active.
pub(super) async fn ask(
    http: &HttpClient,
    endpoint: &Url,
    settings: &IntrospectionSettings,
    token: &AccessToken,
) -> Result<Option<Map<String, Value>>, AskError> {
    let not_an_answer = AskError::Answer(IntrospectionError::NotAnAnswer);
    let Ok(request) = request(endpoint, settings, token) else { return Err(not_an_answer) };
    let answer = http.send(request, ANSWER_LIMIT).await.map_err(|error| match error {
        HttpError::Unavailable(unavailable) => AskError::Unavailable(unavailable),
        _ => AskError::Answer(IntrospectionError::NotAnAnswer),
    })?;
    match answer.status() {
        StatusCode::OK => {}
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            return Err(AskError::Answer(IntrospectionError::Rejected { status: status.as_u16() }));
        }
        _ => return Err(not_an_answer),
    }
    let Ok(claims) = parse_object(answer.body()) else { return Err(not_an_answer) };
    match claims.get("active") {
        Some(Value::Bool(true)) if is_bearer(&claims) => Ok(Some(claims)),
        Some(Value::Bool(_)) => Ok(None),
        _ => Err(not_an_answer),
    }
}

/// Refresh tokens are active too, and what is bound to a proof is no bearer token. Not all issuers say what it is.
fn is_bearer(claims: &Map<String, Value>) -> bool {
    let says = |name: &str| claims.get(name).and_then(Value::as_str);
    let is = |kind: &str| ["bearer", "access_token"].iter().any(|good| kind.eq_ignore_ascii_case(good));
    says("token_type").is_none_or(is) && says("token_use").is_none_or(|used_as| used_as == "access_token")
}

/// RFC 7662 §2.1, with the client authenticated as at the token endpoint (RFC 6749 §2.3.1).
fn request(
    endpoint: &Url,
    settings: &IntrospectionSettings,
    token: &AccessToken,
) -> Result<Request<Vec<u8>>, http::Error> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let credentials = format!("{}:{}", encode(&settings.client_id), encode(settings.client_secret.expose()));
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("token", token.expose()).append_pair("token_type_hint", "access_token");
    Request::post(endpoint.as_str())
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(credentials)))
        .body(form.finish().into_bytes())
}
