//! Changes that were frozen and aren't durable yet, kept so that they can be told again: with the next snapshot, if the one that
//! they were frozen for isn't written.
//!
//! Invariants: every [`Telling`] of the same changes tells the same pieces in the same order; pieces are kept in memory only while
//! the process has room for them ([`MOST_BYTES`]), and a table of which one piece wasn't kept is never told half: its task writes
//! everything instead. Doesn't know what is written where.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_api::state::{Frozen, Scope, StateTable};
use weir_api::{Error, Result};

/// How much changed state a process keeps until it is durable.
pub(super) const MOST_BYTES: usize = 64 << 20;
/// What a permit stands for.
const UNIT: usize = 1 << 10;

/// Room for [`MOST_BYTES`].
pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MOST_BYTES / UNIT))
}

/// What an operator froze. Clones share it.
#[derive(Clone)]
pub(super) struct Kept(Arc<Mutex<Inner>>);

struct Inner {
    rest: Box<dyn Frozen>,
    told: Vec<(Scope, StateTable)>,
    /// How many pieces were told, kept or not.
    count: usize,
    room: Arc<Semaphore>,
    taken: Vec<OwnedSemaphorePermit>,
    /// Some piece was told and isn't here any more.
    is_lossy: bool,
    has_ended: bool,
}

impl Kept {
    /// Keeps what is told as long as there is `room` for it; never if it isn't `worth_it`.
    pub(super) fn new(frozen: Box<dyn Frozen>, worth_it: bool, room: Arc<Semaphore>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            rest: frozen,
            told: Vec::new(),
            count: 0,
            room,
            taken: Vec::new(),
            is_lossy: !worth_it,
            has_ended: false,
        })))
    }

    /// Tells it from the beginning.
    pub(super) fn tell(&self) -> Telling {
        Telling { kept: self.clone(), next: 0 }
    }

    /// Whether all of it can be told once more, as far as it was told.
    pub(super) fn is_whole(&self) -> bool {
        !self.lock().is_lossy
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A thread that panicked in here left a piece untold, which is as good as lost.
        self.0.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            let mut inner = poisoned.into_inner();
            inner.is_lossy = true;
            inner
        })
    }
}

impl Inner {
    fn piece(&mut self, at: usize) -> Result<Option<(Scope, StateTable)>> {
        if let Some(piece) = self.told.get(at) {
            return Ok(Some(piece.clone()));
        }
        if at != self.count {
            return Err(Error::internal("changes of an earlier checkpoint aren't kept any more"));
        }
        if self.has_ended {
            return Ok(None);
        }
        let Some(piece) = self.rest.next().inspect_err(|_| self.is_lossy = true)? else {
            self.has_ended = true;
            return Ok(None);
        };
        self.count += 1;
        self.keep(&piece);
        Ok(Some(piece))
    }

    fn keep(&mut self, piece: &(Scope, StateTable)) {
        if self.is_lossy {
            return;
        }
        let bytes: usize = piece.1.batches.iter().map(|batch| batch.get_array_memory_size()).sum();
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        match Arc::clone(&self.room).try_acquire_many_owned(units) {
            Ok(permit) => {
                self.taken.push(permit);
                self.told.push(piece.clone());
            }
            Err(_) => {
                self.is_lossy = true;
                self.told.clear();
                self.taken.clear();
            }
        }
    }
}

/// Tells what was frozen, once.
pub(super) struct Telling {
    kept: Kept,
    next: usize,
}

impl Frozen for Telling {
    fn next(&mut self) -> Result<Option<(Scope, StateTable)>> {
        let mut inner = self.kept.lock();
        let piece = inner.piece(self.next)?;
        self.next += usize::from(piece.is_some());
        Ok(piece)
    }
}
