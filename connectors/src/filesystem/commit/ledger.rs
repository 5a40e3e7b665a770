//! What a job has committed so far, noted beside its output.
//!
//! A restart commits again what the last checkpoint holds. By then others may have taken the files away, as a pipeline does that
//! moves what has come: the note tells that from output that was lost. Invariant: what it says is visible, or was.
//! Attempts are kept apart, as a savepoint may hold output of one that the job has gone back behind.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, CheckpointId};
use weir_api::storage::object_store::{ObjectStoreExt, PutPayload};
use weir_api::storage::{Location, ObjectLocation, failed as store_failed, is_not_found};

use super::failed;
use crate::filesystem::parts::sync_folder;

/// Attempts that are remembered: a checkpoint refers to the last few.
const ATTEMPTS: usize = 64;

/// For each attempt the last checkpoint whose output is committed, with all before it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    attempts: BTreeMap<u32, u64>,
}

impl Ledger {
    /// Whether this output was committed.
    pub fn holds(&self, attempt: Attempt, checkpoint: CheckpointId) -> bool {
        self.attempts.get(&attempt.0).is_some_and(|last| *last >= checkpoint.0)
    }

    /// This output is committed, and what the attempt prepared before it.
    pub fn add(&mut self, attempt: Attempt, checkpoint: CheckpointId) {
        let last = self.attempts.entry(attempt.0).or_default();
        *last = checkpoint.0.max(*last);
        while self.attempts.len() > ATTEMPTS {
            self.attempts.pop_first();
        }
    }

    /// Reads the ledger of this name; an empty one if there is none yet.
    pub async fn read(root: &Location, name: &str) -> Result<Self> {
        let text = match root {
            Location::Local(root) => {
                let path = root.join(name);
                super::blocking(move || match fs::read(&path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    found => found.map(Some).map_err(|error| failed("read", &path, error)),
                })
                .await?
            }
            Location::Object(root) => {
                let at = place(root, name)?;
                match at.bucket.objects.get(&at.key).await {
                    Err(error) if is_not_found(&error) => None,
                    Err(error) => return Err(store_failed("read", &at, error)),
                    Ok(found) => {
                        let bytes = found.bytes().await.map_err(|error| store_failed("read", &at, error))?;
                        Some(bytes.to_vec())
                    }
                }
            }
        };
        let Some(text) = text else { return Ok(Self::default()) };
        serde_json::from_slice(&text).map_err(|error| {
            Error::new(Code::SnapshotDamaged, format!("{root}/{name} doesn't say what was committed"))
                .with_source(error)
        })
    }

    /// Writes it; it is durable when this returns.
    pub async fn write(&self, root: &Location, name: &str) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::internal("describe what was committed").with_source(error))?;
        match root {
            Location::Local(root) => {
                let (root, name) = (root.clone(), name.to_owned());
                super::blocking(move || replace(&root, &name, &text)).await
            }
            Location::Object(root) => {
                let at = place(root, name)?;
                let put = at.bucket.objects.put(&at.key, PutPayload::from(text)).await;
                put.map(|_| ()).map_err(|error| store_failed("write", &at, error))
            }
        }
    }
}

fn place(root: &ObjectLocation, name: &str) -> Result<ObjectLocation> {
    Ok(root.bucket.at(super::objects::parse(format!("{}/{name}", root.key).trim_start_matches('/'))?))
}

/// Writes a file beside the old one and puts it in its place. A commit that nobody waits for any more may do the same.
fn replace(root: &Path, name: &str, text: &[u8]) -> Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let (path, new) = (root.join(name), root.join(format!("{name}.{}-{number}", std::process::id())));
    let written = fs::File::create(&new).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        sync_folder(root)
    });
    written.map_err(|error| failed("write", &path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_knows_attempts_apart_and_forgets_the_oldest() {
        let mut ledger = Ledger::default();
        ledger.add(Attempt(1), CheckpointId(4));
        ledger.add(Attempt(2), CheckpointId(6));
        ledger.add(Attempt(2), CheckpointId(5));
        assert!(ledger.holds(Attempt(1), CheckpointId(3)) && ledger.holds(Attempt(2), CheckpointId(6)));
        assert!(!ledger.holds(Attempt(1), CheckpointId(5)), "gone back behind it");
        (3..1_000).for_each(|attempt| ledger.add(Attempt(attempt), CheckpointId(7)));
        assert_eq!(ledger.attempts.len(), ATTEMPTS);
        assert!(ledger.holds(Attempt(999), CheckpointId(7)) && !ledger.holds(Attempt(1), CheckpointId(3)));
    }
}
