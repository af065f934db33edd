//! The token response as it is on the wire (RFC 6749 §5.1), for the `oauth2` crate to fill.
//!
//! The crate's own type knows no `id_token`, takes the last of repeated members and no lifetime in quotes.

use std::fmt;
use std::time::Duration;

use oauth2::{AccessToken, RefreshToken, Scope};
use serde::{Deserialize, Deserializer, Serialize};

use super::json::{NotAnObject, UniqueObject};

/// One response. Unknown members are ignored.
#[derive(Deserialize, Serialize)]
#[serde(try_from = "UniqueObject")]
pub(super) struct WireTokenResponse(Members);

#[derive(Deserialize, Serialize)]
struct Members {
    access_token: AccessToken,
    token_type: WireTokenType,
    expires_in: Option<Lifetime>,
    refresh_token: Option<RefreshToken>,
    scope: Option<String>,
    id_token: Option<String>,
}

impl TryFrom<UniqueObject> for WireTokenResponse {
    type Error = NotAnObject;

    fn try_from(object: UniqueObject) -> Result<Self, NotAnObject> {
        object.read().map(Self)
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct WireTokenType(String);

impl WireTokenResponse {
    pub(super) fn access_token(&self) -> &str {
        self.0.access_token.secret()
    }

    /// The name is compared without regard to case (RFC 6749 §5.1).
    pub(super) fn is_bearer(&self) -> bool {
        self.0.token_type.0.eq_ignore_ascii_case("bearer")
    }

    pub(super) fn lifetime(&self) -> Option<Duration> {
        self.0.expires_in.as_ref().map(|lifetime| Duration::from_secs(lifetime.0))
    }

    /// An empty one counts as left out.
    pub(super) fn refresh_token(&self) -> Option<&str> {
        self.0.refresh_token.as_ref().map(|token| token.secret().as_str()).filter(|token| !token.is_empty())
    }

    pub(super) fn scope(&self) -> Option<&str> {
        self.0.scope.as_deref().filter(|scope| !scope.is_empty())
    }

    pub(super) fn id_token(&self) -> Option<&str> {
        self.0.id_token.as_deref().filter(|token| !token.is_empty())
    }
}

impl fmt::Debug for WireTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WireTokenResponse([redacted])")
    }
}

impl oauth2::TokenType for WireTokenType {}

impl oauth2::TokenResponse for WireTokenResponse {
    type TokenType = WireTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.0.access_token
    }

    fn token_type(&self) -> &WireTokenType {
        &self.0.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        self.lifetime()
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.0.refresh_token.as_ref()
    }

    /// Read through [`WireTokenResponse::scope`], which keeps the text as it came.
    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

/// Whole seconds. Some providers send them as a string or with a fraction.
#[derive(Serialize)]
struct Lifetime(u64);

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Seconds(u64),
            Fraction(f64),
            Text(String),
        }
        let refused = || serde::de::Error::custom("not a number of seconds");
        match Raw::deserialize(deserializer).map_err(|_| refused())? {
            Raw::Seconds(seconds) => Ok(Self(seconds)),
            Raw::Fraction(seconds) => {
                Duration::try_from_secs_f64(seconds).map(|lifetime| Self(lifetime.as_secs())).map_err(|_| refused())
            }
            Raw::Text(text) => text.parse().map(Self).map_err(|_| refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(members: &str) -> Result<WireTokenResponse, serde_json::Error> {
        serde_json::from_str(&format!(r#"{{"access_token":"a","token_type":"Bearer"{members}}}"#))
    }

    #[test]
    fn lifetimes_are_read_as_providers_send_them() {
        for (text, seconds) in [("3600", 3600), (r#""3600""#, 3600), ("3600.5", 3600), ("0", 0)] {
            let response = read(&format!(r#","expires_in":{text}"#)).expect(text);
            assert_eq!(response.lifetime(), Some(Duration::from_secs(seconds)));
        }
        assert_eq!(read("").expect("a response").lifetime(), None);
        assert_eq!(read(r#","expires_in":null"#).expect("a response").lifetime(), None);
        for text in ["-1", "true", r#""soon""#, "[]"] {
            assert!(read(&format!(r#","expires_in":{text}"#)).is_err(), "{text}");
        }
    }

    #[test]
    fn repeated_members_are_refused() {
        assert!(read(r#","access_token":"b""#).is_err());
        assert!(read(r#","id_token":"b","id_token":"c""#).is_err());
    }

    #[test]
    fn empty_members_count_as_left_out() {
        let response = read(r#","refresh_token":"","id_token":"","scope":"""#).expect("a response");
        assert_eq!((response.refresh_token(), response.id_token(), response.scope()), (None, None, None));
    }

    #[test]
    fn debug_shows_nothing() {
        let response = read(r#","id_token":"marker","refresh_token":"marker""#).expect("a response");
        assert!(!format!("{response:?}").contains("marker"));
    }
}
