//! Reads what the tasks of a deployment go on from: the manifest once, then each task's part of every table.
//!
//! Invariants: nothing of a snapshot that doesn't fit the job is used; rows leave verified, merged and in the operator's own schema;
//! a few tasks at a time read, each a bounded number of rows ahead. Doesn't know what operators do with their rows.

use std::sync::Arc;

use tokio::sync::{OnceCell, mpsc};
use tokio_util::task::AbortOnDropHandle;
use weir_api::error::Code;
use weir_api::graph::KeyGroupRange;
use weir_api::id::JobId;
use weir_api::state::StateTable;
use weir_api::{Error, Result};
use weir_proto::v1::Restore;
use weir_snapshots::layout::SnapshotFolder;
use weir_snapshots::manifest::{Manifest, Operator, StateSchema, Table};
use weir_snapshots::restore::Source;
use weir_snapshots::table::Contents;

use super::adopt::{chains, is_own};
use super::migrate::Migration;
use super::stores::Stores;
use super::upload::Chain;

/// How many rows an operator takes at once: the slot's thread has others to serve.
const ROWS_AT_ONCE: usize = 16 * 1024;
/// How many pieces may wait for an operator.
const AHEAD: usize = 4;

/// Whose checkpoints go where: what a snapshot must be of to be built upon.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) job: JobId,
    /// Where the job's checkpoints go; empty: nowhere.
    pub(crate) location: String,
}

/// What one deployment goes on from. Clones of the reference share what was read.
#[derive(Debug)]
pub(crate) struct Restoration {
    stores: Arc<Stores>,
    restore: Restore,
    /// How many key groups the job has.
    max_parallelism: u32,
    home: Home,
    opened: OnceCell<Arc<Opened>>,
}

/// A snapshot whose manifest fits the job.
#[derive(Debug)]
pub(crate) struct Opened {
    source: Source,
    manifest: Manifest,
    /// Checkpoints of the job may build on it.
    is_own: bool,
}

impl Restoration {
    pub(crate) fn new(stores: Arc<Stores>, restore: Restore, max_parallelism: u32, home: Home) -> Self {
        Self { stores, restore, max_parallelism, home, opened: OnceCell::new() }
    }

    /// Which checkpoint it is.
    pub(crate) const fn checkpoint_id(&self) -> u64 {
        self.restore.checkpoint_id
    }

    /// The manifest, read by the first task that asks.
    pub(crate) async fn open(&self) -> Result<Arc<Opened>> {
        let opened = self.opened.get_or_try_init(|| async {
            let read = self.read().await;
            read.map_err(|error| error.context(format_args!("restore from {}", self.restore.path)))
        });
        opened.await.cloned()
    }

    async fn read(&self) -> Result<Arc<Opened>> {
        let (storage, path) = self.stores.at(&self.restore.path)?;
        let copies = self.stores.copies().await;
        let source = Source { storage, copies, folder: SnapshotFolder::named(&path) };
        let manifest = source.manifest().await?;
        let problem = if manifest.checkpoint.0 != self.restore.checkpoint_id {
            Some(format!("it is checkpoint {}, not {}", manifest.checkpoint, self.restore.checkpoint_id))
        } else if manifest.max_parallelism != self.max_parallelism {
            Some(format!(
                "it was taken with pipeline.max-parallelism = {}, the job has {}; set the former",
                manifest.max_parallelism, self.max_parallelism
            ))
        } else if manifest.key_encoding_version != weir_api::key::ENCODING_VERSION {
            Some(format!(
                "its keys are encoded as version {} does, this is version {}",
                manifest.key_encoding_version,
                weir_api::key::ENCODING_VERSION
            ))
        } else {
            None
        };
        match problem {
            Some(problem) => {
                Err(Error::new(Code::InvalidArgument, format!("the snapshot doesn't fit: {problem}")))
            }
            None => {
                let Home { job, location } = &self.home;
                let is_own = self.restore.owned && is_own(&manifest, &self.restore.path, *job, location);
                Ok(Arc::new(Opened { source, manifest, is_own }))
            }
        }
    }
}

impl Opened {
    /// What the snapshot knows of an operator.
    pub(crate) fn operator(&self, uid: &str) -> Option<&Operator> {
        self.manifest.operators.iter().find(|operator| operator.uid.as_str() == uid)
    }

    /// Whether checkpoints of the job may build on its layers.
    pub(crate) const fn is_own(&self) -> bool {
        self.is_own
    }

    /// The layers that an operator's next changes may follow; `None`: they have to be written anew.
    pub(crate) fn chains(
        &self,
        operator: &Operator,
        kept: &[StateSchema],
        range: KeyGroupRange,
    ) -> Option<Vec<(String, Chain)>> {
        self.is_own.then(|| chains(operator, kept, range)).flatten()
    }

    /// The rows of an operator's states in these key groups, as the operator keeps them (`expected`), piece by piece.
    pub(crate) fn read(
        self: Arc<Self>,
        operator: &Operator,
        expected: &[StateSchema],
        range: KeyGroupRange,
        stores: &Arc<Stores>,
        io: &tokio::runtime::Handle,
    ) -> Result<Rows> {
        let mut parts = Vec::new();
        for found in &operator.schemas {
            let tables = operator.subtasks.iter().flat_map(|subtask| &subtask.tables);
            let tables: Vec<_> = tables.filter(|table| table.state == found.state).cloned().collect();
            let kept = expected.iter().find(|kept| kept.state == found.state);
            let Some(kept) = kept else {
                if tables.iter().all(|table| table.layers.iter().all(|layer| layer.files.is_empty())) {
                    continue;
                }
                return Err(nobody_keeps(operator, found));
            };
            let migration = Migration::new(&operator.name, found, kept)?;
            parts.push(Part { found: found.clone(), kept: kept.clone(), migration, tables });
        }
        let (rows, pieces) = mpsc::channel(AHEAD);
        let (stores, runtime) = (Arc::clone(stores), io.clone());
        let reading = async move {
            let permit = Arc::clone(&stores.restores).acquire_owned().await;
            let _permit = permit.map_err(|_| Error::internal("the limit of restores is gone"))?;
            // Layers are merged here, which may take long.
            let work = tokio::task::spawn_blocking(move || {
                runtime.block_on(async {
                    for part in parts {
                        part.read(&self.source, range, &rows).await?;
                    }
                    Ok(())
                })
            });
            work.await.map_err(|error| Error::internal("reading state was cut short").with_source(error))?
        };
        Ok(Rows { pieces, reading: AbortOnDropHandle::new(io.spawn(reading)) })
    }
}

fn nobody_keeps(operator: &Operator, found: &StateSchema) -> Error {
    let message = format!(
        "the snapshot has the state '{}' of operator '{}', which doesn't keep it any more: restore with the query that made the \
         snapshot, or give the operator another uid and leave its state behind",
        found.state, operator.name
    );
    Error::new(Code::InvalidArgument, message)
}

/// One state, with the tables that all subtasks had of it.
struct Part {
    found: StateSchema,
    kept: StateSchema,
    migration: Migration,
    tables: Vec<Table>,
}

impl Part {
    async fn read(self, source: &Source, range: KeyGroupRange, to: &mpsc::Sender<StateTable>) -> Result<()> {
        for table in &self.tables {
            let (start, end) = (table.range.start.max(range.start), table.range.end.min(range.end));
            if start >= end {
                continue;
            }
            let mut reader = source.open(&self.found, &table.layers, KeyGroupRange { start, end }).await?;
            while let Some(rows) = reader.next(Contents::Full).await? {
                let rows = self.migration.apply(&rows)?;
                for at in (0..rows.num_rows()).step_by(ROWS_AT_ONCE) {
                    let piece = StateTable {
                        name: self.kept.state.clone(),
                        schema: Arc::clone(&self.kept.schema),
                        key_columns: self.kept.key_columns,
                        batches: vec![rows.slice(at, ROWS_AT_ONCE.min(rows.num_rows() - at))],
                    };
                    if to.send(piece).await.is_err() {
                        // The task is gone.
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Pieces of state on their way to an operator.
#[derive(Debug)]
pub(crate) struct Rows {
    pieces: mpsc::Receiver<StateTable>,
    reading: AbortOnDropHandle<Result<()>>,
}

impl Rows {
    /// The next piece; `None`: that was all.
    pub(crate) async fn next(&mut self) -> Result<Option<StateTable>> {
        match self.pieces.recv().await {
            Some(piece) => Ok(Some(piece)),
            None => {
                let read = (&mut self.reading).await;
                read.map_err(|error| Error::internal("reading state was cut short").with_source(error))??;
                Ok(None)
            }
        }
    }
}
