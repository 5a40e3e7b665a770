//! The pure parts of a TaskManager, for whoever puts them into a simulated world: the session with the JobManager, the alignment of
//! barriers.
//!
//! Not for use otherwise: [`crate::TaskManager`] runs them.

pub use crate::session::backoff::Backoff;
pub use crate::session::machine as session;
pub use crate::task::aligner::{Aligner, Decision};
