//! Functions on rows, arrays and maps.

mod array;
mod collection;
mod field;
mod gather;
mod map;
mod search;

use datafusion_functions::core;
use datafusion_functions_nested as df;

use crate::entry::Entry;
use crate::function::Definition;

pub(crate) use field::get_field;
pub(crate) use map::map_of;

/// Where DataFusion's function has Flink's meaning, it is DataFusion's.
pub(crate) fn reused() -> Vec<Entry> {
    vec![
        Entry::reused(
            get_field(),
            "row.field, GET_FIELD(row, 'field')",
            "A field of a row, NULL where the row is NULL; or the value of a map's key.",
        ),
        Entry::reused(
            core::named_struct(),
            "NAMED_STRUCT('name', value, ...)",
            "A row of named fields; what ROW(...) becomes once its fields have names.",
        ),
        Entry::reused(df::make_array::make_array_udf(), "ARRAY[value, ...]", "An array of the values."),
        Entry::reused(
            df::extract::array_element_udf(),
            "array[index]",
            "The element at index, from 1; NULL when there is none.",
        ),
        Entry::reused(df::map::map_udf(), "MAP[key, value, ...]", "A map of the keys to the values."),
        Entry::reused(df::map_keys::map_keys_udf(), "MAP_KEYS(map)", "The map's keys, as an array."),
        Entry::reused(df::map_values::map_values_udf(), "MAP_VALUES(map)", "The map's values, as an array."),
    ]
}

pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    [array::DEFINITIONS, collection::DEFINITIONS, map::DEFINITIONS, search::DEFINITIONS].into_iter().flatten()
}
