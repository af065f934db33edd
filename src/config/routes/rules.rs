//! `[[routes.rules]]`, typed.

use super::wanted::{one_of, required_claims, scopes};
use crate::config::raw::RawRule;
use crate::config::reader::Reader;
use crate::config::values;
use crate::oidc::{ClaimPath, RequiredClaim};
use crate::proxy::Rule;

/// The claims that hold groups and roles.
pub(in crate::config) struct ClaimNames {
    pub(in crate::config) groups: String,
    pub(in crate::config) roles: String,
}

/// Reads the rules of the route at `route` (`routes[0]`), or of `forward_auth`.
pub(in crate::config) fn parse(
    route: &str,
    raw: Vec<RawRule>,
    names: &ClaimNames,
    reader: &mut Reader<'_>,
) -> Option<Vec<Rule>> {
    let parsed: Vec<_> = raw
        .into_iter()
        .enumerate()
        .map(|(index, raw)| rule(&format!("{route}.rules[{index}]"), raw, names, reader))
        .collect();
    parsed.into_iter().collect()
}

fn rule(path: &str, raw: RawRule, names: &ClaimNames, reader: &mut Reader<'_>) -> Option<Rule> {
    let key = |name: &str| format!("{path}.{name}");
    let methods = reader.list(&key("methods"), raw.methods, values::method);
    let claims = required_claims(&key("required_claims"), raw.required_claims, reader);
    let scopes = reader.optional(&key("required_scopes"), raw.required_scopes, scopes);
    let groups = reader.optional(&key("required_groups"), raw.required_groups, one_of);
    let roles = reader.optional(&key("required_roles"), raw.required_roles, one_of);
    let named = |name: &String, wanted| RequiredClaim { path: ClaimPath::new(name.as_str()), wanted };
    let mut claims = claims?;
    claims.extend(groups?.map(|wanted| named(&names.groups, wanted)));
    claims.extend(roles?.map(|wanted| named(&names.roles, wanted)));
    let (methods, scopes) = (methods?, scopes?);
    if claims.is_empty() && scopes.is_none() {
        reader.error(path, "asks for nothing; set required_claims, required_scopes, required_groups or required_roles");
        return None;
    }
    Some(Rule { methods, claims, scopes })
}
