//! Whatever a browser goes through, our cookies stay within their share of its `Cookie` line.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::{MINUTE, Site, site};
use super::*;
use crate::secret::{AccessToken, CodeVerifier, Nonce, State};
use crate::session::budget::OUR_COOKIES;
use crate::session::login_transaction::{LoginTransaction, MAX_LIVE};
use crate::session::tests::a_session;
use crate::session::{Generation, SessionId, StoredAccessToken};

/// What a user does. Sizes are characters of tokens and return URLs.
#[derive(Clone, Debug)]
enum Step {
    Login { return_url: usize, from_elsewhere: bool },
    Callback { which: usize, token: usize },
    Refresh { token: usize },
    RefreshFor { api: u8, token: usize },
    Use,
    LoseRace,
    Logout,
    Wait { minutes: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    // Around the limits between one cookie, two cookies and too many.
    let token = prop_oneof![1_usize..6_000, 2_100_usize..2_500, 3_500_usize..4_200];
    prop_oneof![
        4 => (1_usize..=512, any::<bool>()).prop_map(|(return_url, from_elsewhere)| Step::Login { return_url, from_elsewhere }),
        4 => (0_usize..8, token.clone()).prop_map(|(which, token)| Step::Callback { which, token }),
        3 => token.clone().prop_map(|token| Step::Refresh { token }),
        3 => (0_u8..4, token).prop_map(|(api, token)| Step::RefreshFor { api, token }),
        1 => Just(Step::Use),
        1 => Just(Step::LoseRace),
        1 => Just(Step::Logout),
        1 => (1_u64..30).prop_map(|minutes| Step::Wait { minutes }),
    ]
}

/// A browser that keeps our cookies as RFC 6265bis says, and forgets none by itself.
#[derive(Default)]
struct Jar(BTreeMap<String, (String, bool)>);

impl Jar {
    fn store(&mut self, lines: impl IntoIterator<Item = SetCookie>) {
        for line in lines {
            let (pair, attributes) = line.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            if attributes.contains("Max-Age=0") {
                self.0.remove(name);
            } else {
                let is_strict = attributes.contains("SameSite=Strict");
                self.0.insert(name.to_owned(), (value.to_owned(), is_strict));
            }
        }
    }

    fn line(&self, from_elsewhere: bool) -> String {
        let sent = self.0.iter().filter(|(_, (_, is_strict))| !(from_elsewhere && *is_strict));
        sent.map(|(name, (value, _))| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn request(&self, site: &Site, from_elsewhere: bool) -> RequestCookies<'static> {
        RequestCookies::parse([self.line(from_elsewhere).as_bytes()], site.sessions.names()).into_owned()
    }
}

struct Walk {
    site: Site,
    jar: Jar,
    under_way: Vec<LoginTransaction>,
    count: u64,
}

impl Walk {
    fn take(&mut self, step: &Step) {
        self.count += 1;
        let sessions = self.site.sessions.clone();
        match *step {
            Step::Login { return_url, from_elsewhere } => {
                let cookies = self.jar.request(&self.site, from_elsewhere);
                let login = self.login(return_url, sessions.replaced(&cookies));
                let visible = if from_elsewhere { Visible::PerhapsOnlyLax } else { Visible::All };
                self.jar.store(sessions.begin_login(&login, &cookies, visible).expect("a key"));
                self.under_way.push(login);
            }
            Step::Callback { which, token } => self.call_back(which, token),
            Step::Refresh { token } => {
                let cookies = self.jar.request(&self.site, false);
                let Ok(active) = sessions.open(&cookies) else { return };
                let next = active.session.refreshed(self.token(token), None, None, self.site.clock.now());
                match sessions.seal(next) {
                    Ok(sealed) => self.jar.store(sessions.deliver(&sealed, &cookies)),
                    Err(_) => self.jar.store([sessions.bury((&*active.session).into(), &cookies).expect("a key")]),
                }
            }
            Step::RefreshFor { api, token } => self.refresh_for(api, token),
            Step::Use => {
                let active = sessions.open(&self.jar.request(&self.site, false));
                self.jar.store(active.ok().and_then(|active| sessions.touch(&active)));
            }
            Step::LoseRace => {
                let Ok(active) = sessions.open(&self.jar.request(&self.site, false)) else { return };
                let now = self.site.clock.now();
                self.jar.store([sessions.mark_refresh(&active.session, now).expect("a key")]);
            }
            Step::Logout => {
                let cookies = self.jar.request(&self.site, false);
                let Ok(active) = sessions.open(&cookies) else { return };
                self.jar.store(sessions.end(&active.session, &cookies).expect("a key"));
                let kept = |name: &String| self.jar.0.contains_key(name);
                assert!(!sessions.names().chunks().iter().any(kept), "logout deletes every chunk");
            }
            Step::Wait { minutes } => self.site.clock.advance(MINUTE * u32::try_from(minutes).expect("few")),
        }
    }

    /// A route's own token; one that fits no session costs nothing but itself.
    fn refresh_for(&mut self, api: u8, token: usize) {
        let (cookies, now) = (self.jar.request(&self.site, false), self.site.clock.now());
        let Ok(active) = self.site.sessions.open(&cookies) else { return };
        let need = TokenNeed::new(Vec::new(), Some(format!("https://{api}.example.com")), None);
        let next = active.session.refreshed_for(&need, Some(self.token(token)), None, None, now);
        if let Ok(sealed) = self.site.sessions.seal_for(next, Some(&need)) {
            assert!(sealed.session.access_token_for(Some(&need)).is_some(), "what was just obtained stays");
            self.jar.store(self.site.sessions.deliver(&sealed, &cookies));
        }
    }

    /// The provider has sent the browser back: strict cookies are not shown.
    fn call_back(&mut self, which: usize, token: usize) {
        let cookies = self.jar.request(&self.site, true);
        if self.under_way.is_empty() {
            return;
        }
        let login = self.under_way.remove(which % self.under_way.len());
        let state = login.state.expose();
        let Some(login) = self.site.sessions.login_transaction(state, &cookies) else { return };
        let mut session = a_session();
        session.sid = SessionId([u8::try_from(self.count % 256).expect("a byte"); 16]);
        session.generation = Generation(u64::from(u32::MAX) - 500);
        session.issued_at = self.site.clock.now();
        session.absolute_end = self.site.clock.now().plus(MINUTE * 480);
        session.access_tokens = vec![self.token(token)];
        let Ok(sealed) = self.site.sessions.seal(session) else {
            self.jar.store([self.site.sessions.end_login(state)]);
            return;
        };
        let delivery = self.site.sessions.deliver_login(&sealed, &login, &cookies).expect("a key");
        self.jar.store(delivery.session);
        // The second step of a session of one cookie may come later, or never.
        if sealed.chunks() > 1 || !self.count.is_multiple_of(3) {
            self.jar.store(delivery.finish);
        }
    }

    fn login(
        &self,
        return_url: usize,
        replaces: Option<crate::session::login_transaction::Replaced>,
    ) -> LoginTransaction {
        let random = |kind: &str| format!("{kind}{:042}", self.count);
        LoginTransaction {
            state: State::new(random("s")),
            nonce: Nonce::new(random("n")),
            verifier: CodeVerifier::new(random("v")),
            return_url: "/".repeat(return_url),
            started_at: self.site.clock.now(),
            provider: a_session().provider,
            replaces,
            silent: true,
            max_age: None,
            response_mode: crate::oidc::ResponseMode::Query,
        }
    }

    fn token(&self, length: usize) -> StoredAccessToken {
        use base64::Engine as _;
        use sha2::{Digest as _, Sha256};
        let mut text = String::new();
        for block in 0_u64.. {
            if text.len() >= length {
                break;
            }
            let digest = Sha256::new().chain_update(self.count.to_be_bytes()).chain_update(block.to_be_bytes());
            text += &base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest.finalize());
        }
        text.truncate(length);
        let now = self.site.clock.now();
        StoredAccessToken::new(AccessToken::new(text), now, now.plus(MINUTE), None)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// DESIGN: the smallest common limit of the whole line is nginx's 8,182.
    #[test]
    fn our_cookies_stay_within_their_share_of_the_cookie_line(steps in prop::collection::vec(step(), 1..40)) {
        let mut walk = Walk { site: site(), jar: Jar::default(), under_way: Vec::new(), count: 0 };
        for step in &steps {
            walk.take(step);
            let line = walk.jar.line(false);
            prop_assert!(line.len() <= OUR_COOKIES, "{} after {step:?}: {:?}", line.len(), walk.jar.0.keys());
            let logins = walk.jar.0.keys().filter(|name| name.starts_with(walk.site.sessions.names().login())).count();
            prop_assert!(logins <= MAX_LIVE, "{logins} logins after {step:?}");
        }
    }
}

#[test]
fn the_largest_session_leaves_room_for_the_largest_login_that_comes_from_elsewhere() {
    let mut walk = Walk { site: site(), jar: Jar::default(), under_way: Vec::new(), count: 0 };
    walk.take(&Step::Login { return_url: 1, from_elsewhere: false });
    let largest = (1_000..6_000).rev().find(|length| {
        let mut session = a_session();
        session.access_tokens = vec![walk.token(*length)];
        walk.site.sessions.seal(session).is_ok()
    });
    let token = largest.expect("some size fits") - 10;
    walk.take(&Step::Callback { which: 0, token });
    for _ in 0..3 {
        walk.take(&Step::Login { return_url: 512, from_elsewhere: true });
        assert!(walk.site.sessions.open(&walk.jar.request(&walk.site, false)).is_ok());
        let newest = walk.under_way.last().expect("one has begun").state.expose().to_owned();
        let cookies = walk.jar.request(&walk.site, true);
        assert!(walk.site.sessions.login_transaction(&newest, &cookies).is_some());
    }
    let line = walk.jar.line(false).len();
    assert!((6_000..=OUR_COOKIES).contains(&line), "{line}");
}
