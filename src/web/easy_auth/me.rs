//! `GET /.auth/me`: who is signed in, as Easy Auth's token store tells it, without the tokens.

use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};

use crate::oidc::ClaimPath;
use crate::proxy::{CsrfMode, easy_auth};
use crate::web::problem::Problem;
use crate::web::{Services, user};

/// Answers with a list of one object: `provider_name`, `user_id`, `user_claims`, and `expires_on`, when the access token
/// expires. `access_token`, `id_token` and `refresh_token`, which Easy Auth hands to every script of the page, are never
/// there: what needs them gets them as headers. May be loaded as a page, as people do to look at it.
///
/// # Errors
/// 401 when signed out, 403 for other origins.
pub fn handle(services: &Services, request: &HttpRequest, provider: &str) -> Result<HttpResponse, Problem> {
    user::answer(services, request, CsrfMode::Page, |active, _| {
        let expires_on = active.session.access_token().map(|stored| stored.expires_at.to_string());
        json!([entry(provider, &active.session.claims(), expires_on)])
    })
}

fn entry(provider: &str, claims: &Map<String, Value>, expires_on: Option<String>) -> Value {
    let mut entry = json!({
        "provider_name": provider,
        "user_id": easy_auth::user_id(claims),
        "user_claims": easy_auth::user_claims(claims, provider, &ClaimPath::new("roles")),
    });
    if let Some(expires_on) = expires_on {
        entry["expires_on"] = expires_on.into();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Azure App Service, "Work with OAuth tokens": the answer of `/.auth/me`, but for its tokens.
    #[test]
    fn the_entry_has_the_members_of_easy_auth_s_and_no_token() {
        let claims = json!({"sub": "s", "oid": "o", "email": "ada@example.com", "iss": "https://login.example.com"});
        let entry = entry("aad", claims.as_object().expect("an object"), Some("2026-11-23T10:00:00Z".to_owned()));
        let mut names: Vec<_> = entry.as_object().expect("an object").keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["expires_on", "provider_name", "user_claims", "user_id"]);
        assert_eq!((&entry["provider_name"], &entry["user_id"]), (&json!("aad"), &json!("ada@example.com")));
        let email = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress";
        let claims = entry["user_claims"].as_array().expect("a list");
        assert!(claims.contains(&json!({"typ": email, "val": "ada@example.com"})), "{claims:?}");
    }
}
