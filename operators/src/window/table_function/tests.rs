//! Every row once for each window that holds it, within a bounded output.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMillisecondArray, TimestampSecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use proptest::prelude::*;
use weir_api::batch::Batch;
use weir_api::element::StreamElement;
use weir_api::error::{Code, Result};
use weir_api::graph::OperatorNode;
use weir_api::id::OperatorUid;
use weir_api::operator::{Operator, Progress};
use weir_api::output::{Emitted, Output};
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::{OperatorSpec, Window, WindowTableFunctionSpec, window};

fn input_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]))
}

fn try_function(kind: window::Kind) -> Result<Box<dyn Operator>> {
    let mut fields: Vec<Field> = input_schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    for name in ["window_start", "window_end", "window_time"] {
        fields.push(Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, None), false));
    }
    let spec = WindowTableFunctionSpec { window: Some(Window { kind: Some(kind) }), time_column: 1 };
    let node = OperatorNode {
        uid: OperatorUid::new("window")?,
        name: "Window".to_owned(),
        spec: OperatorSpec { kind: Some(Kind::WindowTableFunction(spec)) },
        output_schema: Some(Arc::new(Schema::new(fields))),
    };
    crate::create(&node, Some(input_schema()))
}

fn hop(slide: u64, size: u64, offset: i64) -> window::Kind {
    window::Kind::Hop(window::Hop { slide_millis: slide, size_millis: size, offset_millis: offset })
}

fn batch(times: Vec<i64>) -> Batch {
    let ids: Int64Array = (0..times.len() as i64).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(TimestampMillisecondArray::from(times))];
    RecordBatch::try_new(input_schema(), columns).unwrap().into()
}

/// Id, start, end and time of every row emitted.
fn run(operator: &mut dyn Operator, batch: Batch) -> Vec<(i64, i64, i64, i64)> {
    let mut out = Output::new(1);
    let mut progress = operator.process(0, batch, &mut out).unwrap();
    let mut rows = Vec::new();
    loop {
        while let Some(Emitted::Element(StreamElement::Batch(batch))) = out.pop() {
            let ids = batch.records().column(0).as_primitive::<Int64Type>().values();
            let [start, end, time] = [2, 3, 4].map(|column| {
                batch.records().column(column).as_primitive::<TimestampMillisecondType>().values().clone()
            });
            rows.extend((0..ids.len()).map(|row| (ids[row], start[row], end[row], time[row])));
        }
        if progress == Progress::Done {
            return rows;
        }
        progress = operator.resume(&mut out).unwrap();
    }
}

proptest! {
    #[test]
    fn rows_are_repeated_for_each_of_their_windows(
        times in proptest::collection::vec(-100..100_i64, 1..50),
        slide in 1..20_u64, size in 1..60_u64, offset in -30..30_i64,
    ) {
        let mut found = run(try_function(hop(slide, size, offset)).unwrap().as_mut(), batch(times.clone()));
        let (slide, size) = (slide as i64, size as i64);
        let mut expected: Vec<_> = (0..)
            .zip(times)
            .flat_map(|(id, time)| {
                let starts = time - size + 1..=time;
                let starts = starts.filter(move |start| (start - offset).rem_euclid(slide) == 0);
                starts.map(move |start| (id, start, start + size, start + size - 1))
            })
            .collect();
        found.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}

proptest! {
    #[test]
    fn rows_are_repeated_for_each_step_that_is_left(
        times in proptest::collection::vec(-100..100_i64, 1..50),
        step in 1..20_u64, steps in 1..8_u64, offset in -30..30_i64,
    ) {
        let cumulate = window::Cumulate { step_millis: step, size_millis: step * steps, offset_millis: offset };
        let function = try_function(window::Kind::Cumulate(cumulate));
        let mut found = run(function.unwrap().as_mut(), batch(times.clone()));
        let (step, size) = (step as i64, (step * steps) as i64);
        let mut expected: Vec<_> = (0..)
            .zip(times)
            .flat_map(|(id, time)| {
                let start = (time - offset).div_euclid(size) * size + offset;
                let ends = (1..=size / step).map(move |number| start + number * step);
                ends.filter(move |end| time < *end).map(move |end| (id, start, end, end - 1))
            })
            .collect();
        found.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_tumbling_window_copies_no_column() {
    let tumble = window::Kind::Tumble(window::Tumble { size_millis: 10, offset_millis: 0 });
    let batch = batch(vec![-1, 0, 10]);
    let mut out = Output::new(1);
    try_function(tumble).unwrap().process(0, batch.clone(), &mut out).unwrap();
    let Some(Emitted::Element(StreamElement::Batch(windowed))) = out.pop() else {
        unreachable!("a batch was emitted")
    };
    assert!(Arc::ptr_eq(windowed.records().column(0), batch.records().column(0)));
    let starts = windowed.records().column(2).as_primitive::<TimestampMillisecondType>();
    assert_eq!(starts.values(), &[-10, 0, 10]);
}

#[test]
fn windows_that_rows_carry_or_that_need_a_null_time_are_refused() {
    assert!(try_function(window::Kind::EndOfInput(window::EndOfInput {})).is_err());
    assert!(try_function(hop(0, 10, 0)).is_err());
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(TimestampMillisecondArray::from(vec![None]))];
    let batch = RecordBatch::try_new(input_schema(), columns).unwrap();
    let error =
        try_function(hop(5, 10, 0)).unwrap().process(0, batch.into(), &mut Output::new(1)).unwrap_err();
    assert_eq!(error.code(), Code::Evaluation);
    let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
    assert!(crate::event_time::millis(&seconds, "ts").is_err());
}
