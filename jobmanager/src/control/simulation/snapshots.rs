//! The store of snapshots of the simulation, and what must hold of what is written there and made visible.
//!
//! The oracle is the line of a job's life: what an attempt went on from, and what its sinks have prepared since, barrier by barrier.
//! Whatever a restart goes on from, exactly what stands on its line up to there must be visible before the next attempt begins; in
//! the end, exactly what stands on the last attempt's line.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt as _;
use weir_api::error::Code;
use weir_api::id::{Attempt, CheckpointId, JobId};
use weir_snapshots::manifest::Manifest;

use super::{Happening, World};
use crate::control::checkpoint::assemble::{self, Header, Positions};
use crate::control::checkpoint::{Retained, Written};
use crate::control::event::Event;
use crate::control::job::Failure;
use crate::control::job::checkpoints::SnapshotWrite;
use crate::control::job::record::{SinkCommit, Stage};
use crate::control::job::recovery::{Discard, Recovered, Recovery};

/// Output, by what it says of itself.
type Output = BTreeSet<Vec<u8>>;

/// What has become of snapshots and output.
#[derive(Debug, Default)]
pub(super) struct Lines {
    jobs: BTreeMap<JobId, Line>,
    /// Snapshots by their paths, with all output on their line.
    stored: BTreeMap<String, (Manifest, Output)>,
    pub(super) completed: u32,
    pub(super) restores: u32,
    pub(super) savepoints: u32,
    pub(super) stops: u32,
    pub(super) discards: u32,
    pub(super) lost_writes: u32,
}

#[derive(Debug, Default)]
struct Line {
    /// What each attempt went on from.
    base: BTreeMap<Attempt, Output>,
    positions: BTreeMap<Attempt, Positions>,
    /// What its sinks prepared, and at which barrier.
    prepared: BTreeMap<Attempt, Vec<(CheckpointId, Vec<u8>)>>,
    visible: Output,
    /// Ids of checkpoints that were triggered.
    used: BTreeSet<CheckpointId>,
}

impl Line {
    fn until(&self, attempt: Attempt, checkpoint: CheckpointId) -> Output {
        let mut output = self.base.get(&attempt).cloned().unwrap_or_default();
        let prepared = self.prepared.get(&attempt).into_iter().flatten();
        output.extend(prepared.filter(|(at, _)| *at <= checkpoint).map(|(_, payload)| payload.clone()));
        output
    }
}

impl Lines {
    fn line(&mut self, job: JobId) -> &mut Line {
        self.jobs.entry(job).or_default()
    }

    pub(super) fn prepared(&mut self, job: JobId, attempt: Attempt, at: CheckpointId, payload: Vec<u8>) {
        self.line(job).prepared.entry(attempt).or_default().push((at, payload));
    }

    /// Where the attempt's sources go on.
    pub(super) fn position(&self, job: JobId, attempt: Attempt, split: &str) -> Option<u64> {
        self.jobs.get(&job)?.positions.get(&attempt)?.get(&0)?.get(split)?.position
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.completed += other.completed;
        self.restores += other.restores;
        self.savepoints += other.savepoints;
        self.stops += other.stops;
        self.discards += other.discards;
        self.lost_writes += other.lost_writes;
    }
}

fn io() -> Failure {
    Failure { code: Code::Io, message: "storage".to_owned() }
}

fn payloads(sinks: &[SinkCommit]) -> impl Iterator<Item = Vec<u8>> {
    sinks.iter().flat_map(|sink| &sink.prepared).map(|one| one.committable.payload.to_vec())
}

fn held(manifest: &Manifest) -> impl Iterator<Item = Vec<u8>> {
    let subtasks = manifest.operators.iter().flat_map(|operator| &operator.subtasks);
    let pending = subtasks.flat_map(|subtask| &subtask.committables);
    pending.flat_map(|pending| &pending.entries).map(|entry| entry.payload.to_vec())
}

impl World {
    /// What the metadata leads to.
    fn pointer(&self, job: JobId) -> Option<&Retained> {
        self.store.get(&job)?.1.snapshots.retained.last()
    }

    /// The core has sent a trigger.
    pub(super) fn triggered(&mut self, job: JobId, checkpoint: CheckpointId, is_first: bool) {
        let reserved = self.store[&job].1.snapshots.reserved;
        assert!(checkpoint <= reserved, "the id {checkpoint} isn't reserved, only up to {reserved}");
        let is_new = self.lines.line(job).used.insert(checkpoint);
        assert!(is_new || !is_first, "the id {checkpoint} is used twice");
    }

    pub(super) fn write_snapshot(&mut self, generation: u64, job: JobId, write: &SnapshotWrite) {
        if generation != self.generation {
            return;
        }
        let fails = self.faulty() && self.chance(10);
        let takes_effect = !fails || self.chance(50);
        let checkpoint = write.checkpoint;
        let header = Header {
            job,
            checkpoint,
            is_savepoint: write.is_savepoint,
            epoch: self.epoch,
            attempt: write.attempt,
            triggered_millis: write.triggered_unix_millis,
            completed_millis: self.now as i64,
        };
        let graph = std::sync::Arc::clone(&self.store[&job].1.spec.graph);
        let manifest = assemble::manifest(&header, &graph, &write.parts).expect("valid parts");
        let written = Written { path: write.path.clone(), full_size: 1, new_size: 1 };
        if takes_effect {
            let line = self.lines.line(job).until(write.attempt, checkpoint);
            let before = self.lines.stored.insert(write.path.clone(), (manifest, line));
            assert!(before.is_none(), "{} is written twice", write.path);
            self.lines.lost_writes += u32::from(fails);
            self.lines.savepoints += u32::from(write.is_savepoint);
        }
        let result = if fails { Err(io()) } else { Ok(written) };
        self.after(5, Happening::ToCore(generation, Event::SnapshotWritten { job, checkpoint, result }));
    }

    /// A running job's checkpoint is committed.
    pub(super) fn commit_checkpoint(
        &mut self,
        generation: u64,
        job: JobId,
        attempt: Attempt,
        checkpoint: CheckpointId,
        sinks: &[SinkCommit],
    ) {
        if generation != self.generation {
            return;
        }
        let pointer = self.pointer(job).expect("committed before a pointer was recorded").clone();
        assert!(pointer.checkpoint >= checkpoint, "committed before its pointer was recorded");
        let fails = self.faulty() && self.chance(20);
        if !fails || self.chance(50) {
            let (_, line) = &self.lines.stored[&pointer.path];
            let output: Output = payloads(sinks).collect();
            assert!(output.is_subset(line), "what isn't on the pointer's line is made visible");
            self.lines.line(job).visible.extend(output);
        }
        let result = if fails { Err(io()) } else { Ok(()) };
        let checkpoint = Some(checkpoint);
        self.after(5, Happening::ToCore(generation, Event::Committed { job, attempt, checkpoint, result }));
    }

    /// The tasks of a TaskManager hear that a checkpoint is complete.
    pub(super) fn heard_of_completion(&mut self, job: JobId, attempt: Attempt, checkpoint: CheckpointId) {
        let line = self.lines.line(job);
        let wanted = line.until(attempt, checkpoint);
        assert!(wanted.is_subset(&line.visible), "tasks hear of a checkpoint whose output isn't visible");
        self.lines.completed += 1;
    }

    /// A new attempt finds out what it goes on from.
    pub(super) fn recover(&mut self, generation: u64, job: JobId, attempt: Attempt, recovery: &Recovery) {
        if generation != self.generation {
            return;
        }
        let recorded = self.store[&job].1.snapshots.retained.clone();
        assert_eq!(recovery.retained, recorded, "a restart goes back to what the record says");
        let fails = self.faulty() && self.chance(20);
        let mut recovered = Recovered::default();
        if !fails || self.chance(50) {
            self.commit_pointer(job);
            let line = self.lines.jobs.entry(job).or_default();
            let base = match recorded.last() {
                Some(pointer) => {
                    let (manifest, line) = &self.lines.stored[&pointer.path];
                    let graph = &self.store[&job].1.spec.graph;
                    recovered.snapshot = Some(pointer.clone());
                    recovered.positions = assemble::positions(manifest, graph).expect("valid positions");
                    self.lines.restores += 1;
                    line.clone()
                }
                None => Output::new(),
            };
            assert_eq!(line.visible, base, "attempt {attempt} goes on from another point than the output");
            line.base.insert(attempt, base);
            line.positions.insert(attempt, recovered.positions.clone());
        }
        let result = if fails { Err(io()) } else { Ok(recovered) };
        self.after(5, Happening::ToCore(generation, Event::Recovered { job, attempt, result }));
    }

    /// Makes visible what the pointer's snapshot holds.
    pub(super) fn commit_pointer(&mut self, job: JobId) {
        let Some(pointer) = self.pointer(job).cloned() else { return };
        let (manifest, _) = self.lines.stored.get(&pointer.path).expect("the pointer leads to a snapshot");
        let output: Vec<_> = held(manifest).collect();
        self.lines.line(job).visible.extend(output);
    }

    /// The job's last output is made visible: what stands on its line, and nothing else.
    pub(super) fn commit_last(&mut self, job: JobId, attempt: Attempt, sinks: &[SinkCommit]) {
        let pointer = self.pointer(job).cloned();
        let line = self.lines.jobs.entry(job).or_default();
        line.visible.extend(payloads(sinks));
        let wanted = match pointer {
            Some(stop) if stop.is_savepoint => {
                self.lines.stops += 1;
                self.lines.stored[&stop.path].1.clone()
            }
            _ => line.until(attempt, CheckpointId(u64::MAX)),
        };
        assert_eq!(line.visible, wanted, "the job's output isn't what stands on its line");
    }

    /// A job has ended otherwise than well: its output is that of its last checkpoint.
    pub(super) fn check_output(&self, job: JobId) {
        let Some(line) = self.lines.jobs.get(&job) else { return };
        let wanted = self.pointer(job).and_then(|pointer| self.lines.stored.get(&pointer.path));
        if let Some((_, wanted)) = wanted {
            assert!(line.visible.is_subset(wanted), "more is visible than the last checkpoint holds");
        }
    }

    pub(super) fn discard(&mut self, job: JobId, discard: &Discard) {
        let record = &self.store[&job].1;
        let is_over = matches!(record.stage, Stage::Ended { .. });
        let Discard::Checkpoint { path, .. } = discard else {
            assert!(is_over, "everything of a job is deleted that goes on");
            return;
        };
        if let Some(path) = path {
            let is_retained = record.snapshots.retained.iter().any(|retained| retained.path == *path);
            assert!(is_over || !is_retained, "{path} is deleted and retained");
            // Of an ended job the oracle wants to know more.
            if !is_over {
                self.lines.stored.remove(path);
            }
            self.lines.discards += 1;
        }
    }

    /// How long the store takes.
    pub(super) fn storage_wait(&mut self) -> u64 {
        let slow = self.faulty() && self.chance(5);
        self.random.random_range(0..if slow { 15_000 } else { 800 })
    }
}
