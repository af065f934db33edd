//! A browser without a screen: follows redirects only when told, keeps cookies as browsers do, says where a request
//! came from (fetch metadata), and remembers everything that it was ever shown.

use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Certificate, Client, Method, StatusCode, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::cookie_jar::{Cookie, CookieJar};

/// What made the browser send a request, as `Sec-Fetch-*` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Somebody typed the address.
    Typed,
    /// A link or redirect within our own pages.
    Link,
    /// A link, redirect or form on somebody else's page.
    ForeignLink,
    /// A frame of our own page.
    Frame,
    /// A frame of somebody else's page.
    ForeignFrame,
    /// A form on somebody else's page that replaces it.
    ForeignForm,
    /// `fetch` of our own page.
    Fetch,
    /// `fetch`, a form or an image of somebody else's page.
    ForeignFetch,
    /// The same from a sibling subdomain.
    SiblingFetch,
}

impl Context {
    /// The fields that a browser adds.
    fn fields(self) -> [(&'static str, &'static str); 4] {
        const PAGE: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let (site, mode, destination, accept) = match self {
            Self::Typed => ("none", "navigate", "document", PAGE),
            Self::Link => ("same-origin", "navigate", "document", PAGE),
            Self::ForeignLink | Self::ForeignForm => ("cross-site", "navigate", "document", PAGE),
            Self::Frame => ("same-origin", "navigate", "iframe", PAGE),
            Self::ForeignFrame => ("cross-site", "navigate", "iframe", PAGE),
            Self::Fetch => ("same-origin", "cors", "empty", "*/*"),
            Self::ForeignFetch => ("cross-site", "cors", "empty", "*/*"),
            Self::SiblingFetch => ("same-site", "cors", "empty", "*/*"),
        };
        [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", destination), ("Accept", accept)]
    }

    /// Whether another site stands behind the request (RFC 6265bis §5.2).
    pub fn is_cross_site(self) -> bool {
        matches!(self, Self::ForeignLink | Self::ForeignForm | Self::ForeignFrame | Self::ForeignFetch)
    }

    /// Whether lax cookies go along although another site stands behind it.
    pub fn is_top_level_get(self) -> bool {
        matches!(self, Self::Typed | Self::Link | Self::ForeignLink)
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Where the request went.
    pub url: Url,
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Reply {
    /// The values of a field, in order.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect()
    }

    /// Where it redirects to.
    pub fn location(&self) -> Url {
        let location = self.header("location");
        assert_eq!(location.len(), 1, "one Location: {} {} {}", self.url, self.status, self.body);
        self.url.join(location[0]).expect("a Location that is a URL")
    }

    /// The cookies that it sets or deletes.
    pub fn set_cookies(&self) -> Vec<Cookie> {
        let host = self.url.host_str().unwrap_or_default();
        self.header(SET_COOKIE.as_str()).into_iter().map(|line| Cookie::parse(host, line)).collect()
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {} {:?}", self.url, self.body))
    }

    /// Its `Content-Type` without parameters.
    pub fn media_type(&self) -> &str {
        self.header("content-type").first().and_then(|value| value.split(';').next()).unwrap_or_default().trim()
    }

    /// Asserts that it is that status as problem details (RFC 9457), and gives its `type`.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{} {}", self.url, self.body);
        assert_eq!(self.media_type(), "application/problem+json", "{} {}", self.url, self.body);
        let problem: Value = self.json();
        let kind = problem["type"].as_str().unwrap_or_default();
        assert!(kind.starts_with("urn:sealgate:error:"), "a type of our own: {problem}");
        kind.to_owned()
    }

    /// Asserts that it is a page for people with a status of that class, and gives the status.
    pub fn error_page(&self, class: u16) -> u16 {
        assert_eq!(self.status.as_u16() / 100, class, "{} {}", self.url, self.body);
        assert_eq!(self.media_type(), "text/html", "{} {}", self.url, self.body);
        assert!(self.body.contains("<html"), "a whole page: {}", self.body);
        assert!(!self.body.contains("<script"), "a page without scripts: {}", self.body);
        self.status.as_u16()
    }

    /// Asserts that it leaves every cookie of the browser alone.
    pub fn touches_no_cookie(&self) {
        assert!(
            self.headers.get(SET_COOKIE).is_none(),
            "{} {} sets cookies: {:?}",
            self.url,
            self.status,
            self.headers
        );
    }
}

/// A browser. Requests take the cookies as they are when the request is sent, so that many can be under way.
pub struct Browser {
    origin: Url,
    http: Client,
    jar: Mutex<CookieJar>,
    remembers: bool,
    shown: Mutex<Vec<String>>,
    sealed: Mutex<Vec<String>>,
}

impl Browser {
    /// A browser without cookies, whose own pages are those of `origin`.
    pub fn new(origin: &str) -> Self {
        Self { remembers: true, ..Self::one_of_many(origin, client()) }
    }

    /// A browser without cookies that trusts these certificates, in PEM.
    pub fn trusting(origin: &str, roots: &[&str]) -> Self {
        Self { remembers: true, ..Self::one_of_many(origin, client_that_trusts(roots)) }
    }

    /// A browser among many: shares their connections, and does not remember what it was shown.
    pub fn one_of_many(origin: &str, http: Client) -> Self {
        Self {
            origin: origin.parse().expect("an origin is a URL"),
            http,
            remembers: false,
            jar: Mutex::default(),
            shown: Mutex::default(),
            sealed: Mutex::default(),
        }
    }

    /// A second browser with a copy of this one's cookies.
    pub fn copy(&self) -> Self {
        let copy = Self::new(self.origin.as_str());
        *copy.cookies() = self.cookies().clone();
        copy
    }

    /// The cookies, to look at and to change.
    pub fn cookies(&self) -> std::sync::MutexGuard<'_, CookieJar> {
        self.jar.lock().expect("no test panics while it holds the jar")
    }

    /// The value of a cookie of the app.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies().find(self.host(), name).map(|cookie| cookie.value.clone())
    }

    /// The names of all cookies of the app.
    pub fn cookie_names(&self) -> Vec<String> {
        self.cookies().of(self.host()).map(|cookie| cookie.name.clone()).collect()
    }

    /// Puts a cookie of the app there by hand.
    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies().set(self.host(), name, value);
    }

    /// The host of the app.
    pub fn host(&self) -> &str {
        self.origin.host_str().expect("an origin has a host")
    }

    /// Every body, and every field but `Location`, that the app ever showed to this browser.
    pub fn shown(&self) -> Vec<String> {
        self.shown.lock().expect("no test panics while it holds the list").clone()
    }

    /// Every sealed cookie value that the app ever set here.
    pub fn sealed_values(&self) -> Vec<String> {
        self.sealed.lock().expect("no test panics while it holds the list").clone()
    }

    /// Forgets who is signed in at the provider, which is on `localhost`.
    pub fn forget_provider(&self) {
        self.cookies().clear("localhost");
    }

    /// Begins a request to a path of the app, or to a whole URL.
    pub fn request(&self, method: Method, target: &str, context: Context) -> Request<'_> {
        let url = self.origin.join(target).expect("a path or URL");
        Request { browser: self, method, url, context, fields: context.fields().map(own).to_vec(), body: None }
    }

    /// Opens a page from a link on our own pages.
    pub async fn navigate(&self, target: &str) -> Reply {
        self.request(Method::GET, target, Context::Link).send().await
    }

    /// Follows a link or redirect from somebody else's page.
    pub async fn arrive_from_elsewhere(&self, target: &str) -> Reply {
        self.request(Method::GET, target, Context::ForeignLink).send().await
    }

    /// `fetch(target)` on our own page, with the custom header.
    pub async fn get(&self, target: &str) -> Reply {
        self.fetch(Method::GET, target).send().await
    }

    /// `fetch(target, {method: "POST"})` on our own page, with the custom header.
    pub async fn post(&self, target: &str) -> Reply {
        self.fetch(Method::POST, target).send().await
    }

    /// Begins a `fetch` on our own page, with the custom header.
    pub fn fetch(&self, method: Method, target: &str) -> Request<'_> {
        self.request(method, target, Context::Fetch).field("X-CSRF", "1")
    }

    /// Goes to the login endpoint and through the provider, up to but not into the callback: gives its URL.
    pub async fn sign_in_up_to_callback(&self, login: &str) -> Url {
        let mut reply = self.navigate(login).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "login redirects to the provider: {}", reply.body);
        for _ in 0..10 {
            let next = reply.location();
            if next.origin() == self.origin.origin() {
                return next;
            }
            reply = self.arrive_from_elsewhere(next.as_str()).await;
        }
        panic!("the provider never came back: {} {}", reply.url, reply.body);
    }

    /// Signs in and gives the answer of the callback.
    pub async fn sign_in(&self) -> Reply {
        self.sign_in_at("/bff/login").await
    }

    /// Signs in with that login URL and gives the answer of the callback.
    pub async fn sign_in_at(&self, login: &str) -> Reply {
        let callback = self.sign_in_up_to_callback(login).await;
        let reply = self.arrive_from_elsewhere(callback.as_str()).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "the callback signs in: {}", reply.body);
        reply
    }

    /// The answer of `/bff/user`, which must be 200.
    pub async fn user(&self) -> Value {
        let reply = self.get("/bff/user").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.json()
    }

    fn keep(&self, reply: &Reply) {
        for cookie in reply.set_cookies() {
            self.cookies().store(cookie);
        }
        if self.remembers && reply.url.origin() == self.origin.origin() {
            // The affinity hash is short and no secret.
            let sealed = reply.set_cookies().into_iter().map(|cookie| cookie.value).filter(|value| value.len() > 40);
            self.sealed.lock().expect("no test panics while it holds the list").extend(sealed);
            let mut headers = reply.headers.clone();
            headers.remove(LOCATION);
            let mut shown = self.shown.lock().expect("no test panics while it holds the list");
            shown.push(format!("{headers:?}"));
        }
    }

    fn show(&self, reply: &Reply) {
        if self.remembers && reply.url.origin() == self.origin.origin() {
            self.shown.lock().expect("no test panics while it holds the list").push(reply.body.clone());
        }
    }
}

/// Names of sites on this machine (RFC 6761 §6.3), which not every resolver knows.
pub const NAMED_SITES: [&str; 3] = ["shop.localhost", "desk.localhost", "other.localhost"];

/// A client that follows no redirects.
pub fn client() -> Client {
    client_that_trusts(&[])
}

/// As `client`, with these roots in PEM beside the usual ones.
pub fn client_that_trusts(roots: &[&str]) -> Client {
    let roots = roots.iter().map(|pem| Certificate::from_pem(pem.as_bytes()).expect("a certificate"));
    let here = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let named_sites = NAMED_SITES.iter().fold(Client::builder(), |builder, name| builder.resolve(name, here));
    named_sites
        .tls_certs_merge(roots)
        .redirect(redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .build()
        .expect("a plain client can be built")
}

fn own((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// A request that is being put together.
pub struct Request<'a> {
    browser: &'a Browser,
    method: Method,
    url: Url,
    context: Context,
    fields: Vec<(String, String)>,
    body: Option<String>,
}

impl Request<'_> {
    /// Adds a field; one that is there already stays beside it.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push(own((name, value)));
        self
    }

    /// Leaves a field out.
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// Sends a body.
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// Sends it and waits for the head of the answer.
    pub async fn start(self) -> reqwest::Response {
        let url = self.url.clone();
        self.try_start().await.unwrap_or_else(|error| panic!("{url}: {error:?}"))
    }

    /// Sends it and waits for the head of the answer.
    pub async fn try_start(self) -> reqwest::Result<reqwest::Response> {
        let line = self.browser.cookies().line(&self.url, &self.context);
        let mut request = self.browser.http.request(self.method, self.url.clone());
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        if let Some(line) = line {
            request = request.header(COOKIE, line);
        }
        if let Some(body) = self.body {
            request = request.body(body);
        }
        request.send().await
    }

    /// Sends it, keeps the cookies that come back, and reads the answer to its end.
    pub async fn send(self) -> Reply {
        let url = self.url.clone();
        self.try_send().await.unwrap_or_else(|error| panic!("{url}: {error:?}"))
    }

    /// As [`Request::send`], where connections may break.
    pub async fn try_send(self) -> reqwest::Result<Reply> {
        let (browser, url) = (self.browser, self.url.clone());
        let response = self.try_start().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut reply = Reply { url, status, headers, body: String::new() };
        // Browsers keep the cookies as soon as the head is there, whatever becomes of the body.
        browser.keep(&reply);
        reply.body = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        browser.show(&reply);
        Ok(reply)
    }
}
