//! Random lives of a job: nothing referenced is ever deleted, nothing unreferenced stays after collection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use object_store::path::Path;
use proptest::prelude::*;
use weir_api::id::{Attempt, CheckpointId, JobId};

use crate::collect::{Removal, Rules, plan};
use crate::layout::{JobFolder, SnapshotFolder};
use crate::manifest::{FileHandle, Layer, Manifest, Scope};
use crate::name::ContentHash;
use crate::registry::{Owner, Registry, Release};
use crate::sample::{handle, manifest};
use crate::storage::Listed;
use crate::table::Summary;

#[derive(Clone, Debug)]
enum Step {
    /// A checkpoint that writes so many files, keeps the chain up to this length, and merges or not.
    Checkpoint {
        files: u8,
        keep: u8,
    },
    /// One whose files are written and whose manifest never is.
    Abort {
        files: u8,
    },
    Subsume {
        retain: u8,
    },
    /// The job is restored in another attempt, from its newest snapshot, by claim or not; the registry is derived anew.
    Restart {
        claim: bool,
    },
    Collect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4u8, 0..5u8).prop_map(|(files, keep)| Step::Checkpoint { files, keep }),
        1 => (1..4u8).prop_map(|files| Step::Abort { files }),
        2 => (1..4u8).prop_map(|retain| Step::Subsume { retain }),
        1 => any::<bool>().prop_map(|claim| Step::Restart { claim }),
        1 => Just(Step::Collect),
    ]
}

struct World {
    job: JobFolder,
    registry: Registry,
    store: BTreeSet<Path>,
    /// The truth: what each snapshot that somebody relies on needs.
    ours: BTreeMap<SnapshotFolder, Manifest>,
    theirs: BTreeMap<SnapshotFolder, Manifest>,
    chain: Vec<FileHandle>,
    attempt: u32,
    checkpoint: u64,
    completed: u64,
    content: u128,
}

impl World {
    fn new() -> Self {
        let job = JobFolder::new(&Path::from("base"), JobId::from_bytes([0xab; 16]));
        let registry = Registry::new(job.clone());
        Self {
            job,
            registry,
            store: BTreeSet::new(),
            ours: BTreeMap::new(),
            theirs: BTreeMap::new(),
            chain: Vec::new(),
            attempt: 1,
            checkpoint: 0,
            completed: 0,
            content: 0,
        }
    }

    fn write(&mut self, files: u8) -> Vec<FileHandle> {
        let write = |_| {
            self.content += 1;
            let summary = Summary {
                bytes: 10,
                rows: 1,
                hash: ContentHash(self.content),
                tail_bytes: 5,
                tail_hash: 0,
                first_key_group: 0,
                last_key_group: 0,
            };
            let file = handle(Scope::Shared, self.attempt, self.checkpoint, &summary);
            self.store.insert(self.job.shared(&file.name.to_string()));
            file
        };
        (0..files).map(write).collect()
    }

    fn needed(&self) -> BTreeSet<Path> {
        let all = self.ours.iter().chain(&self.theirs);
        all.flat_map(|(folder, manifest)| {
            manifest.files().map(|file| folder.file(file)).chain([folder.metadata()]).collect::<Vec<_>>()
        })
        .collect()
    }

    fn delete(&mut self, release: Release) {
        for path in release.manifests.into_iter().chain(release.files) {
            assert!(self.store.remove(&path), "{path} is deleted twice");
        }
    }

    fn subsume(&mut self, retain: usize) {
        let release = self.registry.subsume(retain);
        self.ours.retain(|folder, _| !release.manifests.contains(&folder.metadata()));
        assert!(self.ours.len() <= retain);
        self.delete(release);
    }

    fn collect(&mut self) {
        let listed = |path: &Path| Listed { path: path.clone(), modified_millis: 0, bytes: 1 };
        let listing: Vec<_> = self.store.iter().map(listed).collect();
        let rules = Rules {
            now_millis: 10_000,
            grace: Duration::from_secs(1),
            oldest: Attempt(self.attempt),
            attempt: Attempt(self.attempt),
            completed: CheckpointId(self.completed),
        };
        for removal in plan(&self.job, &listing, &self.registry.reachable(), &rules) {
            let Removal::Delete(path) = removal else { panic!("{removal:?}") };
            self.store.remove(&path);
        }
    }

    fn checkpoint(&mut self, files: u8, keep: u8) {
        self.checkpoint += 1;
        self.completed = self.checkpoint;
        let mut new = self.write(files);
        self.chain.truncate(keep.into());
        self.chain.append(&mut new);
        let layers = vec![Layer { delta: false, files: self.chain.clone() }];
        let manifest = manifest(self.checkpoint, layers);
        let folder = self.job.checkpoint(CheckpointId(self.checkpoint));
        self.store.insert(folder.metadata());
        self.registry.add(folder.clone(), &manifest, Owner::Job);
        self.ours.insert(folder, manifest);
    }

    fn restart(&mut self, claim: bool) {
        self.attempt += 1;
        let newest = self.ours.iter().max_by_key(|(_, manifest)| manifest.checkpoint);
        let Some((folder, manifest)) = newest.map(|(folder, manifest)| (folder.clone(), manifest.clone()))
        else {
            return;
        };
        if !claim {
            self.ours.remove(&folder);
            self.theirs.insert(folder, manifest);
            self.chain.clear();
        }
        self.registry = Registry::new(self.job.clone());
        for (folder, manifest) in &self.theirs {
            self.registry.add(folder.clone(), manifest, Owner::Other);
        }
        for (folder, manifest) in &self.ours {
            self.registry.add(folder.clone(), manifest, Owner::Job);
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Checkpoint { files, keep } => self.checkpoint(files, keep),
            Step::Abort { files } => {
                self.checkpoint += 1;
                self.write(files);
            }
            Step::Subsume { retain } => self.subsume(retain.into()),
            Step::Restart { claim } => self.restart(claim),
            Step::Collect => self.collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn nothing_referenced_goes_and_nothing_else_stays(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
            let needed = world.needed();
            let lost: Vec<_> = needed.difference(&world.store).collect();
            prop_assert!(lost.is_empty(), "{step:?} lost {lost:?}");
        }
        // After one more checkpoint nothing is on its way any more.
        world.run(&Step::Checkpoint { files: 1, keep: 1 });
        world.collect();
        prop_assert_eq!(&world.store, &world.needed());
    }
}

#[test]
fn the_young_the_newer_the_unknown_and_the_pending_stay() {
    let world = World::new();
    let name = |attempt: u32, checkpoint: u64| format!("{attempt}-{checkpoint}-{}.arrow", ContentHash(7));
    let job = &world.job;
    let rules = Rules {
        now_millis: 10_000,
        grace: Duration::from_secs(5),
        oldest: Attempt(2),
        attempt: Attempt(3),
        completed: CheckpointId(9),
    };
    let pending = job.checkpoint(CheckpointId(10));
    let old = job.checkpoint(CheckpointId(2));
    let cases = [
        (job.shared(&name(3, 9)), 5_000, true),
        (job.shared(&name(3, 9)), 5_001, false),
        (job.shared(&name(1, 12)), 0, true),
        // A region of that attempt goes on.
        (job.shared(&name(2, 12)), 0, false),
        (job.shared(&name(2, 9)), 0, true),
        (job.shared(&name(4, 1)), 0, false),
        (job.shared(&name(3, 10)), 0, false),
        (job.shared(&format!(".{}.w.0.tmp", name(3, 9))), 0, true),
        (job.shared(&format!(".{}.w.0.tmp", name(4, 9))), 0, false),
        (job.shared("notes.txt"), 0, false),
        (job.task_owned(&name(1, 1)), 0, false),
        (pending.metadata(), 0, false),
        (old.metadata(), 0, true),
        (old.exclusive("._metadata.w.0.tmp"), 0, true),
        (pending.exclusive("._metadata.w.0.tmp"), 0, false),
        (old.exclusive(&name(4, 2)), 0, false),
        (job.uploads().join(format!("{}.w.0", name(2, 1))), 0, true),
        (job.uploads().join(format!("{}.w.0", name(4, 1))), 0, false),
    ];
    for (path, modified_millis, goes) in cases {
        let listing = [Listed { path: path.clone(), modified_millis, bytes: 1 }];
        let removals = plan(job, &listing, &BTreeSet::new(), &rules);
        assert_eq!(removals.len(), usize::from(goes), "{path}");
        assert!(plan(job, &listing, &BTreeSet::from([path]), &rules).is_empty(), "reachable");
    }
}
