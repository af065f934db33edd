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
to read it. When one layer sets this key and a later one client_secret, the later one counts.",
        },
        KeyDefinition {
            name: "client_auth",
            unit: r#""client_secret_basic" or "client_secret_post""#,
            preset: Preset::Default(r#""client_secret_basic""#),
            doc: "How the secret is sent to the provider: HTTP Basic, or in the request body if it was registered so.",
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
            preset: Preset::Default(r#"["prompt", "login_hint", "ui_locales", "acr_values"]"#),
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
    ],
};
