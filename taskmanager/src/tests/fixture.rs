//! What the tests of this crate have in common: job graphs and connectors that behave, or misbehave, as told.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

pub(crate) mod connector;
pub(crate) mod graph;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arrow::array::{AsArray, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use weir_api::Batch;
use weir_api::clock::Clock;

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

pub(crate) fn values(batch: &Batch) -> Vec<i64> {
    batch.records().column(0).as_primitive::<Int64Type>().values().to_vec()
}
