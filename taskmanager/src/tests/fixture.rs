//! What the tests of this crate have in common: job graphs and connectors that behave, or misbehave, as told.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

pub(crate) mod connector;
pub(crate) mod graph;
pub(crate) mod ledger;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use weir_api::clock::Clock;
use weir_api::{Batch, side_output};

/// The machine's clocks.
pub(crate) struct TestClock(Instant);

impl TestClock {
    pub(crate) fn shared() -> Arc<dyn Clock> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for TestClock {
    fn unix_millis(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
    }

    fn monotonic_millis(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }
}

/// `v BIGINT, ts TIMESTAMP(3)`
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("v", DataType::Int64, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]))
}

/// Rows whose event time is their value in milliseconds.
pub(crate) fn records(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let values: Vec<i64> = values.into_iter().collect();
    let times = TimestampMillisecondArray::from(values.clone());
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(values)), Arc::new(times)]).unwrap()
}

/// The expression `ts`, as datafusion-proto encodes a column: `PhysicalExprNode { column: { name: "ts", index: 1 } }`.
pub(crate) const TS: [u8; 8] = [0x0a, 0x06, 0x0a, 0x02, b't', b's', 0x10, 0x01];

/// A dead letter for each value.
pub(crate) fn dead_letters(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let values: Vec<i64> = values.into_iter().collect();
    let texts = |text: &str| Arc::new(StringArray::from(vec![text; values.len()]));
    let positions = values.iter().map(|value| Some(value.to_string()));
    let columns: Vec<ArrayRef> = vec![
        texts("t"),
        Arc::new(positions.collect::<StringArray>()),
        new_null_array(&DataType::Binary, values.len()),
        texts("as told"),
        Arc::new(TimestampMillisecondArray::from(values.clone()).with_timezone("UTC")),
    ];
    RecordBatch::try_new(side_output::dead_letters(), columns).unwrap()
}

/// The values of rows, or those that dead letters stand for.
pub(crate) fn values(batch: &Batch) -> Vec<i64> {
    if batch.schema() == side_output::dead_letters() {
        let positions = batch.records().column(1).as_string::<i32>();
        return positions.iter().map(|position| position.unwrap().parse().unwrap()).collect();
    }
    batch.records().column(0).as_primitive::<Int64Type>().values().to_vec()
}
