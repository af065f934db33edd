//! Describes our cookies for people: what they are, whether their parts fit together, and what an opened one holds.
//!
//! Dates, sizes and names of claims only. Must never give out a token, or the value of a claim.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::base64url::BASE64URL;
use crate::clock::UnixTime;
use crate::seal::Purpose;
use crate::secret::SecretBytes;
use crate::session::cookies::{AFFINITY_COOKIE, CookieNames, MAX_CHUNKS, RequestCookies};
use crate::session::login_transaction::{self, LoginTransaction};
use crate::session::logout_state::LogoutState;
use crate::session::refresh_marker::RefreshMarker;
use crate::session::seen::Seen;
use crate::session::tombstone::Tombstone;
use crate::session::wire::WireError;
use crate::session::{Session, SessionId, StoredAccessToken};

/// What a cookie of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The session, all its chunks.
    Session,
    /// A chunk that the session's count leaves out, or whose session is missing.
    LeftOverChunk,
    /// The last activity.
    Activity,
    /// The sessions that were ended in this browser.
    Tombstone,
    /// A refresh that another replica may have won.
    ConflictMarker,
    /// A login on its way.
    Login,
    /// What load balancers hash a session by; not sealed.
    Affinity,
    /// Named like ours, and not known to this release.
    Unknown,
}

impl Kind {
    /// The name, as it stands in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::LeftOverChunk => "left-over-chunk",
            Self::Activity => "activity",
            Self::Tombstone => "tombstone",
            Self::ConflictMarker => "conflict-marker",
            Self::Login => "login",
            Self::Affinity => "affinity",
            Self::Unknown => "unknown",
        }
    }

    /// The purpose, and the cookie's base name, that it is sealed for; none for what is not sealed, or not alone.
    pub fn sealed_for(self, names: &CookieNames) -> Option<(Purpose, &str)> {
        match self {
            Self::Session => Some((Purpose::Session, names.session())),
            Self::Activity => Some((Purpose::Seen, names.seen())),
            Self::Tombstone => Some((Purpose::Tombstone, names.tombstone())),
            Self::ConflictMarker => Some((Purpose::RefreshMarker, names.refresh_marker())),
            Self::Login => Some((Purpose::Login, names.login())),
            Self::LeftOverChunk | Self::Affinity | Self::Unknown => None,
        }
    }

    fn of(name: &str, names: &CookieNames) -> Self {
        let is_login = name.strip_prefix(names.login()).is_some_and(|rest| rest.starts_with('-'));
        match name {
            _ if name == names.session() => Self::Session,
            _ if names.chunks().iter().any(|chunk| chunk == name) => Self::LeftOverChunk,
            _ if name == names.seen() => Self::Activity,
            _ if name == names.tombstone() => Self::Tombstone,
            _ if name == names.refresh_marker() => Self::ConflictMarker,
            _ if is_login => Self::Login,
            AFFINITY_COOKIE => Self::Affinity,
            _ => Self::Unknown,
        }
    }
}

/// A cookie of ours in a request; a session's chunks are one.
#[derive(Debug)]
pub struct Found<'a> {
    /// Its name; that of chunk 0 for a session.
    pub name: &'a str,
    /// What it is for.
    pub kind: Kind,
    /// Characters of its value, of all chunks together.
    pub characters: usize,
    /// How many cookies it is made of.
    pub chunks: usize,
    /// Its value, a session's joined and without the count.
    pub value: Result<Cow<'a, str>, Damage>,
}

/// Why a cookie has no value that could be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The name stands more than once.
    #[error("{0} is there more than once, so that it cannot be told which one is meant")]
    Repeated(String),
    /// Chunk 0 without a number of chunks.
    #[error("its first character is not a number of chunks from 1 to {MAX_CHUNKS}")]
    NoCount,
    /// Fewer chunks than chunk 0 says.
    #[error("it should have {count} chunks, and {missing} is missing")]
    MissingChunk {
        /// The number that chunk 0 begins with.
        count: usize,
        /// The name of the first that is not there.
        missing: String,
    },
    /// The session took the chunks before this one, or is not there.
    #[error("the session does not count it: it is left over from a longer one")]
    LeftOver,
}

/// The cookies of ours in a `Cookie` field's value, in its order.
pub fn find<'a>(cookies: &'a RequestCookies, names: &CookieNames) -> Vec<Found<'a>> {
    let ours: Vec<(&str, &str)> = cookies.beginning_with("").collect();
    let count = cookies.value(names.session()).ok().flatten().and_then(count_of);
    let used = &names.chunks()[1..count.unwrap_or(1)];
    let alone = ours.iter().filter(|(name, _)| !used.iter().any(|chunk| chunk == name));
    alone
        .map(|&(name, value)| {
            let kind = Kind::of(name, names);
            let repeated = cookies.value(name).is_err().then(|| Damage::Repeated(name.to_owned()));
            let mut found = Found { name, kind, characters: value.len(), chunks: 1, value: Ok(Cow::Borrowed(value)) };
            match (repeated, kind) {
                (Some(repeated), _) => found.value = Err(repeated),
                (None, Kind::Session) => join(&mut found, value, cookies, used),
                (None, Kind::LeftOverChunk) => found.value = Err(Damage::LeftOver),
                (None, _) => {}
            }
            found
        })
        .collect()
}

/// Adds the chunks behind chunk 0.
fn join<'a>(session: &mut Found<'a>, first: &'a str, cookies: &'a RequestCookies, used: &[String]) {
    let Some(count) = count_of(first) else {
        session.value = Err(Damage::NoCount);
        return;
    };
    let mut sealed = Cow::Borrowed(&first[1..]);
    let mut damage = None;
    for name in used {
        match cookies.value(name) {
            Ok(Some(chunk)) if !chunk.is_empty() => {
                session.chunks += 1;
                session.characters += chunk.len();
                sealed.to_mut().push_str(chunk);
            }
            Ok(_) => {
                damage.get_or_insert(Damage::MissingChunk { count, missing: name.clone() });
            }
            Err(_) => {
                damage.get_or_insert(Damage::Repeated(name.clone()));
            }
        }
    }
    session.value = damage.map_or(Ok(sealed), Err);
}

fn count_of(first: &str) -> Option<usize> {
    let count = first.chars().next()?.to_digit(10).and_then(|digit| usize::try_from(digit).ok())?;
    (1..=MAX_CHUNKS).contains(&count).then_some(count)
}

/// What an opened cookie holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "holds")]
pub enum Contents {
    /// A session.
    Session(SessionContents),
    /// The last activity.
    Activity {
        /// The session's identifier, shortened.
        sid: String,
        /// When it was.
        at: UnixTime,
    },
    /// Ended sessions.
    Tombstone {
        /// Each of them.
        ended: Vec<EndedContents>,
    },
    /// A lost refresh.
    ConflictMarker {
        /// The session's identifier, shortened.
        sid: String,
        /// The generation that could not be refreshed.
        generation: u64,
        /// When that was first seen.
        since: UnixTime,
    },
    /// A logout at the provider; it travels as `state`, never as a cookie.
    Logout {
        /// The session's identifier, shortened.
        sid: String,
        /// When it began.
        at: UnixTime,
    },
    /// A login on its way.
    Login {
        /// When it began.
        started_at: UnixTime,
        /// When it ends.
        expires_at: UnixTime,
        /// Whether it replaces a session.
        replaces_session: bool,
        /// The registration that it was begun with.
        issuer: String,
        /// The client identifier of that.
        client_id: String,
    },
}

/// A session without its secrets.
#[derive(Debug, Serialize)]
pub struct SessionContents {
    /// Its identifier, shortened as in the log.
    pub sid: String,
    /// How many refreshes there were.
    pub generation: u64,
    /// When this very cookie was sealed.
    pub issued_at: UnixTime,
    /// When the session ends, whatever happens.
    pub absolute_end: UnixTime,
    /// The provider that it was opened with.
    pub issuer: String,
    /// The client identifier there.
    pub client_id: String,
    /// Its tokens.
    pub tokens: Vec<TokenContents>,
    /// Names of the claims that are kept in place of the ID token.
    pub kept_claims: Option<Vec<String>>,
    /// Names of the claims that UserInfo has beside the ID token's.
    pub userinfo_claims: Option<Vec<String>>,
}

/// One ended session.
#[derive(Debug, Serialize)]
pub struct EndedContents {
    /// Its identifier, shortened.
    pub sid: String,
    /// Its generation when it ended.
    pub generation: u64,
    /// Until when it is remembered.
    pub until: UnixTime,
}

/// A token's shape.
#[derive(Debug, Serialize)]
pub struct TokenContents {
    /// `access token`, `refresh token` or `ID token`.
    pub token: &'static str,
    /// The API that it was asked for: a resource or an audience; none: as at login.
    pub api: Option<String>,
    /// The scopes that it has, where they are known.
    pub scopes: Option<String>,
    /// Its length.
    pub characters: usize,
    /// Seconds that it was given to live, where it is known.
    pub lifetime: Option<u64>,
    /// When it expires, where it is known.
    pub expires_at: Option<UnixTime>,
    /// Whether it is a signed or an encrypted JWT, or neither.
    pub form: TokenForm,
    /// The names of its claims, where they can be read.
    pub claims: Vec<String>,
}

/// What a token's text looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenForm {
    /// A JWS of three parts with a JSON object in the middle (RFC 7515 §7.1).
    Jwt,
    /// Five parts, as of a JWE (RFC 7516 §7.1).
    Encrypted,
    /// Anything else.
    Opaque,
}

impl Contents {
    /// Reads an opened cookie of that purpose.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn read(purpose: Purpose, plaintext: SecretBytes) -> Result<Self, WireError> {
        Ok(match purpose {
            Purpose::Session => Self::Session(SessionContents::of(&Session::decode(plaintext)?)),
            Purpose::Seen => {
                let Seen { sid, at } = Seen::decode(&plaintext)?;
                Self::Activity { sid: shortened(sid), at }
            }
            Purpose::Tombstone => {
                let tombstone = Tombstone::decode(&plaintext)?;
                let ended = tombstone.entries().iter().map(|ended| EndedContents {
                    sid: shortened(ended.sid),
                    generation: ended.generation.0,
                    until: ended.until,
                });
                Self::Tombstone { ended: ended.collect() }
            }
            Purpose::RefreshMarker => {
                let RefreshMarker { sid, generation, since } = RefreshMarker::decode(&plaintext)?;
                Self::ConflictMarker { sid: shortened(sid), generation: generation.0, since }
            }
            Purpose::Logout => {
                let LogoutState { sid, at, .. } = LogoutState::decode(&plaintext)?;
                Self::Logout { sid: shortened(sid), at }
            }
            Purpose::Login => {
                let login = LoginTransaction::decode(&plaintext)?;
                Self::Login {
                    started_at: login.started_at,
                    expires_at: login.started_at.plus(login_transaction::LIFETIME),
                    replaces_session: login.replaces.is_some(),
                    issuer: login.provider.issuer,
                    client_id: login.provider.client_id,
                }
            }
        })
    }
}

impl SessionContents {
    fn of(session: &Session) -> Self {
        let access = session.access_tokens.iter().map(|stored| {
            let lifetime = Some(stored.lifetime());
            TokenContents::of("access token", stored.token.expose(), lifetime, Some(stored))
        });
        let refresh = session.refresh_token().into_iter().map(|token| {
            // Whatever it looks like: nobody but the provider may read it (RFC 6749 §1.5).
            let shape = TokenContents::of("refresh token", token.expose(), None, None);
            TokenContents { claims: Vec::new(), ..shape }
        });
        let id = session.id_token().into_iter().map(|token| TokenContents::of("ID token", token.expose(), None, None));
        Self {
            sid: shortened(session.sid),
            generation: session.generation.0,
            issued_at: session.issued_at,
            absolute_end: session.absolute_end,
            issuer: session.provider.issuer.clone(),
            client_id: session.provider.client_id.clone(),
            tokens: access.chain(refresh).chain(id).collect(),
            kept_claims: session.id_token().is_none().then(|| session.id_token_claims().keys().cloned().collect()),
            userinfo_claims: session.userinfo().map(|claims| claims.keys().cloned().collect()),
        }
    }
}

impl TokenContents {
    fn of(token: &'static str, text: &str, lifetime: Option<Duration>, stored: Option<&StoredAccessToken>) -> Self {
        let (form, claims) = shape(text);
        Self {
            token,
            api: stored.and_then(|stored| stored.resource.clone().or_else(|| stored.audience.clone())),
            scopes: stored.and_then(|stored| stored.scopes().map(str::to_owned)),
            characters: text.len(),
            lifetime: lifetime.map(|lifetime| lifetime.as_secs()),
            expires_at: stored.map(|stored| stored.expires_at),
            form,
            claims,
        }
    }
}

fn shape(token: &str) -> (TokenForm, Vec<String>) {
    let parts: Vec<&str> = token.split('.').collect();
    let claims = || {
        let payload = SecretBytes::from(BASE64URL.decode(parts[1]).ok()?);
        let claims: Map<String, Value> = serde_json::from_slice(&payload).ok()?;
        Some(claims.keys().cloned().collect())
    };
    match parts.len() {
        3 => claims().map_or((TokenForm::Opaque, Vec::new()), |claims| (TokenForm::Jwt, claims)),
        5 => (TokenForm::Encrypted, Vec::new()),
        _ => (TokenForm::Opaque, Vec::new()),
    }
}

/// As in the log: enough to follow a session, not enough for its logout link.
fn shortened(sid: SessionId) -> String {
    format!("{sid:?}")
}
