//! What a session leaves out where it would not fit, in which order.

use super::tests::{MINUTE, site};
use super::*;
use crate::secret::{AccessToken, RefreshToken};
use crate::session::tests::{NOW, a_session};
use crate::session::{StoredAccessToken, WriteFormat};

fn need(api: &str) -> TokenNeed {
    TokenNeed::new(vec![format!("{api}.read")], Some(format!("https://{api}.example.com")), None)
}

/// A token that nothing makes smaller.
fn token(characters: usize) -> StoredAccessToken {
    use base64::Engine as _;
    use rand::TryRng as _;
    let mut random = vec![0; characters * 3 / 4];
    rand::rngs::SysRng.try_fill_bytes(&mut random).expect("randomness");
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random);
    StoredAccessToken::new(AccessToken::new(text), NOW, NOW.plus(MINUTE * 60), None)
}

/// A session with tokens of so many characters for these APIs, obtained in this order.
fn with(apis: &[(&str, usize)]) -> Session {
    apis.iter().fold(a_session(), |session, (api, characters)| {
        session.refreshed_for(&need(api), Some(token(*characters)), None, None, NOW)
    })
}

fn apis(session: &Session) -> Vec<String> {
    session.access_tokens.iter().skip(1).map(|stored| stored.resource.clone().unwrap_or_default()).collect()
}

#[test]
fn what_fits_stays_whole() {
    let sealed = site().sessions.seal(with(&[("a", 300), ("b", 300), ("c", 300)])).expect("it fits");
    assert!(sealed.session.id_token().is_some());
    assert_eq!(apis(&sealed.session), ["https://a.example.com", "https://b.example.com", "https://c.example.com"]);
}

#[test]
fn the_id_token_goes_first_and_then_the_oldest_token() {
    let id_token = |characters: usize| {
        let stored = token(characters);
        crate::secret::IdToken::new(format!("e30.eyJzdWIiOiJhZGEifQ.{}", stored.token.expose()))
    };
    let session = with(&[("a", 1_000), ("b", 1_000)]);
    let first = session.access_tokens[0].clone();
    // The plain format writes everything as it is: some 4,000 characters fit.
    let one = session.refreshed(first.clone(), None, Some(id_token(2_500)), NOW);
    let sealed = site().sessions.seal(one).expect("it fits");
    assert!(sealed.session.id_token().is_none());
    assert_eq!(apis(&sealed.session).len(), 2, "they fit without the ID token");
    let more = with(&[("a", 1_500), ("b", 1_000), ("c", 2_000)]).refreshed(first, None, Some(id_token(2_500)), NOW);
    let sealed = site().sessions.seal(more).expect("it fits");
    assert!(sealed.session.id_token().is_none());
    assert_eq!(apis(&sealed.session), ["https://b.example.com", "https://c.example.com"]);
    assert_eq!(sealed.session.refresh_token(), Some(&RefreshToken::new("the refresh token")));
}

#[test]
fn the_login_s_token_and_the_one_just_obtained_never_go() {
    let session = with(&[("a", 1_000), ("b", 1_000), ("c", 3_400)]);
    let sealed = site().sessions.seal_for(session.clone(), Some(&need("c"))).expect("it fits");
    assert_eq!(apis(&sealed.session), ["https://c.example.com"]);
    assert!(sealed.session.access_token() == session.access_token());
    // As the oldest it would be the first to go, but that it was just obtained.
    let session = with(&[("c", 3_400), ("a", 1_000)]);
    let sealed = site().sessions.seal_for(session, Some(&need("c"))).expect("it fits");
    assert_eq!(apis(&sealed.session), ["https://c.example.com"]);
}

#[test]
fn only_when_nothing_can_be_spared_is_a_session_too_large() {
    let session = with(&[("a", 1_000), ("b", 6_000)]);
    let Err(SealSessionError::TooLarge(too_large)) = site().sessions.seal_for(session.clone(), Some(&need("b"))) else {
        panic!("it does not fit")
    };
    assert_eq!(too_large.largest, "access token");
    assert!(site().sessions.seal(session).is_ok(), "without it, it fits");
}

/// Replicas find a token by what it was asked for.
#[test]
fn what_a_token_was_asked_for_survives_the_seal() {
    let session = with(&[("a", 100), ("b", 100)]).refreshed_for(
        &TokenNeed::new(vec!["x".into()], None, Some("an audience".into())),
        Some(token(100)),
        None,
        None,
        NOW,
    );
    for format in [WriteFormat::Plain, WriteFormat::Zstd1] {
        let again = Session::decode(session.encode(format)).expect("ours");
        assert!(again == session, "{format:?}");
        for need in [need("a"), need("b"), TokenNeed::new(vec!["x".into()], None, Some("an audience".into()))] {
            let stored = again.access_token_for(Some(&need)).expect("it was put there");
            assert_eq!(stored.need(), need);
        }
        assert!(again.access_token_for(Some(&TokenNeed::new(vec!["x".into()], None, None))).is_none());
        assert!(again.access_token_for(None) == session.access_tokens.first());
    }
}
