//! `GET|POST /bff/callback`: the provider's answer. `state` and `iss` are checked before anything is redeemed, and
//! nothing is used before the ID token verifies (RFC 9700 §4.5.3.2).

use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, LOCATION};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::metrics::Outcome;
use crate::oidc::{LoginRefused, RedeemError, Redemption, ResponseMode, TokenSet, UserInfo, check_login_limits};
use crate::secret::AuthorizationCode;
use crate::session::cookies::{RequestCookies, SetCookie};
use crate::session::login_transaction::LoginTransaction;
use crate::session::providers::SiteProvider;
use crate::session::store::{LoginDelivery, SealSessionError, SealedSession};
use crate::session::{NewSession, Session, SessionId, StoredAccessToken};
use crate::web::head::{MAX_HEAD, head_bytes};
use crate::web::landing;
use crate::web::page::{self, Page};
use crate::web::problem::{
    CONTENT_TOO_LARGE, INVALID_REQUEST, LOGIN_FAILED, LOGIN_NOT_ALLOWED, LOGIN_NOT_FOUND, LOGIN_REFUSED, Problem,
    REQUEST_TIMEOUT, SIGN_IN_RETRY_AFTER,
};
use crate::web::query::{Parameters, Repeated};
use crate::web::silent_login;
use crate::web::{Services, Site, append_cookies, own_response};

/// The largest form body that a provider may post.
const MAX_FORM_BYTES: usize = 16 * 1024;
/// How long it may take: anybody may begin to post one, and must not keep a connection with it.
const LONGEST_FORM: Duration = Duration::from_secs(10);
const ANOTHER_PROVIDER: &str = "The answer comes from another provider than the one that was asked.";

/// Completes the login that the callback's `state` belongs to. `provider` is the one whose redirect URI this is.
///
/// # Errors
/// A page: 400 for a callback that is no login's or not well formed, 403 when the login was refused, 502 when the
/// provider's answer does not pass, 503 when it cannot be asked.
pub async fn handle(
    services: &Services,
    provider: &SiteProvider,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let parameters = parameters(request, payload).await?;
    let answer = Answer::read(&parameters)?;
    let cookies = services.cookies(request);
    let Some(transaction) = services.sessions.login_transaction(answer.state, &cookies) else {
        services.metrics.count_login(Outcome::Invalid);
        return without_transaction(services, request, &cookies);
    };
    let Some(_turn) = services.redemptions.begin(answer.state) else {
        return Err(Problem::new(&LOGIN_NOT_FOUND, "It is being finished by another request of this browser."));
    };
    let checked = came_from_asked(services, provider, &transaction)
        .and_then(|()| came_as_asked(services, request.method(), &answer, &transaction));
    let result = match checked {
        Ok(()) => complete(services, provider, &answer, &transaction, &cookies).await,
        Err(problem) => Err(problem),
    };
    // Whatever came of it, the transaction is used up (RFC 9700 §4.2.4).
    let used_up = services.sessions.end_login(answer.state);
    result.or_else(|problem| {
        let error = answer.error.filter(|_| problem.is(&LOGIN_REFUSED));
        let Some(back) = silent_login::failure_address(&services.site, &transaction, error) else {
            return Err(problem.with_cookies([used_up]));
        };
        Ok(see_other(&back, [used_up]))
    })
}

/// What the provider's redirect says; repeated parameters are refused, unknown ones ignored (RFC 6749 §3.1).
struct Answer<'a> {
    state: &'a str,
    code: Option<&'a str>,
    error: Option<&'a str>,
    issuer: Option<&'a str>,
}

impl<'a> Answer<'a> {
    fn read(parameters: &'a Parameters) -> Result<Self, Problem> {
        let single = |name: &str| {
            let repeated =
                |Repeated| Problem::new(&INVALID_REQUEST, format!("The parameter {name} is given more than once."));
            parameters.single(name).map_err(repeated)
        };
        let (code, error, issuer) = (single("code")?, single("error")?, single("iss")?);
        single("error_description")?;
        let state = single("state")?.filter(|state| !state.is_empty());
        let state = state.ok_or_else(|| Problem::new(&INVALID_REQUEST, "The parameter state is missing."))?;
        Ok(Self { state, code, error, issuer })
    }
}

/// The parameters of a GET's query, or of a POST's form.
pub(super) async fn parameters(request: &HttpRequest, payload: web::Payload) -> Result<Parameters, Problem> {
    if *request.method() != Method::POST {
        return Ok(Parameters::parse(request.query_string().as_bytes()));
    }
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Problem::new(&INVALID_REQUEST, "The body is not a form."));
    }
    match tokio::time::timeout(LONGEST_FORM, payload.to_bytes_limited(MAX_FORM_BYTES)).await {
        Ok(Ok(Ok(body))) => Ok(Parameters::parse(&body)),
        Err(_) => Err(Problem::new(&REQUEST_TIMEOUT, "The form came too slowly.")),
        Ok(Err(_)) => Err(Problem::new(&CONTENT_TOO_LARGE, "The form is larger than any that a provider sends.")),
        _ => Err(Problem::new(&INVALID_REQUEST, "The form was cut off.")),
    }
}

/// A callback that no login of this browser waits for: reached by the back button, twice, or too late. It leads to the
/// application, never to a new flow.
pub(super) fn without_transaction(
    services: &Services,
    request: &HttpRequest,
    cookies: &RequestCookies<'_>,
) -> Result<HttpResponse, Problem> {
    if services.sessions.open(cookies).is_err() {
        let detail = "It took too long, was finished before, or began in another browser. Continue and sign in again.";
        return Err(Problem::new(&LOGIN_NOT_FOUND, detail));
    }
    tracing::debug!(path = request.path(), "a callback came to a browser that is signed in");
    let page = Page { continue_at_once: true, ..Page::of("signed-in-already") };
    Ok(page::respond(own_response(HttpResponse::build(StatusCode::BAD_REQUEST)), request, &page))
}

/// RFC 9700 §4.4.2.2: an answer at one provider's redirect URI, for a login that began with another one, is a mix-up. It
/// is found by the address, which every provider sends to as it was registered, and not by what an answer says: a
/// provider that names no issuer could have its codes carried to another one.
fn came_from_asked(
    services: &Services,
    provider: &SiteProvider,
    transaction: &LoginTransaction,
) -> Result<(), Problem> {
    if transaction.provider == provider.id {
        return Ok(());
    }
    tracing::warn!(target: "sealgate::audit", event = "mix_up", at = provider.name, "a callback came to the address of another provider than was asked");
    services.metrics.count_login(Outcome::Invalid);
    Err(Problem::new(&INVALID_REQUEST, ANOTHER_PROVIDER))
}

/// OAuth 2.0 Form Post Response Mode §2: a code that was to be posted is refused in a URL, where logs and the browser's
/// history have seen it, and one that was to come in a URL is refused in a form, which any page can post. An error has
/// nothing to hide, and providers send it as they can.
fn came_as_asked(
    services: &Services,
    method: &Method,
    answer: &Answer<'_>,
    transaction: &LoginTransaction,
) -> Result<(), Problem> {
    let came = if *method == Method::POST { ResponseMode::FormPost } else { ResponseMode::Query };
    let asked = transaction.response_mode;
    if came == asked || answer.error.is_some() {
        return Ok(());
    }
    tracing::warn!(?came, ?asked, "a callback came in another way than was asked for");
    services.metrics.count_login(Outcome::Invalid);
    Err(Problem::new(&INVALID_REQUEST, "The answer came in another way than was asked for."))
}

async fn complete(
    services: &Services,
    asked: &SiteProvider,
    answer: &Answer<'_>,
    transaction: &LoginTransaction,
    cookies: &RequestCookies<'_>,
) -> Result<HttpResponse, Problem> {
    let provider = &asked.provider;
    if let Err(error) = provider.ready().await {
        tracing::warn!(%error, "a callback cannot be checked now");
        services.metrics.count_login(Outcome::Unavailable);
        return Err(Problem::provider_unavailable(SIGN_IN_RETRY_AFTER));
    }
    provider.check_issuer_parameter(answer.issuer).map_err(|error| {
        tracing::warn!(%error, "a callback names another issuer");
        services.metrics.count_login(Outcome::Invalid);
        Problem::new(&INVALID_REQUEST, ANOTHER_PROVIDER)
    })?;
    if let Some(error) = answer.error {
        services.metrics.count_login(Outcome::Refused);
        tracing::info!(target: "sealgate::audit", event = "login_refused", error = %safe_code(error), "the provider refused a login");
        let code = safe_code(error);
        let problem = Problem::new(&LOGIN_REFUSED, format!("The sign-in service answered: {code}."));
        return Err(problem.with_values([("code", code.to_owned())]));
    }
    let code = answer.code.filter(|code| !code.is_empty());
    let code = code.ok_or_else(|| Problem::new(&INVALID_REQUEST, "The parameter code is missing."))?;
    let code = AuthorizationCode::new(code);
    let redeemed = provider.redeem(redemption(services, asked, code, transaction)).await;
    let tokens = redeemed.map_err(|error| redeem_problem(services, &error))?;
    let session = new_session(services, asked, tokens)?;
    signed_in(services, session, transaction, cookies)
}

fn redemption(
    services: &Services,
    asked: &SiteProvider,
    code: AuthorizationCode,
    transaction: &LoginTransaction,
) -> Redemption {
    Redemption {
        code,
        verifier: transaction.verifier.clone(),
        nonce: transaction.nonce.clone(),
        redirect_uri: services.site.redirect_uri(asked),
        max_age: transaction.max_age,
    }
}

/// Provider error codes are words of the printable kind (RFC 6749 §4.1.2.1); anything else is not repeated.
fn safe_code(error: &str) -> &str {
    let is_word = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    if error.len() <= 64 && error.chars().all(is_word) { error } else { "an error without a name" }
}

fn redeem_problem(services: &Services, error: &RedeemError) -> Problem {
    tracing::warn!(target: "sealgate::audit", event = "login_failed", %error, "a login failed");
    if let RedeemError::Unavailable(unavailable) = error {
        services.metrics.count_login(Outcome::Unavailable);
        return Problem::provider_unavailable(unavailable.retry_after().unwrap_or(SIGN_IN_RETRY_AFTER));
    }
    services.metrics.count_login(Outcome::Invalid);
    if matches!(error, RedeemError::Rejected(refusal) if refusal.code() == "invalid_grant") {
        return Problem::new(
            &LOGIN_NOT_FOUND,
            "The sign-in service no longer knows of it. Continue and sign in again.",
        );
    }
    Problem::new(&LOGIN_FAILED, "The sign-in service's answer was not acceptable. Continue and sign in again.")
}

fn new_session(services: &Services, asked: &SiteProvider, tokens: TokenSet) -> Result<Session, Problem> {
    let Some(id_token) = tokens.id_token else {
        services.metrics.count_login(Outcome::Invalid);
        return Err(Problem::new(&LOGIN_FAILED, "The sign-in service sent no ID token."));
    };
    let sid = SessionId::random().ok_or_else(Problem::internal)?;
    let now = services.clock.now();
    let new = NewSession {
        provider: asked.id.clone(),
        absolute_end: services.sessions.absolute_end(),
        access_token: StoredAccessToken::new(tokens.access_token, now, tokens.access_token_expires_at, tokens.scope),
        refresh_token: tokens.refresh_token,
        id_token,
    };
    let session = match tokens.userinfo {
        UserInfo::Claims(userinfo) => Session::begin(sid, new, now).with_userinfo(Some(userinfo)),
        UserInfo::Unused | UserInfo::Kept => Session::begin(sid, new, now),
    };
    check_login_limits(&asked.provider.settings().login_limits, &session.claims()).map_err(|error| {
        services.metrics.count_login(Outcome::Refused);
        // Nobody will ever use it.
        services.refresher.revoke_in_background(&session);
        tracing::info!(target: "sealgate::audit", event = "login_not_allowed", %error, "a user may not log in");
        not_allowed(error)
    })?;
    Ok(session)
}

fn not_allowed(reason: LoginRefused) -> Problem {
    if reason == LoginRefused::GroupsLeftOut {
        let detail =
            "Your account has too many groups for the sign-in service to name them. Ask the application's owner.";
        return Problem::new(&LOGIN_NOT_ALLOWED, detail).in_words("groups-left-out");
    }
    Problem::new(&LOGIN_NOT_ALLOWED, "Your account is not among those that may. Ask the application's owner.")
}

fn signed_in(
    services: &Services,
    session: Session,
    transaction: &LoginTransaction,
    cookies: &RequestCookies<'_>,
) -> Result<HttpResponse, Problem> {
    let sid = session.sid;
    let sealed = services.sessions.seal(session).map_err(|error| seal_problem(services, &error))?;
    let replaced = transaction.replaces.as_ref();
    let delivery = services.sessions.deliver_login(&sealed, transaction, cookies).map_err(|error| {
        tracing::error!(%error, "a tombstone cannot be sealed");
        Problem::internal()
    })?;
    if let Some(replaced) = replaced {
        services.refresher.forget(replaced.ended.sid);
        services.tunnels.end(replaced.ended.sid);
    }
    services.metrics.count_login(Outcome::Succeeded);
    tracing::info!(target: "sealgate::audit", event = "login", ?sid, "a user logged in");
    Ok(lead_home(&services.site, &sealed, delivery, transaction))
}

/// To the return URL; by way of a second step where the head of one response would not fit the buffer that nginx has
/// for it by default (more cookies than one do not fit it anyway), or where a tombstone has to wait for one.
fn lead_home(
    site: &Site,
    sealed: &SealedSession,
    delivery: LoginDelivery,
    transaction: &LoginTransaction,
) -> HttpResponse {
    let LoginDelivery { session, finish } = delivery;
    let whole = see_other(&site.origin.join(&transaction.return_url), session.iter().chain(&finish).cloned());
    let fits = sealed.chunks() > 1 || head_bytes(&whole) <= MAX_HEAD;
    if fits && !transaction.buries_later() {
        return whole;
    }
    see_other(&landing::address(site, transaction), session)
}

fn see_other(location: &str, lines: impl IntoIterator<Item = SetCookie>) -> HttpResponse {
    let mut response = own_response(HttpResponse::SeeOther()).insert_header((LOCATION, location)).finish();
    append_cookies(&mut response, lines);
    response
}

fn seal_problem(services: &Services, error: &SealSessionError) -> Problem {
    services.metrics.count_login(Outcome::Invalid);
    match error {
        SealSessionError::TooLarge(too_large) => {
            tracing::warn!(target: "sealgate::audit", event = "session_too_large", %too_large, "a login does not fit the cookies");
            Problem::session_too_large(too_large)
        }
        error => {
            tracing::error!(%error, "a session cannot be sealed");
            Problem::internal()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::store::tests::worst;

    /// Complaint of peers' users: nginx answers the callback with 502.
    #[test]
    fn the_largest_session_of_one_cookie_fits_one_head_with_a_short_return_url() {
        let (sealed, delivery, mut login) = worst::first_login();
        login.return_url = "/orders?page=2".into();
        let response = lead_home(&Site::for_tests(), &sealed, delivery, &login);
        assert_eq!(response.headers().get(LOCATION).expect("one"), "https://app.example.com/orders?page=2");
        assert!(head_bytes(&response) <= MAX_HEAD, "{}", head_bytes(&response));
    }

    /// The longest return URL, seven other logins, a full tombstone and a stale chunk.
    #[test]
    fn a_callback_whose_head_would_be_too_large_takes_a_second_step() {
        let (sealed, delivery, login) = worst::login(7);
        let finish = delivery.finish.clone();
        let deletions = delivery.session.iter().filter(|line| line.contains("Max-Age=0")).count();
        assert!(deletions >= 2, "a chunk and a login at least: {deletions}");
        let response = lead_home(&Site::for_tests(), &sealed, delivery, &login);
        let location = response.headers().get(LOCATION).expect("one").to_str().expect("text");
        assert_eq!(location, format!("https://app.example.com/bff/landing?state={}", login.state.expose()));
        assert!(head_bytes(&response) <= MAX_HEAD, "{}", head_bytes(&response));
        let second = see_other(&Site::for_tests().origin.join(&login.return_url), finish);
        assert!(head_bytes(&second) <= MAX_HEAD, "{}", head_bytes(&second));
    }

    /// Complaint of peers' users: session back from the dead after logout.
    #[test]
    fn a_posted_login_that_replaces_a_session_takes_a_second_step() {
        for (chunks, (sealed, delivery, mut login)) in [(1, worst::login(0)), (2, worst::login_of_two_cookies())] {
            assert!(login.replaces.is_some() && sealed.chunks() == chunks);
            login.response_mode = ResponseMode::FormPost;
            let response = lead_home(&Site::for_tests(), &sealed, delivery, &login);
            let location = response.headers().get(LOCATION).expect("one").to_str().expect("text");
            assert!(location.starts_with("https://app.example.com/bff/landing?state="), "{location}");
        }
        let (sealed, delivery, mut login) = worst::first_login();
        (login.return_url, login.response_mode) = ("/".into(), ResponseMode::FormPost);
        let response = lead_home(&Site::for_tests(), &sealed, delivery, &login);
        assert_eq!(response.headers().get(LOCATION).expect("one"), "https://app.example.com/", "it buries nothing");
    }

    #[test]
    fn more_cookies_than_one_take_no_second_step() {
        let (sealed, delivery, login) = worst::login_of_two_cookies();
        let response = lead_home(&Site::for_tests(), &sealed, delivery, &login);
        assert!(head_bytes(&response) > MAX_HEAD);
        assert!(response.headers().get(LOCATION).expect("one").len() > 512);
    }

    #[actix_web::test]
    async fn a_form_that_never_comes_to_its_end_is_given_up() {
        use actix_web::FromRequest as _;
        use actix_web::dev::Payload;
        use actix_web::test::TestRequest;

        tokio::time::pause();
        let (_sender, never_ending) = actix_http::h1::Payload::create(false);
        let request = TestRequest::post().insert_header((CONTENT_TYPE, "application/x-www-form-urlencoded"));
        let request = request.to_http_request();
        let mut body = Payload::from(never_ending);
        let payload = web::Payload::from_request(&request, &mut body).await.expect("any body is one");
        let problem = parameters(&request, payload).await.err().expect("no form");
        assert_eq!(problem.respond(&request).status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[test]
    fn only_words_of_the_provider_are_repeated() {
        assert_eq!(safe_code("access_denied"), "access_denied");
        for evil in ["<script>", "a b", &"a".repeat(65), "a\nb"] {
            assert_eq!(safe_code(evil), "an error without a name");
        }
    }
}
