//! Cuts a batch into the rows of each pane.
//!
//! Time-ordered input falls into one pane, or into a few long runs that are sliced without a copy; only rows that alternate
//! between panes are gathered. Invariant: every row is in exactly one part, and rows of one pane stay in order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use weir_api::error::{Error, Result};
use weir_api::graph::{PANE_COLUMN, PANE_START_COLUMN};

use super::pane::{Partials, Rows};
use super::plan::{Input, PartialInput, Plan, RowInput};
use crate::event_time::{least_and_largest, millis, pane_bounds};
use crate::window::{Aligned, Pane, Windows, check_bounds};

/// Up to this many runs are always sliced.
const FEW_RUNS: usize = 8;
/// Runs of at least this many rows on average are sliced.
const LONG_RUN: usize = 64;

/// The rows of a batch that lie in one pane.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) pane: Pane,
    pub(super) rows: Selection,
}

/// Some rows of a batch.
#[derive(Debug)]
pub(super) enum Selection {
    All,
    Slice(Range<usize>),
    Indices(UInt32Array),
}

impl Selection {
    pub(super) fn of(&self, column: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self {
            Self::All => Arc::clone(column),
            Self::Slice(range) => column.slice(range.start, range.len()),
            Self::Indices(indices) => take(column, indices, None)?,
        })
    }

    pub(super) fn count(&self, all: usize) -> usize {
        match self {
            Self::All => all,
            Self::Slice(range) => range.len(),
            Self::Indices(indices) => indices.len(),
        }
    }
}

/// The parts of a batch, by the plan's windows.
pub(super) fn parts(plan: &Plan, records: &RecordBatch) -> Result<Vec<Part>> {
    let rows = records.num_rows();
    match (&plan.input, plan.windows) {
        _ if rows == 0 => Ok(Vec::new()),
        (Input::Rows(_), Windows::EndOfInput) => Ok(vec![Part { pane: Pane::ALL, rows: Selection::All }]),
        (Input::Rows(input), Windows::Aligned(aligned)) => {
            let times = millis(column(records, input.time_column)?, input.name(input.time_column))?;
            Ok(by_time(&times, &aligned))
        }
        (Input::Rows(input), Windows::Attached { start_column, end_column }) => {
            let starts = millis(column(records, start_column)?, input.name(start_column))?;
            let ends = millis(column(records, end_column)?, input.name(end_column))?;
            Ok(by_pane(rows, |row| Pane { end: ends[row], start: starts[row] }))
        }
        (Input::Partials(input), windows) => {
            let ends = pane_bounds(column(records, input.pane)?, PANE_COLUMN)?;
            let starts = match input.pane_start {
                Some(start) => Some(pane_bounds(column(records, start)?, PANE_START_COLUMN)?),
                None => None,
            };
            if windows != Windows::EndOfInput {
                check_bounds(&ends)?;
            }
            Ok(by_pane(rows, |row| {
                windows.pane_with_end(ends[row], starts.as_ref().map(|starts| starts[row]))
            }))
        }
    }
}

fn by_time(times: &[i64], windows: &Aligned) -> Vec<Part> {
    let (least, largest) = least_and_largest(times);
    let first = windows.pane_of(least);
    if largest < first.end {
        return vec![Part { pane: first, rows: Selection::All }];
    }
    let mut runs: Vec<(Pane, Range<usize>)> = Vec::new();
    for (row, &time) in times.iter().enumerate() {
        match runs.last_mut() {
            Some((pane, run)) if pane.start <= time && time < pane.end => run.end = row + 1,
            _ => runs.push((windows.pane_of(time), row..row + 1)),
        }
    }
    gather(runs, times.len())
}

pub(super) fn by_pane(rows: usize, pane_of: impl Fn(usize) -> Pane) -> Vec<Part> {
    let mut runs: Vec<(Pane, Range<usize>)> = Vec::new();
    for row in 0..rows {
        let pane = pane_of(row);
        match runs.last_mut() {
            Some((last, run)) if *last == pane => run.end = row + 1,
            _ => runs.push((pane, row..row + 1)),
        }
    }
    gather(runs, rows)
}

/// One part for each run, or for each pane where runs are many and short.
fn gather(mut runs: Vec<(Pane, Range<usize>)>, rows: usize) -> Vec<Part> {
    if let [(pane, _)] = runs[..] {
        return vec![Part { pane, rows: Selection::All }];
    }
    if runs.len() <= FEW_RUNS.max(rows / LONG_RUN) {
        return runs.drain(..).map(|(pane, run)| Part { pane, rows: Selection::Slice(run) }).collect();
    }
    let mut indices: BTreeMap<Pane, Vec<u32>> = BTreeMap::new();
    for (pane, run) in runs {
        indices.entry(pane).or_default().extend(run.start as u32..run.end as u32);
    }
    indices.into_iter().map(|(pane, rows)| Part { pane, rows: Selection::Indices(rows.into()) }).collect()
}

/// The keys, arguments and filters of some rows.
pub(super) fn rows_of(
    plan: &Plan,
    input: &RowInput,
    records: &RecordBatch,
    selection: &Selection,
) -> Result<Rows> {
    let selected = |index: usize| selection.of(column(records, index)?);
    let optional = |index: Option<usize>| index.map(selected).transpose();
    Ok(Rows {
        keys: input.keys.iter().map(|&key| selected(key)).collect::<Result<_>>()?,
        arguments: plan.calls.iter().map(|call| optional(call.argument)).collect::<Result<_>>()?,
        filters: plan.calls.iter().map(|call| optional(call.filter)).collect::<Result<_>>()?,
        count: selection.count(records.num_rows()),
    })
}

/// The keys and the columns of each call of some partial results.
pub(super) fn partials_of(
    plan: &Plan,
    input: &PartialInput,
    records: &RecordBatch,
    selection: &Selection,
) -> Result<Partials> {
    let selected = |index: usize| selection.of(column(records, index)?);
    Ok(Partials {
        keys: (0..plan.key_types.len()).map(selected).collect::<Result<_>>()?,
        calls: input
            .calls
            .iter()
            .map(|columns| columns.clone().map(selected).collect::<Result<_>>())
            .collect::<Result<_>>()?,
        count: selection.count(records.num_rows()),
    })
}

/// How many rows were folded into some partial results.
pub(super) fn row_counts(
    input: &PartialInput,
    records: &RecordBatch,
    selection: &Selection,
) -> Result<Int64Array> {
    let counts = selection.of(column(records, input.rows)?)?;
    counts
        .as_any()
        .downcast_ref()
        .cloned()
        .ok_or_else(|| Error::internal("the row counts of partial results aren't BIGINT"))
}

fn column(records: &RecordBatch, index: usize) -> Result<&ArrayRef> {
    records.columns().get(index).ok_or_else(|| {
        Error::internal(format!("column {index} of a batch of {} columns", records.num_columns()))
    })
}
