//! A producer that hears what becomes of its records.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, DeliveryResult, ProducerContext};
use weir_api::error::{Code, Error};

use super::client::Context;

/// A producer of this connector.
pub type Producer = BaseProducer<Deliveries>;

/// Hears what becomes of records.
pub struct Deliveries {
    /// Hears of connections.
    pub context: Context,
    failed: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Deliveries {
    /// For a client of a table.
    pub fn new(table: &str) -> Self {
        Self { context: Context::new(table), failed: Mutex::default() }
    }

    /// The first record that brokers didn't take: why, and where it was to go.
    pub fn failed(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
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

/// The error of a record that wasn't taken.
pub fn undelivered(table: &str, code: RDKafkaErrorCode, place: &str) -> Error {
    let (kind, what_to_do) = match code {
        RDKafkaErrorCode::MessageSizeTooLarge => (
            Code::RecordTooLarge,
            "raise 'properties.max.request.size' here and max.message.bytes of the topic, or write smaller records",
        ),
        RDKafkaErrorCode::MessageTimedOut => {
            (Code::Io, "no broker took it within 'properties.delivery.timeout.ms'; look after the brokers")
        }
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::UnknownTopicOrPartition => {
            (Code::NotFound, "the topic isn't there (any more); create it")
        }
        _ => (Code::Io, "look after the brokers and what the user may do"),
    };
    Error::new(kind, format!("table {table}: write to {place}: {code}; {what_to_do}"))
}
