//! What must hold, whatever happens: judged from what is outside of the protocol's machines alone, the store's files, the metadata's
//! records, and what readers of the sinks see.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use weir_api::id::JobId;
use weir_jobmanager::control::job::record::{JobRecord, Stage};

use super::job::{Commits, Input, Plan, Record, SinkId};
use super::snapshot;
use super::storage::{Object, Storage};
use super::swarm::Swarm;

/// See the module.
#[derive(Debug)]
pub(crate) struct Oracle {
    input: Rc<Input>,
    violation: Option<String>,
    /// Output that a completed checkpoint holds, or that a job's end commits.
    allowed: BTreeSet<Rc<str>>,
    rows: BTreeMap<Rc<str>, Rc<Vec<Record>>>,
    pointers: BTreeMap<JobId, (u64, u32, u64)>,
    /// What the present pointers lead to.
    needed: BTreeMap<JobId, BTreeSet<Rc<str>>>,
    pub(crate) emitted: u64,
    pub(crate) completed: u64,
    pub(crate) attempts: u64,
    pub(crate) restores: u64,
    pub(crate) commits: u64,
    pub(crate) deletions: u64,
    /// Restarts of a part of a job, and tasks that went on beside them.
    pub(crate) partial: u64,
    pub(crate) survivors: u64,
}

impl Oracle {
    pub(crate) fn new(swarm: &Swarm) -> Self {
        Self {
            input: Rc::clone(&swarm.input),
            violation: None,
            allowed: BTreeSet::new(),
            rows: BTreeMap::new(),
            pointers: BTreeMap::new(),
            needed: BTreeMap::new(),
            emitted: 0,
            completed: 0,
            attempts: 0,
            restores: 0,
            commits: 0,
            deletions: 0,
            partial: 0,
            survivors: 0,
        }
    }

    pub(crate) fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(crate) const fn has_violation(&self) -> bool {
        self.violation.is_some()
    }

    pub(crate) fn take_violation(&mut self) -> Option<String> {
        self.violation.take()
    }

    /// A sink prepares.
    pub(crate) fn prepared(&mut self, path: &Rc<str>, rows: &Rc<Vec<Record>>) {
        if self.rows.insert(Rc::clone(path), Rc::clone(rows)).is_some_and(|before| before != *rows) {
            self.violated(format!("{path} is written twice"));
        }
    }

    pub(crate) fn prepared_rows(&self, path: &str) -> Option<&Rc<Vec<Record>>> {
        self.rows.get(path)
    }

    /// Something prepared becomes visible.
    pub(crate) fn made_visible(&mut self, path: &Rc<str>) {
        self.commits += 1;
        if !self.allowed.contains(path) {
            self.violated(format!("{path} is visible, and no completed checkpoint holds it"));
        }
    }

    /// A record is written.
    pub(crate) fn recorded(
        &mut self,
        before: Option<&JobRecord>,
        after: &JobRecord,
        plan: &Plan,
        storage: &Storage,
    ) {
        if let Some(before) = before {
            if after.attempt < before.attempt {
                self.violated(format!("attempt {} is written over {}", after.attempt, before.attempt));
            }
            if matches!(before.stage, Stage::Ended { .. }) && before.stage != after.stage {
                self.violated("an ended job is written again".to_owned());
            }
            self.attempts += u64::from(after.attempt > before.attempt);
        }
        let pointer = after.snapshots.retained.last();
        let known = before.and_then(|before| before.snapshots.retained.last());
        if let Some(pointer) = pointer
            && Some(pointer) != known
        {
            self.pointed(plan, pointer.checkpoint.0, &pointer.path, storage);
        }
        if matches!(after.stage, Stage::Ended { .. }) {
            self.ended(plan.id());
        }
        if let Stage::Committing(sinks) = &after.stage {
            for prepared in sinks.iter().flat_map(|sink| &sink.prepared) {
                let blob = prepared.committable.blobs.first().map(|blob| blob.name.as_str());
                self.allowed.insert(snapshot::path_of(&prepared.committable.payload, blob));
            }
        }
    }

    /// A job's pointer has moved: what it leads to must be there, whole, and newer than what it led to.
    fn pointed(&mut self, plan: &Plan, checkpoint: u64, path: &str, storage: &Storage) {
        let Some(Object::Metadata(manifest)) = storage.look(&format!("{path}/_metadata")) else {
            self.violated(format!("the pointer leads to {path}, where no manifest is"));
            return;
        };
        let found = (manifest.leader_epoch.0, manifest.attempt.0, manifest.checkpoint.0);
        if manifest.job == plan.id() {
            self.completed += 1;
            let known = self.pointers.insert(plan.id(), found);
            if manifest.checkpoint.0 != checkpoint || known.is_some_and(|known| !grows(known, found)) {
                self.violated(format!("the pointer goes from {known:?} to {found:?}"));
            }
        }
        let mut needed = BTreeSet::from([format!("{path}/_metadata").into()]);
        for file in manifest.files() {
            let path = snapshot::file_path(path, file);
            needed.insert(Rc::clone(&path));
            if storage.look(&path).is_none() {
                self.violated(format!("checkpoint {checkpoint} is complete without {path}"));
            }
        }
        let subtasks = manifest.operators.iter().flat_map(|operator| &operator.subtasks);
        for entry in subtasks.flat_map(|subtask| &subtask.committables).flat_map(|pending| &pending.entries) {
            let blob = entry.blobs.first().map(|blob| blob.name.as_str());
            self.allowed.insert(snapshot::path_of(&entry.payload, blob));
        }
        self.needed.insert(plan.id(), needed);
    }

    /// Something is deleted: nothing that a restart would need.
    pub(crate) fn deleted(&mut self, path: &Rc<str>) {
        self.deletions += 1;
        if self.needed.values().any(|needed| needed.contains(path)) {
            self.violated(format!("{path} is deleted, to which a pointer leads"));
        }
    }

    /// A job has ended: nobody goes on from its checkpoints any more.
    fn ended(&mut self, job: JobId) {
        self.needed.remove(&job);
    }

    /// Whether readers of a sink see as much as there is to see.
    pub(crate) fn is_complete(&self, visible: u64) -> bool {
        visible >= self.input.total()
    }

    /// What readers of a sink see in the end: each record once, each key counted from one on, in order.
    pub(crate) fn judge(&mut self, vertex: u32, visible: impl Iterator<Item = Record>) {
        let mut counts: BTreeMap<u16, u32> = BTreeMap::new();
        let mut seen: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
        for record in visible {
            let count = counts.entry(record.key).or_default();
            *count += 1;
            if record.count != *count {
                let Record { key, split, position, count: found } = record;
                let what = format!(
                    "sink {vertex}: key {key} has count {found} where {count} belongs (position {position} of split {split})"
                );
                self.violated(what);
                return;
            }
            let length = self.input.length(record.split) as usize;
            let of_split = seen.entry(record.split).or_insert_with(|| vec![0; length]);
            match of_split.get_mut(record.position as usize) {
                Some(times @ 0) if self.input.record(record.split, record.position).key == record.key => {
                    *times = 1
                }
                _ => {
                    self.violated(format!("sink {vertex}: {record:?} comes twice, or never was"));
                    return;
                }
            }
        }
        for split in 0..self.input.lengths.len() as u16 {
            let length = self.input.length(split) as usize;
            let missing = match seen.get(&split) {
                Some(of_split) => of_split.iter().position(|times| *times == 0),
                None => Some(0).filter(|_| length > 0),
            };
            if let Some(position) = missing {
                self.violated(format!("sink {vertex}: position {position} of split {split} is lost"));
                return;
            }
        }
    }

    /// What readers of the sinks of a vertex see.
    pub(crate) fn judge_all(&mut self, plan: &Plan, files: &[(SinkId, Record)], log: &[(SinkId, Record)]) {
        for (vertex, commits) in plan.all_sinks() {
            let rows = if commits == Commits::Master { files } else { log };
            let own = rows.iter().filter(|(sink, _)| u32::from(sink.vertex) == vertex);
            self.judge(vertex, own.map(|(_, record)| *record));
        }
    }
}

/// A pointer moves on within an epoch and an attempt, or to a later one of either, and its checkpoint is always a later one.
fn grows(known: (u64, u32, u64), found: (u64, u32, u64)) -> bool {
    found.0 >= known.0 && found.1 >= known.1 && found.2 > known.2
}
