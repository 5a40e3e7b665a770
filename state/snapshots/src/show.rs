//! What a person asks of snapshots: which there are, and what is in one. Data only; printing is the caller's.
//!
//! Knows manifests alone: no state file is opened, so a listing costs one small read a snapshot.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use object_store::path::Path;
use weir_api::error::{Error, Result};
use weir_api::id::OperatorUid;

use crate::layout::SnapshotFolder;
use crate::manifest::Manifest;
use crate::restore::Source;
use crate::storage::Storage;

/// A folder that looks like a snapshot.
#[derive(Debug)]
pub struct Listing {
    /// The folder.
    pub folder: SnapshotFolder,
    /// Its manifest, or why it can't be read.
    pub manifest: Result<Manifest, Error>,
}

/// The snapshots right below `folder` (a job's folder, or one of savepoints), by name.
pub async fn list(storage: &Storage, folder: &Path) -> Result<Vec<Listing>> {
    let mut names = storage.list_names(folder).await?;
    names.sort();
    let mut listings = Vec::new();
    for name in names {
        let folder = SnapshotFolder::named(&name);
        if storage.size(&folder.metadata()).await?.is_some() {
            let source = Source { storage: storage.clone(), copies: None, folder: folder.clone() };
            listings.push(Listing { manifest: source.manifest().await, folder });
        }
    }
    Ok(listings)
}

/// An operator's part of a snapshot, its subtasks added up.
#[derive(Debug)]
pub struct OperatorSummary {
    /// State is found by it.
    pub uid: OperatorUid,
    /// For people.
    pub name: String,
    /// With how many subtasks it ran.
    pub parallelism: u32,
    /// Its keyed states by name.
    pub states: BTreeMap<String, StateSummary>,
    /// How many entries of operator state.
    pub operator_state_entries: usize,
    /// How many splits of a source.
    pub splits: usize,
    /// How many committables wait.
    pub committables: usize,
    /// How many blobs they refer to.
    pub blobs: usize,
    /// The blobs' size.
    pub blob_bytes: u64,
}

/// A keyed state's part.
#[derive(Debug)]
pub struct StateSummary {
    /// The columns.
    pub schema: SchemaRef,
    /// How many columns after the key group make the key.
    pub key_columns: u32,
    /// Rows in all layers: an upper bound of the keys.
    pub rows: u64,
    /// Bytes of all layers.
    pub bytes: u64,
    /// Files of all layers.
    pub files: usize,
    /// The longest chain.
    pub layers: usize,
}

/// What is in a snapshot, operator by operator.
#[must_use]
pub fn show(manifest: &Manifest) -> Vec<OperatorSummary> {
    let summary = |operator: &crate::manifest::Operator| {
        let state = |schema: &crate::manifest::StateSchema| {
            let mut sum = StateSummary {
                schema: schema.schema.clone(),
                key_columns: schema.key_columns,
                rows: 0,
                bytes: 0,
                files: 0,
                layers: 0,
            };
            let tables = operator.subtasks.iter().flat_map(|subtask| &subtask.tables);
            for table in tables.filter(|table| table.state == schema.state) {
                sum.layers = sum.layers.max(table.layers.len());
                for file in table.layers.iter().flat_map(|layer| &layer.files) {
                    sum.rows += file.summary.rows;
                    sum.bytes += file.summary.bytes;
                    sum.files += 1;
                }
            }
            (schema.state.clone(), sum)
        };
        let subtasks = &operator.subtasks;
        let pending = || subtasks.iter().flat_map(|subtask| &subtask.committables);
        let blobs = || pending().flat_map(|pending| &pending.entries).flat_map(|entry| &entry.blobs);
        OperatorSummary {
            uid: operator.uid.clone(),
            name: operator.name.clone(),
            parallelism: operator.parallelism,
            states: operator.schemas.iter().map(state).collect(),
            operator_state_entries: subtasks
                .iter()
                .flat_map(|s| &s.operator_states)
                .map(|s| s.entries.len())
                .sum(),
            splits: subtasks.iter().map(|subtask| subtask.splits.len()).sum(),
            committables: pending().map(|pending| pending.entries.len()).sum(),
            blobs: blobs().count(),
            blob_bytes: blobs().map(|blob| blob.bytes).sum(),
        }
    };
    manifest.operators.iter().map(summary).collect()
}
