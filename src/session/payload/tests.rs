//! Sessions as bytes.

use base64::Engine as _;

use super::*;
use crate::base64url::BASE64URL;
use crate::session::tests::{NOW, a_session};
use crate::session::wire::compression::MAX_INFLATED;

const FORMATS: [WriteFormat; 2] = [WriteFormat::Plain, WriteFormat::Zstd1];

/// A session with tokens that look like a provider's.
fn with_tokens(access_token: &str, refresh_token: &str, id_token: &str) -> Session {
    let session = a_session();
    let mut stored = session.access_tokens[0].clone();
    stored.token = crate::secret::AccessToken::new(access_token);
    session.refreshed(stored, Some(RefreshToken::new(refresh_token)), Some(IdToken::new(id_token)), NOW)
}

fn jwt(claims: &str) -> String {
    let header = BASE64URL.encode(r#"{"alg":"RS256","typ":"JWT","kid":"0123456789"}"#);
    format!("{header}.{}.{}", BASE64URL.encode(claims), BASE64URL.encode([0xa7; 256]))
}

#[test]
fn a_session_survives_the_round_trip_in_every_format() {
    let realistic = with_tokens(&jwt(r#"{"iss":"https://login.example.com","sub":"ada"}"#), "1//0gAb-_9", &jwt("{}"));
    for format in FORMATS {
        for session in [a_session(), realistic.clone(), a_session().without_id_token()] {
            let session = Session { generation: Generation(u64::MAX), ..session };
            assert!(Session::decode(session.encode(format)).expect("ours") == session, "{format:?}");
        }
    }
}

#[test]
fn the_codec_byte_says_how_a_session_was_written() {
    let claims = jwt(r#"{"iss":"https://login.example.com","sub":"ada"}"#);
    let session = with_tokens(&claims, "refresh", &claims);
    assert_eq!(session.encode(WriteFormat::Plain)[0], CODEC_PLAIN);
    assert_eq!(session.encode(WriteFormat::Zstd1)[0], CODEC_ZSTD_1);
    assert!(session.encode(WriteFormat::Zstd1).len() < session.encode(WriteFormat::Plain).len() * 8 / 10);
}

#[test]
fn codecs_of_later_releases_and_empty_payloads_are_refused() {
    for plaintext in [vec![], vec![2], vec![255, 0xa0]] {
        assert!(matches!(Session::decode(plaintext), Err(WireError::UnknownCodec)));
    }
}

/// The compressor never sees what is secret and random beside what somebody else may choose.
#[test]
fn signatures_and_opaque_tokens_stand_outside_the_compressed_part() {
    let (signature, opaque) = (BASE64URL.encode([0xa7; 256]), "Zm9vYmFyYmF6cXV4");
    let token = jwt(r#"{"sub":"ada"}"#);
    let plaintext = with_tokens(&token, opaque, &token).encode(WriteFormat::Zstd1);
    let expected = [&[7; 16], [0xa7; 256].as_slice(), b"foobarbazqux", &[0xa7; 256]].concat();
    assert_eq!(Compressed::read(&plaintext[1..]).expect("ours").opaque, expected);
    assert!(!plaintext.windows(16).any(|window| window == &signature.as_bytes()[..16]));
}

#[test]
fn members_of_a_later_release_survive_a_refresh_by_this_one() {
    let later = |count_at: usize, map: &[u8]| {
        // One more member: the count in the map's first byte goes up by one.
        let mut longer = map.to_vec();
        longer[count_at] += 1;
        let mut writer = MapWriter::default();
        writer.text(4711, "from the future");
        longer.extend_from_slice(&writer.finish()[1..]);
        longer
    };
    let plain = later(1, &a_session().encode(WriteFormat::Plain));
    let [first, second, opaque] = a_session().maps_and_opaque();
    let compressed = |first: &[u8], second: &[u8]| compress(first, second, &opaque).expect("smaller").to_vec();
    for plaintext in [plain, compressed(&later(0, &first), &second), compressed(&first, &later(0, &second))] {
        let session = Session::decode(plaintext).expect("a later release's");
        let next = session.refreshed(session.access_tokens[0].clone(), None, None, NOW);
        for format in FORMATS {
            let again = Session::decode(next.encode(format)).expect("ours").encode(WriteFormat::Plain);
            assert!(again.windows(15).any(|window| window == b"from the future"), "{format:?}");
        }
    }
}

#[test]
fn a_session_that_inflates_to_more_than_the_cap_is_written_plain() {
    let huge = jwt(&format!(r#"{{"groups":"{}"}}"#, "a".repeat(MAX_INFLATED)));
    let session = with_tokens(&huge, "refresh", &jwt("{}"));
    let plaintext = session.encode(WriteFormat::Zstd1);
    assert_eq!(plaintext[0], CODEC_PLAIN);
    assert!(Session::decode(plaintext).expect("ours") == session);
}

#[test]
fn changed_bytes_are_read_or_refused_and_nothing_worse() {
    let whole = with_tokens(&jwt(r#"{"sub":"ada"}"#), "Zm9vYmFyYmF6cXV4", &jwt("{}")).encode(WriteFormat::Zstd1);
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut changed = whole.to_vec();
            changed[at] ^= flip;
            if let Ok(session) = Session::decode(changed) {
                let _ = session.refresh_token();
            }
        }
        let cut = Session::decode(whole[..at].to_vec());
        assert!(!cut.is_ok_and(|cut| cut.id_token().is_some()), "cut at {at}");
    }
}
