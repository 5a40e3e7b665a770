//! What these tests ask of snapshots.

use prost::Message as _;
use weir_proto::v1::Split;
use weir_snapshots::manifest::Manifest;

/// The folder of a savepoint.
pub(super) fn savepoint(checkpoint: u64) -> String {
    format!("memory://store/savepoints/savepoint-{checkpoint}")
}

/// What its sinks prepared.
pub(super) fn committables(manifest: &Manifest) -> impl Iterator<Item = Vec<u8>> {
    let subtasks = manifest.operators.iter().flat_map(|operator| &operator.subtasks);
    let entries = subtasks.flat_map(|subtask| &subtask.committables).flat_map(|pending| &pending.entries);
    entries.map(|entry| entry.payload.to_vec())
}

/// How far its sources had come.
pub(super) fn positions(manifest: &Manifest) -> Vec<Split> {
    let subtasks = manifest.operators[0].subtasks.iter();
    let splits = subtasks.flat_map(|subtask| &subtask.splits);
    let mut splits: Vec<_> = splits.map(|split| Split::decode(split.payload.clone()).unwrap()).collect();
    splits.sort_by(|a, b| a.id.cmp(&b.id));
    splits
}
