//! The checkpoint machine and the uploader together, over a store that is away now and then: what every acknowledged checkpoint adds
//! up to, and what is left behind.

use std::path::{Path, PathBuf};

use weir_api::element::{Barrier, Purpose};

use super::*;
use crate::snapshot::adopt;
use crate::task::checkpoint::{Action, Event, Machine};

type Checkpoints = Machine<Vec<Committable>, TaskSnapshot>;
type Rows = BTreeMap<(u32, i64), Option<i64>>;

/// A folder that can be made unusable for whoever writes files of checkpoints: its name leads to the folder or to a file. Changing
/// that is one step, so that no upload comes in between.
struct Store {
    shared: PathBuf,
    is_away: bool,
}

impl Store {
    fn new(base: &Path) -> Self {
        let store = Self { shared: base.join(JOB.to_string()).join("shared"), is_away: false };
        std::fs::create_dir_all(store.folder()).unwrap();
        std::fs::write(store.in_the_way(), b"in the way").unwrap();
        store.lead_to(&store.folder());
        store
    }

    fn folder(&self) -> PathBuf {
        self.shared.with_extension("folder")
    }

    fn in_the_way(&self) -> PathBuf {
        self.shared.with_extension("file")
    }

    fn lead_to(&self, place: &Path) {
        let next = self.shared.with_extension("next");
        std::os::unix::fs::symlink(place, &next).unwrap();
        std::fs::rename(&next, &self.shared).unwrap();
    }

    fn set_away(&mut self, away: bool) {
        if away != self.is_away {
            self.is_away = away;
            self.lead_to(&if away { self.in_the_way() } else { self.folder() });
        }
    }
}

/// What happened, so that the test knows that it tested something.
#[derive(Debug, Default)]
struct Seen {
    failed: usize,
    cancelled: usize,
    /// Changes that were asked for after something was lost.
    changes_after_loss: usize,
    full_after_loss: usize,
    restarts: usize,
}

struct World {
    location: String,
    stores: Arc<Stores>,
    mailbox: Mailbox,
    machine: Checkpoints,
    uploader: Uploader,
    store: Store,
    random: StdRng,
    model: Model,
    dirty: Rows,
    /// What was there at each barrier.
    models: BTreeMap<CheckpointId, Model>,
    frozen: BTreeMap<CheckpointId, (Scope, Rows)>,
    in_chain: Vec<CheckpointId>,
    acknowledged: Vec<(CheckpointId, TaskSnapshot)>,
    last: Option<Manifest>,
    next: u64,
    has_lost: bool,
    letters: VecDeque<Letter>,
    /// Uploads that haven't ended.
    under_way: usize,
    seen: Seen,
}

impl World {
    fn new(folder: &Path, seed: u64) -> Self {
        let location = format!("file://{}", folder.display());
        let (stores, mailbox) = (stores(None), Mailbox::new(0));
        let uploader = uploader_at(&location, Chains::default(), &stores, &mailbox);
        let mut machine = Machine::new(false, None, true);
        machine.handle(Event::Restored);
        Self {
            location,
            stores,
            mailbox,
            machine,
            uploader,
            store: Store::new(folder),
            random: StdRng::seed_from_u64(seed),
            model: Model::new(),
            dirty: Rows::new(),
            models: BTreeMap::new(),
            frozen: BTreeMap::new(),
            in_chain: Vec::new(),
            acknowledged: Vec::new(),
            last: None,
            next: 1,
            has_lost: false,
            letters: VecDeque::new(),
            under_way: 0,
            seen: Seen::default(),
        }
    }

    fn change(&mut self) {
        for _ in 0..self.random.random_range(0..10) {
            let key = (self.random.random_range(0..GROUPS), self.random.random_range(0..20));
            let value = self.random.random_bool(0.7).then(|| self.random.random_range(0..1000));
            self.dirty.insert(key, value);
            match value {
                Some(value) => self.model.insert(key, value),
                None => self.model.remove(&key),
            };
        }
    }

    fn perform(&mut self, actions: Vec<Action<Vec<Committable>, TaskSnapshot>>) {
        for action in actions {
            match action {
                Action::Snapshot { barrier, scope } => {
                    let checkpoint = CheckpointId(barrier.checkpoint_id);
                    let changes = std::mem::take(&mut self.dirty);
                    let rows = match scope {
                        Scope::Full => self.model.iter().map(|(key, value)| (*key, Some(*value))).collect(),
                        Scope::Changes => changes,
                    };
                    if std::mem::take(&mut self.has_lost) {
                        match scope {
                            Scope::Full => self.seen.full_after_loss += 1,
                            Scope::Changes => self.seen.changes_after_loss += 1,
                        }
                    }
                    self.models.insert(checkpoint, self.model.clone());
                    self.frozen.insert(checkpoint, (scope, rows));
                    self.in_chain.push(checkpoint);
                }
                Action::Upload { checkpoint, .. } => {
                    let (scope, rows) = self.frozen.remove(&checkpoint).unwrap();
                    self.uploader.begin(job(checkpoint.0, scope, &rows, None));
                    self.under_way += 1;
                }
                Action::Cancel(checkpoint) => {
                    (self.has_lost, self.seen.cancelled) = (true, self.seen.cancelled + 1);
                    self.frozen.remove(&checkpoint);
                    self.uploader.cancel(checkpoint);
                }
                Action::Acknowledge { checkpoint, part } => self.acknowledged.push((checkpoint, part)),
                Action::Decline { reason, .. } => assert!(!reason.is_empty()),
                _ => {}
            }
        }
    }

    fn barrier(&mut self) {
        let (checkpoint_id, purpose) = (self.next, Purpose::Checkpoint);
        self.next += 1;
        let barrier = Barrier { checkpoint_id, timestamp_millis: 0, purpose };
        let actions = self.machine.handle(Event::Aligned(barrier));
        self.perform(actions);
        if self.random.random_bool(0.9) {
            self.pass();
        }
    }

    fn pass(&mut self) {
        for checkpoint in std::mem::take(&mut self.in_chain) {
            let actions = self.machine.handle(Event::Passed { checkpoint, prepared: None });
            self.perform(actions);
        }
    }

    /// Takes the end of an upload in, if one comes soon.
    async fn hear(&mut self) -> bool {
        if self.letters.is_empty() {
            let mailbox = &self.mailbox;
            let letters = poll_fn(|cx| {
                let letters = mailbox.letters(cx);
                if letters.is_empty() { Poll::Pending } else { Poll::Ready(letters) }
            });
            let letters = tokio::time::timeout(Duration::from_millis(20), letters).await;
            self.letters.extend(letters.into_iter().flatten());
        }
        let Some(Letter::Uploaded(uploaded)) = self.letters.pop_front() else { return false };
        let Uploaded { checkpoint, result, kept } = *uploaded;
        self.uploader.ended(checkpoint);
        self.under_way -= 1;
        // As the task's control does.
        if kept {
            self.machine.handle(Event::Kept(checkpoint));
        }
        if result.is_err() {
            (self.has_lost, self.seen.failed) = (true, self.seen.failed + 1);
        }
        let actions = self.machine.handle(Event::Uploaded { checkpoint, result });
        self.perform(actions);
        true
    }

    /// All uploads end.
    async fn settle(&mut self) {
        let start = tokio::time::Instant::now();
        while self.under_way > 0 {
            self.hear().await;
            assert!(start.elapsed() < Duration::from_secs(30), "an upload doesn't end");
        }
    }

    /// Everything that was acknowledged adds up to what was there.
    async fn check(&mut self) {
        self.store.set_away(false);
        for (checkpoint, part) in std::mem::take(&mut self.acknowledged) {
            let manifest = manifest(checkpoint.0, part);
            let found = read(&self.stores, &manifest, &self.location).await;
            assert_eq!(found, self.models[&checkpoint], "checkpoint {checkpoint}");
            self.last = Some(manifest);
        }
    }

    /// A new attempt, on the layers of the last checkpoint.
    async fn restart(&mut self) {
        self.check().await;
        let Some(manifest) = &self.last else { return };
        let operator = &manifest.operators[0];
        let mut chains = Chains::default();
        chains.add(
            0,
            adopt::chains(operator, &operator.schemas, KeyGroupRange { start: 0, end: GROUPS }).unwrap(),
        );
        self.mailbox = Mailbox::new(0);
        self.letters.clear();
        self.uploader = uploader_at(&self.location, chains, &self.stores, &self.mailbox);
        self.machine = Machine::new(false, Some(CheckpointId(self.next)), true);
        self.next += 1;
        self.machine.handle(Event::Adopted);
        self.machine.handle(Event::Restored);
        self.model = self.models[&manifest.checkpoint].clone();
        self.dirty.clear();
        self.frozen.clear();
        self.in_chain.clear();
        (self.has_lost, self.under_way) = (false, 0);
        self.seen.restarts += 1;
    }
}

async fn run(seed: u64) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), seed);
    for _ in 0..150 {
        world.change();
        match world.random.random_range(0..100) {
            0..45 => world.barrier(),
            45..75 => {
                world.hear().await;
            }
            75..83 => {
                let back = world.random.random_range(1..4);
                let aborted = Event::Aborted(CheckpointId(world.next.saturating_sub(back)));
                let actions = world.machine.handle(aborted);
                world.perform(actions);
            }
            83..87 => world.pass(),
            87..92 => world.store.set_away(true),
            92..98 => world.check().await,
            _ => world.restart().await,
        }
    }
    // The store is back: the next checkpoints work, and nothing is left behind.
    world.check().await;
    world.pass();
    world.settle().await;
    for _ in 0..2 {
        world.barrier();
        world.pass();
        world.settle().await;
    }
    let newest = world.acknowledged.last().map(|(checkpoint, _)| checkpoint.0);
    assert_eq!(newest, Some(world.next - 1), "seed {seed}");
    world.check().await;
    let (pieces, room) = (stores(None).pieces.available_permits(), stores(None).kept.available_permits());
    let is_free = || {
        let stores = &world.stores;
        stores.pieces.available_permits() == pieces && stores.kept.available_permits() == room
    };
    // An encoder that was left behind ends by itself.
    for _ in 0..500 {
        if is_free() {
            return world.seen;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("seed {seed}: memory is held for uploads that have ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_store_that_is_away_loses_is_in_the_next_checkpoint() {
    let mut all = Vec::new();
    for seed in 0..12 {
        all.push(run(seed).await);
    }
    let sum = |of: fn(&Seen) -> usize| all.iter().map(of).sum::<usize>();
    assert!(sum(|seen| seen.failed) > 10 && sum(|seen| seen.cancelled) > 10, "{all:?}");
    assert!(sum(|seen| seen.changes_after_loss) > 10 && sum(|seen| seen.restarts) > 3, "{all:?}");
    assert!(sum(|seen| seen.full_after_loss) > 3, "{all:?}");
}
