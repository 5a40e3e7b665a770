//! Checkpoints of a whole job (sources, a shuffle, keyed windows, a two-phase sink) under kills, aborts and other parallelisms: what is
//! committed in the end is what would have been without any of them.

mod graph;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::timeout;
use weir_api::config::Configuration;
use weir_api::id::{CheckpointId, JobId};
use weir_api::storage::FileSystems;
use weir_proto::v1::trigger_checkpoint::Purpose;
use weir_proto::v1::{
    AbortCheckpoint, CheckpointComplete, OperatorSnapshot, Restore, SnapshotKind, SnapshotManifest, Split,
    SplitAssignment, TaskSnapshot, TaskState, TriggerCheckpoint, job_manager_message,
};
use weir_snapshots::layout::{JobFolder, SnapshotFolder};
use weir_snapshots::manifest::{Manifest, Scope};
use weir_snapshots::restore::complete;
use weir_snapshots::storage::{Limits, Storage};

use self::graph::{CHAIN, WINDOW, graph};
use self::snapshot::{committables, positions, savepoint};
use super::manager::{Heard, JobManager, PATIENCE, Session};
use crate::tests::fixture::ledger::{Committed, KEYS, Ledger};
use crate::tests::fixture::{TestClock, graph::deployment};
use crate::{Handle, TaskManager};

const SPLITS: u32 = 3;
const LOCATION: &str = "memory://store/checkpoints";

/// A task, by vertex and subtask.
type Task = (u32, u32);

/// A JobManager in short: what it knows of the job over all attempts.
struct World {
    manager: JobManager,
    file_systems: FileSystems,
    copies: tempfile::TempDir,
    ledger: Ledger,
    committed: Committed,
    attempt: u32,
    next_checkpoint: u64,
    /// The pointer.
    latest: Option<(u64, Manifest)>,
    /// Where it leads, if to a savepoint.
    savepoint: Option<String>,
    /// What the job goes on from is its own.
    owned: bool,
    seen: Seen,
}

/// What happened, so that a test knows that it tested something.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    completed: usize,
    aborted: usize,
    kills: usize,
    stops: usize,
    /// Restores with keyed state and with output that nobody had committed.
    restores: usize,
    uncommitted: usize,
    /// Restores of tables with layers of changes.
    layered: usize,
    /// Layers of changes in completed checkpoints.
    changes: usize,
    /// Files of earlier attempts in completed checkpoints.
    adopted: usize,
}

/// One attempt.
struct Attempt {
    _worker: Handle,
    session: Session,
    parallelism: (u32, u32),
    finished: BTreeMap<Task, TaskSnapshot>,
    pending: BTreeMap<u64, BTreeMap<Task, TaskSnapshot>>,
    /// The savepoint with which the job is stopped.
    stopping: Option<u64>,
}

impl World {
    async fn new(rows: i64) -> Self {
        let file_systems = FileSystems::new(&Configuration::default()).with_memory();
        let ledger = Ledger { rows, allowed: Arc::new(AtomicI64::new(0)) };
        Self {
            manager: JobManager::start().await,
            file_systems,
            copies: tempfile::tempdir().unwrap(),
            ledger,
            committed: Committed::default(),
            attempt: 0,
            next_checkpoint: 1,
            latest: None,
            savepoint: None,
            owned: true,
            seen: Seen::default(),
        }
    }

    fn storage(&self) -> (Storage, JobFolder) {
        let location = self.file_systems.resolve(LOCATION).unwrap();
        let (storage, path) = Storage::at(&location, "test", Limits::default()).unwrap();
        (storage, JobFolder::new(&path, JobId::from_bytes([1; 16])))
    }

    /// A new process that goes on from the last checkpoint.
    async fn attempt(&mut self, parallelism: (u32, u32)) -> Attempt {
        self.attempt += 1;
        let mut options = self.manager.options("a", 4);
        options.file_systems = self.file_systems.clone();
        options.local_copies = Some((self.copies.path().to_owned(), 1 << 30));
        let worker = TaskManager::start(options, self.ledger.registry(), TestClock::shared()).await.unwrap();
        let session = self.manager.accept().await;
        let slots: Vec<_> = (0..4).map(|slot| ("a", worker.data_address(), slot)).collect();
        let mut message = deployment(1, self.attempt, &graph(parallelism), &slots);
        let mut splits: Vec<Split> =
            (0..SPLITS).map(|id| Split { id: id.to_string(), ..Split::default() }).collect();
        if let Some((checkpoint, manifest)) = &self.latest {
            // What was prepared is committed before anything runs.
            let before = self.committed.0.len();
            for prepared in committables(manifest) {
                self.committed.commit(&prepared);
            }
            self.seen.uncommitted += usize::from(self.committed.0.len() > before);
            self.seen.restores += usize::from(manifest.files().next().is_some());
            self.seen.layered += usize::from(manifest.tables().any(|(_, _, table)| table.layers.len() > 1));
            splits = positions(manifest);
            assert_eq!(splits.len(), SPLITS as usize);
            let path = format!("{LOCATION}/{}/chk-{checkpoint}", JobId::from_bytes([1; 16]));
            let path = self.savepoint.clone().unwrap_or(path);
            message.restore = Some(Restore { path, checkpoint_id: *checkpoint, owned: self.owned });
        }
        message.splits = (0..parallelism.0)
            .map(|subtask| {
                let share = splits.iter().enumerate().filter(|(at, _)| *at as u32 % parallelism.0 == subtask);
                let splits = share.map(|(_, split)| split.clone()).collect();
                SplitAssignment { vertex: 0, subtask, splits }
            })
            .collect();
        message.checkpoint_location = LOCATION.to_owned();
        session.deploy(message).await;
        let (finished, pending) = (BTreeMap::new(), BTreeMap::new());
        Attempt { _worker: worker, session, parallelism, finished, pending, stopping: None }
    }

    async fn trigger(&mut self, attempt: &mut Attempt, purpose: Purpose) -> u64 {
        let checkpoint_id = self.next_checkpoint;
        self.next_checkpoint += 1;
        attempt.pending.insert(checkpoint_id, attempt.finished.clone());
        let trigger = TriggerCheckpoint {
            job_id: vec![1; 16],
            attempt: self.attempt,
            checkpoint_id,
            timestamp_millis: 1,
            purpose: purpose.into(),
            location: match purpose {
                Purpose::Checkpoint => LOCATION.to_owned(),
                _ => savepoint(checkpoint_id),
            },
            full: checkpoint_id.is_multiple_of(11),
        };
        attempt.session.send(job_manager_message::Body::TriggerCheckpoint(trigger)).await;
        checkpoint_id
    }

    async fn abort(&mut self, attempt: &mut Attempt, checkpoint_id: u64) {
        attempt.pending.remove(&checkpoint_id);
        self.seen.aborted += 1;
        let abort = AbortCheckpoint { job_id: vec![1; 16], attempt: self.attempt, checkpoint_id };
        attempt.session.send(job_manager_message::Body::AbortCheckpoint(abort)).await;
    }

    /// Hears one message; completes what is complete. Answers whether all tasks have finished.
    async fn hear(&mut self, attempt: &mut Attempt, commits: bool) -> bool {
        let heard = timeout(PATIENCE, attempt.session.hear()).await.expect("something is said");
        match heard.expect("the session lasts") {
            Heard::State(changed) => {
                let task = changed.task.clone().unwrap();
                assert!(changed.failure.is_none(), "{changed:?}");
                if changed.state() == TaskState::Finished {
                    let part = changed.snapshot.unwrap();
                    for pending in attempt.pending.values_mut() {
                        pending.entry((task.vertex, task.subtask)).or_insert_with(|| part.clone());
                    }
                    attempt.finished.insert((task.vertex, task.subtask), part);
                }
            }
            Heard::Acknowledged(part) => {
                let task = part.task.clone().unwrap();
                assert_eq!(task.attempt, self.attempt);
                if let Some(pending) = attempt.pending.get_mut(&part.checkpoint_id) {
                    pending.insert((task.vertex, task.subtask), part.snapshot.unwrap());
                }
            }
            Heard::Declined(declined) => {
                attempt.pending.remove(&declined.checkpoint_id);
                self.abort(attempt, declined.checkpoint_id).await;
            }
        }
        let tasks = (attempt.parallelism.0 + attempt.parallelism.1) as usize;
        let ready = attempt.pending.iter().find(|(_, parts)| parts.len() == tasks).map(|(id, _)| *id);
        if let Some(checkpoint) = ready {
            let parts = attempt.pending.remove(&checkpoint).unwrap();
            attempt.pending.retain(|later, _| *later > checkpoint);
            self.complete(attempt, checkpoint, &parts, commits).await;
        }
        attempt.finished.len() == tasks
    }

    async fn complete(
        &mut self,
        attempt: &Attempt,
        checkpoint: u64,
        parts: &BTreeMap<Task, TaskSnapshot>,
        commits: bool,
    ) {
        let manifest = self.manifest(attempt.parallelism, checkpoint, parts);
        let (storage, folder) = self.storage();
        self.savepoint = attempt.stopping.filter(|stopping| *stopping == checkpoint).map(savepoint);
        let folder = match &self.savepoint {
            Some(savepoint) => {
                assert!(manifest.files().all(|file| file.scope == Scope::Exclusive), "{manifest:?}");
                let location = self.file_systems.resolve(savepoint).unwrap();
                SnapshotFolder::named(&Storage::at(&location, "test", Limits::default()).unwrap().1)
            }
            None => folder.checkpoint(CheckpointId(checkpoint)),
        };
        assert!(complete(&storage, &folder, &manifest).await.unwrap().is_none());
        self.seen.completed += 1;
        let earlier = manifest.files().filter(|file| file.name.attempt.0 < self.attempt);
        self.seen.adopted += earlier.count();
        for (_, _, table) in manifest.tables() {
            self.seen.changes += table.layers.iter().filter(|layer| layer.delta).count();
        }
        if commits {
            committables(&manifest).for_each(|prepared| self.committed.commit(&prepared));
        }
        self.latest = Some((checkpoint, manifest));
        if commits {
            let (job_id, checkpoint_id) = (vec![1; 16], checkpoint);
            let complete = CheckpointComplete { job_id, attempt: self.attempt, checkpoint_id };
            attempt.session.send(job_manager_message::Body::CheckpointComplete(complete)).await;
        }
    }

    fn manifest(
        &self,
        parallelism: (u32, u32),
        checkpoint_id: u64,
        parts: &BTreeMap<Task, TaskSnapshot>,
    ) -> Manifest {
        let operator = |vertex: u32, position: u32, uid: &str, parallelism: u32| {
            let of = parts.iter().filter(|((of, _), _)| *of == vertex).flat_map(|(_, part)| &part.operators);
            let of: Vec<_> = of.filter(|part| part.operator == position).collect();
            OperatorSnapshot {
                uid: uid.to_owned(),
                name: uid.to_owned(),
                parallelism,
                schemas: of
                    .iter()
                    .find(|part| !part.schemas.is_empty())
                    .map_or(Vec::new(), |part| part.schemas.clone()),
                subtasks: of.iter().filter_map(|part| part.subtask.clone()).collect(),
            }
        };
        let message = SnapshotManifest {
            job_id: vec![1; 16],
            checkpoint_id,
            kind: SnapshotKind::Checkpoint.into(),
            attempt: self.attempt,
            max_parallelism: 16,
            key_encoding_version: weir_api::key::ENCODING_VERSION,
            operators: vec![
                operator(0, 0, CHAIN[0], parallelism.0),
                operator(1, 0, CHAIN[1], parallelism.1),
                operator(1, 1, CHAIN[2], parallelism.1),
            ],
            ..SnapshotManifest::default()
        };
        Manifest::from_message(message).unwrap()
    }

    /// Stops the job with a savepoint, of which everything is committed. Sources have more to read, and don't.
    async fn stop(&mut self, attempt: &mut Attempt) {
        for checkpoint in attempt.pending.keys().copied().collect::<Vec<_>>() {
            self.abort(attempt, checkpoint).await;
        }
        let stopping = self.trigger(attempt, Purpose::Suspend).await;
        attempt.stopping = Some(stopping);
        self.ledger.allowed.fetch_add(500, Ordering::Relaxed);
        while attempt.pending.contains_key(&stopping) {
            self.hear(attempt, true).await;
        }
        let stopped = self.latest.as_ref().is_some_and(|(checkpoint, _)| *checkpoint == stopping);
        assert!(stopped || !attempt.finished.is_empty(), "declined");
        self.seen.stops += usize::from(stopped);
    }

    /// What a job without faults writes.
    fn expected(&self) -> Vec<(i64, i64, i64)> {
        let mut counts: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        for value in 0..self.ledger.rows {
            *counts.entry((value % KEYS, value / WINDOW * WINDOW)).or_default() += i64::from(SPLITS);
        }
        counts.into_iter().map(|((key, start), count)| (key, start, count)).collect()
    }
}

/// Runs a job with faults drawn from a seed, until it has finished.
async fn run(seed: u64) -> Seen {
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::new(20_000).await;
    let aborts = [0.0, 0.02, 0.2][seed as usize % 3];
    for life in 0.. {
        let last = life >= 5;
        let parallelism = (random.random_range(1..=3), random.random_range(1..=4));
        let mut attempt = world.attempt(parallelism).await;
        let mut patience = if last { usize::MAX } else { random.random_range(5..40) };
        // A process that dies between the pointer and the commit leaves that to the next one.
        let commits = last || life % 2 == 0;
        let finished = loop {
            if patience == 0 {
                break false;
            }
            patience -= 1;
            let on = if last { 2_000 } else { random.random_range(0..300) };
            world.ledger.allowed.fetch_add(on, Ordering::Relaxed);
            if attempt.pending.len() < 3 && random.random_bool(0.8) {
                let checkpoint = world.trigger(&mut attempt, Purpose::Checkpoint).await;
                if random.random_bool(aborts) {
                    tokio::time::sleep(Duration::from_micros(random.random_range(0..3_000))).await;
                    world.abort(&mut attempt, checkpoint).await;
                    continue;
                }
            }
            if attempt.pending.is_empty() && world.ledger.allowed.load(Ordering::Relaxed) < world.ledger.rows
            {
                // Nothing need be said before there is more to read.
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
            if world.hear(&mut attempt, commits).await {
                break true;
            }
        };
        if finished {
            for part in attempt.finished.values().flat_map(|part| &part.operators) {
                let pending = part.subtask.iter().flat_map(|subtask| &subtask.committables);
                pending
                    .flat_map(|pending| &pending.entries)
                    .for_each(|entry| world.committed.commit(&entry.payload));
            }
            break;
        }
        if random.random_bool(0.5) && attempt.finished.is_empty() {
            world.stop(&mut attempt).await;
        } else {
            world.seen.kills += 1;
        }
    }
    assert!(world.seen.completed >= 3, "{:?}", world.seen);
    let (found, expected) = (world.committed.sorted(), world.expected());
    let at = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    let near = at.unwrap_or(found.len().min(expected.len()));
    assert!(
        found == expected,
        "seed {seed}: {} rows, {} expected; at {near}: {:?} where {:?} belongs",
        found.len(),
        expected.len(),
        found.get(near),
        expected.get(near)
    );
    world.seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_job_counts_what_it_has_read_and_nothing_more() {
    let mut world = World::new(10_000).await;
    let mut attempt = world.attempt((2, 2)).await;
    world.ledger.allowed.store(3_210, Ordering::Relaxed);
    let first = world.trigger(&mut attempt, Purpose::Checkpoint).await;
    while attempt.pending.contains_key(&first) {
        world.hear(&mut attempt, true).await;
    }
    let stopping = world.trigger(&mut attempt, Purpose::Drain).await;
    attempt.stopping = Some(stopping);
    world.ledger.allowed.store(10_000, Ordering::Relaxed);
    while attempt.pending.contains_key(&stopping) {
        world.hear(&mut attempt, true).await;
    }
    let (checkpoint, manifest) = world.latest.as_ref().unwrap();
    assert_eq!(*checkpoint, stopping);
    let read_of = |split: &Split| if split.ended { 10_000 } else { split.position.unwrap_or(0) };
    let read: u64 = positions(manifest).iter().map(read_of).sum();
    let counted: i64 = world.committed.sorted().iter().map(|(_, _, count)| count).sum();
    assert_eq!(counted, read as i64, "all windows have fired");
    // Nothing comes behind the barrier: the sources stand still.
    assert!(read >= 1, "{read}");
    let metrics = timeout(Duration::from_millis(300), attempt.session.hear()).await;
    assert!(metrics.is_err(), "{metrics:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_given_up_lets_the_job_go_on_to_its_end() {
    let mut world = World::new(5_000).await;
    let mut attempt = world.attempt((2, 3)).await;
    world.ledger.allowed.store(1_000, Ordering::Relaxed);
    let stopping = world.trigger(&mut attempt, Purpose::Suspend).await;
    attempt.stopping = Some(stopping);
    // Its barrier is everywhere, but the savepoint isn't completed.
    let mut parts = 0;
    while parts < 5 {
        match timeout(PATIENCE, attempt.session.hear()).await.unwrap().unwrap() {
            Heard::Acknowledged(part) => parts += usize::from(part.checkpoint_id == stopping),
            Heard::State(changed) => assert!(changed.failure.is_none(), "{changed:?}"),
            Heard::Declined(declined) => panic!("{declined:?}"),
        }
    }
    // Stale words change nothing: of another attempt, of a checkpoint that nobody knows.
    for (attempt_number, checkpoint_id) in [(world.attempt + 1, stopping), (world.attempt, 4_711)] {
        let abort = AbortCheckpoint { job_id: vec![1; 16], attempt: attempt_number, checkpoint_id };
        attempt.session.send(job_manager_message::Body::AbortCheckpoint(abort)).await;
        let complete = CheckpointComplete { job_id: vec![1; 16], attempt: attempt_number, checkpoint_id };
        attempt.session.send(job_manager_message::Body::CheckpointComplete(complete)).await;
    }
    world.ledger.allowed.store(5_000, Ordering::Relaxed);
    assert!(timeout(Duration::from_millis(300), attempt.session.hear()).await.is_err(), "it stands still");
    world.abort(&mut attempt, stopping).await;
    while !world.hear(&mut attempt, true).await {}
    for part in attempt.finished.values().flat_map(|part| &part.operators) {
        let pending = part.subtask.iter().flat_map(|subtask| &subtask.committables);
        pending.flat_map(|pending| &pending.entries).for_each(|entry| world.committed.commit(&entry.payload));
    }
    assert_eq!(world.committed.sorted(), world.expected());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_killed_and_rescaled_writes_everything_once() {
    let mut all = Vec::new();
    let enough = |all: &[Seen]| {
        let sum = |of: fn(&Seen) -> usize| all.iter().map(of).sum::<usize>();
        sum(|seen| seen.kills) > 3
            && sum(|seen| seen.restores) > 3
            && sum(|seen| seen.aborted) > 3
            && sum(|seen| seen.changes) > 3
            && sum(|seen| seen.uncommitted) > 0
            && sum(|seen| seen.stops) > 1
            && sum(|seen| seen.layered) > 1
    };
    // What a seed meets depends on how fast the machine is, so it goes on until everything was met.
    for seed in 0.. {
        all.push(run(seed).await);
        if seed >= 8 && enough(&all) {
            break;
        }
        assert!(seed < 100, "not everything was met: {all:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_checkpoint_after_a_failure_writes_changes_only_where_the_layers_are_the_tasks_own() {
    for (parallelism, owned, builds) in [((2, 2), true, true), ((2, 3), true, false), ((2, 2), false, false)]
    {
        let mut world = World::new(10_000).await;
        world.ledger.allowed.store(3_250, Ordering::Relaxed);
        for parallelism in [(2, 2), parallelism] {
            let mut attempt = world.attempt(parallelism).await;
            loop {
                let checkpoint = world.trigger(&mut attempt, Purpose::Checkpoint).await;
                while attempt.pending.contains_key(&checkpoint) {
                    world.hear(&mut attempt, true).await;
                }
                // All that may be read is read: the second attempt's state doesn't change.
                let splits = positions(&world.latest.as_ref().unwrap().1);
                if splits.iter().all(|split| split.position.unwrap_or(0) >= 3_250) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            world.owned = owned;
        }
        let manifest = &world.latest.as_ref().unwrap().1;
        let panes = manifest.tables().filter(|(_, _, table)| table.state == "panes");
        let attempts: BTreeSet<u32> = panes
            .flat_map(|(_, _, table)| table.layers.iter().flat_map(|layer| &layer.files))
            .map(|file| file.name.attempt.0)
            .collect();
        // What the first attempt wrote is all, or nothing of it is used.
        assert_eq!(attempts.contains(&1), builds, "{parallelism:?} {owned} {attempts:?}");
        assert_eq!(attempts.contains(&2), !builds, "{parallelism:?} {owned} {attempts:?}");
        assert_eq!(world.seen.adopted > 0, builds);
    }
}
