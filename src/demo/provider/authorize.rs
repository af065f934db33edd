//! The authorization endpoint and its login form (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2). Consent is skipped.
//!
//! Must never redirect to an address that is not registered, exactly as registered.

use actix_web::http::StatusCode;
use actix_web::http::header::{COOKIE, LOCATION, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use url::Url;

use crate::clock::UnixTime;

use super::Provider;
use super::grants::Grant;
use super::pages;
use super::params::Params;
use super::sessions::{COOKIE_NAME, ProviderSession};
use super::users;

/// A request that may be answered: everything in it is checked.
#[derive(Clone, Debug)]
pub struct AuthorizationRequest {
    redirect_uri: String,
    state: Option<String>,
    nonce: Option<String>,
    scopes: Vec<String>,
    code_challenge: String,
    prompt: Prompt,
    max_age: Option<u64>,
    login_hint: Option<String>,
}

/// Whether the user has to, may, or must not see a form (OpenID Connect Core §3.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prompt {
    None,
    WhenNeeded,
    Login,
}

/// Why a request is not answered with a code.
enum Refusal {
    /// The redirect URI cannot be trusted: the user gets a page.
    Page(String),
    /// The client is told (RFC 6749 §4.1.2.1).
    Redirect { state: Option<String>, error: &'static str, description: String },
}

/// `GET /authorize`
pub async fn get(request: HttpRequest, provider: web::Data<Provider>) -> HttpResponse {
    answer(&request, request.query_string().as_bytes(), &provider)
}

/// `POST /authorize` (OpenID Connect Core §3.1.2.1 asks for both).
pub async fn post(request: HttpRequest, body: web::Bytes, provider: web::Data<Provider>) -> HttpResponse {
    answer(&request, &body, &provider)
}

/// `POST /login`: the form.
pub async fn login(request: HttpRequest, body: web::Bytes, provider: web::Data<Provider>) -> HttpResponse {
    // A foreign page must not sign its reader in here as somebody else.
    if request.headers().get("Sec-Fetch-Site").is_some_and(|site| site == "cross-site") {
        return pages::message(
            &provider,
            StatusCode::FORBIDDEN,
            "Not from here",
            "This form was sent by another site.",
        );
    }
    let Ok(form) = Params::parse(&body) else {
        return pages::message(&provider, StatusCode::BAD_REQUEST, "Bad form", "A field came more than once.");
    };
    let now = provider.clock.now();
    let id = form.value("login").unwrap_or_default();
    let mut state = provider.state();
    let Some(pending) = state.sessions.login(id, now).cloned() else {
        return pages::message(
            &provider,
            StatusCode::BAD_REQUEST,
            "This sign-in is over",
            "It was finished before, or it waited too long. Go back to the app and sign in again.",
        );
    };
    let username = form.value("username").unwrap_or_default();
    let Some(user) = users::authenticate(username, form.value("password").unwrap_or_default()) else {
        return pages::login(&provider, StatusCode::UNPROCESSABLE_ENTITY, id, username, true);
    };
    state.sessions.end_login(id);
    let (cookie, session) = state.sessions.begin(user, now);
    let code = issue_code(&mut state.grants, &pending, &session, now);
    let location = code_location(&provider, &pending, &code);
    HttpResponse::SeeOther()
        .insert_header((LOCATION, location))
        .insert_header((SET_COOKIE, format!("{COOKIE_NAME}={cookie}; Path=/; HttpOnly; SameSite=Lax")))
        .finish()
}

fn answer(request: &HttpRequest, parameters: &[u8], provider: &Provider) -> HttpResponse {
    match check(parameters, provider) {
        Ok(authorization) => proceed(request, authorization, provider),
        Err(Refusal::Page(reason)) => {
            pages::message(provider, StatusCode::BAD_REQUEST, "This sign-in request is not valid", &reason)
        }
        Err(Refusal::Redirect { state, error, description }) => {
            redirect_with_error(provider, state.as_deref(), error, &description)
        }
    }
}

fn proceed(request: &HttpRequest, authorization: AuthorizationRequest, provider: &Provider) -> HttpResponse {
    let now = provider.clock.now();
    let mut state = provider.state();
    let session = session_cookie(request).and_then(|cookie| state.sessions.find(&cookie, now).cloned());
    let usable = session.filter(|session| {
        let young = authorization.max_age.is_none_or(|age| now.since(session.auth_time).as_secs() <= age);
        young && authorization.prompt != Prompt::Login
    });
    match usable {
        Some(session) => {
            let code = issue_code(&mut state.grants, &authorization, &session, now);
            HttpResponse::SeeOther().insert_header((LOCATION, code_location(provider, &authorization, &code))).finish()
        }
        None if authorization.prompt == Prompt::None => {
            let state = authorization.state.as_deref();
            redirect_with_error(provider, state, "login_required", "nobody is signed in at the provider")
        }
        None => {
            let username = authorization.login_hint.clone().unwrap_or_default();
            let id = state.sessions.begin_login(authorization, now);
            pages::login(provider, StatusCode::OK, &id, &username, false)
        }
    }
}

fn check(parameters: &[u8], provider: &Provider) -> Result<AuthorizationRequest, Refusal> {
    let params = Params::parse(parameters).map_err(|error| Refusal::Page(error.to_string()))?;
    if params.value("client_id") != Some(provider.settings.client_id.as_str()) {
        return Err(Refusal::Page("The client_id is not registered here.".to_owned()));
    }
    if params.value("redirect_uri") != Some(provider.settings.redirect_uri.as_str()) {
        return Err(Refusal::Page("The redirect_uri is not registered for this client.".to_owned()));
    }
    check_details(&params, provider).map_err(|(error, description)| Refusal::Redirect {
        state: params.owned("state"),
        error,
        description: description.to_owned(),
    })
}

/// What the client is told when it is wrong.
fn check_details(params: &Params, provider: &Provider) -> Result<AuthorizationRequest, (&'static str, &'static str)> {
    if params.value("request").is_some() {
        return Err(("request_not_supported", "request objects are not supported"));
    }
    if params.value("request_uri").is_some() {
        return Err(("request_uri_not_supported", "request_uri is not supported"));
    }
    match params.value("response_type") {
        Some("code") => {}
        Some(_) => return Err(("unsupported_response_type", "only response_type=code is supported")),
        None => return Err(("invalid_request", "response_type is missing")),
    }
    if params.value("response_mode").is_some_and(|mode| mode != "query") {
        return Err(("invalid_request", "only response_mode=query is supported"));
    }
    let code_challenge = params.owned("code_challenge").ok_or(("invalid_request", "code_challenge is missing"))?;
    if params.value("code_challenge_method") != Some("S256") {
        return Err(("invalid_request", "code_challenge_method must be S256"));
    }
    let scopes: Vec<String> =
        params.value("scope").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
    if !scopes.iter().any(|scope| scope == "openid") {
        return Err(("invalid_scope", "the scope openid is missing"));
    }
    let max_age = params.value("max_age").map(str::parse::<u64>).transpose();
    Ok(AuthorizationRequest {
        redirect_uri: provider.settings.redirect_uri.clone(),
        state: params.owned("state"),
        nonce: params.owned("nonce"),
        scopes,
        code_challenge,
        prompt: prompt(params.value("prompt").unwrap_or_default())?,
        max_age: max_age.map_err(|_| ("invalid_request", "max_age is not a number of seconds"))?,
        login_hint: params.owned("login_hint"),
    })
}

fn prompt(text: &str) -> Result<Prompt, (&'static str, &'static str)> {
    let values: Vec<&str> = text.split_ascii_whitespace().collect();
    if values.iter().any(|value| !matches!(*value, "none" | "login" | "consent" | "select_account")) {
        return Err(("invalid_request", "prompt has an unknown value"));
    }
    match values.as_slice() {
        ["none"] => Ok(Prompt::None),
        values if values.contains(&"none") => Err(("invalid_request", "prompt=none goes with no other value")),
        values if values.contains(&"login") || values.contains(&"select_account") => Ok(Prompt::Login),
        _ => Ok(Prompt::WhenNeeded),
    }
}

fn issue_code(
    grants: &mut super::grants::Grants,
    authorization: &AuthorizationRequest,
    session: &ProviderSession,
    now: UnixTime,
) -> String {
    let grant = Grant {
        user: session.user,
        scopes: authorization.scopes.clone(),
        nonce: authorization.nonce.clone(),
        auth_time: session.auth_time,
        sid: session.sid.clone(),
    };
    grants.issue_code(grant, &authorization.redirect_uri, &authorization.code_challenge, now)
}

fn code_location(provider: &Provider, authorization: &AuthorizationRequest, code: &str) -> String {
    location(provider, authorization.state.as_deref(), &[("code", code)])
}

fn redirect_with_error(provider: &Provider, state: Option<&str>, error: &str, description: &str) -> HttpResponse {
    let location = location(provider, state, &[("error", error), ("error_description", description)]);
    HttpResponse::SeeOther().insert_header((LOCATION, location)).finish()
}

/// The registered redirect URI with the response's parameters, `iss` among them (RFC 9207 §2).
fn location(provider: &Provider, state: Option<&str>, parameters: &[(&str, &str)]) -> String {
    let mut url: Url = provider.redirect_url.clone();
    url.query_pairs_mut()
        .extend_pairs(parameters)
        .extend_pairs(state.map(|state| ("state", state)))
        .append_pair("iss", &provider.issuer);
    url.into()
}

/// The value of the provider's own cookie.
pub fn session_cookie(request: &HttpRequest) -> Option<String> {
    request
        .headers()
        .get_all(COOKIE)
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OpenID Connect Core §3.1.2.1
    #[test]
    fn prompt_none_goes_with_no_other_value() {
        assert_eq!(prompt("none"), Ok(Prompt::None));
        assert_eq!(prompt(""), Ok(Prompt::WhenNeeded));
        assert_eq!(prompt("consent"), Ok(Prompt::WhenNeeded));
        assert_eq!(prompt("login consent"), Ok(Prompt::Login));
        assert!(prompt("none login").is_err());
        assert!(prompt("magic").is_err());
    }
}
