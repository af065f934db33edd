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
