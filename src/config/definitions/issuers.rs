//! The keys of `[[routes.issuers]]`.

use super::{Form, KeyDefinition, Preset, SectionDefinition};

pub(super) const ISSUERS: SectionDefinition = SectionDefinition {
    name: "routes.issuers",
    form: Form::ListWithin,
    doc: "\
Whose access tokens pass a route with auth = \"bearer\" or \"session_or_bearer\"; one table an issuer. Tokens are JWTs
(RFC 9068), verified here, or opaque ones, about which the issuer is asked (introspection).",
    keys: &[
        KeyDefinition {
            name: "issuer",
            unit: "URL",
            preset: Preset::Required(r#""https://login.example.com""#),
            doc: "The issuer, exactly as its tokens name it (iss).",
        },
        KeyDefinition {
            name: "audience",
            unit: "list of texts",
            preset: Preset::Required(r#"["https://api.example.com"]"#),
            doc: "\
Audiences of this API: a token must name one of them (aud). Only with introspection it may be empty; then every active
token of the issuer passes, those for other APIs among them.",
        },
        KeyDefinition {
            name: "algorithms",
            unit: "list of JWS algorithms",
            preset: Preset::Default(
                r#"["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]"#,
            ),
            doc: "Signature algorithms that a token may have. Narrow it to the one that the issuer uses.",
        },
        KeyDefinition {
            name: "required_scopes",
            unit: "list of scopes",
            preset: Preset::Default("[]"),
            doc: "\
Scopes that a token must have, all of them (scope, or scp); otherwise 403 with insufficient_scope (RFC 6750 §3.1).
For scopes by method see [[routes.rules]].",
        },
        KeyDefinition {
            name: "required_claims",
            unit: "table of claim = list of values",
            preset: Preset::Optional(r#"{ tenant = ["a", "b"] }"#),
            doc: "\
Claims that a token must have, each with one of its values, or with { all = [...] } all of them; otherwise 403. A
claim within another is named with dots: \"realm_access.roles\", in quotes.",
        },
        KeyDefinition {
            name: "clock_skew",
            unit: "duration, at most 10m",
            preset: Preset::Default(r#""60s""#),
            doc: "How far the issuer's clock may be from ours when the times in a token are checked.",
        },
        KeyDefinition {
            name: "jwks_uri",
            unit: "URL",
            preset: Preset::Optional(r#""https://login.example.com/keys""#),
            doc: "Where the issuer's keys are. Unset: as its metadata say (discovery).",
        },
        KeyDefinition {
            name: "require_at_jwt",
            unit: "true or false",
            preset: Preset::Default("true"),
            doc: "\
Whether a JWT must call itself at+jwt (RFC 9068 §4), which keeps ID tokens out. Turn it off for issuers that do not
set it (Keycloak, Entra, Auth0 by default); then give the API an audience that no client has for its client_id.",
        },
        KeyDefinition {
            name: "ca_file",
            unit: "path of a PEM file",
            preset: Preset::Optional(r#""/etc/sealgate/issuer-ca.pem""#),
            doc: "Authorities to trust beside the system's when talking to the issuer.",
        },
        KeyDefinition {
            name: "introspection",
            unit: "true or false",
            preset: Preset::Default("false"),
            doc: "\
Whether the issuer is asked about tokens (RFC 7662): about opaque ones, and about its JWTs, which it may have revoked.
On for one issuer of a route at most.",
        },
        KeyDefinition {
            name: "client_id",
            unit: "text",
            preset: Preset::Optional(r#""api-gateway""#),
            doc: "With introspection: the client that asks.",
        },
        KeyDefinition {
            name: "client_secret",
            unit: "text",
            preset: Preset::Optional(r#""""#),
            doc: "Its secret (client_secret_basic). Rather use client_secret_file.",
        },
        KeyDefinition {
            name: "client_secret_file",
            unit: "path",
            preset: Preset::Optional(r#""/run/secrets/introspection_secret""#),
            doc: "A file that holds the secret and nothing else.",
        },
        KeyDefinition {
            name: "introspection_cache",
            unit: "duration, at most 1h",
            preset: Preset::Default(r#""30s""#),
            doc: "\
How long an answer about a token is believed, never beyond the token's expiry. A revoked token passes for so long;
\"0s\" asks about every request.",
        },
    ],
};
