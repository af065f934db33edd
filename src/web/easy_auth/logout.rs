//! `GET|POST /.auth/logout`: as `/bff/logout`, with Easy Auth's parameter for where to go.
//!
//! Easy Auth's is a GET that any site can have a browser send. Ours ends a session only when a page of this site, or
//! the user, wants it: who is led here from elsewhere is asked.

use actix_web::{HttpRequest, HttpResponse};
use url::form_urlencoded;

use super::target;
use crate::return_url::ReturnUrl;
use crate::session::Session;
use crate::web::fetch_metadata::is_navigation;
use crate::web::page::{self, SignedOutAt};
use crate::web::problem::{LOGOUT_NOT_FOUND, LOGOUT_REFUSED, Problem};
use crate::web::query::Parameters;
use crate::web::{Services, logged_out, logout};

/// Signs the browser out, or asks whether it shall.
///
/// # Errors
/// 403 for a fetch of another site.
pub async fn handle(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let parameters = Parameters::parse(request.query_string().as_bytes());
    let then = target(&services.site, &parameters, &["post_logout_redirect_uri", "post_logout_redirect_url"])?;
    let answered = logout::sign_out(services, request, then.as_ref()).await;
    match answered {
        Err(problem) if problem.is(&LOGOUT_REFUSED) && is_navigation(request) => {
            match services.sessions.open(&services.cookies(request)) {
                Ok(active) => Ok(ask(request, &active.session, then.as_ref())),
                Err(_) => Err(problem),
            }
        }
        answered => answered,
    }
}

/// A page with the session's own link, which no other site knows.
fn ask(request: &HttpRequest, session: &Session, then: Option<&ReturnUrl>) -> HttpResponse {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("sid", &session.sid.to_string());
    if let Some(then) = then {
        query.append_pair("post_logout_redirect_uri", then.as_str());
    }
    page::asked(request, "sign-out-asked", &format!("/.auth/logout?{}", query.finish()))
}

/// `GET /.auth/logout/complete`: where the provider sends the browser after a logout. With the `state` that was sent, it
/// leads on to where that logout should lead; without one, as some providers have it, it says that nobody is signed in.
///
/// # Errors
/// 400 for a `state` that no logout of this browser had, and without one while somebody is signed in.
pub fn complete(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    match logged_out::state(services, request)? {
        Some(state) => Ok(logged_out::end(services, request, &state)),
        None if services.sessions.open(&services.cookies(request)).is_ok() => {
            Err(Problem::new(&LOGOUT_NOT_FOUND, "You are still signed in. Sign out from within the application."))
        }
        None => Ok(page::signed_out(request, SignedOutAt::Everywhere)),
    }
}
