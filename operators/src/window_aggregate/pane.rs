//! One table: groups and their accumulators, for a pane or for a window merged from panes.
//!
//! Invariant: every accumulator has a value for every group. Knows neither time nor where rows come from.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{filter, prep_null_mask_filter};
use arrow::datatypes::{DataType, UInt32Type};
use weir_api::error::{Error, Result};

use super::plan::Call;
use crate::accumulator::distinct::Distinct;
use crate::accumulator::{self, Accumulator, Ids};
use crate::group::{Groups, Which};

/// What a table weighs without its contents.
const BASE_BYTES: usize = 512;

/// See the module.
pub(super) struct PaneTable {
    groups: Groups,
    calls: Vec<CallState>,
}

enum CallState {
    Plain(Box<dyn Accumulator>),
    Distinct(Distinct),
}

/// Rows of one pane: keys, and for each call its argument and its filter.
pub(super) struct Rows {
    pub(super) keys: Vec<ArrayRef>,
    pub(super) arguments: Vec<Option<ArrayRef>>,
    pub(super) filters: Vec<Option<ArrayRef>>,
    pub(super) count: usize,
}

/// Partial results of one pane: keys, and for each call its columns.
pub(super) struct Partials {
    pub(super) keys: Vec<ArrayRef>,
    pub(super) calls: Vec<Vec<ArrayRef>>,
    pub(super) count: usize,
}

/// Buffers that live from batch to batch.
#[derive(Default)]
pub(super) struct Scratch {
    ids: Vec<u32>,
    selected: Vec<u32>,
}

impl PaneTable {
    pub(super) fn new(key_types: &[DataType], calls: &[Call], capacity: usize) -> Result<Self> {
        let calls = calls
            .iter()
            .map(|call| match (&call.argument_type, call.distinct) {
                (Some(argument), true) => {
                    Ok(CallState::Distinct(Distinct::new(call.function, argument, &call.options)?))
                }
                (argument, _) => Ok(CallState::Plain(accumulator::create(
                    call.function,
                    argument.as_ref(),
                    &call.options,
                )?)),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { groups: Groups::new(key_types, capacity)?, calls })
    }

    /// How many groups.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Folds rows in.
    pub(super) fn update(&mut self, rows: &Rows, scratch: &mut Scratch) -> Result<()> {
        self.groups.intern(&rows.keys, rows.count, &mut scratch.ids)?;
        self.resize();
        let ids =
            if self.groups.is_single() { Ids::One { rows: rows.count } } else { Ids::Each(&scratch.ids) };
        for ((call, argument), mask) in self.calls.iter_mut().zip(&rows.arguments).zip(&rows.filters) {
            let Some(mask) = mask else {
                call.update(argument.as_ref(), ids)?;
                continue;
            };
            let mask = true_rows(mask)?;
            if mask.true_count() == mask.len() {
                call.update(argument.as_ref(), ids)?;
                continue;
            }
            let argument = argument.as_ref().map(|argument| filter(argument, &mask)).transpose()?;
            let ids = select(ids, &mask, &mut scratch.selected);
            call.update(argument.as_ref(), ids)?;
        }
        Ok(())
    }

    /// Folds partial results in. Distinct calls have none.
    pub(super) fn merge(&mut self, partials: &Partials, scratch: &mut Scratch) -> Result<()> {
        self.groups.intern(&partials.keys, partials.count, &mut scratch.ids)?;
        self.resize();
        let ids =
            if self.groups.is_single() { Ids::One { rows: partials.count } } else { Ids::Each(&scratch.ids) };
        for (call, columns) in self.calls.iter_mut().zip(&partials.calls) {
            if let CallState::Plain(accumulator) = call {
                accumulator.merge(columns, ids)?;
            }
        }
        Ok(())
    }

    /// Folds partial results of groups with these numbers in.
    pub(super) fn merge_at(&mut self, partials: &Partials, ids: &[u32]) -> Result<()> {
        for (call, columns) in self.calls.iter_mut().zip(&partials.calls) {
            if let CallState::Plain(accumulator) = call {
                accumulator.merge(columns, Ids::Each(ids))?;
            }
        }
        Ok(())
    }

    /// The groups of these keys, [`crate::group::ABSENT`] for keys without one.
    pub(super) fn find(&self, keys: &[ArrayRef], count: usize, groups: &mut Vec<u32>) -> Result<()> {
        self.groups.find(keys, count, groups)
    }

    /// Makes sure that a group exists for every key; `ids` are their numbers.
    pub(super) fn intern(&mut self, keys: &[ArrayRef], count: usize, ids: &mut Vec<u32>) -> Result<()> {
        self.groups.intern(keys, count, ids)?;
        self.resize();
        if self.groups.is_single() {
            ids.resize(count, 0);
        }
        Ok(())
    }

    /// Folds distinct values of call number `call` in.
    pub(super) fn merge_distinct(&mut self, call: usize, values: &ArrayRef, ids: &[u32]) -> Result<()> {
        match self.calls.get_mut(call) {
            Some(CallState::Distinct(distinct)) => distinct.update(values, Ids::Each(ids)),
            _ => Err(Error::internal(format!("aggregate {call} isn't DISTINCT"))),
        }
    }

    /// The distinct values of call number `call` with their groups; `None` for a plain call.
    pub(super) fn distinct(&self, call: usize) -> Option<&Distinct> {
        match self.calls.get(call) {
            Some(CallState::Distinct(distinct)) => Some(distinct),
            _ => None,
        }
    }

    fn resize(&mut self) {
        let groups = self.groups.len();
        for call in &mut self.calls {
            match call {
                CallState::Plain(accumulator) => accumulator.resize(groups),
                CallState::Distinct(distinct) => distinct.resize(groups),
            }
        }
    }

    /// The keys of some groups.
    pub(super) fn keys(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        self.groups.keys(groups)
    }

    /// The partial results of some groups, call by call; a distinct call has none.
    pub(super) fn partials(&self, groups: Which) -> Result<Partials> {
        let calls = self
            .calls
            .iter()
            .map(|call| match call {
                CallState::Plain(accumulator) => accumulator.partial(groups),
                CallState::Distinct(_) => Ok(Vec::new()),
            })
            .collect::<Result<_>>()?;
        Ok(Partials { keys: self.keys(groups)?, calls, count: groups.len() })
    }

    /// The result of call number `call` for some groups.
    pub(super) fn result(&self, call: usize, groups: Which, data_type: &DataType) -> Result<ArrayRef> {
        match self.calls.get(call) {
            Some(CallState::Plain(accumulator)) => accumulator.result(groups, data_type),
            Some(CallState::Distinct(distinct)) => distinct.result(groups, data_type),
            None => Err(Error::internal(format!("there is no aggregate {call}"))),
        }
    }

    /// Forgets all groups and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.groups.clear();
        for call in &mut self.calls {
            match call {
                CallState::Plain(accumulator) => accumulator.clear(),
                CallState::Distinct(distinct) => distinct.clear(),
            }
        }
    }

    /// Bytes held.
    pub(super) fn size_bytes(&self) -> usize {
        let calls = self.calls.iter().map(|call| match call {
            CallState::Plain(accumulator) => accumulator.size_bytes(),
            CallState::Distinct(distinct) => distinct.size_bytes(),
        });
        BASE_BYTES + self.groups.size_bytes() + calls.sum::<usize>()
    }
}

impl CallState {
    fn update(&mut self, argument: Option<&ArrayRef>, ids: Ids) -> Result<()> {
        match self {
            Self::Plain(accumulator) => accumulator.update(argument, ids),
            Self::Distinct(distinct) => {
                let argument = argument.ok_or_else(|| Error::internal("DISTINCT without an argument"))?;
                distinct.update(argument, ids)
            }
        }
    }
}

fn true_rows(mask: &ArrayRef) -> Result<BooleanArray> {
    let mask = mask.as_boolean_opt().ok_or_else(|| Error::internal("a FILTER that isn't boolean"))?;
    Ok(if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() })
}

fn select<'a>(ids: Ids<'_>, mask: &BooleanArray, selected: &'a mut Vec<u32>) -> Ids<'a> {
    match ids {
        Ids::One { .. } => Ids::One { rows: mask.true_count() },
        Ids::Each(ids) => {
            selected.clear();
            selected.extend(mask.values().set_indices().map(|row| ids[row]));
            Ids::Each(selected)
        }
    }
}

/// The merging of one table into another, some rows at a time.
#[derive(Default)]
pub(super) struct Merging {
    /// The target's group for each of the source's that is done.
    mapping: Vec<u32>,
    call: usize,
    pair: usize,
}

impl Merging {
    /// How many of the source's groups are done.
    pub(super) const fn groups(&self) -> usize {
        self.mapping.len()
    }

    /// Merges up to `most` groups or distinct values and says how many; 0 when all of `source` is in `target`. The partial
    /// results of groups before `from` are there already.
    pub(super) fn step(
        &mut self,
        source: &PaneTable,
        from: usize,
        most: usize,
        target: &mut PaneTable,
        scratch: &mut Scratch,
    ) -> Result<usize> {
        let next = self.mapping.len();
        if next < source.len() {
            let end = if next < from { from } else { source.len() };
            let groups = next..(next + most).min(end);
            if next < from {
                target.intern(&source.keys(groups.clone().into())?, groups.len(), &mut scratch.ids)?;
            } else {
                target.merge(&source.partials(groups.clone().into())?, scratch)?;
            }
            if target.groups.is_single() {
                self.mapping.resize(groups.end, 0);
            } else {
                self.mapping.extend_from_slice(&scratch.ids);
            }
            return Ok(groups.len());
        }
        while self.call < source.calls.len() {
            let Some(distinct) = source.distinct(self.call).filter(|distinct| self.pair < distinct.len())
            else {
                self.call += 1;
                self.pair = 0;
                continue;
            };
            let pairs = self.pair..(self.pair + most).min(distinct.len());
            let count = pairs.len();
            self.pair = pairs.end;
            let (groups, values) = distinct.pairs(pairs.into())?;
            let groups = groups.as_primitive::<UInt32Type>().values();
            let ids: Vec<u32> = groups.iter().map(|&group| self.mapping[group as usize]).collect();
            target.merge_distinct(self.call, &values, &ids)?;
            return Ok(count);
        }
        Ok(0)
    }
}
