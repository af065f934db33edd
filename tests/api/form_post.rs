//! Answers that the provider's page posts (OAuth 2.0 Form Post Response Mode): over https, with a login cookie for other
//! sites' forms, and with nothing weaker than when they come in a URL.

use reqwest::{Method, StatusCode};
use url::{Url, form_urlencoded};

use crate::support::browser::Context;
use crate::support::{Browser, Provider, ProviderOptions, Reply, Sealgate, SealgateOptions, Upstream, World};
use crate::tls::{Authority, secured};

const SESSION: &str = "__Host-sealgate";

/// Sealgate on https, whose provider posts its answers.
struct Posting {
    authority: Authority,
    provider: Provider,
    _upstream: Upstream,
    gate: Sealgate,
    browser: Browser,
}

impl Posting {
    async fn start() -> Self {
        let (authority, provider, upstream) =
            (Authority::new(), Provider::start(ProviderOptions::default()).await, Upstream::start().await);
        let options = secured(SealgateOptions::new(&provider.issuer, upstream.port), &authority);
        provider.register(options.registration()).await;
        let gate = Sealgate::start(options.set("provider.response_mode", "form_post")).await;
        let browser = Browser::trusting(gate.url(), &[&authority.root_pem]);
        Self { authority, provider, _upstream: upstream, gate, browser }
    }

    /// Goes through the provider up to its form, and gives the fields.
    async fn up_to_the_form(&self, browser: &Browser, login: &str) -> Vec<(String, String)> {
        let mut reply = browser.navigate(login).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
        assert_eq!(
            reply.location().query_pairs().filter(|pair| *pair == ("response_mode".into(), "form_post".into())).count(),
            1
        );
        while reply.status.is_redirection() {
            reply = browser.arrive_from_elsewhere(reply.location().as_str()).await;
        }
        assert!(reply.body.contains(&format!(r#"action="{}/bff/callback""#, self.gate.url())), "{}", reply.body);
        let inputs = reply.body.split("<input").skip(1);
        let field = |input: &str, name: &str| {
            let rest = input.split_once(&format!("{name}=\"")).expect("an attribute").1;
            rest.split_once('"').expect("its end").0.replace("&amp;", "&")
        };
        inputs.map(|input| (field(input, "name"), field(input, "value"))).collect()
    }

    /// Submits a form as the provider's page does it.
    async fn post(&self, browser: &Browser, fields: &[(String, String)]) -> Reply {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let target = format!("{}/bff/callback", self.gate.url());
        let request = browser.request(Method::POST, &target, Context::ForeignForm);
        let request = request.field("Content-Type", "application/x-www-form-urlencoded");
        request.field("Origin", &self.provider.issuer).body(&body).send().await
    }

    async fn refused(&self, reply: &Reply) {
        reply.error_page(4);
        assert!(reply.set_cookies().iter().all(|cookie| cookie.name != SESSION), "{:?}", reply.headers);
        assert_eq!(self.provider.stats().await.redemptions(), 0);
    }
}

/// Complaint of peers' users: SameSite and form_post.
/// OAuth 2.0 Form Post Response Mode §2. The form comes from another site: no other cookie than the login's goes
/// with it, and the page that follows finds the session by itself.
#[tokio::test(flavor = "multi_thread")]
async fn form_post_signs_in_beside_same_site_cookies_and_the_code_is_in_no_url() {
    let world = Posting::start().await;
    let login = world.browser.navigate("/bff/login").await.set_cookies().remove(0);
    assert!(login.has("SameSite=None") && login.has("Secure") && login.has("HttpOnly"), "{login:?}");
    let fields = world.up_to_the_form(&world.browser, "/bff/login?returnUrl=%2Forders").await;
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["code", "state", "iss"]);
    let reply = world.post(&world.browser, &fields).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    assert_eq!(reply.location().path(), "/orders");
    let session = reply.set_cookies().into_iter().find(|cookie| cookie.name == SESSION).expect("a session");
    assert!(session.has("SameSite=Strict"), "{session:?}");
    // The navigation that follows is still the other site's: strict cookies stay behind, and the app loads without them.
    let page = world.browser.arrive_from_elsewhere(reply.location().as_str()).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(world.browser.user().await["sub"], "ada");
    assert_eq!(world.browser.post("/bff/refresh").await.status, StatusCode::OK);
    assert!(world.browser.cookie_names().iter().filter(|name| name.contains("-login")).count() <= 1);
}

/// A login that replaces a session sees neither it nor the tombstone of the one before: their cookies stay behind when
/// the form comes. Both stay ended nevertheless.
#[tokio::test(flavor = "multi_thread")]
async fn posted_logins_end_the_sessions_that_they_replace_one_after_the_other() {
    let world = Posting::start().await;
    let mut replaced = Vec::new();
    for account in ["ada", "grace", "ada"] {
        world.browser.forget_provider();
        let login = format!("/bff/login?returnUrl=%2Forders&login_hint={account}");
        let fields = world.up_to_the_form(&world.browser, &login).await;
        let mut reply = world.post(&world.browser, &fields).await;
        while reply.status.is_redirection() && reply.location().path() != "/orders" {
            reply = world.browser.arrive_from_elsewhere(reply.location().as_str()).await;
        }
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
        assert_eq!(world.browser.user().await["sub"], account);
        replaced.push(world.browser.cookie(SESSION).expect("signed in"));
    }
    let current = replaced.pop().expect("the last one");
    for old in replaced {
        world.browser.set_cookie(SESSION, &old);
        world.browser.get("/bff/user").await.problem(401);
    }
    world.browser.set_cookie(SESSION, &current);
    assert_eq!(world.browser.user().await["sub"], "ada");
}

/// RFC 6749 §3.1, RFC 9700 §4.7.1
#[tokio::test(flavor = "multi_thread")]
async fn a_posted_answer_that_is_not_as_it_should_be_is_refused() {
    let world = Posting::start().await;
    let fields = world.up_to_the_form(&world.browser, "/bff/login").await;
    for name in ["code", "state", "iss"] {
        let mut twice = fields.clone();
        twice.push(fields.iter().find(|(other, _)| other == name).expect("it is there").clone());
        world.refused(&world.post(&world.browser, &twice).await).await;
    }
    let stranger = Browser::trusting(world.gate.url(), &[&world.authority.root_pem]);
    world.refused(&world.post(&stranger, &fields).await).await;
    let reply = world.browser.request(Method::POST, "/bff/callback", Context::ForeignForm);
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
    world.refused(&reply.field("Content-Type", "text/plain").body(&body).send().await).await;
    let long = [fields.clone(), vec![("pad".to_owned(), "x".repeat(17_000))]].concat();
    world.refused(&world.post(&world.browser, &long).await).await;
    let mut forged = fields.clone();
    forged.iter_mut().for_each(|(name, value)| {
        if name == "iss" {
            *value = "https://evil.example".to_owned();
        }
    });
    world.refused(&world.post(&world.browser, &forged).await).await;
}

/// OAuth 2.0 Form Post Response Mode §2: the mode that was asked for is the one that counts.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_another_way_than_was_asked_for_is_refused() {
    let posting = Posting::start().await;
    let fields = posting.up_to_the_form(&posting.browser, "/bff/login").await;
    let mut url: Url = format!("{}/bff/callback", posting.gate.url()).parse().expect("a URL");
    url.query_pairs_mut().extend_pairs(&fields);
    posting.refused(&posting.browser.arrive_from_elsewhere(url.as_str()).await).await;

    let world = World::start().await;
    let callback = world.browser.sign_in_up_to_callback("/bff/login").await;
    let request = world.browser.request(Method::POST, "/bff/callback", Context::Link);
    let request = request.field("Content-Type", "application/x-www-form-urlencoded");
    let reply = request.body(callback.query().expect("a query")).send().await;
    assert_eq!(reply.error_page(4), 400);
    assert_eq!(world.provider.stats().await.redemptions(), 0);
}

/// OpenID Connect Core §3.1.2.6: an error has nothing to hide, and comes as the provider can send it.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_shown_whether_it_is_posted_or_not() {
    let world = Posting::start().await;
    let refusal = |fields: &[(String, String)]| {
        let kept = fields.iter().filter(|(name, _)| name != "code").cloned();
        kept.chain([("error".to_owned(), "access_denied".to_owned())]).collect::<Vec<_>>()
    };
    let fields = refusal(&world.up_to_the_form(&world.browser, "/bff/login").await);
    let reply = world.post(&world.browser, &fields).await;
    assert_eq!(reply.error_page(4), 403);
    assert!(reply.body.contains("access_denied"), "{}", reply.body);
    let fields = refusal(&world.up_to_the_form(&world.browser, "/bff/login").await);
    let mut url: Url = format!("{}/bff/callback", world.gate.url()).parse().expect("a URL");
    url.query_pairs_mut().extend_pairs(&fields);
    assert_eq!(world.browser.arrive_from_elsewhere(url.as_str()).await.error_page(4), 403);
}
