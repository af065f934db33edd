//! What a preset sets, what it refuses, and where a logout may lead.

use super::*;
use crate::oidc::Preset;

/// `MINIMAL` with this preset, issuer and further lines of `[provider]`.
fn with(preset: &str, issuer: &str, lines: &str) -> Fixture {
    let provider = format!("preset = \"{preset}\"\n{lines}\nissuer = \"{issuer}\"");
    Fixture::new(&[&MINIMAL.replace("issuer = \"https://login.example.com\"", &provider)])
}

fn provider(lines: &str) -> Fixture {
    Fixture::new(&[&MINIMAL.replace("[provider]", &format!("[provider]\n{lines}"))])
}

const GOOGLE: &str = "https://accounts.google.com";

#[test]
fn a_preset_has_defaults_of_its_own_that_give_way_to_what_is_set() {
    let google = with("google", GOOGLE, "").config().provider;
    assert_eq!(google.particulars.preset, Some(Preset::Google));
    assert_eq!(google.scopes, ["openid", "profile", "email"]);
    assert_eq!(with("google", GOOGLE, "scopes = [\"openid\"]").config().provider.scopes, ["openid"]);
    let cognito = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_x";
    assert_eq!(with("cognito", cognito, "").config().provider.login_limits.groups_claim, "cognito:groups");
    let set = with("cognito", cognito, "groups_claim = \"custom\"").config();
    assert_eq!(set.provider.login_limits.groups_claim, "custom");
    let without = Fixture::new(&[MINIMAL]).config().provider;
    assert_eq!((without.particulars.preset, without.login_limits.groups_claim.as_str()), (None, "groups"));
}

#[test]
fn what_the_provider_would_refuse_is_a_mistake() {
    let finding = with("google", GOOGLE, "scopes = [\"openid\", \"offline_access\"]").only_finding();
    assert!(finding.contains("provider.scopes: has \"offline_access\""), "{finding}");
}

#[test]
fn an_issuer_that_the_provider_has_none_of_is_a_mistake() {
    for (preset, wrong, right) in [
        ("google", "https://google.com", GOOGLE),
        ("auth0", "https://a.eu.auth0.com", "https://a.eu.auth0.com/"),
        ("keycloak", "https://sso.example.com", "https://sso.example.com/realms/shop"),
        ("okta", "https://a-admin.okta.com/oauth2/default", "https://a.okta.com/oauth2/default"),
        (
            "cognito",
            "https://a.auth.eu-central-1.amazoncognito.com",
            "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_x",
        ),
        (
            "entra",
            "https://sts.windows.net/11111111-2222-3333-4444-555555555555",
            "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0",
        ),
    ] {
        let finding = with(preset, wrong, "").only_finding();
        assert!(finding.contains("provider.issuer: ") && finding.contains(wrong), "{finding}");
        assert_eq!(with(preset, right, "").findings(), Vec::<String>::new(), "{preset}");
    }
    assert!(with("okta", "https://a.okta.com", "").only_finding().contains("organisation server"));
    assert!(with("keycloak", "http://localhost:9000", "").load().is_ok(), "a stand-in for trying out");
}

#[test]
fn everybody_s_tenants_are_named_or_warned_of() {
    let shared = "https://login.microsoftonline.com/organizations/v2.0";
    let fixture = with("entra", shared, "");
    assert!(fixture.load().is_ok());
    assert!(fixture.only_finding().contains("provider.allowed_tenants: is empty"));
    let tenant = "11111111-2222-3333-4444-55555555555A";
    let limited = with("entra", shared, &format!("allowed_tenants = [\"{tenant}\"]"));
    assert_eq!(limited.config().provider.login_limits.allowed_tenants, [tenant.to_lowercase()]);
    let named = with("entra", shared, "allowed_tenants = [\"contoso.com\"]").only_finding();
    assert!(named.contains("provider.allowed_tenants[0]: \"contoso.com\" is not a tenant ID"), "{named}");
    assert!(provider(&format!("allowed_tenants = [\"{tenant}\"]")).only_finding().contains("preset = \"entra\""));
}

#[test]
fn a_logout_leads_to_our_endpoint_or_off_the_prefix() {
    let back = |url: &str| provider(&format!("post_logout_redirect_uri = \"{url}\""));
    for url in ["https://app.example.com/bff/logged-out", "https://app.example.com/bye?x=1", "https://www.example.com/"]
    {
        assert_eq!(back(url).config().provider.particulars.post_logout_redirect_uri.as_deref(), Some(url));
    }
    let finding = back("https://app.example.com/bff/logout").only_finding();
    assert!(finding.contains("write \"https://app.example.com/bff/logged-out\""), "{finding}");
    for url in ["/bye", "http://app.example.com/", "https://a.example/#x", "https://u:p@a.example/"] {
        assert!(back(url).load().is_err(), "{url}");
    }
    let line = "post_logout_redirect_uri = \"https://app.example.com/bff/logged-out\"";
    let cognito = with("cognito", "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_x", line);
    assert!(cognito.only_finding().contains("this provider sends none"));
}

#[test]
fn an_address_of_a_logout_has_only_the_names_that_it_may() {
    let url = |url: &str| provider(&format!("logout_url = \"{url}\""));
    assert!(url("https://a.example/out?c={client_id}").load().is_ok());
    let finding = url("https://a.example/out?t={id_token}").only_finding();
    assert!(finding.contains("provider.logout_url: ") && finding.contains("may stand in braces"), "{finding}");
}
