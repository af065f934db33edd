//! Claims that are asked for by name: where in a token's object they stand, and which values they must have.
//!
//! Must never match by parts of a value: a claim has a value exactly, or it does not have it. Must never put a claim's
//! value into an error.

use serde_json::{Map, Value};

/// Where a claim stands: a name, `email`, or names with dots between them, `realm_access.roles`.
///
/// A member of exactly that name comes first, at every depth, so that `https://example.com/roles` is found too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(String);

impl ClaimPath {
    /// The path in `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The claim, if it is there.
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        find(claims, &self.0)
    }
}

/// The claim at `path`, as [`ClaimPath`] reads it.
pub(super) fn find<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    object.get(path).or_else(|| {
        path.match_indices('.').find_map(|(dot, _)| {
            let inner = object.get(&path[..dot])?.as_object()?;
            find(inner, &path[dot + 1..])
        })
    })
}

/// Which of several values a claim must have. A claim that is a list has each of its elements.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// One of these at least.
    Any(Vec<Value>),
    /// Every one of these.
    All(Vec<Value>),
}

impl Wanted {
    /// Whether `claim` has them; one that is not there has none.
    pub fn is_met_by(&self, claim: Option<&Value>) -> bool {
        self.is_met_if(|wanted| match claim {
            Some(Value::Array(values)) => values.contains(wanted),
            Some(value) => value == wanted,
            None => false,
        })
    }

    /// Whether what is wanted is there, as `has` tells of each value.
    pub fn is_met_if(&self, has: impl Fn(&Value) -> bool) -> bool {
        match self {
            Self::Any(values) => values.iter().any(has),
            Self::All(values) => values.iter().all(has),
        }
    }
}

/// A claim and the values that it must have.
#[derive(Clone, Debug, PartialEq)]
pub struct RequiredClaim {
    /// The claim.
    pub path: ClaimPath,
    /// Its values.
    pub wanted: Wanted,
}

impl RequiredClaim {
    /// Whether `claims` have it so.
    pub fn is_met_by(&self, claims: &Map<String, Value>) -> bool {
        self.wanted.is_met_by(self.path.find(claims))
    }
}

/// The scopes that a token's claims name: `scope` (RFC 9068 §2.2.3, RFC 7662 §2.2) and `scp`, which Entra and Okta write;
/// each a text with spaces or a list.
pub fn scopes(claims: &Map<String, Value>) -> impl Iterator<Item = &str> {
    ["scope", "scp"].into_iter().filter_map(|name| claims.get(name)).flat_map(|value| {
        let (text, list) = (value.as_str().unwrap_or_default(), value.as_array().map_or(&[][..], Vec::as_slice));
        text.split(' ').chain(list.iter().filter_map(Value::as_str)).filter(|scope| !scope.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn a_claim_is_found_by_its_name_first_and_then_by_its_path() {
        let claims = object(json!({
            "email": "ada@example.com",
            "https://example.com/roles": ["a"],
            "realm_access": {"roles": ["b"]},
            "resource_access": {"my.client": {"roles": ["c"]}},
            "a": {"b": 1},
            "a.b": 2,
        }));
        for (path, value) in [
            ("email", json!("ada@example.com")),
            ("https://example.com/roles", json!(["a"])),
            ("realm_access.roles", json!(["b"])),
            ("resource_access.my.client.roles", json!(["c"])),
            ("a.b", json!(2)),
        ] {
            assert_eq!(ClaimPath::new(path).find(&claims), Some(&value), "{path}");
        }
        for path in ["", ".", "realm_access.", "realm_access.roles.0", "email.x", "EMAIL"] {
            assert_eq!(ClaimPath::new(path).find(&claims), None, "{path}");
        }
    }

    #[test]
    fn a_value_counts_whole_and_in_its_own_type() {
        let any = |values: &[Value]| Wanted::Any(values.to_vec());
        assert!(any(&[json!("ops")]).is_met_by(Some(&json!("ops"))));
        assert!(any(&[json!("x"), json!("ops")]).is_met_by(Some(&json!(["dev", "ops"]))));
        assert!(any(&[json!(true)]).is_met_by(Some(&json!(true))));
        assert!(any(&[json!(7)]).is_met_by(Some(&json!(7))));
        for claim in
            [json!("ops "), json!("OPS"), json!("devops"), json!("dev,ops"), json!([["ops"]]), json!({"ops": 1})]
        {
            assert!(!any(&[json!("ops")]).is_met_by(Some(&claim)), "{claim}");
        }
        assert!(!any(&[json!(true)]).is_met_by(Some(&json!("true"))));
        assert!(!any(&[json!("ops")]).is_met_by(None));
    }

    #[test]
    fn all_wants_every_value_and_any_wants_one() {
        let claim = json!(["a", "b"]);
        assert!(Wanted::All(vec![json!("a"), json!("b")]).is_met_by(Some(&claim)));
        assert!(!Wanted::All(vec![json!("a"), json!("c")]).is_met_by(Some(&claim)));
        assert!(Wanted::Any(vec![json!("a"), json!("c")]).is_met_by(Some(&claim)));
        assert!(!Wanted::All(vec![json!("a"), json!("b")]).is_met_by(Some(&json!("a"))));
    }

    /// RFC 9068 §2.2.3.
    #[test]
    fn scopes_are_read_in_each_of_their_forms() {
        let read = |claims: Value| scopes(&object(claims)).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(read(json!({"scope": "a b"})), ["a", "b"]);
        assert_eq!(read(json!({"scope": ["a", 7, "b"]})), ["a", "b"]);
        assert_eq!(read(json!({"scp": "a  b"})), ["a", "b"]);
        assert_eq!(read(json!({"scp": ["a"], "scope": "b"})), ["b", "a"]);
        assert!(read(json!({"scope": 7, "scopes": "a"})).is_empty());
    }
}
