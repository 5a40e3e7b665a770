//! Makes prepared files visible, and removes what was never committed. Runs in the JobManager.
//!
//! Invariant: committing twice is committing once: a file that is no longer in its hidden folder but at its place is done, and so
//! is an object that is there though its upload is gone. What was committed while the job took checkpoints is noted, so that a
//! restart knows it when others have taken the files away. What a savepoint holds is marked, and stays until it is committed.
//!
//! Writers make nothing visible, so a fence is nothing to do: what a writer of an ended attempt still writes is in no checkpoint,
//! and the next removal of leftovers finds it.

mod ledger;
mod objects;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, CheckpointId, JobId};
use weir_api::sink::{CommitScope, Committer, Prepared};
use weir_api::storage::Location;

use super::layout;
use ledger::Ledger;

use super::output::Pending;
use super::parts::sync_folder;

/// The name of the empty file that a committed partition's folder gets.
#[derive(Clone, Debug)]
pub struct SuccessFile(pub String);

/// The committer of one table.
pub struct FileCommitter {
    /// The table's name, for messages.
    pub table: String,
    /// The table's folder.
    pub root: Location,
    /// What a commit puts into the folders of partitions.
    pub success: Option<SuccessFile>,
}

#[async_trait]
impl Committer for FileCommitter {
    async fn commit(&self, scope: &CommitScope, prepared: Vec<Prepared>) -> Result<()> {
        let committed = match scope.blobs {
            Some(_) => self.commit_noted(scope, &prepared).await,
            // Without checkpoints there is one commit, when nothing is left to restart.
            None => self.commit_all(decoded(&prepared)?).await,
        };
        committed.map_err(|error| self.within(error))
    }

    async fn keep(&self, _scope: &CommitScope, prepared: &[Prepared]) -> Result<()> {
        let pending = decoded(prepared)?;
        match &self.root {
            Location::Local(_) => blocking(move || keep_all(&pending)).await,
            Location::Object(root) => objects::keep_all(root, &pending).await,
        }
        .map_err(|error| self.within(error))
    }

    async fn abort(&self, job: JobId, attempt: Attempt) -> Result<()> {
        match &self.root {
            Location::Local(root) => {
                let root = root.clone();
                blocking(move || remove_attempts(&root, job, attempt)).await
            }
            Location::Object(root) => objects::abort_attempts(root, job, attempt).await,
        }
        .map_err(|error| self.within(error))
    }
}

/// Who prepared output, and for which checkpoint.
type Origin = (JobId, Attempt, CheckpointId);

impl FileCommitter {
    /// Commits what isn't noted as committed, then notes it.
    async fn commit_noted(&self, scope: &CommitScope, prepared: &[Prepared]) -> Result<()> {
        let (mut ledgers, mut new) = (BTreeMap::new(), Vec::new());
        let mut origins: BTreeSet<Origin> = BTreeSet::new();
        for (pending, prepared) in decoded(prepared)?.into_iter().zip(prepared) {
            // Output of another job comes from its savepoint.
            let Some((job, attempt)) = layout::owner(pending.hidden_name()) else {
                let what = format!("'{}' isn't a folder of prepared output", pending.hidden_name());
                return Err(Error::new(Code::MalformedMessage, what));
            };
            if let Entry::Vacant(missing) = ledgers.entry(job) {
                missing.insert(Ledger::read(&self.root, &layout::ledger(job, &scope.uid)).await?);
            }
            let noted = ledgers.get(&job).is_some_and(|ledger| ledger.holds(attempt, prepared.checkpoint));
            if !noted {
                new.push(pending);
                origins.insert((job, attempt, prepared.checkpoint));
            }
        }
        self.commit_all(new).await?;
        for (job, mut ledger) in ledgers {
            let of_job = origins.iter().filter(|origin| origin.0 == job);
            let count = of_job.map(|(_, attempt, checkpoint)| ledger.add(*attempt, *checkpoint)).count();
            if count > 0 {
                ledger.write(&self.root, &layout::ledger(job, &scope.uid)).await?;
            }
        }
        Ok(())
    }

    async fn commit_all(&self, pending: Vec<Pending>) -> Result<()> {
        let success = self.success.clone();
        match &self.root {
            Location::Local(_) => blocking(move || rename_all(&pending, success.as_ref())).await,
            Location::Object(root) => objects::complete_all(root, &pending, success.as_ref()).await,
        }
    }

    fn within(&self, error: Error) -> Error {
        error.context(format_args!("table {}", self.table))
    }
}

fn decoded(prepared: &[Prepared]) -> Result<Vec<Pending>> {
    prepared.iter().map(|prepared| Pending::of(&prepared.committable.payload)).collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("a commit ended early").with_source(error))?
}

fn failed(doing: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(Code::Io, format!("{doing} {}", path.display())).with_source(error)
}

fn rename_all(pending: &[Pending], success: Option<&SuccessFile>) -> Result<()> {
    let mut folders = BTreeSet::new();
    let mut hidden: BTreeSet<PathBuf> = BTreeSet::new();
    for file in pending {
        let Pending::Rename { from, to } = file else {
            return Err(Error::new(Code::MalformedMessage, "an upload is to be committed to a local folder"));
        };
        let folder = to.parent().unwrap_or(Path::new("/"));
        if folders.insert(folder.to_owned()) {
            make_folder(folder)?;
        }
        match fs::rename(from, to) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound && to.exists() => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(lost(&from.display(), &to.display()).with_source(error));
            }
            Err(error) => return Err(failed("commit", from, error)),
        }
        remove_file(&layout::kept(from))?;
        hidden.extend(from.parent().map(Path::to_owned));
    }
    for folder in &folders {
        sync_folder(folder).map_err(|error| failed("commit to", folder, error))?;
        if let Some(SuccessFile(name)) = success {
            let path = folder.join(name);
            fs::File::create(&path)
                .and_then(|_| sync_folder(folder))
                .map_err(|error| failed("create", &path, error))?;
        }
    }
    // Writers may have further files in it; whoever commits last removes it.
    hidden.iter().try_for_each(|folder| remove_empty(folder))
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path, error)),
        _ => Ok(()),
    }
}

/// Marks files that a savepoint holds; those that were committed meanwhile need no mark.
fn keep_all(pending: &[Pending]) -> Result<()> {
    let mut hidden: BTreeSet<&Path> = BTreeSet::new();
    for file in pending {
        let Pending::Rename { from, .. } = file else {
            return Err(Error::new(Code::MalformedMessage, "an upload is to be kept in a local folder"));
        };
        if from.exists() {
            let mark = layout::kept(from);
            fs::File::create(&mark).map_err(|error| failed("create", &mark, error))?;
            hidden.extend(from.parent());
            // Committed in this moment: then the mark stands for nothing.
            if !from.exists() {
                remove_file(&mark)?;
            }
        }
    }
    hidden.into_iter().try_for_each(|folder| match sync_folder(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("keep output in", folder, error)),
        _ => Ok(()),
    })
}

/// Output of a completed checkpoint is neither where it was prepared nor where it is to be seen.
fn lost(prepared: &dyn Display, to: &dyn Display) -> Error {
    Error::new(
        Code::OutputUnknown,
        format!(
            "commit {prepared}: it is gone, {to} isn't there, and nothing says that it was; if others have taken that file, put an empty one there to go on"
        ),
    )
}

/// Makes a folder with those above it, and their entries durable.
fn make_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folder(above)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(failed("create", folder, error));
            }
            _ => sync_folder(above).map_err(|error| failed("commit to", above, error))?,
        }
    }
    Ok(())
}

fn remove_attempts(folder: &Path, job: JobId, attempt: Attempt) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| failed("list", folder, error))?,
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed("list", folder, error))?;
        let name = entry.file_name();
        let of_job = name.to_str().and_then(|name| layout::attempt_of(name, job));
        if of_job.is_none_or(|of_folder| of_folder > attempt) {
            continue;
        }
        remove_attempt(&entry.path())?;
    }
    Ok(())
}

/// Removes what is in a hidden folder and isn't kept, and the folder unless something stays.
fn remove_attempt(hidden: &Path) -> Result<()> {
    let listed = |error| failed("list", hidden, error);
    let entries = match fs::read_dir(hidden) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(listed)?,
    };
    let files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<BTreeSet<_>>>()
        .map_err(listed)?;
    let stays = |file: &PathBuf| {
        files.contains(&layout::kept(file)) || layout::kept_file(file).is_some_and(|of| files.contains(&of))
    };
    files.iter().filter(|file| !stays(file)).try_for_each(|file| remove_file(file))?;
    remove_empty(hidden)
}

fn remove_empty(folder: &Path) -> Result<()> {
    match fs::remove_dir(folder) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
            Err(failed("remove", folder, error))
        }
        _ => Ok(()),
    }
}
