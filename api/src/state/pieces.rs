//! From rows in any order to pieces sorted by key group: what every [`super::Frozen`] needs.
//!
//! [`ByGroup`] says which rows each bucket of keys has; [`KeyedRows`] sorts the rows of some buckets by key group and makes
//! the batches of a piece. Invariant: buckets grow with key groups, so pieces made bucket by bucket are in order.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};

use super::{Scope, StateTable, TOMBSTONE_COLUMN};
use crate::batch::TARGET_ROWS;
use crate::error::{Error, Result};
use crate::key::key_group;

/// Rows that a bucket should have at most.
const BUCKET_ROWS: usize = 8192;
/// The most buckets of a key group.
const MOST_PARTS: usize = 256;

/// How keys are dealt out to buckets: each key group has some, so that one bucket has few rows even where groups are large.
#[derive(Clone, Copy, Debug)]
pub struct Buckets {
    max_parallelism: u32,
    parts: usize,
}

impl Buckets {
    /// For about this many rows, which lie in `groups` of the key groups.
    #[must_use]
    pub fn new(rows: usize, groups: u32, max_parallelism: u32) -> Self {
        let parts = (rows / groups.max(1) as usize / BUCKET_ROWS + 1).min(MOST_PARTS);
        Self { max_parallelism, parts }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> usize {
        self.max_parallelism as usize * self.parts
    }

    /// The bucket of a key with this hash.
    #[must_use]
    pub fn of(self, hash: u64) -> u32 {
        // The key group takes what is left of a division, so the upper bits are as good as new.
        let part = ((hash >> 48) as usize * self.parts) >> 16;
        (key_group(hash, self.max_parallelism) as usize * self.parts + part) as u32
    }

    /// The key group of a bucket.
    const fn group_of(self, bucket: usize) -> u32 {
        (bucket / self.parts) as u32
    }

    /// The bucket of what has no key: it is of key group 0.
    #[must_use]
    pub const fn without_key() -> u32 {
        0
    }
}

/// The rows of each bucket.
#[derive(Debug, Default)]
pub struct ByGroup {
    rows: Vec<u32>,
    /// Where each bucket's rows start; one more than there are buckets.
    starts: Vec<u32>,
}

impl ByGroup {
    /// Sorts rows by their buckets, of which there are `count`; `rows[i]` is in `buckets[i]`.
    #[must_use]
    pub fn new(rows: impl Iterator<Item = u32>, buckets: &[u32], count: usize) -> Self {
        let mut starts = vec![0_u32; count + 1];
        for &bucket in buckets {
            starts[bucket as usize + 1] += 1;
        }
        for bucket in 0..count {
            starts[bucket + 1] += starts[bucket];
        }
        let mut next = starts.clone();
        let mut sorted = vec![0; buckets.len()];
        for (row, &bucket) in rows.zip(buckets) {
            let place = &mut next[bucket as usize];
            sorted[*place as usize] = row;
            *place += 1;
        }
        Self { rows: sorted, starts }
    }

    /// The rows of some buckets.
    #[must_use]
    pub fn rows(&self, buckets: Range<usize>) -> &[u32] {
        match (self.starts.get(buckets.start), self.starts.get(buckets.end)) {
            (Some(&start), Some(&end)) => &self.rows[start as usize..end as usize],
            _ => &[],
        }
    }

    /// The rows of some buckets with their key groups, at most [`TARGET_ROWS`] at a time.
    #[must_use]
    pub fn chunks(&self, buckets: Range<usize>, dealt: Buckets) -> Vec<(&[u32], Vec<u32>)> {
        let mut groups = Vec::with_capacity(self.rows(buckets.clone()).len());
        for bucket in buckets.clone() {
            groups.resize(groups.len() + self.rows(bucket..bucket + 1).len(), dealt.group_of(bucket));
        }
        let chunks = self.rows(buckets).chunks(TARGET_ROWS).zip(groups.chunks(TARGET_ROWS));
        chunks.map(|(rows, groups)| (rows, groups.to_vec())).collect()
    }

    /// How many rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Cuts buckets into pieces of about `rows` rows: the next piece's, from `start` on, of `count` buckets.
pub fn next_buckets<'a>(
    start: usize,
    count: usize,
    rows: usize,
    indexes: impl Iterator<Item = &'a ByGroup> + Clone,
) -> Range<usize> {
    let mut taken = 0;
    let mut end = start;
    while end < count && (end == start || taken < rows) {
        taken += indexes.clone().map(|index| index.rows(end..end + 1).len()).sum::<usize>();
        end += 1;
    }
    start..end
}

/// The schema of changes of a state with this schema: a tombstone after the key group, and value columns that may be null.
#[must_use]
pub fn changes_schema(full: &Schema, key_columns: u32) -> SchemaRef {
    let key_end = 1 + key_columns as usize;
    let mut fields: Vec<_> = full.fields().iter().cloned().collect();
    for field in fields.iter_mut().skip(key_end) {
        *field = Arc::new(field.as_ref().clone().with_nullable(true));
    }
    fields.insert(1.min(fields.len()), Arc::new(Field::new(TOMBSTONE_COLUMN, DataType::Boolean, false)));
    Arc::new(Schema::new_with_metadata(fields, full.metadata().clone()))
}

/// Rows with their key groups, to be sorted by them.
#[derive(Debug)]
pub struct KeyedRows {
    scope: Scope,
    full: SchemaRef,
    key_columns: usize,
    /// Their columns, the key group's first.
    chunks: Vec<Vec<ArrayRef>>,
    rows: usize,
    /// Whether rows came with growing key groups so far, and the newest one's.
    in_order: bool,
    last_group: u32,
}

impl KeyedRows {
    /// Without rows, of a state with this schema.
    #[must_use]
    pub const fn new(scope: Scope, full: SchemaRef, key_columns: u32) -> Self {
        Self {
            scope,
            full,
            key_columns: key_columns as usize,
            chunks: Vec::new(),
            rows: 0,
            in_order: true,
            last_group: 0,
        }
    }

    /// Adds rows: their key groups, and the columns of the state without the key group.
    pub fn add(&mut self, groups: Vec<u32>, columns: Vec<ArrayRef>) {
        self.chunk(groups, columns, false);
    }

    /// Adds keys that were removed, which only changes tell of.
    pub fn remove(&mut self, groups: Vec<u32>, keys: Vec<ArrayRef>) {
        let rows = groups.len();
        let values = self.full.fields().iter().skip(1 + self.key_columns);
        let values: Vec<ArrayRef> = values.map(|field| new_null_array(field.data_type(), rows)).collect();
        self.chunk(groups, keys.into_iter().chain(values).collect(), true);
    }

    fn chunk(&mut self, groups: Vec<u32>, columns: Vec<ArrayRef>, removed: bool) {
        if groups.is_empty() {
            return;
        }
        let rows = groups.len();
        self.rows += rows;
        self.in_order &= groups[0] >= self.last_group && groups.is_sorted();
        self.last_group = groups[rows - 1];
        let mut all: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(groups))];
        if self.scope == Scope::Changes {
            all.push(Arc::new(BooleanArray::from(vec![removed; rows])));
        }
        all.extend(columns);
        self.chunks.push(all);
    }

    /// How many rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows in batches, sorted by key group.
    pub fn into_table(self, name: &str) -> Result<StateTable> {
        let schema = match self.scope {
            Scope::Full => Arc::clone(&self.full),
            Scope::Changes => changes_schema(&self.full, self.key_columns as u32),
        };
        let width = schema.fields().len();
        if self.chunks.iter().any(|chunk| chunk.len() != width) {
            return Err(Error::internal(format!("rows of state `{name}` haven't its {width} columns")));
        }
        let key_columns = self.key_columns as u32;
        let batch = |columns| Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?);
        let batches = if self.in_order {
            self.chunks.into_iter().map(batch).collect::<Result<_>>()?
        } else {
            self.sorted(width).map(|columns| batch(columns?)).collect::<Result<_>>()?
        };
        Ok(StateTable { name: name.to_owned(), schema, key_columns, batches })
    }

    /// The columns of the rows in the order of their key groups, some rows at a time.
    fn sorted(&self, width: usize) -> impl Iterator<Item = Result<Vec<ArrayRef>>> {
        let groups = self.chunks.iter().zip(0..).flat_map(|(chunk, number)| {
            let groups = chunk[0].as_primitive::<UInt32Type>().values();
            groups.iter().zip(0..).map(move |(&group, row)| (group, number, row))
        });
        let mut order: Vec<(u32, u32, u32)> = groups.collect();
        order.sort_unstable();
        let starts = (0..order.len()).step_by(TARGET_ROWS);
        starts.map(move |start| {
            let rows = &order[start..order.len().min(start + TARGET_ROWS)];
            let places: Vec<(usize, usize)> =
                rows.iter().map(|&(_, chunk, row)| (chunk as usize, row as usize)).collect();
            let columns = (0..width).map(|column| {
                let chunks: Vec<&dyn Array> =
                    self.chunks.iter().map(|chunk| chunk[column].as_ref()).collect();
                Ok(interleave(&chunks, &places)?)
            });
            columns.collect()
        })
    }
}

/// Parts rows, with their key groups, into those that are still there and those that are gone.
#[must_use]
pub fn split_rows(
    rows: &[u32],
    groups: Vec<u32>,
    is_there: impl Fn(u32) -> bool,
) -> [(Vec<u32>, Vec<u32>); 2] {
    let (there, gone): (Vec<_>, Vec<_>) =
        rows.iter().copied().zip(groups).partition(|&(row, _)| is_there(row));
    [there, gone].map(|rows| rows.into_iter().unzip())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::state::KEY_GROUP_COLUMN;

    #[test]
    fn rows_are_found_by_bucket() {
        let index = ByGroup::new(10..15, &[2, 0, 2, 1, 0], 4);
        assert_eq!(index.rows(0..1), [11, 14]);
        assert_eq!(index.rows(1..3), [13, 10, 12]);
        assert_eq!(index.rows(3..4), [0_u32; 0]);
        let dealt = Buckets { max_parallelism: 2, parts: 2 };
        assert_eq!(index.chunks(0..3, dealt), [(&[11_u32, 14, 13, 10, 12][..], vec![0, 0, 0, 1, 1])]);
        assert_eq!(next_buckets(0, 4, 3, [&index].into_iter()), 0..2);
        assert_eq!(next_buckets(2, 4, 3, [&index].into_iter()), 2..4);
    }

    #[test]
    fn buckets_grow_with_key_groups() {
        let buckets = Buckets::new(10_000_000, 8, 8);
        assert!(buckets.parts > 100 && buckets.count() == 8 * buckets.parts);
        for hash in (0..1000_u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            let bucket = buckets.of(hash) as usize;
            assert_eq!(bucket / buckets.parts, key_group(hash, 8) as usize);
        }
    }

    #[test]
    fn changes_have_tombstones_in_order() {
        let schema = Arc::new(Schema::new(vec![
            Field::new(KEY_GROUP_COLUMN, DataType::UInt32, false),
            Field::new("k", DataType::Int64, true),
            Field::new("v", DataType::Int64, false),
        ]));
        let column =
            |values: &[i64]| -> ArrayRef { Arc::new(arrow::array::Int64Array::from(values.to_vec())) };
        let mut rows = KeyedRows::new(Scope::Changes, schema, 1);
        rows.add(vec![3, 1], vec![column(&[30, 10]), column(&[1, 2])]);
        rows.remove(vec![2], vec![column(&[20])]);
        let table = rows.into_table("s").unwrap();
        let batch = &table.batches[0];
        assert_eq!(batch.schema_ref(), &table.schema);
        assert_eq!(batch.column(0).as_primitive::<UInt32Type>().values(), &[1, 2, 3]);
        assert_eq!(
            batch.column(1).as_boolean().iter().collect::<Vec<_>>(),
            [Some(false), Some(true), Some(false)]
        );
        assert_eq!(batch.column(2).as_primitive::<Int64Type>().values(), &[10, 20, 30]);
        assert!(batch.column(3).is_null(1) && !batch.column(3).is_null(0));
    }
}
