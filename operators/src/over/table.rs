//! The accumulators of all keys: a columnar table that rows run through, and that a barrier shares instead of copying it.
//!
//! Invariants: every accumulator has a state for every key; a key is marked in `dirty` if its state has changed since the last
//! freeze; where keys are forgotten after a time, a row never sees what was accumulated before. Knows neither time columns nor where
//! rows come from.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use weir_api::error::{Code, Error, Result};
use weir_api::graph::{KeyGroupRange, partial_columns};
use weir_api::state::Scope;
use weir_api::state::chunks::Chunks;
use weir_api::state::dirty::Dirty;

use super::frozen::FrozenTable;
use super::keys::Keys;
use super::plan::{Plan, WRITTEN, column, mask_of};
use crate::accumulator::Ids;
use crate::accumulator::running::{self, Running};

/// See the module.
pub(super) struct Table {
    schema: SchemaRef,
    keys: Keys,
    calls: Vec<Box<dyn Running>>,
    dirty: Dirty,
    /// When each key was last changed, if keys are forgotten.
    written: Option<Chunks<i64>>,
    ttl_millis: i64,
    /// Scratch: the key of each row.
    ids: Vec<u32>,
}

/// Rows in the order in which they run through the table.
pub(super) struct Rows {
    pub(super) keys: Vec<ArrayRef>,
    pub(super) arguments: Vec<Option<ArrayRef>>,
    pub(super) filters: Vec<Option<ArrayRef>>,
    pub(super) count: usize,
}

impl Rows {
    /// The rows of a batch; `place` says where a column of the plan's input is in it.
    pub(super) fn of(plan: &Plan, records: &RecordBatch, place: impl Fn(usize) -> usize) -> Result<Self> {
        let find = |index: usize| column(records, place(index)).cloned();
        let optional = |index: Option<usize>| index.map(find).transpose();
        Ok(Self {
            keys: plan.keys.iter().map(|&key| find(key)).collect::<Result<_>>()?,
            arguments: plan.calls.iter().map(|call| optional(call.argument)).collect::<Result<_>>()?,
            filters: plan.calls.iter().map(|call| optional(call.filter)).collect::<Result<_>>()?,
            count: records.num_rows(),
        })
    }
}

impl Table {
    pub(super) fn new(plan: &Plan) -> Result<Self> {
        let calls = plan
            .calls
            .iter()
            .map(|call| running::create(call.function, call.argument_type.as_ref()))
            .collect::<Result<_>>()?;
        Ok(Self {
            schema: plan.state_schema()?,
            keys: Keys::new(&plan.key_types)?,
            calls,
            dirty: Dirty::default(),
            written: plan.ttl_millis.map(|_| Chunks::default()),
            ttl_millis: plan.ttl_millis.unwrap_or(i64::MAX),
            ids: Vec::new(),
        })
    }

    /// The columns of its state.
    pub(super) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Folds rows in, one after the other, and gives each aggregate's results after each row. `now` is the processing time.
    pub(super) fn run(&mut self, plan: &Plan, rows: &Rows, now: i64) -> Result<Vec<ArrayRef>> {
        self.intern(&rows.keys, rows.count)?;
        self.forget(now);
        self.mark(rows.count);
        let ids = ids_of(&self.keys, &self.ids, rows.count);
        let mut results = Vec::with_capacity(self.calls.len());
        for (number, (running, call)) in self.calls.iter_mut().zip(&plan.calls).enumerate() {
            let argument = rows.arguments.get(number).and_then(Option::as_ref);
            let mask = match rows.filters.get(number).and_then(Option::as_ref) {
                Some(filter) => mask_of(filter)?,
                None => None,
            };
            results.push(running.step(argument, mask.as_ref(), ids, &call.result_type)?);
        }
        Ok(results)
    }

    /// The key of each of the rows that ran last; without key columns none.
    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Finds the keys' numbers and makes room for new ones.
    fn intern(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        self.keys.intern(keys, rows, &mut self.ids)?;
        let keys = self.keys.len();
        for running in &mut self.calls {
            running.resize(keys);
        }
        self.dirty.resize(keys);
        if let Some(written) = &mut self.written {
            written.resize(keys);
        }
        Ok(())
    }

    fn mark(&mut self, rows: usize) {
        if self.keys.is_single() {
            if rows > 0 {
                self.dirty.mark(0);
            }
            return;
        }
        for &id in &self.ids {
            self.dirty.mark(id);
        }
    }

    /// Forgets what the keys of the rows had accumulated too long ago, and notes that they are written now.
    fn forget(&mut self, now: i64) {
        let Some(written) = &mut self.written else { return };
        let single = [0];
        let ids = match (self.keys.is_single(), self.keys.len()) {
            (true, 0) => &[],
            (true, _) => &single[..],
            (false, _) => &self.ids[..],
        };
        for &id in ids {
            let last = written.slot(id as usize);
            if now.saturating_sub(*last) >= self.ttl_millis {
                self.calls.iter_mut().for_each(|running| running.reset(id));
            }
            *last = now;
        }
    }

    /// The table as it is now. `now` is the processing time: what is forgotten isn't told of.
    pub(super) fn freeze(
        &mut self,
        name: &str,
        scope: Scope,
        now: i64,
        key_groups: KeyGroupRange,
        max_parallelism: u32,
    ) -> Result<FrozenTable> {
        let dirty = self.dirty.freeze();
        Ok(FrozenTable {
            name: name.to_owned(),
            schema: Arc::clone(&self.schema),
            scope,
            changed: (scope == Scope::Changes).then_some(dirty),
            keys: self.keys.freeze()?,
            calls: self.calls.iter_mut().map(|running| running.freeze()).collect(),
            written: self.written.as_mut().map(Chunks::freeze),
            forgotten: now.saturating_sub(self.ttl_millis),
            key_groups: key_groups.len(),
            max_parallelism,
            cursor: None,
        })
    }

    /// Takes rows of a state of this schema. `now` is the processing time: what is forgotten by now isn't taken.
    pub(super) fn import(&mut self, plan: &Plan, batch: &RecordBatch, now: i64) -> Result<()> {
        let known;
        let batch = match batch.column_by_name(WRITTEN) {
            Some(times) if self.written.is_some() => {
                // A time that isn't known is this one: keys weren't forgotten when the snapshot was made.
                let times = times.as_primitive::<Int64Type>();
                let lives =
                    |time: Option<i64>| time.is_none_or(|time| now.saturating_sub(time) < self.ttl_millis);
                known = filter_record_batch(batch, &times.iter().map(|time| Some(lives(time))).collect())?;
                &known
            }
            _ => batch,
        };
        let columns = batch.columns();
        let key_end = 1 + plan.keys.len();
        let keys = columns.get(1..key_end).ok_or_else(|| Error::internal("state without its keys"))?;
        let keys = keys.to_vec();
        self.intern(&keys, batch.num_rows())?;
        let single = vec![0; if self.keys.is_single() { batch.num_rows() } else { 0 }];
        let ids = if self.keys.is_single() { &single } else { &self.ids };
        let mut values = columns.iter().skip(key_end).cloned();
        if let Some(written) = &mut self.written {
            let times = values.next().ok_or_else(|| Error::internal("state without its times"))?;
            for (&id, time) in ids.iter().zip(times.as_primitive::<Int64Type>()) {
                *written.slot(id as usize) = time.unwrap_or(now);
            }
        }
        for (running, call) in self.calls.iter_mut().zip(&plan.calls) {
            let width = partial_columns(call.function, "", call.argument_type.as_ref())?.len();
            running.set(&values.by_ref().take(width).collect::<Vec<_>>(), ids)?;
        }
        Ok(())
    }

    /// Bytes held.
    pub(super) fn size_bytes(&self) -> usize {
        let calls: usize = self.calls.iter().map(|running| running.size_bytes()).sum();
        let written = self.written.as_ref().map_or(0, Chunks::size_bytes);
        self.keys.size_bytes()
            + calls
            + written
            + self.dirty.size_bytes()
            + self.ids.capacity() * size_of::<u32>()
    }
}

fn ids_of<'a>(keys: &Keys, ids: &'a [u32], rows: usize) -> Ids<'a> {
    if keys.is_single() { Ids::One { rows } } else { Ids::Each(ids) }
}

/// Refuses state beyond its limit.
pub(super) fn check_limit(operator: &str, bytes: usize, limit: u64) -> Result<()> {
    if bytes as u64 <= limit {
        return Ok(());
    }
    let message = format!(
        "operator '{operator}' holds {bytes} bytes of state; its limit is {limit}. Give it more memory or a higher parallelism, \
         partition by fewer keys, or let it forget keys by 'table.exec.state.ttl'"
    );
    Err(Error::new(Code::StateLimit, message))
}
