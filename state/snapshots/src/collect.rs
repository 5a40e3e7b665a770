//! Finds and removes what crashes left behind: files, manifests, temporary files and uploads that nothing reaches.
//!
//! Invariant: nothing reachable is touched, nothing younger than the grace period, nothing of a newer attempt, nothing of a
//! checkpoint that may still be on its way, and nothing of which the name isn't one of ours. [`plan`] is pure; [`collect`] does
//! what it says, one removal after the other.

use std::collections::BTreeSet;
use std::time::Duration;

use object_store::path::Path;
use weir_api::error::Result;
use weir_api::id::{Attempt, CheckpointId};

use crate::blobs::attempt_of;
use crate::layout::{JobFolder, Place};
use crate::name::FileName;
use crate::storage::{Listed, Storage, TEMPORARY};

/// What is surely over.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Now, in milliseconds since 1970, by a clock that the store's roughly agrees with.
    pub now_millis: i64,
    /// What is younger stays: more than the clocks may differ and a checkpoint may take.
    pub grace: Duration,
    /// The oldest attempt that tasks run under.
    pub oldest: Attempt,
    /// The newest.
    pub attempt: Attempt,
    /// The newest checkpoint that completed. Of attempts from `oldest` on, later ones may be on their way.
    pub completed: CheckpointId,
}

/// What is done to an orphan.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Removal {
    /// The file goes.
    Delete(Path),
    /// The upload that this record names is given up, and the record goes.
    GiveUp(Path),
}

/// What goes, out of everything in the job's folder.
#[must_use]
pub fn plan(job: &JobFolder, listing: &[Listed], reachable: &BTreeSet<Path>, rules: &Rules) -> Vec<Removal> {
    let grace = i64::try_from(rules.grace.as_millis()).unwrap_or(i64::MAX);
    let old = |file: &&Listed| file.modified_millis.saturating_add(grace) <= rules.now_millis;
    let orphans = listing.iter().filter(old).filter(|file| !reachable.contains(&file.path));
    orphans.filter_map(|file| removal(job, &file.path, rules)).collect()
}

fn removal(job: &JobFolder, path: &Path, rules: &Rules) -> Option<Removal> {
    let delete = || Removal::Delete(path.clone());
    match job.place(path) {
        Place::Metadata(id) => (id <= rules.completed).then(delete),
        Place::Exclusive(id, name) => match file_in(&name) {
            Some(file) => rules.over(&file).then(delete),
            None => (name.ends_with(TEMPORARY) && id <= rules.completed).then(delete),
        },
        Place::Shared(name) => file_in(&name).is_some_and(|file| rules.over(&file)).then(delete),
        Place::TaskOwned(name) => attempt_of(&name).is_some_and(|of| of < rules.oldest).then(delete),
        Place::Upload(name) => {
            let over = file_in(&name).is_some_and(|file| rules.over(&file));
            let temporary = name.ends_with(TEMPORARY);
            over.then(|| if temporary { delete() } else { Removal::GiveUp(path.clone()) })
        }
        Place::Other => None,
    }
}

impl Rules {
    fn over(&self, file: &FileName) -> bool {
        file.attempt < self.oldest || (file.attempt <= self.attempt && file.checkpoint <= self.completed)
    }
}

/// The state file that a name stands for: itself, a temporary file of it, the record of its upload.
fn file_in(name: &str) -> Option<FileName> {
    let name = name.strip_prefix('.').unwrap_or(name);
    let (stem, _) = name.split_once(".arrow")?;
    format!("{stem}.arrow").parse().ok()
}

/// Lists the job's folder and removes its orphans. Gives back what it removed.
pub async fn collect(
    storage: &Storage,
    job: &JobFolder,
    reachable: &BTreeSet<Path>,
    rules: &Rules,
) -> Result<Vec<Removal>> {
    let listing = storage.list(job.path()).await?;
    let removals = plan(job, &listing, reachable, rules);
    for removal in &removals {
        match removal {
            Removal::Delete(path) => storage.delete(path).await?,
            Removal::GiveUp(record) => storage.abort_recorded(record).await?,
        }
    }
    Ok(removals)
}
