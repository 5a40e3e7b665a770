//! A partition with the offsets to read, as it travels in a split's payload; and how messages name a place in it.

use std::fmt;

use serde::{Deserialize, Serialize};
use weir_api::error::{Code, Error, Result};
use weir_api::source::SplitProgress;
use weir_proto::v1::Split;

/// What is read of one partition. Offsets are concrete, so that a restart reads the same.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionSplit {
    /// The topic.
    pub topic: String,
    /// The topic's id, where the broker says one: a topic that is deleted and made again has another.
    pub topic_id: Option<String>,
    /// The partition.
    pub partition: i32,
    /// The first offset that is read.
    pub start: i64,
    /// The first that isn't any more; none: it goes on.
    pub end: Option<i64>,
}

/// A partition as a reader is given it: with the offset that is read next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// What is read of it.
    pub split: PartitionSplit,
    /// The next offset.
    pub position: i64,
    /// Whether it has been read to its end.
    pub ended: bool,
}

impl Given {
    /// From a split.
    pub fn of(split: &Split) -> Result<Self> {
        let of = PartitionSplit::of(split)?;
        let position = match split.position {
            None => of.start,
            Some(position) => i64::try_from(position).map_err(|_| {
                Error::new(
                    Code::MalformedMessage,
                    format!("split '{}' goes on at {position}, which isn't an offset", split.id),
                )
            })?,
        };
        let ended = split.ended || of.end.is_some_and(|end| end <= position);
        Ok(Self { split: of, position, ended })
    }

    /// How far it has been read.
    pub fn progress(&self) -> SplitProgress {
        progress(self.position, self.ended)
    }
}

/// How far a partition has been read whose next offset is `position`.
#[must_use]
pub fn progress(position: i64, ended: bool) -> SplitProgress {
    if ended { SplitProgress::Ended } else { SplitProgress::At(u64::try_from(position).unwrap_or(0)) }
}

impl PartitionSplit {
    /// As a split; a bounded one weighs its offsets.
    pub fn encode(&self) -> Result<Split> {
        let payload = serde_json::to_vec(self)
            .map_err(|error| Error::internal("write a Kafka split").with_source(error))?;
        let weight = self.end.map_or(1, |end| u64::try_from(end.saturating_sub(self.start)).unwrap_or(0) + 1);
        let id = format!("{}-{}", self.topic, self.partition);
        Ok(Split { id, payload, weight, ..Split::default() })
    }

    /// The partition in a split's payload.
    pub fn of(split: &Split) -> Result<Self> {
        serde_json::from_slice(&split.payload).map_err(|error| {
            Error::new(Code::MalformedMessage, format!("split '{}' isn't a Kafka partition's", split.id))
                .with_source(error)
        })
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub struct Position<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl fmt::Display for Position<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {}, partition {}, offset {}", self.topic, self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_survives_the_wire_and_garbage_is_an_error() {
        let split = PartitionSplit {
            topic: "clicks".into(),
            topic_id: Some("q2w3".into()),
            partition: 3,
            start: 10,
            end: Some(110),
        };
        let encoded = split.encode().unwrap();
        assert_eq!((encoded.id.as_str(), encoded.weight), ("clicks-3", 101));
        assert_eq!(PartitionSplit::of(&encoded).unwrap(), split);
        let other = Split { payload: b"{\"path\":\"/x\"}".to_vec(), ..encoded };
        assert!(PartitionSplit::of(&other).is_err());
    }
}
