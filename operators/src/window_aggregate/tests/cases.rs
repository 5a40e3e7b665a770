//! Cases worth a name.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int8Array, RecordBatch, TimestampMicrosecondArray, TimestampNanosecondArray,
    TimestampSecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use weir_api::batch::{Batch, TARGET_ROWS};
use weir_api::element::StreamElement;
use weir_api::error::Code;
use weir_api::operator::Progress;
use weir_api::output::{Emitted, Output};
use weir_api::schema;
use weir_api::watermark::Watermark;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::window_aggregate_spec::Phase;
use weir_proto::v1::{LateColumn, Window, WindowAggregateSpec, window};

use super::harness::{
    Instance, Row, TIME, VALUE, batch_of, call, context, end_of_input, hop, input_schema, row, spec, texts,
    try_operator, tumble,
};

#[test]
fn a_hop_counts_a_late_row_in_the_windows_that_have_not_fired() {
    let spec = spec(hop(5, 10, 0), &[0], vec![call(Function::Count, None)]);
    let mut instance = Instance::new(&spec, Phase::Single, 4).open(0, 1);
    instance.process(batch_of(&[row(1, 7, 0)]));
    let fired = texts(&instance.watermark(9));
    assert_eq!(fired, ["1 | 1 | 1970-01-01T00:00:00 | 1970-01-01T00:00:00.010 | 1970-01-01T00:00:00.009"]);
    // Of [0, 10) and [5, 15), one has fired.
    instance.process(batch_of(&[row(1, 8, 0)]));
    assert_eq!(instance.late(), 0);
    // [-5, 5) and [0, 10) have.
    instance.process(batch_of(&[row(1, 4, 0)]));
    assert_eq!(instance.late(), 1);
    let fired = texts(&instance.watermark(14));
    assert_eq!(
        fired,
        ["1 | 2 | 1970-01-01T00:00:00.005 | 1970-01-01T00:00:00.015 | 1970-01-01T00:00:00.014"]
    );
}

#[test]
fn many_groups_are_fired_in_chunks_within_a_bounded_output() {
    let groups = 3 * TARGET_ROWS as i64 + 17;
    for window in [tumble(10, 0), hop(5, 10, 0)] {
        let spec = spec(window, &[0], vec![call(Function::Sum, Some(VALUE))]);
        let mut instance = Instance::new(&spec, Phase::Single, 1).open(0, 1);
        for number in 0..groups {
            if number % 5000 == 0 {
                let rows: Vec<_> = (number..(number + 5000).min(groups))
                    .flat_map(|key| [row(key, 2, key), row(key, 7, 1)])
                    .collect();
                instance.process(batch_of(&rows));
            }
        }
        instance.watermark(5);
        let mut out = Output::new(1);
        let mut progress = instance.operator.on_watermark(Watermark(9), &mut out).unwrap();
        let (mut rows, mut sum, mut calls) = (0, 0, 1);
        while progress != Progress::Done || !out.is_empty() {
            while let Some(Emitted::Element(StreamElement::Batch(batch))) = out.pop() {
                assert!(batch.num_rows() <= TARGET_ROWS);
                rows += batch.num_rows() as i64;
                sum += arrow::compute::sum(batch.records().column(1).as_primitive::<Int64Type>()).unwrap();
            }
            if progress != Progress::Done {
                progress = instance.operator.resume(&mut out).unwrap();
                calls += 1;
            }
        }
        assert_eq!((rows, sum), (groups, groups * (groups - 1) / 2 + groups));
        assert!(calls >= 4, "{calls} calls");
    }
}

#[test]
fn a_bounded_input_without_rows_has_one_result_without_keys_and_none_with() {
    let calls =
        vec![call(Function::Count, None), call(Function::Sum, Some(VALUE)), call(Function::Max, Some(VALUE))];
    for phase in [Phase::Single, Phase::Global] {
        let mut global = Instance::new(&spec(end_of_input(), &[], calls.clone()), phase, 1).open(0, 1);
        assert!(global.watermark(i64::MAX).is_empty());
        assert_eq!(texts(&global.finish()), ["0 | - | -"]);
        let mut keyed = Instance::new(&spec(end_of_input(), &[0], calls.clone()), phase, 1).open(0, 1);
        assert!(keyed.finish().is_empty());
    }
}

#[test]
fn a_bounded_input_is_one_pane_in_one_phase_and_in_two() {
    let spec =
        spec(end_of_input(), &[0], vec![call(Function::Sum, Some(VALUE)), call(Function::Count, None)]);
    let rows = batch_of(&[row(1, 5, 10), row(2, -9, 1), row(1, i64::MAX, 4)]);
    let mut single = Instance::new(&spec, Phase::Single, 1).open(0, 1);
    single.process(rows.clone());
    assert!(single.watermark(100).is_empty());
    assert_eq!(texts(&single.finish()), ["1 | 14 | 2", "2 | 1 | 1"]);

    let mut local = Instance::new(&spec, Phase::Local, 1).open(0, 1);
    let mut global = Instance::new(&spec, Phase::Global, 1).open(0, 1);
    assert!(local.process(rows).is_empty());
    assert!(local.watermark(100).is_empty(), "held back until the end");
    for partials in local.finish() {
        global.process(partials);
    }
    assert_eq!(texts(&global.finish()), ["1 | 14 | 2", "2 | 1 | 1"]);
}

#[test]
fn the_local_phase_holds_back_until_a_window_is_due() {
    let spec = spec(hop(5, 10, 0), &[0], vec![call(Function::Count, None)]);
    let mut local = Instance::new(&spec, Phase::Local, 4).open(0, 1);
    assert!(local.process(batch_of(&[row(1, 1, 0), row(1, 6, 0), row(1, 2, 0)])).is_empty());
    assert!(local.watermark(3).is_empty());
    assert_eq!(
        texts(&local.watermark(4)),
        ["1 | 5 | 2 | 2"],
        "[-5, 5) may fire, which holds the pane [0, 5)"
    );
    assert_eq!(
        texts(&local.process(batch_of(&[row(1, 3, 0)]))),
        ["1 | 5 | 1 | 1"],
        "the global phase judges it"
    );
    assert_eq!(texts(&local.flush()), ["1 | 10 | 1 | 1"]);
    assert!(local.finish().is_empty());
}

#[test]
fn the_local_phase_gives_up_folding_keys_that_do_not_repeat() {
    let spec = spec(tumble(1_000_000, 0), &[0], vec![call(Function::Count, None)]);
    let mut local = Instance::new(&spec, Phase::Local, 100).open(0, 1);
    let mut emitted = Vec::new();
    for batch in 0..20_i64 {
        let rows: Vec<_> = (0..8000).map(|number| row(batch * 8000 + number, 5, 0)).collect();
        emitted.push(local.process(batch_of(&rows)).iter().map(RecordBatch::num_rows).sum::<usize>());
    }
    assert_eq!(
        emitted.iter().sum::<usize>() + local.finish().iter().map(RecordBatch::num_rows).sum::<usize>(),
        160_000
    );
    assert_eq!(emitted[0], 0, "held back at first");
    assert_eq!(emitted[19], 8000, "passed on at once when it is seen not to help");
}

/// A spec whose time column has another unit.
fn with_time(spec: &WindowAggregateSpec, time: &ArrayRef) -> (WindowAggregateSpec, RecordBatch) {
    let rows: Vec<_> = (0..time.len() as i64).map(|number| row(number, 0, 0)).collect();
    let mut columns = batch_of(&rows).columns().to_vec();
    columns[TIME as usize] = Arc::clone(time);
    let mut fields: Vec<Field> = input_schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields[TIME as usize] = Field::new("ts", time.data_type().clone(), true);
    let schema = Arc::new(Schema::new(fields));
    let spec = WindowAggregateSpec { input_schema: schema::encode(&schema), ..spec.clone() };
    (spec, RecordBatch::try_new(schema, columns).unwrap())
}

#[test]
fn times_of_every_unit_and_zone_round_down() {
    let spec = spec(tumble(1000, 0), &[], vec![call(Function::Count, None)]);
    let times: [ArrayRef; 4] = [
        Arc::new(TimestampSecondArray::from(vec![-1, 0])),
        Arc::new(TimestampMicrosecondArray::from(vec![-1, 999_999]).with_timezone("UTC")),
        Arc::new(TimestampNanosecondArray::from(vec![-1, 999_999_999]).with_timezone("+02:00")),
        cast(&TimestampSecondArray::from(vec![-1, 0]), &DataType::Timestamp(TimeUnit::Millisecond, None))
            .unwrap(),
    ];
    for time in &times {
        let (spec, batch) = with_time(&spec, time);
        let mut instance = Instance::new(&spec, Phase::Single, 4).open(0, 1);
        instance.process(batch);
        let fired = texts(&instance.watermark(i64::MAX));
        assert_eq!(
            fired,
            [
                "1 | 1969-12-31T23:59:59 | 1970-01-01T00:00:00 | 1969-12-31T23:59:59.999",
                "1 | 1970-01-01T00:00:00 | 1970-01-01T00:00:01 | 1970-01-01T00:00:00.999",
            ],
            "{:?}",
            time.data_type()
        );
    }
}

#[test]
fn a_null_or_absurd_time_is_an_error_that_names_the_column() {
    let spec = spec(tumble(1000, 0), &[], vec![call(Function::Count, None)]);
    let times: [ArrayRef; 2] = [
        Arc::new(arrow::array::TimestampMillisecondArray::from(vec![Some(1), None])),
        Arc::new(arrow::array::TimestampMillisecondArray::from(vec![i64::MAX])),
    ];
    for time in times {
        let (spec, batch) = with_time(&spec, &time);
        for phase in [Phase::Single, Phase::Local] {
            let mut operator = try_operator(&spec, phase).unwrap();
            operator.open(&context(0, 1)).unwrap();
            let error = operator.process(0, Batch::new(batch.clone()), &mut Output::new(1)).unwrap_err();
            assert_eq!(error.code(), Code::Evaluation);
            assert!(error.message().contains("'ts'"), "{error}");
        }
    }
}

#[test]
fn changelogs_are_refused() {
    let spec = spec(tumble(1000, 0), &[], vec![call(Function::Count, None)]);
    let batch = Batch::with_kinds(batch_of(&[row(1, 1, 1)]), Int8Array::from(vec![3])).unwrap();
    let mut operator = try_operator(&spec, Phase::Single).unwrap();
    let error = operator.process(0, batch, &mut Output::new(1)).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
}

#[test]
fn state_beyond_its_limit_is_an_error() {
    let spec = spec(tumble(1000, 0), &[0], vec![call(Function::Count, None)]);
    let mut operator = try_operator(&spec, Phase::Single).unwrap();
    operator
        .open(&weir_api::operator::OperatorContext { state_limit_bytes: 100_000, ..context(0, 1) })
        .unwrap();
    let rows: Vec<_> = (0..8000).map(|number| row(number, 5, 0)).collect();
    let error = operator.process(0, Batch::new(batch_of(&rows)), &mut Output::new(1)).unwrap_err();
    assert_eq!(error.code(), Code::StateLimit);
}

/// Windows that the rows carry, in two columns.
fn attached(keys: &[u32]) -> WindowAggregateSpec {
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
    let schema = Schema::new(vec![
        Field::new("number", DataType::Int64, true),
        Field::new("window_start", timestamp.clone(), false),
        Field::new("window_end", timestamp, false),
    ]);
    let window =
        Window { kind: Some(window::Kind::Attached(window::Attached { start_column: 1, end_column: 2 })) };
    WindowAggregateSpec {
        input_schema: schema::encode(&schema),
        ..spec(window, keys, vec![call(Function::Max, Some(0))])
    }
}

#[test]
fn attached_windows_fire_each_once_even_if_they_end_together() {
    let spec = attached(&[]);
    let schema = schema::decode(&spec.input_schema).unwrap();
    let time = |values: Vec<i64>| Arc::new(arrow::array::TimestampMillisecondArray::from(values)) as ArrayRef;
    let batch = RecordBatch::try_new(
        schema,
        vec![
            Arc::new(arrow::array::Int64Array::from(vec![1, 5, 3, 4])),
            time(vec![0, 5, 0, 5]),
            time(vec![10, 10, 10, 15]),
        ],
    )
    .unwrap();
    let wanted = [
        "3 | 1970-01-01T00:00:00 | 1970-01-01T00:00:00.010 | 1970-01-01T00:00:00.009",
        "5 | 1970-01-01T00:00:00.005 | 1970-01-01T00:00:00.010 | 1970-01-01T00:00:00.009",
    ];
    let mut single = Instance::new(&spec, Phase::Single, 1).open(0, 1);
    single.process(batch.clone());
    assert_eq!(texts(&single.watermark(9)), wanted);
    single.process(batch.slice(0, 3));
    assert_eq!(single.late(), 3);

    let mut local = Instance::new(&spec, Phase::Local, 1).open(0, 1);
    let mut global = Instance::new(&spec, Phase::Global, 1).open(0, 1);
    assert!(local.process(batch.clone()).is_empty());
    for partials in local.watermark(9) {
        global.process(partials);
    }
    assert_eq!(texts(&global.watermark(9)), wanted);
    for partials in local.process(batch) {
        global.process(partials);
    }
    assert_eq!(global.late(), 3);
}

#[test]
fn a_late_row_says_what_it_was_and_how_late() {
    let plain = spec(hop(5000, 10_000, 0), &[0], vec![call(Function::Count, None)]);
    let spec = WindowAggregateSpec { late_rows_of: "c.d.t".to_owned(), ..plain };
    let mut instance = Instance::new(&spec, Phase::Single, 1).open(0, 1);
    instance.watermark(18_200);
    let text = Some("a\n\"b\"".to_owned());
    let rows = [row(1, 9000, 5), row(2, 4000, 5), Row { text, value: None, ..row(3, 1, 0) }];
    assert!(instance.process(batch_of(&rows)).is_empty());
    // The last window of the first row ended at 15 s, those of the others at 10 s.
    let json = |number: i64, ts: &str, value: &str, text: &str| {
        format!(
            r#"{{"number":{number},"small":null,"name":null,"ts":"1970-01-01T00:00:{ts}","value":{value},"flag":null,"text":{text}}}"#
        )
    };
    let told = |seconds: &str, end: &str, row: String| {
        format!(
            "c.d.t | - | - | {seconds} s later than the end of its last window, 1970-01-01T00:00:{end} | \
             1970-01-01T00:00:03Z | {row} | 1970-01-01T00:00:18.200"
        )
    };
    assert_eq!(
        texts(&instance.side),
        [
            told("3.2", "15", json(1, "09", "5", "null")),
            told("8.2", "10", json(2, "04", "5", "null")),
            told("8.2", "10", json(3, "00.001", "null", r#""a\n\"b\"""#)),
        ]
    );
    assert_eq!(instance.late(), 0);
    assert!(instance.finish().is_empty());
}

#[test]
fn late_rows_need_whole_rows_and_columns_that_exist() {
    let late = |columns| WindowAggregateSpec {
        late_rows_of: "t".to_owned(),
        late_columns: columns,
        ..spec(tumble(10, 0), &[0], vec![call(Function::Count, None)])
    };
    assert!(try_operator(&late(Vec::new()), Phase::Single).is_ok());
    assert!(try_operator(&late(Vec::new()), Phase::Local).is_err());
    assert!(try_operator(&late(Vec::new()), Phase::Global).is_err());
    let column = LateColumn { column: 99, name: "x".to_owned() };
    assert!(try_operator(&late(vec![column]), Phase::Single).is_err());
}

#[test]
fn windows_fire_in_the_order_of_their_ends() {
    let spec = spec(hop(2, 10, 1), &[0], vec![call(Function::Count, None)]);
    let mut instance = Instance::new(&spec, Phase::Single, 1).open(0, 1);
    instance.process(batch_of(&[row(1, 40, 0), row(1, 3, 0), row(2, 11, 0), row(1, -30, 0)]));
    let ends: Vec<String> =
        texts(&instance.finish()).iter().map(|row| row.split(" | ").nth(3).unwrap().to_owned()).collect();
    assert_eq!(ends.len(), 20);
    assert!(ends.is_sorted(), "{ends:?}");
}

#[test]
fn specs_that_do_not_fit_are_refused() {
    let valid = spec(tumble(10, 0), &[0], vec![call(Function::Sum, Some(VALUE))]);
    let broken = [
        WindowAggregateSpec { window: None, ..valid.clone() },
        WindowAggregateSpec { time_column: 99, ..valid.clone() },
        WindowAggregateSpec { time_column: VALUE, ..valid.clone() },
        WindowAggregateSpec { window: Some(tumble(0, 0)), ..valid.clone() },
        WindowAggregateSpec { window: Some(hop(1, u64::MAX, 0)), ..valid },
    ];
    for spec in broken {
        for phase in [Phase::Single, Phase::Local, Phase::Global] {
            assert!(try_operator(&spec, phase).is_err(), "{spec:?}");
        }
    }
}
