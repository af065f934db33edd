//! `session::cookies` and `session::store::Sessions::open`: no `Cookie` field opens a session but one that carries all
//! chunks of it, each once; and what is split is joined to the same.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use sealgate::clock::Clock;
use sealgate::seal::Purpose;
use sealgate::secret::RefreshToken;
use sealgate::session::cookies::{
    AFFINITY_COOKIE, CookieNames, MAX_CHUNK_LINE, RequestCookies, SessionCookie, session_lines,
};
use sealgate::session::store::{ActiveSession, Sessions};
use sealgate::session::{SameSite, Session, SessionSettings, UserFormat, WriteFormat};

use super::Script;
use super::vectors::{NOW, Vector, sealer, vectors};

const COOKIE: &str = "__Host-sealgate";
/// More than the cookies that a browser has of ours.
const MOST_EDITS: usize = 32;

type Pair = (String, String);

struct Fixture {
    sessions: Sessions,
    /// A value of one cookie.
    short: Carried,
    /// The same session with a refresh token that takes two cookies.
    long: Carried,
    /// Values of ours that are no sessions.
    others: Vec<Vector>,
}

struct Carried {
    session: Arc<Session>,
    pairs: Vec<Pair>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(fixture);

/// Reads the input as `Cookie` fields (a line each), as edits to the cookies of a session, and as a text to be split.
pub fn run(data: &[u8]) {
    any_fields_are_read_or_refused(data);
    only_whole_sessions_open(&mut Script(data));
    what_is_split_is_joined_again(&mut Script(data));
}

fn any_fields_are_read_or_refused(data: &[u8]) {
    let Fixture { sessions, .. } = &*FIXTURE;
    let cookies = RequestCookies::parse(data.split(|byte| *byte == b'\n'), sessions.names());
    if let SessionCookie::Present { sealed, characters } = cookies.session(sessions.names()) {
        assert_eq!(characters, sealed.len() + 1);
        let chunks = sessions.names().chunks().iter();
        let values: Vec<&str> = chunks.filter_map(|name| cookies.value(name).ok().flatten()).collect();
        assert!(values.concat()[1..].starts_with(&*sealed), "joined from the chunks in order");
    }
    if let Ok(active) = sessions.open(&cookies) {
        let pinned = vectors().into_iter().filter_map(|vector| Session::decode(vector.plaintext()).ok());
        let ours = pinned.chain([Session::clone(&FIXTURE.long.session)]).any(|session| session == *active.session);
        assert!(ours, "{active:?} was never sealed");
    }
}

fn only_whole_sessions_open(script: &mut Script<'_>) {
    let Fixture { sessions, short, long, others } = &*FIXTURE;
    let Some(choice) = script.byte() else { return };
    let carried = if choice % 2 == 0 { short } else { long };
    let mut pairs = carried.pairs.clone();
    let mut fields = Vec::new();
    for _ in 0..MOST_EDITS {
        let Some(operation) = script.byte() else { break };
        let (Some(at), Some(to)) = (script.index(pairs.len() + 1), script.index(pairs.len() + 1)) else { break };
        edit(&mut pairs, operation, at, to, others);
        if operation >= 128 {
            fields.push(at);
        }
    }
    let only_value = |name: &str| {
        let mut same_name = pairs.iter().filter(|pair| pair.0 == name);
        same_name.next().filter(|_| same_name.next().is_none()).map(|pair| &pair.1)
    };
    let whole = carried.pairs.iter().all(|(name, value)| only_value(name) == Some(value));
    // The pinned tombstones name the pinned session.
    let tombstone = only_value(sessions.names().tombstone());
    let ended = others.iter().any(|vector| vector.purpose() == Purpose::Tombstone && tombstone == Some(&vector.sealed));
    let header = in_fields(&pairs, &fields);
    let cookies = RequestCookies::parse(header.iter().map(String::as_bytes), sessions.names());
    match sessions.open(&cookies) {
        Ok(ActiveSession { session, .. }) => assert!(whole && !ended && session == carried.session, "{header:?}"),
        Err(reason) => assert!(!whole || ended, "{reason}: {header:?}"),
    }
}

fn edit(pairs: &mut Vec<Pair>, operation: u8, at: usize, to: usize, others: &[Vector]) {
    let names = FIXTURE.sessions.names();
    let name = |index: usize| names.chunks()[index % names.chunks().len()].clone();
    match operation % 9 {
        0 if at < pairs.len() => drop(pairs.remove(at)),
        1 if at < pairs.len() => pairs.push(pairs[at].clone()),
        2 if at < pairs.len() && to < pairs.len() => pairs.swap(at, to),
        3 if at < pairs.len() => pairs[at].0 = name(to),
        4 if at < pairs.len() => drop(pairs[at].1.pop()),
        5 if at < pairs.len() && to < pairs.len() => pairs[at].1 = pairs[to].1.clone(),
        6 => pairs.insert(at, (AFFINITY_COOKIE.to_owned(), "abc".to_owned())),
        7 => pairs.insert(at, (name(to), "2".to_owned())),
        8 => {
            // Any of our other cookies, under its own name or as the session.
            let other = &others[to % others.len()];
            let name = if to.is_multiple_of(2) { other.cookie.clone() } else { COOKIE.to_owned() };
            pairs.insert(at, (name, other.sealed.clone()));
        }
        _ => {}
    }
}

/// The pairs as `Cookie` fields, with a new field before each of the `breaks`.
fn in_fields(pairs: &[Pair], breaks: &[usize]) -> Vec<String> {
    let mut fields: Vec<String> = vec![String::new()];
    for (index, (name, value)) in pairs.iter().enumerate() {
        match fields.last_mut().filter(|field| !field.is_empty() && !breaks.contains(&index)) {
            Some(field) => field.push_str(&format!("; {name}={value}")),
            None => fields.push(format!("{name}={value}")),
        }
    }
    fields
}

fn what_is_split_is_joined_again(script: &mut Script<'_>) {
    let (Some(length), Some(https)) = (script.index(12_000), script.byte()) else { return };
    let names = CookieNames::new(COOKIE, https % 2 == 0);
    let sealed: String = URL_SAFE_NO_PAD.encode(script.0).chars().chain(std::iter::repeat('A')).take(length).collect();
    let max_age = (https >= 128).then_some(Duration::from_secs(28_800));
    let Ok(lines) = session_lines(&names, &sealed, SameSite::Strict, max_age) else {
        assert!(sealed.len() > 10_000, "{} characters fit", sealed.len());
        return;
    };
    assert!(lines.iter().all(|line| line.len() <= MAX_CHUNK_LINE));
    let pairs: Vec<&str> = lines.iter().filter_map(|line| line.split(';').next()).collect();
    // Browsers send them in any order.
    let header = pairs.into_iter().rev().collect::<Vec<_>>().join("; ");
    let cookies = RequestCookies::parse([header.as_bytes()], &names);
    assert_eq!(
        cookies.session(&names),
        SessionCookie::Present { sealed: sealed.as_str().into(), characters: sealed.len() + 1 }
    );
}

fn fixture() -> Fixture {
    let vectors = vectors();
    let pinned = vectors.iter().find(|vector| vector.name == "session").expect("it is pinned");
    let session = Session::decode(pinned.plaintext()).expect("it is pinned");
    let sealer = sealer(&pinned.origin, NOW);
    let settings = SessionSettings {
        cookie_name: COOKIE.to_owned(),
        same_site: SameSite::Strict,
        idle_timeout: Duration::from_secs(3_600),
        absolute_timeout: Duration::from_secs(28_800),
        refresh_before: Duration::from_secs(60),
        persistent: true,
        user_format: UserFormat::Object,
        write_format: WriteFormat::default(),
    };
    let (names, clock) = (CookieNames::new(COOKIE, true), Clock::manual(NOW));
    let sessions =
        Sessions::new(sealer, names, settings, vec![session.provider.clone()], clock, Duration::from_secs(60));
    let refresh_token = Some(RefreshToken::new("r".repeat(4_000)));
    let long = session.refreshed(session.access_tokens[0].clone(), refresh_token, None, NOW);
    let short = Carried { session: Arc::new(session), pairs: vec![(COOKIE.to_owned(), format!("1{}", pinned.sealed))] };
    let long = carried(&sessions, long);
    assert_eq!(long.pairs.len(), 2, "the long session takes two cookies");
    let others = vectors.into_iter().filter(|vector| vector.cookie != COOKIE).collect();
    Fixture { sessions, short, long, others }
}

fn carried(sessions: &Sessions, session: Session) -> Carried {
    let sealed = sessions.seal(session).expect("it fits");
    let lines = sessions.deliver(&sealed, &RequestCookies::default());
    let pair = |line: &String| line.split(';').next().and_then(|pair| pair.split_once('=').map(owned));
    Carried { pairs: lines.iter().filter_map(pair).collect(), session: sealed.session }
}

fn owned((name, value): (&str, &str)) -> Pair {
    (name.to_owned(), value.to_owned())
}
