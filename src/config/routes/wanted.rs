//! Required values: a list, or a table that says whether one of them is enough.

use serde_json::Value;

use crate::config::leaf::Leaf;
use crate::config::reader::{Reader, untyped_list};
use crate::config::values;
use crate::oidc::{ClaimPath, RequiredClaim, Wanted};

/// Claims and their values; of a plain list one value is enough.
pub(super) fn required_claims(key: &str, leaf: Option<Leaf>, reader: &mut Reader<'_>) -> Option<Vec<RequiredClaim>> {
    let table = reader.table(key, leaf)?;
    let parsed: Vec<_> = table
        .into_iter()
        .map(|(name, leaf)| {
            let wanted =
                reader.value(&format!("{key}.{name}"), Some(leaf), |leaf| wanted(leaf, Wanted::Any, claim_value));
            Some(RequiredClaim { path: ClaimPath::new(name), wanted: wanted? })
        })
        .collect();
    parsed.into_iter().collect()
}

/// Groups or roles; of a plain list one is enough.
pub(super) fn one_of(leaf: &Leaf) -> Result<Wanted, String> {
    wanted(leaf, Wanted::Any, |leaf| values::text(leaf).map(Value::String))
}

/// Scopes; of a plain list all are needed.
pub(super) fn scopes(leaf: &Leaf) -> Result<Wanted, String> {
    wanted(leaf, Wanted::All, |leaf| values::scope(leaf).map(Value::String))
}

fn wanted(
    leaf: &Leaf,
    plain: fn(Vec<Value>) -> Wanted,
    element: fn(&Leaf) -> Result<Value, String>,
) -> Result<Wanted, String> {
    let list = |leaves: &[Leaf]| {
        if leaves.is_empty() {
            return Err("is empty; name at least one value".to_owned());
        }
        leaves.iter().map(element).collect::<Result<Vec<_>, _>>()
    };
    match leaf {
        Leaf::List(leaves) => list(leaves).map(plain),
        Leaf::Untyped(text) => list(&untyped_list(text)?).map(plain),
        Leaf::Table(table) => {
            let mut forms = table.iter();
            match (forms.next(), forms.next()) {
                (Some((name, Leaf::List(leaves))), None) if name == "any" => list(leaves).map(Wanted::Any),
                (Some((name, Leaf::List(leaves))), None) if name == "all" => list(leaves).map(Wanted::All),
                _ => {
                    Err("must be a list, { any = [\"…\"] } or { all = [\"…\"] }; a name with dots needs quotes"
                        .to_owned())
                }
            }
        }
        single => element(single).map(|value| plain(vec![value])),
    }
}

/// A text, a whole number or a boolean; compared in its own type.
fn claim_value(leaf: &Leaf) -> Result<Value, String> {
    match leaf {
        Leaf::Boolean(value) => Ok((*value).into()),
        Leaf::Integer(number) => Ok((*number).into()),
        leaf => values::text(leaf).map(Value::String),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn leaf(toml: &str) -> Leaf {
        let mut table: std::collections::BTreeMap<String, Leaf> = toml::from_str(&format!("x = {toml}")).expect("TOML");
        table.remove("x").expect("it is there")
    }

    #[test]
    fn a_plain_list_means_one_value_but_of_scopes_all() {
        assert_eq!(one_of(&leaf(r#"["a", "b"]"#)), Ok(Wanted::Any(vec![json!("a"), json!("b")])));
        assert_eq!(scopes(&leaf(r#"["a", "b"]"#)), Ok(Wanted::All(vec![json!("a"), json!("b")])));
        assert_eq!(one_of(&leaf(r#""a""#)), Ok(Wanted::Any(vec![json!("a")])));
        assert_eq!(scopes(&Leaf::Untyped("a,b".to_owned())), Ok(Wanted::All(vec![json!("a"), json!("b")])));
    }

    #[test]
    fn both_forms_can_be_said_in_full() {
        assert_eq!(one_of(&leaf(r#"{ all = ["a"] }"#)), Ok(Wanted::All(vec![json!("a")])));
        assert_eq!(scopes(&leaf(r#"{ any = ["a"] }"#)), Ok(Wanted::Any(vec![json!("a")])));
        let typed = wanted(&leaf(r#"[true, 7, "7"]"#), Wanted::Any, claim_value);
        assert_eq!(typed, Ok(Wanted::Any(vec![json!(true), json!(7), json!("7")])));
    }

    #[test]
    fn what_names_no_value_is_refused() {
        for bad in [
            "[]",
            "{}",
            r#"{ any = [] }"#,
            r#"{ some = ["a"] }"#,
            r#"{ any = ["a"], all = ["b"] }"#,
            "[1.5]",
            r#"[""]"#,
        ] {
            assert!(wanted(&leaf(bad), Wanted::Any, claim_value).is_err(), "{bad}");
        }
        assert!(scopes(&leaf(r#"["a b"]"#)).is_err());
    }
}
