//! The management listener: `/healthz`, `/readyz`, `/ring`, `/metrics`. Never on the public listener.
//!
//! It reads a summary of the key ring and nothing else of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::clock::Clock;
use crate::keyring::RingHandle;
use crate::metrics::Metrics;
use crate::origin::PublicOrigin;
use crate::session::providers::Providers;

/// What the management listener tells of.
#[derive(Clone)]
pub struct Status {
    ring: RingHandle,
    /// Of each site, and where that is.
    providers: Vec<(PublicOrigin, Providers)>,
    metrics: Metrics,
    clock: Clock,
    draining: Arc<AtomicBool>,
}

impl Status {
    /// The status of one replica.
    pub fn new(ring: RingHandle, providers: Vec<(PublicOrigin, Providers)>, metrics: Metrics, clock: Clock) -> Self {
        Self { ring, providers, metrics, clock, draining: Arc::default() }
    }

    /// From now on the replica is not ready: load balancers are to send no more.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }
}

/// The listener's routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(health))
        .route("/readyz", web::get().to(readiness))
        .route("/ring", web::get().to(ring))
        .route("/metrics", web::get().to(metrics));
}

/// The process runs.
async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// Requests may come: not while draining, and not with a key ring that could not be read for longer than its
/// propagation, nor without a key to seal with. A provider that is down makes no replica unready: open sessions go on.
async fn readiness(status: web::Data<Status>) -> HttpResponse {
    let draining = status.draining.load(Ordering::SeqCst);
    let ring = status.ring.summary();
    let ring_is_stale = ring.is_stale(status.clock.now());
    let seals = ring.primary.is_some();
    let missing = missing(&status.providers);
    let provider = if missing.is_empty() { "discovered" } else { "not discovered yet" };
    let ready = !draining && !ring_is_stale && seals;
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    let mut body = json!({ "ready": ready, "draining": draining, "ring_is_stale": ring_is_stale, "can_seal": seals, "provider": provider });
    if status.providers.iter().map(|(_, providers)| providers.iter().len()).sum::<usize>() > 1 {
        body["providers_not_discovered"] = missing.into();
    }
    answer.json(body)
}

/// The providers that have not been discovered, each by its site and its issuer.
fn missing(providers: &[(PublicOrigin, Providers)]) -> Vec<String> {
    let all = providers.iter().flat_map(|(origin, providers)| providers.iter().map(move |provider| (origin, provider)));
    all.filter(|(_, provider)| provider.provider.metadata().is_none())
        .map(|(origin, provider)| format!("{origin}: {}", provider.id.issuer))
        .collect()
}

/// The digest and the dates of the ring that this replica uses: for `keys check --replica`.
async fn ring(status: web::Data<Status>) -> HttpResponse {
    HttpResponse::Ok().json(status.ring.summary())
}

/// OpenMetrics text.
async fn metrics(status: web::Data<Status>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8"))
        .body(status.metrics.render())
}
