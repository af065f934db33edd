//! Development: what is not ours goes to the app's own dev server (Vite), whose page changes while one edits.
//!
//! The configuration allows it on loopback only. Must never send it a cookie or a token, nor open its WebSocket to
//! another origin's page: a dev server trusts whoever reaches it.

use std::time::Duration;

use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use http::Uri;

use crate::metrics::Metrics;
use crate::proxy::{
    self, AccessSettings, Credentials, CsrfMode, ForwardContext, ForwardError, RouteAuth, RouteSettings, RouteTable,
    TargetSettings, TunnelLimits, UpstreamClient, UpstreamSettings, UpstreamTimeouts, UpstreamTlsError,
    asks_for_websocket,
};
use crate::web::problem::{Problem, UPSTREAM_UNREACHABLE};
use crate::web::{Services, csrf};

/// What a dev server's page needs: inline scripts (the preamble of hot reloading), `eval` (source maps), inline styles,
/// and its WebSocket, on our port or on one of its own.
const POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' \
                      'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws: wss: \
                      http://localhost:* http://127.0.0.1:*; worker-src 'self' blob:; object-src 'none'; \
                      base-uri 'self'; frame-ancestors 'self'";

/// The way to a dev server.
#[derive(Debug)]
pub(super) struct DevServer {
    /// The one route, for everything.
    routes: RouteTable,
    address: Uri,
}

impl DevServer {
    pub(super) fn new(address: Uri, metrics: &Metrics) -> Result<Self, UpstreamTlsError> {
        let route = RouteSettings {
            path: "/".to_owned(),
            upstreams: vec![address.clone()],
            auth: RouteAuth::None,
            access: AccessSettings::default(),
            target: TargetSettings::default(),
            max_body_size: None,
            csrf: CsrfMode::Page,
            methods: Vec::new(),
            forward_cookies: false,
            timeouts: UpstreamTimeouts {
                connect: Duration::from_secs(5),
                // The first page of a large app is built when it is asked for.
                first_byte: Duration::from_secs(120),
                idle: Duration::from_secs(24 * 3600),
            },
            upstream_settings: UpstreamSettings::default(),
        };
        Ok(Self { routes: RouteTable::new(vec![route], metrics)?, address })
    }

    /// Forwards a request, WebSockets of our own pages among them.
    pub(super) async fn handle(
        &self,
        services: &Services,
        client: &UpstreamClient,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<HttpResponse, Problem> {
        if asks_for_websocket(request) {
            csrf::check(CsrfMode::Page, request, &services.site)?;
        }
        let context = ForwardContext {
            credentials: Credentials::None,
            identity: &[],
            own_names: &services.own_names,
            public_origin: &services.site.origin,
            peer: request.peer_addr().map(|address| address.ip()),
            trusted_peer: false,
            traceparent: None,
            tunnel: TunnelLimits::default(),
        };
        // The server has checked the path, and a route for `/` takes every one.
        let route = self.routes.find("", "/").ok().flatten().ok_or_else(Problem::internal)?;
        let forwarded = proxy::forward(client, route, request, payload.into_inner(), &context).await;
        let mut response = forwarded.map_err(|error| self.problem(error))?;
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        Ok(response)
    }

    fn problem(&self, error: ForwardError) -> Problem {
        let is_down = matches!(error, ForwardError::Connect(_));
        let problem = Problem::from(error);
        if !is_down {
            return problem;
        }
        let address = self.address.authority().map(ToString::to_string).unwrap_or_default();
        let detail = format!("The dev server at {address} (static.dev_server) does not answer: start it, and reload.");
        Problem::new(&UPSTREAM_UNREACHABLE, detail)
            .in_words("dev-server-unreachable")
            .with_values([("address", self.address.to_string())])
    }
}
