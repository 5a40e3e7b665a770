//! The contract of state: tables laid out by key group that can leave an operator and enter another, and state that isn't keyed.
//!
//! Invariants: what is frozen at a barrier is what had come before it, whatever comes after; importing the frozen parts into
//! operators at any parallelism, each its key groups, gives the same answers.

pub mod backend;
pub mod byte_log;
pub mod chunks;
pub mod dirty;
pub mod pieces;

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use crate::error::Result;

/// Name of the `UInt32` column that every table starts with.
pub const KEY_GROUP_COLUMN: &str = "__key_group";

/// Name of the column that the rows of [`Scope::Changes`] have behind [`KEY_GROUP_COLUMN`]: true where the key was removed.
pub const TOMBSTONE_COLUMN: &str = "__deleted";

/// Rows of one state, sorted by key group.
#[derive(Clone, Debug)]
pub struct StateTable {
    /// The state's name, unique in its operator.
    pub name: String,
    /// [`KEY_GROUP_COLUMN`], then the state's own columns, the key's first.
    pub schema: SchemaRef,
    /// How many of the state's own columns make the key: with the key group it is unique.
    pub key_columns: u32,
    /// The rows, in batches of bounded size. With changes, [`TOMBSTONE_COLUMN`] comes second and values may be null where it is
    /// true.
    pub batches: Vec<RecordBatch>,
}

/// Which rows a snapshot holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// All.
    Full,
    /// Those that have changed since the last freeze, removed ones included.
    Changes,
}

/// A state as it was at a barrier, made into tables away from the slot's thread.
pub trait Frozen: Send {
    /// The next piece, about [`PIECE_BYTES`] large: with growing key groups within a table, one table after another. A state
    /// without rows has one piece without rows. The scope is the same for all pieces of a table.
    fn next(&mut self) -> Result<Option<(Scope, StateTable)>>;
}

/// Tables that are there already.
#[derive(Debug, Default)]
pub struct Pieces(pub VecDeque<(Scope, StateTable)>);

impl Frozen for Pieces {
    fn next(&mut self) -> Result<Option<(Scope, StateTable)>> {
        Ok(self.0.pop_front())
    }
}

/// How large a piece of frozen state should be.
pub const PIECE_BYTES: usize = 8 << 20;

/// The keyed state of one operator.
pub trait KeyedState {
    /// Keeps what is there now for a snapshot, in microseconds: no row is copied here, the next change of a row does that. What is
    /// asked for as changes may come whole.
    fn freeze(&mut self, scope: Scope) -> Result<Box<dyn Frozen>>;

    /// Adds rows that another instance froze, of the operator's own key groups. Comes before the first record.
    fn import(&mut self, table: &StateTable) -> Result<()>;

    /// Bytes held, roughly.
    fn size_bytes(&self) -> u64;
}

/// State that isn't keyed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperatorState {
    /// Unique in the operator.
    pub name: String,
    /// What becomes of the entries at another parallelism.
    pub redistribution: Redistribution,
    /// Of the entries' own encoding.
    pub encoding_version: u32,
    /// The operator's own encoding.
    pub entries: Vec<Bytes>,
}

/// What becomes of the entries of operator state at another parallelism.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Redistribution {
    /// They are dealt out anew.
    List,
    /// Every subtask gets all of them.
    Union,
    /// All subtasks hold the same.
    Broadcast,
}
