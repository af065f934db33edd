//! Holds every release to the cookies of the ones before it: values that were sealed once and are opened and read ever
//! after, with the ring that they were sealed with. When one of these tests fails, a release would sign its users out.
//!
//! A vector is never changed and never removed. To add one, add its plaintext to [`plaintexts`] and run
//!
//! ```text
//! cargo test --test vectors -- --ignored add_the_vectors_that_are_missing
//! ```
//!
//! which appends to `tests/vectors/sealed.json`, under each algorithm, and leaves what is there alone.

#[path = "vectors/read.rs"]
mod read;

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use sealgate::aead::Algorithm;
use sealgate::clock::UnixTime;
use sealgate::keyring::KeyRing;
use sealgate::oidc::{ResponseMode, TokenNeed};
use sealgate::seal::{OpenError, Purpose};
use sealgate::secret::{AccessToken, CodeVerifier, IdToken, Nonce, RefreshToken, State};
use sealgate::session::cookies::CookieNames;
use sealgate::session::login_transaction::{LoginTransaction, Replaced};
use sealgate::session::logout_state::LogoutState;
use sealgate::session::refresh_marker::RefreshMarker;
use sealgate::session::seen::Seen;
use sealgate::session::tombstone::{Ended, Tombstone};
use sealgate::session::wire::MapWriter;
use sealgate::session::{Generation, NewSession, ProviderId, Session, SessionId, StoredAccessToken, WriteFormat};

use self::read::{NOW, RING, Vector, sealer, vectors};

const ORIGIN: &str = "https://app.example.com";
/// When the ring's XChaCha20-Poly1305 key seals; at [`NOW`] its successor does.
const BEFORE_THE_ROTATION: UnixTime = UnixTime::from_secs(1_799_978_400);

#[test]
fn every_pinned_value_opens_to_its_plaintext() {
    for vector in vectors() {
        let opened = sealer(&vector.origin, NOW).open(vector.purpose(), &vector.cookie, &vector.sealed);
        assert_eq!(opened.expect(&vector.name).as_slice(), vector.plaintext(), "{}", vector.name);
    }
}

#[test]
fn a_pinned_value_opens_for_no_other_purpose_cookie_or_site() {
    for vector in vectors() {
        let ours = sealer(&vector.origin, NOW);
        for purpose in Purpose::ALL.into_iter().filter(|purpose| *purpose != vector.purpose()) {
            let opened = ours.open(purpose, &vector.cookie, &vector.sealed);
            assert_eq!(opened, Err(OpenError::Rejected), "{} for {purpose:?}", vector.name);
        }
        let opened = ours.open(vector.purpose(), "__Host-other", &vector.sealed);
        assert_eq!(opened, Err(OpenError::Rejected), "{} under another name", vector.name);
        for origin in ["https://app.example.org", "https://app.example.com:8443", "http://localhost"] {
            let opened = sealer(origin, NOW).open(vector.purpose(), &vector.cookie, &vector.sealed);
            assert_eq!(opened, Err(OpenError::Rejected), "{} at {origin}", vector.name);
        }
    }
}

#[test]
fn there_is_a_vector_for_every_purpose_under_every_algorithm() {
    let vectors = vectors();
    for algorithm in [Algorithm::Xaes256Gcm, Algorithm::XChaCha20Poly1305] {
        for purpose in Purpose::ALL {
            let of_both = |vector: &&Vector| vector.algorithm == algorithm && vector.purpose() == purpose;
            assert!(vectors.iter().any(|vector| of_both(&vector)), "none for {purpose:?} under {algorithm}");
        }
    }
    let names: HashSet<_> = vectors.iter().map(|vector| (&vector.name, vector.algorithm)).collect();
    assert_eq!(names.len(), vectors.len(), "a name stands twice");
}

#[test]
fn pinned_plaintexts_read_as_what_was_written() {
    for vector in vectors() {
        let (name, plaintext) = (vector.name.as_str(), vector.plaintext());
        match name {
            "session" => assert!(Session::decode(plaintext.clone()).expect(name) == session()),
            "session whose ID token did not fit" => {
                let read = Session::decode(plaintext.clone()).expect(name);
                assert!(read == session().without_id_token());
                assert_eq!(read.claims()["name"], "Ada");
            }
            "session without optional members" => {
                assert!(Session::decode(plaintext.clone()).expect(name) == bare_session())
            }
            "session of a later release" => {
                let read = Session::decode(plaintext.clone()).expect(name);
                assert_eq!(read.encode(WriteFormat::Plain).as_slice(), plaintext, "the unknown member is kept");
                assert!(read.provider == session().provider && read.access_tokens == session().access_tokens);
            }
            "session with tokens for several APIs" => {
                let read = Session::decode(plaintext.clone()).expect(name);
                assert!(read == several_apis_session());
                assert!(needs().iter().all(|need| read.access_token_for(Some(need)).is_some()));
            }
            "compressed session with tokens for several APIs" => {
                assert!(Session::decode(plaintext.clone()).expect(name) == several_apis_jwt_session());
            }
            "compressed session" => assert!(Session::decode(plaintext.clone()).expect(name) == jwt_session()),
            "login transaction" => {
                assert!(LoginTransaction::decode(&plaintext).expect(name) == login_transaction(Some(replaced())));
            }
            "login transaction that replaces nothing" => {
                assert!(LoginTransaction::decode(&plaintext).expect(name) == login_transaction(None));
            }
            "login transaction whose answer is posted" => {
                assert!(LoginTransaction::decode(&plaintext).expect(name) == posted_login_transaction());
            }
            "last activity" => assert_eq!(Seen::decode(&plaintext).expect(name), seen()),
            "tombstone" => assert_eq!(Tombstone::decode(&plaintext).expect(name), tombstone()),
            "refresh marker" => {
                assert_eq!(RefreshMarker::decode(&plaintext).expect("a marker"), refresh_marker());
            }
            "silent login transaction" => {
                assert!(LoginTransaction::decode(&plaintext).expect(name) == silent_login_transaction());
            }
            "logout" => assert_eq!(LogoutState::decode(&plaintext).expect(name), logout_state()),
            other => panic!("{other:?} is read by no test: add it here"),
        }
    }
}

/// A new layout may be written only after a release that reads it (the vectors of both are kept).
#[test]
fn this_release_writes_the_layout_that_is_pinned() {
    let vectors = vectors();
    for (name, _, plaintext) in plaintexts() {
        let pinned = vectors.iter().filter(|vector| vector.name == name);
        assert!(pinned.clone().count() == 2, "{name}: not pinned under both algorithms");
        pinned.for_each(|vector| assert_eq!(plaintext, vector.plaintext(), "{name}"));
    }
}

#[test]
fn the_pinned_ring_is_read_written_and_digested_as_ever() {
    let ring = KeyRing::parse(RING.as_bytes()).expect("a ring");
    assert_eq!(ring.digest().to_string(), "28641cf54be41d9b1bdd49239a6adfc61e427778da0dbff0b8a6d3b110d4e14b");
    assert_eq!(std::str::from_utf8(&ring.to_json()).expect("UTF-8"), RING);
    assert_eq!(ring.primary(NOW).expect("a primary").algorithm(), Algorithm::Xaes256Gcm);
    assert_eq!(ring.primary(BEFORE_THE_ROTATION).expect("a primary").algorithm(), Algorithm::XChaCha20Poly1305);
}

#[test]
#[ignore = "appends to tests/vectors/sealed.json"]
fn add_the_vectors_that_are_missing() {
    let mut all = vectors();
    let names = CookieNames::new("__Host-sealgate", true);
    for (algorithm, now) in [(Algorithm::Xaes256Gcm, NOW), (Algorithm::XChaCha20Poly1305, BEFORE_THE_ROTATION)] {
        for (name, purpose, plaintext) in plaintexts() {
            if all.iter().any(|vector| vector.name == name && vector.algorithm == algorithm) {
                continue;
            }
            let cookie = cookie_of(&names, purpose);
            all.push(Vector {
                name: name.to_owned(),
                algorithm,
                purpose: purpose.label().to_owned(),
                cookie: cookie.to_owned(),
                origin: ORIGIN.to_owned(),
                plaintext: plaintext.iter().map(|byte| format!("{byte:02x}")).collect(),
                sealed: sealer(ORIGIN, now).seal(purpose, cookie, &plaintext).expect("an active key"),
            });
        }
    }
    let json = serde_json::to_string_pretty(&all).expect("plain data") + "\n";
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/sealed.json"), json).expect("it is writable");
}

fn cookie_of(names: &CookieNames, purpose: Purpose) -> &str {
    match purpose {
        Purpose::Login => names.login(),
        Purpose::Session => names.session(),
        Purpose::Seen => names.seen(),
        Purpose::Tombstone => names.tombstone(),
        Purpose::RefreshMarker => names.refresh_marker(),
        // No cookie: it travels in an address, sealed under the session's name.
        Purpose::Logout => names.session(),
    }
}

/// What the vectors hold, each under a name of its own.
fn plaintexts() -> Vec<(&'static str, Purpose, Vec<u8>)> {
    let whole = session().encode(WriteFormat::Plain).to_vec();
    vec![
        ("session", Purpose::Session, whole.clone()),
        (
            "session whose ID token did not fit",
            Purpose::Session,
            session().without_id_token().encode(WriteFormat::Plain).to_vec(),
        ),
        ("session without optional members", Purpose::Session, bare_session().encode(WriteFormat::Plain).to_vec()),
        ("session of a later release", Purpose::Session, with_a_member_more(whole)),
        ("compressed session", Purpose::Session, jwt_session().encode(WriteFormat::Zstd1).to_vec()),
        (
            "session with tokens for several APIs",
            Purpose::Session,
            several_apis_session().encode(WriteFormat::Plain).to_vec(),
        ),
        (
            "compressed session with tokens for several APIs",
            Purpose::Session,
            several_apis_jwt_session().encode(WriteFormat::Zstd1).to_vec(),
        ),
        ("login transaction", Purpose::Login, login_transaction(Some(replaced())).encode().to_vec()),
        ("login transaction that replaces nothing", Purpose::Login, login_transaction(None).encode().to_vec()),
        ("login transaction whose answer is posted", Purpose::Login, posted_login_transaction().encode().to_vec()),
        ("last activity", Purpose::Seen, seen().encode().to_vec()),
        ("tombstone", Purpose::Tombstone, tombstone().encode().to_vec()),
        ("refresh marker", Purpose::RefreshMarker, refresh_marker().encode().to_vec()),
        ("silent login transaction", Purpose::Login, silent_login_transaction().encode().to_vec()),
        ("logout", Purpose::Logout, logout_state().encode().to_vec()),
    ]
}

/// The same map with `99: "later"` behind its members (RFC 8949 §3.1: a map's head counts them in its low five bits).
fn with_a_member_more(mut plaintext: Vec<u8>) -> Vec<u8> {
    plaintext[1] += 1;
    plaintext.extend_from_slice(b"\x18\x63\x65later");
    plaintext
}

fn sid(filler: u8) -> SessionId {
    URL_SAFE_NO_PAD.encode([filler; SessionId::BYTES]).parse().expect("sixteen bytes in base64url")
}

fn provider() -> ProviderId {
    ProviderId { issuer: "https://login.example.com".into(), client_id: "spa".into() }
}

fn session() -> Session {
    let minute = Duration::from_secs(60);
    let scope = Some("openid profile offline_access".to_owned());
    let mut access_token =
        StoredAccessToken::new(AccessToken::new("an access token"), NOW, NOW.plus(minute * 5), scope);
    access_token.audience = Some("https://api.example.com".into());
    let new = NewSession {
        provider: provider(),
        absolute_end: NOW.plus(minute * 480),
        access_token,
        refresh_token: Some(RefreshToken::new("a refresh token")),
        // {"alg":"none"}.{"sub":"ada","name":"Ada"}.
        id_token: IdToken::new("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJuYW1lIjoiQWRhIn0."),
    };
    let mut session = Session::begin(sid(1), new, NOW);
    session.generation = Generation(300);
    session
}

/// A session with tokens of every form that compression tells apart.
fn jwt_session() -> Session {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT","kid":"key-1"}"#);
    let claims =
        r#"{"iss":"https://login.example.com","sub":"ada","aud":"spa","exp":1800000300,"name":"Ada Lovelace"}"#;
    let jwt = format!("{header}.{}.{}", URL_SAFE_NO_PAD.encode(claims), URL_SAFE_NO_PAD.encode([0xa7; 256]));
    let mut access_token = session().access_tokens[0].clone();
    access_token.token = AccessToken::new(jwt.clone());
    session().refreshed(access_token, Some(RefreshToken::new("1//0gAbCdEfGhI.x")), Some(IdToken::new(jwt)), NOW)
}

/// What routes may ask for, in every form.
fn needs() -> [TokenNeed; 3] {
    let scopes = |list: &[&str]| list.iter().map(|scope| (*scope).to_owned()).collect();
    [
        TokenNeed::new(scopes(&["orders.read", "orders.write"]), Some("https://orders.example.com".into()), None),
        TokenNeed::new(Vec::new(), None, Some("https://billing.example.com".into())),
        TokenNeed::new(scopes(&["api://stock/.default"]), None, None),
    ]
}

fn with_tokens_for_apis(session: Session) -> Session {
    let login = session.access_tokens[0].clone();
    needs().iter().fold(session, |session, need| {
        let mut stored = StoredAccessToken::new(login.token.clone(), NOW, NOW.plus(Duration::from_secs(600)), None);
        stored.scope = need.scope().map(|scope| format!("{scope} more"));
        session.refreshed_for(need, Some(stored), None, None, NOW)
    })
}

fn several_apis_session() -> Session {
    with_tokens_for_apis(session())
}

fn several_apis_jwt_session() -> Session {
    with_tokens_for_apis(jwt_session())
}

/// What no login leaves behind and a reader takes all the same.
fn bare_session() -> Session {
    let mut map = MapWriter::default();
    map.text(0, "https://login.example.com");
    map.text(1, "spa");
    map.bytes(2, &[1; SessionId::BYTES]);
    map.unsigned(3, 0);
    map.integer(4, NOW.as_secs());
    map.integer(5, NOW.as_secs() + 480 * 60);
    map.maps(6, &["an access token"], |map, token| {
        map.text(0, token);
        map.integer(1, NOW.as_secs());
        map.integer(2, NOW.as_secs() + 5 * 60);
    });
    Session::decode(map.finish_plain()).expect("a session")
}

fn login_transaction(replaces: Option<Replaced>) -> LoginTransaction {
    LoginTransaction {
        state: State::new("a state"),
        nonce: Nonce::new("a nonce"),
        verifier: CodeVerifier::new("a verifier"),
        return_url: "/inbox?folder=1#top".into(),
        started_at: NOW,
        provider: provider(),
        replaces,
        silent: false,
        max_age: None,
        response_mode: ResponseMode::Query,
    }
}

fn silent_login_transaction() -> LoginTransaction {
    LoginTransaction { silent: true, ..login_transaction(None) }
}

fn logout_state() -> LogoutState {
    LogoutState { sid: sid(1), at: NOW, return_url: None }
}

fn posted_login_transaction() -> LoginTransaction {
    let max_age = Some(Duration::from_secs(3600));
    LoginTransaction { max_age, response_mode: ResponseMode::FormPost, ..login_transaction(None) }
}

fn seen() -> Seen {
    Seen { sid: sid(1), at: NOW.plus(Duration::from_secs(61)) }
}

fn refresh_marker() -> RefreshMarker {
    RefreshMarker { sid: sid(1), generation: Generation(300), since: NOW.plus(Duration::from_secs(61)) }
}

fn replaced() -> Replaced {
    Replaced { ended: ended(1), chunks: 2 }
}

fn ended(filler: u8) -> Ended {
    Ended {
        sid: sid(filler),
        generation: Generation(u64::from(filler)),
        until: NOW.plus(Duration::from_secs(60 * u64::from(filler))),
    }
}

fn tombstone() -> Tombstone {
    Tombstone::default().with(ended(1), NOW).with(ended(2), NOW)
}
