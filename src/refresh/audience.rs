//! Whether a provider gave a token for the API that was asked for, as far as it can be told.
//!
//! Access tokens are the provider's business and their upstream's (RFC 6749 §1.4); of those that are JWTs the audience is
//! looked at for one purpose: that a provider which ignores `resource` or `audience`, as Auth0 does where its policies do
//! not allow what was asked for, does not make us send the login's token to another API.

use base64::Engine as _;
use serde_json::Value;

use crate::base64url::BASE64URL;
use crate::oidc::TokenNeed;
use crate::secret::{AccessToken, SecretBytes};

/// Whether `given` is for nobody but the audience of the `login`'s token, and the API of `need` is not among it. Never so for tokens
/// that are no JWTs, or name no audience (RFC 9068 §2.2), nor for needs that name scopes alone.
pub(super) fn is_of_the_login_alone(need: &TokenNeed, given: &AccessToken, login: &AccessToken) -> bool {
    let Some(api) = need.api() else { return false };
    let (Some(given), Some(login)) = (audience(given), audience(login)) else { return false };
    let bare = |name: &str| name.trim_end_matches('/').to_owned();
    given.iter().all(|name| login.contains(name)) && !given.iter().any(|name| bare(name) == bare(api))
}

fn audience(token: &AccessToken) -> Option<Vec<String>> {
    let mut parts = token.expose().split('.');
    let (payload, rest) = (parts.nth(1)?, parts.count());
    if rest != 1 {
        return None;
    }
    let payload = SecretBytes::from(BASE64URL.decode(payload).ok()?);
    let mut claims: Value = serde_json::from_slice(&payload).ok()?;
    let names = match claims.get_mut("aud")?.take() {
        Value::String(name) => vec![name],
        Value::Array(names) => names.into_iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        _ => return None,
    };
    Some(names).filter(|names| !names.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(aud: Value) -> AccessToken {
        AccessToken::new(format!("e30.{}.c2ln", BASE64URL.encode(json!({"aud": aud, "sub": "ada"}).to_string())))
    }

    fn need(resource: &str) -> TokenNeed {
        TokenNeed::new(Vec::new(), Some(resource.to_owned()), None)
    }

    #[test]
    fn a_token_for_the_login_s_api_is_none_for_another() {
        let orders = need("https://orders.example.com");
        let login = token(json!("https://api.example.com"));
        assert!(is_of_the_login_alone(&orders, &login, &login));
        let more = token(json!(["b", "https://login.example.com/userinfo", "a"]));
        assert!(is_of_the_login_alone(&orders, &token(json!(["a", "b"])), &more), "in whatever order, and fewer");
    }

    #[test]
    fn what_may_be_right_passes() {
        let orders = need("https://orders.example.com/");
        let login = token(json!("https://api.example.com"));
        for given in [
            token(json!("https://orders.example.com")),
            token(json!("a name of the provider's own")),
            token(json!(["https://api.example.com", "https://orders.example.com"])),
            token(json!([])),
            AccessToken::new("opaque"),
            AccessToken::new("a.b.c"),
        ] {
            assert!(!is_of_the_login_alone(&orders, &given, &login));
        }
        assert!(!is_of_the_login_alone(&orders, &AccessToken::new("one"), &AccessToken::new("one")));
        let scopes = TokenNeed::new(vec!["admin".into()], None, None);
        assert!(!is_of_the_login_alone(&scopes, &login, &login));
    }
}
