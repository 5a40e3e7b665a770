//! Metadata columns: what stands beside a record's key and value, under Flink's names.
//!
//! Decides their types and how they become columns. Knows nothing of formats.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, Int32Array, Int64Array, MapBuilder, MapFieldNames, StringArray,
    StringBuilder, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use weir_api::connector::MetadataDescription;
use weir_api::error::{Code, Error, Result};

use super::native::{Message, TimestampType};

/// Which one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// `topic`
    Topic,
    /// `partition`
    Partition,
    /// `headers`
    Headers,
    /// `leader-epoch`
    LeaderEpoch,
    /// `offset`
    Offset,
    /// `timestamp`
    Timestamp,
    /// `timestamp-type`
    TimestampType,
}

const ALL: [(&str, Key); 7] = [
    ("topic", Key::Topic),
    ("partition", Key::Partition),
    ("headers", Key::Headers),
    ("leader-epoch", Key::LeaderEpoch),
    ("offset", Key::Offset),
    ("timestamp", Key::Timestamp),
    ("timestamp-type", Key::TimestampType),
];

impl Key {
    /// The one of this name.
    pub fn of(table: &str, name: &str) -> Result<Self> {
        ALL.iter().find(|(known, _)| *known == name).map(|(_, key)| *key).ok_or_else(|| {
            let all: Vec<_> = ALL.iter().map(|(name, _)| *name).collect();
            Error::new(
                Code::TableOptions,
                format!(
                    "table {table}: connector 'kafka' has no metadata '{name}' (there are: {})",
                    all.join(", ")
                ),
            )
        })
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Topic | Self::TimestampType => DataType::Utf8,
            Self::Partition | Self::LeaderEpoch => DataType::Int32,
            Self::Offset => DataType::Int64,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Headers => {
                let pair = vec![
                    Field::new("key", DataType::Utf8, false),
                    Field::new("value", DataType::Binary, true),
                ];
                let entries = DataType::Struct(Fields::from(pair));
                DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
            }
        }
    }
}

/// All of them; `writes_topic`: a sink of several topics takes the topic of each record.
pub fn descriptions(writes_topic: bool) -> Vec<MetadataDescription> {
    ALL.iter()
        .map(|(name, key)| MetadataDescription {
            key: name,
            data_type: key.data_type(),
            nullable: *key == Key::LeaderEpoch,
            writable: match key {
                Key::Headers | Key::Timestamp => true,
                Key::Topic => writes_topic,
                _ => false,
            },
            description: match key {
                Key::Topic => "The record's topic. Written where 'topic' lists several: one of them.",
                Key::Partition => "The record's partition.",
                Key::Headers => "The record's headers. Of several of one name, the last counts.",
                Key::LeaderEpoch => "The epoch of the partition's leader that wrote the record, if known.",
                Key::Offset => "The record's offset in its partition.",
                Key::Timestamp => "The record's timestamp; see 'timestamp-type'.",
                Key::TimestampType => {
                    "What the timestamp says: CreateTime, LogAppendTime or NoTimestampType."
                }
            },
        })
        .collect()
}

/// A metadata column that grows a record at a time.
pub enum Column {
    /// The same for all records of a partition.
    Topic(usize),
    /// Likewise.
    Partition(Vec<i32>),
    /// A map each.
    Headers(Box<MapBuilder<StringBuilder, BinaryBuilder>>),
    /// Null where it isn't known.
    LeaderEpoch(Vec<Option<i32>>),
    /// Offsets.
    Offset(Vec<i64>),
    /// Milliseconds.
    Timestamp(Vec<i64>),
    /// Words.
    TimestampType(Vec<&'static str>),
}

impl Column {
    /// An empty column.
    pub fn new(key: Key) -> Self {
        match key {
            Key::Topic => Self::Topic(0),
            Key::Partition => Self::Partition(Vec::new()),
            Key::Headers => {
                let names =
                    MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
                let builder = MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new());
                Self::Headers(Box::new(builder))
            }
            Key::LeaderEpoch => Self::LeaderEpoch(Vec::new()),
            Key::Offset => Self::Offset(Vec::new()),
            Key::Timestamp => Self::Timestamp(Vec::new()),
            Key::TimestampType => Self::TimestampType(Vec::new()),
        }
    }

    /// Adds what stands beside a record.
    pub fn add(&mut self, message: &Message<'_>) -> Result<()> {
        match self {
            Self::Topic(rows) => *rows += 1,
            Self::Partition(values) => values.push(message.partition()),
            Self::Headers(builder) => add_headers(builder, message)?,
            Self::LeaderEpoch(values) => values.push(message.leader_epoch()),
            Self::Offset(values) => values.push(message.offset()),
            Self::Timestamp(values) => values.push(message.timestamp().0),
            Self::TimestampType(values) => values.push(match message.timestamp().1 {
                TimestampType::None => "NoTimestampType",
                TimestampType::Create => "CreateTime",
                TimestampType::LogAppend => "LogAppendTime",
            }),
        }
        Ok(())
    }

    /// Takes the column out, of records of one topic.
    pub fn finish(&mut self, topic: &str) -> ArrayRef {
        match self {
            Self::Topic(rows) => {
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(topic, std::mem::take(rows))))
            }
            Self::Partition(values) => Arc::new(Int32Array::from(std::mem::take(values))),
            Self::Headers(builder) => Arc::new(builder.finish()),
            Self::LeaderEpoch(values) => Arc::new(Int32Array::from(std::mem::take(values))),
            Self::Offset(values) => Arc::new(Int64Array::from(std::mem::take(values))),
            Self::Timestamp(values) => {
                Arc::new(TimestampMillisecondArray::from(std::mem::take(values)).with_timezone("UTC"))
            }
            Self::TimestampType(values) => Arc::new(StringArray::from(std::mem::take(values))),
        }
    }
}

fn add_headers(builder: &mut MapBuilder<StringBuilder, BinaryBuilder>, message: &Message<'_>) -> Result<()> {
    let headers: Vec<_> = message.headers().collect();
    for (place, (name, value)) in headers.iter().enumerate() {
        // A map holds each key once; as in Flink, the last one stays.
        if headers.iter().skip(place + 1).any(|(later, _)| later == name) {
            continue;
        }
        builder.keys().append_value(String::from_utf8_lossy(name));
        builder.values().append_option(*value);
    }
    Ok(builder.append(true)?)
}

/// The column of a batch to be written, in the type that its description promised.
pub fn written<T: Array + Clone + 'static>(column: &ArrayRef, what: &str) -> Result<T> {
    column.as_any().downcast_ref::<T>().cloned().ok_or_else(|| {
        Error::internal(format!("metadata '{what}' to be written is of type {}", column.data_type()))
    })
}
