//! Who is signed in at the demo provider (its own cookie, so that a second login is quick), and logins under way.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::UnixTime;

use super::authorize::AuthorizationRequest;
use super::grants::random_text;
use super::users::User;

/// The provider's own cookie. Cookies ignore ports, so the name says whose it is.
pub const COOKIE_NAME: &str = "sealgate_demo_provider";
/// How long somebody stays signed in at the provider.
const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// How long a login form may be looked at.
const LOGIN_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// Somebody signed in at the provider.
#[derive(Clone, Debug)]
pub struct ProviderSession {
    /// Who.
    pub user: &'static User,
    /// When the password was typed.
    pub auth_time: UnixTime,
    /// The name of the session in ID tokens; never the cookie's value.
    pub sid: String,
}

/// Sessions by cookie value, and logins under way by the form's hidden field.
#[derive(Default)]
pub struct Sessions {
    signed_in: HashMap<String, ProviderSession>,
    logins: HashMap<String, (AuthorizationRequest, UnixTime)>,
}

impl Sessions {
    /// The live session of a cookie value.
    pub fn find(&self, cookie: &str, now: UnixTime) -> Option<&ProviderSession> {
        self.signed_in.get(cookie).filter(|session| now.since(session.auth_time) < SESSION_LIFETIME)
    }

    /// Signs `user` in; gives the cookie's value and the session.
    pub fn begin(&mut self, user: &'static User, now: UnixTime) -> (String, ProviderSession) {
        self.signed_in.retain(|_, session| now.since(session.auth_time) < SESSION_LIFETIME);
        let cookie = random_text();
        let session = ProviderSession { user, auth_time: now, sid: random_text() };
        self.signed_in.insert(cookie.clone(), session.clone());
        (cookie, session)
    }

    /// Ends the session of that name.
    pub fn end(&mut self, sid: &str) {
        self.signed_in.retain(|_, session| session.sid != sid);
    }

    /// Remembers a request whose user has to type a password; gives the form's hidden field.
    pub fn begin_login(&mut self, request: AuthorizationRequest, now: UnixTime) -> String {
        self.logins.retain(|_, (_, since)| now.since(*since) < LOGIN_LIFETIME);
        let id = random_text();
        self.logins.insert(id.clone(), (request, now));
        id
    }

    /// The request behind a form.
    pub fn login(&self, id: &str, now: UnixTime) -> Option<&AuthorizationRequest> {
        self.logins.get(id).filter(|(_, since)| now.since(*since) < LOGIN_LIFETIME).map(|(request, _)| request)
    }

    /// The form has done its duty.
    pub fn end_login(&mut self, id: &str) {
        self.logins.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::provider::users::USERS;

    const NOW: UnixTime = UnixTime::from_secs(10_000);

    #[test]
    fn a_session_is_found_by_its_cookie_until_it_ends() {
        let mut sessions = Sessions::default();
        let (cookie, session) = sessions.begin(&USERS[0], NOW);
        assert_ne!(cookie, session.sid);
        assert!(sessions.find(&cookie, NOW).is_some());
        assert!(sessions.find(&session.sid, NOW).is_none());
        assert!(sessions.find(&cookie, NOW.plus(SESSION_LIFETIME)).is_none());
        sessions.end(&session.sid);
        assert!(sessions.find(&cookie, NOW).is_none());
    }
}
