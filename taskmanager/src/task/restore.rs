//! Gives a task's operators their state back, before the first element.
//!
//! Files are read on the I/O runtime, rows are imported here, on the slot's thread, which is given away after each piece. Invariant:
//! an operator gets the rows of its own key groups, whatever the parallelism was, and its share of operator state.

use std::sync::Arc;

use weir_api::fail_point::FailPoint;
use weir_api::graph::KeyGroupRange;
use weir_api::operator::Operator;
use weir_api::state::{KeyedState, Scope};
use weir_api::{Error, Result};
use weir_snapshots::manifest::StateSchema;

use super::chain::Chain;
use crate::slot::Turn;
use crate::snapshot::{Chains, LayerChain, Opened, Restoration, Stores, redistribute};

/// What a task restores from, and as whom.
pub(crate) struct Restorer {
    pub(crate) restoration: Arc<Restoration>,
    /// Of the vertex's chain, by position.
    pub(crate) uids: Vec<String>,
    pub(crate) subtask: u32,
    pub(crate) parallelism: u32,
    pub(crate) key_groups: KeyGroupRange,
    pub(crate) stores: Arc<Stores>,
    pub(crate) io: tokio::runtime::Handle,
}

impl Restorer {
    /// Restores all operators of the chain. Answers which layers their next changes may follow, if any.
    pub(crate) async fn run(&self, chain: &mut Chain, turn: &mut Turn) -> Result<Option<Chains>> {
        FailPoint::RestoreBegun.passed().await?;
        let (restoration, io) = (Arc::clone(&self.restoration), self.io.clone());
        let opened = io.spawn(async move { restoration.open().await }).await;
        let opened = opened
            .map_err(|error| Error::internal("reading a manifest was cut short").with_source(error))??;
        let (mut chains, mut whole) = (Chains::default(), Vec::new());
        for (position, name, operator) in chain.operators() {
            let Some(uid) = self.uids.get(position) else { continue };
            let restored = self.operator(&opened, uid, operator, turn).await;
            let adopted =
                restored.map_err(|error| error.context(format_args!("restore operator '{name}' ({uid})")))?;
            match adopted {
                Some(adopted) => chains.add(position, adopted),
                None => whole.push(position),
            }
        }
        if !opened.is_own() {
            return Ok(None);
        }
        whole.into_iter().for_each(|position| chain.snapshots().tell_everything(position));
        Ok(Some(chains))
    }

    /// Restores one operator. Answers the layers of its states that may be built upon; `None`: they have to be written anew.
    async fn operator(
        &self,
        opened: &Arc<Opened>,
        uid: &str,
        operator: &mut dyn Operator,
        turn: &mut Turn,
    ) -> Result<Option<Vec<(String, LayerChain)>>> {
        let Some(before) = opened.operator(uid) else { return Ok(None) };
        let expected = operator.keyed_state().map(schemas).transpose()?.unwrap_or_default();
        let snapshot = Arc::clone(opened);
        let mut rows = snapshot.read(before, &expected, self.key_groups, &self.stores, &self.io)?;
        while let Some(table) = rows.next().await? {
            turn.wake();
            let state = operator.keyed_state();
            let state = state.ok_or_else(|| Error::internal("rows for an operator without keyed state"))?;
            state.import(&table)?;
            turn.pass().await;
            turn.sleep();
        }
        for state in redistribute(before, self.subtask, self.parallelism) {
            operator.restore_operator_state(state)?;
        }
        Ok(opened.chains(before, &expected, self.key_groups))
    }
}

/// What an operator keeps: asked of its state while there is nothing in it.
fn schemas(state: &mut dyn KeyedState) -> Result<Vec<StateSchema>> {
    let mut frozen = state.freeze(Scope::Full)?;
    let mut schemas = Vec::new();
    while let Some((_, table)) = frozen.next()? {
        schemas.push(StateSchema { state: table.name, key_columns: table.key_columns, schema: table.schema });
    }
    Ok(schemas)
}
