//! The OpenID Connect relying party: discovery, authorization requests, the token endpoint, ID tokens, logout.
//!
//! Nothing here knows of cookies or HTTP servers. No function may put a token, code, verifier or state into an error
//! or a log line.

mod authorization;
mod bearer;
mod claims;
mod client_authentication;
mod client_credentials;
pub mod discovery;
mod http;
mod id_token;
mod identity_jwt;
mod json;
mod jwks;
mod jws;
mod login_limits;
mod logout;
mod oauth_error;
mod preset;
mod provider;
mod pushed;
mod token;
mod token_need;
mod token_response;
mod userinfo;

#[cfg(test)]
pub(crate) mod test_keys;
#[cfg(test)]
pub(crate) mod test_party;
#[cfg(test)]
pub(crate) mod test_provider;

use std::path::PathBuf;
use std::time::Duration;

pub use self::authorization::{
    AuthorizationError, AuthorizationRequest, AuthorizationSettings, IssuerMismatch, OWN_PARAMETERS, PushedRequests,
    ResponseMode, fresh_nonce, fresh_state, fresh_verifier,
};
pub use self::bearer::{
    BearerError, BearerVerifier, IntrospectionError, IntrospectionSettings, IssuerFault, TokenIssuerError,
    TokenIssuerSettings, TokenIssuers, TokenRefused, VerifiedToken, probe_token_issuer,
};
pub use self::claims::{ClaimPath, RequiredClaim, Wanted, scopes};
pub use self::client_authentication::{
    AssertionAlgorithm, AssertionAudience, ClientAuth, ClientKey, ClientKeyError, PrivateKeyJwt,
};
pub use self::client_credentials::{ClientCredentialsError, ClientToken};
pub use self::discovery::{DiscoveryError, Metadata};
pub use self::http::{HttpError, Unavailable};
pub use self::id_token::{IdTokenError, IdentityChange, OriginalIdentity};
pub use self::identity_jwt::{IdentityJwtSettings, IdentityKeyError, IdentitySigner, MemoKey, OWN_CLAIMS};
pub use self::jwks::KeysError;
pub use self::login_limits::{LoginRefused, check_login_limits};
pub use self::logout::{LogoutRequest, Revocation, RevokeError};
pub use self::oauth_error::OAuthError;
pub use self::preset::{LogoutUrl, LogoutUrlError, Preset, is_shared_issuer, is_tenant_id};
pub use self::provider::{Pacing, Provider, ProviderBuildError, ProviderUnavailable};
pub use self::token::{InvalidResponse, RedeemError, Redemption, RefreshError, TokenSet};
pub use self::token_need::TokenNeed;
pub use self::userinfo::{UserInfo, UserInfoError, beside_id_token, merge_userinfo};

/// What the configuration says of the provider and of our registration there.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// The issuer, exactly as the provider announces it (OpenID Connect Discovery §4.3); https, or http on loopback.
    pub issuer: String,
    /// Our client identifier.
    pub client_id: String,
    /// How we authenticate at its endpoints.
    pub client_auth: ClientAuth,
    /// Scopes to ask for; always with `openid`.
    pub scopes: Vec<String>,
    /// What authorization requests say, and how they and their answers go.
    pub authorization: AuthorizationSettings,
    /// Certificates (PEM) to trust beside the system's roots when talking to the provider.
    pub ca_file: Option<PathBuf>,
    /// Tolerance between the provider's clock and ours, for `exp`, `iat` and `nbf`.
    pub clock_skew: Duration,
    /// Bound on one request to the provider.
    pub request_timeout: Duration,
    /// Life of an access token whose response has no `expires_in` (RFC 6749 §5.1).
    pub default_access_token_lifetime: Duration,
    /// Signature algorithms that an ID token may have (OpenID Connect Core §3.1.3.7); never `none`, never HMAC.
    pub id_token_algorithms: Vec<String>,
    /// Audiences beside our client_id that an ID token may name (OpenID Connect Core §3.1.3.7 item 3).
    pub trusted_audiences: Vec<String>,
    /// Whether claims are also read at the UserInfo endpoint.
    pub userinfo: UserInfoUse,
    /// Parameters that `/bff/login` may pass on to the authorization request: `prompt`, `login_hint`, …
    pub passthrough_parameters: Vec<String>,
    /// Who may log in.
    pub login_limits: LoginLimits,
    /// What is special about this provider.
    pub particulars: Particulars,
}

/// What is special about one provider, and about our registration there; the default is nothing.
#[derive(Clone, Debug, Default)]
pub struct Particulars {
    /// The provider's kind, whose quirks are known.
    pub preset: Option<Preset>,
    /// The address of its logout, where that is not the announced one.
    pub logout_url: Option<LogoutUrl>,
    /// Where it sends the browser after a logout; none: the site's root.
    pub post_logout_redirect_uri: Option<String>,
}

impl Particulars {
    /// Whether a logout here can end the session of a provider with these metadata too.
    pub fn has_logout(&self, metadata: &Metadata) -> bool {
        metadata.end_session_endpoint.is_some()
            || self.logout_url.is_some()
            || self.preset.is_some_and(|preset| preset.logout_url(metadata).is_some())
    }
}

/// Whether the UserInfo endpoint is asked (OpenID Connect Core §5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserInfoUse {
    /// Never: claims come from the ID token.
    #[default]
    Never,
    /// At every login, and again at every refresh.
    Login,
}

/// Limits on who may log in, by the claims of the ID token and of UserInfo. Empty lists limit nothing.
#[derive(Clone, Debug)]
pub struct LoginLimits {
    /// One of these must be in the claim of groups.
    pub allowed_groups: Vec<String>,
    /// That claim's name; if there is none of that name, a path of members between dots: `realm_access.roles`.
    pub groups_claim: String,
    /// The part of `email` behind its only `@` must be one of these, and `email_verified` must not be false.
    pub allowed_email_domains: Vec<String>,
    /// One of these must be the `tid` claim: Entra ID's tenants.
    pub allowed_tenants: Vec<String>,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self {
            allowed_groups: Vec::new(),
            groups_claim: "groups".to_owned(),
            allowed_email_domains: Vec::new(),
            allowed_tenants: Vec::new(),
        }
    }
}
