//! What the JobManager deletes: snapshots that are over and what nobody reaches. The registry of references and the plan of what is
//! an orphan are the real ones.

use std::collections::btree_map::Entry;
use std::rc::Rc;
use std::time::Duration;

use object_store::path::Path;
use weir_api::id::{Attempt, CheckpointId, JobId};
use weir_jobmanager::control::checkpoint::Retained;
use weir_jobmanager::control::job::recovery::Discard;
use weir_snapshots::collect::{Removal, Rules, plan};
use weir_snapshots::layout::{JobFolder, SnapshotFolder};
use weir_snapshots::registry::{Owner, Registry};
use weir_snapshots::storage::Listed;

use super::master::LOCATION;
use super::planted::{Bug, is_planted};
use super::storage::{Object, Request};
use super::world::{Asker, World};

/// What paths of the store begin with in messages.
const SCHEME: &str = "memory:///";
/// What is younger may belong to a checkpoint on its way: longer than the longest timeout that a run draws.
const GRACE: Duration = Duration::from_secs(9);
/// In so many cases of a hundred a discard is followed by a look for orphans.
const LOOKS: u64 = 20;

fn inner(path: &str) -> Path {
    Path::from(path.strip_prefix(SCHEME).unwrap_or(path))
}

fn outer(path: &Path) -> Rc<str> {
    format!("{SCHEME}{path}").into()
}

fn job_folder(job: JobId) -> JobFolder {
    JobFolder::new(&inner(LOCATION), job)
}

impl World {
    /// A snapshot is written.
    pub(super) fn retain(&mut self, job: JobId, path: &str) {
        let own = format!("{LOCATION}/");
        let Some(Object::Metadata(manifest)) = self.storage.look(&format!("{path}/_metadata")) else {
            return;
        };
        let owner = if path.starts_with(&own) { Owner::Job } else { Owner::Other };
        let registry = self.master.registries.entry(job).or_insert_with(|| Registry::new(job_folder(job)));
        registry.add(SnapshotFolder::named(&inner(path)), manifest, owner);
    }

    /// A JobManager learns which snapshots there are, unless it knows.
    pub(super) fn load_registry(&mut self, job: JobId, retained: &[Retained]) {
        if let Entry::Vacant(unknown) = self.master.registries.entry(job) {
            unknown.insert(Registry::new(job_folder(job)));
            for one in retained {
                self.retain(job, &one.path);
            }
        }
    }

    pub(super) fn discard(&mut self, job: JobId, attempts: (Attempt, Attempt), discard: &Discard) {
        let (path, completed) = match discard {
            Discard::Checkpoint { path, completed } => (path.as_deref(), *completed),
            Discard::Everything => {
                let paths: Vec<_> = self.storage.below(&format!("{LOCATION}/{job}/")).cloned().collect();
                self.delete(paths);
                return;
            }
            Discard::Orphans(_) => (None, true),
        };
        let Some(registry) = self.master.registries.get_mut(&job) else { return };
        let folders: Vec<_> = path.iter().map(|path| SnapshotFolder::named(&inner(path))).collect();
        let release = if completed || is_planted(Bug::AbortedFilesDeleted) {
            registry.release(&folders)
        } else {
            registry.forget(&folders)
        };
        let mut paths: Vec<_> = release.manifests.iter().chain(&release.files).map(outer).collect();
        if is_planted(Bug::SharedFilesDeleted)
            && let Some(path) = path
            && let Some(Object::Metadata(manifest)) = self.storage.look(&format!("{path}/_metadata"))
        {
            paths.extend(manifest.files().map(|file| super::snapshot::file_path(path, file)));
        }
        self.delete(paths);
        if self.random.chance(LOOKS) {
            self.collect_orphans(job, attempts);
        }
    }

    fn delete(&mut self, paths: Vec<Rc<str>>) {
        for path in paths {
            self.ask_storage(Asker::Nobody, Request::Delete { path });
        }
    }

    fn collect_orphans(&mut self, job: JobId, (oldest, attempt): (Attempt, Attempt)) {
        let Some(registry) = self.master.registries.get(&job) else { return };
        let rules = Rules {
            now_millis: self.now as i64,
            grace: GRACE,
            oldest,
            attempt,
            completed: registry.newest().unwrap_or(CheckpointId(0)),
        };
        let folder = job_folder(job);
        let all = format!("{LOCATION}/{job}/");
        let listing = self.storage.list(&all).map(|(path, modified)| Listed {
            path: inner(path),
            modified_millis: modified as i64,
            bytes: 1,
        });
        let listing: Vec<_> = listing.collect();
        let removals = plan(&folder, &listing, &registry.reachable(), &rules);
        let paths = removals.into_iter().map(|removal| match removal {
            Removal::Delete(path) | Removal::GiveUp(path) => outer(&path),
        });
        self.delete(paths.collect());
    }
}
