//! Looks up the topics that are written: how many partitions each has.
//!
//! Waits for brokers, and for a topic that isn't there, as some brokers make it when asked. Blocks.
#![expect(clippy::disallowed_methods, reason = "the edge, where waiting for a topic has a deadline")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer as _;
use weir_api::error::{Code, Error, Result};

use super::client::is_passing;
use super::producer::Producer;
use super::properties::Properties;

/// How long a topic that isn't there may take to be made by the broker.
const CREATION: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// The error where nobody waits any more.
pub fn check_cancelled(cancelled: &AtomicBool) -> Result<()> {
    if cancelled.load(Ordering::Relaxed) {
        return Err(Error::internal("writing to Kafka was cancelled"));
    }
    Ok(())
}

/// How many partitions a topic has.
pub fn partitions(
    table: &str,
    properties: &Properties,
    producer: &Producer,
    topic: &str,
    cancelled: &AtomicBool,
) -> Result<i32> {
    let started = Instant::now();
    loop {
        check_cancelled(cancelled)?;
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
                            "table {table}: there is no topic '{topic}' at {}; create it, or mend the option 'topic'",
                            properties.brokers()
                        ),
                    ));
                }
            }
            code if is_passing(code) && !is_refused(producer) => {
                producer.context().context.warn(&format!("look up topic '{topic}': {code}"));
            }
            code => return Err(refused(table, producer, &format!("look up topic '{topic}': {code}"))),
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether brokers don't let this user in.
pub fn is_refused(producer: &Producer) -> bool {
    let said = producer.context().context.last_error();
    said.is_some_and(|(code, _)| code == RDKafkaErrorCode::Authentication)
}

/// The error for it.
pub fn refused(table: &str, producer: &Producer, what: &str) -> Error {
    let reason =
        producer.context().context.last_error().map_or_else(String::new, |(_, why)| format!(": {why}"));
    Error::new(
        Code::Io,
        format!("table {table}: {what}{reason}; check the security properties and what the user may do"),
    )
}
