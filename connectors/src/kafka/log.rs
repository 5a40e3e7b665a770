//! Exactly once, mode `log`: a checkpoint holds the records themselves, and each subtask publishes those of completed
//! checkpoints, one transaction a checkpoint, together with a record that says how far it has come.
//!
//! The records of an interval are kept as chunks: [`chunk`] and [`committable`] are their encoding, [`spool`] fills them. After a
//! checkpoint is complete, [`publisher`] sends them through a [`session`], a producer with a transactional id that stays the
//! same for (prefix, job, uid, subtask). A progress record in the same transaction names the checkpoint ([`progress`]).
//!
//! Invariants. A transaction is begun only by who has called init_transactions and knows, from before it or from the progress
//! read after it, that the checkpoint isn't published. A writer has done so before it acknowledges its first checkpoint; so when
//! a new attempt starts, whoever may publish is fenced off by init_transactions of the same id. After any trouble in a
//! transaction, what has become of it is asked of the progress topic, never concluded from an error. Nothing depends on how long
//! a transaction or a transactional id lives in the brokers.

mod chunk;
mod committable;
mod committer;
mod limits;
mod patience;
mod progress;
mod publisher;
mod session;
mod spool;
mod writer;

use std::time::Duration;

use rdkafka::ClientConfig;
use weir_api::error::Result;
use weir_api::id::JobId;

pub use self::committer::LogCommitter;
pub use self::writer::LogWriter;

use super::properties::Properties;
use crate::options::Options;

/// What `properties.transaction.timeout.ms` is if it isn't given. It bounds how long brokers hold readers up after a writer
/// has died in the middle of a transaction and nobody restarts the job; and how long one checkpoint's output may take.
const TRANSACTION_TIMEOUT: Duration = Duration::from_mins(5);

/// What writers and committers of a table agree on.
#[derive(Clone, Debug)]
pub struct Log {
    /// The table's name, for messages.
    pub table: String,
    /// How to reach the cluster.
    pub properties: Properties,
    /// A producer's settings, without a transactional id.
    pub config: ClientConfig,
    /// The topics that may be written.
    pub topics: Vec<String>,
    /// What transactional ids begin with; none: the job.
    pub prefix: Option<String>,
    /// Where progress is kept.
    pub progress_topic: String,
    /// Bytes of completed checkpoints that may wait to be published before the sink takes no more rows.
    pub unpublished_bytes: u64,
}

impl Log {
    /// From the options of a table, with a producer's settings.
    pub fn of(
        options: &Options<'_>,
        properties: &Properties,
        config: ClientConfig,
        topics: &[String],
    ) -> Result<Self> {
        for (property, allowed) in [("acks", &["all", "-1"] as &[_]), ("enable.idempotence", &["true"])] {
            let given = properties.of_producer(property).map(str::trim);
            if given.is_some_and(|given| !allowed.contains(&given)) {
                return Err(options.refuse(
                    &format!("properties.{property}"),
                    format_args!("'{}' beside 'sink.delivery-guarantee' = 'exactly-once'", allowed[0]),
                ));
            }
        }
        let prefix = options.text("sink.transactional-id-prefix").map(str::trim);
        if prefix.is_some_and(str::is_empty) {
            return Err(options.refuse("sink.transactional-id-prefix", "a name, or no such option"));
        }
        let progress_topic = options.required("sink.exactly-once.progress-topic")?.trim().to_owned();
        if topics.contains(&progress_topic) {
            return Err(
                options.refuse("sink.exactly-once.progress-topic", "another topic than those of the table")
            );
        }
        Ok(Self {
            table: options.table().name.clone(),
            properties: properties.clone(),
            config,
            topics: topics.to_vec(),
            prefix: prefix.map(str::to_owned),
            progress_topic,
            unpublished_bytes: options.bytes("sink.exactly-once.max-unpublished")?.max(1),
        })
    }

    /// The transactional id of a subtask.
    fn transactional_id(&self, job: JobId, uid: &str, subtask: u32) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}-{uid}-{subtask}"),
            None => format!("weir-{job}-{uid}-{subtask}"),
        }
    }

    /// How long brokers let a transaction be open.
    fn transaction_timeout(&self) -> Duration {
        let given =
            self.properties.of_producer("transaction.timeout.ms").and_then(|text| text.trim().parse().ok());
        given.map_or(TRANSACTION_TIMEOUT, Duration::from_millis)
    }
}
