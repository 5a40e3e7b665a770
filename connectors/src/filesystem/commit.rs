//! Makes prepared files visible by renaming them, and removes what was never committed. Runs in the JobManager.
//!
//! Invariant: committing twice is committing once: a file that is no longer in its hidden folder but at its place is done.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, JobId};
use weir_api::sink::{Committable, Committer};

use super::layout;
use super::parts::{Rename, sync_folder};

/// The committer of one table.
pub struct FileCommitter {
    /// The table's name, for messages.
    pub table: String,
    /// The table's folder.
    pub folder: PathBuf,
}

#[async_trait]
impl Committer for FileCommitter {
    async fn commit(&self, committables: Vec<Committable>) -> Result<()> {
        self.blocking(move || rename_all(&committables)).await
    }

    async fn abort(&self, job: JobId, attempt: Attempt) -> Result<()> {
        let folder = self.folder.clone();
        self.blocking(move || remove_attempts(&folder, job, attempt)).await
    }
}

impl FileCommitter {
    async fn blocking(&self, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::internal("a commit ended early").with_source(error))?
            .map_err(|error| error.context(format_args!("table {}", self.table)))
    }
}

fn failed(doing: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(Code::Io, format!("{doing} {}", path.display())).with_source(error)
}

fn rename_all(committables: &[Committable]) -> Result<()> {
    let mut folders = BTreeSet::new();
    let mut hidden = BTreeSet::new();
    for committable in committables {
        let rename: Rename = serde_json::from_slice(committable).map_err(|error| {
            Error::new(Code::MalformedMessage, "a committable isn't a file's").with_source(error)
        })?;
        match fs::rename(&rename.from, &rename.to) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound && rename.to.exists() => {}
            Err(error) => return Err(failed("commit", &rename.from, error)),
        }
        folders.extend(rename.to.parent().map(Path::to_owned));
        hidden.extend(rename.from.parent().map(Path::to_owned));
    }
    for folder in &folders {
        sync_folder(folder).map_err(|error| failed("commit to", folder, error))?;
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
