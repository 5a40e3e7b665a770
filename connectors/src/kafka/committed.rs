//! Reads the committed records of a topic outside any job, for those who check what is in it.
//!
//! Invariant: each partition is read from its first record to what was its end at the beginning, in the order of its log, one
//! partition after the other; what can't be read is an error, never left out. Blocks. It doesn't know what records mean.
#![expect(clippy::disallowed_methods, reason = "the edge, where waiting for a broker has a deadline")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use weir_api::error::{Code, Error, Result};
use weir_proto::v1::TableSpec;

use super::OPTIONS;
use super::client::{Consumer, Context, is_passing, is_refusal};
use super::discovery::Discovery;
use super::properties::Properties;
use super::range::Bound;
use super::split::PartitionSplit;
use super::topics::Topics;
use crate::options::Options;

const POLL: Duration = Duration::from_millis(100);

/// A record where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its value; none for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Shows each committed record of `topic` to `each`. `options` are those of a table: `properties.*`.
pub fn read_committed(
    topic: &str,
    options: &BTreeMap<String, String>,
    each: &mut dyn FnMut(Record<'_>),
) -> Result<()> {
    let mut options = options.clone();
    options.insert("topic".to_owned(), topic.to_owned());
    options.insert("properties.isolation.level".to_owned(), "read_committed".to_owned());
    let table = TableSpec {
        name: topic.to_owned(),
        connector: "kafka".to_owned(),
        options: options.into_iter().collect(),
        ..TableSpec::default()
    };
    let options = Options::new(&table, OPTIONS);
    let properties = Properties::of(&options)?;
    let discovery = Discovery {
        table: table.name.clone(),
        properties: properties.clone(),
        topics: Topics::of(&options)?,
        start: Bound::Earliest,
        end: Some(Bound::Latest),
    };
    let partitions = discovery.first()?;
    let consumer = consumer(&table.name, &properties)?;
    partitions.iter().try_for_each(|partition| read(&consumer, partition, &properties, each))
}

fn consumer(table: &str, properties: &Properties) -> Result<Consumer> {
    let mut config = properties.consumer(ClientConfig::new());
    config
        // Nobody joins it: partitions are assigned by hand, and nothing is committed.
        .set("group.id", properties.group_id.as_deref().unwrap_or("weir-verify"))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error");
    config.create_with_context(Context::new(table)).map_err(|error| properties.client_error(&error))
}

fn read(
    consumer: &Consumer,
    split: &PartitionSplit,
    properties: &Properties,
    each: &mut dyn FnMut(Record<'_>),
) -> Result<()> {
    let PartitionSplit { topic, partition, start, end, .. } = split;
    let end = end.unwrap_or(i64::MAX);
    if *start >= end {
        return Ok(());
    }
    let mut position = *start;
    let failed = |position: i64, why: String| {
        let what = format!(
            "read topic {topic}, partition {partition}, offset {position} at {}: {why}",
            properties.brokers()
        );
        Error::new(Code::Io, what)
    };
    let mut one = TopicPartitionList::new();
    let assigned = one
        .add_partition_offset(topic, *partition, Offset::Offset(*start))
        .and_then(|()| consumer.assign(&one));
    assigned.map_err(|error| failed(position, error.to_string()))?;
    let mut heard = Instant::now();
    while position < end {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                if message.partition() != *partition || message.offset() < position {
                    continue;
                }
                if message.offset() < end {
                    let offset = message.offset();
                    each(Record { partition: *partition, offset, value: message.payload() });
                }
                position = message.offset() + 1;
            }
            // What is left are marks of transactions, which aren't shown.
            Some(Err(KafkaError::PartitionEOF(ended))) if ended == *partition => return Ok(()),
            Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                if is_refusal(code) || !is_passing(code) {
                    return Err(failed(position, error.to_string()));
                }
            }
            None => {}
        }
        if heard.elapsed() > properties.api_timeout {
            let said = consumer.context().last_error().map_or_else(|| "no answer".to_owned(), |(_, why)| why);
            return Err(failed(position, said));
        }
    }
    Ok(())
}
