//! Which row goes to which target.
//!
//! A hash partitioner hashes the key columns, sorts row numbers by target (counting sort, stable), permutes all columns with
//! one `take`, and cuts the result into one zero-copy slice per target. Rows keep their order within a target. Knows nothing of
//! buffers and credit.

use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::compute::{take, take_record_batch};
use weir_api::batch::Batch;
use weir_api::error::{Error, Result};
use weir_api::graph::subtask_of_key_group;
use weir_api::key::{hash_columns, key_group};

use super::id::PartitionSpec;
use super::measure::own_views;

/// Routes by key group.
#[derive(Debug)]
pub(crate) struct HashPartitioner {
    columns: Vec<usize>,
    /// Target by key group.
    target_of: Vec<u32>,
    targets: usize,
    hashes: Vec<u64>,
    row_targets: Vec<u32>,
}

/// A batch in target order.
#[derive(Debug)]
pub(crate) struct Partitioned {
    /// The rows, sorted by target.
    pub(crate) batch: Batch,
    /// Target t owns the rows `bounds[t]..bounds[t + 1]`.
    pub(crate) bounds: Vec<usize>,
    /// Whether the rows were copied; if not, `batch` is the input itself.
    pub(crate) copied: bool,
}

impl HashPartitioner {
    /// A partitioner on these columns for the targets of `spec`, which must be all subtasks of the consuming vertex.
    pub(crate) fn new(columns: &[usize], spec: &PartitionSpec) -> Result<Self> {
        let targets = spec.targets.len();
        if targets != spec.target_parallelism as usize
            || spec.targets.iter().enumerate().any(|(position, target)| target.0 as usize != position)
        {
            return Err(Error::internal(format!(
                "{}: a hash edge leads to every subtask, in order",
                spec.id
            )));
        }
        if columns.is_empty() || columns.iter().any(|&column| column >= spec.schema.fields().len()) {
            return Err(Error::internal(format!("{}: the hash columns {columns:?} don't exist", spec.id)));
        }
        let target_of = (0..spec.max_parallelism)
            .map(|group| subtask_of_key_group(group, spec.target_parallelism, spec.max_parallelism))
            .collect();
        Ok(Self {
            columns: columns.to_vec(),
            target_of,
            targets,
            hashes: Vec::new(),
            row_targets: Vec::new(),
        })
    }

    pub(crate) const fn targets(&self) -> usize {
        self.targets
    }

    /// Sorts the rows by target.
    pub(crate) fn partition(&mut self, batch: Batch) -> Result<Partitioned> {
        let rows = batch.num_rows();
        if self.targets == 1 {
            return Ok(Partitioned { batch, bounds: vec![0, rows], copied: false });
        }
        let records = batch.records();
        let keys: Vec<ArrayRef> = self.columns.iter().map(|&column| records.column(column).clone()).collect();
        hash_columns(&keys, &mut self.hashes)?;
        debug_assert_eq!(self.hashes.len(), rows);

        let max_parallelism = self.target_of.len() as u32;
        let target_of = &self.target_of;
        self.row_targets.clear();
        let targets = self.hashes.iter().map(|&hash| target_of[key_group(hash, max_parallelism) as usize]);
        self.row_targets.extend(targets);

        let mut bounds = vec![0_usize; self.targets + 1];
        for &target in &self.row_targets {
            bounds[target as usize + 1] += 1;
        }
        if bounds.contains(&rows) {
            // All rows go to one target: nothing to permute.
            for target in 0..self.targets {
                bounds[target + 1] += bounds[target];
            }
            return Ok(Partitioned { batch, bounds, copied: false });
        }
        for target in 0..self.targets {
            bounds[target + 1] += bounds[target];
        }
        let mut next = bounds.clone();
        let mut order = vec![0_u32; rows];
        for (row, &target) in self.row_targets.iter().enumerate() {
            let place = &mut next[target as usize];
            order[*place] = row as u32;
            *place += 1;
        }
        let order = UInt32Array::from(order);
        let permuted = own_views(take_record_batch(records, &order)?)?;
        let batch = match batch.kinds() {
            Some(kinds) => Batch::with_kinds(permuted, take(kinds, &order, None)?.as_primitive().clone())?,
            None => Batch::new(permuted),
        };
        Ok(Partitioned { batch, bounds, copied: true })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use weir_api::graph::Partitioning;
    use weir_api::id::{Attempt, JobId, SubtaskIndex};

    use super::*;
    use crate::network::id::PartitionId;

    fn partitioner(targets: u32) -> HashPartitioner {
        let schema = Schema::new(vec![
            Field::new("k", DataType::Int64, false),
            Field::new("v", DataType::Utf8, false),
        ]);
        let id = PartitionId {
            job: JobId::from_bytes([1; 16]),
            attempt: Attempt(1),
            edge: 0,
            subtask: SubtaskIndex(0),
        };
        let spec = PartitionSpec {
            id,
            partitioning: Partitioning::Hash(vec![0]),
            schema: Arc::new(schema),
            targets: (0..targets).map(SubtaskIndex).collect(),
            target_parallelism: targets,
            max_parallelism: 128,
        };
        HashPartitioner::new(&[0], &spec).unwrap()
    }

    #[test]
    fn every_row_reaches_the_owner_of_its_key_group_in_order() {
        for targets in [1, 2, 3, 8, 128] {
            let keys = Int64Array::from_iter_values((0..5000).map(|i| i * 7 % 311));
            let values = StringArray::from_iter_values((0..5000).map(|i| format!("{i:05}")));
            let mut partitioner = partitioner(targets);
            let schema = Schema::new(vec![
                Field::new("k", DataType::Int64, false),
                Field::new("v", DataType::Utf8, false),
            ]);
            let records =
                RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys), Arc::new(values)]).unwrap();
            let out = partitioner.partition(Batch::new(records)).unwrap();
            assert_eq!(*out.bounds.last().unwrap(), 5000);
            for target in 0..targets as usize {
                let part = out.batch.slice(out.bounds[target], out.bounds[target + 1] - out.bounds[target]);
                let mut hashes = Vec::new();
                hash_columns(&[part.records().column(0).clone()], &mut hashes).unwrap();
                let owner = |hash| subtask_of_key_group(key_group(hash, 128), targets, 128);
                assert!(hashes.into_iter().all(|hash| owner(hash) as usize == target));
                let values = part.records().column(1).as_string::<i32>();
                assert!(
                    (1..values.len()).all(|i| values.value(i - 1) < values.value(i)),
                    "order within a target"
                );
            }
            let keys = out.batch.records().column(0).as_primitive::<Int64Type>();
            assert_eq!(keys.values().iter().sum::<i64>(), (0..5000).map(|i| i * 7 % 311).sum::<i64>());
        }
    }
}
