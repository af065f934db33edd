//! What the cookie of a session weighs with the tokens of six providers, beside what others would make of the same
//! tokens. The table in `docs/cookie-size.md` is made here:
//!
//! ```sh
//! COOKIE_SIZE=overwrite cargo test --test cookie_size
//! ```

mod samples;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealgate::clock::UnixTime;
use sealgate::oidc::TokenNeed;
use sealgate::seal::sealed_characters;
use sealgate::secret::{AccessToken, IdToken, RefreshToken};
use sealgate::session::{NewSession, ProviderId, Session, SessionId, StoredAccessToken, WriteFormat};

use serde_json::Value;

use self::samples::{PROVIDERS, Random, Sample};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3_600);
/// Logins of each provider, each with random values of its own.
const SEEDS: std::ops::Range<u64> = 0..50;
/// What our cookie may weigh at most, on average.
const GOALS: [(&str, usize); 6] = [
    ("Entra ID", 3_050),
    ("Keycloak", 1_700),
    ("Auth0", 1_450),
    ("Okta", 1_480),
    ("Google", 1_220),
    ("Cognito", 3_250),
];
/// A nonce of 96 bits and a tag: what AES-GCM adds where there is no key id.
const GCM_BYTES: usize = 12 + 16;
/// What a session may take of the `Cookie` line, under the default name (`docs/cookies.md`).
const SESSION_SHARE: usize = 5_300;
const BEGIN: &str = "<!-- The table below is made by `COOKIE_SIZE=overwrite cargo test --test cookie_size`. -->";

/// Average characters.
struct Sizes {
    provider: &'static str,
    tokens: usize,
    json_gcm: usize,
    msgpack_lz4: usize,
    plain: usize,
    sealed: usize,
    largest: usize,
}

#[test]
fn the_cookie_is_as_small_as_it_is_said_to_be() {
    for (sizes, (provider, goal)) in PROVIDERS.iter().map(|make| measured(*make)).zip(GOALS) {
        assert_eq!(sizes.provider, provider);
        assert!(sizes.sealed <= goal, "{provider}: {} characters, at most {goal} are the goal", sizes.sealed);
    }
}

#[test]
fn the_documented_table_is_what_is_measured() {
    let page = page();
    let text = std::fs::read_to_string(&page).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("the place of the table");
    let (_, behind) = rest.split_once("\n\n## ").expect("the next section");
    let expected = format!("{before}{BEGIN}\n\n{}\n## {behind}", table());
    if std::env::var("COOKIE_SIZE").is_ok_and(|mode| mode == "overwrite") {
        std::fs::write(&page, &expected).expect("the page can be written");
        return;
    }
    assert_eq!(text, expected, "make the table again with COOKIE_SIZE=overwrite cargo test --test cookie_size");
}

#[test]
fn what_is_measured_is_a_session_that_opens_again() {
    for make in PROVIDERS {
        let sample = make(&mut Random::new(7));
        let again = Session::decode(session(&sample).encode(WriteFormat::Zstd1)).expect("ours");
        assert_eq!(again.access_tokens[0].token.expose(), sample.access_token);
        assert_eq!(again.refresh_token().map(RefreshToken::expose), Some(sample.refresh_token.as_str()));
        assert_eq!(again.id_token().map(IdToken::expose), Some(sample.id_token.as_str()));
    }
}

/// What `docs/routes.md` says of tokens for several APIs: some 500 characters each, 650 of Entra ID's.
#[test]
fn a_session_has_room_for_the_tokens_of_some_further_apis() {
    for (make, least) in PROVIDERS.iter().zip([4, 8, 9, 8, 9, 5]) {
        let mut random = Random::new(7);
        let sample = make(&mut random);
        let mut session = session(&sample).without_id_token();
        for further in 0..least {
            let need = TokenNeed::new(vec!["api.read".into()], Some(format!("https://api{further}.example.com")), None);
            let token = for_another_api(&sample.access_token, &mut random);
            let stored = StoredAccessToken::new(AccessToken::new(token), NOW, NOW.plus(HOUR), None);
            session = session.refreshed_for(&need, Some(stored), None, None, NOW);
        }
        let characters = sealed_characters(session.encode(WriteFormat::Zstd1).len()) + 1;
        let provider = sample.provider;
        assert!(characters <= SESSION_SHARE, "{provider}: {characters} with the tokens of {least} further APIs");
    }
}

/// A token of the same user for another API: what is random or the API's own is another.
fn for_another_api(token: &str, random: &mut Random) -> String {
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        return random.base64url(token.len());
    };
    let mut payload: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON");
    for name in ["aud", "jti", "uti", "aio", "sub", "scp", "scope", "rh"] {
        if let Some(Value::String(text)) = payload.get_mut(name) {
            *text = random.base64url(text.len());
        }
    }
    let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
    format!("{header}.{payload}.{}", random.base64url(signature.len()))
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cookie-size.md")
}

fn table() -> String {
    let mut table = String::from(
        "| provider | the three tokens | JSON, AES-GCM | msgpack, LZ4, AES-GCM | Sealgate, `plain` | Sealgate | largest of 50 |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for make in PROVIDERS {
        let Sizes { provider, tokens, json_gcm, msgpack_lz4, plain, sealed, largest } = measured(make);
        table +=
            &format!("| {provider} | {tokens} | {json_gcm} | {msgpack_lz4} | {plain} | **{sealed}** | {largest} |\n");
    }
    table
}

fn measured(make: samples::Maker) -> Sizes {
    let logins: Vec<Sample> = SEEDS.map(|seed| make(&mut Random::new(seed))).collect();
    let average = |size: &dyn Fn(&Sample) -> usize| logins.iter().map(size).sum::<usize>() / logins.len();
    let sealed = |sample: &Sample| sealed_characters(session(sample).encode(WriteFormat::Zstd1).len()) + 1;
    Sizes {
        provider: logins[0].provider,
        tokens: average(&|sample| sample.access_token.len() + sample.refresh_token.len() + sample.id_token.len()),
        json_gcm: average(&|sample| base64_characters(json(sample).len() + GCM_BYTES)),
        msgpack_lz4: average(&|sample| base64_characters(msgpack_lz4(sample).len() + GCM_BYTES)),
        plain: average(&|sample| sealed_characters(session(sample).encode(WriteFormat::Plain).len()) + 1),
        sealed: average(&sealed),
        largest: logins.iter().map(sealed).max().unwrap_or_default(),
    }
}

fn base64_characters(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// The least that a session must hold.
fn members(sample: &Sample) -> BTreeMap<&'static str, String> {
    [
        ("access_token", sample.access_token.clone()),
        ("expires_at", "1800003600".to_owned()),
        ("id_token", sample.id_token.clone()),
        ("refresh_token", sample.refresh_token.clone()),
    ]
    .into()
}

fn json(sample: &Sample) -> Vec<u8> {
    serde_json::to_vec(&members(sample)).expect("texts")
}

fn msgpack_lz4(sample: &Sample) -> Vec<u8> {
    lz4_flex::compress_prepend_size(&rmp_serde::to_vec(&members(sample)).expect("texts"))
}

fn session(sample: &Sample) -> Session {
    let expires_at = NOW.plus(HOUR);
    let new = NewSession {
        provider: ProviderId { issuer: sample.issuer.clone(), client_id: sample.client_id.clone() },
        absolute_end: NOW.plus(HOUR * 8),
        access_token: StoredAccessToken::new(
            AccessToken::new(sample.access_token.as_str()),
            NOW,
            expires_at,
            Some(sample.scope.clone()),
        ),
        refresh_token: Some(RefreshToken::new(sample.refresh_token.as_str())),
        id_token: IdToken::new(sample.id_token.as_str()),
    };
    Session::begin(SessionId::random().expect("the system's randomness"), new, NOW)
}
