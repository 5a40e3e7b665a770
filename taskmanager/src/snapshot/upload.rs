//! Writes one task's snapshots, one after the other, and knows the layers that its state is made of in storage.
//!
//! Invariants: what is answered for is durable; a layer is added to its chain only when the whole snapshot that it was frozen for is;
//! changes never follow a chain that isn't there. Nothing here decides whether a snapshot is wanted: one that isn't is cancelled.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use weir_api::fail_point::FailPoint;
use weir_api::graph::KeyGroupRange;
use weir_api::id::{CheckpointId, ExecutionId};
use weir_api::sink::Committable;
use weir_api::state::Scope;
use weir_api::{Error, Result};
use weir_proto::v1::{OperatorPart, Split, TaskSnapshot};
use weir_snapshots::layout::{JobFolder, SnapshotFolder};
use weir_snapshots::manifest::{Layer, PendingCommittables, SplitPosition, StateSchema, Subtask, Table};

use super::compact::Compactor;
use super::kept::Kept;
use super::stores::Stores;
use super::tables::{self, Target, Written};
use crate::task::{FrozenOperator, Mailbox, Snapshot};

/// How many snapshots may wait: more than a task ever has on their way.
const QUEUE: usize = 64;
/// How many operators' changes are taken along before everything is written anew.
const MOST_CARRIED: usize = 64;
/// What a task may say of its part of a checkpoint: one message of the session carries it.
pub(crate) const MAX_PART_BYTES: usize = 8 << 20;
/// Of the split's message, and of a sink's committables.
const ENCODING_VERSION: u32 = 1;

/// Whose snapshots are written.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) task: ExecutionId,
    /// How many operators the chain has.
    pub(crate) operators: usize,
    /// Which key groups its keyed state has.
    pub(crate) key_groups: KeyGroupRange,
    /// Where the job's checkpoints go; empty: it takes none but savepoints.
    pub(crate) location: String,
    /// Position of the sink in the chain, if the chain ends in one.
    pub(crate) sink: Option<usize>,
}

/// What was frozen, and where to put it.
pub(crate) struct Job {
    pub(crate) snapshot: Snapshot,
    /// A savepoint's folder.
    pub(crate) savepoint: Option<String>,
    /// What the sink prepared and nobody is known to have committed, the oldest first.
    pub(crate) prepared: Vec<(CheckpointId, Vec<Committable>)>,
}

/// How an upload ended.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) checkpoint: CheckpointId,
    /// The task's part, or why there is none.
    pub(crate) result: Result<TaskSnapshot, String>,
    /// It isn't written, and what it was to hold of the state will be in the next one that is.
    pub(crate) kept: bool,
}

/// The near end: on the slot's thread. Dropped, everything stops.
pub(crate) struct Uploader {
    jobs: mpsc::Sender<(Job, CancellationToken)>,
    under_way: BTreeMap<CheckpointId, CancellationToken>,
    mailbox: Mailbox,
    _task: AbortOnDropHandle<()>,
}

impl Uploader {
    pub(crate) fn start(
        owner: Owner,
        stores: Arc<Stores>,
        chains: Chains,
        mailbox: Mailbox,
        io: &tokio::runtime::Handle,
    ) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer =
            Writer { owner, stores, chains: chains.0, carried: Vec::new(), compactor: Compactor::default() };
        let task = io.spawn(writer.run(queue, mailbox.clone()));
        let _task = AbortOnDropHandle::new(task);
        Self { jobs, under_way: BTreeMap::new(), mailbox, _task }
    }

    /// Begins an upload; its end comes to the mailbox.
    pub(crate) fn begin(&mut self, job: Job) {
        let (checkpoint, cancel) = (job.snapshot.checkpoint, CancellationToken::new());
        self.under_way.retain(|_, cancel| !cancel.is_cancelled());
        self.under_way.insert(checkpoint, cancel.clone());
        if self.jobs.try_send((job, cancel)).is_err() {
            let result = Err(format!("{QUEUE} snapshots of the task wait to be written"));
            self.mailbox.uploaded(Uploaded { checkpoint, result, kept: false });
        }
    }

    /// Nobody wants it any more.
    pub(crate) fn cancel(&mut self, checkpoint: CheckpointId) {
        if let Some(cancel) = self.under_way.remove(&checkpoint) {
            cancel.cancel();
        }
    }

    /// It has ended.
    pub(crate) fn ended(&mut self, checkpoint: CheckpointId) {
        self.under_way.remove(&checkpoint);
    }
}

/// A state of an operator: its position in the chain, and its name.
pub(super) type StateKey = (usize, String);

/// The chains that a task's state was restored from, as far as its checkpoints may build on them.
#[derive(Debug, Default)]
pub(crate) struct Chains(pub(super) BTreeMap<StateKey, Chain>);

impl Chains {
    /// Those of the operator at this position.
    pub(crate) fn add(&mut self, position: usize, chains: Vec<(String, Chain)>) {
        self.0.extend(chains.into_iter().map(|(state, chain)| ((position, state), chain)));
    }
}

/// What a state is made of in storage.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(super) schema: StateSchema,
    /// A full layer, then deltas.
    pub(super) layers: Vec<Layer>,
}

/// The far end: on the I/O runtime.
struct Writer {
    owner: Owner,
    stores: Arc<Stores>,
    chains: BTreeMap<StateKey, Chain>,
    /// Changes of snapshots that weren't written, by operator, the oldest first: they are in no chain.
    carried: Vec<(usize, Kept)>,
    compactor: Compactor,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<(Job, CancellationToken)>, mailbox: Mailbox) {
        loop {
            let (job, cancel) = tokio::select! {
                job = queue.recv() => match job {
                    Some(job) => job,
                    None => return,
                },
                merged = self.compactor.next() => {
                    self.compactor.take(merged, &mut self.chains);
                    continue;
                }
            };
            let checkpoint = job.snapshot.checkpoint;
            let (job, changes) = self.keep(job);
            let written = cancel.run_until_cancelled(self.write(job)).await;
            let result = match written {
                Some(written) => written.map_err(|error| error.chain()),
                None => Err("it was given up".to_owned()),
            };
            let kept = result.is_err() && self.carry(changes);
            if let Err(reason) = &result {
                tracing::warn!(task = %self.owner.task, %checkpoint, kept, reason, "a snapshot isn't written");
            }
            mailbox.uploaded(Uploaded { checkpoint, result, kept });
        }
    }

    /// Makes sure that a job's changes can be told twice. Answers them, if they may follow what is in storage or carried.
    fn keep(&mut self, mut job: Job) -> (Job, Option<Vec<(usize, Kept)>>) {
        if job.savepoint.is_some() {
            return (job, None);
        }
        let is_full = job.snapshot.scope == Scope::Full;
        if is_full {
            // Nothing follows what came before.
            self.carried.clear();
        }
        let mut changes = Vec::new();
        for operator in &mut job.snapshot.operators {
            let room = Arc::clone(&self.stores.kept);
            if let Some(frozen) = operator.keyed.take() {
                let kept = Kept::new(frozen, !is_full, room);
                operator.keyed = Some(Box::new(kept.tell()));
                changes.push((operator.position, kept));
            }
        }
        (job, (!is_full).then_some(changes))
    }

    /// Takes along what wasn't written; says whether all of it could be.
    fn carry(&mut self, changes: Option<Vec<(usize, Kept)>>) -> bool {
        let Some(changes) = changes else { return false };
        let all = self.carried.iter().chain(&changes).all(|(_, kept)| kept.is_whole());
        if all && self.carried.len() + changes.len() <= MOST_CARRIED {
            self.carried.extend(changes);
            return true;
        }
        self.carried.clear();
        false
    }

    async fn write(&mut self, job: Job) -> Result<TaskSnapshot> {
        FailPoint::BeforeUpload.passed().await?;
        let Job { snapshot, savepoint, prepared } = job;
        let checkpoint = snapshot.checkpoint;
        let target = self.target(checkpoint, savepoint.as_deref()).await?;
        let mut parts: BTreeMap<usize, (Vec<StateSchema>, Subtask)> = BTreeMap::new();
        let mut updates = BTreeMap::new();
        if savepoint.is_none() {
            for (position, kept) in &self.carried {
                let written = tables::write(&self.stores, &target, Box::new(kept.tell())).await;
                let what = || format!("write what operator {position} of the chain had changed before");
                for (state, written) in written.map_err(|error| error.context(what()))? {
                    let key = (*position, state);
                    let chain = self.chained(&updates, &key, written)?;
                    updates.insert(key, chain);
                }
            }
        }
        for FrozenOperator { position, keyed, states } in snapshot.operators {
            let (schemas, part) = parts.entry(position).or_default();
            part.operator_states = states;
            let Some(frozen) = keyed else { continue };
            let operator = || format!("write the state of operator {position} of the chain");
            let written = tables::write(&self.stores, &target, frozen).await;
            for (state, written) in written.map_err(|error| error.context(operator()))? {
                let key = (position, state);
                let chain = self.chained(&updates, &key, written)?;
                schemas.push(chain.schema.clone());
                let (state, range) = (key.1.clone(), self.owner.key_groups);
                part.tables.push(Table { state, range, layers: chain.layers.clone() });
                updates.insert(key, chain);
            }
        }
        if let Some(splits) = snapshot.splits {
            parts.entry(0).or_default().1.splits = splits.iter().map(position_of).collect();
        }
        if let Some(sink) = self.owner.sink {
            parts.entry(sink).or_default().1.committables = pending(prepared);
        }
        let part = self.message(parts)?;
        FailPoint::BeforeAcknowledge.passed().await?;
        if savepoint.is_none() {
            self.chains.extend(updates);
            self.carried.clear();
            self.compactor.start(&self.owner, &self.stores, &target, &self.chains);
        }
        Ok(part)
    }

    async fn target(&self, checkpoint: CheckpointId, savepoint: Option<&str>) -> Result<Target> {
        let location = savepoint.unwrap_or(&self.owner.location);
        if location.is_empty() {
            return Err(Error::internal("a checkpoint of a job that was deployed without a place for any"));
        }
        let (storage, path) = self.stores.at(location)?;
        let ExecutionId { job, attempt, .. } = self.owner.task;
        let folder = savepoint.is_some().then(|| SnapshotFolder::named(&path));
        let copies = self.stores.copies().await;
        Ok(Target { storage, job: JobFolder::new(&path, job), folder, copies, attempt, checkpoint })
    }

    /// The chain that the state has with what was written.
    fn chained(
        &self,
        updates: &BTreeMap<StateKey, Chain>,
        key: &StateKey,
        written: Written,
    ) -> Result<Chain> {
        let Written { scope, schema, files } = written;
        if scope == Scope::Full {
            return Ok(Chain { schema, layers: vec![Layer { delta: false, files }] });
        }
        let base = updates.get(key).or_else(|| self.chains.get(key)).ok_or_else(|| {
            Error::internal(format!("changes of state `{}` without anything that they change", key.1))
        })?;
        let mut chain = base.clone();
        if !files.is_empty() {
            chain.layers.push(Layer { delta: true, files });
        }
        Ok(chain)
    }

    fn message(&self, parts: BTreeMap<usize, (Vec<StateSchema>, Subtask)>) -> Result<TaskSnapshot> {
        let operators = parts.into_iter().map(|(position, (schemas, mut part))| {
            part.index = self.owner.task.subtask;
            Ok(OperatorPart {
                operator: position as u32,
                schemas: schemas.iter().map(StateSchema::to_message).collect::<Result<_>>()?,
                subtask: Some(part.to_message()),
            })
        });
        checked(TaskSnapshot { operators: operators.collect::<Result<_>>()?, ..TaskSnapshot::default() })
    }
}

/// The part that a finished task leaves for all checkpoints behind `newest`.
pub(crate) fn final_part(
    owner: &Owner,
    splits: Option<Vec<Split>>,
    prepared: Vec<(CheckpointId, Vec<Committable>)>,
    newest: CheckpointId,
) -> Result<TaskSnapshot> {
    let Owner { task, operators, sink, .. } = *owner;
    let mut parts: Vec<Subtask> = Vec::with_capacity(operators);
    parts.resize_with(operators, || Subtask { index: task.subtask, finished: true, ..Subtask::default() });
    if let (Some(splits), Some(first)) = (splits, parts.first_mut()) {
        first.splits = splits.iter().map(position_of).collect();
    }
    if let Some(part) = sink.and_then(|sink| parts.get_mut(sink)) {
        part.committables = pending(prepared);
    }
    let part = |(position, part): (u32, Subtask)| OperatorPart {
        operator: position,
        schemas: Vec::new(),
        subtask: Some(part.to_message()),
    };
    let operators = (0..).zip(parts).map(part).collect();
    checked(TaskSnapshot { operators, last_checkpoint_id: newest.0 })
}

fn checked(part: TaskSnapshot) -> Result<TaskSnapshot> {
    let bytes = part.encoded_len();
    if bytes > MAX_PART_BYTES {
        return Err(Error::new(
            weir_api::error::Code::Unsupported,
            format!(
                "what the task says of its part takes {bytes} bytes, where {MAX_PART_BYTES} fit a message: raise the \
                 parallelism, or let the sink write fewer, larger files"
            ),
        ));
    }
    Ok(part)
}

fn position_of(split: &Split) -> SplitPosition {
    let payload = split.encode_to_vec().into();
    SplitPosition { split: split.id.clone(), encoding_version: ENCODING_VERSION, payload }
}

fn pending(prepared: Vec<(CheckpointId, Vec<Committable>)>) -> Vec<PendingCommittables> {
    let all = prepared.into_iter().filter(|(_, entries)| !entries.is_empty());
    all.map(|(checkpoint, entries)| PendingCommittables {
        checkpoint,
        encoding_version: ENCODING_VERSION,
        entries,
    })
    .collect()
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
