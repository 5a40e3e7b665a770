//! Rows into a producer: routes, and waits where there is no room or no answer yet.
//!
//! Invariant: `prepare` ends only when brokers have acknowledged every record, or with an error; so does a flush, where the
//! table's guarantee asks for it. Runs on the I/O runtime's threads, where waiting is allowed; cancelled, it stops waiting at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};
use tokio::runtime::Handle;
use weir_api::Batch;
use weir_api::error::{Error, Result};
use weir_api::metrics::OperatorMetrics;
use weir_api::sink::Committable;

use super::layout::Layout;
use super::lookup::{self, check_cancelled};
use super::producer::{Deliveries, Producer, undelivered};
use super::properties::Properties;
use super::router::{Partitioner, Router};
use super::rows::{Headers, Rows};
use crate::handover::Destination;

/// How long one wait for room or answers takes at most: errors and a cancel are noticed in between.
const WAIT: Duration = Duration::from_millis(20);

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

/// See the module.
pub struct Outlet {
    parts: Parts,
    rows: Rows,
    /// Made by the first write, which may block.
    producer: Option<Producer>,
}

impl Outlet {
    /// An outlet that hasn't connected yet.
    pub fn new(parts: Parts) -> Result<Self> {
        let rows = Rows::new(Arc::clone(&parts.layout), parts.topics.clone())?;
        Ok(Self { rows, parts, producer: None })
    }

    /// The producer, connected, its topics found.
    fn connect(&mut self) -> Result<()> {
        if self.producer.is_some() {
            return Ok(());
        }
        let Parts { config, properties, partitioner, subtask, cancelled, layout, .. } = &self.parts;
        let producer: Producer = config
            .create_with_context(Deliveries::new(&layout.table))
            .map_err(|error| properties.client_error(&error))?;
        let routers = self.rows.topics().iter().map(|topic| {
            let partitions = lookup::partitions(&layout.table, properties, &producer, topic, cancelled)?;
            Ok(Router::new(*partitioner, partitions, *subtask))
        });
        let routers = routers.collect::<Result<_>>()?;
        self.rows.route_by(routers);
        self.producer = Some(producer);
        Ok(())
    }

    /// The error of a record that brokers didn't take.
    fn check_deliveries(&self, producer: &Producer) -> Result<()> {
        check(self.rows.table(), producer, &self.parts.cancelled)
    }

    fn send_batch(&mut self, batch: &Batch) -> Result<()> {
        let producer =
            self.producer.as_ref().ok_or_else(|| Error::internal("a sink without its producer"))?;
        let (table, cancelled) = (&self.parts.layout.table, &self.parts.cancelled);
        let topics = &self.parts.topics;
        let bytes = self.rows.each(batch, |row| {
            let mut record = BaseRecord::<[u8], [u8]>::to(topics.get(row.topic).map_or("", String::as_str));
            record.payload = row.value;
            record.key = row.key;
            record.partition = row.partition;
            record.timestamp = row.timestamp;
            record.headers = row.headers.map(owned_headers);
            send(table, producer, record, cancelled)
        })?;
        self.parts.metrics.num_bytes_out.add(bytes as u64);
        Ok(())
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

fn check(table: &str, producer: &Producer, cancelled: &AtomicBool) -> Result<()> {
    check_cancelled(cancelled)?;
    match producer.context().failed() {
        Some((code, place)) => Err(undelivered(table, code, &place)),
        None => Ok(()),
    }
}

/// Gives a record to librdkafka, waiting for room.
fn send(
    table: &str,
    producer: &Producer,
    mut record: BaseRecord<'_, [u8], [u8]>,
    cancelled: &AtomicBool,
) -> Result<()> {
    loop {
        let (error, back) = match producer.send(record) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        if code != RDKafkaErrorCode::QueueFull {
            check(table, producer, cancelled)?;
            let place = match back.partition {
                Some(partition) => format!("topic {}, partition {partition}", back.topic),
                None => format!("topic {}", back.topic),
            };
            return Err(undelivered(table, code, &place));
        }
        record = back;
        producer.poll(WAIT);
        check(table, producer, cancelled)?;
    }
}

fn owned_headers(headers: Headers<'_>) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (key, value)| {
        all.insert(Header { key, value })
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
