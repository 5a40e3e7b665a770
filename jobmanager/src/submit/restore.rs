//! A job that begins from a savepoint or a checkpoint: whether it can, and what its sources go on from.
//!
//! Invariant: what is refused is refused before the job is recorded: a snapshot that can't be read, one whose keys lie elsewhere, state
//! that no operator of the job takes, unless that is allowed. What operators make of their state is found out when tasks read it.

use weir_api::config::{Configuration, options};
use weir_api::error::{Code, Error, Result};
use weir_api::graph::JobGraph;
use weir_api::storage::Location;
use weir_proto::v1::SplitAssignment;
use weir_snapshots::manifest::{Manifest, Operator};

use crate::control::checkpoint::{Retained, assemble};
use crate::control::job::record::Snapshots as Recorded;
use crate::snapshots::Snapshots;

/// Operators that an error names.
const NAMED: usize = 10;

/// What a job begins with.
pub(super) struct Beginning {
    pub(super) splits: Vec<SplitAssignment>,
    pub(super) snapshots: Recorded,
}

/// What a job with this configuration begins with, whose sources have `found` these splits.
pub(super) async fn beginning(
    snapshots: &Snapshots,
    configuration: &Configuration,
    graph: &JobGraph,
    found: Vec<SplitAssignment>,
) -> Result<Beginning> {
    let path = configuration.get(&options::RECOVERY_PATH).trim().trim_end_matches('/').to_owned();
    if path.is_empty() {
        return Ok(Beginning { splits: found, snapshots: Recorded::default() });
    }
    let path = path.strip_suffix("/_metadata").map(str::to_owned).unwrap_or(path);
    let claims = configuration.get(&options::RECOVERY_CLAIM_MODE).trim().eq_ignore_ascii_case("CLAIM");
    if claims {
        check_same_store(snapshots, &path, &configuration.get(&options::CHECKPOINT_DIR))?;
    }
    let mut retained = Retained { checkpoint: Default::default(), path, is_savepoint: !claims };
    let found_snapshot = snapshots.read(&retained).await;
    let manifest = found_snapshot
        .map_err(|error| error.context(format_args!("start the job from {}", retained.path)))?
        .manifest;
    check(&manifest, graph, &retained.path, configuration.get(&options::RECOVERY_IGNORE_UNCLAIMED))?;
    retained.checkpoint = manifest.checkpoint;
    let splits = assemble::adopt(&manifest, graph, found)?;
    // Ids go on growing, so that output that is still to be committed stays in order.
    let snapshots =
        Recorded { retained: vec![retained], reserved: manifest.checkpoint, ..Recorded::default() };
    Ok(Beginning { splits, snapshots })
}

/// Whether the job can take what the snapshot holds.
fn check(manifest: &Manifest, graph: &JobGraph, path: &str, may_leave_behind: bool) -> Result<()> {
    let refuse = |what: String| {
        Err(Error::new(Code::InvalidArgument, format!("the job can't start from {path}: {what}")))
    };
    let has_keys = manifest.tables().next().is_some();
    if has_keys && manifest.max_parallelism != graph.max_parallelism() {
        return refuse(format!(
            "its state is laid out in {} key groups, the job's would be in {}; set pipeline.max-parallelism to {}",
            manifest.max_parallelism,
            graph.max_parallelism(),
            manifest.max_parallelism
        ));
    }
    let version = weir_api::key::ENCODING_VERSION;
    if has_keys && manifest.key_encoding_version != version {
        return refuse(format!(
            "its keys are encoded in version {}, this version of Weir knows {version}",
            manifest.key_encoding_version
        ));
    }
    let uids: std::collections::BTreeSet<_> =
        graph.vertices().iter().flat_map(|vertex| &vertex.chain).map(|node| &node.uid).collect();
    let left =
        manifest.operators.iter().filter(|operator| !uids.contains(&operator.uid) && has_state(operator));
    let left: Vec<_> = left.collect();
    // Output that was prepared behind the last commit is in every snapshot, whatever became of it.
    let holds_output = left.iter().any(|operator| has_output(operator));
    let left: Vec<_> =
        left.into_iter().map(|operator| format!("{} (uid {})", operator.name, operator.uid)).collect();
    if left.is_empty() || may_leave_behind {
        return Ok(());
    }
    let others = left.len().saturating_sub(NAMED);
    let more = if others > 0 { format!(" and {others} others") } else { String::new() };
    refuse(format!(
        "nothing in the job takes the state of {}{more}; allow to leave it behind (-n, or \
         execution.state-recovery.ignore-unclaimed-state), or change the job back; `weir job diff -s {path} FILE` \
         says how they differ{}",
        left.get(..NAMED).unwrap_or(&left).join(", "),
        if holds_output {
            ". What sinks hold in the savepoint of a `weir stop` that succeeded, or in a checkpoint that completed, is visible already, so \
             that nothing of it is lost"
        } else {
            ""
        }
    ))
}

fn has_output(operator: &Operator) -> bool {
    operator.subtasks.iter().any(|subtask| !subtask.committables.is_empty())
}

/// Whether anything would be lost without the operator.
fn has_state(operator: &Operator) -> bool {
    operator.subtasks.iter().any(|subtask| {
        subtask.tables.iter().any(|table| !table.layers.is_empty())
            || subtask.operator_states.iter().any(|state| !state.entries.is_empty())
            || !subtask.splits.is_empty()
            || !subtask.committables.is_empty()
    })
}

/// A claimed snapshot's files are referred to by the job's own checkpoints, and deleted with them.
fn check_same_store(snapshots: &Snapshots, path: &str, base: &str) -> Result<()> {
    if base.is_empty() {
        return Ok(());
    }
    let is_same = match (snapshots.locate(path)?, snapshots.locate(base)?) {
        (Location::Local(_), Location::Local(_)) => true,
        (Location::Object(one), Location::Object(other)) => one.bucket.url() == other.bucket.url(),
        _ => false,
    };
    if is_same {
        return Ok(());
    }
    Err(Error::new(
        Code::InvalidConfiguration,
        format!(
            "{path} can't be claimed, as it doesn't lie in the store of execution.checkpointing.dir ({base}); use \
             execution.state-recovery.claim-mode = NO_CLAIM"
        ),
    ))
}
