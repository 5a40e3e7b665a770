//! Reads every byte of a snapshot and says what is wrong with it, and what it holds.
//!
//! Invariant: a report without problems means that restoring finds every row, and every blob of output that waits for its commit. Reads, and changes nothing; files come whole into
//! memory, a few at a time.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use object_store::path::Path;
use weir_api::error::{Code, Error, Result};
use weir_api::sink::Blob;

use crate::blobs;
use crate::damage::Damage;
use crate::layout::SnapshotFolder;
use crate::manifest::{FileHandle, Manifest, StateSchema};
use crate::restore::{Source, check_belongs};
use crate::storage::Storage;
use crate::table::{Contents, verify_whole};

/// Files that are read at once.
const CONCURRENT: usize = 4;

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// The snapshot.
    pub manifest: Manifest,
    /// How many files were read, blobs included, the manifest not.
    pub files: usize,
    /// How many bytes they have by the manifest.
    pub bytes: u64,
    /// Everything that is wrong: the errors that restoring would meet.
    pub problems: Vec<Error>,
}

impl Report {
    /// Whether every byte is as it was written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Verifies the snapshot in `folder`. Fails where its manifest can't be read; all else is in the report.
pub async fn verify(storage: &Storage, folder: &SnapshotFolder) -> Result<Report> {
    let source = Source { storage: storage.clone(), copies: None, folder: folder.clone() };
    let manifest = source.manifest().await?;
    let mut problems = Vec::new();
    if manifest.totals != manifest.count() {
        let expected = format!("{:?}", manifest.count());
        let actual = format!("{:?}", manifest.totals);
        problems.push(Damage::new(folder.metadata().as_ref(), 24, "the totals", expected, actual).into());
    }
    let mut seen = BTreeSet::new();
    let mut wanted = Vec::new();
    for (operator, _, table) in manifest.tables() {
        let schema = operator.schemas.iter().find(|schema| schema.state == table.state);
        let schema = schema.ok_or_else(|| Error::internal("a table without a schema"))?;
        for layer in &table.layers {
            let contents = if layer.delta { Contents::Delta } else { Contents::Full };
            for file in layer.files.iter().filter(|file| seen.insert(folder.file(file))) {
                wanted.push((schema.clone(), contents, file.clone()));
            }
        }
    }
    let folder_of_blobs = folder.blobs(manifest.kind);
    let blobs: BTreeMap<Path, Blob> = manifest
        .blobs()
        .map(|blob| (folder_of_blobs.clone().join(blob.name.as_str()), blob.clone()))
        .collect();
    let files = wanted.len() + blobs.len();
    let bytes = manifest.totals.full_bytes + blobs.values().map(|blob| blob.bytes).sum::<u64>();
    let checks = wanted.into_iter().map(|(schema, contents, file)| {
        let path = folder.file(&file);
        async move { check(storage, path, schema, contents, file).await }
    });
    let mut checks = stream::iter(checks).buffered(CONCURRENT);
    while let Some(outcome) = checks.next().await {
        problems.extend(outcome.err());
    }
    drop(checks);
    let checks = blobs.iter().map(|(path, blob)| blobs::read(storage, path, blob));
    let mut checks = stream::iter(checks).buffered(CONCURRENT);
    while let Some(outcome) = checks.next().await {
        problems.extend(outcome.err());
    }
    drop(checks);
    Ok(Report { manifest, files, bytes, problems })
}

async fn check(
    storage: &Storage,
    path: Path,
    schema: StateSchema,
    contents: Contents,
    file: FileHandle,
) -> Result<()> {
    let bytes = match storage.get(&path).await {
        Err(error) if error.code() == Code::NotFound => {
            return Err(Damage::missing(path.as_ref(), file.summary.bytes).into());
        }
        bytes => bytes?,
    };
    let checked = tokio::task::spawn_blocking(move || {
        let open = verify_whole(path.as_ref(), &bytes, &file.summary)?;
        check_belongs(path.as_ref(), &open, &schema, contents)
    });
    checked.await.map_err(|error| Error::internal("a check was cut short").with_source(error))?
}
