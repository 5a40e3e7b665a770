//! What of a task goes into a checkpoint and comes back out of one: the messages are the real ones, the files are counts by key.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use prost::Message as _;
use weir_api::graph::KeyGroupRange;
use weir_api::id::{CheckpointId, JobId};
use weir_api::state::{KEY_GROUP_COLUMN, Scope};
use weir_proto::v1::{self as proto, FileScope, TaskSnapshot};
use weir_snapshots::manifest::{FileHandle, Manifest, Scope as FileFolder, StateSchema};
use weir_snapshots::name::{ContentHash, FileName};
use weir_taskmanager::protocol::checkpoint::Event;

use super::job::{COUNT, Commits, KEY_GROUPS};
use super::master::LOCATION;
use super::storage::{self, Object, Request};
use super::task::{Frozen, Prepared, SplitState, Task, Work};
use super::world::{Asker, TaskId, World};

const STATE: &str = "counts";

/// The files that the next delta builds on, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Layers(Vec<proto::TableLayer>);

/// How far a restore is.
#[derive(Debug, Default)]
pub(crate) struct Restore {
    /// Files that are still to come.
    missing: BTreeSet<Rc<str>>,
    /// By subtask and layer, in order: later ones go over earlier ones.
    order: Vec<Rc<str>>,
    files: BTreeMap<Rc<str>, Rc<BTreeMap<u16, u32>>>,
}

thread_local! {
    static SCHEMA: OnceCell<Vec<u8>> = const { OnceCell::new() };
}

fn schema() -> Vec<u8> {
    SCHEMA.with(|cell| {
        let made = cell.get_or_init(|| {
            let column = |name: &str, kind| Field::new(name, kind, false);
            let fields = vec![
                column(KEY_GROUP_COLUMN, DataType::UInt32),
                column("key", DataType::Int64),
                column("count", DataType::Int64),
            ];
            let schema = Arc::new(Schema::new(fields));
            StateSchema { state: STATE.to_owned(), key_columns: 1, schema }.to_message().unwrap().arrow_schema
        });
        made.clone()
    })
}

/// A task's part of a checkpoint, and the file that it needs.
pub(crate) fn part(
    task: &mut Task,
    checkpoint: CheckpointId,
    scope: Scope,
    savepoint: Option<&str>,
    frozen: &Frozen,
    prepared: &[(CheckpointId, Prepared)],
) -> (TaskSnapshot, Option<(Rc<str>, Object)>) {
    let mut subtask = snapshot_of(task, frozen, prepared);
    let mut file = None;
    let mut schemas = Vec::new();
    if let Frozen::Counts(counts) = frozen {
        schemas.push(proto::StateSchema { state: STATE.to_owned(), key_columns: 1, arrow_schema: schema() });
        let mut layers = match scope {
            Scope::Full => Vec::new(),
            Scope::Changes => std::mem::take(&mut task.layers.0),
        };
        if !counts.is_empty() {
            let handle = handle(task, checkpoint, savepoint.is_some(), counts);
            let folder =
                savepoint.map_or_else(|| format!("{}/shared", task.deployment.folder()), str::to_owned);
            let path = format!("{folder}/{}", handle.name);
            layers.push(proto::TableLayer { delta: !layers.is_empty(), files: vec![handle] });
            file = Some((path.into(), Object::State(Rc::clone(counts))));
        }
        if savepoint.is_none() {
            task.layers.0.clone_from(&layers);
        }
        let range = own_groups(task);
        subtask.tables = vec![proto::TableSnapshot {
            state: STATE.to_owned(),
            key_group_start: range.start,
            key_group_end: range.end,
            layers,
        }];
    }
    let operator = proto::OperatorPart { operator: 0, schemas, subtask: Some(subtask) };
    (TaskSnapshot { operators: vec![operator], ..TaskSnapshot::default() }, file)
}

fn own_groups(task: &Task) -> KeyGroupRange {
    KeyGroupRange::of_subtask(
        task.id.subtask.0,
        task.deployment.plan.parallelism(task.id.vertex.0),
        KEY_GROUPS,
    )
}

fn snapshot_of(
    task: &Task,
    frozen: &Frozen,
    prepared: &[(CheckpointId, Prepared)],
) -> proto::SubtaskSnapshot {
    let splits = match frozen {
        Frozen::Splits(splits) => splits.iter().map(position_of).collect(),
        _ => Vec::new(),
    };
    let committables = prepared.iter().filter(|(_, entries)| !entries.is_empty());
    proto::SubtaskSnapshot {
        index: task.id.subtask.0,
        splits,
        committables: committables
            .map(|(checkpoint, entries)| proto::PendingCommittables {
                checkpoint_id: checkpoint.0,
                encoding_version: 1,
                entries: entries.clone(),
            })
            .collect(),
        ..Default::default()
    }
}

/// Puts other positions into a source's part.
pub(crate) fn replace_positions(part: &mut TaskSnapshot, splits: &[SplitState]) {
    for subtask in part.operators.iter_mut().filter_map(|operator| operator.subtask.as_mut()) {
        subtask.splits = splits.iter().map(position_of).collect();
    }
}

fn position_of(split: &SplitState) -> proto::SplitPosition {
    let position = (split.position > 0).then_some(u64::from(split.position));
    let payload = proto::Split { position, ended: split.ended, ..split.split.clone() };
    proto::SplitPosition {
        split_id: payload.id.clone(),
        encoding_version: 1,
        payload: payload.encode_to_vec(),
    }
}

fn handle(
    task: &Task,
    checkpoint: CheckpointId,
    is_savepoint: bool,
    counts: &BTreeMap<u16, u32>,
) -> proto::FileHandle {
    let mut bytes = task.id.subtask.0.to_le_bytes().to_vec();
    for (key, count) in counts {
        bytes.extend(key.to_le_bytes());
        bytes.extend(count.to_le_bytes());
    }
    let hash = ContentHash::of(&bytes);
    let groups = || counts.keys().map(|key| u32::from(*key) % KEY_GROUPS);
    let name = FileName { attempt: task.id.attempt, checkpoint, hash };
    let scope = if is_savepoint { FileScope::Exclusive } else { FileScope::Shared };
    proto::FileHandle {
        scope: scope.into(),
        name: name.to_string(),
        bytes: 100 + counts.len() as u64,
        rows: counts.len() as u64,
        hash: hash.0.to_be_bytes().to_vec(),
        tail_bytes: 50,
        tail_hash: 1,
        first_key_group: groups().min().unwrap_or(0),
        last_key_group: groups().max().unwrap_or(0),
    }
}

/// Where a sink's output for a checkpoint lies before it is visible.
pub(crate) fn output_path(task: &Task, checkpoint: CheckpointId) -> Rc<str> {
    let (vertex, subtask, attempt) = (task.id.vertex, task.id.subtask, task.id.attempt);
    let number = task.deployment.plan.number;
    match task.work {
        Work::Sink { commits: Commits::Tasks, .. } => {
            format!("{}/taskowned/{attempt}-{checkpoint}-{vertex}-{subtask}", task.deployment.folder()).into()
        }
        _ => format!("out/{number}/{vertex}/.{attempt}-{checkpoint}-{subtask}").into(),
    }
}

/// What makes it visible.
pub(crate) fn committable(task: &Task, checkpoint: CheckpointId) -> proto::Prepared {
    let path = output_path(task, checkpoint);
    let whose = format!("{} {} {} ", task.deployment.plan.number, task.id.vertex, task.id.subtask);
    if let Work::Sink { commits: Commits::Tasks, .. } = task.work {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let blob = proto::Blob { name, bytes: 1, hash: vec![7; 16] };
        return proto::Prepared { payload: whose.into_bytes(), blobs: vec![blob] };
    }
    proto::Prepared { payload: format!("{whose}{path}").into_bytes(), blobs: Vec::new() }
}

/// Where the output lies that a committable names.
pub(crate) fn path_of(payload: &[u8], blob: Option<&str>) -> Rc<str> {
    match (blob, owner_of(payload)) {
        (Some(blob), Some((number, ..))) => {
            format!("{LOCATION}/{}/taskowned/{blob}", JobId::from_bytes([number; 16])).into()
        }
        _ => {
            let text = String::from_utf8_lossy(payload);
            text.rsplit(' ').next().unwrap_or_default().into()
        }
    }
}

/// Whose output it is: the job's number, the sink's vertex and its subtask.
pub(crate) fn owner_of(payload: &[u8]) -> Option<(u8, u8, u32)> {
    let text = String::from_utf8_lossy(payload);
    let mut parts = text.split(' ');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Where a file of a snapshot lies.
pub(crate) fn file_path(snapshot: &str, handle: &FileHandle) -> Rc<str> {
    let job = snapshot.rsplit_once('/').map_or("", |(job, _)| job);
    match &handle.scope {
        FileFolder::Shared => format!("{job}/shared/{}", handle.name).into(),
        FileFolder::Exclusive => format!("{snapshot}/{}", handle.name).into(),
        FileFolder::Folder(folder) => format!("{folder}/{}", handle.name).into(),
    }
}

/// The splits of a source as it begins.
pub(crate) fn begin(splits: &[proto::Split], input: &super::job::Input) -> Vec<SplitState> {
    let splits = splits.iter().map(|split| {
        let number = split.id.parse().unwrap_or(u16::MAX);
        let position = u32::try_from(split.position.unwrap_or(0)).unwrap_or(u32::MAX);
        let ended = split.ended || position >= input.length(number);
        SplitState { split: split.clone(), number, position, ended }
    });
    splits.collect()
}

impl World {
    /// A sink makes what it has taken durable.
    pub(crate) fn prepare(&mut self, id: TaskId, checkpoint: CheckpointId) {
        let Some(task) = self.task_mut(id) else { return };
        let path = output_path(task, checkpoint);
        let Work::Sink { rows, .. } = &task.work else { return };
        if rows.is_empty() {
            self.prepared(id, checkpoint, Ok(None));
            return;
        }
        let rows = Rc::new(rows.clone());
        self.oracle.prepared(&path, &rows);
        if super::planted::is_planted(super::planted::Bug::CommitAtPreparation) {
            self.make_visible(&path);
        }
        let request = Request::Put { path, object: Object::Rows(rows), if_absent: false };
        self.ask_storage(Asker::Prepare(id, checkpoint), request);
    }

    /// A task begins with the state of the snapshot that its attempt goes on from.
    pub(crate) fn restore(&mut self, id: TaskId) {
        let Some(task) = self.task_mut(id) else { return };
        match &task.deployment.restore {
            Some(restore) if task.deployment.plan.role(task.id.vertex.0) == COUNT => {
                let path = format!("{}/_metadata", restore.path).into();
                self.ask_storage(Asker::Manifest(id), Request::Get { path });
            }
            _ => self.tell(id, Event::Restored),
        }
    }

    pub(crate) fn manifest_read(&mut self, id: TaskId, answer: storage::Answer) {
        let Ok(Some(Object::Metadata(manifest))) = answer else {
            self.fail_task(id, "the snapshot can't be read");
            return;
        };
        let Some(task) = self.task_mut(id) else { return };
        let Some(from) = task.deployment.restore.as_ref().map(|restore| restore.path.clone()) else { return };
        let own = own_groups(task);
        let uid = task.deployment.plan.uid(task.id.vertex.0);
        let order = files_for(&manifest, &from, &uid, own);
        task.restore.missing = order.iter().cloned().collect();
        task.restore.order = order;
        let missing: Vec<_> = task.restore.missing.iter().cloned().collect();
        if missing.is_empty() {
            self.tell(id, Event::Restored);
        }
        for path in missing {
            self.ask_storage(Asker::File(id, Rc::clone(&path)), Request::Get { path });
        }
    }

    pub(crate) fn file_read(&mut self, id: TaskId, path: &Rc<str>, answer: storage::Answer) {
        let Ok(Some(Object::State(file))) = answer else {
            self.fail_task(id, "a file of the snapshot can't be read");
            return;
        };
        let Some(task) = self.task_mut(id) else { return };
        task.restore.missing.remove(path);
        task.restore.files.insert(Rc::clone(path), file);
        if !task.restore.missing.is_empty() {
            return;
        }
        let own = own_groups(task);
        let Task { restore, work: Work::Count { counts, .. }, .. } = task else { return };
        for path in std::mem::take(&mut restore.order) {
            let Some(file) = restore.files.get(&path) else { continue };
            let own = file.iter().filter(|(key, _)| own.contains(u32::from(**key) % KEY_GROUPS));
            counts.extend(own.map(|(key, count)| (*key, *count)));
        }
        restore.files.clear();
        self.tell(id, Event::Restored);
    }
}

/// The files that hold anything of these key groups, in the order in which they go over each other.
fn files_for(manifest: &Manifest, from: &str, uid: &str, own: KeyGroupRange) -> Vec<Rc<str>> {
    let mut paths = Vec::new();
    for (operator, _, table) in manifest.tables() {
        let overlaps = table.range.start < own.end && own.start < table.range.end;
        if operator.uid.as_str() == uid && overlaps {
            let files = table.layers.iter().flat_map(|layer| &layer.files);
            paths.extend(files.map(|file| file_path(from, file)));
        }
    }
    paths
}
