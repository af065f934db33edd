//! A relying party and its test provider, ready to log in; tests change the one thing that they are about.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use super::test_keys::TestKey;
use super::test_provider::{Answer, TestProvider};
use super::{
    AuthorizationSettings, ClientAuth, LoginLimits, OriginalIdentity, Pacing, Particulars, Provider, ProviderSettings,
    RedeemError, Redemption, RefreshError, TokenSet, UserInfoUse,
};
use crate::clock::{Clock, UnixTime};
use crate::secret::{AuthorizationCode, CodeVerifier, Nonce, RefreshToken, SecretString};

pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(crate) const NOW: i64 = 1_795_392_000;
pub(crate) const REDIRECT_URI: &str = "https://app.example.com/bff/callback";
/// In every secret of these tests, so that one search finds any that leaks.
pub(crate) const MARKER: &str = "s3cr3tm4rker";

/// Everything that a test of the relying party needs.
pub(crate) struct TestParty {
    pub(crate) server: TestProvider,
    pub(crate) provider: Provider,
    pub(crate) clock: Clock,
    pub(crate) key: TestKey,
}

impl TestParty {
    pub(crate) async fn new() -> Self {
        Self::with(TestKey::es256("k1"), |_| {}).await
    }

    /// With settings that differ.
    pub(crate) async fn with(key: TestKey, change: impl FnOnce(&mut ProviderSettings)) -> Self {
        let server = TestProvider::start().await;
        server.answers(DISCOVERY, Answer::json(200, &metadata(&server)));
        server.answers("/jwks", Answer::json(200, &json!({ "keys": [key.jwk()] })));
        let clock = Clock::manual(UnixTime::from_secs(NOW));
        let mut settings = settings(&server.url(""));
        change(&mut settings);
        let provider = Provider::with_pacing(settings, clock.clone(), Handle::current(), quick()).expect("a provider");
        Self { server, provider, clock, key }
    }

    /// The claims of an ID token that is right in every way.
    pub(crate) fn claims(&self) -> Value {
        json!({
            "iss": self.server.url(""), "sub": "alice", "aud": "client", "exp": NOW + 300, "iat": NOW,
            "nonce": nonce().expose(), "email": "alice@example.com",
        })
    }

    /// The right claims with members changed, or removed by null.
    pub(crate) fn claims_with(&self, changes: Value) -> Value {
        merged(self.claims(), changes)
    }

    /// Lets the token endpoint answer with this ID token.
    pub(crate) fn gives_id_token(&self, id_token: impl Into<String>) {
        self.server.answers("/token", Answer::json(200, &token_response(json!({ "id_token": id_token.into() }))));
    }

    /// Redeems the code with an ID token of these claims.
    pub(crate) async fn redeem_with_claims(&self, changes: Value) -> Result<TokenSet, RedeemError> {
        self.gives_id_token(self.key.token(&self.claims_with(changes)));
        self.redeem().await
    }

    pub(crate) async fn redeem(&self) -> Result<TokenSet, RedeemError> {
        self.provider.redeem(redemption()).await
    }

    /// Refreshes as the user who logged in with [`TestParty::claims`].
    pub(crate) async fn refresh(&self) -> Result<TokenSet, RefreshError> {
        self.provider.refresh(&refresh_token(), &self.original()).await
    }

    pub(crate) fn original(&self) -> OriginalIdentity {
        let claims: Map<_, _> = self.claims().as_object().cloned().expect("an object");
        OriginalIdentity::from_claims(&claims).expect("an identity")
    }
}

pub(crate) fn settings(issuer: &str) -> ProviderSettings {
    ProviderSettings {
        issuer: issuer.to_owned(),
        client_id: "client".to_owned(),
        client_auth: ClientAuth::SecretBasic(SecretString::new(format!("{MARKER}: secret/+"))),
        scopes: vec!["openid".to_owned(), "offline_access".to_owned()],
        authorization: AuthorizationSettings::default(),
        ca_file: None,
        clock_skew: Duration::from_secs(60),
        request_timeout: Duration::from_secs(5),
        default_access_token_lifetime: Duration::from_secs(600),
        id_token_algorithms: ["RS256", "ES256", "ES384", "EdDSA"].map(str::to_owned).to_vec(),
        trusted_audiences: Vec::new(),
        userinfo: UserInfoUse::Never,
        passthrough_parameters: Vec::new(),
        login_limits: LoginLimits::default(),
        particulars: Particulars::default(),
    }
}

/// Waits of milliseconds where the real ones are of seconds; unknown keys are refetched once in a test.
pub(crate) fn quick() -> Pacing {
    Pacing {
        first_retry: Duration::from_millis(5),
        longest_retry: Duration::from_millis(20),
        renewal: Duration::from_millis(20),
        on_demand_gap: Duration::ZERO,
        key_refetch_gap: Duration::from_secs(3600),
    }
}

pub(crate) fn metadata(server: &TestProvider) -> Value {
    json!({
        "issuer": server.url(""),
        "authorization_endpoint": server.url("/auth"),
        "token_endpoint": server.url("/token"),
        "jwks_uri": server.url("/jwks"),
        "end_session_endpoint": server.url("/logout"),
        "revocation_endpoint": server.url("/revoke"),
    })
}

pub(crate) fn token_response(changes: Value) -> Value {
    let response = json!({
        "access_token": access_token(), "token_type": "Bearer", "expires_in": 300, "refresh_token": "new-refresh",
    });
    merged(response, changes)
}

fn merged(mut object: Value, changes: Value) -> Value {
    let members = object.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    object
}

pub(crate) fn access_token() -> String {
    format!("{MARKER}-access")
}

pub(crate) fn code() -> AuthorizationCode {
    AuthorizationCode::new(format!("{MARKER}-code"))
}

pub(crate) fn verifier() -> CodeVerifier {
    CodeVerifier::new(format!("{MARKER}-verifier-0123456789-0123456789-0123456789"))
}

pub(crate) fn redemption() -> Redemption {
    let redirect_uri = REDIRECT_URI.to_owned();
    Redemption { code: code(), verifier: verifier(), nonce: nonce(), redirect_uri, max_age: None }
}

pub(crate) fn nonce() -> Nonce {
    Nonce::new(format!("{MARKER}-nonce"))
}

pub(crate) fn refresh_token() -> RefreshToken {
    RefreshToken::new(format!("{MARKER}-refresh"))
}
