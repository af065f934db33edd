//! Who the user is, in the words of Azure App Service authentication ("Work with user identities"): what its
//! `X-MS-CLIENT-PRINCIPAL` and its `/.auth/me` have.
//!
//! Must never hand on a claim that is a secret or could hold one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::oidc::ClaimPath;

/// The type of the claim that a principal's roles have.
const ROLE: &str = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role";
const NAME: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name";
const EMAIL: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress";

/// The default claims mapping: Easy Auth reads tokens with .NET's `JwtSecurityTokenHandler`, whose inbound claim types
/// these are. What is not among them keeps its name.
const TYPES: [(&str, &str); 17] = [
    ("sub", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"),
    ("email", EMAIL),
    ("unique_name", NAME),
    ("given_name", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname"),
    ("family_name", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname"),
    ("upn", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"),
    ("birthdate", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/dateofbirth"),
    ("gender", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/gender"),
    ("website", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/webpage"),
    ("role", ROLE),
    ("auth_time", "http://schemas.microsoft.com/ws/2008/06/identity/claims/authenticationinstant"),
    ("acr", "http://schemas.microsoft.com/claims/authnclassreference"),
    ("amr", "http://schemas.microsoft.com/claims/authnmethodsreferences"),
    ("oid", "http://schemas.microsoft.com/identity/claims/objectidentifier"),
    ("tid", "http://schemas.microsoft.com/identity/claims/tenantid"),
    ("idp", "http://schemas.microsoft.com/identity/claims/identityprovider"),
    ("scp", "http://schemas.microsoft.com/identity/claims/scope"),
];

/// What belongs to the login and not to the user, and where further claims lie, which may hold access tokens (OpenID
/// Connect Core §5.6.2).
const LEFT_OUT: [&str; 7] = ["nonce", "at_hash", "c_hash", "s_hash", "rt_hash", "_claim_names", "_claim_sources"];

/// The claims that may identify the user, the best first.
pub fn user_id_claims() -> Vec<ClaimPath> {
    ["oid", "sub"].map(ClaimPath::new).to_vec()
}

/// The claims that may be the user's name, the best first.
pub fn user_name_claims() -> Vec<ClaimPath> {
    ["preferred_username", "upn", "email", "name"].map(ClaimPath::new).to_vec()
}

/// A user's name, or else the identifier; none where there is neither.
pub fn user_id(claims: &Map<String, Value>) -> Option<String> {
    user_name_claims().iter().chain(&user_id_claims()).find_map(|path| plain_text(path.find(claims)?))
}

/// One entry `{"typ", "val"}` for each value of each claim. Roles are there by their own name, as Easy Auth has them of
/// tokens of version 2, and as `role_typ`, as it has them of tokens of version 1: apps look for either.
pub fn user_claims(claims: &Map<String, Value>, provider: &str, roles: &ClaimPath) -> Vec<Value> {
    let mut entries: Vec<(&str, String)> = Vec::new();
    for (name, value) in claims.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str())) {
        let kind = TYPES.iter().find(|(claim, _)| claim == name).map_or(name.as_str(), |(_, kind)| *kind);
        entries.extend(texts(value).map(|text| (kind, text)));
    }
    let of_roles: Vec<String> = roles.find(claims).into_iter().flat_map(texts).collect();
    for role in of_roles {
        if !entries.iter().any(|(kind, text)| *kind == ROLE && *text == role) {
            entries.push((ROLE, role));
        }
    }
    // Easy Auth itself names a type here of which many tokens have no claim, so that the user's name is empty in .NET.
    let kind = name_type(provider);
    if !entries.iter().any(|(other, _)| *other == kind)
        && let Some(name) = user_id(claims)
    {
        entries.push((kind, name));
    }
    entries.into_iter().map(|(kind, text)| json!({"typ": kind, "val": text})).collect()
}

/// The value of `X-MS-CLIENT-PRINCIPAL`: JSON in base64.
pub(super) fn client_principal(claims: &Map<String, Value>, provider: &str, roles: &ClaimPath) -> String {
    let principal = json!({
        "auth_typ": provider,
        "claims": user_claims(claims, provider, roles),
        "name_typ": name_type(provider),
        "role_typ": ROLE,
    });
    STANDARD.encode(principal.to_string())
}

fn name_type(provider: &str) -> &'static str {
    if provider == "aad" { EMAIL } else { NAME }
}

/// The texts of a claim: of each element of a list, and JSON for what has no text.
fn texts(value: &Value) -> impl Iterator<Item = String> {
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    values.iter().filter(|value| !value.is_null()).map(|value| plain_text(value).unwrap_or_else(|| value.to_string()))
}

/// What a claim that is one plain value says.
pub(super) fn plain_text(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: Value) -> Map<String, Value> {
        json.as_object().cloned().expect("an object")
    }

    fn values(entries: &[Value], kind: &str) -> Vec<String> {
        let of_kind = entries.iter().filter(|entry| entry["typ"] == kind);
        of_kind.map(|entry| entry["val"].as_str().expect("a text").to_owned()).collect()
    }

    fn entries(json: Value, provider: &str, roles: &str) -> Vec<Value> {
        user_claims(&claims(json), provider, &ClaimPath::new(roles))
    }

    /// Azure App Service, "Work with user identities": default claims mapping, one entry a value.
    #[test]
    fn claims_have_the_types_that_easy_auth_gives_them() {
        let token = json!({
            "sub": "s", "oid": "o", "tid": "t", "email": "ada@example.com", "name": "Ada", "groups": ["a", "b"],
            "preferred_username": "ada", "exp": 7, "address": {"country": "UK"}, "nothing": null,
        });
        let entries = entries(token, "aad", "roles");
        for (kind, expected) in [
            ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier", &["s"][..]),
            ("http://schemas.microsoft.com/identity/claims/objectidentifier", &["o"]),
            ("http://schemas.microsoft.com/identity/claims/tenantid", &["t"]),
            (EMAIL, &["ada@example.com"]),
            ("name", &["Ada"]),
            ("preferred_username", &["ada"]),
            ("groups", &["a", "b"]),
            ("exp", &["7"]),
            ("address", &[r#"{"country":"UK"}"#]),
            ("sub", &[]),
            ("nothing", &[]),
        ] {
            assert_eq!(values(&entries, kind), expected, "{kind}");
        }
    }

    #[test]
    fn roles_are_found_by_their_name_and_by_role_typ() {
        let of_entra = entries(json!({"roles": ["Admin", "Reader"]}), "aad", "roles");
        assert_eq!(values(&of_entra, "roles"), ["Admin", "Reader"]);
        assert_eq!(values(&of_entra, ROLE), ["Admin", "Reader"]);
        let of_keycloak = entries(json!({"realm_access": {"roles": ["Admin"]}}), "oidc", "realm_access.roles");
        assert_eq!(values(&of_keycloak, ROLE), ["Admin"]);
        assert_eq!(values(&entries(json!({"role": "Admin"}), "oidc", "role"), ROLE), ["Admin"]);
    }

    #[test]
    fn the_user_s_name_is_found_by_name_typ_whatever_the_token_has() {
        let without_email = entries(json!({"sub": "s", "preferred_username": "ada"}), "aad", "roles");
        assert_eq!(values(&without_email, EMAIL), ["ada"]);
        assert_eq!(values(&entries(json!({"sub": "s"}), "oidc", "roles"), NAME), ["s"]);
        let with_email = entries(json!({"sub": "s", "email": "ada@example.com"}), "aad", "roles");
        assert_eq!(values(&with_email, EMAIL), ["ada@example.com"]);
    }

    #[test]
    fn what_may_hold_tokens_or_belongs_to_the_login_stays_here() {
        let sources = json!({"src1": {"endpoint": "https://x.example", "access_token": "secret"}});
        let token =
            json!({"sub": "s", "nonce": "secret", "at_hash": "secret", "_claim_names": {}, "_claim_sources": sources});
        assert!(!entries(token, "aad", "roles").iter().any(|entry| entry.to_string().contains("secret")));
    }

    #[test]
    fn the_principal_is_json_in_base64_and_names_its_own_types() {
        let text =
            client_principal(&claims(json!({"sub": "s", "name": "Ada Lövelace"})), "aad", &ClaimPath::new("roles"));
        let json: Value = serde_json::from_slice(&STANDARD.decode(text).expect("base64")).expect("JSON");
        assert_eq!(
            (&json["auth_typ"], &json["name_typ"], &json["role_typ"]),
            (&json!("aad"), &json!(EMAIL), &json!(ROLE))
        );
        assert!(json["claims"].as_array().expect("a list").contains(&json!({"typ": "name", "val": "Ada Lövelace"})));
    }
}
