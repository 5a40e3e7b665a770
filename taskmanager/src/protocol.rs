//! The pure parts of a TaskManager, for whoever puts them into a simulated world: the session with the JobManager, the alignment of
//! barriers, the checkpoints of a task.
//!
//! A task with inputs feeds what its channels deliver to an [`Aligner`]; what that lets through, and what a source's trigger makes,
//! goes to the task's [`checkpoint::Machine`], whose actions say what is frozen, uploaded and acknowledged. Not for use otherwise:
//! [`crate::TaskManager`] runs them.

pub use crate::region::Region;
pub use crate::session::backoff::Backoff;
pub use crate::session::machine as session;
pub use crate::task::aligner::{Aligner, Decision};
pub use crate::task::checkpoint;

/// Bugs to plant.
#[cfg(feature = "planted-bugs")]
pub mod planted {
    pub use crate::planted::{Bug, plant};
}
