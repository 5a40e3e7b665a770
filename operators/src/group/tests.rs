//! Every table numbers keys like a map of their texts does, and gives the keys back.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, StringArray, TimestampMillisecondArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;

use super::{ABSENT, Groups, Which};

/// Columns of every kind of table from the same numbers.
fn columns(values: &[Option<i64>]) -> Vec<ArrayRef> {
    let float = |value: i64| match value {
        0 => -0.0,
        1 => 0.0,
        2 => f64::NAN,
        3 => -f64::NAN,
        other => other as f64,
    };
    let mapped = |value: &Option<i64>| value.map(float);
    let text: StringArray =
        values.iter().map(|value| value.map(|value| "ab".repeat(value.unsigned_abs() as usize))).collect();
    vec![
        Arc::new(values.iter().copied().collect::<Int64Array>()),
        Arc::new(values.iter().map(|value| value.map(|value| value as i8)).collect::<Int8Array>()),
        Arc::new(values.iter().map(|value| value.map(|value| value as i16)).collect::<Int16Array>()),
        Arc::new(values.iter().map(|value| value.map(|value| value as i32)).collect::<Int32Array>()),
        Arc::new(values.iter().map(|value| value.map(|value| value as u64)).collect::<UInt64Array>()),
        Arc::new(values.iter().map(|value| value.map(|value| value > 0)).collect::<BooleanArray>()),
        Arc::new(values.iter().map(mapped).collect::<Float64Array>()),
        Arc::new(values.iter().map(|value| value.map(|value| float(value) as f32)).collect::<Float32Array>()),
        Arc::new(values.iter().copied().collect::<TimestampMillisecondArray>().with_timezone("UTC")),
        Arc::new(values.iter().map(|value| value.map(i128::from)).collect::<Decimal128Array>()),
        cast(&text, &DataType::Binary).unwrap(),
        cast(&text, &DataType::Utf8View).unwrap(),
        cast(&text, &DataType::LargeUtf8).unwrap(),
        Arc::new(text.clone()),
        list(&text),
    ]
}

fn list(text: &StringArray) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
    // An empty string in a list prints like a null.
    let text: StringArray = text.iter().map(|text| text.map(|text| format!("+{text}"))).collect();
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(vec![1; text.len()]);
    Arc::new(arrow::array::ListArray::new(item, offsets, Arc::new(text), None))
}

/// A key as text: −0.0 is 0.0, NaN is NaN, null isn't the empty string.
fn text(columns: &[ArrayRef], row: usize) -> String {
    let cell = |column: &ArrayRef| {
        if column.is_null(row) {
            return "null".to_owned();
        }
        let text = array_value_to_string(column, row).unwrap();
        if column.data_type().is_floating() && text == "-0.0" {
            "0.0".to_owned()
        } else {
            format!("'{text}'").replace("'0.0'", "0.0")
        }
    };
    columns.iter().map(cell).collect::<Vec<_>>().join(",")
}

fn check(batches: &[Vec<ArrayRef>]) {
    let types: Vec<DataType> = batches[0].iter().map(|column| column.data_type().clone()).collect();
    let mut groups = Groups::new(&types, 0).unwrap();
    // Twice, the second time in a table that was cleared.
    for _ in 0..2 {
        let mut expected: HashMap<String, u32> = HashMap::new();
        let mut ids = Vec::new();
        for columns in batches {
            let rows = columns[0].len();
            groups.intern(columns, rows, &mut ids).unwrap();
            assert_eq!(ids.len(), rows);
            for (row, id) in ids.iter().enumerate() {
                let next = expected.len() as u32;
                assert_eq!(*id, *expected.entry(text(columns, row)).or_insert(next), "{types:?}");
            }
        }
        assert_eq!(groups.len(), expected.len());
        let half = groups.len() / 2;
        for range in [0..half, half..groups.len()] {
            let keys = groups.keys(range.clone().into()).unwrap();
            assert_eq!(keys.iter().map(|key| key.data_type().clone()).collect::<Vec<_>>(), types);
            for (row, id) in range.enumerate() {
                assert_eq!(expected[&text(&keys, row)], id as u32, "{types:?}");
            }
        }
        let all = groups.keys((0..groups.len()).into()).unwrap();
        let every_second: Vec<u32> = (0..groups.len() as u32).rev().step_by(2).collect();
        let some = groups.keys(Which::Each(&every_second)).unwrap();
        let rows = every_second.len();
        groups.find(&some, rows, &mut ids).unwrap();
        assert_eq!(ids, every_second, "{types:?}");
        let mut fresh = Groups::new(&types, 0).unwrap();
        fresh.intern(&some, rows, &mut ids).unwrap();
        fresh.find(&all, groups.len(), &mut ids).unwrap();
        for (id, found) in ids.iter().enumerate() {
            let wanted = every_second.iter().position(|&number| number as usize == id);
            assert_eq!(wanted.map_or(ABSENT, |row| row as u32), *found, "{types:?}");
        }
        groups.clear();
        assert_eq!(groups.len(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn groups_are_numbered_like_distinct_keys(
        batches in proptest::collection::vec(
            proptest::collection::vec((proptest::option::weighted(0.9, -4..6_i64), proptest::option::weighted(0.9, -4..6_i64)), 1..40),
            1..5,
        ),
        skipped in 0..3_usize,
    ) {
        // Slices, as buffers may start in the middle.
        let sliced = |values: Vec<Option<i64>>| -> Vec<ArrayRef> {
            let columns = columns(&values);
            columns.iter().map(|column| column.slice(skipped.min(values.len() - 1), values.len() - skipped.min(values.len() - 1))).collect()
        };
        let left: Vec<_> = batches.iter().map(|rows| sliced(rows.iter().map(|row| row.0).collect())).collect();
        let right: Vec<_> = batches.iter().map(|rows| sliced(rows.iter().map(|row| row.1).collect())).collect();
        let kinds = left[0].len();
        for kind in 0..kinds {
            check(&left.iter().map(|columns| vec![Arc::clone(&columns[kind])]).collect::<Vec<_>>());
            let other = (kind + 3) % kinds;
            let pairs = left.iter().zip(&right);
            check(&pairs.map(|(left, right)| vec![Arc::clone(&left[kind]), Arc::clone(&right[other])]).collect::<Vec<_>>());
        }
        check(&left.iter().zip(&right).map(|(left, right)| {
            vec![Arc::clone(&left[3]), Arc::clone(&right[2]), Arc::clone(&left[5]), Arc::clone(&right[7])]
        }).collect::<Vec<_>>());
    }
}

#[test]
fn without_keys_there_is_one_group_once_there_is_a_row() {
    let mut groups = Groups::new(&[], 0).unwrap();
    assert_eq!(groups.len(), 0);
    groups.intern(&[], 0, &mut Vec::new()).unwrap();
    assert_eq!(groups.len(), 0);
    groups.intern(&[], 5, &mut Vec::new()).unwrap();
    assert_eq!((groups.len(), groups.keys((0..1).into()).unwrap().len()), (1, 0));
}

#[test]
fn types_without_equality_are_refused() {
    let map = DataType::Map(
        Arc::new(Field::new(
            "entries",
            DataType::Struct(
                vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Int64, true)]
                    .into(),
            ),
            false,
        )),
        false,
    );
    // Whether the row format orders maps is Arrow's to say; either way it's no panic.
    let _ = Groups::new(&[map], 0);
}
