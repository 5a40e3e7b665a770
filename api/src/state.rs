//! The contract of keyed state: tables laid out by key group that can leave an operator and enter another.
//!
//! Invariant: exporting every key group range and importing the parts into operators at any parallelism gives the same answers.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::graph::KeyGroupRange;

/// Name of the `UInt32` column that every exported table starts with.
pub const KEY_GROUP_COLUMN: &str = "__key_group";

/// One exported table: rows sorted by key group.
#[derive(Clone, Debug)]
pub struct StateTable {
    /// The state's name, unique in its operator.
    pub name: String,
    /// [`KEY_GROUP_COLUMN`], then the state's own columns.
    pub schema: SchemaRef,
    /// The rows, in batches of bounded size.
    pub batches: Vec<RecordBatch>,
}

/// The keyed state of one operator.
pub trait KeyedState {
    /// All rows whose key group lies in `range`.
    fn export(&self, range: KeyGroupRange) -> Result<Vec<StateTable>>;

    /// Adds rows that another instance exported. Comes before the first record.
    fn import(&mut self, table: &StateTable) -> Result<()>;

    /// Bytes held, roughly.
    fn size_bytes(&self) -> u64;
}
