//! From the parts of all tasks to the manifest of a snapshot, and from a manifest to what the sources go on from: pure functions.
//!
//! Invariant: every operator of the graph of which some task said something is in the manifest, under its uid, each subtask once.
//! They don't know where anything lies.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::JobGraph;
use weir_api::id::{Attempt, CheckpointId, JobId, LeaderEpoch};
use weir_proto::v1::{OperatorSnapshot, SnapshotKind, SnapshotManifest, Split, SplitAssignment, StateSchema};
use weir_snapshots::manifest::Manifest;

use super::part::Parts;
use crate::control::splits;

/// What a manifest says of itself.
#[derive(Clone, Debug)]
pub struct Header {
    /// Whose.
    pub job: JobId,
    /// Which.
    pub checkpoint: CheckpointId,
    /// Whether it is a savepoint.
    pub is_savepoint: bool,
    /// Under which leader.
    pub epoch: LeaderEpoch,
    /// Taken by which attempt.
    pub attempt: Attempt,
    /// When it was triggered, in Unix milliseconds.
    pub triggered_millis: i64,
    /// When the last part came.
    pub completed_millis: i64,
}

/// The manifest of a snapshot that all tasks have taken their parts of.
pub fn manifest(header: &Header, graph: &JobGraph, parts: &Parts) -> Result<Manifest> {
    let mut operators = Vec::new();
    for (index, vertex) in (0_u32..).zip(graph.vertices()) {
        let of_vertex: Vec<_> =
            parts.iter().filter(|((vertex, _), _)| vertex.0 == index).map(|(_, part)| part).collect();
        for (position, node) in (0_u32..).zip(&vertex.chain) {
            let mut schemas: BTreeMap<&str, &StateSchema> = BTreeMap::new();
            let mut subtasks = Vec::new();
            for part in &of_vertex {
                for own in part.snapshot.operators.iter().filter(|own| own.operator == position) {
                    schemas.extend(own.schemas.iter().map(|schema| (schema.state.as_str(), schema)));
                    subtasks.extend(own.subtask.clone());
                }
            }
            if !subtasks.is_empty() {
                operators.push(OperatorSnapshot {
                    uid: node.uid.as_str().to_owned(),
                    name: node.name.clone(),
                    parallelism: vertex.parallelism,
                    schemas: schemas.into_values().cloned().collect(),
                    subtasks,
                });
            }
        }
    }
    let kind = if header.is_savepoint { SnapshotKind::Savepoint } else { SnapshotKind::Checkpoint };
    let message = SnapshotManifest {
        job_id: header.job.as_bytes().to_vec(),
        checkpoint_id: header.checkpoint.0,
        kind: kind.into(),
        leader_epoch: header.epoch.0,
        attempt: header.attempt.0,
        max_parallelism: graph.max_parallelism(),
        key_encoding_version: weir_api::key::ENCODING_VERSION,
        triggered_millis: header.triggered_millis,
        completed_millis: header.completed_millis,
        full_bytes: 0,
        new_bytes: 0,
        operators,
    };
    let mut manifest = Manifest::from_message(message)?;
    manifest.totals = manifest.count();
    Ok(manifest)
}

/// Splits by id, with where reading goes on.
pub type Positions = BTreeMap<u32, BTreeMap<String, Split>>;

/// How far the sources had come, by vertex.
pub fn positions(manifest: &Manifest, graph: &JobGraph) -> Result<Positions> {
    let mut positions = Positions::new();
    for (vertex, _, split) in splits_of(manifest, graph)? {
        positions.entry(vertex).or_default().insert(split.id.clone(), split);
    }
    Ok(positions)
}

/// Every split of the manifest, with the vertex of the graph that reads it and the subtask that had it.
fn splits_of(manifest: &Manifest, graph: &JobGraph) -> Result<Vec<(u32, u32, Split)>> {
    let mut all = Vec::new();
    for (index, vertex) in (0_u32..).zip(graph.vertices()) {
        let Some(head) = vertex.chain.first() else { continue };
        let Some(operator) = manifest.operators.iter().find(|operator| operator.uid == head.uid) else {
            continue;
        };
        for subtask in &operator.subtasks {
            for position in &subtask.splits {
                let split = Split::decode(position.payload.clone()).map_err(|error| {
                    let what = format!("the position of split '{}' of '{}'", position.split, operator.name);
                    Error::new(Code::SnapshotDamaged, format!("{what} can't be read")).with_source(error)
                })?;
                all.push((index, subtask.index.0, split));
            }
        }
    }
    Ok(all)
}

/// What each source subtask of a further attempt reads: what the record says, from where the snapshot says. A split that was found
/// after the snapshot is read from its beginning; each stays with its subtask.
#[must_use]
pub fn with_positions(recorded: &[SplitAssignment], positions: &Positions) -> Vec<SplitAssignment> {
    let mut all = recorded.to_vec();
    for assignment in &mut all {
        let Some(known) = positions.get(&assignment.vertex) else { continue };
        for split in &mut assignment.splits {
            if let Some(there) = known.get(&split.id) {
                *split = there.clone();
            }
        }
    }
    all
}

/// What each source subtask of a job reads that begins from another job's snapshot. Sources of which the snapshot knows nothing keep
/// what was `found` for them; the others go on with the snapshot's splits: each stays with its subtask where the parallelism is the
/// same, else they are dealt out anew.
pub fn adopt(
    manifest: &Manifest,
    graph: &JobGraph,
    found: Vec<SplitAssignment>,
) -> Result<Vec<SplitAssignment>> {
    let mut by_vertex: BTreeMap<u32, Vec<(u32, Split)>> = BTreeMap::new();
    for (vertex, subtask, split) in splits_of(manifest, graph)? {
        by_vertex.entry(vertex).or_default().push((subtask, split));
    }
    let mut all = found;
    all.retain(|assignment| !by_vertex.contains_key(&assignment.vertex));
    for (index, splits) in by_vertex {
        let Some(vertex) = graph.vertices().get(index as usize) else { continue };
        let uid = vertex.chain.first().map(|head| &head.uid);
        let before = manifest.operators.iter().find(|operator| Some(&operator.uid) == uid);
        let mut shares: Vec<Vec<Split>> = vec![Vec::new(); vertex.parallelism as usize];
        if before.is_some_and(|before| before.parallelism == vertex.parallelism) {
            for (subtask, split) in splits {
                if let Some(share) = shares.get_mut(subtask as usize) {
                    share.push(split);
                }
            }
        } else {
            // What has been read to its end weighs nothing.
            let (ended, open): (Vec<_>, Vec<_>) =
                splits.into_iter().map(|(_, split)| split).partition(|split| split.ended);
            shares = splits::assign(open, vertex.parallelism);
            if let Some(first) = shares.first_mut() {
                first.extend(ended);
            }
        }
        let shares = (0..).zip(shares).filter(|(_, splits)| !splits.is_empty());
        all.extend(shares.map(|(subtask, splits)| SplitAssignment { vertex: index, subtask, splits }));
    }
    Ok(all)
}

/// The splits of a deployment.
#[must_use]
pub fn deployed(
    recorded: &Arc<Vec<SplitAssignment>>,
    positions: Option<&Positions>,
) -> Arc<Vec<SplitAssignment>> {
    match positions {
        Some(positions) if !positions.is_empty() => Arc::new(with_positions(recorded, positions)),
        _ => Arc::clone(recorded),
    }
}
