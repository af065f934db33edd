//! The session: who is signed in, with which tokens, until when; and the cookies that carry it.
//!
//! Must never learn of HTTP servers: it takes `Cookie` values and gives `Set-Cookie` values. Login and refresh write
//! the session cookie, nobody else, so that a late response can never bring an older refresh token back.

pub mod budget;
pub mod cookies;
pub mod login_transaction;
pub mod refresh_marker;
pub mod seen;
mod session_id;
pub mod store;
pub mod tombstone;
pub mod wire;

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

pub use self::session_id::{SessionId, SessionIdError};
use self::wire::{MapWriter, UnknownMembers, WireError, read_list, read_map, read_members, strip_codec};
use crate::clock::UnixTime;
use crate::secret::{AccessToken, IdToken, RefreshToken};

/// What the configuration says of sessions.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// The session cookie's name, with its `__Host-` prefix (dropped on http).
    pub cookie_name: String,
    /// `SameSite` of the session cookie; login cookies are always lax.
    pub same_site: SameSite,
    /// The session ends when nothing happens for this long.
    pub idle_timeout: Duration,
    /// The session ends this long after login, whatever happens.
    pub absolute_timeout: Duration,
    /// How long before expiry an access token is refreshed; at most a fifth of its lifetime.
    pub refresh_before: Duration,
    /// Whether the cookies carry a `Max-Age` and so outlive the browser.
    pub persistent: bool,
    /// The shape of `/bff/user`.
    pub user_format: UserFormat,
}

/// The cookie attribute of that name (RFC 6265bis §5.6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Only requests that come from our own site.
    Strict,
    /// Also top-level navigations from elsewhere.
    Lax,
}

/// The shape of the answer of `/bff/user`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserFormat {
    /// One object, a member a claim.
    Object,
    /// A list of `{"type":…,"value":…}`, as Duende's BFF answers.
    Duende,
}

/// The registration that a session was opened with: both must match the configuration when the cookie comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderId {
    /// The provider's issuer.
    pub issuer: String,
    /// Our client identifier there.
    pub client_id: String,
}

/// How many times a session was refreshed; it only grows. (`gen` in the format: the word is reserved in the language.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// That of the next refresh.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// One access token and what is known of it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredAccessToken {
    /// The token.
    pub token: AccessToken,
    /// When it was issued, by our clock.
    pub obtained_at: UnixTime,
    /// When it expires, by our clock.
    pub expires_at: UnixTime,
    /// The granted scopes, space-separated, where the provider named them.
    pub scope: Option<String>,
    /// The audience or resource that it was asked for; none: the provider's default.
    pub audience: Option<String>,
    unknown: UnknownMembers,
}

impl StoredAccessToken {
    /// The token for the provider's default audience.
    pub fn new(token: AccessToken, obtained_at: UnixTime, expires_at: UnixTime, scope: Option<String>) -> Self {
        Self { token, obtained_at, expires_at, scope, audience: None, unknown: UnknownMembers::default() }
    }

    /// The life that it was given.
    pub fn lifetime(&self) -> Duration {
        self.expires_at.since(self.obtained_at)
    }
}

/// All that the sealed cookie holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// The registration that it was opened with.
    pub provider: ProviderId,
    /// The login's identifier.
    pub sid: SessionId,
    /// How many refreshes there were.
    pub generation: Generation,
    /// When this very cookie was sealed.
    pub issued_at: UnixTime,
    /// When the session ends, whatever happens.
    pub absolute_end: UnixTime,
    /// The access tokens; the first is for the provider's default audience.
    pub access_tokens: Vec<StoredAccessToken>,
    /// The refresh token, where the provider gave one.
    pub refresh_token: Option<RefreshToken>,
    /// The ID token, for `id_token_hint`; left out when the session would not fit.
    pub id_token: Option<IdToken>,
    /// The ID token's verified claims as JSON, where the ID token itself is left out.
    claims: Option<Zeroizing<String>>,
    unknown: UnknownMembers,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sid, generation, issued_at, absolute_end, .. } = self;
        write!(f, "Session {{ sid: {sid:?}, gen: {}, {issued_at} to {absolute_end}, [redacted] }}", generation.0)
    }
}

/// Tags of the payload's members. A number is never used again for something else.
mod tag {
    pub const ISSUER: u32 = 0;
    pub const CLIENT_ID: u32 = 1;
    pub const SID: u32 = 2;
    pub const GENERATION: u32 = 3;
    pub const ISSUED_AT: u32 = 4;
    pub const ABSOLUTE_END: u32 = 5;
    pub const ACCESS_TOKENS: u32 = 6;
    pub const REFRESH_TOKEN: u32 = 7;
    pub const ID_TOKEN: u32 = 8;
    pub const CLAIMS: u32 = 9;

    pub const ACCESS_TOKEN: u32 = 0;
    pub const OBTAINED_AT: u32 = 1;
    pub const EXPIRES_AT: u32 = 2;
    pub const SCOPE: u32 = 3;
    pub const AUDIENCE: u32 = 4;
}

/// What a login begins a session with.
#[derive(Clone)]
pub struct NewSession {
    /// The registration that was used.
    pub provider: ProviderId,
    /// The session's end, whatever happens.
    pub absolute_end: UnixTime,
    /// The access token.
    pub access_token: StoredAccessToken,
    /// The refresh token, where the provider gave one.
    pub refresh_token: Option<RefreshToken>,
    /// The verified ID token.
    pub id_token: IdToken,
}

impl Session {
    /// The session that begins now under a new identifier.
    pub fn begin(sid: SessionId, new: NewSession, now: UnixTime) -> Self {
        Self {
            provider: new.provider,
            sid,
            generation: Generation::default(),
            issued_at: now,
            absolute_end: new.absolute_end,
            access_tokens: vec![new.access_token],
            refresh_token: new.refresh_token,
            id_token: Some(new.id_token),
            claims: None,
            unknown: UnknownMembers::default(),
        }
    }

    /// The session after a refresh: a new access token; a new refresh token replaces the old, an omitted one keeps it
    /// (RFC 6749 §6), and likewise for the ID token.
    #[must_use]
    pub fn refreshed(
        &self,
        access_token: StoredAccessToken,
        refresh_token: Option<RefreshToken>,
        id_token: Option<IdToken>,
        now: UnixTime,
    ) -> Self {
        let mut next = self.clone();
        next.generation = self.generation.next();
        next.issued_at = now;
        next.access_tokens = vec![access_token];
        if refresh_token.is_some() {
            next.refresh_token = refresh_token;
        }
        if id_token.is_some() {
            next.id_token = id_token;
            next.claims = None;
        }
        next
    }

    /// The access token for the provider's default audience.
    pub fn access_token(&self) -> Option<&StoredAccessToken> {
        self.access_tokens.first()
    }

    /// The ID token's claims; empty where they cannot be read.
    pub fn claims(&self) -> Map<String, Value> {
        let json = match (&self.id_token, &self.claims) {
            (Some(id_token), _) => {
                let payload = id_token.expose().split('.').nth(1).unwrap_or_default();
                Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).unwrap_or_default())
            }
            (None, Some(claims)) => Zeroizing::new(claims.as_bytes().to_vec()),
            (None, None) => return Map::new(),
        };
        serde_json::from_slice(&json).unwrap_or_default()
    }

    /// The same session without its ID token, whose claims stay: for when the whole would not fit.
    #[must_use]
    pub fn without_id_token(&self) -> Self {
        let claims = Value::Object(self.claims()).to_string();
        Self { id_token: None, claims: Some(Zeroizing::new(claims)), ..self.clone() }
    }

    /// The plaintext to seal.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut map = MapWriter::default();
        map.text(tag::ISSUER, &self.provider.issuer);
        map.text(tag::CLIENT_ID, &self.provider.client_id);
        map.bytes(tag::SID, &self.sid.0);
        map.unsigned(tag::GENERATION, self.generation.0);
        map.integer(tag::ISSUED_AT, self.issued_at.as_secs());
        map.integer(tag::ABSOLUTE_END, self.absolute_end.as_secs());
        map.maps(tag::ACCESS_TOKENS, self.access_tokens.iter().map(encode_access_token));
        map.optional_text(tag::REFRESH_TOKEN, self.refresh_token.as_ref().map(RefreshToken::expose));
        map.optional_text(tag::ID_TOKEN, self.id_token.as_ref().map(IdToken::expose));
        map.optional_text(tag::CLAIMS, self.claims.as_ref().map(|claims| claims.as_str()));
        map.unknown(&self.unknown);
        map.finish_plain()
    }

    /// Reads what [`Session::encode`] wrote, in this release or another.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn decode(plaintext: &[u8]) -> Result<Self, WireError> {
        let (mut issuer, mut client_id, mut sid) = (None, None, None);
        let (mut generation, mut issued_at, mut absolute_end) = (None, None, None);
        let (mut access_tokens, mut refresh_token, mut id_token, mut claims) = (None, None, None, None);
        let unknown = read_map(strip_codec(plaintext)?, |tag, decoder| {
            match tag {
                tag::ISSUER => issuer = Some(decoder.str()?.to_owned()),
                tag::CLIENT_ID => client_id = Some(decoder.str()?.to_owned()),
                tag::SID => {
                    sid = Some(SessionId(decoder.bytes()?.try_into().map_err(|_| WireError::Malformed)?));
                }
                tag::GENERATION => generation = Some(Generation(decoder.u64()?)),
                tag::ISSUED_AT => issued_at = Some(UnixTime::from_secs(decoder.i64()?)),
                tag::ABSOLUTE_END => absolute_end = Some(UnixTime::from_secs(decoder.i64()?)),
                tag::ACCESS_TOKENS => access_tokens = Some(read_list(decoder, decode_access_token)?),
                tag::REFRESH_TOKEN => refresh_token = Some(RefreshToken::new(decoder.str()?)),
                tag::ID_TOKEN => id_token = Some(IdToken::new(decoder.str()?)),
                tag::CLAIMS => claims = Some(Zeroizing::new(decoder.str()?.to_owned())),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self {
            provider: ProviderId {
                issuer: issuer.ok_or(WireError::Missing(tag::ISSUER))?,
                client_id: client_id.ok_or(WireError::Missing(tag::CLIENT_ID))?,
            },
            sid: sid.ok_or(WireError::Missing(tag::SID))?,
            generation: generation.ok_or(WireError::Missing(tag::GENERATION))?,
            issued_at: issued_at.ok_or(WireError::Missing(tag::ISSUED_AT))?,
            absolute_end: absolute_end.ok_or(WireError::Missing(tag::ABSOLUTE_END))?,
            access_tokens: access_tokens.ok_or(WireError::Missing(tag::ACCESS_TOKENS))?,
            refresh_token,
            id_token,
            claims,
            unknown,
        })
    }
}

fn encode_access_token(stored: &StoredAccessToken) -> MapWriter {
    let mut map = MapWriter::default();
    map.text(tag::ACCESS_TOKEN, stored.token.expose());
    map.integer(tag::OBTAINED_AT, stored.obtained_at.as_secs());
    map.integer(tag::EXPIRES_AT, stored.expires_at.as_secs());
    map.optional_text(tag::SCOPE, stored.scope.as_deref());
    map.optional_text(tag::AUDIENCE, stored.audience.as_deref());
    map.unknown(&stored.unknown);
    map
}

fn decode_access_token(decoder: &mut minicbor::Decoder<'_>) -> Result<StoredAccessToken, WireError> {
    let (mut token, mut obtained_at, mut expires_at, mut scope, mut audience) = (None, None, None, None, None);
    let unknown = read_members(decoder, |tag, decoder| {
        match tag {
            tag::ACCESS_TOKEN => token = Some(AccessToken::new(decoder.str()?)),
            tag::OBTAINED_AT => obtained_at = Some(UnixTime::from_secs(decoder.i64()?)),
            tag::EXPIRES_AT => expires_at = Some(UnixTime::from_secs(decoder.i64()?)),
            tag::SCOPE => scope = Some(decoder.str()?.to_owned()),
            tag::AUDIENCE => audience = Some(decoder.str()?.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(StoredAccessToken {
        token: token.ok_or(WireError::Missing(tag::ACCESS_TOKEN))?,
        obtained_at: obtained_at.ok_or(WireError::Missing(tag::OBTAINED_AT))?,
        expires_at: expires_at.ok_or(WireError::Missing(tag::EXPIRES_AT))?,
        scope,
        audience,
        unknown,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    pub(crate) fn a_session() -> Session {
        let payload = URL_SAFE_NO_PAD.encode(br#"{"sub":"ada","name":"Ada"}"#);
        let minute = Duration::from_secs(60);
        let token = AccessToken::new("the access token");
        let new = NewSession {
            provider: ProviderId { issuer: "https://login.example.com".into(), client_id: "spa".into() },
            absolute_end: NOW.plus(minute * 480),
            access_token: StoredAccessToken::new(token, NOW, NOW.plus(minute * 5), Some("openid".into())),
            refresh_token: Some(RefreshToken::new("the refresh token")),
            id_token: IdToken::new(format!("e30.{payload}.c2ln")),
        };
        Session::begin(SessionId([7; 16]), new, NOW)
    }

    #[test]
    fn a_session_survives_the_round_trip() {
        let session = a_session();
        assert!(Session::decode(&session.encode()).expect("ours") == session);
    }

    #[test]
    fn generations_of_all_sixty_four_bits_survive_the_round_trip() {
        let session = Session { generation: Generation(u64::MAX), ..a_session() };
        assert!(Session::decode(&session.encode()).expect("ours") == session);
    }

    #[test]
    fn members_of_a_later_release_survive_a_refresh_by_this_one() {
        let mut map = MapWriter::default();
        map.text(4711, "from the future");
        let mut plaintext = a_session().encode().to_vec();
        let later = map.finish();
        // One more member: the count in the map's first byte goes up by one.
        plaintext[1] += 1;
        plaintext.extend_from_slice(&later[1..]);
        let session = Session::decode(&plaintext).expect("a later release's");
        let token = session.access_tokens[0].clone();
        let next = session.refreshed(token, None, None, NOW);
        assert!(next.encode().windows(15).any(|window| window == b"from the future"));
    }

    /// RFC 6749 §6.
    #[test]
    fn a_new_refresh_token_replaces_the_old_and_an_omitted_one_keeps_it() {
        let session = a_session();
        let token = session.access_tokens[0].clone();
        let kept = session.refreshed(token.clone(), None, None, NOW);
        assert_eq!(kept.refresh_token, session.refresh_token);
        assert_eq!(kept.generation, Generation(1));
        let replaced = kept.refreshed(token, Some(RefreshToken::new("new")), None, NOW);
        assert_eq!(replaced.refresh_token, Some(RefreshToken::new("new")));
        assert_eq!(replaced.generation, Generation(2));
    }

    #[test]
    fn claims_outlive_the_id_token_that_brought_them() {
        let session = a_session();
        assert_eq!(session.claims()["name"], "Ada");
        let smaller = session.without_id_token();
        assert_eq!(smaller.claims(), session.claims());
        let again = Session::decode(&smaller.encode()).expect("ours");
        assert_eq!(again.claims()["sub"], "ada");
        assert!(again.id_token.is_none());
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?}", a_session());
        assert!(!shown.contains("token\"") && !shown.contains("the access") && shown.contains("[redacted]"), "{shown}");
    }
}
