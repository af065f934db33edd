//! The part of [`Sessions`] that logins use: their transactions, and the session that one begins.

use crate::clock::UnixTime;
use crate::oidc::ResponseMode;
use crate::seal::{Purpose, SealError};
use crate::session::SameSite;
use crate::session::cookies::{RequestCookies, SetCookie, characters_in_line, delete_cookie, set_cookie};
use crate::session::login_transaction::{self, LoginTransaction, Replaced};
use crate::session::store::{Inner, SealedSession, Sessions};

/// Which of a browser's cookies a request shows (RFC 6265bis §5.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// All.
    All,
    /// Perhaps only those that are lax: another site has led here.
    PerhapsOnlyLax,
}

/// The `Set-Cookie` values of a finished login, in the order of their urgency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginDelivery {
    /// What brings the session, and deletes what it leaves no room for.
    pub session: Vec<SetCookie>,
    /// What [`Sessions::finish_login`] gives.
    pub finish: Vec<SetCookie>,
}

impl Sessions {
    /// The `Set-Cookie` values that begin a login: its own cookie, and deletions so that at most
    /// [`login_transaction::MAX_LIVE`] are left, and fewer where they would leave no room for the session.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn begin_login(
        &self,
        transaction: &LoginTransaction,
        cookies: &RequestCookies,
        visible: Visible,
    ) -> Result<Vec<SetCookie>, SealError> {
        let Inner { sealer, names, settings, budget, .. } = &*self.0;
        let sealed = sealer.seal(Purpose::Login, names.login(), &transaction.encode())?;
        let name = self.login_cookie(transaction.state.expose());
        // Strict cookies do not come back from the provider, nor lax ones with a form that its page posts.
        let same_site = match transaction.response_mode {
            ResponseMode::Query => SameSite::Lax,
            ResponseMode::FormPost => SameSite::None,
        };
        let mut lines = vec![set_cookie(names, &name, &sealed, same_site, Some(login_transaction::LIFETIME))];
        let session = cookies.characters_of(names.chunks());
        let may_be_hidden =
            session == 0 && settings.same_site == SameSite::Strict && visible == Visible::PerhapsOnlyLax;
        let room = if may_be_hidden { budget.logins_beside_any_session() } else { budget.logins_beside(session) };
        let room = room.saturating_sub(characters_in_line(name.len(), sealed.len()));
        lines.extend(self.evict_logins(cookies, None, login_transaction::MAX_LIVE - 1, room));
        Ok(lines)
    }

    /// Deletions of logins under way that would leave `sealed` no room; the finished one goes anyway, though, where it
    /// lingers, in a second step.
    pub(super) fn make_room_for(
        &self,
        sealed: &SealedSession,
        cookies: &RequestCookies,
        finished: Option<&str>,
        it_lingers: bool,
    ) -> Vec<SetCookie> {
        let room = self.0.budget.logins_beside(sealed.characters());
        let lingers = finished.filter(|_| it_lingers);
        let lingering = lingers.map_or(0, |name| cookies.characters_of(&[name.to_owned()]));
        let room = room.saturating_sub(lingering);
        self.evict_logins(cookies, finished, login_transaction::MAX_LIVE, room)
    }

    /// Deletions so that at most `most` logins of `room` characters together are left of those that the request
    /// carries; the oldest go first. The cookie `finished` is not counted.
    fn evict_logins(
        &self,
        cookies: &RequestCookies,
        finished: Option<&str>,
        most: usize,
        room: usize,
    ) -> Vec<SetCookie> {
        let names = self.names();
        let others = cookies.beginning_with(names.login()).filter(|(name, _)| Some(*name) != finished);
        let mut others: Vec<(&str, &str)> = others.collect();
        let size = |(name, value): &(&str, &str)| characters_in_line(name.len(), value.len());
        let (mut live, mut characters) = (others.len(), others.iter().map(size).sum::<usize>());
        if live <= most && characters <= room {
            return Vec::new();
        }
        // Unreadable ones go first: they have no start. Of the same second, browsers send the older one first
        // (RFC 6265bis §5.8.3), and the sort keeps that order.
        others.sort_by_cached_key(|(_, value)| self.open_login(value).map(|transaction| transaction.started_at));
        let mut deletions = Vec::new();
        for other in &others {
            if live <= most && characters <= room {
                break;
            }
            live -= 1;
            characters -= size(other);
            deletions.push(delete_cookie(names, other.0, SameSite::Lax));
        }
        deletions
    }

    /// When a session that begins now ends, whatever happens: never later than the keys that open it are kept for,
    /// should the ring have been given a shorter `max_session` since the start.
    pub fn absolute_end(&self) -> UnixTime {
        let Inner { sealer, settings, clock, .. } = &*self.0;
        clock.now().plus(settings.absolute_timeout.min(sealer.max_session()))
    }

    /// The live login transaction that `state` belongs to, if this browser has it.
    pub fn login_transaction(&self, state: &str, cookies: &RequestCookies) -> Option<LoginTransaction> {
        let Inner { providers, clock, skew, .. } = &*self.0;
        let name = self.login_cookie(state);
        let transaction = self.open_login(cookies.value(&name).ok()??)?;
        let ours = transaction.state == crate::secret::State::new(state)
            && providers.contains(&transaction.provider)
            && transaction.is_live(clock.now(), *skew);
        ours.then_some(transaction)
    }

    /// The `Set-Cookie` value that deletes the login cookie of `state`.
    pub fn end_login(&self, state: &str) -> SetCookie {
        delete_cookie(self.names(), &self.login_cookie(state), SameSite::Lax)
    }

    fn login_cookie(&self, state: &str) -> String {
        format!("{}-{}", self.names().login(), LoginTransaction::name_suffix(state))
    }

    fn open_login(&self, value: &str) -> Option<LoginTransaction> {
        let Inner { sealer, names, .. } = &*self.0;
        LoginTransaction::decode(&sealer.open(Purpose::Login, names.login(), value).ok()?).ok()
    }

    /// The `Set-Cookie` values that bring the session of a login, and end the one that it replaces: that
    /// one's further chunks go, and a tombstone names it.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn deliver_login(
        &self,
        sealed: &SealedSession,
        transaction: &LoginTransaction,
        cookies: &RequestCookies,
    ) -> Result<LoginDelivery, SealError> {
        let names = self.names();
        let (state, replaced) = (transaction.state.expose(), transaction.replaces.as_ref());
        // Behind a session of one cookie it may be deleted in a second step, too.
        let lingers = sealed.chunks() == 1 || transaction.buries_later();
        let mut session = self.deliver_beside(sealed, cookies, Some(&self.login_cookie(state)), lingers);
        session.push(self.affinity(&sealed.session));
        let chunks_before = replaced.map_or(0, |replaced| replaced.chunks);
        let left_over = names.chunks().iter().take(chunks_before).skip(sealed.chunks());
        let unseen = left_over.filter(|name| !cookies.has(name));
        session.extend(unseen.map(|name| delete_cookie(names, name, self.0.settings.same_site)));
        Ok(LoginDelivery { session, finish: self.finish_login(state, replaced, cookies)? })
    }

    /// The `Set-Cookie` values that a finished login leaves: its own cookie goes, and a tombstone names the session that
    /// it replaces.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn finish_login(
        &self,
        state: &str,
        replaced: Option<&Replaced>,
        cookies: &RequestCookies,
    ) -> Result<Vec<SetCookie>, SealError> {
        let tombstone = replaced.map(|replaced| self.bury(replaced.ended, cookies)).transpose()?;
        Ok(std::iter::once(self.end_login(state)).chain(tombstone).collect())
    }

    /// What a login must remember of the session that it replaces, if there is one.
    pub fn replaced(&self, cookies: &RequestCookies) -> Option<Replaced> {
        let active = self.open(cookies).ok()?;
        let chunks = self.names().chunks().iter().filter(|name| cookies.has(name)).count();
        Some(Replaced { ended: (&*active.session).into(), chunks })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::UnixTime;
    use crate::oidc::ResponseMode;
    use crate::secret::{CodeVerifier, Nonce, State};
    use crate::session::store::tests::{Site, site};
    use crate::session::tests::{NOW, a_session};

    fn transaction(state: &str, started_at: UnixTime) -> LoginTransaction {
        LoginTransaction {
            state: State::new(state),
            nonce: Nonce::new("n"),
            verifier: CodeVerifier::new("v"),
            return_url: "/".into(),
            started_at,
            provider: a_session().provider,
            replaces: None,
            silent: false,
            max_age: None,
            response_mode: ResponseMode::Query,
        }
    }

    #[test]
    fn no_session_begins_that_would_outlive_the_keys_of_the_ring_in_use() {
        use crate::aead::Algorithm;
        use crate::keyring::{KeyRing, RingHandle};
        use crate::metrics::Metrics;
        use crate::seal::Sealer;
        let site = site();
        let timeout = site.sessions.settings().absolute_timeout;
        assert_eq!(site.sessions.absolute_end(), NOW.plus(timeout));
        let minute = Duration::from_secs(60);
        let ring = KeyRing::generate(Algorithm::default(), minute, minute * 10, NOW).expect("randomness");
        let origin = "https://app.example.com".parse().expect("an origin");
        let sealer = Sealer::new(RingHandle::fixed(ring), origin, site.clock.clone(), Metrics::default());
        let Inner { names, settings, providers, clock, skew, .. } = &*site.sessions.0;
        let (names, settings, providers) = (names.clone(), settings.clone(), providers.clone());
        let shorter = Sessions::new(sealer, names, settings, providers, clock.clone(), *skew);
        assert_eq!(shorter.absolute_end(), NOW.plus(minute * 10));
    }

    /// OAuth 2.0 Form Post Response Mode §2; RFC 6265bis §5.6.7.
    #[test]
    fn only_a_login_whose_answer_is_posted_has_a_cookie_for_all_requests() {
        let site = site();
        for (response_mode, attribute) in
            [(ResponseMode::Query, "SameSite=Lax"), (ResponseMode::FormPost, "SameSite=None")]
        {
            let lines = site.begin(&LoginTransaction { response_mode, ..transaction("one", NOW) }, &[]);
            assert!(lines[0].contains(&format!("; {attribute}; Secure;")), "{}", lines[0]);
        }
    }

    #[test]
    fn login_transactions_of_two_tabs_do_not_disturb_each_other() {
        let site = site();
        let mut lines = Vec::new();
        for state in ["one", "two"] {
            lines.extend(site.begin(&transaction(state, NOW), &lines));
        }
        let cookies = site.cookies(&lines);
        assert!(site.sessions.login_transaction("one", &cookies).is_some());
        assert!(site.sessions.login_transaction("two", &cookies).is_some());
        assert!(site.sessions.login_transaction("three", &cookies).is_none());
        site.clock.advance(login_transaction::LIFETIME);
        assert!(site.sessions.login_transaction("one", &cookies).is_none());
    }

    impl Site {
        fn begin(&self, transaction: &LoginTransaction, lines: &[SetCookie]) -> Vec<SetCookie> {
            self.sessions.begin_login(transaction, &self.cookies(lines), Visible::All).expect("a key")
        }
    }

    /// The cookies of a browser that begins ten logins, one a second.
    fn ten_logins(site: &Site, return_url: &str) -> Vec<SetCookie> {
        let mut lines: Vec<SetCookie> = Vec::new();
        for index in 0..10u32 {
            let started = NOW.plus(Duration::from_secs(u64::from(index)));
            let transaction =
                LoginTransaction { return_url: return_url.into(), ..transaction(&index.to_string(), started) };
            for line in site.begin(&transaction, &lines) {
                let name = line.split('=').next().expect("a name").to_owned();
                lines.retain(|other| !other.starts_with(&format!("{name}=")));
                if !line.contains("Max-Age=0") {
                    lines.push(line);
                }
            }
        }
        lines
    }

    #[test]
    fn logins_with_long_return_urls_leave_room_in_the_cookie_line() {
        let site = site();
        let lines = ten_logins(&site, &format!("/{}", "a".repeat(511)));
        let characters: usize = lines.iter().map(|line| line.split(';').next().map_or(0, |pair| pair.len() + 2)).sum();
        assert!(characters <= 4_000 && lines.len() > 1, "{characters} in {}", lines.len());
        assert!(site.sessions.login_transaction("9", &site.cookies(&lines)).is_some(), "the newest stays");
    }

    #[test]
    fn at_most_eight_logins_are_kept_and_the_oldest_goes_first() {
        let site = site();
        let lines = ten_logins(&site, "/");
        assert_eq!(lines.len(), login_transaction::MAX_LIVE);
        let cookies = site.cookies(&lines);
        assert!(site.sessions.login_transaction("1", &cookies).is_none());
        assert!(site.sessions.login_transaction("2", &cookies).is_some());
    }
}
