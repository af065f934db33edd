//! `sealgate demo`: the BFF with a provider, an API and a single-page app around it, on loopback, without any set-up.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::aead::Algorithm;
use crate::clock::Clock;
use crate::config::{self, Config, LogConfig, LogFormat, ProviderConfig, Scope, ServerConfig, SiteConfig};
use crate::demo::{CLIENT_ID, Demo, DemoSettings, DemoStartError, loopback};
use crate::keyring::{GenerateError, KeyRing, RingFile, RingFileError, RingUpdateError};
use crate::oidc::{AuthorizationSettings, ClientAuth, LoginLimits, Particulars, ProviderSettings, UserInfoUse};
use crate::origin::PublicOriginError;
use crate::proxy::{
    AccessSettings, CsrfMode, RouteAuth, RouteSettings, TargetSettings, UpstreamSettings, UpstreamTimeouts,
};
use crate::server::{self, Application, ServeError};
use crate::session::{SameSite, SessionSettings, UserFormat, WriteFormat};
use crate::web::CsrfHeader;
use crate::web::page::Pages;
use crate::web::static_site::StaticSettings;
use crate::{origin, telemetry};

const DEFAULT_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080));
/// Short, so that a rotation can be watched.
const PROPAGATION: Duration = Duration::from_secs(5);
const MAX_SESSION: Duration = Duration::from_secs(8 * 3600);
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(60);

/// Where the demo listens.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where the app listens: an address of this machine's own (loopback)
    #[arg(long, value_name = "ADDRESS", default_value_t = DEFAULT_LISTEN)]
    pub listen: SocketAddr,
    /// The demo provider's port on localhost; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub provider_port: u16,
    /// The key ring: made if it is not there; without this one in a temporary folder
    #[arg(long, value_name = "FILE")]
    pub ring: Option<PathBuf>,
    /// What is logged: a level such as info, or directives
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log_level: String,
}

/// Why the demo did not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A part of it did not start.
    #[error(transparent)]
    Start(#[from] DemoStartError),
    /// The address is not free, or not loopback.
    #[error("{0} with --listen")]
    Address(#[from] loopback::LoopbackError),
    /// The key ring cannot be made.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The key ring cannot be read.
    #[error(transparent)]
    ReadRing(#[from] RingFileError),
    /// The key ring cannot be written.
    #[error(transparent)]
    Ring(#[from] RingUpdateError),
    /// The address makes no public URL.
    #[error(transparent)]
    Origin(#[from] origin::PublicOriginError),
    /// No temporary folder for the key ring.
    #[error("the temporary folder for the key ring cannot be made")]
    Folder(#[source] io::Error),
    /// The BFF did not start, or ended badly.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The output cannot be written.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the demo until Ctrl-C; what a visitor needs to know goes to `out`.
///
/// # Errors
/// See [`DemoError`].
pub fn run(args: &DemoArgs, out: &mut dyn Write) -> Result<(), DemoError> {
    let clock = Clock::system();
    let log = LogConfig { format: LogFormat::Pretty, level: args.log_level.clone(), access_buffer: Duration::ZERO };
    let _log = telemetry::init(&log).map_err(ServeError::from)?;
    let app = loopback::free_address(args.listen)?;
    let folder = tempfile::tempdir().map_err(DemoError::Folder)?;
    let ring = args.ring.clone().unwrap_or_else(|| folder.path().join("ring.json"));
    let keys = ring_at(&ring, &clock)?;
    let settings = DemoSettings {
        app,
        provider_port: args.provider_port,
        access_token_lifetime: ACCESS_TOKEN_LIFETIME,
        program: this_program(),
        ring: ring.clone(),
        propagation: keys.propagation(),
    };
    server::block_on_system(async {
        let demo = Demo::start(&settings, &clock)?;
        let config = config(app, &ring, keys.max_session(), log, &demo)?;
        let application = Application::build(config, clock).map_err(ServeError::from)?;
        banner(out, &settings, &demo)?;
        application.run_until_stopped(server::stop_signal()).await?;
        Ok(())
    })
}

/// The ring in that file, which is made if it is not there.
fn ring_at(path: &Path, clock: &Clock) -> Result<KeyRing, DemoError> {
    let file = RingFile::new(path);
    if path.exists() {
        return Ok(file.read()?);
    }
    let fresh = KeyRing::generate(Algorithm::default(), PROPAGATION, MAX_SESSION, clock.now())?;
    file.create(&fresh)?;
    Ok(fresh)
}

fn config(
    app: SocketAddr,
    ring: &Path,
    max_session: Duration,
    log: LogConfig,
    demo: &Demo,
) -> Result<Config, DemoError> {
    let api = demo.api_address().to_string();
    let upstream = http::Uri::builder().scheme("http").authority(api).path_and_query("/").build();
    let route = RouteSettings {
        path: "/api".to_owned(),
        // A socket address is always an authority.
        upstreams: upstream.into_iter().collect(),
        auth: RouteAuth::Session,
        access: AccessSettings::default(),
        target: TargetSettings::default(),
        max_body_size: None,
        csrf: CsrfMode::Header,
        methods: Vec::new(),
        forward_cookies: false,
        timeouts: UpstreamTimeouts {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(120),
        },
        upstream_settings: UpstreamSettings::default(),
    };
    Ok(Config {
        server: ServerConfig {
            listen: app,
            management_listen: SocketAddr::new(app.ip(), 0),
            trusted_proxies: Vec::new(),
            public_health_path: None,
            workers: Some(1),
            tls: None,
            client_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            drain_delay: Duration::ZERO,
            drain_deadline: Duration::from_secs(2),
        },
        sites: vec![site(demo, app, route, max_session)?],
        ring: ring.to_owned(),
        log,
    })
}

fn site(
    demo: &Demo,
    app: SocketAddr,
    route: RouteSettings,
    max_session: Duration,
) -> Result<SiteConfig, PublicOriginError> {
    Ok(SiteConfig {
        scope: Scope::default(),
        public_url: format!("http://{app}").parse()?,
        prefix: "/bff".to_owned(),
        providers: vec![ProviderConfig { scope: Scope::default(), name: "demo".to_owned(), settings: provider(demo) }],
        easy_auth: None,
        session: SessionSettings {
            cookie_name: "__Host-sealgate".to_owned(),
            same_site: SameSite::Strict,
            idle_timeout: IDLE_TIMEOUT.min(max_session),
            absolute_timeout: max_session,
            refresh_before: Duration::from_secs(60),
            persistent: true,
            user_format: UserFormat::Object,
            write_format: WriteFormat::default(),
        },
        csrf: CsrfHeader { name: "X-CSRF".to_owned(), value: "1".to_owned() },
        routes: vec![route],
        forward_auth: None,
        identity_jwt: None,
        static_site: Some(StaticSettings::Folder {
            root: demo.page().to_owned(),
            immutable_paths: vec!["/".to_owned()],
        }),
        security_headers: config::default_security_headers(),
        spa_settings: serde_json::Map::new(),
        pages: Pages::default(),
    })
}

fn provider(demo: &Demo) -> ProviderSettings {
    ProviderSettings {
        issuer: demo.issuer().to_owned(),
        client_id: CLIENT_ID.to_owned(),
        client_auth: ClientAuth::SecretBasic(demo.client_secret().clone()),
        scopes: ["openid", "profile", "email", "groups", "offline_access"].map(str::to_owned).to_vec(),
        authorization: AuthorizationSettings::default(),
        ca_file: None,
        clock_skew: Duration::from_secs(60),
        request_timeout: Duration::from_secs(10),
        default_access_token_lifetime: ACCESS_TOKEN_LIFETIME,
        id_token_algorithms: vec!["ES256".to_owned()],
        trusted_audiences: Vec::new(),
        userinfo: UserInfoUse::Never,
        passthrough_parameters: vec!["prompt".to_owned(), "login_hint".to_owned()],
        login_limits: LoginLimits::default(),
        particulars: Particulars::default(),
    }
}

fn banner(out: &mut dyn Write, settings: &DemoSettings, demo: &Demo) -> io::Result<()> {
    let DemoSettings { app, program, ring, .. } = settings;
    let (ring, issuer) = (ring.display(), demo.issuer());
    write!(
        out,
        "\n  Sealgate demo\n\n  \
         Open      http://{app}\n  \
         Sign in   ada / lovelace   or   grace / hopper\n  \
         Provider  {issuer}\n\n  \
         While signed in, rotate the key that seals the session, and see it live on:\n\n    \
         {program} keys rotate --ring {ring}\n\n  \
         Ctrl-C stops everything; nothing is left behind.\n\n"
    )?;
    out.flush()
}

/// The command that started us, so that the line can be copied as it is.
fn this_program() -> String {
    std::fs::read_link("/proc/self/exe").map_or_else(|_| "sealgate".to_owned(), |path| path.display().to_string())
}
