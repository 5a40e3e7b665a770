//! Reading topics as a judge does, and feeding one as the world does.
//!
//! A reader takes rows by partition and offset, at an isolation level, without a group. Nothing here knows what rows mean.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::check::Row;
use crate::workload::{Record, Workload};

/// The longest that a broker may be away.
const LIMIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(100);

/// Which records a reader sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// Those that are committed.
    Committed,
    /// All.
    Uncommitted,
}

fn consumer(brokers: &str, topic: &str, isolation: Isolation) -> BaseConsumer {
    let level = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    };
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", level)
        .set("fetch.wait.max.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .create()
        .expect("a consumer");
    let mut all = TopicPartitionList::new();
    for partition in partitions(&consumer, topic) {
        all.add_partition_offset(topic, partition, Offset::Beginning).expect("the offset is one");
    }
    consumer.assign(&all).expect("the partitions exist");
    consumer
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(5));
        let found = metadata.ok().and_then(|metadata| {
            let topic =
                metadata.topics().iter().find(|entry| entry.name() == topic && entry.error().is_none())?;
            Some(topic.partitions().iter().map(|partition| partition.id()).collect::<Vec<_>>())
        });
        match found {
            Some(partitions) if !partitions.is_empty() => return partitions,
            _ => assert!(Instant::now() < deadline, "the topic {topic} isn't there"),
        }
    }
}

fn row(message: &impl Message) -> Row {
    let value = message.payload().and_then(|payload| serde_json::from_slice(payload).ok());
    Row { partition: message.partition(), offset: message.offset(), value: value.unwrap_or_default() }
}

/// All rows of a topic, in the order of each partition.
pub fn read(brokers: &str, topic: &str, isolation: Isolation) -> Vec<Row> {
    let consumer = consumer(brokers, topic, isolation);
    let mut left: BTreeSet<i32> = partitions(&consumer, topic).into_iter().collect();
    let mut rows = Vec::new();
    let mut deadline = Instant::now() + LIMIT;
    while !left.is_empty() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                rows.push(row(&message));
                deadline = Instant::now() + LIMIT;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(left.remove(&partition)),
            // The client finds its broker again by itself.
            Some(Err(_)) | None => assert!(Instant::now() < deadline, "{topic}: nothing within {LIMIT:?}"),
        }
    }
    rows.sort_by_key(|row| (row.partition, row.offset));
    rows
}

/// Whether a transaction is open in a topic: readers of committed records stand before its first record.
pub fn has_open_transaction(brokers: &str, topic: &str) -> bool {
    let end = |isolation| {
        let consumer = consumer(brokers, topic, isolation);
        let ends = partitions(&consumer, topic).into_iter().map(|partition| {
            let bounds = consumer.fetch_watermarks(topic, partition, LIMIT);
            bounds.map_or(-1, |(_, end)| end)
        });
        ends.collect::<Vec<_>>()
    };
    end(Isolation::Committed) != end(Isolation::Uncommitted)
}

/// A reader of committed records that watches topics from the start on.
pub struct Watcher {
    rows: Arc<Mutex<Vec<Row>>>,
    /// What it has heard last that wasn't a row.
    trouble: Arc<Mutex<Option<KafkaError>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Begins to watch.
    pub fn start(brokers: &str, topic: &str) -> Self {
        let (rows, stop) = (Arc::<Mutex<Vec<Row>>>::default(), Arc::new(AtomicBool::new(false)));
        let trouble = Arc::<Mutex<Option<KafkaError>>>::default();
        let heard = Arc::clone(&trouble);
        let consumer = consumer(brokers, topic, Isolation::Committed);
        let (taken, ended) = (Arc::clone(&rows), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let push = |row: Row| locked(&taken).push(row);
            while !ended.load(Ordering::Relaxed) {
                match consumer.poll(POLL) {
                    Some(Ok(message)) => push(row(&message)),
                    Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                    Some(Err(error)) => *locked(&heard) = Some(error),
                }
            }
        });
        Self { rows, trouble, stop, thread: Some(thread) }
    }

    /// How many rows it has seen.
    pub fn count(&self) -> u64 {
        locked(&self.rows).len() as u64
    }

    /// What it has heard last that wasn't a row.
    pub fn trouble(&self) -> Option<KafkaError> {
        locked(&self.trouble).clone()
    }

    /// Waits until it has seen so many rows, or for as long as that, and ends it.
    pub fn end(mut self, rows: usize, limit: Duration) -> Vec<Row> {
        let deadline = Instant::now() + limit;
        while locked(&self.rows).len() < rows && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        self.stop();
        std::mem::take(&mut *locked(&self.rows))
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a workload's records: half of them at once, the others in time.
pub struct Feeder {
    producer: BaseProducer,
    topic: String,
    partitions: Vec<Vec<Record>>,
}

/// A feeder at work.
pub struct Feeding {
    thread: JoinHandle<()>,
    hurry: Arc<AtomicBool>,
}

impl Feeding {
    /// Writes what is left at once, and waits until the broker has it.
    pub fn finish(self) {
        self.hurry.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

impl Feeder {
    /// A producer that writes each record once, in order, however long its broker is away.
    pub fn new(brokers: &str, topic: &str, workload: &Workload) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "0")
            .set("reconnect.backoff.max.ms", "1000")
            .create()
            .expect("a producer");
        let partitions = (0..workload.partitions).map(|p| workload.partition(p)).collect();
        Self { producer, topic: topic.to_owned(), partitions }
    }

    /// Writes the records of each partition up to this number, and waits until the broker has them.
    pub fn preload(&self, until: u64) {
        let until = usize::try_from(until).unwrap_or(usize::MAX);
        self.partitions
            .iter()
            .flat_map(|records| records.iter().take(until))
            .for_each(|record| self.send(record));
        self.flush();
    }

    /// Writes the others from this number on over so long a time, in a thread of its own, which ends with the last of them.
    pub fn feed(self, from: u64, time: Duration) -> Feeding {
        let hurry = Arc::new(AtomicBool::new(false));
        let hurries = Arc::clone(&hurry);
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            let longest = self.partitions.iter().map(Vec::len).max().unwrap_or(0);
            let steps = u32::try_from(longest.saturating_sub(from)).unwrap_or(u32::MAX).max(1);
            for (step, seq) in (1..).zip(from..longest) {
                self.partitions
                    .iter()
                    .filter_map(|records| records.get(seq))
                    .for_each(|record| self.send(record));
                self.producer.poll(Duration::ZERO);
                if !hurries.load(Ordering::Relaxed) {
                    std::thread::sleep((time * step / steps).saturating_sub(start.elapsed()));
                }
            }
            self.flush();
        });
        Feeding { thread, hurry }
    }

    fn send(&self, record: &Record) {
        let value = serde_json::to_string(record).expect("a record is JSON");
        let mut message: BaseRecord<'_, str, str> =
            BaseRecord::to(&self.topic).payload(value.as_str()).partition(record.p.cast_signed());
        // A full queue: the broker is away or slow.
        while let Err((_, back)) = self.producer.send(message) {
            message = back;
            self.producer.poll(POLL);
        }
    }

    fn flush(&self) {
        self.producer.flush(LIMIT).expect("the broker takes records");
    }
}
