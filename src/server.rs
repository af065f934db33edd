//! Builds the parts and holds the one route table; starts the listeners and stops them in order.
//!
//! Provider traffic and refresh flights run on a runtime of their own, because work on a worker dies with the worker.

mod easy_auth;
mod error;
mod runtime;
mod services;
mod target;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::Method;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use tracing_actix_web::TracingLogger;

pub use self::error::{ServeError, StartError};
use self::runtime::ProviderRuntime;
use self::services::Shared;
use crate::aead::{AesImplementation, Algorithm};
use crate::clock::Clock;
use crate::config::{Config, Finding, ServerConfig};
use crate::file_watch::FileWatch;
use crate::keyring::{KeyRing, RingHandle, WatchGuard};
use crate::management::{self, Status};
use crate::metrics::{Handler, Metrics};
use crate::proxy::{RouteTable, UpstreamClient, UpstreamWatch};
use crate::refresh::Refresher;
use crate::session::providers::SiteProvider;
use crate::session::store::Sessions;
use crate::telemetry::{self, RequestSpan};
use crate::tls::{CertificateWatch, ListenerCertificate};
use crate::web::problem::{MISDIRECTED, NOT_FOUND, PATH_REFUSED, Problem};
use crate::web::sites::Sites;
use crate::web::{
    Services, api, callback, cookie_line, forward_auth, initiate_login, landing, logged_out, login, logout, refresh,
    signed_identity, silent_login, user,
};

/// How long a session that no request shows is remembered, at least.
const FORGET_SESSIONS: Duration = Duration::from_secs(30);
/// Handshakes are few round trips; many that stall would keep others from theirs.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A built server: it listens, and answers once [`Application::run_until_stopped`] runs.
pub struct Application {
    address: SocketAddr,
    management_address: SocketAddr,
    server: Server,
    management: Server,
    status: Status,
    refreshers: Vec<Refresher>,
    runtime: ProviderRuntime,
    ring_watch: WatchGuard,
    certificate_watch: Option<CertificateWatch>,
    identity_watches: Vec<FileWatch>,
    upstream_watch: UpstreamWatch,
    drain_delay: Duration,
    drain_deadline: Duration,
}

/// Runs the server until SIGTERM or SIGINT; blocks.
///
/// # Errors
/// See [`ServeError`].
pub fn serve(config: Config, warnings: &[Finding]) -> Result<(), ServeError> {
    let _log = telemetry::init(&config.log)?;
    for warning in warnings {
        tracing::warn!(%warning, "configuration");
    }
    block_on_system(async {
        let application = Application::build(config, Clock::system())?;
        application.run_until_stopped(stop_signal()).await
    })
}

/// Runs a future on an actix system of its own; blocks.
pub fn block_on_system<F: Future>(future: F) -> F::Output {
    actix_web::rt::System::new().block_on(future)
}

/// SIGTERM or SIGINT.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! { _ = terminate.recv() => {}, _ = tokio::signal::ctrl_c() => {} }
        }
        Err(error) => {
            tracing::error!(%error, "SIGTERM cannot be watched for; SIGINT stops the server");
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

impl Application {
    /// Builds all parts from the configuration and binds the listeners. No network is needed: the provider is looked
    /// for in the background.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn build(config: Config, clock: Clock) -> Result<Self, StartError> {
        let runtime = ProviderRuntime::start().map_err(StartError::Runtime)?;
        let metrics = Metrics::default();
        let ring = RingHandle::load(config.ring.clone(), clock.clone(), metrics.clone())?;
        log_cipher(&ring.current(), &clock);
        let ring_watch = ring.watch(&runtime.handle());
        let shared = Shared { ring, clock, metrics, runtime: runtime.handle() };
        let sites = Arc::new(services::sites(&config, &shared)?);
        let Shared { ring, clock, metrics, .. } = shared;
        let certificate =
            config.server.tls.clone().map(|files| ListenerCertificate::load(files, clock.clone(), metrics.clone()));
        let certificate = certificate.transpose()?;
        let certificate_watch = certificate.as_ref().map(|certificate| certificate.watch(&runtime.handle()));
        let providers = sites.iter().map(|site| (site.site.origin.clone(), site.providers.clone()));
        let status = Status::new(ring, providers.collect(), metrics.clone(), clock);
        let refreshers = sites.iter().map(|site| site.refresher.clone()).collect();
        runtime.handle().spawn(forget_unused(sites.iter().map(|site| site.sessions.clone()).collect()));
        let tables = sites.iter().map(|site| &site.routes);
        let upstream_watch = RouteTable::watch(tables, &runtime.handle(), &metrics);
        let public_urls: Vec<_> = sites.iter().map(|site| site.site.origin.to_string()).collect();
        let identities = sites.iter().filter_map(|site| site.identities.as_ref());
        let identity_watches = identities.map(|identities| identities.watch(&runtime.handle())).collect();
        let health_path = config.server.public_health_path.clone();
        let server = HttpServer::new(move || {
            App::new()
                .wrap(TracingLogger::<RequestSpan>::new())
                .app_data(web::Data::from(sites.clone()))
                .app_data(web::Data::new(Worker {
                    sites: sites.clone(),
                    client: UpstreamClient::new(),
                    metrics: metrics.clone(),
                    health_path: health_path.clone(),
                }))
                .default_service(web::to(dispatch))
        })
        .disable_signals()
        .h1_allow_half_closed(false)
        .client_request_timeout(config.server.client_timeout)
        .tls_handshake_timeout(config.server.client_timeout.min(HANDSHAKE_TIMEOUT))
        .keep_alive(config.server.keep_alive)
        .shutdown_timeout(config.server.drain_deadline.as_secs())
        .workers(config.server.workers.unwrap_or_else(default_workers));
        let server = match &certificate {
            Some(certificate) => {
                server.bind_rustls_0_23(config.server.listen, certificate.server_config().map_err(StartError::Tls)?)
            }
            None => server.bind(config.server.listen),
        }
        .map_err(listen_error("server.listen", config.server.listen))?;
        // One address was bound, and it is told with the port that the system chose.
        let address = server.addrs().first().copied().unwrap_or(config.server.listen);
        let server = server.run();
        let (management, management_address) = management_server(&config.server, status.clone())?;
        let ServerConfig { drain_delay, drain_deadline, .. } = config.server;
        tracing::info!(%address, %management_address, public_url = %public_urls.join(", "), "sealgate listens");
        Ok(Self {
            address,
            management_address,
            server,
            management,
            status,
            refreshers,
            runtime,
            ring_watch,
            certificate_watch,
            identity_watches,
            upstream_watch,
            drain_delay,
            drain_deadline,
        })
    }

    /// Where the public listener is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the management listener is bound.
    pub fn management_address(&self) -> SocketAddr {
        self.management_address
    }

    /// Answers requests until `shutdown` is ready, then stops: readiness fails first, the listener stays open for the
    /// drain delay, then requests and refreshes in flight get until the deadline.
    ///
    /// # Errors
    /// [`ServeError::Listener`].
    pub async fn run_until_stopped(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (handle, management_handle) = (self.server.handle(), self.management.handle());
        let management = actix_web::rt::spawn(self.management);
        let mut server = actix_web::rt::spawn(self.server);
        tokio::select! {
            () = shutdown => {}
            ended = &mut server => return ended.map_or(Ok(()), |ended| ended.map_err(ServeError::Listener)),
        }
        tracing::info!(delay = ?self.drain_delay, "stopping: no longer ready");
        self.status.start_draining();
        self.refreshers.iter().for_each(Refresher::start_draining);
        let in_order = async {
            tokio::time::sleep(self.drain_delay).await;
            stop(&handle, self.drain_deadline).await;
            land(&self.refreshers, self.drain_deadline).await;
        };
        tokio::select! {
            () = in_order => {}
            () = stop_signal() => {
                tracing::warn!("told to stop a second time: requests in flight are cut off");
                handle.stop(false).await;
            }
        }
        management_handle.stop(false).await;
        let _ = management.await;
        drop(self.ring_watch);
        drop(self.certificate_watch);
        drop(self.identity_watches);
        drop(self.upstream_watch);
        drop(self.runtime);
        tracing::info!("stopped");
        Ok(())
    }
}

/// Waits until no refresh is in flight, `deadline` at most.
async fn land(refreshers: &[Refresher], deadline: Duration) {
    let until = Instant::now() + deadline;
    for refresher in refreshers {
        if !refresher.drain(until.saturating_duration_since(Instant::now())).await {
            return tracing::warn!("refreshes were still in flight at the deadline");
        }
    }
}

/// Has sessions forgotten that nobody shows, for as long as the runtime lives.
async fn forget_unused(sessions: Vec<Sessions>) {
    let mut interval = tokio::time::interval(FORGET_SESSIONS);
    loop {
        interval.tick().await;
        sessions.iter().for_each(Sessions::forget_unused);
    }
}

async fn stop(server: &ServerHandle, deadline: Duration) {
    if tokio::time::timeout(deadline + Duration::from_secs(1), server.stop(true)).await.is_err() {
        tracing::warn!("requests were still in flight at the deadline");
        server.stop(false).await;
    }
}

/// Says how cookies are sealed here, and whether another cipher would suit this machine better.
fn log_cipher(ring: &KeyRing, clock: &Clock) {
    let aes = AesImplementation::detect();
    let algorithm = ring.primary(clock.now()).map(|key| key.algorithm());
    let shown = algorithm.map_or("none", Algorithm::name);
    tracing::info!(algorithm = shown, %aes, "cookies are sealed");
    if let Some(advice) = algorithm.and_then(|algorithm| aes.advice(algorithm)) {
        tracing::warn!(algorithm = shown, %aes, "{advice}");
    }
}

/// One a processor.
fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

fn listen(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = listen_error(key, address);
    let listener = TcpListener::bind(address).map_err(&failed)?;
    let bound = listener.local_addr().map_err(&failed)?;
    Ok((listener, bound))
}

fn listen_error(key: &'static str, address: SocketAddr) -> impl Fn(std::io::Error) -> StartError {
    move |error| StartError::Listen { key, address, error }
}

fn management_server(config: &ServerConfig, status: Status) -> Result<(Server, SocketAddr), StartError> {
    let key = "server.management_listen";
    let (listener, address) = listen(key, config.management_listen)?;
    let app = move || App::new().app_data(web::Data::new(status.clone())).configure(management::routes);
    let server = HttpServer::new(app).disable_signals().workers(1).listen(listener);
    Ok((server.map_err(listen_error(key, address))?.run(), address))
}

/// What a worker's requests are answered with: one thing to look up for each of them.
struct Worker {
    sites: Arc<Sites>,
    client: UpstreamClient,
    metrics: Metrics,
    /// `server.public_health_path`.
    health_path: Option<String>,
}

/// The one route table: our endpoints under the prefix, then the proxied routes, then the single-page app. Everything
/// is matched on the raw path.
async fn dispatch(worker: web::Data<Worker>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let started = Instant::now();
    let Worker { sites, client, metrics, health_path } = worker.get_ref();
    let mut site = None;
    let (handler, result) = match target::check(&request) {
        Err(problem) => (Handler::Other, Err(problem)),
        Ok(()) if health_path.as_deref() == Some(request.uri().path()) => {
            (Handler::Other, Ok(HttpResponse::Ok().body("ok\n")))
        }
        Ok(()) => match sites.of(&request) {
            Some(services) => {
                site = sites.shown(services);
                answer(services, client, &request, payload).await
            }
            None => (Handler::Other, Err(Problem::new(&MISDIRECTED, "No site of this server has this host."))),
        },
    };
    let response = result.unwrap_or_else(|problem| problem.respond(&request));
    let status = response.status().as_u16();
    metrics.count_request(handler, status);
    telemetry::access(site, status, started.elapsed());
    response
}

/// The answer of one site.
async fn answer(
    services: &Services,
    client: &UpstreamClient,
    request: &HttpRequest,
    payload: web::Payload,
) -> Answered {
    if let Err(problem) = cookie_line::check(services, request) {
        return (Handler::Other, Err(problem));
    }
    match endpoint(&services.site.prefix, request.uri().path()) {
        Some(endpoint) => call(endpoint, services, request, payload).await,
        None => match easy_auth::find(services, request.uri().path()) {
            Some(endpoint) => easy_auth::call(endpoint, services, request, payload).await,
            None => beyond_the_prefix(services, client, request, payload).await,
        },
    }
}

/// The endpoints under the prefix; none: the path lies elsewhere.
fn endpoint<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    if rest.is_empty() || rest.starts_with('/') { Some(rest) } else { None }
}

type Answered = (Handler, Result<HttpResponse, Problem>);

async fn call(endpoint: &str, services: &Services, request: &HttpRequest, payload: web::Payload) -> Answered {
    let method = request.method();
    match (endpoint, method) {
        ("/login", &Method::GET) => (Handler::Login, login::handle(services, request).await),
        (path, &Method::GET | &Method::POST) if let Some(provider) = at_callback(services, path) => {
            (Handler::Callback, callback::handle(services, provider, request, payload).await)
        }
        ("/initiate-login", &Method::GET | &Method::POST) => {
            (Handler::Login, initiate_login::handle(services, request, payload).await)
        }
        ("/landing", &Method::GET) => (Handler::Callback, landing::handle(services, request)),
        ("/user", &Method::GET) => (Handler::User, user::handle(services, request)),
        ("/logout", &Method::GET | &Method::POST) => (Handler::Logout, logout::handle(services, request).await),
        ("/silent-login", &Method::GET) => (Handler::Login, silent_login::handle(services, request).await),
        ("/logged-out", &Method::GET) => (Handler::Logout, logged_out::handle(services, request)),
        ("/config.json", &Method::GET | &Method::HEAD) => (Handler::Other, Ok(services.spa_settings.handle())),
        ("/jwks.json", _) => (Handler::Other, signed_identity::handle(services, method)),
        ("/refresh", &Method::POST) => (Handler::Refresh, refresh::handle(services, request).await),
        ("/login" | "/silent-login" | "/landing" | "/user" | "/logged-out", _) => {
            (Handler::Other, Err(Problem::method_not_allowed("GET")))
        }
        ("/logout" | "/initiate-login", _) => (Handler::Other, Err(Problem::method_not_allowed("GET, POST"))),
        (path, _) if at_callback(services, path).is_some() => {
            (Handler::Other, Err(Problem::method_not_allowed("GET, POST")))
        }
        ("/config.json", _) => (Handler::Other, Err(Problem::method_not_allowed("GET, HEAD"))),
        ("/refresh", _) => (Handler::Other, Err(Problem::method_not_allowed("POST"))),
        (endpoint, _) => match forward_auth::question(services, request, endpoint) {
            Some((settings, behind)) => {
                (Handler::Auth, forward_auth::handle(services, settings, request, behind).await)
            }
            None => (Handler::Other, Err(Problem::new(&NOT_FOUND, "There is no endpoint of this name."))),
        },
    }
}

/// The provider whose redirect URI the endpoint is: `/callback` of the default one, `/callback/NAME` of another.
fn at_callback<'a>(services: &'a Services, endpoint: &str) -> Option<&'a SiteProvider> {
    match endpoint.strip_prefix("/callback")? {
        "" => Some(services.providers.default_one()),
        rest => services.providers.named(rest.strip_prefix('/')?).filter(|provider| !provider.is_default),
    }
}

async fn beyond_the_prefix(
    services: &Services,
    client: &UpstreamClient,
    request: &HttpRequest,
    payload: web::Payload,
) -> Answered {
    match services.routes.find(target::host(request), request.uri().path()) {
        Err(error) => {
            tracing::debug!(%error, "a path was refused");
            (
                Handler::Proxy,
                Err(Problem::new(
                    &PATH_REFUSED,
                    "Send the path without dot segments, empty segments or encoded separators.",
                )),
            )
        }
        Ok(Some(route)) => (Handler::Proxy, api::handle(services, client, route, request, payload).await),
        Ok(None) => match &services.static_site {
            Some(site) => (Handler::Static, site.handle(services, client, request, payload).await),
            None => (Handler::Other, Err(Problem::new(&NOT_FOUND, "No route has this address."))),
        },
    }
}
