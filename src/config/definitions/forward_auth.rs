//! The keys of `[forward_auth]` and `[[forward_auth.rules]]`.

use super::rules::RULES;
use super::{Form, KeyDefinition, Preset, SectionDefinition};

pub(super) const FORWARD_AUTH: SectionDefinition = SectionDefinition {
    name: "forward_auth",
    form: Form::OptionalTable,
    doc: "\
Lets another proxy in front ask, at <prefix>/auth, whether a request may pass, for applications that Sealgate does not
proxy itself: nginx auth_request, Traefik ForwardAuth, Caddy forward_auth, Envoy ext_authz. Without this section there
is no such endpoint. Needs session.same_site = \"lax\" and the proxy's address in server.trusted_proxies.
docs/forward-auth.md has the recipes.",
    keys: &[
        KeyDefinition {
            name: "proxy",
            unit: r#""nginx", "traefik", "caddy" or "envoy""#,
            preset: Preset::Required(r#""nginx""#),
            doc: "\
Which proxy asks. It decides where the original request's method and address are read, and from there alone:
X-Original-Method and X-Original-URI (nginx), X-Forwarded-Method and X-Forwarded-Uri (Traefik, Caddy), or the method
of the question itself and the path behind <prefix>/auth (Envoy).",
        },
        KeyDefinition {
            name: "secret",
            unit: "visible ASCII, at least 32 characters",
            preset: Preset::Optional(r#""""#),
            doc: "\
What the proxy shows in X-Sealgate-Secret. Browsers can reach <prefix>/auth through the proxy, too, and answers have
headers that no page may read; who does not show the secret gets 403. Rather use secret_file.",
        },
        KeyDefinition {
            name: "secret_file",
            unit: "path",
            preset: Preset::RequiredUnless("secret", r#""/etc/sealgate/forward_auth_secret""#),
            doc: "\
A file that holds the secret and nothing else: `openssl rand -hex 32`. Or two, a line each, of which the proxy shows
one: while a new one takes the place of the old. Read at start.",
        },
        KeyDefinition {
            name: "csrf",
            unit: r#""same_origin" or "page""#,
            preset: Preset::Default(r#""same_origin""#),
            doc: "\
How forged requests are told from our own, as on routes: by the original's method and what the browser says of it.
\"same_origin\": page loads, and every method from pages of the same origin. \"page\": what changes something needs the
custom header of [csrf] as well.",
        },
        KeyDefinition {
            name: "access_token",
            unit: "true or false",
            preset: Preset::Default("false"),
            doc: "\
Whether answers carry the access token, as Authorization, and the preset's headers with tokens. Turn it on only for
applications that need it.",
        },
        KeyDefinition {
            name: "forward_cookies",
            unit: "true or false",
            preset: Preset::Default("false"),
            doc: "\
Whether cookies other than Sealgate's own go on to the application: answers carry what is left of the line as Cookie,
which takes the place of the original's. Turn it on for applications with cookies of their own.",
        },
        KeyDefinition {
            name: "header_preset",
            unit: r#""oauth2-proxy" or "easyauth""#,
            preset: Preset::Optional(r#""oauth2-proxy""#),
            doc: "Headers that tell the application of the user, as on routes.",
        },
        KeyDefinition {
            name: "headers",
            unit: "table of header = text with claims in braces",
            preset: Preset::Optional(r#"{ "X-User" = "{sub}", "X-Groups" = "{groups}" }"#),
            doc: "\
Headers of your own, as on routes. The proxy must remove all of these from what clients send; the recipes do.",
        },
        KeyDefinition {
            name: "identity_jwt",
            unit: "true or false",
            preset: Preset::Default("false"),
            doc: "\
Whether answers carry a signed identity, as [identity_jwt] describes it.",
        },
        KeyDefinition {
            name: "identity_jwt_audience",
            unit: "text",
            preset: Preset::Optional(r#""wiki""#),
            doc: "For whom it is (aud). Unset: server.public_url.",
        },
        KeyDefinition {
            name: "groups_claim",
            unit: "claim",
            preset: Preset::Optional(r#""groups""#),
            doc: "The claim that required_groups and the presets read. Unset: that of the provider.",
        },
        KeyDefinition {
            name: "roles_claim",
            unit: "claim",
            preset: Preset::Default(r#""roles""#),
            doc: "The claim that required_roles and the presets read.",
        },
    ],
};

pub(super) const FORWARD_AUTH_RULES: SectionDefinition = SectionDefinition {
    name: "forward_auth.rules",
    form: Form::ListWithin,
    doc: "\
What is asked of users beyond that there are any; one table a rule, as with [[routes.rules]]. The method is the
original request's.",
    keys: RULES.keys,
};
