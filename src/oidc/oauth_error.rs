//! The error that a provider names: at the token endpoint (RFC 6749 §5.2) or in the callback (§4.1.2.1).
//!
//! Its texts come from outside. Must never show the description on its own: only the code is printed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::json::{NotAnObject, UniqueObject};

/// Characters of a code that are kept; the longest registered one has 32.
const CODE_CHARACTERS: usize = 64;
/// Characters of a description that are kept.
const DESCRIPTION_CHARACTERS: usize = 200;

/// An error code and its description, made safe. `Display` and `Debug` show the code alone.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuthError {
    code: String,
    description: Option<String>,
}

impl OAuthError {
    /// Takes over what the provider sent. A code that is not made of the characters that codes use is replaced by
    /// `unrecognised`; a description is cut to 200 printable ASCII characters.
    pub fn new(code: &str, description: Option<&str>) -> Self {
        Self::scrubbed(code, description, &[])
    }

    /// Like [`OAuthError::new`], and leaves out whatever repeats one of the `secrets` that we sent.
    fn scrubbed(code: &str, description: Option<&str>, secrets: &[&str]) -> Self {
        let safe = |text: &str| !secrets.iter().any(|secret| !secret.is_empty() && text.contains(secret));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let known = !code.is_empty() && code.len() <= CODE_CHARACTERS && code.chars().all(plain) && safe(code);
        let printable = |text: &str| -> String {
            text.chars().filter(|c| matches!(c, ' '..='~')).take(DESCRIPTION_CHARACTERS).collect()
        };
        Self {
            code: if known { code.to_owned() } else { "unrecognised".to_owned() },
            description: description.filter(|text| safe(text)).map(printable).filter(|text| !text.is_empty()),
        }
    }

    /// The code: letters, digits, `_`, `-` and `.`, at most 64.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What the provider says of it: printable ASCII, at most 200 characters. The provider's words, so never HTML,
    /// and for operators rather than for users.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)
    }
}

impl fmt::Debug for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuthError({})", self.code)
    }
}

/// The error response as it is on the wire; never shown.
#[derive(Deserialize, Serialize)]
#[serde(try_from = "UniqueObject")]
pub(super) struct WireError(Members);

#[derive(Deserialize, Serialize)]
struct Members {
    error: String,
    error_description: Option<String>,
}

impl WireError {
    /// The error without anything that repeats one of the `secrets` that we sent.
    pub(super) fn scrubbed(&self, secrets: &[&str]) -> OAuthError {
        OAuthError::scrubbed(&self.0.error, self.0.error_description.as_deref(), secrets)
    }
}

impl TryFrom<UniqueObject> for WireError {
    type Error = NotAnObject;

    fn try_from(object: UniqueObject) -> Result<Self, NotAnObject> {
        object.read().map(Self)
    }
}

impl fmt::Debug for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WireError")
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error response")
    }
}

impl oauth2::ErrorResponse for WireError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_error_keeps_its_code_and_description() {
        let error = OAuthError::new("invalid_grant", Some("AADSTS70008: expired"));
        assert_eq!((error.code(), error.description()), ("invalid_grant", Some("AADSTS70008: expired")));
    }

    #[test]
    fn only_the_code_is_printed() {
        let error = OAuthError::new("invalid_grant", Some("a description"));
        assert_eq!(format!("{error} {error:?}"), "invalid_grant OAuthError(invalid_grant)");
    }

    #[test]
    fn a_code_of_other_characters_is_not_repeated() {
        for code in ["", "<script>", "a b", "a\nb", &"a".repeat(65)] {
            assert_eq!(OAuthError::new(code, None).code(), "unrecognised");
        }
    }

    #[test]
    fn a_description_is_cut_to_printable_ascii() {
        let error = OAuthError::new("x", Some(&format!("a\r\n\u{1b}[31mb\u{2028}{}", "c".repeat(500))));
        let description = error.description().expect("a description");
        assert!(description.starts_with("a[31mbccc"), "{description}");
        assert_eq!(description.len(), DESCRIPTION_CHARACTERS);
    }

    #[test]
    fn what_repeats_a_secret_is_left_out() {
        let error = OAuthError::scrubbed("my-code", Some("the code my-code is spent"), &["", "my-code"]);
        assert_eq!((error.code(), error.description()), ("unrecognised", None));
    }
}
