//! What is special about well-known providers, each quirk in one place; a provider that keeps to the standards has none.
//!
//! Must never loosen a check: a preset says what a provider does instead of what the standard says, exactly.

use serde_json::{Map, Value};
use url::Url;

use super::{Metadata, OAuthError};

/// The path segments in which Entra ID serves many tenants at once.
const SHARED_TENANTS: [&str; 2] = ["organizations", "common"];
/// What the metadata of such an issuer have in their place.
const TENANT_ID: &str = "{tenantid}";
/// Characters of a tenant's identifier, a GUID.
const TENANT_LENGTH: usize = 36;

/// A provider whose particularities are known (`provider.preset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Microsoft Entra ID: issuers for many tenants, logout by `login_hint`.
    Entra,
    /// Google: refresh tokens by `access_type=offline`, no logout.
    Google,
    /// Keycloak: a refresh token without `offline_access`, roles in `realm_access`.
    Keycloak,
    /// Auth0: `/v2/logout` where no end_session_endpoint is announced.
    Auth0,
    /// Okta: organisation and custom authorization servers.
    Okta,
    /// Amazon Cognito: a logout with parameters of its own, groups in `cognito:groups`.
    Cognito,
}

impl Preset {
    /// All of them, by their names in the configuration.
    pub const ALL: [(&'static str, Self); 6] = [
        ("entra", Self::Entra),
        ("google", Self::Google),
        ("keycloak", Self::Keycloak),
        ("auth0", Self::Auth0),
        ("okta", Self::Okta),
        ("cognito", Self::Cognito),
    ];

    /// The scopes to ask for unless others are configured; none: those of every provider.
    pub const fn scopes(self) -> Option<&'static [&'static str]> {
        match self {
            // Both refuse offline_access, and Keycloak gives a token with it that outlives the logout.
            Self::Google | Self::Cognito | Self::Keycloak => Some(&["openid", "profile", "email"]),
            Self::Entra | Self::Auth0 | Self::Okta => None,
        }
    }

    /// Whether the provider refuses a request for `offline_access`.
    pub const fn refuses_offline_access(self) -> bool {
        matches!(self, Self::Google | Self::Cognito)
    }

    /// The claim with a user's groups unless another is configured; none: `groups`.
    pub const fn groups_claim(self) -> Option<&'static str> {
        match self {
            Self::Keycloak => Some("realm_access.roles"),
            Self::Cognito => Some("cognito:groups"),
            Self::Entra | Self::Google | Self::Auth0 | Self::Okta => None,
        }
    }

    /// Whether the provider sends `state` back after a logout.
    pub const fn returns_logout_state(self) -> bool {
        !matches!(self, Self::Cognito)
    }

    /// Whether an API is named by its scopes alone, and a request that says `resource` or `audience` too is refused.
    pub const fn names_apis_by_scope(self) -> bool {
        matches!(self, Self::Entra)
    }

    /// Whether an error at the token endpoint is about the API that was asked for, and not about the refresh token.
    pub(super) fn refuses_api(self, error: &OAuthError) -> bool {
        // Entra ID says `invalid_grant` also where consent, an assignment or a second factor is missing for one API, and
        // `invalid_resource` for an API that it does not know.
        const OF_THE_API: [&str; 6] =
            ["AADSTS65001", "AADSTS50105", "AADSTS50076", "AADSTS50079", "AADSTS50158", "AADSTS53003"];
        let names = |text: &str| OF_THE_API.iter().any(|code| text.starts_with(code));
        self == Self::Entra && (error.code() == "invalid_resource" || error.description().is_some_and(names))
    }

    /// Adds the parameters of the authorization request that the provider wants beside the standard's.
    pub(super) fn complete(self, parameters: &mut Vec<(String, String)>) {
        if self != Self::Google {
            return;
        }
        // Google gives a refresh token only with a consent that it has just asked for.
        if !parameters.iter().any(|(name, _)| name == "access_type") {
            parameters.push(("access_type".to_owned(), "offline".to_owned()));
        }
        match parameters.iter_mut().find(|(name, _)| name == "prompt") {
            None => parameters.push(("prompt".to_owned(), "consent".to_owned())),
            Some((_, prompt)) if prompt.split(' ').any(|word| word == "none" || word == "consent") => {}
            Some((_, prompt)) => prompt.push_str(" consent"),
        }
    }

    /// The address of the provider's own kind of logout, where the standard's does not work.
    pub(super) fn logout_url(self, metadata: &Metadata) -> Option<LogoutUrl> {
        let at = |path| {
            let mut url = metadata.authorization_endpoint.clone();
            url.set_path(path);
            url.set_query(None);
            url
        };
        match self {
            Self::Auth0 if metadata.end_session_endpoint.is_none() => Some(LogoutUrl(format!(
                "{}?client_id={{client_id}}&returnTo={{post_logout_redirect_uri}}",
                at("/v2/logout")
            ))),
            // It announces an end_session_endpoint, and takes these parameters alone.
            Self::Cognito => {
                let endpoint = metadata.end_session_endpoint.clone().unwrap_or_else(|| at("/logout"));
                Some(LogoutUrl(format!("{endpoint}?client_id={{client_id}}&logout_uri={{post_logout_redirect_uri}}")))
            }
            _ => None,
        }
    }
}

/// The address of a logout that is not the standard's (`provider.logout_url`): `{client_id}`,
/// `{post_logout_redirect_uri}` and `{state}` stand for their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutUrl(String);

/// Why a text is no address of a logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogoutUrlError {
    /// Neither https, nor http on loopback; or a fragment, a user name, or no host.
    #[error("it is not an https URL without fragment and user name")]
    Url,
    /// Braces around another name than the three.
    #[error("only {{client_id}}, {{post_logout_redirect_uri}} and {{state}} may stand in braces, and in the query")]
    Placeholder,
}

impl LogoutUrl {
    /// Reads `text`.
    ///
    /// # Errors
    /// See [`LogoutUrlError`].
    pub fn parse(text: &str) -> Result<Self, LogoutUrlError> {
        let (before, query) = text.split_once('?').unwrap_or((text, ""));
        let rest = ["{client_id}", "{post_logout_redirect_uri}", "{state}"]
            .iter()
            .fold(query.to_owned(), |rest, name| rest.replace(name, ""));
        if before.contains(['{', '}']) || rest.contains(['{', '}']) {
            return Err(LogoutUrlError::Placeholder);
        }
        let url = Url::parse(text).map_err(|_| LogoutUrlError::Url)?;
        let bare = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        if bare && super::http::is_protected(&url) { Ok(Self(text.to_owned())) } else { Err(LogoutUrlError::Url) }
    }

    /// The address with its values, each encoded.
    pub(super) fn fill(&self, client_id: &str, post_logout_redirect_uri: &str, state: &str) -> Option<Url> {
        let values =
            [("{client_id}", client_id), ("{post_logout_redirect_uri}", post_logout_redirect_uri), ("{state}", state)];
        let mut filled = String::with_capacity(self.0.len() + 256);
        let mut rest = self.0.as_str();
        // In one pass, so that a value that looks like a name is none.
        while let Some(at) = rest.find('{') {
            let (name, value) = values.iter().find(|(name, _)| rest[at..].starts_with(name))?;
            filled.push_str(&rest[..at]);
            filled.extend(url::form_urlencoded::byte_serialize(value.as_bytes()));
            rest = &rest[at + name.len()..];
        }
        filled.push_str(rest);
        Url::parse(&filled).ok()
    }
}

/// Who may have issued an ID token and metadata (OpenID Connect Core §3.1.3.7 item 2, RFC 8414 §3.3).
///
/// One exact text, but for Entra ID's issuers of many tenants: those announce `{tenantid}` in place of a tenant, and
/// their ID tokens name the user's own (`tid`) there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IssuerRule {
    configured: String,
    /// What stands before and behind the tenant.
    around_tenant: Option<(String, String)>,
}

impl IssuerRule {
    pub(super) fn new(configured: &str, preset: Option<Preset>) -> Self {
        let shared = |name: &&str| {
            let (before, behind) = configured.split_once(&format!("/{name}/"))?;
            Some((format!("{before}/"), format!("/{behind}")))
        };
        let around_tenant = if preset == Some(Preset::Entra) { SHARED_TENANTS.iter().find_map(shared) } else { None };
        Self { configured: configured.to_owned(), around_tenant }
    }

    /// The issuer as it is configured.
    pub(super) fn configured(&self) -> &str {
        &self.configured
    }

    /// Whether metadata with this `issuer` are those that were asked for.
    pub(super) fn allows_metadata_of(&self, announced: &str) -> bool {
        match &self.around_tenant {
            None => announced == self.configured,
            Some((before, behind)) => announced == format!("{before}{TENANT_ID}{behind}"),
        }
    }

    /// Whether an authorization response with this `iss` may be the provider's (RFC 9207 §2.4). Which tenant it is, the
    /// ID token says.
    pub(super) fn allows_response_of(&self, iss: &str) -> bool {
        match &self.around_tenant {
            None => iss == self.configured,
            Some((before, behind)) => {
                let tenant = iss.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
                tenant.is_some_and(|tenant| tenant == TENANT_ID || is_tenant_id(tenant))
            }
        }
    }

    /// Whether the claims name an issuer that may have issued them.
    pub(super) fn allows_claims(&self, claims: &Map<String, Value>) -> bool {
        let text = |name| claims.get(name).and_then(Value::as_str);
        match (&self.around_tenant, text("iss")) {
            (_, None) => false,
            (None, Some(iss)) => iss == self.configured,
            (Some((before, behind)), Some(iss)) => text("tid")
                .filter(|tenant| is_tenant_id(tenant))
                .is_some_and(|tenant| iss == format!("{before}{tenant}{behind}")),
        }
    }
}

/// Whether the issuer is one that serves many tenants.
pub fn is_shared_issuer(issuer: &str, preset: Option<Preset>) -> bool {
    IssuerRule::new(issuer, preset).around_tenant.is_some()
}

/// A GUID in lower case: `11111111-2222-3333-4444-555555555555`.
pub fn is_tenant_id(text: &str) -> bool {
    let is_in_place = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    };
    text.len() == TENANT_LENGTH && text.bytes().enumerate().all(is_in_place)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TENANT: &str = "11111111-2222-3333-4444-55555555555a";
    const SHARED: &str = "https://login.microsoftonline.com/organizations/v2.0";

    fn parameters(given: &[(&str, &str)]) -> Vec<(String, String)> {
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn issuer_of(tenant: &str) -> String {
        format!("https://login.microsoftonline.com/{tenant}/v2.0")
    }

    #[test]
    fn an_issuer_of_many_tenants_announces_a_template_and_its_tokens_name_one() {
        let rule = IssuerRule::new(SHARED, Some(Preset::Entra));
        assert!(rule.allows_metadata_of(&issuer_of("{tenantid}")));
        assert!(!rule.allows_metadata_of(SHARED) && !rule.allows_metadata_of(&issuer_of(TENANT)));
        let allows = |iss: &str, tid: Value| {
            rule.allows_claims(json!({ "iss": iss, "tid": tid }).as_object().expect("an object"))
        };
        assert!(allows(&issuer_of(TENANT), json!(TENANT)));
        for (iss, tid) in [
            (issuer_of(TENANT), json!(TENANT.replace('a', "b"))),
            (issuer_of(TENANT), json!(null)),
            (issuer_of("{tenantid}"), json!("{tenantid}")),
            (issuer_of("evil/x"), json!("evil/x")),
            (format!("https://evil.example/{TENANT}/v2.0"), json!(TENANT)),
            (format!("{}/", issuer_of(TENANT)), json!(TENANT)),
            (SHARED.to_owned(), json!("organizations")),
        ] {
            assert!(!allows(&iss, tid.clone()), "{iss} {tid}");
        }
    }

    /// RFC 9207 §2.4
    #[test]
    fn the_iss_parameter_of_many_tenants_is_any_tenant_s_and_no_other_host_s() {
        let rule = IssuerRule::new(SHARED, Some(Preset::Entra));
        assert!(rule.allows_response_of(&issuer_of(TENANT)) && rule.allows_response_of(&issuer_of("{tenantid}")));
        for other in [&issuer_of("evil"), SHARED, "https://evil.example/v2.0", ""] {
            assert!(!rule.allows_response_of(other), "{other}");
        }
    }

    #[test]
    fn without_the_preset_and_with_one_tenant_the_issuer_is_exact() {
        for (issuer, preset) in
            [(SHARED, None), (SHARED, Some(Preset::Okta)), (&*issuer_of(TENANT), Some(Preset::Entra))]
        {
            let rule = IssuerRule::new(issuer, preset);
            assert!(rule.allows_metadata_of(issuer) && rule.allows_response_of(issuer));
            assert!(!rule.allows_metadata_of(&issuer_of("{tenantid}")));
            let claims = json!({ "iss": issuer_of(&TENANT.replace('a', "b")), "tid": TENANT.replace('a', "b") });
            assert!(!rule.allows_claims(claims.as_object().expect("an object")));
        }
    }

    #[test]
    fn google_is_asked_for_offline_access_and_consent_but_never_in_a_silent_login() {
        let prompt = |given: &[(&str, &str)]| {
            let mut all = parameters(given);
            Preset::Google.complete(&mut all);
            assert!(all.contains(&("access_type".to_owned(), "offline".to_owned())));
            all.into_iter().find(|(name, _)| name == "prompt").map(|(_, value)| value)
        };
        assert_eq!(prompt(&[]).as_deref(), Some("consent"));
        assert_eq!(prompt(&[("prompt", "select_account")]).as_deref(), Some("select_account consent"));
        assert_eq!(prompt(&[("prompt", "none")]).as_deref(), Some("none"));
        let mut others = parameters(&[("acr_values", "x")]);
        Preset::Keycloak.complete(&mut others);
        assert_eq!(others, parameters(&[("acr_values", "x")]));
    }

    #[test]
    fn a_logout_address_is_filled_with_encoded_values_and_once() {
        let url = LogoutUrl::parse("https://a.example/out?c={client_id}&r={post_logout_redirect_uri}&s={state}");
        let filled = url.expect("an address").fill("a b", "https://app.example/?x={state}", "s&t").expect("a URL");
        let expected = "https://a.example/out?c=a+b&r=https%3A%2F%2Fapp.example%2F%3Fx%3D%7Bstate%7D&s=s%26t";
        assert_eq!(filled.as_str(), expected);
    }

    #[test]
    fn a_logout_address_that_could_lead_elsewhere_is_refused() {
        for (text, error) in [
            ("http://a.example/out", LogoutUrlError::Url),
            ("https://a.example/#x", LogoutUrlError::Url),
            ("https://u:p@a.example/", LogoutUrlError::Url),
            ("/out", LogoutUrlError::Url),
            ("https://{client_id}/", LogoutUrlError::Placeholder),
            ("https://a.example/{state}", LogoutUrlError::Placeholder),
            ("https://a.example/?x={token}", LogoutUrlError::Placeholder),
        ] {
            assert_eq!(LogoutUrl::parse(text), Err(error), "{text}");
        }
        assert!(LogoutUrl::parse("https://a.example/out").is_ok());
    }
}
