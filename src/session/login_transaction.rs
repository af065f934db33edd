//! The login transaction: what one authorization request must find again when its callback comes.
//!
//! One sealed cookie an attempt, named by a hash of `state`, so that tabs do not disturb each other. Never compressed:
//! the return URL may be an attacker's, and the verifier beside it is secret.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::clock::UnixTime;
use crate::oidc::ResponseMode;
use crate::secret::{CodeVerifier, Nonce, SecretBytes, State};
use crate::session::tombstone::Ended;
use crate::session::wire::{MapWriter, WireError, read_map, strip_codec};
use crate::session::{Generation, ProviderId, SessionId};

/// How long a user may take at the provider.
pub const LIFETIME: Duration = Duration::from_secs(600);
/// How many transactions one browser may have open; the oldest goes first.
pub const MAX_LIVE: usize = 8;
/// [`ResponseMode::FormPost`] in the bytes; [`ResponseMode::Query`] is written as nothing.
const FORM_POST: u64 = 1;

/// One login on its way (RFC 9700 §2.1.1, §4.7.1).
#[derive(Clone, PartialEq, Eq)]
pub struct LoginTransaction {
    /// The `state` that the callback must bring.
    pub state: State,
    /// The nonce that the ID token must carry.
    pub nonce: Nonce,
    /// The PKCE verifier.
    pub verifier: CodeVerifier,
    /// Where the browser goes afterwards: a path that was checked when the transaction began.
    pub return_url: String,
    /// When it began.
    pub started_at: UnixTime,
    /// The registration that the request was made for.
    pub provider: ProviderId,
    /// The session that this login replaces. The callback comes from another site, so strict cookies stay away then:
    /// what it needs to know of the old session must be remembered here.
    pub replaces: Option<Replaced>,
    /// Whether the provider was told to ask the user nothing (`prompt=none`), so that it may refuse for that.
    pub silent: bool,
    /// The `max_age` that was asked for, in whole seconds: the ID token must keep to it.
    pub max_age: Option<Duration>,
    /// How the answer must come.
    pub response_mode: ResponseMode,
}

/// A session that a login replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// As its tombstone will name it.
    pub ended: Ended,
    /// How many cookies it is split into.
    pub chunks: usize,
}

impl fmt::Debug for LoginTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoginTransaction {{ started_at: {}, [redacted] }}", self.started_at)
    }
}

mod tag {
    pub const STATE: u32 = 0;
    pub const NONCE: u32 = 1;
    pub const VERIFIER: u32 = 2;
    pub const RETURN_URL: u32 = 3;
    pub const STARTED_AT: u32 = 4;
    pub const REPLACES: u32 = 5;
    pub const REPLACES_GENERATION: u32 = 8;
    pub const REPLACES_UNTIL: u32 = 9;
    pub const REPLACES_CHUNKS: u32 = 10;
    pub const ISSUER: u32 = 6;
    pub const CLIENT_ID: u32 = 7;
    pub const MAX_AGE: u32 = 11;
    pub const RESPONSE_MODE: u32 = 12;
    pub const SILENT: u32 = 13;
}

impl LoginTransaction {
    /// What the cookie's name ends with for this `state`: 96 bits of its SHA-256.
    pub fn name_suffix(state: &str) -> String {
        URL_SAFE_NO_PAD.encode(&Sha256::digest(state)[..12])
    }

    /// Whether it is still good at `now`; one from the future beyond `skew` is not.
    pub fn is_live(&self, now: UnixTime, skew: Duration) -> bool {
        self.started_at <= now.plus(skew) && now < self.started_at.plus(LIFETIME)
    }

    /// Whether the session comes in one step and the tombstone of the session that it replaces in a second: the cookie
    /// with the earlier tombstones is lax, so it stays behind when the answer is posted, and a new one in its place would
    /// forget them.
    pub fn buries_later(&self) -> bool {
        self.response_mode == ResponseMode::FormPost && self.replaces.is_some()
    }

    /// The plaintext to seal.
    pub fn encode(&self) -> SecretBytes {
        let mut map = MapWriter::default();
        map.text(tag::STATE, self.state.expose());
        map.text(tag::NONCE, self.nonce.expose());
        map.text(tag::VERIFIER, self.verifier.expose());
        map.text(tag::RETURN_URL, &self.return_url);
        map.integer(tag::STARTED_AT, self.started_at.as_secs());
        if let Some(Replaced { ended, chunks }) = &self.replaces {
            map.bytes(tag::REPLACES, ended.sid.as_bytes());
            map.integer(tag::REPLACES_GENERATION, i64::try_from(ended.generation.0).unwrap_or(i64::MAX));
            map.integer(tag::REPLACES_UNTIL, ended.until.as_secs());
            map.integer(tag::REPLACES_CHUNKS, i64::try_from(*chunks).unwrap_or(0));
        }
        map.text(tag::ISSUER, &self.provider.issuer);
        map.text(tag::CLIENT_ID, &self.provider.client_id);
        if let Some(max_age) = self.max_age {
            map.unsigned(tag::MAX_AGE, max_age.as_secs());
        }
        if self.response_mode == ResponseMode::FormPost {
            map.unsigned(tag::RESPONSE_MODE, FORM_POST);
        }
        if self.silent {
            map.unsigned(tag::SILENT, 1);
        }
        map.finish_plain()
    }

    /// Reads what [`LoginTransaction::encode`] wrote. Members of a later release are passed over.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn decode(plaintext: &[u8]) -> Result<Self, WireError> {
        let (mut state, mut nonce, mut verifier, mut return_url) = (None, None, None, None);
        let (mut started_at, mut issuer, mut client_id) = (None, None, None);
        let mut silent = false;
        let (mut max_age, mut response_mode) = (None, ResponseMode::Query);
        let (mut replaced_sid, mut replaced_generation, mut replaced_until, mut replaced_chunks) =
            (None, None, None, 0);
        read_map(strip_codec(plaintext)?, |tag, decoder| {
            match tag {
                tag::STATE => state = Some(State::new(decoder.str()?)),
                tag::NONCE => nonce = Some(Nonce::new(decoder.str()?)),
                tag::VERIFIER => verifier = Some(CodeVerifier::new(decoder.str()?)),
                tag::RETURN_URL => return_url = Some(decoder.str()?.to_owned()),
                tag::STARTED_AT => started_at = Some(UnixTime::from_secs(decoder.i64()?)),
                tag::REPLACES => {
                    replaced_sid = Some(SessionId(decoder.bytes()?.try_into().map_err(|_| WireError::Malformed)?));
                }
                tag::REPLACES_GENERATION => replaced_generation = Some(Generation(decoder.u64()?)),
                tag::REPLACES_UNTIL => replaced_until = Some(UnixTime::from_secs(decoder.i64()?)),
                tag::REPLACES_CHUNKS => replaced_chunks = decoder.u8()?,
                tag::ISSUER => issuer = Some(decoder.str()?.to_owned()),
                tag::CLIENT_ID => client_id = Some(decoder.str()?.to_owned()),
                tag::SILENT => silent = decoder.u8()? == 1,
                tag::MAX_AGE => max_age = Some(Duration::from_secs(decoder.u64()?)),
                tag::RESPONSE_MODE if decoder.u64()? != FORM_POST => return Err(WireError::Malformed),
                tag::RESPONSE_MODE => response_mode = ResponseMode::FormPost,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let replaces = match (replaced_sid, replaced_generation, replaced_until) {
            (Some(sid), Some(generation), Some(until)) => {
                Some(Replaced { ended: Ended { sid, generation, until }, chunks: usize::from(replaced_chunks) })
            }
            _ => None,
        };
        Ok(Self {
            state: state.ok_or(WireError::Missing(tag::STATE))?,
            nonce: nonce.ok_or(WireError::Missing(tag::NONCE))?,
            verifier: verifier.ok_or(WireError::Missing(tag::VERIFIER))?,
            return_url: return_url.ok_or(WireError::Missing(tag::RETURN_URL))?,
            started_at: started_at.ok_or(WireError::Missing(tag::STARTED_AT))?,
            provider: ProviderId {
                issuer: issuer.ok_or(WireError::Missing(tag::ISSUER))?,
                client_id: client_id.ok_or(WireError::Missing(tag::CLIENT_ID))?,
            },
            replaces,
            silent,
            max_age,
            response_mode,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::NOW;

    fn transaction() -> LoginTransaction {
        LoginTransaction {
            state: State::new("the state"),
            nonce: Nonce::new("the nonce"),
            verifier: CodeVerifier::new("the verifier"),
            return_url: "/inbox".into(),
            started_at: NOW,
            provider: ProviderId { issuer: "https://login.example.com".into(), client_id: "spa".into() },
            replaces: Some(Replaced {
                ended: Ended { sid: SessionId([5; 16]), generation: Generation(3), until: NOW.plus(LIFETIME) },
                chunks: 2,
            }),
            silent: true,
            max_age: None,
            response_mode: ResponseMode::Query,
        }
    }

    #[test]
    fn a_transaction_survives_the_round_trip() {
        let mut transaction = transaction();
        assert!(LoginTransaction::decode(&transaction.encode()).expect("ours") == transaction);
        transaction.max_age = Some(Duration::ZERO);
        transaction.response_mode = ResponseMode::FormPost;
        assert!(LoginTransaction::decode(&transaction.encode()).expect("ours") == transaction);
    }

    /// Releases side by side: what this one added is not written where it is not needed.
    #[test]
    fn a_transaction_without_the_newer_members_is_written_as_before() {
        let mut newer = transaction();
        let before = newer.encode().len();
        newer.max_age = Some(Duration::from_secs(10));
        assert!(newer.encode().len() > before);
    }

    #[test]
    fn a_response_mode_of_a_later_release_is_refused() {
        let mut map = MapWriter::default();
        map.unsigned(tag::RESPONSE_MODE, 9);
        assert!(matches!(LoginTransaction::decode(&map.finish_plain()), Err(WireError::Malformed)));
    }

    #[test]
    fn it_lives_ten_minutes_and_not_before_it_began() {
        let (transaction, skew) = (transaction(), Duration::from_secs(60));
        assert!(transaction.is_live(NOW, skew));
        assert!(transaction.is_live(NOW.minus(skew), skew));
        assert!(!transaction.is_live(NOW.minus(skew * 2), skew));
        assert!(!transaction.is_live(NOW.plus(LIFETIME), skew));
    }

    #[test]
    fn another_state_has_another_name() {
        assert_ne!(LoginTransaction::name_suffix("a"), LoginTransaction::name_suffix("b"));
        assert_eq!(LoginTransaction::name_suffix("a").len(), 16);
    }
}
