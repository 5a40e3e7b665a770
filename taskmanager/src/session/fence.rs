//! Who may command: only the present leader, and for each job only the attempts that aren't over.
//!
//! Invariants: the leader's epoch never goes back; an attempt is deployed once, and never after it or a later one was deployed
//! or cancelled. Where only some regions of a job start anew, the tasks of the others go on under an earlier attempt: what is said
//! to that one still counts. Pure. What it remembers of jobs is bounded; within one epoch commands come in order, so what was forgotten
//! first is what an old command can least be about.

use std::collections::{HashMap, VecDeque};

use weir_api::error::Code;
use weir_api::id::{Attempt, JobId, LeaderEpoch};
use weir_api::{Error, Result};

/// How many jobs are remembered.
const JOBS: usize = 4096;

/// The fence of one TaskManager.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    epoch: Option<LeaderEpoch>,
    attempts: HashMap<JobId, Known>,
    /// The jobs in the order in which they came.
    order: VecDeque<JobId>,
}

/// What is known of a job.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The newest attempt that was deployed or cancelled.
    newest: Attempt,
    /// No task of an attempt up to this one counts any more.
    over: Attempt,
}

impl Fence {
    /// The leader that is obeyed.
    pub(crate) fn epoch(&self) -> LeaderEpoch {
        self.epoch.unwrap_or_default()
    }

    /// A JobManager accepts the registration as leader of this epoch.
    pub(crate) fn follow(&mut self, epoch: LeaderEpoch) -> Result<()> {
        match self.epoch {
            Some(known) if epoch < known => Err(Error::new(
                Code::Fenced,
                format!(
                    "the JobManager leads epoch {epoch}, but epoch {known} has begun; if its metadata was wiped on purpose, \
                     restart this TaskManager"
                ),
            )),
            _ => {
                self.epoch = Some(epoch);
                Ok(())
            }
        }
    }

    /// Whether a message was written by the leader that is obeyed.
    pub(crate) fn is_leader(&self, epoch: LeaderEpoch) -> bool {
        self.epoch == Some(epoch)
    }

    /// Admits the deployment of an attempt, or refuses one that is over or runs already. `whole`: nothing of earlier ones goes on.
    pub(crate) fn deploy(&mut self, job: JobId, attempt: Attempt, whole: bool) -> Result<()> {
        let known = self.known(job);
        if self.attempts.contains_key(&job) && attempt <= known.newest {
            let newest = known.newest;
            return Err(Error::new(
                Code::Fenced,
                format!(
                    "attempt {attempt} of job {job} isn't deployed: attempt {newest} has been deployed or cancelled"
                ),
            ));
        }
        let over = if whole { Attempt(attempt.0.saturating_sub(1)) } else { known.over };
        self.remember(job, Known { newest: attempt, over });
        Ok(())
    }

    /// Whether tasks of this attempt may be at work here.
    pub(crate) fn is_current(&self, job: JobId, attempt: Attempt) -> bool {
        self.attempts.get(&job).is_some_and(|known| known.over < attempt && attempt <= known.newest)
    }

    /// From now on no attempt up to this one is deployed. `whole`: no task of one goes on.
    pub(crate) fn cancel(&mut self, job: JobId, attempt: Attempt, whole: bool) {
        let known = self.known(job);
        let over = if whole { known.over.max(attempt) } else { known.over };
        self.remember(job, Known { newest: known.newest.max(attempt), over });
    }

    fn known(&self, job: JobId) -> Known {
        self.attempts.get(&job).copied().unwrap_or_default()
    }

    fn remember(&mut self, job: JobId, known: Known) {
        if self.attempts.insert(job, known).is_none() {
            self.order.push_back(job);
            if self.order.len() > JOBS
                && let Some(oldest) = self.order.pop_front()
            {
                self.attempts.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job(number: u16) -> JobId {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        JobId::from_bytes(bytes)
    }

    proptest! {
        #[test]
        fn an_attempt_is_deployed_once_and_never_after_a_later_one(
            commands in prop::collection::vec((any::<bool>(), any::<bool>(), 0_u16..3, 0_u32..8), 0..100),
        ) {
            let mut fence = Fence::default();
            let mut newest: HashMap<u16, u32> = HashMap::new();
            for (deploy, whole, number, attempt) in commands {
                let known = newest.get(&number).copied();
                if deploy {
                    let admitted = fence.deploy(job(number), Attempt(attempt), whole).is_ok();
                    prop_assert_eq!(admitted, known.is_none_or(|known| attempt > known));
                } else {
                    fence.cancel(job(number), Attempt(attempt), whole);
                }
                newest.entry(number).and_modify(|known| *known = attempt.max(*known)).or_insert(attempt);
            }
        }
    }

    #[test]
    fn the_epoch_never_goes_back() {
        let mut fence = Fence::default();
        assert!(!fence.is_leader(LeaderEpoch(0)));
        fence.follow(LeaderEpoch(3)).expect("the first");
        fence.follow(LeaderEpoch(3)).expect("the same again");
        fence.follow(LeaderEpoch(5)).expect("a later one");
        assert_eq!(fence.follow(LeaderEpoch(4)).expect_err("an old one").code(), Code::Fenced);
        assert!(fence.is_leader(LeaderEpoch(5)) && !fence.is_leader(LeaderEpoch(4)));
    }

    #[test]
    fn regions_that_go_on_are_spoken_to_by_their_own_attempt() {
        let (mut fence, job) = (Fence::default(), job(1));
        let current =
            |fence: &Fence| (1..5).filter(|n| fence.is_current(job, Attempt(*n))).collect::<Vec<_>>();
        fence.deploy(job, Attempt(1), true).expect("the first");
        fence.cancel(job, Attempt(1), false);
        assert_eq!(current(&fence), [1], "others of it go on");
        fence.deploy(job, Attempt(2), false).expect("a region");
        assert_eq!(current(&fence), [1, 2]);
        assert!(fence.deploy(job, Attempt(2), false).is_err(), "twice");
        fence.deploy(job, Attempt(4), true).expect("the whole job");
        assert_eq!(current(&fence), [4]);
        fence.cancel(job, Attempt(4), true);
        assert!(current(&fence).is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut fence = Fence::default();
        for number in 0..10_000 {
            fence.deploy(job(number), Attempt(1), true).expect("a new job");
        }
        assert_eq!(fence.attempts.len(), JOBS);
        assert!(fence.deploy(job(9_999), Attempt(1), true).is_err());
    }
}
