//! Which job may use a slot's thread next, when several want it.
//!
//! Each job is charged for the time that its tasks take. A job may go on while it isn't ahead of another waiting job by more
//! than one quantum, so two jobs get half of the thread each, however many tasks they have. A job that comes back from waiting
//! starts level with those that run: time not used isn't saved up. Pure: knows neither threads nor clocks.

use std::time::Duration;

use weir_api::id::JobId;

/// How far a job may be ahead of another that wants the thread.
const QUANTUM: Duration = Duration::from_millis(5);

/// The jobs that have tasks on a slot; few, mostly one.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    jobs: Vec<Share>,
}

#[derive(Debug)]
struct Share {
    job: JobId,
    used: Duration,
    tasks: usize,
    /// Tasks that want the thread.
    ready: usize,
}

impl Shares {
    /// A task of the job has come; it doesn't want the thread yet.
    pub(crate) fn add(&mut self, job: JobId) {
        match self.share(job) {
            Some(share) => share.tasks += 1,
            None => self.jobs.push(Share { job, used: Duration::ZERO, tasks: 1, ready: 0 }),
        }
    }

    /// A task that doesn't want the thread has gone.
    pub(crate) fn remove(&mut self, job: JobId) {
        if let Some(share) = self.share(job) {
            share.tasks -= 1;
        }
        self.jobs.retain(|share| share.tasks > 0);
    }

    /// A task wants the thread again.
    pub(crate) fn wake(&mut self, job: JobId) {
        let floor = self.least_used(job);
        if let Some(share) = self.share(job) {
            if share.ready == 0 {
                share.used = share.used.max(floor.unwrap_or_default());
            }
            share.ready += 1;
            debug_assert!(share.ready <= share.tasks, "more tasks want the thread than there are");
        }
    }

    /// A task waits for something else than the thread.
    pub(crate) fn sleep(&mut self, job: JobId) {
        if let Some(share) = self.share(job) {
            debug_assert!(share.ready > 0, "a task sleeps twice");
            share.ready = share.ready.saturating_sub(1);
        }
    }

    /// A task of the job has used the thread for so long.
    pub(crate) fn charge(&mut self, job: JobId, used: Duration) {
        if let Some(share) = self.share(job) {
            share.used += used;
        }
    }

    /// Whether the job may go on now; else its task yields the thread and asks again.
    pub(crate) fn may_run(&self, job: JobId) -> bool {
        let Some(share) = self.jobs.iter().find(|share| share.job == job) else { return true };
        self.least_used(job).is_none_or(|least| share.used <= least + QUANTUM)
    }

    fn share(&mut self, job: JobId) -> Option<&mut Share> {
        self.jobs.iter_mut().find(|share| share.job == job)
    }

    /// What the least served of the other jobs that want the thread has used.
    fn least_used(&self, besides: JobId) -> Option<Duration> {
        self.jobs.iter().filter(|share| share.job != besides && share.ready > 0).map(|share| share.used).min()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn job(number: u8) -> JobId {
        JobId::from_bytes([number; 16])
    }

    fn start(shares: &mut Shares, job: JobId) {
        shares.add(job);
        shares.wake(job);
    }

    /// Lets the tasks take turns, each using `cost` when its job may run; answers what each job got.
    fn run(shares: &mut Shares, tasks: &[(JobId, Duration)], turns: usize) -> HashMap<JobId, Duration> {
        let mut got = HashMap::new();
        for turn in 0..turns {
            let (job, cost) = tasks[turn % tasks.len()];
            if shares.may_run(job) {
                shares.charge(job, cost);
                *got.entry(job).or_default() += cost;
            }
        }
        got
    }

    proptest! {
        #[test]
        fn two_jobs_get_half_each_however_many_tasks_they_have(
            many in 1_usize..20,
            costs in prop::collection::vec(1_u64..3_000, 21),
        ) {
            let mut shares = Shares::default();
            let mut tasks = vec![(job(1), Duration::from_micros(costs[0]))];
            tasks.extend((0..many).map(|index| (job(2), Duration::from_micros(costs[index + 1]))));
            for (job, _) in &tasks {
                start(&mut shares, *job);
            }
            let got = run(&mut shares, &tasks, 20_000);
            let (one, two) = (got[&job(1)], got[&job(2)]);
            prop_assert!(one.abs_diff(two) <= QUANTUM + Duration::from_millis(6), "{one:?} and {two:?}");
        }

        #[test]
        fn somebody_may_always_run(charges in prop::collection::vec((1_u8..5, 0_u64..50_000), 0..200)) {
            let mut shares = Shares::default();
            for number in 1..5 {
                start(&mut shares, job(number));
            }
            for (number, micros) in charges {
                shares.charge(job(number), Duration::from_micros(micros));
                prop_assert!((1..5).any(|number| shares.may_run(job(number))));
            }
        }
    }

    #[test]
    fn time_not_used_is_not_saved_up() {
        let mut shares = Shares::default();
        start(&mut shares, job(1));
        shares.add(job(2));
        shares.charge(job(1), Duration::from_secs(10));
        assert!(shares.may_run(job(1)), "nobody else wants the thread");
        shares.wake(job(2));
        let tasks = [(job(1), Duration::from_millis(1)), (job(2), Duration::from_millis(1))];
        let got = run(&mut shares, &tasks, 1_000);
        assert!(got[&job(1)] >= Duration::from_millis(400), "{got:?}");
        shares.sleep(job(1));
        shares.remove(job(1));
        assert!(shares.may_run(job(2)));
    }
}
