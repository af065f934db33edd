//! The part of [`Sessions`] that logins use: their transactions, and the session that one begins.

use crate::clock::UnixTime;
use crate::seal::{Purpose, SealError};
use crate::session::SameSite;
use crate::session::cookies::{RequestCookies, SetCookie, delete_cookie, set_cookie};
use crate::session::login_transaction::{self, LoginTransaction, Replaced};
use crate::session::store::{Inner, SealedSession, Sessions};

/// The most characters of names and values that all logins under way may have together: another site can start them
/// with return URLs of its choice, and must not be able to fill the `Cookie` line until servers refuse it.
const LOGINS_BUDGET: usize = 4_000;

impl Sessions {
    /// The `Set-Cookie` values that begin a login: its own cookie, and deletions so that at most
    /// [`login_transaction::MAX_LIVE`] are left, and fewer where their return URLs are long.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn begin_login(
        &self,
        transaction: &LoginTransaction,
        cookies: &RequestCookies,
    ) -> Result<Vec<SetCookie>, SealError> {
        let Inner { sealer, names, .. } = &*self.0;
        let sealed = sealer.seal(Purpose::Login, names.login(), &transaction.encode())?;
        let name = self.login_cookie(transaction.state.expose());
        let mut lines = vec![set_cookie(names, &name, &sealed, SameSite::Lax, Some(login_transaction::LIFETIME))];
        // Unreadable ones go first: they have no start. Of the same second, browsers send the older one first
        // (RFC 6265bis §5.8.3), and the sort keeps that order.
        let mut others: Vec<(Option<UnixTime>, &str, usize)> = cookies
            .beginning_with(names.login())
            .map(|(name, value)| {
                let started_at = self.open_login(value).map(|transaction| transaction.started_at);
                (started_at, name, characters_in_line(name, value))
            })
            .collect();
        others.sort_by_key(|(started_at, ..)| *started_at);
        let mut live = others.len() + 1;
        let mut characters = characters_in_line(&name, &sealed) + others.iter().map(|(.., size)| size).sum::<usize>();
        for (_, name, size) in others {
            if live <= login_transaction::MAX_LIVE && characters <= LOGINS_BUDGET {
                break;
            }
            live -= 1;
            characters -= size;
            lines.push(delete_cookie(names, name, SameSite::Lax));
        }
        Ok(lines)
    }

    /// When a session that begins now ends, whatever happens: never later than the keys that open it are kept for,
    /// should the ring have been given a shorter `max_session` since the start.
    pub fn absolute_end(&self) -> UnixTime {
        let Inner { sealer, settings, clock, .. } = &*self.0;
        clock.now().plus(settings.absolute_timeout.min(sealer.max_session()))
    }

    /// The live login transaction that `state` belongs to, if this browser has it.
    pub fn login_transaction(&self, state: &str, cookies: &RequestCookies) -> Option<LoginTransaction> {
        let Inner { provider, clock, skew, .. } = &*self.0;
        let name = self.login_cookie(state);
        let transaction = self.open_login(cookies.value(&name).ok()??)?;
        let ours = transaction.state == crate::secret::State::new(state)
            && transaction.provider == *provider
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

    /// The `Set-Cookie` values that bring the session of a login, and end the one that it replaces: that one's further
    /// chunks go, and a tombstone names it.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn deliver_login(
        &self,
        sealed: &SealedSession,
        replaced: Option<&Replaced>,
        cookies: &RequestCookies,
    ) -> Result<Vec<SetCookie>, SealError> {
        let names = self.names();
        let mut lines = self.deliver(sealed, cookies);
        lines.push(self.affinity(&sealed.session));
        if let Some(Replaced { ended, chunks }) = replaced {
            let left_over = names.chunks().iter().take(*chunks).skip(sealed.lines.len());
            let unseen = left_over.filter(|name| !cookies.has(name));
            lines.extend(unseen.map(|name| delete_cookie(names, name, self.0.settings.same_site)));
            lines.push(self.bury(*ended, cookies)?);
        }
        Ok(lines)
    }

    /// What a login must remember of the session that it replaces, if there is one.
    pub fn replaced(&self, cookies: &RequestCookies) -> Option<Replaced> {
        let active = self.open(cookies).ok()?;
        let chunks = self.names().chunks().iter().filter(|name| cookies.has(name)).count();
        Some(Replaced { ended: (&*active.session).into(), chunks })
    }
}

/// What a cookie adds to the `Cookie` line: `name=value; `.
fn characters_in_line(name: &str, value: &str) -> usize {
    name.len() + value.len() + 3
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
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
        let Inner { names, settings, provider, clock, skew, .. } = &*site.sessions.0;
        let (names, settings, provider) = (names.clone(), settings.clone(), provider.clone());
        let shorter = Sessions::new(sealer, names, settings, provider, clock.clone(), *skew);
        assert_eq!(shorter.absolute_end(), NOW.plus(minute * 10));
    }

    #[test]
    fn login_transactions_of_two_tabs_do_not_disturb_each_other() {
        let site = site();
        let mut lines = Vec::new();
        for state in ["one", "two"] {
            lines.extend(site.sessions.begin_login(&transaction(state, NOW), &site.cookies(&lines)).expect("a key"));
        }
        let cookies = site.cookies(&lines);
        assert!(site.sessions.login_transaction("one", &cookies).is_some());
        assert!(site.sessions.login_transaction("two", &cookies).is_some());
        assert!(site.sessions.login_transaction("three", &cookies).is_none());
        site.clock.advance(login_transaction::LIFETIME);
        assert!(site.sessions.login_transaction("one", &cookies).is_none());
    }

    /// The cookies of a browser that begins ten logins, one a second.
    fn ten_logins(site: &Site, return_url: &str) -> Vec<SetCookie> {
        let mut lines: Vec<SetCookie> = Vec::new();
        for index in 0..10u32 {
            let started = NOW.plus(Duration::from_secs(u64::from(index)));
            let transaction =
                LoginTransaction { return_url: return_url.into(), ..transaction(&index.to_string(), started) };
            for line in site.sessions.begin_login(&transaction, &site.cookies(&lines)).expect("a key") {
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
        assert!(characters <= LOGINS_BUDGET && lines.len() > 1, "{characters} in {}", lines.len());
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
