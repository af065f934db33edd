//! The same server in front of a real browser: the demo as a newcomer meets it, and a deployment behind TLS.
//!
//! The scenarios are in `tests/browser/*.mjs`; screenshots go to `tests/artifacts/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use support::forward_front::{ForwardFront, Kind};
use support::ports::{free_port, loopback};
use support::{App, Provider, ProviderOptions, Sealgate, SealgateOptions, Upstream, eventually};

#[path = "support/support.rs"]
mod support;

const HOST: &str = "app.example.test";

/// How long the demo's access tokens may live: the scenario waits for one to be renewed.
const REFRESH_WITHIN: Duration = Duration::from_secs(150);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

fn chromium() -> String {
    let candidates = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let found = candidates.iter().find(|path| Path::new(path).exists());
    (*found.expect("Chromium is installed: `make test` says how")).to_owned()
}

async fn play(script: &str, mut options: Value) {
    assert!(folder().join("node_modules/playwright-core").is_dir(), "run `make test`, or `npm ci` in tests/browser");
    options["chromium"] = json!(chromium());
    options["artifacts"] = json!(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/artifacts"));
    let run =
        Command::new("node").arg(script).arg(options.to_string()).current_dir(folder()).kill_on_drop(true).output();
    let output =
        tokio::time::timeout(Duration::from_secs(600), run).await.expect("it ends in time").expect("node starts");
    assert!(
        output.status.success(),
        "{script}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Promise 4: a newcomer sees a login working in a browser one command after cloning.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_signs_in_calls_rotates_refreshes_and_signs_out() {
    let port = free_port();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut demo = start_demo(port, folder.path());
    let ring = announced_ring(&mut demo).await;
    eventually("the demo to listen", Duration::from_secs(30), async || {
        TcpStream::connect(loopback(port)).await.ok().map(drop)
    })
    .await;
    let options = json!({
        "origin": format!("http://127.0.0.1:{port}"),
        "rotate": [env!("CARGO_BIN_EXE_sealgate"), "keys", "rotate", "--ring", ring],
        "refreshWithin": REFRESH_WITHIN.as_secs(),
    });
    play("demo.mjs", options).await;
}

fn start_demo(port: u16, folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["demo", "--listen", &loopback(port).to_string()])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts")
}

/// The demo says how to rotate its keys; this is the ring that it names.
async fn announced_ring(demo: &mut Child) -> String {
    let mut lines = BufReader::new(demo.stdout.take().expect("stdout is piped")).lines();
    let search = async {
        while let Some(line) = lines.next_line().await.expect("the demo's output is text") {
            if let Some((_, rest)) = line.split_once("--ring ") {
                return rest.split_whitespace().next().expect("a path behind --ring").to_owned();
            }
        }
        panic!("the demo ended without naming its ring");
    };
    let ring = tokio::time::timeout(Duration::from_secs(60), search).await.expect("the demo names its ring");
    // Whatever else it writes must not fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    ring
}

/// DESIGN §3, §7: `EventSource` on a route with `csrf = "metadata"`, and WebSockets.
#[tokio::test(flavor = "multi_thread")]
async fn pages_keep_event_streams_and_sockets_open_until_they_sign_out() {
    let (provider, upstream) = tokio::join!(Provider::start(ProviderOptions::default()), Upstream::start());
    let options = SealgateOptions::new(&provider.issuer, upstream.port);
    provider.register(options.registration()).await;
    let gate = Sealgate::start(options).await;
    play("streams.mjs", json!({"origin": gate.url(), "provider": provider.issuer})).await;
}

/// RFC 10017 §6.1.3.2: `__Host-`, Secure, HttpOnly and SameSite, as a browser enforces them.
#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_the_cookies_are_host_bound_secure_and_strict() {
    sign_in_behind_tls("query", "Lax").await;
}

/// OAuth 2.0 Form Post Response Mode §2: the login cookie comes with the provider's form, the strict session cookie that
/// the answer sets does not go to the page behind it, and the app is signed in all the same.
#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_an_answer_that_the_provider_s_page_posts_signs_in() {
    sign_in_behind_tls("form_post", "None").await;
}

async fn sign_in_behind_tls(response_mode: &str, login_same_site: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (provider, upstream) = parts().await;
    let tls_port = free_port();
    let mut options = SealgateOptions::new(&provider.issuer, upstream.port);
    options.public_url = format!("https://{HOST}:{tls_port}");
    options = options.set("server.trusted_proxies", vec!["127.0.0.1/32"]);
    options = options.set("provider.response_mode", response_mode);
    provider.register(options.registration()).await;
    let gate = Sealgate::start(options).await;
    let _nginx = start_nginx(folder.path(), tls_port, gate.options.port).await;
    eventually("nginx to listen", Duration::from_secs(10), async || {
        TcpStream::connect(loopback(tls_port)).await.ok().map(drop)
    })
    .await;
    let scenario = json!({
        "name": format!("https-{response_mode}"), "origin": gate.url(), "provider": provider.issuer,
        "loginSameSite": login_same_site,
    });
    play("https.mjs", scenario).await;
}

/// The recipe of `deploy/forward-auth/`: nginx forwards to an application itself, and asks.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_behind_nginx_s_auth_request_is_signed_in_by_page_loads() {
    let options = ProviderOptions { form: true, access_token_ttl: 10, ..ProviderOptions::default() };
    let (provider, application) = tokio::join!(Provider::start(options), Upstream::start());
    let mut front = ForwardFront::prepare(Kind::Nginx).await;
    let options = front.configure(SealgateOptions::new(&provider.issuer, application.port));
    provider.register(options.registration()).await;
    let gate = Sealgate::start(options.set("forward_auth.access_token", true)).await;
    front.start(gate.options.port, application.port).await;
    play("forward.mjs", json!({"origin": front.origin, "provider": provider.issuer})).await;
}

/// The same recipe, where nginx has the pages itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_files_behind_nginx_s_auth_request_is_for_who_is_signed_in() {
    const PICTURE: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" width="80" height="80"><circle cx="40" cy="40" r="30" fill="#000080"/></svg>"##;
    const PAGE: &str = r#"<!doctype html><title>Handbook</title><link rel="stylesheet" href="style.css"><h1>For us alone</h1>
<img src="seal.svg" alt=""><p><a href="rules.html">Rules</a></p>"#;
    let files = tempfile::tempdir().expect("a temporary folder");
    let handbook = files.path().join("handbook");
    fs::create_dir(&handbook).expect("the folder is ours");
    let contents = [
        ("index.html", PAGE),
        ("rules.html", "<!doctype html><title>Rules</title><h1>Rules</h1>"),
        ("style.css", "h1 { color: navy; }"),
        ("seal.svg", PICTURE),
    ];
    contents.iter().for_each(|(name, text)| fs::write(handbook.join(name), text).expect("the folder is ours"));
    let provider = Provider::start(ProviderOptions { form: true, ..ProviderOptions::default() }).await;
    let mut front = ForwardFront::prepare(Kind::Nginx).await;
    let options = front.configure(SealgateOptions::new(&provider.issuer, free_port()));
    provider.register(options.registration()).await;
    let gate = Sealgate::start(options).await;
    front.start_with_files(gate.options.port, files.path()).await;
    play("folder.mjs", json!({"origin": front.origin, "provider": provider.issuer})).await;
}

/// CSP3 §8; the app is a build of Vite's, with React and the client.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_vite_s_runs_under_the_strict_policy_and_what_is_slipped_in_does_not() {
    let app = tempfile::tempdir().expect("a temporary folder");
    let built = app.path().join("dist");
    let arguments = ["build", "--config", "app/vite.config.mjs", "--outDir", built.to_str().expect("UTF-8")];
    succeeds(package("vite", "bin/vite.js", &arguments), &folder()).await;
    let (provider, upstream) = parts().await;
    let options = SealgateOptions::new(&provider.issuer, upstream.port).set("static", json!({"root": built}));
    provider.register(options.registration()).await;
    let gate = Sealgate::start(options).await;
    play("app.mjs", json!({"origin": gate.url(), "provider": provider.issuer})).await;
}

/// Pages, their script and an API that know Azure App Service authentication alone: docs/migrate/easy-auth.md.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_was_written_for_easy_auth_runs_unchanged() {
    let (provider, app) = tokio::join!(Provider::start(ProviderOptions::default()), App::start("easy-auth"));
    let options = SealgateOptions::new(&provider.issuer, app.port);
    let upstream = format!("http://127.0.0.1:{}", app.port);
    let page = json!({"path": "/", "upstream": upstream, "csrf": "same_origin", "on_signed_out": "login"});
    let goodbye = json!({"path": "/goodbye", "upstream": upstream, "auth": "optional", "csrf": "same_origin"});
    let options = options
        .set("server.compat", "easyauth")
        .set("server.compat_provider", "aad")
        .set("session.same_site", "lax")
        .set("static", Value::Null)
        .set("routes", vec![page, goodbye])
        .set("provider.scopes", vec!["openid", "profile", "email", "offline_access"]);
    let mut registration = options.registration();
    registration["redirect_uris"] = json!([format!("{}/.auth/login/aad/callback", options.public_url)]);
    registration["post_logout_redirect_uris"] = json!([format!("{}/.auth/logout/complete", options.public_url)]);
    provider.register(registration).await;
    let gate = Sealgate::start(options).await;
    play("compat.mjs", json!({"app": "easy-auth", "origin": gate.url()})).await;
}

/// docs/migrate/duende.md; with both answers for those who are signed out.
#[tokio::test(flavor = "multi_thread")]
async fn a_front_end_that_was_written_for_duende_s_bff_runs_unchanged() {
    let (provider, upstream) = tokio::join!(Provider::start(ProviderOptions::default()), Upstream::start());
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/duende");
    for anonymous in [401, 200] {
        let address = format!("http://127.0.0.1:{}", upstream.port);
        let options = SealgateOptions::new(&provider.issuer, upstream.port)
            .set("static", json!({"root": app}))
            .set("routes", vec![json!({"path": "/todos", "upstream": address})])
            .set("session.user_format", "duende")
            .set("session.anonymous_user_status", anonymous)
            .set("provider.scopes", vec!["openid", "profile", "groups", "offline_access"])
            .set("provider.post_logout_redirect_uri", "PUBLIC_URL/bff/logged-out");
        provider.register(options.registration()).await;
        let gate = Sealgate::start(options).await;
        play("compat.mjs", json!({"app": "duende", "anonymous": anonymous, "origin": gate.url()})).await;
    }
}

/// As `docs/getting-started.md` has it, with the component that stands there.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_npm_create_vite_made_signs_in_changes_while_it_runs_and_is_built() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let app = place.path().join("my-app");
    // What `npm create vite` runs, and what `npm install` brings.
    let created = package("create-vite", "index.js", &["my-app", "--template", "react", "--no-interactive"]);
    succeeds(created, place.path()).await;
    std::os::unix::fs::symlink(folder().join("node_modules"), place.path().join("node_modules")).expect("a new link");
    let port = free_port().to_string();
    let mut server = package("vite", "bin/vite.js", &["--port", &port, "--strictPort"]);
    let _server = server.current_dir(&app).spawn().expect("node starts");
    let dev_server = format!("http://localhost:{port}");
    eventually("Vite to listen", Duration::from_secs(60), async || {
        TcpStream::connect(dev_server.trim_start_matches("http://")).await.ok().map(drop)
    })
    .await;
    let (provider, upstream) = parts().await;
    let with_app = |files: Value| registered(&provider, upstream.port, |options| options.set("static", files));
    let gate = with_app(json!({"dev_server": dev_server})).await;
    let file = app.join("src/App.jsx");
    let options = json!({"origin": gate.url(), "file": file, "component": documented("web/src/App.jsx")});
    play("dev.mjs", options).await;
    succeeds(package("vite", "bin/vite.js", &["build"]), &app).await;
    let gate = with_app(json!({"root": app.join("dist")})).await;
    play("dev.mjs", json!({"name": "dev-built", "origin": gate.url()})).await;
}

/// A file that `docs/getting-started.md` tells its reader to write.
fn documented(file: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/getting-started.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let behind = page.split_once(&format!("<!-- file: {file} -->\n```")).expect("the page has the file").1;
    let text = behind.split_once('\n').and_then(|(_language, rest)| rest.split_once("\n```")).expect("a block").0;
    text.to_owned()
}

/// What Chromium's cookie rules allow: the provider on `localhost` is another site than the app on 127.0.0.1, one on
/// 127.0.0.1 is the same, whatever its port; and what it allows where third-party cookies are blocked.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_login_works_in_a_frame_on_the_same_site_and_with_the_whole_page_everywhere() {
    let host = "127.0.0.1".to_owned();
    let same_site = ProviderOptions { form: true, host, ..ProviderOptions::default() };
    let in_frames = ProviderOptions { form: true, cookies_in_frames: true, ..ProviderOptions::default() };
    let ((elsewhere, upstream), same_site, in_frames) =
        tokio::join!(parts(), Provider::start(same_site), Provider::start(in_frames));
    let mut gates = Vec::new();
    for provider in [&elsewhere, &same_site, &in_frames] {
        let options = SealgateOptions::new(&provider.issuer, upstream.port);
        provider.register(options.registration()).await;
        gates.push(Sealgate::start(options).await);
    }
    let options = json!({
        "origin": gates[0].url(), "sameSite": gates[1].url(), "thirdParty": gates[2].url(),
        "client": Path::new(env!("CARGO_MANIFEST_DIR")).join("web/client/index.js"),
    });
    play("silent.mjs", options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_that_people_see_are_accessible_in_every_size_colour_and_language() {
    let without_logout = ProviderOptions { without_logout: true, ..ProviderOptions::default() };
    let (provider, plain_provider, upstream) =
        tokio::join!(Provider::start(ProviderOptions::default()), Provider::start(without_logout), Upstream::start());
    let gate = registered(&provider, upstream.port, |options| {
        let scopes = vec!["openid", "email", "groups", "offline_access"];
        options.set("provider.scopes", scopes).set("provider.allowed_email_domains", vec!["example.test"])
    })
    .await;
    let without_logout = registered(&plain_provider, upstream.port, |options| options).await;
    let with_return = registered(&provider, upstream.port, |options| {
        options.set("provider.post_logout_redirect_uri", "PUBLIC_URL/bff/logged-out")
    })
    .await;
    let compat = SealgateOptions::new(&provider.issuer, upstream.port).set("server.compat", "easyauth");
    let mut registration = compat.registration();
    registration["redirect_uris"] = json!([format!("{}/.auth/login/oidc/callback", compat.public_url)]);
    provider.register(registration).await;
    let compat = Sealgate::start(compat).await;
    // The provider knows its client by another secret.
    let upstream_down = registered(&provider, free_port(), |mut options| {
        options.client_secret.push_str("-of-last-year");
        options
    })
    .await;
    let nowhere = format!("http://localhost:{}", free_port());
    let without_provider = Sealgate::launch(SealgateOptions::new(&nowhere, upstream.port)).await;
    eventually("the last to listen", Duration::from_secs(30), async || {
        TcpStream::connect(loopback(without_provider.options.port)).await.ok().map(drop)
    })
    .await;
    let origins = json!({
        "origin": gate.url(), "provider": provider.issuer, "providerDown": without_provider.url(),
        "upstreamDown": upstream_down.url(), "withoutLogout": without_logout.url(),
        "withReturn": with_return.url(), "compat": compat.url(),
    });
    play("pages.mjs", origins).await;
}

/// The client's types are what its source does, and it stays as small as its page says.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_s_types_hold_and_it_is_under_two_kilobytes() {
    let checked = Command::new("node")
        .arg("node_modules/typescript/bin/tsc")
        .args(["--project", "client/tsconfig.json"])
        .current_dir(folder())
        .kill_on_drop(true)
        .output();
    let checked = tokio::time::timeout(Duration::from_secs(120), checked).await.expect("in time").expect("node starts");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    for name in ["index.js", "react.js"] {
        let source = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("web/client").join(name)).expect("a file");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packed, &source).expect("a vector takes everything");
        let size = packed.finish().expect("a vector takes everything").len();
        assert!(size < 2_048, "{name} is {size} bytes");
    }
}

/// A program of a package that is installed for the scenarios.
fn package(name: &str, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("node");
    command
        .arg(folder().join("node_modules").join(name).join(program))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn succeeds(mut command: Command, folder: &Path) {
    let run = command.current_dir(folder).output();
    let output =
        tokio::time::timeout(Duration::from_secs(120), run).await.expect("it ends in time").expect("node starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A Sealgate that its provider knows; `change` is what the provider is not told.
async fn registered(
    provider: &Provider,
    upstream: u16,
    change: impl FnOnce(SealgateOptions) -> SealgateOptions,
) -> Sealgate {
    let options = SealgateOptions::new(&provider.issuer, upstream);
    provider.register(options.registration()).await;
    Sealgate::start(change(options)).await
}

async fn parts() -> (Provider, Upstream) {
    let options = ProviderOptions { form: true, jwt_access_tokens: true, ..ProviderOptions::default() };
    tokio::join!(Provider::start(options), Upstream::start())
}

/// nginx with its own defaults for every buffer: what we send must fit them (DESIGN §4).
async fn start_nginx(folder: &Path, tls_port: u16, gate_port: u16) -> Child {
    let certificate = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-keyout", "key.pem", "-out", "cert.pem", "-subj", &format!("/CN={HOST}")])
        .args(["-addext", &format!("subjectAltName=DNS:{HOST}")])
        .current_dir(folder)
        .output();
    let certificate = certificate.await.expect("openssl is installed: `make test` says how");
    assert!(certificate.status.success(), "{}", String::from_utf8_lossy(&certificate.stderr));
    let config = format!(
        "daemon off; master_process off; pid nginx.pid; error_log error.log warn;
         events {{}}
         http {{
           access_log off;
           client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
           server {{
             listen 127.0.0.1:{tls_port} ssl http2;
             ssl_certificate cert.pem; ssl_certificate_key key.pem;
             location / {{
               proxy_pass http://127.0.0.1:{gate_port};
               proxy_http_version 1.1;
               proxy_set_header Host $http_host;
               proxy_set_header X-Forwarded-For $remote_addr;
               proxy_set_header X-Forwarded-Proto https;
             }}
           }}
         }}"
    );
    std::fs::write(folder.join("nginx.conf"), config).expect("a new file");
    Command::new("nginx")
        .arg("-p")
        .arg(folder)
        .args(["-c", "nginx.conf", "-e", "start.log"])
        .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("nginx is installed: `make test` says how")
}
