//! Opens the session that a request carries and writes the cookies of a new one. There is no store behind it: what it
//! knows, the request brought.
//!
//! Reasons for being signed out are for the log; a client learns no more than that it is.

mod logins;
mod logouts;
mod memo;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use self::logins::{LoginDelivery, Visible};
use self::memo::Memo;
use crate::clock::{Clock, UnixTime};
use crate::oidc::TokenNeed;
use crate::seal::{OpenError, Purpose, SealError, Sealer, sealed_characters};
use crate::secret::SecretBytes;
use crate::session::budget::CookieBudget;
use crate::session::cookies::{
    AFFINITY_COOKIE, CookieNames, RequestCookies, SessionCookie, SetCookie, TooManyChunks, characters_in_line,
    delete_cookie, session_lines, set_cookie,
};
use crate::session::refresh_marker::{self, RefreshMarker};
use crate::session::seen::Seen;
use crate::session::tombstone::{Ended, Tombstone};
use crate::session::wire::WireError;
use crate::session::{ProviderId, SameSite, Session, SessionId, SessionSettings};

/// Opens and writes sessions for one site. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Sessions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sealer: Sealer,
    names: CookieNames,
    settings: SessionSettings,
    providers: Vec<ProviderId>,
    clock: Clock,
    skew: Duration,
    budget: CookieBudget,
    opened: Memo<Session>,
    opened_seen: Memo<Seen>,
    warned_of_chunks: AtomicBool,
}

/// A session that is good now.
#[derive(Debug)]
pub struct ActiveSession {
    /// What the cookie holds.
    pub session: Arc<Session>,
    /// The last activity that is known, this request's not counted.
    pub last_seen: UnixTime,
    /// Characters of the session cookie's values in this request.
    pub cookie_characters: usize,
}

/// Why a request has no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignedOut {
    /// It carries no session cookie.
    #[error("no session cookie")]
    NoCookie,
    /// The cookies do not make up one value.
    #[error("the session cookie's parts do not fit together")]
    Broken,
    /// The value does not open.
    #[error("the session cookie does not open: {0}")]
    DoesNotOpen(#[from] OpenError),
    /// The value opens and does not read.
    #[error("the session cookie does not read: {0}")]
    DoesNotRead(#[from] WireError),
    /// It was made for another issuer or client.
    #[error("the session is of another provider or client")]
    OtherProvider,
    /// It says that it was sealed later than now, beyond the clocks' tolerance.
    #[error("the session comes from the future")]
    FromTheFuture,
    /// Its absolute end has passed.
    #[error("the session has reached its absolute end")]
    Expired(Arc<Session>),
    /// Nothing happened for longer than the idle time.
    #[error("the session was idle for too long")]
    Idle(Arc<Session>),
    /// A tombstone names it: the browser signed out of it, and a late response brought it back.
    #[error("the session was ended in this browser")]
    Ended(Arc<Session>),
}

/// A session as the very cookies that carry it.
#[derive(Clone, Debug)]
pub struct SealedSession {
    /// What was sealed.
    pub session: Arc<Session>,
    lines: Vec<SetCookie>,
}

impl SealedSession {
    #[cfg(test)]
    pub(crate) fn for_tests(session: Arc<Session>, lines: Vec<SetCookie>) -> Self {
        Self { session, lines }
    }

    /// How many cookies it is.
    pub fn chunks(&self) -> usize {
        self.lines.len()
    }

    /// What it adds to the `Cookie` line.
    pub fn characters(&self) -> usize {
        self.lines.iter().map(|line| line.find(';').unwrap_or(line.len()) + 2).sum()
    }

    /// Bytes that it takes to keep.
    pub fn bytes(&self) -> usize {
        self.lines.iter().map(String::len).sum::<usize>() * 2
    }
}

/// Why a session cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealSessionError {
    /// See [`SealError`].
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Too large even without its ID token.
    #[error(transparent)]
    TooLarge(#[from] SessionTooLarge),
}

/// A session that does not fit our share of the `Cookie` line; sizes only, so that it may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the session needs {characters} characters of cookies, {possible} are possible; the largest part is the {largest} of {largest_characters} characters"
)]
pub struct SessionTooLarge {
    /// Characters of the cookies.
    pub characters: usize,
    /// How many there may be.
    pub possible: usize,
    /// The largest part: one of the tokens, or the ID token's claims, which stay when the ID token itself has gone.
    pub largest: &'static str,
    /// Its characters, before it was packed.
    pub largest_characters: usize,
}

impl Sessions {
    /// Sessions of one site and its registrations. `skew` is how far replicas' clocks may be apart.
    pub fn new(
        sealer: Sealer,
        names: CookieNames,
        settings: SessionSettings,
        providers: Vec<ProviderId>,
        clock: Clock,
        skew: Duration,
    ) -> Self {
        let budget = CookieBudget::new(&names, &providers);
        Self(Arc::new(Inner {
            sealer,
            names,
            settings,
            providers,
            clock,
            skew,
            budget,
            opened: Memo::new(),
            opened_seen: Memo::new(),
            warned_of_chunks: AtomicBool::new(false),
        }))
    }

    /// The names of our cookies.
    pub fn names(&self) -> &CookieNames {
        &self.0.names
    }

    /// What the configuration says of sessions.
    pub fn settings(&self) -> &SessionSettings {
        &self.0.settings
    }

    /// The request's session.
    ///
    /// # Errors
    /// See [`SignedOut`].
    pub fn open(&self, cookies: &RequestCookies) -> Result<ActiveSession, SignedOut> {
        let Inner { names, settings, providers, clock, skew, .. } = &*self.0;
        let (sealed, cookie_characters) = match cookies.session(names) {
            SessionCookie::Absent => return Err(SignedOut::NoCookie),
            SessionCookie::Broken => return Err(SignedOut::Broken),
            SessionCookie::Present { sealed, characters } => (sealed, characters),
        };
        let session = self.read(&sealed)?;
        let now = clock.now();
        if !providers.contains(&session.provider) {
            return Err(SignedOut::OtherProvider);
        }
        if session.issued_at > now.plus(*skew) {
            return Err(SignedOut::FromTheFuture);
        }
        if now >= session.absolute_end {
            return Err(SignedOut::Expired(session));
        }
        if self.tombstone(cookies).names(&session.sid) {
            return Err(SignedOut::Ended(session));
        }
        let last_seen = self.last_seen(cookies, &session);
        if now >= last_seen.plus(settings.idle_timeout) {
            return Err(SignedOut::Idle(session));
        }
        Ok(ActiveSession { session, last_seen, cookie_characters })
    }

    /// What a session cookie says.
    fn read(&self, sealed: &str) -> Result<Arc<Session>, SignedOut> {
        let Inner { names, opened, .. } = &*self.0;
        self.read_by_way_of(opened, Purpose::Session, names.session(), sealed, Session::decode)
    }

    /// What a cookie says, opened now or a moment ago.
    fn read_by_way_of<T>(
        &self,
        opened: &Memo<T>,
        purpose: Purpose,
        name: &str,
        sealed: &str,
        decode: impl FnOnce(SecretBytes) -> Result<T, WireError>,
    ) -> Result<Arc<T>, SignedOut> {
        let sealer = &self.0.sealer;
        let ring = sealer.ring();
        if let Some(content) = opened.find(sealed, &ring) {
            // The key may have come to its end since.
            sealer.check_key(sealed)?;
            return Ok(content);
        }
        let content = Arc::new(decode(sealer.open(purpose, name, sealed)?)?);
        opened.keep(sealed, &content, &ring);
        Ok(content)
    }

    /// Forgets cookies that no request has shown since this was last called. To be called from time to time.
    pub fn forget_unused(&self) {
        self.0.opened.forget_unused();
        self.0.opened_seen.forget_unused();
    }

    /// Seals a session. What can be had again is left out where it would not fit otherwise: first the ID token, then the
    /// access tokens that routes asked for, the oldest first.
    ///
    /// # Errors
    /// See [`SealSessionError`].
    pub fn seal(&self, session: Session) -> Result<SealedSession, SealSessionError> {
        self.seal_for(session, None)
    }

    /// As [`Sessions::seal`], but the token for `need`, which was just obtained, stays.
    ///
    /// # Errors
    /// See [`SealSessionError`].
    pub fn seal_for(&self, session: Session, need: Option<&TokenNeed>) -> Result<SealedSession, SealSessionError> {
        let mut attempt = self.seal_as_it_is(Arc::new(session));
        loop {
            match attempt {
                Err((session, DoesNotFit::TooLarge(_))) if let Some(smaller) = smaller(&session, need) => {
                    attempt = self.seal_as_it_is(Arc::new(smaller));
                }
                sealed => return sealed.map_err(|(session, error)| self.public(error, &session)),
            }
        }
    }

    fn seal_as_it_is(&self, session: Arc<Session>) -> Result<SealedSession, (Arc<Session>, DoesNotFit)> {
        let Inner { sealer, names, settings, clock, budget, .. } = &*self.0;
        let plaintext = session.encode(settings.write_format);
        // Known before it is sealed, so that what does not fit is not encrypted for nothing.
        let around: usize = names.chunks().iter().map(|name| characters_in_line(name.len(), 0)).sum();
        let count_character = 1;
        let characters = sealed_characters(plaintext.len()) + around + count_character;
        if characters > budget.session() {
            return Err((session, DoesNotFit::TooLarge(characters)));
        }
        let sealed = match sealer.seal(Purpose::Session, names.session(), &plaintext) {
            Ok(sealed) => sealed,
            Err(error) => return Err((session, DoesNotFit::Seal(error))),
        };
        let max_age = settings.persistent.then(|| clock.now().until(session.absolute_end));
        match session_lines(names, &sealed, settings.same_site, max_age) {
            Ok(lines) => {
                let sealed = SealedSession { session, lines };
                self.warn_of_chunks(&sealed);
                Ok(sealed)
            }
            Err(TooManyChunks { characters }) => Err((session, DoesNotFit::TooLarge(characters))),
        }
    }

    /// Once a process: it is the configuration's doing, here or at the provider, and no request's.
    fn warn_of_chunks(&self, sealed: &SealedSession) {
        if sealed.chunks() == 1 || self.0.warned_of_chunks.swap(true, Ordering::Relaxed) {
            return;
        }
        let (largest, largest_characters) = sealed.session.largest_part();
        let set_cookie_bytes: usize = sealed.lines.iter().map(|line| line.len() + "set-cookie: \r\n".len()).sum();
        tracing::warn!(
            cookies = sealed.chunks(),
            characters = sealed.characters(),
            set_cookie_bytes,
            largest,
            largest_characters,
            "a session needs more than one cookie; nginx in front answers its login and refresh with 502 unless \
             proxy_buffer_size is above the response's head: set `proxy_buffer_size 16k; proxy_buffers 8 16k;`, or ask \
             the provider for fewer groups, claims and scopes, so that the session fits one"
        );
    }

    fn public(&self, error: DoesNotFit, session: &Session) -> SealSessionError {
        let characters = match error {
            DoesNotFit::Seal(error) => return error.into(),
            DoesNotFit::TooLarge(characters) => characters,
        };
        let (largest, largest_characters) = session.largest_part();
        SessionTooLarge { characters, possible: self.0.budget.session(), largest, largest_characters }.into()
    }

    /// The `Set-Cookie` values that bring a sealed session to the browser whose request carried `cookies`: chunks that
    /// it carried and the new value does not use are deleted, and logins that leave it no room, the oldest first.
    pub fn deliver(&self, sealed: &SealedSession, cookies: &RequestCookies) -> Vec<SetCookie> {
        self.deliver_beside(sealed, cookies, None, false)
    }

    fn deliver_beside(
        &self,
        sealed: &SealedSession,
        cookies: &RequestCookies,
        finished_login: Option<&str>,
        it_lingers: bool,
    ) -> Vec<SetCookie> {
        let names = self.names();
        let unused = names.chunks()[sealed.lines.len()..].iter().filter(|name| cookies.has(name));
        let deletions = unused.map(|name| delete_cookie(names, name, self.0.settings.same_site));
        let evictions = self.make_room_for(sealed, cookies, finished_login, it_lingers);
        sealed.lines.iter().cloned().chain(deletions).chain(evictions).collect()
    }

    /// The `Set-Cookie` values that end a session here: all chunks and the activity go, a tombstone stays.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn end(&self, session: &Session, cookies: &RequestCookies) -> Result<Vec<SetCookie>, SealError> {
        let mut lines = self.delete_session();
        lines.push(self.bury(session.into(), cookies)?);
        Ok(lines)
    }

    /// The `Set-Cookie` values that delete the session's cookies.
    pub fn delete_session(&self) -> Vec<SetCookie> {
        let Inner { names, settings, .. } = &*self.0;
        let all = names.chunks().iter().map(String::as_str).chain([names.seen(), AFFINITY_COOKIE]);
        all.map(|name| delete_cookie(names, name, settings.same_site)).collect()
    }

    /// The `Set-Cookie` values that delete every cookie of ours that the request carries, the session's first.
    pub fn delete_all(&self, cookies: &RequestCookies) -> Vec<SetCookie> {
        let Inner { names, settings, .. } = &*self.0;
        let mut carried = cookies.names();
        carried.sort_by_key(|name| !names.chunks().iter().any(|chunk| chunk == name));
        carried.into_iter().map(|name| delete_cookie(names, name, settings.same_site)).collect()
    }

    /// The tombstone that names `ended` and those that the browser's own tombstone named before. Always lax: the
    /// callback, which comes from another site, must see the old one to add to it.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn bury(&self, ended: Ended, cookies: &RequestCookies) -> Result<SetCookie, SealError> {
        let Inner { sealer, names, clock, .. } = &*self.0;
        let now = clock.now();
        let tombstone = self.tombstone(cookies).with(ended, now);
        let sealed = sealer.seal(Purpose::Tombstone, names.tombstone(), &tombstone.encode())?;
        let max_age = now.until(tombstone.until().unwrap_or(now));
        Ok(set_cookie(names, names.tombstone(), &sealed, SameSite::Lax, Some(max_age)))
    }

    /// The sessions that this browser has ended.
    pub fn ended(&self, cookies: &RequestCookies) -> impl Iterator<Item = SessionId> + use<> {
        let entries = self.tombstone(cookies).entries().to_vec();
        entries.into_iter().map(|ended| ended.sid)
    }

    fn tombstone(&self, cookies: &RequestCookies) -> Tombstone {
        let Inner { sealer, names, .. } = &*self.0;
        let Ok(Some(value)) = cookies.value(names.tombstone()) else { return Tombstone::default() };
        let opened = sealer.open(Purpose::Tombstone, names.tombstone(), value).ok();
        opened.and_then(|plaintext| Tombstone::decode(&plaintext).ok()).unwrap_or_default()
    }

    /// The cookie that records activity now, when it is due; none when the last record is young enough.
    pub fn touch(&self, active: &ActiveSession) -> Option<SetCookie> {
        let Inner { sealer, names, settings, clock, .. } = &*self.0;
        let now = clock.now();
        if !Seen::is_due(active.last_seen, now, settings.idle_timeout) {
            return None;
        }
        let seen = Seen { sid: active.session.sid, at: now };
        let sealed = sealer.seal(Purpose::Seen, names.seen(), &seen.encode()).ok()?;
        let max_age = settings.persistent.then_some(settings.idle_timeout);
        Some(set_cookie(names, names.seen(), &sealed, settings.same_site, max_age))
    }

    /// The newest of: when the session was sealed (login and refresh are activity), what the activity cookie says.
    fn last_seen(&self, cookies: &RequestCookies, session: &Session) -> UnixTime {
        let Inner { names, clock, skew, .. } = &*self.0;
        let recorded = || {
            let seen = self.read_seen(cookies.value(names.seen()).ok()??)?;
            (seen.sid == session.sid && seen.at <= clock.now().plus(*skew)).then_some(seen.at)
        };
        recorded().map_or(session.issued_at, |at| at.max(session.issued_at))
    }

    /// What an activity cookie says.
    fn read_seen(&self, sealed: &str) -> Option<Arc<Seen>> {
        let Inner { names, opened_seen, .. } = &*self.0;
        let decode = |plaintext: SecretBytes| Seen::decode(&plaintext);
        self.read_by_way_of(opened_seen, Purpose::Seen, names.seen(), sealed, decode).ok()
    }

    fn affinity(&self, session: &Session) -> SetCookie {
        let Inner { names, settings, clock, .. } = &*self.0;
        let max_age = settings.persistent.then(|| clock.now().until(session.absolute_end));
        set_cookie(names, AFFINITY_COOKIE, &session.sid.affinity(), settings.same_site, max_age)
    }

    /// Since when this browser's session of exactly this generation is known to be unusable, if it is.
    pub fn refresh_marker(&self, session: &Session, cookies: &RequestCookies) -> Option<UnixTime> {
        let Inner { sealer, names, .. } = &*self.0;
        let value = cookies.value(names.refresh_marker()).ok()??;
        let plaintext = sealer.open(Purpose::RefreshMarker, names.refresh_marker(), value).ok()?;
        let marker = RefreshMarker::decode(&plaintext).ok()?;
        (marker.sid == session.sid && marker.generation == session.generation).then_some(marker.since)
    }

    /// The cookie that says since when this generation is unusable; it lasts ten seconds.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn mark_refresh(&self, session: &Session, since: UnixTime) -> Result<SetCookie, SealError> {
        let Inner { sealer, names, settings, .. } = &*self.0;
        let marker = RefreshMarker { sid: session.sid, generation: session.generation, since };
        let sealed = sealer.seal(Purpose::RefreshMarker, names.refresh_marker(), &marker.encode())?;
        let max_age = Some(refresh_marker::LIFETIME);
        Ok(set_cookie(names, names.refresh_marker(), &sealed, settings.same_site, max_age))
    }
}

/// The session without the next thing that can be spared.
fn smaller(session: &Session, need: Option<&TokenNeed>) -> Option<Session> {
    if session.id_token().is_some() {
        tracing::info!(sid = ?session.sid, "the session is too large for its ID token, which is left out");
        return Some(session.without_id_token());
    }
    let (smaller, gone) = session.without_oldest_token(need)?;
    tracing::debug!(sid = ?session.sid, need = %gone, "the session is too large for all its access tokens; one is left out");
    Some(smaller)
}

enum DoesNotFit {
    Seal(SealError),
    TooLarge(usize),
}

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
mod budget_tests;

#[cfg(test)]
mod spare_tests;
