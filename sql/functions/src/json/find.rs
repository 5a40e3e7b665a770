//! Follows a path through a JSON text without building the text's values.
//!
//! A path to a list of values is the exception: then the text is read whole. Invariant: what is found is found in a text that is valid JSON to its end; of members with one name the last one counts.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::path::{Path, Step};

/// What a path leads to. A text without escapes is borrowed.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Found<'t> {
    Null,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Number(f64),
    Text(Cow<'t, str>),
    /// An object or an array; kept only where it is asked for.
    Nested(Option<Value>),
}

/// The text isn't JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NotJson;

/// What the path leads to; `None` when it leads nowhere.
pub(super) fn find<'t>(text: &'t str, path: &Path, keep_nested: bool) -> Result<Option<Found<'t>>, NotJson> {
    if path.is_list() {
        return find_all(text, &path.steps).map(Some);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let follow = Follow { path: &path.steps, keep_nested };
    let found = follow.deserialize(&mut deserializer).map_err(|_| NotJson)?;
    deserializer.end().map_err(|_| NotJson)?;
    Ok(found)
}

/// The list of all values that the steps lead to.
fn find_all<'t>(text: &str, steps: &[Step]) -> Result<Found<'t>, NotJson> {
    let mut values: Vec<Value> = vec![serde_json::from_str(text).map_err(|_| NotJson)?];
    for step in steps {
        let mut inside = Vec::new();
        for value in values {
            match (step, value) {
                (Step::Member(name), Value::Object(mut members)) => inside.extend(members.shift_remove(name)),
                (Step::Element(index), Value::Array(elements)) => {
                    inside.extend(elements.into_iter().nth(*index))
                }
                (Step::All, Value::Array(elements)) => inside.extend(elements),
                (Step::All, Value::Object(members)) => {
                    inside.extend(members.into_iter().map(|(_, value)| value))
                }
                _ => {}
            }
        }
        values = inside;
    }
    Ok(Found::Nested(Some(Value::Array(values))))
}

/// Whether the text is JSON.
pub(super) fn is_json(text: &str) -> bool {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    <IgnoredAny as serde::Deserialize>::deserialize(&mut deserializer).is_ok() && deserializer.end().is_ok()
}

#[derive(Clone, Copy)]
struct Follow<'p> {
    path: &'p [Step],
    keep_nested: bool,
}

impl Follow<'_> {
    /// A scalar: found where the path ends.
    fn scalar<'t>(self, found: Found<'t>) -> Option<Found<'t>> {
        self.path.is_empty().then_some(found)
    }
}

impl<'de> DeserializeSeed<'de> for Follow<'_> {
    type Value = Option<Found<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.path.is_empty() && self.keep_nested {
            return <Value as serde::Deserialize>::deserialize(deserializer)
                .map(|value| Some(found_of(value)));
        }
        deserializer.deserialize_any(self)
    }
}

fn found_of<'t>(value: Value) -> Found<'t> {
    match value {
        Value::Null => Found::Null,
        Value::Bool(value) => Found::Boolean(value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Found::Integer(number),
            (_, Some(number)) => Found::Unsigned(number),
            _ => Found::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Found::Text(Cow::Owned(text)),
        nested => Found::Nested(Some(nested)),
    }
}

impl<'de> Visitor<'de> for Follow<'_> {
    type Value = Option<Found<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.scalar(Found::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.scalar(Found::Boolean(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.scalar(Found::Integer(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.scalar(i64::try_from(value).map_or(Found::Unsigned(value), Found::Integer)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(self.scalar(Found::Number(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(if self.path.is_empty() { Some(Found::Text(Cow::Owned(value.to_owned()))) } else { None })
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(self.scalar(Found::Text(Cow::Borrowed(value))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut found = self.scalar(Found::Nested(None));
        let wanted = match self.path {
            [Step::Element(index), ..] => Some(*index),
            _ => None,
        };
        for index in 0.. {
            if Some(index) == wanted {
                let path = self.path.get(1..).unwrap_or(&[]);
                match seq.next_element_seed(Follow { path, ..self })? {
                    Some(inside) => found = inside,
                    None => break,
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = self.scalar(Found::Nested(None));
        let wanted = match self.path {
            [Step::Member(name), ..] => Some(name.as_str()),
            _ => None,
        };
        while let Some(is_wanted) = map.next_key_seed(Named(wanted))? {
            if is_wanted {
                let path = self.path.get(1..).unwrap_or(&[]);
                found = map.next_value_seed(Follow { path, ..self })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a member has the name, without keeping its own.
struct Named<'n>(Option<&'n str>);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Named<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        Ok(self.0 == Some(value))
    }
}
