//! The sink: checked options, and writers that hand rows to an [`Outlet`] on the I/O runtime.
//!
//! At-least-once: a flush or prepare is over when brokers have acknowledged everything. Nothing is committed afterwards.
//! Exactly-once is the business of [`log`](super::log).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use rdkafka::ClientConfig;
use weir_api::Batch;
use weir_api::error::{Code, Error, Result};
use weir_api::id::CheckpointId;
use weir_api::sink::{Committable, Committer, Sink, SinkWriter, WriterContext};

use super::layout::Layout;
use super::log::{Log, LogCommitter, LogWriter};
use super::outlet::{Outlet, Parts};
use super::properties::Properties;
use super::router::Partitioner;
use super::topics::Topics;
use crate::handover::Handover;
use crate::options::Options;

/// Bytes of records that one writer keeps until they are acknowledged.
const QUEUE_KBYTES: u32 = 16 << 10;

/// What `sink.delivery-guarantee` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Guarantee {
    ExactlyOnce,
    AtLeastOnce,
    None,
}

/// A `kafka` table that is written.
pub struct KafkaSink {
    properties: Properties,
    layout: Arc<Layout>,
    topics: Vec<String>,
    partitioner: Partitioner,
    guarantee: Guarantee,
    /// With exactly-once.
    log: Option<Arc<Log>>,
}

impl KafkaSink {
    /// From the options of a table.
    pub fn new(options: &Options<'_>) -> Result<Self> {
        let properties = Properties::of(options)?;
        let layout = Layout::of(options)?;
        let topics = match Topics::of(options)? {
            Topics::Named(names) => names,
            Topics::Matching(_) => {
                return Err(options.refuse("topic-pattern", "nothing where a table is written, but 'topic'"));
            }
        };
        let has_topic = layout.metadata.iter().any(|(_, key)| *key == super::metadata::Key::Topic);
        if topics.len() > 1 && !has_topic {
            return Err(options.refuse(
                "topic",
                "one topic where a table is written (or several and a column METADATA FROM 'topic' that says which)",
            ));
        }
        layout.value.format.check_written(&layout.table, &layout.value.fields)?;
        if let Some(key) = &layout.key {
            key.format.check_written(&layout.table, &key.fields)?;
        }
        let guarantee = guarantee(options)?;
        if guarantee == Guarantee::AtLeastOnce
            && properties.of_producer("acks").is_some_and(|acks| acks.trim() == "0")
        {
            return Err(options.refuse(
                "properties.acks",
                "'all' or '1' beside 'sink.delivery-guarantee' = 'at-least-once'",
            ));
        }
        let partitioner = Partitioner::of(options)?;
        let mut sink =
            Self { properties, layout: Arc::new(layout), topics, partitioner, guarantee, log: None };
        if guarantee == Guarantee::ExactlyOnce {
            sink.log = Some(Arc::new(Log::of(options, &sink.properties, sink.config(0), &sink.topics)?));
        }
        // Settings that exclude each other are noticed now rather than in a task.
        sink.config(0).create_native_config().map_err(|error| sink.properties.client_error(&error))?;
        Ok(sink)
    }

    /// librdkafka's settings for a producer.
    fn config(&self, subtask: u32) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", format!("weir-{}-{subtask}", self.layout.table))
            .set("queue.buffering.max.kbytes", QUEUE_KBYTES.to_string())
            .set("queue.buffering.max.messages", "200000")
            .set("reconnect.backoff.max.ms", "2000");
        // Fewer acknowledgements are the user's own choice, and exclude it.
        let plain =
            self.properties.of_producer("acks").is_some_and(|acks| !matches!(acks.trim(), "all" | "-1"));
        config.set("enable.idempotence", (!plain).to_string());
        let mut config = self.properties.producer(config);
        // As Java's client hashes, so that both agree on a key's partition; and only failures are worth a report.
        config.set("partitioner", "murmur2_random").set("delivery.report.only.error", "true");
        config
    }
}

fn guarantee(options: &Options<'_>) -> Result<Guarantee> {
    let words = [
        ("exactly-once", Guarantee::ExactlyOnce),
        ("at-least-once", Guarantee::AtLeastOnce),
        ("none", Guarantee::None),
    ];
    let guarantee = options.one_of("sink.delivery-guarantee", &words)?;
    if guarantee != Guarantee::ExactlyOnce {
        let belonging = [
            "sink.transactional-id-prefix",
            "sink.exactly-once.mode",
            "sink.exactly-once.progress-topic",
            "sink.exactly-once.max-unpublished",
            "properties.transaction.timeout.ms",
        ];
        return match belonging.into_iter().find(|key| options.table().options.contains_key(*key)) {
            Some(key) => {
                Err(options.refuse(key, "nothing without 'sink.delivery-guarantee' = 'exactly-once'"))
            }
            None => Ok(guarantee),
        };
    }
    // The place of a second mode, whose transactions stay open from the barrier to the checkpoint's completion.
    match options.one_of("sink.exactly-once.mode", &[("log", true), ("2pc", false)])? {
        true => Ok(guarantee),
        false => Err(Error::new(
            Code::Unsupported,
            format!(
                "table {}: 'sink.exactly-once.mode' = '2pc' isn't there yet; 'log' gives the same guarantee",
                options.table().name
            ),
        )),
    }
}

impl Sink for KafkaSink {
    fn committer(&self) -> Option<Box<dyn Committer>> {
        self.log.as_ref().map(|log| Box::new(LogCommitter::new(Arc::clone(log))) as Box<dyn Committer>)
    }

    fn commits_in_task(&self) -> bool {
        self.log.is_some()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        if let Some(log) = &self.log {
            let layout = Arc::clone(&self.layout);
            return Ok(Box::new(LogWriter::new(Arc::clone(log), layout, self.partitioner, context)?));
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        let outlet = Outlet::new(Parts {
            layout: Arc::clone(&self.layout),
            properties: self.properties.clone(),
            config: self.config(context.subtask),
            topics: self.topics.clone(),
            partitioner: self.partitioner,
            subtask: context.subtask,
            metrics: context.metrics,
            waits: self.guarantee == Guarantee::AtLeastOnce,
            cancelled: Arc::clone(&cancelled),
            io: context.io.clone(),
        })?;
        Ok(Box::new(Writer { handover: Handover::new(outlet, context.io), cancelled }))
    }
}

struct Writer {
    handover: Handover<Outlet>,
    /// Tells a step that waits for brokers that nobody waits for it any more.
    cancelled: Arc<AtomicBool>,
}

impl SinkWriter for Writer {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.handover.poll_ready(context)
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        self.handover.write(batch);
        Ok(())
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.handover.poll_flush(context)
    }

    fn poll_prepare(
        &mut self,
        _checkpoint: CheckpointId,
        context: &mut Context<'_>,
    ) -> Poll<Result<Vec<Committable>>> {
        self.handover.poll_prepare(context)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}
