//! Values that must never be printed: tokens, client secrets, verifiers.
//!
//! Each is a type of its own whose `Debug` says `[redacted]`; the text comes out through `expose` alone, so that a
//! search for `expose` finds every place where a secret leaves its wrapper. Memory is wiped on drop.

use std::fmt;
use std::ops::{Deref, DerefMut};

use subtle::ConstantTimeEq;
use zeroize::Zeroize as _;

/// Bytes that are wiped from memory on drop, compared in constant time, and never printed. What a growing vector leaves
/// behind elsewhere is not wiped: give it its capacity first.
#[derive(Clone, Default)]
pub struct SecretBytes(Vec<u8>);

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for SecretBytes {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for SecretBytes {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretBytes {}

/// A cookie's plaintext is wiped on each request, so it matters how: the whole allocation of an empty vector is spare
/// capacity, which is wiped in bulk, where elements are wiped one by one.
fn wipe(bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.zeroize();
}

/// A text that is wiped from memory on drop, compared in constant time, and never printed.
#[derive(Clone, Default)]
pub struct SecretString(String);

impl Drop for SecretString {
    fn drop(&mut self) {
        wipe(&mut std::mem::take(&mut self.0).into_bytes());
    }
}

impl SecretString {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
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

        impl From<SecretString> for $name {
            fn from(text: SecretString) -> Self {
                Self(text)
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
        let bytes = SecretBytes::from(b"hunter2".to_vec());
        let shown = format!("{:?} {:?} {bytes:?}", SecretString::new("hunter2"), AccessToken::new("hunter2"));
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
