//! `[identity_jwt]`, and what asks for it.

use super::*;
use crate::proxy::SignedIdentity;

const ROUTE: &str = "[[routes]]\npath = \"/api\"\nupstream = \"http://a\"\n";

/// A configuration with a key, `section` in `[identity_jwt]` and `more` behind it.
fn with_key(section: &str, more: &str) -> Fixture {
    let pair = rcgen::KeyPair::generate().expect("a key");
    let fixture = Fixture::new(&[]);
    let key = fixture.write("key.pem", &pair.serialize_pem());
    let text = format!("{MINIMAL}[identity_jwt]\nsigning_key_file = {key:?}\n{section}{more}");
    let path = fixture.write("0.toml", &text);
    Fixture { files: vec![path], ..fixture }
}

#[test]
fn a_key_is_all_that_it_needs() {
    let settings = with_key("", "").config().identity_jwt.expect("it is there");
    assert_eq!((settings.header.as_str(), settings.lifetime), ("x-sealgate-jwt-assertion", Duration::from_secs(60)));
    assert_eq!(settings.claims, ["name", "preferred_username", "email"]);
    assert!(extended("").config().identity_jwt.is_none());
}

#[test]
fn a_key_that_is_none_or_open_to_others_is_a_mistake() {
    let fixture = with_key("", "");
    set_mode_for_all(&fixture, "key.pem");
    assert!(fixture.only_finding().contains("identity_jwt.signing_key_file: ") && fixture.load().is_err());
    fixture.write("key.pem", "nonsense");
    assert!(fixture.only_finding().contains("holds no private key"), "{}", fixture.only_finding());
    let finding = extended("[identity_jwt]\n").only_finding();
    assert!(finding.contains("identity_jwt.signing_key_file: is missing"), "{finding}");
}

#[cfg(unix)]
fn set_mode_for_all(fixture: &Fixture, name: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(fixture.folder.path().join(name), fs::Permissions::from_mode(0o644)).expect("the file is ours");
}

#[test]
fn what_the_jwt_says_of_itself_is_no_claim_to_choose() {
    for (section, part) in [
        ("claims = [\"email\", \"aud\"]\n", "identity_jwt.claims[1]: \"aud\" says what the JWT is"),
        ("lifetime = \"5s\"\n", "identity_jwt.lifetime: must be at least 10s"),
        ("lifetime = \"1h\"\n", "identity_jwt.lifetime: "),
        ("header = \"Authorization\"\n", "identity_jwt.header: \"Authorization\" means something else"),
    ] {
        let finding = with_key(section, "").only_finding();
        assert!(finding.contains(part), "{finding}");
    }
}

#[test]
fn routes_ask_for_it_where_there_are_sessions_and_a_key() {
    let signed = |more: &str| with_key("", &format!("{ROUTE}{more}"));
    let of_route = |fixture: Fixture| fixture.config().routes.remove(0).access.signed_identity;
    assert_eq!(of_route(signed("")), SignedIdentity::Absent);
    assert_eq!(of_route(signed("identity_jwt = true\n")), SignedIdentity::ForThePlace);
    let other = of_route(signed("identity_jwt = true\nidentity_jwt_audience = \"orders\"\n"));
    assert_eq!(other, SignedIdentity::For("orders".to_owned()));
    let finding = signed("identity_jwt = true\nauth = \"none\"\n").only_finding();
    assert!(finding.contains("routes[0].identity_jwt: has no meaning with this auth"), "{finding}");
    let finding = signed("identity_jwt_audience = \"orders\"\n").only_finding();
    assert!(finding.contains("routes[0].identity_jwt_audience: has no meaning without"), "{finding}");
    let finding = extended(&format!("{ROUTE}identity_jwt = true\n")).only_finding();
    assert!(finding.contains("routes[0].identity_jwt: is true, but there is no key"), "{finding}");
}
