//! The part of [`Sessions`] that logouts at the provider use: the `state` that goes there and comes back.

use crate::seal::{Purpose, SealError};
use crate::session::SessionId;
use crate::session::cookies::RequestCookies;
use crate::session::logout_state::LogoutState;
use crate::session::store::{Inner, Sessions};

impl Sessions {
    /// The `state` for the provider's logout of this session, in base64url (RP-Initiated Logout §2).
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn logout_state(&self, sid: SessionId) -> Result<String, SealError> {
        let Inner { sealer, names, clock, .. } = &*self.0;
        let state = LogoutState { sid, at: clock.now() };
        sealer.seal(Purpose::Logout, names.session(), &state.encode())
    }

    /// Whether `state` came back from a logout of this browser: sealed by us within the last minutes, for a session
    /// that the browser's tombstone names.
    pub fn is_own_logout(&self, state: &str, cookies: &RequestCookies) -> bool {
        let Inner { sealer, names, clock, skew, .. } = &*self.0;
        let opened = sealer.open(Purpose::Logout, names.session(), state).ok();
        let Some(state) = opened.and_then(|plaintext| LogoutState::decode(&plaintext).ok()) else { return false };
        state.is_live(clock.now(), *skew) && self.tombstone(cookies).names(&state.sid)
    }
}

#[cfg(test)]
mod tests {
    use crate::session::SessionId;
    use crate::session::logout_state::LIFETIME;
    use crate::session::store::tests::site;
    use crate::session::tests::a_session;

    /// OpenID Connect RP-Initiated Logout §3: the state is the one that was sent, by this browser.
    #[test]
    fn a_logout_is_known_to_the_browser_that_began_it_and_for_ten_minutes() {
        let site = site();
        let session = a_session();
        let state = site.sessions.logout_state(session.sid).expect("a key");
        let ours = site.cookies(&site.sessions.end(&session, &site.cookies(&[])).expect("a key"));
        assert!(site.sessions.is_own_logout(&state, &ours));
        assert!(!site.sessions.is_own_logout(&state, &site.cookies(&[])), "another browser");
        let other = site.sessions.logout_state(SessionId([8; 16])).expect("a key");
        for wrong in [other.as_str(), "", "x", &state[1..]] {
            assert!(!site.sessions.is_own_logout(wrong, &ours), "{wrong}");
        }
        site.clock.advance(LIFETIME);
        assert!(!site.sessions.is_own_logout(&state, &ours), "too late");
    }
}
