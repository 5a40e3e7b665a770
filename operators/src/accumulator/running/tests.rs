//! After every row a running aggregate says what an accumulator of the rows so far would: for every function and type.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, filter};
use weir_api::graph::aggregate_result_type;
use weir_proto::v1::aggregate_call::Function;

use super::{Ids, create};
use crate::accumulator::{self, Options};
use crate::group::Which;

const KEYS: u32 = 3;

/// Columns of every type, with nulls.
fn columns() -> Vec<ArrayRef> {
    let values: Vec<Option<i64>> = (0..40).map(|row| (row % 7 != 3).then_some(row * 37 % 23 - 11)).collect();
    let mapped = || values.iter().copied();
    vec![
        Arc::new(mapped().map(|value| value.map(|value| value as i8)).collect::<Int8Array>()),
        Arc::new(mapped().map(|value| value.map(|value| value as i16)).collect::<Int16Array>()),
        Arc::new(mapped().map(|value| value.map(|value| value as i32)).collect::<Int32Array>()),
        Arc::new(mapped().collect::<Int64Array>()),
        Arc::new(mapped().map(|value| value.map(|value| value as f32 / 4.0)).collect::<Float32Array>()),
        Arc::new(
            mapped()
                .map(|value| value.map(|value| if value == 2 { f64::NAN } else { value as f64 }))
                .collect::<Float64Array>(),
        ),
        Arc::new(
            mapped()
                .map(|value| value.map(i128::from))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
        Arc::new(mapped().map(|value| value.map(|value| value > 0)).collect::<BooleanArray>()),
        Arc::new(mapped().map(|value| value.map(|value| value as i32)).collect::<Date32Array>()),
        Arc::new(mapped().collect::<TimestampMillisecondArray>()),
        Arc::new(
            mapped()
                .map(|value| value.map(|value| "x".repeat(value.unsigned_abs() as usize)))
                .collect::<StringArray>(),
        ),
    ]
}

const FUNCTIONS: [Function; 11] = [
    Function::Count,
    Function::Sum,
    Function::Avg,
    Function::Min,
    Function::Max,
    Function::FirstValue,
    Function::LastValue,
    Function::VarPop,
    Function::VarSamp,
    Function::StddevPop,
    Function::StddevSamp,
];

/// What an accumulator says after each row; only rows in the mask are folded in.
fn wanted(function: Function, column: &ArrayRef, ids: &[u32], mask: &BooleanBuffer) -> Option<ArrayRef> {
    let data_type = aggregate_result_type(function, Some(column.data_type())).ok()?;
    let mut whole = accumulator::create(function, Some(column.data_type()), &Options::default()).ok()?;
    whole.resize(KEYS as usize);
    let mut results = Vec::new();
    for (row, id) in ids.iter().enumerate() {
        let one = BooleanArray::from(vec![mask.value(row)]);
        let value = filter(&column.slice(row, 1), &one).unwrap();
        whole.update(Some(&value), Ids::Each(&ids[row..row + value.len()])).unwrap();
        results.push(whole.result(Which::Each(&[*id]), &data_type).unwrap());
    }
    let results: Vec<&dyn Array> = results.iter().map(AsRef::as_ref).collect();
    Some(concat(&results).unwrap())
}

#[test]
fn results_after_each_row_are_those_of_the_rows_so_far() {
    let mut checked = 0;
    for column in columns() {
        let rows = column.len();
        let ids: Vec<u32> = (0..rows as u32).map(|row| row * 5 % 7 % KEYS).collect();
        let masks =
            [BooleanBuffer::new_set(rows), (0..rows).map(|row| row % 5 != 1).collect::<BooleanBuffer>()];
        for (function, mask) in
            FUNCTIONS.into_iter().flat_map(|function| masks.iter().map(move |mask| (function, mask)))
        {
            let Some(wanted) = wanted(function, &column, &ids, mask) else { continue };
            let data_type = wanted.data_type();
            let mut running = create(function, Some(column.data_type())).unwrap();
            running.resize(KEYS as usize);
            // A freeze in the middle, and another one that goes on where it was.
            let half = rows / 2;
            let step = |running: &mut dyn super::Running, from: usize, to: usize| {
                let mask = mask.slice(from, to - from);
                running.step(
                    Some(&column.slice(from, to - from)),
                    Some(&mask),
                    Ids::Each(&ids[from..to]),
                    data_type,
                )
            };
            let first = step(running.as_mut(), 0, half).unwrap();
            let frozen = running.freeze();
            let second = step(running.as_mut(), half, rows).unwrap();
            let mut restored = create(function, Some(column.data_type())).unwrap();
            restored.resize(KEYS as usize);
            // In another order of keys.
            restored.set(&frozen.partial(&[2, 0, 1]).unwrap(), &[2, 0, 1]).unwrap();
            let again = step(restored.as_mut(), half, rows).unwrap();
            let what = format!("{function:?} of {}", column.data_type());
            assert_eq!(&concat(&[&first, &second]).unwrap(), &wanted, "{what}");
            assert_eq!(&again, &wanted.slice(half, rows - half), "{what}, restored");
            running.reset(1);
            let forgotten = running.freeze().partial(&[1]).unwrap();
            let empty = create(function, Some(column.data_type())).map(|mut empty| {
                empty.resize(1);
                empty.freeze().partial(&[0]).unwrap()
            });
            assert_eq!(forgotten, empty.unwrap(), "{what}, forgotten");
            checked += 1;
        }
    }
    assert!(checked > 150, "{checked}");
}

#[test]
fn replaced_strings_do_not_pile_up() {
    let texts: ArrayRef =
        Arc::new((0..1000).map(|row| Some(format!("{row:05000}"))).collect::<StringArray>());
    let mut running = create(Function::LastValue, Some(texts.data_type())).unwrap();
    running.resize(1);
    for _ in 0..10 {
        let last = running.step(Some(&texts), None, Ids::One { rows: 1000 }, texts.data_type()).unwrap();
        assert_eq!(&last, &texts);
    }
    assert!(running.size_bytes() < 10 << 20, "{}", running.size_bytes());
}
