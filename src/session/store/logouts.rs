//! The part of [`Sessions`] that logouts at the provider use: the `state` that goes there and comes back.

use crate::seal::{Purpose, SealError};
use crate::session::SessionId;
use crate::session::cookies::RequestCookies;
use crate::session::logout_state::LogoutState;
use crate::session::store::{Inner, Sessions};

impl Sessions {
    /// The `state` for the provider's logout of this session, in base64url (RP-Initiated Logout §2); it leads to
    /// `return_url` in the end, a checked path.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn logout_state(&self, sid: SessionId, return_url: Option<&str>) -> Result<String, SealError> {
        let Inner { sealer, names, clock, .. } = &*self.0;
        let state = LogoutState { sid, at: clock.now(), return_url: return_url.map(str::to_owned) };
        sealer.seal(Purpose::Logout, names.session(), &state.encode())
    }

    /// What `state` says if it came back from a logout of this browser: sealed by us within the last minutes, for a
    /// session that the browser's tombstone names.
    pub fn own_logout(&self, state: &str, cookies: &RequestCookies) -> Option<LogoutState> {
        let Inner { sealer, names, clock, skew, .. } = &*self.0;
        let opened = sealer.open(Purpose::Logout, names.session(), state).ok();
        let state = opened.and_then(|plaintext| LogoutState::decode(&plaintext).ok())?;
        (state.is_live(clock.now(), *skew) && self.tombstone(cookies).names(&state.sid)).then_some(state)
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
        let state = site.sessions.logout_state(session.sid, Some("/bye")).expect("a key");
        let ours = site.cookies(&site.sessions.end(&session, &site.cookies(&[])).expect("a key"));
        let known = site.sessions.own_logout(&state, &ours).expect("its own");
        assert_eq!((known.sid, known.return_url.as_deref()), (session.sid, Some("/bye")));
        assert!(site.sessions.own_logout(&state, &site.cookies(&[])).is_none(), "another browser");
        let other = site.sessions.logout_state(SessionId([8; 16]), None).expect("a key");
        for wrong in [other.as_str(), "", "x", &state[1..]] {
            assert!(site.sessions.own_logout(wrong, &ours).is_none(), "{wrong}");
        }
        site.clock.advance(LIFETIME);
        assert!(site.sessions.own_logout(&state, &ours).is_none(), "too late");
    }
}
