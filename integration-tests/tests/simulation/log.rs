//! A transactional log that keeps Kafka's contract, its nasty parts above all.
//!
//! A transactional id has one living producer: whoever initialises it last; that aborts what an earlier one left open, and from then
//! on the earlier one is refused. A transaction that stays open too long is aborted by the broker. Readers see committed
//! transactions only, in the order of the log, up to the first one that is still open. Whether an answer reaches the caller is
//! the world's to decide.

use std::collections::BTreeMap;

use super::job::{Record, SinkId};

/// A transactional id: which sink's which writer, of which job.
pub(crate) type TransactionalId = (SinkId, u32);

/// How a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// Another producer has initialised the transactional id since.
    Fenced,
    /// There is no such transaction (any more).
    InvalidState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug)]
struct Transaction {
    state: State,
    opened: u64,
}

#[derive(Debug)]
enum Entry {
    Data(Record),
    /// The writer's output is complete up to this checkpoint.
    Progress(TransactionalId, u64),
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u32,
    open: Option<usize>,
    /// The JobManager has initialised it last.
    of_master: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Vec<(usize, Entry)>,
    transactions: Vec<Transaction>,
    producers: BTreeMap<TransactionalId, Producer>,
    /// Where the readers' scan goes on, and what it has seen.
    scanned: usize,
    visible: Vec<(SinkId, Record)>,
    progress: BTreeMap<TransactionalId, u64>,
    owners: Vec<SinkId>,
    pub(crate) fenced: u64,
    pub(crate) expired: u64,
}

impl Log {
    /// A new producer for a transactional id; answers its epoch. `reuse`: a client that goes on with what it finds (a planted bug).
    pub(crate) fn initialise(&mut self, id: TransactionalId, reuse: bool) -> u32 {
        let producer = self.producers.entry(id).or_default();
        if reuse && producer.epoch > 0 {
            return producer.epoch;
        }
        producer.epoch += 1;
        producer.of_master = false;
        if let Some(open) = producer.open.take() {
            self.transactions[open].state = State::Aborted;
        }
        self.scan();
        self.producers.get(&id).map_or(0, |producer| producer.epoch)
    }

    /// Begins a transaction and sends records; with what is open already, they join it.
    pub(crate) fn produce(
        &mut self,
        id: TransactionalId,
        epoch: u32,
        records: &[Record],
        progress: u64,
        now: u64,
    ) -> Result<(), Refusal> {
        let producer = self.producers.entry(id).or_default();
        if producer.epoch != epoch {
            self.fenced += 1;
            return Err(Refusal::Fenced);
        }
        let transaction = *producer.open.get_or_insert_with(|| {
            self.transactions.push(Transaction { state: State::Open, opened: now });
            self.owners.push(id.0);
            self.transactions.len() - 1
        });
        self.entries.extend(records.iter().map(|record| (transaction, Entry::Data(*record))));
        self.entries.push((transaction, Entry::Progress(id, progress)));
        Ok(())
    }

    /// Ends the open transaction.
    pub(crate) fn end(&mut self, id: TransactionalId, epoch: u32, commit: bool) -> Result<(), Refusal> {
        let producer = self.producers.entry(id).or_default();
        if producer.epoch != epoch {
            self.fenced += 1;
            return Err(Refusal::Fenced);
        }
        let open = producer.open.take().ok_or(Refusal::InvalidState)?;
        self.transactions[open].state = if commit { State::Committed } else { State::Aborted };
        self.scan();
        Ok(())
    }

    /// The broker aborts what has been open for too long: its producer can't go on.
    pub(crate) fn expire(&mut self, now: u64, timeout: u64) {
        for producer in self.producers.values_mut() {
            if let Some(open) = producer.open.filter(|open| now >= self.transactions[*open].opened + timeout)
            {
                self.transactions[open].state = State::Aborted;
                producer.open = None;
                producer.epoch += 1;
                producer.of_master = false;
                self.expired += 1;
            }
        }
        self.scan();
    }

    /// The producer of a transactional id is the JobManager's.
    pub(crate) fn taken_by_master(&mut self, id: TransactionalId) {
        self.producers.entry(id).or_default().of_master = true;
    }

    /// Whether the JobManager was the last to initialise a transactional id.
    pub(crate) fn is_of_master(&self, id: TransactionalId) -> bool {
        self.producers.get(&id).is_some_and(|producer| producer.of_master)
    }

    /// How far a writer's output is complete, as a reader of committed records sees it.
    pub(crate) fn progress(&self, id: TransactionalId) -> Option<u64> {
        self.progress.get(&id).copied()
    }

    /// All that readers of committed records see.
    pub(crate) fn visible(&self) -> &[(SinkId, Record)] {
        &self.visible
    }

    /// Where the next entry goes.
    pub(crate) const fn end_offset(&self) -> usize {
        self.entries.len()
    }

    /// Whether readers have come so far.
    pub(crate) const fn is_settled(&self, offset: usize) -> bool {
        self.scanned >= offset
    }

    /// Readers go on up to the first open transaction.
    fn scan(&mut self) {
        while let Some((transaction, entry)) = self.entries.get(self.scanned) {
            match self.transactions[*transaction].state {
                State::Open => return,
                State::Aborted => {}
                State::Committed => match entry {
                    Entry::Data(record) => self.visible.push((self.owners[*transaction], *record)),
                    Entry::Progress(id, checkpoint) => {
                        let known = self.progress.entry(*id).or_default();
                        *known = (*known).max(*checkpoint);
                    }
                },
            }
            self.scanned += 1;
        }
    }
}

#[test]
fn a_successor_fences_and_readers_wait_for_open_transactions() {
    let mut log = Log::default();
    let (id, other) = ((SinkId::new(1, 0), 0), (SinkId::new(1, 0), 1));
    let record = |position| Record { key: 0, split: 0, position, count: 1 };
    let epoch = log.initialise(id, false);
    log.produce(id, epoch, &[record(0)], 1, 0).unwrap();
    let second = log.initialise(other, false);
    log.produce(other, second, &[record(1)], 1, 0).unwrap();
    log.end(other, second, true).unwrap();
    assert!(log.visible().is_empty() && log.progress(other).is_none(), "behind an open transaction");
    let successor = log.initialise(id, false);
    assert_eq!(log.visible().len(), 1, "the open one was aborted");
    assert_eq!(log.end(id, epoch, true), Err(Refusal::Fenced));
    assert_eq!(log.produce(id, epoch, &[record(0)], 1, 0), Err(Refusal::Fenced));
    log.produce(id, successor, &[record(0)], 1, 10).unwrap();
    log.expire(100, 50);
    assert_eq!(log.end(id, successor, true), Err(Refusal::Fenced), "timed out");
    assert_eq!((log.progress(id), log.progress(other)), (None, Some(1)));
}
