//! `GET /.auth/login/<name>`: as `/bff/login`, with Easy Auth's parameter for where to go.
//!
//! Its client-directed sign-in, a POST with tokens that the app has got itself, has no counterpart: an app that holds
//! tokens is what a BFF is there to avoid.

use actix_web::{HttpRequest, HttpResponse};

use super::{LOGGED_IN, target};
use crate::return_url::ReturnUrl;
use crate::web::page;
use crate::web::problem::Problem;
use crate::web::query::Parameters;
use crate::web::{Services, login};

/// Sends the browser to the provider. Further parameters go along as far as `provider.passthrough_parameters` lets them.
///
/// # Errors
/// As [`login::handle`].
pub async fn handle(services: &Services, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let parameters = Parameters::parse(request.query_string().as_bytes());
    login::check_navigation(request, &parameters)?;
    let target = target(&services.site, &parameters, &["post_login_redirect_uri", "post_login_redirect_url"])?;
    login::lead_to_provider(services, request, &parameters, target.as_ref().map_or(LOGGED_IN, ReturnUrl::as_str)).await
}

/// `GET /.auth/login/done`: the end of a login that leads nowhere else.
pub fn done(request: &HttpRequest) -> HttpResponse {
    page::told(request, "signed-in")
}
