//! `GET /bff/config.json`: what the single-page app is told at run time, so that one build serves every environment.
//!
//! Public: whoever reaches the site can read it, signed in or not. Must never hold a secret.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::web::own_response;

/// The settings, as the bytes of a JSON object.
#[derive(Clone, Debug)]
pub struct SpaSettings(Bytes);

impl SpaSettings {
    /// An object of these members.
    pub fn new(settings: &Map<String, Value>) -> Self {
        // Strings, numbers and booleans always make JSON.
        Self(serde_json::to_vec(settings).unwrap_or_else(|_| b"{}".to_vec()).into())
    }

    /// Answers with the object; browsers ask for it anew each time.
    pub fn handle(&self) -> HttpResponse {
        own_response(HttpResponse::Ok())
            .insert_header((CONTENT_TYPE, "application/json"))
            .insert_header((CACHE_CONTROL, "no-cache"))
            .insert_header(("Cross-Origin-Resource-Policy", "same-origin"))
            .body(self.0.clone())
    }
}
