//! Apps that were written for other proxies run unchanged behind this one: programs that know the contract of Azure App
//! Service authentication, of oauth2-proxy or of Duende's BFF alone (`tests/apps/`), at the real provider. What their
//! pages do in a browser, `tests/browser.rs` shows; here is what a browser cannot be made to do.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use url::Url;

use crate::support::browser::{Context, Request};
use crate::support::world::SESSION;
use crate::support::{App, Browser, Provider, ProviderOptions, Reply, Sealgate, SealgateOptions, World};

struct Site {
    provider: Provider,
    gate: Sealgate,
    browser: Browser,
    _app: App,
}

/// That app behind Sealgate, with the routes and settings of its page in `docs/migrate/`.
async fn site(app: &str, provider: ProviderOptions, settings: &[(&str, Value)]) -> Site {
    let (provider, app) = tokio::join!(Provider::start(provider), App::start(app));
    let mut options = SealgateOptions::new(&provider.issuer, app.port);
    let upstream = format!("http://127.0.0.1:{}", app.port);
    let page = json!({"path": "/", "upstream": upstream, "csrf": "same_origin", "on_signed_out": "login"});
    let open = |path: &str| json!({"path": path, "upstream": upstream, "auth": "optional", "csrf": "same_origin"});
    options = options.set("static", Value::Null).set("routes", vec![page, open("/goodbye"), open("/api/health")]);
    options = options.set("session.same_site", "lax");
    options = options.set("provider.scopes", vec!["openid", "profile", "email", "groups", "offline_access"]);
    for (key, value) in settings {
        options = options.set(key, value.clone());
    }
    let mut registration = options.registration();
    for (member, path) in
        [("redirect_uris", "/.auth/login/aad/callback"), ("post_logout_redirect_uris", "/.auth/logout/complete")]
    {
        let addresses = registration[member].as_array_mut().expect("a list");
        addresses.push(format!("{}{path}", options.public_url).into());
    }
    provider.register(registration).await;
    let gate = Sealgate::start(options).await;
    let browser = Browser::new(gate.url());
    Site { provider, gate, browser, _app: app }
}

async fn easy_auth() -> Site {
    let settings = [("server.compat", json!("easyauth")), ("server.compat_provider", json!("aad"))];
    site("easy-auth", ProviderOptions::default(), &settings).await
}

impl Site {
    /// As the app's own script asks: without a header of ours.
    async fn fetch(&self, target: &str) -> Reply {
        self.browser.request(Method::GET, target, Context::Fetch).send().await
    }

    /// Signs in with that link, and follows it to the page where it ends.
    async fn sign_in(&self, login: &str) -> Reply {
        let reply = self.browser.sign_in_at(login).await;
        // A redirect of the provider's is somebody else's link.
        self.browser.arrive_from_elsewhere(reply.location().as_str()).await
    }

    async fn api(&self) -> Value {
        let reply = self.fetch("/api/whoami").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.json()
    }
}

/// "Customize sign-in and sign-out", "Work with user identities", "Work with OAuth tokens".
#[tokio::test(flavor = "multi_thread")]
async fn an_app_for_easy_auth_signs_in_by_its_links_and_reads_its_principal() {
    let site = easy_auth().await;
    let page = site.sign_in("/.auth/login/aad?post_login_redirect_uri=%2Forders%3Fa%3Db").await;
    assert_eq!(page.url.as_str(), format!("{}/orders?a=b", site.gate.url()));
    assert!(page.body.contains("ada@example.test"), "the page knows who is there: {}", page.body);

    let api = site.api().await;
    let principal = json!({
        "provider": "aad", "name": "ada@example.test", "roles": [], "groups": ["engineers"], "subject": "ada",
    });
    assert_eq!(api["principal"], principal);
    assert_eq!((&api["id"], &api["name"], &api["idp"]), (&json!("ada"), &json!("ada@example.test"), &json!("aad")));
    let issued = |kind| site.provider.issued_of(kind);
    assert_eq!(vec![api["accessToken"].as_str().expect("a text").to_owned()], issued("access_token").await);
    assert_eq!(vec![api["idToken"].as_str().expect("a text").to_owned()], issued("id_token").await);
    assert!(api["expiresOn"].as_str().expect("a text").ends_with('Z'), "{api}");
    assert_eq!(api["refreshToken"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_me_tells_easy_auth_s_list_and_never_a_token() {
    let site = easy_auth().await;
    let reply = site.fetch("/.auth/me").await;
    assert_eq!(reply.problem(401), "urn:sealgate:error:not-signed-in");
    site.browser.sign_in_at("/.auth/login/aad").await;
    let reply = site.fetch("/.auth/me").await;
    let me: Value = reply.json();
    assert_eq!(me.as_array().map(Vec::len), Some(1));
    assert_eq!((&me[0]["provider_name"], &me[0]["user_id"]), (&json!("aad"), &json!("ada@example.test")));
    let claims = me[0]["user_claims"].as_array().expect("a list");
    for (typ, val) in [
        ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier", "ada"),
        ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress", "ada@example.test"),
        ("name", "Ada Lovelace"),
        ("groups", "engineers"),
    ] {
        assert!(claims.contains(&json!({"typ": typ, "val": val})), "{typ} in {me}");
    }
    for issued in site.provider.issued().await {
        assert!(!reply.body.contains(&issued.value), "a {} is in {}", issued.kind, reply.body);
    }
    let typed = site.browser.request(Method::GET, "/.auth/me", Context::Typed).send().await;
    assert_eq!(typed.status, StatusCode::OK, "people look at it in the address bar");
    for context in [Context::ForeignFetch, Context::SiblingFetch, Context::ForeignFrame] {
        let reply = site.browser.request(Method::GET, "/.auth/me", context).send().await;
        assert_eq!(reply.status.as_u16() / 100, 4, "{context:?}: {}", reply.body);
    }
}

/// A page load, as App Service's "Require authentication" does it; a fetch gets 401 and no redirect.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_a_session_leads_to_the_login_and_back_and_a_fetch_does_not() {
    let site = easy_auth().await;
    let page = site.browser.request(Method::GET, "/orders?page=2", Context::Typed).send().await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.body);
    assert_eq!(page.location().as_str(), format!("{}/bff/login?returnUrl=%2Forders%3Fpage%3D2", site.gate.url()));
    assert_eq!(page.header("cache-control"), ["no-store"]);
    let page = site.sign_in(page.location().as_str()).await;
    assert_eq!((page.status, page.url.query()), (StatusCode::OK, Some("page=2")), "{}", page.body);

    let signed_out = Browser::new(site.gate.url());
    for context in [Context::Fetch, Context::Frame] {
        let reply = signed_out.request(Method::GET, "/orders", context).send().await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{context:?}: {}", reply.body);
    }
    let looks_ahead = signed_out.request(Method::GET, "/orders", Context::Link).field("Sec-Purpose", "prefetch");
    assert!(!looks_ahead.send().await.status.is_redirection());
    let form = signed_out.request(Method::POST, "/orders", Context::Link).field("Origin", site.gate.url());
    assert_eq!(form.send().await.status, StatusCode::UNAUTHORIZED, "what a form sent would be lost on the way");
}

/// The same request, with headers that only a proxy may set.
fn forged(request: Request<'_>) -> Request<'_> {
    [
        "X-MS-CLIENT-PRINCIPAL",
        "X-MS-CLIENT-PRINCIPAL-ID",
        "x_ms_client_principal_name",
        "X-MS-TOKEN-AAD-ACCESS-TOKEN",
        "X-MS-TOKEN-AAD-REFRESH-TOKEN",
        "X-MS-TOKEN-GOOGLE-ID-TOKEN",
        "X-Forwarded-User",
        "X-Auth-Request-Email",
    ]
    .iter()
    .fold(request, |request, name| request.field(name, "forged"))
}

/// "Work with user identities": "External requests aren't allowed to set these headers".
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_a_client_makes_up_never_reach_the_app() {
    let site = easy_auth().await;
    let health: Value = forged(site.browser.request(Method::GET, "/api/health", Context::Fetch)).send().await.json();
    site.browser.sign_in_at("/.auth/login/aad").await;
    let api: Value = forged(site.browser.request(Method::GET, "/api/whoami", Context::Fetch)).send().await.json();
    assert!(!api.to_string().contains("forged"), "{api}");
    assert!(!health.to_string().contains("forged"), "{health}");
    assert_eq!(api["id"], "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_refresh_renews_the_token_for_our_own_pages_only() {
    let site = easy_auth().await;
    site.browser.sign_in_at("/.auth/login/aad").await;
    let before = site.api().await["accessToken"].clone();
    assert_eq!(site.fetch("/.auth/refresh").await.status, StatusCode::OK);
    let after = site.api().await["accessToken"].clone();
    assert_ne!(after, before);
    let post = site.browser.request(Method::POST, "/.auth/refresh", Context::Fetch).field("Origin", site.gate.url());
    assert_eq!(post.send().await.status, StatusCode::OK);
    let refreshes = site.provider.stats().await.refreshes();
    for (method, context) in [
        (Method::GET, Context::ForeignFetch),
        (Method::GET, Context::ForeignLink),
        (Method::GET, Context::Typed),
        (Method::POST, Context::ForeignForm),
        (Method::POST, Context::SiblingFetch),
    ] {
        let reply = site.browser.request(method, "/.auth/refresh", context).send().await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{context:?}");
    }
    assert_eq!(site.provider.stats().await.refreshes(), refreshes);
}

/// Through the provider's logout page, which has a form.
async fn at_the_provider(site: &Site, logout: &Reply) -> Url {
    let page = site.browser.arrive_from_elsewhere(logout.location().as_str()).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let field = |before: &str| {
        let rest = page.body.split_once(before).unwrap_or_else(|| panic!("no {before} in {}", page.body)).1;
        rest.split('"').next().expect("a quote behind it").to_owned()
    };
    let form = format!("xsrf={}&logout=yes", field(r#"name="xsrf" value=""#));
    let submit = site.browser.request(Method::POST, &field(r#"action=""#), Context::Link);
    submit.field("Content-Type", "application/x-www-form-urlencoded").body(&form).send().await.location()
}

/// "Sign out of a session"; RP-Initiated Logout §3: the return is checked by its `state`.
#[tokio::test(flavor = "multi_thread")]
async fn the_app_s_own_link_signs_out_here_and_at_the_provider_and_ends_where_it_says() {
    let site = easy_auth().await;
    site.browser.sign_in_at("/.auth/login/aad").await;
    let logout = site.browser.navigate("/.auth/logout?post_logout_redirect_uri=%2Fgoodbye").await;
    assert_eq!(logout.status, StatusCode::SEE_OTHER, "{}", logout.body);
    assert_eq!(site.browser.cookie(SESSION), None);
    let back = at_the_provider(&site, &logout).await;
    assert!(back.as_str().starts_with(&format!("{}/.auth/logout/complete?state=", site.gate.url())), "{back}");
    let end = site.browser.arrive_from_elsewhere(back.as_str()).await;
    assert_eq!(end.location().as_str(), format!("{}/goodbye", site.gate.url()));
    assert_eq!(site.provider.stats().await.live_refresh_tokens(), 0);

    let forged = site.browser.navigate("/.auth/logout/complete?state=x").await;
    assert_eq!(forged.error_page(4), 400);
    let without = site.browser.navigate("/.auth/logout/complete").await;
    assert_eq!(without.status, StatusCode::OK, "nobody is signed in, and so it says: {}", without.body);
}

/// Azure's own `/.auth/logout` is a GET that any site can send.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_that_another_site_leads_to_asks_first() {
    let site = easy_auth().await;
    site.browser.sign_in_at("/.auth/login/aad").await;
    for context in [Context::ForeignLink, Context::Typed] {
        let target = "/.auth/logout?post_logout_redirect_uri=%2Fgoodbye";
        let asked = site.browser.request(Method::GET, target, context).send().await;
        assert_eq!(asked.status, StatusCode::OK, "{context:?}: {}", asked.body);
        assert_eq!(asked.error_page(2), 200);
        asked.touches_no_cookie();
        assert_eq!(site.fetch("/.auth/me").await.status, StatusCode::OK, "still signed in");
    }
    for context in [Context::ForeignFetch, Context::SiblingFetch, Context::ForeignForm] {
        let reply = site.browser.request(Method::POST, "/.auth/logout", context).send().await;
        reply.touches_no_cookie();
    }
    let elsewhere = site.browser.navigate("/.auth/logout?post_logout_redirect_uri=https%3A%2F%2Fevil.example").await;
    assert_eq!(elsewhere.error_page(4), 400);
    assert_eq!(site.fetch("/.auth/me").await.status, StatusCode::OK, "still signed in");
    let asked = site.browser.request(Method::GET, "/.auth/logout", Context::Typed).send().await;
    let link = asked.body.split("href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a link");
    let link = link.replace("&#x2f;", "/").replace("&amp;", "&").replace("&#x3d;", "=");
    let confirmed = site.browser.navigate(&link).await;
    assert_eq!(confirmed.status, StatusCode::SEE_OTHER, "{link}: {}", confirmed.body);
    assert_eq!(site.browser.cookie(SESSION), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn easy_auth_s_paths_are_ours_with_compat_and_the_app_s_without() {
    let site = easy_auth().await;
    for (path, method, status) in [
        ("/.auth/login/google", Method::GET, 404),
        ("/.auth/login/aad", Method::POST, 405),
        ("/.auth/me", Method::POST, 405),
        ("/.auth/refresh", Method::DELETE, 405),
        ("/.auth", Method::GET, 404),
        ("/.auth/files", Method::GET, 404),
    ] {
        let reply = site.browser.request(method.clone(), path, Context::Fetch).send().await;
        assert_eq!(reply.status.as_u16(), status, "{method} {path}: {}", reply.body);
    }
    let done = site.browser.navigate("/.auth/login/done").await;
    assert_eq!(done.status, StatusCode::OK);
    let fetched = site.fetch("/.auth/login/aad").await;
    assert_eq!(fetched.problem(401), "urn:sealgate:error:login-needs-navigation");
    let refused = site.browser.navigate("/.auth/login/aad?post_login_redirect_uri=%2F.auth%2Flogout").await;
    assert_eq!(refused.error_page(4), 400);
    let refused = site.browser.navigate("/bff/login?returnUrl=%2F.auth%2Flogout").await;
    assert_eq!(refused.error_page(4), 400);

    let without = World::plan().set("routes.0.path", "/.auth").signed_in().await;
    let me = without.browser.get("/.auth/me").await;
    assert_eq!(me.status, StatusCode::OK, "a route like others: {}", me.body);
    assert_eq!(without.upstream.last().target, "/.auth/me");
}

/// <https://oauth2-proxy.github.io/oauth2-proxy/configuration/overview>: headers, and what becomes of page loads and fetches.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_for_oauth2_proxy_finds_its_user_in_its_headers() {
    let provider = ProviderOptions::default();
    let (provider, app) = tokio::join!(Provider::start(provider), App::start("oauth2-proxy"));
    let options = SealgateOptions::new(&provider.issuer, app.port);
    let upstream = format!("http://127.0.0.1:{}", app.port);
    let page = json!({
        "path": "/", "upstream": upstream, "csrf": "same_origin", "on_signed_out": "login", "header_preset": "oauth2-proxy",
    });
    let health = json!({"path": "/health", "upstream": upstream, "auth": "none"});
    let options = options
        .set("server.prefix", "/oauth2")
        .set("static", Value::Null)
        .set("routes", vec![page, health])
        .set("session.same_site", "lax")
        .set("provider.scopes", vec!["openid", "profile", "email", "groups", "offline_access"]);
    let mut registration = options.registration();
    // The one that was registered for oauth2-proxy.
    registration["redirect_uris"] = json!([format!("{}/oauth2/callback", options.public_url)]);
    provider.register(registration).await;
    let gate = Sealgate::start(options).await;
    let browser = Browser::new(gate.url());

    let page = browser.request(Method::GET, "/reports", Context::Typed).send().await;
    let landed = browser.sign_in_at(page.location().as_str()).await;
    let page = browser.arrive_from_elsewhere(landed.location().as_str()).await;
    assert!(page.body.contains("Reports of ada@example.test"), "{}", page.body);
    let saved = browser.request(Method::POST, "/save", Context::Link).field("Origin", gate.url()).send().await;
    assert_eq!(saved.location().query(), Some("saved=1"), "a form of the app's own");
    let forged = browser.request(Method::POST, "/save", Context::ForeignForm).field("Origin", "https://evil.example");
    assert_eq!(forged.send().await.status, StatusCode::FORBIDDEN);

    let spoofed = browser.request(Method::DELETE, "/api/reports", Context::Fetch).field("Origin", gate.url());
    let api: Value =
        spoofed.field("X-Forwarded-Groups", "admins").field("X_Forwarded_User", "root").send().await.json();
    let token = provider.issued_of("access_token").await;
    assert_eq!(
        api,
        json!({"user": "ada", "email": "ada@example.test", "groups": ["engineers"], "accessToken": token[0], "method": "DELETE"})
    );
    let health = browser.request(Method::GET, "/health", Context::Fetch).field("X-Forwarded-User", "root").send().await;
    assert_eq!(health.json::<Value>()["user"], Value::Null);
}

/// Duende's `AnonymousSessionResponse.Response200`, and its `returnUrl` of logouts.
#[tokio::test(flavor = "multi_thread")]
async fn a_front_end_for_duende_s_bff_gets_null_when_signed_out_and_leads_its_logouts() {
    let world = World::plan()
        .set("session.user_format", "duende")
        .set("session.anonymous_user_status", 200)
        .set("provider.post_logout_redirect_uri", "PUBLIC_URL/bff/logged-out")
        .start()
        .await;
    let anonymous = world.browser.get("/bff/user").await;
    assert_eq!((anonymous.status, anonymous.body.as_str()), (StatusCode::OK, "null"));
    let foreign = world.browser.request(Method::GET, "/bff/user", Context::ForeignFetch).send().await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    world.browser.sign_in().await;
    let user: Vec<Value> = serde_json::from_value(world.browser.user().await).expect("a list");
    let url = user.iter().find(|claim| claim["type"] == "bff:logout_url").expect("one")["value"].clone();
    let url = url.as_str().expect("a text");
    let refused = world.browser.navigate(&format!("{url}&returnUrl=https%3A%2F%2Fevil.example")).await;
    assert_eq!(refused.error_page(4), 400);
    let logout = world.browser.navigate(&format!("{url}&returnUrl=%2Flogged-out")).await;
    let World { provider, gate, browser, .. } = world;
    let site = Site { provider, gate, browser, _app: App::start("oauth2-proxy").await };
    let back = at_the_provider(&site, &logout).await;
    let end = site.browser.arrive_from_elsewhere(back.as_str()).await;
    assert_eq!(end.location().as_str(), format!("{}/logged-out", site.gate.url()));
}
