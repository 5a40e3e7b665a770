//! Each accumulator against its definition, for every type, with and without groups, updated and merged.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimeUnit};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use weir_api::graph::is_never_null;
use weir_proto::v1::aggregate_call::Function;

use super::{Accumulator, Ids, Options, check_result};

fn create(function: Function, argument: Option<&DataType>) -> weir_api::error::Result<Box<dyn Accumulator>> {
    super::create(function, argument, &Options::default())
}

fn types() -> Vec<DataType> {
    let mut types =
        vec![DataType::Boolean, DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64];
    types.extend([DataType::UInt8, DataType::UInt16, DataType::UInt32, DataType::UInt64]);
    types.extend([DataType::Float32, DataType::Float64, DataType::Decimal128(20, 3)]);
    types.extend([DataType::Date32, DataType::Date64, DataType::Time32(TimeUnit::Second)]);
    types.extend([
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
    ]);
    types.extend([DataType::Timestamp(TimeUnit::Second, None), DataType::Duration(TimeUnit::Microsecond)]);
    types.extend([
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::BinaryView,
    ]);
    types
}

/// Small numbers as any type.
pub(super) fn typed(values: &[Option<i64>], data_type: &DataType) -> ArrayRef {
    let values: Int64Array = values.iter().copied().collect();
    match data_type {
        DataType::Time32(_) | DataType::Date32 => {
            cast(&cast(&values, &DataType::Int32).unwrap(), data_type).unwrap()
        }
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::BinaryView => {
            let texts: StringArray =
                values.iter().map(|value| value.map(|value| "z".repeat(value as usize))).collect();
            cast(&texts, data_type).unwrap()
        }
        _ => cast(&values, data_type).unwrap(),
    }
}

/// The results of two batches, merged from two accumulators and computed by one.
pub(super) fn both_ways(
    function: Function,
    options: &Options,
    batches: [&ArrayRef; 2],
    ids: [&[u32]; 2],
    groups: usize,
    result: &DataType,
) -> ArrayRef {
    let argument = batches[0].data_type();
    check_result(function, Some(argument), result).unwrap();
    let mut whole = super::create(function, Some(argument), options).unwrap();
    let mut target = super::create(function, Some(argument), options).unwrap();
    whole.resize(groups);
    target.resize(groups);
    for (batch, ids) in batches.into_iter().zip(ids) {
        let mut part = super::create(function, Some(argument), options).unwrap();
        part.resize(groups);
        part.update(Some(batch), Ids::Each(ids)).unwrap();
        whole.update(Some(batch), Ids::Each(ids)).unwrap();
        let all: Vec<u32> = (0..groups as u32).collect();
        target.merge(&part.partial((0..groups).into()).unwrap(), Ids::Each(&all)).unwrap();
    }
    let merged = target.result((0..groups).into(), result).unwrap();
    assert_eq!(&merged, &whole.result((0..groups).into(), result).unwrap(), "{function:?} of {argument}");
    for group in 0..groups {
        let one = whole.result((group..group + 1).into(), result).unwrap();
        assert_eq!(&one, &merged.slice(group, 1), "a range of groups");
        // Without groups the same.
        let mut single = super::create(function, Some(argument), options).unwrap();
        single.resize(1);
        for (batch, ids) in batches.into_iter().zip(ids) {
            let rows: arrow::array::UInt32Array = (0..ids.len() as u32)
                .filter(|&row| ids[row as usize] as usize == group)
                .collect::<Vec<_>>()
                .into();
            let rows = take(batch, &rows, None).unwrap();
            single.update(Some(&rows), Ids::One { rows: rows.len() }).unwrap();
        }
        assert_eq!(
            &single.result((0..1).into(), result).unwrap(),
            &one,
            "{function:?} of {argument} without groups"
        );
    }
    whole.clear();
    whole.resize(groups);
    let cleared = whole.result((0..groups).into(), result).unwrap();
    assert!(is_never_null(function) || cleared.null_count() == groups, "clear forgets");
    merged
}

pub(super) fn any_batch() -> impl Strategy<Value = Vec<(u32, Option<i64>)>> {
    proptest::collection::vec((0..4_u32, proptest::option::weighted(0.7, 0..100_i64)), 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn extremes_and_counts_of_every_type(first in any_batch(), second in any_batch()) {
        let split = |batch: &[(u32, Option<i64>)]| -> (Vec<u32>, Vec<Option<i64>>) { batch.iter().copied().unzip() };
        let ((first_ids, first), (second_ids, second)) = (split(&first), split(&second));
        let ids: Vec<u32> = first_ids.iter().chain(&second_ids).copied().collect();
        for data_type in types() {
            let batches = [typed(&first, &data_type), typed(&second, &data_type)];
            let all = concat(&[batches[0].as_ref(), batches[1].as_ref()]).unwrap();
            let run = |function, result: &DataType| {
                both_ways(function, &Options::default(), [&batches[0], &batches[1]], [&first_ids, &second_ids], 4, result)
            };
            let (min, max) = (run(Function::Min, &data_type), run(Function::Max, &data_type));
            let counts = run(Function::Count, &DataType::Int64);
            for group in 0..4_usize {
                let rows: Vec<usize> = (0..ids.len()).filter(|&row| ids[row] as usize == group && !all.is_null(row)).collect();
                prop_assert_eq!(counts.as_primitive::<Int64Type>().value(group), rows.len() as i64);
                prop_assert_eq!((min.is_null(group), max.is_null(group)), (rows.is_empty(), rows.is_empty()));
                let values: Vec<Option<i64>> = first.iter().chain(&second).copied().collect();
                // All conversions keep the order of numbers.
                if let (Some(least), Some(most)) =
                    (rows.iter().min_by_key(|&&row| values[row]), rows.iter().max_by_key(|&&row| values[row]))
                {
                    let text = |array: &ArrayRef, row| array_value_to_string(array, row).unwrap();
                    prop_assert_eq!(text(&min, group), text(&all, *least), "{}", data_type);
                    prop_assert_eq!(text(&max, group), text(&all, *most), "{}", data_type);
                }
            }
        }
    }

    #[test]
    fn sums_and_averages_of_every_number(first in any_batch(), second in any_batch()) {
        let split = |batch: &[(u32, Option<i64>)]| -> (Vec<u32>, Vec<Option<i64>>) { batch.iter().copied().unzip() };
        let ((first_ids, first), (second_ids, second)) = (split(&first), split(&second));
        let numbers = [
            (DataType::Int8, DataType::Int32), (DataType::Int16, DataType::Int64), (DataType::Int32, DataType::Int32),
            (DataType::Int64, DataType::Int64), (DataType::Float32, DataType::Float64), (DataType::Float64, DataType::Float32),
            (DataType::Decimal128(20, 3), DataType::Decimal128(38, 3)),
        ];
        for (argument, result) in numbers {
            let batches = [typed(&first, &argument), typed(&second, &argument)];
            let run = |function| both_ways(function, &Options::default(), [&batches[0], &batches[1]], [&first_ids, &second_ids], 4, &result);
            let (sums, averages) = (run(Function::Sum), run(Function::Avg));
            for group in 0..4_usize {
                let ids = first_ids.iter().chain(&second_ids);
                let values: Vec<i64> = ids.zip(first.iter().chain(&second))
                    .filter(|(id, _)| **id as usize == group).filter_map(|(_, value)| *value).collect();
                let number = |array: &ArrayRef| {
                    let floats = cast(array, &DataType::Float64).unwrap();
                    (!floats.is_null(group)).then(|| floats.as_primitive::<arrow::datatypes::Float64Type>().value(group))
                };
                let sum = values.iter().sum::<i64>() as f64;
                prop_assert_eq!(number(&sums), (!values.is_empty()).then_some(sum), "{}", &argument);
                let average = number(&averages);
                prop_assert_eq!(average.is_none(), values.is_empty());
                if let Some(average) = average {
                    let exact = sum / values.len() as f64;
                    match &argument {
                        DataType::Decimal128(_, _) => prop_assert!((average - exact).abs() <= 0.000_5 + 1e-9),
                        integer if integer.is_integer() => prop_assert_eq!(average, exact.trunc()),
                        _ => prop_assert!((average - exact).abs() < 1e-4),
                    }
                }
            }
        }
    }
}

pub(super) fn one_group(function: Function, argument: &ArrayRef, result: &DataType) -> ArrayRef {
    let mut accumulator = create(function, Some(argument.data_type())).unwrap();
    accumulator.resize(1);
    accumulator.update(Some(argument), Ids::One { rows: argument.len() }).unwrap();
    accumulator.result((0..1).into(), result).unwrap()
}

#[test]
fn integer_sums_wrap_and_averages_truncate_toward_zero() {
    let large: ArrayRef = Arc::new(Int32Array::from(vec![i32::MAX, 2]));
    assert_eq!(
        one_group(Function::Sum, &large, &DataType::Int32).as_ref(),
        &Int32Array::from(vec![i32::MIN + 1])
    );
    let longs: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
    assert_eq!(
        one_group(Function::Sum, &longs, &DataType::Int64).as_ref(),
        &Int64Array::from(vec![i64::MIN])
    );
    let negative: ArrayRef = Arc::new(Int64Array::from(vec![-3, -4]));
    assert_eq!(one_group(Function::Avg, &negative, &DataType::Int64).as_ref(), &Int64Array::from(vec![-3]));
    assert_eq!(
        one_group(Function::Avg, &negative, &DataType::Float64).as_ref(),
        &Float64Array::from(vec![-3.5])
    );
}

fn decimals(values: Vec<i128>, precision: u8, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
}

#[test]
fn decimal_averages_round_half_up_and_sums_beyond_38_digits_are_null() {
    let average = |values: Vec<i128>| {
        let result = one_group(Function::Avg, &decimals(values, 10, 2), &DataType::Decimal128(38, 6));
        result.as_primitive::<Decimal128Type>().value(0)
    };
    assert_eq!(average(vec![100, 0, 0]), 333_333);
    assert_eq!(average(vec![200, 0, 0]), 666_667);
    assert_eq!(average(vec![-200, 0, 0]), -666_667);
    // 0.01 / 16 = 0.000625, / 32 = 0.0003125, which is half of the last digit.
    let mut values = vec![0; 32];
    values[0] = 1;
    assert_eq!(average(values.clone()), 313);
    values[0] = -1;
    assert_eq!(average(values), -313);

    let largest = 10_i128.pow(38) - 1;
    let result = DataType::Decimal128(38, 0);
    assert!(one_group(Function::Sum, &decimals(vec![largest, 1], 38, 0), &result).is_null(0));
    assert!(one_group(Function::Sum, &decimals(vec![largest, largest, -largest], 38, 0), &result).is_null(0));
    let sum = one_group(Function::Sum, &decimals(vec![largest, -1], 38, 0), &result);
    assert_eq!(sum.as_primitive::<Decimal128Type>().value(0), largest - 1);
    // The sum times ten to the sixth takes more than 128 bits.
    let average = one_group(
        Function::Avg,
        &decimals(vec![10_i128.pow(31), 10_i128.pow(31)], 38, 0),
        &DataType::Decimal128(38, 6),
    );
    assert_eq!(average.as_primitive::<Decimal128Type>().value(0), 10_i128.pow(37));
}

#[test]
fn nan_is_the_largest_float() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, -1.0, f64::INFINITY]));
    let max = one_group(Function::Max, &floats, &DataType::Float64);
    assert!(max.as_primitive::<arrow::datatypes::Float64Type>().value(0).is_nan());
    assert_eq!(
        one_group(Function::Min, &floats, &DataType::Float64).as_ref(),
        &Float64Array::from(vec![-1.0])
    );
}

#[test]
fn ever_longer_strings_do_not_pile_up() {
    let mut accumulator = create(Function::Max, Some(&DataType::Utf8)).unwrap();
    accumulator.resize(2);
    for length in 1..2000 {
        let texts: ArrayRef =
            Arc::new(StringArray::from(vec!["y".repeat(length), "x".repeat(2000 - length)]));
        accumulator.update(Some(&texts), Ids::Each(&[1, 0])).unwrap();
    }
    let wanted = ["x".repeat(1999), "y".repeat(1999)];
    assert_eq!(
        accumulator.result((0..2).into(), &DataType::Utf8).unwrap().as_ref(),
        &StringArray::from(wanted.to_vec())
    );
    assert!(accumulator.size_bytes() < 500_000, "{}", accumulator.size_bytes());
}

#[test]
fn what_has_no_order_or_sum_is_refused() {
    let list = DataType::new_list(DataType::Int64, true);
    assert!(create(Function::Max, Some(&list)).is_err());
    assert!(create(Function::Sum, Some(&DataType::Utf8)).is_err());
    assert!(create(Function::Sum, None).is_err());
    assert!(check_result(Function::Max, Some(&DataType::Int64), &DataType::Utf8).is_err());
}
