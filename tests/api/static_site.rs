//! The single-page app's files over real sockets, what browsers are told about them, and a dev server in their place.

use std::fs;
use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::browser::Context;
use crate::support::ports::free_port;
use crate::support::world::SESSION;
use crate::support::{Reply, Sealgate, SealgateOptions, Upstream, World};

const INDEX: &str = "<!doctype html><head><script type=module src=/assets/app-4f3a2b1c.js></script></head>";

/// A built app.
fn app() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("assets")).expect("a new folder");
    for (name, text) in [
        ("index.html", INDEX),
        ("assets/app-4f3a2b1c.js", "console.log('plain');"),
        ("assets/app-4f3a2b1c.js.br", "the brotli copy"),
        ("assets/app-4f3a2b1c.js.zst", "the zstd copy"),
        ("robots.txt", "0123456789"),
        (".env", "hidden"),
    ] {
        fs::write(folder.path().join(name), text).expect("a new file");
    }
    folder
}

async fn serving(app: &Path) -> World {
    World::plan().set("static", json!({"root": app})).start().await
}

fn only<'a>(reply: &'a Reply, name: &str) -> &'a str {
    let values = reply.header(name);
    assert!(values.len() <= 1, "{name} once: {values:?}");
    values.first().copied().unwrap_or_default()
}

/// CSP3 §7.1: a nonce is used once, and the page it stands in is not compared with another.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_comes_with_a_nonce_of_its_own_and_the_usual_fields() {
    let app = app();
    let world = serving(app.path()).await;
    let mut nonces = Vec::new();
    for path in ["/", "/orders/42", "/index.html"] {
        let reply = world.browser.navigate(path).await;
        assert_eq!((reply.status, only(&reply, "cache-control")), (StatusCode::OK, "no-cache"), "{path}");
        let nonce = reply.body.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce");
        assert!(reply.body.contains(&format!("<script nonce=\"{nonce}\" type=module")), "{}", reply.body);
        let policy = only(&reply, "content-security-policy");
        assert!(policy.contains(&format!("script-src 'nonce-{nonce}';")), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('{'), "{policy}");
        assert!(policy.contains(&format!("form-action 'self' {}", world.provider.issuer)), "{policy}");
        assert_eq!(only(&reply, "x-content-type-options"), "nosniff");
        assert_eq!(only(&reply, "referrer-policy"), "same-origin");
        assert_eq!(only(&reply, "cross-origin-opener-policy"), "same-origin");
        assert!(only(&reply, "permissions-policy").contains("camera=()"));
        assert_eq!((only(&reply, "etag"), only(&reply, "strict-transport-security")), ("", ""));
        nonces.push(nonce.to_owned());
    }
    nonces.dedup();
    assert_eq!(nonces.len(), 3);
}

/// RFC 6797 §7.2.
#[tokio::test(flavor = "multi_thread")]
async fn over_https_the_app_asks_for_https_from_then_on() {
    let world = World::start().await;
    let change = |mut options: SealgateOptions| {
        options.public_url = "https://app.example.test".to_owned();
        options
    };
    let gate = world.another(change).await;
    let reply = gate.get_with_cookies("/", "").await;
    assert_eq!(only(&reply, "strict-transport-security"), "max-age=31536000");
}

/// RFC 8246; RFC 9110 §12.5.3, §13.1.2, §14.2.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_kept_compared_compressed_and_cut_as_http_has_it() {
    let app = app();
    let world = serving(app.path()).await;
    let get = |path: &'static str| world.browser.request(Method::GET, path, Context::Fetch);
    let script = get("/assets/app-4f3a2b1c.js").send().await;
    assert_eq!(only(&script, "cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(only(&script, "content-type"), "text/javascript; charset=utf-8");
    let copy = get("/assets/app-4f3a2b1c.js").field("Accept-Encoding", "gzip, br").send().await;
    assert_eq!((only(&copy, "content-encoding"), copy.body.as_str()), ("br", "the brotli copy"));
    assert_ne!(only(&copy, "etag"), only(&script, "etag"));
    let other = get("/assets/app-4f3a2b1c.js").field("Accept-Encoding", "br;q=0.9, zstd").send().await;
    assert_eq!((only(&other, "content-encoding"), other.body.as_str()), ("zstd", "the zstd copy"));
    assert_eq!((only(&other, "vary"), only(&other, "content-length")), ("Accept-Encoding", "13"));
    assert_ne!(only(&other, "etag"), only(&copy, "etag"));
    let robots = get("/robots.txt").send().await;
    assert_eq!(only(&robots, "cache-control"), "no-cache");
    let again = get("/robots.txt").field("If-None-Match", only(&robots, "etag")).send().await;
    assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let part = get("/robots.txt").field("Range", "bytes=2-4").send().await;
    assert_eq!((part.status, part.body.as_str()), (StatusCode::PARTIAL_CONTENT, "234"));
    assert_eq!(only(&part, "content-range"), "bytes 2-4/10");
    let head = world.browser.request(Method::HEAD, "/robots.txt", Context::Fetch).send().await;
    assert_eq!((only(&head, "content-length"), head.body.as_str()), ("10", ""));
    assert_eq!(get("/assets/gone-4f3a2b1c.js").send().await.problem(404), "urn:sealgate:error:not-found");
    assert_eq!(world.browser.post("/robots.txt").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_build_is_served_when_the_link_to_it_is_switched() {
    let (old, new, deployed) = (app(), app(), tempfile::tempdir().expect("a temporary folder"));
    fs::write(new.path().join("robots.txt"), "new").expect("a file");
    let current = deployed.path().join("current");
    std::os::unix::fs::symlink(old.path(), &current).expect("a new link");
    let world = serving(&current).await;
    assert_eq!(world.browser.get("/robots.txt").await.body, "0123456789");
    let next = deployed.path().join("next");
    std::os::unix::fs::symlink(new.path(), &next).expect("a new link");
    fs::rename(next, current).expect("the link is switched");
    assert_eq!(world.browser.get("/robots.txt").await.body, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_header_of_the_app_can_be_changed() {
    let headers =
        json!({"content_security_policy": "default-src 'self'", "referrer_policy": "", "permissions_policy": "usb=()"});
    let world = World::plan().set("security_headers", headers).start().await;
    let reply = world.browser.navigate("/").await;
    assert_eq!(only(&reply, "content-security-policy"), "default-src 'self'");
    assert_eq!((only(&reply, "referrer-policy"), only(&reply, "permissions-policy")), ("", "usb=()"));
    assert_ne!(only(&reply, "etag"), "", "without a nonce the page can be compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_s_settings_are_public_json_and_nothing_else_of_the_configuration() {
    let world = World::plan().set("spa_settings", json!({"title": "Orders", "size": 20, "beta": true})).start().await;
    let reply = world.browser.request(Method::GET, "/bff/config.json", Context::Fetch).send().await;
    assert_eq!(reply.json::<Value>(), json!({"beta": true, "size": 20, "title": "Orders"}));
    assert_eq!((reply.media_type(), only(&reply, "cache-control")), ("application/json", "no-cache"));
    assert_eq!(world.browser.post("/bff/config.json").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let nothing = World::start().await;
    assert_eq!(nothing.browser.get("/bff/config.json").await.body, "{}");
}

/// RFC 6455 §10.2: a dev server's WebSocket is for our own pages.
#[tokio::test(flavor = "multi_thread")]
async fn a_dev_server_gets_everything_that_is_not_ours_and_no_cookie() {
    let dev = Upstream::start().await;
    let address = format!("http://127.0.0.1:{}", dev.port);
    let world = World::plan().set("static", json!({"dev_server": address})).signed_in().await;
    assert!(world.browser.cookie(SESSION).is_some());
    let reply = world.browser.navigate("/echo").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(only(&reply, "content-security-policy").contains("'unsafe-eval'"));
    let seen: Value = reply.json();
    let headers = seen["headers"].to_string().to_lowercase();
    assert!(!headers.contains("cookie") && !headers.contains("authorization"), "{headers}");
    assert_eq!(world.browser.get("/api/echo").await.status, StatusCode::OK, "routes stay");
    let upgrade = |origin: &str| {
        let request = world.browser.request(Method::GET, "/socket", Context::ForeignFetch);
        request.field("Connection", "Upgrade").field("Upgrade", "websocket").field("Origin", origin)
    };
    assert_eq!(upgrade("http://evil.example").send().await.problem(403), "urn:sealgate:error:cross-origin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dev_server_that_is_not_there_is_named() {
    let address = format!("http://127.0.0.1:{}", free_port());
    let world = World::plan().set("static", json!({"dev_server": address})).start().await;
    let reply = world.browser.navigate("/").await;
    assert_eq!(reply.error_page(5), 502);
    assert!(
        reply.body.contains("dev server does not answer")
            && reply.body.contains(address.rsplit(':').next().expect("a port")),
        "{}",
        reply.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_speak_the_browser_s_language_and_wear_the_operator_s_template() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("page.html"), "<html lang={{ language }}><b>{{ title }}</b></html>")
        .expect("a new file");
    let world = World::plan().set("pages", json!({"templates": folder.path()})).start().await;
    let page = |language: &'static str| {
        let request = world.browser.request(Method::GET, "/bff/nothing", Context::Typed);
        request.field("Accept-Language", language).send()
    };
    let reply = page("de-AT,de;q=0.9").await;
    assert_eq!((only(&reply, "content-language"), reply.error_page(4)), ("de", 404));
    assert_eq!(reply.body, "<html lang=de><b>Hier ist nichts</b></html>");
    assert!(only(&reply, "content-security-policy").contains("style-src 'self'"));
    assert!(page("fr").await.body.contains("There is nothing here"));
}

/// The settings of one Sealgate are not started at all with a broken template.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_template_stops_the_start_and_names_its_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("page.html"), "\n{{ titel }}").expect("a new file");
    let options = SealgateOptions::new("http://localhost:1", free_port());
    let mut gate = Sealgate::launch(options.set("pages", json!({"templates": folder.path()}))).await;
    assert_eq!(gate.exit_status().await.code(), Some(1));
    assert!(gate.log().contains("pages.templates: the template page.html, line 2: undefined value"), "{}", gate.log());
}
