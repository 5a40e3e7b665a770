//! What a job goes on from: the newest snapshot that can be read, its output committed, nobody of earlier attempts left who could
//! commit any more.
//!
//! Invariant: an older snapshot than the newest is taken only where nobody can have seen the newer one's output, or the job's
//! configuration allows it.

use std::collections::BTreeMap;

use weir_api::error::{Code, Error, Result};
use weir_api::fail_point::FailPoint;
use weir_api::id::{Attempt, OperatorUid};
use weir_snapshots::layout::SnapshotFolder;
use weir_snapshots::manifest::Manifest;
use weir_snapshots::registry::{Owner, Registry};
use weir_snapshots::restore::Source;

use super::{JobPlan, OfJob, Snapshots};
use crate::commit::{Origin, Sinks};
use crate::control::checkpoint::{Retained, assemble};
use crate::control::job::recovery::{Recovered, Recovery};

/// A snapshot that was read.
pub(crate) struct Found {
    pub(crate) retained: Retained,
    pub(crate) folder: SnapshotFolder,
    pub(crate) manifest: Manifest,
}

impl Snapshots {
    /// Commits what the job goes on from, and answers what that is.
    pub(crate) async fn recover(&self, plan: &JobPlan, recovery: &Recovery) -> Result<Recovered> {
        FailPoint::AttemptAllocated.passed().await?;
        let of_job = self.of_job(plan.job);
        let mut of_job = of_job.lock().await;
        let sinks = Sinks { snapshots: self.clone(), plan: plan.clone() };
        let found = self.find(plan, recovery, &sinks).await?;
        self.load(plan, &recovery.retained, found.as_ref(), &mut of_job).await?;
        let writers = self.commit_found(found.as_ref(), recovery, &sinks).await?;
        // What lies beside the output of those that go on can't be told from theirs: it stays until the whole job restarts or ends.
        if recovery.fence > Attempt(0) && recovery.part.is_none() {
            sinks.abort(recovery.fence).await;
        }
        let Some(found) = found else { return Ok(Recovered { writers, ..Recovered::default() }) };
        let positions = assemble::positions(&found.manifest, &plan.graph)?;
        Ok(Recovered { snapshot: Some(found.retained), positions, writers })
    }

    /// The job ends: commits what its last snapshot holds and removes all else that is uncommitted.
    pub(crate) async fn conclude(&self, plan: &JobPlan, recovery: &Recovery) -> Result<()> {
        let of_job = self.of_job(plan.job);
        let _turn = of_job.lock().await;
        let sinks = Sinks { snapshots: self.clone(), plan: plan.clone() };
        let found = self.find(plan, recovery, &sinks).await?;
        self.commit_found(found.as_ref(), recovery, &sinks).await?;
        sinks.abort(recovery.fence).await;
        Ok(())
    }

    async fn commit_found(
        &self,
        found: Option<&Found>,
        recovery: &Recovery,
        sinks: &Sinks,
    ) -> Result<BTreeMap<OperatorUid, u32>> {
        let mut writers = recovery.writers.clone();
        for operator in found.iter().flat_map(|found| &found.manifest.operators) {
            let most = writers.entry(operator.uid.clone()).or_default();
            *most = operator.parallelism.max(*most);
        }
        let own = found.filter(|found| found.manifest.job == sinks.plan.job);
        if let Some(origin) = found.filter(|found| found.manifest.job != sinks.plan.job) {
            sinks.commit_snapshot(Origin::of(origin), &origin.manifest, &writers).await?;
        }
        if recovery.fence > Attempt(0) {
            sinks.fence(recovery.fence, recovery.part.as_ref(), own, &writers).await?;
        }
        Ok(writers)
    }

    /// The newest snapshot that can be read; `None`: the job has none.
    async fn find(&self, plan: &JobPlan, recovery: &Recovery, sinks: &Sinks) -> Result<Option<Found>> {
        let mut damage: Option<Error> = None;
        for retained in recovery.retained.iter().rev() {
            let manifest = if recovery.damaged.contains(&retained.checkpoint) {
                let what =
                    format!("files of {} are damaged, as tasks found when they read them", retained.path);
                Err(Error::new(Code::SnapshotDamaged, what))
            } else {
                self.read(retained).await
            };
            match (manifest, damage.take()) {
                (Ok(found), None) => return Ok(Some(found)),
                (Ok(found), Some(newer)) => {
                    self.check_may_go_back(recovery, sinks, retained, newer)?;
                    return Ok(Some(found));
                }
                (Err(error), newer) if is_damage(&error) => {
                    tracing::error!(job = %plan.job, checkpoint = %retained.checkpoint, error = %error.chain(),
                        "a checkpoint can't be read");
                    damage = Some(newer.unwrap_or(error));
                }
                (Err(error), _) => return Err(error),
            }
        }
        match damage {
            None => Ok(None),
            Some(error) => Err(Error::new(
                Code::SnapshotDamaged,
                format!(
                    "job {} can't go on: its last checkpoint is damaged, and no older one that can be read is retained \
                     (execution.checkpointing.num-retained): {}",
                    plan.job,
                    error.chain()
                ),
            )),
        }
    }

    fn check_may_go_back(
        &self,
        recovery: &Recovery,
        sinks: &Sinks,
        older: &Retained,
        newer: Error,
    ) -> Result<()> {
        let committing = sinks.committing()?;
        if let Some(sink) = committing.first().filter(|_| !recovery.allow_older) {
            return Err(Error::new(
                Code::SnapshotDamaged,
                format!(
                    "the last checkpoint of job {} is damaged, and sink '{sink}' may have made its output visible: going on from \
                     {} would write that twice. Repair the checkpoint, or accept duplicates with \
                     execution.state-recovery.allow-older-checkpoint = true. The damage: {}",
                    sinks.plan.job,
                    older.path,
                    newer.chain()
                ),
            ));
        }
        tracing::warn!(job = %sinks.plan.job, checkpoint = %older.checkpoint, newer = %newer.chain(),
            "going on from an older checkpoint, as a newer one is damaged");
        Ok(())
    }

    /// Reads a snapshot's manifest.
    pub(crate) async fn read(&self, retained: &Retained) -> Result<Found> {
        let (storage, path) = self.open(&retained.path)?;
        let folder = SnapshotFolder::named(&path);
        let source = Source { storage, copies: None, folder: folder.clone() };
        let manifest = source.manifest().await?;
        Ok(Found { retained: retained.clone(), folder, manifest })
    }

    /// Finds out which files the retained snapshots reach, unless that is known.
    pub(super) async fn load(
        &self,
        plan: &JobPlan,
        retained: &[Retained],
        found: Option<&Found>,
        of_job: &mut OfJob,
    ) -> Result<()> {
        let Some((_, folder)) = self.job_folder(plan)? else { return Ok(()) };
        if of_job.reached.is_some() {
            return Ok(());
        }
        let mut registry = Registry::new(folder);
        for retained in retained {
            let owner = if retained.is_savepoint { Owner::Other } else { Owner::Job };
            match found.filter(|found| found.retained == *retained) {
                Some(found) => registry.add(found.folder.clone(), &found.manifest, owner),
                None => match self.read(retained).await {
                    Ok(found) => registry.add(found.folder, &found.manifest, owner),
                    Err(error) => {
                        tracing::warn!(job = %plan.job, checkpoint = %retained.checkpoint, error = %error.chain(),
                            "nothing will be collected: a retained checkpoint can't be read");
                        of_job.is_incomplete = true;
                    }
                },
            }
        }
        of_job.reached = Some(registry);
        Ok(())
    }
}

/// Whether trying again can't help: the snapshot isn't there, or isn't what it was.
fn is_damage(error: &Error) -> bool {
    matches!(error.code(), Code::NotFound | Code::SnapshotDamaged | Code::SnapshotVersion)
}
