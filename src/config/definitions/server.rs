//! The keys of `[server]`.

use super::{Form, KeyDefinition, Preset, SectionDefinition};

pub(super) const SERVER: SectionDefinition = SectionDefinition {
    name: "server",
    form: Form::Table,
    doc: "Listeners, and how they stop.",
    keys: &[
        KeyDefinition {
            name: "listen",
            unit: "IP address and port",
            preset: Preset::Default(r#""127.0.0.1:8080""#),
            doc: "Where browsers, or the load balancer in front, reach Sealgate. In a container: \"0.0.0.0:8080\".",
        },
        KeyDefinition {
            name: "public_url",
            unit: "origin",
            preset: Preset::Required(r#""https://app.example.com""#),
            doc: "\
The origin that browsers see: scheme, host and, where it is not the default, port. https, or http on loopback.
Cookies are bound to it, and the redirect URI to register at the provider is this followed by /bff/callback.
Another one signs everybody out: cookies that were sealed for the old one do not open.",
        },
        KeyDefinition {
            name: "management_listen",
            unit: "IP address and port",
            preset: Preset::Default(r#""127.0.0.1:9090""#),
            doc: "\
Health (/healthz), readiness (/readyz) and metrics (/metrics). Never reachable on the public listener.
In a container, where probes come from outside: \"0.0.0.0:9090\", on a port that is not published.",
        },
        KeyDefinition {
            name: "prefix",
            unit: "path",
            preset: Preset::Default(r#""/bff""#),
            doc: "\
The path under which Sealgate's own endpoints lie: <prefix>/login, <prefix>/callback, <prefix>/user, …
Change it when the app already uses /bff.",
        },
        KeyDefinition {
            name: "compat",
            unit: r#""easyauth""#,
            preset: Preset::Optional(r#""easyauth""#),
            doc: "\
Also answers as Azure App Service authentication does, for apps that were written for it: /.auth/login/<name>,
/.auth/me, /.auth/refresh and /.auth/logout; the redirect URI becomes public_url followed by
/.auth/login/<name>/callback, and routes have header_preset = \"easyauth\". docs/migrate/easy-auth.md says what differs.",
        },
        KeyDefinition {
            name: "compat_provider",
            unit: "name of lower-case letters, digits and dashes",
            preset: Preset::Optional(r#""aad""#),
            doc: "\
The provider's <name> in those paths, in X-MS-CLIENT-PRINCIPAL-IDP and in X-MS-TOKEN-<NAME>-ACCESS-TOKEN. Unset: aad
with provider.preset = \"entra\", google with \"google\", else oidc.",
        },
        KeyDefinition {
            name: "trusted_proxies",
            unit: "list of networks in CIDR form",
            preset: Preset::Default("[]"),
            doc: "\
Peers whose X-Forwarded-* headers count. Name the load balancer's network to see the addresses of clients in logs
and to pass them on; anybody in these networks can claim any address.",
        },
        KeyDefinition {
            name: "workers",
            unit: "number of threads, 1 to 1024",
            preset: Preset::Optional("4"),
            doc: "Threads that answer requests; unset: one a processor. Set it where a container may use only a share.",
        },
        KeyDefinition {
            name: "public_health_path",
            unit: "path",
            preset: Preset::Optional(r#""/healthz""#),
            doc: "\
A path on the public listener that answers 200 while the process lives, for platforms that probe the one port that
they publish. Unset: there is none.",
        },
        KeyDefinition {
            name: "tls_certificate_file",
            unit: "path of a PEM file",
            preset: Preset::Optional(r#""/etc/sealgate/tls/tls.crt""#),
            doc: "\
The certificate for public_url, with its chain behind it: Sealgate then speaks TLS itself (1.2 and 1.3, HTTP/1.1).
Set it, with tls_key_file, where no load balancer or reverse proxy in front does. Read again whenever it changes.",
        },
        KeyDefinition {
            name: "tls_key_file",
            unit: "path of a PEM file",
            preset: Preset::Optional(r#""/etc/sealgate/tls/tls.key""#),
            doc: "\
The certificate's private key, without a passphrase. Only its owner or a group may read it: mode 0600, 0640, 0400 or
0440 (Kubernetes: defaultMode: 0440 on the secret's volume).",
        },
        KeyDefinition {
            name: "client_timeout",
            unit: "duration",
            preset: Preset::Default(r#""30s""#),
            doc: "\
How long a client may take over the head of a request. Shorten it against slow clients. (For bodies see the routes'
idle_timeout.)",
        },
        KeyDefinition {
            name: "keep_alive",
            unit: "duration",
            preset: Preset::Default(r#""75s""#),
            doc: "\
How long a connection stays open for a next request. Longer than the load balancer in front keeps its idle connections
open: a request that it sends down one that is just being closed fails with 502.",
        },
        KeyDefinition {
            name: "drain_delay",
            unit: "duration",
            preset: Preset::Default(r#""5s""#),
            doc: "\
On SIGTERM: how long /readyz fails while the listener still accepts. Longer than the load balancer needs to notice;
\"0s\" where nothing balances.",
        },
        KeyDefinition {
            name: "drain_deadline",
            unit: "duration",
            preset: Preset::Default(r#""30s""#),
            doc: "\
On SIGTERM: how long requests and refreshes in flight may take after that. The platform must wait for both together
before it kills (Kubernetes: terminationGracePeriodSeconds).",
        },
    ],
};
