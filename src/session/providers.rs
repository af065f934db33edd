//! The providers of one site: each login and each session belongs to one of them, by its registration.
//!
//! What is meant for one provider, a code, a token or a client secret, must never go to another: there is no provider
//! for a registration that is not in the configuration.

use std::sync::Arc;

use super::ProviderId;
use crate::oidc::Provider;

/// All providers of a site, one at least. Clones share them.
#[derive(Clone)]
pub struct Providers(Arc<[SiteProvider]>);

/// One provider of a site.
pub struct SiteProvider {
    /// What links call it.
    pub name: String,
    /// Our registration there.
    pub id: ProviderId,
    /// What talks to it.
    pub provider: Provider,
    /// Whether it is asked where nobody names one.
    pub is_default: bool,
}

impl Providers {
    /// Each with its name; the first is the default, and there must be one.
    pub fn new(all: Vec<(String, Provider)>) -> Self {
        let all = all.into_iter().enumerate().map(|(index, (name, provider))| {
            let id = ProviderId::from(provider.settings());
            SiteProvider { name, id, provider, is_default: index == 0 }
        });
        Self(all.collect())
    }

    /// One provider, and the registration that the sessions of a test have.
    #[cfg(test)]
    pub(crate) fn for_tests(id: ProviderId, provider: Provider) -> Self {
        Self(Arc::new([SiteProvider { name: "default".into(), id, provider, is_default: true }]))
    }

    /// The one that is asked where nobody names one.
    pub fn default_one(&self) -> &SiteProvider {
        // There is one at least, see `new`.
        &self.0[0]
    }

    /// The provider of a session or a login; none: it has gone from the configuration.
    pub fn of(&self, id: &ProviderId) -> Option<&SiteProvider> {
        self.0.iter().find(|provider| provider.id == *id)
    }

    /// The provider of that name.
    pub fn named(&self, name: &str) -> Option<&SiteProvider> {
        self.0.iter().find(|provider| provider.name == name)
    }

    /// The first provider with that issuer, compared by simple string.
    pub fn with_issuer(&self, issuer: &str) -> Option<&SiteProvider> {
        self.0.iter().find(|provider| provider.id.issuer == issuer)
    }

    /// Whether there is more than one.
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// All, the default one first.
    pub fn iter(&self) -> std::slice::Iter<'_, SiteProvider> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;
    use crate::clock::Clock;
    use crate::oidc::ProviderSettings;
    use crate::oidc::test_party::settings;
    use crate::session::tests::NOW;

    fn provider(name: &str, issuer: &str, client_id: &str) -> (String, Provider) {
        let settings = ProviderSettings { client_id: client_id.to_owned(), ..settings(issuer) };
        let provider = Provider::new(settings, Clock::manual(NOW), Handle::current()).expect("no network is needed");
        (name.to_owned(), provider)
    }

    fn id(issuer: &str, client_id: &str) -> ProviderId {
        ProviderId { issuer: issuer.to_owned(), client_id: client_id.to_owned() }
    }

    #[tokio::test]
    async fn a_registration_is_one_provider_s_to_the_letter() {
        const A: &str = "http://127.0.0.1:1";
        const B: &str = "http://127.0.0.1:2";
        let all = Providers::new(vec![provider("a", A, "x"), provider("b", B, "x"), provider("c", A, "y")]);
        let name = |found: Option<&SiteProvider>| found.map(|provider| provider.name.clone());
        assert_eq!(name(all.of(&id(A, "x"))).as_deref(), Some("a"));
        assert_eq!(name(all.of(&id(B, "x"))).as_deref(), Some("b"));
        assert_eq!(name(all.of(&id(A, "y"))).as_deref(), Some("c"));
        for unknown in [id(B, "y"), id("http://127.0.0.1:1/", "x"), id(A, "X"), id("", "")] {
            assert_eq!(name(all.of(&unknown)), None, "{unknown:?}");
        }
        assert_eq!(name(all.with_issuer(A)).as_deref(), Some("a"), "the first one");
        assert_eq!((name(all.named("b")).as_deref(), name(all.named("B"))), (Some("b"), None));
        let defaults: Vec<_> = all.iter().filter(|provider| provider.is_default).map(|one| one.name.as_str()).collect();
        assert_eq!(defaults, [all.default_one().name.as_str()]);
    }
}
