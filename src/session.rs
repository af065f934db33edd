//! The session: who is signed in, with which tokens, until when; and the cookies that carry it.
//!
//! Must never learn of HTTP servers: it takes `Cookie` values and gives `Set-Cookie` values. Login and refresh write
//! the session cookie, nobody else, so that a late response can never bring an older refresh token back.

mod access_token;
pub mod budget;
pub mod cookies;
pub mod inspect;
pub mod login_transaction;
pub mod logout_state;
mod payload;
pub mod providers;
pub mod refresh_marker;
pub mod seen;
mod session_id;
mod session_time;
pub mod store;
pub mod tombstone;
pub mod wire;

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Map, Value};

pub use self::access_token::StoredAccessToken;
pub use self::payload::WriteFormat;
use self::payload::{Deferred, Rest};
pub use self::session_id::{SessionId, SessionIdError};
use self::wire::UnknownMembers;
use crate::base64url::BASE64URL;
use crate::clock::UnixTime;
use crate::oidc::{ProviderSettings, TokenNeed, beside_id_token, merge_userinfo};
use crate::secret::{IdToken, RefreshToken, SecretBytes, SecretString};

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
    /// How the payload is written; every format of this release and of earlier ones is read.
    pub write_format: WriteFormat,
}

/// The cookie attribute of that name (RFC 6265bis §5.6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Only requests that come from our own site.
    Strict,
    /// Also top-level navigations from elsewhere.
    Lax,
    /// Every request: for login cookies alone, where the provider's page posts its answer. Needs `Secure`.
    None,
}

/// The shape of the answer of `/bff/user`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserFormat {
    /// One object, a member a claim.
    Object,
    /// A list of `{"type":…,"value":…}`, as Duende's BFF answers.
    Duende {
        /// Whether it is 200 and `null` when nobody is signed in, in place of 401.
        anonymous_is_null: bool,
    },
}

/// The registration that a session was opened with: both must match the configuration when the cookie comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderId {
    /// The provider's issuer.
    pub issuer: String,
    /// Our client identifier there.
    pub client_id: String,
}

impl From<&ProviderSettings> for ProviderId {
    fn from(settings: &ProviderSettings) -> Self {
        Self { issuer: settings.issuer.clone(), client_id: settings.client_id.clone() }
    }
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
    /// The access tokens; the first is the login's, for the provider's default audience, and always there. Behind it stand
    /// those that routes asked for, in the order in which they were obtained.
    pub access_tokens: Vec<StoredAccessToken>,
    unknown: UnknownMembers,
    rest: Deferred,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sid, generation, issued_at, absolute_end, .. } = self;
        write!(f, "Session {{ sid: {sid:?}, gen: {}, {issued_at} to {absolute_end}, [redacted] }}", generation.0)
    }
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
            unknown: UnknownMembers::default(),
            rest: Rest { refresh_token: new.refresh_token, id_token: Some(new.id_token), ..Rest::default() }.into(),
        }
    }

    /// The session after a refresh of the login's own access token; a new refresh token replaces the old, an omitted one
    /// keeps it (RFC 6749 §6), and likewise for the ID token. Tokens for other needs stay while they are valid.
    #[must_use]
    pub fn refreshed(
        &self,
        access_token: StoredAccessToken,
        refresh_token: Option<RefreshToken>,
        id_token: Option<IdToken>,
        now: UnixTime,
    ) -> Self {
        let tokens = std::iter::once(access_token).chain(self.others(now).cloned()).collect();
        self.next(tokens, refresh_token, id_token, now)
    }

    /// As [`Session::refreshed`], with a token for `need` beside the login's own; without a token it only takes over the
    /// rest.
    #[must_use]
    pub fn refreshed_for(
        &self,
        need: &TokenNeed,
        access_token: Option<StoredAccessToken>,
        refresh_token: Option<RefreshToken>,
        id_token: Option<IdToken>,
        now: UnixTime,
    ) -> Self {
        let others = self.others(now).filter(|stored| !stored.is_for(need));
        let kept = self.access_tokens.first().into_iter().chain(others).cloned();
        let tokens = kept.chain(access_token.map(|stored| stored.asked_for(need))).collect();
        self.next(tokens, refresh_token, id_token, now)
    }

    /// The valid tokens behind the login's own.
    fn others(&self, now: UnixTime) -> impl Iterator<Item = &StoredAccessToken> {
        self.access_tokens.iter().skip(1).filter(move |stored| now < stored.expires_at)
    }

    fn next(
        &self,
        access_tokens: Vec<StoredAccessToken>,
        refresh_token: Option<RefreshToken>,
        id_token: Option<IdToken>,
        now: UnixTime,
    ) -> Self {
        let mut rest = self.rest.whole().clone();
        if refresh_token.is_some() {
            rest.refresh_token = refresh_token;
        }
        if id_token.is_some() {
            rest.id_token = id_token;
            rest.claims = None;
        }
        Self {
            provider: self.provider.clone(),
            sid: self.sid,
            generation: self.generation.next(),
            issued_at: now,
            absolute_end: self.absolute_end,
            access_tokens,
            unknown: self.unknown.clone(),
            rest: rest.into(),
        }
    }

    /// The session with these claims of UserInfo beside its ID token's, in place of those that it had; without any for
    /// `None`. What the ID token says too is not kept twice.
    #[must_use]
    pub fn with_userinfo(self, userinfo: Option<Map<String, Value>>) -> Self {
        let userinfo = userinfo.and_then(|mut userinfo| {
            beside_id_token(&mut userinfo, &self.id_token_claims());
            (!userinfo.is_empty()).then(|| SecretString::new(Value::Object(userinfo).to_string()))
        });
        Self { rest: Rest { userinfo, ..self.rest.whole().clone() }.into(), ..self }
    }

    /// The access token for the provider's default audience.
    pub fn access_token(&self) -> Option<&StoredAccessToken> {
        self.access_tokens.first()
    }

    /// The access token for `need`; for none, the login's own.
    pub fn access_token_for(&self, need: Option<&TokenNeed>) -> Option<&StoredAccessToken> {
        match need {
            None => self.access_token(),
            Some(need) => self.access_tokens.iter().skip(1).find(|stored| stored.is_for(need)),
        }
    }

    /// The refresh token, where the provider gave one.
    pub fn refresh_token(&self) -> Option<&RefreshToken> {
        self.rest.whole().refresh_token.as_ref()
    }

    /// The ID token, for `id_token_hint`; left out when the session would not fit.
    pub fn id_token(&self) -> Option<&IdToken> {
        self.rest.whole().id_token.as_ref()
    }

    /// The user's claims, of the ID token and of UserInfo; empty where they cannot be read.
    pub fn claims(&self) -> Map<String, Value> {
        let mut claims = self.id_token_claims();
        if let Some(userinfo) = self.userinfo() {
            merge_userinfo(&mut claims, userinfo);
        }
        claims
    }

    /// The claims of UserInfo beside the ID token's, where there are any.
    fn userinfo(&self) -> Option<Map<String, Value>> {
        let userinfo = self.rest.whole().userinfo.as_ref()?;
        Some(serde_json::from_str(userinfo.expose()).unwrap_or_default())
    }

    fn id_token_claims(&self) -> Map<String, Value> {
        let json = match self.rest.whole() {
            Rest { id_token: Some(id_token), .. } => {
                let payload = id_token.expose().split('.').nth(1).unwrap_or_default();
                SecretBytes::from(BASE64URL.decode(payload).unwrap_or_default())
            }
            Rest { claims: Some(claims), .. } => SecretBytes::from(claims.expose().as_bytes().to_vec()),
            _ => return Map::new(),
        };
        serde_json::from_slice(&json).unwrap_or_default()
    }

    /// The name of the largest part, and its characters.
    fn largest_part(&self) -> (&'static str, usize) {
        let Rest { refresh_token, id_token, claims, userinfo, .. } = self.rest.whole();
        let parts = [
            ("access token", self.access_tokens.iter().map(|stored| stored.token.expose().len()).max()),
            ("refresh token", refresh_token.as_ref().map(|token| token.expose().len())),
            ("ID token", id_token.as_ref().map(|token| token.expose().len())),
            ("ID token's claims", claims.as_ref().map(|claims| claims.expose().len())),
            ("claims from UserInfo", userinfo.as_ref().map(|claims| claims.expose().len())),
        ];
        let largest = parts.into_iter().max_by_key(|(_, length)| *length);
        largest.map_or(("access token", 0), |(name, length)| (name, length.unwrap_or(0)))
    }

    /// The same session without the token that has been there for longest, of those that can be had again; never the
    /// login's own, nor the one for `kept`. Gives what it was for, too.
    pub(crate) fn without_oldest_token(&self, kept: Option<&TokenNeed>) -> Option<(Self, TokenNeed)> {
        let may_go = |stored: &StoredAccessToken| !kept.is_some_and(|kept| stored.is_for(kept));
        let at = self.access_tokens.iter().skip(1).position(may_go)? + 1;
        let mut smaller = self.clone();
        let gone = smaller.access_tokens.remove(at);
        Some((smaller, gone.need()))
    }

    /// The same session without its ID token, whose claims stay: for when the whole would not fit.
    #[must_use]
    pub fn without_id_token(&self) -> Self {
        let claims = Some(SecretString::new(Value::Object(self.id_token_claims()).to_string()));
        Self { rest: Rest { id_token: None, claims, ..self.rest.whole().clone() }.into(), ..self.clone() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::secret::AccessToken;

    pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    pub(crate) fn a_session() -> Session {
        let payload = BASE64URL.encode(br#"{"sub":"ada","name":"Ada"}"#);
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

    /// RFC 6749 §6.
    #[test]
    fn a_new_refresh_token_replaces_the_old_and_an_omitted_one_keeps_it() {
        let session = a_session();
        let token = session.access_tokens[0].clone();
        let kept = session.refreshed(token.clone(), None, None, NOW);
        assert_eq!(kept.refresh_token(), session.refresh_token());
        assert_eq!(kept.generation, Generation(1));
        let replaced = kept.refreshed(token, Some(RefreshToken::new("new")), None, NOW);
        assert_eq!(replaced.refresh_token(), Some(&RefreshToken::new("new")));
        assert_eq!(replaced.generation, Generation(2));
    }

    #[test]
    fn claims_outlive_the_id_token_that_brought_them() {
        let session = a_session();
        assert_eq!(session.claims()["name"], "Ada");
        let smaller = session.without_id_token();
        assert_eq!(smaller.claims(), session.claims());
        let again = Session::decode(smaller.encode(WriteFormat::default())).expect("ours");
        assert_eq!(again.claims()["sub"], "ada");
        assert!(again.id_token().is_none());
    }

    fn userinfo(claims: Value) -> Option<Map<String, Value>> {
        claims.as_object().cloned()
    }

    #[test]
    fn claims_of_userinfo_stand_beside_the_id_token_s_and_outlive_it() {
        let session = a_session().with_userinfo(userinfo(serde_json::json!({"name": "Ada", "groups": ["staff"]})));
        for session in [session.clone(), session.without_id_token()] {
            for format in [WriteFormat::Plain, WriteFormat::Zstd1] {
                let again = Session::decode(session.encode(format)).expect("ours");
                assert_eq!(
                    Value::Object(again.claims()),
                    serde_json::json!({"sub":"ada","name":"Ada","groups":["staff"]})
                );
            }
        }
    }

    /// CVE-2021-41230: what the ID token or UserInfo no longer says is gone.
    #[test]
    fn newer_claims_of_userinfo_replace_all_older_ones() {
        let session = a_session().with_userinfo(userinfo(serde_json::json!({"groups": ["staff"], "age": 3})));
        let token = session.access_tokens[0].clone();
        let next = session.refreshed(token, None, None, NOW);
        assert_eq!(next.claims()["age"], 3, "kept until there are newer ones");
        let next = next.with_userinfo(userinfo(serde_json::json!({"groups": []})));
        assert_eq!(Value::Object(next.claims()), serde_json::json!({"sub": "ada", "name": "Ada", "groups": []}));
        assert_eq!(next.with_userinfo(None).claims(), a_session().claims());
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?}", a_session());
        assert!(!shown.contains("token\"") && !shown.contains("the access") && shown.contains("[redacted]"), "{shown}");
    }
}
