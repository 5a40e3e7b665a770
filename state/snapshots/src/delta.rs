//! What layers of a table add up to: the newest row of a key wins, a tombstone removes it.
//!
//! Invariant: merging any split of the layers in steps gives the rows that merging them at once gives. Pure; works on whole
//! columns, with one hash table over the keys of one key group: callers hand over a few key groups at a time.

mod keys;

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, interleave, take_record_batch};
use arrow::datatypes::SchemaRef;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use weir_api::error::{Error, Result};

pub use weir_api::state::pieces::changes_schema as delta_schema;

use crate::table::{Contents, key_groups};
use keys::{Equal, Keys};

/// Rows of one layer, sorted by key group.
#[derive(Clone, Debug)]
pub struct LayerRows {
    /// Whether they are a delta's.
    pub contents: Contents,
    /// The rows; each key once.
    pub batches: Vec<RecordBatch>,
}

/// Merges layers, the oldest first, into rows sorted by key group. With [`Contents::Delta`], for which every layer is a delta,
/// tombstones are kept: the layers below may hold their keys.
pub fn merge(
    full: &SchemaRef,
    key_columns: u32,
    layers: &[LayerRows],
    into: Contents,
) -> Result<RecordBatch> {
    let delta = delta_schema(full, key_columns);
    let mut sources = Vec::with_capacity(layers.len());
    for layer in layers {
        let schema = match layer.contents {
            Contents::Full if into == Contents::Delta => {
                return Err(Error::internal("a full layer can't become part of a delta"));
            }
            Contents::Full => full,
            Contents::Delta => &delta,
        };
        sources.push((layer.contents, sorted(concat_batches(schema, &layer.batches)?)?));
    }
    let schema = if into == Contents::Full { full } else { &delta };
    if sources.is_empty() {
        return Ok(RecordBatch::new_empty(schema.clone()));
    }
    let chosen = match Keys::of(&sources, key_columns as usize)? {
        Keys::Single => newest(&(), &sources, into)?,
        Keys::Words(words) => newest(&words, &sources, into)?,
        Keys::Rows(rows) => newest(&rows, &sources, into)?,
    };
    if let [(contents, batch)] = sources.as_slice()
        && *contents == into
        && batch.num_rows() == chosen.len()
    {
        return Ok(batch.clone());
    }
    let columns: Result<Vec<ArrayRef>> =
        (0..schema.fields().len()).map(|column| column_of(&sources, column, &chosen, into)).collect();
    Ok(RecordBatch::try_new(schema.clone(), columns?)?)
}

/// Rows by growing key group, as they should be already.
fn sorted(batch: RecordBatch) -> Result<RecordBatch> {
    let groups = key_groups(&batch)?;
    if groups.is_sorted() {
        return Ok(batch);
    }
    let mut order: Vec<u32> = (0..groups.len() as u32).collect();
    order.sort_by_key(|&row| groups[row as usize]);
    Ok(take_record_batch(&batch, &UInt32Array::from(order))?)
}

/// Which rows stay, as (source, row), sorted by key group and then as they came.
fn newest<K: Equal>(
    keys: &K,
    sources: &[(Contents, RecordBatch)],
    into: Contents,
) -> Result<Vec<(usize, usize)>> {
    let groups = sources.iter().map(|(_, batch)| key_groups(batch)).collect::<Result<Vec<_>>>()?;
    let tombstones = sources.iter().map(tombstones).collect::<Result<Vec<_>>>()?;
    let mut next = vec![0; sources.len()];
    let mut seen = Seen::default();
    let mut kept: Vec<Vec<usize>> = vec![Vec::new(); sources.len()];
    let mut chosen = Vec::with_capacity(groups.iter().map(|groups| groups.len()).sum());
    while let Some(group) = next.iter().zip(&groups).filter_map(|(&at, groups)| groups.get(at)).min() {
        let rows = next.iter_mut().zip(&groups).map(|(at, groups)| {
            let start = *at;
            *at += groups[start..].partition_point(|other| other == group);
            start..*at
        });
        let rows: Vec<Range<usize>> = rows.collect();
        seen.clear(rows.iter().map(Range::len).sum());
        for (source, rows) in rows.into_iter().enumerate().rev() {
            for row in rows {
                let is_newest = seen.add(keys, source, row).map_err(|()| {
                    Error::internal(format!("a key of key group {group} comes twice in one layer"))
                })?;
                let stays = into == Contents::Delta || tombstones[source].is_none_or(|gone| !gone.value(row));
                if is_newest && stays {
                    kept[source].push(row);
                }
            }
        }
        for (source, rows) in kept.iter_mut().enumerate() {
            chosen.extend(rows.drain(..).map(|row| (source, row)));
        }
    }
    Ok(chosen)
}

/// The keys of one key group that have come.
#[derive(Default)]
struct Seen(HashTable<(u32, u32, u32)>);

/// The table takes its buckets from the low bits and its tags from the high ones.
const fn spread(half: u32) -> u64 {
    (half as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Seen {
    fn clear(&mut self, rows: usize) {
        self.0.clear();
        self.0.reserve(rows, |entry| spread(entry.0));
    }

    /// Whether a row's key comes for the first time; an error where it has come in the same source.
    fn add<K: Equal>(&mut self, keys: &K, source: usize, row: usize) -> Result<bool, ()> {
        let half = (keys.hash(source, row) >> 32) as u32;
        let same = |&(other, s, r): &(u32, u32, u32)| {
            other == half && keys.equal((s as usize, r as usize), (source, row))
        };
        match self.0.entry(spread(half), same, |entry| spread(entry.0)) {
            Entry::Occupied(entry) if entry.get().1 as usize == source => Err(()),
            Entry::Occupied(_) => Ok(false),
            Entry::Vacant(entry) => {
                entry.insert((half, source as u32, row as u32));
                Ok(true)
            }
        }
    }
}

fn tombstones((contents, batch): &(Contents, RecordBatch)) -> Result<Option<&BooleanArray>> {
    match contents {
        Contents::Full => Ok(None),
        Contents::Delta => {
            let column = batch.columns().get(1).and_then(|column| column.as_boolean_opt());
            column.map(Some).ok_or_else(|| Error::internal("a delta without tombstones"))
        }
    }
}

/// Column `column` of the result, taken from the chosen rows.
fn column_of(
    sources: &[(Contents, RecordBatch)],
    column: usize,
    chosen: &[(usize, usize)],
    into: Contents,
) -> Result<ArrayRef> {
    let arrays: Option<Vec<&dyn Array>> = sources
        .iter()
        .map(|(contents, batch)| {
            // A delta has one more column, the second.
            let skipped = usize::from(*contents == Contents::Delta && into == Contents::Full && column > 0);
            batch.columns().get(column + skipped).map(|array| array.as_ref())
        })
        .collect();
    let arrays = arrays.ok_or_else(|| Error::internal("a layer has too few columns"))?;
    Ok(interleave(&arrays, chosen)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Schema};
    use proptest::prelude::*;

    use super::*;
    use crate::sample::{self, Row, full_batch, full_schema};

    type Model = BTreeMap<(u32, i64), Option<i64>>;

    /// How a test's layers come.
    #[derive(Clone, Copy, Debug)]
    struct Shape {
        /// Whether keys are strings.
        text: bool,
        /// Whether batches come with falling key groups.
        reversed: bool,
    }

    impl Shape {
        fn layer(self, contents: Contents, model: &Model) -> LayerRows {
            let rows: Vec<Row> = model.iter().map(|(&(group, key), &count)| (group, key, count)).collect();
            let batch = |rows: &[Row]| match contents {
                Contents::Full => self.batch(&full_batch(rows), 1),
                Contents::Delta => self.batch(&sample::delta_batch(rows), 2),
            };
            let mut batches: Vec<RecordBatch> = rows.chunks(3).map(batch).collect();
            if self.reversed {
                batches.reverse();
            }
            LayerRows { contents, batches }
        }

        fn schema(self) -> SchemaRef {
            self.batch(&full_batch(&[]), 1).schema()
        }

        fn batch(self, batch: &RecordBatch, key: usize) -> RecordBatch {
            if !self.text {
                return batch.clone();
            }
            let (mut fields, mut columns) = (batch.schema().fields().to_vec(), batch.columns().to_vec());
            columns[key] = arrow::compute::cast(&columns[key], &DataType::Utf8).unwrap();
            fields[key] = Arc::new(fields[key].as_ref().clone().with_data_type(DataType::Utf8));
            RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
        }
    }

    fn any_shape() -> impl Strategy<Value = Shape> {
        (any::<bool>(), any::<bool>()).prop_map(|(text, reversed)| Shape { text, reversed })
    }

    fn sorted(batch: &RecordBatch) -> Vec<String> {
        let groups = key_groups(batch).unwrap();
        assert!(groups.is_sorted());
        let rows = (0..batch.num_rows()).map(|row| format!("{:05} {:?}", groups[row], batch.slice(row, 1)));
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        rows
    }

    fn changes() -> impl Strategy<Value = Vec<Model>> {
        let change = prop::collection::btree_map((0..4u32, 0..6i64), prop::option::of(0..100i64), 0..12);
        prop::collection::vec(change, 1..6)
    }

    proptest! {
        #[test]
        fn the_newest_row_wins_however_the_layers_are_merged(
            changes in changes(),
            cut in 0..6usize,
            shape in any_shape(),
        ) {
            let mut expected = Model::new();
            for change in &changes {
                expected.extend(change.clone());
            }
            expected.retain(|_, count| count.is_some());
            let base = changes[0].iter().filter(|(_, count)| count.is_some()).map(|(k, v)| (*k, *v)).collect();
            let mut layers = vec![shape.layer(Contents::Full, &base)];
            layers.extend(changes[1..].iter().map(|change| shape.layer(Contents::Delta, change)));
            let schema = shape.schema();
            let whole = merge(&schema, 1, &layers, Contents::Full).unwrap();
            let in_order = Shape { reversed: false, ..shape };
            let expected = concat_batches(&schema, &in_order.layer(Contents::Full, &expected).batches).unwrap();
            prop_assert_eq!(sorted(&whole), sorted(&expected));
            // The newest ones first, then what they made.
            let cut = 1 + cut % changes.len();
            let upper = merge(&schema, 1, &layers[cut..], Contents::Delta).unwrap();
            layers.truncate(cut);
            layers.push(LayerRows { contents: Contents::Delta, batches: vec![upper] });
            let stepwise = merge(&schema, 1, &layers, Contents::Full).unwrap();
            prop_assert_eq!(sorted(&stepwise), sorted(&whole));
        }
    }

    #[test]
    fn without_key_columns_there_is_one_row() {
        let layer = |contents, batch| LayerRows { contents, batches: vec![batch] };
        let keyless = |batch: RecordBatch, key| {
            let kept: Vec<usize> = (0..batch.num_columns()).filter(|column| *column != key).collect();
            batch.project(&kept).unwrap()
        };
        let base = keyless(full_batch(&[(0, 1, Some(1))]), 1);
        let newer = keyless(sample::delta_batch(&[(0, 1, Some(2))]), 2);
        let layers = [layer(Contents::Full, base.clone()), layer(Contents::Delta, newer)];
        let merged = merge(&base.schema(), 0, &layers, Contents::Full).unwrap();
        assert_eq!(merged, keyless(full_batch(&[(0, 1, Some(2))]), 1));
    }

    #[test]
    fn a_key_twice_in_a_layer_is_refused() {
        let rows = LayerRows {
            contents: Contents::Full,
            batches: vec![full_batch(&[(1, 1, None), (1, 1, Some(2))])],
        };
        assert!(
            merge(&full_schema(), 1, &[rows], Contents::Full).unwrap_err().message().contains("comes twice")
        );
    }
}
