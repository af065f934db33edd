//! `/bff/auth`: another proxy asks whether a browser's request may pass, for applications that it forwards to itself.
//!
//! An answer may hold an access token, cookies and claims for the application. It must never reach a browser: browsers
//! can come here through the same proxy, from the same address, with any header but one. So every question must come
//! from a trusted proxy and show the secret that only the proxy has; whoever does not gets 403 and nothing else. What the
//! question says of the original request is believed from that proxy alone, and only in the form that this proxy uses.

mod answer;
mod question;

use actix_web::http::header::COOKIE;
use actix_web::{HttpRequest, HttpResponse};

pub use self::question::AskingProxy;
use crate::proxy::{CsrfMode, IdentityHeader, Rule, SignedIdentity};
use crate::refresh::Usable;
use crate::secret::SecretString;
use crate::session::cookies::{RequestCookies, SetCookie};
use crate::session::store::ActiveSession;
use crate::web::api::user;
use crate::web::fetch_metadata::is_top_level_navigation;
use crate::web::original::Original;
use crate::web::problem::{FORWARD_AUTH_REFUSED, INVALID_REQUEST, Problem};
use crate::web::{Services, conflict, csrf};

/// The field in which the proxy shows the secret.
pub const SECRET_FIELD: &str = "x-sealgate-secret";

/// The endpoint's path behind the prefix.
const ENDPOINT: &str = "/auth";

/// How another proxy asks.
#[derive(Clone, Debug)]
pub struct ForwardAuthSettings {
    /// Which proxy it is.
    pub proxy: AskingProxy,
    /// What it shows in [`SECRET_FIELD`], one of these: visible ASCII.
    pub secrets: Vec<SecretString>,
    /// How forged requests are told from our own.
    pub csrf: CsrfMode,
    /// Whether answers carry the access token.
    pub access_token: bool,
    /// Whether answers carry the cookies that are not ours.
    pub forward_cookies: bool,
    /// What is asked of users; the methods are those of the original requests.
    pub rules: Vec<Rule>,
    /// What the application is told of users.
    pub headers: Vec<IdentityHeader>,
    /// Whether answers carry a signed identity.
    pub signed_identity: SignedIdentity,
}

/// The settings for a question to `endpoint`, its path behind the prefix, and what lies behind the endpoint; none: this
/// is no question that the configured proxy asks.
pub fn question<'a>(
    services: &'a Services,
    request: &'a HttpRequest,
    endpoint: &str,
) -> Option<(&'a ForwardAuthSettings, &'a str)> {
    let settings = services.forward_auth.as_ref()?;
    let rest = endpoint.strip_prefix(ENDPOINT)?;
    if !(rest.is_empty() || settings.proxy.asks_below() && rest.starts_with('/')) {
        return None;
    }
    let target = request.uri().path_and_query()?.as_str();
    Some((settings, &target[services.site.prefix.len() + ENDPOINT.len()..]))
}

/// Answers for the original request, in the way that the proxy understands.
///
/// # Errors
/// 403 for who may not ask, 400 for a question that does not say what the original is.
pub async fn handle(
    services: &Services,
    settings: &ForwardAuthSettings,
    request: &HttpRequest,
    behind: &str,
) -> Result<HttpResponse, Problem> {
    check_asker(services, settings, request)?;
    let original = settings.proxy.original(request, behind).map_err(|error| {
        tracing::warn!(%error, "a question of the proxy in front cannot be read; docs/forward-auth.md has its configuration");
        Problem::new(&INVALID_REQUEST, format!("The question of the proxy in front is not complete: {error}."))
    })?;
    let cookies = services.cookies(request);
    let response = match decide(services, settings, request, &original, &cookies).await {
        Ok(Verdict::Passes(passing)) => answer::passes(services, settings, request, &passing),
        Ok(Verdict::Other(response)) => response,
        Err(problem) if problem.is_signed_out() && is_page_load(request, &original) => {
            answer::to_login(services, &original, problem)
        }
        Err(problem) => problem.respond(request),
    };
    Ok(settings.proxy.shaped(response))
}

/// One whose session lets it pass.
struct Passing {
    usable: Usable,
    identity: user::Fields,
    lines: Vec<SetCookie>,
}

enum Verdict {
    Passes(Box<Passing>),
    /// The original has to be sent again.
    Other(HttpResponse),
}

fn check_asker(services: &Services, settings: &ForwardAuthSettings, request: &HttpRequest) -> Result<(), Problem> {
    let peer = request.peer_addr().map(|address| address.ip());
    let mut shown = request.headers().get_all(SECRET_FIELD);
    let shown = match (shown.next().and_then(|value| value.to_str().ok()), shown.next()) {
        (Some(secret), None) => SecretString::new(secret),
        _ => SecretString::default(),
    };
    // Compared with all, so that the time does not tell which.
    let knows_the_secret = settings.secrets.iter().fold(false, |knows, secret| knows | (*secret == shown));
    if services.site.trusts(peer) && knows_the_secret {
        return Ok(());
    }
    tracing::info!(?peer, trusted = services.site.trusts(peer), knows_the_secret, "somebody may not ask for others");
    Err(Problem::new(&FORWARD_AUTH_REFUSED, "Only the proxy in front may ask this, with its secret."))
}

/// Who is shown a page in place of the answer, if there is one.
fn is_page_load(request: &HttpRequest, original: &Original<'_>) -> bool {
    matches!(original.method.as_str(), "GET" | "HEAD") && is_top_level_navigation(request)
}

async fn decide(
    services: &Services,
    settings: &ForwardAuthSettings,
    request: &HttpRequest,
    original: &Original<'_>,
    cookies: &RequestCookies<'_>,
) -> Result<Verdict, Problem> {
    csrf::check_original(settings.csrf, request, &original.method, original.opens_websocket, &services.site)?;
    let active = services.session(cookies)?;
    let usable = match services.refresher.usable(&active).await {
        Ok(usable) => usable,
        Err(unusable) => {
            let again = conflict::answer_original(services, original, &active, cookies, unusable).await;
            return again.map(Verdict::Other);
        }
    };
    let identity =
        user::of_session_for(services, &settings.rules, &settings.headers, &original.method, &usable.session);
    // Only now: while it was refreshed, it may have been refreshed again, or ended.
    let lines = earned(services, &active, &usable, cookies);
    match identity {
        Ok(mut identity) => {
            identity.extend(services.identities.as_ref().and_then(|signed| signed.for_answers(&usable.session)));
            Ok(Verdict::Passes(Box::new(Passing { usable, identity, lines })))
        }
        Err(problem) => Err(problem.with_cookies(lines)),
    }
}

/// The cookies that the original has earned: the refreshed session, else its activity, which a refresh is, too. Some
/// proxies can pass on few.
fn earned(
    services: &Services,
    active: &ActiveSession,
    usable: &Usable,
    cookies: &RequestCookies<'_>,
) -> Vec<SetCookie> {
    let sealed = usable.renewed.as_ref().and_then(|renewed| services.refresher.to_deliver(renewed));
    match sealed {
        Some(sealed) => services.sessions.deliver(&sealed, cookies),
        None => services.sessions.touch(active).into_iter().collect(),
    }
}

/// The cookies of the original that are not ours, on one line; none: there are none.
fn cookies_of_others(services: &Services, request: &HttpRequest) -> Option<Vec<u8>> {
    let line = services.own_names.cookies_of_others(request.headers().get_all(COOKIE).map(|value| value.as_bytes()));
    (!line.is_empty()).then_some(line)
}
