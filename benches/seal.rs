//! What a request costs before it goes anywhere: opening the session that it carries, finding its route, and, at a
//! login, reading its return URL; and what sealing a session costs after a login or a refresh.
//!
//! The session is one of Microsoft Entra ID, with synthetic tokens of 4,250 characters. `cargo bench` builds with the
//! release profile and prints a line a measurement. What one request costs is "open, whole"; the steps are its parts.

#[path = "../tests/cookie_size/samples.rs"]
#[allow(dead_code, reason = "the benchmark needs one provider of the six")]
mod samples;

use std::hint::black_box;
use std::time::Duration;

use base64::Engine as _;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput};

use sealgate::aead::{Algorithm, Cipher, KEY_BYTES, NONCE_BYTES};
use sealgate::base64url::BASE64URL;
use sealgate::clock::{Clock, UnixTime};
use sealgate::keyring::{KeyRing, RingHandle};
use sealgate::metrics::Metrics;
use sealgate::proxy::{
    AccessSettings, CsrfMode, RouteAuth, RouteSettings, RouteTable, TargetSettings, UpstreamSettings, UpstreamTimeouts,
};
use sealgate::return_url::ReturnUrl;
use sealgate::seal::{HEADER_BYTES, Purpose, Sealer};
use sealgate::secret::{AccessToken, IdToken, RefreshToken};
use sealgate::session::cookies::{CookieNames, RequestCookies};
use sealgate::session::store::{SealedSession, Sessions};
use sealgate::session::wire::compression::Compressed;
use sealgate::session::{
    NewSession, ProviderId, SameSite, Session, SessionId, SessionSettings, StoredAccessToken, UserFormat, WriteFormat,
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
    codecs(&mut criterion);
    routes(&mut criterion);
    return_urls(&mut criterion);
    criterion.final_summary();
}

fn session_cookie(criterion: &mut Criterion) {
    for algorithm in [Algorithm::Xaes256Gcm, Algorithm::XChaCha20Poly1305] {
        let site = Site::new(algorithm);
        let session = entra_session();
        let sealed = site.sessions.seal(session.clone()).expect("it fits");
        let plaintext = session.encode(WriteFormat::default());
        let field = site.cookie_field(&sealed);
        let cookies = RequestCookies::parse([field.as_bytes()], site.sessions.names());
        let opened = site.sessions.open(&cookies).expect("it is ours");
        assert!(*opened.session == session, "what is measured is what was sealed");

        let mut group = criterion.benchmark_group(format!("session of {} bytes, {algorithm}", plaintext.len()));
        group.throughput(Throughput::Bytes(plaintext.len() as u64));
        open_in_steps(&mut group, algorithm, &plaintext);
        let value = field.rsplit("=1").next().expect("a session in one cookie").to_owned();
        group.bench_function("open, steps 1 to 4: from the sealed text to the access token", |bencher| {
            bencher.iter(|| {
                let plaintext = site.sealer.open(Purpose::Session, "__Host-sealgate", black_box(&value)).expect("ours");
                Session::decode(plaintext).expect("a session")
            });
        });
        group.bench_function("open, whole: from the Cookie field, with all checks", |bencher| {
            bencher.iter(|| {
                let cookies = RequestCookies::parse([black_box(field.as_bytes())], site.sessions.names());
                site.sessions.open(&cookies).expect("it opened before")
            });
        });
        group.bench_function("open, whole, and read the refresh token and the ID token", |bencher| {
            bencher.iter(|| {
                let cookies = RequestCookies::parse([black_box(field.as_bytes())], site.sessions.names());
                let opened = site.sessions.open(&cookies).expect("it opened before");
                opened.session.refresh_token().is_some()
            });
        });
        group.bench_function("seal, whole: from the session to Set-Cookie", |bencher| {
            bencher.iter_batched(
                || session.clone(),
                |session| site.sessions.deliver(&site.sessions.seal(session).expect("it fits"), &cookies),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

/// The steps of opening, each by itself and on the same bytes.
fn open_in_steps(group: &mut BenchmarkGroup<'_, WallTime>, algorithm: Algorithm, plaintext: &[u8]) {
    let cipher = Cipher::new(algorithm, &random_bytes::<KEY_BYTES>());
    let nonce = random_bytes::<NONCE_BYTES>();
    let aad = [7; 80];
    let ciphertext = cipher.seal(&nonce, &aad, plaintext).expect("short");
    let encoded = BASE64URL.encode([&[0; HEADER_BYTES], ciphertext.as_slice()].concat());
    group.bench_function("open, step 1: decode base64url", |bencher| {
        bencher.iter(|| BASE64URL.decode(black_box(&encoded)).expect("base64url"));
    });
    group.bench_function("open, step 2: decrypt and authenticate", |bencher| {
        bencher.iter(|| cipher.open(&nonce, &aad, black_box(&ciphertext)).expect("authentic"));
    });
    group.bench_function("open, step 3: inflate the first part", |bencher| {
        bencher.iter(|| Compressed::read(black_box(&plaintext[1..])).and_then(|it| it.first()).expect("compressed"));
    });
    group.bench_function("open, steps 3 and 4: inflate the first part and read it", |bencher| {
        bencher.iter_batched(
            || plaintext.to_vec(),
            |plaintext| Session::decode(plaintext).expect("a session"),
            BatchSize::SmallInput,
        );
    });
}

/// zstd against deflate, both with the same dictionary, on what is compressed of the session.
fn codecs(criterion: &mut Criterion) {
    let dictionary = include_bytes!("../src/session/wire/dictionary/1.zdict");
    let plaintext = entra_session().encode(WriteFormat::Zstd1);
    let maps = Compressed::read(&plaintext[1..]).and_then(|compressed| compressed.both()).expect("compressed");
    let mut group = criterion.benchmark_group(format!("{} bytes of maps", maps.len()));

    for level in [1, 3, 6, 9] {
        let mut compressor = zstd::bulk::Compressor::with_dictionary(level, dictionary).expect("a dictionary");
        let mut inflater = zstd::bulk::Decompressor::with_dictionary(dictionary).expect("a dictionary");
        let frame = compressor.compress(&maps).expect("room");
        let mut inflated = vec![0; 32 * 1024];
        let what = format!("zstd {level}, {} bytes", frame.len());
        group.bench_function(format!("{what}: compress"), |bencher| {
            bencher.iter(|| compressor.compress(black_box(&maps)).expect("room"));
        });
        group.bench_function(format!("{what}: inflate"), |bencher| {
            bencher.iter(|| inflater.decompress_to_buffer(black_box(&frame), &mut inflated).expect("whole"));
        });
    }
    for level in [1, 6, 9] {
        let mut compressor = flate2::Compress::new(flate2::Compression::new(level), false);
        let mut inflater = flate2::Decompress::new(false);
        let mut deflate = || {
            compressor.reset();
            compressor.set_dictionary(dictionary).expect("a dictionary");
            let mut deflated = Vec::with_capacity(8 * 1024);
            compressor.compress_vec(black_box(&maps), &mut deflated, flate2::FlushCompress::Finish).expect("room");
            deflated
        };
        let deflated = deflate();
        let what = format!("deflate {level}, {} bytes", deflated.len());
        group.bench_function(format!("{what}: compress"), |bencher| bencher.iter(&mut deflate));
        let mut inflated = Vec::with_capacity(32 * 1024);
        group.bench_function(format!("{what}: inflate"), |bencher| {
            bencher.iter(|| {
                inflater.reset(false);
                inflater.set_dictionary(dictionary).expect("a dictionary");
                inflated.clear();
                inflater
                    .decompress_vec(black_box(&deflated), &mut inflated, flate2::FlushDecompress::Finish)
                    .expect("whole");
            });
        });
    }
    group.finish();
}

fn routes(criterion: &mut Criterion) {
    let table =
        RouteTable::new((0..20).map(|index| route(&format!("/api/service-{index}"))).collect(), &Metrics::default());
    let table = table.expect("no files");
    let mut group = criterion.benchmark_group("find one of 20 routes");
    for (what, path) in [
        ("plain path", "/api/service-7/users/4711/orders"),
        ("path with an encoded space", "/api/service-7/users/ada%20lovelace"),
        ("path of no route", "/assets/index-4f3a2b.js"),
    ] {
        group.bench_with_input(BenchmarkId::from_parameter(what), path, |bencher, path| {
            bencher.iter(|| table.find("app.example.com", black_box(path)).expect("a path that is not refused"));
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
    sealer: Sealer,
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
            write_format: WriteFormat::default(),
        };
        let names = CookieNames::new(&settings.cookie_name, true);
        let sessions = Sessions::new(sealer.clone(), names, settings, provider(), clock, MINUTE);
        Self { sessions, sealer }
    }

    /// The `Cookie` field of a browser that carries the session and, as browsers do, something else too.
    fn cookie_field(&self, sealed: &SealedSession) -> String {
        let lines = self.sessions.deliver(sealed, &RequestCookies::default());
        let pairs = lines.iter().filter_map(|line| line.split(';').next());
        ["theme=dark"].into_iter().chain(pairs).collect::<Vec<_>>().join("; ")
    }
}

fn provider() -> ProviderId {
    let samples::Sample { issuer, client_id, .. } = entra_sample();
    ProviderId { issuer, client_id }
}

fn entra_session() -> Session {
    let sample = entra_sample();
    let access_token = AccessToken::new(sample.access_token);
    let new = NewSession {
        provider: provider(),
        absolute_end: NOW.plus(MINUTE * 480),
        access_token: StoredAccessToken::new(access_token, NOW, NOW.plus(MINUTE * 75), Some(sample.scope)),
        refresh_token: Some(RefreshToken::new(sample.refresh_token)),
        id_token: IdToken::new(sample.id_token),
    };
    Session::begin(SessionId::random().expect("the system's randomness"), new, NOW)
}

fn entra_sample() -> samples::Sample {
    samples::PROVIDERS[0](&mut samples::Random::new(1))
}

fn random_bytes<const LENGTH: usize>() -> [u8; LENGTH] {
    std::array::from_fn(|_| rand::random())
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
