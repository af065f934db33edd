//! `GET /bff/user`: who is signed in, and for how long.

use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};

use crate::proxy::CsrfMode;
use crate::refresh::Usable;
use crate::session::UserFormat;
use crate::session::store::ActiveSession;
use crate::web::problem::{INVALID_REQUEST, Problem};
use crate::web::query::Parameters;
use crate::web::{Services, append_cookies, csrf, own_response};

/// Claims that speak of the ID token, not of the user (OpenID Connect Core §2); and where further claims lie, which may
/// hold access tokens (§5.6.2).
const PROTOCOL_CLAIMS: [&str; 14] = [
    "iss",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "nonce",
    "azp",
    "at_hash",
    "c_hash",
    "s_hash",
    "rt_hash",
    "_claim_names",
    "_claim_sources",
];

/// Answers with the user's claims and the remaining seconds; `?slide=false` does not count as activity.
///
/// # Errors
/// 401 when signed out, 403 for other origins.
pub fn handle(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let format = services.sessions.settings().user_format;
    let answered = answer(services, request, CsrfMode::Header, |active, touched| {
        let claims = user_claims(services, active, touched);
        match format {
            UserFormat::Object => Value::Object(claims),
            UserFormat::Duende { .. } => duende(claims),
        }
    });
    match answered {
        Err(problem) if problem.is_signed_out() && format == UserFormat::Duende { anonymous_is_null: true } => {
            let mut response = own_response(HttpResponse::Ok()).json(Value::Null);
            append_cookies(&mut response, problem.into_cookies());
            Ok(response)
        }
        answered => answered,
    }
}

/// As Duende's BFF lists the claims of a .NET principal: one entry a value, and each value a text, but for what it says
/// itself (`bff:…`).
fn duende(claims: Map<String, Value>) -> Value {
    let values = |value| match value {
        Value::Array(values) => values,
        Value::Null => Vec::new(),
        value => vec![value],
    };
    let text = |kind: &str, value: Value| match value {
        Value::String(_) => value,
        value if kind.starts_with("bff:") => value,
        value => value.to_string().into(),
    };
    let entries = claims.into_iter().flat_map(|(kind, value)| {
        let entry = |value| json!({ "type": kind.clone(), "value": text(&kind, value) });
        values(value).into_iter().map(entry).collect::<Vec<_>>()
    });
    Value::Array(entries.collect())
}

/// Answers with what `body` makes of the session, and of whether this request counts as its activity.
///
/// # Errors
/// As [`handle`].
pub(super) fn answer(
    services: &Services,
    request: &HttpRequest,
    csrf: CsrfMode,
    body: impl FnOnce(&ActiveSession, bool) -> Value,
) -> Result<HttpResponse, Problem> {
    csrf::check(csrf, request, &services.site)?;
    let parameters = Parameters::parse(request.query_string().as_bytes());
    let slide = match parameters.single("slide") {
        Ok(None | Some("true")) => true,
        Ok(Some("false")) => false,
        _ => return Err(Problem::new(&INVALID_REQUEST, "slide is true or false.")),
    };
    let cookies = services.cookies(request);
    let mut active = services.session(&cookies)?;
    let Usable { session, renewed } = services.refresher.look(&active);
    active.last_seen = active.last_seen.max(session.issued_at);
    active.session = session;
    let touched = if slide { services.sessions.touch(&active) } else { None };
    let mut response = own_response(HttpResponse::Ok()).json(body(&active, touched.is_some()));
    append_cookies(&mut response, touched);
    if let Some(sealed) = renewed.as_ref().and_then(|renewed| services.refresher.to_deliver(renewed)) {
        append_cookies(&mut response, services.sessions.deliver(&sealed, &cookies));
    }
    Ok(response)
}

fn user_claims(services: &Services, active: &ActiveSession, touched: bool) -> Map<String, Value> {
    let session = &active.session;
    let mut claims = session.claims();
    claims.retain(|name, _| !PROTOCOL_CLAIMS.contains(&name.as_str()) && !name.starts_with("bff:"));
    let lifetimes = lifetimes(services, active, touched);
    claims.extend(lifetimes);
    let logout_url = format!("{}/logout?sid={}", services.site.prefix, session.sid);
    claims.insert("bff:logout_url".into(), logout_url.into());
    if services.providers.are_several()
        && let Some(provider) = services.providers.of(&session.provider)
    {
        claims.insert("bff:provider".into(), provider.name.as_str().into());
    }
    claims.insert("bff:cookie_size".into(), active.cookie_characters.into());
    claims
}

/// The remaining seconds of the session and of its access token.
pub fn lifetimes(services: &Services, active: &ActiveSession, touched: bool) -> Map<String, Value> {
    let now = services.clock.now();
    let last_seen = if touched { now } else { active.last_seen };
    let idle_end = last_seen.plus(services.sessions.settings().idle_timeout);
    let session_end = active.session.absolute_end.min(idle_end);
    let access_token_end = active.session.access_token().map_or(now, |stored| stored.expires_at);
    let mut members = Map::new();
    members.insert("bff:session_expires_in".into(), now.until(session_end).as_secs().into());
    members.insert("bff:access_token_expires_in".into(), now.until(access_token_end).as_secs().into());
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    /// <https://docs.duendesoftware.com/bff/fundamentals/session/management/user/>
    #[test]
    fn duende_s_list_has_an_entry_for_each_value_and_texts_but_for_its_own() {
        let claims =
            json!({"sub": "ada", "groups": ["a", "b"], "level": 7, "nothing": null, "bff:session_expires_in": 60});
        let expected = json!([
            {"type": "sub", "value": "ada"},
            {"type": "groups", "value": "a"},
            {"type": "groups", "value": "b"},
            {"type": "level", "value": "7"},
            {"type": "bff:session_expires_in", "value": 60},
        ]);
        assert_eq!(duende(claims.as_object().cloned().expect("an object")), expected);
    }
}
