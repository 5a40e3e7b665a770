//! Builds operators from specs, drives them by the protocol, and reads what they emit.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::display::array_value_to_string;
use weir_api::batch::Batch;
use weir_api::clock::Clock;
use weir_api::element::StreamElement;
use weir_api::error::Result;
use weir_api::graph::{
    KeyGroupRange, OperatorNode, aggregate_result_type, subtask_of_key_group, window_aggregate_layout,
};
use weir_api::id::OperatorUid;
use weir_api::metrics::OperatorMetrics;
use weir_api::operator::{Operator, OperatorContext, Progress};
use weir_api::output::{Emitted, Output};
use weir_api::schema;
use weir_api::watermark::Watermark;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::window_aggregate_spec::{Phase, WindowProperty};
use weir_proto::v1::{AggregateCall, OperatorSpec, Window, WindowAggregateSpec, window};

use crate::window_aggregate::restored::key_groups;

pub(super) const MAX_PARALLELISM: u32 = 16;

/// Positions in [`input_schema`].
pub(super) const TIME: u32 = 3;
pub(super) const VALUE: u32 = 4;
pub(super) const FLAG: u32 = 5;
pub(super) const TEXT: u32 = 6;

/// A row of the input.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) number: Option<i64>,
    pub(super) small: Option<i32>,
    pub(super) name: Option<String>,
    pub(super) time: i64,
    pub(super) value: Option<i64>,
    pub(super) flag: Option<bool>,
    pub(super) text: Option<String>,
}

pub(super) fn row(number: i64, time: i64, value: i64) -> Row {
    Row { number: Some(number), small: None, name: None, time, value: Some(value), flag: None, text: None }
}

pub(super) fn input_schema() -> SchemaRef {
    let time = Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true);
    Arc::new(Schema::new(vec![
        Field::new("number", DataType::Int64, true),
        Field::new("small", DataType::Int32, true),
        Field::new("name", DataType::Utf8, true),
        schema::mark_rowtime(time),
        Field::new("value", DataType::Int64, true),
        Field::new("flag", DataType::Boolean, true),
        Field::new("text", DataType::Utf8, true),
    ]))
}

pub(super) fn batch_of(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.number).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.small).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.name.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(row.time)).collect::<TimestampMillisecondArray>()),
        Arc::new(rows.iter().map(|row| row.value).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.flag).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.text.clone()).collect::<StringArray>()),
    ];
    RecordBatch::try_new(input_schema(), columns).unwrap()
}

pub(super) fn call(function: Function, argument: Option<u32>) -> AggregateCall {
    AggregateCall {
        function: function as i32,
        arguments: argument.into_iter().collect(),
        filter_column: None,
        distinct: false,
        parameters: Vec::new(),
        keeps_nulls: false,
        name: format!("{function:?}{argument:?}"),
    }
}

pub(super) fn tumble(size: u64, offset: i64) -> Window {
    Window { kind: Some(window::Kind::Tumble(window::Tumble { size_millis: size, offset_millis: offset })) }
}

pub(super) fn hop(slide: u64, size: u64, offset: i64) -> Window {
    let hop = window::Hop { slide_millis: slide, size_millis: size, offset_millis: offset };
    Window { kind: Some(window::Kind::Hop(hop)) }
}

pub(super) fn cumulate(step: u64, size: u64, offset: i64) -> Window {
    let cumulate = window::Cumulate { step_millis: step, size_millis: size, offset_millis: offset };
    Window { kind: Some(window::Kind::Cumulate(cumulate)) }
}

pub(super) fn end_of_input() -> Window {
    Window { kind: Some(window::Kind::EndOfInput(window::EndOfInput {})) }
}

/// A spec over [`input_schema`]; the phase is set by [`operator`].
pub(super) fn spec(window: Window, keys: &[u32], aggregates: Vec<AggregateCall>) -> WindowAggregateSpec {
    let bounded = matches!(window.kind, Some(window::Kind::EndOfInput(_)));
    let properties = [WindowProperty::WindowStart, WindowProperty::WindowEnd, WindowProperty::WindowTime];
    WindowAggregateSpec {
        late_rows_of: String::new(),
        late_columns: Vec::new(),
        phase: Phase::Unspecified as i32,
        window: Some(window),
        time_column: TIME,
        key_columns: keys.to_vec(),
        aggregates,
        properties: if bounded {
            Vec::new()
        } else {
            properties.iter().map(|&property| property as i32).collect()
        },
        input_schema: schema::encode(&input_schema()),
    }
}

/// What SINGLE and GLOBAL emit.
pub(super) fn result_schema(spec: &WindowAggregateSpec) -> SchemaRef {
    let input = schema::decode(&spec.input_schema).unwrap();
    let mut fields: Vec<Field> =
        spec.key_columns.iter().map(|&key| input.field(key as usize).clone()).collect();
    for call in &spec.aggregates {
        let argument = call.arguments.first().map(|&argument| input.field(argument as usize).data_type());
        fields.push(Field::new(&call.name, aggregate_result_type(call.function(), argument).unwrap(), true));
    }
    for property in spec.properties() {
        fields.push(Field::new(
            property.as_str_name(),
            DataType::Timestamp(TimeUnit::Millisecond, None),
            false,
        ));
    }
    Arc::new(Schema::new(fields))
}

pub(super) fn try_operator(spec: &WindowAggregateSpec, phase: Phase) -> Result<Box<dyn Operator>> {
    let spec = WindowAggregateSpec { phase: phase as i32, ..spec.clone() };
    let input = schema::decode(&spec.input_schema)?;
    let layout = window_aggregate_layout(&spec, &input)?;
    let output = if phase == Phase::Local { layout.clone() } else { result_schema(&spec) };
    let node = OperatorNode {
        uid: OperatorUid::new("aggregate")?,
        name: "WindowAggregate".to_owned(),
        spec: OperatorSpec { kind: Some(Kind::WindowAggregate(spec)) },
        output_schema: Some(output),
    };
    crate::create(&node, Some(if phase == Phase::Global { layout } else { input }))
}

/// Three seconds after the beginning of time.
struct FixedClock;

impl Clock for FixedClock {
    fn unix_millis(&self) -> i64 {
        3000
    }

    fn monotonic_millis(&self) -> u64 {
        0
    }
}

pub(super) fn context(subtask: u32, parallelism: u32) -> OperatorContext {
    OperatorContext {
        uid: OperatorUid::new("aggregate").unwrap(),
        subtask,
        parallelism,
        key_groups: KeyGroupRange::of_subtask(subtask, parallelism, MAX_PARALLELISM),
        max_parallelism: MAX_PARALLELISM,
        backends: Arc::new(weir_api::state::backend::NoBackends),
        state_limit_bytes: 1 << 30,
        metrics: Arc::new(OperatorMetrics::default()),
        clock: Arc::new(FixedClock),
    }
}

/// One instance and what it has emitted.
pub(super) struct Instance {
    pub(super) operator: Box<dyn Operator>,
    pub(super) metrics: Arc<OperatorMetrics>,
    /// What has left by the side output.
    pub(super) side: Vec<RecordBatch>,
    limit: usize,
}

impl Instance {
    /// Made but not opened, so that state can be imported.
    pub(super) fn new(spec: &WindowAggregateSpec, phase: Phase, limit: usize) -> Self {
        Self {
            operator: try_operator(spec, phase).unwrap(),
            metrics: Arc::default(),
            side: Vec::new(),
            limit,
        }
    }

    pub(super) fn open(mut self, subtask: u32, parallelism: u32) -> Self {
        let context = context(subtask, parallelism);
        self.metrics = Arc::clone(&context.metrics);
        self.operator.open(&context).unwrap();
        self
    }

    pub(super) fn late(&self) -> u64 {
        self.metrics.num_late_records_dropped.get()
    }

    /// Makes a call and resumes it until it is done, taking one element at a time.
    pub(super) fn drive(
        &mut self,
        call: impl FnOnce(&mut dyn Operator, &mut Output) -> Result<Progress>,
    ) -> Vec<RecordBatch> {
        let mut out = Output::new(self.limit);
        let mut batches = Vec::new();
        let mut progress = call(self.operator.as_mut(), &mut out).unwrap();
        loop {
            assert!(progress != Progress::NeedRoom || !out.has_room(), "it asks for room that it has");
            assert!(out.len() <= self.limit, "it overshoots the limit");
            if progress == Progress::Done {
                break;
            }
            self.take(out.pop(), &mut batches);
            progress = self.operator.resume(&mut out).unwrap();
        }
        while let Some(emitted) = out.pop() {
            self.take(Some(emitted), &mut batches);
        }
        batches
    }

    fn take(&mut self, emitted: Option<Emitted>, batches: &mut Vec<RecordBatch>) {
        match emitted {
            Some(Emitted::Element(element)) => batches.push(records(element)),
            Some(Emitted::Side(side)) => self.side.push(side.batch.records().clone()),
            None => {}
        }
    }

    pub(super) fn process(&mut self, records: RecordBatch) -> Vec<RecordBatch> {
        self.drive(|operator, out| operator.process(0, Batch::new(records), out))
    }

    pub(super) fn watermark(&mut self, watermark: i64) -> Vec<RecordBatch> {
        self.drive(|operator, out| operator.on_watermark(Watermark(watermark), out))
    }

    pub(super) fn flush(&mut self) -> Vec<RecordBatch> {
        self.drive(|operator, out| operator.flush(out))
    }

    pub(super) fn finish(&mut self) -> Vec<RecordBatch> {
        self.drive(|operator, out| operator.finish(out))
    }
}

fn records(element: StreamElement) -> RecordBatch {
    match element {
        StreamElement::Batch(batch) => batch.records().clone(),
        other => panic!("not records: {other:?}"),
    }
}

/// The rows for each of `targets` instances, by the key group of the first `keys` columns or those named.
pub(super) fn route(records: &RecordBatch, keys: &[usize], targets: u32) -> Vec<RecordBatch> {
    let columns: Vec<ArrayRef> = keys.iter().map(|&key| Arc::clone(records.column(key))).collect();
    let groups = key_groups(&columns, records.num_rows(), MAX_PARALLELISM).unwrap();
    (0..targets)
        .map(|target| {
            let rows: UInt32Array = (0..records.num_rows() as u32)
                .filter(|&row| subtask_of_key_group(groups[row as usize], targets, MAX_PARALLELISM) == target)
                .collect::<Vec<_>>()
                .into();
            take_record_batch(records, &rows).unwrap()
        })
        .collect()
}

/// Rows as text, cell by cell; null is `-`.
pub(super) fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let cell = |column: &ArrayRef, row: usize| {
        let text = array_value_to_string(column, row).unwrap();
        match column.data_type() {
            _ if column.is_null(row) => "-".to_owned(),
            DataType::List(_) | DataType::Map(_, _) => in_order(&text),
            _ => text,
        }
    };
    batches
        .iter()
        .flat_map(|batch| {
            (0..batch.num_rows()).map(move |row| {
                batch.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join(" | ")
            })
        })
        .collect()
}

/// An array or a map with its elements in order: those of partial results come in no order.
pub(super) fn in_order(text: &str) -> String {
    let mut elements: Vec<&str> = text[1..text.len() - 1].split(", ").collect();
    elements.sort_unstable();
    format!("{}{}{}", &text[..1], elements.join(", "), &text[text.len() - 1..])
}
