//! Who may log in, by the claims of a verified ID token.

use serde_json::{Map, Value};

use super::LoginLimits;
use super::claims::find;

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
    /// The user's groups are too many for the ID token, which has a link to them in their place (Core §5.6.2).
    #[error(
        "the provider left the user's groups out of the ID token, as Entra ID does above 200; let it send those that \
         are assigned to the application, or app roles"
    )]
    GroupsLeftOut,
    /// The `tid` claim is none of the allowed tenants, or missing.
    #[error("the user is of none of the allowed tenants")]
    Tenant,
}

/// Checks `claims` against `limits`. Every limit that is set must be met.
pub fn check_login_limits(limits: &LoginLimits, claims: &Map<String, Value>) -> Result<(), LoginRefused> {
    let tenant = claims.get("tid").and_then(Value::as_str);
    if !limits.allowed_tenants.is_empty() && !tenant.is_some_and(|tid| limits.allowed_tenants.iter().any(|t| t == tid))
    {
        return Err(LoginRefused::Tenant);
    }
    if !limits.allowed_groups.is_empty() {
        let groups = find(claims, &limits.groups_claim);
        if groups.is_none() && groups_were_left_out(claims) {
            return Err(LoginRefused::GroupsLeftOut);
        }
        if !is_in_a_group(&limits.allowed_groups, groups) {
            return Err(LoginRefused::Group);
        }
    }
    if !limits.allowed_email_domains.is_empty() {
        check_email(&limits.allowed_email_domains, claims)?;
    }
    Ok(())
}

/// Entra ID's overage: a distributed claim, or a mark that there are groups.
fn groups_were_left_out(claims: &Map<String, Value>) -> bool {
    let is_distributed = claims.get("_claim_names").is_some_and(|names| names.get("groups").is_some());
    is_distributed || matches!(claims.get("hasgroups"), Some(Value::Bool(true))) || {
        matches!(claims.get("hasgroups"), Some(Value::String(text)) if text == "true")
    }
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

    /// Entra ID above 200 groups.
    #[test]
    fn groups_that_the_provider_left_out_are_told_from_none() {
        let sources = json!({ "src1": { "endpoint": "https://graph.example/memberOf" } });
        for claims in [
            json!({ "_claim_names": { "groups": "src1" }, "_claim_sources": sources }),
            json!({ "hasgroups": true }),
            json!({ "hasgroups": "true" }),
        ] {
            assert_eq!(check(&groups(), claims.clone()), Err(LoginRefused::GroupsLeftOut));
            assert_eq!(check(&LoginLimits::default(), claims), Ok(()));
        }
        assert_eq!(check(&groups(), json!({ "_claim_names": { "other": "src1" } })), Err(LoginRefused::Group));
        assert_eq!(check(&groups(), json!({ "hasgroups": true, "groups": ["ops"] })), Ok(()));
    }

    #[test]
    fn the_claim_of_groups_may_have_another_name_or_lie_deeper() {
        let named = |name: &str| LoginLimits { groups_claim: name.to_owned(), ..groups() };
        assert_eq!(check(&named("cognito:groups"), json!({ "cognito:groups": ["ops"] })), Ok(()));
        assert_eq!(check(&named("realm_access.roles"), json!({ "realm_access": { "roles": ["ops"] } })), Ok(()));
        // A name with dots in it is a name first.
        let url = "https://shop.example.com/groups";
        assert_eq!(check(&named(url), json!({ (url): ["ops"] })), Ok(()));
        for claims in [json!({ "groups": ["ops"] }), json!({ "realm_access": ["ops"] }), json!({ "realm_access": {} })]
        {
            assert_eq!(check(&named("realm_access.roles"), claims), Err(LoginRefused::Group));
        }
    }

    #[test]
    fn a_tenant_must_be_one_of_those_that_are_allowed() {
        let limits = LoginLimits { allowed_tenants: vec!["t1".into()], ..LoginLimits::default() };
        assert_eq!(check(&limits, json!({ "tid": "t1" })), Ok(()));
        for claims in [json!({ "tid": "t2" }), json!({}), json!({ "tid": ["t1"] })] {
            assert_eq!(check(&limits, claims), Err(LoginRefused::Tenant));
        }
    }

    #[test]
    fn both_kinds_of_limit_must_be_met() {
        let limits = LoginLimits { allowed_groups: vec!["staff".into()], ..domains() };
        assert_eq!(check(&limits, json!({"groups": "staff", "email": "a@b.example"})), Err(LoginRefused::EmailDomain));
        assert_eq!(check(&limits, json!({"email": "a@example.com"})), Err(LoginRefused::Group));
    }
}
