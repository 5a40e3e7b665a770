//! Deletes snapshots that are over, and what crashes left.
//!
//! Invariant: manifests go before the files that they name; nothing is deleted of which it isn't known that nobody reaches it. What
//! can't be deleted now is left to the next look for orphans.

use std::time::Duration;

use weir_api::error::Result;
use weir_api::fail_point::FailPoint;
use weir_api::id::{Attempt, CheckpointId};
use weir_snapshots::collect::{Removal, Rules, collect};
use weir_snapshots::layout::{JobFolder, Place, SnapshotFolder};
use weir_snapshots::registry::Release;
use weir_snapshots::storage::Storage;

use super::{JobPlan, Snapshots};
use crate::control::checkpoint::Retained;
use crate::control::job::recovery::Discard;

/// What is younger may belong to a checkpoint on its way.
const GRACE: Duration = Duration::from_secs(600);
/// So many checkpoints are let go between two looks for orphans.
const LOOK_EVERY: u32 = 50;

/// How long after a job's end, and after each other, its folder is cleared up.
const LOOKS_AT_THE_END: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(120)];

/// Nothing of a job that has ended is on its way: everything is old, and of an attempt that is over.
const ENDED: Rules = Rules {
    now_millis: i64::MAX,
    grace: Duration::ZERO,
    oldest: Attempt(u32::MAX),
    attempt: Attempt(u32::MAX),
    completed: CheckpointId(u64::MAX),
};

impl Snapshots {
    /// Deletes snapshots of a job, and their files as far as no other one of the job reaches them.
    pub(crate) async fn discard(
        &self,
        plan: &JobPlan,
        attempts: (Attempt, Attempt),
        discard: Discard,
        now_millis: i64,
    ) -> Result<()> {
        let (path, completed) = match discard {
            Discard::Checkpoint { path, completed } => (path, completed),
            Discard::Everything => return self.clear_up(plan, None).await,
            Discard::Orphans(retained) => return self.clear_up(plan, Some(&retained)).await,
        };
        let Some((storage, _)) = self.job_folder(plan)? else { return Ok(()) };
        let Ok(_place) = self.0.discards.acquire().await else { return Ok(()) };
        FailPoint::BeforeDiscard.passed().await?;
        let folder = match path {
            Some(path) => Some(SnapshotFolder::named(&self.open(&path)?.1)),
            None => None,
        };
        let (release, is_due) = {
            let of_job = self.of_job(plan.job);
            let mut of_job = of_job.lock().await;
            of_job.let_go += 1;
            let is_due = of_job.let_go >= LOOK_EVERY;
            if is_due {
                of_job.let_go = 0;
            }
            let release = of_job.reached.as_mut().map(|registry| {
                let folders = folder.as_slice();
                if completed { registry.release(folders) } else { registry.forget(folders) }
            });
            (release, is_due)
        };
        delete(&storage, release.unwrap_or_default()).await?;
        if let Some(folder) = &folder {
            storage.remove_folder(folder.path()).await;
        }
        if is_due { self.collect(plan, attempts, now_millis).await } else { Ok(()) }
    }

    /// Removes what a job leaves that has ended: everything, or what those that are kept don't reach. Files that were on their way
    /// when its tasks were cancelled may arrive later, so it looks again.
    async fn clear_up(&self, plan: &JobPlan, kept: Option<&[Retained]>) -> Result<()> {
        let Some((storage, job_folder)) = self.job_folder(plan)? else { return Ok(()) };
        if let Some(kept) = kept {
            // The leader under which it ended may not have come to this.
            let of_job = self.of_job(plan.job);
            self.load(plan, kept, None, &mut *of_job.lock().await).await?;
        }
        let mut outcome = Ok(());
        for wait in LOOKS_AT_THE_END {
            tokio::time::sleep(wait).await;
            let Ok(_place) = self.0.discards.acquire().await else { return Ok(()) };
            FailPoint::BeforeDiscard.passed().await?;
            outcome = match kept {
                None => delete_job(&storage, &job_folder).await,
                Some(_) => self.remove_orphans(plan, &ENDED).await,
            };
        }
        outcome
    }

    /// Looks for orphans of the job's earlier attempts and of checkpoints that came to nothing.
    pub(crate) async fn collect(
        &self,
        plan: &JobPlan,
        (oldest, attempt): (Attempt, Attempt),
        now_millis: i64,
    ) -> Result<()> {
        let completed = CheckpointId(0);
        self.remove_orphans(plan, &Rules { now_millis, grace: GRACE, oldest, attempt, completed }).await
    }

    /// Removes what nobody reaches. What is complete is at least what the job's newest checkpoint says.
    async fn remove_orphans(&self, plan: &JobPlan, rules: &Rules) -> Result<()> {
        let Some((storage, job_folder)) = self.job_folder(plan)? else { return Ok(()) };
        let reachable = {
            let of_job = self.of_job(plan.job);
            let of_job = of_job.lock().await;
            let Some(registry) = of_job.reached.as_ref().filter(|_| !of_job.is_incomplete) else {
                return Ok(());
            };
            (registry.reachable(), registry.newest().unwrap_or(CheckpointId(0)))
        };
        let (reachable, newest) = reachable;
        let rules = Rules { completed: newest.max(rules.completed), ..*rules };
        let removed = collect(&storage, &job_folder, &reachable, &rules).await?;
        if !removed.is_empty() {
            tracing::info!(job = %plan.job, attempt = %rules.attempt, count = removed.len(), "orphans of checkpoints were removed");
        }
        for removal in removed {
            if let Removal::Delete(path) = removal
                && let Place::Metadata(id) | Place::Exclusive(id, _) = job_folder.place(&path)
            {
                storage.remove_folder(job_folder.checkpoint(id).path()).await;
            }
        }
        Ok(())
    }
}

async fn delete(storage: &Storage, release: Release) -> Result<()> {
    for path in release.manifests.iter().chain(&release.files) {
        storage.delete(path).await?;
    }
    Ok(())
}

/// Deletes everything in the folder of a job that has ended, manifests first.
async fn delete_job(storage: &Storage, job: &JobFolder) -> Result<()> {
    let mut listing = storage.list(job.path()).await?;
    listing.sort_by_key(|file| !matches!(job.place(&file.path), Place::Metadata(_)));
    for file in &listing {
        match job.place(&file.path) {
            Place::Upload(_) => storage.abort_recorded(&file.path).await?,
            _ => storage.delete(&file.path).await?,
        }
    }
    for folder in storage.list_names(job.path()).await.unwrap_or_default() {
        storage.remove_folder(&folder).await;
    }
    storage.remove_folder(job.path()).await;
    Ok(())
}
