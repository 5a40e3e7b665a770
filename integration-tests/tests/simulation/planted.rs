//! Bugs that the simulation must find: switched on one at a time, to show that it would.
//!
//! Those of the state machines sit in their crates behind the feature `planted-bugs`; the others in the shells of this
//! simulation, where the real shells have no pure part that they could sit in.

use std::cell::Cell;

use weir_jobmanager::control::planted as jobmanager;
use weir_taskmanager::protocol::planted as taskmanager;

/// A bug, and where it is planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// Snapshot at the first barrier (`task::aligner`).
    NoAlignment,
    /// A sink's output is visible as soon as it is prepared (shell).
    CommitAtPreparation,
    /// A transactional id's new producer goes on without fencing the old one (shell).
    NoFencing,
    /// Metadata is written whatever is there (shell).
    PointerWithoutCompare,
    /// An attempt starts without committing what the manifest holds (shell).
    NoCommitAtRecovery,
    /// A checkpoint is acknowledged before its files are durable (shell).
    AcknowledgedBeforeUpload,
    /// Only the newest output of a sink is kept in acknowledgements (`task::checkpoint`).
    OnlyNewestPrepared,
    /// A source's position is read when its part is uploaded (shell).
    LatePosition,
    /// Sinks are told to commit before the pointer is durable (`control::checkpoint`).
    CommitBeforePointer,
    /// What follows a gap in a channel is taken for what was missing (shell).
    GapInChannelIgnored,
    /// Input is taken in before the state is restored (`task::checkpoint`).
    InputBeforeRestore,
    /// A delta is acknowledged although what it builds on was given up (`task::checkpoint`).
    LostDeltaForgotten,
    /// A sink's output is forgotten as soon as it is acknowledged (`task::checkpoint`).
    ForgottenAtAcknowledgement,
    /// How far a writer had come is read up to the first open transaction, whoever's it is (shell).
    ProgressReadTooEarly,
    /// Files of a checkpoint that is over go, whoever else reaches them (shell).
    SharedFilesDeleted,
    /// Files of a checkpoint that was given up go with it, though later ones build on them (shell; the simulation found it in the
    /// JobManager).
    AbortedFilesDeleted,
    /// The savepoint that a job stops behind lets older checkpoints go, and with them output that is still to be committed
    /// (`control::checkpoint`; the simulation found it there).
    StopDeletesPending,
    /// What failed to be committed is not tried again (shell).
    CommitErrorSwallowed,
    /// When a part of a job starts anew, the sinks of the rest are fenced, too (`control::job`).
    SurvivorsFenced,
    /// When a part of a job starts anew, splits that were found for the rest are dropped (`control::job`).
    SurvivorsSplitsDropped,
    /// When a part of a job starts anew, what the rest has prepared is taken for leftovers (shell).
    SurvivorsLeftoversRemoved,
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Whether the bug is there, on this thread.
pub(crate) fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Plants one, or none, on this thread.
pub(crate) fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
    taskmanager::plant(bug.and_then(|bug| {
        Some(match bug {
            Bug::NoAlignment => taskmanager::Bug::NoAlignment,
            Bug::OnlyNewestPrepared => taskmanager::Bug::OnlyNewestPrepared,
            Bug::ForgottenAtAcknowledgement => taskmanager::Bug::ForgottenAtAcknowledgement,
            Bug::InputBeforeRestore => taskmanager::Bug::InputBeforeRestore,
            Bug::LostDeltaForgotten => taskmanager::Bug::LostDeltaForgotten,
            _ => return None,
        })
    }));
    jobmanager::plant(bug.and_then(|bug| {
        Some(match bug {
            Bug::CommitBeforePointer => jobmanager::Bug::CommitBeforePointer,
            Bug::StopDeletesPending => jobmanager::Bug::StopDeletesPending,
            Bug::SurvivorsFenced => jobmanager::Bug::SurvivorsFenced,
            Bug::SurvivorsSplitsDropped => jobmanager::Bug::SurvivorsSplitsDropped,
            _ => return None,
        })
    }));
}

/// All of them.
pub(crate) const ALL: [Bug; 21] = [
    Bug::NoAlignment,
    Bug::CommitAtPreparation,
    Bug::NoFencing,
    Bug::PointerWithoutCompare,
    Bug::NoCommitAtRecovery,
    Bug::AcknowledgedBeforeUpload,
    Bug::OnlyNewestPrepared,
    Bug::LatePosition,
    Bug::CommitBeforePointer,
    Bug::GapInChannelIgnored,
    Bug::InputBeforeRestore,
    Bug::LostDeltaForgotten,
    Bug::ForgottenAtAcknowledgement,
    Bug::ProgressReadTooEarly,
    Bug::CommitErrorSwallowed,
    Bug::SharedFilesDeleted,
    Bug::AbortedFilesDeleted,
    Bug::StopDeletesPending,
    Bug::SurvivorsFenced,
    Bug::SurvivorsSplitsDropped,
    Bug::SurvivorsLeftoversRemoved,
];
