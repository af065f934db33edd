//! The keys of `[identity_jwt]`.

use super::{Form, KeyDefinition, Preset, SectionDefinition};

pub(super) const IDENTITY_JWT: SectionDefinition = SectionDefinition {
    name: "identity_jwt",
    form: Form::OptionalTable,
    doc: "\
A signed identity for upstreams: a short-lived JWT (ES256) that says who the user is, on the routes and answers of
forward-auth with identity_jwt = true. Upstreams verify it with the keys at <prefix>/jwks.json, and so need not trust
the network between. docs/signed-identity.md tells how, and how the key is rotated.",
    keys: &[
        KeyDefinition {
            name: "signing_key_file",
            unit: "path of a PEM file",
            preset: Preset::Required(r#""/etc/sealgate/identity_key.pem""#),
            doc: "\
The private key, P-256 without a passphrase: mode 0600, 0640, 0400 or 0440. All replicas have the same. Read again
when it changes.",
        },
        KeyDefinition {
            name: "verification_keys_file",
            unit: "path of a PEM file",
            preset: Preset::Optional(r#""/etc/sealgate/identity_public_keys.pem""#),
            doc: "\
Public keys that are published beside that of the signing key: the next one before it signs, the last one for a while
after. Read again when it changes.",
        },
        KeyDefinition {
            name: "header",
            unit: "header name",
            preset: Preset::Default(r#""X-Sealgate-Jwt-Assertion""#),
            doc: "The header that upstreams find it in. Clients cannot send it, on any route.",
        },
        KeyDefinition {
            name: "lifetime",
            unit: "duration in whole seconds, 10s to 10m",
            preset: Preset::Default(r#""60s""#),
            doc: "\
How long one counts. It is signed again after half of that, so that at least half is left when it arrives; raise it
where requests wait for longer before they are verified.",
        },
        KeyDefinition {
            name: "claims",
            unit: "list of claims",
            preset: Preset::Default(r#"["name", "preferred_username", "email"]"#),
            doc: "\
Claims of the user that it has, beside sub. Add groups or roles where upstreams need them; long lists make long
headers, on every request.",
        },
    ],
};
