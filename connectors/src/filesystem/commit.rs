//! Makes prepared files visible, and removes what was never committed. Runs in the JobManager.
//!
//! Invariant: committing twice is committing once: a file that is no longer in its hidden folder but at its place is done, and so
//! is an object that is there though its upload is gone.

mod objects;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, JobId};
use weir_api::sink::{CommitScope, Committer, Prepared};
use weir_api::storage::Location;

use super::layout;
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
    async fn commit(&self, _scope: &CommitScope, prepared: Vec<Prepared>) -> Result<()> {
        let pending = prepared
            .iter()
            .map(|prepared| Pending::of(&prepared.committable.payload))
            .collect::<Result<Vec<_>>>()?;
        let success = self.success.clone();
        match &self.root {
            Location::Local(_) => blocking(move || rename_all(&pending, success.as_ref())).await,
            Location::Object(root) => objects::complete_all(root, &pending, success.as_ref()).await,
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

impl FileCommitter {
    fn within(&self, error: Error) -> Error {
        error.context(format_args!("table {}", self.table))
    }
}

async fn blocking(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
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
            Err(error) => return Err(failed("commit", from, error)),
        }
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
    for folder in &hidden {
        // Another sink may still have files in it; whoever commits last removes it.
        match fs::remove_dir(folder) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                return Err(failed("remove", folder, error));
            }
            _ => {}
        }
    }
    Ok(())
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
        match fs::remove_dir_all(entry.path()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed("remove", &entry.path(), error));
            }
            _ => {}
        }
    }
    Ok(())
}
