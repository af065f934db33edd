//! Values as they stand in the configuration, whatever their type, so that one wrong type does not hide the next.
//!
//! A leaf may hold a secret: it has no `Debug` and no `Display`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// One value.
pub(super) enum Leaf {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number that fits 64 bits.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string (TOML's dates arrive as strings too).
    Text(String),
    /// A value from the environment: a text that may stand for any type.
    Untyped(String),
    /// An array.
    List(Vec<Leaf>),
    /// A table, with names of the operator's own choice; mostly where a value belongs.
    Table(BTreeMap<String, Leaf>),
    /// A place in a list that nothing set.
    Nothing,
}

impl Leaf {
    /// The value's type, with its article: all that a message may say of a value of the wrong type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a floating-point number",
            Self::Text(_) | Self::Untyped(_) => "a string",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Nothing => "nothing",
        }
    }
}

impl<'de> Deserialize<'de> for Leaf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LeafVisitor)
    }
}

struct LeafVisitor;

impl<'de> Visitor<'de> for LeafVisitor {
    type Value = Leaf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Leaf, E> {
        Ok(Leaf::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Leaf, E> {
        Ok(Leaf::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Leaf, E> {
        Ok(i64::try_from(value).map_or(Leaf::Float(value as f64), Leaf::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Leaf, E> {
        Ok(Leaf::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Leaf, E> {
        Ok(Leaf::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Leaf, E> {
        Ok(Leaf::Text(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Leaf, E> {
        Ok(Leaf::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Leaf, A::Error> {
        let mut list = Vec::new();
        while let Some(leaf) = sequence.next_element()? {
            list.push(leaf);
        }
        Ok(Leaf::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Leaf, A::Error> {
        let mut table = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            table.insert(name, value);
        }
        Ok(Leaf::Table(table))
    }
}
