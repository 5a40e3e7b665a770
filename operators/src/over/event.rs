//! Running aggregates in event time: rows wait until the watermark has passed them, and leave in the order of their times.
//!
//! With `RANGE` rows of one key and one time see each other; with `ROWS` each sees those before it, in the order of arrival. A row that
//! isn't after the watermark is late: it is dropped and counted. Firing is resumable: a call takes at most [`STEPS`] times
//! [`TARGET_ROWS`] rows, unless more are of one time.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema, SchemaRef};
use weir_api::batch::{Batch, TARGET_ROWS};
use weir_api::error::{Error, Result};
use weir_api::operator::{Operator, OperatorContext, Progress};
use weir_api::output::Output;
use weir_api::state::{Frozen, KeyedState, Pieces, Scope, StateTable};
use weir_api::watermark::Watermark;

use super::buffer::{self, Buffer};
use super::frozen::Several;
use super::plan::{Event, Plan, column, plain, refuse_changes};
use super::processing::{ACCUMULATORS, opened, unknown};
use super::restored::{Floors, WATERMARKS, migrated};
use super::table::{Rows, Table, check_limit};
use crate::calc::batch_of;
use crate::event_time::millis;

/// The most batches that one call takes.
const STEPS: usize = 4;

/// See the module.
pub(super) struct EventTime {
    plan: Plan,
    event: Event,
    table: Table,
    buffer: Buffer,
    /// The columns of the input that rows wait with.
    columns: Vec<usize>,
    /// Those columns.
    waiting: SchemaRef,
    /// The columns of the state of rows that wait.
    buffer_schema: SchemaRef,
    /// Rows up to here have left.
    watermark: i64,
    /// Where `watermark` is going.
    target: i64,
    floors: Floors,
    /// Answered rows that the output had no room for.
    answered: VecDeque<RecordBatch>,
    context: Option<OperatorContext>,
}

impl EventTime {
    pub(super) fn new(plan: Plan) -> Result<Self> {
        let event = plan.event.ok_or_else(|| Error::internal("event time without a time column"))?;
        let calls = plan.calls.iter().flat_map(|call| call.argument.into_iter().chain(call.filter));
        let mut columns: Vec<usize> = plan.keys.clone();
        for column in plan.kept.iter().copied().chain(calls) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let fields: Vec<Field> = columns
            .iter()
            .filter_map(|&column| plan.input.fields().get(column))
            .map(|field| plain(field))
            .collect();
        let others = fields.get(plan.keys.len()..).unwrap_or_default().to_vec();
        Ok(Self {
            table: Table::new(&plan)?,
            buffer_schema: buffer::schema_of(plan.key_fields(), others),
            waiting: Arc::new(Schema::new(fields)),
            plan,
            event,
            buffer: Buffer::default(),
            columns,
            watermark: i64::MIN,
            target: i64::MIN,
            floors: Floors::default(),
            answered: VecDeque::new(),
            context: None,
        })
    }

    /// Where a column of the input is in rows that wait.
    fn place(&self, input: usize) -> usize {
        self.columns.iter().position(|&column| column == input).unwrap_or(usize::MAX)
    }

    /// The rows that aren't late.
    fn in_time(&self, records: &RecordBatch, times: &[i64]) -> Result<Vec<u32>> {
        let rows = 0..times.len() as u32;
        if !self.floors.concern(self.watermark) {
            return Ok(rows.filter(|&row| times[row as usize] > self.watermark).collect());
        }
        let keys =
            self.plan.keys.iter().map(|&key| column(records, key).cloned()).collect::<Result<Vec<_>>>()?;
        let max_parallelism = opened(self.context.as_ref())?.max_parallelism;
        let floors = self.floors.of_rows(&keys, times.len(), max_parallelism)?;
        let is_in_time = |&row: &u32| times[row as usize] > self.watermark.max(floors[row as usize]);
        Ok(rows.filter(is_in_time).collect())
    }

    /// Answers all rows that are due at `target`.
    fn advance(&mut self, out: &mut Output) -> Result<Progress> {
        let mut budget = STEPS * TARGET_ROWS;
        loop {
            while let Some(answered) = self.answered.pop_front() {
                if !out.has_room() {
                    self.answered.push_front(answered);
                    return Ok(Progress::NeedRoom);
                }
                out.push(answered.into());
            }
            if budget == 0 {
                return Ok(Progress::Yield);
            }
            let Some((records, times)) = self.buffer.due(self.target)? else {
                self.watermark = self.watermark.max(self.target);
                self.floors.settle(self.watermark);
                return Ok(Progress::Done);
            };
            budget = budget.saturating_sub(times.len());
            let answered = self
                .answer(&records, &times)
                .map_err(|error| error.context(format_args!("operator '{}'", self.plan.name)))?;
            for start in (0..answered.num_rows()).step_by(TARGET_ROWS) {
                self.answered.push_back(answered.slice(start, TARGET_ROWS.min(answered.num_rows() - start)));
            }
        }
    }

    fn answer(&mut self, records: &RecordBatch, times: &[i64]) -> Result<RecordBatch> {
        let now = match self.plan.ttl_millis {
            Some(_) => opened(self.context.as_ref())?.clock.unix_millis(),
            None => 0,
        };
        let rows = Rows::of(&self.plan, records, |column| self.place(column))?;
        let mut results = self.table.run(&self.plan, &rows, now)?;
        if self.event.peers
            && let Some(last) = last_peers(times, self.table.ids())
        {
            let last = UInt32Array::from(last);
            results = results.iter().map(|column| Ok(take(column, &last, None)?)).collect::<Result<_>>()?;
        }
        let kept = self.plan.kept.iter().map(|&index| column(records, self.place(index)).cloned());
        let columns: Vec<ArrayRef> = kept.chain(results.into_iter().map(Ok)).collect::<Result<_>>()?;
        batch_of(Arc::clone(&self.plan.output), columns, rows.count)
    }
}

/// For each row the last one of its time and key; `None` if each is its own. Times are in order, `ids` are empty without keys.
fn last_peers(times: &[i64], ids: &[u32]) -> Option<Vec<u32>> {
    if times.windows(2).all(|pair| pair[0] != pair[1]) {
        return None;
    }
    let mut last: Vec<u32> = (0..times.len() as u32).collect();
    let mut by_key: Vec<u32> = Vec::new();
    let mut start = 0;
    for run in times.chunk_by(|a, b| a == b) {
        let end = start + run.len();
        if ids.is_empty() {
            last[start..end].fill(end as u32 - 1);
        } else if run.len() > 1 {
            by_key.clear();
            by_key.extend(start as u32..end as u32);
            by_key.sort_unstable_by_key(|&row| (ids[row as usize], row));
            for peers in by_key.chunk_by(|&a, &b| ids[a as usize] == ids[b as usize]) {
                let of_all = peers[peers.len() - 1];
                peers.iter().for_each(|&row| last[row as usize] = of_all);
            }
        }
        start = end;
    }
    Some(last)
}

impl Operator for EventTime {
    fn output_schema(&self) -> Option<SchemaRef> {
        Some(Arc::clone(&self.plan.output))
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.context = Some(context.clone());
        Ok(())
    }

    fn process(&mut self, _input: u32, batch: Batch, _out: &mut Output) -> Result<Progress> {
        let plan = &self.plan;
        let named = |error: Error| error.context(format_args!("operator '{}'", plan.name));
        refuse_changes(&plan.name, &batch)?;
        let records = batch.records();
        let name = plan.input.fields().get(self.event.time).map_or("?", |field| field.name());
        let times = millis(column(records, self.event.time)?, name).map_err(named)?;
        let rows = self.in_time(records, &times)?;
        let context = opened(self.context.as_ref())?;
        context.metrics.num_late_records_dropped.add((times.len() - rows.len()) as u64);
        let columns =
            self.columns.iter().map(|&index| column(records, index).cloned()).collect::<Result<Vec<_>>>()?;
        let waiting = batch_of(Arc::clone(&self.waiting), columns, records.num_rows()).map_err(named)?;
        self.buffer.add(&waiting, &times, rows).map_err(named)?;
        let bytes = self.table.size_bytes() + self.buffer.size_bytes();
        check_limit(&plan.name, bytes, context.state_limit_bytes)?;
        Ok(Progress::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<Progress> {
        self.target = self.target.max(watermark.0);
        self.advance(out)
    }

    fn finish(&mut self, out: &mut Output) -> Result<Progress> {
        self.target = i64::MAX;
        self.advance(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        self.advance(out)
    }

    fn keyed_state(&mut self) -> Option<&mut dyn KeyedState> {
        Some(self)
    }
}

impl KeyedState for EventTime {
    fn freeze(&mut self, scope: Scope) -> Result<Box<dyn Frozen>> {
        let context = opened(self.context.as_ref())?;
        let (owned, max_parallelism) = (context.key_groups, context.max_parallelism);
        let now = context.clock.unix_millis();
        let keys = (0..self.plan.keys.len()).collect();
        let table = self.table.freeze(ACCUMULATORS, scope, now, owned, max_parallelism)?;
        let rows = self.buffer.freeze(&self.buffer_schema, keys, owned.len(), max_parallelism)?;
        let watermarks = Pieces([(Scope::Full, self.floors.table(self.watermark, owned)?)].into());
        let states: [Box<dyn Frozen>; 3] = [Box::new(table), Box::new(rows), Box::new(watermarks)];
        Ok(Box::new(Several(states.into())))
    }

    fn import(&mut self, table: &StateTable) -> Result<()> {
        let (operator, keys) = (&self.plan.name, self.plan.keys.len());
        match table.name.as_str() {
            ACCUMULATORS => {
                let now = opened(self.context.as_ref())?.clock.unix_millis();
                for batch in &table.batches {
                    let batch = migrated(operator, ACCUMULATORS, batch, self.table.schema(), 1 + keys)?;
                    self.table.import(&self.plan, &batch, now)?;
                }
                Ok(())
            }
            buffer::ROWS => {
                for batch in &table.batches {
                    let batch = migrated(operator, buffer::ROWS, batch, &self.buffer_schema, 1 + keys)?;
                    let (times, numbers) = (batch.column(1 + keys), batch.column(2 + keys));
                    let columns = batch.columns().iter().skip(1).take(keys);
                    let columns = columns.chain(batch.columns().iter().skip(3 + keys)).cloned().collect();
                    let waiting = batch_of(Arc::clone(&self.waiting), columns, batch.num_rows())?;
                    self.buffer.import(waiting, times, numbers)?;
                }
                Ok(())
            }
            WATERMARKS => self.floors.import(operator, table),
            other => Err(unknown(operator, other)),
        }
    }

    fn size_bytes(&self) -> u64 {
        (self.table.size_bytes() + self.buffer.size_bytes()) as u64
    }
}
