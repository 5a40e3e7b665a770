//! One producer with a transactional id, from init_transactions to the first trouble.
//!
//! Decides nothing about what is published: it sends an output in a transaction and says how that went. Trouble ends the session;
//! whether the transaction came through is then for the progress topic to say. Blocks.

use bytes::Bytes;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header as NativeHeader, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};
use std::time::Duration;
use weir_api::error::{Code, Error};
use weir_api::fail_point::FailPoint;

use super::Log;
use super::chunk;
use super::committable::Output;
use super::patience::{Patience, SLICE};
use super::progress::{self, Record};
use crate::kafka::client::is_passing;
use crate::kafka::lookup::{is_refused, refused};
use crate::kafka::producer::{Deliveries, Producer, undelivered};

/// How long a wait for room or answers takes at most.
const WAIT: Duration = Duration::from_millis(5);
/// How long leaving a transaction may hold up who is cancelled.
const LEAVE: Duration = Duration::from_secs(2);

/// Why a session is over.
#[derive(Debug)]
pub enum Trouble {
    /// Another try may go well: with brokers that come back (`passing`), or perhaps when somebody has acted.
    Again {
        /// What happened.
        why: Error,
        /// Whether it goes by itself.
        passing: bool,
    },
    /// Another producer has taken the transactional id, or the transaction was too slow.
    Fenced(String),
    /// It makes no sense to try again.
    Stop(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Stop(error)
    }
}

/// See the module.
pub struct Session {
    producer: Producer,
    /// Errors of connections that had been heard of when the last transaction began.
    heard: u64,
}

impl Session {
    /// Takes the transactional id: other sessions of it are fenced off, and what they left open is aborted.
    pub fn open(log: &Log, id: &str, message_bytes: usize, patience: &Patience) -> Result<Self, Trouble> {
        let mut config = log.config.clone();
        config
            .set("transactional.id", id)
            .set("client.id", format!("weir-{id}"))
            // Topics were there when the writer started: one that is missing is soon worth a word.
            .set("topic.metadata.propagation.max.ms", "3000")
            .set("message.max.bytes", message_bytes.to_string())
            .set("transaction.timeout.ms", log.transaction_timeout().as_millis().to_string());
        let producer: Producer = config
            .create_with_context(Deliveries::new(&log.table))
            .map_err(|error| log.properties.client_error(&error))?;
        loop {
            producer.poll(Duration::ZERO);
            let Err(error) = producer.init_transactions(SLICE) else {
                return Ok(Self { producer, heard: 0 });
            };
            let what = || format!("table {}: take the transactional id {id}: {error}", log.table);
            if is_retriable(&error) && !is_refused(&producer) {
                patience.check(|| format!("{} and no success", what()))?;
                continue;
            }
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            return Err(match code {
                _ if is_refused(&producer) => Trouble::Stop(refused(&log.table, &producer, &what())),
                RDKafkaErrorCode::InvalidTransactionTimeout => Trouble::Stop(Error::new(
                    Code::TableOptions,
                    format!(
                        "table {}: the brokers let no transaction be open for {:?} (their setting transaction.max.timeout.ms is smaller); set 'properties.transaction.timeout.ms' to that or less",
                        log.table,
                        log.transaction_timeout()
                    ),
                )),
                code if is_fenced(code) => Trouble::Fenced(what()),
                code => Trouble::Again {
                    why: Error::new(Code::Io, format!("{}; check what the user may do", what())),
                    passing: is_passing(code),
                },
            });
        }
    }

    /// Whether a connection broke off since the last transaction began. Then a request to end that transaction may be on its way
    /// still, twice, and would end the next one, which has the same producer epoch.
    pub fn has_heard_errors(&self) -> bool {
        self.producer.poll(Duration::ZERO);
        self.producer.context().context.errors() != self.heard
    }

    /// Publishes an output in one transaction with its progress.
    pub fn publish(
        &mut self,
        log: &Log,
        output: &Output,
        chunks: impl Iterator<Item = weir_api::error::Result<Bytes>>,
        patience: &Patience,
    ) -> Result<(), Trouble> {
        self.heard = self.producer.context().context.errors();
        let transaction = Transaction { log, producer: &self.producer, output, patience };
        let sent = transaction.run(chunks);
        if sent.is_err() && patience.is_cancelled() {
            // So that readers aren't held up by what was left open. If it doesn't work, brokers end it later.
            let _ = self.producer.abort_transaction(LEAVE);
        }
        sent
    }
}

struct Transaction<'a> {
    log: &'a Log,
    producer: &'a Producer,
    output: &'a Output,
    patience: &'a Patience,
}

impl Transaction<'_> {
    fn run(&self, chunks: impl Iterator<Item = weir_api::error::Result<Bytes>>) -> Result<(), Trouble> {
        self.producer.begin_transaction().map_err(|error| self.trouble("begin a transaction", &error))?;
        let header = &self.output.header;
        let mut sent = 0;
        for chunk in chunks {
            sent += self.send_chunk(&chunk?)?;
        }
        if sent != header.records {
            return Err(Trouble::Stop(Error::new(
                Code::SnapshotDamaged,
                format!("{}: {sent} records were found where {} belong", self.name(), header.records),
            )));
        }
        // Progress goes last: while it isn't committed, it holds up those who read the topic of all jobs.
        self.drain()?;
        let value = serde_json::to_vec(&Record::of(header))
            .map_err(|error| Error::internal("write a progress record").with_source(error))?;
        let key = progress::key(header);
        let mut record = BaseRecord::<[u8], [u8]>::to(&header.progress_topic).partition(0);
        record.key = Some(key.as_bytes());
        record.payload = Some(&value);
        self.send(record)?;
        self.drain()?;
        FailPoint::MidTransaction.pass()?;
        self.commit()?;
        FailPoint::AfterCommit.pass()?;
        Ok(())
    }

    fn send_chunk(&self, bytes: &[u8]) -> Result<u64, Trouble> {
        let mut sent = 0;
        for logged in chunk::Reader::new(bytes)? {
            let logged = logged?;
            let Some(topic) = self.output.header.topics.get(logged.topic) else {
                return Err(Trouble::Stop(Error::new(
                    Code::SnapshotDamaged,
                    format!("{}: a record names a topic that isn't listed", self.name()),
                )));
            };
            let mut record = BaseRecord::<[u8], [u8]>::to(topic);
            record.payload = logged.value;
            record.key = logged.key;
            record.partition = logged.partition;
            record.timestamp = logged.timestamp;
            record.headers = logged.headers.map(|headers| {
                headers
                    .into_iter()
                    .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(NativeHeader { key, value }))
            });
            self.send(record)?;
            sent += 1;
        }
        Ok(sent)
    }

    /// Gives a record to librdkafka, waiting for room.
    fn send(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<(), Trouble> {
        loop {
            let (error, back) = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(self.trouble(&format!("write to topic {}", back.topic), &error));
            }
            record = back;
            self.producer.poll(WAIT);
            self.check("its records aren't taken")?;
        }
    }

    /// Waits until every record is acknowledged.
    fn drain(&self) -> Result<(), Trouble> {
        loop {
            let flushed = self.producer.flush(WAIT);
            self.producer.poll(Duration::ZERO);
            self.check("its records aren't acknowledged")?;
            if flushed.is_ok() && self.producer.in_flight_count() == 0 {
                return Ok(());
            }
        }
    }

    fn commit(&self) -> Result<(), Trouble> {
        loop {
            let Err(error) = self.producer.commit_transaction(SLICE) else { return Ok(()) };
            if !is_retriable(&error) {
                return Err(self.trouble("commit the transaction", &error));
            }
            self.check("the transaction isn't committed")?;
        }
    }

    fn check(&self, what: &str) -> Result<(), Trouble> {
        if self.producer.context().failed().is_some() || self.producer.client().fatal_error().is_some() {
            return Err(self.trouble(what, &KafkaError::Canceled));
        }
        Ok(self.patience.check(|| format!("{}: {what}", self.name()))?)
    }

    /// What an error comes down to: that of a record says more than those that follow from it.
    fn trouble(&self, what: &str, error: &KafkaError) -> Trouble {
        self.producer.poll(Duration::ZERO);
        let fatal = self.producer.client().fatal_error();
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        if let Some((code, reason)) = &fatal
            && is_fenced(*code)
        {
            return Trouble::Fenced(format!("{}: {what}: {reason}", self.name()));
        }
        if is_fenced(code) {
            return Trouble::Fenced(format!("{}: {what}: {error}", self.name()));
        }
        let failed = self.producer.context().failed();
        let (why, code) = match (failed, fatal) {
            // What was still to be sent when the transaction failed for another reason is purged.
            (Some((code, place)), _)
                if !matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) =>
            {
                (undelivered(&self.log.table, code, &place), code)
            }
            (_, Some((code, reason))) => {
                (Error::new(Code::Io, format!("{}: {what}: {reason}", self.name())), code)
            }
            _ => (Error::new(Code::Io, format!("{}: {what}: {error}", self.name())), code),
        };
        Trouble::Again { why, passing: is_passing(code) }
    }

    fn name(&self) -> String {
        let header = &self.output.header;
        format!(
            "table {}: publish checkpoint {} under transactional id {}",
            self.log.table, header.checkpoint, header.transactional_id
        )
    }
}

fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        KafkaError::Flush(code) => *code == RDKafkaErrorCode::OperationTimedOut,
        _ => false,
    }
}

fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch
    )
}
