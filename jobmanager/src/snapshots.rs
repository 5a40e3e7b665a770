//! Reads, writes and deletes snapshots for the core.
//!
//! Invariants: a `_metadata` is written once and last; a file that some retained snapshot of a job reaches is never deleted; what a
//! job goes on from is decided by what can be read, and it never goes back behind output that may be visible, unless its
//! configuration says so. Work on one job's snapshots waits for its turn; deleting doesn't hold up anything else. Which checkpoints
//! there are is the core's to know.

mod discard;
pub(crate) mod recover;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use weir_api::connector::ConnectorRegistry;
use weir_api::error::{Code, Error, Result};
use weir_api::fail_point::FailPoint;
use weir_api::graph::JobGraph;
use weir_api::id::{Attempt, JobId, LeaderEpoch};
use weir_api::sink::{Blob, Blobs};
use weir_api::storage::FileSystems;
use weir_snapshots::blobs::BlobFolder;
use weir_snapshots::layout::{JobFolder, SnapshotFolder};
use weir_snapshots::manifest::{Kind, Manifest};
use weir_snapshots::registry::{Owner, Registry};
use weir_snapshots::restore::complete;
use weir_snapshots::storage::{Limits, Storage};

use crate::commit::Sinks;
use crate::control::checkpoint::Written;
use crate::control::checkpoint::assemble::{self, Header};
use crate::control::job::checkpoints::SnapshotWrite;

/// Snapshots that are deleted at once.
const DISCARDS: usize = 4;

/// The work on snapshots of all jobs. Clones share it.
#[derive(Clone)]
pub(crate) struct Snapshots(Arc<Inner>);

struct Inner {
    files: FileSystems,
    registry: ConnectorRegistry,
    epoch: LeaderEpoch,
    jobs: Mutex<BTreeMap<JobId, Arc<tokio::sync::Mutex<OfJob>>>>,
    discards: Semaphore,
}

/// What is known of one job's snapshots. Whoever commits for the job holds it, too.
#[derive(Default)]
struct OfJob {
    /// Which files they reach; `None`: the retained manifests haven't been read yet.
    reached: Option<Registry>,
    /// Some retained manifest couldn't be read: nobody knows what it reaches.
    is_incomplete: bool,
    /// How many were let go since orphans were looked for.
    let_go: u32,
}

/// A job, as far as its snapshots and sinks are concerned.
#[derive(Clone)]
pub(crate) struct JobPlan {
    pub(crate) job: JobId,
    pub(crate) graph: Arc<JobGraph>,
    /// Where its checkpoints go; empty: nowhere.
    pub(crate) base: String,
}

impl Snapshots {
    pub(crate) fn new(files: FileSystems, registry: ConnectorRegistry, epoch: LeaderEpoch) -> Self {
        Self(Arc::new(Inner {
            files,
            registry,
            epoch,
            jobs: Mutex::default(),
            discards: Semaphore::new(DISCARDS),
        }))
    }

    pub(crate) fn connectors(&self) -> &ConnectorRegistry {
        &self.0.registry
    }

    fn of_job(&self, job: JobId) -> Arc<tokio::sync::Mutex<OfJob>> {
        // The map is whole whatever happened to a thread that held it.
        let mut jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(jobs.entry(job).or_default())
    }

    /// Whoever holds this commits for the job, and nobody else does.
    pub(crate) async fn turn(&self, job: JobId) -> tokio::sync::OwnedMutexGuard<impl Sized + use<>> {
        self.of_job(job).lock_owned().await
    }

    /// The job is gone.
    pub(crate) fn forget(&self, job: JobId) {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }

    /// Where a place leads.
    pub(crate) fn locate(&self, place: &str) -> Result<weir_api::storage::Location> {
        self.0.files.resolve(place)
    }

    /// The store that a place is in, and the path there.
    pub(crate) fn open(&self, place: &str) -> Result<(Storage, weir_api::storage::object_store::path::Path)> {
        let location = self.0.files.resolve(place)?;
        Storage::at(&location, &format!("jobmanager-{}", self.0.epoch), Limits::default())
    }

    fn job_folder(&self, plan: &JobPlan) -> Result<Option<(Storage, JobFolder)>> {
        if plan.base.is_empty() {
            return Ok(None);
        }
        let (storage, base) = self.open(&plan.base)?;
        Ok(Some((storage, JobFolder::new(&base, plan.job))))
    }

    /// Where a running job's blobs lie.
    pub(crate) fn blobs(&self, plan: &JobPlan, attempt: Attempt) -> Result<Option<Arc<dyn Blobs>>> {
        Ok(self.job_folder(plan)?.map(|(storage, folder)| {
            Arc::new(BlobFolder::new(storage, folder.task_owned_folder(), attempt)) as Arc<dyn Blobs>
        }))
    }

    /// Writes a snapshot's `_metadata`.
    pub(crate) async fn write(&self, plan: &JobPlan, write: SnapshotWrite) -> Result<Written> {
        FailPoint::AllAcknowledged.passed().await?;
        let completed_millis = write.parts.values().map(|part| part.unix_millis).max().unwrap_or_default();
        let header = Header {
            job: plan.job,
            checkpoint: write.checkpoint,
            is_savepoint: write.is_savepoint,
            epoch: self.0.epoch,
            attempt: write.attempt,
            triggered_millis: write.triggered_unix_millis,
            completed_millis,
        };
        let manifest = assemble::manifest(&header, &plan.graph, &write.parts)?;
        let (storage, path) = self.open(&write.path)?;
        let folder = SnapshotFolder::named(&path);
        if write.is_savepoint {
            self.copy_blobs(plan, &manifest, &storage, &folder).await?;
            let sinks = Sinks { snapshots: self.clone(), plan: plan.clone() };
            sinks.keep(&manifest).await?;
        }
        if let Some(other) = complete(&storage, &folder, &manifest).await? {
            return Err(Error::new(
                Code::Fenced,
                format!(
                    "{} was completed by attempt {} under leader {}",
                    write.path, other.attempt, other.leader_epoch
                ),
            ));
        }
        if !write.is_savepoint {
            self.with_registry(plan, |registry| registry.add(folder, &manifest, Owner::Job)).await?;
        }
        if write.is_savepoint {
            FailPoint::SavepointComplete.passed().await?;
        }
        FailPoint::MetadataWritten.passed().await?;
        Ok(Written {
            path: write.path,
            full_size: manifest.totals.full_bytes,
            new_size: manifest.totals.new_bytes,
        })
    }

    /// A savepoint stands by itself: blobs that its output refers to are copied into its folder.
    async fn copy_blobs(
        &self,
        plan: &JobPlan,
        manifest: &Manifest,
        storage: &Storage,
        folder: &SnapshotFolder,
    ) -> Result<()> {
        let blobs: std::collections::BTreeMap<&str, &Blob> =
            manifest.blobs().map(|blob| (blob.name.as_str(), blob)).collect();
        let Some(from) = self.blobs(plan, manifest.attempt)? else { return Ok(()) };
        let target = folder.blobs(Kind::Savepoint);
        for (name, blob) in blobs {
            let bytes = from.get(blob).await?;
            storage.put(&target.clone().join(name), bytes).await?;
        }
        Ok(())
    }

    async fn with_registry(&self, plan: &JobPlan, act: impl FnOnce(&mut Registry)) -> Result<()> {
        let Some((_, folder)) = self.job_folder(plan)? else { return Ok(()) };
        let of_job = self.of_job(plan.job);
        let mut of_job = of_job.lock().await;
        act(of_job.reached.get_or_insert_with(|| Registry::new(folder)));
        Ok(())
    }
}
