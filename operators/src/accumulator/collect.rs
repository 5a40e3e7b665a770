//! `COLLECT`: a multiset of the values that aren't null, as a map of values to how often they came.
//!
//! The pairs (group, value) are a group table of their own; a count stands beside each.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, MapArray, StructArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{filter, is_not_null, take};
use arrow::datatypes::{DataType, Int32Type, UInt32Type};
use weir_api::error::{Error, Result};
use weir_api::graph::multiset_of;

use super::ordered::Ordered;
use super::{Accumulator, Ids, one_column};
use crate::group::{Groups, Which};

/// Counts of values per group.
pub(super) struct Collect {
    data_type: DataType,
    pairs: Groups,
    counts: Vec<i32>,
    groups: usize,
    /// Scratch: the pair of each row.
    numbers: Vec<u32>,
    /// The pairs of each group; made when results are read.
    ordered: OnceLock<Ordered<u32>>,
}

impl Collect {
    pub(super) fn new(element: DataType) -> Result<Self> {
        Ok(Self {
            pairs: Groups::new(&[DataType::UInt32, element.clone()], 0)?,
            data_type: multiset_of(element),
            counts: Vec::new(),
            groups: 0,
            numbers: Vec::new(),
            ordered: OnceLock::new(),
        })
    }

    /// Adds values that aren't null; without `counts` each came once.
    fn add(&mut self, groups: ArrayRef, values: ArrayRef, counts: Option<&[i32]>) -> Result<()> {
        self.ordered.take();
        let rows = values.len();
        self.pairs.intern(&[groups, values], rows, &mut self.numbers)?;
        self.counts.resize(self.pairs.len(), 0);
        for (row, &pair) in self.numbers.iter().enumerate() {
            let count = counts.and_then(|counts| counts.get(row)).copied().unwrap_or(1);
            let known = &mut self.counts[pair as usize];
            *known = known.saturating_add(count);
        }
        Ok(())
    }

    fn columns(&self) -> Result<[ArrayRef; 2]> {
        <[ArrayRef; 2]>::try_from(self.pairs.keys((0..self.pairs.len()).into())?)
            .map_err(|_| Error::internal("pairs of a group and a value have two columns"))
    }

    fn ordered(&self, groups: &ArrayRef) -> &Ordered<u32> {
        self.ordered.get_or_init(|| {
            let groups = groups.as_primitive::<UInt32Type>().values();
            Ordered::new(self.groups, groups.iter().copied().zip(0_u32..))
        })
    }
}

impl Accumulator for Collect {
    fn resize(&mut self, groups: usize) {
        if groups > self.groups {
            self.groups = groups;
            self.ordered.take();
        }
    }

    fn update(&mut self, argument: Option<&ArrayRef>, ids: Ids) -> Result<()> {
        let argument = argument.ok_or_else(|| Error::internal("COLLECT without an argument"))?;
        let groups: ArrayRef = Arc::new(match ids {
            Ids::One { rows } => UInt32Array::from_value(0, rows),
            Ids::Each(ids) => UInt32Array::from(ids.to_vec()),
        });
        if argument.logical_null_count() == 0 {
            return self.add(groups, Arc::clone(argument), None);
        }
        let valid = is_not_null(argument)?;
        self.add(filter(&groups, &valid)?, filter(argument, &valid)?, None)
    }

    fn merge(&mut self, partial: &[ArrayRef], ids: Ids) -> Result<()> {
        let maps = one_column(partial, &self.data_type)?.as_map();
        let (mut rows, mut groups) = (Vec::new(), Vec::new());
        for (row, pair) in maps.value_offsets().windows(2).enumerate() {
            if maps.is_valid(row) {
                rows.extend(pair[0] as u32..pair[1] as u32);
                groups.resize(rows.len(), ids.of(row) as u32);
            }
        }
        let rows = UInt32Array::from(rows);
        let (values, counts) = (take(maps.keys(), &rows, None)?, take(maps.values(), &rows, None)?);
        let counts = counts.as_primitive::<Int32Type>().values();
        self.add(Arc::new(UInt32Array::from(groups)), values, Some(counts))
    }

    fn partial(&self, groups: Which) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.result(groups, &self.data_type)?])
    }

    fn result(&self, groups: Which, _data_type: &DataType) -> Result<ArrayRef> {
        let DataType::Map(field, _) = &self.data_type else {
            return Err(Error::internal("a multiset is a map"));
        };
        let DataType::Struct(fields) = field.data_type() else {
            return Err(Error::internal("a map's entries are rows"));
        };
        let [of_pairs, values] = self.columns()?;
        let ordered = self.ordered(&of_pairs);
        let pairs = ordered.rows(groups);
        let counts: Int32Array = pairs.iter().map(|&pair| self.counts[pair as usize]).collect();
        let values = take(&values, &UInt32Array::from(pairs), None)?;
        let entries = StructArray::try_new(fields.clone(), vec![values, Arc::new(counts)], None)?;
        let offsets = OffsetBuffer::from_lengths(ordered.lengths(groups));
        let nulls: NullBuffer = offsets.lengths().map(|length| length > 0).collect();
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        Ok(Arc::new(MapArray::try_new(Arc::clone(field), offsets, entries, nulls, false)?))
    }

    fn clear(&mut self) {
        self.pairs.clear();
        self.counts.clear();
        self.groups = 0;
        self.ordered.take();
    }

    fn size_bytes(&self) -> usize {
        self.pairs.size_bytes()
            + self.counts.capacity() * size_of::<i32>()
            + self.numbers.capacity() * size_of::<u32>()
            + self.ordered.get().map_or(0, Ordered::size_bytes)
    }
}
