//! Strings taken apart and chosen: SPLIT, STR_TO_MAP, ELT.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryBuilder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion_common::{Result, plan_err};

use crate::arguments::Arguments;
use crate::column::check_size;
use crate::function::{Call, Definition, Nulls};
use crate::nested::map_of;
use crate::parameter::Kind::{Long, Text, TextOrBytes};
use crate::regexp::Patterns;
use crate::type_name::type_names;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "split",
        "SPLIT(string, separator)",
        "The parts of the string between the separators, as an ARRAY; its characters when the separator is empty.",
        &[Text, Text],
        |_| Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))),
        split,
    ),
    Definition::new(
        "str_to_map",
        "STR_TO_MAP(string[, between pairs, between key and value])",
        "A map of the keys and values that a string lists, separated by regular expressions, by default ',' and '='. A key \
         without a value has NULL; of a key that comes twice the last value counts.",
        &[Text],
        |_| Ok(map_of(DataType::Utf8, DataType::Utf8)),
        str_to_map,
    )
    .optional(&[Text, Text]),
    Definition::new(
        "elt",
        "ELT(index, string, ...)",
        "The string at index, from 1; NULL when there is none.",
        &[Long, TextOrBytes],
        |call: &Call<'_>| {
            let of = |is: fn(&DataType) -> bool| call.types.iter().skip(1).all(is);
            match (of(DataType::is_string), of(|given| *given == DataType::Binary)) {
                (true, _) => Ok(DataType::Utf8),
                (_, true) => Ok(DataType::Binary),
                _ => plan_err!("ELT chooses among STRINGs or among BYTES, not among ({})", type_names(&call.types)),
            }
        },
        elt,
    )
    .rest(TextOrBytes)
    .nulls(Nulls::Own),
];

fn split(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (text, separator) = (arguments.text(0)?, arguments.text(1)?);
    let mut parts = ListBuilder::new(StringBuilder::with_capacity(arguments.rows() * 4, text.size()));
    for row in 0..arguments.rows() {
        if arguments.is_null(row) {
            parts.append_null();
            continue;
        }
        let (text, separator) = (text.value(row), separator.value(row));
        if separator.is_empty() {
            let mut utf8 = [0; 4];
            text.chars().for_each(|character| parts.values().append_value(character.encode_utf8(&mut utf8)));
        } else {
            text.split(separator).for_each(|part| parts.values().append_value(part));
        }
        parts.append(true);
        check_size(arguments, parts.values().values_slice().len())?;
    }
    Ok(Arc::new(parts.finish()))
}

fn str_to_map(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let text = arguments.text(0)?;
    let mut between_pairs = Separators::of(arguments, 1, ",")?;
    let mut inside_pairs = Separators::of(arguments, 2, "=")?;
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    let mut pairs: Vec<(&str, Option<&str>)> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for row in 0..arguments.rows() {
        if arguments.is_null(row) {
            maps.append(false)?;
            continue;
        }
        pairs.clear();
        known.clear();
        for pair in between_pairs.split(row, text.value(row), usize::MAX) {
            if pair.is_empty() {
                continue;
            }
            let mut halves = inside_pairs.split(row, pair, 2).into_iter();
            let (key, value) = (halves.next().unwrap_or(pair), halves.next());
            match known.get(key).and_then(|at| pairs.get_mut(*at)) {
                Some(pair) => pair.1 = value,
                None => {
                    known.insert(key, pairs.len());
                    pairs.push((key, value));
                }
            }
        }
        for (key, value) in &pairs {
            maps.keys().append_value(key);
            maps.values().append_option(*value);
        }
        maps.append(true)?;
        check_size(arguments, maps.keys().values_slice().len() + maps.values().values_slice().len())?;
    }
    Ok(Arc::new(maps.finish()))
}

/// What separates: a plain text by default, else a regular expression of the call.
enum Separators<'a> {
    Plain(&'static str),
    Regex(Patterns<'a>),
}

impl<'a> Separators<'a> {
    fn of(arguments: &'a Arguments<'_>, index: usize, default: &'static str) -> Result<Self> {
        if index < arguments.len() {
            return Ok(Self::Regex(Patterns::of(arguments, index)?));
        }
        Ok(Self::Plain(default))
    }

    fn split<'t>(&mut self, row: usize, text: &'t str, most: usize) -> Vec<&'t str> {
        match self {
            Self::Plain(separator) => text.splitn(most, *separator).collect(),
            Self::Regex(patterns) => match patterns.at(row) {
                Some(regex) => regex.splitn(text, most).collect(),
                None => vec![text],
            },
        }
    }
}

fn elt(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let index = arguments.column(0)?;
    let indices = arguments.longs(0)?;
    let chosen = |row: usize| {
        let at = if index.is_one_value() { 0 } else { row };
        if index.values.is_null(at) { None } else { usize::try_from(indices.value(row)).ok() }
            .filter(|index| (1..arguments.len()).contains(index))
    };
    if *arguments.return_type() == DataType::Binary {
        let mut out = BinaryBuilder::new();
        for row in 0..arguments.rows() {
            let value = match chosen(row) {
                Some(index) => {
                    let column = arguments.column(index)?;
                    let is_null = column.values.is_null(if column.is_one_value() { 0 } else { row });
                    if is_null { None } else { Some(arguments.bytes(index)?.value(row)) }
                }
                None => None,
            };
            out.append_option(value);
        }
        return Ok(Arc::new(out.finish()));
    }
    let texts = (1..arguments.len()).map(|index| arguments.text(index)).collect::<Result<Vec<_>>>()?;
    let mut out = StringBuilder::new();
    for row in 0..arguments.rows() {
        let text = chosen(row).and_then(|index| texts.get(index - 1)).and_then(|text| text.get(row));
        check_size(arguments, out.values_slice().len() + text.map_or(0, str::len))?;
        out.append_option(text);
    }
    Ok(Arc::new(out.finish()))
}
