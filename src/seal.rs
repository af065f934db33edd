//! Seals bytes into a cookie value and opens them again: one purpose, one cookie name, one origin.
//!
//! ```text
//! byte 0      0x01, the format version
//! 1..5        the key id
//! 5..29       the nonce, from the operating system
//! 29..n       ciphertext, then the 16-byte tag
//! ```
//! The whole is base64url without padding. The associated data are, each behind its length as four big-endian bytes:
//! bytes 0..5, the purpose's label, the cookie's base name, the origin of `public_url`. So a value that was sealed for
//! one purpose, name or site opens for no other. One key is tried, the one that the value names.
//!
//! A nonce must never be chosen by a caller, and a reason for a refusal must never reach a client.

mod envelope;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::aead::{NONCE_BYTES, TAG_BYTES};
pub use envelope::{Envelope, EnvelopeError};

use crate::base64url::BASE64URL;
use crate::clock::{Clock, UnixTime};
pub use crate::keyring::Purpose;
use crate::keyring::{KeyId, KeyRing, KeyState, Lookup, RingHandle, RingKey};
use crate::metrics::{Metrics, OpenedWith};
use crate::origin::PublicOrigin;
use crate::secret::SecretBytes;

/// The first byte of every sealed value.
pub const FORMAT_VERSION: u8 = 1;
/// Bytes before the ciphertext: version, key id, nonce.
pub const HEADER_BYTES: usize = AUTHENTICATED_BYTES + NONCE_BYTES;
/// Bytes that sealing adds before base64url.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;
/// Version and key id, which the associated data repeat.
const AUTHENTICATED_BYTES: usize = 5;

/// Characters of the value that `plaintext` bytes are sealed to.
pub const fn sealed_characters(plaintext: usize) -> usize {
    ((plaintext + OVERHEAD_BYTES) * 4).div_ceil(3)
}

/// Why nothing could be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// No key of the ring is active now.
    #[error("the key ring has no active key")]
    NoPrimaryKey,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
    /// The text is beyond the algorithm's bounds.
    #[error("the text is too long to seal")]
    TooLong,
}

/// Why a value does not open: for the log and the counters, never for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Not base64url, too short, or of another version.
    #[error("the value is not a sealed cookie")]
    Malformed,
    /// No key of that id, not even after a new look at the ring's file.
    #[error("the key {0} is not in the ring")]
    UnknownKey(KeyId),
    /// The key no longer opens: its `open_until` has passed.
    #[error("the key {0} no longer opens cookies")]
    ExpiredKey(KeyId),
    /// The key was revoked.
    #[error("the key {0} is revoked")]
    RevokedKey(KeyId),
    /// The tag does not match: changed, or sealed for another purpose, name or origin.
    #[error(
        "the value was changed, or was sealed for another purpose, cookie or site: session.cookie_name or \
         server.public_url may have changed"
    )]
    Rejected,
}

/// Seals and opens for one origin with the keys of one ring. Clones share the ring.
#[derive(Clone, Debug)]
pub struct Sealer {
    ring: RingHandle,
    origin: PublicOrigin,
    clock: Clock,
    metrics: Metrics,
}

impl Sealer {
    /// A sealer for the site at `origin`.
    pub fn new(ring: RingHandle, origin: PublicOrigin, clock: Clock, metrics: Metrics) -> Self {
        Self { ring, origin, clock, metrics }
    }

    /// The longest that keys are kept for sessions, by the ring in use.
    pub fn max_session(&self) -> Duration {
        self.ring.current().max_session()
    }

    /// Seals `plaintext` with the primary key; returns base64url text of [`sealed_characters`].
    ///
    /// # Errors
    /// See [`SealError`]; none of them depends on the plaintext's content.
    pub fn seal(&self, purpose: Purpose, cookie: &str, plaintext: &[u8]) -> Result<String, SealError> {
        let ring = self.ring.current();
        let key = ring.primary(self.clock.now()).ok_or(SealError::NoPrimaryKey)?;
        let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD_BYTES);
        sealed.push(FORMAT_VERSION);
        sealed.extend_from_slice(key.kid().as_bytes());
        let mut nonce = [0; NONCE_BYTES];
        SysRng.try_fill_bytes(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let aad = self.associated_data(&sealed, purpose, cookie);
        sealed.extend_from_slice(&nonce);
        let ciphertext = key.cipher(purpose).seal(&nonce, &aad, plaintext).map_err(|_| SealError::TooLong)?;
        sealed.extend_from_slice(&ciphertext);
        Ok(BASE64URL.encode(&sealed))
    }

    /// Opens what [`Sealer::seal`] made for the same purpose, cookie and origin, with the key that the value names.
    ///
    /// An unknown key id makes the ring be read again once, at a limited rate.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&self, purpose: Purpose, cookie: &str, value: &str) -> Result<SecretBytes, OpenError> {
        let opened = self.try_open(purpose, cookie, value);
        self.count(opened.as_ref().map(|(_, state)| *state).map_err(|error| *error));
        opened.map(|(plaintext, _)| plaintext)
    }

    /// The ring in use.
    pub fn ring(&self) -> Arc<KeyRing> {
        self.ring.current()
    }

    /// Whether the key of a value that has opened before opens still; counts as opening it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn check_key(&self, value: &str) -> Result<(), OpenError> {
        let state = self.key_state(value);
        self.count(state);
        state.map(|_| ())
    }

    fn key_state(&self, value: &str) -> Result<KeyState, OpenError> {
        // The version and the key id are six bytes at most of the first eight characters.
        let mut head = [0; 6];
        let decoded = value.get(..8).map(|text| BASE64URL.decode_slice(text, &mut head));
        let (Some(Ok(6)), [FORMAT_VERSION, kid @ .., _]) = (decoded, head) else { return Err(OpenError::Malformed) };
        let kid = KeyId::from_bytes(kid);
        usable(&self.ring.current(), kid, self.clock.now()).map(|(_, state)| state)
    }

    fn count(&self, opened: Result<KeyState, OpenError>) {
        self.metrics.count_open(match opened {
            Ok(KeyState::Staged) => OpenedWith::Staged,
            Ok(KeyState::Retired) => OpenedWith::Retired,
            Ok(_) => OpenedWith::Primary,
            Err(OpenError::RevokedKey(_)) => OpenedWith::Revoked,
            Err(OpenError::UnknownKey(_) | OpenError::ExpiredKey(_)) => OpenedWith::Unknown,
            Err(_) => OpenedWith::Rejected,
        });
    }

    fn try_open(&self, purpose: Purpose, cookie: &str, value: &str) -> Result<(SecretBytes, KeyState), OpenError> {
        let sealed = BASE64URL.decode(value).map_err(|_| OpenError::Malformed)?;
        let (header, ciphertext) = sealed.split_at_checked(HEADER_BYTES).ok_or(OpenError::Malformed)?;
        let (authenticated, nonce) = header.split_at(AUTHENTICATED_BYTES);
        let [FORMAT_VERSION, kid @ ..] = authenticated else { return Err(OpenError::Malformed) };
        let kid = KeyId::from_bytes(kid.try_into().map_err(|_| OpenError::Malformed)?);
        let nonce: &[u8; NONCE_BYTES] = nonce.try_into().map_err(|_| OpenError::Malformed)?;
        let aad = self.associated_data(authenticated, purpose, cookie);
        let opened = self.open_with_key(kid, purpose, nonce, &aad, ciphertext);
        if matches!(opened, Err(OpenError::UnknownKey(_))) && self.ring.reread_for_unknown_key() {
            return self.open_with_key(kid, purpose, nonce, &aad, ciphertext);
        }
        opened
    }

    fn open_with_key(
        &self,
        kid: KeyId,
        purpose: Purpose,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<(SecretBytes, KeyState), OpenError> {
        let ring = self.ring.current();
        let (key, state) = usable(&ring, kid, self.clock.now())?;
        let plaintext = key.cipher(purpose).open(nonce, aad, ciphertext).map_err(|_| OpenError::Rejected)?;
        Ok((plaintext, state))
    }

    fn associated_data(&self, authenticated: &[u8], purpose: Purpose, cookie: &str) -> Vec<u8> {
        let parts = [authenticated, purpose.label().as_bytes(), cookie.as_bytes(), self.origin.as_str().as_bytes()];
        let mut data = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
        for part in parts {
            // Labels, cookie names and origins are a few hundred bytes at most.
            data.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}

/// The key of that id, if it opens.
fn usable(ring: &KeyRing, kid: KeyId, now: UnixTime) -> Result<(&RingKey, KeyState), OpenError> {
    match ring.find(kid, now) {
        Lookup::Usable(key, state) => Ok((key, state)),
        Lookup::Revoked => Err(OpenError::RevokedKey(kid)),
        Lookup::Expired => Err(OpenError::ExpiredKey(kid)),
        Lookup::Unknown => Err(OpenError::UnknownKey(kid)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aead::Algorithm;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
    const COOKIE: &str = "__Host-sealgate";
    const HOUR: Duration = Duration::from_secs(3600);

    fn ring() -> RingHandle {
        let ring = KeyRing::generate(Algorithm::default(), HOUR, HOUR * 8, NOW).expect("the system's randomness");
        RingHandle::fixed(ring)
    }

    fn sealer(ring: &RingHandle, origin: &str) -> Sealer {
        let origin = origin.parse().expect("an origin");
        Sealer::new(ring.clone(), origin, Clock::manual(NOW), Metrics::default())
    }

    #[test]
    fn what_was_sealed_opens_to_the_same_bytes() {
        let sealer = sealer(&ring(), "https://app.example.com");
        for length in [0, 1, 2, 3, 1000, 5000] {
            let text = vec![7; length];
            let value = sealer.seal(Purpose::Session, COOKIE, &text).expect("an active key");
            assert_eq!(value.len(), ((length + 45) * 4).div_ceil(3));
            assert_eq!(value.len(), sealed_characters(length));
            assert_eq!(sealer.open(Purpose::Session, COOKIE, &value).expect("ours").as_slice(), text);
        }
    }

    /// SP 800-38D §8.3: nonces of 192 random bits, which replicas need not agree upon.
    #[test]
    fn the_same_text_never_seals_to_the_same_value() {
        let sealer = sealer(&ring(), "https://app.example.com");
        let seal = || sealer.seal(Purpose::Session, COOKIE, b"text").expect("an active key");
        assert_ne!(seal(), seal());
    }

    /// STANDARDS: cookie splicing between users, purposes and names.
    #[test]
    fn another_purpose_name_origin_or_ring_opens_nothing() {
        let ring_of_ours = ring();
        let sealer_of_ours = sealer(&ring_of_ours, "https://app.example.com");
        let value = sealer_of_ours.seal(Purpose::Session, COOKIE, b"text").expect("an active key");
        assert_eq!(sealer_of_ours.open(Purpose::Login, COOKIE, &value), Err(OpenError::Rejected));
        assert_eq!(sealer_of_ours.open(Purpose::Session, "__Host-other", &value), Err(OpenError::Rejected));
        let elsewhere = sealer(&ring_of_ours, "https://app.example.org");
        assert_eq!(elsewhere.open(Purpose::Session, COOKIE, &value), Err(OpenError::Rejected));
        let stranger = sealer(&ring(), "https://app.example.com");
        assert!(matches!(stranger.open(Purpose::Session, COOKIE, &value), Err(OpenError::UnknownKey(_))));
    }

    #[test]
    fn the_key_of_an_opened_value_is_looked_at_without_opening_it() {
        let sealer = sealer(&ring(), "https://app.example.com");
        let value = sealer.seal(Purpose::Session, COOKIE, b"text").expect("an active key");
        assert_eq!(sealer.check_key(&value), Ok(()));
        let mut other_key = value.clone().into_bytes();
        other_key[4] ^= 1;
        let other_key = String::from_utf8(other_key).expect("ASCII");
        assert!(matches!(sealer.check_key(&other_key), Err(OpenError::UnknownKey(_) | OpenError::Malformed)));
        for malformed in ["", "AQAAAA", "ü234567890", "BAAAAAAA"] {
            assert_eq!(sealer.check_key(malformed), Err(OpenError::Malformed), "{malformed}");
        }
    }

    /// What the log says must tell these apart, for the remedies differ.
    #[test]
    fn each_reason_not_to_open_reads_differently_and_names_the_key() {
        let kid = KeyId::from_bytes([0x9f, 0x3a, 0x01, 0xc2]);
        let reasons = [
            OpenError::Malformed,
            OpenError::UnknownKey(kid),
            OpenError::ExpiredKey(kid),
            OpenError::RevokedKey(kid),
            OpenError::Rejected,
        ]
        .map(|reason| reason.to_string());
        let different: std::collections::HashSet<_> = reasons.iter().collect();
        assert_eq!(different.len(), reasons.len());
        assert_eq!(reasons[3], "the key 9f3a01c2 is revoked");
        assert!(reasons[4].contains("session.cookie_name or server.public_url may have changed"), "{}", reasons[4]);
    }

    #[test]
    fn a_revoked_key_s_values_are_refused_as_such() {
        let mut ring = KeyRing::generate(Algorithm::default(), HOUR, HOUR * 8, NOW).expect("randomness");
        let value = sealer(&RingHandle::fixed(ring.clone()), "https://app.example.com")
            .seal(Purpose::Session, COOKIE, b"text")
            .expect("an active key");
        let kid = ring.primary(NOW).expect("a primary").kid();
        ring.revoke(kid, NOW).expect("a key of the ring");
        let after = sealer(&RingHandle::fixed(ring), "https://app.example.com");
        assert_eq!(after.open(Purpose::Session, COOKIE, &value), Err(OpenError::RevokedKey(kid)));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let sealer = sealer(&ring(), "https://app.example.com");
        let value = sealer.seal(Purpose::Session, COOKIE, b"some text").expect("an active key");
        let sealed = BASE64URL.decode(&value).expect("base64url");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let value = BASE64URL.encode(&changed);
            assert!(sealer.open(Purpose::Session, COOKIE, &value).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn base64_is_read_strictly_to_the_last_bit() {
        let sealer = sealer(&ring(), "https://app.example.com");
        let value = sealer.seal(Purpose::Session, COOKIE, b"text").expect("an active key");
        assert_ne!(value.len() % 4, 0, "the last character must have unused bits for this test");
        let last = value.chars().last().expect("not empty");
        let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
        let others = alphabet.iter().filter(|other| **other != last);
        for other in others {
            let changed = format!("{}{other}", &value[..value.len() - 1]);
            assert!(sealer.open(Purpose::Session, COOKIE, &changed).is_err(), "{other}");
        }
        for changed in [format!("{value}="), format!("{value} "), format!("{value}A"), String::new(), "A".to_owned()] {
            assert!(sealer.open(Purpose::Session, COOKIE, &changed).is_err(), "{changed:?}");
        }
    }
}
