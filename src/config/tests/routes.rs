//! Routes: who may pass, rules, rewritten paths, headers.

use serde_json::json;

use super::*;
use crate::oidc::{RequiredClaim, Wanted};
use crate::proxy::{PathRewrite, RouteAuth, RouteSettings};

/// A route with `more` in it.
fn with_route(more: &str) -> Fixture {
    extended(&format!("[[routes]]\npath = \"/api\"\nupstream = \"http://127.0.0.1:3000\"\n{more}"))
}

fn route(more: &str) -> RouteSettings {
    with_route(more).config().routes.remove(0)
}

fn refused(more: &str) -> String {
    let finding = with_route(more).only_finding();
    finding.split_once(": ").map(|(_, rest)| rest.to_owned()).unwrap_or(finding)
}

const ISSUER: &str = "[[routes.issuers]]\nissuer = \"https://login.example.com\"\naudience = [\"urn:api\"]\n";

#[test]
fn issuers_are_read_with_their_defaults() {
    let route = route(&format!("auth = \"bearer\"\n{ISSUER}"));
    assert_eq!(route.auth, RouteAuth::Bearer);
    let issuer = &route.access.issuers[0];
    assert_eq!(
        (issuer.issuer.as_str(), &issuer.audience[..]),
        ("https://login.example.com", &["urn:api".to_owned()][..])
    );
    assert!(issuer.requires_type && issuer.introspection.is_none() && issuer.jwks_uri.is_none());
    assert_eq!(issuer.clock_skew, Duration::from_secs(60));
    assert_eq!(issuer.algorithms.len(), 9);
}

#[test]
fn introspection_has_credentials_and_a_cache() {
    let fixture = with_route(&format!(
        "auth = \"session_or_bearer\"\n{ISSUER}introspection = true\nclient_id = \"gateway\"\nintrospection_cache = \"5s\"\n"
    ));
    let secret = fixture.write("secret", "marker-hunter2\n");
    let config = fixture.with("SEALGATE__ROUTES__0__ISSUERS__0__CLIENT_SECRET_FILE", secret).config();
    let introspection = config.routes[0].access.issuers[0].introspection.as_ref().expect("it is on");
    assert_eq!((introspection.client_id.as_str(), introspection.cache), ("gateway", Duration::from_secs(5)));
    assert_eq!(introspection.client_secret.expose(), "marker-hunter2");
}

#[test]
fn a_route_and_its_issuers_must_fit_each_other() {
    assert!(refused("auth = \"bearer\"\n").starts_with("routes[0].issuers: is missing"));
    assert!(refused(ISSUER).starts_with("routes[0].issuers: has no meaning with this auth"));
    assert!(refused(&format!("auth = \"bearer\"\n{ISSUER}{ISSUER}")).starts_with("routes[0].issuers[1].issuer: "));
    let no_audience = "auth = \"bearer\"\n[[routes.issuers]]\nissuer = \"https://login.example.com\"\n";
    assert!(refused(no_audience).starts_with("routes[0].issuers[0].audience: is missing"));
    assert!(refused(&format!("{no_audience}audience = []\n")).starts_with("routes[0].issuers[0].audience: is empty"));
    let typo = refused(&format!("auth = \"bearer\"\n{ISSUER}audiense = [\"x\"]\n"));
    assert_eq!(typo, "routes[0].issuers[0].audiense: is not a known key; did you mean routes[0].issuers[0].audience?");
}

/// RFC 8725 §3.2.
#[test]
fn an_issuer_cannot_have_symmetric_algorithms_or_keys_in_clear_text() {
    for (line, key) in [
        ("algorithms = [\"HS256\"]", "algorithms[0]"),
        ("algorithms = [\"none\"]", "algorithms[0]"),
        ("algorithms = []", "algorithms"),
        ("jwks_uri = \"http://login.example.com/keys\"", "jwks_uri"),
    ] {
        let finding = refused(&format!("auth = \"bearer\"\n{ISSUER}{line}\n"));
        assert!(finding.starts_with(&format!("routes[0].issuers[0].{key}: ")), "{finding}");
    }
}

#[test]
fn lists_within_a_route_must_be_lists() {
    assert!(refused("rules = 7\n").starts_with("routes[0].rules: must be a list of tables; write [[routes.rules]]"));
    assert!(refused("rules = [7]\n").starts_with("routes[0].rules[0]: must be a table"));
}

#[test]
fn rules_name_claims_groups_roles_and_scopes() {
    let route = route(
        "groups_claim = \"cognito:groups\"\nroles_claim = \"realm_access.roles\"\n[[routes.rules]]\nmethods = [\"POST\"]\n\
         required_claims = { \"https://example.com/tenant\" = \"a\", verified = [true] }\nrequired_scopes = [\"a\", \"b\"]\n\
         required_groups = [\"ops\", \"dev\"]\nrequired_roles = { all = [\"x\", \"y\"] }\n",
    );
    let rule = &route.access.rules[0];
    assert_eq!(rule.scopes, Some(Wanted::All(vec![json!("a"), json!("b")])));
    let claim = |required: &RequiredClaim| (required.path.as_str().to_owned(), required.wanted.clone());
    let claims: Vec<_> = rule.claims.iter().map(claim).collect();
    assert_eq!(
        claims,
        [
            ("https://example.com/tenant".to_owned(), Wanted::Any(vec![json!("a")])),
            ("verified".to_owned(), Wanted::Any(vec![json!(true)])),
            ("cognito:groups".to_owned(), Wanted::Any(vec![json!("ops"), json!("dev")])),
            ("realm_access.roles".to_owned(), Wanted::All(vec![json!("x"), json!("y")])),
        ]
    );
}

#[test]
fn a_rule_that_asks_for_nothing_or_of_nobody_is_refused() {
    assert!(refused("[[routes.rules]]\nmethods = [\"POST\"]\n").starts_with("routes[0].rules[0]: asks for nothing"));
    let nobody = refused("auth = \"none\"\n[[routes.rules]]\nrequired_groups = [\"ops\"]\n");
    assert!(nobody.starts_with("routes[0].rules: has no meaning"), "{nobody}");
    let unquoted = refused("[[routes.rules]]\nrequired_claims.realm_access.roles = [\"x\"]\n");
    assert!(unquoted.contains("a name with dots needs quotes"), "{unquoted}");
}

#[test]
fn a_path_can_be_stripped_or_replaced_but_not_both() {
    assert_eq!(route("").target.path, PathRewrite::Keep);
    assert_eq!(route("strip_prefix = true\n").target.path, PathRewrite::Replace(String::new()));
    assert_eq!(route("replace_prefix = \"/v2\"\n").target.path, PathRewrite::Replace("/v2".to_owned()));
    assert_eq!(route("replace_prefix = \"/\"\n").target.path, PathRewrite::Replace(String::new()));
    assert!(refused("strip_prefix = true\nreplace_prefix = \"/v2\"\n").starts_with("routes[0].replace_prefix: "));
    assert!(refused("replace_prefix = \"/a/../b\"\n").starts_with("routes[0].replace_prefix: "));
}

#[test]
fn a_route_may_be_for_one_host_and_tell_the_upstream_another() {
    let route =
        route("host = \"API.example.com\"\nhost_override = \"tenant.internal:8080\"\nmax_body_size = \"1KiB\"\n");
    assert_eq!(route.target.host.as_deref(), Some("api.example.com"));
    assert_eq!(route.target.host_override.expect("it is set"), "tenant.internal:8080");
    assert_eq!(route.max_body_size, Some(1024));
    assert!(refused("host = \"api.example.com\"\n").starts_with("routes[0].host: is not that of server.public_url"));
    let second = "[[routes]]\npath = \"/api\"\nupstream = \"http://127.0.0.1:3001\"\n";
    assert_eq!(with_route(&format!("host = \"a.example\"\n{second}")).config().routes.len(), 2);
    assert!(refused(second).starts_with("routes[1].path: "));
}

#[test]
fn headers_of_ones_own_come_over_those_of_a_preset() {
    let names = |more: &str| {
        let mut names: Vec<_> = route(more).access.headers.iter().map(|header| header.name.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(names("headers = { X-User = \"{sub}\" }\n"), ["x-user"]);
    let preset = names("header_preset = \"oauth2-proxy\"\n[routes.headers]\nX-Forwarded-User = \"{email}\"\n");
    assert_eq!(preset.len(), 10);
    assert_eq!(names("header_preset = \"easyauth\"\n").len(), 7);
    assert_eq!(names("header_preset = \"none\"\n").len(), 0);
    assert!(refused("headers = { Authorization = \"{sub}\" }\n").starts_with("routes[0].headers.Authorization: "));
    assert!(refused("headers = { X-User = \"{sub\" }\n").starts_with("routes[0].headers.X-User: "));
    assert!(
        refused("auth = \"none\"\nheader_preset = \"easyauth\"\n").starts_with("routes[0].headers: has no meaning")
    );
}

#[test]
fn only_a_page_that_needs_a_session_can_lead_to_the_login_and_only_with_lax_cookies() {
    let login = |more: &str| with_route(&format!("{more}on_signed_out = \"login\"\n[session]\nsame_site = \"lax\"\n"));
    assert!(!route("").access.leads_to_login);
    assert!(login("csrf = \"page\"\n").config().routes[0].access.leads_to_login);
    assert!(login("csrf = \"same_origin\"\n").config().routes[0].access.leads_to_login);
    let page = "csrf = \"page\"\n";
    for more in
        ["", "csrf = \"metadata\"\n", &format!("{page}auth = \"optional\"\n"), &format!("{page}auth = \"none\"\n")]
    {
        let finding = login(more).only_finding();
        assert!(finding.contains("routes[0].on_signed_out: "), "{more}: {finding}");
    }
    let strict = refused(&format!("{page}on_signed_out = \"login\"\n"));
    assert!(strict.starts_with("routes[0].on_signed_out: ") && strict.contains("same_site = \"lax\""), "{strict}");
}
