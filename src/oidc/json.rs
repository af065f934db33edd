//! JSON objects whose member names must be unique, at every depth.
//!
//! A derived reader takes `["x"]` for an object with one member, and a `Map` the last of repeated ones. Here both are
//! refused.
//!
//! RFC 8259 §4 leaves it open which of two equal names counts; two readers of one token must not differ, so it is
//! refused. Must never put the text into an error: it may be a token.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value};

/// The text is not one JSON object with unique names, or lacks members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON object with unique member names and the members that are needed")]
pub struct NotAnObject;

/// Reads one object.
pub(super) fn parse_object(text: &[u8]) -> Result<Map<String, Value>, NotAnObject> {
    serde_json::from_slice(text).map(|UniqueObject(object)| object).map_err(|_| NotAnObject)
}

/// Reads one object with the members of `T`.
pub(super) fn read_object<T: DeserializeOwned>(text: &[u8]) -> Result<T, NotAnObject> {
    UniqueObject(parse_object(text)?).read()
}

/// An object, to be read as something else: for `#[serde(try_from = "UniqueObject")]`.
pub(super) struct UniqueObject(Map<String, Value>);

impl UniqueObject {
    /// The members of `T`; others are ignored.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, NotAnObject> {
        serde_json::from_value(Value::Object(self.0)).map_err(|_| NotAnObject)
    }
}

impl<'de> Deserialize<'de> for UniqueObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match UniqueVisitor.deserialize(deserializer)? {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(D::Error::custom(NotAnObject)),
        }
    }
}

struct UniqueVisitor;

impl<'de> DeserializeSeed<'de> for UniqueVisitor {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with unique member names")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(UniqueVisitor)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(UniqueVisitor)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member name is repeated"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_comes_out_as_serde_json_reads_it() {
        let text = r#"{"a":[1,-2,0.5,"x",null,true],"b":{"c":{}},"exp":1795392000}"#;
        let expected: Map<String, Value> = serde_json::from_str(text).expect("JSON");
        assert_eq!(parse_object(text.as_bytes()), Ok(expected));
    }

    /// RFC 8259 §4
    #[test]
    fn a_repeated_name_is_refused_at_every_depth() {
        for text in [r#"{"sub":"a","sub":"b"}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":[{"b":1,"b":2}]}"#] {
            assert_eq!(parse_object(text.as_bytes()), Err(NotAnObject), "{text}");
        }
    }

    #[test]
    fn an_array_is_not_taken_for_an_object() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Members {
            a: String,
        }
        assert_eq!(read_object(br#"{"a":"x","b":1}"#), Ok(Members { a: "x".to_owned() }));
        for text in [r#"["x"]"#, r#"{"b":1}"#, r#"{"a":1}"#, r#"{"a":"x","a":"y"}"#] {
            assert_eq!(read_object::<Members>(text.as_bytes()), Err(NotAnObject), "{text}");
        }
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for text in ["", "[]", "1", "{} {}", "{", "{\"a\":\u{7f}}"] {
            assert_eq!(parse_object(text.as_bytes()), Err(NotAnObject), "{text}");
        }
    }
}
