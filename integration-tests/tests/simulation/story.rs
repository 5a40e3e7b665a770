//! What a user does in a run: submits a job, takes savepoints, stops it, goes on with another from its savepoint, cancels the last.
//!
//! The user is patient: what is refused or lost is asked for again, by looking at the metadata, which outlives JobManagers.

use std::rc::Rc;
use std::sync::Arc;

use weir_api::error::Code;
use weir_api::id::JobId;
use weir_jobmanager::control::checkpoint::assemble::{self, Header};
use weir_jobmanager::control::checkpoint::{Kind, Retained, Savepoint, Stop, Written};
use weir_jobmanager::control::event::Event;
use weir_jobmanager::control::job::Failure;
use weir_jobmanager::control::job::Version;
use weir_jobmanager::control::job::checkpoints::SnapshotWrite;
use weir_jobmanager::control::job::record::{JobRecord, Snapshots, Stage};
use weir_jobmanager::control::job::status::JobStatus;

use super::job::{Commits, Plan};
use super::master::{Asked, SAVEPOINTS};
use super::storage::{self, Object, Request};
use super::world::{Asker, Happening, World};

/// How often the user looks.
const LOOKS: u64 = 400;

/// How far the story is.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Jobs submitted so far.
    submitted: usize,
    requests: u128,
    stopping: Option<u128>,
    cancelled: bool,
    over: bool,
}

impl World {
    pub(crate) fn is_over(&self) -> bool {
        self.master.story.over
    }

    pub(crate) fn go_on_with_the_story(&mut self) {
        self.after(LOOKS, Happening::Story);
        if self.master.core.is_none() {
            return;
        }
        let Some(current) = self.master.story.submitted.checked_sub(1) else {
            self.submit(0, None);
            return;
        };
        let plan = self.swarm.plans[current].clone();
        let Some((_, record)) = self.metadata.records.get(&plan.id()) else { return };
        let ended = match record.stage {
            Stage::Ended { status, .. } => Some(status),
            _ => None,
        };
        let savepoint = record.snapshots.retained.last().filter(|last| last.is_savepoint).cloned();
        let is_last = current + 1 == self.swarm.plans.len();
        match ended {
            None => self.look_after(current, &plan),
            // It was stopped, or it came to its end before that.
            Some(JobStatus::Finished)
                if !is_last && savepoint.is_some() && !self.everything_is_visible(&plan) =>
            {
                self.master.story.stopping = None;
                self.submit(current + 1, savepoint);
            }
            Some(JobStatus::Finished) => self.end(&plan),
            Some(JobStatus::Canceled) if self.master.story.cancelled => self.end(&plan),
            Some(status) => {
                let state = self.master.describe();
                self.oracle.violated(format!("job {} is {status:?}: {state}", plan.number));
            }
        }
    }

    fn end(&mut self, plan: &Plan) {
        // Outstanding transactions end by themselves.
        let is_calm = self.now >= self.swarm.calm_from && self.everything_is_visible(plan);
        if is_calm || self.now >= self.swarm.calm_from + 2 * self.swarm.transaction_timeout {
            self.master.story.over = true;
            self.oracle.judge_all(plan, self.files.rows(), self.log.visible());
        }
    }

    fn everything_is_visible(&self, plan: &Plan) -> bool {
        plan.all_sinks().all(|(vertex, commits)| {
            let rows = if commits == Commits::Master { self.files.rows() } else { self.log.visible() };
            let own = rows.iter().filter(|(sink, _)| u32::from(sink.vertex) == vertex);
            self.oracle.is_complete(own.count() as u64)
        })
    }

    fn look_after(&mut self, current: usize, plan: &Plan) {
        let job = plan.id();
        if let Some((at, drain)) = self.swarm.stops.get(current).copied() {
            let open = self.master.story.stopping.is_some_and(|request| self.is_open(job, request));
            if self.now >= at && !open {
                let stop = Some(if drain { Stop::Drain } else { Stop::Suspend });
                self.master.story.stopping = self.request_savepoint(job, stop);
            }
        } else if !plan.bounded && self.now >= self.swarm.calm_from && self.everything_is_visible(plan) {
            let now = self.clock();
            if let Some(Ok(actions)) = self.master.core.as_mut().map(|core| core.cancel(job, now)) {
                self.master.story.cancelled = true;
                self.do_for_master(actions);
            }
        }
    }

    fn is_open(&self, job: JobId, request: u128) -> bool {
        let found = self.master.core.as_ref().and_then(|core| core.job(job).ok());
        found.and_then(|job| job.operation(request)).is_some_and(|operation| operation.result.is_none())
    }

    fn request_savepoint(&mut self, job: JobId, stop: Option<Stop>) -> Option<u128> {
        self.master.story.requests += 1;
        let request = self.master.story.requests;
        let target = SAVEPOINTS.to_owned();
        self.request(job, Kind::Savepoint(Savepoint { request, target, stop })).then_some(request)
    }

    fn request(&mut self, job: JobId, kind: Kind) -> bool {
        let now = self.clock();
        let Some(core) = self.master.core.as_mut() else { return false };
        match core.request(job, kind, now) {
            Ok(actions) => {
                self.do_for_master(actions);
                true
            }
            Err(_) => false,
        }
    }

    pub(crate) fn take_snapshot(&mut self, savepoint: bool, full: bool) {
        let Some(current) = self.master.story.submitted.checked_sub(1) else { return };
        let job = self.swarm.plans[current].id();
        if savepoint {
            self.request_savepoint(job, None);
        } else {
            self.master.story.requests += 1;
            self.request(job, Kind::Requested { request: self.master.story.requests, full });
        }
    }

    fn submit(&mut self, position: usize, from: Option<Retained>) {
        let plan = self.swarm.plans[position].clone();
        let mut record = plan.record(&self.swarm.input.splits(self.now), self.now as i64);
        if let Some(from) = from
            && !self.adopt(&mut record, from)
        {
            return;
        }
        let job = plan.id();
        self.master.story.submitted = position + 1;
        self.plans.insert(job, plan);
        self.metadata.records.insert(job, (Version(1), record.clone()));
        self.feed_master(Event::Submitted { record, version: Version(1) });
    }

    /// The job begins from another one's savepoint: false, if it can't be read.
    fn adopt(&mut self, record: &mut JobRecord, from: Retained) -> bool {
        let path = format!("{}/_metadata", from.path);
        let Some(Object::Metadata(manifest)) = self.storage.look(&path) else {
            self.oracle.violated(format!("{path} is missing"));
            return false;
        };
        let found = record.splits.as_ref().clone();
        let Ok(splits) = assemble::adopt(manifest, &record.spec.graph, found) else { return false };
        record.splits = Arc::new(splits);
        record.snapshots =
            Snapshots { reserved: from.checkpoint, retained: vec![from], ..Snapshots::default() };
        true
    }

    pub(super) fn write_snapshot(
        &mut self,
        job: JobId,
        epoch: weir_api::id::LeaderEpoch,
        write: &SnapshotWrite,
    ) {
        let header = Header {
            job,
            checkpoint: write.checkpoint,
            is_savepoint: write.is_savepoint,
            epoch,
            attempt: write.attempt,
            triggered_millis: write.triggered_unix_millis,
            completed_millis: write.triggered_unix_millis,
        };
        let Some((_, record)) = self.metadata.records.get(&job) else { return };
        match assemble::manifest(&header, &record.spec.graph, &write.parts) {
            Ok(manifest) => {
                let totals = manifest.totals;
                let asked = Asked::Write {
                    job,
                    checkpoint: write.checkpoint,
                    path: write.path.clone(),
                    full_size: totals.full_bytes,
                    new_size: totals.new_bytes,
                };
                let path = format!("{}/_metadata", write.path).into();
                let object = Object::Metadata(Rc::new(manifest));
                let asker = Asker::Master(self.master.generation, asked);
                self.ask_storage(asker, Request::Put { path, object, if_absent: true });
            }
            Err(error) => self.oracle.violated(format!("no manifest can be made: {}", error.chain())),
        }
    }

    pub(crate) fn storage_answers_master(&mut self, generation: u64, asked: Asked, answer: storage::Answer) {
        if !self.master.is_alive(generation) {
            return;
        }
        match asked {
            Asked::Read(place) => self.recovery_read(place, answer),
            Asked::Write { job, checkpoint, path, full_size, new_size } => {
                if answer.is_ok() {
                    self.retain(job, &path);
                }
                let result = match answer {
                    Ok(_) => Ok(Written { path, full_size, new_size }),
                    Err(refusal) => {
                        Err(Failure { code: Code::Io, message: format!("the store says {refusal:?}") })
                    }
                };
                self.feed_master(Event::SnapshotWritten { job, checkpoint, result });
            }
        }
    }
}
