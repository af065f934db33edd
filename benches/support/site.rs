//! What the benchmarks work on: a site with its key, and a session of Microsoft Entra ID with synthetic tokens of 4,250
//! characters, the same in every run.

use std::time::Duration;

use sealgate::aead::Algorithm;
use sealgate::clock::{Clock, UnixTime};
use sealgate::keyring::{KeyRing, RingHandle};
use sealgate::metrics::Metrics;
use sealgate::origin::PublicOrigin;
use sealgate::proxy::{
    AccessSettings, CsrfMode, RouteAuth, RouteSettings, RouteTable, TargetSettings, UpstreamSettings, UpstreamTimeouts,
};
use sealgate::seal::Sealer;
use sealgate::secret::{AccessToken, IdToken, RefreshToken};
use sealgate::session::cookies::{CookieNames, RequestCookies};
use sealgate::session::store::{SealedSession, Sessions};
use sealgate::session::{
    NewSession, ProviderId, SameSite, Session, SessionId, SessionSettings, StoredAccessToken, UserFormat, WriteFormat,
};

#[path = "../../tests/cookie_size/samples.rs"]
#[allow(dead_code, reason = "one provider of the six is enough here")]
mod samples;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);

/// Seals and opens sessions.
pub struct Site {
    /// Whole, with all checks.
    pub sessions: Sessions,
    /// The seal alone.
    pub sealer: Sealer,
}

impl Site {
    /// A site with a new key for `algorithm`.
    pub fn new(algorithm: Algorithm) -> Self {
        let clock = Clock::manual(NOW);
        let ring = KeyRing::generate(algorithm, MINUTE * 10, MINUTE * 480, NOW).expect("the system's randomness");
        let sealer = Sealer::new(RingHandle::fixed(ring), origin(), clock.clone(), Metrics::default());
        let settings = SessionSettings {
            cookie_name: "__Host-sealgate".into(),
            same_site: SameSite::Strict,
            idle_timeout: MINUTE * 60,
            absolute_timeout: MINUTE * 480,
            refresh_before: MINUTE,
            persistent: false,
            user_format: UserFormat::Object,
            write_format: WriteFormat::default(),
        };
        let names = CookieNames::new(&settings.cookie_name, true);
        let sessions = Sessions::new(sealer.clone(), names, settings, vec![provider()], clock, MINUTE);
        Self { sessions, sealer }
    }

    /// The `Cookie` field of a browser that carries the session and, as browsers do, something else too.
    pub fn cookie_field(&self, sealed: &SealedSession) -> String {
        let lines = self.sessions.deliver(sealed, &RequestCookies::default());
        let pairs = lines.iter().filter_map(|line| line.split(';').next());
        ["theme=dark"].into_iter().chain(pairs).collect::<Vec<_>>().join("; ")
    }

    /// The `Cookie` field of a browser whose session was not opened before, by a site that remembers none.
    pub fn unknown_cookie_field(&self, session: &Session) -> String {
        // The first call takes note of what was asked for, the second forgets it.
        self.sessions.forget_unused();
        self.sessions.forget_unused();
        self.cookie_field(&self.sessions.seal(session.clone()).expect("it fits"))
    }
}

/// What browsers call the site.
pub fn origin() -> PublicOrigin {
    "https://app.example.com".parse().expect("an origin")
}

/// The session that is measured with.
pub fn entra_session() -> Session {
    let sample = entra_sample();
    let new = NewSession {
        provider: provider(),
        absolute_end: NOW.plus(MINUTE * 480),
        access_token: StoredAccessToken::new(entra_access_token(), NOW, NOW.plus(MINUTE * 75), Some(sample.scope)),
        refresh_token: Some(RefreshToken::new(sample.refresh_token)),
        id_token: IdToken::new(sample.id_token),
    };
    Session::begin(SessionId::random().expect("the system's randomness"), new, NOW)
}

/// Its access token.
pub fn entra_access_token() -> AccessToken {
    AccessToken::new(entra_sample().access_token)
}

/// Twenty routes, `/api/service-0` to `/api/service-19`.
pub fn twenty_routes() -> RouteTable {
    let routes = (0..20).map(|index| route(&format!("/api/service-{index}"))).collect();
    RouteTable::new(routes, &Metrics::default()).expect("no files")
}

fn route(path: &str) -> RouteSettings {
    RouteSettings {
        path: path.to_owned(),
        upstreams: vec![http::Uri::from_static("http://127.0.0.1:1")],
        auth: RouteAuth::Session,
        access: AccessSettings::default(),
        target: TargetSettings::default(),
        max_body_size: None,
        csrf: CsrfMode::Header,
        methods: Vec::new(),
        forward_cookies: false,
        timeouts: UpstreamTimeouts { connect: MINUTE, first_byte: MINUTE, idle: MINUTE },
        upstream_settings: UpstreamSettings::default(),
    }
}

fn provider() -> ProviderId {
    let samples::Sample { issuer, client_id, .. } = entra_sample();
    ProviderId { issuer, client_id }
}

fn entra_sample() -> samples::Sample {
    samples::PROVIDERS[0](&mut samples::Random::new(1))
}
