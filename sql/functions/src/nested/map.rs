//! Maps: their entries, their values by key, maps of arrays, and maps united.
//!
//! Of entries with one key the last one counts, wherever a map is made here.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::kernels::cast::cast;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, exec_err, plan_err};

use super::gather::{Gathered, Pool, comparable, element_type};
use crate::arguments::Arguments;
use crate::function::{Call, Definition, Nulls};
use crate::parameter::Kind::{Any, Common};
use crate::parameter::common_type;
use crate::type_name::{type_name, type_names};

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "map_entries",
        "MAP_ENTRIES(map)",
        "The map's entries, as an array of rows of a key and a value.",
        &[Any],
        |call| match call.type_of(0) {
            DataType::Map(entries, _) => {
                Ok(DataType::List(Arc::new(Field::new_list_field(entries.data_type().clone(), true))))
            }
            other => plan_err!("MAP_ENTRIES takes a MAP, not {}", type_name(&other)),
        },
        entries,
    ),
    Definition::new(
        "map_value",
        "map[key]",
        "The value of a key in the map; NULL when there is none.",
        &[Any, Any],
        |call| match call.type_of(0) {
            DataType::Map(entries, _) => match (entries.data_type(), call.type_of(1)) {
                (DataType::Struct(fields), given) => match fields.as_ref() {
                    [key, value] if common_type(&[key.data_type().clone(), given]).is_some() => {
                        Ok(value.data_type().clone())
                    }
                    _ => plan_err!("a map has no keys of that type: ({})", type_names(&call.types)),
                },
                _ => plan_err!("a map has no keys of that type: ({})", type_names(&call.types)),
            },
            other => plan_err!("{} isn't a MAP", type_name(&other)),
        },
        value,
    )
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "map_from_arrays",
        "MAP_FROM_ARRAYS(keys, values)",
        "A map of the keys in one array to the values at their places in another one. Arrays of different lengths, and a NULL \
         key, are errors.",
        &[Any, Any],
        |call| {
            let key = element_type(&call.type_of(0), "MAP_FROM_ARRAYS")?;
            Ok(map_of(key, element_type(&call.type_of(1), "MAP_FROM_ARRAYS")?))
        },
        from_arrays,
    ),
    Definition::new(
        "map_union",
        "MAP_UNION(map, ...)",
        "The entries of all maps in one; of a key that is in several the last one's value counts.",
        &[Common],
        |call: &Call<'_>| match call.type_of(0) {
            map @ DataType::Map(_, _) => Ok(map),
            other => plan_err!("MAP_UNION takes MAPs, not {}", type_name(&other)),
        },
        |arguments| {
            let DataType::Map(entries, _) = arguments.return_type() else {
                return arguments.mistyped(0, "a MAP", arguments.return_type());
            };
            let pool = Pool::of(arguments, 0..arguments.len(), entries.data_type(), None)?;
            unique(arguments, &pool, arguments.len())
        },
    )
    .rest(Common),
];

/// A map type, with the names of fields that DataFusion gives them.
pub(crate) fn map_of(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

fn entries(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let maps = arguments.array(0)?;
    let (Some(maps), DataType::List(field)) = (maps.as_map_opt(), arguments.return_type()) else {
        return arguments.mistyped(0, "a MAP", maps.data_type());
    };
    let entries = Arc::new(maps.entries().clone());
    Ok(Arc::new(ListArray::try_new(field.clone(), maps.offsets().clone(), entries, maps.nulls().cloned())?))
}

fn value(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let maps = arguments.array(0)?;
    let Some(maps) = maps.as_map_opt() else {
        return arguments.mistyped(0, "a MAP", maps.data_type());
    };
    let wanted = arguments.column(1)?;
    let keys = comparable(maps.keys())?;
    let needles = comparable(&cast(&wanted.values, maps.key_type())?)?;
    let offsets = maps.value_offsets();
    let at = |row: usize| offsets.get(row).map_or(0, |offset| usize::try_from(*offset).unwrap_or(0));
    let places: UInt32Array = (0..arguments.rows())
        .map(|row| {
            if arguments.is_null(row) {
                return None;
            }
            let needle = needles.row(if wanted.is_one_value() { 0 } else { row });
            let place = (at(row)..at(row + 1)).rev().find(|place| keys.row(*place) == needle)?;
            u32::try_from(place).ok()
        })
        .collect();
    Ok(take(maps.values(), &places, None)?)
}

fn from_arrays(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let DataType::Map(field, _) = arguments.return_type() else {
        return arguments.mistyped(0, "an ARRAY", arguments.return_type());
    };
    let DataType::Struct(fields) = field.data_type() else {
        return arguments.mistyped(0, "an ARRAY", field.data_type());
    };
    let [key, value] = fields.as_ref() else {
        return arguments.mistyped(0, "an ARRAY", field.data_type());
    };
    let keys = Pool::of(arguments, 0..1, key.data_type(), None)?;
    let values = Pool::of(arguments, 1..2, value.data_type(), None)?;
    let mut places: (Vec<u32>, Vec<u32>) = Default::default();
    let mut lengths = Vec::with_capacity(arguments.rows());
    for row in 0..arguments.rows() {
        if arguments.is_null(row) {
            lengths.push(0);
            continue;
        }
        let (of_keys, of_values) = (keys.range(0, row), values.range(0, row));
        if of_keys.len() != of_values.len() {
            return exec_err!(
                "MAP_FROM_ARRAYS got {} keys and {} values; they must be as many",
                of_keys.len(),
                of_values.len()
            );
        }
        if of_keys.clone().any(|place| keys.values.is_null(place as usize)) {
            return exec_err!("MAP_FROM_ARRAYS got a NULL key");
        }
        lengths.push(of_keys.len());
        places.0.extend(of_keys);
        places.1.extend(of_values);
    }
    let columns = vec![
        take(&keys.values, &UInt32Array::from(places.0), None)?,
        take(&values.values, &UInt32Array::from(places.1), None)?,
    ];
    let entries = StructArray::try_new(fields.clone(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let maps = MapArray::try_new(field.clone(), offsets, entries, arguments.nulls().cloned(), false)?;
    let pool = Pool::of_maps(&maps)?;
    unique(arguments, &pool, 1)
}

/// Maps of the entries of the first parts of a pool, each key once.
fn unique(arguments: &Arguments<'_>, pool: &Pool, parts: usize) -> Result<ArrayRef> {
    let Some(entries) = pool.values.as_struct_opt() else {
        return arguments.mistyped(0, "a MAP", pool.values.data_type());
    };
    let keys = comparable(entries.column(0))?;
    let mut taken: HashMap<&[u8], usize> = HashMap::new();
    let mut gathered = Gathered::with_capacity(arguments.rows());
    for row in 0..arguments.rows() {
        if arguments.is_null(row) {
            gathered.null();
            continue;
        }
        taken.clear();
        gathered.row(|places| {
            for place in (0..parts).flat_map(|part| pool.range(part, row)) {
                let next = places.len();
                let known = *taken.entry(keys.row(place as usize).data()).or_insert(next);
                match places.get_mut(known) {
                    Some(known) => *known = place,
                    None => places.push(place),
                }
            }
        });
    }
    gathered.finish(pool, arguments.return_type())
}
