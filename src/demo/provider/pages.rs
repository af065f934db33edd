//! The demo provider's pages: small, without scripts, and nothing from elsewhere.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, TryIntoHeaderPair,
    X_CONTENT_TYPE_OPTIONS,
};
use minijinja::{Environment, Value, context};

use super::Provider;
use super::users::USERS;

/// No `form-action`: Chromium applies it to redirects after a form as well, and the login form ends at the app.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("style.css");

/// What the page that asks before signing out carries on to the answer.
pub struct LogoutQuestion<'a> {
    /// Who is signed in.
    pub name: &'a str,
    /// The client that asks.
    pub client_id: Option<&'a str>,
    /// Where to go afterwards.
    pub redirect: Option<&'a str>,
    /// The client's `state`.
    pub state: Option<&'a str>,
}

/// Reads the templates, which are part of the program.
///
/// # Errors
/// When one of them is malformed, which the tests rule out.
pub fn templates() -> Result<Environment<'static>, minijinja::Error> {
    let mut templates = Environment::new();
    // The names end in .html: that is what turns escaping on.
    templates.add_template("layout.html", include_str!("layout.html"))?;
    templates.add_template("login.html", include_str!("login.html"))?;
    templates.add_template("logout.html", include_str!("logout.html"))?;
    templates.add_template("message.html", include_str!("message.html"))?;
    Ok(templates)
}

/// `GET /style.css`
pub async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .insert_header((CACHE_CONTROL, "max-age=300"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(STYLE)
}

/// The login form; `failed`: name and password did not fit.
pub fn login(provider: &Provider, status: StatusCode, id: &str, username: &str, failed: bool) -> HttpResponse {
    let users: Vec<Value> = USERS
        .iter()
        .map(|user| context! { name => user.name, username => user.username, password => user.password })
        .collect();
    let values = context! { login => id, username, failed, users };
    page(provider, status, "login.html", values)
}

/// The question before signing out.
pub fn logout(provider: &Provider, question: &LogoutQuestion<'_>) -> HttpResponse {
    let LogoutQuestion { name, client_id, redirect, state } = *question;
    page(provider, StatusCode::OK, "logout.html", context! { name, client_id, redirect, state })
}

/// A page with a heading, one sentence, and the way back to the app.
pub fn message(provider: &Provider, status: StatusCode, heading: &str, text: &str) -> HttpResponse {
    page(provider, status, "message.html", context! { heading, text })
}

/// Adds a header to a finished response.
pub fn add_header(response: &mut HttpResponse, header: impl TryIntoHeaderPair) {
    if let Ok((name, value)) = header.try_into_pair() {
        response.headers_mut().append(name, value);
    }
}

fn page(provider: &Provider, status: StatusCode, template: &str, values: Value) -> HttpResponse {
    let app = provider.redirect_url.origin().ascii_serialization();
    let all = context! { app, issuer => provider.issuer.as_str(), ..values };
    let rendered = provider.templates.get_template(template).and_then(|template| template.render(all));
    let Ok(html) = rendered else {
        return HttpResponse::InternalServerError().finish();
    };
    let headers: [(HeaderName, HeaderValue); 4] = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY)),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    let mut response = HttpResponse::build(status).content_type("text/html; charset=utf-8").body(html);
    for header in headers {
        add_header(&mut response, header);
    }
    response
}
