//! The keys of `[session]`, `[csrf]`, `[keys]`, `[[routes]]`, `[static]` and `[log]`.

use super::{Form, KeyDefinition, Preset, SectionDefinition};

pub(super) const SESSION: SectionDefinition = SectionDefinition {
    name: "session",
    form: Form::Table,
    doc: "Sessions and their cookies.",
    keys: &[
        KeyDefinition {
            name: "cookie_name",
            unit: "cookie name that begins with __Host-",
            preset: Preset::Default(r#""__Host-sealgate""#),
            doc: "\
The session cookie's name; the other cookies are named after it. Change it when two instances share a host. Over
plain http on loopback the __Host- prefix and Secure are dropped. A new name signs everybody out.",
        },
        KeyDefinition {
            name: "same_site",
            unit: r#""strict" or "lax""#,
            preset: Preset::Default(r#""strict""#),
            doc: "\
SameSite of the session cookie. \"lax\" for upstreams that render pages, so that a link from another site finds the
user signed in; a single-page app works with \"strict\". Login cookies are lax, or none with
response_mode = \"form_post\".",
        },
        KeyDefinition {
            name: "idle_timeout",
            unit: "duration in whole seconds",
            preset: Preset::Default(r#""1h""#),
            doc: "\
A session ends when nothing happens for this long; so does a WebSocket of its own through which nothing passes. At
most absolute_timeout. A change holds for living sessions too.",
        },
        KeyDefinition {
            name: "absolute_timeout",
            unit: "duration in whole seconds, at most 400d",
            preset: Preset::Default(r#""8h""#),
            doc: "\
A session ends this long after login, whatever happens. At most the key ring's max_session, which says how long
retired keys still open cookies; raise that one first (`sealgate keys rotate --max-session`). A change is for
sessions that begin after it; those that live keep their end.",
        },
        KeyDefinition {
            name: "refresh_before",
            unit: "duration in whole seconds, at most 1h",
            preset: Preset::Default(r#""60s""#),
            doc: "\
How long before its expiry an access token is refreshed; never more than a fifth of its lifetime. Raise it when
upstreams take long enough for a token to expire on the way.",
        },
        KeyDefinition {
            name: "persistent",
            unit: "true or false",
            preset: Preset::Default("true"),
            doc: "Whether cookies carry a Max-Age until the absolute end; false: they go when the browser closes.",
        },
        KeyDefinition {
            name: "user_format",
            unit: r#""object" or "duende""#,
            preset: Preset::Default(r#""object""#),
            doc: "\
The shape of <prefix>/user: one object with a member a claim, or a list of {\"type\", \"value\"} for front ends that were
written for Duende's BFF.",
        },
        KeyDefinition {
            name: "anonymous_user_status",
            unit: "401 or 200",
            preset: Preset::Default("401"),
            doc: "\
What <prefix>/user answers when nobody is signed in: 401, or with user_format = \"duende\" also 200 and null, for front
ends of a BFF with AnonymousSessionResponse.Response200.",
        },
        KeyDefinition {
            name: "write_format",
            unit: r#""zstd-1" or "plain""#,
            preset: Preset::Default(r#""zstd-1""#),
            doc: "\
How new session cookies are written: compressed with the first dictionary, or not. A release reads every format of the
releases before it, and a new format one release before it writes it. Hold this back at the older one during a rolling
upgrade that skips a release, until no replica of the old release is left. Living sessions stay, whatever you set.",
        },
    ],
};

pub(super) const CSRF: SectionDefinition = SectionDefinition {
    name: "csrf",
    form: Form::Table,
    doc: "The custom header that shows that a request comes from the app's own script (RFC 10017 §6.1.3.3.2).",
    keys: &[
        KeyDefinition {
            name: "header",
            unit: "header name",
            preset: Preset::Default(r#""X-CSRF""#),
            doc: "Its name. Change it to what a front end already sends; headers that any site can send are refused.",
        },
        KeyDefinition {
            name: "value",
            unit: "header value",
            preset: Preset::Default(r#""1""#),
            doc: "Its value. No secret: that it can be sent at all is the proof.",
        },
    ],
};

pub(super) const KEYS: SectionDefinition = SectionDefinition {
    name: "keys",
    form: Form::Table,
    doc: "The keys that seal cookies.",
    keys: &[KeyDefinition {
        name: "ring",
        unit: "path of a file",
        preset: Preset::Default(r#""keys/ring.json""#),
        doc: "\
The key ring, made by `sealgate keys generate`, the same on every replica. Its folder is watched: a changed ring is
taken up without a restart. Rotations sign nobody out, nor do changes of its propagation and max_session, which
`sealgate keys rotate` makes; another ring signs everybody out.",
    }],
};

pub(super) const LOG: SectionDefinition = SectionDefinition {
    name: "log",
    form: Form::Table,
    doc: "What is logged, and how. Tokens, codes, cookies and query strings never are.",
    keys: &[
        KeyDefinition {
            name: "format",
            unit: r#""pretty" or "json""#,
            preset: Preset::Default(r#""pretty""#),
            doc: "Lines for people, or one JSON object a line for a collector.",
        },
        KeyDefinition {
            name: "level",
            unit: "level, or list of target=level",
            preset: Preset::Default(r#""info""#),
            doc: "\
error, warn, info, debug, trace or off; also by module, to look into one: \"info,sealgate::refresh=debug\".",
        },
        KeyDefinition {
            name: "access_buffer",
            unit: "duration, at most 10s",
            preset: Preset::Default(r#""200ms""#),
            doc: "\
How long the line of a request may wait so that many are written at once, which saves a system call each; every other
line is written at once, after those that wait. On a terminal nothing waits. \"0s\": nothing waits anywhere, so that not
even a process that is killed loses a line.",
        },
    ],
};
