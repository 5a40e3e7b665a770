//! Tables and snapshots for the tests of this crate.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use weir_api::graph::KeyGroupRange;
use weir_api::id::{Attempt, CheckpointId, JobId, LeaderEpoch, OperatorUid};
use weir_api::state::{KEY_GROUP_COLUMN, StateTable};

use crate::manifest::{
    FileHandle, Kind, Layer, Manifest, Operator, Scope, StateSchema, Subtask, Table, Totals,
};
use crate::name::FileName;
use crate::table::{Summary, TOMBSTONE_COLUMN};

/// Key group, key (the key's value and its name), count.
pub fn full_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(KEY_GROUP_COLUMN, DataType::UInt32, false),
        Field::new("key", DataType::Int64, false),
        Field::new("count", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
    ]))
}

pub fn delta_schema() -> SchemaRef {
    let mut fields = full_schema().fields().to_vec();
    fields.insert(1, Arc::new(Field::new(TOMBSTONE_COLUMN, DataType::Boolean, false)));
    Arc::new(Schema::new(fields))
}

/// A row: key group, key, and the count or nothing (a tombstone in a delta).
pub type Row = (u32, i64, Option<i64>);

fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    vec![
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.2))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2.map(|count| format!("text {count}"))))),
    ]
}

pub fn full_batch(rows: &[Row]) -> RecordBatch {
    RecordBatch::try_new(full_schema(), columns(rows)).unwrap()
}

pub fn delta_batch(rows: &[Row]) -> RecordBatch {
    let mut columns = columns(rows);
    columns.insert(1, Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.2.is_none())))));
    RecordBatch::try_new(delta_schema(), columns).unwrap()
}

/// A table of `per_group` rows in each of the key groups, in batches of 100.
pub fn table(key_groups: std::ops::Range<u32>, per_group: i64) -> StateTable {
    let rows: Vec<Row> = key_groups
        .flat_map(|group| (0..per_group).map(move |at| (group, i64::from(group) * 1000 + at, Some(at))))
        .collect();
    let batches = rows.chunks(100).map(full_batch).collect();
    StateTable { name: "counts".to_owned(), key_columns: 1, schema: full_schema(), batches }
}

/// A handle of a file that a table was written to.
pub fn handle(scope: Scope, attempt: u32, checkpoint: u64, summary: &Summary) -> FileHandle {
    let name =
        FileName { attempt: Attempt(attempt), checkpoint: CheckpointId(checkpoint), hash: summary.hash };
    FileHandle { scope, name, summary: summary.clone() }
}

/// A manifest of one operator whose one table has these layers.
pub fn manifest(checkpoint: u64, layers: Vec<Layer>) -> Manifest {
    let mut manifest = Manifest {
        job: JobId::from_bytes([0xab; 16]),
        checkpoint: CheckpointId(checkpoint),
        kind: Kind::Checkpoint,
        leader_epoch: LeaderEpoch(2),
        attempt: Attempt(1),
        max_parallelism: 128,
        key_encoding_version: weir_api::key::ENCODING_VERSION,
        triggered_millis: 1_700_000_000_000,
        completed_millis: 1_700_000_000_250,
        totals: Totals::default(),
        operators: vec![Operator {
            uid: OperatorUid::new("count").unwrap(),
            name: "Count by key".to_owned(),
            parallelism: 1,
            schemas: vec![StateSchema { state: "counts".to_owned(), key_columns: 1, schema: full_schema() }],
            subtasks: vec![Subtask {
                tables: vec![Table {
                    state: "counts".to_owned(),
                    range: KeyGroupRange { start: 0, end: 128 },
                    layers,
                }],
                ..Subtask::default()
            }],
        }],
    };
    manifest.totals = manifest.count();
    manifest
}
