//! The largest responses that can be: what the tests of the endpoints measure.

use super::*;
use crate::secret::{AccessToken, CodeVerifier, Nonce, State};
use crate::session::login_transaction::{LoginTransaction, Replaced};
use crate::session::tests::{NOW, a_session};
use crate::session::{Generation, SessionId, StoredAccessToken};

/// The largest session of one cookie, or of all that fit.
fn largest(site: &Site, cookies: usize) -> SealedSession {
    let sizes = (1_000..6_000).rev();
    let mut fitting = sizes.filter_map(|size| site.sessions.seal(with_random_access_token_of(size)).ok());
    fitting.find(|sealed| sealed.chunks() <= cookies).expect("some size fits")
}

/// A token that no codec makes smaller.
fn with_random_access_token_of(length: usize) -> Session {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};
    let blocks = (0..length / 43 + 1)
        .map(|block| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(block.to_be_bytes())));
    let mut text: String = blocks.collect();
    text.truncate(length);
    let mut session = a_session();
    session.generation = Generation(1_000_000);
    session.access_tokens = vec![StoredAccessToken::new(AccessToken::new(text), NOW, NOW.plus(MINUTE), None)];
    session
}

fn a_login(id: usize, replaces: Option<Replaced>) -> LoginTransaction {
    let random = |kind: &str| format!("{kind}{id:042}");
    LoginTransaction {
        state: State::new(random("s")),
        nonce: Nonce::new(random("n")),
        verifier: CodeVerifier::new(random("v")),
        return_url: format!("/{}", "a".repeat(511)),
        started_at: NOW,
        provider: a_session().provider,
        replaces,
        silent: true,
        max_age: Some(Duration::from_secs(u64::from(u32::MAX))),
        response_mode: crate::oidc::ResponseMode::Query,
    }
}

/// As many logins as the server lets there be, the last one of the longest return URL; a full tombstone; a stale chunk.
fn browser(site: &Site, others: usize) -> (Vec<SetCookie>, LoginTransaction) {
    let ended =
        |id| Ended { sid: SessionId([id; 16]), generation: Generation(1_000_000), until: NOW.plus(MINUTE * 480) };
    let mut lines: Vec<SetCookie> = Vec::new();
    let mut store = |line: SetCookie| {
        let name = line.split('=').next().expect("a name").to_owned();
        lines.retain(|other: &String| !other.starts_with(&format!("{name}=")));
        if !line.contains("Max-Age=0") {
            lines.push(line);
        }
        lines.clone()
    };
    let mut kept = Vec::new();
    for id in 0..4 {
        kept = store(site.sessions.bury(ended(id), &site.cookies(&kept)).expect("a key"));
    }
    let replaced = Replaced { ended: ended(9), chunks: 2 };
    let mut last = a_login(others, Some(replaced));
    for id in 0..=others {
        let mut login = a_login(id, Some(replaced));
        if id < others {
            login.return_url = "/a/page".into();
        } else {
            last = login.clone();
        }
        for line in site.sessions.begin_login(&login, &site.cookies(&kept), Visible::All).expect("a key") {
            kept = store(line);
        }
    }
    (kept, last)
}

/// What the callback delivers of the largest session of one cookie, beside so many other logins.
pub(crate) fn login(others: usize) -> (SealedSession, LoginDelivery, LoginTransaction) {
    let site = site();
    let (lines, login) = browser(&site, others);
    deliver(&site, &lines, login, 1)
}

/// The same of the largest session of all.
pub(crate) fn login_of_two_cookies() -> (SealedSession, LoginDelivery, LoginTransaction) {
    let site = site();
    let (lines, login) = browser(&site, 0);
    deliver(&site, &lines, login, 2)
}

/// The largest session of one cookie in a browser that has nothing of ours but its login.
pub(crate) fn first_login() -> (SealedSession, LoginDelivery, LoginTransaction) {
    let site = site();
    let login = a_login(0, None);
    let lines = site.sessions.begin_login(&login, &RequestCookies::default(), Visible::All).expect("a key");
    deliver(&site, &lines, login, 1)
}

fn deliver(
    site: &Site,
    lines: &[SetCookie],
    login: LoginTransaction,
    chunks: usize,
) -> (SealedSession, LoginDelivery, LoginTransaction) {
    let sealed = largest(site, chunks);
    assert_eq!(sealed.chunks(), chunks);
    let delivery = site.sessions.deliver_login(&sealed, &login, &site.cookies(lines));
    (sealed, delivery.expect("a key"), login)
}

/// What a refresh delivers that makes a session of two cookies the largest one of one cookie.
pub(crate) fn refresh() -> Vec<SetCookie> {
    let site = site();
    let sealed = largest(&site, 1);
    let (mut lines, _) = browser(&site, 7);
    lines.extend(site.sessions.deliver(&largest(&site, 2), &RequestCookies::default()));
    let active = ActiveSession { session: sealed.session.clone(), last_seen: NOW, cookie_characters: 0 };
    let mut delivered = site.sessions.deliver(&sealed, &site.cookies(&lines));
    assert!(delivered.len() > 2, "a stale chunk and a login go");
    site.clock.advance(MINUTE * 59);
    delivered.extend(site.sessions.touch(&active));
    delivered
}
