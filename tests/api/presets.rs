//! The presets, each at a stand-in that has the provider's quirk and refuses what it refuses.

use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;

use crate::support::quirky_provider::{Kind, QuirkyProvider};
use crate::support::{Browser, Reply, Sealgate, SealgateOptions, Upstream};

const TENANT: &str = "11111111-2222-3333-4444-55555555555a";
const OTHER_TENANT: &str = "99999999-8888-7777-6666-55555555555b";

struct Site {
    provider: QuirkyProvider,
    gate: Sealgate,
    browser: Browser,
}

/// Sealgate in front of that provider: its preset, with the preset's own defaults.
async fn site(kind: Kind, settings: &[(&str, Value)]) -> Site {
    let (provider, upstream) = tokio::join!(QuirkyProvider::start(kind), Upstream::start());
    let preset = format!("{kind:?}").to_lowercase();
    let mut options = SealgateOptions::new(&provider.issuer, upstream.port).set("provider.preset", preset);
    options = options.set("provider.scopes", Value::Null);
    for (key, value) in settings {
        options = options.set(key, value.clone());
    }
    let gate = Sealgate::start(options).await;
    let browser = Browser::new(gate.url());
    Site { provider, gate, browser }
}

impl Site {
    /// Signs in as far as the callback, whatever it says.
    async fn callback(&self) -> Reply {
        let callback = self.browser.sign_in_up_to_callback("/bff/login").await;
        self.browser.arrive_from_elsewhere(callback.as_str()).await
    }

    /// Where signing out leads.
    async fn way_out(&self) -> Url {
        let url = self.browser.user().await["bff:logout_url"].as_str().expect("a text").to_owned();
        self.browser.navigate(&url).await.location()
    }

    /// Signs out, which the provider must accept, and comes back.
    async fn sign_out(&self, path: &str) {
        let way_out = self.way_out().await;
        assert_eq!(way_out.path(), path, "{way_out}");
        let accepted = self.browser.arrive_from_elsewhere(way_out.as_str()).await;
        assert_eq!(accepted.location().as_str(), format!("{}/", self.gate.url()), "{}", accepted.body);
    }

    async fn has_a_refresh_token(&self) {
        assert_eq!(self.browser.post("/bff/refresh").await.status, StatusCode::OK);
    }
}

fn of_tenant(site: &Site, tenant: &str) -> Value {
    json!({ "iss": site.provider.tenant_issuer(tenant), "tid": tenant, "login_hint": "O.ada", "sid": "s" })
}

/// Entra ID: <https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-the-issuer>
#[tokio::test(flavor = "multi_thread")]
async fn entra_s_issuer_of_many_tenants_signs_in_users_of_each_and_refreshes() {
    let site = site(Kind::Entra, &[]).await;
    site.provider.claims(of_tenant(&site, TENANT));
    site.browser.sign_in().await;
    assert_eq!(site.browser.user().await["tid"], TENANT);
    site.has_a_refresh_token().await;
    site.provider.claims(of_tenant(&site, OTHER_TENANT));
    // OpenID Connect Core §12.2: another tenant's token is another user's.
    assert_ne!(site.browser.post("/bff/refresh").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_issuer_is_not_that_of_its_tenant_is_refused() {
    let site = site(Kind::Entra, &[]).await;
    for claims in [
        json!({ "iss": site.provider.tenant_issuer(OTHER_TENANT), "tid": TENANT }),
        json!({ "iss": site.provider.tenant_issuer(TENANT) }),
        json!({ "iss": site.provider.issuer, "tid": "organizations" }),
        json!({ "iss": site.provider.tenant_issuer("{tenantid}"), "tid": "{tenantid}" }),
        json!({ "iss": format!("https://evil.example/{TENANT}/v2.0"), "tid": TENANT }),
    ] {
        site.provider.claims(claims.clone());
        assert_eq!(site.callback().await.error_page(5), 502, "{claims}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_tenants_keep_the_others_out() {
    let site = site(Kind::Entra, &[("provider.allowed_tenants", json!([TENANT.to_uppercase()]))]).await;
    site.provider.claims(of_tenant(&site, OTHER_TENANT));
    assert_eq!(site.callback().await.error_page(4), 403);
    site.provider.claims(of_tenant(&site, TENANT));
    site.browser.sign_in().await;
}

/// Entra ID above 200 groups: a link in place of the groups.
#[tokio::test(flavor = "multi_thread")]
async fn groups_that_entra_leaves_out_are_told_as_such() {
    let site = site(Kind::Entra, &[("provider.allowed_groups", json!(["staff"]))]).await;
    let mut claims = of_tenant(&site, TENANT);
    claims["_claim_names"] = json!({ "groups": "src1" });
    claims["_claim_sources"] = json!({ "src1": { "endpoint": "https://graph.windows.net/x/getMemberObjects" } });
    site.provider.claims(claims.clone());
    let page = site.callback().await;
    assert_eq!(page.error_page(4), 403);
    assert!(page.body.contains("too many groups"), "{}", page.body);
    assert!(site.gate.log().contains("left the user's groups out"));
    claims["_claim_names"] = Value::Null;
    claims["groups"] = json!(["staff"]);
    site.provider.claims(claims);
    site.browser.sign_in().await;
}

/// Entra ID asks which account to sign out of unless `logout_hint` is the token's `login_hint`.
#[tokio::test(flavor = "multi_thread")]
async fn entra_is_told_at_logout_who_signs_out() {
    let site = site(Kind::Entra, &[]).await;
    site.provider.claims(of_tenant(&site, TENANT));
    site.browser.sign_in().await;
    site.sign_out("/logout").await;
    let asked = site.provider.asked("/logout");
    assert_eq!(asked["logout_hint"], "O.ada");
    assert!(asked.contains_key("id_token_hint") && asked.contains_key("state"), "{asked:?}");
}

/// Without the preset the template is another issuer (RFC 8414 §3.3).
#[tokio::test(flavor = "multi_thread")]
async fn a_template_for_an_issuer_is_refused_without_the_preset() {
    let (provider, upstream) = tokio::join!(QuirkyProvider::start(Kind::Entra), Upstream::start());
    let gate = Sealgate::launch(SealgateOptions::new(&provider.issuer, upstream.port)).await;
    crate::support::eventually("the refusal in the log", std::time::Duration::from_secs(30), async || {
        gate.log().contains("the metadata names the issuer").then_some(())
    })
    .await;
}

/// Google: <https://developers.google.com/identity/protocols/oauth2/web-server#offline>
#[tokio::test(flavor = "multi_thread")]
async fn google_gives_a_refresh_token_and_is_never_asked_for_offline_access() {
    let site = site(Kind::Google, &[]).await;
    site.browser.sign_in().await;
    let asked = site.provider.asked("/authorize");
    assert_eq!((asked["access_type"].as_str(), asked["prompt"].as_str()), ("offline", "consent"));
    assert_eq!(asked["scope"], "openid profile email");
    site.has_a_refresh_token().await;
    let url = site.browser.user().await["bff:logout_url"].as_str().expect("a text").to_owned();
    let page = site.browser.navigate(&url).await;
    assert!(page.status.is_success() && page.body.contains("not at the sign-in service"), "{}", page.body);
}

/// A provider without a logout: the way leads past it, to where it would have led back.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_that_only_we_have_ends_where_the_operator_says() {
    let back = ("provider.post_logout_redirect_uri", json!("https://www.example.com/bye"));
    let site = site(Kind::Google, &[back]).await;
    site.browser.sign_in().await;
    assert_eq!(site.way_out().await.as_str(), "https://www.example.com/bye");
}

#[tokio::test(flavor = "multi_thread")]
async fn keycloak_gives_a_refresh_token_without_offline_access_and_its_roles_are_groups() {
    let site = site(Kind::Keycloak, &[("provider.allowed_groups", json!(["staff"]))]).await;
    site.provider.claims(json!({ "realm_access": { "roles": ["guests"] } }));
    assert_eq!(site.callback().await.error_page(4), 403);
    site.provider.claims(json!({ "realm_access": { "roles": ["guests", "staff"] } }));
    site.browser.sign_in().await;
    assert_eq!(site.provider.asked("/authorize")["scope"], "openid profile email");
    site.has_a_refresh_token().await;
    site.sign_out("/logout").await;
}

/// Auth0: <https://auth0.com/docs/api/authentication/logout/auth-0-logout>
#[tokio::test(flavor = "multi_thread")]
async fn auth0_without_an_announced_logout_is_signed_out_of_by_its_own() {
    let site = site(Kind::Auth0, &[]).await;
    site.browser.sign_in().await;
    site.has_a_refresh_token().await;
    site.sign_out("/v2/logout").await;
    assert_eq!(site.provider.asked("/v2/logout")["client_id"], site.gate.options.client_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn okta_s_custom_authorization_server_keeps_to_the_standards() {
    let site = site(Kind::Okta, &[("provider.allowed_groups", json!(["staff"]))]).await;
    site.provider.claims(json!({ "groups": ["Everyone", "staff"] }));
    site.browser.sign_in().await;
    site.has_a_refresh_token().await;
    site.sign_out("/logout").await;
}

/// Cognito: <https://docs.aws.amazon.com/cognito/latest/developerguide/logout-endpoint.html>
#[tokio::test(flavor = "multi_thread")]
async fn cognito_s_logout_and_groups_have_names_of_their_own() {
    let site = site(Kind::Cognito, &[("provider.allowed_groups", json!(["staff"]))]).await;
    site.provider.claims(json!({ "cognito:groups": ["staff"] }));
    site.browser.sign_in().await;
    site.has_a_refresh_token().await;
    site.sign_out("/logout").await;
    let asked = site.provider.asked("/logout");
    let mut names: Vec<&str> = asked.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["client_id", "logout_uri"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_address_of_the_operator_s_own_is_filled_in() {
    let (provider, upstream) = tokio::join!(QuirkyProvider::start(Kind::Google), Upstream::start());
    let url = "https://login.example.com/out?app={client_id}&to={post_logout_redirect_uri}";
    let options = SealgateOptions::new(&provider.issuer, upstream.port).set("provider.logout_url", url);
    let gate = Sealgate::start(options.set("provider.scopes", json!(["openid"]))).await;
    let browser = Browser::new(gate.url());
    browser.sign_in().await;
    let site = Site { provider, gate, browser };
    let to: String = url::form_urlencoded::byte_serialize(format!("{}/", site.gate.url()).as_bytes()).collect();
    let expected = format!("https://login.example.com/out?app={}&to={to}", site.gate.options.client_id);
    assert_eq!(site.way_out().await.as_str(), expected);
}

/// OpenID Connect RP-Initiated Logout §2: an ID token that is too long for the address, which packs well in the cookie.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_id_token_is_left_out_a_hint_says_who_signs_out() {
    let site = site(Kind::Okta, &[]).await;
    site.provider.claims(json!({ "sid": "the session there", "address": "a street ".repeat(800) }));
    site.browser.sign_in().await;
    site.sign_out("/logout").await;
    let asked = site.provider.asked("/logout");
    assert_eq!(asked["logout_hint"], "the session there");
    assert_eq!(asked["client_id"], site.gate.options.client_id);
    assert!(!asked.contains_key("id_token_hint"), "{asked:?}");
}
