//! Who may command: only the present leader, and for each job only its newest attempt.
//!
//! Invariants: the leader's epoch never goes back; an attempt is deployed once, and never after it or a later one was deployed
//! or cancelled. Pure. What it remembers of jobs is bounded; within one epoch commands come in order, so what was forgotten
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
    /// The newest attempt of each job that was deployed or cancelled.
    attempts: HashMap<JobId, Attempt>,
    /// The jobs in the order in which they came.
    order: VecDeque<JobId>,
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

    /// Admits the deployment of an attempt, or refuses one that is over or runs already.
    pub(crate) fn deploy(&mut self, job: JobId, attempt: Attempt) -> Result<()> {
        match self.attempts.get(&job) {
            Some(&known) if attempt <= known => Err(Error::new(
                Code::Fenced,
                format!(
                    "attempt {attempt} of job {job} isn't deployed: attempt {known} has been deployed or cancelled"
                ),
            )),
            _ => {
                self.remember(job, attempt);
                Ok(())
            }
        }
    }

    /// Whether it is the newest attempt of the job that anybody has spoken of.
    pub(crate) fn is_current(&self, job: JobId, attempt: Attempt) -> bool {
        self.attempts.get(&job) == Some(&attempt)
    }

    /// From now on no attempt up to this one is deployed.
    pub(crate) fn cancel(&mut self, job: JobId, attempt: Attempt) {
        if self.attempts.get(&job).is_none_or(|&known| known < attempt) {
            self.remember(job, attempt);
        }
    }

    fn remember(&mut self, job: JobId, attempt: Attempt) {
        if self.attempts.insert(job, attempt).is_none() {
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
            commands in prop::collection::vec((any::<bool>(), 0_u16..3, 0_u32..8), 0..100),
        ) {
            let mut fence = Fence::default();
            let mut newest: HashMap<u16, u32> = HashMap::new();
            for (deploy, number, attempt) in commands {
                let known = newest.get(&number).copied();
                if deploy {
                    let admitted = fence.deploy(job(number), Attempt(attempt)).is_ok();
                    prop_assert_eq!(admitted, known.is_none_or(|known| attempt > known));
                } else {
                    fence.cancel(job(number), Attempt(attempt));
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
    fn memory_is_bounded() {
        let mut fence = Fence::default();
        for number in 0..10_000 {
            fence.deploy(job(number), Attempt(1)).expect("a new job");
        }
        assert_eq!(fence.attempts.len(), JOBS);
        assert!(fence.deploy(job(9_999), Attempt(1)).is_err());
    }
}
