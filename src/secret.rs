//! Values that must never be printed: tokens, client secrets, verifiers.
//!
//! Each is a type of its own whose `Debug` says `[redacted]`; the text comes out through `expose` alone, so that a
//! search for `expose` finds every place where a secret leaves its wrapper. Memory is wiped on drop.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A text that is wiped from memory on drop, compared in constant time, and never printed.
#[derive(Clone, Default)]
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself: for the wire, never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl PartialEq for SecretString {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for SecretString {}

macro_rules! secret_text {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(SecretString);

        impl From<Zeroizing<String>> for $name {
            fn from(text: Zeroizing<String>) -> Self {
                Self(SecretString(text))
            }
        }

        impl $name {
            /// Wraps `text`.
            pub fn new(text: impl Into<String>) -> Self {
                Self(SecretString::new(text))
            }

            /// The text itself: for the wire, never for a log.
            pub fn expose(&self) -> &str {
                self.0.expose()
            }
        }
    )+};
}

secret_text! {
    /// An access token as the provider issued it (RFC 6749 §1.4): opaque to us, even when it is a JWT.
    AccessToken,
    /// A refresh token (RFC 6749 §1.5).
    RefreshToken,
    /// An ID token in its compact serialisation (OpenID Connect Core §2), kept for `id_token_hint`.
    IdToken,
    /// An authorization code (RFC 6749 §1.3.1).
    AuthorizationCode,
    /// A PKCE code verifier (RFC 7636 §4.1).
    CodeVerifier,
    /// The nonce that binds an ID token to its login transaction (OpenID Connect Core §3.1.2.1).
    Nonce,
    /// The `state` of an authorization request (RFC 6749 §4.1.1).
    State,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_secret() {
        let shown = format!("{:?} {:?}", SecretString::new("hunter2"), AccessToken::new("hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("[redacted]"));
    }

    #[test]
    fn equality_is_by_content() {
        assert_eq!(State::new("a"), State::new("a"));
        assert_ne!(State::new("a"), State::new("b"));
        assert_ne!(State::new("a"), State::new("ab"));
    }
}
