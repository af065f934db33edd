//! Whose access token a route's upstream gets, and what it is for.

use super::*;
use crate::oidc::TokenNeed;
use crate::proxy::RouteToken;

/// `MINIMAL` with these lines of `[provider]`, and a route with `more` in it.
fn with(provider: &str, more: &str) -> Fixture {
    let minimal = MINIMAL.replace("[provider]\n", &format!("[provider]\n{provider}"));
    let route = "[[routes]]\npath = \"/api\"\nupstream = \"http://127.0.0.1:3000\"\n";
    Fixture::new(&[&format!("{minimal}{route}{more}")])
}

fn token(provider: &str, more: &str) -> RouteToken {
    with(provider, more).config().routes.remove(0).access.token
}

fn finding(provider: &str, more: &str) -> String {
    with(provider, more).only_finding()
}

fn need(scopes: &[&str], resource: Option<&str>, audience: Option<&str>) -> TokenNeed {
    let owned = |text: &str| text.to_owned();
    TokenNeed::new(scopes.iter().map(|scope| owned(scope)).collect(), resource.map(owned), audience.map(owned))
}

const ORDERS: &str = "resource = \"https://orders.example.com\"\n";

#[test]
fn a_route_that_names_nothing_has_the_login_s_token() {
    assert_eq!(token("", ""), RouteToken::Login);
    assert_eq!(token("", "token = \"user\"\nscopes = []\n"), RouteToken::Login);
}

#[test]
fn a_route_names_scopes_a_resource_or_an_audience() {
    assert_eq!(
        token("", &format!("{ORDERS}scopes = [\"b\", \"a\"]\n")),
        RouteToken::User(need(&["a", "b"], Some("https://orders.example.com"), None))
    );
    assert_eq!(token("", "audience = \"orders\"\n"), RouteToken::User(need(&[], None, Some("orders"))));
    assert_eq!(
        token("", "token = \"application\"\nscopes = [\"a\"]\n"),
        RouteToken::Application(need(&["a"], None, None))
    );
    assert!(finding("", "resource = \"orders\"\n").contains("routes[0].resource: \"orders\" is not an absolute URI"));
    assert!(finding("", "scopes = [\"a b\"]\n").contains("routes[0].scopes"));
    assert!(finding("", "token = \"service\"\n").contains("routes[0].token: "));
}

/// RFC 8707 §2.1: a login names what its refreshes may ask for.
#[test]
fn logins_learn_what_routes_ask_for_once_each() {
    let second = "[[routes]]\npath = \"/b\"\nupstream = \"http://127.0.0.1:3000\"\n";
    let third = "[[routes]]\npath = \"/c\"\nupstream = \"http://127.0.0.1:3000\"\ntoken = \"application\"\n";
    let config = with("", &format!("{ORDERS}{second}{ORDERS}{third}scopes = [\"c\"]\n")).config();
    let orders = need(&[], Some("https://orders.example.com"), None);
    assert!(config.provider.authorization.of_routes.iter().eq([&orders]));
    assert_eq!(config.routes[1].access.token, RouteToken::User(orders));
}

#[test]
fn what_the_login_s_token_is_for_needs_no_other() {
    let login = "resource = [\"https://orders.example.com\"]\naudience = \"orders\"\n";
    assert_eq!(token(login, ORDERS), RouteToken::Login);
    assert_eq!(token(login, "audience = \"orders\"\n"), RouteToken::Login);
    for other in ["resource = \"https://billing.example.com\"\n", "audience = \"billing\"\n", "scopes = [\"a\"]\n"] {
        assert!(matches!(token(login, other), RouteToken::User(_)), "{other}");
    }
    let two = "resource = [\"https://orders.example.com\", \"https://billing.example.com\"]\n";
    assert!(matches!(token(two, ORDERS), RouteToken::User(_)), "whose the login's token is, the provider decides");
}

#[test]
fn a_need_without_a_session_is_refused_but_for_the_application() {
    for auth in ["none", "bearer"] {
        let issuer = if auth == "bearer" {
            "[[routes.issuers]]\nissuer = \"https://login.example.com\"\naudience = [\"urn:api\"]\n"
        } else {
            ""
        };
        for line in ["scopes = [\"a\"]\n", ORDERS, "audience = \"orders\"\n"] {
            let finding = finding("", &format!("auth = \"{auth}\"\n{line}{issuer}"));
            let name = line.split(' ').next().expect("a name");
            assert!(finding.contains(&format!("routes[0].{name}: has no meaning with auth = \"{auth}\"")), "{finding}");
            assert!(finding.contains("token = \"application\""), "{finding}");
        }
        let application = with("", &format!("auth = \"{auth}\"\ntoken = \"application\"\n{ORDERS}{issuer}"));
        assert!(matches!(application.config().routes[0].access.token, RouteToken::Application(_)));
    }
}

#[test]
fn an_application_that_everybody_may_act_as_is_worth_a_warning() {
    for auth in ["none", "optional"] {
        let finding = finding("", &format!("auth = \"{auth}\"\ntoken = \"application\"\n"));
        assert!(finding.contains("routes[0].token: lets everybody act as the application"), "{finding}");
    }
    assert_eq!(with("", "token = \"application\"\n").findings(), Vec::<String>::new());
}

/// RFC 6749 §4.4: for confidential clients alone.
#[test]
fn a_public_client_has_no_token_of_its_own() {
    let fixture = with("client_auth = \"none\"\n", "token = \"application\"\n");
    let minimal = fs::read_to_string(&fixture.files[0]).expect("it was written");
    let public = Fixture::new(&[&minimal.replace("client_secret = \"marker-hunter2\"\n", "")]);
    let findings = public.findings();
    assert!(
        findings.iter().any(|line| line.contains("routes[0].token: \"application\" needs a client")),
        "{findings:#?}"
    );
}

/// Microsoft identity platform: an API is named by its scopes; `resource` is AADSTS901002.
#[test]
fn entra_s_apis_are_named_by_their_scopes_alone() {
    let entra = "preset = \"entra\"\n";
    let tenant = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0";
    let at_entra = |more: &str| {
        let fixture = with(entra, more);
        let text = fs::read_to_string(&fixture.files[0]).expect("it was written");
        Fixture::new(&[&text.replace("https://login.example.com", tenant)])
    };
    for line in [ORDERS, "audience = \"orders\"\n"] {
        let finding = at_entra(line).only_finding();
        assert!(finding.contains("this provider knows an API by its scopes alone"), "{finding}");
    }
    assert_eq!(at_entra("scopes = [\"api://orders/.default\"]\n").findings(), Vec::<String>::new());
    let application = at_entra("token = \"application\"\nscopes = [\"api://orders/read\"]\n").only_finding();
    assert!(application.contains("routes[0].scopes: must be one API's \".default\""), "{application}");
    let right = "token = \"application\"\nscopes = [\"api://orders/.default\"]\n";
    assert_eq!(at_entra(right).findings(), Vec::<String>::new());
}

#[test]
fn tokens_that_come_by_the_refresh_token_need_one() {
    let finding = finding("scopes = [\"openid\"]\n", ORDERS);
    assert!(finding.contains("routes[0].resource: is had with the refresh token"), "{finding}");
}
