//! What a request costs before it goes anywhere: opening the session that it carries, finding its route, and, at a
//! login, reading its return URL; and what sealing a session costs after a login or a refresh.
//!
//! The session is one of Microsoft Entra ID, with synthetic tokens of 4,250 characters. `cargo bench` builds with the
//! release profile and prints a line a measurement. What one request costs is "open, whole"; the steps are its parts.

use std::hint::black_box;
use std::time::Duration;

use base64::Engine as _;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput};

use sealgate::aead::{Algorithm, Cipher, KEY_BYTES, NONCE_BYTES};
use sealgate::base64url::BASE64URL;
use sealgate::return_url::ReturnUrl;
use sealgate::seal::{HEADER_BYTES, Purpose};
use sealgate::session::cookies::RequestCookies;
use sealgate::session::wire::compression::Compressed;
use sealgate::session::{Session, WriteFormat};

use self::operations::{Measure, measure_all};
use self::site::{Site, entra_session, twenty_routes};

#[path = "support/operations.rs"]
mod operations;
#[path = "support/site.rs"]
mod site;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1_500))
        .configure_from_args();
    data_plane(&mut criterion);
    session_cookie(&mut criterion);
    codecs(&mut criterion);
    routes(&mut criterion);
    return_urls(&mut criterion);
    criterion.final_summary();
}

/// The operations that `instructions.rs` has counted, in time.
fn data_plane(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("data plane");
    measure_all(&mut Timed(&mut group));
    group.finish();
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
        let open = |field: &str| {
            let cookies = RequestCookies::parse([field.as_bytes()], site.sessions.names());
            site.sessions.open(&cookies).expect("it is ours")
        };
        group.bench_function("open, whole: from the Cookie field, with all checks", |bencher| {
            bencher.iter_batched(|| site.unknown_cookie_field(&session), |field| open(&field), BatchSize::SmallInput);
        });
        group.bench_function("open, whole, and read the refresh token and the ID token", |bencher| {
            bencher.iter_batched(
                || site.unknown_cookie_field(&session),
                |field| open(&field).session.refresh_token().is_some(),
                BatchSize::SmallInput,
            );
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
    let table = twenty_routes();
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

/// Takes the time of an operation.
struct Timed<'a, 'b>(&'b mut BenchmarkGroup<'a, WallTime>);

impl Measure for Timed<'_, '_> {
    fn measure<I, O>(
        &mut self,
        name: &'static str,
        what: &str,
        mut prepare: impl FnMut() -> I,
        mut run: impl FnMut(I) -> O,
    ) {
        self.0.bench_function(format!("{name}: {what}"), |bencher| {
            bencher.iter_batched(&mut prepare, |input| drop(black_box(run(input))), BatchSize::SmallInput);
        });
    }
}

fn random_bytes<const LENGTH: usize>() -> [u8; LENGTH] {
    std::array::from_fn(|_| rand::random())
}
