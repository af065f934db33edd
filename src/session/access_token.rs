//! One access token of a session, and what it was asked for: by that, replicas find it again.
//!
//! Must never be printed.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::oidc::TokenNeed;
use crate::secret::AccessToken;
use crate::session::wire::UnknownMembers;

/// One access token and what is known of it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredAccessToken {
    /// The token.
    pub token: AccessToken,
    /// When it was issued, by our clock.
    pub obtained_at: UnixTime,
    /// When it expires, by our clock.
    pub expires_at: UnixTime,
    /// The granted scopes, space-separated, where the provider named them.
    pub scope: Option<String>,
    /// The audience that it was asked for, where it was asked for one.
    pub audience: Option<String>,
    /// The resource that it was asked for, where it was asked for one (RFC 8707).
    pub resource: Option<String>,
    /// The scopes that it was asked for, sorted and space-separated, where they are not the login's.
    pub asked_scope: Option<String>,
    /// Members of a later release.
    pub(super) unknown: UnknownMembers,
}

impl StoredAccessToken {
    /// The token for the provider's default audience.
    pub fn new(token: AccessToken, obtained_at: UnixTime, expires_at: UnixTime, scope: Option<String>) -> Self {
        let unknown = UnknownMembers::default();
        Self { token, obtained_at, expires_at, scope, audience: None, resource: None, asked_scope: None, unknown }
    }

    /// The same token as that for `need`.
    #[must_use]
    pub fn asked_for(self, need: &TokenNeed) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let (audience, resource) = (owned(need.audience()), owned(need.resource()));
        Self { audience, resource, asked_scope: owned(need.scope()), ..self }
    }

    /// Whether it was asked for `need`.
    pub fn is_for(&self, need: &TokenNeed) -> bool {
        self.resource.as_deref() == need.resource()
            && self.asked_scope.as_deref() == need.scope()
            && self.audience.as_deref() == need.audience()
    }

    /// What it was asked for.
    pub fn need(&self) -> TokenNeed {
        TokenNeed::from_parts(self.asked_scope.as_deref(), self.resource.as_deref(), self.audience.as_deref())
    }

    /// The scopes that it has: those that the provider named, else those that it was asked for (RFC 6749 §5.1); none
    /// means those of the login.
    pub fn scopes(&self) -> Option<&str> {
        self.scope.as_deref().or(self.asked_scope.as_deref())
    }

    /// The life that it was given.
    pub fn lifetime(&self) -> Duration {
        self.expires_at.since(self.obtained_at)
    }
}
