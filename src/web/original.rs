//! What a browser asked for: a request that came to us, or one that another proxy asks us about.

use actix_web::HttpRequest;
use actix_web::http::Method;

use crate::proxy::asks_for_websocket;

/// A browser's request, as far as it decides how a refusal is told.
#[derive(Debug)]
pub struct Original<'a> {
    /// Its method.
    pub method: Method,
    /// Its path and query, as they were sent.
    pub target: &'a str,
    /// Whether it would become a WebSocket.
    pub opens_websocket: bool,
}

impl<'a> Original<'a> {
    /// The request itself.
    pub fn of(request: &'a HttpRequest) -> Self {
        Self {
            method: request.method().clone(),
            target: request.uri().path_and_query().map_or("/", |target| target.as_str()),
            opens_websocket: asks_for_websocket(request),
        }
    }
}
