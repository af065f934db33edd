//! The keys of `[static]`, `[security_headers]`, `[spa_settings]` and `[pages]`.

use super::{Form, KeyDefinition, Preset, SectionDefinition};

pub(super) const STATIC: SectionDefinition = SectionDefinition {
    name: "static",
    form: Form::OptionalTable,
    doc: "The single-page app. Without this section Sealgate serves its endpoints and routes only.",
    keys: &[
        KeyDefinition {
            name: "root",
            unit: "path of a folder",
            preset: Preset::RequiredUnless("dev_server", r#""web/dist""#),
            doc: "\
The folder with index.html, which is also the answer to paths that are no file. Copies that a build compressed,
app.js.br, app.js.zst or app.js.gz beside app.js, are served to browsers that take them. Names that begin with a dot
are not served, but for .well-known; links are followed within the folder.",
        },
        KeyDefinition {
            name: "immutable_paths",
            unit: "list of paths",
            preset: Preset::Default(r#"["/"]"#),
            doc: "\
Where browsers may keep a file for a year without asking, if its name has a hash as bundlers write them,
assets/index-4f3a2b1c.js. Everything else is asked for each time and answered with 304 while it is the same. Name the
bundler's folder, [\"/assets\"], if other files have such names; [] keeps nothing.",
        },
        KeyDefinition {
            name: "dev_server",
            unit: "URL without a path",
            preset: Preset::Optional(r#""http://localhost:5173""#),
            doc: "\
For development: takes the app from a dev server such as Vite instead of root, hot reload over WebSocket included,
under a security policy that lets it work. Only where public_url is on loopback.",
        },
    ],
};

const fn header(name: &'static str, default: &'static str, doc: &'static str) -> KeyDefinition {
    KeyDefinition { name, unit: "text; empty: not sent", preset: Preset::Default(default), doc }
}

pub(super) const SECURITY_HEADERS: SectionDefinition = SectionDefinition {
    name: "security_headers",
    form: Form::Table,
    doc: "\
What browsers are told to refuse on the app's behalf; sent with the files of [static]. Upstreams' responses keep what
the upstream says. Change a value where the app needs more.",
    keys: &[
        header(
            "content_security_policy",
            r#""""
default-src 'self'; script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; \
img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src 'self'; frame-src 'self' {provider}; \
form-action 'self' {provider}; frame-ancestors 'self'; object-src 'none'; base-uri 'none'""""#,
            "\
{nonce} is new for every page and written into the script, style and link tags of index.html, so that no other script
runs, but for the modules that these import. {provider} is the origin of each issuer. A policy without {nonce}
leaves index.html as it is, which can then be answered with 304. Add to connect-src what the app talks to besides this
site, and to script-src 'self' if the app loads its parts by script tags, as webpack does; in style-src write
'unsafe-inline' instead of the nonce if a library writes styles into the page.",
        ),
        header(
            "strict_transport_security",
            r#""max-age=31536000""#,
            "\
Sent only where public_url is https. Add includeSubDomains when every subdomain has TLS.",
        ),
        header("referrer_policy", r#""same-origin""#, "Other sites do not learn which page a link was followed from."),
        header(
            "permissions_policy",
            r#""camera=(), geolocation=(), microphone=(), payment=(), usb=()""#,
            "What neither the app nor a frame in it may use. Take out what the app needs.",
        ),
        header(
            "cross_origin_opener_policy",
            r#""same-origin""#,
            "\
Other sites' windows cannot hold on to the app's. same-origin-allow-popups where the app signs in with another service
in a window of its own.",
        ),
        header(
            "cross_origin_resource_policy",
            r#""same-origin""#,
            "Other sites cannot embed the app's files. cross-origin if they shall.",
        ),
        header("x_content_type_options", r#""nosniff""#, "Browsers take a file for what its Content-Type says."),
    ],
};

pub(super) const SPA_SETTINGS: SectionDefinition = SectionDefinition {
    name: "spa_settings",
    form: Form::FreeTable,
    doc: "\
What the app is told at run time, at <prefix>/config.json, so that one build serves every environment: strings,
numbers and booleans under names of your own, `title = \"Orders\"`. Everybody can read them, signed in or not: never a
secret. A variable, `SEALGATE__SPA_SETTINGS__TITLE=Orders`, sets a name in lower case.",
    keys: &[],
};

pub(super) const PAGES: SectionDefinition = SectionDefinition {
    name: "pages",
    form: Form::Table,
    doc: "The pages that people see when a sign-in fails, cookies are too large, and so on.",
    keys: &[KeyDefinition {
        name: "templates",
        unit: "path of a folder",
        preset: Preset::Optional(r#""pages""#),
        doc: "\
A folder with your own page.html (a Jinja template), your own texts.toml (further languages, other words), or both.
What is wrong in them is found at start. docs/pages.md says what stands in them.",
    }],
};
