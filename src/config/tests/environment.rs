//! The environment as a layer.

use super::*;

#[test]
fn the_environment_wins_over_files() {
    let config = extended("id_token_algorithms = [\"RS256\"]\n[[routes]]\npath = \"/a\"\nupstream = \"http://a\"\n")
        .with("SEALGATE__SERVER__LISTEN", "[::]:80")
        .with("SEALGATE__SERVER__WORKERS", "3")
        .with("SEALGATE__SESSION__PERSISTENT", "false")
        .with("SEALGATE__PROVIDER__CLIENT_ID", "007")
        .with("SEALGATE__PROVIDER__SCOPES", "openid, email")
        .with("SEALGATE__PROVIDER__ID_TOKEN_ALGORITHMS__0", "ES256")
        .with("SEALGATE__ROUTES__0__UPSTREAM", "http://b,http://c")
        .with("SEALGATE__ROUTES__1__PATH", "/d")
        .with("SEALGATE__ROUTES__1__UPSTREAM", "http://d")
        .with("SEALGATE_LOG__LEVEL", "not ours")
        .config();
    assert_eq!(config.server.listen.port(), 80);
    assert_eq!(config.server.workers, Some(3));
    assert!(!config.session.persistent);
    assert_eq!(config.provider.client_id, "007");
    assert_eq!(config.provider.scopes, ["openid", "email"]);
    assert_eq!(config.provider.id_token_algorithms, ["ES256"]);
    let upstreams: Vec<_> = config.routes.iter().map(|route| route.upstreams.len()).collect();
    assert_eq!(upstreams, [2, 1]);
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    let findings = Fixture::new(&[MINIMAL])
        .with("SEALGATE__SERVER__", "x")
        .with("SEALGATE__SERVER__LISTEN", "x")
        .with("SEALGATE__SERVER__LISEN", "x")
        .with("SEALGATE__ROUTES", "x")
        .findings();
    assert_eq!(findings.len(), 4, "{findings:#?}");
    assert!(findings[0].starts_with("SEALGATE__SERVER__: names no key"), "{findings:#?}");
    assert!(findings[1].ends_with("as in SEALGATE__ROUTES__0__PATH"), "{findings:#?}");
    assert!(findings[2].starts_with("SEALGATE__SERVER__LISEN: server.lisen: is not a known key"), "{findings:#?}");
    assert!(findings[3].starts_with("SEALGATE__SERVER__LISTEN: server.listen: \"x\" is not an IP"), "{findings:#?}");
}

/// A value of the reference as a shell would set it.
fn as_variable(toml: &str) -> String {
    toml.trim_matches(['"', '\'']).to_owned()
}

/// A key of `[identity_jwt]` and its public half, in files.
fn signing_keys(fixture: &Fixture) -> (PathBuf, PathBuf) {
    let pair = rcgen::KeyPair::generate().expect("a key");
    (fixture.write("signing.pem", &pair.serialize_pem()), fixture.write("public.pem", &pair.public_key_pem()))
}

#[test]
fn every_key_has_a_variable_that_sets_it() {
    let mut fixture = Fixture::new(&[]);
    let secret = fixture.write("secret", "marker-hunter2-0123456789abcdef01\n");
    fixture.write("index.html", "<!doctype html>");
    fixture.write("texts.toml", "");
    let ca = fixture.write("ca.pem", &rcgen::generate_simple_self_signed([]).expect("a certificate").cert.pem());
    let (signing, public) = signing_keys(&fixture);
    let root = fixture.folder.path().to_owned();
    let mut keys = Vec::new();
    // Those of several sites and providers stand in place of others.
    for section in SECTIONS.iter().filter(|section| section.form != Form::ListInstead) {
        for key in section.keys {
            let value = match key.name {
                // They stand beside another, or where public_url is on loopback.
                "client_secret" | "secret" | "dev_server" => continue,
                "client_secret_file" | "secret_file" => secret.clone().into(),
                // What forward-auth needs.
                "same_site" => "lax".into(),
                "trusted_proxies" => "10.0.0.5/32".into(),
                "ca_file" => ca.clone().into(),
                "auth" => "session_or_bearer".into(),
                "introspection" | "identity_jwt" => "true".into(),
                "identity_jwt_audience" => "an-api".into(),
                "signing_key_file" => signing.clone().into(),
                "verification_keys_file" => public.clone().into(),
                "token" => "application".into(),
                "root" | "templates" => root.clone().into(),
                _ => OsString::from(as_variable(&key.preset.on_one_line())),
            };
            keys.push(section.path(key).replace("[]", "[0]"));
            fixture = fixture.with(&section.variable(key), value);
        }
    }
    let loaded = fixture.load().expect("a valid configuration");
    for key in keys {
        assert!(loaded.positions.is_from_environment(&key), "{key}");
    }
    let config = OneSite::from(loaded.config);
    assert_eq!(config.provider.issuer, "https://login.example.com");
    assert_eq!(config.server.workers, Some(4));
    assert_eq!(config.server.public_health_path.as_deref(), Some("/healthz"));
    assert_eq!(config.routes.len(), 1);
    assert_eq!(folder(config.static_site), Some(root));
}

#[test]
fn a_variable_is_refused_where_it_does_not_fit_its_key() {
    for (variable, key) in [
        ("SEALGATE__SERVER__WORKERS", "server.workers"),
        ("SEALGATE__SESSION__PERSISTENT", "session.persistent"),
        ("SEALGATE__SESSION__IDLE_TIMEOUT", "session.idle_timeout"),
        ("SEALGATE__KEYS__RING", "keys.ring"),
        ("SEALGATE__PROVIDER__SCOPES__2", "provider.scopes[2]"),
    ] {
        let fixture = extended("scopes = [\"openid\", \"a\"]\n").with(variable, " ");
        let finding = fixture.only_finding();
        assert!(finding.starts_with(&format!("{variable}: {key}: ")), "{finding}");
    }
}

#[test]
fn lists_are_written_with_commas_or_as_in_a_file() {
    for text in ["openid,email", " openid , email ,", "[\"openid\", \"email\"]", "['openid',\n 'email',]"] {
        let config = Fixture::new(&[MINIMAL]).with("SEALGATE__PROVIDER__SCOPES", text).config();
        assert_eq!(config.provider.scopes, ["openid", "email"], "{text}");
    }
    let config = extended("allowed_groups = [\"staff\"]\n").with("SEALGATE__PROVIDER__ALLOWED_GROUPS", "").config();
    assert!(config.provider.login_limits.allowed_groups.is_empty());
    let route = Fixture::new(&[MINIMAL])
        .with("SEALGATE__ROUTES__0__PATH", "/a")
        .with("SEALGATE__ROUTES__0__UPSTREAM", "[\"http://a\", \"http://b\"]");
    assert_eq!(route.config().routes[0].upstreams.len(), 2);
}

#[test]
fn a_list_that_is_none_is_refused_without_its_text() {
    for text in ["[marker-hunter2", "[\"marker-hunter2\"", "[a, b]", "[]]"] {
        let finding = Fixture::new(&[MINIMAL]).with("SEALGATE__PROVIDER__SCOPES", text).only_finding();
        assert!(finding.starts_with("SEALGATE__PROVIDER__SCOPES: provider.scopes: is not a list; write"), "{finding}");
        assert!(!finding.contains("hunter2"), "{finding}");
    }
}

#[test]
fn one_element_of_a_list_is_set_by_its_position() {
    let config = extended("scopes = [\"openid\", \"a\", \"b\"]\n").with("SEALGATE__PROVIDER__SCOPES__1", "x").config();
    assert_eq!(config.provider.scopes, ["openid", "x", "b"]);
}

#[test]
fn a_text_of_digits_stays_a_text() {
    let file = Fixture::new(&[&MINIMAL.replace("\"spa-bff\"", "\"007\"")]);
    assert_eq!(file.config().provider.client_id, "007");
    let variable = Fixture::new(&[MINIMAL]).with("SEALGATE__PROVIDER__CLIENT_ID", "007");
    assert_eq!(variable.config().provider.client_id, "007");
    let number = Fixture::new(&[&MINIMAL.replace("\"spa-bff\"", "7")]);
    assert!(number.only_finding().contains("must be a string, not an integer"));
}
