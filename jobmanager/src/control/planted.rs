//! Bugs that the simulation of the protocol plants, to show that it would find them.
//!
//! Only with the feature `planted-bugs`, which nothing but that test turns on; without it [`planted!`] is `false` when it is compiled.
//! A bug is planted on the thread that plants it, and on no other.

#[cfg(feature = "planted-bugs")]
pub use switch::{Bug, plant};

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    /// A bug.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Bug {
        /// A checkpoint's output is committed before the job's pointer leads to it.
        CommitBeforePointer,
        /// The savepoint that a job stops behind lets older checkpoints go, and with them what isn't committed yet.
        StopDeletesPending,
        /// When a region starts anew, the sinks of the others are fenced, too.
        SurvivorsFenced,
        /// When a region starts anew, splits that were found for the others are dropped.
        SurvivorsSplitsDropped,
    }

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants one, or none, on this thread.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub(crate) use switch::is_planted;

/// Whether a bug is planted: never without the feature.
macro_rules! planted {
    ($bug:ident) => {{
        #[cfg(feature = "planted-bugs")]
        let is_planted = crate::control::planted::is_planted(crate::control::planted::Bug::$bug);
        #[cfg(not(feature = "planted-bugs"))]
        let is_planted = false;
        is_planted
    }};
}
pub(crate) use planted;
