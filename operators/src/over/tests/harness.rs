//! Makes operators of a spec, drives them by the protocol, and keeps snapshots of them as a store of layers would.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, UInt32Type};
use arrow::util::display::array_value_to_string;
use weir_api::batch::Batch;
use weir_api::clock::Clock;
use weir_api::element::StreamElement;
use weir_api::error::Result;
use weir_api::graph::{KeyGroupRange, OperatorNode, aggregate_result_type, subtask_of_key_group};
use weir_api::id::OperatorUid;
use weir_api::metrics::OperatorMetrics;
use weir_api::operator::{Operator, OperatorContext, Progress};
use weir_api::output::{Emitted, Output};
use weir_api::schema;
use weir_api::state::{Frozen, Scope, StateTable, TOMBSTONE_COLUMN};
use weir_api::watermark::Watermark;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::over_aggregate_spec::Frame;
use weir_proto::v1::{AggregateCall, OperatorSpec, OverAggregateSpec};

use crate::over::frozen::{groups_of, hashes_of};

pub(super) const MAX_PARALLELISM: u32 = 16;

/// Positions in [`input_schema`].
pub(super) const ID: u32 = 0;
pub(super) const NUMBER: u32 = 1;
pub(super) const SMALL: u32 = 2;
pub(super) const NAME: u32 = 3;
pub(super) const TIME: u32 = 4;
pub(super) const VALUE: u32 = 5;
pub(super) const FLAG: u32 = 6;
pub(super) const TEXT: u32 = 7;

/// A row of the input.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) number: Option<i64>,
    pub(super) small: Option<i32>,
    pub(super) name: Option<String>,
    pub(super) time: i64,
    pub(super) value: Option<i64>,
    pub(super) flag: Option<bool>,
    pub(super) text: Option<String>,
}

pub(super) fn input_schema() -> SchemaRef {
    let time = Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
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
        Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>()),
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

pub(super) fn call(function: Function, argument: Option<u32>, filter: Option<u32>) -> AggregateCall {
    AggregateCall {
        function: function as i32,
        arguments: argument.into_iter().collect(),
        filter_column: filter,
        distinct: false,
        parameters: Vec::new(),
        keeps_nulls: false,
        name: format!("{}({argument:?}) {filter:?}", function.as_str_name()),
    }
}

/// A spec over [`input_schema`] that passes the row's number on; `frame`: in event time.
pub(super) fn spec(keys: &[u32], frame: Option<Frame>, aggregates: Vec<AggregateCall>) -> OverAggregateSpec {
    OverAggregateSpec {
        key_columns: keys.to_vec(),
        time_column: frame.map(|_| TIME),
        frame: frame.unwrap_or_default() as i32,
        aggregates,
        kept_columns: vec![ID],
        state_ttl_millis: 0,
        late_rows_of: String::new(),
        late_columns: Vec::new(),
    }
}

pub(super) fn try_operator(spec: &OverAggregateSpec) -> Result<Box<dyn Operator>> {
    let input = input_schema();
    let mut fields: Vec<Field> =
        spec.kept_columns.iter().map(|&column| input.field(column as usize).clone()).collect();
    for call in &spec.aggregates {
        let argument = call.arguments.first().map(|&argument| input.field(argument as usize).data_type());
        fields.push(Field::new(&call.name, aggregate_result_type(call.function(), argument)?, true));
    }
    let node = OperatorNode {
        uid: OperatorUid::new("over")?,
        name: "OverAggregate".to_owned(),
        spec: OperatorSpec { kind: Some(Kind::OverAggregate(spec.clone())) },
        output_schema: Some(Arc::new(Schema::new(fields))),
    };
    crate::create(&node, Some(input))
}

/// A clock that tests turn.
#[derive(Default)]
pub(super) struct Turned(pub(super) AtomicI64);

impl Clock for Turned {
    fn unix_millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic_millis(&self) -> u64 {
        0
    }
}

/// Instances of one operator.
pub(super) struct Instances {
    pub(super) spec: OverAggregateSpec,
    pub(super) operators: Vec<Box<dyn Operator>>,
    pub(super) metrics: Arc<OperatorMetrics>,
    pub(super) clock: Arc<Turned>,
}

impl Instances {
    pub(super) fn new(spec: &OverAggregateSpec, parallelism: u32, clock: &Arc<Turned>) -> Self {
        let metrics = Arc::new(OperatorMetrics::default());
        let operators = (0..parallelism)
            .map(|subtask| {
                let mut operator = try_operator(spec).unwrap();
                let context = OperatorContext {
                    uid: OperatorUid::new("over").unwrap(),
                    subtask,
                    parallelism,
                    key_groups: KeyGroupRange::of_subtask(subtask, parallelism, MAX_PARALLELISM),
                    max_parallelism: MAX_PARALLELISM,
                    backends: Arc::new(weir_api::state::backend::NoBackends),
                    state_limit_bytes: 1 << 30,
                    metrics: Arc::clone(&metrics),
                    clock: Arc::clone(clock) as Arc<dyn Clock>,
                };
                operator.open(&context).unwrap();
                operator
            })
            .collect();
        Self { spec: spec.clone(), operators, metrics, clock: Arc::clone(clock) }
    }

    /// Sends each row to the instance of its key; what they emit, as texts.
    pub(super) fn process(&mut self, rows: &[Row]) -> Vec<String> {
        let records = batch_of(rows);
        let parallelism = self.operators.len() as u32;
        let groups = key_groups(&self.spec, &records);
        let mut emitted = Vec::new();
        for (subtask, operator) in self.operators.iter_mut().enumerate() {
            let own: UInt32Array = (0..records.num_rows() as u32)
                .filter(|&row| {
                    let group = groups[row as usize];
                    subtask_of_key_group(group, parallelism, MAX_PARALLELISM) as usize == subtask
                })
                .collect::<Vec<_>>()
                .into();
            let own = take_record_batch(&records, &own).unwrap();
            emitted.extend(drive(operator.as_mut(), |operator, out| {
                operator.process(0, Batch::new(own.clone()), out)
            }));
        }
        emitted
    }

    pub(super) fn watermark(&mut self, watermark: i64) -> Vec<String> {
        let advance =
            |operator: &mut dyn Operator, out: &mut Output| operator.on_watermark(Watermark(watermark), out);
        self.operators.iter_mut().flat_map(|operator| drive(operator.as_mut(), advance)).collect()
    }

    pub(super) fn finish(&mut self) -> Vec<String> {
        let finish = |operator: &mut dyn Operator, out: &mut Output| operator.finish(out);
        self.operators.iter_mut().flat_map(|operator| drive(operator.as_mut(), finish)).collect()
    }

    pub(super) fn freeze(&mut self, scope: Scope) -> Vec<Box<dyn Frozen>> {
        self.operators
            .iter_mut()
            .map(|operator| operator.keyed_state().unwrap().freeze(scope).unwrap())
            .collect()
    }

    pub(super) fn import(&mut self, store: &Store) {
        let parallelism = self.operators.len() as u32;
        for (subtask, operator) in self.operators.iter_mut().enumerate() {
            let range = KeyGroupRange::of_subtask(subtask as u32, parallelism, MAX_PARALLELISM);
            for table in store.tables(range) {
                operator.keyed_state().unwrap().import(&table).unwrap();
            }
        }
    }
}

fn key_groups(spec: &OverAggregateSpec, records: &RecordBatch) -> Vec<u32> {
    let keys: Vec<ArrayRef> =
        spec.key_columns.iter().map(|&key| Arc::clone(records.column(key as usize))).collect();
    let mut hashes = Vec::new();
    hashes_of(&keys, records.num_rows(), &mut hashes).unwrap();
    groups_of(!keys.is_empty(), &hashes, MAX_PARALLELISM)
}

/// Makes a call and resumes it until it is done, taking one element at a time.
fn drive(
    operator: &mut dyn Operator,
    call: impl FnOnce(&mut dyn Operator, &mut Output) -> Result<Progress>,
) -> Vec<String> {
    let mut out = Output::new(1);
    let mut rows = Vec::new();
    let mut progress = call(operator, &mut out).unwrap();
    loop {
        assert!(progress != Progress::NeedRoom || !out.has_room(), "it asks for room that it has");
        assert!(out.len() <= 1, "it overshoots the limit");
        if let Some(Emitted::Element(StreamElement::Batch(batch))) = out.pop() {
            rows.extend(texts(batch.records()));
        }
        if progress == Progress::Done {
            return rows;
        }
        progress = operator.resume(&mut out).unwrap();
    }
}

/// Rows as text, cell by cell; null is `-`.
pub(super) fn texts(batch: &RecordBatch) -> Vec<String> {
    let cell = |column: &ArrayRef, row: usize| match column.is_null(row) {
        true => "-".to_owned(),
        false => array_value_to_string(column, row).unwrap(),
    };
    let row = |row| batch.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join(" | ");
    (0..batch.num_rows()).map(row).collect()
}

/// Layers of snapshots, merged: a row for each key of each state.
#[derive(Clone, Default)]
pub(super) struct Store {
    states: BTreeMap<String, (SchemaRef, u32, BTreeMap<String, RecordBatch>)>,
}

impl Store {
    /// Adds what all instances froze at one barrier.
    pub(super) fn add(&mut self, frozen: Vec<Box<dyn Frozen>>) {
        let mut seen: Vec<String> = Vec::new();
        for mut frozen in frozen {
            let mut last = (String::new(), 0);
            while let Some((scope, table)) = frozen.next().unwrap() {
                let state = self.states.entry(table.name.clone()).or_insert_with(|| {
                    assert_eq!(scope, Scope::Full, "changes of nothing");
                    (Arc::clone(&table.schema), table.key_columns, BTreeMap::new())
                });
                if scope == Scope::Full && !seen.contains(&table.name) {
                    state.2.clear();
                    seen.push(table.name.clone());
                }
                for batch in &table.batches {
                    let groups = batch.column(0).as_primitive::<UInt32Type>().values();
                    for row in 0..batch.num_rows() {
                        let place = (table.name.clone(), groups[row]);
                        assert!(last.0 != place.0 || last.1 <= place.1, "key groups grow");
                        last = place;
                        state.2.extend(change(scope, &table, batch, row));
                        if let Some(removed) = removal(scope, &table, batch, row) {
                            state.2.remove(&removed);
                        }
                    }
                }
            }
        }
    }

    /// The rows of some key groups, in order.
    fn tables(&self, range: KeyGroupRange) -> Vec<StateTable> {
        let table =
            |(name, (schema, key_columns, rows)): (&String, &(SchemaRef, u32, BTreeMap<_, RecordBatch>))| {
                let group = |row: &RecordBatch| row.column(0).as_primitive::<UInt32Type>().value(0);
                let mut rows: Vec<RecordBatch> =
                    rows.values().filter(|row| range.contains(group(row))).cloned().collect();
                rows.sort_by_key(group);
                // Cut anywhere.
                let batches = rows.chunks(3).map(|rows| concat_batches(schema, rows).unwrap()).collect();
                StateTable {
                    name: name.clone(),
                    schema: Arc::clone(schema),
                    key_columns: *key_columns,
                    batches,
                }
            };
        self.states.iter().map(table).collect()
    }

    /// How many rows a state has.
    pub(super) fn rows(&self, state: &str) -> usize {
        self.states.get(state).map_or(0, |state| state.2.len())
    }
}

/// The key of a row: its key group and key columns.
fn key_text(table: &StateTable, batch: &RecordBatch, row: usize, skipped: usize) -> String {
    let columns: Vec<usize> = std::iter::once(0)
        .chain((0..table.key_columns as usize).map(|column| 1 + skipped + column))
        .collect();
    texts(&batch.slice(row, 1).project(&columns).unwrap()).concat()
}

fn change(
    scope: Scope,
    table: &StateTable,
    batch: &RecordBatch,
    row: usize,
) -> Option<(String, RecordBatch)> {
    if scope == Scope::Full {
        return Some((key_text(table, batch, row, 0), batch.slice(row, 1)));
    }
    let removed = batch.column_by_name(TOMBSTONE_COLUMN).unwrap().as_boolean().value(row);
    let columns: Vec<usize> = (0..batch.num_columns()).filter(|&column| column != 1).collect();
    let full = batch.slice(row, 1).project(&columns).unwrap();
    (!removed).then(|| (key_text(table, batch, row, 1), full))
}

fn removal(scope: Scope, table: &StateTable, batch: &RecordBatch, row: usize) -> Option<String> {
    let removed =
        scope == Scope::Changes && batch.column_by_name(TOMBSTONE_COLUMN).unwrap().as_boolean().value(row);
    removed.then(|| key_text(table, batch, row, 1))
}
