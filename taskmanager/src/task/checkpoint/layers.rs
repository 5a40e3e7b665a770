//! What a freeze must hold so that the layers of a task's state add up: everything, or what has changed since the last one.
//!
//! Invariant: changes are asked for only where everything frozen since the last full layer is durable, on its way, or kept to be
//! written with the next changes. A freeze takes note of changes wherever it goes, so the one after a savepoint's, which no
//! checkpoint builds on, is full.

use std::collections::BTreeSet;

use weir_api::element::Purpose;
use weir_api::id::CheckpointId;
use weir_api::state::Scope;

use crate::planted::planted;

/// The chain of layers, as far as deciding goes.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    incremental: bool,
    /// Nothing can build on what was frozen last.
    broken: bool,
    /// Given up while they were written: whether what was frozen for them is kept isn't known yet.
    open: BTreeSet<CheckpointId>,
    /// Kept, and its end hasn't been told.
    kept: Option<CheckpointId>,
}

/// A snapshot that won't be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    pub(super) checkpoint: CheckpointId,
    pub(super) purpose: Purpose,
    pub(super) scope: Scope,
    /// It is being written: whoever writes it will tell what becomes of the changes.
    pub(super) is_open: bool,
}

impl Layers {
    /// Nothing is frozen yet.
    pub(super) const fn new(incremental: bool) -> Self {
        Self { incremental, broken: true, open: BTreeSet::new(), kept: None }
    }

    /// There are layers from before this attempt, and what was restored is what they add up to.
    pub(super) const fn adopt(&mut self) {
        self.broken = false;
    }

    /// What is to be frozen for a snapshot that begins now.
    pub(super) fn freeze(&mut self, purpose: Purpose) -> Scope {
        let is_savepoint = purpose.is_savepoint();
        let full =
            purpose != Purpose::Checkpoint || self.broken || !self.open.is_empty() || !self.incremental;
        self.broken = is_savepoint;
        if !full {
            return Scope::Changes;
        }
        self.open.clear();
        Scope::Full
    }

    /// The changes that were frozen for this checkpoint will be written with the next ones. Its end comes next.
    pub(super) fn keep(&mut self, checkpoint: CheckpointId) {
        self.kept = Some(checkpoint);
    }

    /// The end of a snapshot that had been given up: it was written, or not.
    pub(super) fn settle(&mut self, checkpoint: CheckpointId, is_written: bool) {
        let is_kept = self.kept.take() == Some(checkpoint);
        if self.open.remove(&checkpoint) && !is_kept && !is_written {
            self.broken = true;
        }
    }

    /// A snapshot is lost; `later` are those that began after it and are on their way, the oldest first. Answers which of them
    /// are lost with it.
    pub(super) fn lose(&mut self, lost: Lost, later: impl Iterator<Item = Lost>) -> Vec<CheckpointId> {
        let is_kept = self.kept.take() == Some(lost.checkpoint);
        let mut victims = Vec::new();
        if lost.purpose.is_savepoint() || planted!(LostDeltaForgotten) {
            return victims;
        }
        let mut all = vec![lost];
        for later in later {
            if later.purpose.is_savepoint() || later.scope == Scope::Full {
                // A new chain has begun there, or begins behind it.
                return victims;
            }
            victims.push(later.checkpoint);
            all.push(later);
        }
        for one in all {
            if one.is_open && one.scope == Scope::Changes {
                self.open.insert(one.checkpoint);
            } else if one.checkpoint != lost.checkpoint || !is_kept {
                self.broken = true;
            }
        }
        victims
    }
}
