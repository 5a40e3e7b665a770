//! What comes back from a snapshot: tables of an earlier query's columns, and how far event time had come for each key group.
//!
//! Instances are rescaled from snapshots in which they may have come to different watermarks. Until the new instance has passed
//! the largest of them, [`Floors`] knows for which keys a row is late already. Afterwards it costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use weir_api::error::{Code, Error, Result};
use weir_api::graph::KeyGroupRange;
use weir_api::schema::widens;
use weir_api::state::{KEY_GROUP_COLUMN, StateTable};

use super::frozen::{groups_of, hashes_of};

/// Name of the state of how far event time has come.
pub(super) const WATERMARKS: &str = "watermarks";

/// What an operator can't take.
pub(super) fn misfit(operator: &str, what: &str) -> Error {
    let message = format!(
        "operator '{operator}' can't take {what}; restore with the query that made the snapshot, or without this state"
    );
    Error::new(Code::InvalidArgument, message)
}

/// A batch of a state with the columns that are wanted, found by name: narrower ones are cast, those that aren't there are null.
/// The first `keys` ones, key group and key, can't be others than they were.
pub(super) fn migrated(
    operator: &str,
    state: &str,
    batch: &RecordBatch,
    wanted: &SchemaRef,
    keys: usize,
) -> Result<RecordBatch> {
    let columns = wanted.fields().iter().enumerate().map(|(index, field)| -> Result<ArrayRef> {
        let (name, data_type) = (field.name(), field.data_type());
        let found = batch.column_by_name(name);
        if index < keys && found.map(|column| column.data_type()) != Some(data_type) {
            return Err(misfit(
                operator,
                &format!("the state '{state}' of other keys than by '{name}' {data_type}"),
            ));
        }
        let Some(found) = found else {
            if field.is_nullable() {
                return Ok(new_null_array(data_type, batch.num_rows()));
            }
            return Err(misfit(operator, &format!("the state '{state}' without a column '{name}'")));
        };
        if found.data_type() == data_type {
            return Ok(Arc::clone(found));
        }
        if !widens(found.data_type(), data_type) {
            let what = format!(
                "the column '{name}' of the state '{state}' as {} where it keeps {data_type}",
                found.data_type()
            );
            return Err(misfit(operator, &what));
        }
        Ok(cast(found, data_type)?)
    });
    Ok(RecordBatch::try_new(Arc::clone(wanted), columns.collect::<Result<_>>()?)?)
}

/// How far event time had come for each key group; see the module.
#[derive(Default)]
pub(super) struct Floors {
    watermarks: BTreeMap<u32, i64>,
    largest: Option<i64>,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(KEY_GROUP_COLUMN, DataType::UInt32, false),
        Field::new("watermark", DataType::Int64, false),
    ]))
}

impl Floors {
    /// Whether there may be late rows of some keys although the watermark has only come so far.
    pub(super) fn concern(&self, watermark: i64) -> bool {
        self.largest.is_some_and(|largest| largest > watermark)
    }

    /// Forgets what is of no concern any more.
    pub(super) fn settle(&mut self, watermark: i64) {
        if self.largest.is_some() && !self.concern(watermark) {
            *self = Self::default();
        }
    }

    fn of(&self, group: u32) -> i64 {
        self.watermarks.get(&group).copied().unwrap_or(i64::MIN)
    }

    /// How far event time had come for the key of each row.
    pub(super) fn of_rows(&self, keys: &[ArrayRef], rows: usize, max_parallelism: u32) -> Result<Vec<i64>> {
        let mut hashes = Vec::new();
        hashes_of(keys, rows, &mut hashes)?;
        let groups = groups_of(!keys.is_empty(), &hashes, max_parallelism);
        Ok(groups.into_iter().map(|group| self.of(group)).collect())
    }

    /// How far event time has come for each key group, now that the watermark is this one.
    pub(super) fn table(&self, watermark: i64, owned: KeyGroupRange) -> Result<StateTable> {
        let groups: Vec<u32> = (owned.start..owned.end).collect();
        let watermarks: Vec<i64> = groups.iter().map(|&group| self.of(group).max(watermark)).collect();
        let columns: Vec<ArrayRef> =
            vec![Arc::new(UInt32Array::from(groups)), Arc::new(Int64Array::from(watermarks))];
        let batch = RecordBatch::try_new(schema(), columns)?;
        Ok(StateTable { name: WATERMARKS.to_owned(), schema: schema(), key_columns: 0, batches: vec![batch] })
    }

    /// Takes what [`Floors::table`] gave.
    pub(super) fn import(&mut self, operator: &str, table: &StateTable) -> Result<()> {
        for batch in &table.batches {
            let batch = migrated(operator, WATERMARKS, batch, &schema(), 1)?;
            let groups = batch.column(0).as_primitive::<UInt32Type>().values();
            let watermarks = batch.column(1).as_primitive::<Int64Type>().values();
            for (&group, &watermark) in groups.iter().zip(watermarks) {
                let floor = self.watermarks.entry(group).or_insert(watermark);
                *floor = watermark.max(*floor);
                self.largest = self.largest.max(Some(watermark));
            }
        }
        Ok(())
    }
}
