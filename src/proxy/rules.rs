//! What a route asks of the user, by method.
//!
//! Must never tell which values a user has, nor which would do: only what is missing.

use http::Method;
use serde_json::Value;

use super::Identity;
use crate::oidc::{RequiredClaim, Wanted};

/// One rule. All rules of a route whose methods meet a request must be kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// The methods that it is for; empty: all. One for GET is for HEAD too.
    pub methods: Vec<Method>,
    /// Claims that the user must have, all of them.
    pub claims: Vec<RequiredClaim>,
    /// Scopes that the access token must have.
    pub scopes: Option<Wanted>,
}

/// What a user lacks.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Missing<'a> {
    /// The claim of this name lacks a value.
    Claim(&'a str),
    /// The access token lacks scopes, of these.
    Scopes(&'a Wanted),
}

impl Missing<'_> {
    /// The scopes that would do, with spaces between them (RFC 6750 §3); none where a claim is missing.
    pub fn scopes(&self) -> Option<String> {
        let Self::Scopes(Wanted::Any(scopes) | Wanted::All(scopes)) = self else { return None };
        Some(scopes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
    }
}

impl Rule {
    /// Whether it is for requests with this method.
    pub fn is_for(&self, method: &str) -> bool {
        let same = |own: &Method| own.as_str() == method || (*own == Method::GET && method == "HEAD");
        self.methods.is_empty() || self.methods.iter().any(same)
    }

    /// What `identity` lacks, if anything.
    pub fn missing(&self, identity: &Identity<'_>) -> Option<Missing<'_>> {
        let claim = self.claims.iter().find(|required| !required.is_met_by(&identity.claims));
        let has =
            |wanted: &Value| wanted.as_str().is_some_and(|wanted| identity.scopes.iter().any(|own| own == wanted));
        let scopes = || self.scopes.as_ref().filter(|wanted| !wanted.is_met_if(has));
        claim.map(|required| Missing::Claim(required.path.as_str())).or_else(|| scopes().map(Missing::Scopes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oidc::ClaimPath;

    fn identity(claims: Value, scopes: &[&str]) -> Identity<'static> {
        let claims = claims.as_object().cloned().expect("an object");
        Identity { claims, scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(), ..Identity::default() }
    }

    fn rule(claims: &[(&str, Wanted)], scopes: Option<Wanted>) -> Rule {
        let claim =
            |(path, wanted): &(&str, Wanted)| RequiredClaim { path: ClaimPath::new(*path), wanted: wanted.clone() };
        Rule { methods: Vec::new(), claims: claims.iter().map(claim).collect(), scopes }
    }

    fn any(values: &[&str]) -> Wanted {
        Wanted::Any(values.iter().map(|value| json!(value)).collect())
    }

    #[test]
    fn a_rule_without_methods_is_for_all_and_one_for_get_is_for_head() {
        let all = Rule::default();
        assert!(all.is_for("GET") && all.is_for("PURGE"));
        let reading = Rule { methods: vec![Method::GET], ..Rule::default() };
        assert!(reading.is_for("GET") && reading.is_for("HEAD"));
        assert!(!reading.is_for("POST") && !reading.is_for("get"));
    }

    #[test]
    fn every_claim_and_scope_of_a_rule_is_needed_and_what_lacks_is_named() {
        let rule = rule(&[("groups", any(&["ops"])), ("realm_access.roles", any(&["admin"]))], Some(any(&["write"])));
        let claims = json!({"groups": ["dev", "ops"], "realm_access": {"roles": ["admin"]}});
        assert_eq!(rule.missing(&identity(claims.clone(), &["read", "write"])), None);
        let missing = rule.missing(&identity(claims, &["read", "writer"])).and_then(|missing| missing.scopes());
        assert_eq!(missing.as_deref(), Some("write"));
        let claims = json!({"groups": "ops", "realm_access": {"roles": "administrator"}});
        assert_eq!(rule.missing(&identity(claims, &["write"])), Some(Missing::Claim("realm_access.roles")));
        assert_eq!(rule.missing(&identity(json!({}), &["write"])), Some(Missing::Claim("groups")));
    }

    #[test]
    fn scopes_may_all_be_wanted() {
        let rule = rule(&[], Some(Wanted::All(vec![json!("a"), json!("b")])));
        assert_eq!(rule.missing(&identity(json!({}), &["b", "a", "c"])), None);
        let missing = rule.missing(&identity(json!({}), &["a"])).and_then(|missing| missing.scopes());
        assert_eq!(missing.as_deref(), Some("a b"));
    }
}
