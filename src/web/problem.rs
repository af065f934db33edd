//! Errors as clients see them: `application/problem+json` (RFC 9457) for programs, a small page for people.
//!
//! Every type stands in one table. A detail is written here, never taken from an error of a lower layer, so that
//! nothing internal and nothing secret can get out.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};
use tracing_actix_web::RequestId;

use crate::proxy::ForwardError;
use crate::session::cookies::SetCookie;
use crate::session::store::SessionTooLarge;
use crate::web::fetch_metadata::is_navigation;
use crate::web::page::{self, Page};
use crate::web::{append_cookies, own_response};

/// One kind of error: what clients may rely on.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemType {
    /// The end of the type's URN, `urn:sealgate:error:<name>`.
    pub name: &'static str,
    /// The status code that it comes with.
    pub status: u16,
    /// What happened, in a few words.
    pub title: &'static str,
}

impl ProblemType {
    /// Whether a person is helped only by what exactly is wrong.
    fn needs_detail(&self) -> bool {
        *self == INVALID_REQUEST || *self == INVALID_RETURN_URL
    }
}

macro_rules! problem_types {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $status:literal, $title:literal;)+) => {
        $($(#[$doc])* pub const $constant: ProblemType = ProblemType { name: $name, status: $status, title: $title };)+

        /// All types, for the documentation and its test.
        pub const PROBLEM_TYPES: &[&ProblemType] = &[$(&$constant),+];
    };
}

problem_types! {
    /// The request carries no session.
    NOT_SIGNED_IN = "not-signed-in", 401, "You are not signed in";
    /// The session has ended, or its cookie does not open.
    SESSION_EXPIRED = "session-expired", 401, "Your session has ended";
    /// The refresh token of this cookie was used elsewhere; a newer cookie may be on its way.
    REFRESH_CONFLICT = "refresh-conflict", 401, "Your session is being refreshed elsewhere";
    /// A login was asked for by something that is not a page load.
    LOGIN_NEEDS_NAVIGATION = "login-needs-navigation", 401, "Signing in needs a page load";
    /// The request brings no access token.
    TOKEN_REQUIRED = "token-required", 401, "An access token is needed";
    /// The access token is not good here.
    INVALID_TOKEN = "invalid-token", 401, "The access token is not valid";
    /// The access token lacks a scope.
    INSUFFICIENT_SCOPE = "insufficient-scope", 403, "The access token lacks a scope";
    /// A rule of the route asks for more than the user has.
    FORBIDDEN_BY_RULE = "forbidden-by-rule", 403, "You may not do this";
    /// The custom header is missing.
    CSRF_HEADER_MISSING = "csrf-header-missing", 403, "The CSRF header is missing";
    /// The request comes from another origin.
    CROSS_ORIGIN = "cross-origin", 403, "Requests from other origins are refused";
    /// Somebody but the proxy in front asks whether a request may pass.
    FORWARD_AUTH_REFUSED = "forward-auth-refused", 403, "This address is not for browsers";
    /// The logout request is neither the session's own link nor from our own page.
    LOGOUT_REFUSED = "logout-refused", 403, "This sign-out link is not yours";
    /// What came back from a logout at the provider is no logout of this browser.
    LOGOUT_NOT_FOUND = "logout-not-found", 400, "This sign-out is no longer known";
    /// A parameter is missing, repeated or wrong.
    INVALID_REQUEST = "invalid-request", 400, "The request is not valid";
    /// The return URL is not a path on this site.
    INVALID_RETURN_URL = "invalid-return-url", 400, "The return address is not on this site";
    /// The request's path is ambiguous.
    PATH_REFUSED = "path-refused", 400, "The path is not acceptable";
    /// No site of this process has the request's host (RFC 9110 §15.5.20).
    MISDIRECTED = "misdirected", 421, "There is no site of this name here";
    /// There is nothing here.
    NOT_FOUND = "not-found", 404, "There is nothing here";
    /// The method is not possible here.
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "The method is not allowed here";
    /// The callback belongs to no login of this browser.
    LOGIN_NOT_FOUND = "login-not-found", 400, "This sign-in is no longer open";
    /// The provider, or the user there, said no.
    LOGIN_REFUSED = "login-refused", 403, "The sign-in was refused";
    /// The upstream wants a stronger or more recent login (RFC 9470).
    STEP_UP_REQUIRED = "step-up-required", 403, "You have to sign in again";
    /// The user may not use this application.
    LOGIN_NOT_ALLOWED = "login-not-allowed", 403, "You may not use this application";
    /// The provider's answer did not pass our checks.
    LOGIN_FAILED = "login-failed", 502, "The sign-in failed";
    /// The session does not fit the cookies.
    SESSION_TOO_LARGE = "session-too-large", 500, "Your sign-in is too large for cookies";
    /// The request's body is longer than the endpoint or the route takes.
    CONTENT_TOO_LARGE = "content-too-large", 413, "The body is too large";
    /// The request's `Cookie` line is too long.
    COOKIES_TOO_LARGE = "cookies-too-large", 431, "Your cookies are too large";
    /// The provider cannot be reached now.
    PROVIDER_UNAVAILABLE = "provider-unavailable", 503, "The sign-in service is not reachable";
    /// The provider gives no access token for what the route needs.
    TOKEN_NOT_GRANTED = "token-not-granted", 502, "The sign-in service gives no access here";
    /// The upstream cannot be reached.
    UPSTREAM_UNREACHABLE = "upstream-unreachable", 502, "The application is not reachable";
    /// The upstream took too long.
    UPSTREAM_TIMEOUT = "upstream-timeout", 504, "The application took too long";
    /// As many requests are under way as the route allows.
    UPSTREAM_BUSY = "upstream-busy", 503, "The application is busy";
    /// The request has been here before.
    LOOP_DETECTED = "loop-detected", 508, "The request goes in a circle";
    /// The client took too long over its body.
    REQUEST_TIMEOUT = "request-timeout", 408, "The request took too long";
    /// A fault of ours.
    INTERNAL = "internal", 500, "Something went wrong";
}

/// What a browser that signs in is told to wait when the provider cannot be asked and says nothing itself.
pub const SIGN_IN_RETRY_AFTER: Duration = Duration::from_secs(5);

/// One error on its way to a client.
#[derive(Debug)]
pub struct Problem {
    kind: &'static ProblemType,
    detail: String,
    entry: &'static str,
    more: Option<Box<More>>,
    retry_after: Option<Duration>,
    /// Further fields of the response.
    fields: Vec<(HeaderName, String)>,
    cookies: Vec<SetCookie>,
}

/// What few problems have. It lies elsewhere, because results that may be a problem are everywhere.
#[derive(Debug, Default)]
struct More {
    /// The values in the words of its page.
    values: Vec<(&'static str, String)>,
    /// Further members of the JSON (RFC 9457 §3.2).
    members: Map<String, Value>,
}

impl Problem {
    /// A problem of this type; `detail` says to the client what to do.
    pub fn new(kind: &'static ProblemType, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { kind, detail, entry: kind.name, more: None, retry_after: None, fields: Vec::new(), cookies: Vec::new() }
    }

    /// The same, with values for the words of its page.
    #[must_use]
    pub fn with_values(mut self, values: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.more.get_or_insert_default().values.extend(values);
        self
    }

    /// The same, with further members in its JSON; their names are none of the standard's.
    #[must_use]
    pub fn with_members(mut self, members: Map<String, Value>) -> Self {
        self.more.get_or_insert_default().members.extend(members);
        self
    }

    /// The same, with other words on its page than its type's.
    #[must_use]
    pub fn in_words(mut self, entry: &'static str) -> Self {
        self.entry = entry;
        self
    }

    /// Whether it is of this type.
    pub fn is(&self, kind: &ProblemType) -> bool {
        self.kind == kind
    }

    /// Whether it says that there is no session.
    pub fn is_signed_out(&self) -> bool {
        self.is(&NOT_SIGNED_IN) || self.is(&SESSION_EXPIRED)
    }

    /// No session at all.
    pub fn not_signed_in() -> Self {
        Self::new(&NOT_SIGNED_IN, "Sign in and try again.")
    }

    /// The session is over.
    pub fn session_expired() -> Self {
        Self::new(&SESSION_EXPIRED, "Sign in again.")
    }

    /// A request of another origin.
    pub fn cross_origin() -> Self {
        Self::new(&CROSS_ORIGIN, "Only pages of this site may send this request.")
    }

    /// The custom header is not there.
    pub fn csrf_header_missing(name: &str, value: &str) -> Self {
        Self::new(&CSRF_HEADER_MISSING, format!("Send the header {name}: {value} with every request."))
    }

    /// The method is not among `allowed`.
    pub fn method_not_allowed(allowed: &str) -> Self {
        Self::new(&METHOD_NOT_ALLOWED, format!("Allowed: {allowed}.")).with_field(ALLOW, allowed)
    }

    /// The session does not fit: what is large, and what would help.
    pub fn session_too_large(too_large: &SessionTooLarge) -> Self {
        let SessionTooLarge { characters, possible, largest, largest_characters } = too_large;
        let detail = format!(
            "It needs {characters} characters of cookies, and {possible} are possible. The largest part is the \
             {largest}, with {largest_characters} characters. The application's owner can have the sign-in service \
             put fewer groups and claims into it, or ask it for fewer scopes. Signing in again changes nothing."
        );
        Self::new(&SESSION_TOO_LARGE, detail).with_values([
            ("needed", characters.to_string()),
            ("possible", possible.to_string()),
            ("largest", (*largest).to_owned()),
            ("largest_characters", largest_characters.to_string()),
        ])
    }

    /// The provider cannot be asked now.
    pub fn provider_unavailable(retry_after: Duration) -> Self {
        let problem = Self::new(&PROVIDER_UNAVAILABLE, "Try again in a moment.");
        Self { retry_after: Some(retry_after.max(Duration::from_secs(1))), ..problem }
    }

    /// The provider gives no token for what the route needs.
    pub fn token_not_granted() -> Self {
        let detail = "The sign-in service gives no access token for this address. You are still signed in; the \
                      application's owner finds the reason in the server's log.";
        Self::new(&TOKEN_NOT_GRANTED, detail)
    }

    /// A fault of ours; its reason is in the log.
    pub fn internal() -> Self {
        Self::new(&INTERNAL, "The reason is in the server's log.")
    }

    /// The same, with a challenge (RFC 9110 §11.6.1).
    #[must_use]
    pub fn with_challenge(self, challenge: impl Into<String>) -> Self {
        self.with_field(WWW_AUTHENTICATE, challenge)
    }

    fn with_field(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// The same, with cookies on the response.
    #[must_use]
    pub fn with_cookies(mut self, cookies: impl IntoIterator<Item = SetCookie>) -> Self {
        self.cookies.extend(cookies);
        self
    }

    /// The cookies alone, for a response of another kind.
    pub fn into_cookies(self) -> Vec<SetCookie> {
        self.cookies
    }

    /// The response: a page for a navigation, JSON for everything else.
    pub fn respond(self, request: &HttpRequest) -> HttpResponse {
        // The table holds valid status codes only; a test keeps it so.
        let status = StatusCode::from_u16(self.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let request_id = request.extensions().get::<RequestId>().map(ToString::to_string);
        let mut builder = own_response(HttpResponse::build(status));
        if let Some(retry_after) = self.retry_after {
            builder.insert_header((RETRY_AFTER, retry_after.as_secs()));
        }
        for (name, value) in &self.fields {
            builder.insert_header((name.clone(), value.as_str()));
        }
        let mut response = if is_navigation(request) {
            let page = Page {
                kind: self.entry,
                values: self.more.as_ref().map(|more| more.values.as_slice()).unwrap_or_default(),
                detail: self.kind.needs_detail().then_some(self.detail.as_str()),
                request_id: request_id.as_deref(),
                continue_at_once: false,
                confirm: None,
            };
            page::respond(builder, request, &page)
        } else {
            let mut body = json!({
                "type": format!("urn:sealgate:error:{}", self.kind.name),
                "title": self.kind.title,
                "status": self.kind.status,
                "detail": self.detail,
                "request_id": request_id,
            });
            if let (Value::Object(body), Some(more)) = (&mut body, self.more) {
                body.extend(more.members);
            }
            builder.insert_header((CONTENT_TYPE, "application/problem+json")).body(body.to_string())
        };
        append_cookies(&mut response, self.cookies);
        response
    }
}

impl From<ForwardError> for Problem {
    fn from(error: ForwardError) -> Self {
        tracing::warn!(kind = error.kind(), %error, "the request could not be forwarded");
        if let ForwardError::BodyTooLarge { limit } = error {
            return Self::new(&CONTENT_TOO_LARGE, format!("Send at most {limit} bytes."));
        }
        match error.status().as_u16() {
            400 => Self::new(&INVALID_REQUEST, "The request cannot be forwarded as it is."),
            405 => Self::new(&METHOD_NOT_ALLOWED, "The method is never forwarded."),
            408 => Self::new(&REQUEST_TIMEOUT, "The request's body came too slowly."),
            503 => Self {
                retry_after: Some(Duration::from_secs(1)),
                ..Self::new(&UPSTREAM_BUSY, "Try again in a moment.")
            },
            504 => Self::new(&UPSTREAM_TIMEOUT, "Try again in a moment."),
            508 => Self::new(&LOOP_DETECTED, "The request has already passed through here."),
            _ => Self::new(&UPSTREAM_UNREACHABLE, "Try again in a moment."),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_table_s_names_are_unique_and_its_status_codes_are_errors() {
        let mut names: Vec<_> = PROBLEM_TYPES.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(PROBLEM_TYPES.iter().all(|kind| (400..600).contains(&kind.status)));
    }

    /// RFC 9457 §3.
    #[actix_web::test]
    async fn a_program_gets_problem_json_and_a_navigation_a_page() {
        let fetch = TestRequest::default().insert_header(("sec-fetch-mode", "cors")).to_http_request();
        let response = Problem::session_expired().respond(&fetch);
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers().get("content-type").expect("one"), "application/problem+json");
        assert_eq!(response.headers().get("cache-control").expect("one"), "no-store");
        let body = to_bytes(response.into_body()).await.expect("a body in memory");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["type"], "urn:sealgate:error:session-expired");
        assert_eq!(body["status"], 401);

        let navigation = TestRequest::default().insert_header(("accept", "text/html")).to_http_request();
        let response = Problem::session_expired().respond(&navigation);
        assert_eq!(response.headers().get("content-type").expect("one"), "text/html; charset=utf-8");
    }
}
