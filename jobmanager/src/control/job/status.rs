//! The states of a job, as Flink names them, which may follow which, and since when.
//!
//! ```text
//! INITIALIZING → CREATED ────────→ RUNNING ──────────────────→ FINISHED
//!                  │  ↑              │  ↑
//!                  │  │   RESTARTING ←──┘ (again with slots)
//!                  │  │        │     │
//!                  ├──┼────────┼─────┼→ FAILING    → FAILED
//!                  └──┼────────┴─────┴→ CANCELLING → CANCELED
//! RECONCILING ────────┘   (after a change of leader; then like RESTARTING)
//! any but the last three → SUSPENDED (the JobManager stops and the job stays in the metadata)
//! ```
//!
//! Invariant: FINISHED, FAILED and CANCELED are never left.

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A job's state.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum JobStatus {
            $($(#[$doc])* $name,)*
        }

        impl JobStatus {
            /// All states, in the order in which Flink lists their timestamps.
            pub const ALL: [Self; 11] = [$(Self::$name,)*];

            /// Flink's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

statuses! {
    /// Taken, being prepared.
    Initializing = "INITIALIZING";
    /// Waiting for its first slots.
    Created = "CREATED";
    /// Its tasks are out.
    Running = "RUNNING";
    /// Stopping its tasks, then failing.
    Failing = "FAILING";
    /// Ended by an error.
    Failed = "FAILED";
    /// Stopping its tasks on request.
    Cancelling = "CANCELLING";
    /// Ended on request.
    Canceled = "CANCELED";
    /// Ended well, its results visible.
    Finished = "FINISHED";
    /// Stopping its tasks, waiting, then starting again.
    Restarting = "RESTARTING";
    /// The JobManager stops; the next one goes on with the job.
    Suspended = "SUSPENDED";
    /// Read from the metadata by a new leader.
    Reconciling = "RECONCILING";
}

impl JobStatus {
    /// Whether nothing follows.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Canceled)
    }

    /// Whether `next` may follow.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use JobStatus as S;
        if self == next {
            return false;
        }
        match (self, next) {
            (S::Finished | S::Failed | S::Canceled | S::Suspended, _) => false,
            (S::Failing, S::Failed | S::Suspended) => true,
            (S::Failing, _) => false,
            (S::Cancelling, S::Canceled | S::Failed | S::Suspended) => true,
            (S::Cancelling, _) => false,
            (_, S::Initializing | S::Reconciling) => false,
            (S::Initializing, S::Created) => true,
            (_, S::Created) => false,
            (S::Running | S::Reconciling, S::Finished) | (_, S::Suspended) => true,
            (_, S::Finished) => false,
            (_, S::Failed | S::Canceled) => true,
            (_, S::Running | S::Failing | S::Cancelling | S::Restarting) => true,
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// The present state and when each was entered last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    current: JobStatus,
    entered: [Option<i64>; JobStatus::ALL.len()],
    /// Milliseconds spent in each state before the present stay.
    spent: [u64; JobStatus::ALL.len()],
}

impl History {
    /// A history that begins.
    #[must_use]
    pub fn new(status: JobStatus, unix_millis: i64) -> Self {
        let mut entered = [None; JobStatus::ALL.len()];
        entered[status as usize] = Some(unix_millis);
        Self { current: status, entered, spent: [0; JobStatus::ALL.len()] }
    }

    /// Where the job is.
    #[must_use]
    pub const fn current(&self) -> JobStatus {
        self.current
    }

    /// When it entered a state last, in Unix milliseconds.
    #[must_use]
    pub const fn entered(&self, status: JobStatus) -> Option<i64> {
        self.entered[status as usize]
    }

    /// When it entered the present one.
    #[must_use]
    pub fn since(&self) -> i64 {
        self.entered(self.current).unwrap_or_default()
    }

    /// How long it has been in a state altogether, in milliseconds.
    #[must_use]
    pub fn total_millis(&self, status: JobStatus, unix_millis: i64) -> u64 {
        let present = if self.current == status { self.present_millis(unix_millis) } else { 0 };
        self.spent[status as usize].saturating_add(present)
    }

    /// How long the present stay has lasted, in milliseconds.
    #[must_use]
    pub fn present_millis(&self, unix_millis: i64) -> u64 {
        u64::try_from(unix_millis.saturating_sub(self.since())).unwrap_or(0)
    }

    /// Moves on. Staying is no move; what may not follow is refused, which would be a bug of the caller.
    pub fn set(&mut self, status: JobStatus, unix_millis: i64) {
        if status == self.current {
            return;
        }
        debug_assert!(self.current.may_become(status), "{:?} can't become {status:?}", self.current);
        if self.current.may_become(status) {
            let spent = self.present_millis(unix_millis);
            self.spent[self.current as usize] = self.spent[self.current as usize].saturating_add(spent);
            self.current = status;
            self.entered[status as usize] = Some(unix_millis);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_states_are_final_and_reachable() {
        for status in JobStatus::ALL {
            assert_eq!(JobStatus::from_name(status.as_str()), Some(status));
            let leaves = JobStatus::ALL.into_iter().any(|next| status.may_become(next));
            assert_eq!(leaves, !status.is_terminal() && status != JobStatus::Suspended, "{status:?}");
            assert!(!status.may_become(status));
        }
        assert!(!JobStatus::Failing.may_become(JobStatus::Running));
        assert!(!JobStatus::Restarting.may_become(JobStatus::Finished));
    }

    #[test]
    fn times_add_up_over_several_stays() {
        let mut history = History::new(JobStatus::Initializing, 0);
        history.set(JobStatus::Created, 10);
        history.set(JobStatus::Running, 30);
        history.set(JobStatus::Restarting, 100);
        history.set(JobStatus::Running, 150);
        assert_eq!(history.total_millis(JobStatus::Running, 200), 70 + 50);
        assert_eq!(history.total_millis(JobStatus::Restarting, 200), 50);
        assert_eq!(history.entered(JobStatus::Running), Some(150));
    }
}
