//! Merges the layers of a task's tables in the background, one table at a time.
//!
//! Invariants: a merge takes the place of exactly the layers that it read, if they are still what they were; it never holds up an
//! upload; what it reads is in the newest checkpoint, so nobody removes it meanwhile. Which layers are merged decides
//! `weir_snapshots::compaction`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;
use weir_api::graph::KeyGroupRange;
use weir_api::{Error, Result};
use weir_snapshots::compaction::{Candidate, Policy, plan};
use weir_snapshots::delta::delta_schema;
use weir_snapshots::manifest::{Layer, Scope, StateSchema};
use weir_snapshots::restore::Source;
use weir_snapshots::table::{Contents, Encoder, Limits};

use super::stores::Stores;
use super::tables::Target;
use super::upload::{Chain, Owner, StateKey};

/// See the module.
#[derive(Default)]
pub(super) struct Compactor {
    running: Option<AbortOnDropHandle<Result<Merged>>>,
}

/// A merge that is done.
pub(super) struct Merged {
    key: StateKey,
    /// Where the merged layers begin in the chain.
    from: usize,
    inputs: Vec<Layer>,
    layer: Layer,
}

impl Compactor {
    /// The end of the merge that runs; never, while none does. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Merged> {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let ended = running.await;
        self.running = None;
        ended.map_err(|error| Error::internal("a merge was cut short").with_source(error))?
    }

    /// Puts what was merged in its place.
    pub(super) fn take(&self, merged: Result<Merged>, chains: &mut BTreeMap<StateKey, Chain>) {
        let Merged { key, from, inputs, layer } = match merged {
            Ok(merged) => merged,
            Err(error) => {
                // It is planned again after the next checkpoint.
                tracing::warn!(error = %error.chain(), "layers of state weren't merged");
                return;
            }
        };
        let Some(chain) = chains.get_mut(&key) else { return };
        let range = from..from + inputs.len();
        if chain.layers.get(range.clone()) == Some(inputs.as_slice()) {
            tracing::debug!(state = key.1, layers = inputs.len(), bytes = layer.bytes(), "merged");
            let merged = (from == 0 || !layer.files.is_empty()).then_some(layer);
            chain.layers.splice(range, merged);
        }
    }

    /// Begins the first merge that is called for, unless one runs.
    pub(super) fn start(
        &mut self,
        owner: &Owner,
        stores: &Arc<Stores>,
        target: &Target,
        chains: &BTreeMap<StateKey, Chain>,
    ) {
        if self.running.is_some() {
            return;
        }
        let planned = chains.iter().find_map(|(key, chain)| Some((key, chain, from(chain)?)));
        let Some((key, chain, from)) = planned else { return };
        let merge = Merge {
            key: key.clone(),
            schema: chain.schema.clone(),
            from,
            inputs: chain.layers.get(from..).unwrap_or_default().to_vec(),
            range: owner.key_groups,
            target: target.clone(),
        };
        let (stores, io) = (Arc::clone(stores), tokio::runtime::Handle::current());
        // Merging computes for long: not on a thread that others wait for.
        let running = async move {
            let permit = Arc::clone(&stores.merges).acquire_owned().await;
            let _permit = permit.map_err(|_| Error::internal("the limit of merges is gone"))?;
            let work = tokio::task::spawn_blocking(move || io.block_on(merge.run()));
            work.await.map_err(|error| Error::internal("a merge was cut short").with_source(error))?
        };
        self.running = Some(AbortOnDropHandle::new(tokio::spawn(running)));
    }
}

/// The first layer to be merged with all above it.
fn from(chain: &Chain) -> Option<usize> {
    let foreign = |layer: &Layer| layer.files.iter().any(|file| matches!(file.scope, Scope::Folder(_)));
    let candidate = |layer: &Layer| Candidate { bytes: layer.bytes(), foreign: foreign(layer) };
    let candidates: Vec<_> = chain.layers.iter().map(candidate).collect();
    plan(&candidates, Policy::default())
}

struct Merge {
    key: StateKey,
    schema: StateSchema,
    from: usize,
    inputs: Vec<Layer>,
    range: KeyGroupRange,
    target: Target,
}

impl Merge {
    async fn run(self) -> Result<Merged> {
        let Self { key, schema, from, inputs, range, target } = self;
        let contents = if from == 0 { Contents::Full } else { Contents::Delta };
        let columns = match contents {
            Contents::Full => Arc::clone(&schema.schema),
            Contents::Delta => delta_schema(&schema.schema, schema.key_columns),
        };
        let source = Source {
            storage: target.storage.clone(),
            copies: target.copies.clone(),
            folder: target.job.checkpoint(target.checkpoint),
        };
        let mut reader = source.open(&schema, &inputs, range).await?;
        let bytes = inputs.iter().map(Layer::bytes).sum::<u64>() as usize;
        let kind = (contents, schema.key_columns);
        let mut encoder = Encoder::new(&schema.state, &columns, kind, Limits::default(), bytes)?;
        let mut files = Vec::new();
        while let Some(rows) = reader.next(contents).await? {
            encoder.add(&rows)?;
            for file in encoder.whole() {
                files.push(target.put(file).await?);
            }
        }
        for file in encoder.finish()? {
            files.push(target.put(file).await?);
        }
        Ok(Merged { key, from, inputs, layer: Layer { delta: from > 0, files } })
    }
}
