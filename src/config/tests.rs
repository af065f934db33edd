//! Whole configurations, from files and an environment of their own.

use std::fs;

use tempfile::TempDir;

use super::*;

mod across_keys;
mod easy_auth;
mod environment;
mod forward_auth;
mod identity_jwt;
mod presets;
mod provider;
mod routes;
mod sites;
mod static_site;
mod tokens;

/// A folder with configuration files, and an environment.
struct Fixture {
    folder: TempDir,
    files: Vec<PathBuf>,
    environment: Vec<(OsString, OsString)>,
}

/// A configuration of one site with one provider, as the short form has it.
#[derive(Debug)]
struct OneSite {
    server: ServerConfig,
    prefix: String,
    provider: ProviderSettings,
    easy_auth: Option<EasyAuth>,
    forward_auth: Option<ForwardAuthSettings>,
    identity_jwt: Option<IdentityJwtSettings>,
    session: SessionSettings,
    ring: PathBuf,
    csrf: CsrfHeader,
    routes: Vec<RouteSettings>,
    static_site: Option<StaticSettings>,
    security_headers: SecurityHeaderSettings,
    spa_settings: serde_json::Map<String, serde_json::Value>,
    log: LogConfig,
}

impl From<Config> for OneSite {
    fn from(mut config: Config) -> Self {
        assert_eq!(config.sites.len(), 1);
        let mut site = config.sites.remove(0);
        assert_eq!(site.providers.len(), 1);
        Self {
            server: config.server,
            prefix: site.prefix,
            provider: site.providers.remove(0).settings,
            easy_auth: site.easy_auth,
            forward_auth: site.forward_auth,
            identity_jwt: site.identity_jwt,
            session: site.session,
            ring: config.ring,
            csrf: site.csrf,
            routes: site.routes,
            static_site: site.static_site,
            security_headers: site.security_headers,
            spa_settings: site.spa_settings,
            log: config.log,
        }
    }
}

const MINIMAL: &str = r#"[server]
public_url = "https://app.example.com"
[provider]
issuer = "https://login.example.com"
client_id = "spa-bff"
client_secret = "marker-hunter2"
"#;

impl Fixture {
    fn new(texts: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut fixture = Self { folder, files: Vec::new(), environment: Vec::new() };
        for (index, text) in texts.iter().enumerate() {
            let path = fixture.write(&format!("{index}.toml"), text);
            fixture.files.push(path);
        }
        fixture
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("the folder is ours");
        set_mode(&path, 0o600);
        path
    }

    fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        Config::load_with(&self.files, self.environment.clone())
    }

    fn config(&self) -> OneSite {
        self.load().expect("a valid configuration").config.into()
    }

    /// The findings without their folder, a line each: `0.toml:3: server.listen: …`.
    fn findings(&self) -> Vec<String> {
        let findings = match self.load() {
            Ok(loaded) => loaded.warnings,
            Err(error) => error.findings,
        };
        let folder = format!("{}/", self.folder.path().display());
        findings.iter().map(|finding| finding.to_string().replace(&folder, "")).collect()
    }

    fn only_finding(&self) -> String {
        let mut findings = self.findings();
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings.remove(0)
    }
}

#[cfg(unix)]
fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file is ours");
}

fn folder(site: Option<StaticSettings>) -> Option<PathBuf> {
    match site? {
        StaticSettings::Folder { root, .. } => Some(root),
        StaticSettings::DevServer(_) => None,
    }
}

/// `MINIMAL` with `more` behind it.
fn extended(more: &str) -> Fixture {
    Fixture::new(&[&format!("{MINIMAL}{more}")])
}

#[test]
fn what_is_not_set_has_its_default() {
    let config = Fixture::new(&[MINIMAL]).config();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.prefix, "/bff");
    assert_eq!(config.server.workers, None);
    assert_eq!(config.session.absolute_timeout, Duration::from_secs(8 * 3600));
    assert_eq!(config.session.cookie_name, "__Host-sealgate");
    assert_eq!(config.provider.scopes, ["openid", "profile", "offline_access"]);
    assert_eq!(config.csrf.name, "X-CSRF");
    assert_eq!(config.ring, PathBuf::from("keys/ring.json"));
    assert!(config.routes.is_empty());
    assert!(config.static_site.is_none());
}

#[test]
fn the_reference_configuration_sets_what_the_code_does_by_itself() {
    let secret = Fixture::new(&[&reference()]);
    let path = secret.write("secret", "marker-hunter2\n");
    let reference = secret.with("SEALGATE__PROVIDER__CLIENT_SECRET_FILE", path).config();
    let route = "[[routes]]\npath = \"/api\"\nupstream = \"http://127.0.0.1:3000\"\n";
    assert_eq!(format!("{reference:#?}"), format!("{:#?}", extended(route).config()));
}

#[test]
fn all_mistakes_are_found_in_one_run_with_their_lines() {
    let fixture = Fixture::new(&[r#"
[server]
listen = "8080"
public_url = "http://app.example.com"
management_listen = 9090
trusted_proxies = ["10.0.0.0/8", "everyone"]
workers = 0
[provider]
client_id = "a"
isuer = "https://login.example.com"
scopes = ["profile"]
id_token_algorithms = [
    "RS256",
    "HS256",
    "none",
]
passthrough_parameters = ["prompt", "state"]
[session]
cookie_name = "sealgate"
idle_timeout = "9h"
[[routes]]
path = "/bff/api"
upstream = "http://127.0.0.1:3000/v1"
auth = "barer"
[[routes]]
path = "/app"
[[routes]]
path = "/app"
upstream = []
"#]);
    let findings = fixture.findings();
    let places: Vec<_> =
        findings.iter().map(|line| line.splitn(3, ": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        places,
        [
            "0.toml:3 server.listen",
            "0.toml:4 server.public_url",
            "0.toml:5 server.management_listen",
            "0.toml:6 server.trusted_proxies[1]",
            "0.toml:7 server.workers",
            "0.toml:8 provider.client_secret",
            "0.toml:10 provider.isuer",
            "0.toml:11 provider.scopes",
            "0.toml:14 provider.id_token_algorithms[1]",
            "0.toml:15 provider.id_token_algorithms[2]",
            "0.toml:17 provider.passthrough_parameters[1]",
            "0.toml:19 session.cookie_name",
            "0.toml:20 session.idle_timeout",
            "0.toml:22 routes[0].path",
            "0.toml:23 routes[0].upstream",
            "0.toml:24 routes[0].auth",
            "0.toml:25 routes[1].upstream",
            "0.toml:28 routes[2].path",
            "0.toml:29 routes[2].upstream",
        ],
        "{findings:#?}"
    );
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    assert_eq!(
        extended("[log]\nlevl = \"info\"\n").only_finding(),
        "0.toml:8: log.levl: is not a known key; did you mean log.level?"
    );
    assert_eq!(
        extended("[lgo]\nlevel = \"info\"\n").only_finding(),
        "0.toml:7: lgo: is not a known key; did you mean log?"
    );
}

#[test]
fn an_unknown_key_is_found_in_every_layer() {
    let fixture = Fixture::new(&[MINIMAL, "[log]\nlevl = \"info\"\n", "\n[log]\nlevl = \"info\"\n"])
        .with("SEALGATE__LOG__LEVL", "info");
    let findings = fixture.findings();
    let places: Vec<_> = findings.iter().map(|line| line.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(places, ["1.toml:2", "2.toml:3", "SEALGATE__LOG__LEVL"]);
}

#[test]
fn a_section_of_the_wrong_type_is_named() {
    let fixture = Fixture::new(&[&format!("log = 3\nroutes = \"x\"\n{MINIMAL}")]);
    let findings = fixture.findings();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings[0].starts_with("0.toml:1: log: must be a table"), "{findings:#?}");
    assert!(findings[1].starts_with("0.toml:2: routes: must be a list of tables"), "{findings:#?}");
}

#[test]
fn later_files_win_key_by_key_and_replace_lists() {
    let base = format!("{MINIMAL}scopes = [\"openid\", \"a\", \"b\"]\n[log]\nformat = \"json\"\nlevel = \"warn\"\n");
    let config = Fixture::new(&[&base, "[log]\nlevel = \"debug\"\n[provider]\nscopes = [\"openid\"]\n"]).config();
    assert_eq!((config.log.format, config.log.level.as_str()), (LogFormat::Json, "debug"));
    assert_eq!(config.provider.scopes, ["openid"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let mut fixture = Fixture::new(&[]);
    fixture.files.push(fixture.folder.path().join("none.toml"));
    assert!(fixture.only_finding().starts_with("none.toml: cannot be read (No such file"));
}

#[test]
fn all_syntax_errors_of_all_files_are_found_with_their_lines() {
    let fixture = Fixture::new(&["[server\nlisten = 3\n\nx = = 2\n", "[log]\n[log]\n"]);
    let findings = fixture.findings();
    assert!(findings.iter().any(|line| line.starts_with("0.toml:1: is not valid TOML")), "{findings:#?}");
    assert!(findings.iter().any(|line| line.starts_with("0.toml:4: is not valid TOML")), "{findings:#?}");
    assert!(findings.iter().any(|line| line.starts_with("1.toml:2: is not valid TOML")), "{findings:#?}");
}

#[test]
fn a_secret_may_come_from_a_file_without_its_line_break() {
    let fixture = Fixture::new(&[&MINIMAL.replace("client_secret = \"marker-hunter2\"", "")]);
    let path = fixture.write("secret", " marker hunter2 \r\n");
    let config = fixture.with("SEALGATE__PROVIDER__CLIENT_SECRET_FILE", path).config();
    let crate::oidc::ClientAuth::SecretBasic(secret) = &config.provider.client_auth else { panic!("the default") };
    assert_eq!(secret.expose(), " marker hunter2 ");
}

#[test]
fn a_secret_file_that_is_no_use_is_named_with_the_reason() {
    let file = "client_secret_file = \"does/not/exist\"\n";
    let minimal = MINIMAL.replace("client_secret = \"marker-hunter2\"\n", "");
    let finding = Fixture::new(&[&format!("{minimal}{file}")]).only_finding();
    assert!(
        finding.starts_with("0.toml:6: provider.client_secret_file: does/not/exist cannot be read: No such"),
        "{finding}"
    );
    let fixture = Fixture::new(&[&minimal]);
    let path = fixture.write("secret", "\n");
    let finding = fixture.with("SEALGATE__PROVIDER__CLIENT_SECRET_FILE", path).only_finding();
    assert!(finding.contains("is empty"), "{finding}");
}

#[test]
fn a_secret_and_its_file_in_one_layer_are_a_mistake() {
    let finding = extended("client_secret_file = \"secret\"\n").only_finding();
    assert!(finding.starts_with("0.toml:6: provider.client_secret: is set, and"), "{finding}");
}

#[test]
fn a_later_layer_may_set_the_secret_in_the_other_way() {
    let config =
        Fixture::new(&[&MINIMAL.replace("client_secret = \"marker-hunter2\"", "client_secret_file = \"none\"")])
            .with("SEALGATE__PROVIDER__CLIENT_SECRET", "other")
            .config();
    let crate::oidc::ClientAuth::SecretBasic(secret) = &config.provider.client_auth else { panic!("the default") };
    assert_eq!(secret.expose(), "other");
}

#[cfg(unix)]
#[test]
fn a_secret_that_others_can_read_is_a_warning() {
    let fixture = Fixture::new(&[MINIMAL]);
    set_mode(&fixture.files[0], 0o644);
    assert!(fixture.load().is_ok());
    assert!(fixture.only_finding().contains("every user of this machine can read"));
    let fixture = Fixture::new(&[&MINIMAL.replace("client_secret = \"marker-hunter2\"", "")]);
    let path = fixture.write("secret", "x");
    set_mode(&path, 0o644);
    let fixture = fixture.with("SEALGATE__PROVIDER__CLIENT_SECRET_FILE", path);
    assert!(fixture.load().is_ok());
    assert!(fixture.only_finding().contains("chmod o-r"));
}

#[test]
fn a_secret_is_in_no_message_and_in_no_debug_output() {
    let loaded = Fixture::new(&[MINIMAL]).load().expect("valid");
    assert!(!format!("{loaded:?}{loaded:#?}").contains("hunter2"));
    for (from, to) in [
        ("client_secret = \"marker-hunter2\"", "client_secret = [\"marker-hunter2\"]"),
        ("client_secret = \"marker-hunter2\"", "client_secret = { a = \"marker-hunter2\" }"),
        ("client_secret = \"marker-hunter2\"", "client_secret = 'marker-hunter2"),
        ("client_secret = \"marker-hunter2\"", "client_secret = marker-hunter2"),
        ("client_secret = \"marker-hunter2\"", "client_secret = \"marker-hunter2\"\nclient_secret = \"hunter2\""),
        ("client_secret = ", "client_secrt = "),
        ("client_secret = ", "client_secret_file = \"x\"\nclient_secret = "),
        ("issuer = \"https://", "issuer = \"https://hunter2@"),
    ] {
        let error = Fixture::new(&[&MINIMAL.replace(from, to)]).load().expect_err(to);
        assert!(!format!("{error} {error:?} {error:#?}").contains("hunter2"), "{error}");
    }
    let variables = Fixture::new(&[MINIMAL]).with("SEALGATE__PROVIDER__CLIENT_SECRET__A", "hunter2");
    assert!(!variables.findings().concat().contains("hunter2"));
}

#[test]
fn a_static_root_needs_an_index() {
    let fixture = Fixture::new(&[MINIMAL]);
    let root = fixture.folder.path().to_owned();
    let fixture = fixture.with("SEALGATE__STATIC__ROOT", root.clone());
    assert!(fixture.only_finding().contains("has no index.html"));
    fixture.write("index.html", "<!doctype html>");
    assert_eq!(folder(fixture.config().static_site), Some(root));
}

#[test]
fn a_word_that_is_no_log_level_is_refused() {
    assert!(extended("[log]\nlevel = \"inof\"\n").only_finding().contains("\"inof\" is not a level"));
    assert_eq!(extended("[log]\nlevel = \"info,sealgate::refresh=debug\"\n").findings(), Vec::<String>::new());
}

#[test]
fn a_provider_s_own_certificates_must_be_certificates() {
    let fixture = Fixture::new(&[MINIMAL]);
    let path = fixture.write("ca.pem", "nothing");
    let finding = fixture.with("SEALGATE__PROVIDER__CA_FILE", path).only_finding();
    assert!(finding.contains("holds no certificate"), "{finding}");
}

#[test]
fn one_mistake_is_one_finding() {
    // The misspelt key is the missing one.
    let finding = Fixture::new(&[&MINIMAL.replace("issuer", "isuer")]).only_finding();
    assert_eq!(finding, "0.toml:4: provider.isuer: is not a known key; did you mean provider.issuer?");
    let finding = Fixture::new(&[&MINIMAL.replace("[provider]", "[providr]")]).only_finding();
    assert!(finding.ends_with("did you mean provider?"), "{finding}");
    let finding = Fixture::new(&[&MINIMAL.replace("client_secret", "client_secrt_file")]).only_finding();
    assert!(finding.ends_with("did you mean provider.client_secret_file?"), "{finding}");
    // A section of the wrong type has no missing keys.
    let finding = Fixture::new(&[&format!("server = 1\n{}", &MINIMAL[MINIMAL.find("[provider]").expect("a table")..])]);
    assert!(finding.only_finding().starts_with("0.toml:1: server: must be a table"));
    // What the misspelt key hides is the missing key alone, not a mistake in the right one.
    let both = Fixture::new(&[&MINIMAL.replace("issuer", "isuer = \"x\"\nissuer")]);
    assert_eq!(both.findings().len(), 1);
    let both = Fixture::new(&[&MINIMAL.replace("issuer = \"https", "isuer = \"x\"\nissuer = \"ftp")]);
    assert_eq!(both.findings().len(), 2);
}

#[test]
fn a_number_that_nothing_can_hold_hides_no_other_mistake() {
    let text = format!("{MINIMAL}clock_skew = inf\nscopes = [99999999999999999999, \"openid\"]\n[log]\nlevl = 1\n");
    let findings = Fixture::new(&[&text]).findings();
    assert_eq!(
        findings,
        [
            "0.toml:7: provider.clock_skew: is not a finite number",
            "0.toml:8: provider.scopes[0]: is a number that does not fit 64 bits",
            "0.toml:10: log.levl: is not a known key; did you mean log.level?",
        ]
    );
}

#[test]
fn the_files_of_secrets_are_told() {
    let fixture = Fixture::new(&[&MINIMAL.replace("client_secret = \"marker-hunter2\"", "")]);
    let path = fixture.write("secret", "x");
    let loaded = fixture.with("SEALGATE__PROVIDER__CLIENT_SECRET_FILE", path.clone()).load().expect("valid");
    let files: Vec<_> = loaded.secret_files.iter().map(|file| (file.key.as_str(), &file.path)).collect();
    assert_eq!(files, [("provider.client_secret_file", &path)]);
}
