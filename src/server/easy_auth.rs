//! The part of the route table that `server.compat = "easyauth"` adds: all of `/.auth`, so that nothing of the app can
//! lie there.

use actix_web::http::Method;
use actix_web::{HttpRequest, web};

use super::{Answered, endpoint};
use crate::metrics::Handler;
use crate::web::Services;
use crate::web::callback;
use crate::web::easy_auth::{self, EasyAuth, PREFIX};
use crate::web::problem::{NOT_FOUND, Problem};

/// Easy Auth's names and the endpoint under its prefix; none: the path lies elsewhere, or nobody wants these endpoints.
pub(super) fn find<'a>(services: &'a Services, path: &'a str) -> Option<(&'a EasyAuth, &'a str)> {
    Some((services.site.easy_auth.as_ref()?, endpoint(PREFIX, path)?))
}

pub(super) async fn call(
    (names, endpoint): (&EasyAuth, &str),
    services: &Services,
    request: &HttpRequest,
    payload: web::Payload,
) -> Answered {
    let method = request.method();
    let login = endpoint.strip_prefix("/login/").and_then(|rest| names.login_endpoint(rest));
    match (endpoint, login, method) {
        (_, Some(""), &Method::GET) => (Handler::Login, easy_auth::login::handle(services, request).await),
        (_, Some("/callback"), &Method::GET | &Method::POST) => {
            (Handler::Callback, callback::handle(services, services.providers.default_one(), request, payload).await)
        }
        ("/login/done", _, &Method::GET) => (Handler::Login, Ok(easy_auth::login::done(request))),
        ("/me", _, &Method::GET) => (Handler::User, easy_auth::me::handle(services, request, names.provider())),
        ("/refresh", _, &Method::GET | &Method::POST) => {
            (Handler::Refresh, easy_auth::refresh(services, request).await)
        }
        ("/logout", _, &Method::GET | &Method::POST) => {
            (Handler::Logout, easy_auth::logout::handle(services, request).await)
        }
        // Some of its documents have the one name and some the other.
        ("/logout/complete" | "/logout/done", _, &Method::GET) => {
            (Handler::Logout, easy_auth::logout::complete(services, request))
        }
        (_, Some("/callback"), _) | ("/refresh" | "/logout", _, _) => {
            (Handler::Other, Err(Problem::method_not_allowed("GET, POST")))
        }
        (_, Some(_), _) | ("/login/done" | "/me" | "/logout/complete" | "/logout/done", _, _) => {
            (Handler::Other, Err(Problem::method_not_allowed("GET")))
        }
        _ => (Handler::Other, Err(Problem::new(&NOT_FOUND, "There is no endpoint of this name."))),
    }
}
