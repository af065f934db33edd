//! Silent login: the provider is asked with `prompt=none` whether it knows the user, and asks the user nothing.
//!
//! `GET /bff/silent-login` does so in a frame of the app, and tells it the outcome by `postMessage`; `/bff/login` with
//! `prompt=none` does it with the whole page, and comes back with the reason in the address. Neither ever goes on to a
//! login that asks, so that nothing can go round in circles. Which browsers let frames see the provider's cookies is not
//! ours to decide.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::return_url::with_parameter;
use crate::session::login_transaction::LoginTransaction;
use crate::session::providers::SiteProvider;
use crate::web::fetch_metadata::{is_prefetch, is_same_origin_frame};
use crate::web::login::{self, Flow};
use crate::web::problem::{INVALID_REQUEST, LOGIN_NEEDS_NAVIGATION, Problem};
use crate::web::query::Parameters;
use crate::web::security_headers::Nonce;
use crate::web::{Services, Site, own_response};

/// How a provider says that it would have to ask the user (OpenID Connect Core §3.1.2.6).
const NEEDS_THE_USER: [&str; 4] =
    ["login_required", "interaction_required", "consent_required", "account_selection_required"];
/// The outcome of a login that succeeded.
const SIGNED_IN: &str = "signed-in";
/// The outcome of one that failed for another reason than the user.
const FAILED: &str = "failed";
/// What the app finds in the address that a page-wide silent login came back to.
const MARKER: &str = "bff_error";

/// Begins a silent login in a frame of the app, or shows that frame the outcome.
///
/// # Errors
/// 401 for anything but a frame of our own origin, 400 for an outcome that there is none of.
pub async fn handle(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let parameters = Parameters::parse(request.query_string().as_bytes());
    match parameters.single("outcome") {
        Ok(Some(outcome)) => message(&services.site, outcome),
        Ok(None) if is_same_origin_frame(request) && !is_prefetch(request) => {
            begin(services, request, &parameters).await
        }
        Ok(None) => Err(Problem::new(&LOGIN_NEEDS_NAVIGATION, "Load this address in a frame of the application.")),
        Err(_) => Err(Problem::new(&INVALID_REQUEST, "The parameter outcome is given more than once.")),
    }
}

/// Begins a silent login whose outcome the frame tells its page.
///
/// # Errors
/// As [`login::begin`]; 400 for a provider that there is none of.
pub(super) async fn begin(
    services: &Services,
    request: &HttpRequest,
    parameters: &Parameters,
) -> Result<HttpResponse, Problem> {
    let extra = vec![("prompt".to_owned(), "none".to_owned())];
    let return_url = address(&services.site, SIGNED_IN);
    let provider = provider(services, request, parameters)?;
    let max_age = provider.provider.settings().authorization.max_age;
    let flow = Flow { provider, return_url: &return_url, extra, max_age, silent: true };
    login::begin(services, request, flow).await
}

/// The provider that the address names, else that of the session which is there, else the default one: where the user is
/// signed in most likely.
fn provider<'a>(
    services: &'a Services,
    request: &HttpRequest,
    parameters: &Parameters,
) -> Result<&'a SiteProvider, Problem> {
    if services.providers.are_several() && matches!(parameters.single(login::PROVIDER), Ok(None)) {
        let session = services.sessions.open(&services.cookies(request)).ok();
        let own = session.and_then(|active| services.providers.of(&active.session.provider));
        return Ok(own.unwrap_or_else(|| services.providers.default_one()));
    }
    login::provider(services, parameters)
}

/// Where a silent login leads when it fails: in a frame to our own page, whatever the reason; with the whole page back to
/// the app, when the provider would have to ask the user. None: the failure is to be shown as any other.
pub(super) fn failure_address(site: &Site, transaction: &LoginTransaction, error: Option<&str>) -> Option<String> {
    let error = error.filter(|error| transaction.silent && NEEDS_THE_USER.contains(error));
    if transaction.return_url == address(site, SIGNED_IN) {
        return Some(site.origin.join(&address(site, error.unwrap_or(FAILED))));
    }
    Some(site.origin.join(&with_parameter(&transaction.return_url, MARKER, error?)))
}

fn address(site: &Site, outcome: &str) -> String {
    format!("{}/silent-login?outcome={outcome}", site.prefix)
}

/// A page that tells the frame's parent, if it is of our own origin, and does nothing else. The outcome is a hint, which
/// anybody who can load the frame could give: who is signed in, `/bff/user` says.
fn message(site: &Site, outcome: &str) -> Result<HttpResponse, Problem> {
    let known = [SIGNED_IN, FAILED].into_iter().chain(NEEDS_THE_USER).find(|known| *known == outcome);
    let outcome = known.ok_or_else(|| Problem::new(&INVALID_REQUEST, "The parameter outcome is not an outcome."))?;
    let mut message = json!({ "source": "bff-silent-login", "isLoggedIn": outcome == SIGNED_IN });
    if outcome != SIGNED_IN {
        message["error"] = outcome.into();
    }
    // JSON of our own words, and an origin: neither has a `<` in it.
    let script = format!("parent.postMessage({message}, {});", json!(site.origin.as_str()));
    let nonce = Nonce::fresh();
    let nonce = nonce.as_str();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    );
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Silent login</title>\
         <script nonce=\"{nonce}\">{script}</script></html>\n"
    );
    Ok(own_response(HttpResponse::build(StatusCode::OK))
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .body(page))
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;
    use crate::session::store::tests::worst;

    fn transaction(return_url: &str, silent: bool) -> LoginTransaction {
        let (_, _, login) = worst::first_login();
        LoginTransaction { return_url: return_url.into(), silent, ..login }
    }

    /// OpenID Connect Core §3.1.2.6
    #[test]
    fn a_page_comes_back_with_the_reason_only_where_the_user_would_have_been_asked() {
        let back = |silent, error| failure_address(&Site::for_tests(), &transaction("/a?b=c#d", silent), error);
        for error in NEEDS_THE_USER {
            assert_eq!(back(true, Some(error)), Some(format!("https://app.example.com/a?b=c&bff_error={error}#d")));
            assert_eq!(back(false, Some(error)), None, "a login that may ask shows why it failed");
        }
        assert_eq!(back(true, Some("access_denied")), None);
        assert_eq!(back(true, None), None);
    }

    #[test]
    fn a_frame_is_told_of_every_failure() {
        let frame = transaction(&address(&Site::for_tests(), SIGNED_IN), true);
        let back = |error| failure_address(&Site::for_tests(), &frame, error).expect("an address");
        assert_eq!(back(Some("login_required")), "https://app.example.com/bff/silent-login?outcome=login_required");
        for error in [None, Some("access_denied"), Some("<script>")] {
            assert_eq!(back(error), "https://app.example.com/bff/silent-login?outcome=failed");
        }
    }

    #[actix_web::test]
    async fn the_frame_s_page_speaks_to_our_origin_alone_and_runs_its_own_script_alone() {
        let response = message(&Site::for_tests(), "login_required").expect("a page");
        let policy = response.headers().get(CONTENT_SECURITY_POLICY).expect("one").to_str().expect("ASCII").to_owned();
        let body = to_bytes(response.into_body()).await.expect("a body in memory");
        let body = String::from_utf8(body.to_vec()).expect("UTF-8");
        let nonce = body.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce");
        assert!(policy.contains(&format!("script-src 'nonce-{nonce}';")), "{policy}");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'self'"), "{policy}");
        let call = r#"postMessage({"source":"bff-silent-login","isLoggedIn":false,"error":"login_required"}, "https://app.example.com")"#;
        assert!(body.contains(call), "{body}");
    }

    #[test]
    fn an_outcome_that_there_is_none_of_is_refused() {
        for outcome in ["", "x", "</script>", "signed-in "] {
            assert!(message(&Site::for_tests(), outcome).is_err(), "{outcome}");
        }
    }
}
