//! How each proxy says which request it asks about, and in which form it takes an answer.
//!
//! Only the fields that the configured proxy always writes itself are read: any other field, and any second copy of one,
//! may be the browser's own.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue, LOCATION, SET_COOKIE};

use crate::proxy::asks_for_websocket;
use crate::web::fetch_metadata;
use crate::web::original::Original;

/// Where nginx finds the address of a redirect, because it passes on nothing of a 401.
const REDIRECT: HeaderName = HeaderName::from_static("x-sealgate-redirect");
/// One `Set-Cookie` value each, for proxies that can pass on only the first of several fields of one name.
const NUMBERED_COOKIES: [HeaderName; 4] = [
    HeaderName::from_static("x-sealgate-set-cookie-1"),
    HeaderName::from_static("x-sealgate-set-cookie-2"),
    HeaderName::from_static("x-sealgate-set-cookie-3"),
    HeaderName::from_static("x-sealgate-set-cookie-4"),
];

/// A proxy that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskingProxy {
    /// `auth_request`: 200 lets pass, 401 and 403 do not, anything else is an error; no body and no field of an answer is
    /// passed on by itself.
    Nginx,
    /// `forwardAuth`: what is not 2xx goes to the browser as it is.
    Traefik,
    /// `forward_auth`: what is not 2xx goes to the browser as it is; of an answer that lets pass, a field's first value
    /// can be passed on.
    Caddy,
    /// `ext_authz` over HTTP: asks with the original's method and with its target behind a prefix.
    Envoy,
}

/// What a question lacks.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// A field is missing, repeated, or no text.
    #[error("{0} must be there once")]
    Field(&'static str),
    /// The method is none.
    #[error("{0} is not a method")]
    Method(&'static str),
    /// The target is no path.
    #[error("the original's address does not begin with a slash")]
    Target,
}

impl AskingProxy {
    /// The original that the question `request` is about; `behind` is the rest of its target, behind the endpoint.
    ///
    /// # Errors
    /// See [`QuestionError`].
    pub fn original<'a>(self, request: &'a HttpRequest, behind: &'a str) -> Result<Original<'a>, QuestionError> {
        let (method, target) = match self {
            Self::Nginx => (method(request, "x-original-method")?, single(request, "x-original-uri")?),
            Self::Traefik | Self::Caddy => {
                (method(request, "x-forwarded-method")?, single(request, "x-forwarded-uri")?)
            }
            Self::Envoy => (request.method().clone(), behind),
        };
        if !target.starts_with('/') {
            return Err(QuestionError::Target);
        }
        let opens_websocket = asks_for_websocket(request) || fetch_metadata::opens_websocket(request);
        Ok(Original { method, target, opens_websocket })
    }

    /// Whether questions have the original's target behind the endpoint's own path.
    pub fn asks_below(self) -> bool {
        self == Self::Envoy
    }

    /// The answer in a form that loses nothing of it at this proxy.
    pub(super) fn shaped(self, mut response: HttpResponse) -> HttpResponse {
        match self {
            Self::Nginx => {
                number_cookies(&mut response);
                let location = response.headers_mut().remove(LOCATION).next();
                if let Some(location) = location {
                    *response.status_mut() = actix_web::http::StatusCode::UNAUTHORIZED;
                    response.headers_mut().insert(REDIRECT, location);
                }
            }
            Self::Caddy if response.status().is_success() => number_cookies(&mut response),
            Self::Traefik | Self::Caddy | Self::Envoy => {}
        }
        response
    }
}

/// Those that find no place are deletions of what does no harm, or come again with a later answer.
fn number_cookies(response: &mut HttpResponse) {
    let lines: Vec<HeaderValue> = response.headers_mut().remove(SET_COOKIE).collect();
    for (name, line) in NUMBERED_COOKIES.into_iter().zip(lines) {
        response.headers_mut().insert(name, line);
    }
}

fn method(request: &HttpRequest, name: &'static str) -> Result<Method, QuestionError> {
    Method::from_bytes(single(request, name)?.as_bytes()).map_err(|_| QuestionError::Method(name))
}

fn single<'a>(request: &'a HttpRequest, name: &'static str) -> Result<&'a str, QuestionError> {
    let mut values = request.headers().get_all(name);
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(QuestionError::Field(name)),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::test::TestRequest;

    use super::*;

    const NGINX: [(&str, &str); 2] = [("X-Original-Method", "DELETE"), ("X-Original-URI", "/a?b=c")];
    const FORWARDED: [(&str, &str); 2] = [("X-Forwarded-Method", "PUT"), ("X-Forwarded-Uri", "/x?y=z")];

    fn original(
        proxy: AskingProxy,
        headers: &[(&'static str, &'static str)],
        behind: &str,
    ) -> Result<(String, String), QuestionError> {
        let request = headers.iter().fold(TestRequest::default(), |request, header| request.append_header(*header));
        let request = request.to_http_request();
        proxy.original(&request, behind).map(|original| (original.method.to_string(), original.target.to_owned()))
    }

    /// CVE-2026-40575: what a browser adds in another proxy's form is not looked at.
    #[test]
    fn each_proxy_is_believed_in_its_own_form_alone() {
        let both: Vec<_> = NGINX.into_iter().chain(FORWARDED).collect();
        let text = |method: &str, target: &str| Ok((method.to_owned(), target.to_owned()));
        assert_eq!(original(AskingProxy::Nginx, &both, ""), text("DELETE", "/a?b=c"));
        assert_eq!(original(AskingProxy::Traefik, &both, ""), text("PUT", "/x?y=z"));
        assert_eq!(original(AskingProxy::Caddy, &both, ""), text("PUT", "/x?y=z"));
        assert_eq!(original(AskingProxy::Envoy, &both, "/e?f"), text("GET", "/e?f"));
    }

    #[test]
    fn a_question_that_says_nothing_or_two_things_is_not_answered() {
        let missing = |name| Err(QuestionError::Field(name));
        assert_eq!(original(AskingProxy::Nginx, &FORWARDED, "/a"), missing("x-original-method"));
        assert_eq!(original(AskingProxy::Traefik, &NGINX, "/a"), missing("x-forwarded-method"));
        let twice = [NGINX[0], NGINX[1], ("x-original-uri", "/b")];
        assert_eq!(original(AskingProxy::Nginx, &twice, ""), missing("x-original-uri"));
        let twice = [NGINX[0], NGINX[1], ("x-original-method", "GET")];
        assert_eq!(original(AskingProxy::Nginx, &twice, ""), missing("x-original-method"));
        let odd = [("X-Original-Method", "GE T"), NGINX[1]];
        assert_eq!(original(AskingProxy::Nginx, &odd, ""), Err(QuestionError::Method("x-original-method")));
        let elsewhere = [NGINX[0], ("X-Original-URI", "https://evil.example/")];
        assert_eq!(original(AskingProxy::Nginx, &elsewhere, ""), Err(QuestionError::Target));
        assert_eq!(original(AskingProxy::Envoy, &[], ""), Err(QuestionError::Target));
    }

    fn redirect() -> HttpResponse {
        let mut builder = HttpResponse::SeeOther();
        builder.insert_header((LOCATION, "https://app.example.com/bff/login"));
        (1..=5).for_each(|number| {
            builder.append_header((SET_COOKIE, format!("c{number}=x")));
        });
        builder.finish()
    }

    /// nginx takes 401 and 403 for an answer, and one `Set-Cookie` of several.
    #[test]
    fn nginx_gets_redirects_and_cookies_in_fields_of_their_own() {
        let shaped = AskingProxy::Nginx.shaped(redirect());
        assert_eq!(shaped.status(), StatusCode::UNAUTHORIZED);
        let headers = shaped.headers();
        assert_eq!(headers.get(&REDIRECT).expect("it is there"), "https://app.example.com/bff/login");
        assert!(!headers.contains_key(LOCATION) && !headers.contains_key(SET_COOKIE));
        let numbered: Vec<_> = NUMBERED_COOKIES.iter().filter_map(|name| headers.get(name)).collect();
        assert_eq!(numbered, ["c1=x", "c2=x", "c3=x", "c4=x"]);
    }

    #[test]
    fn caddy_shows_redirects_as_they_are_and_takes_numbered_cookies_with_a_pass() {
        let shaped = AskingProxy::Caddy.shaped(redirect());
        assert_eq!((shaped.status(), shaped.headers().get_all(SET_COOKIE).count()), (StatusCode::SEE_OTHER, 5));
        let shaped = AskingProxy::Caddy.shaped(HttpResponse::Ok().append_header((SET_COOKIE, "a=b")).finish());
        assert!(!shaped.headers().contains_key(SET_COOKIE));
        assert_eq!(shaped.headers().get(&NUMBERED_COOKIES[0]).expect("it is there"), "a=b");
    }
}
