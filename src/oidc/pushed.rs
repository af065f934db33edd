//! Pushed authorization requests (RFC 9126): the parameters go to the provider directly, and the browser carries a
//! reference to them that nobody can change or read anything from.
//!
//! Must never be used twice: each login pushes a request of its own (RFC 9126 §4).

use http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::Metadata;
use super::authorization::AuthorizationError;
use super::http::{HttpError, Unavailable};
use super::json::read_object;
use super::oauth_error::WireError;
use super::provider::RelyingParty;

/// Bytes of an answer that we read.
const ANSWER_LIMIT: usize = 64 * 1024;
/// The longest reference that we send a browser with.
const LONGEST_REQUEST_URI: usize = 2048;

/// RFC 9126 §2.2; how long it counts is for the provider to see to.
#[derive(Deserialize)]
struct Answer {
    request_uri: String,
}

/// Pushes the parameters, and gives the `request_uri` that stands for them.
pub(super) async fn push(
    party: &RelyingParty,
    metadata: &Metadata,
    endpoint: &Url,
    parameters: &[(String, String)],
) -> Result<String, AuthorizationError> {
    let credentials = party.client.credentials(&metadata.token_endpoint)?;
    let form: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request = credentials.post(endpoint, &form).map_err(|_| AuthorizationError::InvalidResponse)?;
    let response = party.http.send(request, ANSWER_LIMIT).await.map_err(|error| match error {
        HttpError::Unavailable(unavailable) => AuthorizationError::Unavailable(unavailable),
        _ => AuthorizationError::InvalidResponse,
    })?;
    // RFC 9126 §2.2 says 201; a 200 with the same content means no other thing.
    if matches!(response.status(), StatusCode::CREATED | StatusCode::OK) {
        let answer: Answer = read_object(response.body()).map_err(|_| AuthorizationError::InvalidResponse)?;
        let fits = !answer.request_uri.is_empty() && answer.request_uri.len() <= LONGEST_REQUEST_URI;
        let printable = answer.request_uri.bytes().all(|byte| byte.is_ascii_graphic());
        return if fits && printable { Ok(answer.request_uri) } else { Err(AuthorizationError::InvalidResponse) };
    }
    let error: WireError = serde_json::from_slice(response.body()).map_err(|_| AuthorizationError::InvalidResponse)?;
    let sent = parameters.iter().filter(|(name, _)| matches!(name.as_str(), "state" | "nonce"));
    let secrets: Vec<&str> = credentials.secrets().chain(sent.map(|(_, value)| value.as_str())).collect();
    let error = error.scrubbed(&secrets);
    Err(match error.code() {
        "temporarily_unavailable" | "server_error" => Unavailable::Temporary(error).into(),
        _ => AuthorizationError::Rejected(error),
    })
}

#[cfg(test)]
mod tests;
