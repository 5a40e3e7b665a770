//! `DISTINCT`: lets each value of a group through to an accumulator once.
//!
//! The pairs (group, value) seen are a group table of their own, so every type that can be a key can be distinct. Pairs, not
//! results, are what is merged and kept.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{filter, is_not_null, take};
use arrow::datatypes::{DataType, UInt32Type};
use weir_api::error::{Error, Result};
use weir_proto::v1::aggregate_call::Function;

use super::{Accumulator, Ids, Options, create};
use crate::group::{Groups, Which};

/// See the module.
pub(crate) struct Distinct {
    pairs: Groups,
    inner: Box<dyn Accumulator>,
    keeps_nulls: bool,
    /// Scratch: the pair of each row.
    numbers: Vec<u32>,
}

impl Distinct {
    pub(crate) fn new(function: Function, argument: &DataType, options: &Options) -> Result<Self> {
        let pairs = Groups::new(&[DataType::UInt32, argument.clone()], 0)?;
        Ok(Self {
            pairs,
            inner: create(function, Some(argument), options)?,
            keeps_nulls: options.keeps_nulls,
            numbers: Vec::new(),
        })
    }

    pub(crate) fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
    }

    /// Folds rows in; nulls don't count, unless they are kept.
    pub(crate) fn update(&mut self, argument: &ArrayRef, ids: Ids) -> Result<()> {
        let ids: ArrayRef = Arc::new(match ids {
            Ids::One { rows } => UInt32Array::from_value(0, rows),
            Ids::Each(ids) => UInt32Array::from(ids.to_vec()),
        });
        if self.keeps_nulls || argument.logical_null_count() == 0 {
            return self.add(ids, argument);
        }
        let valid = is_not_null(argument)?;
        self.add(filter(&ids, &valid)?, &filter(argument, &valid)?)
    }

    fn add(&mut self, ids: ArrayRef, values: &ArrayRef) -> Result<()> {
        let mut next = self.pairs.len() as u32;
        self.pairs.intern(&[Arc::clone(&ids), Arc::clone(values)], ids.len(), &mut self.numbers)?;
        // Numbers grow in order of appearance: a row is its pair's first if it has the next number.
        let mut first_rows = Vec::new();
        for (row, &number) in self.numbers.iter().enumerate() {
            if number == next {
                first_rows.push(row as u32);
                next += 1;
            }
        }
        let first_rows = UInt32Array::from(first_rows);
        let (ids, values) = (take(&ids, &first_rows, None)?, take(values, &first_rows, None)?);
        self.inner.update(Some(&values), Ids::Each(ids.as_primitive::<UInt32Type>().values()))
    }

    /// How many pairs.
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// The groups and values of some pairs.
    pub(crate) fn pairs(&self, which: Which) -> Result<(ArrayRef, ArrayRef)> {
        let [groups, values] = <[ArrayRef; 2]>::try_from(self.pairs.keys(which)?)
            .map_err(|_| Error::internal("pairs of a group and a value have two columns"))?;
        Ok((groups, values))
    }

    pub(crate) fn result(&self, groups: Which, data_type: &DataType) -> Result<ArrayRef> {
        self.inner.result(groups, data_type)
    }

    pub(crate) fn clear(&mut self) {
        self.pairs.clear();
        self.inner.clear();
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.pairs.size_bytes() + self.inner.size_bytes() + self.numbers.capacity() * size_of::<u32>()
    }
}
