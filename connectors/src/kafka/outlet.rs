//! Rows into a producer: encodes, routes, and waits where there is no room or no answer yet.
//!
//! Invariant: `prepare` ends only when brokers have acknowledged every record, or with an error; so does a flush, where the
//! table's guarantee asks for it. Runs on the I/O runtime's threads, where waiting is allowed; cancelled, it stops waiting at once.
#![expect(clippy::disallowed_methods, reason = "the edge, where waiting for a topic has a deadline")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StringArray, TimestampMillisecondArray};
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use tokio::runtime::Handle;
use weir_api::Batch;
use weir_api::error::{Code, Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::sink::Committable;

use super::client::{Context, is_passing};
use super::layout::{Layout, Part};
use super::metadata::{self, Key as MetadataKey};
use super::properties::Properties;
use super::router::{Partitioner, Router};
use crate::formats::record::{RecordEncoder, Records};
use crate::handover::Destination;

/// How long one wait for room or answers takes at most: errors and a cancel are noticed in between.
const WAIT: Duration = Duration::from_millis(20);
/// How long a topic that isn't there may take to be made by the broker.
const CREATION: Duration = Duration::from_secs(10);

/// Hears what becomes of records.
struct Deliveries {
    context: Context,
    failed: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let place = format!("topic {}, partition {}", message.topic(), message.partition());
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((code, place));
    }
}

type Producer = BaseProducer<Deliveries>;

/// What an outlet is made of.
pub struct Parts {
    /// The table's columns.
    pub layout: Arc<Layout>,
    /// How to reach the cluster.
    pub properties: Properties,
    /// The producer's settings.
    pub config: ClientConfig,
    /// The topics that may be written.
    pub topics: Vec<String>,
    /// Where records go.
    pub partitioner: Partitioner,
    /// Which instance this is.
    pub subtask: u32,
    /// The operator's counters.
    pub metrics: Arc<OperatorMetrics>,
    /// Whether a flush waits for acknowledgements.
    pub waits: bool,
    /// Set when nobody waits any more.
    pub cancelled: Arc<AtomicBool>,
    /// Where the producer is closed.
    pub io: Handle,
}

struct Encoded {
    encoder: Box<dyn RecordEncoder>,
    columns: Vec<usize>,
    records: Records,
}

impl Encoded {
    fn new(table: &str, part: &Part) -> Result<Self> {
        let schema = Arc::new(arrow::datatypes::Schema::new(part.fields.clone()));
        let encoder = part.format.encoder(table, schema)?;
        Ok(Self { encoder, columns: part.columns.clone(), records: Records::default() })
    }

    fn encode(&mut self, batch: &Batch) -> Result<()> {
        let columns: Vec<ArrayRef> =
            self.columns.iter().map(|place| batch.records().column(*place).clone()).collect();
        self.records.clear();
        self.encoder.encode(&columns, batch.num_rows(), &mut self.records)
    }
}

/// See the module.
pub struct Outlet {
    parts: Parts,
    value: Encoded,
    key: Option<Encoded>,
    /// Made by the first write, which may block.
    producer: Option<Producer>,
    routers: HashMap<String, Router>,
}

/// The writable metadata columns of a batch.
#[derive(Default)]
struct Beside {
    topic: Option<StringArray>,
    timestamp: Option<TimestampMillisecondArray>,
    headers: Option<MapArray>,
}

impl Outlet {
    /// An outlet that hasn't connected yet.
    pub fn new(parts: Parts) -> Result<Self> {
        let table = &parts.layout.table;
        let value = Encoded::new(table, &parts.layout.value)?;
        let key = parts.layout.key.as_ref().map(|key| Encoded::new(table, key)).transpose()?;
        Ok(Self { value, key, parts, producer: None, routers: HashMap::new() })
    }

    fn table(&self) -> &str {
        &self.parts.layout.table
    }

    /// The producer, connected, its topics found.
    fn connect(&mut self) -> Result<()> {
        if self.producer.is_some() {
            return Ok(());
        }
        let context = Deliveries { context: Context::new(self.table()), failed: Mutex::default() };
        let producer: Producer = self
            .parts
            .config
            .create_with_context(context)
            .map_err(|error| self.parts.properties.client_error(&error))?;
        for topic in &self.parts.topics {
            let partitions = self.partitions(&producer, topic)?;
            let router = Router::new(self.parts.partitioner, partitions, self.parts.subtask);
            self.routers.insert(topic.clone(), router);
        }
        self.producer = Some(producer);
        Ok(())
    }

    /// How many partitions a topic has. Waits for brokers; and for a topic that isn't there, as some brokers make it when asked.
    fn partitions(&self, producer: &Producer, topic: &str) -> Result<i32> {
        let started = Instant::now();
        loop {
            self.check_cancelled()?;
            let answer = producer.client().fetch_metadata(Some(topic), Duration::from_secs(5));
            let code = match &answer {
                Ok(metadata) => match metadata.topics().first() {
                    Some(found) if found.error().is_none() && !found.partitions().is_empty() => {
                        return Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX));
                    }
                    Some(found) => found.error().map_or(RDKafkaErrorCode::LeaderNotAvailable, Into::into),
                    None => RDKafkaErrorCode::UnknownTopicOrPartition,
                },
                Err(error) => error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
            };
            producer.poll(Duration::ZERO);
            match code {
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                    if started.elapsed() > CREATION {
                        return Err(Error::new(
                            Code::NotFound,
                            format!(
                                "table {}: there is no topic '{topic}' at {}; create it, or mend the option 'topic'",
                                self.table(),
                                self.parts.properties.brokers()
                            ),
                        ));
                    }
                }
                code if is_passing(code) && !self.is_refused(producer) => {
                    producer.context().context.warn(&format!("look up topic '{topic}': {code}"));
                }
                code => return Err(self.refused(producer, &format!("look up topic '{topic}': {code}"))),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn is_refused(&self, producer: &Producer) -> bool {
        let said = producer.context().context.last_error();
        said.is_some_and(|(code, _)| code == RDKafkaErrorCode::Authentication)
    }

    fn refused(&self, producer: &Producer, what: &str) -> Error {
        let reason =
            producer.context().context.last_error().map_or_else(String::new, |(_, why)| format!(": {why}"));
        Error::new(
            Code::Io,
            format!(
                "table {}: {what}{reason}; check the security properties and what the user may do",
                self.table()
            ),
        )
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.parts.cancelled.load(Ordering::Relaxed) {
            return Err(Error::internal("writing to Kafka was cancelled"));
        }
        Ok(())
    }

    /// The error of a record that brokers didn't take.
    fn check_deliveries(&self, producer: &Producer) -> Result<()> {
        self.check_cancelled()?;
        let failed = producer.context().failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match failed {
            Some((code, place)) => Err(self.undelivered(code, &place)),
            None => Ok(()),
        }
    }

    fn undelivered(&self, code: RDKafkaErrorCode, place: &str) -> Error {
        let (kind, what_to_do) = match code {
            RDKafkaErrorCode::MessageSizeTooLarge => (
                Code::RecordTooLarge,
                "raise 'properties.max.request.size' here and max.message.bytes of the topic, or write smaller records",
            ),
            RDKafkaErrorCode::MessageTimedOut => (
                Code::Io,
                "no broker took it within 'properties.delivery.timeout.ms'; look after the brokers",
            ),
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition => {
                (Code::NotFound, "the topic isn't there (any more); create it")
            }
            _ => (Code::Io, "look after the brokers and what the user may do"),
        };
        Error::new(kind, format!("table {}: write to {place}: {code}; {what_to_do}", self.table()))
    }

    fn send_batch(&mut self, batch: &Batch) -> Result<()> {
        self.value.encode(batch)?;
        if let Some(key) = &mut self.key {
            key.encode(batch)?;
        }
        let beside = self.beside(batch)?;
        let mut bytes = 0;
        let mut routers = std::mem::take(&mut self.routers);
        for router in routers.values_mut() {
            router.start();
        }
        let only = self.parts.topics.first().map_or("", String::as_str);
        for row in 0..batch.num_rows() {
            let topic = match &beside.topic {
                Some(topics) => self.topic(topics, row)?,
                None => only,
            };
            let value = self.value.records.get(row);
            let key = self.key.as_ref().and_then(|key| key.records.get(row));
            bytes += value.map_or(0, <[u8]>::len) + key.map_or(0, <[u8]>::len);
            let mut record = BaseRecord::<[u8], [u8]>::to(topic);
            record.payload = value;
            record.key = key;
            record.partition = routers.get_mut(topic).and_then(Router::route);
            record.timestamp = beside
                .timestamp
                .as_ref()
                .filter(|timestamps| timestamps.is_valid(row))
                .map(|timestamps| timestamps.value(row));
            if let Some(headers) = beside.headers.as_ref().filter(|headers| headers.is_valid(row)) {
                record.headers = Some(owned_headers(headers, row));
            }
            self.send(record)?;
        }
        self.routers = routers;
        self.parts.metrics.num_bytes_out.add(bytes as u64);
        Ok(())
    }

    /// Gives a record to librdkafka, waiting for room.
    fn send(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
        let producer =
            self.producer.as_ref().ok_or_else(|| Error::internal("a sink without its producer"))?;
        loop {
            let (error, back) = match producer.send(record) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            if code != RDKafkaErrorCode::QueueFull {
                self.check_deliveries(producer)?;
                let place = match back.partition {
                    Some(partition) => format!("topic {}, partition {partition}", back.topic),
                    None => format!("topic {}", back.topic),
                };
                return Err(self.undelivered(code, &place));
            }
            record = back;
            producer.poll(WAIT);
            self.check_deliveries(producer)?;
        }
    }

    fn topic<'a>(&'a self, topics: &StringArray, row: usize) -> Result<&'a str> {
        let wanted = if topics.is_valid(row) { topics.value(row) } else { "NULL" };
        self.parts.topics.iter().find(|topic| *topic == wanted).map(String::as_str).ok_or_else(|| {
            Error::new(
                Code::Evaluation,
                format!(
                    "table {}: a row's topic is '{wanted}', which isn't among those of the option 'topic': {}",
                    self.table(),
                    self.parts.topics.join(", ")
                ),
            )
        })
    }

    fn beside(&self, batch: &Batch) -> Result<Beside> {
        let mut beside = Beside::default();
        for (place, key) in &self.parts.layout.metadata {
            let column = batch.records().column(*place);
            match key {
                MetadataKey::Topic => beside.topic = Some(metadata::written(column, "topic")?),
                MetadataKey::Timestamp => beside.timestamp = Some(metadata::written(column, "timestamp")?),
                MetadataKey::Headers => beside.headers = Some(metadata::written(column, "headers")?),
                other => return Err(Error::internal(format!("metadata {other:?} can't be written"))),
            }
        }
        Ok(beside)
    }

    /// Waits until every record is acknowledged.
    fn drain(&mut self) -> Result<()> {
        let Some(producer) = &self.producer else { return Ok(()) };
        loop {
            let flushed = producer.flush(WAIT);
            // The report of a failure comes as an event.
            producer.poll(Duration::ZERO);
            self.check_deliveries(producer)?;
            if flushed.is_ok() && producer.in_flight_count() == 0 {
                return Ok(());
            }
        }
    }
}

fn owned_headers(headers: &MapArray, row: usize) -> OwnedHeaders {
    let entries = headers.value(row);
    let (names, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_binary::<i32>());
    (0..entries.len()).fold(OwnedHeaders::new_with_capacity(entries.len()), |all, entry| {
        let value = values.is_valid(entry).then(|| values.value(entry));
        all.insert(Header { key: names.value(entry), value })
    })
}

impl Destination for Outlet {
    fn write(&mut self, batches: Vec<Batch>) -> Result<()> {
        self.connect()?;
        for batch in &batches {
            self.send_batch(batch)?;
        }
        let Some(producer) = &self.producer else { return Ok(()) };
        producer.poll(Duration::ZERO);
        self.check_deliveries(producer)
    }

    fn flush(&mut self) -> Result<()> {
        if self.parts.waits { self.drain() } else { Ok(()) }
    }

    fn prepare(&mut self) -> Result<Vec<Committable>> {
        self.drain()?;
        Ok(Vec::new())
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // Closing takes a while, and the last one may go on a slot's thread.
        if let Some(producer) = self.producer.take() {
            self.parts.io.spawn_blocking(move || drop(producer));
        }
    }
}
