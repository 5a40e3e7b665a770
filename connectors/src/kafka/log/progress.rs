//! The progress topic: how far each transactional id has published what an attempt of a job prepared under it.
//!
//! A compacted topic, of which the first partition is used. A key is `<transactional id>/<job id>/<attempt>`, a value JSON, so that
//! people can read and, where the topic was lost, write it. A record is in the transaction whose output it speaks of.
//!
//! Why by attempt: what one attempt prepared is published in the order of its checkpoints, so the last one says it all. Of two
//! attempts that isn't so: a job may go back behind a savepoint, whose output another job publishes later.
//!
//! Invariant: [`read`], called after init_transactions of an id, sees all that was ever published under that id: it reads all
//! that is committed up to the end of the partition as it is when the call begins, waiting for other writers' open transactions.
//! What isn't there was never published, unless the topic has lost records, which is an error here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use weir_api::error::{Code, Error, Result};

use super::Log;
use super::committable::Header;
use super::limits;
use super::patience::{Patience, SLICE};
use crate::kafka::client::{Consumer, Context, is_passing, is_refusal};
use crate::kafka::native::{self, Queue};

const PARTITION: i32 = 0;
/// Messages taken at once.
const TAKEN: usize = 4096;
const TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// How far an id has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The last checkpoint whose output is published.
    pub checkpoint: u64,
    /// How many records that output had.
    pub records: u64,
}

impl Record {
    /// What a transaction says that publishes this.
    pub fn of(header: &Header) -> Self {
        Self { checkpoint: header.checkpoint, records: header.records }
    }
}

/// The key of an output's progress.
pub fn key(header: &Header) -> String {
    format!("{}/{}/{}", header.transactional_id, header.job, header.attempt)
}

/// All that a progress topic says.
#[derive(Debug)]
pub struct Progress {
    topic: String,
    id: Option<String>,
    /// The first offset that is kept; compaction leaves it 0.
    begins: i64,
    records: HashMap<String, Record>,
}

impl Progress {
    /// Whether an output is published; an error where that can't be known.
    pub fn is_published(&self, table: &str, header: &Header) -> Result<bool> {
        if let Some(record) = self.records.get(&key(header)) {
            return Ok(record.checkpoint >= header.checkpoint);
        }
        match (&header.progress_topic_id, &self.id) {
            (Some(then), Some(now)) if then != now => {
                Err(unknown(table, header, "was deleted and made again"))
            }
            _ if self.begins > 0 => {
                Err(unknown(table, header, &format!("has lost its records before offset {}", self.begins)))
            }
            _ => Ok(false),
        }
    }
}

/// The error where nobody can know whether an output is published.
fn unknown(table: &str, header: &Header, what: &str) -> Error {
    Error::new(
        Code::OutputUnknown,
        format!(
            "table {table}: the progress topic {} {what}, so it can't be known whether the output of checkpoint {} ({} records, prepared under transactional id {}) is in topic {} already: published again it might be there twice, left out it might be lost. Look whether its records are in the topic; then write to {} the key '{}' with the value {{\"checkpoint\":{},\"records\":0}} if they are there, or with the checkpoint before if they aren't, and restart the job",
            header.progress_topic,
            header.checkpoint,
            header.records,
            header.transactional_id,
            header.topics.join(", "),
            header.progress_topic,
            key(header),
            header.checkpoint,
        ),
    )
}

/// Makes the topic if it isn't there; its id, where brokers have ids.
pub fn ensure(log: &Log, io: &Handle, patience: &Patience) -> Result<Option<String>> {
    let (topic, consumer) = (log.progress_topic.as_str(), consumer(log, "read_uncommitted")?);
    let mut made = false;
    let id = loop {
        match state(log, &consumer, topic, patience)? {
            Some(id) => break id,
            None if !made => made = create(log, io, topic, patience)?,
            // It takes a moment until brokers know it.
            None => patience.pause(0),
        }
    };
    check_policy(log, io, topic, patience)?;
    Ok(id)
}

/// The topic's id, if there is such a topic.
fn state(log: &Log, consumer: &Consumer, topic: &str, patience: &Patience) -> Result<Option<Option<String>>> {
    let mut tries = 0;
    loop {
        let code = match native::describe_topics(consumer, &[topic], TIMEOUT) {
            Ok(states) => match states.into_iter().next() {
                None => RDKafkaErrorCode::LeaderNotAvailable,
                Some(state) => match state.error {
                    None => return Ok(Some(state.id)),
                    Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                        return Ok(None);
                    }
                    Some(code) => code,
                },
            },
            Err(code) => code,
        };
        ask_again(log, consumer, topic, code, patience)?;
        patience.pause(tries);
        tries += 1;
    }
}

/// An error unless the question may be asked again.
fn ask_again(
    log: &Log,
    consumer: &Consumer,
    topic: &str,
    code: RDKafkaErrorCode,
    patience: &Patience,
) -> Result<()> {
    // Errors of connections come as events.
    let _ = consumer.poll(Duration::ZERO);
    let said = consumer.context().last_error();
    let is_refused = is_refusal(code) || said.as_ref().is_some_and(|(code, _)| is_refusal(*code));
    let what = || {
        let said = said.as_ref().map_or_else(String::new, |(_, reason)| format!(" ({reason})"));
        format!("table {}: the progress topic {topic} can't be asked for: {code}{said}", log.table)
    };
    if is_refused || !is_passing(code) {
        return Err(Error::new(Code::Io, format!("{}; check what the user may do", what())));
    }
    consumer.context().warn(&what());
    patience.check(what)
}

/// Whether it is made; if not, it is to be tried again.
fn create(log: &Log, io: &Handle, topic: &str, patience: &Patience) -> Result<bool> {
    let admin = limits::admin(log)?;
    let wanted = NewTopic::new(topic, 1, TopicReplication::Fixed(-1))
        .set("cleanup.policy", "compact")
        // What isn't compacted yet is read at every restart: that is to stay small.
        .set("segment.bytes", "16777216")
        .set("segment.ms", "3600000")
        .set("min.cleanable.dirty.ratio", "0.1");
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let made = match io.block_on(admin.create_topics([&wanted], &options)) {
        Ok(answers) => {
            answers.into_iter().next().map_or(Ok(()), |one| one.map(drop).map_err(|(_, code)| code))
        }
        Err(error) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
    };
    match made {
        Ok(()) | Err(RDKafkaErrorCode::TopicAlreadyExists) => {
            tracing::info!(table = %log.table, topic, "made the progress topic");
            Ok(true)
        }
        Err(code) if is_passing(code) => {
            patience
                .check(|| format!("table {}: the progress topic {topic} can't be made: {code}", log.table))?;
            patience.pause(1);
            Ok(false)
        }
        Err(code) => Err(Error::new(
            Code::Io,
            format!(
                "table {}: make the progress topic {topic}: {code}; make it by hand, with one partition and cleanup.policy=compact, or let the user make it; 'sink.exactly-once.progress-topic' may name another",
                log.table
            ),
        )),
    }
}

/// A topic whose records go by age forgets what was published.
fn check_policy(log: &Log, io: &Handle, topic: &str, patience: &Patience) -> Result<()> {
    match limits::setting(log, io, topic, "cleanup.policy", patience)? {
        Some(policy) if policy.trim() != "compact" => Err(Error::new(
            Code::TableOptions,
            format!(
                "table {}: the progress topic {topic} has cleanup.policy={policy}, so it would forget what is published; set cleanup.policy=compact",
                log.table
            ),
        )),
        _ => Ok(()),
    }
}

/// All that a progress topic says up to now; `of` names an output that asks.
pub fn read(log: &Log, of: &Header, patience: &Patience) -> Result<Progress> {
    let topic = of.progress_topic.as_str();
    // Of two kinds: the one sees the end behind open transactions, the other only what is committed.
    let (all, committed) = (consumer(log, "read_uncommitted")?, consumer(log, "read_committed")?);
    let mut tries = 0;
    let (id, begins, end) = loop {
        let Some(id) = state(log, &all, topic, patience)? else {
            return Err(unknown(&log.table, of, "isn't there any more"));
        };
        match all.fetch_watermarks(topic, PARTITION, TIMEOUT) {
            Ok((begins, end)) => break (id, begins, end),
            Err(error) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                ask_again(log, &all, topic, code, patience)?;
                patience.pause(tries);
                tries += 1;
            }
        }
    };
    let mut progress = Progress { topic: topic.to_owned(), id, begins, records: HashMap::new() };
    if begins < end {
        progress.fill(log, Arc::new(committed), end, patience)?;
    }
    Ok(progress)
}

impl Progress {
    fn fill(&mut self, log: &Log, consumer: Arc<Consumer>, end: i64, patience: &Patience) -> Result<()> {
        let no_memory = || Error::internal("librdkafka has no memory for a queue");
        let queue = Queue::new(Arc::clone(&consumer)).ok_or_else(no_memory)?;
        let mut list = TopicPartitionList::with_capacity(1);
        let listed = list.add_partition_offset(&self.topic, PARTITION, Offset::Beginning).is_ok();
        let forwarded = queue.take_from(&self.topic, PARTITION);
        if !(listed && forwarded) || consumer.assign(&list).is_err() {
            return Err(Error::internal(format!("the progress topic {} can't be assigned", self.topic)));
        }
        let mut position = self.begins;
        let mut messages = queue.messages();
        while position < end {
            let _ = consumer.poll(Duration::ZERO);
            messages.clear();
            let count = queue.receive(&mut messages, TAKEN);
            for message in (0..count).filter_map(|index| messages.get(index)) {
                match message.error() {
                    None => {
                        position = message.offset() + 1;
                        self.take(log, message.key(), message.value(), message.offset())?;
                    }
                    // Marks of transactions are no messages: only the end tells that they are passed.
                    Some(RDKafkaErrorCode::PartitionEOF) => position = position.max(message.offset()),
                    Some(code) => ask_again(log, &consumer, &self.topic, code, patience)?,
                }
            }
            if count == 0 {
                patience.check(|| {
                    format!(
                        "table {}: progress topic {}: what is committed hasn't come up to offset {end}, which it must to know what is published: it stands at {position} (another writer's transaction may be open; it ends by its transaction.timeout.ms)",
                        log.table, self.topic
                    )
                })?;
                std::thread::sleep(PAUSE.min(SLICE));
            }
        }
        Ok(())
    }

    fn take(&mut self, log: &Log, key: Option<&[u8]>, value: Option<&[u8]>, offset: i64) -> Result<()> {
        let Some(key) = key.and_then(|key| std::str::from_utf8(key).ok()) else { return Ok(()) };
        let Some(value) = value else {
            self.records.remove(key);
            return Ok(());
        };
        let record: Record = serde_json::from_slice(value).map_err(|error| {
            Error::new(
                Code::OutputUnknown,
                format!(
                    "table {}: progress topic {}, offset {offset}, key '{key}': this is no progress record, so it can't be known what is published; mend it by writing another one under the key",
                    log.table, self.topic
                ),
            )
            .with_source(error)
        })?;
        self.records.insert(key.to_owned(), record);
        Ok(())
    }
}

fn consumer(log: &Log, isolation: &str) -> Result<Consumer> {
    let mut config = log.properties.consumer(ClientConfig::new());
    config
        .set("client.id", format!("weir-{}-progress", log.table))
        .set("group.id", format!("weir-{}-progress", log.table))
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "20")
        .set("reconnect.backoff.max.ms", "2000");
    config.create_with_context(Context::new(&log.table)).map_err(|error| log.properties.client_error(&error))
}
