//! What a request costs before it goes anywhere: opening the session that it carries, finding its route, and, at a
//! login, reading its return URL; and what sealing a session costs after a login or a refresh.
//!
//! The session has the sizes of one of Microsoft Entra ID: 2,000 bytes of access token, 1,100 of refresh token, 1,300
//! of ID token, all random. It does not fit the cookies with its ID token, of which the claims are kept. `cargo bench`
//! builds with the release profile and prints a line a measurement.

use std::hint::black_box;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput};

use sealgate::aead::{Algorithm, Cipher, KEY_BYTES, NONCE_BYTES};
use sealgate::clock::{Clock, UnixTime};
use sealgate::keyring::{KeyRing, RingHandle};
use sealgate::metrics::Metrics;
use sealgate::proxy::{CsrfMode, RouteAuth, RouteSettings, RouteTable, UpstreamTimeouts};
use sealgate::return_url::ReturnUrl;
use sealgate::seal::{HEADER_BYTES, Sealer};
use sealgate::secret::{AccessToken, IdToken, RefreshToken};
use sealgate::session::cookies::{CookieNames, RequestCookies};
use sealgate::session::store::{SealedSession, Sessions};
use sealgate::session::{
    NewSession, ProviderId, SameSite, Session, SessionId, SessionSettings, StoredAccessToken, UserFormat,
};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1_500))
        .configure_from_args();
    session_cookie(&mut criterion);
    routes(&mut criterion);
    return_urls(&mut criterion);
    criterion.final_summary();
}

fn session_cookie(criterion: &mut Criterion) {
    for algorithm in [Algorithm::Xaes256Gcm, Algorithm::XChaCha20Poly1305] {
        let site = Site::new(algorithm);
        let with_id_token = entra_like_session();
        let sealed = site.sessions.seal(with_id_token.clone()).expect("it fits");
        let session = Session::clone(&sealed.session);
        assert!(session.id_token.is_none() && !session.claims().is_empty(), "it fits without the ID token only");
        let plaintext = session.encode();
        let field = site.cookie_field(&sealed);
        let cookies = RequestCookies::parse([field.as_bytes()], site.sessions.names());
        let opened = site.sessions.open(&cookies).expect("it is ours");
        assert!(*opened.session == session, "what is measured is what was sealed");

        let mut group = criterion.benchmark_group(format!("session of {} bytes, {algorithm}", plaintext.len()));
        group.throughput(Throughput::Bytes(plaintext.len() as u64));
        open_in_steps(&mut group, algorithm, &plaintext);
        group.bench_function("open, whole: from the Cookie field to the session", |bencher| {
            bencher.iter(|| {
                let cookies = RequestCookies::parse([black_box(field.as_bytes())], site.sessions.names());
                site.sessions.open(&cookies).expect("it opened before")
            });
        });
        for (what, session) in [
            ("seal, whole: from the session to Set-Cookie", &session),
            ("seal, whole, twice: its ID token does not fit", &with_id_token),
        ] {
            group.bench_function(what, |bencher| {
                bencher.iter_batched(
                    || session.clone(),
                    |session| site.sessions.deliver(&site.sessions.seal(session).expect("it fits"), &cookies),
                    BatchSize::SmallInput,
                );
            });
        }
        group.finish();
    }
}

/// The steps of opening, each by itself and on the same bytes.
fn open_in_steps(group: &mut BenchmarkGroup<'_, WallTime>, algorithm: Algorithm, plaintext: &[u8]) {
    let cipher = Cipher::new(algorithm, &random_bytes::<KEY_BYTES>());
    let nonce = random_bytes::<NONCE_BYTES>();
    let aad = [7; 80];
    let ciphertext = cipher.seal(&nonce, &aad, plaintext).expect("short");
    let encoded = URL_SAFE_NO_PAD.encode([&[0; HEADER_BYTES], ciphertext.as_slice()].concat());
    group.bench_function("open, step 1: decode base64url", |bencher| {
        bencher.iter(|| URL_SAFE_NO_PAD.decode(black_box(&encoded)).expect("base64url"));
    });
    group.bench_function("open, step 2: decrypt and authenticate", |bencher| {
        bencher.iter(|| cipher.open(&nonce, &aad, black_box(&ciphertext)).expect("authentic"));
    });
    group.bench_function("open, step 3: read the map", |bencher| {
        bencher.iter(|| Session::decode(black_box(plaintext)).expect("a session"));
    });
}

fn routes(criterion: &mut Criterion) {
    let table = RouteTable::new((0..20).map(|index| route(&format!("/api/service-{index}"))).collect());
    let mut group = criterion.benchmark_group("find one of 20 routes");
    for (what, path) in [
        ("plain path", "/api/service-7/users/4711/orders"),
        ("path with an encoded space", "/api/service-7/users/ada%20lovelace"),
        ("path of no route", "/assets/index-4f3a2b.js"),
    ] {
        group.bench_with_input(BenchmarkId::from_parameter(what), path, |bencher, path| {
            bencher.iter(|| table.find(black_box(path)).expect("a path that is not refused"));
        });
    }
    group.finish();
}

fn return_urls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read a return URL");
    for (what, text) in [
        ("path with query and fragment", "/inbox/folders/7?sort=date&page=2#message-4711"),
        ("way off the site", "/a/..//evil.example/"),
    ] {
        group.bench_with_input(BenchmarkId::from_parameter(what), text, |bencher, text| {
            bencher.iter(|| ReturnUrl::parse(black_box(text), "/bff"));
        });
    }
    group.finish();
}

struct Site {
    sessions: Sessions,
}

impl Site {
    fn new(algorithm: Algorithm) -> Self {
        let clock = Clock::manual(NOW);
        let ring = KeyRing::generate(algorithm, MINUTE * 10, MINUTE * 480, NOW).expect("the system's randomness");
        let origin = "https://app.example.com".parse().expect("an origin");
        let sealer = Sealer::new(RingHandle::fixed(ring), origin, clock.clone(), Metrics::default());
        let settings = SessionSettings {
            cookie_name: "__Host-sealgate".into(),
            same_site: SameSite::Strict,
            idle_timeout: MINUTE * 60,
            absolute_timeout: MINUTE * 480,
            refresh_before: MINUTE,
            persistent: false,
            user_format: UserFormat::Object,
        };
        let names = CookieNames::new(&settings.cookie_name, true);
        Self { sessions: Sessions::new(sealer, names, settings, provider(), clock, MINUTE) }
    }

    /// The `Cookie` field of a browser that carries the session and, as browsers do, something else too.
    fn cookie_field(&self, sealed: &SealedSession) -> String {
        let lines = self.sessions.deliver(sealed, &RequestCookies::default());
        let pairs = lines.iter().filter_map(|line| line.split(';').next());
        ["theme=dark"].into_iter().chain(pairs).collect::<Vec<_>>().join("; ")
    }
}

fn provider() -> ProviderId {
    let issuer = "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0".into();
    ProviderId { issuer, client_id: "00000000-0000-0000-0000-000000000000".into() }
}

fn entra_like_session() -> Session {
    let scope = Some("openid profile offline_access api://00000000/orders.read".to_owned());
    let subject = random_text(563);
    let claims = format!(r#"{{"sub":"{subject}","name":"Ada Lovelace","preferred_username":"ada@example.com"}}"#);
    let access_token = AccessToken::new(jwt(&random_text(1_160)));
    let new = NewSession {
        provider: provider(),
        absolute_end: NOW.plus(MINUTE * 480),
        access_token: StoredAccessToken::new(access_token, NOW, NOW.plus(MINUTE * 75), scope),
        refresh_token: Some(RefreshToken::new(random_text(1_100))),
        id_token: IdToken::new(jwt(&claims)),
    };
    Session::begin(SessionId::random().expect("the system's randomness"), new, NOW)
}

/// Three parts with dots between them; the signature is one of RS256.
fn jwt(payload: &str) -> String {
    format!("{}.{}.{}", random_text(110), URL_SAFE_NO_PAD.encode(payload), random_text(342))
}

/// Characters of base64url.
fn random_text(length: usize) -> String {
    let mut text = URL_SAFE_NO_PAD.encode(std::iter::repeat_with(rand::random::<u8>).take(length).collect::<Vec<_>>());
    text.truncate(length);
    text
}

fn random_bytes<const LENGTH: usize>() -> [u8; LENGTH] {
    std::array::from_fn(|_| rand::random())
}

fn route(path: &str) -> RouteSettings {
    RouteSettings {
        path: path.to_owned(),
        upstreams: vec![http::Uri::from_static("http://127.0.0.1:1")],
        auth: RouteAuth::Session,
        csrf: CsrfMode::Header,
        methods: Vec::new(),
        forward_cookies: false,
        timeouts: UpstreamTimeouts { connect: MINUTE, first_byte: MINUTE, idle: MINUTE },
    }
}
