//! The endpoints: one file each, and what they share.
//!
//! Handlers see `session`, never `seal` or `keyring`. No handler may answer an API call with a redirect to log in.

use std::path::PathBuf;

/// The custom header that marks a request as our own page's (RFC 10017 §6.1.3.3.2).
#[derive(Clone, Debug)]
pub struct CsrfHeader {
    /// Its name; `X-CSRF` unless configured.
    pub name: String,
    /// Its value; `1` unless configured.
    pub value: String,
}

/// Where the single-page app lies.
#[derive(Clone, Debug)]
pub struct StaticSettings {
    /// The folder with `index.html`; unknown paths serve that file.
    pub root: PathBuf,
}
