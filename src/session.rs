//! The session: who is signed in, with which tokens, until when; and the cookies that carry it.
//!
//! Must never learn of HTTP servers: it takes `Cookie` values and gives `Set-Cookie` values.

use std::time::Duration;

/// What the configuration says of sessions.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// The session cookie's name, with its `__Host-` prefix (dropped on http).
    pub cookie_name: String,
    /// `SameSite` of the session cookie; login cookies are always lax.
    pub same_site: SameSite,
    /// The session ends when nothing happens for this long.
    pub idle_timeout: Duration,
    /// The session ends this long after login, whatever happens.
    pub absolute_timeout: Duration,
    /// How long before expiry an access token is refreshed; at most a fifth of its lifetime.
    pub refresh_before: Duration,
    /// Whether the cookies carry a `Max-Age` and so outlive the browser.
    pub persistent: bool,
    /// The shape of `/bff/user`.
    pub user_format: UserFormat,
}

/// The cookie attribute of that name (RFC 6265bis §5.6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Only requests that come from our own site.
    Strict,
    /// Also top-level navigations from elsewhere.
    Lax,
}

/// The shape of the answer of `/bff/user`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserFormat {
    /// One object, a member a claim.
    Object,
    /// A list of `{"type":…,"value":…}`, as Duende's BFF answers.
    Duende,
}
