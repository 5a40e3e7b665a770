//! What a freeze must hold so that the layers of a task's state add up: everything, or what has changed since the last one.
//!
//! Invariant: changes are asked for only where everything frozen since the last full layer is durable or on its way. A freeze
//! takes note of changes wherever it goes, so the one after a savepoint's, which no checkpoint builds on, is full.

use weir_api::element::Purpose;
use weir_api::id::CheckpointId;
use weir_api::state::Scope;

use crate::planted::planted;

/// The chain of layers, as far as deciding goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layers {
    incremental: bool,
    /// Nothing can build on what was frozen last.
    broken: bool,
}

impl Layers {
    /// Nothing is frozen yet.
    pub(super) const fn new(incremental: bool) -> Self {
        Self { incremental, broken: true }
    }

    /// There are layers from before this attempt, and what was restored is what they add up to.
    pub(super) const fn adopt(&mut self) {
        self.broken = false;
    }

    /// What is to be frozen for a snapshot that begins now.
    pub(super) fn freeze(&mut self, purpose: Purpose) -> Scope {
        let is_savepoint = purpose.is_savepoint();
        let full = purpose != Purpose::Checkpoint || self.broken || !self.incremental;
        self.broken = is_savepoint;
        if full { Scope::Full } else { Scope::Changes }
    }

    /// A snapshot is lost; `later` are those that began after it and are on their way, the oldest first. Answers which of them
    /// are lost with it.
    pub(super) fn lose(
        &mut self,
        lost: Purpose,
        later: impl Iterator<Item = (CheckpointId, Purpose, Scope)>,
    ) -> Vec<CheckpointId> {
        let mut victims = Vec::new();
        if lost.is_savepoint() || planted!(LostDeltaForgotten) {
            return victims;
        }
        for (checkpoint, purpose, scope) in later {
            if purpose.is_savepoint() || scope == Scope::Full {
                // A new chain has begun there, or begins behind it.
                return victims;
            }
            victims.push(checkpoint);
        }
        self.broken = true;
        victims
    }
}
