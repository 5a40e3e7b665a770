//! What a snapshot is: the files and values that a job goes on from, operator by operator.
//!
//! Invariant: a [`Manifest`] that was decoded is valid: ids are ids, key groups lie below the maximum, each table's layers begin
//! with its base, every state that a table names has a schema, committables come oldest first. Knows neither where the manifest
//! lies nor whether its files are there.

mod frame;
#[cfg(test)]
mod tests;
mod wire;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use weir_api::error::Result;
use weir_api::graph::KeyGroupRange;
use weir_api::id::{Attempt, CheckpointId, JobId, LeaderEpoch, OperatorUid, SubtaskIndex};
use weir_api::sink::{Blob, Committable};

pub use weir_api::state::{OperatorState, Redistribution};

use crate::name::FileName;
use crate::table::Summary;

/// Why a snapshot was taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// For recovery; it may share files with others.
    Checkpoint,
    /// By a user, who owns it; it shares no file.
    Savepoint,
}

/// A completed snapshot.
#[derive(Clone, PartialEq, Debug)]
pub struct Manifest {
    /// Whose it is.
    pub job: JobId,
    /// Which one.
    pub checkpoint: CheckpointId,
    /// Why it was taken.
    pub kind: Kind,
    /// The leader that completed it.
    pub leader_epoch: LeaderEpoch,
    /// The attempt that took it.
    pub attempt: Attempt,
    /// The number of key groups, fixed for the job's life.
    pub max_parallelism: u32,
    /// `weir_api::key::ENCODING_VERSION` of the process that hashed the keys.
    pub key_encoding_version: u32,
    /// When it was triggered, in milliseconds since 1970.
    pub triggered_millis: i64,
    /// When everything but the manifest was there.
    pub completed_millis: i64,
    /// The sizes.
    pub totals: Totals,
    /// Every stateful operator.
    pub operators: Vec<Operator>,
}

/// A snapshot's size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Of all files that it references, each once.
    pub full_bytes: u64,
    /// Of those that were written for it.
    pub new_bytes: u64,
}

/// One operator's part.
#[derive(Clone, PartialEq, Debug)]
pub struct Operator {
    /// State is found by it.
    pub uid: OperatorUid,
    /// For people.
    pub name: String,
    /// With how many subtasks it ran.
    pub parallelism: u32,
    /// What its keyed states' rows are.
    pub schemas: Vec<StateSchema>,
    /// The subtasks that have something to say.
    pub subtasks: Vec<Subtask>,
}

/// The columns of a keyed state.
#[derive(Clone, PartialEq, Debug)]
pub struct StateSchema {
    /// The state's name, unique in the operator.
    pub state: String,
    /// How many columns after the key group make the key.
    pub key_columns: u32,
    /// The columns of full files.
    pub schema: SchemaRef,
}

/// One subtask's part.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Subtask {
    /// Which.
    pub index: SubtaskIndex,
    /// It had read all of its input.
    pub finished: bool,
    /// Its keyed state.
    pub tables: Vec<Table>,
    /// Its operator state.
    pub operator_states: Vec<OperatorState>,
    /// Where its source was.
    pub splits: Vec<SplitPosition>,
    /// All that its sink prepared and nobody is known to have committed, oldest checkpoint first.
    pub committables: Vec<PendingCommittables>,
}

/// A keyed state's rows in a range of key groups.
#[derive(Clone, PartialEq, Debug)]
pub struct Table {
    /// The state's name.
    pub state: String,
    /// The key groups.
    pub range: KeyGroupRange,
    /// A full layer, then deltas, the oldest first. Empty: no rows.
    pub layers: Vec<Layer>,
}

/// Files that were written together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layer {
    /// Whether it holds changes to the layers below.
    pub delta: bool,
    /// Sorted by key group over all of them.
    pub files: Vec<FileHandle>,
}

impl Layer {
    /// The size of its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.summary.bytes).sum()
    }
}

/// Which folder a file lies in.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// The job's `shared`.
    Shared,
    /// That of the `_metadata`: the snapshot can be moved as a whole.
    Exclusive,
    /// This folder of the store: a snapshot that a job was restored from.
    Folder(String),
}

/// A file and what must be in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileHandle {
    /// Its folder.
    pub scope: Scope,
    /// Its name in the folder.
    pub name: FileName,
    /// Sizes and checksums.
    pub summary: Summary,
}

/// A split and the position in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SplitPosition {
    /// The split's id.
    pub split: String,
    /// Of the payload.
    pub encoding_version: u32,
    /// A `weir.v1.Split` message: the split as it was found, and where reading goes on.
    pub payload: Bytes,
}

/// What a sink prepared at one checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingCommittables {
    /// At which.
    pub checkpoint: CheckpointId,
    /// Of the entries.
    pub encoding_version: u32,
    /// What there is to commit.
    pub entries: Vec<Committable>,
}

impl Manifest {
    /// The bytes of `_metadata`.
    pub fn encode(&self) -> Result<Bytes> {
        Ok(frame::wrap(&wire::to_message(self)?))
    }

    /// Reads `_metadata` that lies at `path`. Every byte is checked before a field is looked at.
    pub fn decode(path: &str, bytes: &[u8]) -> Result<Self> {
        wire::from_message(path, frame::unwrap(path, bytes)?)
    }

    /// The manifest in a message that was put together from what tasks sent: every rule of a valid one is checked.
    pub fn from_message(message: weir_proto::v1::SnapshotManifest) -> Result<Self> {
        wire::from_message("the tasks' parts", message)
    }

    /// Every table, with its operator and subtask.
    pub fn tables(&self) -> impl Iterator<Item = (&Operator, &Subtask, &Table)> {
        self.operators.iter().flat_map(|operator| {
            operator
                .subtasks
                .iter()
                .flat_map(move |subtask| subtask.tables.iter().map(move |table| (operator, subtask, table)))
        })
    }

    /// Every file, in the manifest's order; a file that two tables share comes twice.
    pub fn files(&self) -> impl Iterator<Item = &FileHandle> {
        self.tables().flat_map(|(_, _, table)| table.layers.iter().flat_map(|layer| &layer.files))
    }

    /// The blobs of all output that isn't committed.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        let subtasks = self.operators.iter().flat_map(|operator| &operator.subtasks);
        let pending = subtasks.flat_map(|subtask| &subtask.committables);
        pending.flat_map(|pending| &pending.entries).flat_map(|committable| &committable.blobs)
    }

    /// The sizes that its files add up to. New are the files that this checkpoint's attempt wrote for it.
    #[must_use]
    pub fn count(&self) -> Totals {
        let mut seen = std::collections::BTreeSet::new();
        let mut totals = Totals::default();
        for file in self.files().filter(|file| seen.insert((&file.scope, file.name))) {
            totals.full_bytes += file.summary.bytes;
            if file.name.checkpoint == self.checkpoint {
                totals.new_bytes += file.summary.bytes;
            }
        }
        totals
    }
}
