//! What opens, what does not, and which cookies are written.

pub(crate) mod worst;

use super::*;
use crate::aead::Algorithm;
use crate::keyring::{KeyRing, RingHandle};
use crate::metrics::Metrics;
use crate::secret::AccessToken;
use crate::session::tests::{NOW, a_session};
use crate::session::{SessionId, StoredAccessToken, UserFormat, WriteFormat};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct Site {
    pub(crate) sessions: Sessions,
    pub(crate) clock: Clock,
}

pub(crate) fn site() -> Site {
    let clock = Clock::manual(NOW);
    let ring = KeyRing::generate(Algorithm::default(), MINUTE, MINUTE * 480, NOW).expect("randomness");
    let origin = "https://app.example.com".parse().expect("an origin");
    let sealer = Sealer::new(RingHandle::fixed(ring), origin, clock.clone(), Metrics::default());
    let settings = SessionSettings {
        cookie_name: "__Host-sealgate".into(),
        same_site: SameSite::Strict,
        idle_timeout: MINUTE * 60,
        absolute_timeout: MINUTE * 480,
        refresh_before: MINUTE,
        persistent: true,
        user_format: UserFormat::Object,
        write_format: WriteFormat::Plain,
    };
    let names = CookieNames::new(&settings.cookie_name, true);
    let provider = a_session().provider;
    Site { sessions: Sessions::new(sealer, names, settings, vec![provider], clock.clone(), MINUTE), clock }
}

impl Site {
    /// What a browser would send after these `Set-Cookie` values.
    pub(crate) fn cookies(&self, lines: &[SetCookie]) -> RequestCookies<'static> {
        let kept = lines.iter().filter(|line| !line.contains("Max-Age=0"));
        let field = kept.filter_map(|line| line.split(';').next()).collect::<Vec<_>>().join("; ");
        RequestCookies::parse([field.as_bytes()], self.sessions.names()).into_owned()
    }

    fn carrying(&self, session: Session) -> RequestCookies<'static> {
        let sealed = self.sessions.seal(session).expect("it fits");
        self.cookies(&self.sessions.deliver(&sealed, &RequestCookies::default()))
    }
}

#[test]
fn a_delivered_session_opens() {
    let site = site();
    let active = site.sessions.open(&site.carrying(a_session())).expect("signed in");
    assert!(*active.session == a_session());
    assert_eq!(active.last_seen, NOW);
}

#[test]
fn a_cookie_that_was_opened_a_moment_ago_is_not_decrypted_again() {
    let site = site();
    let cookies = site.carrying(a_session());
    let first = site.sessions.open(&cookies).expect("signed in");
    let second = site.sessions.open(&cookies).expect("signed in");
    assert!(Arc::ptr_eq(&first.session, &second.session));
    site.sessions.forget_unused();
    site.sessions.forget_unused();
    let third = site.sessions.open(&cookies).expect("signed in");
    assert!(!Arc::ptr_eq(&first.session, &third.session) && *first.session == *third.session);
}

/// What is remembered is what the cookie says, not that it may.
#[test]
fn a_remembered_session_ends_like_any_other() {
    let site = site();
    let cookies = site.carrying(a_session());
    let active = site.sessions.open(&cookies).expect("signed in");
    let lines = site.sessions.end(&active.session, &RequestCookies::default()).expect("sealed");
    let with_tombstone = [site.sessions.deliver(&sealed_again(&site), &RequestCookies::default()), lines].concat();
    assert!(matches!(site.sessions.open(&site.cookies(&with_tombstone)), Err(SignedOut::Ended(_))));
    site.clock.advance(MINUTE * 61);
    assert!(matches!(site.sessions.open(&cookies), Err(SignedOut::Idle(_))));
    // Beyond the ring's own bounds its key no longer opens, remembered or not.
    site.clock.advance(MINUTE * 60 * 24 * 365);
    assert!(site.sessions.open(&cookies).is_err());
}

fn sealed_again(site: &Site) -> SealedSession {
    site.sessions.seal(a_session()).expect("it fits")
}

#[test]
fn it_ends_at_its_absolute_end_and_when_idle() {
    let site = site();
    let cookies = site.carrying(a_session());
    site.clock.advance(MINUTE * 59);
    let active = site.sessions.open(&cookies).expect("still active");
    let touched = site.sessions.touch(&active).expect("due");
    site.clock.advance(MINUTE * 2);
    assert!(matches!(site.sessions.open(&cookies), Err(SignedOut::Idle(_))));

    let sealed = site.sessions.seal(a_session()).expect("it fits");
    let mut lines = site.sessions.deliver(&sealed, &RequestCookies::default());
    lines.push(touched);
    let cookies = site.cookies(&lines);
    assert!(site.sessions.open(&cookies).is_ok(), "the activity cookie keeps it alive");
    site.clock.advance(MINUTE * 480);
    assert!(matches!(site.sessions.open(&cookies), Err(SignedOut::Expired(_))));
}

#[test]
fn a_session_from_the_future_or_of_another_client_is_refused() {
    let site = site();
    let mut session = a_session();
    session.issued_at = NOW.plus(MINUTE * 2);
    assert!(matches!(site.sessions.open(&site.carrying(session)), Err(SignedOut::FromTheFuture)));
    let mut session = a_session();
    session.provider.client_id = "other".into();
    assert!(matches!(site.sessions.open(&site.carrying(session)), Err(SignedOut::OtherProvider)));
    let mut session = a_session();
    session.provider.issuer = "https://other.example.com".into();
    assert!(matches!(site.sessions.open(&site.carrying(session)), Err(SignedOut::OtherProvider)));
}

#[test]
fn a_session_that_a_tombstone_names_stays_ended() {
    let site = site();
    let sealed = site.sessions.seal(a_session()).expect("it fits");
    let delivered = site.sessions.deliver(&sealed, &RequestCookies::default());
    let mut lines = site.sessions.end(&a_session(), &RequestCookies::default()).expect("an active key");
    // A late response brings the session's cookie back after the logout.
    lines.extend(delivered);
    assert!(matches!(site.sessions.open(&site.cookies(&lines)), Err(SignedOut::Ended(_))));
    let mut other = a_session();
    other.sid = SessionId([9; 16]);
    lines.retain(|line| line.starts_with("__Host-sealgate-ended"));
    let sealed = site.sessions.seal(other).expect("it fits");
    lines.extend(site.sessions.deliver(&sealed, &RequestCookies::default()));
    assert!(site.sessions.open(&site.cookies(&lines)).is_ok(), "a fresh login is not blocked");
}

fn with_access_token_of(length: usize) -> Session {
    let mut session = a_session();
    let token = AccessToken::new("a".repeat(length));
    session.access_tokens = vec![StoredAccessToken::new(token, NOW, NOW.plus(MINUTE), None)];
    session
}

#[test]
fn chunks_that_are_no_longer_used_are_deleted() {
    let site = site();
    let large = site.carrying(with_access_token_of(3000));
    assert!(large.has("__Host-sealgate.1"));
    let sealed = site.sessions.seal(a_session()).expect("it fits");
    let lines = site.sessions.deliver(&sealed, &large);
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with("__Host-sealgate.1=;") && lines[1].contains("Max-Age=0"), "{}", lines[1]);
}

#[test]
fn the_id_token_goes_first_when_a_session_is_too_large() {
    let site = site();
    let session = with_access_token_of(3800);
    let payload = "eyJzdWIiOiJhZGEifQ";
    let id_token = crate::secret::IdToken::new(format!("e30.{payload}.{}", "s".repeat(1000)));
    let session = session.refreshed(session.access_tokens[0].clone(), None, Some(id_token), NOW);
    let active = site.sessions.open(&site.carrying(session)).expect("signed in");
    assert!(active.session.id_token().is_none());
    assert_eq!(active.session.claims()["sub"], "ada");
    let error = site.sessions.seal(with_access_token_of(9000)).expect_err("far too large");
    assert!(error.to_string().contains("access token of 9000"), "{error}");
}
