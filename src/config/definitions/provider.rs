//! The keys of `[provider]`.

use super::{Form, KeyDefinition, Preset, SectionDefinition};

pub(super) const PROVIDER: SectionDefinition = SectionDefinition {
    name: "provider",
    form: Form::Table,
    doc: "The OpenID provider, and Sealgate's registration there as a confidential client.",
    keys: &[
        KeyDefinition {
            name: "issuer",
            unit: "URL",
            preset: Preset::Required(r#""https://login.example.com""#),
            doc: "\
The issuer exactly as the provider announces it, with or without its trailing slash; https, or http on loopback.
Everything else is read from <issuer>/.well-known/openid-configuration. Another one signs everybody out.",
        },
        KeyDefinition {
            name: "client_id",
            unit: "text",
            preset: Preset::Required(r#""spa-bff""#),
            doc: "The client identifier that the provider gave. Another one signs everybody out; a new secret does not.",
        },
        KeyDefinition {
            name: "client_secret",
            unit: "text, secret",
            preset: Preset::Optional(r#""…""#),
            doc: "\
The client secret itself, instead of client_secret_file. Better not in a file that is kept with the code; the
environment variable SEALGATE__PROVIDER__CLIENT_SECRET sets it too.",
        },
        KeyDefinition {
            name: "client_secret_file",
            unit: "path of a file",
            preset: Preset::RequiredUnless("client_secret", r#""/run/secrets/client_secret""#),
            doc: "\
A file that holds the client secret and nothing else; line breaks at its end do not count. Others must not be able
to read it. When one layer sets this key and a later one client_secret, the later one counts. Neither is needed when
client_auth is \"private_key_jwt\" or \"none\".",
        },
        KeyDefinition {
            name: "client_auth",
            unit: r#""client_secret_basic", "client_secret_post", "private_key_jwt" or "none""#,
            preset: Preset::Default(r#""client_secret_basic""#),
            doc: "\
How Sealgate proves to the provider who it is, as it was registered there: with the secret by HTTP Basic or in the
request body, or with signatures of a key that never leaves this machine (private_key_jwt, the best of them, RFC 9700
§2.5). \"none\" is a public client, which anybody can claim to be: only for providers that offer nothing else.",
        },
        KeyDefinition {
            name: "client_key_file",
            unit: "path of a PEM file",
            preset: Preset::Optional(r#""/run/secrets/client_key.pem""#),
            doc: "\
The private key of client_auth = \"private_key_jwt\": RSA of 2048 bits at least, EC P-256 or Ed25519, which only this
user may read. The provider has its public half. Read again when it changes: register a new key there before it
stands here. (A client_key_id does not change with it: leave that out, or restart.)",
        },
        KeyDefinition {
            name: "client_key_id",
            unit: "text",
            preset: Preset::Optional(r#""2026-11""#),
            doc: "\
The key id (kid) that the provider knows client_key_file by. Needed by some providers, and by all while they know
two keys of one kind.",
        },
        KeyDefinition {
            name: "client_assertion_algorithm",
            unit: r#""RS256", "PS256", "ES256" or "EdDSA""#,
            preset: Preset::Optional(r#""PS256""#),
            doc: "\
The signature algorithm of private_key_jwt, if the provider wants another than the usual one of the key's kind: RS256,
ES256 or EdDSA.",
        },
        KeyDefinition {
            name: "client_assertion_audience",
            unit: r#""issuer" or "token_endpoint""#,
            preset: Preset::Default(r#""issuer""#),
            doc: "\
Whom private_key_jwt names as its reader (aud): the issuer, as current advice has it, or the token endpoint's URL for
providers that still ask for that.",
        },
        KeyDefinition {
            name: "scopes",
            unit: "list of scopes",
            preset: Preset::Default(r#"["openid", "profile", "offline_access"]"#),
            doc: "\
What to ask for; \"openid\" must be among them. Most providers issue a refresh token only for \"offline_access\";
without one a session ends with its first access token. Add \"email\" for allowed_email_domains.",
        },
        KeyDefinition {
            name: "pushed_authorization_requests",
            unit: r#""auto", "always" or "never""#,
            preset: Preset::Default(r#""auto""#),
            doc: "\
Whether login requests are sent to the provider directly, so that the browser carries only a reference that nobody
can read or change (PAR, RFC 9126). \"auto\": when the provider announces where to, at the price of one request to it
a login. There is no way back from a push that fails: \"never\" is for a provider that announces it but not for us.",
        },
        KeyDefinition {
            name: "response_mode",
            unit: r#""query" or "form_post""#,
            preset: Preset::Default(r#""query""#),
            doc: "\
How the provider's answer comes back: in the query of a redirect, or as a form that its page posts, so that no log
or history ever holds the code. form_post needs https, and makes the short-lived login cookies SameSite=None.",
        },
        KeyDefinition {
            name: "prompt",
            unit: "text",
            preset: Preset::Optional(r#""select_account""#),
            doc: "\
What the provider shall always ask: \"login\", \"consent\", \"select_account\", or several with a space between. Like the
following keys it can be overridden by the login's link, unless passthrough_parameters leaves it out.",
        },
        KeyDefinition {
            name: "max_age",
            unit: "duration in whole seconds",
            preset: Preset::Optional(r#""1h""#),
            doc: "\
The longest time since the user last signed in at the provider, which asks again beyond it; \"0s\" asks every time. The
ID token must prove it (auth_time). When a link may ask for max_age too, the shorter one counts.",
        },
        KeyDefinition {
            name: "acr_values",
            unit: "list of texts",
            preset: Preset::Default("[]"),
            doc: "\
How the user should sign in (authentication context classes), the preferred first. The provider may do otherwise
(OpenID Connect Core §3.1.2.1): an API that depends on it must look at acr in its token.",
        },
        KeyDefinition {
            name: "ui_locales",
            unit: "list of language tags",
            preset: Preset::Default("[]"),
            doc: "The languages of the provider's pages, the preferred first; empty: as it finds best.",
        },
        KeyDefinition {
            name: "claims",
            unit: "text, a JSON object",
            preset: Preset::Optional(r#"'{"id_token": {"acr": {"essential": true}}}'"#),
            doc: "Single claims to ask for (OpenID Connect Core §5.5), where scopes do not do.",
        },
        KeyDefinition {
            name: "resource",
            unit: "list of absolute URIs",
            preset: Preset::Default("[]"),
            doc: "\
The APIs that the access token is for (RFC 8707); said in login, code and refresh requests. Providers differ in how
many they take at once.",
        },
        KeyDefinition {
            name: "audience",
            unit: "text",
            preset: Preset::Optional(r#""https://api.example.com""#),
            doc: "The same in the dialect of Auth0, and of others that do not know resource.",
        },
        KeyDefinition {
            name: "authorization_parameters",
            unit: "table of texts",
            preset: Preset::Optional(r#"{ organization = "acme" }"#),
            doc: "\
Further parameters of the login request, as the provider's documentation names them. Those that secure the flow
(state, nonce, redirect_uri, scope, …) and those that have a key of their own are refused.",
        },
        KeyDefinition {
            name: "ca_file",
            unit: "path of a PEM file",
            preset: Preset::Optional(r#""/etc/sealgate/provider-ca.pem""#),
            doc: "Certificates to trust beside the system's roots, for a provider with certificates of its own.",
        },
        KeyDefinition {
            name: "clock_skew",
            unit: "duration, at most 10m",
            preset: Preset::Default(r#""60s""#),
            doc: "\
How far the provider's clock may be from ours when the times in a token are checked. Better repair the clocks than
raise this.",
        },
        KeyDefinition {
            name: "request_timeout",
            unit: "duration",
            preset: Preset::Default(r#""10s""#),
            doc: "\
Bound on one request to the provider. A user who logs in waits for it; a slow provider needs more.",
        },
        KeyDefinition {
            name: "default_access_token_lifetime",
            unit: "duration",
            preset: Preset::Default(r#""5m""#),
            doc: "\
How long an access token is taken to live when the provider does not say (no expires_in). At most what the provider
really grants.",
        },
        KeyDefinition {
            name: "id_token_algorithms",
            unit: "list of JWS algorithms",
            preset: Preset::Default(
                r#"["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]"#,
            ),
            doc: "\
Signature algorithms that an ID token may have. Narrow it to the one that is registered for this client. Symmetric
algorithms (HS256, …) and \"none\" are refused.",
        },
        KeyDefinition {
            name: "trusted_audiences",
            unit: "list of texts",
            preset: Preset::Default("[]"),
            doc: "\
Audiences that an ID token may name beside client_id; any other makes the login fail. Needed with providers that
put the API or the project into the ID token.",
        },
        KeyDefinition {
            name: "userinfo",
            unit: r#""never" or "login""#,
            preset: Preset::Default(r#""never""#),
            doc: "\
Whether claims are also read at the provider's UserInfo endpoint: \"login\" asks it at every login, and again at every
refresh. For providers that keep the profile or the groups out of the ID token; each claim makes the cookie larger.",
        },
        KeyDefinition {
            name: "passthrough_parameters",
            unit: "list of parameter names",
            preset: Preset::Default(r#"["prompt", "login_hint", "ui_locales", "acr_values", "max_age"]"#),
            doc: "\
Parameters of <prefix>/login that go on to the authorization request. Anybody can put them into a link: leave out
what users must not choose. Those that secure the flow (state, nonce, redirect_uri, scope, …) are refused.",
        },
        KeyDefinition {
            name: "allowed_groups",
            unit: "list of texts",
            preset: Preset::Default("[]"),
            doc: "\
Who may log in: one of these must be in the \"groups\" claim, of the ID token or of UserInfo. Empty: no limit.",
        },
        KeyDefinition {
            name: "allowed_email_domains",
            unit: "list of domains",
            preset: Preset::Default("[]"),
            doc: "\
Who may log in: the domain of the \"email\" claim, of the ID token or of UserInfo, must be one of these, whole
(sub-domains are others), and the address not be marked as unverified. Empty: no limit.",
        },
        KeyDefinition {
            name: "preset",
            unit: r#""entra", "google", "keycloak", "auth0", "okta" or "cognito""#,
            preset: Preset::Optional(r#""okta""#),
            doc: "\
The kind of provider, where it is one of these: what each does in its own way is then done so, and mistakes in its
issuer are told. The pages on the providers say what it changes. A provider that keeps to the standards needs none.",
        },
        KeyDefinition {
            name: "allowed_tenants",
            unit: "list of tenant IDs",
            preset: Preset::Default("[]"),
            doc: "\
Who may log in, with preset = \"entra\" and an issuer of many tenants (organizations, common): the ID token's \"tid\"
must be one of these. Empty: no limit, which is to say everybody with an account at any organisation.",
        },
        KeyDefinition {
            name: "groups_claim",
            unit: "claim name, or members between dots",
            preset: Preset::Default(r#""groups""#),
            doc: "\
Where the ID token has what allowed_groups is compared with. The preset keycloak makes it \"realm_access.roles\", and
cognito \"cognito:groups\".",
        },
        KeyDefinition {
            name: "logout_url",
            unit: "URL with {client_id}, {post_logout_redirect_uri} and {state}",
            preset: Preset::Optional(r#""https://login.example.com/out?to={post_logout_redirect_uri}""#),
            doc: "\
Where browsers go to log out at a provider that announces no end_session_endpoint, or one that does not work. The
names in braces are replaced. The presets auth0 and cognito know their own.",
        },
        KeyDefinition {
            name: "post_logout_redirect_uri",
            unit: "URL",
            preset: Preset::Optional(r#""https://app.example.com/bff/logged-out""#),
            doc: "\
Where the provider sends browsers after a logout; it must be registered there. Not set: public_url and a slash.
<prefix>/logged-out checks the state that comes back, and says that the user is signed out.",
        },
    ],
};
