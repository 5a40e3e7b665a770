//! What a test does with a topic: create, grow, fill, read, shorten, delete.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::{Kafka, LIMIT, wait_until};
use crate::topics::has_open_transaction;

/// What the producer's queue may hold.
const QUEUED_KBYTES: &str = "131072";
/// How often it is looked for the end of a transaction.
const LOOKS: usize = 500;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// A record, to be written or as it was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// None: whichever the key, or chance, decides.
    pub partition: Option<i32>,
    /// None: whichever the broker gives.
    pub offset: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// None: a tombstone.
    pub value: Option<Vec<u8>>,
    /// In milliseconds; None: now.
    pub timestamp: Option<i64>,
    /// Its headers, in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// A record that is only a value.
    pub fn of(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// The same in this partition.
    pub fn into_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }
}

/// A topic of a running cluster. It isn't deleted when it is dropped: the brokers' folder goes as a whole.
pub struct Topic<'a> {
    kafka: &'a Kafka,
    /// Its name.
    pub name: String,
}

impl<'a> Topic<'a> {
    /// A name that no other test of this process uses.
    pub fn fresh_name(stem: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("{stem}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Creates a topic with a name of its own and waits until it can be used.
    pub fn create(kafka: &'a Kafka, stem: &str, partitions: i32) -> Self {
        Self::create_as(kafka, &Self::fresh_name(stem), partitions, &[])
    }

    /// Creates a topic with this name and these settings (`retention.ms` and the like).
    pub fn create_as(kafka: &'a Kafka, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Self {
        let replicas = i32::try_from(kafka.len()).expect("few brokers");
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let answer = block_on(kafka.admin().create_topics([&topic], &options())).expect("the brokers answer");
        assert!(answer.iter().all(Result::is_ok), "{name}: {answer:?}");
        let topic = Self { kafka, name: name.to_owned() };
        topic.wait_for_partitions(partitions);
        topic
    }

    /// A topic that somebody else has created.
    pub fn named(kafka: &'a Kafka, name: &str) -> Self {
        Self { kafka, name: name.to_owned() }
    }

    /// Adds partitions until there are so many.
    pub fn grow(&self, partitions: i32) {
        let count = usize::try_from(partitions).expect("a count");
        let admin = self.kafka.admin();
        let growth = NewPartitions::new(&self.name, count);
        let answer = block_on(admin.create_partitions([&growth], &options())).expect("the brokers answer");
        assert!(answer.iter().all(Result::is_ok), "{}: {answer:?}", self.name);
        self.wait_for_partitions(partitions);
    }

    /// Deletes the topic and waits until it is gone.
    pub fn delete(&self) {
        let answer = block_on(self.kafka.admin().delete_topics(&[&self.name], &options()));
        let answer = answer.expect("the brokers answer");
        assert!(answer.iter().all(Result::is_ok), "{}: {answer:?}", self.name);
        wait_until("the topic is gone", || self.led_partitions().is_none());
    }

    /// Deletes what stands before an offset of a partition, as retention does.
    pub fn delete_before(&self, partition: i32, offset: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(&self.name, partition, Offset::Offset(offset))
            .expect("the offset is one");
        let answer = block_on(self.kafka.admin().delete_records(&offsets, &options()));
        for element in answer.expect("the brokers answer").elements() {
            element.error().unwrap_or_else(|error| panic!("{} {partition}: {error}", self.name));
        }
    }

    /// Writes records and waits until all brokers that must have them do.
    pub fn produce(&self, records: impl IntoIterator<Item = Record>) {
        let producer: BaseProducer = self
            .kafka
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.kbytes", QUEUED_KBYTES)
            .set("partitioner", "murmur2_random")
            .create()
            .expect("a producer");
        for record in records {
            self.send(&producer, &record);
        }
        producer.flush(LIMIT).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert_eq!(producer.in_flight_count(), 0);
    }

    fn send(&self, producer: &BaseProducer, record: &Record) {
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.name);
        if let Some(key) = &record.key {
            message = message.key(key);
        }
        if let Some(value) = &record.value {
            message = message.payload(value);
        }
        if let Some(partition) = record.partition {
            message = message.partition(partition);
        }
        if let Some(timestamp) = record.timestamp {
            message = message.timestamp(timestamp);
        }
        if !record.headers.is_empty() {
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: value.as_ref() })
            });
            message = message.headers(headers);
        }
        while let Err((error, back)) = producer.send(message) {
            let is_full = matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            assert!(is_full, "{}: {error}", self.name);
            message = back;
            producer.poll(Duration::from_millis(10));
        }
    }

    /// The first and the next offset of each partition.
    pub fn offsets(&self) -> Vec<(i64, i64)> {
        let consumer: BaseConsumer = self.kafka.client().create().expect("a consumer");
        let count = self.led_partitions().unwrap_or_else(|| panic!("{} exists", self.name));
        (0..count)
            .map(|partition| {
                consumer.fetch_watermarks(&self.name, partition, LIMIT).expect("the broker answers")
            })
            .collect()
    }

    /// How many records there are.
    pub fn count(&self) -> u64 {
        self.offsets().iter().map(|(first, next)| u64::try_from(next - first).unwrap_or(0)).sum()
    }

    /// Waits until no transaction is open: brokers mark its end in the partitions only after they have told who committed it.
    /// One that stays open isn't waited for longer than some seconds.
    pub fn settle(&self) {
        for _ in 0..LOOKS {
            if !has_open_transaction(self.kafka.bootstrap(), &self.name) {
                return;
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Reads all that stands in the topic now, partition by partition interleaved as the brokers give it.
    pub fn read(&self) -> Vec<Record> {
        let mut records = Vec::new();
        self.for_each(|record| records.push(record));
        records
    }

    /// Writes every value as a line; answers how many there are.
    pub fn write_lines(&self, output: &mut impl std::io::Write) -> u64 {
        let mut count = 0;
        self.for_each(|record| {
            output.write_all(&record.value.unwrap_or_default()).expect("the file is writable");
            output.write_all(b"\n").expect("the file is writable");
            count += 1;
        });
        count
    }

    fn for_each(&self, mut take: impl FnMut(Record)) {
        let mut left: HashMap<i32, i64> = HashMap::new();
        let mut assignment = TopicPartitionList::new();
        for (partition, (first, next)) in (0..).zip(self.offsets()) {
            if first < next {
                left.insert(partition, next);
                assignment
                    .add_partition_offset(&self.name, partition, Offset::Offset(first))
                    .expect("the offset is one");
            }
        }
        // Assigned by hand, so that no group is needed nor made.
        let consumer: BaseConsumer = self
            .kafka
            .client()
            .set("group.id", "unused")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer");
        consumer.assign(&assignment).expect("the partitions exist");
        while !left.is_empty() {
            let message = match consumer.poll(LIMIT) {
                Some(Ok(message)) => message,
                // A transaction's end takes an offset but is no record.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    left.remove(&partition);
                    continue;
                }
                // A broker that is away: the client finds the next leader by itself.
                Some(Err(error))
                    if matches!(
                        error.rdkafka_error_code(),
                        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown)
                    ) =>
                {
                    continue;
                }
                Some(Err(error)) => panic!("{}: {error}", self.name),
                None => panic!("{}: nothing within {LIMIT:?}, left: {left:?}", self.name),
            };
            let (partition, offset) = (message.partition(), message.offset());
            let end = left.get(&partition).copied().unwrap_or(0);
            if offset < end {
                take(owned(&message));
            }
            if offset + 1 >= end {
                left.remove(&partition);
            }
        }
    }

    fn wait_for_partitions(&self, partitions: i32) {
        wait_until(&format!("{} has leaders", self.name), || self.led_partitions() == Some(partitions));
    }

    /// How many partitions have a leader; None if the topic doesn't exist.
    fn led_partitions(&self) -> Option<i32> {
        let consumer: BaseConsumer = self.kafka.client().create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(&self.name), LIMIT).ok()?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.name)?;
        if topic.error().is_some() || topic.partitions().is_empty() {
            return None;
        }
        let led = topic.partitions().iter().filter(|partition| partition.leader() >= 0).count();
        Some(i32::try_from(led).expect("few partitions"))
    }
}

fn owned(message: &impl Message) -> Record {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    });
    Record {
        partition: Some(message.partition()),
        offset: Some(message.offset()),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        timestamp: message.timestamp().to_millis(),
        headers: headers.unwrap_or_default(),
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(LIMIT)).operation_timeout(Some(LIMIT))
}
