//! Builds the parts and holds the one route table; starts the listeners and stops them in order.
//!
//! Provider traffic and refresh flights run on a runtime of their own, because work on a worker dies with the worker.

mod easy_auth;
mod error;
mod runtime;
mod target;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::Method;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use http::HeaderName;
use tokio::runtime::Handle;
use tracing_actix_web::TracingLogger;

pub use self::error::{ServeError, StartError};
use self::runtime::ProviderRuntime;
use crate::aead::{AesImplementation, Algorithm};
use crate::clock::Clock;
use crate::config::{Config, Finding, ServerConfig};
use crate::file_watch::FileWatch;
use crate::keyring::{KeyRing, RingHandle, WatchGuard};
use crate::management::{self, Status};
use crate::metrics::{Handler, Metrics};
use crate::oidc::{Provider, TokenIssuers};
use crate::proxy::{OwnNames, RouteTable, UpstreamClient, UpstreamWatch};
use crate::refresh::Refresher;
use crate::refresh::application::ApplicationTokens;
use crate::seal::Sealer;
use crate::session::ProviderId;
use crate::session::cookies::CookieNames;
use crate::session::store::Sessions;
use crate::telemetry::{self, RequestSpan};
use crate::tls::{CertificateWatch, ListenerCertificate};
use crate::web::problem::{NOT_FOUND, PATH_REFUSED, Problem};
use crate::web::redemptions::Redemptions;
use crate::web::security_headers::SecurityHeaders;
use crate::web::signed_identity::SignedIdentities;
use crate::web::spa_settings::SpaSettings;
use crate::web::static_site::StaticSite;
use crate::web::tunnels::Tunnels;
use crate::web::{
    Services, Site, api, callback, cookie_line, forward_auth, initiate_login, landing, logged_out, login, logout,
    refresh, signed_identity, silent_login, user,
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
    refresher: Refresher,
    runtime: ProviderRuntime,
    ring_watch: WatchGuard,
    certificate_watch: Option<CertificateWatch>,
    identity_watch: Option<FileWatch>,
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
        check_session_length(&config, ring.current().max_session())?;
        log_cipher(&ring.current(), &clock);
        let ring_watch = ring.watch(&runtime.handle());
        let provider = Provider::new(config.provider.clone(), clock.clone(), runtime.handle())?;
        provider.start();
        let certificate =
            config.server.tls.clone().map(|files| ListenerCertificate::load(files, clock.clone(), metrics.clone()));
        let certificate = certificate.transpose()?;
        let certificate_watch = certificate.as_ref().map(|certificate| certificate.watch(&runtime.handle()));
        let status = Status::new(ring.clone(), provider.clone(), metrics.clone(), clock.clone());
        let services = Arc::new(services(&config, ring, provider, clock, metrics, &runtime.handle())?);
        let refresher = services.refresher.clone();
        runtime.handle().spawn(forget_unused(services.sessions.clone()));
        let pages = web::Data::new(config.pages.clone());
        let upstream_watch = services.routes.watch(&runtime.handle(), &services.metrics);
        let identity_watch = services.identities.as_ref().map(|identities| identities.watch(&runtime.handle()));
        let health_path = config.server.public_health_path.clone();
        let server = HttpServer::new(move || {
            App::new()
                .wrap(TracingLogger::<RequestSpan>::new())
                .app_data(pages.clone())
                .app_data(web::Data::new(Worker {
                    services: services.clone(),
                    client: UpstreamClient::new(),
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
        tracing::info!(%address, %management_address, public_url = %config.server.public_url, "sealgate listens");
        Ok(Self {
            address,
            management_address,
            server,
            management,
            status,
            refresher,
            runtime,
            ring_watch,
            certificate_watch,
            identity_watch,
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
        self.refresher.start_draining();
        let in_order = async {
            tokio::time::sleep(self.drain_delay).await;
            stop(&handle, self.drain_deadline).await;
            if !self.refresher.drain(self.drain_deadline).await {
                tracing::warn!("refreshes were still in flight at the deadline");
            }
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
        drop(self.identity_watch);
        drop(self.upstream_watch);
        drop(self.runtime);
        tracing::info!("stopped");
        Ok(())
    }
}

/// Has sessions forgotten that nobody shows, for as long as the runtime lives.
async fn forget_unused(sessions: Sessions) {
    let mut interval = tokio::time::interval(FORGET_SESSIONS);
    loop {
        interval.tick().await;
        sessions.forget_unused();
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

/// A session must not outlive the key that seals it (`open_until` reckons with the ring's longest session).
fn check_session_length(config: &Config, max_session: Duration) -> Result<(), StartError> {
    let timeout = config.session.absolute_timeout;
    if timeout <= max_session {
        return Ok(());
    }
    Err(StartError::SessionOutlivesKeys {
        timeout: humantime::format_duration(timeout),
        ring: config.ring.display().to_string(),
        max_session: humantime::format_duration(max_session),
    })
}

fn services(
    config: &Config,
    ring: RingHandle,
    provider: Provider,
    clock: Clock,
    metrics: Metrics,
    runtime: &Handle,
) -> Result<Services, StartError> {
    let origin = config.server.public_url.clone();
    let names = CookieNames::new(&config.session.cookie_name, origin.is_https());
    let set_by_routes = config.routes.iter().flat_map(|route| &route.access.headers);
    let set_by_answers = config.forward_auth.iter().flat_map(|settings| &settings.headers);
    let secret_field = HeaderName::from_static(forward_auth::SECRET_FIELD);
    let shown = config.forward_auth.iter().map(|_| &secret_field);
    let of_ours = set_by_routes.chain(set_by_answers).map(|header| &header.name).chain(shown);
    let of_ours = of_ours.chain(config.identity_jwt.iter().map(|settings| &settings.header));
    let own_names = OwnNames::new(names.session(), &origin).with_headers(of_ours);
    let sealer = Sealer::new(ring, origin.clone(), clock.clone(), metrics.clone());
    let registration =
        ProviderId { issuer: config.provider.issuer.clone(), client_id: config.provider.client_id.clone() };
    let skew = config.provider.clock_skew;
    let sessions = Sessions::new(sealer, names, config.session.clone(), registration, clock.clone(), skew);
    let mut issuers = TokenIssuers::new(config.provider.request_timeout, clock.clone(), runtime.clone());
    let bearer = config.routes.iter().map(|route| issuers.verifier(&route.access.issuers));
    let bearer = bearer.collect::<Result<_, _>>().map_err(StartError::TokenIssuer)?;
    issuers.start();
    let refresher = Refresher::new(provider.clone(), sessions.clone(), clock.clone(), metrics.clone(), runtime.clone());
    let application = ApplicationTokens::new(
        provider.clone(),
        config.session.refresh_before,
        clock.clone(),
        metrics.clone(),
        runtime.clone(),
    );
    let static_site = config.static_site.as_ref().map(|settings| {
        let failed = |error| StartError::Static { root: settings.to_string(), error };
        let headers = SecurityHeaders::new(&config.security_headers, &origin, &config.provider.issuer);
        StaticSite::new(settings, headers, &metrics).map_err(failed)
    });
    let identities = config.identity_jwt.clone().map(|settings| {
        let answers = config.forward_auth.as_ref().map(|settings| &settings.signed_identity);
        SignedIdentities::load(settings, &origin, &clock, &config.routes, answers)
    });
    let identities = identities.transpose()?;
    let site = Site {
        origin,
        prefix: config.server.prefix.clone(),
        csrf: config.csrf.clone(),
        trusted_proxies: config.server.trusted_proxies.clone(),
        post_logout_redirect_uri: config.provider.particulars.post_logout_redirect_uri.clone(),
        easy_auth: config.easy_auth.clone(),
    };
    let routes = RouteTable::new(config.routes.clone(), &metrics)?;
    let static_site = static_site.transpose()?;
    Ok(Services {
        site,
        sessions,
        provider,
        refresher,
        application,
        routes,
        forward_auth: config.forward_auth.clone(),
        identities,
        bearer,
        own_names,
        redemptions: Redemptions::default(),
        tunnels: Tunnels::default(),
        static_site,
        spa_settings: SpaSettings::new(&config.spa_settings),
        clock,
        metrics,
    })
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
    services: Arc<Services>,
    client: UpstreamClient,
    /// `server.public_health_path`.
    health_path: Option<String>,
}

/// The one route table: our endpoints under the prefix, then the proxied routes, then the single-page app. Everything
/// is matched on the raw path.
async fn dispatch(worker: web::Data<Worker>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let started = Instant::now();
    let Worker { services, client, health_path } = worker.get_ref();
    let (handler, result) = match target::check(&request) {
        Err(problem) => (Handler::Other, Err(problem)),
        Ok(()) if health_path.as_deref() == Some(request.uri().path()) => {
            (Handler::Other, Ok(HttpResponse::Ok().body("ok\n")))
        }
        Ok(()) if let Err(problem) = cookie_line::check(services, &request) => (Handler::Other, Err(problem)),
        Ok(()) => match endpoint(&services.site.prefix, request.uri().path()) {
            Some(endpoint) => call(endpoint, services, &request, payload).await,
            None => match easy_auth::find(services, request.uri().path()) {
                Some(endpoint) => easy_auth::call(endpoint, services, &request, payload).await,
                None => beyond_the_prefix(services, client, &request, payload).await,
            },
        },
    };
    let response = result.unwrap_or_else(|problem| problem.respond(&request));
    let status = response.status().as_u16();
    services.metrics.count_request(handler, status);
    telemetry::access(status, started.elapsed());
    response
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
        ("/callback", &Method::GET | &Method::POST) => {
            (Handler::Callback, callback::handle(services, request, payload).await)
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
        ("/callback" | "/logout" | "/initiate-login", _) => {
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
