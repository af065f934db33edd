//! Who may log in, by the claims of a verified ID token.

use serde_json::{Map, Value};

use super::LoginLimits;

/// Why a user who has authenticated may still not log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginRefused {
    /// None of the allowed groups is in the `groups` claim, or there is no such claim.
    #[error("the user is in none of the allowed groups")]
    Group,
    /// The `email` claim is missing or not one address with one `@`.
    #[error("the user has no usable email address")]
    Email,
    /// The address is in none of the allowed domains.
    #[error("the user's email address is in none of the allowed domains")]
    EmailDomain,
    /// The provider says that the address is not verified (OpenID Connect Core §5.1).
    #[error("the user's email address is not verified")]
    EmailUnverified,
}

/// Checks `claims` against `limits`. Every limit that is set must be met.
pub fn check_login_limits(limits: &LoginLimits, claims: &Map<String, Value>) -> Result<(), LoginRefused> {
    if !limits.allowed_groups.is_empty() && !is_in_a_group(&limits.allowed_groups, claims.get("groups")) {
        return Err(LoginRefused::Group);
    }
    if !limits.allowed_email_domains.is_empty() {
        check_email(&limits.allowed_email_domains, claims)?;
    }
    Ok(())
}

fn is_in_a_group(allowed: &[String], groups: Option<&Value>) -> bool {
    let is_allowed = |group: &Value| group.as_str().is_some_and(|group| allowed.iter().any(|name| name == group));
    match groups {
        Some(Value::Array(groups)) => groups.iter().any(is_allowed),
        Some(group) => is_allowed(group),
        None => false,
    }
}

fn check_email(allowed_domains: &[String], claims: &Map<String, Value>) -> Result<(), LoginRefused> {
    let email = claims.get("email").and_then(Value::as_str).ok_or(LoginRefused::Email)?;
    let (local, domain) = email.split_once('@').ok_or(LoginRefused::Email)?;
    // `a@allowed.example@evil.example` must not count for either domain.
    if local.is_empty() || domain.is_empty() || domain.contains('@') {
        return Err(LoginRefused::Email);
    }
    if !allowed_domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain)) {
        return Err(LoginRefused::EmailDomain);
    }
    match claims.get("email_verified") {
        None | Some(Value::Null | Value::Bool(true)) => Ok(()),
        // Cognito sends the booleans as strings.
        Some(Value::String(text)) if text == "true" => Ok(()),
        Some(_) => Err(LoginRefused::EmailUnverified),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(limits: &LoginLimits, claims: Value) -> Result<(), LoginRefused> {
        check_login_limits(limits, claims.as_object().expect("an object"))
    }

    fn groups() -> LoginLimits {
        LoginLimits { allowed_groups: vec!["staff".into(), "ops".into()], ..LoginLimits::default() }
    }

    fn domains() -> LoginLimits {
        LoginLimits { allowed_email_domains: vec!["Example.com".into()], ..LoginLimits::default() }
    }

    #[test]
    fn without_limits_everyone_may_log_in() {
        assert_eq!(check(&LoginLimits::default(), json!({})), Ok(()));
    }

    #[test]
    fn one_group_of_a_list_or_a_single_name_is_enough() {
        assert_eq!(check(&groups(), json!({"groups": ["guests", "ops"]})), Ok(()));
        assert_eq!(check(&groups(), json!({"groups": "staff"})), Ok(()));
    }

    #[test]
    fn groups_match_whole_and_to_the_letter() {
        for claims in [
            json!({}),
            json!({"groups": []}),
            json!({"groups": ["staff2", "Staff", 7]}),
            json!({"groups": "ops staff"}),
        ] {
            assert_eq!(check(&groups(), claims), Err(LoginRefused::Group));
        }
    }

    #[test]
    fn the_domain_matches_exactly_and_without_regard_to_case() {
        assert_eq!(check(&domains(), json!({"email": "a@EXAMPLE.com"})), Ok(()));
        for email in ["a@evil-example.com", "a@sub.example.com", "a@example.com.evil.example", "a@example.com."] {
            assert_eq!(check(&domains(), json!({"email": email})), Err(LoginRefused::EmailDomain), "{email}");
        }
    }

    /// CVE-2026-40574
    #[test]
    fn an_address_with_several_at_signs_is_refused() {
        for email in
            ["a@evil.example@example.com", "a@example.com@evil.example", "@example.com", "a@", "example.com", ""]
        {
            assert_eq!(check(&domains(), json!({"email": email})), Err(LoginRefused::Email), "{email}");
        }
        assert_eq!(check(&domains(), json!({})), Err(LoginRefused::Email));
    }

    #[test]
    fn an_address_that_is_known_to_be_unverified_is_refused() {
        for verified in [json!(false), json!("false"), json!(0)] {
            let claims = json!({"email": "a@example.com", "email_verified": verified});
            assert_eq!(check(&domains(), claims), Err(LoginRefused::EmailUnverified));
        }
        for verified in [json!(true), json!("true"), json!(null)] {
            assert_eq!(check(&domains(), json!({"email": "a@example.com", "email_verified": verified})), Ok(()));
        }
    }

    #[test]
    fn both_kinds_of_limit_must_be_met() {
        let limits = LoginLimits { allowed_groups: vec!["staff".into()], ..domains() };
        assert_eq!(check(&limits, json!({"groups": "staff", "email": "a@b.example"})), Err(LoginRefused::EmailDomain));
        assert_eq!(check(&limits, json!({"email": "a@example.com"})), Err(LoginRefused::Group));
    }
}
