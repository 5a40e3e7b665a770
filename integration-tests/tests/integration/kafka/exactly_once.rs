//! The sink that writes exactly once, driven as a task and a JobManager do, on real brokers: whatever dies or stands still, every
//! record of a completed checkpoint is in the topic once, and no other.

#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

mod brokers;
mod commits;
mod conformance;
mod jobs;
mod limits;
mod pipeline;
mod recovery;
mod rolling;
mod savepoints;

use std::collections::HashMap;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use tokio::runtime::Runtime;
use weir_api::Batch;
use weir_api::config::Configuration;
use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, CheckpointId, JobId, SubtaskIndex};
use weir_api::metrics::OperatorMetrics;
use weir_api::sink::{Blob, Blobs, CommitScope, Committable, Prepared, Sink, SinkWriter, WriterContext};
use weir_chaos::servers::{Kafka, Topic};
use weir_proto::v1::TableSpec;

const LIMIT: Duration = Duration::from_secs(90);
const UID: &str = "sink-1";

/// Blobs in memory; reading may be held up.
#[derive(Default)]
struct Memory {
    blobs: Mutex<HashMap<String, Bytes>>,
    next: AtomicU64,
    read: AtomicU64,
    /// Reads wait while it is shut.
    shut: Mutex<bool>,
    opened: Condvar,
}

#[async_trait::async_trait]
impl Blobs for Memory {
    async fn put(&self, bytes: Bytes) -> Result<Blob> {
        let name = format!("blob-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let blob = Blob { name: name.clone(), bytes: bytes.len() as u64, hash: 0 };
        self.blobs.lock().unwrap().insert(name, bytes);
        Ok(blob)
    }

    async fn get(&self, blob: &Blob) -> Result<Bytes> {
        self.read.fetch_add(1, Ordering::Relaxed);
        drop(self.opened.wait_while(self.shut.lock().unwrap(), |shut| *shut).unwrap());
        let found = self.blobs.lock().unwrap().get(&blob.name).cloned();
        found.ok_or_else(|| Error::new(Code::NotFound, blob.name.clone()))
    }
}

impl Memory {
    fn shut(&self) {
        *self.shut.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.shut.lock().unwrap() = false;
        self.opened.notify_all();
    }
}

/// A job's sink.
struct Job {
    sink: Arc<dyn Sink>,
    job: JobId,
    io: Runtime,
    blobs: Arc<Memory>,
}

impl Job {
    /// A job of its own; `options` beside those that every table has.
    fn new(kafka: &Kafka, topic: &str, options: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let job = JobId::from_bytes((u128::from(std::process::id()) << 64 | u128::from(id)).to_be_bytes());
        Self { sink: sink(kafka, topic, options).unwrap(), job, io, blobs: Arc::default() }
    }

    fn writer(&self, attempt: u32, subtask: u32) -> Writer {
        let context = WriterContext {
            job: self.job,
            attempt: Attempt(attempt),
            uid: UID.into(),
            subtask,
            parallelism: 2,
            io: self.io.handle().clone(),
            metrics: Arc::new(OperatorMetrics::default()),
            blobs: Some(Arc::clone(&self.blobs) as Arc<dyn Blobs>),
        };
        Writer { writer: self.sink.writer(context).unwrap(), subtask }
    }

    fn scope(&self, fence: u32, parallelism: u32) -> CommitScope {
        CommitScope {
            job: self.job,
            uid: UID.into(),
            fence: Some(Attempt(fence)),
            parallelism,
            blobs: Some(Arc::clone(&self.blobs) as Arc<dyn Blobs>),
        }
    }

    /// What the JobManager does before an attempt starts.
    fn recover(&self, fence: u32, parallelism: u32, prepared: &[Prepared]) -> Result<()> {
        let committer = self.sink.committer().expect("it commits");
        self.io.block_on(committer.commit(&self.scope(fence, parallelism), prepared.to_vec()))
    }
}

fn sink(kafka: &Kafka, topic: &str, options: &[(&str, &str)]) -> Result<Arc<dyn Sink>> {
    let schema =
        Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("text", DataType::Utf8, true)]);
    let own = [
        ("connector", "kafka"),
        ("topic", topic),
        ("properties.bootstrap.servers", kafka.bootstrap()),
        ("format", "json"),
        ("sink.delivery-guarantee", "exactly-once"),
    ];
    let table = TableSpec {
        name: "t".into(),
        connector: "kafka".into(),
        options: own.iter().chain(options).map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        schema: weir_api::schema::encode(&schema),
        ..TableSpec::default()
    };
    let registry = weir_connectors::registry(&Configuration::default());
    registry.check_options(&table)?;
    registry.sink(&table)
}

/// A task's writer.
struct Writer {
    writer: Box<dyn SinkWriter>,
    subtask: u32,
}

impl Writer {
    fn write(&mut self, numbers: Range<i64>) -> Result<()> {
        self.write_with(numbers, 0)
    }

    /// Rows with a text of so many bytes.
    fn write_with(&mut self, numbers: Range<i64>, bytes: usize) -> Result<()> {
        let text = "x".repeat(bytes);
        local(async {
            for start in numbers.clone().step_by(1000) {
                let numbers = start..numbers.end.min(start + 1000);
                let texts: ArrayRef = Arc::new(StringArray::from_iter_values(numbers.clone().map(|_| &text)));
                let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
                let batch = RecordBatch::try_from_iter([("n", numbers), ("text", texts)]).unwrap();
                within(poll_fn(|context| self.writer.poll_ready(context))).await?;
                self.writer.write(Batch::new(batch))?;
            }
            within(poll_fn(|context| self.writer.poll_flush(context))).await
        })
    }

    fn prepare(&mut self, checkpoint: u64) -> Result<Vec<Prepared>> {
        let id = CheckpointId(checkpoint);
        let committables = local(within(poll_fn(|context| self.writer.poll_prepare(id, context))))?;
        let of = |committable: Committable| Prepared {
            checkpoint: id,
            subtask: SubtaskIndex(self.subtask),
            committable,
        };
        Ok(committables.into_iter().map(of).collect())
    }

    fn commit(&mut self, checkpoint: u64) {
        self.writer.commit(CheckpointId(checkpoint)).unwrap();
    }

    /// Waits until a checkpoint is published, or the writer fails.
    fn wait_until_published(&mut self, checkpoint: u64) -> Result<()> {
        let started = Instant::now();
        while self.writer.committed(CheckpointId(checkpoint)) < CheckpointId(checkpoint) {
            self.check()?;
            assert!(started.elapsed() < LIMIT, "checkpoint {checkpoint} isn't published");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match self.writer.poll_ready(&mut context) {
            std::task::Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// A checkpoint from its barrier to its publication.
    fn checkpoint(&mut self, checkpoint: u64, numbers: Range<i64>) -> Vec<Prepared> {
        self.write(numbers).unwrap();
        let prepared = self.prepare(checkpoint).unwrap();
        self.commit(checkpoint);
        self.wait_until_published(checkpoint).unwrap();
        prepared
    }
}

fn local<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("in time")
}

/// What those see who read committed records.
fn numbers(topic: &Topic<'_>) -> Vec<i64> {
    topic.settle();
    super::numbers(topic)
}

fn all(range: Range<i64>) -> Vec<i64> {
    range.collect()
}
