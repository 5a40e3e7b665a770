//! Manifests as messages, and back, with every rule of a valid one checked on the way back.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::root_as_message;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use bytes::Bytes;
use weir_api::error::Result;
use weir_api::graph::KeyGroupRange;
use weir_api::id::{Attempt, CheckpointId, JobId, LeaderEpoch, OperatorUid, SubtaskIndex};
use weir_api::sink::{Blob, Committable};
use weir_proto::v1 as proto;

use super::{
    FileHandle, Kind, Layer, Manifest, Operator, OperatorState, PendingCommittables, Redistribution, Scope,
    SplitPosition, StateSchema, Subtask, Table, Totals,
};
use crate::damage::Damage;
use crate::name::{ContentHash, FileName};
use crate::table::{Contents, Summary, check_schema};

pub(super) fn to_message(manifest: &Manifest) -> Result<proto::SnapshotManifest> {
    Ok(proto::SnapshotManifest {
        job_id: manifest.job.as_bytes().to_vec(),
        checkpoint_id: manifest.checkpoint.0,
        kind: match manifest.kind {
            Kind::Checkpoint => proto::SnapshotKind::Checkpoint,
            Kind::Savepoint => proto::SnapshotKind::Savepoint,
        }
        .into(),
        leader_epoch: manifest.leader_epoch.0,
        attempt: manifest.attempt.0,
        max_parallelism: manifest.max_parallelism,
        key_encoding_version: manifest.key_encoding_version,
        triggered_millis: manifest.triggered_millis,
        completed_millis: manifest.completed_millis,
        full_bytes: manifest.totals.full_bytes,
        new_bytes: manifest.totals.new_bytes,
        operators: manifest.operators.iter().map(operator_to).collect::<Result<_>>()?,
    })
}

fn operator_to(operator: &Operator) -> Result<proto::OperatorSnapshot> {
    Ok(proto::OperatorSnapshot {
        uid: operator.uid.as_str().to_owned(),
        name: operator.name.clone(),
        parallelism: operator.parallelism,
        schemas: operator.schemas.iter().map(StateSchema::to_message).collect::<Result<_>>()?,
        subtasks: operator.subtasks.iter().map(Subtask::to_message).collect(),
    })
}

impl StateSchema {
    /// As a task's acknowledgement holds it.
    pub fn to_message(&self) -> Result<proto::StateSchema> {
        check_schema(&self.schema, Contents::Full, self.key_columns)?;
        Ok(proto::StateSchema {
            state: self.state.clone(),
            key_columns: self.key_columns,
            arrow_schema: schema_bytes(&self.schema),
        })
    }
}

impl Subtask {
    /// As a task's acknowledgement holds it.
    #[must_use]
    pub fn to_message(&self) -> proto::SubtaskSnapshot {
        subtask_to(self)
    }
}

fn schema_bytes(schema: &SchemaRef) -> Vec<u8> {
    let mut dictionaries = DictionaryTracker::new(true);
    IpcDataGenerator::default()
        .schema_to_bytes_with_dictionary_tracker(schema, &mut dictionaries, &IpcWriteOptions::default())
        .ipc_message
}

fn subtask_to(subtask: &Subtask) -> proto::SubtaskSnapshot {
    let vectors = |entries: &[Bytes]| entries.iter().map(|entry| entry.to_vec()).collect();
    proto::SubtaskSnapshot {
        index: subtask.index.0,
        finished: subtask.finished,
        tables: subtask.tables.iter().map(table_to).collect(),
        operator_states: subtask
            .operator_states
            .iter()
            .map(|state| proto::OperatorStateSnapshot {
                name: state.name.clone(),
                redistribution: match state.redistribution {
                    Redistribution::List => proto::Redistribution::List,
                    Redistribution::Union => proto::Redistribution::Union,
                    Redistribution::Broadcast => proto::Redistribution::Broadcast,
                }
                .into(),
                encoding_version: state.encoding_version,
                entries: vectors(&state.entries),
            })
            .collect(),
        splits: subtask
            .splits
            .iter()
            .map(|split| proto::SplitPosition {
                split_id: split.split.clone(),
                encoding_version: split.encoding_version,
                payload: split.payload.to_vec(),
            })
            .collect(),
        committables: subtask
            .committables
            .iter()
            .map(|pending| proto::PendingCommittables {
                checkpoint_id: pending.checkpoint.0,
                encoding_version: pending.encoding_version,
                entries: pending.entries.iter().map(committable_to).collect(),
            })
            .collect(),
    }
}

fn table_to(table: &Table) -> proto::TableSnapshot {
    let layer_to = |layer: &Layer| proto::TableLayer {
        delta: layer.delta,
        files: layer.files.iter().map(file_to).collect(),
    };
    proto::TableSnapshot {
        state: table.state.clone(),
        key_group_start: table.range.start,
        key_group_end: table.range.end,
        layers: table.layers.iter().map(layer_to).collect(),
    }
}

fn file_to(file: &FileHandle) -> proto::FileHandle {
    let (scope, name) = match &file.scope {
        Scope::Shared => (proto::FileScope::Shared, file.name.to_string()),
        Scope::Exclusive => (proto::FileScope::Exclusive, file.name.to_string()),
        Scope::Folder(folder) => (proto::FileScope::Path, format!("{folder}/{}", file.name)),
    };
    let summary = &file.summary;
    proto::FileHandle {
        scope: scope.into(),
        name,
        bytes: summary.bytes,
        rows: summary.rows,
        hash: summary.hash.0.to_be_bytes().to_vec(),
        tail_bytes: summary.tail_bytes,
        tail_hash: summary.tail_hash,
        first_key_group: summary.first_key_group,
        last_key_group: summary.last_key_group,
    }
}

/// The error of a message whose checksum fits and that breaks a rule all the same.
fn broken(path: &str, rule: &'static str, actual: impl std::fmt::Display) -> weir_api::Error {
    Damage::new(path, 0, "the manifest", rule, actual).into()
}

pub(super) fn from_message(path: &str, message: proto::SnapshotManifest) -> Result<Manifest> {
    let kind = match message.kind() {
        proto::SnapshotKind::Checkpoint => Kind::Checkpoint,
        proto::SnapshotKind::Savepoint => Kind::Savepoint,
        proto::SnapshotKind::Unspecified => return Err(broken(path, "a kind of snapshot", message.kind)),
    };
    if message.max_parallelism == 0 {
        return Err(broken(path, "a maximum parallelism", 0));
    }
    let operator = |operator| operator_from(path, message.max_parallelism, operator);
    let operators: Vec<_> = message.operators.into_iter().map(operator).collect::<Result<_>>()?;
    let mut uids = BTreeSet::new();
    if let Some(twice) = operators.iter().find(|operator| !uids.insert(&operator.uid)) {
        return Err(broken(path, "each operator once", format!("{} twice", twice.uid)));
    }
    Ok(Manifest {
        job: JobId::try_from_slice(&message.job_id)
            .map_err(|error| broken(path, "a job id", error.message()))?,
        checkpoint: CheckpointId(message.checkpoint_id),
        kind,
        leader_epoch: LeaderEpoch(message.leader_epoch),
        attempt: Attempt(message.attempt),
        max_parallelism: message.max_parallelism,
        key_encoding_version: message.key_encoding_version,
        triggered_millis: message.triggered_millis,
        completed_millis: message.completed_millis,
        totals: Totals { full_bytes: message.full_bytes, new_bytes: message.new_bytes },
        operators,
    })
}

fn operator_from(path: &str, max_parallelism: u32, message: proto::OperatorSnapshot) -> Result<Operator> {
    let uid =
        OperatorUid::new(message.uid).map_err(|error| broken(path, "an operator's uid", error.message()))?;
    let schemas: Vec<_> =
        message.schemas.into_iter().map(|schema| schema_from(path, schema)).collect::<Result<_>>()?;
    let subtask = |subtask| subtask_from(path, max_parallelism, &schemas, subtask);
    let subtasks: Vec<Subtask> = message.subtasks.into_iter().map(subtask).collect::<Result<_>>()?;
    if !subtasks.is_sorted_by(|a, b| a.index < b.index)
        || subtasks.last().is_some_and(|last| last.index.0 >= message.parallelism)
    {
        return Err(broken(path, "each subtask once and in order", format!("others at {uid}")));
    }
    Ok(Operator { uid, name: message.name, parallelism: message.parallelism, schemas, subtasks })
}

fn schema_from(path: &str, message: proto::StateSchema) -> Result<StateSchema> {
    let schema = crate::table::caught(path, 0, || {
        let message = root_as_message(&message.arrow_schema).map_err(|error| error.to_string())?;
        let schema = message.header_as_schema().ok_or("no schema")?;
        Ok(SchemaRef::new(fb_to_schema(schema)))
    })?;
    check_schema(&schema, Contents::Full, message.key_columns)?;
    Ok(StateSchema { state: message.state, key_columns: message.key_columns, schema })
}

fn subtask_from(
    path: &str,
    max_parallelism: u32,
    schemas: &[StateSchema],
    message: proto::SubtaskSnapshot,
) -> Result<Subtask> {
    let tables = message.tables.into_iter().map(|table| table_from(path, max_parallelism, schemas, table));
    let states = message.operator_states.into_iter().map(|state| operator_state_from(path, state));
    let split = |split: proto::SplitPosition| SplitPosition {
        split: split.split_id,
        encoding_version: split.encoding_version,
        payload: split.payload.into(),
    };
    let committables: Vec<_> = message
        .committables
        .into_iter()
        .map(|pending| {
            let entries = pending.entries.into_iter().map(|entry| committable_from(path, entry));
            Ok(PendingCommittables {
                checkpoint: CheckpointId(pending.checkpoint_id),
                encoding_version: pending.encoding_version,
                entries: entries.collect::<Result<_>>()?,
            })
        })
        .collect::<Result<_>>()?;
    if !committables.is_sorted_by(|a, b| a.checkpoint < b.checkpoint) {
        return Err(broken(path, "the oldest committables first", "another order"));
    }
    Ok(Subtask {
        index: SubtaskIndex(message.index),
        finished: message.finished,
        tables: tables.collect::<Result<_>>()?,
        operator_states: states.collect::<Result<_>>()?,
        splits: message.splits.into_iter().map(split).collect(),
        committables,
    })
}

fn committable_to(committable: &Committable) -> proto::Prepared {
    let blobs = committable.blobs.iter().map(|blob| proto::Blob {
        name: blob.name.clone(),
        bytes: blob.bytes,
        hash: blob.hash.to_be_bytes().to_vec(),
    });
    proto::Prepared { payload: committable.payload.to_vec(), blobs: blobs.collect() }
}

fn committable_from(path: &str, message: proto::Prepared) -> Result<Committable> {
    let blobs = message.blobs.into_iter().map(|blob| {
        let hash = <[u8; 16]>::try_from(blob.hash.as_slice())
            .map_err(|_| broken(path, "a blob's hash of 16 bytes", format!("{} bytes", blob.hash.len())))?;
        Ok(Blob { name: blob.name, bytes: blob.bytes, hash: u128::from_be_bytes(hash) })
    });
    Ok(Committable { payload: message.payload.into(), blobs: blobs.collect::<Result<_>>()? })
}

fn operator_state_from(path: &str, message: proto::OperatorStateSnapshot) -> Result<OperatorState> {
    let redistribution = match message.redistribution() {
        proto::Redistribution::List => Redistribution::List,
        proto::Redistribution::Union => Redistribution::Union,
        proto::Redistribution::Broadcast => Redistribution::Broadcast,
        proto::Redistribution::Unspecified => {
            return Err(broken(path, "list, union or broadcast", message.redistribution));
        }
    };
    Ok(OperatorState {
        name: message.name,
        redistribution,
        encoding_version: message.encoding_version,
        entries: message.entries.into_iter().map(Bytes::from).collect(),
    })
}

fn table_from(
    path: &str,
    max_parallelism: u32,
    schemas: &[StateSchema],
    message: proto::TableSnapshot,
) -> Result<Table> {
    let range = KeyGroupRange { start: message.key_group_start, end: message.key_group_end };
    if range.start > range.end || range.end > max_parallelism {
        return Err(broken(path, "key groups below the maximum", format!("{}..{}", range.start, range.end)));
    }
    if !schemas.iter().any(|schema| schema.state == message.state) {
        return Err(broken(path, "a schema for every state", format!("none for `{}`", message.state)));
    }
    let layer_from = |layer: proto::TableLayer| -> Result<Layer> {
        let files = layer.files.into_iter().map(|file| file_from(path, range, file));
        Ok(Layer { delta: layer.delta, files: files.collect::<Result<_>>()? })
    };
    let layers: Vec<_> = message.layers.into_iter().map(layer_from).collect::<Result<_>>()?;
    if layers.iter().enumerate().any(|(at, layer)| layer.delta != (at > 0)) {
        return Err(broken(path, "a base, then deltas", format!("another order for `{}`", message.state)));
    }
    Ok(Table { state: message.state, range, layers })
}

fn file_from(path: &str, range: KeyGroupRange, message: proto::FileHandle) -> Result<FileHandle> {
    let (scope, name) = match message.scope() {
        proto::FileScope::Shared => (Scope::Shared, message.name.as_str()),
        proto::FileScope::Exclusive => (Scope::Exclusive, message.name.as_str()),
        proto::FileScope::Path => {
            let (folder, name) = message.name.rsplit_once('/').unwrap_or_default();
            (Scope::Folder(folder.to_owned()), name)
        }
        proto::FileScope::Unspecified => return Err(broken(path, "a file's scope", message.scope)),
    };
    let name: FileName =
        name.parse().map_err(|_| broken(path, "a state file's name", format!("`{name}`")))?;
    let hash = <[u8; 16]>::try_from(message.hash.as_slice()).map(u128::from_be_bytes).map(ContentHash);
    if hash.ok() != Some(name.hash) {
        return Err(broken(path, "the hash in the file's name", format!("another for {name}")));
    }
    let (first, last) = (message.first_key_group, message.last_key_group);
    if first > last || !range.contains(first) || !range.contains(last) || message.tail_bytes > message.bytes {
        return Err(broken(path, "a file within its table", format!("{name} outside")));
    }
    let summary = Summary {
        bytes: message.bytes,
        rows: message.rows,
        hash: name.hash,
        tail_bytes: message.tail_bytes,
        tail_hash: message.tail_hash,
        first_key_group: first,
        last_key_group: last,
    };
    Ok(FileHandle { scope, name, summary })
}
