//! Step-up authentication (RFC 9470): an API wants a stronger or a more recent login than the session's, and the app is
//! told how to begin one.
//!
//! Must never let an API's words into an address or a problem but through the strict reading of `challenge`.

mod challenge;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::WWW_AUTHENTICATE;
use serde_json::{Map, Value};
use url::form_urlencoded;

use self::challenge::StepUp;
use crate::session::Session;
use crate::web::Services;
use crate::web::problem::{Problem, STEP_UP_REQUIRED};

/// The problem that an upstream's 401 becomes when it asks for another login (RFC 9470 §3); its body is dropped then.
///
/// 403 and not 401: the app would take that for the end of the session, log in as before, and be sent back for ever.
/// The address is that of the session's own provider.
pub fn asked_for(services: &Services, session: &Session, response: &HttpResponse) -> Option<Problem> {
    if response.status() != StatusCode::UNAUTHORIZED {
        return None;
    }
    let fields = response.headers().get_all(WWW_AUTHENTICATE).map(|value| value.as_bytes());
    let wanted = challenge::step_up(fields)?;
    let provider = services.providers.of(&session.provider)?;
    let allowed = &provider.provider.settings().passthrough_parameters;
    let name = (!provider.is_default).then_some(provider.name.as_str());
    tracing::info!("an upstream asks for a stronger login");
    Some(problem(&services.site.prefix, name, &wanted, allowed))
}

fn problem(prefix: &str, provider: Option<&str>, wanted: &StepUp, allowed: &[String]) -> Problem {
    let parameters =
        [("acr_values", wanted.acr_values.clone()), ("max_age", wanted.max_age.map(|age| age.to_string()))];
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(provider) = provider {
        query.append_pair("provider", provider);
    }
    for (name, value) in &parameters {
        let Some(value) = value else { continue };
        if allowed.iter().any(|known| known == name) {
            query.append_pair(name, value);
        } else {
            tracing::warn!("an upstream asks for {name}, which provider.passthrough_parameters lacks");
        }
    }
    if wanted.acr_values.is_none() && wanted.max_age.is_none() {
        // It is not said what was lacking: the user is asked once more.
        query.append_pair("prompt", "login");
    }
    let mut members = Map::new();
    if let Some(acr_values) = &wanted.acr_values {
        members.insert("acr_values".into(), Value::from(acr_values.as_str()));
    }
    if let Some(max_age) = wanted.max_age {
        members.insert("max_age".into(), Value::from(max_age));
    }
    members.insert("login_url".into(), Value::from(format!("{prefix}/login?{}", query.finish())));
    Problem::new(&STEP_UP_REQUIRED, "Sign in again at login_url; it takes returnUrl, too.").with_members(members)
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;

    use super::*;

    async fn body(wanted: StepUp, allowed: &[&str]) -> Value {
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        let fetch = TestRequest::default().insert_header(("sec-fetch-mode", "cors")).to_http_request();
        let response = problem("/bff", None, &wanted, &allowed).respond(&fetch);
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let body = to_bytes(response.into_body()).await.expect("a body in memory");
        serde_json::from_slice(&body).expect("JSON")
    }

    fn wanted(acr_values: Option<&str>, max_age: Option<u32>) -> StepUp {
        StepUp { acr_values: acr_values.map(str::to_owned), max_age }
    }

    /// RFC 9470 §3, §4
    #[actix_web::test]
    async fn the_app_is_told_what_is_wanted_and_where_to_begin() {
        let body = body(wanted(Some("urn:a b&c"), Some(60)), &["acr_values", "max_age"]).await;
        assert_eq!(body["type"], "urn:sealgate:error:step-up-required");
        assert_eq!((&body["acr_values"], &body["max_age"]), (&Value::from("urn:a b&c"), &Value::from(60)));
        assert_eq!(body["login_url"], "/bff/login?acr_values=urn%3Aa+b%26c&max_age=60");
    }

    #[actix_web::test]
    async fn a_challenge_that_names_nothing_asks_the_user_again() {
        let body = body(wanted(None, None), &["prompt"]).await;
        assert_eq!(body["login_url"], "/bff/login?prompt=login");
    }

    #[actix_web::test]
    async fn what_may_not_pass_through_is_left_out_of_the_address() {
        let body = body(wanted(Some("x"), Some(0)), &["max_age"]).await;
        assert_eq!(body["login_url"], "/bff/login?max_age=0");
    }
}
