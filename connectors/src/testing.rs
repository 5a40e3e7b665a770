//! What tests of readers and writers need: a runtime, a clock, contexts, and loops that poll to the end.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

pub mod resume;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use tokio::runtime::{Handle, Runtime};
use weir_api::Batch;
use weir_api::clock::Clock;
use weir_api::config::Configuration;
use weir_api::error::Result;
use weir_api::id::{Attempt, CheckpointId, JobId, SubtaskIndex};
use weir_api::metrics::OperatorMetrics;
use weir_api::schema;
use weir_api::sink::{CommitScope, Committable, Committer, Prepared, Sink, SinkWriter, WriterContext};
use weir_api::source::{ReaderContext, Source, SourceEvent, SourceReader};
use weir_proto::v1::literal::Value;
use weir_proto::v1::predicate::Operator;
use weir_proto::v1::{Literal, Predicate, Split, TableSpec};

/// Real time since it was made; the wall clock stands near 2033.
pub struct TestClock(Instant);

impl Clock for TestClock {
    fn unix_millis(&self) -> i64 {
        2_000_000_000_000 + i64::try_from(self.monotonic_millis()).unwrap()
    }

    fn monotonic_millis(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

pub fn table(connector: &str, schema: &Schema, options: &[(&str, &str)]) -> TableSpec {
    let mut all: HashMap<_, _> =
        options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    all.insert("connector".into(), connector.into());
    TableSpec {
        name: "default_catalog.default_database.t".into(),
        connector: connector.into(),
        options: all,
        schema: schema::encode(schema),
        ..TableSpec::default()
    }
}

/// The table as a source, its options checked as the planner does.
pub fn source(table: &TableSpec) -> Result<Arc<dyn Source>> {
    let registry = crate::registry(&Configuration::default());
    registry.check_options(table)?;
    registry.source(table)
}

pub fn sink(table: &TableSpec) -> Result<Arc<dyn Sink>> {
    let registry = crate::registry(&Configuration::default());
    registry.check_options(table)?;
    registry.sink(table)
}

pub fn reader_context(schema: SchemaRef, io: Handle) -> ReaderContext {
    ReaderContext {
        projected_schema: schema,
        filters: Vec::new(),
        subtask: 0,
        parallelism: 1,
        read_ahead_bytes: 8 << 20,
        io,
        clock: Arc::new(TestClock(Instant::now())),
        metrics: Arc::new(OperatorMetrics::default()),
    }
}

pub fn equals(column: &str, value: i64) -> Predicate {
    Predicate {
        path: vec![column.into()],
        operator: Operator::Eq.into(),
        literal: Some(Literal { value: Some(Value::Integer(value)) }),
    }
}

/// Everything that one reader of all `splits` gives, as one batch, and its dead letters as another.
pub fn read_with_letters(
    source: &dyn Source,
    context: ReaderContext,
    splits: Vec<Split>,
) -> Result<(RecordBatch, RecordBatch)> {
    let schema = context.projected_schema.clone();
    let mut reader = source.reader(context, splits)?;
    let (mut batches, mut letters) = (Vec::new(), Vec::new());
    local(async {
        while let Some(event) = poll_fn(|context| reader.poll_next(context)).await {
            match event? {
                SourceEvent::Records { records, .. } => batches.push(records),
                SourceEvent::DeadLetters(records) => letters.push(records),
                SourceEvent::SplitFinished { .. } => {}
            }
        }
        Ok::<_, weir_api::Error>(())
    })?;
    let letters = concat_batches(&weir_api::side_output::dead_letters(), &letters).expect("dead letters");
    Ok((concat_batches(&schema, &batches).expect("batches of one schema"), letters))
}

/// All batches of a reader, with the split each came from, until it ends.
pub async fn drain(reader: &mut dyn SourceReader) -> Result<Vec<(usize, RecordBatch)>> {
    let mut batches = Vec::new();
    while let Some(event) = poll_fn(|context| reader.poll_next(context)).await {
        match event? {
            SourceEvent::Records { split, records } => batches.push((split, records)),
            SourceEvent::DeadLetters(records) => panic!("dead letters without a table for them: {records:?}"),
            SourceEvent::SplitFinished { .. } => {}
        }
    }
    Ok(batches)
}

/// Everything that one reader of all `splits` gives, as one batch.
pub fn read_with(source: &dyn Source, context: ReaderContext, splits: Vec<Split>) -> Result<RecordBatch> {
    let schema = context.projected_schema.clone();
    let mut reader = source.reader(context, splits)?;
    let batches = local(drain(reader.as_mut()))?;
    Ok(concat_batches(&schema, batches.iter().map(|(_, batch)| batch)).expect("batches of one schema"))
}

/// Runs a future as a slot does: on a current-thread runtime with time.
pub fn local<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

pub fn writer_context(subtask: u32, attempt: u32, io: Handle) -> WriterContext {
    WriterContext {
        job: JobId::from_bytes([7; 16]),
        attempt: Attempt(attempt),
        uid: "sink-1".into(),
        subtask,
        parallelism: 2,
        io,
        blobs: None,
        metrics: Arc::new(OperatorMetrics::default()),
    }
}

/// Writes batches as the driver does, up to and including `poll_prepare`.
pub fn write_all(writer: &mut dyn SinkWriter, batches: Vec<Batch>) -> Result<Vec<Committable>> {
    local(async {
        for batch in batches {
            poll_fn(|context| writer.poll_ready(context)).await?;
            writer.write(batch)?;
        }
        poll_fn(|context| writer.poll_flush(context)).await?;
        poll_fn(|context| writer.poll_prepare(CheckpointId(1), context)).await
    })
}

/// Commits what [`write_all`] has prepared, as the JobManager does while the job runs.
pub async fn commit(committer: &dyn Committer, committables: Vec<Committable>) -> Result<()> {
    let scope = CommitScope {
        job: JobId::from_bytes([7; 16]),
        uid: "sink".to_owned(),
        fence: None,
        parallelism: 1,
        blobs: None,
    };
    let prepared = committables.into_iter().map(|committable| Prepared {
        checkpoint: CheckpointId(1),
        subtask: SubtaskIndex(0),
        committable,
    });
    committer.commit(&scope, prepared.collect()).await
}
