//! What clients say on the side: logs, and errors of connections, which librdkafka mends by itself.
//!
//! Decides what is logged and how often. A broker that is away is a warning once in a while, never the job's failure; what was
//! said last is kept, so that an error can name the reason.
#![expect(clippy::disallowed_methods, reason = "the edge, where repeated warnings are spaced out")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A consumer of this connector.
pub type Consumer = BaseConsumer<Context>;

/// How long a warning keeps the next ones back.
const WARNING_INTERVAL: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Said {
    error: Option<(RDKafkaErrorCode, String)>,
    errors: u64,
    warned: Option<Instant>,
    kept_back: u64,
}

/// Listens to one client, or to several of one table.
#[derive(Clone)]
pub struct Context {
    table: Arc<str>,
    said: Arc<Mutex<Said>>,
}

impl Context {
    /// For the clients of a table.
    pub fn new(table: &str) -> Self {
        Self { table: table.into(), said: Arc::default() }
    }

    /// What was said last of a connection that failed.
    pub fn last_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
    }

    /// How many errors of connections were heard of.
    pub fn errors(&self) -> u64 {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).errors
    }

    /// Warns of something that is tried again, once in a while.
    pub fn warn(&self, what: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.warned.is_some_and(|at| at.elapsed() < WARNING_INTERVAL) {
            said.kept_back += 1;
            return;
        }
        let kept_back = std::mem::take(&mut said.kept_back);
        said.warned = Some(Instant::now());
        drop(said);
        tracing::warn!(table = %self.table, kept_back, "kafka: {what}; trying again");
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(table = %self.table, ?level, "librdkafka: {facility}: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            said.error = Some((code, reason.to_owned()));
            said.errors += 1;
        }
        self.warn(reason);
    }
}

impl ConsumerContext for Context {}

/// Whether a connection was refused for what the client is, which trying again doesn't mend.
pub fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
    )
}

/// Whether an error goes by itself: a broker or leader that is away for a while.
pub fn is_passing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as E;
    matches!(
        code,
        E::BrokerTransportFailure
            | E::AllBrokersDown
            | E::Resolve
            | E::OperationTimedOut
            | E::MessageTimedOut
            | E::TimedOutQueue
            | E::WaitingForCoordinator
            | E::WaitCache
            | E::LeaderNotAvailable
            | E::NotLeaderForPartition
            | E::RequestTimedOut
            | E::BrokerNotAvailable
            | E::ReplicaNotAvailable
            | E::NetworkException
            | E::CoordinatorLoadInProgress
            | E::CoordinatorNotAvailable
            | E::NotCoordinator
            | E::NotEnoughReplicas
            | E::KafkaStorageError
            | E::FencedLeaderEpoch
            | E::UnknownLeaderEpoch
            | E::OffsetNotAvailable
    )
}
