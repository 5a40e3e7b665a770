//! Which layers of a snapshot the next checkpoints of a task may build on: those that are its own already.
//!
//! Invariants: what is adopted adds up to exactly the rows that the task restores, in the schema in which it keeps them; all of its
//! files lie where the job's checkpoints share them, so the manifests that name them keep them. Everything else is written anew by
//! the first checkpoint.

use weir_api::graph::KeyGroupRange;
use weir_api::id::JobId;
use weir_snapshots::layout::checkpoint_location;
use weir_snapshots::manifest::{Kind, Manifest, Operator, Scope, StateSchema, Table};

use super::upload::Chain;

/// Whether the snapshot at `path` is one of the job's own checkpoints, where its next ones go.
pub(super) fn is_own(manifest: &Manifest, path: &str, job: JobId, location: &str) -> bool {
    manifest.kind == Kind::Checkpoint
        && manifest.job == job
        && !location.is_empty()
        && checkpoint_location(location, job, manifest.checkpoint) == path.trim_end_matches('/')
}

/// The chains of all of an operator's states; `None` if it has to write one of them anew.
pub(super) fn chains(
    operator: &Operator,
    kept: &[StateSchema],
    range: KeyGroupRange,
) -> Option<Vec<(String, Chain)>> {
    kept.iter().map(|state| Some((state.state.clone(), chain(operator, state, range)?))).collect()
}

fn chain(operator: &Operator, kept: &StateSchema, range: KeyGroupRange) -> Option<Chain> {
    let found = operator.schemas.iter().find(|found| found.state == kept.state)?;
    let overlaps = |table: &&Table| table.range.start < range.end && range.start < table.range.end;
    let tables = operator.subtasks.iter().flat_map(|subtask| &subtask.tables);
    let mut tables = tables.filter(|table| table.state == kept.state).filter(overlaps);
    let table = tables.next()?;
    let is_based = table.layers.first().is_some_and(|base| !base.delta);
    let mut files = table.layers.iter().flat_map(|layer| &layer.files);
    let fits = found == kept
        && table.range == range
        && tables.next().is_none()
        && is_based
        && files.all(|file| file.scope == Scope::Shared);
    fits.then(|| Chain { schema: kept.clone(), layers: table.layers.clone() })
}
