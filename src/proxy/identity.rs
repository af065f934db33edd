//! Headers that tell upstreams of the user.
//!
//! Must never let a claim become anything but a part of one value: what is not visible ASCII, and `%` itself, is
//! percent-encoded, and so are commas within the elements of a list.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::easy_auth::{self, plain_text};
use crate::clock::UnixTime;
use crate::oidc::ClaimPath;
use crate::secret::{AccessToken, IdToken};

/// The user of one request: of a session, or of an access token that the client brought along.
#[derive(Clone, Debug, Default)]
pub struct Identity<'a> {
    /// The claims: of the ID token, or of the access token.
    pub claims: Map<String, Value>,
    /// The access token's scopes.
    pub scopes: Vec<String>,
    /// The access token.
    pub access_token: Option<&'a AccessToken>,
    /// The ID token: of a session that still has it.
    pub id_token: Option<&'a IdToken>,
    /// When it expires, if that is known.
    pub expires_at: Option<UnixTime>,
}

/// A header and what its value is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeader {
    /// Its name.
    pub name: HeaderName,
    /// Its value's parts, one behind the other. Where one is missing the header is not sent.
    pub parts: Vec<HeaderPart>,
}

/// A part of a header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderPart {
    /// This text: visible ASCII and spaces.
    Text(String),
    /// The first of these claims that is there: a text, a number, a boolean, or a list of them with commas between.
    Claim(Vec<ClaimPath>),
    /// The access token.
    AccessToken,
    /// The ID token.
    IdToken,
    /// When the access token expires, as RFC 3339.
    ExpiresOn,
    /// All claims, as EasyAuth's `X-MS-CLIENT-PRINCIPAL` has them: JSON in base64.
    ClientPrincipal {
        /// What Easy Auth calls the provider.
        provider: String,
        /// The claim that holds the user's roles.
        roles: ClaimPath,
    },
}

/// The fields that `headers` give for `identity`.
pub fn identity_headers(headers: &[IdentityHeader], identity: &Identity<'_>) -> Vec<(HeaderName, HeaderValue)> {
    headers
        .iter()
        .filter_map(|header| {
            let value: String = header.parts.iter().map(|part| part.text(identity)).collect::<Option<_>>()?;
            let mut value = HeaderValue::from_str(&value).ok().filter(|value| !value.is_empty())?;
            value.set_sensitive(header.parts.iter().any(HeaderPart::is_token));
            Some((header.name.clone(), value))
        })
        .collect()
}

impl HeaderPart {
    /// Whether it is a token as it is, and no claim of one.
    pub fn is_token(&self) -> bool {
        matches!(self, Self::AccessToken | Self::IdToken)
    }

    fn text(&self, identity: &Identity<'_>) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Claim(paths) => paths.iter().find_map(|path| field_text(path.find(&identity.claims)?)),
            Self::AccessToken => identity.access_token.map(|token| token.expose().to_owned()),
            Self::IdToken => identity.id_token.map(|token| token.expose().to_owned()),
            Self::ExpiresOn => identity.expires_at.map(|at| at.to_string()),
            Self::ClientPrincipal { provider, roles } => {
                Some(easy_auth::client_principal(&identity.claims, provider, roles))
            }
        }
    }
}

/// A claim as a part of a field's value; none for what has no text.
fn field_text(claim: &Value) -> Option<String> {
    match claim {
        Value::Array(elements) => {
            let texts: Vec<_> =
                elements.iter().filter_map(plain_text).map(|text| encoded(&text).replace(',', "%2C")).collect();
            (!texts.is_empty()).then(|| texts.join(","))
        }
        claim => plain_text(claim).map(|text| encoded(&text)),
    }
}

/// Visible ASCII stays as it is but `%`, everything else is percent-encoded (RFC 3986 §2.1), so that it can be undone.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity() -> Identity<'static> {
        let claims = json!({
            "sub": "ada", "name": "Ada Lövelace", "email": "ada@example.com", "groups": ["ops", "a,b", "c d"],
            "level": 7, "active": true, "nothing": null, "realm_access": {"roles": ["admin"]}, "empty": [],
            "evil": "x\r\nX-Admin: 1\0%41",
        });
        Identity { claims: claims.as_object().cloned().expect("an object"), ..Identity::default() }
    }

    fn claim(path: &str) -> HeaderPart {
        HeaderPart::Claim(vec![ClaimPath::new(path)])
    }

    fn value(parts: Vec<HeaderPart>, identity: &Identity<'_>) -> Option<String> {
        let header = IdentityHeader { name: HeaderName::from_static("x-user"), parts };
        let fields = identity_headers(&[header], identity);
        fields.first().map(|(_, value)| value.to_str().expect("visible ASCII").to_owned())
    }

    #[test]
    fn claims_become_values_of_their_kinds() {
        for (path, text) in [
            ("sub", "ada"),
            ("email", "ada@example.com"),
            ("level", "7"),
            ("active", "true"),
            ("realm_access.roles", "admin"),
            ("groups", "ops,a%2Cb,c%20d"),
            ("name", "Ada%20L%C3%B6velace"),
        ] {
            assert_eq!(value(vec![claim(path)], &identity()).as_deref(), Some(text), "{path}");
        }
    }

    /// RFC 9110 §5.5: no claim becomes a second field, nor looks like an encoding that it is not.
    #[test]
    fn a_claim_cannot_break_out_of_its_value() {
        let text = value(vec![claim("evil")], &identity()).expect("a value");
        assert_eq!(text, "x%0D%0AX-Admin:%201%00%2541");
    }

    #[test]
    fn a_header_is_left_out_when_one_of_its_claims_is_missing() {
        for path in ["nobody", "nothing", "empty", "realm_access"] {
            let parts = vec![HeaderPart::Text("user=".to_owned()), claim(path)];
            assert_eq!(value(parts, &identity()), None, "{path}");
        }
        let parts = vec![HeaderPart::Text("user=".to_owned()), claim("sub")];
        assert_eq!(value(parts, &identity()).as_deref(), Some("user=ada"));
        let first = HeaderPart::Claim(vec![ClaimPath::new("nobody"), ClaimPath::new("email")]);
        assert_eq!(value(vec![first], &identity()).as_deref(), Some("ada@example.com"));
    }

    #[test]
    fn tokens_are_passed_as_they_are_and_marked_as_secrets() {
        let (token, id_token) = (AccessToken::new("a.b.c"), IdToken::new("d.e.f"));
        let identity = Identity { access_token: Some(&token), id_token: Some(&id_token), ..identity() };
        for (part, text) in [(HeaderPart::AccessToken, "a.b.c"), (HeaderPart::IdToken, "d.e.f")] {
            let header = IdentityHeader { name: HeaderName::from_static("x-forwarded-token"), parts: vec![part] };
            let fields = identity_headers(&[header], &identity);
            assert_eq!(fields[0].1, text);
            assert!(fields[0].1.is_sensitive());
        }
    }
}
