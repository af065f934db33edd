//! The demo's API: shows a single-page app what arrived here, and so what the BFF has removed and added.
//!
//! Must never answer with a whole token: kind, length, end and a piece of its hash are all that it tells.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::clock::{Clock, UnixTime};

use super::loopback::{self, LoopbackError, RunningServer};
use super::provider::AUDIENCE;
use super::provider::keys::{ACCESS_TOKEN_TYPE, TokenError, VerifyingKey, bearer_token};

/// Headers whose values tell nothing that anybody would want to keep.
const HARMLESS_HEADERS: [&str; 16] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "content-length",
    "content-type",
    "host",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "traceparent",
    "user-agent",
    "via",
    "x-csrf",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Why the API did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoApiError {
    /// The port is not to be had.
    #[error(transparent)]
    Listen(#[from] LoopbackError),
    /// The server refused its listener.
    #[error("the demo API cannot start: {0}")]
    Server(#[source] io::Error),
}

/// A running API; it stops when this is dropped.
pub struct DemoApi {
    address: SocketAddr,
    _server: RunningServer,
}

impl DemoApi {
    /// Starts on any port of 127.0.0.1; `key` checks the access tokens. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// See [`DemoApiError`].
    pub fn start(key: VerifyingKey, clock: Clock) -> Result<Self, DemoApiError> {
        let listener = loopback::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr().map_err(DemoApiError::Server)?;
        let data = web::Data::new(Api { key, clock });
        let server = HttpServer::new(move || App::new().app_data(data.clone()).configure(routes))
            .workers(1)
            .disable_signals()
            .listen(listener)
            .map_err(DemoApiError::Server)?;
        Ok(Self { address, _server: RunningServer::spawn(server.run()) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn routes(app: &mut web::ServiceConfig) {
    app.service(
        web::resource("/api/echo")
            .route(web::get().to(echo))
            .route(web::post().to(echo_body))
            .default_service(web::to(method_not_allowed)),
    )
    .service(web::resource("/api/time").route(web::get().to(time)).default_service(web::to(method_not_allowed)))
    .default_service(web::to(not_found));
}

/// What the handlers share.
struct Api {
    key: VerifyingKey,
    clock: Clock,
}

/// What is told of an access token.
#[derive(Serialize)]
struct TokenSummary {
    kind: &'static str,
    sha256_prefix: String,
    length: usize,
    exp: i64,
    expires_in: u64,
    sub: String,
    scope: String,
}

/// Why a request may not pass (RFC 6750 §3.1).
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("this API needs an access token in the Authorization header")]
    NoToken,
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Refusal {
    fn response(&self) -> HttpResponse {
        let challenge = match self {
            Self::NoToken => "Bearer",
            Self::Token(_) => "Bearer error=\"invalid_token\"",
        };
        let mut response = problem(StatusCode::UNAUTHORIZED, &self.to_string());
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}

impl Api {
    /// Checks the bearer token (RFC 6750 §2.1).
    fn authorize(&self, request: &HttpRequest) -> Result<TokenSummary, Refusal> {
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(bearer_token).ok_or(Refusal::NoToken)?;
        let now = self.clock.now();
        let claims = self.key.access_token(token, AUDIENCE, now)?;
        Ok(TokenSummary {
            kind: ACCESS_TOKEN_TYPE,
            sha256_prefix: Sha256::digest(token)[..4].iter().map(|byte| format!("{byte:02x}")).collect(),
            length: token.len(),
            exp: claims.exp,
            expires_in: now.until(UnixTime::from_secs(claims.exp)).as_secs(),
            sub: claims.sub,
            scope: claims.scope,
        })
    }
}

/// `GET /api/echo`
async fn echo(request: HttpRequest, api: web::Data<Api>) -> HttpResponse {
    match api.authorize(&request) {
        Ok(token) => pretty(StatusCode::OK, &received(&request, &token)),
        Err(refusal) => refusal.response(),
    }
}

/// `POST /api/echo`: counts the body without keeping it.
async fn echo_body(request: HttpRequest, mut body: web::Payload, api: web::Data<Api>) -> HttpResponse {
    let token = match api.authorize(&request) {
        Ok(token) => token,
        Err(refusal) => return refusal.response(),
    };
    let mut bytes = 0_u64;
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => bytes += piece.len() as u64,
            Err(_) => return problem(StatusCode::BAD_REQUEST, "the body broke off"),
        }
    }
    let mut answer = received(&request, &token);
    answer["body_bytes"] = bytes.into();
    pretty(StatusCode::OK, &answer)
}

/// `GET /api/time`
async fn time(request: HttpRequest, api: web::Data<Api>) -> HttpResponse {
    match api.authorize(&request) {
        Ok(_) => {
            let now = api.clock.now();
            pretty(StatusCode::OK, &json!({ "now": now, "unix_seconds": now.as_secs() }))
        }
        Err(refusal) => refusal.response(),
    }
}

async fn not_found() -> HttpResponse {
    problem(StatusCode::NOT_FOUND, "the demo API has /api/echo and /api/time")
}

async fn method_not_allowed() -> HttpResponse {
    problem(StatusCode::METHOD_NOT_ALLOWED, "try GET")
}

fn received(request: &HttpRequest, token: &TokenSummary) -> Value {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    json!({
        "method": request.method().as_str(),
        "path": path,
        "token": token,
        "cookies_received": request.headers().get_all(COOKIE).count(),
        "headers": shown(request.headers()),
    })
}

/// Names of all the headers, values of the harmless ones only.
fn shown(headers: &HeaderMap) -> BTreeMap<&str, String> {
    headers
        .keys()
        .map(|name| {
            let values: Vec<&str> = headers.get_all(name).filter_map(|value| value.to_str().ok()).collect();
            let harmless = HARMLESS_HEADERS.contains(&name.as_str());
            (name.as_str(), if harmless { values.join(", ") } else { "(not shown)".to_owned() })
        })
        .collect()
}

/// RFC 9457
fn problem(status: StatusCode, detail: &str) -> HttpResponse {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    respond(status, "application/problem+json", &body)
}

fn pretty(status: StatusCode, body: &Value) -> HttpResponse {
    respond(status, "application/json", body)
}

fn respond(status: StatusCode, content_type: &str, body: &Value) -> HttpResponse {
    HttpResponse::build(status)
        .content_type(content_type)
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(format!("{body:#}\n"))
}

#[cfg(test)]
mod tests;
