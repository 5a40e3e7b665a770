//! One consumer and the partitions that it reads: takes what has come, decodes it, and notices ends and losses.
//!
//! Invariant: each partition's records come in order, once, from its start to its end; its position is the next offset. One
//! call is one step of work that doesn't wait for records. librdkafka's queue is shared by all partitions, which it fetches in
//! turn, so none is starved, and its bound is the reader's. Knows no thread and no channel.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use weir_api::batch::TARGET_ROWS;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::source::{SourceEvent, SplitProgress};

use super::client::{Consumer, Context, is_passing, is_refusal};
use super::decode::Decoder;
use super::identity::{self, Ids};
use super::native::{Messages, Queue};
use super::properties::Properties;
use super::report;
use super::split::{Given, PartitionSplit, Position, progress};

/// Messages taken at once: between two takes the step looks at its limits.
const TAKEN: usize = 1024;
/// A step makes at most so many full batches.
const BATCHES: usize = 4;
/// A batch of so many bytes goes out even if it has fewer rows.
const BATCH_BYTES: usize = 4 << 20;

struct Partition {
    split: PartitionSplit,
    /// The next offset.
    position: i64,
    ended: bool,
    /// Places in the messages of this step.
    messages: Vec<usize>,
}

/// See the module.
pub struct Fetcher {
    table: String,
    queue: Queue,
    messages: Messages,
    consumer: Arc<Consumer>,
    partitions: Vec<Partition>,
    names: HashMap<(String, i32), usize>,
    /// As librdkafka names them.
    places: HashMap<(usize, i32), usize>,
    decoder: Decoder,
    metrics: Arc<OperatorMetrics>,
    step_bytes: usize,
    /// An error says that a topic may be gone.
    suspicious: bool,
}

/// What a step brought.
#[derive(Debug, Default)]
pub struct Step {
    /// In the order in which they are to be handed over.
    pub events: Vec<SourceEvent>,
    /// Nothing is left to take at once.
    pub is_dry: bool,
}

/// librdkafka's settings for a consumer that may hold about `bytes`.
pub fn config(properties: &Properties, table: &str, subtask: u32, bytes: usize) -> ClientConfig {
    // Beside the records' bytes librdkafka holds as much again of its own for each, and a response on its way.
    let queue = (bytes / 2).max(512 << 10);
    let mut config = ClientConfig::new();
    config
        .set("client.id", format!("weir-{table}-{subtask}"))
        .set("queued.max.messages.kbytes", (queue >> 10).to_string())
        .set("fetch.max.bytes", (queue / 2).to_string())
        .set("fetch.message.max.bytes", (queue / 2).min(1 << 20).to_string())
        // The default of a second leaves a small queue empty most of the time.
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("isolation.level", "read_committed");
    let mut config = properties.consumer(config);
    let group = properties.group_id.clone().unwrap_or_else(|| format!("weir-{table}"));
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        // Partitions are assigned by hand, so no group waits for polls.
        .set("max.poll.interval.ms", "86400000");
    config
}

impl Fetcher {
    /// A consumer without partitions. Blocks for a moment.
    pub fn new(
        table: &str,
        properties: &Properties,
        config: &ClientConfig,
        decoder: Decoder,
        metrics: Arc<OperatorMetrics>,
        step_bytes: usize,
    ) -> Result<Self> {
        let consumer: Consumer = config
            .create_with_context(Context::new(table))
            .map_err(|error| properties.client_error(&error))?;
        let consumer = Arc::new(consumer);
        let queue = Queue::new(Arc::clone(&consumer))
            .ok_or_else(|| Error::internal("librdkafka has no memory for a queue"))?;
        Ok(Self {
            table: table.to_owned(),
            messages: queue.messages(),
            queue,
            consumer,
            partitions: Vec::new(),
            names: HashMap::new(),
            places: HashMap::new(),
            decoder,
            metrics,
            step_bytes,
            suspicious: false,
        })
    }

    /// The consumer, to ask the cluster by.
    pub fn consumer(&self) -> Arc<Consumer> {
        Arc::clone(&self.consumer)
    }

    /// Told when there is something to take.
    pub fn filled(&self) -> Arc<tokio::sync::Notify> {
        self.queue.filled()
    }

    /// The topics that are being read.
    pub fn ids(&self) -> Ids {
        self.partitions
            .iter()
            .filter(|partition| !partition.ended)
            .map(|partition| (partition.split.topic.clone(), partition.split.topic_id.clone()))
            .collect()
    }

    /// Whether an error since the last call says that a topic may be gone.
    pub fn is_suspicious(&mut self) -> bool {
        std::mem::take(&mut self.suspicious)
    }

    /// How far each partition has been read.
    pub fn progress(&self) -> Vec<SplitProgress> {
        self.partitions.iter().map(|partition| progress(partition.position, partition.ended)).collect()
    }

    /// The group's offsets at some progress.
    pub fn offsets(&self, progress: &[SplitProgress]) -> TopicPartitionList {
        report::offsets(self.partitions.iter().map(|partition| &partition.split), progress)
    }

    /// Whether all partitions have ended.
    pub fn has_ended(&self) -> bool {
        self.partitions.iter().all(|partition| partition.ended)
    }

    /// Starts to read further partitions; those with nothing to read end at once.
    pub fn add(&mut self, splits: Vec<Given>) -> Result<Vec<SourceEvent>> {
        let mut events = Vec::new();
        let mut list = TopicPartitionList::with_capacity(splits.len());
        for Given { split, position, ended } in splits {
            let place = self.partitions.len();
            if ended {
                events.push(SourceEvent::SplitFinished { split: place });
            } else {
                let forwarded = self.queue.take_from(&split.topic, split.partition);
                list.add_partition_offset(&split.topic, split.partition, Offset::Offset(position))
                    .ok()
                    .filter(|()| forwarded)
                    .ok_or_else(|| self.error(&split, "it can't be assigned"))?;
            }
            self.names.insert((split.topic.clone(), split.partition), place);
            self.partitions.push(Partition { split, position, ended, messages: Vec::new() });
        }
        if list.count() > 0 {
            self.consumer.incremental_assign(&list).map_err(|error| {
                Error::new(Code::Io, format!("table {}: assign partitions: {error}", self.table))
            })?;
        }
        Ok(events)
    }

    /// Takes and decodes what is there, up to a few batches.
    pub fn step(&mut self) -> Result<Step> {
        self.serve()?;
        let mut step = Step::default();
        let (mut bytes, mut taken) = (0, 0);
        let mut ended = Vec::new();
        loop {
            let count = self.queue.receive(&mut self.messages, TAKEN);
            for index in taken..taken + count {
                bytes += self.sort(index, &mut ended)?;
            }
            taken += count;
            step.is_dry = count < TAKEN;
            if step.is_dry || taken >= BATCHES * TARGET_ROWS || bytes >= self.step_bytes {
                break;
            }
        }
        self.metrics.num_bytes_in.add(bytes as u64);
        for place in 0..self.partitions.len() {
            self.decode(place, &mut step.events)?;
        }
        self.messages.clear();
        step.events.extend(self.decoder.malformed().take()?.map(SourceEvent::DeadLetters));
        self.leave(&ended, &mut step.events)?;
        Ok(step)
    }

    /// Lets the client say what it has to: errors of connections, tokens to renew.
    pub fn serve(&self) -> Result<()> {
        match self.consumer.poll(Duration::ZERO) {
            None => {}
            Some(Ok(message)) => {
                use rdkafka::Message as _;
                return Err(Error::internal(format!(
                    "a record of topic {}, partition {} came past its queue",
                    message.topic(),
                    message.partition()
                )));
            }
            Some(Err(error)) => self.consumer.context().warn(&error.to_string()),
        }
        // Group offsets aren't used here, so what the user may not do with the group doesn't matter; and a broker that goes away
        // can break off a TLS handshake.
        let is_lasting = |code| {
            is_refusal(code)
                && !matches!(code, RDKafkaErrorCode::GroupAuthorizationFailed | RDKafkaErrorCode::SSL)
        };
        match self.consumer.context().last_error() {
            Some((code, reason)) if is_lasting(code) => Err(Error::new(
                Code::Io,
                format!(
                    "table {}: a broker refuses the connection: {reason}; check the security properties",
                    self.table
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Puts a message to its partition's; its bytes.
    fn sort(&mut self, index: usize, ended: &mut Vec<usize>) -> Result<usize> {
        let Some(message) = self.messages.get(index) else { return Ok(0) };
        let id = (message.topic_key(), message.partition());
        let place = match self.places.get(&id) {
            Some(place) => *place,
            None => match self.names.get(&(message.topic(), message.partition())) {
                Some(place) => *self.places.entry(id).or_insert(*place),
                None => return Ok(0),
            },
        };
        let Some(partition) = self.partitions.get_mut(place) else { return Ok(0) };
        if let Some(code) = message.error() {
            let text = message.error_text();
            if code == RDKafkaErrorCode::PartitionEOF {
                // Behind the last record there may be marks of transactions, and gaps.
                partition.position = partition.position.max(message.offset());
            } else {
                self.partition_error(place, code, &text)?;
                return Ok(0);
            }
        } else if !partition.ended && message.offset() >= partition.position {
            let is_wanted = partition.split.end.is_none_or(|end| message.offset() < end);
            if is_wanted {
                partition.messages.push(index);
            }
            partition.position = message.offset() + 1;
        }
        if !partition.ended && partition.split.end.is_some_and(|end| partition.position >= end) {
            partition.ended = true;
            ended.push(place);
        }
        Ok(message.value().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len))
    }

    /// Decodes the messages that were sorted to a partition.
    fn decode(&mut self, place: usize, events: &mut Vec<SourceEvent>) -> Result<()> {
        let Some(partition) = self.partitions.get_mut(place) else { return Ok(()) };
        if partition.messages.is_empty() {
            return Ok(());
        }
        let topic = partition.split.topic.as_str();
        let mut bytes = 0;
        let flush = |decoder: &mut Decoder, events: &mut Vec<SourceEvent>| -> Result<()> {
            if decoder.rows() > 0 {
                events.push(SourceEvent::Records { split: place, records: decoder.finish(topic)? });
            }
            Ok(())
        };
        for index in partition.messages.drain(..) {
            let Some(message) = self.messages.get(index) else { continue };
            bytes += message.value().map_or(0, <[u8]>::len);
            self.decoder.add(topic, &message)?;
            if self.decoder.rows() >= TARGET_ROWS || bytes >= BATCH_BYTES {
                flush(&mut self.decoder, events)?;
                bytes = 0;
            }
            if self.decoder.malformed().is_full() {
                events.extend(self.decoder.malformed().take()?.map(SourceEvent::DeadLetters));
            }
        }
        flush(&mut self.decoder, events)
    }

    /// Stops reading partitions that have ended.
    fn leave(&self, ended: &[usize], events: &mut Vec<SourceEvent>) -> Result<()> {
        if ended.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(ended.len());
        for partition in ended.iter().filter_map(|place| self.partitions.get(*place)) {
            list.add_partition(&partition.split.topic, partition.split.partition);
        }
        events.extend(ended.iter().map(|place| SourceEvent::SplitFinished { split: *place }));
        self.consumer
            .incremental_unassign(&list)
            .map_err(|error| Error::new(Code::Io, format!("table {}: leave partitions: {error}", self.table)))
    }

    /// An error of a partition: one that passes is logged, one that can't is the job's.
    fn partition_error(&mut self, place: usize, code: RDKafkaErrorCode, text: &str) -> Result<()> {
        let Some(partition) = self.partitions.get(place).filter(|partition| !partition.ended) else {
            return Ok(());
        };
        let position = Position {
            topic: &partition.split.topic,
            partition: partition.split.partition,
            offset: partition.position,
        };
        match code {
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::LogTruncation
            | RDKafkaErrorCode::OffsetOutOfRange => {
                Err(identity::out_of_range(&self.table, &self.consumer, position, &self.ids()))
            }
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicId => {
                self.consumer.context().warn(&format!("{position}: {text}"));
                self.suspicious = true;
                Ok(())
            }
            code if is_passing(code) => {
                self.consumer.context().warn(&format!("{position}: {text}"));
                Ok(())
            }
            code if is_refusal(code) => Err(Error::new(
                Code::Io,
                format!("table {}: {position}: {text}; check what the user may do", self.table),
            )),
            _ => Err(self.error(&partition.split, &format!("at offset {}: {text}", partition.position))),
        }
    }

    fn error(&self, split: &PartitionSplit, what: &str) -> Error {
        Error::new(
            Code::Io,
            format!(
                "table {}: read topic {}, partition {}: {what}",
                self.table, split.topic, split.partition
            ),
        )
    }
}
