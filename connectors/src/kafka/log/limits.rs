//! What topics' settings allow: asked for before anything is written, as what a completed checkpoint holds must be publishable.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::RDKafkaErrorCode;
use tokio::runtime::Handle;
use weir_api::error::Result;

use super::Log;
use super::patience::Patience;
use crate::kafka::client::{Context, is_passing};

const TIMEOUT: Duration = Duration::from_secs(5);

/// What librdkafka lets a message be if nothing is said.
const DEFAULT: usize = 1_000_000;
/// What a batch of records takes beside them.
const BATCH_BYTES: usize = 512;

/// A client for what isn't producing or consuming.
pub fn admin(log: &Log) -> Result<AdminClient<Context>> {
    let config = log.properties.consumer(ClientConfig::new());
    config.create_with_context(Context::new(&log.table)).map_err(|error| log.properties.client_error(&error))
}

/// A topic's setting; none where it can't be seen, as the user may not be allowed to.
pub fn setting(
    log: &Log,
    io: &Handle,
    topic: &str,
    name: &str,
    patience: &Patience,
) -> Result<Option<String>> {
    let admin = admin(log)?;
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let mut tries = 0;
    loop {
        let described = io.block_on(admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options));
        let code = match described.map(|resources| resources.into_iter().next()) {
            Ok(Some(Ok(resource))) => return Ok(resource.get(name).and_then(|entry| entry.value.clone())),
            Ok(Some(Err(code))) => code,
            Ok(None) => return Ok(None),
            Err(error) => error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
        };
        if !is_passing(code) {
            tracing::debug!(table = %log.table, topic, %code, "a topic's settings can't be seen");
            return Ok(None);
        }
        patience.check(|| format!("table {}: topic {topic} can't be described: {code}", log.table))?;
        patience.pause(tries);
        tries += 1;
    }
}

/// The largest message that all topics take, as the producer's `message.max.bytes`.
pub fn message_bytes(log: &Log, io: &Handle, topics: &[String], patience: &Patience) -> Result<usize> {
    let own = log.properties.of_producer("message.max.bytes").and_then(|text| text.trim().parse().ok());
    let mut most: usize = own.unwrap_or(DEFAULT);
    for topic in topics {
        let allowed = setting(log, io, topic, "max.message.bytes", patience)?;
        if let Some(allowed) = allowed.and_then(|text| text.trim().parse::<usize>().ok()) {
            most = most.min(allowed.saturating_sub(BATCH_BYTES));
        }
    }
    // librdkafka takes no less.
    Ok(most.max(1000))
}
