//! What a chain's operators kept at a barrier, on its way from the stages to the upload.
//!
//! Invariant: a snapshot holds what each stage was behind the last element before the barrier, as each freezes when it has flushed
//! and before it lets the barrier go on.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use weir_api::Result;
use weir_api::fail_point::FailPoint;
use weir_api::id::CheckpointId;
use weir_api::operator::Operator;
use weir_api::state::{Frozen, OperatorState, Scope};
use weir_proto::v1::Split;

/// A snapshot of a task that is being taken.
pub(crate) struct Snapshot {
    pub(crate) checkpoint: CheckpointId,
    pub(crate) scope: Scope,
    /// Those that keep something.
    pub(crate) operators: Vec<FrozenOperator>,
    /// A source's splits, with their positions.
    pub(crate) splits: Option<Vec<Split>>,
    /// What the slot's thread spent.
    pub(crate) freeze: Duration,
}

/// One operator's part.
pub(crate) struct FrozenOperator {
    /// In the vertex's chain.
    pub(crate) position: usize,
    pub(crate) keyed: Option<Box<dyn Frozen>>,
    pub(crate) states: Vec<OperatorState>,
}

/// The snapshots whose barriers are in a chain, the oldest first.
#[derive(Default)]
pub(crate) struct Snapshots {
    on_their_way: VecDeque<Snapshot>,
    /// Positions of operators that tell everything next, as there is nothing in storage that their changes could follow.
    whole: BTreeSet<usize>,
}

impl Snapshots {
    /// The operator at this position tells everything at the next barrier, whatever is asked for.
    pub(crate) fn tell_everything(&mut self, position: usize) {
        self.whole.insert(position);
    }

    /// A barrier is about to go in, at which the stages freeze.
    pub(crate) fn begin(&mut self, checkpoint: CheckpointId, scope: Scope, splits: Option<Vec<Split>>) {
        let (operators, freeze) = (Vec::new(), Duration::ZERO);
        self.on_their_way.push_back(Snapshot { checkpoint, scope, operators, splits, freeze });
    }

    /// What the stages kept; `None` if it was given up.
    pub(crate) fn take(&mut self, checkpoint: CheckpointId) -> Option<Snapshot> {
        let at = self.on_their_way.iter().position(|snapshot| snapshot.checkpoint == checkpoint)?;
        self.on_their_way.remove(at)
    }

    /// The barrier of this checkpoint has come to an operator that has flushed.
    pub(crate) fn freeze(
        &mut self,
        checkpoint: u64,
        position: usize,
        operator: &mut dyn Operator,
    ) -> Result<()> {
        let Some(snapshot) =
            self.on_their_way.iter_mut().find(|snapshot| snapshot.checkpoint.0 == checkpoint)
        else {
            return Ok(());
        };
        FailPoint::BeforeFreeze.pass()?;
        let start = Instant::now();
        let whole = self.whole.remove(&position);
        let scope = if whole { Scope::Full } else { snapshot.scope };
        let keyed = operator.keyed_state().map(|state| state.freeze(scope)).transpose()?;
        let states = operator.operator_state()?;
        snapshot.freeze += start.elapsed();
        if keyed.is_some() || !states.is_empty() {
            snapshot.operators.push(FrozenOperator { position, keyed, states });
        }
        FailPoint::AfterFreeze.pass()
    }
}
