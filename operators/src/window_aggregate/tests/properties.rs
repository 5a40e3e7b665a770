//! Random rows, watermarks, windows and keys, in one phase and in two, against the model.

use arrow::array::AsArray;
use proptest::prelude::*;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::window_aggregate_spec::Phase;
use weir_proto::v1::{AggregateCall, LateColumn, Window, WindowAggregateSpec};

use super::harness::{
    FLAG, Instance, MAX_PARALLELISM, Row, TEXT, VALUE, batch_of, call, cumulate, hop, route, spec, texts,
    tumble,
};
use super::model::Model;

/// What happens at one of the inputs.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Rows(usize, Vec<Row>),
    Watermark(usize, i64),
    Flush(usize),
}

/// How many inputs events come from.
pub(super) const INPUTS: usize = 2;

pub(super) fn any_row() -> impl Strategy<Value = Row> {
    (
        proptest::option::weighted(0.9, -3..3_i64),
        proptest::option::weighted(0.9, 0..2_i32),
        proptest::option::weighted(0.9, "[ab]{0,2}"),
        -40..80_i64,
        proptest::option::weighted(0.8, prop_oneof![-5..5_i64, Just(i64::MAX), Just(i64::MIN)]),
        proptest::option::weighted(0.8, any::<bool>()),
        proptest::option::weighted(0.8, "[xyz]{0,3}"),
    )
        .prop_map(|(number, small, name, time, value, flag, text)| Row {
            number,
            small,
            name,
            time,
            value,
            flag,
            text,
        })
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..INPUTS, proptest::collection::vec(any_row(), 1..40)).prop_map(|(input, rows)| Event::Rows(input, rows)),
        3 => (0..INPUTS, -50..90_i64).prop_map(|(input, watermark)| Event::Watermark(input, watermark)),
        1 => (0..INPUTS).prop_map(Event::Flush),
    ]
}

pub(super) fn any_window() -> impl Strategy<Value = Window> {
    prop_oneof![
        (1..30_u64, -40..40_i64).prop_map(|(size, offset)| tumble(size, offset)),
        (1..20_u64, 1..5_u64, -40..40_i64).prop_map(|(slide, factor, offset)| hop(
            slide,
            slide * factor,
            offset
        )),
        (1..20_u64, 1..30_u64, -40..40_i64).prop_map(|(slide, size, offset)| hop(slide, size, offset)),
        (1..15_u64, 1..6_u64, -40..40_i64).prop_map(|(step, steps, offset)| cumulate(
            step,
            step * steps,
            offset
        )),
    ]
}

pub(super) fn any_keys() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![Just(vec![]), Just(vec![0]), Just(vec![1, 0]), Just(vec![2]), Just(vec![2, 0]),]
}

fn filtered(call: AggregateCall) -> AggregateCall {
    AggregateCall { filter_column: Some(FLAG), ..call }
}

fn distinct(call: AggregateCall) -> AggregateCall {
    AggregateCall { distinct: true, ..call }
}

pub(super) fn plain_calls() -> Vec<AggregateCall> {
    vec![
        call(Function::Count, Some(VALUE)),
        call(Function::Sum, Some(VALUE)),
        call(Function::Avg, Some(VALUE)),
        call(Function::Min, Some(VALUE)),
        call(Function::Max, Some(VALUE)),
        call(Function::Max, Some(TEXT)),
        distinct(call(Function::Min, Some(TEXT))),
        filtered(call(Function::Count, None)),
        filtered(call(Function::Sum, Some(VALUE))),
        call(Function::ArrayAgg, Some(VALUE)),
        filtered(call(Function::Collect, Some(TEXT))),
        call(Function::ApproxCountDistinct, Some(VALUE)),
        call(Function::Count, None),
    ]
}

pub(super) fn distinct_calls() -> Vec<AggregateCall> {
    vec![
        distinct(call(Function::Count, Some(VALUE))),
        call(Function::Count, None),
        filtered(distinct(call(Function::Count, Some(TEXT)))),
        distinct(call(Function::Sum, Some(VALUE))),
        distinct(call(Function::ArrayAgg, Some(VALUE))),
    ]
}

/// The smallest watermark of all inputs.
fn merged(watermarks: &[i64]) -> i64 {
    watermarks.iter().copied().min().unwrap()
}

pub(super) fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

fn run_model(spec: &WindowAggregateSpec, events: &[Event]) -> (Vec<Vec<String>>, u64) {
    let (model, results) = model_of(spec, events);
    (results, model.late.len() as u64)
}

fn model_of(spec: &WindowAggregateSpec, events: &[Event]) -> (Model, Vec<Vec<String>>) {
    let mut model = Model::new(spec);
    let mut watermarks = [i64::MIN; INPUTS];
    let mut results = Vec::new();
    for event in events {
        match event {
            Event::Rows(_, rows) => rows.iter().for_each(|row| model.process(row)),
            Event::Watermark(input, watermark) => {
                watermarks[*input] = watermarks[*input].max(*watermark);
                results.push(sorted(model.watermark(merged(&watermarks), 0..MAX_PARALLELISM)));
            }
            Event::Flush(_) => {}
        }
    }
    results.push(sorted(model.watermark(i64::MAX - 1, 0..MAX_PARALLELISM)));
    (model, results)
}

fn run_single(spec: &WindowAggregateSpec, events: &[Event], limit: usize) -> (Vec<Vec<String>>, u64) {
    let (instance, results) = single_of(spec, events, limit);
    (results, instance.late())
}

fn single_of(spec: &WindowAggregateSpec, events: &[Event], limit: usize) -> (Instance, Vec<Vec<String>>) {
    let mut instance = Instance::new(spec, Phase::Single, limit).open(0, 1);
    let mut watermarks = [i64::MIN; INPUTS];
    let mut results = Vec::new();
    for event in events {
        match event {
            Event::Rows(_, rows) => assert!(instance.process(batch_of(rows)).is_empty()),
            Event::Watermark(input, watermark) => {
                watermarks[*input] = watermarks[*input].max(*watermark);
                results.push(sorted(texts(&instance.watermark(merged(&watermarks)))));
            }
            Event::Flush(_) => assert!(instance.flush().is_empty()),
        }
    }
    results.push(sorted(texts(&instance.finish())));
    (instance, results)
}

/// Two local instances, and global ones behind an exchange by key.
fn run_two_phases(spec: &WindowAggregateSpec, events: &[Event], globals: u32) -> (Vec<Vec<String>>, u64) {
    let mut locals: Vec<Instance> = (0..INPUTS)
        .map(|input| Instance::new(spec, Phase::Local, 1).open(input as u32, INPUTS as u32))
        .collect();
    let mut globals: Vec<Instance> =
        (0..globals).map(|subtask| Instance::new(spec, Phase::Global, 1).open(subtask, globals)).collect();
    let keys: Vec<usize> = (0..spec.key_columns.len()).collect();
    let exchange = |globals: &mut Vec<Instance>, partials: Vec<arrow::array::RecordBatch>| {
        for batch in partials {
            let parts = route(&batch, &keys, globals.len() as u32);
            for (global, part) in globals.iter_mut().zip(parts) {
                assert!(global.process(part).is_empty());
            }
        }
    };
    let mut watermarks = [i64::MIN; INPUTS];
    let mut results = Vec::new();
    for event in events {
        match event {
            Event::Rows(input, rows) => {
                let partials = locals[*input].process(batch_of(rows));
                exchange(&mut globals, partials);
            }
            Event::Watermark(input, watermark) => {
                let partials = locals[*input].watermark(*watermark);
                exchange(&mut globals, partials);
                watermarks[*input] = watermarks[*input].max(*watermark);
                let fired =
                    globals.iter_mut().flat_map(|global| texts(&global.watermark(merged(&watermarks))));
                results.push(sorted(fired.collect()));
            }
            Event::Flush(input) => {
                let partials = locals[*input].flush();
                exchange(&mut globals, partials);
            }
        }
    }
    for local in &mut locals {
        let partials = local.finish();
        exchange(&mut globals, partials);
    }
    results.push(sorted(globals.iter_mut().flat_map(|global| texts(&global.finish())).collect()));
    (results, globals.iter().map(Instance::late).sum())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn one_phase_agrees_with_the_model(
        window in any_window(),
        keys in any_keys(),
        events in proptest::collection::vec(any_event(), 1..25),
    ) {
        let spec = spec(window, &keys, plain_calls());
        prop_assert_eq!(run_single(&spec, &events, 1), run_model(&spec, &events));
    }

    #[test]
    fn distinct_agrees_with_the_model(
        window in any_window(),
        keys in any_keys(),
        events in proptest::collection::vec(any_event(), 1..25),
    ) {
        let spec = spec(window, &keys, distinct_calls());
        prop_assert_eq!(run_single(&spec, &events, 1), run_model(&spec, &events));
    }

    #[test]
    fn late_rows_leave_by_the_side_output_in_order_and_change_no_result(
        window in any_window(),
        keys in any_keys(),
        events in proptest::collection::vec(any_event(), 1..25),
    ) {
        let plain = spec(window, &keys, plain_calls());
        let spec = WindowAggregateSpec {
            late_rows_of: "t".to_owned(),
            late_columns: vec![LateColumn { column: VALUE, name: "v".to_owned() }],
            ..plain.clone()
        };
        let (model, expected) = model_of(&plain, &events);
        let (instance, results) = single_of(&spec, &events, 1);
        prop_assert_eq!(results, expected);
        prop_assert_eq!(instance.late(), 0, "told of is not dropped");
        let rows: Vec<String> = instance
            .side
            .iter()
            .flat_map(|batch| batch.column(5).as_string::<i32>().iter().map(|row| row.unwrap().to_owned()))
            .collect();
        let json = |row: &Row| row.value.map_or("null".to_owned(), |value| value.to_string());
        let late: Vec<String> = model.late.iter().map(|row| format!("{{\"v\":{}}}", json(row))).collect();
        prop_assert_eq!(rows, late);
    }

    #[test]
    fn two_phases_agree_with_the_model_and_count_late_rows_exactly(
        window in any_window(),
        keys in any_keys(),
        globals in 1..4_u32,
        events in proptest::collection::vec(any_event(), 1..25),
    ) {
        let spec = spec(window, &keys, plain_calls());
        prop_assert_eq!(run_two_phases(&spec, &events, globals), run_model(&spec, &events));
    }
}
