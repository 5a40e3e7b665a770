//! Whether a round has shown anything.

use std::fmt;

use crate::check::Outputs;
use crate::nemesis::{GAP_POINTS, JOBMANAGER_GAP_POINTS};
use crate::watch::Seen;
use crate::workload::Workload;

/// Checkpoints that must be there before the first fault.
pub const CHECKPOINTS_FIRST: u64 = 3;

/// What happened in a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Evidence {
    /// Completed checkpoints before the first fault.
    pub checkpoints_before: u64,
    /// Completed checkpoints.
    pub checkpoints: u64,
    /// Attempts that went on from a checkpoint.
    pub restores: u64,
    /// Records that were read again, at least.
    pub replayed: u64,
    /// Records that stand in the topics without being committed.
    pub aborted: u64,
    /// Kills between a checkpoint's completion and the end of its commit.
    pub gaps: u64,
}

impl Evidence {
    /// From what was seen, written and struck.
    pub fn of(before: u64, seen: &Seen, workload: &Workload, outputs: &Outputs, strikes: &[String]) -> Self {
        let views = [&outputs.identity, &outputs.counts, &outputs.windows, &outputs.late];
        let in_gap = |strike: &&String| {
            strike.ends_with("reached")
                && !strike.ends_with("not reached")
                && GAP_POINTS.iter().chain(&JOBMANAGER_GAP_POINTS).any(|point| strike.contains(point))
        };
        Self {
            checkpoints_before: before,
            checkpoints: seen.completed(),
            restores: seen.restores(),
            replayed: seen.read().saturating_sub(workload.total()),
            aborted: views.iter().map(|view| view.aborted() as u64).sum(),
            gaps: strikes.iter().filter(in_gap).count() as u64,
        }
    }

    /// What a round must have and this one has not.
    pub fn missing(&self) -> Vec<&'static str> {
        let wanted = [
            (self.checkpoints_before >= CHECKPOINTS_FIRST, "three checkpoints before the first fault"),
            (self.restores > 0, "a restore"),
            (self.replayed > 0, "records that were read again"),
            (self.aborted + self.gaps > 0, "a transaction broken off or finished by a recovery"),
        ];
        wanted.into_iter().filter(|(is_there, _)| !is_there).map(|(_, what)| what).collect()
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { checkpoints, restores, replayed, aborted, gaps, .. } = self;
        write!(
            f,
            "{checkpoints} checkpoints, {restores} restores, {replayed} records read again, {aborted} aborted, {gaps} killed in the gap"
        )
    }
}
