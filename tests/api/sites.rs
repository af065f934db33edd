//! Several sites in one process, and several providers in one site: whoever is signed in at one is nobody at another.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use url::Url;

use crate::support::browser::Context;
use crate::support::quirky_provider::{Kind, QuirkyProvider};
use crate::support::world::SESSION;
use crate::support::{Browser, Provider, ProviderOptions, Reply, Sealgate, SealgateOptions, Upstream};

/// Two sites in one process, each with its own provider; the second one's is on another host, with cookies of its own.
struct TwoSites {
    shop_provider: Provider,
    desk_provider: Provider,
    _upstream: Upstream,
    gate: Sealgate,
}

fn on_another_host() -> ProviderOptions {
    ProviderOptions { host: "127.0.0.1".to_owned(), ..ProviderOptions::default() }
}

/// What the site or the provider at `redirect_uri` is registered with.
fn registration(options: &SealgateOptions, redirect_uri: &str, home: &str) -> Value {
    let mut registration = options.registration();
    registration["redirect_uris"] = json!([redirect_uri]);
    registration["post_logout_redirect_uris"] = json!([home]);
    registration
}

fn provider_table(options: &SealgateOptions, provider: &Provider) -> Value {
    json!({
        "issuer": provider.issuer,
        "client_id": options.client_id,
        "client_secret": options.client_secret,
        "scopes": ["openid", "profile", "offline_access"],
    })
}

impl TwoSites {
    async fn start() -> Self {
        let (shop_provider, desk_provider, upstream) = tokio::join!(
            Provider::start(ProviderOptions::default()),
            Provider::start(on_another_host()),
            Upstream::start()
        );
        let mut options = SealgateOptions::new(&shop_provider.issuer, upstream.port);
        let mut sites = Vec::new();
        let pages = tempfile::tempdir().expect("a temporary folder");
        let words = "[en.problems.not-found]\ntitle = \"Nothing at the desk\"\n";
        std::fs::write(pages.path().join("texts.toml"), words).expect("a new file");
        for (name, provider) in [("shop", &shop_provider), ("desk", &desk_provider)] {
            let url = format!("http://{name}.localhost:{}", options.port);
            provider.register(registration(&options, &format!("{url}/bff/callback"), &format!("{url}/"))).await;
            sites.push(json!({"public_url": url, "provider": provider_table(&options, provider)}));
        }
        sites[1]["pages"] = json!({"templates": pages.path()});
        options = options.set("server.public_url", Value::Null).set("provider", Value::Null).set("sites", sites);
        let gate = Sealgate::start(options).await;
        Self { shop_provider, desk_provider, _upstream: upstream, gate }
    }

    fn url(&self, name: &str) -> String {
        format!("http://{name}.localhost:{}", self.gate.options.port)
    }

    fn browser(&self, name: &str) -> Browser {
        Browser::new(&self.url(name))
    }

    /// A browser at another site with the very cookies of `browser`, however they got there.
    fn carry(&self, browser: &Browser, name: &str) -> Browser {
        let other = self.browser(name);
        for cookie in browser.cookies().of(browser.host()) {
            other.set_cookie(&cookie.name, &cookie.value);
        }
        other
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_site_signs_in_refreshes_and_signs_out_at_its_own_provider() {
    let world = TwoSites::start().await;
    let (shop, desk) = (world.browser("shop"), world.browser("desk"));
    shop.sign_in().await;
    assert_eq!(desk.get("/bff/user").await.problem(401), "urn:sealgate:error:not-signed-in");
    desk.sign_in().await;
    assert_eq!(
        (world.shop_provider.stats().await.redemptions(), world.desk_provider.stats().await.redemptions()),
        (1, 1)
    );
    assert!(shop.user().await.get("bff:provider").is_none(), "there is only one");
    for browser in [&shop, &desk] {
        assert_eq!(browser.get("/api/echo").await.status, StatusCode::OK, "what is said at the top is for both");
    }
    assert_eq!(desk.post("/bff/refresh").await.status, StatusCode::OK);
    let refreshes = (world.shop_provider.stats().await.refreshes(), world.desk_provider.stats().await.refreshes());
    assert_eq!(refreshes, (0, 1));
    let logout = shop.post("/bff/logout").await;
    let url = logout.json::<Value>()["logout_url"].as_str().expect("one").to_owned();
    assert!(url.starts_with(&world.shop_provider.issuer), "{url}");
    let revocations = (
        world.shop_provider.stats().await.requests("revocation"),
        world.desk_provider.stats().await.requests("revocation"),
    );
    assert_eq!(revocations, (1, 0));
    assert_eq!(shop.get("/bff/user").await.problem(401), "urn:sealgate:error:not-signed-in");
    assert!(desk.user().await["sub"].is_string(), "the other site's session lives");
}

/// The seal is bound to the site's origin, so that the same key and the same names open nothing elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_of_one_site_opens_nothing_at_another() {
    let world = TwoSites::start().await;
    let shop = world.browser("shop");
    shop.sign_in().await;
    let thief = world.carry(&shop, "desk");
    assert!(thief.cookie(SESSION).is_some(), "the names are the same");
    for target in ["/bff/user", "/api/echo"] {
        assert_eq!(thief.get(target).await.problem(401), "urn:sealgate:error:session-expired", "{target}");
    }
    assert_eq!(thief.post("/bff/refresh").await.status, StatusCode::UNAUTHORIZED);
    // Signing out there ends nothing here.
    thief.post("/bff/logout").await;
    assert_eq!(world.shop_provider.stats().await.requests("revocation"), 0);
    assert!(shop.user().await["sub"].is_string());
    // A tombstone of one site buries nothing at another.
    let desk = world.browser("desk");
    desk.sign_in().await;
    shop.post("/bff/logout").await;
    for cookie in shop.cookies().of(shop.host()) {
        desk.set_cookie(&cookie.name, &cookie.value);
    }
    assert!(desk.user().await["sub"].is_string(), "{:?}", desk.cookie_names());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_of_one_site_completes_no_login_at_another() {
    let world = TwoSites::start().await;
    let shop = world.browser("shop");
    let callback = shop.sign_in_up_to_callback("/bff/login").await;
    let carried = world.carry(&shop, "desk");
    let elsewhere = callback.as_str().replace("shop.localhost", "desk.localhost");
    let refused = carried.arrive_from_elsewhere(&elsewhere).await;
    refused.error_page(4);
    assert_eq!(carried.cookie(SESSION), None);
    let redemptions =
        (world.shop_provider.stats().await.redemptions(), world.desk_provider.stats().await.redemptions());
    assert_eq!(redemptions, (0, 0), "the code went nowhere");
    assert_eq!(shop.arrive_from_elsewhere(callback.as_str()).await.status, StatusCode::SEE_OTHER, "it is good still");
}

/// RFC 9110 §15.5.20.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_no_site_is_misdirected() {
    let world = TwoSites::start().await;
    let shop = world.browser("shop");
    shop.sign_in().await;
    let other = world.carry(&shop, "other");
    for target in ["/", "/api/echo", "/bff/user", "/bff/login", "/bff/callback?state=x&code=y"] {
        let reply = other.get(target).await;
        assert_eq!(reply.problem(421), "urn:sealgate:error:misdirected", "{target}");
        reply.touches_no_cookie();
    }
    assert_eq!(other.navigate("/").await.error_page(4), 421);
    let german = other.request(Method::GET, "/", Context::Typed).field("Accept-Language", "de").send().await;
    assert!(german.body.contains("Website dieses Namens"), "{}", german.body);
    // The name alone is not enough where the port is not the scheme's own.
    let without_port =
        shop.request(Method::GET, "/bff/user", Context::Fetch).field("Host", "shop.localhost").send().await;
    assert_eq!(without_port.problem(421), "urn:sealgate:error:misdirected");
    let shouted = format!("SHOP.localhost:{}", world.gate.options.port);
    let shouted = shop.fetch(Method::GET, "/bff/user").field("Host", &shouted).send().await;
    assert_eq!(shouted.status, StatusCode::OK, "{}", shouted.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_the_log_are_the_site_s_own() {
    let world = TwoSites::start().await;
    let shown = |reply: Reply| reply.body.contains("Nothing at the desk");
    assert!(!shown(world.browser("shop").navigate("/bff/nothing").await));
    assert!(shown(world.browser("desk").navigate("/bff/nothing").await));
    for name in ["shop", "desk"] {
        assert!(world.gate.log().contains(&format!("\"site\":\"{}\"", world.url(name))), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_which_provider_is_missing() {
    let world = TwoSites::start().await;
    let ready: Value =
        crate::support::eventually("both providers to be found", std::time::Duration::from_secs(30), async || {
            let ready: Value = serde_json::from_str(&world.gate.management_text("/readyz").await).expect("JSON");
            (ready["provider"] == "discovered").then_some(ready)
        })
        .await;
    assert_eq!(ready["providers_not_discovered"], json!([]));
}

/// One site with two providers.
struct TwoProviders {
    staff: Provider,
    guests: Provider,
    _upstream: Upstream,
    gate: Sealgate,
    browser: Browser,
}

impl TwoProviders {
    async fn start() -> Self {
        let (staff, guests, upstream) = tokio::join!(
            Provider::start(ProviderOptions::default()),
            Provider::start(on_another_host()),
            Upstream::start()
        );
        let mut options = SealgateOptions::new(&staff.issuer, upstream.port);
        options.public_url = format!("http://shop.localhost:{}", options.port);
        let home = format!("{}/", options.public_url);
        let callback = format!("{}/bff/callback", options.public_url);
        staff.register(registration(&options, &callback, &home)).await;
        guests.register(registration(&options, &format!("{callback}/guests"), &home)).await;
        let providers = [("staff", &staff), ("guests", &guests)].map(|(name, provider)| {
            let mut table = provider_table(&options, provider);
            table["name"] = name.into();
            table
        });
        let options = options.set("provider", Value::Null).set("providers", providers.to_vec());
        let options = options.set("routes.4.providers", json!(["staff"]));
        let gate = Sealgate::start(options).await;
        let browser = Browser::new(gate.url());
        Self { staff, guests, _upstream: upstream, gate, browser }
    }

    async fn redemptions(&self) -> (u32, u32) {
        (self.staff.stats().await.redemptions(), self.guests.stats().await.redemptions())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_and_all_that_follows_is_with_the_provider_that_was_chosen() {
    let world = TwoProviders::start().await;
    let browser = &world.browser;
    browser.sign_in().await;
    assert_eq!(browser.user().await["bff:provider"], "staff", "the first one is the default");
    assert_eq!(world.redemptions().await, (1, 0));

    let guest = Browser::new(world.gate.url());
    let callback = guest.sign_in_up_to_callback("/bff/login?provider=guests&returnUrl=/orders").await;
    assert_eq!(callback.path(), "/bff/callback/guests");
    let reply = guest.arrive_from_elsewhere(callback.as_str()).await;
    assert_eq!(reply.location().path(), "/orders");
    assert_eq!(guest.user().await["bff:provider"], "guests");
    assert_eq!(world.redemptions().await, (1, 1));

    assert_eq!(guest.post("/bff/refresh").await.status, StatusCode::OK);
    assert_eq!((world.staff.stats().await.refreshes(), world.guests.stats().await.refreshes()), (0, 1));
    assert_eq!(guest.get("/api/echo").await.status, StatusCode::OK);
    let logout: Value = guest.post("/bff/logout").await.json();
    assert!(logout["logout_url"].as_str().expect("one").starts_with(&world.guests.issuer), "{logout}");
    let revocations =
        (world.staff.stats().await.requests("revocation"), world.guests.stats().await.requests("revocation"));
    assert_eq!(revocations, (0, 1));
    assert_eq!(browser.user().await["bff:provider"], "staff");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_takes_the_sessions_of_the_providers_that_it_names() {
    let world = TwoProviders::start().await;
    let guest = Browser::new(world.gate.url());
    guest.sign_in_at("/bff/login?provider=guests").await;
    assert_eq!(guest.get("/readonly/echo").await.problem(403), "urn:sealgate:error:forbidden-by-rule");
    assert_eq!(guest.get("/api/echo").await.status, StatusCode::OK);
    world.browser.sign_in().await;
    assert_eq!(world.browser.get("/readonly/echo").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_there_is_none_of_is_refused() {
    let world = TwoProviders::start().await;
    for query in ["provider=nobody", "provider=", "provider=staff&provider=guests"] {
        let reply = world.browser.navigate(&format!("/bff/login?{query}")).await;
        assert_eq!(reply.error_page(4), 400, "{query}");
        reply.touches_no_cookie();
    }
    let nowhere = world.browser.arrive_from_elsewhere("/bff/callback/staff?state=x&code=y").await;
    assert_eq!(nowhere.error_page(4), 404, "the default provider's address is another one");
}

/// The answer of `guests` for a login that began with `staff`, as a mix-up brings it about: the attacker, who is the
/// first provider or has got between, leads the browser on to the second one.
async fn mixed_up(browser: &Browser) -> Url {
    let begun = browser.navigate("/bff/login?provider=staff").await.location();
    let parameter = |name: &str| begun.query_pairs().find(|(key, _)| key == name).expect("it is there").1.into_owned();
    let other = browser.navigate("/bff/login?provider=guests").await.location();
    let pairs: Vec<(String, String)> = other
        .query_pairs()
        .map(|(key, value)| {
            let kept = matches!(&*key, "state" | "nonce" | "code_challenge");
            (key.to_string(), if kept { parameter(&key) } else { value.into_owned() })
        })
        .collect();
    let mut url = other;
    url.query_pairs_mut().clear().extend_pairs(pairs);
    let mut next = url;
    for _ in 0..10 {
        let reply: Reply = browser.arrive_from_elsewhere(next.as_str()).await;
        next = reply.location();
        if next.host_str() == Some(browser.host()) {
            return next;
        }
    }
    panic!("the provider never came back: {next}");
}

/// RFC 9700 §4.4, RFC 9207 §2.4: a code must never go to a provider that did not issue it.
#[tokio::test(flavor = "multi_thread")]
async fn a_mix_up_of_two_providers_is_refused_and_the_code_goes_nowhere() {
    let world = TwoProviders::start().await;
    let without_issuer = |url: &Url| {
        let mut stripped = url.clone();
        let kept = url.query_pairs().filter(|(key, _)| key != "iss");
        stripped.query_pairs_mut().clear().extend_pairs(kept);
        stripped
    };
    let at_the_first = |url: &Url| {
        let mut moved = url.clone();
        moved.set_path("/bff/callback");
        moved
    };
    type Change<'a> = &'a dyn Fn(&Url) -> Url;
    let changes: [(&str, Change<'_>); 4] = [
        ("as it comes", &Url::clone),
        ("from a provider that names no issuer", &without_issuer),
        ("at the address of the provider that was asked", &at_the_first),
        ("there, and without an issuer", &|url| without_issuer(&at_the_first(url))),
    ];
    for (how, change) in changes {
        let callback = mixed_up(&world.browser).await;
        assert_eq!(callback.path(), "/bff/callback/guests", "the provider sends to what is registered there alone");
        let reply = world.browser.arrive_from_elsewhere(change(&callback).as_str()).await;
        assert_eq!(reply.error_page(4), 400, "{how}");
        assert_eq!(world.browser.cookie(SESSION), None, "{how}");
        // The login is used up: a second try with the right address finds none.
        let again = world.browser.arrive_from_elsewhere(callback.as_str()).await;
        assert_eq!(again.error_page(4), 400, "{how}");
    }
    assert_eq!(world.redemptions().await, (0, 0), "no code went to anybody");
}

/// RFC 9700 §4.4.2.2: where neither provider says who it is, nothing but the address tells them apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_mix_up_is_refused_among_providers_that_name_no_issuer() {
    let (attacker, honest) = tokio::join!(QuirkyProvider::start(Kind::Keycloak), QuirkyProvider::start(Kind::Okta));
    let mut options = SealgateOptions::new(&attacker.issuer, 1);
    options.public_url = format!("http://shop.localhost:{}", options.port);
    let table = |name: &str, provider: &QuirkyProvider| {
        json!({
            "name": name, "issuer": provider.issuer, "client_id": "app", "client_secret": "s",
            "id_token_algorithms": ["ES256"],
        })
    };
    let providers = vec![table("staff", &attacker), table("guests", &honest)];
    let gate = Sealgate::start(options.set("provider", Value::Null).set("providers", providers)).await;
    let browser = Browser::new(gate.url());
    let callback = mixed_up(&browser).await;
    assert!(!callback.query_pairs().any(|(key, _)| key == "iss"), "{callback}");
    assert_eq!(browser.arrive_from_elsewhere(callback.as_str()).await.error_page(4), 400);
    assert_eq!((attacker.requests("/token"), honest.requests("/token")), (0, 0), "the code stays where it is");
    assert!(gate.log().contains("mix_up"));
    browser.sign_in_at("/bff/login?provider=guests").await;
    assert_eq!((attacker.requests("/token"), honest.requests("/token")), (0, 1));
    assert_eq!(browser.user().await["bff:provider"], "guests");
}

/// OpenID Connect Core §4.
#[tokio::test(flavor = "multi_thread")]
async fn a_portal_names_the_provider_by_its_issuer() {
    let world = TwoProviders::start().await;
    for provider in [&world.guests, &world.staff] {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("iss", &provider.issuer).finish();
        let reply = world.browser.arrive_from_elsewhere(&format!("/bff/initiate-login?{query}")).await;
        assert!(reply.location().as_str().starts_with(&provider.issuer), "{}", reply.location());
    }
    let unknown = world.browser.arrive_from_elsewhere("/bff/initiate-login?iss=https%3A%2F%2Fevil.example").await;
    assert_eq!(unknown.error_page(4), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_provider_has_gone_is_signed_out() {
    let world = TwoProviders::start().await;
    let guest = Browser::new(world.gate.url());
    guest.sign_in_at("/bff/login?provider=guests").await;
    world.browser.sign_in().await;
    let mut options = world.gate.options.clone();
    (options.port, options.management_port) = (crate::support::ports::free_port(), crate::support::ports::free_port());
    options.ring = Some(world.gate.ring.clone());
    let mut staff = provider_table(&options, &world.staff);
    staff["name"] = "staff".into();
    let later = Sealgate::start(options.set("providers", vec![staff])).await;
    let line = |browser: &Browser| format!("{SESSION}={}", browser.cookie(SESSION).expect("signed in"));
    let reply = later.get_with_cookies("/api/echo", &line(&guest)).await;
    assert_eq!(reply.problem(401), "urn:sealgate:error:session-expired");
    assert_eq!(later.get_with_cookies("/api/echo", &line(&world.browser)).await.status, StatusCode::OK);
}
