//! `GET /bff/login`: begins the code flow. Only a page load may; a fetch gets 401, never a flow.

use std::time::Duration;

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};

use crate::metrics::Outcome;
use crate::oidc::{AuthorizationError, AuthorizationRequest, fresh_nonce, fresh_state, fresh_verifier};
use crate::return_url::ReturnUrl;
use crate::session::login_transaction::LoginTransaction;
use crate::session::providers::SiteProvider;
use crate::session::store::Visible;
use crate::web::fetch_metadata::{self, is_same_origin_frame, shows_no_top_level_navigation};
use crate::web::problem::{
    INVALID_REQUEST, INVALID_RETURN_URL, LOGIN_FAILED, LOGIN_NEEDS_NAVIGATION, Problem, SIGN_IN_RETRY_AFTER,
};
use crate::web::query::{Parameters, Repeated};
use crate::web::{Services, append_cookies, own_response, silent_login};

/// The parameter that says which provider is asked.
pub(super) const PROVIDER: &str = "provider";

/// Sends the browser to the provider with a fresh login transaction (RFC 9700 §2.1.1, RFC 7636 §4.2).
///
/// # Errors
/// 400 for a bad return URL or parameter, 401 for what is no page load, 502 when the provider does not take the request
/// that was pushed to it, 503 while it cannot be asked.
pub async fn handle(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let parameters = Parameters::parse(request.query_string().as_bytes());
    check_navigation(request, &parameters)?;
    if is_same_origin_frame(request) && matches!(parameters.single("returnUrl"), Ok(None)) {
        // It asked for no page to be shown in it.
        return silent_login::begin(services, request, &parameters).await;
    }
    let return_url = return_url(services, &parameters)?;
    lead_to_provider(services, request, &parameters, return_url.as_str()).await
}

/// Whether the request is a page load, or the frame of a silent login.
///
/// # Errors
/// 401.
pub(super) fn check_navigation(request: &HttpRequest, parameters: &Parameters) -> Result<(), Problem> {
    let silent = matches!(parameters.single("prompt"), Ok(Some("none"))) && is_same_origin_frame(request);
    if shows_no_top_level_navigation(request) && !silent {
        return Err(Problem::new(&LOGIN_NEEDS_NAVIGATION, "Load this address as a page; do not fetch it."));
    }
    Ok(())
}

/// Begins the login that these parameters ask for; `return_url` is a checked path, or one of ours.
///
/// # Errors
/// As [`handle`].
pub(super) async fn lead_to_provider(
    services: &Services,
    request: &HttpRequest,
    parameters: &Parameters,
    return_url: &str,
) -> Result<HttpResponse, Problem> {
    let provider = provider(services, parameters)?;
    let extra = passthrough(provider, parameters, |_| true)?;
    let silent = extra.iter().any(|(name, value)| name == "prompt" && value == "none");
    let max_age = max_age(provider, parameters)?;
    begin(services, request, Flow { provider, return_url, extra, max_age, silent }).await
}

/// The provider that `provider` names; without it the default one. Where there is one alone the parameter is none of ours:
/// it may be one that passes through.
pub(super) fn provider<'a>(services: &'a Services, parameters: &Parameters) -> Result<&'a SiteProvider, Problem> {
    if !services.providers.are_several() {
        return Ok(services.providers.default_one());
    }
    let named = match parameters.single(PROVIDER) {
        Ok(None) => return Ok(services.providers.default_one()),
        Ok(Some(name)) => services.providers.named(name),
        Err(Repeated) => None,
    };
    let refused = || Problem::new(&INVALID_REQUEST, "The parameter provider is repeated, or names none of ours.");
    named.ok_or_else(refused)
}

/// What one login is like.
pub(super) struct Flow<'a> {
    /// Who is asked.
    pub(super) provider: &'a SiteProvider,
    /// Where it leads; a checked path, or one of ours.
    pub(super) return_url: &'a str,
    /// Parameters of the authorization request beside those that secure the flow.
    pub(super) extra: Vec<(String, String)>,
    /// The longest time since the user last proved who they are.
    pub(super) max_age: Option<Duration>,
    /// Whether the provider must not ask the user anything (`prompt=none`).
    pub(super) silent: bool,
}

/// Begins a login in this browser, and leads it to the provider.
///
/// # Errors
/// 502 when the provider does not take the request that was pushed to it, 503 while it cannot be asked.
pub(super) async fn begin(services: &Services, request: &HttpRequest, flow: Flow<'_>) -> Result<HttpResponse, Problem> {
    let Flow { provider, return_url, extra, max_age, silent } = flow;
    let cookies = services.cookies(request);
    let transaction = LoginTransaction {
        state: fresh_state(),
        nonce: fresh_nonce(),
        verifier: fresh_verifier(),
        return_url: return_url.to_owned(),
        started_at: services.clock.now(),
        provider: provider.id.clone(),
        replaces: services.sessions.replaced(&cookies),
        silent,
        max_age,
        response_mode: provider.provider.settings().authorization.response_mode,
    };
    let redirect_uri = services.site.redirect_uri(provider);
    let authorization = AuthorizationRequest {
        state: &transaction.state,
        nonce: &transaction.nonce,
        verifier: &transaction.verifier,
        redirect_uri: &redirect_uri,
        max_age,
        extra,
    };
    let url = provider.provider.authorization_url(&authorization).await;
    let url = url.map_err(|error| no_request(services, &error))?;
    let lines = services.sessions.begin_login(&transaction, &cookies, visible_cookies(request)).map_err(internal)?;
    services.metrics.count_login(Outcome::Started);
    let mut response = own_response(HttpResponse::SeeOther()).insert_header((LOCATION, url.as_str())).finish();
    append_cookies(&mut response, lines);
    Ok(response)
}

/// Where another site has led here, browsers keep strict cookies back (RFC 6265bis §5.8.3).
fn visible_cookies(request: &HttpRequest) -> Visible {
    match fetch_metadata::site(request) {
        Some("same-origin" | "same-site" | "none") => Visible::All,
        _ => Visible::PerhapsOnlyLax,
    }
}

/// RFC 9700 §4.11.1.
fn return_url(services: &Services, parameters: &Parameters) -> Result<ReturnUrl, Problem> {
    let refused = |reason: &dyn std::fmt::Display| Problem::new(&INVALID_RETURN_URL, format!("{reason}."));
    match parameters.single("returnUrl") {
        Ok(None) => Ok(ReturnUrl::root()),
        Ok(Some(text)) => services.site.return_url(text).map_err(|error| refused(&error)),
        Err(Repeated) => Err(refused(&"returnUrl is given more than once")),
    }
}

/// The parameters that may go on to the provider, of those that are `wanted`.
pub(super) fn passthrough(
    provider: &SiteProvider,
    parameters: &Parameters,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String)>, Problem> {
    let mut extra = Vec::new();
    for name in provider.provider.settings().passthrough_parameters.iter().filter(|name| wanted(name)) {
        match parameters.single(name) {
            Ok(None) => {}
            Ok(Some(value)) if value.len() <= 512 && !value.chars().any(char::is_control) => {
                extra.push((name.clone(), value.to_owned()));
            }
            _ => {
                return Err(Problem::new(
                    &INVALID_REQUEST,
                    format!("The parameter {name} is repeated, too long or not text."),
                ));
            }
        }
    }
    Ok(extra)
}

/// The shorter of what is configured and what the link asks for, if it may (OpenID Connect Core §3.1.2.1): a link must
/// not make an older sign-in do.
fn max_age(provider: &SiteProvider, parameters: &Parameters) -> Result<Option<Duration>, Problem> {
    const NAME: &str = "max_age";
    let settings = provider.provider.settings();
    let configured = settings.authorization.max_age;
    if !settings.passthrough_parameters.iter().any(|name| name == NAME) {
        return Ok(configured);
    }
    let asked = match parameters.single(NAME) {
        Ok(None) => return Ok(configured),
        Ok(Some(text)) => text.parse::<u32>().ok(),
        Err(Repeated) => None,
    };
    let asked = asked.map(|seconds| Duration::from_secs(u64::from(seconds)));
    let asked = asked.ok_or_else(|| {
        Problem::new(&INVALID_REQUEST, format!("The parameter {NAME} is repeated, or no whole number of seconds."))
    })?;
    Ok(Some(configured.map_or(asked, |configured| configured.min(asked))))
}

fn no_request(services: &Services, error: &AuthorizationError) -> Problem {
    if let AuthorizationError::Unavailable(unavailable) = error {
        tracing::warn!(%error, "no login is possible now");
        services.metrics.count_login(Outcome::Unavailable);
        return Problem::provider_unavailable(unavailable.retry_after().unwrap_or(SIGN_IN_RETRY_AFTER));
    }
    tracing::error!(%error, "a login cannot begin; `sealgate check` compares the configuration with the provider");
    services.metrics.count_login(Outcome::Invalid);
    let AuthorizationError::Rejected(refusal) = error else {
        return Problem::new(&LOGIN_FAILED, "The sign-in service could not be asked in the way that it wants.");
    };
    let detail = format!("The sign-in service did not take the request to sign in: {refusal}.");
    Problem::new(&LOGIN_FAILED, detail).in_words("login-not-begun").with_values([("code", refusal.to_string())])
}

fn internal(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "a login cannot begin");
    Problem::internal()
}
