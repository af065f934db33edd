//! Rules over more than one key, and what is legal but doubtful.

use super::*;

#[test]
fn listeners_share_no_port_but_port_0() {
    let both = |listen: &str, management: &str| {
        let server = format!("[server]\nlisten = {listen:?}\nmanagement_listen = {management:?}");
        Fixture::new(&[&MINIMAL.replace("[server]", &server)]).load().is_ok()
    };
    assert!(both("127.0.0.1:0", "127.0.0.1:0"));
    assert!(both("127.0.0.1:80", "127.0.0.2:80"));
    assert!(!both("127.0.0.1:80", "127.0.0.1:80"));
    assert!(!both("0.0.0.0:80", "127.0.0.1:80"));
}

#[test]
fn routes_keep_off_our_own_paths_whatever_else_is_wrong() {
    let text = MINIMAL.replace("public_url", "prefix = \"/auth\"\npublic_health_path = \"/up\"\npublic_url");
    let routes = "[[routes]]\npath = \"/auth\"\n[[routes]]\npath = \"/up\"\n[[routes]]\npath = \"/authors\"\n";
    let findings = Fixture::new(&[&format!("{text}{routes}")]).findings();
    let about_paths: Vec<_> = findings.iter().filter(|line| line.contains(".path: ")).collect();
    assert_eq!(about_paths.len(), 2, "{findings:#?}");
}

fn routes(paths: &[&str]) -> String {
    paths.iter().map(|path| format!("[[routes]]\npath = \"{path}\"\nupstream = \"http://a\"\n")).collect()
}

#[test]
fn two_routes_of_one_path_are_a_mistake_and_nested_ones_are_fine() {
    assert_eq!(extended(&routes(&["/api", "/api/v2", "/apis", "/api/v2/x"])).findings(), Vec::<String>::new());
    let finding = extended(&routes(&["/api", "/b", "/api"])).only_finding();
    assert_eq!(finding, "0.toml:14: routes[2].path: \"/api\" is the path of routes[0] too; remove one");
}

#[test]
fn a_route_under_the_prefix_can_never_be_reached() {
    for path in ["/bff", "/bff/api"] {
        let finding = extended(&routes(&[path])).only_finding();
        assert!(finding.contains("lies under server.prefix"), "{finding}");
    }
    assert_eq!(extended(&routes(&["/", "/bffs"])).findings(), Vec::<String>::new());
}

#[test]
fn static_files_behind_a_route_for_everything_can_never_be_reached() {
    let fixture = extended(&routes(&["/a", "/"]));
    fixture.write("index.html", "<!doctype html>");
    let root = fixture.folder.path().to_owned();
    let finding = fixture.with("SEALGATE__STATIC__ROOT", root).only_finding();
    assert!(finding.starts_with("0.toml:11: routes[1].path: takes all paths"), "{finding}");
}

#[test]
fn a_public_health_path_keeps_off_the_prefix_and_the_routes() {
    let with_health = |path: &str| {
        let server = format!("[server]\npublic_health_path = \"{path}\"");
        Fixture::new(&[&format!("{}{}", MINIMAL.replace("[server]", &server), routes(&["/", "/api"]))])
    };
    assert!(with_health("/bff/up").only_finding().contains("lies under server.prefix"));
    assert!(with_health("/api").only_finding().contains("is server.public_health_path too"));
    let doubtful = with_health("/api/up");
    assert!(doubtful.load().is_ok());
    assert!(doubtful.only_finding().contains("lies in routes[1]"));
    assert_eq!(with_health("/up").findings(), Vec::<String>::new());
}

/// RFC 6750 §5.3
#[test]
fn http_to_a_public_upstream_is_a_warning() {
    let with_upstream =
        |upstream: &str| extended(&format!("[[routes]]\npath = \"/api\"\nupstream = [\"http://a\", \"{upstream}\"]\n"));
    let fixture = with_upstream("http://api.example.com:8080");
    assert!(fixture.load().is_ok());
    let finding = fixture.only_finding();
    assert!(finding.starts_with("0.toml:9: routes[0].upstream[1]: http://api.example.com:8080/ is http"), "{finding}");
    for upstream in ["https://api.example.com", "http://10.0.0.1:3000", "http://api.shop.svc", "http://[::1]:3000"] {
        assert_eq!(with_upstream(upstream).findings(), Vec::<String>::new(), "{upstream}");
    }
}

#[test]
fn an_idle_timeout_beyond_the_absolute_one_is_a_mistake_only_when_written() {
    let finding = extended("[session]\nidle_timeout = \"9h\"\n").only_finding();
    assert!(finding.starts_with("0.toml:8: session.idle_timeout: 9h is more than"), "{finding}");
    let config = extended("[session]\nabsolute_timeout = \"30m\"\n").config();
    assert_eq!(config.session.idle_timeout, Duration::from_secs(1800));
}

/// RFC 8414 §3.3: the issuer is compared as a string.
#[test]
fn a_slash_at_the_end_of_the_issuer_is_kept() {
    let text = MINIMAL.replace("https://login.example.com", "https://login.example.com/realms/a/");
    assert_eq!(Fixture::new(&[&text]).config().provider.issuer, "https://login.example.com/realms/a/");
}

#[test]
fn to_trust_everybody_is_a_warning() {
    let server = "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"0.0.0.0/0\"]";
    let fixture = Fixture::new(&[&MINIMAL.replace("[server]", server)]);
    assert!(fixture.load().is_ok());
    assert!(fixture.only_finding().starts_with("0.toml:2: server.trusted_proxies[1]: 0.0.0.0/0 is everybody"));
}

#[test]
fn a_certificate_and_its_key_come_together_and_mean_https() {
    let with = |lines: &str| extended_server(lines).findings();
    let one = with("tls_key_file = \"k\"");
    assert!(one.len() == 1 && one[0].contains("is set without server.tls_certificate_file"), "{one:#?}");
    assert_eq!(with("tls_key_file = \"k\"\ntls_certificate_file = \"c\""), Vec::<String>::new());
    let loopback = MINIMAL.replace("https://app.example.com", "http://127.0.0.1:8080");
    let server = "[server]\ntls_key_file = \"k\"\ntls_certificate_file = \"c\"";
    let finding = Fixture::new(&[&loopback.replace("[server]", server)]).only_finding();
    assert!(finding.contains("server.public_url: http://127.0.0.1:8080 is http"), "{finding}");
}

fn extended_server(lines: &str) -> Fixture {
    Fixture::new(&[&MINIMAL.replace("[server]", &format!("[server]\n{lines}"))])
}

#[test]
fn tls_settings_without_an_https_upstream_are_doubtful() {
    let route = |upstream: &str| {
        let text = format!("[[routes]]\npath = \"/api\"\nupstream = \"{upstream}\"\nupstream_ca_file = \"ca.pem\"\n");
        extended(&text).findings()
    };
    assert_eq!(route("https://api.internal"), Vec::<String>::new());
    let doubtful = route("http://127.0.0.1:3000");
    assert!(doubtful.len() == 1 && doubtful[0].contains("no upstream of the route is https"), "{doubtful:#?}");
}
