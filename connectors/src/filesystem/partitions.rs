//! Partitions as folders, `key=value/…`, as Hive and Flink lay them out: values as text, and predicates on them.
//!
//! Invariant: [`value`] reads back what [`folder`] has written. A null, and a text without characters, which no folder can be
//! named by, stand under the default name and read as null.

use std::cmp::Ordering;

use weir_proto::v1::Predicate;
use weir_proto::v1::literal::Value as Literal;
use weir_proto::v1::predicate::Operator;

use arrow::datatypes::DataType;

use crate::formats::text;

/// Appends `key=value/`; `None` is null.
pub fn folder(out: &mut String, key: &str, value: Option<&str>, default_name: &str) {
    escape(out, key);
    out.push('=');
    match value.filter(|value| !value.is_empty()) {
        Some(value) => escape(out, value),
        None => out.push_str(default_name),
    }
    out.push('/');
}

fn escape(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    // What Hive and Flink escape, and a point in front, which would hide the folder.
    for (position, character) in text.chars().enumerate() {
        let special = matches!(
            character,
            '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^' | '\u{7F}'
        ) || (position == 0 && matches!(character, '.' | '_'))
            || character < ' ';
        if special {
            let byte = character as u32 as u8;
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        } else {
            out.push(character);
        }
    }
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *byte == b'%') {
            Some(escaped) => {
                bytes.push(escaped);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The value of a key in a file's path: outside `None` if the path doesn't have the key, inside if it is null.
#[must_use]
pub fn value(path: &str, key: &str, default_name: &str) -> Option<Option<String>> {
    let (folders, _file) = path.rsplit_once('/')?;
    let text = folders
        .rsplit('/')
        .filter_map(|folder| folder.split_once('='))
        .find(|(name, _)| unescape(name) == key)?
        .1;
    Some((text != default_name).then(|| unescape(text)))
}

/// A predicate on a partition's value.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The partition's key.
    pub key: String,
    operator: Operator,
    literal: Literal,
}

impl Condition {
    /// The predicate on a key of this type, if it can be told from the folder's name.
    #[must_use]
    pub fn of(predicate: &Predicate, key: &str, data_type: &DataType) -> Option<Self> {
        let operator = Operator::try_from(predicate.operator)
            .ok()
            .filter(|operator| *operator != Operator::Unspecified)?;
        let literal = predicate.literal.as_ref()?.value.clone()?;
        let fits = matches!(
            (data_type, &literal),
            (DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64, Literal::Integer(_))
                | (DataType::Utf8, Literal::String(_))
                | (DataType::Date32, Literal::DateDays(_))
                | (DataType::Boolean, Literal::Boolean(_))
        );
        fits.then(|| Self { key: key.to_owned(), operator, literal })
    }

    /// Whether it holds for a value, which it never does for null. A value that isn't one of its type isn't ruled out: reading
    /// it says what is wrong.
    #[must_use]
    pub fn holds(&self, value: Option<&str>) -> bool {
        let Some(value) = value else { return false };
        let order = match &self.literal {
            Literal::Integer(literal) => value.parse::<i64>().ok().map(|value| value.cmp(literal)),
            Literal::String(literal) => Some(value.as_bytes().cmp(literal.as_bytes())),
            Literal::DateDays(literal) => {
                text::parse_date(value.as_bytes()).map(|days| days.cmp(&i64::from(*literal)))
            }
            Literal::Boolean(literal) => value.parse::<bool>().ok().map(|value| value.cmp(literal)),
            Literal::Float(_) | Literal::TimestampMillis(_) => None,
        };
        let Some(order) = order else { return true };
        match self.operator {
            Operator::Eq => order == Ordering::Equal,
            Operator::NotEq => order != Ordering::Equal,
            Operator::Lt => order == Ordering::Less,
            Operator::LtEq => order != Ordering::Greater,
            Operator::Gt => order == Ordering::Greater,
            Operator::GtEq => order != Ordering::Less,
            Operator::Unspecified => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_survives_its_folder(key in "[a-z=/%._]{1,6}", text in any::<String>()) {
            let mut path = String::from("/root/");
            folder(&mut path, &key, Some(&text), "__NULL__");
            let depth = path.matches('/').count();
            prop_assert_eq!(depth, 3, "one folder");
            path.push_str("part-0");
            let expected = Some(text).filter(|text| !text.is_empty());
            prop_assert_eq!(value(&path, &key, "__NULL__"), Some(expected));
        }
    }

    #[test]
    fn conditions_and_nulls() {
        let condition = |operator: Operator, data_type, literal| {
            let predicate = Predicate {
                path: vec!["k".into()],
                operator: operator.into(),
                literal: Some(weir_proto::v1::Literal { value: Some(literal) }),
            };
            Condition::of(&predicate, "k", &data_type)
        };
        let day = condition(Operator::GtEq, DataType::Date32, Literal::DateDays(1)).unwrap();
        assert!(day.holds(Some("1970-01-02")) && !day.holds(Some("1970-01-01")) && !day.holds(None));
        let number = condition(Operator::Lt, DataType::Int64, Literal::Integer(10)).unwrap();
        assert!(number.holds(Some("9")) && !number.holds(Some("10")), "by number, not by text");
        let text = condition(Operator::NotEq, DataType::Utf8, Literal::String("a".into())).unwrap();
        assert!(text.holds(Some("b")) && !text.holds(Some("a")) && !text.holds(None));
        assert!(condition(Operator::Eq, DataType::Float64, Literal::Float(1.0)).is_none());
        assert_eq!(value("/r/k=__NULL__/f", "k", "__NULL__"), Some(None));
        assert_eq!(value("/r/k=1/j=2/f", "k", "__NULL__"), Some(Some("1".into())));
        assert_eq!(value("/r/x/f=1", "f", "__NULL__"), None);
    }
}
