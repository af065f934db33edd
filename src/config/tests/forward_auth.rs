//! `[forward_auth]`, and what it needs of other sections.

use super::*;
use crate::proxy::HeaderPart;
use crate::web::forward_auth::AskingProxy;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A configuration in which the proxy may ask, with `more` in `[forward_auth]`.
fn with(more: &str) -> Fixture {
    let text = MINIMAL.replace("[server]", "[server]\ntrusted_proxies = [\"10.0.0.5\"]");
    Fixture::new(&[&format!("{text}[session]\nsame_site = \"lax\"\n[forward_auth]\n{more}")])
}

fn section(more: &str) -> String {
    format!("proxy = \"nginx\"\nsecret = \"{SECRET}\"\n{more}")
}

#[test]
fn without_the_section_nobody_may_ask() {
    assert!(Fixture::new(&[MINIMAL]).config().forward_auth.is_none());
    let settings = with(&section("")).config().forward_auth.expect("it is there");
    assert_eq!((settings.proxy, settings.access_token, settings.forward_cookies), (AskingProxy::Nginx, false, false));
    assert!(!format!("{settings:?}").contains(SECRET), "a secret is never printed");
}

#[test]
fn the_proxy_and_the_secret_must_be_said() {
    let findings = with("").findings();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.contains("forward_auth.proxy: is missing")), "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.contains("forward_auth.secret_file")), "{findings:#?}");
    let finding = with(&section("").replace("nginx", "apache")).only_finding();
    assert!(finding.contains("forward_auth.proxy"), "{finding}");
}

#[test]
fn a_secret_that_could_be_guessed_or_sent_by_no_proxy_is_refused() {
    for bad in ["hunter2", "0123456789abcdef 0123456789abcdef", "ä123456789abcdef0123456789abcdef"] {
        let finding = with(&section("").replace(SECRET, bad)).only_finding();
        assert!(finding.contains("forward_auth.secret: is shorter than 32"), "{finding}");
        assert!(!finding.contains(bad), "{finding}");
    }
}

#[test]
fn two_secrets_stand_on_a_line_each_while_one_replaces_the_other() {
    let fixture = with(&section("").replace("secret = ", "secret_file = \"FILE\" #"));
    let file = fixture.write("forward", &format!("{SECRET}\nfedcba9876543210fedcba9876543210\n"));
    let fixture = fixture.with("SEALGATE__FORWARD_AUTH__SECRET_FILE", file);
    assert_eq!(fixture.config().forward_auth.expect("it is there").secrets.len(), 2);
    fixture.write("forward", &format!("{SECRET}\nshort\n"));
    assert!(fixture.only_finding().contains("is shorter than 32"), "{}", fixture.only_finding());
}

/// DESIGN §2: strict cookies stay away where the login leads to a page that needs them.
#[test]
fn strict_cookies_and_a_proxy_that_nobody_trusts_are_mistakes() {
    let findings = extended(&format!("[forward_auth]\n{}", section(""))).findings();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.contains("session.same_site: is strict")), "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.contains("server.trusted_proxies: is empty")), "{findings:#?}");
}

#[test]
fn a_preset_has_no_access_token_unless_answers_shall_have_it() {
    let tokens = |more: &str| {
        let settings = with(&section(&format!("header_preset = \"oauth2-proxy\"\n{more}"))).config().forward_auth;
        let headers = settings.expect("it is there").headers;
        headers.iter().filter(|header| header.parts.contains(&HeaderPart::AccessToken)).count()
    };
    assert_eq!((tokens(""), tokens("access_token = true")), (0, 2));
}

#[test]
fn rules_are_a_list_of_tables_that_the_environment_can_set_too() {
    let rules = "[[forward_auth.rules]]\nmethods = [\"POST\"]\nrequired_groups = [\"staff\"]\n";
    assert_eq!(with(&section(rules)).config().forward_auth.expect("it is there").rules.len(), 1);
    let finding = with(&section("[[forward_auth.rules]]\nrequired_group = [\"staff\"]\nmethods = []")).findings();
    assert!(finding.iter().any(|finding| finding.contains("did you mean forward_auth.rules[0].required_groups?")));
    let finding = with(&section("rules = \"all\"")).only_finding();
    assert!(
        finding.contains("forward_auth.rules: must be a list of tables; write [[forward_auth.rules]]"),
        "{finding}"
    );
    let fixture = with(&section("")).with("SEALGATE__FORWARD_AUTH__RULES__0__REQUIRED_GROUPS", "staff,guests");
    assert_eq!(fixture.config().forward_auth.expect("it is there").rules.len(), 1);
}
