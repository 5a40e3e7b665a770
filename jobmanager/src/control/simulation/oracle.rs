//! What must hold at every moment of a simulation, and what has happened in all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use weir_api::id::{Attempt, ExecutionId, JobId};

use crate::control::job::record::{JobRecord, SinkCommit, Stage};
use crate::control::job::status::JobStatus;

#[derive(Debug, Default)]
pub(super) struct Oracle {
    jobs: HashMap<JobId, Job>,
    pub(super) kills: u32,
    pub(super) cuts: u32,
    commits: u32,
    repeated_commits: u32,
    restarts: u32,
    finished: u32,
    failed: u32,
    canceled: u32,
}

#[derive(Debug, Default)]
struct Job {
    sources: u32,
    sinks: u32,
    deployed: Attempt,
    aborted: Option<Attempt>,
    committed: Option<Attempt>,
    finished: BTreeMap<Attempt, BTreeSet<ExecutionId>>,
}

impl Oracle {
    fn job(&mut self, id: JobId) -> &mut Job {
        self.jobs.entry(id).or_default()
    }

    pub(super) fn submitted(&mut self, record: &JobRecord) {
        let vertices = record.spec.graph.vertices();
        let job = self.job(record.spec.id);
        job.sources = vertices[0].parallelism;
        job.sinks = vertices[1].parallelism;
    }

    pub(super) fn has_split(&mut self, task: ExecutionId) -> bool {
        task.subtask.0 < self.job(task.job).sources
    }

    /// The core has sent a deployment. (A TaskManager that is thought lost may get it later than that.)
    pub(super) fn deployed(&mut self, id: JobId, attempt: Attempt) {
        let job = self.job(id);
        assert!(attempt >= job.deployed, "attempt {attempt} after {}", job.deployed);
        assert!(job.committed.is_none(), "deployed after its results were committed");
        assert!(job.aborted.is_none_or(|aborted| attempt > aborted), "attempt {attempt} was aborted before");
        let again = attempt > job.deployed && job.deployed > Attempt(0);
        job.deployed = attempt;
        self.restarts += u32::from(again);
    }

    pub(super) fn finished(&mut self, task: ExecutionId) {
        self.job(task.job).finished.entry(task.attempt).or_default().insert(task);
    }

    pub(super) fn aborted(&mut self, id: JobId, attempt: Attempt) {
        let job = self.job(id);
        assert!(job.committed.is_none(), "aborted after its results were committed");
        job.aborted = job.aborted.max(Some(attempt));
    }

    pub(super) fn recorded(&mut self, before: Option<&JobRecord>, after: &JobRecord) {
        let before = before.expect("it was submitted");
        assert!(after.attempt >= before.attempt, "attempts only grow");
        assert!(!matches!(before.stage, Stage::Ended { .. }), "written after its end");
        if let Stage::Committing(sinks) = &before.stage {
            match &after.stage {
                Stage::Committing(again) => assert_eq!(again, sinks, "what is committed doesn't change"),
                Stage::Ended { status, .. } => assert_ne!(*status, JobStatus::Canceled),
                Stage::Active => panic!("active after the decision to commit"),
            }
        }
    }

    pub(super) fn committed(
        &mut self,
        id: JobId,
        attempt: Attempt,
        sinks: &[SinkCommit],
        stage: Option<&Stage>,
    ) {
        assert_eq!(stage, Some(&Stage::Committing(sinks.to_vec())), "committed what was not recorded");
        let job = self.job(id);
        assert!(job.committed.is_none_or(|committed| committed == attempt), "two attempts were committed");
        assert!(job.aborted.is_none_or(|aborted| aborted < attempt), "committed after it was aborted");
        let finished = job.finished.get(&attempt).map_or(0, BTreeSet::len) as u32;
        assert_eq!(finished, job.sources + job.sinks, "committed before all tasks had finished");
        let mut payloads: Vec<_> = sinks.iter().flat_map(|sink| &sink.committables).collect();
        let count = payloads.len();
        payloads.sort();
        payloads.dedup();
        assert_eq!(
            (count, payloads.len()),
            (job.sinks as usize, job.sinks as usize),
            "each sink's results once"
        );
        let again = job.committed.is_some();
        job.committed = Some(attempt);
        self.commits += 1;
        self.repeated_commits += u32::from(again);
    }

    pub(super) fn ended(&self, id: JobId, status: JobStatus) {
        let committed = self.jobs.get(&id).is_some_and(|job| job.committed.is_some());
        match status {
            JobStatus::Finished => assert!(committed, "finished without its results"),
            // A commit that failed to the end may have been partly done.
            JobStatus::Failed => {}
            _ => assert!(!committed, "{status:?} with results committed"),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.cuts += other.cuts;
        self.commits += other.commits;
        self.repeated_commits += other.repeated_commits;
        self.restarts += other.restarts;
        for job in other.jobs.values() {
            match job.committed {
                Some(_) => self.finished += 1,
                None if job.deployed == Attempt(0) => self.canceled += 1,
                None => self.failed += 1,
            }
        }
    }

    pub(super) fn check_coverage(&self) {
        for (what, count) in [
            ("kills", self.kills),
            ("cuts", self.cuts),
            ("repeated commits", self.repeated_commits),
            ("restarts", self.restarts),
            ("jobs that finished", self.finished),
            ("jobs that failed or were cancelled", self.failed),
            ("jobs that never ran", self.canceled),
        ] {
            assert!(count > 20, "only {count} {what}");
        }
    }
}
