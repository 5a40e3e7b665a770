//! Splits that are found while a job runs: when its sources are asked for some, who reads them, and that they are recorded first.
//!
//! ```text
//! wait ─▶ ask ─▶ (answer) ─▶ assign ─▶ record ─▶ send to the tasks ─▶ wait
//! ```
//!
//! Invariants: a source is asked by one question at a time, and never while splits are being recorded, so it is always told
//! all that it has named; a task is sent splits only after they are recorded, and one that is deployed later has them with its deployment.
//! What is found while the job isn't running is dropped: it is found again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use weir_api::id::{SubtaskIndex, VertexIndex};
use weir_proto::v1::{Split, SplitAssignment};

use super::phase::Phase;
use super::writes::Reason;
use super::{Effect, Failure, Job};
use crate::control::now::Now;
use crate::control::planted::planted;
use crate::control::splits;

/// Splits for one task, to be read behind those that it has.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// The source's vertex.
    pub vertex: VertexIndex,
    /// Who reads them.
    pub subtask: SubtaskIndex,
    /// How many splits it had before.
    pub first: u32,
    /// What is new.
    pub splits: Vec<Split>,
}

/// How far a job's sources are with finding splits.
#[derive(Debug)]
pub(super) struct Discovery {
    sources: Vec<Source>,
    /// Answers that came while others were being recorded.
    answers: Vec<(VertexIndex, Vec<Split>)>,
    /// Assigned, in the job's splits, but not recorded.
    unrecorded: Vec<Found>,
    failures: u64,
}

#[derive(Debug)]
struct Source {
    vertex: VertexIndex,
    interval: Duration,
    next: Question,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    /// Due at this moment, while the job runs.
    At(u64),
    /// Its answer will come.
    Asked,
}

impl Discovery {
    pub(super) fn new(intervals: &BTreeMap<u32, Duration>) -> Self {
        let sources = intervals.iter().map(|(vertex, interval)| Source {
            vertex: VertexIndex(*vertex),
            interval: *interval,
            next: Question::At(u64::MAX),
        });
        Self { sources: sources.collect(), answers: Vec::new(), unrecorded: Vec::new(), failures: 0 }
    }

    /// An attempt begins to run.
    pub(super) fn start(&mut self, now: Now) {
        for source in &mut self.sources {
            if let Question::At(at) = &mut source.next {
                *at = now.after(source.interval);
            }
        }
    }

    /// When there is something to do, while the job runs.
    pub(super) fn deadline(&self) -> Option<u64> {
        // What was found is being recorded: whoever answers that goes on.
        if !self.unrecorded.is_empty() {
            return None;
        }
        let due = |source: &Source| match source.next {
            Question::At(at) => Some(at),
            Question::Asked => None,
        };
        self.sources.iter().filter_map(due).min()
    }
}

impl Job {
    /// What each source subtask reads.
    #[must_use]
    pub const fn splits(&self) -> &Arc<Vec<SplitAssignment>> {
        &self.splits
    }

    /// How often a source couldn't say whether it has further splits.
    #[must_use]
    pub const fn failed_discoveries(&self) -> u64 {
        self.discovery.failures
    }

    /// Asks the sources whose turn it is.
    pub(super) fn look_for_splits(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Running { .. }) || self.is_recording_splits() {
            return;
        }
        for source in &mut self.discovery.sources {
            if matches!(source.next, Question::At(at) if now.reached(at)) {
                source.next = Question::Asked;
                effects.push(Effect::Discover(source.vertex));
            }
        }
    }

    /// A source has answered. That it couldn't is no failure of the job: it is asked again.
    pub fn discovered(
        &mut self,
        vertex: VertexIndex,
        result: Result<Vec<Split>, Failure>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(source) = self.discovery.sources.iter_mut().find(|source| source.vertex == vertex) {
            source.next = Question::At(now.after(source.interval));
        }
        match result {
            Ok(splits) if splits.is_empty() => {}
            Ok(splits) => {
                self.discovery.answers.push((vertex, splits));
                self.take_answers(effects);
            }
            Err(failure) => {
                self.discovery.failures += 1;
                let (job, code, error) = (self.id(), failure.code.to_string(), failure.message);
                tracing::warn!(%job, %vertex, code, error, "can't look for further splits; trying again");
            }
        }
    }

    /// Assigns what was found and has it recorded, unless a write is outstanding.
    fn take_answers(&mut self, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Running { .. }) {
            self.discovery.answers.clear();
            return;
        }
        if self.is_recording_splits() {
            return;
        }
        for (vertex, found) in std::mem::take(&mut self.discovery.answers) {
            self.assign(vertex, found);
        }
        if !self.discovery.unrecorded.is_empty() {
            self.writes.want(Reason::Splits, effects);
        }
    }

    fn is_recording_splits(&self) -> bool {
        self.writes.waits(Reason::Splits)
    }

    fn assign(&mut self, vertex: VertexIndex, mut found: Vec<Split>) {
        let own = || self.splits.iter().filter(|assignment| assignment.vertex == vertex.0);
        let mut known: HashSet<&str> =
            own().flat_map(|assignment| &assignment.splits).map(|split| split.id.as_str()).collect();
        let new: Vec<bool> = found.iter().map(|split| known.insert(&split.id)).collect();
        let mut new = new.into_iter();
        found.retain(|_| new.next().unwrap_or(false));
        // Tasks that have finished read nothing any more.
        let tasks = (0..).zip(self.execution.vertex(vertex.0 as usize));
        let open: Vec<u32> =
            tasks.filter(|(_, task)| !task.state().is_terminal()).map(|(subtask, _)| subtask).collect();
        let of = |subtask: u32| own().filter(move |assignment| assignment.subtask == subtask);
        let load = |subtask: &u32| {
            of(*subtask).fold(0_u64, |sum, assignment| sum.saturating_add(splits::load(&assignment.splits)))
        };
        let loads: Vec<u64> = open.iter().map(load).collect();
        let shares = open.into_iter().zip(splits::assign_more(found, &loads));
        let shares: Vec<Found> = shares
            .filter(|(_, splits)| !splits.is_empty())
            .map(|(subtask, splits)| Found {
                vertex,
                subtask: SubtaskIndex(subtask),
                first: of(subtask).map(|assignment| assignment.splits.len() as u32).sum(),
                splits,
            })
            .collect();
        if shares.is_empty() {
            return;
        }
        let all = Arc::make_mut(&mut self.splits);
        for share in &shares {
            let (vertex, subtask) = (share.vertex.0, share.subtask.0);
            let own = |of: &&mut SplitAssignment| of.vertex == vertex && of.subtask == subtask;
            match all.iter_mut().find(own) {
                Some(assignment) => assignment.splits.extend(share.splits.iter().cloned()),
                None => all.push(SplitAssignment { vertex, subtask, splits: share.splits.clone() }),
            }
        }
        self.discovery.unrecorded.extend(shares);
    }

    /// The record has been written with what was found.
    pub(super) fn splits_recorded(&mut self, effects: &mut Vec<Effect>) {
        let mut recorded = std::mem::take(&mut self.discovery.unrecorded);
        let is_running = matches!(self.phase, Phase::Running { .. });
        // A later attempt's tasks have them with their deployment.
        recorded
            .retain(|found| is_running || (self.survives(found.vertex) && !planted!(SurvivorsSplitsDropped)));
        effects.extend(recorded.into_iter().map(Effect::AddSplits));
        if is_running {
            self.take_answers(effects);
        }
    }
}
