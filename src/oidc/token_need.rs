//! What an upstream wants its access token to be: which API it is for, and with which scopes.
//!
//! It comes from the configuration alone, never from a request, so that the number of needs is fixed and all of it may be
//! logged.

use std::fmt;

use super::{ProviderSettings, UserInfoUse};

/// One need. Two routes with the same one share their token. Nothing in it: what the provider gives by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TokenNeed {
    scope: Option<String>,
    resource: Option<String>,
    audience: Option<String>,
}

impl TokenNeed {
    /// A token with these scopes, for the API that is named as a resource (RFC 8707 §2) or as an audience (the parameter
    /// of Auth0 and others). The order of the scopes does not matter.
    pub fn new(mut scopes: Vec<String>, resource: Option<String>, audience: Option<String>) -> Self {
        scopes.sort();
        scopes.dedup();
        let scope = Some(scopes.join(" ")).filter(|scope| !scope.is_empty());
        Self { scope, resource, audience }
    }

    /// As it was written down by [`TokenNeed::scope`] and its siblings.
    pub fn from_parts(scope: Option<&str>, resource: Option<&str>, audience: Option<&str>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self { scope: owned(scope), resource: owned(resource), audience: owned(audience) }
    }

    /// The scopes with a space between, sorted; none: those of the login.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The resource.
    pub fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// The audience.
    pub fn audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The API's name, where it has one.
    pub fn api(&self) -> Option<&str> {
        self.resource().or(self.audience())
    }

    /// What a refresh for this need says beside the refresh token (RFC 6749 §6, RFC 8707 §2.2). A need without an API of
    /// its own is for that of the login. What makes the answer a login's is asked for again: `openid` brings the ID
    /// token, and without `offline_access` some providers give no next refresh token.
    pub(super) fn refresh_parameters(&self, settings: &ProviderSettings) -> Vec<(&'static str, String)> {
        let mut parameters = self.parameters();
        if self.api().is_none() {
            let resources = &settings.authorization.resources;
            parameters.extend(resources.iter().map(|resource| ("resource", resource.clone())));
        }
        if let Some((_, scope)) = parameters.iter_mut().find(|(name, _)| *name == "scope") {
            for usual in ["openid", "offline_access"] {
                let is_asked_for = settings.scopes.iter().any(|scope| scope == usual);
                if is_asked_for && !scope.split(' ').any(|scope| scope == usual) {
                    *scope = format!("{usual} {scope}");
                }
            }
        }
        parameters
    }

    /// What a token request says of it.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        [("scope", self.scope()), ("resource", self.resource()), ("audience", self.audience())]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?.to_owned())))
            .collect()
    }
}

/// For people: `https://orders.example.com with orders.read`.
impl fmt::Display for TokenNeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.api(), self.scope()) {
            (Some(api), Some(scope)) => write!(f, "{api} with {scope}"),
            (Some(one), None) | (None, Some(one)) => f.write_str(one),
            (None, None) => f.write_str("the provider's default"),
        }
    }
}

impl ProviderSettings {
    /// Whether claims come with the login's own access token, so that it has to be renewed for their sake.
    pub fn reads_claims_with_the_access_token(&self) -> bool {
        self.userinfo != UserInfoUse::Never
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::test_party::settings;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    fn shown(need: &TokenNeed, settings: &ProviderSettings) -> Vec<String> {
        need.refresh_parameters(settings).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn the_order_of_scopes_makes_no_other_need() {
        let one = TokenNeed::new(words(&["b", "a", "b"]), None, None);
        assert_eq!(one, TokenNeed::new(words(&["a", "b"]), None, None));
        assert_ne!(one, TokenNeed::new(words(&["a"]), None, None));
        assert_ne!(TokenNeed::new(vec![], Some("x".into()), None), TokenNeed::new(vec![], None, Some("x".into())));
        assert!(TokenNeed::new(vec![], None, None).is_empty());
    }

    /// RFC 8707 §2.2, RFC 6749 §6.
    #[test]
    fn a_refresh_names_the_api_and_the_scopes_and_what_a_login_needs() {
        let mut settings = settings("https://login.example.com");
        settings.scopes = words(&["openid", "profile", "offline_access"]);
        settings.authorization.resources = words(&["https://first.example.com"]);
        let orders = TokenNeed::new(words(&["orders.read"]), Some("https://orders.example.com".into()), None);
        assert_eq!(
            shown(&orders, &settings),
            ["scope=offline_access openid orders.read", "resource=https://orders.example.com"]
        );
        let audience = TokenNeed::new(vec![], None, Some("orders".into()));
        assert_eq!(shown(&audience, &settings), ["audience=orders"]);
    }

    #[test]
    fn scopes_alone_are_for_the_api_of_the_login() {
        let mut settings = settings("https://login.example.com");
        settings.scopes = words(&["openid"]);
        settings.authorization.resources = words(&["https://first.example.com"]);
        let need = TokenNeed::new(words(&["admin", "openid"]), None, None);
        assert_eq!(shown(&need, &settings), ["scope=admin openid", "resource=https://first.example.com"]);
    }

    #[test]
    fn a_need_is_shown_in_the_words_of_the_configuration() {
        let need = TokenNeed::new(words(&["read"]), Some("https://a.example".into()), None);
        assert_eq!(need.to_string(), "https://a.example with read");
        assert_eq!(TokenNeed::default().to_string(), "the provider's default");
    }
}
