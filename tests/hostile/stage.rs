//! A hostile provider, a Sealgate that trusts it, and an API: where the tables are played.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::Value;

use crate::answer::Answer;
use crate::provider::{Endpoint, Provider, Script};
use crate::right::Right;
use crate::support::world::SESSION;
use crate::support::{Browser, Reply, Sealgate, SealgateOptions, Upstream, eventually};

/// How long anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// All the parts, running.
pub struct Stage {
    /// The provider.
    pub provider: Provider,
    /// The server under test.
    pub gate: Sealgate,
    /// The API behind it.
    pub upstream: Upstream,
}

impl Stage {
    /// Everything as it comes, with UserInfo.
    pub async fn start() -> Self {
        let stage = Self::around(Provider::start().await, |options| options).await;
        eventually("readiness", PATIENCE, async || {
            (stage.gate.management("/readyz").await?.as_u16() == 200).then_some(())
        })
        .await;
        stage
    }

    /// Around a provider that may never be discovered.
    pub async fn around(provider: Provider, change: impl FnOnce(SealgateOptions) -> SealgateOptions) -> Self {
        let upstream = Upstream::start().await;
        let options = SealgateOptions::new(&provider.issuer, upstream.port)
            .set("provider.userinfo", "login")
            .set("provider.request_timeout", "1s")
            .set("server.workers", 1);
        provider.register(&options.client_id, &options.client_secret);
        let gate = Sealgate::launch(change(options)).await;
        eventually("the management listener", PATIENCE, async || gate.management("/healthz").await).await;
        Self { provider, gate, upstream }
    }

    /// A browser that has not been anywhere yet.
    pub fn browser(&self) -> Browser {
        Browser::new(self.gate.url())
    }

    /// What was logged behind that place, once `text` is in it.
    pub async fn logs(&self, from: usize, text: &str) -> String {
        let found = || self.gate.log().get(from..).filter(|log| log.contains(text)).map(str::to_owned);
        let logged = tokio::time::timeout(PATIENCE, eventually("a line in the log", PATIENCE * 2, async || found()));
        logged.await.unwrap_or_else(|_| panic!("{text:?} is not in the log: {}", &self.gate.log()[from..]))
    }

    /// Nothing that is secret is in the log, or in what these browsers were shown.
    pub fn leaks_nothing(&self, browsers: &[Browser]) {
        let log = self.gate.log();
        for secret in self.provider.secrets() {
            let line = log.lines().find(|line| line.contains(&secret));
            assert!(line.is_none(), "{secret} is in the log: {line:?}");
            let shown = browsers.iter().flat_map(Browser::shown).find(|shown| shown.contains(&secret));
            assert!(shown.is_none(), "{secret} was shown: {shown:?}");
        }
    }
}

/// One answer of the provider to a login, and what becomes of it.
pub struct Case {
    /// What it is about; unique in its table.
    pub name: &'static str,
    /// Where it is given.
    pub at: Endpoint,
    /// The answer.
    pub script: Script,
    /// What becomes of the login.
    pub outcome: Outcome,
}

/// What becomes of a login.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// A page of that status, no session, and a line in the log with that text.
    Refused(u16, &'static str),
    /// A session.
    SignedIn,
}

impl Case {
    /// The same, refused with another status.
    pub fn with_status(mut self, status: u16) -> Self {
        if let Outcome::Refused(_, log) = self.outcome {
            self.outcome = Outcome::Refused(status, log);
        }
        self
    }
}

/// A case that is refused.
pub fn refused(
    name: &'static str,
    at: Endpoint,
    status: u16,
    log: &'static str,
    script: impl Fn(&Right) -> Answer + Send + Sync + 'static,
) -> Case {
    Case { name, at, script: Arc::new(script), outcome: Outcome::Refused(status, log) }
}

/// A case that is odd, but right.
pub fn accepted(name: &'static str, at: Endpoint, script: impl Fn(&Right) -> Answer + Send + Sync + 'static) -> Case {
    Case { name, at, script: Arc::new(script), outcome: Outcome::SignedIn }
}

/// Plays the cases one after the other, and tells of all that fail; gives the browsers.
pub async fn play(stage: &Stage, cases: &[Case]) -> Vec<Browser> {
    let (mut browsers, mut failures) = (Vec::new(), Vec::new());
    for case in cases {
        let browser = stage.browser();
        let played = AssertUnwindSafe(play_one(stage, case, &browser)).catch_unwind().await;
        if let Err(panic) = played {
            let why = panic.downcast_ref::<String>().cloned();
            let why = why.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            failures.push(format!("{}: {}", case.name, why.unwrap_or_default()));
        }
        stage.provider.behaves();
        browsers.push(browser);
    }
    assert!(failures.is_empty(), "{} of {} cases:\n\n{}", failures.len(), cases.len(), failures.join("\n\n"));
    assert_eq!(stage.provider.faults(), Vec::<String>::new(), "the client itself does nothing wrong");
    assert_eq!(stage.provider.asked(Endpoint::Elsewhere), 0, "nobody was led elsewhere");
    browsers
}

async fn play_one(stage: &Stage, case: &Case, browser: &Browser) {
    let from = stage.gate.log().len();
    stage.provider.plays(case.at, case.script.clone());
    let callback = browser.sign_in_up_to_callback("/bff/login").await;
    let code = callback.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
    let reply = browser.arrive_from_elsewhere(callback.as_str()).await;
    match case.outcome {
        Outcome::SignedIn => {
            assert_eq!(reply.status.as_u16(), 303, "{} {}", reply.body, &stage.gate.log()[from..]);
            assert_eq!(browser.user().await["sub"], "alice");
        }
        Outcome::Refused(status, log) => {
            is_refused(browser, &reply, status).await;
            stage.logs(from, log).await;
        }
    }
    let Some(code) = code else { return };
    let most = if case.at == Endpoint::Authorize { 0 } else { 1 };
    assert!(stage.provider.redemptions(&code) <= most, "the code went out, or more than once");
    let again = browser.arrive_from_elsewhere(callback.as_str()).await;
    assert_eq!(again.status.as_u16(), 400, "{}", again.body);
    assert!(stage.provider.redemptions(&code) <= most, "the code went out again");
}

/// A page, no session, and the login is used up.
pub async fn is_refused(browser: &Browser, reply: &Reply, status: u16) {
    assert_eq!(reply.error_page(status / 100), status, "{}", reply.body);
    let set: Vec<_> = reply.set_cookies().into_iter().filter(|cookie| !cookie.deletes()).collect();
    assert!(set.is_empty(), "cookies are set: {set:?}");
    assert_eq!(browser.cookie(SESSION), None);
    assert!(browser.cookie_names().is_empty(), "the login is used up: {:?}", browser.cookie_names());
    assert_eq!(browser.get("/bff/user").await.problem(401), "urn:sealgate:error:not-signed-in");
}

/// An object with one member, for tables.
pub fn with(name: &str, value: Value) -> Value {
    Value::Object([(name.to_owned(), value)].into_iter().collect())
}
