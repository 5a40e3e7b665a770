//! Makes files of frozen state: piece by piece encoded, put where they survive, copied to the local folder.
//!
//! Invariants: a table is here only when all its files are durable; no more pieces are in memory than the process allows; encoding
//! happens on a thread that may take long.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{FuturesOrdered, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;
use weir_api::fail_point::FailPoint;
use weir_api::id::{Attempt, CheckpointId};
use weir_api::state::{Frozen, Scope, StateTable};
use weir_api::{Error, Result};
use weir_snapshots::copies::Copies;
use weir_snapshots::layout::{JobFolder, SnapshotFolder};
use weir_snapshots::manifest::{self, FileHandle, StateSchema};
use weir_snapshots::name::FileName;
use weir_snapshots::storage::Storage;
use weir_snapshots::table::{Contents, Encoded, Limits, encode};

use super::stores::Stores;

/// How many pieces of one task are on their way while the next is encoded.
const AHEAD: usize = 3;

/// Where the files of one snapshot go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) storage: Storage,
    /// For the records of uploads.
    pub(super) job: JobFolder,
    /// `Some`: a savepoint's.
    pub(super) folder: Option<SnapshotFolder>,
    pub(super) copies: Option<Copies>,
    pub(super) attempt: Attempt,
    pub(super) checkpoint: CheckpointId,
}

/// The files of one state.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) scope: Scope,
    /// As the rows were frozen: with tombstones where they are changes.
    pub(super) schema: StateSchema,
    pub(super) files: Vec<FileHandle>,
}

/// A piece that is encoded; the permit goes when it is durable.
type Piece = (Scope, StateSchema, Vec<Encoded>, OwnedSemaphorePermit);

/// Writes everything that an operator froze.
pub(super) async fn write(
    stores: &Stores,
    target: &Target,
    frozen: Box<dyn Frozen>,
) -> Result<BTreeMap<String, Written>> {
    let mut tables: BTreeMap<String, Written> = BTreeMap::new();
    let mut on_their_way = FuturesOrdered::new();
    let mut rest = Some(frozen);
    loop {
        while on_their_way.len() < AHEAD
            && let Some(frozen) = rest.take()
        {
            let Some((frozen, piece)) = next_piece(stores, frozen).await? else { break };
            rest = Some(frozen);
            // On its own: tasks wait here for places that the pieces of others hold, who wait likewise.
            let put = tokio::spawn(put_piece(target.clone(), piece));
            on_their_way.push_back(AbortOnDropHandle::new(put));
        }
        let Some(put) = on_their_way.next().await else { return Ok(tables) };
        let put = put.map_err(|error| Error::internal("writing state was cut short").with_source(error))?;
        let (scope, schema, files) = put?;
        let table = tables.entry(schema.state.clone());
        let table = table.or_insert_with(|| Written { scope, schema, files: Vec::new() });
        if table.scope != scope {
            return Err(Error::internal(format!(
                "state `{}` was frozen half as changes",
                table.schema.state
            )));
        }
        table.files.extend(files);
    }
}

/// Takes the next piece out of what was frozen and encodes it; `None`: there is none.
async fn next_piece(
    stores: &Stores,
    mut frozen: Box<dyn Frozen>,
) -> Result<Option<(Box<dyn Frozen>, Piece)>> {
    let permit = Arc::clone(&stores.pieces).acquire_owned().await;
    let permit = permit.map_err(|_| Error::internal("the limit of pieces is gone"))?;
    let encoding = tokio::task::spawn_blocking(move || -> Result<_> {
        let Some((scope, table)) = frozen.next()? else { return Ok(None) };
        let contents = match scope {
            Scope::Full => Contents::Full,
            Scope::Changes => Contents::Delta,
        };
        let StateTable { name, schema, key_columns, .. } = &table;
        let described =
            StateSchema { state: name.clone(), key_columns: *key_columns, schema: Arc::clone(schema) };
        let encoded = encode(&table, contents, *key_columns, Limits::default())?;
        Ok(Some((frozen, (scope, described, encoded, permit))))
    });
    encoding.await.map_err(|error| Error::internal("encoding state was cut short").with_source(error))?
}

async fn put_piece(target: Target, piece: Piece) -> Result<(Scope, StateSchema, Vec<FileHandle>)> {
    let (scope, schema, encoded, _permit) = piece;
    let mut files = Vec::with_capacity(encoded.len());
    for file in encoded {
        files.push(target.put(file).await?);
        FailPoint::BetweenFiles.passed().await?;
    }
    Ok((scope, schema, files))
}

impl Target {
    /// Makes a file durable.
    pub(super) async fn put(&self, file: Encoded) -> Result<FileHandle> {
        let Encoded { bytes, summary } = file;
        let name = FileName { attempt: self.attempt, checkpoint: self.checkpoint, hash: summary.hash };
        let (scope, path) = match &self.folder {
            Some(folder) => (manifest::Scope::Exclusive, folder.exclusive(&name.to_string())),
            None => (manifest::Scope::Shared, self.job.shared(&name.to_string())),
        };
        let put = self.storage.put_file(&self.job, &path, &name, bytes.clone());
        match self.storage.on_disk(&path) {
            Some(stored) => {
                put.await?;
                self.keep(name, bytes, Some(stored)).await;
            }
            None => futures::join!(put, self.keep(name, bytes, None)).0?,
        }
        Ok(FileHandle { scope, name, summary })
    }

    /// Keeps a local copy of a checkpoint's file, if it can.
    async fn keep(&self, name: FileName, bytes: Bytes, stored: Option<PathBuf>) {
        if let Some(copies) = self.copies.as_ref().filter(|_| self.folder.is_none())
            && let Err(error) = copies.keep(name, bytes, stored).await
        {
            tracing::debug!(file = %name, error = %error.chain(), "no local copy");
        }
    }
}
