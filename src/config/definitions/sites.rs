//! The keys of `[[sites]]` and `[[providers]]` beside those of the sections that stand in them.

use super::{Form, KeyDefinition, Preset, SectionDefinition};

pub(super) const SITES: SectionDefinition = SectionDefinition {
    name: "sites",
    form: Form::ListInstead,
    doc: "\
Several sites in one process, told apart by the host of the request: in place of server.public_url and [provider].
The sections of a site stand within it, with the keys that they have at the top: [sites.provider] or
[[sites.providers]], [sites.session], [sites.csrf], [[sites.routes]], [sites.forward_auth], [sites.identity_jwt],
[sites.static], [sites.security_headers], [sites.spa_settings] and [sites.pages]. But for the provider, what a site
does not say the same section at the top says for all sites: key by key; lists, [[routes]] among them, whole. A
request for another host is answered with 421. In the environment sites have their position:
SEALGATE__SITES__0__PROVIDER__CLIENT_SECRET.",
    keys: &[
        KeyDefinition {
            name: "public_url",
            unit: "origin",
            preset: Preset::Required(r#""https://shop.example.com""#),
            doc: "\
The origin that browsers see, as server.public_url for one site. The Host of requests must be its host, with its port
where that is not the default. Sites on one host, at different ports, need different names of their cookies.",
        },
        KeyDefinition {
            name: "prefix",
            unit: "path",
            preset: Preset::Optional(r#""/bff""#),
            doc: "The path under which Sealgate's own endpoints lie; unset: server.prefix.",
        },
        KeyDefinition {
            name: "compat",
            unit: "\"easyauth\"",
            preset: Preset::Optional("\"easyauth\""),
            doc: "As server.compat, which holds where this is unset. Not where the site has several providers.",
        },
        KeyDefinition {
            name: "compat_provider",
            unit: "lower-case letters, digits and dashes",
            preset: Preset::Optional("\"aad\""),
            doc: "As server.compat_provider, which holds where this is unset.",
        },
    ],
};

pub(super) const PROVIDERS: SectionDefinition = SectionDefinition {
    name: "providers",
    form: Form::ListInstead,
    doc: "\
Several providers in one site, in place of [provider]; each has the keys of [provider] beside its name. The first one
is the default; /bff/login?provider=NAME asks another. A session belongs to the provider that it was opened with.",
    keys: &[KeyDefinition {
        name: "name",
        unit: "letters, digits, - and _",
        preset: Preset::Required(r#""staff""#),
        doc: "\
What links call it. The redirect URI of the first provider is /bff/callback, that of each other one
/bff/callback/NAME: register exactly that one, so that the answer of one provider cannot pass for another's.",
    }],
};
