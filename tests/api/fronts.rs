//! Behind a real nginx and a real HAProxy: what passes with their defaults, and what needs a setting.

use reqwest::{Method, StatusCode};

use crate::cookie_sizes::random;
use crate::support::browser::Context;
use crate::support::front::{Front, Kind};
use crate::support::ports::free_port;
use crate::support::{Browser, Provider, ProviderOptions, Reply, Sealgate, SealgateOptions, Upstream};

/// The longest line of a session that is one cookie, less what two logins with the same claims may differ by: their
/// identifiers, hashes and times do not compress alike.
const ONE_COOKIE: usize = 3_140;
/// Characters of a session near the most that there may be.
const NEARLY_ALL: usize = 4_900;
/// What the documentation says to set in nginx.
const DOCUMENTED: &str = "proxy_buffer_size 16k; proxy_buffers 8 16k;";

/// One Sealgate that is asked directly, to find sizes, and its like behind a proxy.
struct Behind {
    provider: Provider,
    direct: Browser,
    browser: Browser,
    front: Front,
    _gates: (Sealgate, Sealgate),
    _upstream: Upstream,
}

impl Behind {
    async fn start(kind: Kind, settings: &str) -> Self {
        let (provider, upstream) = tokio::join!(Provider::start(ProviderOptions::default()), Upstream::start());
        let options = || {
            let options = SealgateOptions::new(&provider.issuer, upstream.port);
            options.set("provider.scopes", vec!["openid", "groups", "offline_access"])
        };
        let (direct, mut behind) = (options(), options());
        let port = free_port();
        behind.public_url = format!("http://127.0.0.1:{port}");
        for options in [&direct, &behind] {
            provider.register(options.registration()).await;
        }
        let gates = tokio::join!(Sealgate::start(direct), Sealgate::start(behind));
        let front = Front::start(kind, port, gates.1.options.port, settings).await;
        let (direct, browser) = (Browser::new(gates.0.url()), Browser::new(gates.1.url()));
        Self { provider, direct, browser, front, _gates: gates, _upstream: upstream }
    }

    /// The `Set-Cookie` lines of a session whose user has a group of that name.
    async fn lines_with(&self, group: &str) -> Vec<String> {
        self.provider.regroup("ada", &[group]).await;
        session_lines(&self.direct.sign_in().await)
    }

    /// Gives the user a group with which the session is the largest that is one cookie.
    async fn grow_to_one_cookie(&self) {
        let group = random(3_000);
        let (mut fits, mut does_not) = (0, group.len());
        while does_not - fits > 1 {
            let half = fits.midpoint(does_not);
            match &self.lines_with(&group[..half]).await[..] {
                [line] if line.len() <= ONE_COOKIE => fits = half,
                _ => does_not = half,
            }
        }
        let lines = self.lines_with(&group[..fits]).await;
        assert!(lines.len() == 1 && lines[0].len() > ONE_COOKIE - 40, "{}", lines[0].len());
    }

    /// Gives the user a group with which the session is nearly the largest of all.
    async fn grow_to_two_cookies(&self) {
        let group = random(6_000);
        for length in (3_000..group.len()).step_by(50) {
            let lines = self.lines_with(&group[..length]).await;
            let characters: usize = lines.iter().map(|line| line.find(';').expect("attributes") + 2).sum();
            if characters >= NEARLY_ALL {
                assert_eq!(lines.len(), 2);
                return;
            }
        }
        panic!("no size came near the limit");
    }

    /// Login, callback, API, refresh, API and logout, with the longest return URL.
    async fn passes_it_all(&self) {
        let return_url = format!("/{}", "a".repeat(511));
        let mut reply = self.browser.sign_in_at(&format!("/bff/login?returnUrl={return_url}")).await;
        if reply.location().path() == "/bff/landing" {
            reply = self.browser.arrive_from_elsewhere(reply.location().as_str()).await;
        }
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
        assert_eq!(reply.location().path(), return_url);
        let names = self.browser.cookie_names();
        assert!(!names.iter().any(|name| name.contains("login")), "the login is over: {names:?}");
        // Logins that another site begins: the Cookie line is as long as it gets.
        for _ in 0..8 {
            let reply = self.browser.arrive_from_elsewhere(&format!("/bff/login?returnUrl={return_url}")).await;
            assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
        }
        for _ in 0..2 {
            let reply = self.browser.get("/api/echo").await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
            // As browsers do it, with `Content-Length: 0`: without, a POST of HTTP/1.0 has no end.
            let reply = self.browser.fetch(Method::POST, "/bff/refresh").field("Content-Length", "0").send().await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
            assert!(!session_lines(&reply).is_empty());
        }
        // And a second login, which replaces the session.
        let mut reply = self.browser.sign_in_at("/bff/login").await;
        if reply.location().path() == "/bff/landing" {
            reply = self.browser.arrive_from_elsewhere(reply.location().as_str()).await;
        }
        assert_eq!((reply.status, reply.location().path()), (StatusCode::SEE_OTHER, "/"), "{}", reply.body);
        assert_eq!(self.browser.get("/api/echo").await.status, StatusCode::OK);
        let link = self.browser.user().await["bff:logout_url"].as_str().expect("a text").to_owned();
        let reply = self.browser.navigate(&link).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
        self.browser.get("/bff/user").await.problem(401);
    }
}

/// The lines that bring a session.
fn session_lines(reply: &Reply) -> Vec<String> {
    let is_session = |line: &&str| {
        let name = line.split('=').next().unwrap_or_default();
        matches!(name, "sealgate" | "sealgate.1" | "sealgate.2") && !line.contains("Max-Age=0")
    };
    reply.header("set-cookie").into_iter().filter(is_session).map(str::to_owned).collect()
}

/// Complaint of peers' users: nginx answers the callback with 502.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_session_of_one_cookie_passes_nginx_as_it_comes() {
    let behind = Behind::start(Kind::Nginx, "").await;
    behind.grow_to_one_cookie().await;
    behind.passes_it_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_two_cookies_passes_nginx_with_the_documented_setting() {
    let behind = Behind::start(Kind::Nginx, DOCUMENTED).await;
    behind.grow_to_two_cookies().await;
    behind.passes_it_all().await;
}

/// Why the setting is documented.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_two_cookies_does_not_pass_nginx_as_it_comes() {
    let behind = Behind::start(Kind::Nginx, "").await;
    behind.grow_to_two_cookies().await;
    let callback = behind.browser.sign_in_up_to_callback("/bff/login").await;
    let reply = behind.browser.request(Method::GET, callback.as_str(), Context::ForeignLink).send().await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert!(behind.front.error_log().contains("upstream sent too big header"), "{}", behind.front.error_log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_session_of_one_cookie_passes_haproxy_as_it_comes() {
    let behind = Behind::start(Kind::Haproxy, "").await;
    behind.grow_to_one_cookie().await;
    behind.passes_it_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_two_cookies_passes_haproxy_as_it_comes() {
    let behind = Behind::start(Kind::Haproxy, "").await;
    behind.grow_to_two_cookies().await;
    behind.passes_it_all().await;
}
