//! The recipes of `deploy/forward-auth/`: proxies that forward to an application themselves, and ask Sealgate.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::support::browser::Context;
use crate::support::forward_front::{ForwardFront, Kind, SECRET};
use crate::support::ports::free_port;
use crate::support::upstream::Seen;
use crate::support::{Browser, Provider, ProviderOptions, Reply, Sealgate, SealgateOptions, Upstream};

/// A proxy, the application behind it, and Sealgate beside it.
struct Guarded {
    provider: Provider,
    application: Upstream,
    gate: Sealgate,
    front: ForwardFront,
}

impl Guarded {
    async fn start(kind: Kind, change: impl FnOnce(SealgateOptions) -> SealgateOptions) -> Self {
        let (provider, application) = tokio::join!(Provider::start(ProviderOptions::default()), Upstream::start());
        let mut front = ForwardFront::prepare(kind).await;
        let options = front.configure(SealgateOptions::new(&provider.issuer, application.port));
        provider.register(options.registration()).await;
        let gate = Sealgate::start(change(options)).await;
        front.start(gate.options.port, application.port).await;
        Self { provider, application, gate, front }
    }

    /// Loads a page of the application, signed out, and signs in on the way.
    async fn signed_in_at(&self, target: &str) -> (Browser, Reply) {
        let browser = self.front.browser();
        let reply = browser.navigate(target).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{} {}", reply.body, self.front.log());
        let callback = browser.sign_in_at(reply.location().as_str()).await;
        let page = browser.arrive_from_elsewhere(callback.location().as_str()).await;
        (browser, page)
    }
}

fn seen(reply: &Reply) -> Seen {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    reply.json()
}

const FORGED: [&str; 7] = [
    "X-User",
    "X-Email",
    "Authorization",
    "X-Sealgate-Secret",
    "X-Sealgate-Set-Cookie-1",
    "X-Original-URI",
    "X-Original-Method",
];

/// The whole way: a deep link, the login, the page, what the application learns and what it does not.
async fn a_page_load_signs_in_and_comes_back(kind: Kind) {
    let mut guarded = Guarded::start(kind, |options| options.set("forward_auth.access_token", true)).await;
    let (browser, page) = guarded.signed_in_at("/reports/echo?year=2026&q=a%2Fb%26c").await;
    let arrived = seen(&page);
    assert_eq!(arrived.target, "/reports/echo?year=2026&q=a%2Fb%26c");
    assert_eq!((arrived.header("x-user"), arrived.header("x-email")), (vec!["ada"], vec!["ada@example.test"]));
    let token = guarded.provider.issued_of("access_token").await.remove(0);
    assert!(arrived.bearer() == token && arrived.header("cookie").is_empty(), "{arrived:?}");

    // What the browser says of itself does not arrive.
    browser.set_cookie("theirs", "1");
    let request = FORGED.iter().fold(browser.fetch(Method::POST, "/form/echo"), |request, name| {
        request.field(name, if *name == "X-Original-Method" { "GET" } else { "/forged" })
    });
    let arrived = seen(&request.body("a=b").send().await);
    assert_eq!((arrived.method.as_str(), arrived.body.as_str()), ("POST", "a=b"));
    let of_users = ["x-user", "x-email", "authorization", "x-sealgate-secret", "cookie"];
    let values: Vec<_> = of_users.iter().flat_map(|name| arrived.header(name)).collect();
    assert_eq!(values, ["ada", "ada@example.test", &format!("Bearer {token}")]);

    // The browser cannot ask: neither where the proxy does, nor where Sealgate answers.
    let where_nginx_asks = (kind == Kind::Nginx).then_some("/sealgate-auth");
    for path in ["/bff/auth", "/bff/auth/", "/bff/auth/echo"].into_iter().chain(where_nginx_asks) {
        let request = browser.fetch(Method::GET, path).field("X-Sealgate-Secret", SECRET);
        let request = request.field("X-Original-Method", "GET").field("X-Original-URI", "/");
        let reply = request.send().await;
        assert!(!format!("{:?}{}", reply.headers, reply.body).contains(&token), "{path}: {:?}", reply.headers);
        assert_eq!(reply.header("x-user").len() + reply.header("x-sealgate-set-cookie-1").len(), 0, "{path}");
    }

    // A page of another site can link here, and change nothing.
    assert_eq!(browser.request(Method::GET, "/echo", Context::ForeignLink).send().await.status, StatusCode::OK);
    let forged = browser.request(Method::POST, "/echo", Context::ForeignForm).send().await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);

    // Signed out: a fetch gets 401, a page load the login.
    let link = browser.user().await["bff:logout_url"].as_str().expect("a text").to_owned();
    assert_eq!(browser.navigate(&link).await.status, StatusCode::SEE_OTHER);
    let before = guarded.application.seen().len();
    assert_eq!(browser.get("/echo").await.status, StatusCode::UNAUTHORIZED);
    let reply = browser.navigate("/echo").await;
    assert_eq!((reply.status, reply.location().path()), (StatusCode::SEE_OTHER, "/bff/login"));
    // Where Sealgate cannot be asked, nobody passes.
    guarded.gate.terminate();
    guarded.gate.exit_status().await;
    assert_eq!(browser.navigate("/echo").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(guarded.application.seen().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_leads_a_page_load_to_the_login_and_back() {
    a_page_load_signs_in_and_comes_back(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_leads_a_page_load_to_the_login_and_back() {
    a_page_load_signs_in_and_comes_back(Kind::Envoy).await;
}

/// Every cookie of a refreshed session arrives, although nginx passes on one `Set-Cookie` of several.
async fn a_refreshed_session_of_two_cookies_arrives(kind: Kind) {
    let guarded = Guarded::start(kind, |options| {
        options.set("provider.scopes", vec!["openid", "profile", "groups", "offline_access"])
    })
    .await;
    let groups: Vec<String> =
        (0..150u32).map(|number| URL_SAFE_NO_PAD.encode(Sha256::digest(number.to_be_bytes()))).collect();
    let mut count = 10;
    let browser = loop {
        let groups: Vec<&str> = groups[..count].iter().map(String::as_str).collect();
        guarded.provider.regroup("ada", &groups).await;
        let (browser, page) = guarded.signed_in_at("/echo").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        if browser.cookie("__Host-sealgate.1").is_some() {
            break browser;
        }
        count += 10;
    };
    let both = |browser: &Browser| ["__Host-sealgate", "__Host-sealgate.1"].map(|name| browser.cookie(name));
    let before = both(&browser);
    // Another window has it refreshed, and its answer is lost: the next question brings it.
    let lost = guarded.front.browser();
    *lost.cookies() = browser.cookies().clone();
    assert_eq!(lost.post("/bff/refresh").await.status, StatusCode::OK);
    assert_eq!(browser.get("/echo").await.status, StatusCode::OK);
    let after = both(&browser);
    assert!(before[0] != after[0] && before[1] != after[1], "{:?}", browser.cookie_names());
    assert_eq!(after, both(&lost));
    assert_eq!(browser.user().await["sub"], "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_brings_every_cookie_of_a_refreshed_session() {
    a_refreshed_session_of_two_cookies_arrives(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_brings_every_cookie_of_a_refreshed_session() {
    a_refreshed_session_of_two_cookies_arrives(Kind::Envoy).await;
}

/// As the page has it: `root` in the place of `proxy_pass` and what belongs to it.
#[tokio::test(flavor = "multi_thread")]
async fn nginx_guards_a_folder_of_files() {
    let files = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(files.path().join("handbook.html"), "<h1>For us alone</h1>").expect("the folder is ours");
    let (provider, nobody) = (Provider::start(ProviderOptions::default()).await, free_port());
    let mut front = ForwardFront::prepare(Kind::Nginx).await;
    let options = front.configure(SealgateOptions::new(&provider.issuer, nobody));
    provider.register(options.registration()).await;
    let gate = Sealgate::start(options).await;
    front.start_with_files(gate.options.port, files.path()).await;
    let browser = front.browser();
    for path in ["/handbook.html", "/missing.html"] {
        let reply = browser.navigate(path).await;
        assert_eq!((reply.status, reply.location().path()), (StatusCode::SEE_OTHER, "/bff/login"), "{}", front.log());
    }
    browser.sign_in().await;
    let page = browser.navigate("/handbook.html").await;
    assert_eq!((page.status, page.body.as_str()), (StatusCode::OK, "<h1>For us alone</h1>"));
    assert_eq!(page.header("cache-control"), ["private"]);
}
