//! `GET /bff/login`: begins the code flow. Only a page load may; a fetch gets 401, never a flow.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};

use crate::metrics::Outcome;
use crate::oidc::{AuthorizationRequest, ProviderUnavailable, fresh_nonce, fresh_state, fresh_verifier};
use crate::return_url::ReturnUrl;
use crate::session::login_transaction::LoginTransaction;
use crate::session::store::Visible;
use crate::web::fetch_metadata::{self, is_same_origin_frame, shows_no_top_level_navigation};
use crate::web::problem::{INVALID_REQUEST, INVALID_RETURN_URL, LOGIN_NEEDS_NAVIGATION, Problem, SIGN_IN_RETRY_AFTER};
use crate::web::query::{Parameters, Repeated};
use crate::web::{Services, append_cookies, own_response};

/// Sends the browser to the provider with a fresh login transaction (RFC 9700 §2.1.1, RFC 7636 §4.2).
///
/// # Errors
/// 400 for a bad return URL or parameter, 401 for what is no page load, 503 while the provider is not known.
pub async fn handle(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let parameters = Parameters::parse(request.query_string().as_bytes());
    let silent = matches!(parameters.single("prompt"), Ok(Some("none"))) && is_same_origin_frame(request);
    if shows_no_top_level_navigation(request) && !silent {
        return Err(Problem::new(&LOGIN_NEEDS_NAVIGATION, "Load this address as a page; do not fetch it."));
    }
    let return_url = return_url(services, &parameters)?;
    let extra = passthrough(services, &parameters, |_| true)?;
    let silent = extra.iter().any(|(name, value)| name == "prompt" && value == "none");
    begin(services, request, Flow { return_url: return_url.as_str(), extra, silent }).await
}

/// What one login is like.
pub(super) struct Flow<'a> {
    /// Where it leads; a checked path, or one of ours.
    pub(super) return_url: &'a str,
    /// Parameters of the authorization request beside those that secure the flow.
    pub(super) extra: Vec<(String, String)>,
    /// Whether the provider must not ask the user anything (`prompt=none`).
    pub(super) silent: bool,
}

/// Begins a login in this browser, and leads it to the provider.
///
/// # Errors
/// 503 while the provider is not known.
pub(super) async fn begin(services: &Services, request: &HttpRequest, flow: Flow<'_>) -> Result<HttpResponse, Problem> {
    let Flow { return_url, mut extra, silent } = flow;
    if let Some(preset) = services.provider.settings().particulars.preset {
        preset.complete(&mut extra);
    }
    let cookies = services.cookies(request);
    services.provider.ready().await.map_err(|error| unavailable(services, &error))?;
    let transaction = LoginTransaction {
        state: fresh_state(),
        nonce: fresh_nonce(),
        verifier: fresh_verifier(),
        return_url: return_url.to_owned(),
        started_at: services.clock.now(),
        provider: services.sessions.provider().clone(),
        replaces: services.sessions.replaced(&cookies),
        silent,
    };
    let redirect_uri = services.site.redirect_uri();
    let authorization = AuthorizationRequest {
        state: &transaction.state,
        nonce: &transaction.nonce,
        verifier: &transaction.verifier,
        redirect_uri: &redirect_uri,
        extra,
    };
    let url = services.provider.authorization_url(&authorization).map_err(|error| unavailable(services, &error))?;
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
        Ok(Some(text)) => ReturnUrl::parse(text, &services.site.prefix).map_err(|error| refused(&error)),
        Err(Repeated) => Err(refused(&"returnUrl is given more than once")),
    }
}

/// The parameters that may go on to the provider, of those that are `wanted`.
pub(super) fn passthrough(
    services: &Services,
    parameters: &Parameters,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String)>, Problem> {
    let mut extra = Vec::new();
    for name in services.provider.settings().passthrough_parameters.iter().filter(|name| wanted(name)) {
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

fn unavailable(services: &Services, error: &ProviderUnavailable) -> Problem {
    tracing::warn!(%error, "no login is possible now");
    services.metrics.count_login(Outcome::Unavailable);
    Problem::provider_unavailable(SIGN_IN_RETRY_AFTER)
}

fn internal(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "a login cannot begin");
    Problem::internal()
}
