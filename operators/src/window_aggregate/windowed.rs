//! The phases that fire windows: `SINGLE` over rows, `GLOBAL` over partial results.
//!
//! Invariants: windows fire in the order of their ends, each once; a pane is held exactly as long as a window that holds it has
//! yet to fire; rows that come after all their windows have fired are dropped and counted, or leave by the side output. Firing is resumable: a call merges
//! or emits at most [`STEPS`] times [`TARGET_ROWS`] groups.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use weir_api::batch::{Batch, TARGET_ROWS};
use weir_api::clock::Clock;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::KeyGroupRange;
use weir_api::metrics::OperatorMetrics;
use weir_api::operator::{Operator, OperatorContext, Progress};
use weir_api::output::Output;
use weir_api::state::KeyedState;
use weir_api::watermark::Watermark;
use weir_proto::v1::window_aggregate_spec::WindowProperty;

use super::frozen::Shape;
use super::keyed_state::shape;
use super::late::Found;
use super::pane::{Merging, PaneTable, Scratch};
use super::panes::{Panes, check_limit};
use super::plan::{Input, Plan};
use super::restored::Restored;
use super::split::{Part, Selection, partials_of, parts, row_counts, rows_of};
use crate::calc::batch_of;
use crate::event_time::constant_timestamp;
use crate::window::{Pane, Windows};

/// The most batches that one call merges or emits.
pub(super) const STEPS: usize = 16;

/// What a step costs beside its rows, in rows.
const STEP_ROWS: usize = 64;

/// See the module.
pub(super) struct WindowAggregate {
    pub(super) plan: Plan,
    pub(super) panes: Panes,
    /// All windows whose last millisecond is not after this have fired.
    pub(super) fired: i64,
    /// Where `fired` is going.
    target: i64,
    pub(super) firing: Option<Firing>,
    pub(super) restored: Restored,
    pub(super) shape: Arc<Shape>,
    scratch: Scratch,
    context: Context,
}

/// What the operator needs of its [`OperatorContext`].
pub(super) struct Context {
    pub(super) key_groups: KeyGroupRange,
    pub(super) max_parallelism: u32,
    subtask: u32,
    limit_bytes: u64,
    metrics: Arc<OperatorMetrics>,
    /// For stamping late rows; `None` before the operator is opened.
    clock: Option<Arc<dyn Clock>>,
}

/// A window that is on its way out.
#[derive(Clone, Copy)]
pub(super) struct Due {
    start: i64,
    end: i64,
}

/// How far it came.
pub(super) enum Firing {
    /// The only pane's tables become one, where they stand.
    Settling {
        due: Due,
        pane: Pane,
    },
    /// Tables, by their number in the pane, become a new one; taken from the end.
    Merging {
        due: Due,
        sources: Vec<(Pane, usize)>,
        merging: Merging,
        target: PaneTable,
    },
    Emitting {
        due: Due,
        table: Source,
        position: usize,
    },
}

/// What is emitted: a table merged for the window, or the only pane's own.
pub(super) enum Source {
    Merged(PaneTable),
    Pane(Pane),
}

impl WindowAggregate {
    pub(super) fn new(plan: Plan) -> Result<Self> {
        // Errors of keys and aggregates come at deployment, not with the first row.
        plan.new_table(0)?;
        Ok(Self {
            shape: Arc::new(shape(&plan)?),
            plan,
            panes: Panes::default(),
            fired: i64::MIN,
            target: i64::MIN,
            firing: None,
            restored: Restored::default(),
            scratch: Scratch::default(),
            context: Context {
                key_groups: KeyGroupRange { start: 0, end: 0 },
                max_parallelism: 1,
                subtask: 0,
                limit_bytes: u64::MAX,
                metrics: Arc::default(),
                clock: None,
            },
        })
    }

    pub(super) const fn context(&self) -> &Context {
        &self.context
    }

    /// All windows up to there had fired in the snapshot that is read.
    pub(super) const fn resume_at(&mut self, fired: i64) {
        self.fired = fired;
        self.target = fired;
    }

    /// Folds one part of a batch into its pane.
    fn fold(&mut self, batch: &Batch, part: &Part) -> Result<()> {
        let records = batch.records();
        let (plan, scratch) = (&self.plan, &mut self.scratch);
        let create = |capacity: usize| plan.new_table(capacity);
        match &plan.input {
            Input::Rows(input) => {
                let rows = rows_of(plan, input, records, &part.rows)?;
                self.panes.update(part.pane, create, |table| table.update(&rows, scratch))
            }
            Input::Partials(input) => {
                let partials = partials_of(plan, input, records, &part.rows)?;
                self.panes.update(part.pane, create, |table| table.merge(&partials, scratch))
            }
        }
    }

    /// The rows of the part that aren't late; `None` if there are none. The others are counted or noted in `found`.
    fn in_time(&self, batch: &Batch, part: Part, found: &mut Found) -> Result<Option<Part>> {
        let Some(last_end) = self.plan.windows.last_end(part.pane) else { return Ok(None) };
        if last_end.saturating_sub(1) <= self.fired {
            self.note_late(batch, &part.rows, last_end, found)?;
            return Ok(None);
        }
        if !self.restored.concerns(last_end) {
            return Ok(Some(part));
        }
        let (in_time, late) = self.restored.split(
            &self.plan,
            batch.records(),
            &part.rows,
            last_end,
            self.context.max_parallelism,
        )?;
        self.note_late(batch, &late, last_end, found)?;
        Ok(Some(Part { pane: part.pane, rows: in_time }).filter(|part| part.rows.count(batch.num_rows()) > 0))
    }

    fn note_late(&self, batch: &Batch, rows: &Selection, last_end: i64, found: &mut Found) -> Result<()> {
        if self.plan.late.is_some() {
            found.add(rows, last_end, batch.num_rows());
            return Ok(());
        }
        let count = match &self.plan.input {
            Input::Rows(_) => rows.count(batch.num_rows()) as i64,
            Input::Partials(input) => {
                let counts: Int64Array = row_counts(input, batch.records(), rows)?;
                arrow::compute::sum(&counts).unwrap_or(0)
            }
        };
        self.context.metrics.num_late_records_dropped.add(count.max(0) as u64);
        Ok(())
    }

    /// Sends what was found late in the batch to the side output.
    fn emit_late(&self, batch: &Batch, found: Found, out: &mut Output) -> Result<()> {
        if let (Some(late), Some(clock)) = (&self.plan.late, &self.context.clock) {
            let rows = late
                .batch(found, batch.records(), self.fired, clock.unix_millis())
                .map_err(|error| error.context(format_args!("operator '{}'", self.plan.name)))?;
            out.push_side(Batch::new(rows));
        }
        Ok(())
    }

    /// Fires all windows that are due at `target`.
    fn advance(&mut self, out: &mut Output) -> Result<Progress> {
        let mut budget = STEPS * TARGET_ROWS;
        while budget > 0 {
            if self.firing.is_none() {
                match self.next_due() {
                    Some(due) => self.firing = Some(self.start(due)?),
                    None => {
                        self.fired = self.fired.max(self.target);
                        self.restored.settle(self.fired);
                        return Ok(Progress::Done);
                    }
                }
            }
            if matches!(self.firing, Some(Firing::Emitting { .. })) && !out.has_room() {
                return Ok(Progress::NeedRoom);
            }
            if let Some(firing) = self.firing.take() {
                let (firing, rows) = self.step(firing, out)?;
                self.firing = firing;
                budget = budget.saturating_sub(rows + STEP_ROWS);
            }
        }
        Ok(Progress::Yield)
    }

    fn next_due(&mut self) -> Option<Due> {
        while let Some(pane) = self.panes.first() {
            let Some(end) = self.plan.windows.next_end(pane, self.fired) else {
                self.panes.discard(pane);
                continue;
            };
            return (end.saturating_sub(1) <= self.target)
                .then(|| Due { start: self.plan.windows.start(end, pane), end });
        }
        None
    }

    fn start(&mut self, due: Due) -> Result<Firing> {
        let panes = self.panes_of(due);
        if let [pane] = panes[..] {
            if self.panes.get(pane).is_some_and(|stack| stack.tables() == 1) {
                return Ok(Firing::Emitting { due, table: Source::Pane(pane), position: 0 });
            }
            if self.plan.windows.last_end(pane) == Some(due.end) {
                self.panes.close(pane);
                return Ok(Firing::Settling { due, pane });
            }
        }
        self.start_merging(due, &panes)
    }

    fn panes_of(&self, due: Due) -> Vec<Pane> {
        match self.plan.windows {
            Windows::Aligned(_) => self.panes.ending_within(due.start, due.end),
            Windows::Attached { .. } | Windows::EndOfInput => vec![Pane { end: due.end, start: due.start }],
        }
    }

    fn start_merging(&self, due: Due, panes: &[Pane]) -> Result<Firing> {
        let stacks = panes.iter().filter_map(|&pane| Some((pane, self.panes.get(pane)?)));
        let groups = stacks.clone().map(|(_, stack)| stack.largest()).max();
        let mut sources: Vec<(Pane, usize)> =
            stacks.flat_map(|(pane, stack)| (0..stack.tables()).map(move |table| (pane, table))).collect();
        sources.reverse();
        let target = self.plan.new_table(groups.unwrap_or(0))?;
        Ok(Firing::Merging { due, sources, merging: Merging::default(), target })
    }

    /// What is left of the firing, and how many groups were merged or emitted.
    fn step(&mut self, firing: Firing, out: &mut Output) -> Result<(Option<Firing>, usize)> {
        match firing {
            Firing::Settling { due, pane } => {
                match self.panes.compact_pane(pane, TARGET_ROWS, &mut self.scratch)? {
                    Some(rows) => Ok((Some(Firing::Settling { due, pane }), rows)),
                    None if self.panes.get(pane).is_some_and(|stack| stack.tables() == 1) => {
                        Ok((Some(Firing::Emitting { due, table: Source::Pane(pane), position: 0 }), 0))
                    }
                    // A snapshot still reads the tables.
                    None => Ok((Some(self.start_merging(due, &[pane])?), 0)),
                }
            }
            Firing::Merging { due, mut sources, mut merging, mut target } => {
                let source = sources.last().and_then(|&(pane, table)| self.panes.get(pane)?.table(table));
                let Some((source, from)) = source else {
                    let bytes = self.panes.bytes() + target.size_bytes();
                    check_limit(&self.plan.name, bytes, self.context.limit_bytes)?;
                    return Ok((
                        Some(Firing::Emitting { due, table: Source::Merged(target), position: 0 }),
                        0,
                    ));
                };
                let rows = merging.step(source, from, TARGET_ROWS, &mut target, &mut self.scratch)?;
                if rows == 0 {
                    sources.pop();
                    merging = Merging::default();
                }
                Ok((Some(Firing::Merging { due, sources, merging, target }), rows))
            }
            Firing::Emitting { due, table, position } => {
                let source = match &table {
                    Source::Merged(table) => table,
                    Source::Pane(pane) => {
                        let table = self.panes.get(*pane).and_then(|stack| stack.table(0));
                        table.ok_or_else(|| Error::internal("a window's pane is gone"))?.0
                    }
                };
                let end = (position + TARGET_ROWS).min(source.len());
                out.push(self.results(due, source, position..end)?.into());
                if end < source.len() {
                    return Ok((Some(Firing::Emitting { due, table, position: end }), end - position));
                }
                if let Source::Merged(table) = table {
                    self.panes.recycle(table);
                }
                self.finish_window(due);
                Ok((None, end - position))
            }
        }
    }

    fn finish_window(&mut self, due: Due) {
        match self.plan.windows {
            Windows::Aligned(_) => {
                self.fired = due.end.saturating_sub(1);
                while let Some(pane) = self.panes.first()
                    && self.plan.windows.last_end(pane).is_none_or(|end| end <= due.end)
                {
                    self.panes.discard(pane);
                }
            }
            // Others may end with it: `fired` follows when all are out.
            Windows::Attached { .. } | Windows::EndOfInput => {
                self.panes.discard(Pane { end: due.end, start: due.start });
            }
        }
    }

    /// The results of a range of groups.
    fn results(
        &self,
        due: Due,
        table: &PaneTable,
        groups: std::ops::Range<usize>,
    ) -> Result<arrow::array::RecordBatch> {
        let rows = groups.len();
        let mut columns: Vec<ArrayRef> = table.keys(groups.clone().into())?;
        let mask: Option<BooleanArray> = if self.restored.concerns(due.end) {
            Some(self.restored.unfired(&columns, rows, due.end, self.context.max_parallelism)?)
        } else {
            None
        };
        let fields = self.plan.output.fields();
        for (call, field) in (0..self.plan.calls.len()).zip(fields.iter().skip(columns.len())) {
            columns.push(table.result(call, groups.clone().into(), field.data_type())?);
        }
        for (property, field) in self.plan.properties.iter().zip(fields.iter().skip(columns.len())) {
            let millis = match property {
                WindowProperty::WindowStart => due.start,
                WindowProperty::WindowEnd => due.end,
                WindowProperty::WindowTime | WindowProperty::Unspecified => due.end - 1,
            };
            columns.push(constant_timestamp(millis, rows, field.data_type())?);
        }
        let results = batch_of(Arc::clone(&self.plan.output), columns, rows)?;
        Ok(match mask {
            Some(mask) => filter_record_batch(&results, &mask)?,
            None => results,
        })
    }

    /// A bounded input without rows and without keys has one result.
    fn add_empty_group(&mut self) -> Result<()> {
        let wanted = self.plan.windows == Windows::EndOfInput
            && self.plan.key_types.is_empty()
            && self.panes.is_empty()
            && self.fired < i64::MAX
            && self.context.subtask == 0;
        if !wanted {
            return Ok(());
        }
        let plan = &self.plan;
        self.panes.update(
            Pane::ALL,
            |capacity| plan.new_table(capacity),
            |table| table.intern(&[], 1, &mut Vec::new()),
        )
    }
}

impl Operator for WindowAggregate {
    fn output_schema(&self) -> Option<SchemaRef> {
        Some(Arc::clone(&self.plan.output))
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.context = Context {
            key_groups: context.key_groups,
            max_parallelism: context.max_parallelism,
            subtask: context.subtask,
            limit_bytes: context.state_limit_bytes,
            metrics: Arc::clone(&context.metrics),
            clock: Some(Arc::clone(&context.clock)),
        };
        Ok(())
    }

    fn process(&mut self, _input: u32, batch: Batch, out: &mut Output) -> Result<Progress> {
        let named = |error: Error| error.context(format_args!("operator '{}'", self.plan.name));
        refuse_changes(&self.plan.name, &batch)?;
        let parts = parts(&self.plan, batch.records()).map_err(named)?;
        let mut found = Found::default();
        for part in parts {
            if let Some(part) = self.in_time(&batch, part, &mut found)? {
                self.fold(&batch, &part)?;
            }
        }
        self.panes.compact(batch.num_rows(), &mut self.scratch)?;
        if !found.is_empty() {
            // One batch: the call began with room for it.
            self.emit_late(&batch, found, out)?;
        }
        check_limit(&self.plan.name, self.panes.bytes(), self.context.limit_bytes)?;
        Ok(Progress::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<Progress> {
        if self.plan.windows == Windows::EndOfInput {
            return Ok(Progress::Done);
        }
        self.target = self.target.max(watermark.0);
        self.advance(out)
    }

    fn finish(&mut self, out: &mut Output) -> Result<Progress> {
        self.add_empty_group()?;
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

/// Windowed aggregation takes rows, not changes of rows.
pub(super) fn refuse_changes(operator: &str, batch: &Batch) -> Result<()> {
    if batch.kinds().is_none() {
        return Ok(());
    }
    Err(Error::new(
        Code::Unsupported,
        format!(
            "operator '{operator}' aggregates windows of an append-only input; it got updates or deletes"
        ),
    ))
}
