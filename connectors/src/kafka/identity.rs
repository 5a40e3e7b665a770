//! Whether the topics that are read are still those that were found: offsets of another topic of the same name mean nothing.
//!
//! Decides what is said when records that were to be read are gone. Asks the cluster; blocks.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use weir_api::error::{Code, Error, Result};

use super::client::{Consumer, is_passing};
use super::native;
use super::split::Position;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Topics and the ids that they were found with.
pub type Ids = BTreeMap<String, Option<String>>;

/// What the cluster says of the topics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// They are the same.
    Same,
    /// The cluster can't be asked just now.
    Unknown(String),
    /// This one isn't there, or not yet: right after a start a broker may not know all topics.
    Missing(String),
}

/// Asks; an error if a topic is another one than before.
pub fn check(table: &str, consumer: &Consumer, ids: &Ids) -> Result<Verdict> {
    let names: Vec<&str> = ids.keys().map(String::as_str).collect();
    let states = match native::describe_topics(consumer, &names, TIMEOUT) {
        Ok(states) => states,
        Err(RDKafkaErrorCode::UnsupportedFeature) => return Ok(Verdict::Same),
        Err(code) => return Ok(Verdict::Unknown(code.to_string())),
    };
    for state in states {
        match state.error {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Ok(Verdict::Missing(state.name));
            }
            Some(code) if is_passing(code) => return Ok(Verdict::Unknown(code.to_string())),
            Some(code) => {
                return Err(Error::new(
                    Code::Io,
                    format!(
                        "table {table}: describe topic {}: {code}; check what the user may do",
                        state.name
                    ),
                ));
            }
            None => {}
        }
        let found = ids.get(&state.name).and_then(Option::as_ref);
        if let (Some(found), Some(now)) = (found, &state.id)
            && found != now
        {
            return Err(remade(table, &state.name));
        }
    }
    Ok(Verdict::Same)
}

fn remade(table: &str, topic: &str) -> Error {
    Error::new(
        Code::RecordsLost,
        format!(
            "table {table}: topic {topic} was deleted and made again while the job ran, so its offsets mean other records; records that weren't read yet are lost. Submit the job again to read the new topic"
        ),
    )
}

/// The error for a topic that is gone.
pub fn missing(table: &str, topic: &str) -> Error {
    Error::new(
        Code::RecordsLost,
        format!(
            "table {table}: topic {topic} was deleted while the job ran; records that weren't read yet are lost. Make it again and submit the job again, or leave it out of the table"
        ),
    )
}

/// The error for a position that isn't in the log: why, as far as the cluster can tell.
pub fn out_of_range(table: &str, consumer: &Consumer, position: Position<'_>, ids: &Ids) -> Error {
    let Position { topic, partition, offset } = position;
    match check(table, consumer, ids) {
        Err(error) => return error,
        Ok(Verdict::Missing(name)) => return missing(table, &name),
        Ok(Verdict::Same | Verdict::Unknown(_)) => {}
    }
    let why = match consumer.client().fetch_watermarks(topic, partition, TIMEOUT) {
        Ok((start, _)) if offset < start => format!(
            "the log now begins at {start}: {} records were removed (retention, or a delete) before they were read. Raise the topic's retention",
            start - offset
        ),
        Ok((_, end)) if offset > end => format!(
            "the log ends at {end}: it was truncated, or the topic was made again. Look after the brokers (unclean leader elections lose records)"
        ),
        Ok((start, end)) => format!("the log holds {start} to {end}, and was truncated before the offset"),
        Err(error) => format!("the log's bounds can't be asked for: {error}"),
    };
    Error::new(
        Code::RecordsLost,
        format!(
            "table {table}: {position} can't be read: {why}, then submit the job again with a 'scan.startup.mode' that says where to go on"
        ),
    )
}
