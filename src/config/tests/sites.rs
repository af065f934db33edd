//! Several sites, and several providers in one.

use super::*;

/// A table of `[[sites]]` with its provider.
fn site(public_url: &str, more: &str) -> String {
    format!(
        "[[sites]]\npublic_url = \"{public_url}\"\n{more}[sites.provider]\nissuer = \"https://login.example.com\"\n\
         client_id = \"spa\"\nclient_secret = \"marker-hunter2\"\n"
    )
}

fn two(first: &str, second: &str) -> Fixture {
    Fixture::new(&[&format!("{}{}", site(first, ""), site(second, ""))])
}

/// A table of `[[providers]]`.
fn provider(name: &str, client_id: &str) -> String {
    format!(
        "[[providers]]\nname = \"{name}\"\nissuer = \"https://login.example.com\"\nclient_id = \"{client_id}\"\n\
         client_secret = \"marker-hunter2\"\n"
    )
}

fn of_providers(providers: &[String]) -> Fixture {
    Fixture::new(&[&format!("[server]\npublic_url = \"https://app.example.com\"\n{}", providers.concat())])
}

#[test]
fn sites_have_what_the_short_form_has_once() {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:1\"\nprefix = \"/auth\"\ncompat = \"easyauth\"\n[session]\nidle_timeout = \"10m\"\nsame_site = \"lax\"\n\
         [[routes]]\npath = \"/common\"\nupstream = \"http://common\"\n{}[sites.session]\nidle_timeout = \"20m\"\n\
         [[sites.routes]]\npath = \"/a\"\nupstream = \"http://a\"\n[[sites.routes.rules]]\nrequired_groups = [\"x\"]\n\
         [sites.spa_settings]\nname = \"a\"\n{}",
        site("https://a.example", "prefix = \"/bff\"\ncompat_provider = \"own\"\n"),
        site("https://b.example", ""),
    );
    let fixture = Fixture::new(&[&text]);
    assert_eq!(fixture.findings(), Vec::<String>::new());
    let config = fixture.load().expect("valid").config;
    let [a, b] = config.sites.as_slice() else { panic!("two sites") };
    assert_eq!([&a.prefix, &b.prefix], ["/bff", "/auth"]);
    let names = [a, b].map(|site| site.easy_auth.as_ref().expect("it is on for all").provider());
    assert_eq!(names, ["own", "oidc"]);
    let minutes = |site: &SiteConfig| site.session.idle_timeout.as_secs() / 60;
    assert_eq!((minutes(a), minutes(b)), (20, 10));
    assert_eq!([a.session.same_site, b.session.same_site], [crate::session::SameSite::Lax; 2], "key by key");
    let paths = |site: &SiteConfig| site.routes.iter().map(|route| route.path.clone()).collect::<Vec<_>>();
    assert_eq!((paths(a), paths(b)), (vec!["/a".to_owned()], vec!["/common".to_owned()]), "lists whole");
    assert_eq!(a.routes[0].access.rules.len(), 1);
    assert_eq!((a.spa_settings.len(), b.spa_settings.len()), (1, 0));
    assert_eq!(b.key("provider.issuer"), "sites[1].provider.issuer");
}

#[test]
fn mistakes_are_found_in_every_site_at_its_own_place() {
    let text = "[session]\nidle_timeout = \"soon\"\n[sesion]\n\
                [[sites]]\npublic_url = \"https://a.example/app\"\n[sites.provider]\nisuer = \"x\"\nclient_id = \"a\"\n\
                [[sites.routes]]\npath = \"/a\"\n\
                [[sites]]\nprovider = 3\nroutes = \"x\"\nlog = 1\nprefix = \"x\"\n";
    let findings = Fixture::new(&[text]).findings();
    for expected in [
        // What is said at the top for all sites is found once, and there.
        "0.toml:2: session.idle_timeout: \"soon\" is not a duration",
        "0.toml:3: sesion: is not a known key; did you mean session?",
        "0.toml:5: sites[0].public_url: \"https://a.example/app\" is more than an origin",
        "0.toml:6: sites[0].provider.client_secret: is missing; set sites[0].provider.client_secret_file",
        "0.toml:7: sites[0].provider.isuer: is not a known key; did you mean sites[0].provider.issuer?",
        "0.toml:9: sites[0].routes[0].upstream: is missing",
        "0.toml:11: sites[1].public_url: is missing",
        "0.toml:12: sites[1].provider: must be a table; write [sites.provider]",
        "0.toml:13: sites[1].routes: must be a list of tables; write [[sites.routes]]",
        "0.toml:14: sites[1].log: is not a known key",
        "0.toml:15: sites[1].prefix: \"x\"",
    ] {
        assert!(findings.iter().any(|finding| finding.starts_with(expected)), "{expected}\n{findings:#?}");
    }
    assert_eq!(findings.len(), 11, "{findings:#?}");
}

#[test]
fn the_short_form_beside_sites_is_refused_with_what_to_do() {
    let findings = Fixture::new(&[&format!("{MINIMAL}{}", site("https://b.example", ""))]).findings();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings[0].starts_with("0.toml:2: server.public_url: is of the one site"), "{findings:#?}");
    assert!(findings[1].starts_with("0.toml:3: provider: is of the one site"), "{findings:#?}");
    assert!(findings[1].ends_with("make it a [[sites]] too, as [sites.provider] below it"), "{findings:#?}");
}

#[test]
fn two_sites_of_one_host_cannot_be_told_apart() {
    for (first, second) in [
        ("https://a.example", "https://a.example"),
        ("https://a.example", "https://A.example:443"),
        ("http://localhost", "https://localhost"),
    ] {
        let findings = two(first, second).findings();
        let found = findings.iter().any(|line| line.contains("sites[1].public_url") && line.contains("sites[0]"));
        assert!(found, "{first} {second} {findings:#?}");
    }
    assert_eq!(two("https://a.example", "https://b.example").findings(), Vec::<String>::new());
}

/// RFC 6265bis §5.6.3: cookies do not provide isolation by port.
#[test]
fn sites_at_two_ports_of_one_host_need_cookies_of_two_names() {
    let finding = two("https://a.example", "https://a.example:8443").only_finding();
    assert!(finding.contains("sites[1].session.cookie_name: is like that of sites[0].session"), "{finding}");
    let named = |name: &str| {
        let first = format!("{}[sites.session]\ncookie_name = \"{name}\"\n", site("https://a.example", ""));
        Fixture::new(&[&format!("{first}{}", site("https://a.example:8443", ""))])
    };
    assert_eq!(named("__Host-b").findings(), Vec::<String>::new());
    assert_eq!(named("__Host-sealgates").findings(), Vec::<String>::new());
    assert!(named("__Host-sealgate-seen").load().is_err(), "it is the name of another cookie of the second site");
}

#[test]
fn http_beside_https_is_told() {
    let finding = two("https://a.example", "http://127.0.0.1:8080").only_finding();
    assert!(finding.starts_with("0.toml:8: sites[1].public_url: http://127.0.0.1:8080 is http while"), "{finding}");
}

#[test]
fn the_environment_sets_keys_of_sites_by_position() {
    let text = format!("{}{}", site("https://a.example", ""), site("https://b.example", ""));
    let config = Fixture::new(&[&text])
        .with("SEALGATE__SITES__1__PUBLIC_URL", "https://c.example")
        .with("SEALGATE__SITES__1__PROVIDER__SCOPES", "openid,email")
        .with("SEALGATE__SITES__0__ROUTES__0__PATH", "/a")
        .with("SEALGATE__SITES__0__ROUTES__0__UPSTREAM", "http://a")
        .with("SEALGATE__SESSION__IDLE_TIMEOUT", "5m")
        .load()
        .expect("valid")
        .config;
    assert_eq!(config.sites[1].public_url.as_str(), "https://c.example");
    assert_eq!(config.sites[1].provider().scopes, ["openid", "email"]);
    assert_eq!(config.sites[0].routes.len(), 1);
    assert_eq!(config.sites[1].session.idle_timeout, Duration::from_secs(300));
    let wrong = Fixture::new(&[&text]).with("SEALGATE__SITES__1__ROUTES", "x").only_finding();
    assert!(wrong.ends_with("as in SEALGATE__SITES__1__ROUTES__0__PATH"), "{wrong}");
}

#[test]
fn a_later_file_replaces_all_sites() {
    let (a, b) = (site("https://a.example", ""), site("https://b.example", ""));
    let config = Fixture::new(&[&format!("{a}{b}"), &site("https://c.example", "")]).load().expect("valid").config;
    assert_eq!(config.sites.len(), 1);
    assert_eq!(config.sites[0].public_url.as_str(), "https://c.example");
}

#[test]
fn a_site_may_have_several_providers() {
    let fixture = of_providers(&[provider("staff", "a"), provider("customers", "b")]);
    assert_eq!(fixture.findings(), Vec::<String>::new());
    let mut sites = fixture.load().expect("valid").config.sites;
    let providers = sites.remove(0).providers;
    let names: Vec<_> = providers.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["staff", "customers"]);
    assert_eq!(providers[1].key("provider.issuer"), "providers[1].issuer");
}

#[test]
fn providers_have_names_and_registrations_of_their_own() {
    let nameless = provider("x", "b").replace("name = \"x\"\n", "");
    let finding = of_providers(&[provider("staff", "a"), nameless]).only_finding();
    assert_eq!(finding, "0.toml:8: providers[1].name: is missing; set it, for example name = \"staff\"");
    let finding = of_providers(&[provider("staff", "a"), provider("staff", "b")]).only_finding();
    assert!(finding.contains("providers[1].name: \"staff\" is the name of another provider"), "{finding}");
    let finding = of_providers(&[provider("staff", "a"), provider("x", "a")]).only_finding();
    assert!(
        finding.contains("providers[1].client_id: \"a\" at this issuer is the registration of \"staff\""),
        "{finding}"
    );
    let passes = "passthrough_parameters = [\"provider\"]\n".to_owned();
    let finding = of_providers(&[provider("staff", "a"), provider("x", "b"), passes]).only_finding();
    assert!(finding.contains("providers[1].passthrough_parameters: has \"provider\""), "{finding}");
    let compat =
        of_providers(&[provider("staff", "a"), provider("x", "b")]).with("SEALGATE__SERVER__COMPAT", "easyauth");
    assert!(compat.only_finding().contains("server.compat: knows one provider"), "{:?}", compat.findings());
    let finding = of_providers(&[provider("a/b", "a")]).only_finding();
    assert!(finding.contains("providers[0].name: \"a/b\" is not a name"), "{finding}");
    let finding = extended(&provider("x", "y")).only_finding();
    assert!(finding.starts_with("0.toml:3: provider: is there beside [[providers]]"), "{finding}");
    let finding = extended("name = \"x\"\n").only_finding();
    assert!(finding.contains("provider.name: is for one of several"), "{finding}");
}

#[test]
fn a_route_names_providers_of_its_own_site() {
    let route = |names: &str, auth: &str| {
        format!("[[routes]]\npath = \"/a\"\nupstream = \"http://a\"\nproviders = {names}\nauth = \"{auth}\"\n")
    };
    let with = |route: String| of_providers(&[provider("staff", "a"), provider("guests", "b"), route]);
    assert_eq!(with(route("[\"guests\"]", "session")).findings(), Vec::<String>::new());
    let finding = with(route("[\"staff\", \"gests\"]", "session")).only_finding();
    assert!(finding.contains("routes[0].providers[1]: \"gests\" is the name of no provider of the site"), "{finding}");
    let finding = with(route("[\"staff\"]", "none")).only_finding();
    assert!(finding.contains("routes[0].providers: has no meaning with this auth"), "{finding}");
}

/// OpenID Connect Core §5.7: `sub` is unique at its issuer only.
#[test]
fn a_signed_identity_is_of_one_provider_s_users() {
    let fixture = |providers: &str| {
        let route = format!("[[routes]]\npath = \"/a\"\nupstream = \"http://a\"\nidentity_jwt = true\n{providers}");
        let fixture = of_providers(&[provider("staff", "a"), provider("guests", "b"), route]);
        let pair = rcgen::KeyPair::generate().expect("a key");
        let key = fixture.write("signing.pem", &pair.serialize_pem());
        fixture.with("SEALGATE__IDENTITY_JWT__SIGNING_KEY_FILE", key)
    };
    let finding = fixture("").only_finding();
    assert!(finding.contains("routes[0].identity_jwt: tells users apart by sub"), "{finding}");
    assert_eq!(fixture("providers = [\"staff\"]\n").findings(), Vec::<String>::new());
}

#[test]
fn secrets_of_sites_and_providers_are_in_no_message() {
    let text =
        format!("{}{}", site("https://a.example", ""), provider("x", "y")).replace("client_secret", "client_secrt");
    let error = Fixture::new(&[&text]).load().expect_err("misspelt");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}
