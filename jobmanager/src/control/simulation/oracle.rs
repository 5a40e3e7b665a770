//! What must hold at every moment of a simulation, and what has happened in all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use weir_api::id::{Attempt, ExecutionId, JobId};
use weir_proto::v1::{Split, SplitAssignment};

use super::snapshots::Lines;
use crate::control::job::record::{JobRecord, SinkCommit, Snapshots, Stage};
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
    splits_sent: u32,
    splits_deployed: u32,
    splits_found: u32,
    pub(super) lines: Lines,
}

#[derive(Debug, Default)]
struct Job {
    sources: u32,
    sinks: u32,
    deployed: Attempt,
    aborted: Option<Attempt>,
    committed: Option<Attempt>,
    finished: BTreeMap<Attempt, BTreeSet<ExecutionId>>,
    /// When it was submitted, and how many splits come into being after that, one every few seconds.
    submitted: u64,
    later: u32,
    /// What the tasks of each attempt have been given to read.
    given: BTreeMap<ExecutionId, Vec<String>>,
}

impl Job {
    fn has_read_all(&self, attempt: Attempt) -> bool {
        let of_attempt = self.given.iter().filter(|(task, _)| task.attempt == attempt);
        of_attempt.map(|(_, splits)| splits.len()).sum::<usize>() == (self.sources + self.later) as usize
    }
}

impl Oracle {
    fn job(&mut self, id: JobId) -> &mut Job {
        self.jobs.entry(id).or_default()
    }

    pub(super) fn submitted(&mut self, record: &JobRecord, later: u32, now: u64) {
        let vertices = record.spec.graph.vertices();
        let job = self.job(record.spec.id);
        job.sources = vertices[0].parallelism;
        job.sinks = vertices[1].parallelism;
        (job.later, job.submitted) = (later, now);
    }

    /// The ids of all splits that there are by now.
    pub(super) fn splits_that_exist(&mut self, id: JobId, now: u64) -> Vec<String> {
        let job = self.job(id);
        let later = (now - job.submitted) / 7_000;
        let first = (0..job.sources).map(|split| split.to_string());
        first.chain((0..job.later.min(later as u32)).map(|split| format!("later {split}"))).collect()
    }

    /// A source is asked for more than it has said before, all of which is recorded.
    pub(super) fn asked(&mut self, known: &[String], recorded: &[SplitAssignment]) {
        let ids = |splits: &[SplitAssignment]| {
            splits
                .iter()
                .flat_map(|share| &share.splits)
                .map(|split| split.id.clone())
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(known.iter().cloned().collect::<BTreeSet<_>>(), ids(recorded), "asked about other splits");
    }

    /// A task is given splits behind the first so many: with its deployment or later.
    pub(super) fn given(
        &mut self,
        task: ExecutionId,
        first: usize,
        splits: &[Split],
        recorded: &[SplitAssignment],
    ) {
        let own = recorded.iter().filter(|own| (own.vertex, own.subtask) == (task.vertex.0, task.subtask.0));
        let own: Vec<_> = own.flat_map(|own| &own.splits).map(|split| &split.id).collect();
        let job = self.jobs.entry(task.job).or_default();
        let given = job.given.entry(task).or_default();
        assert!(first <= given.len(), "{task} misses splits: it has {given:?}, these begin at {first}");
        let (before, known) = (given.len(), given.len() - first);
        given.extend(splits.iter().skip(known).map(|split| split.id.clone()));
        let (new, end) = (given.len() - before, given.len());
        assert!(
            end <= own.len() && given.iter().eq(own[..end].iter().copied()),
            "read before it was recorded"
        );
        if first > 0 {
            self.splits_sent += new as u32;
        } else {
            self.splits_deployed += given.iter().filter(|id| id.starts_with("later")).count() as u32;
        }
        // No other task of the attempt has one of them.
        let of_attempt = job.given.iter().filter(|(other, _)| other.attempt == task.attempt);
        let all: Vec<_> = of_attempt.flat_map(|(_, splits)| splits).collect();
        assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "a split is read twice: {all:?}");
    }

    /// Whether nothing is left to wait for: every split that will ever be is read by some task of the attempt.
    pub(super) fn has_read_all(&mut self, task: ExecutionId) -> bool {
        let job = self.job(task.job);
        job.has_read_all(task.attempt)
    }

    /// The splits that the task reads.
    pub(super) fn splits_of(&mut self, task: ExecutionId) -> Vec<String> {
        self.job(task.job).given.get(&task).cloned().unwrap_or_default()
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
        let (old, new) = (&before.snapshots, &after.snapshots);
        assert!(new.reserved >= old.reserved, "reserved ids are given back");
        let pointer = |snapshots: &Snapshots| snapshots.retained.last().map(|last| last.checkpoint);
        assert!(pointer(new) >= pointer(old), "the pointer goes back");
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
        record: Option<&JobRecord>,
    ) {
        let stage = record.map(|record| &record.stage);
        assert_eq!(stage, Some(&Stage::Committing(sinks.to_vec())), "committed what was not recorded");
        let job = self.job(id);
        assert!(job.committed.is_none_or(|committed| committed == attempt), "two attempts were committed");
        assert!(job.aborted.is_none_or(|aborted| aborted < attempt), "committed after it was aborted");
        let last = record.and_then(|record| record.snapshots.retained.last());
        if last.is_none_or(|last| !last.is_savepoint) {
            let finished = job.finished.get(&attempt).map_or(0, BTreeSet::len) as u32;
            assert_eq!(finished, job.sources + job.sinks, "committed before all tasks had finished");
            assert!(job.has_read_all(attempt), "committed without all splits");
        }
        let prepared = sinks.iter().flat_map(|sink| &sink.prepared);
        let mut payloads: Vec<_> = prepared.map(|one| &one.committable.payload).collect();
        let count = payloads.len();
        payloads.sort();
        payloads.dedup();
        assert_eq!(count, payloads.len(), "each result once");
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
        self.splits_sent += other.splits_sent;
        self.splits_deployed += other.splits_deployed;
        for job in other.jobs.values() {
            match job.committed {
                Some(_) => {
                    self.finished += 1;
                    self.splits_found += job.later;
                }
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
            ("splits found by jobs that finished", self.splits_found),
            ("splits sent to running tasks", self.splits_sent),
            ("later splits that restarted tasks began with", self.splits_deployed),
            ("jobs that finished", self.finished),
            ("jobs that failed or were cancelled", self.failed),
            ("jobs that never ran", self.canceled),
            ("completed checkpoints", self.lines.completed),
            ("restarts from checkpoints", self.lines.restores),
            ("savepoints", self.lines.savepoints),
            ("stops", self.lines.stops),
            ("checkpoints deleted", self.lines.discards),
            ("writes of metadata whose answer was lost", self.lines.lost_writes),
        ] {
            assert!(count > 20, "only {count} {what}");
        }
    }
}
