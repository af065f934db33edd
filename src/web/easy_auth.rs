//! The endpoints of Azure App Service authentication ("Easy Auth") in front of our own, for apps that were written for
//! it (`server.compat = "easyauth"`).
//!
//! Each translates names and leaves the work to the endpoint of ours that does the same. Must never do what that one
//! would not: no token in an answer, no logout and no refresh because another site asks for it.

pub mod login;
pub mod logout;
pub mod me;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse};

use crate::proxy::CsrfMode;
use crate::return_url::ReturnUrl;
use crate::web::fetch_metadata::is_same_origin;
use crate::web::problem::{INVALID_REQUEST, INVALID_RETURN_URL, Problem};
use crate::web::query::Parameters;
use crate::web::{Services, Site, refresh};

/// What all its endpoints lie under.
pub const PREFIX: &str = "/.auth";
/// Where a login leads that says nothing else.
pub const LOGGED_IN: &str = "/.auth/login/done";
/// Where the provider sends the browser after a logout.
pub const LOGGED_OUT: &str = "/.auth/logout/complete";

/// Easy Auth's names for this site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EasyAuth {
    provider: String,
}

impl EasyAuth {
    /// With what it calls the provider, `aad`: lower-case letters, digits and dashes.
    pub fn new(provider: &str) -> Self {
        Self { provider: provider.to_owned() }
    }

    /// What it calls the provider.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The path that a registration made for Easy Auth has as its redirect URI.
    pub fn callback_path(&self) -> String {
        format!("{PREFIX}/login/{}/callback", self.provider)
    }

    /// The endpoint below `/.auth/login/`, if the provider is ours: empty, or `/callback`.
    pub fn login_endpoint<'a>(&self, rest: &'a str) -> Option<&'a str> {
        let endpoint = rest.strip_prefix(self.provider.as_str())?;
        matches!(endpoint, "" | "/callback").then_some(endpoint)
    }
}

/// `GET|POST /.auth/refresh`: as `/bff/refresh`. Easy Auth's is a GET without a header of its own, so our own pages are
/// told by what browsers say of a request's origin.
///
/// # Errors
/// As [`refresh::handle`].
pub async fn refresh(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let from_our_page = is_same_origin(request, services.site.origin.as_str()) == Some(true);
    if from_our_page && *request.method() == Method::POST {
        return refresh::renew(services, request).await;
    }
    refresh::checked(services, request, CsrfMode::Metadata).await
}

/// The page of this site that the first of these parameters names that is there: a path, or an address of this site.
///
/// # Errors
/// 400 for anything else (RFC 9700 §4.11.1); Easy Auth's list of allowed external redirect URLs has no counterpart.
fn target(site: &Site, parameters: &Parameters, names: &[&'static str]) -> Result<Option<ReturnUrl>, Problem> {
    for name in names {
        let value = parameters.single(name);
        let value = value
            .map_err(|_| Problem::new(&INVALID_REQUEST, format!("The parameter {name} is given more than once.")))?;
        if let Some(text) = value {
            let local = match text.strip_prefix(site.origin.as_str()) {
                Some("") => "/",
                Some(rest) if rest.starts_with('/') => rest,
                _ => text,
            };
            let parsed = site.return_url(local);
            return parsed
                .map(Some)
                .map_err(|_| Problem::new(&INVALID_RETURN_URL, format!("{name} is not a page of this site.")));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site { easy_auth: Some(EasyAuth::new("aad")), ..Site::for_tests() }
    }

    fn parsed(query: &str) -> Result<Option<ReturnUrl>, Problem> {
        target(&site(), &Parameters::parse(query.as_bytes()), &["uri", "url"])
    }

    #[test]
    fn a_target_is_a_path_or_an_address_of_this_site() {
        for (query, path) in [
            ("uri=%2Forders%3Fpage%3D2", Some("/orders?page=2")),
            ("url=%2Forders", Some("/orders")),
            ("url=%2Fb&uri=%2Fa", Some("/a")),
            ("uri=https%3A%2F%2Fapp.example.com%2Forders%23x", Some("/orders#x")),
            ("uri=https%3A%2F%2Fapp.example.com", Some("/")),
            ("other=1", None),
        ] {
            let target = parsed(query).unwrap_or_else(|problem| panic!("{query}: {problem:?}"));
            assert_eq!(target.as_ref().map(ReturnUrl::as_str), path, "{query}");
        }
    }

    /// RFC 9700 §4.11.1.
    #[test]
    fn a_target_elsewhere_or_among_the_endpoints_is_refused() {
        for target in [
            "",
            "https://evil.example/",
            "https://app.example.com.evil.example/",
            "https://app.example.com@evil.example/",
            "//evil.example",
            "/\\evil.example",
            "/.auth/logout",
            "/.AUTH/login/aad",
            "/%2eauth/logout",
            "/bff/logout",
            "https://app.example.com/.auth/logout",
        ] {
            let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("uri", target).finish();
            assert!(parsed(&query).is_err(), "{target}");
        }
        assert!(parsed("uri=/a&uri=/b").is_err());
    }

    #[test]
    fn only_the_provider_of_this_site_has_endpoints() {
        let names = EasyAuth::new("aad");
        assert_eq!(names.callback_path(), "/.auth/login/aad/callback");
        assert_eq!(names.login_endpoint("aad"), Some(""));
        assert_eq!(names.login_endpoint("aad/callback"), Some("/callback"));
        for other in ["", "google", "aadx", "aad/", "aad/callback/", "AAD", "done"] {
            assert_eq!(names.login_endpoint(other), None, "{other}");
        }
    }
}
