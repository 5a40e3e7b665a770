//! Running aggregates: the accumulators of all keys, which say their results after each row.
//!
//! Unlike an [`Accumulator`](super::Accumulator), whose result is read when its group is complete, one of these gives the result
//! after every single row, so rows of one key in one batch see each other in order without being found out. States lie in
//! [`Chunks`], so a barrier shares them instead of copying them. Invariant: [`Running::set`] of what [`FrozenStates::partial`]
//! gave goes on with the same results. They know numbers of keys, not keys.

mod bytes;
mod numbers;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use weir_api::error::{Code, Error, Result};
use weir_api::state::chunks::Chunks;
use weir_proto::v1::aggregate_call::Function;

use super::Ids;
use crate::column::is_bytes;
use bytes::BytesPick;
use numbers::{create_average, create_count, create_pick, create_sum, create_variance};

/// See the module.
pub(crate) trait Running {
    /// Makes room for keys `0..keys`; never shrinks.
    fn resize(&mut self, keys: usize);

    /// Folds rows in, one after the other, and gives the result after each, as `data_type`. Null arguments and rows outside of
    /// `mask` change nothing. `ids` are in range.
    fn step(
        &mut self,
        argument: Option<&ArrayRef>,
        mask: Option<&BooleanBuffer>,
        ids: Ids,
        data_type: &DataType,
    ) -> Result<ArrayRef>;

    /// Puts partial results, in the columns of `weir_api::graph::partial_columns`, in the place of those of some keys.
    fn set(&mut self, partial: &[ArrayRef], ids: &[u32]) -> Result<()>;

    /// Forgets what a key has accumulated.
    fn reset(&mut self, id: u32);

    /// The states as they are now, shared until they change.
    fn freeze(&mut self) -> Box<dyn FrozenStates>;

    /// Bytes held.
    fn size_bytes(&self) -> usize;
}

/// The states as they were at a freeze.
pub(crate) trait FrozenStates: Send {
    /// The partial results of some keys.
    fn partial(&self, ids: &[u32]) -> Result<Vec<ArrayRef>>;
}

/// An accumulator without keys.
pub(crate) fn create(function: Function, argument: Option<&DataType>) -> Result<Box<dyn Running>> {
    let typed = || {
        argument.cloned().ok_or_else(|| {
            Error::new(Code::MalformedMessage, format!("{} without an argument", function.as_str_name()))
        })
    };
    let made = match function {
        Function::Count => Some(create_count()),
        Function::Sum => create_sum(&typed()?),
        Function::Avg => create_average(&typed()?),
        Function::Min | Function::Max | Function::FirstValue | Function::LastValue => {
            let data_type = typed()?;
            if is_bytes(&data_type) {
                Some(Box::new(BytesPick::new(function, data_type)) as Box<dyn Running>)
            } else {
                create_pick(function, &data_type)
            }
        }
        Function::VarPop | Function::VarSamp | Function::StddevPop | Function::StddevSamp => {
            typed()?;
            Some(create_variance(function))
        }
        _ => None,
    };
    made.ok_or_else(|| {
        let of = argument.map_or_else(String::new, |argument| format!(" of {argument}"));
        Error::new(Code::Unsupported, format!("{}{of} OVER isn't supported", function.as_str_name()))
    })
}

/// Which rows change their keys: those with an argument that the mask lets through; `None`: all.
fn active(argument: Option<&ArrayRef>, mask: Option<&BooleanBuffer>) -> Option<BooleanBuffer> {
    let nulls = argument.and_then(|argument| argument.logical_nulls()).filter(|nulls| nulls.null_count() > 0);
    match (nulls, mask) {
        (Some(nulls), Some(mask)) => Some(nulls.inner() & mask),
        (Some(nulls), None) => Some(nulls.into_inner()),
        (None, mask) => mask.cloned(),
    }
}

/// The state of each row's key after the row; `fold` takes an active row's state and its number.
#[inline]
fn run<S: Copy + Default>(
    states: &mut Chunks<S>,
    rows: usize,
    ids: Ids,
    active: Option<&BooleanBuffer>,
    mut fold: impl FnMut(&mut S, usize),
) -> Vec<S> {
    let mut after = Vec::with_capacity(rows);
    match (ids, active) {
        (Ids::One { .. }, active) => {
            // The only key's state stays in registers.
            if rows == 0 {
                return after;
            }
            let slot = states.slot(0);
            let mut state = *slot;
            for row in 0..rows {
                if active.is_none_or(|active| active.value(row)) {
                    fold(&mut state, row);
                }
                after.push(state);
            }
            *slot = state;
        }
        (Ids::Each(ids), None) => after.extend(ids.iter().enumerate().map(|(row, &id)| {
            let slot = states.slot(id as usize);
            fold(slot, row);
            *slot
        })),
        (Ids::Each(ids), Some(active)) => {
            after.extend(ids.iter().zip(active).enumerate().map(|(row, (&id, active))| {
                if !active {
                    return states.get(id as usize);
                }
                let slot = states.slot(id as usize);
                fold(slot, row);
                *slot
            }));
        }
    }
    after
}

fn rows_of(argument: Option<&ArrayRef>, ids: Ids) -> usize {
    match ids {
        Ids::One { rows } => argument.map_or(rows, |argument| argument.len()),
        Ids::Each(ids) => ids.len(),
    }
}

#[cfg(test)]
mod tests;
