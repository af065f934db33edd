//! How many characters of a `Cookie` line our cookies may have, and how they are shared out.
//!
//! All together stay within [`OUR_COOKIES`], names and separators included, whatever a browser has gone through: the
//! smallest common limit for the line is nginx's 8,182, and other applications of the same host want some of it. The
//! small cookies (activity, tombstone, conflict marker, affinity) always have their place. What is left is the
//! session's and the logins' under way: a session must leave room for the largest login, and logins make room for the
//! session, the oldest first.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::oidc::ResponseMode;
use crate::seal::sealed_characters;
use crate::secret::{CodeVerifier, Nonce, State};
use crate::session::cookies::{AFFINITY_COOKIE, CookieNames, characters_in_line};
use crate::session::login_transaction::{LoginTransaction, Replaced};
use crate::session::refresh_marker::RefreshMarker;
use crate::session::seen::Seen;
use crate::session::tombstone::{self, Ended, Tombstone};
use crate::session::{Generation, ProviderId, SessionId};

/// The most characters that all our cookies take of a `Cookie` line.
pub const OUR_COOKIES: usize = 7_000;
/// The most of them that logins under way take where there is no session: another site can start them with return URLs
/// of its choice, and gains nothing by starting more.
const LOGINS: usize = 4_000;
/// The length of a state, nonce or code verifier of ours: 256 bits in base64url.
const RANDOM_TEXT: usize = 43;
/// The longest return URL.
const RETURN_URL: usize = 512;

/// The shares of one site. All numbers are characters of the `Cookie` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieBudget {
    session: usize,
    small: usize,
}

impl CookieBudget {
    /// The shares under these names; a login grows with the registration that it must remember, one of `providers`.
    pub fn new(names: &CookieNames, providers: &[ProviderId]) -> Self {
        let small = small_cookies(names);
        let login = providers.iter().map(|provider| largest_login(names, provider)).max().unwrap_or_default();
        let session = OUR_COOKIES.saturating_sub(small + login);
        Self { session, small }
    }

    /// What a session may take, its chunks' names included.
    pub fn session(&self) -> usize {
        self.session
    }

    /// What logins under way may take beside a session of so many characters.
    pub fn logins_beside(&self, session: usize) -> usize {
        LOGINS.min(OUR_COOKIES.saturating_sub(self.small + session))
    }

    /// The same beside a session that the request does not show: one of any size. The largest login fits.
    pub fn logins_beside_any_session(&self) -> usize {
        self.logins_beside(self.session)
    }
}

/// Activity, a full tombstone, conflict marker and affinity, each as long as it can be: a 32-bit date lasts until 2106,
/// and nothing is refreshed four billion times.
fn small_cookies(names: &CookieNames) -> usize {
    let latest = UnixTime::from_secs(i64::from(u32::MAX));
    let generation = Generation(u64::from(u32::MAX));
    let sid = |id| SessionId([id; 16]);
    let ended = |id| Ended { sid: sid(id), generation, until: latest };
    let entries = u8::try_from(tombstone::MAX_ENTRIES).unwrap_or(u8::MAX);
    let tombstone = (0..entries).fold(Tombstone::default(), |all, id| all.with(ended(id), UnixTime::from_secs(0)));
    let seen = Seen { sid: sid(0), at: latest };
    let marker = RefreshMarker { sid: sid(0), generation, since: latest };
    let sealed = [
        (names.seen(), seen.encode().len()),
        (names.tombstone(), tombstone.encode().len()),
        (names.refresh_marker(), marker.encode().len()),
    ];
    let sealed = sealed.map(|(name, plaintext)| characters_in_line(name.len(), sealed_characters(plaintext)));
    sealed.iter().sum::<usize>() + characters_in_line(AFFINITY_COOKIE.len(), sid(0).affinity().len())
}

/// A login with the longest return URL that replaces a session.
fn largest_login(names: &CookieNames, provider: &ProviderId) -> usize {
    let latest = UnixTime::from_secs(i64::from(u32::MAX));
    let random = "x".repeat(RANDOM_TEXT);
    let ended = Ended { sid: SessionId([0; 16]), generation: Generation(u64::from(u32::MAX)), until: latest };
    let login = LoginTransaction {
        state: State::new(random.as_str()),
        nonce: Nonce::new(random.as_str()),
        verifier: CodeVerifier::new(random.as_str()),
        return_url: "/".repeat(RETURN_URL),
        started_at: latest,
        provider: provider.clone(),
        replaces: Some(Replaced { ended, chunks: names.chunks().len() }),
        silent: true,
        max_age: Some(Duration::from_secs(u64::from(u32::MAX))),
        response_mode: ResponseMode::FormPost,
    };
    let name = names.login().len() + 1 + LoginTransaction::name_suffix(&random).len();
    characters_in_line(name, sealed_characters(login.encode().len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::a_session;

    fn budget(name: &str) -> CookieBudget {
        CookieBudget::new(&CookieNames::new(name, true), &[a_session().provider])
    }

    #[test]
    fn a_session_leaves_room_for_the_small_cookies_and_the_largest_login() {
        let budget = budget("__Host-sealgate");
        let names = CookieNames::new("__Host-sealgate", true);
        let login = largest_login(&names, &a_session().provider);
        assert_eq!(budget.session + budget.small + login, OUR_COOKIES);
        assert!(budget.logins_beside_any_session() >= login);
        assert!((5_000..5_500).contains(&budget.session()), "{budget:?}");
    }

    #[test]
    fn logins_get_what_a_session_leaves() {
        let budget = budget("__Host-sealgate");
        assert_eq!(budget.logins_beside(0), LOGINS);
        assert_eq!(budget.logins_beside(5_000), OUR_COOKIES - budget.small - 5_000);
        assert_eq!(budget.logins_beside(OUR_COOKIES), 0);
    }

    #[test]
    fn a_longer_name_leaves_less_to_the_session() {
        assert!(budget(&"n".repeat(64)).session() < budget("__Host-sealgate").session());
        assert_eq!(budget(&"n".repeat(2_000)).session(), 0);
    }
}
