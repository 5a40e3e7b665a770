//! The JobManager's commits: of a checkpoint, of a job's end, and of what a new attempt goes on from.
//!
//! ```text
//! (recovery: read the manifest) ─▶ files, one by one ─▶ with a fence: every transactional id ─▶ leftovers go ─▶ answered
//! ```
//!
//! Invariant: with a fence, everything that the manifest holds is visible when it is answered, and no earlier writer can commit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use weir_api::error::Code;
use weir_api::id::{Attempt, CheckpointId, JobId, OperatorUid, VertexIndex};
use weir_api::sink::Committable;
use weir_jobmanager::control::checkpoint::assemble::{self, Positions};
use weir_jobmanager::control::event::Event;
use weir_jobmanager::control::job::Failure;
use weir_jobmanager::control::job::record::SinkCommit;
use weir_jobmanager::control::job::recovery::{Recovered, Recovery};
use weir_snapshots::manifest::Manifest;

use super::job::{Commits, Plan, SinkId};
use super::log::TransactionalId;
use super::master::{Asked, Operation};
use super::planted::{Bug, is_planted};
use super::publish::Owner;
use super::snapshot::{owner_of, path_of};
use super::storage::{self, Object, Request};
use super::world::{Asker, Happening, World};

/// What it is a commit of.
#[derive(Debug)]
enum What {
    Checkpoint(CheckpointId),
    End,
    Abort(Recovery),
    Recovery(Recovery),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Commit {
    job: JobId,
    attempt: Attempt,
    what: What,
    files: VecDeque<Rc<str>>,
    /// What there is to publish under each transactional id.
    logs: BTreeMap<TransactionalId, Vec<(u64, Rc<str>)>>,
    outstanding: usize,
    recovered: Recovered,
}

impl Commit {
    fn new(job: JobId, attempt: Attempt, what: What) -> Self {
        Self {
            job,
            attempt,
            what,
            files: VecDeque::new(),
            logs: BTreeMap::new(),
            outstanding: 0,
            recovered: Recovered::default(),
        }
    }

    pub(crate) fn of_checkpoint(
        job: JobId,
        attempt: Attempt,
        checkpoint: Option<CheckpointId>,
        sinks: Vec<SinkCommit>,
    ) -> Self {
        let what = checkpoint.map_or(What::End, What::Checkpoint);
        let mut commit = Self::new(job, attempt, what);
        for SinkCommit { prepared, ended, .. } in sinks {
            for one in prepared {
                // What tasks commit is left to them, while they live.
                commit.add(one.checkpoint, &one.committable, ended.contains(&one.subtask));
            }
        }
        commit
    }

    pub(crate) fn of_abort(job: JobId, attempt: Attempt, recovery: Recovery) -> Self {
        Self::new(job, attempt, What::Abort(recovery))
    }

    pub(crate) fn of_recovery(job: JobId, attempt: Attempt, recovery: Recovery) -> Self {
        Self::new(job, attempt, What::Recovery(recovery))
    }

    fn recovery(&self) -> Option<&Recovery> {
        match &self.what {
            What::Abort(recovery) | What::Recovery(recovery) => Some(recovery),
            _ => None,
        }
    }

    /// Every writer of an attempt up to this one is over.
    fn fence(&self) -> Option<Attempt> {
        match &self.what {
            What::Checkpoint(_) => None,
            What::End => Some(self.attempt),
            What::Abort(recovery) | What::Recovery(recovery) => Some(recovery.fence),
        }
    }

    /// Whether the writers of a sink are over; others commit themselves.
    fn fences(&self, vertex: u32) -> bool {
        let part = self.recovery().and_then(|recovery| recovery.part.as_ref());
        self.fence().is_some() && part.is_none_or(|part| part.contains(&VertexIndex(vertex)))
    }

    fn add(&mut self, checkpoint: CheckpointId, committable: &Committable, has_ended: bool) {
        let blob = committable.blobs.first().map(|blob| blob.name.as_str());
        let path = path_of(&committable.payload, blob);
        match (blob, owner_of(&committable.payload)) {
            // Those of another job's savepoint have no writers any more.
            (Some(_), Some((job, vertex, _)))
                if !has_ended && JobId::from_bytes([job; 16]) == self.job && !self.fences(vertex.into()) => {}
            (Some(_), Some((job, vertex, subtask))) => {
                self.logs.entry((SinkId::new(job, vertex), subtask)).or_default().push((checkpoint.0, path));
            }
            _ => self.files.push_back(path),
        }
    }

    fn add_all(&mut self, manifest: &Manifest) {
        let subtasks = manifest.operators.iter().flat_map(|operator| &operator.subtasks);
        for pending in subtasks.flat_map(|subtask| &subtask.committables) {
            for entry in &pending.entries {
                self.add(pending.checkpoint, entry, false);
            }
        }
    }

    /// The transactional ids that may have a writer, those without anything to publish too.
    fn fence_all(&mut self, plan: &Plan, writers: &BTreeMap<OperatorUid, u32>) {
        for (vertex, commits) in
            plan.all_sinks().filter(|(vertex, _)| self.fences(*vertex)).collect::<Vec<_>>()
        {
            let uid = OperatorUid::new(plan.uid(vertex)).ok();
            let known = uid.and_then(|uid| writers.get(&uid)).copied().unwrap_or(0);
            if commits == Commits::Tasks {
                for subtask in 0..known.max(plan.parallelism(vertex)) {
                    self.logs.entry((SinkId::new(plan.number, vertex as u8), subtask)).or_default();
                }
            }
        }
    }
}

impl World {
    pub(crate) fn begin_commit(&mut self, commit: Commit) {
        let place = self.master.commits.len();
        let newest = commit.recovery().and_then(|recovery| recovery.retained.last()).cloned();
        self.master.commits.push(Some(commit));
        match newest {
            Some(newest) => {
                let path = format!("{}/_metadata", newest.path).into();
                let asker = Asker::Master(self.master.generation, Asked::Read(place));
                self.ask_storage(asker, Request::Get { path });
            }
            None => self.start_commit(place),
        }
    }

    /// The manifest that an attempt goes on from.
    pub(super) fn recovery_read(&mut self, place: usize, answer: storage::Answer) {
        let Some(commit) = self.master.commits[place].as_mut() else { return };
        let Ok(Some(Object::Metadata(manifest))) = answer else {
            let code = if answer.is_err_and(|refusal| refusal == storage::Refusal::Missing) {
                Code::SnapshotDamaged
            } else {
                Code::Io
            };
            self.end_commit(place, Err(Failure { code, message: "the manifest can't be read".to_owned() }));
            return;
        };
        let newest = commit.recovery().and_then(|recovery| recovery.retained.last()).cloned();
        let Some((_, record)) = self.metadata.records.get(&commit.job) else { return };
        let positions = assemble::positions(&manifest, &record.spec.graph);
        if !is_planted(Bug::NoCommitAtRecovery) {
            commit.add_all(&manifest);
        }
        let operators =
            manifest.operators.iter().map(|operator| (operator.uid.clone(), operator.parallelism));
        let positions: Positions = positions.unwrap_or_default();
        commit.recovered = Recovered { snapshot: newest, positions, writers: operators.collect() };
        let (job, retained) = (commit.job, commit.recovery().map(|recovery| recovery.retained.clone()));
        self.say(|| format!("goes on from {:?}", manifest.operators));
        self.load_registry(job, &retained.unwrap_or_default());
        self.start_commit(place);
    }

    fn start_commit(&mut self, place: usize) {
        let Some(commit) = self.master.commits[place].as_mut() else { return };
        let writers = commit.recovery().map(|recovery| recovery.writers.clone()).unwrap_or_default();
        if commit.fence().is_some()
            && let Some(plan) = self.plans.get(&commit.job)
        {
            commit.fence_all(plan, &writers);
        }
        self.step_commit(place);
    }

    fn step_commit(&mut self, place: usize) {
        let wait = 1 + self.random.below(20);
        self.after(wait, Happening::MasterGoesOn(self.master.generation, Operation::Commit(place)));
    }

    pub(crate) fn master_goes_on(&mut self, generation: u64, operation: Operation) {
        if !self.master.is_alive(generation) {
            return;
        }
        match operation {
            Operation::Commit(place) => self.commit_next(place),
            Operation::Discover(job, vertex) => self.discover(job, vertex),
        }
    }

    fn commit_next(&mut self, place: usize) {
        let Some(commit) = self.master.commits[place].as_mut() else { return };
        if let Some(path) = commit.files.pop_front() {
            let errors = if self.now < self.swarm.calm_from { self.swarm.commit_errors } else { 0 };
            let failing = self.random.chance(errors) || self.now < self.network.storage_away_until;
            if !failing || self.random.chance(50) {
                self.make_visible(&path);
            }
            if failing && !is_planted(Bug::CommitErrorSwallowed) {
                self.end_commit(
                    place,
                    Err(Failure { code: Code::Io, message: "the store is away".to_owned() }),
                );
            } else {
                self.step_commit(place);
            }
            return;
        }
        let logs = std::mem::take(&mut commit.logs);
        commit.outstanding = logs.len();
        if logs.is_empty() {
            self.end_commit(place, Ok(()));
        }
        let generation = self.master.generation;
        for (id, mut todo) in logs {
            todo.sort_by_key(|(checkpoint, _)| *checkpoint);
            let publisher = self.new_publisher(Owner::Master { generation, commit: place }, id);
            self.publish_more(publisher, todo.into_iter());
        }
    }

    /// One transactional id is done with.
    pub(crate) fn part_committed(&mut self, generation: u64, place: usize) {
        if !self.master.is_alive(generation) {
            return;
        }
        let Some(commit) = self.master.commits[place].as_mut() else { return };
        commit.outstanding = commit.outstanding.saturating_sub(1);
        if commit.outstanding == 0 {
            self.end_commit(place, Ok(()));
        }
    }

    fn end_commit(&mut self, place: usize, result: Result<(), Failure>) {
        let Some(commit) = self.master.commits[place].take() else { return };
        let is_whole = commit.recovery().is_none_or(|recovery| recovery.part.is_none());
        if let Some(fence) = commit.fence()
            && result.is_ok()
            && (is_whole || is_planted(Bug::SurvivorsLeftoversRemoved))
        {
            self.remove_leftovers(commit.job, fence);
        }
        let Commit { job, attempt, what, recovered, .. } = commit;
        let event = match what {
            What::Checkpoint(checkpoint) => {
                Event::Committed { job, attempt, checkpoint: Some(checkpoint), result }
            }
            What::End => Event::Committed { job, attempt, checkpoint: None, result },
            What::Abort(_) => Event::Aborted { job, attempt },
            What::Recovery(_) => Event::Recovered { job, attempt, result: result.map(|()| recovered) },
        };
        self.oracle.restores += u64::from(matches!(event, Event::Recovered { result: Ok(_), .. }));
        self.feed_master(event);
    }

    /// A file's output is visible from now on.
    pub(crate) fn make_visible(&mut self, path: &Rc<str>) {
        self.oracle.made_visible(path);
        self.say(|| format!("{path} is visible"));
        if self.files.is_visible(path) {
            return;
        }
        let rows = match self.storage.look(path) {
            Some(Object::Rows(rows)) => Rc::clone(rows),
            _ => match self.oracle.prepared_rows(path).filter(|_| is_planted(Bug::CommitAtPreparation)) {
                Some(rows) => Rc::clone(rows),
                None => {
                    self.oracle.violated(format!("{path} is to be committed and isn't there"));
                    return;
                }
            },
        };
        let mut parts = path.split('/').skip(1);
        let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
        let sink = SinkId::new(number(), number());
        self.files.add(path, sink, &rows);
    }

    /// What attempts up to this one wrote and nobody committed.
    fn remove_leftovers(&mut self, job: JobId, fence: Attempt) {
        let Some(plan) = self.plans.get(&job) else { return };
        let folder = format!("out/{}/", plan.number);
        let is_over = |path: &Rc<str>| {
            let name = path.rsplit('/').next().and_then(|name| name.strip_prefix('.'));
            let attempt = name.and_then(|name| name.split('-').next()).and_then(|text| text.parse().ok());
            attempt.is_some_and(|attempt: u32| attempt <= fence.0)
        };
        let over = self.storage.below(&folder).filter(|path| is_over(path) && !self.files.is_visible(path));
        let paths: Vec<_> = over.cloned().collect();
        for path in paths {
            self.ask_storage(Asker::Nobody, Request::Delete { path });
        }
    }

    fn discover(&mut self, job: JobId, vertex: u32) {
        let Some((_, record)) = self.metadata.records.get(&job) else { return };
        let own = record.splits.iter().filter(|share| share.vertex == vertex);
        let known = own.flat_map(|share| &share.splits);
        let known: BTreeSet<_> = known.map(|split| split.id.clone()).collect();
        let there = self.swarm.input.splits(self.now);
        let new = there.into_iter().filter(|split| !known.contains(&split.id)).collect();
        let vertex = weir_api::id::VertexIndex(vertex);
        self.feed_master(Event::Discovered { job, vertex, result: Ok(new) });
    }
}
