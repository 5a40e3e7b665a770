//! The accumulators that keep values, or moments of them, against their definitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use weir_api::graph::aggregate_result_type;
use weir_proto::v1::Literal;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::literal::Value;

use super::tests::{any_batch, both_ways, one_group, typed};
use super::{Accumulator, Ids, Options, create};

type Batch = Vec<(u32, Option<i64>)>;

fn options(values: Vec<Value>) -> Options {
    let parameters = values.into_iter().map(|value| Literal { value: Some(value) }).collect();
    Options { parameters, keeps_nulls: false }
}

/// The result for four groups of both batches in the type `data_type`, each as text; "" for null.
fn run(function: Function, options: &Options, batches: [&Batch; 2], data_type: &DataType) -> Vec<String> {
    let split = |batch: &Batch| -> (Vec<u32>, Vec<Option<i64>>) { batch.iter().copied().unzip() };
    let ((first_ids, first), (second_ids, second)) = (split(batches[0]), split(batches[1]));
    let columns = [typed(&first, data_type), typed(&second, data_type)];
    let result = aggregate_result_type(function, Some(data_type)).unwrap();
    let merged =
        both_ways(function, options, [&columns[0], &columns[1]], [&first_ids, &second_ids], 4, &result);
    (0..4).map(|group| array_value_to_string(&merged, group).unwrap()).collect()
}

fn values_of(batches: [&Batch; 2], group: u32, keeps_nulls: bool) -> Vec<Option<i64>> {
    let rows = batches.into_iter().flatten().filter(|(id, _)| *id == group);
    rows.map(|(_, value)| *value).filter(|value| keeps_nulls || value.is_some()).collect()
}

fn text_of(values: &[Option<i64>], data_type: &DataType) -> Vec<String> {
    let values = typed(values, data_type);
    (0..values.len()).map(|row| array_value_to_string(&values, row).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn first_and_last_values_of_every_type(first in any_batch(), second in any_batch()) {
        let none = Options::default();
        for data_type in [DataType::Int64, DataType::Utf8, DataType::Boolean, DataType::Decimal128(20, 3), DataType::Float32] {
            let firsts = run(Function::FirstValue, &none, [&first, &second], &data_type);
            let lasts = run(Function::LastValue, &none, [&first, &second], &data_type);
            for group in 0..4_u32 {
                let values = text_of(&values_of([&first, &second], group, false), &data_type);
                prop_assert_eq!(&firsts[group as usize], &values.first().cloned().unwrap_or_default());
                prop_assert_eq!(&lasts[group as usize], &values.last().cloned().unwrap_or_default());
            }
        }
    }

    #[test]
    fn lists_hold_all_values_in_order(first in any_batch(), second in any_batch()) {
        for keeps_nulls in [false, true] {
            for data_type in [DataType::Int64, DataType::Utf8] {
                let options = Options { keeps_nulls, ..Options::default() };
                let lists = run(Function::ArrayAgg, &options, [&first, &second], &data_type);
                for group in 0..4_u32 {
                    let values = text_of(&values_of([&first, &second], group, keeps_nulls), &data_type);
                    let wanted = if values.is_empty() { String::new() } else { format!("[{}]", values.join(", ")) };
                    prop_assert_eq!(&lists[group as usize], &wanted);
                }
            }
        }
        let separator = options(vec![Value::String("; ".to_owned())]);
        let joined = run(Function::Listagg, &separator, [&first, &second], &DataType::Utf8);
        let arrays = run(Function::JsonArrayagg, &Options::default(), [&first, &second], &DataType::Utf8);
        for group in 0..4_u32 {
            let values = text_of(&values_of([&first, &second], group, false), &DataType::Utf8);
            prop_assert_eq!(&joined[group as usize], &values.join("; "));
            prop_assert_eq!(&arrays[group as usize], &format!("[{}]", values.join(",")));
        }
    }

    #[test]
    fn multisets_count_each_value(first in any_batch(), second in any_batch()) {
        for data_type in [DataType::Int64, DataType::Utf8] {
            let multisets = run(Function::Collect, &Options::default(), [&first, &second], &data_type);
            for group in 0..4_u32 {
                let mut counts: BTreeMap<Option<i64>, i32> = BTreeMap::new();
                let values = values_of([&first, &second], group, false);
                values.iter().for_each(|value| *counts.entry(*value).or_default() += 1);
                let mut seen = Vec::new();
                for value in values {
                    if !seen.contains(&value) {
                        seen.push(value);
                    }
                }
                let entries = text_of(&seen, &data_type).into_iter().zip(&seen);
                let entries: Vec<String> = entries.map(|(text, value)| format!("{text}: {}", counts[value])).collect();
                let wanted = if entries.is_empty() { String::new() } else { format!("{{{}}}", entries.join(", ")) };
                prop_assert_eq!(&multisets[group as usize], &wanted);
            }
        }
    }

    #[test]
    fn percentiles_lie_between_neighbours(first in any_batch(), second in any_batch(), share in 0.0..=1.0_f64) {
        let both = options(vec![Value::Float(share), Value::Float(0.5)]);
        let one = options(vec![Value::Float(share)]);
        let arrays = run(Function::Percentiles, &both, [&first, &second], &DataType::Float64);
        let singles = run(Function::Percentile, &one, [&first, &second], &DataType::Float64);
        for group in 0..4_u32 {
            let mut values: Vec<f64> =
                values_of([&first, &second], group, false).into_iter().flatten().map(|value| value as f64).collect();
            values.sort_by(f64::total_cmp);
            let Some(last) = values.len().checked_sub(1) else {
                prop_assert_eq!(&arrays[group as usize], "");
                prop_assert_eq!(&singles[group as usize], "");
                continue;
            };
            let single: f64 = singles[group as usize].parse().unwrap();
            let place = share * last as f64;
            let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
            prop_assert!((single - (low + (high - low) * (place - place.floor()))).abs() < 1e-9);
            let middle = (values[last / 2] + values[last.div_ceil(2)]) / 2.0;
            prop_assert!(arrays[group as usize].ends_with(&format!(", {middle:?}]")), "{}", arrays[group as usize]);
        }
    }

    #[test]
    fn spreads_are_those_of_two_passes(first in any_batch(), second in any_batch(), offset in prop_oneof![Just(0.0), Just(1e9)]) {
        let rows: Vec<(u32, f64)> = first.iter().chain(&second)
            .filter_map(|(id, value)| value.map(|value| (*id, value as f64 + offset))).collect();
        for function in [Function::VarPop, Function::VarSamp, Function::StddevPop, Function::StddevSamp] {
            let mut merged = create(function, Some(&DataType::Float64), &Options::default()).unwrap();
            merged.resize(4);
            for part in rows.chunks(7) {
                let ids: Vec<u32> = part.iter().map(|(id, _)| *id).collect();
                let values: ArrayRef = Arc::new(part.iter().map(|(_, value)| *value).collect::<Float64Array>());
                let mut accumulator = create(function, Some(&DataType::Float64), &Options::default()).unwrap();
                accumulator.resize(4);
                accumulator.update(Some(&values), Ids::Each(&ids)).unwrap();
                merged.merge(&accumulator.partial((0..4).into()).unwrap(), Ids::Each(&[0, 1, 2, 3])).unwrap();
            }
            let found = merged.result((0..4).into(), &DataType::Float64).unwrap();
            for group in 0..4_u32 {
                let values: Vec<f64> = rows.iter().filter(|(id, _)| *id == group).map(|(_, value)| *value).collect();
                let sample = matches!(function, Function::VarSamp | Function::StddevSamp);
                let divisor = values.len() as f64 - f64::from(u8::from(sample));
                let found = (!found.is_null(group as usize)).then(|| found.as_primitive::<Float64Type>().value(group as usize));
                if divisor <= 0.0 {
                    prop_assert_eq!(found, None);
                    continue;
                }
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / divisor;
                let root = matches!(function, Function::StddevPop | Function::StddevSamp);
                let wanted = if root { variance.sqrt() } else { variance };
                prop_assert!((found.unwrap() - wanted).abs() < 1e-5, "{:?}: {:?}, not {}", function, found, wanted);
            }
        }
    }
}

#[test]
fn spreads_have_the_type_of_averages() {
    let longs: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4), Some(9)]));
    // The variance is 38 / 4 = 9.5, of a sample 38 / 3.
    let text = |function, argument: &ArrayRef, result: &DataType| {
        array_value_to_string(&one_group(function, argument, result), 0).unwrap()
    };
    assert_eq!(text(Function::VarPop, &longs, &DataType::Int64), "9");
    assert_eq!(text(Function::VarSamp, &longs, &DataType::Int64), "12");
    let doubles = cast(&longs, &DataType::Float64).unwrap();
    let variance: f64 = text(Function::VarPop, &doubles, &DataType::Float64).parse().unwrap();
    assert!((variance - 9.5).abs() < 1e-12);
    // 2, for which the doubles are a little less.
    let even: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]));
    assert_eq!(text(Function::VarPop, &even, &DataType::Int64), "2");
    let decimals = cast(&longs, &DataType::Decimal128(10, 2)).unwrap();
    assert_eq!(text(Function::VarSamp, &decimals, &DataType::Decimal128(38, 6)), "12.666667");
    let one: ArrayRef = Arc::new(Int32Array::from(vec![5]));
    assert_eq!(text(Function::StddevSamp, &one, &DataType::Int32), "");
    assert_eq!(text(Function::StddevPop, &one, &DataType::Int32), "0");
}

#[test]
fn objects_refuse_a_key_that_comes_twice() {
    let object = |members: Vec<&str>| {
        let members: ArrayRef = Arc::new(StringArray::from(members));
        let mut accumulator =
            create(Function::JsonObjectagg, Some(&DataType::Utf8), &Options::default()).unwrap();
        accumulator.resize(1);
        accumulator.update(Some(&members), Ids::One { rows: members.len() }).unwrap();
        accumulator
            .result((0..1).into(), &DataType::Utf8)
            .map(|text| text.as_string::<i32>().value(0).to_owned())
    };
    assert_eq!(object(vec![r#""a":1"#, r#""a\"b":"x""#]).unwrap(), r#"{"a":1,"a\"b":"x"}"#);
    assert_eq!(object(vec![]).unwrap(), "{}");
    let error = object(vec![r#""a\\":1"#, r#""b":1"#, r#""a\\":2"#]).unwrap_err();
    assert!(error.message().contains(r#"the key "a\\" twice"#), "{}", error.message());
    assert!(object(vec!["null:1"]).unwrap_err().message().contains("NULL key"));
}

/// A batch of numbers that starts at `from`.
fn numbers(from: i64, count: i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(from..from + count))
}

#[test]
fn approximate_counts_are_exact_when_small_and_close_when_large() {
    let sketch = || {
        let mut sketch =
            create(Function::ApproxCountDistinct, Some(&DataType::Int64), &Options::default()).unwrap();
        sketch.resize(1);
        sketch
    };
    let count = |sketch: &dyn Accumulator| {
        sketch.result((0..1).into(), &DataType::Int64).unwrap().as_primitive::<Int64Type>().value(0)
    };
    for distinct in [0, 1, 1000, 1024, 1025, 5_000, 40_000, 70_000, 1_000_000] {
        let (mut whole, mut merged) = (sketch(), sketch());
        let mut from = 0;
        while from < distinct {
            let batch = numbers(from, 8192.min(distinct - from));
            let mut part = sketch();
            // What comes twice counts once.
            for accumulator in [&mut whole, &mut part] {
                accumulator.update(Some(&batch), Ids::One { rows: batch.len() }).unwrap();
                accumulator.update(Some(&batch), Ids::One { rows: batch.len() }).unwrap();
            }
            merged.merge(&part.partial((0..1).into()).unwrap(), Ids::One { rows: 1 }).unwrap();
            from += 8192;
        }
        let (found, error) = (count(whole.as_ref()), 0.03 * distinct as f64);
        assert_eq!(found, count(merged.as_ref()), "merged");
        let error = if distinct <= 1024 { 0.0 } else { error };
        assert!((found - distinct).abs() as f64 <= error, "{found} of {distinct}");
        assert!(whole.size_bytes() < 200_000, "{}", whole.size_bytes());
    }
}

#[test]
fn values_are_copied_and_their_bytes_are_bounded() {
    let options = Options::default();
    let mut accumulator = create(Function::ArrayAgg, Some(&DataType::Int64), &options).unwrap();
    accumulator.resize(1);
    let large = numbers(0, 1 << 20);
    for row in 0..100 {
        accumulator.update(Some(&large.slice(row * 1000, 1)), Ids::One { rows: 1 }).unwrap();
    }
    assert!(accumulator.size_bytes() < 100_000, "{}", accumulator.size_bytes());
    let wanted: Vec<Option<i64>> = (0..100).map(|row| Some(row * 1000)).collect();
    let result = accumulator.result((0..1).into(), &DataType::new_list(DataType::Int64, true)).unwrap();
    assert_eq!(
        result.as_list::<i32>().value(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
        wanted
    );

    let mut accumulator = create(Function::Listagg, Some(&DataType::Utf8), &options).unwrap();
    accumulator.resize(1);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(100 << 20)]));
    let error = (0..20).find_map(|_| accumulator.update(Some(&text), Ids::One { rows: 1 }).err()).unwrap();
    assert!(error.message().contains("holds over 1024 MiB"), "{}", error.message());

    let mut accumulator = create(Function::LastValue, Some(&DataType::Utf8), &options).unwrap();
    accumulator.resize(2);
    for length in 0..3000 {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["y".repeat(length % 100), "z".to_owned()]));
        accumulator.update(Some(&texts), Ids::Each(&[1, 0])).unwrap();
    }
    assert!(accumulator.size_bytes() < 200_000, "{}", accumulator.size_bytes());
}
