//! What layers of a table add up to: the newest row of a key wins, a tombstone removes it.
//!
//! Invariant: merging any split of the layers in steps gives the rows that merging them at once gives. Pure; works on whole
//! columns, with one hash table over the keys of the rows at hand: callers hand over a few key groups at a time.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use weir_api::error::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

pub use weir_api::state::pieces::changes_schema as delta_schema;

use crate::table::{Contents, key_groups};

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
        sources.push((layer.contents, concat_batches(schema, &layer.batches)?));
    }
    let schema = if into == Contents::Full { full } else { &delta };
    if sources.is_empty() {
        return Ok(RecordBatch::new_empty(schema.clone()));
    }
    let chosen = newest(full, key_columns, &sources, into)?;
    let columns: Result<Vec<ArrayRef>> =
        (0..schema.fields().len()).map(|column| column_of(&sources, column, &chosen, into)).collect();
    Ok(RecordBatch::try_new(schema.clone(), columns?)?)
}

/// Which rows stay, as (source, row), sorted by key group.
fn newest(
    full: &SchemaRef,
    key_columns: u32,
    sources: &[(Contents, RecordBatch)],
    into: Contents,
) -> Result<Vec<(usize, usize)>> {
    // A key is what its key group and its columns are together.
    let key_fields = full.fields().iter().take(1 + key_columns as usize);
    let sort_fields = key_fields.map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(sort_fields.collect())?;
    let keys: Vec<Rows> = sources
        .iter()
        .map(|(contents, batch)| {
            let key = batch.columns().iter().skip(contents.leading_columns()).take(key_columns as usize);
            let columns: Vec<ArrayRef> = batch.columns().iter().take(1).chain(key).cloned().collect();
            Ok(converter.convert_columns(&columns)?)
        })
        .collect::<Result<_>>()?;
    let rows = keys.iter().map(Rows::num_rows).sum();
    let mut seen: HashTable<(usize, usize)> = HashTable::with_capacity(rows);
    let mut chosen: Vec<(u32, usize, usize)> = Vec::with_capacity(rows);
    for (source, ((_, batch), rows)) in sources.iter().zip(&keys).enumerate().rev() {
        let groups = key_groups(batch)?;
        let tombstones = tombstones(&sources[source])?;
        for (row, (key, &group)) in rows.iter().zip(groups).enumerate() {
            let hash = |key: &[u8]| xxh3_64(key);
            let same = |&(s, r): &(usize, usize)| keys[s].row(r) == key;
            match seen.find(hash(key.data()), same) {
                Some(&(newer, _)) if newer == source => {
                    return Err(Error::internal(format!(
                        "a key of key group {group} comes twice in one layer"
                    )));
                }
                Some(_) => {}
                None => {
                    seen.insert_unique(hash(key.data()), (source, row), |&(s, r)| {
                        hash(keys[s].row(r).data())
                    });
                    let deleted = tombstones.is_some_and(|deleted| deleted.value(row));
                    if !deleted || into == Contents::Delta {
                        chosen.push((group, source, row));
                    }
                }
            }
        }
    }
    chosen.sort_unstable();
    Ok(chosen.into_iter().map(|(_, source, row)| (source, row)).collect())
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

    use proptest::prelude::*;

    use super::*;
    use crate::sample::{self, Row, full_batch, full_schema};

    type Model = BTreeMap<(u32, i64), Option<i64>>;

    fn layer(contents: Contents, model: &Model) -> LayerRows {
        let rows: Vec<Row> = model.iter().map(|(&(group, key), &count)| (group, key, count)).collect();
        let batch = |rows: &[Row]| match contents {
            Contents::Full => full_batch(rows),
            Contents::Delta => sample::delta_batch(rows),
        };
        LayerRows { contents, batches: rows.chunks(3).map(batch).collect() }
    }

    fn sorted(batch: &RecordBatch, key_column: usize) -> Vec<String> {
        let groups = key_groups(batch).unwrap();
        assert!(groups.is_sorted());
        let keys = batch.column(key_column).as_primitive::<arrow::datatypes::Int64Type>();
        let mut rows: Vec<_> = (0..batch.num_rows())
            .map(|row| format!("{:05} {:05} {:?}", groups[row], keys.value(row), batch.slice(row, 1)))
            .collect();
        rows.sort();
        rows
    }

    fn changes() -> impl Strategy<Value = Vec<Model>> {
        let change = prop::collection::btree_map((0..4u32, 0..6i64), prop::option::of(0..100i64), 0..12);
        prop::collection::vec(change, 1..6)
    }

    proptest! {
        #[test]
        fn the_newest_row_wins_however_the_layers_are_merged(changes in changes(), cut in 0..6usize) {
            let mut expected = Model::new();
            for change in &changes {
                expected.extend(change.clone());
            }
            expected.retain(|_, count| count.is_some());
            let base = changes[0].iter().filter(|(_, count)| count.is_some()).map(|(k, v)| (*k, *v)).collect();
            let mut layers = vec![layer(Contents::Full, &base)];
            layers.extend(changes[1..].iter().map(|change| layer(Contents::Delta, change)));
            let schema = full_schema();
            let whole = merge(&schema, 1, &layers, Contents::Full).unwrap();
            let expected = concat_batches(&schema, &layer(Contents::Full, &expected).batches).unwrap();
            prop_assert_eq!(sorted(&whole, 1), sorted(&expected, 1));
            // The newest ones first, then what they made.
            let cut = 1 + cut % changes.len();
            let upper = merge(&schema, 1, &layers[cut..], Contents::Delta).unwrap();
            layers.truncate(cut);
            layers.push(LayerRows { contents: Contents::Delta, batches: vec![upper] });
            let stepwise = merge(&schema, 1, &layers, Contents::Full).unwrap();
            prop_assert_eq!(sorted(&stepwise, 1), sorted(&whole, 1));
        }
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
