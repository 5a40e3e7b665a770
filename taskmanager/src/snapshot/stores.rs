//! The stores that this process writes snapshots to, and how much of them it holds in memory.
//!
//! Invariant: one client and one set of limits for each store and process, whatever the number of tasks; at most [`PIECES`] pieces
//! of state are in memory on their way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, Semaphore};
use weir_api::Result;
use weir_api::storage::object_store::path::Path;
use weir_api::storage::{FileSystems, Location};
use weir_snapshots::copies::Copies;
use weir_snapshots::storage::{Limits, Storage};

use super::kept;

/// How many pieces of state (see `weir_api::state::PIECE_BYTES`) may be encoded or on their way at once.
const PIECES: usize = 8;
/// How many tasks may read their state at once.
const RESTORES: usize = 4;
/// How many tables may be merged at once.
const MERGES: usize = 1;

/// See the module.
#[derive(Debug)]
pub(crate) struct Stores {
    file_systems: FileSystems,
    /// Tells this process's temporary files from others'.
    writer: String,
    storages: Mutex<BTreeMap<String, Storage>>,
    /// Where copies of what is written are kept, and how many bytes; `None`: nowhere.
    copies_at: Option<(PathBuf, u64)>,
    copies: OnceCell<Option<Copies>>,
    pub(super) pieces: Arc<Semaphore>,
    pub(super) merges: Arc<Semaphore>,
    pub(super) restores: Arc<Semaphore>,
    /// For changes that aren't durable yet.
    pub(super) kept: Arc<Semaphore>,
}

impl Stores {
    /// The stores of a process that calls itself `writer`: letters, digits and `-`, unique among all.
    pub(crate) fn new(file_systems: FileSystems, writer: String, copies_at: Option<(PathBuf, u64)>) -> Self {
        Self {
            file_systems,
            writer,
            storages: Mutex::default(),
            copies_at,
            copies: OnceCell::new(),
            pieces: Arc::new(Semaphore::new(PIECES)),
            merges: Arc::new(Semaphore::new(MERGES)),
            restores: Arc::new(Semaphore::new(RESTORES)),
            kept: kept::room(),
        }
    }

    /// The store that a location is in, and the path in it.
    pub(crate) fn at(&self, location: &str) -> Result<(Storage, Path)> {
        let resolved = self.file_systems.resolve(location)?;
        let limits = Limits { part_bytes: self.file_systems.upload().part_bytes, ..Limits::default() };
        let (storage, path) = Storage::at(&resolved, &self.writer, limits)?;
        let name = match &resolved {
            Location::Local(_) => "file",
            Location::Object(object) => object.bucket.url(),
        };
        // The map is whole whatever happened to a thread that held it.
        let mut storages = self.storages.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((storages.entry(name.to_owned()).or_insert(storage).clone(), path))
    }

    /// The local copies. A folder that can't be opened costs downloads, not the job.
    pub(crate) async fn copies(&self) -> Option<Copies> {
        let open = || async {
            let (path, max_bytes) = self.copies_at.clone()?;
            match Copies::open(path.clone(), max_bytes).await {
                Ok(copies) => Some(copies),
                Err(error) => {
                    let path = path.display();
                    tracing::warn!(%path, error = %error.chain(), "no local copies of snapshots are kept");
                    None
                }
            }
        };
        self.copies.get_or_init(open).await.clone()
    }
}
