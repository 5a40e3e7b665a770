//! The states of a task, as Flink names them, and which follows which.
//!
//! ```text
//! CREATED → SCHEDULED → DEPLOYING → INITIALIZING → RUNNING → FINISHED
//!                           └────────────┴────────────┴──→ CANCELING → CANCELED
//!                                                      └──→ FAILED
//! ```
//!
//! Invariant: a task only moves forward, and never leaves FINISHED, CANCELED or FAILED. So duplicated or late reports can't
//! bring a task back to life.

use weir_proto::v1 as proto;

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $lower:literal;)*) => {
        /// A task's state.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum TaskState {
            $($(#[$doc])* $name,)*
        }

        impl TaskState {
            /// All states, in their order.
            pub const ALL: [Self; 9] = [$(Self::$name,)*];

            /// Flink's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Flink's word in lower case, as `/jobs/overview` counts tasks.
            #[must_use]
            pub const fn as_lower_str(self) -> &'static str {
                match self { $(Self::$name => $lower,)* }
            }
        }
    };
}

states! {
    /// Known, not yet placed.
    Created = "CREATED", "created";
    /// Has a slot.
    Scheduled = "SCHEDULED", "scheduled";
    /// Sent to its TaskManager.
    Deploying = "DEPLOYING", "deploying";
    /// Connecting channels and restoring state there.
    Initializing = "INITIALIZING", "initializing";
    /// Processing.
    Running = "RUNNING", "running";
    /// Asked to stop.
    Canceling = "CANCELING", "canceling";
    /// Reached the end of its input.
    Finished = "FINISHED", "finished";
    /// Stopped.
    Canceled = "CANCELED", "canceled";
    /// Stopped by an error.
    Failed = "FAILED", "failed";
}

impl TaskState {
    /// Whether nothing follows.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled | Self::Failed)
    }

    /// Position for arrays over all states.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether `next` may follow.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        !self.is_terminal() && (self as usize) < next as usize
    }

    /// The state in a message; `None` for a number that means nothing.
    #[must_use]
    pub fn from_message(state: i32) -> Option<Self> {
        Some(match proto::TaskState::try_from(state).ok()? {
            proto::TaskState::Unspecified => return None,
            proto::TaskState::Created => Self::Created,
            proto::TaskState::Scheduled => Self::Scheduled,
            proto::TaskState::Deploying => Self::Deploying,
            proto::TaskState::Initializing => Self::Initializing,
            proto::TaskState::Running => Self::Running,
            proto::TaskState::Finished => Self::Finished,
            proto::TaskState::Canceling => Self::Canceling,
            proto::TaskState::Canceled => Self::Canceled,
            proto::TaskState::Failed => Self::Failed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_an_end_and_nothing_goes_back() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::ALL[state.index()], state);
            assert!(!state.may_become(state));
            for next in TaskState::ALL {
                assert!(!state.is_terminal() || !state.may_become(next));
                assert!(!(state.may_become(next) && next.may_become(state)));
            }
        }
        assert!(TaskState::Canceling.may_become(TaskState::Finished), "it may have finished before it heard");
    }

    #[test]
    fn messages_have_a_state_each() {
        let known: Vec<_> = (0..12).filter_map(TaskState::from_message).collect();
        assert_eq!(known.len(), TaskState::ALL.len());
        for state in TaskState::ALL {
            let word = proto::TaskState::from_str_name(state.as_str()).expect("same words");
            assert_eq!(TaskState::from_message(word as i32), Some(state));
            assert_eq!(state.as_lower_str(), state.as_str().to_lowercase());
        }
    }
}
