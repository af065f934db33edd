//! What is there for those who come from other products: `server.compat` with its names, headers and paths; Duende's
//! front ends.

use super::*;
use crate::proxy::HeaderPart;
use crate::session::UserFormat;

/// `MINIMAL` with these lines in `[server]`, `[provider]`, and behind everything.
fn with(server: &str, provider: &str, more: &str) -> Fixture {
    let config = MINIMAL.replace("[server]", &format!("[server]\n{server}"));
    Fixture::new(&[&format!("{}\n{more}", config.replace("[provider]", &format!("[provider]\n{provider}")))])
}

const COMPAT: &str = "compat = \"easyauth\"";
const ROUTE: &str = "[[routes]]\npath = \"/api\"\nupstream = \"http://127.0.0.1:3000\"\n";

fn provider_name(fixture: &Fixture) -> String {
    fixture.config().easy_auth.expect("it is on").provider().to_owned()
}

#[test]
fn the_provider_s_name_is_what_is_set_or_follows_from_the_preset() {
    assert_eq!(with("", "", "").config().easy_auth, None);
    assert_eq!(provider_name(&with(COMPAT, "", "")), "oidc");
    assert_eq!(provider_name(&with(&format!("{COMPAT}\ncompat_provider = \"contoso\""), "", "")), "contoso");
    for (preset, issuer, name) in [
        ("entra", "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0", "aad"),
        ("google", "https://accounts.google.com", "google"),
        ("keycloak", "https://sso.example.com/realms/shop", "oidc"),
    ] {
        let config = MINIMAL.replace("https://login.example.com", issuer);
        let config = config.replace("[server]", &format!("[server]\n{COMPAT}"));
        let config = config.replace("[provider]", &format!("[provider]\npreset = \"{preset}\""));
        assert_eq!(provider_name(&Fixture::new(&[&config])), name);
    }
    for bad in ["AAD", "a/b", "", "done", "a_b"] {
        let finding = with(&format!("{COMPAT}\ncompat_provider = \"{bad}\""), "", "").only_finding();
        assert!(finding.contains("server.compat_provider: "), "{finding}");
    }
}

#[test]
fn routes_have_easy_auth_s_headers_unless_they_say_otherwise() {
    let headers = |server: &str, more: &str| {
        let config = with(server, "", &format!("{ROUTE}{more}")).config();
        config.routes[0].access.headers.clone()
    };
    assert_eq!(headers("", "").len(), 0);
    assert_eq!(headers(COMPAT, "header_preset = \"none\"").len(), 0);
    assert_eq!(headers(COMPAT, "header_preset = \"oauth2-proxy\"").len(), 10);
    assert_eq!(headers(COMPAT, "auth = \"none\"").len(), 0);
    let named = headers(&format!("{COMPAT}\ncompat_provider = \"contoso\""), "headers = { X-User = \"{sub}\" }");
    let names: Vec<&str> = named.iter().map(|header| header.name.as_str()).collect();
    for name in ["x-user", "x-ms-client-principal", "x-ms-token-contoso-access-token", "x-ms-token-contoso-id-token"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let idp = named.iter().find(|header| header.name == "x-ms-client-principal-idp").expect("one of them");
    assert_eq!(idp.parts, [HeaderPart::Text("contoso".to_owned())]);
    let without_endpoints = headers("", "header_preset = \"easyauth\"");
    assert!(without_endpoints.iter().any(|header| header.name == "x-ms-token-aad-access-token"));
}

#[test]
fn nothing_else_lies_where_its_endpoints_are() {
    let route = |path: &str| ROUTE.replace("/api", path);
    for path in ["/.auth", "/.auth/me", "/.auth/mine"] {
        let finding = with(COMPAT, "", &route(path)).only_finding();
        assert!(finding.contains("routes[0].path: ") && finding.contains("server.compat"), "{finding}");
        assert!(with("", "", &route(path)).load().is_ok(), "without compat {path} is a path like others");
    }
    assert!(with(COMPAT, "", &route("/.authors")).load().is_ok());
    for key in ["prefix", "public_health_path"] {
        let finding = with(&format!("{COMPAT}\n{key} = \"/.auth/x\""), "", "").only_finding();
        assert!(finding.contains(&format!("server.{key}: ")), "{finding}");
    }
}

#[test]
fn a_logout_may_lead_to_the_endpoint_that_is_there_for_it() {
    let back = |path: &str| with(COMPAT, &format!("post_logout_redirect_uri = \"https://app.example.com{path}\""), "");
    assert!(back("/.auth/logout/complete").load().is_ok());
    assert!(back("/bye").load().is_ok());
    let finding = back("/.auth/logout").only_finding();
    assert!(finding.contains("write \"https://app.example.com/.auth/logout/complete\""), "{finding}");
}

#[test]
fn only_front_ends_of_duende_s_bff_get_null_in_place_of_401() {
    let format = |lines: &str| extended(&format!("[session]\n{lines}"));
    let of = |lines: &str| format(lines).config().session.user_format;
    assert_eq!(of("user_format = \"duende\""), UserFormat::Duende { anonymous_is_null: false });
    let duende = "user_format = \"duende\"\nanonymous_user_status = 200";
    assert_eq!(of(duende), UserFormat::Duende { anonymous_is_null: true });
    assert_eq!(of("anonymous_user_status = 401"), UserFormat::Object);
    for lines in ["anonymous_user_status = 200", "user_format = \"duende\"\nanonymous_user_status = 204"] {
        let finding = format(lines).only_finding();
        assert!(finding.contains("session.anonymous_user_status: "), "{finding}");
    }
}
