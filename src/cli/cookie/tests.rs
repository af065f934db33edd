use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::*;
use crate::aead::Algorithm;
use crate::base64url::BASE64URL;
use crate::clock::UnixTime;
use crate::keyring::{KeyRing, RingFile, RingHandle};
use crate::metrics::Metrics;
use crate::oidc::{ResponseMode, TokenNeed};
use crate::seal::Sealer;
use crate::secret::{AccessToken, CodeVerifier, IdToken, Nonce, RefreshToken, State};
use crate::session::cookies::{AFFINITY_COOKIE, CookieNames, RequestCookies};
use crate::session::login_transaction::LoginTransaction;
use crate::session::store::{ActiveSession, Sessions, Visible};
use crate::session::{NewSession, ProviderId, Session, SessionId, StoredAccessToken};

const NOW: UnixTime = UnixTime::from_secs(1_795_428_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// An installation: a configuration, its ring, and what `serve` would seal with them.
struct Site {
    folder: tempfile::TempDir,
    clock: Clock,
}

impl Site {
    fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().expect("a folder"), clock: Clock::manual(NOW) };
        let secret = site.folder.path().join("secret");
        fs::write(&secret, "hunter2-client-secret").expect("the folder is ours");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("the file is ours");
        let ring = KeyRing::generate(Algorithm::default(), MINUTE * 10, HOUR * 8, NOW).expect("valid settings");
        site.ring().create(&ring).expect("a new ring");
        site.configure("https://app.example.com", "spa-bff");
        site
    }

    fn ring(&self) -> RingFile {
        RingFile::new(self.folder.path().join("ring.json"))
    }

    fn configure(&self, public_url: &str, client_id: &str) {
        let (secret, ring) = (self.folder.path().join("secret"), self.ring().path().to_owned());
        let text = format!(
            "[server]\npublic_url = {public_url:?}\n[provider]\nissuer = \"https://login.example.com\"\n\
             client_id = {client_id:?}\nclient_secret_file = {secret:?}\n[keys]\nring = {ring:?}\n"
        );
        fs::write(self.config(), text).expect("the folder is ours");
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("sealgate.toml")
    }

    fn sessions(&self) -> Sessions {
        let origin = "https://app.example.com".parse().expect("an origin");
        let ring = RingHandle::fixed(self.ring().read().expect("a valid ring"));
        let sealer = Sealer::new(ring, origin, self.clock.clone(), Metrics::default());
        let config = Config::load_with(&[self.config()], []).expect("a valid configuration").config;
        let settings = config.sites[0].session.clone();
        let names = CookieNames::new("__Host-sealgate", true);
        Sessions::new(sealer, names, settings, vec![provider()], self.clock.clone(), MINUTE)
    }

    fn inspect(&self, field: &str, with_keys: bool, json: bool) -> Result<String, CliError> {
        let config = if with_keys { vec![self.config()] } else { Vec::new() };
        let command = CookieCommand::Inspect(InspectArgs { site: None, config, json });
        let mut out = Vec::new();
        run(&command, &self.clock, &mut field.as_bytes(), &mut out)?;
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    fn described(&self, field: &str) -> String {
        self.inspect(field, true, false).expect("cookies of ours")
    }

    fn json(&self, field: &str) -> Value {
        serde_json::from_str(&self.inspect(field, true, true).expect("cookies of ours")).expect("JSON")
    }

    /// The `Cookie` field of a browser that is signed in, with every other cookie of ours.
    fn field(&self) -> String {
        let (sessions, none) = (self.sessions(), RequestCookies::default());
        let sealed = sessions.seal(session(0)).expect("it fits");
        let mut lines = sessions.deliver(&sealed, &none);
        let ended = session(0);
        let conflict = session(0);
        lines.push(sessions.bury((&ended).into(), &none).expect("a key"));
        lines.push(sessions.mark_refresh(&conflict, NOW).expect("a key"));
        lines.extend(sessions.begin_login(&login(), &none, Visible::All).expect("a key"));
        let active = ActiveSession {
            session: std::sync::Arc::new(session(0)),
            last_seen: NOW.minus(HOUR),
            cookie_characters: 0,
        };
        lines.extend(sessions.touch(&active));
        lines.push(format!("{AFFINITY_COOKIE}={}", session(0).sid.affinity()));
        format!("Cookie: theme=dark; {}", pairs(&lines))
    }

    /// The session's cookies alone.
    fn session_field(&self, padding: usize) -> String {
        let sessions = self.sessions();
        let sealed = sessions.seal(session(padding)).expect("it fits");
        pairs(&sessions.deliver(&sealed, &RequestCookies::default()))
    }
}

fn pairs(lines: &[String]) -> String {
    lines.iter().filter_map(|line| line.split(';').next()).collect::<Vec<_>>().join("; ")
}

fn provider() -> ProviderId {
    ProviderId { issuer: "https://login.example.com".into(), client_id: "spa-bff".into() }
}

fn jwt(claims: &Value, signature: &str) -> String {
    format!("e30.{}.{signature}", BASE64URL.encode(claims.to_string()))
}

fn session(padding: usize) -> Session {
    // Not to be compressed away.
    let noise: String = (0..padding).map(|at| char::from(b'a' + (at * at % 251 % 26) as u8)).collect();
    let access =
        jwt(&json!({"aud": "api", "hunter2_scope": "hunter2-access-claim"}), &format!("hunter2-access-sig{noise}"));
    let new = NewSession {
        provider: provider(),
        absolute_end: NOW.plus(HOUR * 8),
        access_token: StoredAccessToken::new(AccessToken::new(access), NOW, NOW.plus(MINUTE * 5), None),
        refresh_token: Some(RefreshToken::new(jwt(&json!({"hunter2_rt": 1}), "hunter2-refresh"))),
        id_token: IdToken::new(jwt(&json!({"sub": "hunter2-ada", "email": "hunter2@example.com"}), "hunter2-id-sig")),
    };
    Session::begin(SessionId::random().expect("randomness"), new, NOW)
}

fn login() -> LoginTransaction {
    LoginTransaction {
        state: State::new("hunter2-state"),
        nonce: Nonce::new("hunter2-nonce"),
        verifier: CodeVerifier::new("hunter2-verifier"),
        return_url: "/hunter2-return".into(),
        started_at: NOW,
        provider: provider(),
        replaces: None,
        silent: false,
        max_age: None,
        response_mode: ResponseMode::Query,
    }
}

#[test]
fn every_cookie_of_ours_is_described_and_opens_with_the_configuration() {
    let site = Site::new();
    let report = site.json(&site.field());
    let cookies = report["cookies"].as_array().expect("a list");
    let kinds: Vec<_> = cookies.iter().map(|cookie| cookie["kind"].as_str().expect("a text")).collect();
    assert_eq!(kinds, ["session", "tombstone", "conflict-marker", "login", "activity", "affinity"]);
    for cookie in &cookies[..5] {
        assert_eq!((&cookie["opens"], &cookie["key_state"]), (&true.into(), &"primary".into()), "{cookie:#}");
        assert_eq!((&cookie["version"], &cookie["problem"]), (&1.into(), &Value::Null), "{cookie:#}");
        assert_eq!(cookie["contents"]["holds"], cookie["kind"], "{cookie:#}");
    }
    assert!(report["session"].as_str().expect("a text").starts_with("signed in, for 1h"), "{report:#}");
}

#[test]
fn a_session_s_tokens_are_described_by_size_lifetime_and_names_of_claims() {
    let site = Site::new();
    let report = site.json(&site.session_field(0));
    let contents = &report["cookies"][0]["contents"];
    assert_eq!(contents["absolute_end"], "2026-11-23T18:00:00Z");
    let tokens = contents["tokens"].as_array().expect("a list");
    let claims: Vec<_> = tokens.iter().map(|token| (&token["token"], &token["form"], &token["claims"])).collect();
    assert_eq!(
        serde_json::to_value(claims).expect("JSON"),
        json!([
            ["access token", "jwt", ["aud", "hunter2_scope"]],
            ["refresh token", "jwt", []],
            ["ID token", "jwt", ["sub", "email"]],
        ])
    );
    assert_eq!((&tokens[0]["lifetime"], &tokens[0]["expires_at"]), (&300.into(), &"2026-11-23T10:05:00Z".into()));
    let shown = site.described(&site.session_field(0));
    assert!(
        shown.contains("lives 5m, expires 2026-11-23T10:05:00Z (in 5m); a JWT with aud, hunter2_scope\n"),
        "{shown}"
    );
    assert!(shown.contains("  absolute end   2026-11-23T18:00:00Z (in 8h)\n"), "{shown}");
}

#[test]
fn each_access_token_is_described_with_its_api_its_scopes_and_its_end() {
    let site = Site::new();
    let need = TokenNeed::new(vec!["orders.read".into()], Some("https://orders.example.com".into()), None);
    let access = AccessToken::new(jwt(&json!({"aud": "orders"}), "hunter2-orders-sig"));
    let stored = StoredAccessToken::new(access, NOW, NOW.plus(MINUTE * 10), None);
    let sessions = site.sessions();
    let sealed = sessions.seal(session(0).refreshed_for(&need, Some(stored), None, None, NOW)).expect("it fits");
    let field = pairs(&sessions.deliver(&sealed, &RequestCookies::default()));
    let tokens = site.json(&field)["cookies"][0]["contents"]["tokens"].clone();
    assert_eq!(tokens[0]["api"], Value::Null);
    assert_eq!(
        (&tokens[1]["api"], &tokens[1]["scopes"]),
        (&"https://orders.example.com".into(), &"orders.read".into())
    );
    assert_eq!(tokens[1]["expires_at"], "2026-11-23T10:10:00Z");
    let shown = site.described(&field);
    assert!(shown.contains("access token   for https://orders.example.com, "), "{shown}");
    assert!(shown.contains(", expires 2026-11-23T10:10:00Z (in 10m), scopes orders.read; a JWT with aud"), "{shown}");
    assert!(!shown.contains("hunter2-orders"), "{shown}");
}

/// The promise of the command; hunter2 is in every secret and in every value of a claim.
#[test]
fn no_token_no_claim_s_value_and_no_part_of_the_input_is_in_any_output() {
    let site = Site::new();
    let field = site.field();
    let long = site.session_field(3_000);
    let broken = field.replace("__Host-sealgate=1", "__Host-sealgate=2");
    let values: Vec<String> =
        field.split("; ").filter_map(|pair| Some(pair.split_once('=')?.1.chars().skip(8).take(40).collect())).collect();
    for field in [&field, &long, &broken] {
        for (with_keys, json) in [(true, true), (true, false), (false, true), (false, false)] {
            let shown = site.inspect(field, with_keys, json).expect("cookies of ours");
            let without_names = shown.replace("hunter2_scope", "");
            assert!(!without_names.contains("hunter2") && !shown.contains("e30."), "{shown}");
            for value in values.iter().filter(|value| value.len() > 20) {
                assert!(!shown.contains(value.as_str()), "{shown}");
            }
        }
    }
    for input in ["hunter2-token", "eyJhbGciOiJub25lIn0.hunter2.hunter2", "hunter2=1; b=hunter2"] {
        let error = site.inspect(input, true, false).expect_err("no cookie of ours").to_string();
        assert!(!error.contains("hunter2") && !error.contains("eyJ"), "{error}");
    }
}

#[test]
fn without_the_configuration_version_key_and_sizes_show_under_both_default_names() {
    let site = Site::new();
    let field = site.session_field(0);
    let kid = site.ring().read().expect("a ring").primary(NOW).expect("a primary").kid().to_string();
    for field in
        [field.clone(), field.replace("__Host-", ""), format!("cookie:{field}"), format!("> Cookie: {field}\n")]
    {
        let shown = site.inspect(&field, false, false).expect("a cookie of ours");
        let row: Vec<_> = shown.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!((row[1], row[2], row[3], row[4], row[8]), ("session", "1", kid.as_str(), "-", "-"), "{shown}");
        assert!(shown.ends_with("With --config the cookies are opened, and their contents described.\n"), "{shown}");
    }
}

#[test]
fn chunks_are_counted_and_a_missing_one_is_named() {
    let site = Site::new();
    let field = site.session_field(3_500);
    let report = site.json(&field);
    assert_eq!((&report["cookies"][0]["chunks"], &report["cookies"][0]["opens"]), (&2.into(), &true.into()));
    assert_eq!(report["cookies"].as_array().map(Vec::len), Some(1));
    let (first, _) = field.split_once("; ").expect("two chunks");
    let shown = site.described(first);
    assert!(shown.contains("it should have 2 chunks, and __Host-sealgate.1 is missing."), "{shown}");
    assert!(shown.ends_with("The request is signed out: the session cookie's parts do not fit together.\n"), "{shown}");
    let shown = site.described(&format!("{}; __Host-sealgate.2=old", site.session_field(0)));
    assert!(shown.contains("__Host-sealgate.2: the session does not count it"), "{shown}");
}

#[test]
fn what_is_broken_is_said_and_no_error() {
    let site = Site::new();
    let whole = site.session_field(0);
    let (name, value) = whole.split_once('=').expect("a pair");
    let sealed = BASE64URL.decode(&value[1..]).expect("ours");
    let changed = |at: usize| {
        let mut sealed = sealed.clone();
        sealed[at] ^= 1;
        format!("{name}=1{}", BASE64URL.encode(sealed))
    };
    for (field, expected) in [
        (format!("{name}=7abc"), "its first character is not a number of chunks from 1 to 3"),
        (format!("{name}="), "its first character is not a number of chunks from 1 to 3"),
        (format!("{whole}; {whole}"), "is there more than once"),
        (format!("{name}=1a+b"), "it is not base64url"),
        (format!("{name}=1AQID"), "it has 3 bytes, fewer than the 45"),
        (changed(0), "its format version is 0, and this release reads 1"),
        (changed(1), "is not in the ring"),
        (changed(60), "the key is there and the seal does not match"),
        (format!("{name}-seen={}", &value[1..]), "sealed for another purpose"),
        (format!("{name}-new=1"), "its name is like ours and not known"),
    ] {
        for json in [false, true] {
            let shown = site.inspect(&field, true, json).expect("described");
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
    }
}

#[test]
fn a_revoked_and_an_expired_key_are_named_with_the_date() {
    let site = Site::new();
    let field = site.session_field(0);
    let kid = site.ring().read().expect("a ring").primary(NOW).expect("a primary").kid();
    let update = |change: &dyn Fn(&mut KeyRing)| {
        let changed = site.ring().update(|ring| {
            change(ring);
            Ok::<_, crate::keyring::RingUpdateError>(())
        });
        changed.map(drop).expect("a valid ring");
    };
    update(&|ring| ring.rotate(NOW, None, None, "").map(drop).expect("nothing is staged"));
    site.clock.advance(HOUR * 24);
    let shown = site.described(&field);
    assert!(shown.contains(&format!("key {kid} stopped opening at 2026-11-23T18:21:00Z")), "{shown}");
    update(&|ring| ring.revoke(kid, NOW.plus(HOUR)).map(drop).expect("a key"));
    let shown = site.described(&field);
    assert!(shown.contains(&format!("key {kid} was revoked at 2026-11-23T11:00:00Z.")), "{shown}");
}

#[test]
fn a_changed_site_or_client_is_pointed_out() {
    let site = Site::new();
    let field = site.session_field(0);
    site.configure("https://new.example.com", "spa-bff");
    let shown = site.described(&field);
    assert!(
        shown.contains("server.public_url may have changed") && shown.contains("https://new.example.com"),
        "{shown}"
    );
    site.configure("https://app.example.com", "other-client");
    let shown = site.described(&field);
    assert!(shown.contains("client spa-bff") && shown.contains("The request is signed out: the session"), "{shown}");
}

#[test]
fn input_that_is_no_cookie_header_is_refused_with_the_remedy() {
    let site = Site::new();
    for (input, expected) in [
        ("", "standard input is empty; paste a Cookie header"),
        (" \n\n", "standard input is empty"),
        ("Cookie:", "standard input is empty"),
        ("hello", "has no cookie, which is name=value"),
        ("a=b; c=d", "none of the cookies (2) is Sealgate's, whose names begin with __Host-sealgate or sealgate;"),
    ] {
        let error = site.inspect(input, false, false).expect_err(input).to_string();
        assert!(error.contains(expected), "{input:?}: {error}");
    }
    let error = site.inspect(&site.session_field(0).replace("sealgate", "other"), true, false).expect_err("foreign");
    assert!(error.to_string().contains("see that session.cookie_name and server.public_url are those"), "{error}");
    let mut out = Vec::new();
    let command = CookieCommand::Inspect(InspectArgs { site: None, config: Vec::new(), json: false });
    let error = run(&command, &site.clock, &mut &b"\xff=\xff"[..], &mut out).expect_err("no text");
    assert!(error.to_string().contains("is not text"), "{error}");
}

#[test]
fn of_several_sites_the_cookies_own_is_to_be_named() {
    let site = Site::new();
    let (secret, ring) = (site.folder.path().join("secret"), site.ring().path().to_owned());
    let table = |url: &str| {
        format!(
            "[[sites]]\npublic_url = {url:?}\n[sites.provider]\nissuer = \"https://login.example.com\"\n\
             client_id = \"spa-bff\"\nclient_secret_file = {secret:?}\n"
        )
    };
    let field = site.session_field(0);
    let (own, other) = (table("https://app.example.com"), table("https://other.example.com"));
    fs::write(site.config(), format!("[keys]\nring = {ring:?}\n{other}{own}")).expect("the folder is ours");
    let inspect = |named: Option<&str>| {
        let args = InspectArgs { site: named.map(str::to_owned), config: vec![site.config()], json: false };
        let mut out = Vec::new();
        run(&CookieCommand::Inspect(args), &site.clock, &mut field.as_bytes(), &mut out)?;
        Ok::<_, CliError>(String::from_utf8(out).expect("text"))
    };
    for wrong in [None, Some("https://nobody.example.com")] {
        let error = inspect(wrong).expect_err("which one?").to_string();
        assert!(error.contains("--site must be one of https://other.example.com, https://app.example.com"), "{error}");
    }
    let of = |named| inspect(Some(named)).expect("a description");
    assert!(of("https://app.example.com/").contains("The request is signed in"), "{}", of("https://app.example.com"));
    assert!(of("https://other.example.com").contains("The request is signed out"), "a cookie of another site");
}

#[test]
fn claims_of_userinfo_are_named() {
    let site = Site::new();
    let sessions = site.sessions();
    let userinfo = json!({"sub": "hunter2-ada", "groups": ["hunter2-staff"]}).as_object().cloned();
    let sealed = sessions.seal(session(0).with_userinfo(userinfo)).expect("it fits");
    let shown = site.described(&pairs(&sessions.deliver(&sealed, &RequestCookies::default())));
    assert!(shown.contains("beside the ID token: ") && shown.contains("groups"), "{shown}");
    assert!(!shown.contains("hunter2-staff") && !shown.contains("hunter2-ada"), "{shown}");
}

#[test]
fn claims_that_are_kept_without_the_id_token_are_named() {
    let site = Site::new();
    let sessions = site.sessions();
    let sealed = sessions.seal(session(0).without_id_token()).expect("it fits");
    let shown = site.described(&pairs(&sessions.deliver(&sealed, &RequestCookies::default())));
    assert!(shown.contains("kept without the ID token: sub, email") && !shown.contains("hunter2-ada"), "{shown}");
}
