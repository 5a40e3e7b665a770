//! One task's part of a checkpoint, as the coordinator keeps it.
//!
//! Invariant: what its sink prepared has been read and checked; all else stays as the task encoded it until the manifest is made. It
//! knows nothing of the other tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, CheckpointId, SubtaskIndex};
use weir_api::sink::{Blob, Committable, Prepared};
use weir_proto::v1::{self as proto, TaskSnapshot};

use super::{Event, Summarized, Task};
use crate::control::job::record::SinkCommit;

/// See the module.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Part {
    /// What the task says of each of its operators.
    pub snapshot: TaskSnapshot,
    /// What its sinks prepared, by position in the chain, oldest checkpoint first.
    pub prepared: Vec<(u32, Vec<Prepared>)>,
    /// When it came, in Unix milliseconds.
    pub unix_millis: i64,
    /// From the first barrier to the last one.
    pub alignment_millis: u64,
    /// What freezing took of the slot's thread.
    pub freeze_micros: u64,
    /// From there to the last file's end.
    pub upload_millis: u64,
    /// It has finished: this is its part of every checkpoint whose barrier it hasn't met.
    pub finished: bool,
}

/// What users are told of a part, also long after its checkpoint has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PartSummary {
    /// When it came, in Unix milliseconds.
    pub unix_millis: i64,
    /// From the first barrier to the last one.
    pub alignment_millis: u64,
    /// What freezing took of the slot's thread.
    pub freeze_micros: u64,
    /// From there to the last file's end.
    pub upload_millis: u64,
    /// The bytes of the files that it refers to.
    pub full_bytes: u64,
    /// The bytes of those that were written for it.
    pub new_bytes: u64,
}

impl Summarized for Arc<Part> {
    type Summary = PartSummary;

    fn summary(&self, checkpoint: CheckpointId) -> PartSummary {
        let (full_bytes, new_bytes) = self.sizes(checkpoint);
        PartSummary {
            unix_millis: self.unix_millis,
            alignment_millis: self.alignment_millis,
            freeze_micros: self.freeze_micros,
            upload_millis: self.upload_millis,
            full_bytes,
            new_bytes,
        }
    }
}

/// Every task's part.
pub type Parts = BTreeMap<Task, Arc<Part>>;

impl Part {
    /// The part of the subtask `subtask` of a vertex.
    pub fn read(subtask: SubtaskIndex, snapshot: TaskSnapshot) -> Result<Self> {
        let mut prepared = Vec::new();
        for operator in &snapshot.operators {
            let Some(own) = &operator.subtask else { continue };
            if own.index != subtask.0 {
                let what = format!("subtask {subtask} sent the state of subtask {}", own.index);
                return Err(Error::new(Code::MalformedMessage, what));
            }
            let mut all = Vec::new();
            for pending in &own.committables {
                let checkpoint = CheckpointId(pending.checkpoint_id);
                for entry in &pending.entries {
                    let committable = committable(entry.clone())?;
                    all.push(Prepared { checkpoint, subtask, committable });
                }
            }
            if !all.is_empty() {
                prepared.push((operator.operator, all));
            }
        }
        Ok(Self { snapshot, prepared, ..Self::default() })
    }

    /// Says that a task has finished and left this.
    #[must_use]
    pub fn end_of(self: &Arc<Self>, attempt: Attempt, task: Task) -> Event<Arc<Self>> {
        let newest = CheckpointId(self.snapshot.last_checkpoint_id);
        Event::TaskFinished { attempt, task, newest, part: Arc::clone(self) }
    }

    /// The bytes of the files that it refers to, and of those that were written for `checkpoint`, whose number is used once.
    #[must_use]
    pub fn sizes(&self, checkpoint: CheckpointId) -> (u64, u64) {
        let infix = format!("-{checkpoint}-");
        let is_new = |name: &str| {
            let attempt = name.trim_start_matches(|digit: char| digit.is_ascii_digit());
            attempt.starts_with(&infix)
        };
        let tables = self.snapshot.operators.iter().filter_map(|operator| operator.subtask.as_ref());
        let files = tables.flat_map(|subtask| &subtask.tables).flat_map(|table| &table.layers);
        files.flat_map(|layer| &layer.files).fold((0, 0), |(all, new), file| {
            let name = file.name.rsplit('/').next().unwrap_or_default();
            let written = if is_new(name) { file.bytes } else { 0 };
            (all + file.bytes, new + written)
        })
    }
}

/// What the sinks prepared, sink by sink, subtask by subtask.
#[must_use]
pub fn sink_commits(parts: &Parts) -> Vec<SinkCommit> {
    let mut sinks: BTreeMap<_, SinkCommit> = BTreeMap::new();
    for ((vertex, subtask), part) in parts {
        for (operator, prepared) in &part.prepared {
            let sink = sinks.entry((*vertex, *operator)).or_insert_with(|| SinkCommit {
                vertex: *vertex,
                operator: *operator,
                prepared: Vec::new(),
                ended: BTreeSet::new(),
            });
            sink.prepared.extend(prepared.iter().cloned());
            if part.finished {
                sink.ended.insert(*subtask);
            }
        }
    }
    sinks.into_values().collect()
}

/// A committable of a message.
pub fn committable(message: proto::Prepared) -> Result<Committable> {
    let blobs = message.blobs.into_iter().map(|blob| {
        let hash = <[u8; 16]>::try_from(blob.hash.as_slice()).map_err(|_| {
            Error::new(Code::MalformedMessage, format!("the blob {} with a hash of another size", blob.name))
        })?;
        Ok(Blob { name: blob.name, bytes: blob.bytes, hash: u128::from_be_bytes(hash) })
    });
    Ok(Committable { payload: message.payload.into(), blobs: blobs.collect::<Result<_>>()? })
}
