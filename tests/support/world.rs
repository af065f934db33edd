//! Provider, upstream, Sealgate and one browser: what most tests begin with.

use serde_json::Value;

use super::{Browser, Provider, ProviderOptions, Sealgate, SealgateOptions, Upstream};

/// All the parts, running.
pub struct World {
    /// The OpenID provider.
    pub provider: Provider,
    /// The API behind Sealgate.
    pub upstream: Upstream,
    /// The server under test.
    pub gate: Sealgate,
    /// A browser that has not been anywhere yet.
    pub browser: Browser,
}

impl World {
    /// Everything as it comes.
    pub async fn start() -> Self {
        Self::plan().start().await
    }

    /// Everything as it comes, and the browser signed in.
    pub async fn signed_in() -> Self {
        Self::plan().signed_in().await
    }

    /// Begins to say what shall be different.
    pub fn plan() -> Plan {
        Plan::default()
    }

    /// Starts a second Sealgate beside the first: the same ring, client, provider and public URL but for what `change`
    /// says. Its client is registered like the first one's.
    pub async fn another(&self, change: impl FnOnce(SealgateOptions) -> SealgateOptions) -> Sealgate {
        let mut options = self.gate.options.clone();
        (options.port, options.management_port) = (super::ports::free_port(), super::ports::free_port());
        options.ring = Some(self.gate.ring.clone());
        Sealgate::start(change(options)).await
    }

    /// A further browser, signed out.
    pub fn new_browser(&self) -> Browser {
        Browser::new(self.gate.url())
    }

    /// The session cookie's value.
    pub fn session_cookie(&self) -> String {
        self.browser.cookie(SESSION).expect("the browser is signed in")
    }
}

/// The session cookie's name on http, where `__Host-` is dropped (DESIGN §4).
pub const SESSION: &str = "sealgate";

/// What a [`World`] shall be like.
#[derive(Default)]
pub struct Plan {
    provider: ProviderOptions,
    overrides: Vec<(String, Value)>,
    registration: Vec<(String, Value)>,
    propagation: Option<String>,
}

impl Plan {
    /// Changes the provider.
    #[must_use]
    pub fn provider(mut self, change: impl FnOnce(&mut ProviderOptions)) -> Self {
        change(&mut self.provider);
        self
    }

    /// Sets a key of Sealgate's configuration.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.overrides.push((key.to_owned(), value.into()));
        self
    }

    /// Sets a member of the client's registration at the provider; null takes it away.
    #[must_use]
    pub fn registered(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.registration.push((member.to_owned(), value.into()));
        self
    }

    /// Sets the ring's propagation, so that a test can wait for an activation.
    #[must_use]
    pub fn propagation(mut self, propagation: &str) -> Self {
        self.propagation = Some(propagation.to_owned());
        self
    }

    /// Starts all parts.
    pub async fn start(self) -> World {
        let (provider, upstream) = tokio::join!(Provider::start(self.provider), Upstream::start());
        let mut options = SealgateOptions::new(&provider.issuer, upstream.port);
        options.overrides = self.overrides;
        options.propagation = self.propagation.unwrap_or(options.propagation);
        let mut registration = options.registration();
        for (member, value) in self.registration {
            match value {
                Value::Null => drop(registration.as_object_mut().and_then(|members| members.remove(&member))),
                value => registration[member] = value,
            }
        }
        provider.register(registration).await;
        let gate = Sealgate::start(options).await;
        let browser = Browser::new(gate.url());
        World { provider, upstream, gate, browser }
    }

    /// Starts all parts and signs the browser in.
    pub async fn signed_in(self) -> World {
        let world = self.start().await;
        world.browser.sign_in().await;
        // From its first session on a replica reckons for some seconds with sessions that move to it; tests are later.
        world.browser.user().await;
        world
    }
}
