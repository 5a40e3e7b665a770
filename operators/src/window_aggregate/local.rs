//! The local phase: rows in, partial results per key and pane out, before an exchange.
//!
//! Partial results are held back while no window that holds their pane can fire anywhere, which is as long as the watermark
//! seen here is before the first such window's end: so holding them back never makes them late. They are also emitted when the
//! tables reach a limit, on `flush`, and at the end. Rows of panes past that point are passed on at once: whether they are late
//! is the global phase's to say, which counts them. Where folding doesn't reduce the rows, every batch is passed on at once.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::SchemaRef;
use weir_api::batch::{Batch, TARGET_ROWS};
use weir_api::error::{Error, Result};
use weir_api::operator::{Operator, OperatorContext, Progress};
use weir_api::output::Output;
use weir_api::watermark::Watermark;
use weir_proto::v1::aggregate_call::Function;

use super::pane::{PaneTable, Scratch};
use super::panes::Panes;
use super::plan::{Call, Input, Plan};
use super::split::{parts, rows_of};
use super::windowed::{STEPS, refuse_changes};
use crate::accumulator::Options;
use crate::calc::batch_of;
use crate::window::Pane;

/// The most groups that are held back.
const MAX_GROUPS: usize = 1 << 17;
/// The most bytes that are held back.
const MAX_BYTES: usize = 32 << 20;
/// How many rows are watched before judging whether folding reduces them.
const SAMPLE_ROWS: u64 = 100_000;
/// How many rows pass unheld before folding is tried again.
const DIRECT_ROWS: u64 = 1_000_000;

/// See the module.
pub(super) struct LocalAggregate {
    plan: Plan,
    /// The plan's calls and, at `rows_call`, a count of rows.
    calls: Vec<Call>,
    rows_call: usize,
    panes: Panes,
    groups: usize,
    max_bytes: usize,
    watermark: i64,
    reduction: Reduction,
    goal: Goal,
    emission: Option<Emission>,
    scratch: Scratch,
}

/// What is to be emitted before the next input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Nothing,
    /// Panes that a window may need at the watermark.
    Due,
    Everything,
}

/// A pane on its way out.
struct Emission {
    pane: Pane,
    table: PaneTable,
    position: usize,
}

/// Whether folding makes fewer rows.
#[derive(Default)]
struct Reduction {
    rows: u64,
    new_groups: u64,
    direct: bool,
}

impl Reduction {
    fn observe(&mut self, rows: u64, new_groups: u64) {
        self.rows += rows;
        self.new_groups += new_groups;
        let enough = if self.direct { DIRECT_ROWS } else { SAMPLE_ROWS };
        if self.rows >= enough {
            let direct = !self.direct && self.new_groups * 2 > self.rows;
            *self = Self { direct, ..Self::default() };
        }
    }
}

impl LocalAggregate {
    pub(super) fn new(plan: Plan) -> Self {
        let mut calls = plan.calls.clone();
        let counts_rows = |call: &Call| {
            call.function == Function::Count
                && call.argument.is_none()
                && call.filter.is_none()
                && !call.distinct
        };
        let rows_call = calls.iter().position(counts_rows).unwrap_or_else(|| {
            calls.push(Call {
                function: Function::Count,
                argument: None,
                argument_type: None,
                filter: None,
                distinct: false,
                options: Options::default(),
            });
            calls.len() - 1
        });
        Self {
            plan,
            calls,
            rows_call,
            panes: Panes::default(),
            groups: 0,
            max_bytes: MAX_BYTES,
            watermark: i64::MIN,
            reduction: Reduction::default(),
            goal: Goal::Nothing,
            emission: None,
            scratch: Scratch::default(),
        }
    }

    /// Whether a window that holds the pane is due here, so that it may fire elsewhere.
    fn is_due(&self, pane: Pane) -> bool {
        self.plan.windows.next_end(pane, i64::MIN).is_none_or(|end| end - 1 <= self.watermark)
    }

    fn fold(&mut self, batch: &Batch) -> Result<()> {
        let Input::Rows(input) = &self.plan.input else {
            return Err(Error::internal("a local phase of partials"));
        };
        let mut new_groups = 0;
        for part in parts(&self.plan, batch.records())? {
            if self.plan.windows.last_end(part.pane).is_none() {
                continue;
            }
            let mut rows = rows_of(&self.plan, input, batch.records(), &part.rows)?;
            rows.arguments.resize(self.calls.len(), None);
            rows.filters.resize(self.calls.len(), None);
            let (plan, calls, scratch) = (&self.plan, &self.calls, &mut self.scratch);
            new_groups += self.panes.update(
                part.pane,
                |capacity| PaneTable::new(&plan.key_types, calls, capacity),
                |table| {
                    let before = table.len();
                    table.update(&rows, scratch)?;
                    Ok(table.len() - before)
                },
            )?;
            if self.is_due(part.pane) && self.goal == Goal::Nothing {
                self.goal = Goal::Due;
            }
        }
        self.groups += new_groups;
        self.reduction.observe(batch.num_rows() as u64, new_groups as u64);
        if self.reduction.direct || self.groups >= MAX_GROUPS || self.panes.bytes() >= self.max_bytes {
            self.goal = Goal::Everything;
        }
        Ok(())
    }

    /// Emits until the goal is reached or the output is full.
    fn drain(&mut self, out: &mut Output) -> Result<Progress> {
        let mut steps = 0;
        loop {
            let emission = match self.emission.take() {
                Some(emission) => Some(emission),
                None => self.next_emission(),
            };
            let Some(mut emission) = emission else {
                self.goal = Goal::Nothing;
                return Ok(Progress::Done);
            };
            while emission.position < emission.table.len() {
                if !out.has_room() || steps == STEPS {
                    self.emission = Some(emission);
                    return Ok(if out.has_room() { Progress::Yield } else { Progress::NeedRoom });
                }
                steps += 1;
                let end = (emission.position + TARGET_ROWS).min(emission.table.len());
                out.push(self.partials(emission.pane, &emission.table, emission.position..end)?);
                emission.position = end;
            }
            self.groups -= emission.table.len();
            self.panes.recycle(emission.table);
        }
    }

    fn next_emission(&mut self) -> Option<Emission> {
        let pane = self.panes.first()?;
        let wanted = match self.goal {
            Goal::Nothing => false,
            Goal::Due => self.is_due(pane),
            Goal::Everything => true,
        };
        let table = if wanted { self.panes.remove(pane)? } else { return None };
        Some(Emission { pane, table, position: 0 })
    }

    fn partials(&self, pane: Pane, table: &PaneTable, groups: std::ops::Range<usize>) -> Result<Batch> {
        let partials = table.partials(groups.clone().into())?;
        let mut columns = partials.keys;
        let constant = |value: i64| -> ArrayRef { Arc::new(Int64Array::from_value(value, groups.len())) };
        columns.push(constant(pane.end));
        if self.plan.has_pane_start() {
            columns.push(constant(pane.start));
        }
        let rows = partials.calls.get(self.rows_call).cloned().unwrap_or_default();
        columns.extend(partials.calls.into_iter().take(self.plan.calls.len()).flatten());
        columns.extend(rows);
        Ok(batch_of(Arc::clone(&self.plan.output), columns, groups.len())?.into())
    }
}

impl Operator for LocalAggregate {
    fn output_schema(&self) -> Option<SchemaRef> {
        Some(Arc::clone(&self.plan.output))
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        let share = usize::try_from(context.state_limit_bytes / 2).unwrap_or(usize::MAX);
        self.max_bytes = MAX_BYTES.min(share);
        Ok(())
    }

    fn process(&mut self, _input: u32, batch: Batch, out: &mut Output) -> Result<Progress> {
        refuse_changes(&self.plan.name, &batch)?;
        self.fold(&batch).map_err(|error| error.context(format_args!("operator '{}'", self.plan.name)))?;
        self.drain(out)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<Progress> {
        self.watermark = self.watermark.max(watermark.0);
        self.goal = Goal::Due;
        self.drain(out)
    }

    fn flush(&mut self, out: &mut Output) -> Result<Progress> {
        self.goal = Goal::Everything;
        self.drain(out)
    }

    fn finish(&mut self, out: &mut Output) -> Result<Progress> {
        self.goal = Goal::Everything;
        self.drain(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        self.drain(out)
    }
}
