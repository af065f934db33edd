//! The keys of `[[routes]]`.

use super::{Form, KeyDefinition, Preset, SectionDefinition};

pub(super) const ROUTES: SectionDefinition = SectionDefinition {
    name: "routes",
    form: Form::List,
    doc: "What is proxied; one table a route. The longest path that matches by whole segments wins.",
    keys: &[
        KeyDefinition {
            name: "path",
            unit: "path",
            preset: Preset::Required(r#""/api""#),
            doc: "The route takes this path and everything below. It goes on to the upstream as it is.",
        },
        KeyDefinition {
            name: "upstream",
            unit: "origin, or a list of origins",
            preset: Preset::Required(r#""http://127.0.0.1:3000""#),
            doc: "Where requests go: http or https, host and port, without a path. Of a list, see balance.",
        },
        KeyDefinition {
            name: "auth",
            unit: r#""session", "bearer", "session_or_bearer", "optional" or "none""#,
            preset: Preset::Default(r#""session""#),
            doc: "\
Who may pass. \"session\": only signed-in users, whose access token is attached. \"bearer\": only requests with an access
token of an issuer in [[routes.issuers]], which goes on as it is. \"session_or_bearer\": with an Authorization header as
bearer, without one as session. \"optional\": everybody, and the access token of those who are signed in is attached.
\"none\": everybody, with nothing attached.",
        },
        KeyDefinition {
            name: "providers",
            unit: "list of names of [[providers]]",
            preset: Preset::Default("[]"),
            doc: "\
Whose sessions pass, where the site has several providers: those of another one get 403, and no token of theirs goes
to the upstream. Name them where an API takes the tokens of one provider only. Empty: all.",
        },
        KeyDefinition {
            name: "token",
            unit: r#""user" or "application""#,
            preset: Preset::Default(r#""user""#),
            doc: "\
Whose access token the upstream gets. \"user\": the session's. \"application\": the application's own (client
credentials), whoever passes; auth still says who may.",
        },
        KeyDefinition {
            name: "scopes",
            unit: "list of scopes",
            preset: Preset::Default("[]"),
            doc: "\
The scopes of the upstream's access token. With these, resource or audience the upstream gets a token of its own, had
with the refresh token when it is first needed and renewed by itself. Empty, without the two: the login's token.",
        },
        KeyDefinition {
            name: "resource",
            unit: "absolute URI",
            preset: Preset::Optional(r#""https://orders.example.com""#),
            doc: "\
The API that the access token is for (RFC 8707). Logins name it too. Not with Entra ID, which knows an API by its
scopes.",
        },
        KeyDefinition {
            name: "audience",
            unit: "text",
            preset: Preset::Optional(r#""https://orders.example.com""#),
            doc: "The same for providers that say audience instead of resource, as Auth0 does.",
        },
        KeyDefinition {
            name: "csrf",
            unit: r#""header", "metadata", "page" or "same_origin""#,
            preset: Preset::Default(r#""header""#),
            doc: "\
How requests of the app are told from forged ones. \"header\": the custom header on each. \"metadata\": GET and HEAD with
Sec-Fetch-Site: same-origin, for EventSource, downloads and images. \"page\": also navigations, for upstreams that
render pages. \"same_origin\": also forms and every method with Sec-Fetch-Site: same-origin, for apps that know nothing
of the header. A WebSocket's handshake needs the app's Origin instead, always.",
        },
        KeyDefinition {
            name: "on_signed_out",
            unit: r#""refuse" or "login""#,
            preset: Preset::Default(r#""refuse""#),
            doc: "\
What a page gets that is loaded by a browser without a session. \"refuse\": 401 and a page that says so. \"login\": it is
led to the login and back, for upstreams that render pages; with csrf = \"page\" or \"same_origin\", and
session.same_site = \"lax\". Everything else gets 401, always.",
        },
        KeyDefinition {
            name: "methods",
            unit: "list of methods",
            preset: Preset::Default("[]"),
            doc: "Methods that may pass. Empty: all but CONNECT and TRACE, which never do.",
        },
        KeyDefinition {
            name: "max_body_size",
            unit: "bytes, or a number with its unit",
            preset: Preset::Optional(r#""10MiB""#),
            doc: "The longest body that passes; a longer one gets 413, however it is sent. Unset: the upstream decides.",
        },
        KeyDefinition {
            name: "host",
            unit: "host name",
            preset: Preset::Optional(r#""api.example.com""#),
            doc: "\
Takes the route for requests to this host only (Host, whatever the port). Where a host has routes of its own that
match, those for every host do not count.",
        },
        KeyDefinition {
            name: "host_override",
            unit: "host name, with a port where it needs one",
            preset: Preset::Optional(r#""tenant-a.internal""#),
            doc: "What Host says to the upstream. Unset: the upstream's own name, as in upstream.",
        },
        KeyDefinition {
            name: "strip_prefix",
            unit: "true or false",
            preset: Preset::Default("false"),
            doc: "\
Whether path is left out of what the upstream sees: /api/orders becomes /orders. The upstream finds path in
X-Forwarded-Prefix.",
        },
        KeyDefinition {
            name: "replace_prefix",
            unit: "path",
            preset: Preset::Optional(r#""/v2""#),
            doc: "What the upstream sees in place of path: /api/orders becomes /v2/orders.",
        },
        KeyDefinition {
            name: "groups_claim",
            unit: "claim",
            preset: Preset::Optional(r#""cognito:groups""#),
            doc: "\
The claim that lists the user's groups, for required_groups and header_preset. Unset: as provider.groups_claim says.",
        },
        KeyDefinition {
            name: "roles_claim",
            unit: "claim",
            preset: Preset::Default(r#""roles""#),
            doc: "\
The claim that lists the user's roles, for required_roles and header_preset; with Keycloak \"realm_access.roles\".",
        },
        KeyDefinition {
            name: "header_preset",
            unit: r#""oauth2-proxy", "easyauth" or "none""#,
            preset: Preset::Optional(r#""oauth2-proxy""#),
            doc: "\
Tells the upstream of the user as another proxy would: X-Forwarded-User, -Email, -Groups, -Preferred-Username,
-Access-Token and X-Auth-Request-*, or X-MS-CLIENT-PRINCIPAL and X-MS-TOKEN-AAD-*. Clients cannot send these headers,
on any route. Unset: \"easyauth\" with server.compat, where \"none\" leaves them out; otherwise none.",
        },
        KeyDefinition {
            name: "headers",
            unit: "table of header = text with {claims}",
            preset: Preset::Optional(r#"{ X-User = "{sub}", X-Roles = "{realm_access.roles}" }"#),
            doc: "\
Headers that tell the upstream of the user. A list becomes its elements with commas between; what is not visible ASCII
is percent-encoded; a header whose claim is missing is left out. Clients cannot send them, on any route.",
        },
        KeyDefinition {
            name: "identity_jwt",
            unit: "true or false",
            preset: Preset::Default("false"),
            doc: "\
Whether the upstream gets, with requests of sessions, a signed identity, as [identity_jwt] describes it.",
        },
        KeyDefinition {
            name: "identity_jwt_audience",
            unit: "text",
            preset: Preset::Optional(r#""orders-api""#),
            doc: "For whom it is (aud). Unset: server.public_url and the route's path, such as https://app.example.com/api.",
        },
        KeyDefinition {
            name: "forward_cookies",
            unit: "true or false",
            preset: Preset::Default("false"),
            doc: "Whether the browser's other cookies go on to the upstream. Sealgate's own never do.",
        },
        KeyDefinition {
            name: "connect_timeout",
            unit: "duration",
            preset: Preset::Default(r#""5s""#),
            doc: "How long connecting to the upstream may take. Then 502 or 504.",
        },
        KeyDefinition {
            name: "first_byte_timeout",
            unit: "duration",
            preset: Preset::Default(r#""60s""#),
            doc: "From the end of a request to the head of its response. Raise it for reports and long polls.",
        },
        KeyDefinition {
            name: "idle_timeout",
            unit: "duration",
            preset: Preset::Default(r#""120s""#),
            doc: "\
Between two pieces of a body, either way. Longer than the pauses of an event stream's keep-alive comments. Not for
WebSockets, which have the session's.",
        },
        KeyDefinition {
            name: "balance",
            unit: r#""round_robin" or "least_connections""#,
            preset: Preset::Default(r#""round_robin""#),
            doc: "\
Which of several upstreams comes next: each in its turn, or the one with the fewest requests under way (for requests
of very different lengths).",
        },
        KeyDefinition {
            name: "eject_after",
            unit: "number of failures, 0 to 1000",
            preset: Preset::Default("3"),
            doc: "\
After so many failures in a row an upstream is left out for a while: no connection, no answer in time, an answer that
broke off before its head, or 502, 503 and 504. Where all are left out, requests go to them nevertheless. 0: never.",
        },
        KeyDefinition {
            name: "eject_for",
            unit: "duration",
            preset: Preset::Default(r#""10s""#),
            doc: "How long an upstream is left out. After that, one further failure leaves it out again.",
        },
        KeyDefinition {
            name: "max_connections",
            unit: "number of connections, 1 to 1000000",
            preset: Preset::Default("1024"),
            doc: "\
Connections in use to each upstream at once, over all workers; WebSockets count. Raise it where many are open; lower
it to what an upstream can bear. (Connections that wait for their next request come on top: 64 a worker at most.)",
        },
        KeyDefinition {
            name: "max_waiting",
            unit: "number of requests, 0 to 1000000",
            preset: Preset::Default("1024"),
            doc: "\
Requests that may wait, for connect_timeout at most, while all connections are in use; further ones get 503 at once.",
        },
        KeyDefinition {
            name: "keep_alive",
            unit: "duration",
            preset: Preset::Default(r#""50s""#),
            doc: "\
How long a connection is kept for the next request. Set it below the time after which the upstream closes its own: a
request that meets the closing gets 502, unless it is a GET, HEAD or OPTIONS. (Node.js closes after 5s, nginx after
75s.)",
        },
        KeyDefinition {
            name: "upstream_ca_file",
            unit: "path of a PEM file",
            preset: Preset::Optional(r#""/etc/sealgate/upstream-ca.pem""#),
            doc: "\
The authorities to trust for https upstreams, in place of the system's. Like the two files below it is read again
whenever it changes.",
        },
        KeyDefinition {
            name: "upstream_client_certificate_file",
            unit: "path of a PEM file",
            preset: Preset::Optional(r#""/etc/sealgate/upstream-client.crt""#),
            doc: "Our certificate, with its chain, for https upstreams that ask for one (mutual TLS).",
        },
        KeyDefinition {
            name: "upstream_client_key_file",
            unit: "path of a PEM file",
            preset: Preset::Optional(r#""/etc/sealgate/upstream-client.key""#),
            doc: "Its private key, without a passphrase: mode 0600, 0640, 0400 or 0440.",
        },
        KeyDefinition {
            name: "upstream_server_name",
            unit: "host name or IP address",
            preset: Preset::Optional(r#""api.internal""#),
            doc: "\
The name that the certificates of https upstreams must have, and that they are asked for (SNI). Unset: the host of
each. Set it where upstreams are addressed by IP.",
        },
        KeyDefinition {
            name: "health_path",
            unit: "path, with a query where it needs one",
            preset: Preset::Optional(r#""/healthz""#),
            doc: "\
What each upstream is asked for (GET) to see whether it is well; any 2xx passes. One that fails its checks is left out
until it passes them. Unset: no checks.",
        },
        KeyDefinition {
            name: "health_interval",
            unit: "duration",
            preset: Preset::Default(r#""10s""#),
            doc: "From one check of an upstream to the next. Each replica checks for itself.",
        },
        KeyDefinition {
            name: "health_timeout",
            unit: "duration",
            preset: Preset::Default(r#""2s""#),
            doc: "How long a check may take.",
        },
        KeyDefinition {
            name: "health_failures",
            unit: "number of checks, 1 to 1000",
            preset: Preset::Default("3"),
            doc: "So many failed checks in a row leave an upstream out.",
        },
        KeyDefinition {
            name: "health_successes",
            unit: "number of checks, 1 to 1000",
            preset: Preset::Default("2"),
            doc: "So many passed checks in a row bring it back.",
        },
    ],
};
