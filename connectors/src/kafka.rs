//! `kafka`: topics read and written, under the options of Flink's connector.
//!
//! Reading: the JobManager finds the partitions and turns the table's bounds into offsets; each is a split, and watermarks are
//! per partition. A reader has one consumer, whose partitions are assigned by hand: no consumer group is involved. What was to
//! be read and is gone fails the job; a broker that is away is waited for.
//!
//! Writing: at least once, by an idempotent producer per subtask; or exactly once, in transactions that follow checkpoints.
//!
//! Read next: [`discovery`](self) for offsets, `fetch` for what a reader does, `outlet` for what a writer does; docs/kafka.md
//! for what users are promised.

mod client;
mod committed;
mod decode;
mod discovery;
mod fetch;
mod identity;
mod layout;
mod log;
mod lookup;
mod metadata;
mod native;
mod outlet;
mod producer;
mod properties;
mod range;
mod reader;
mod report;
mod router;
mod rows;
mod sink;
mod source;
mod split;
mod topics;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::committed::{Record, read_committed};

use weir_api::connector::{Connector, MetadataDescription, OptionDescription};
use weir_api::error::Result;
use weir_api::sink::Sink;
use weir_api::source::Source;
use weir_proto::v1::TableSpec;

use crate::formats::options as format_options;
use crate::on_error;
use crate::options::Options;

const fn option(
    key: &'static str,
    default: Option<&'static str>,
    description: &'static str,
) -> OptionDescription {
    OptionDescription { key, required: false, default, description }
}

const OWN_OPTIONS: &[OptionDescription] = &[
    option(
        "topic",
        None,
        "The topic; to read several, with ';' between. To write several, a column METADATA FROM 'topic' says which of them each row goes to.",
    ),
    option(
        "topic-pattern",
        None,
        "Reading, instead of 'topic': all topics whose whole name matches this regular expression.",
    ),
    option(
        "properties.bootstrap.servers",
        None,
        "Needed: the brokers to ask first, host:port with commas between.",
    ),
    option(
        "properties.group.id",
        None,
        "The consumer group whose committed offsets 'group-offsets' means, and whose offsets are committed with each completed checkpoint, for those who watch its lag. Partitions are assigned by the job, never by the group.",
    ),
    option(
        "properties.*",
        None,
        "Properties for the Kafka clients, under Java's or librdkafka's names: those that docs/kafka.md lists.",
    ),
    option("format", None, "The format of values: json. This or 'value.format' is needed."),
    option("value.format", None, "The same as 'format'; its own options are then prefixed with 'value.'."),
    option(
        "key.format",
        None,
        "The format of keys, with options of its own prefixed with 'key.'. Without it, keys aren't read, and none are written.",
    ),
    option("key.fields", None, "The columns of the key, with ';' between; needed with 'key.format'."),
    option(
        "key.fields-prefix",
        Some(""),
        "What the names of the key's columns start with in the table and not in the key, where key and value have fields of one name. Needs 'value.fields-include' = 'EXCEPT_KEY'.",
    ),
    option(
        "value.fields-include",
        Some("ALL"),
        "Which columns the value holds: ALL, or EXCEPT_KEY for all but the key's.",
    ),
    option(
        "scan.startup.mode",
        Some("group-offsets"),
        "Where reading begins: group-offsets (what 'properties.group.id' has committed; where there is nothing, 'properties.auto.offset.reset' = 'earliest' or 'latest' decides), earliest-offset, latest-offset, timestamp or specific-offsets. It is turned into offsets when the job is submitted.",
    ),
    option(
        "scan.startup.specific-offsets",
        None,
        "With specific-offsets: partition:0,offset:42;partition:1,offset:300. Partitions that aren't named begin at the group's offset, else at their first record.",
    ),
    option(
        "scan.startup.timestamp-millis",
        None,
        "With timestamp: milliseconds since 1970-01-01 00:00 UTC; the first record that isn't older begins.",
    ),
    option(
        "scan.bounded.mode",
        Some("unbounded"),
        "Where reading ends: unbounded (never), latest-offset (the end when the job is submitted), group-offsets, timestamp or specific-offsets.",
    ),
    option(
        "scan.bounded.specific-offsets",
        None,
        "With specific-offsets: for every partition the first offset that isn't read.",
    ),
    option(
        "scan.bounded.timestamp-millis",
        None,
        "With timestamp: the first record that isn't older isn't read any more.",
    ),
    option(
        "scan.topic-partition-discovery.interval",
        Some("5 min"),
        "How often to look for new partitions, and new topics of a pattern, which are then read from their first record; 0: never. A bounded scan doesn't look.",
    ),
    on_error::OPTION,
    option(
        "sink.partitioner",
        Some("default"),
        "Where records go: default (by the hash of the key as Java's client computes it; without a key, a partition at a time), fixed (each subtask to one partition), round-robin (all partitions in turn; not with keys).",
    ),
    option(
        "sink.delivery-guarantee",
        Some("at-least-once"),
        "exactly-once: the output of each checkpoint is published when it is complete, in a transaction; needs checkpoints, and readers with isolation.level=read_committed. at-least-once: nothing is lost, and after a restart records may be written again; none: a flush doesn't wait for acknowledgements.",
    ),
    option(
        "sink.transactional-id-prefix",
        None,
        "With exactly-once, what transactional ids begin with; the operator's uid and the subtask follow. By default weir- and the job's id, so that two jobs never share one.",
    ),
    option(
        "sink.exactly-once.mode",
        Some("log"),
        "log: a checkpoint holds the records themselves, which are published in one transaction each when it is complete, with no limit of time. Another mode, 2pc, isn't there yet.",
    ),
    option(
        "sink.exactly-once.progress-topic",
        Some("__weir_progress"),
        "With exactly-once, the topic that says how far each transactional id has published: compacted, made if it isn't there, shared by all jobs, never to be deleted.",
    ),
    option(
        "sink.exactly-once.max-unpublished",
        Some("256 mb"),
        "With exactly-once, how much of completed checkpoints a subtask may have to publish before it takes no more rows, as when brokers are away.",
    ),
];

const OPTIONS: &[OptionDescription] =
    &format_options::joined::<
        {
            OWN_OPTIONS.len()
                + format_options::PLAIN.len()
                + format_options::OF_KEY.len()
                + format_options::OF_VALUE.len()
        },
    >(&[OWN_OPTIONS, format_options::PLAIN, format_options::OF_KEY, format_options::OF_VALUE]);

/// The connector `kafka`.
pub struct Kafka;

impl Connector for Kafka {
    fn identifier(&self) -> &'static str {
        "kafka"
    }

    fn options(&self) -> &'static [OptionDescription] {
        OPTIONS
    }

    fn metadata(&self, table: &TableSpec) -> Vec<MetadataDescription> {
        let writes_topic = table.options.get("topic").is_some_and(|topics| topics.contains(';'));
        metadata::descriptions(writes_topic)
    }

    fn source(&self, table: &TableSpec) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(source::KafkaSource::new(&Options::new(table, OPTIONS))?))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(sink::KafkaSink::new(&Options::new(table, OPTIONS))?))
    }
}
