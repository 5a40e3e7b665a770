//! The contract of state backends: tables of state that an operator declares and addresses a batch at a time.
//!
//! A table maps keys to rows of value columns and is laid out by key group. An operator asks for the rows of a whole batch of
//! keys, reads and writes columns of these rows, and never walks them. Invariants, checked by the conformance suite of
//! `weir-state` on every backend: numbers of rows are valid until the operator's call ends; a freeze holds what was written before
//! it, whatever comes after; rows that have expired are never seen; importing what was frozen, at any parallelism, gives the same
//! answers. A backend belongs to one instance of one operator, and is its [`KeyedState`].

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, SchemaRef};

use super::KeyedState;
use crate::error::{Code, Error, Result};
use crate::graph::KeyGroupRange;
use crate::id::OperatorUid;
use crate::operator::OperatorContext;
use crate::watermark::Watermark;

/// The number of a key that has no row.
pub const ABSENT: u32 = u32::MAX;

/// Name of the `Int64` column that tables with a time to live end with: processing time of the row's last write.
pub const LAST_WRITE_COLUMN: &str = "__last_write";

/// Name of the `Int64` column that orders the elements of a list.
pub const POSITION_COLUMN: &str = "__position";

/// Name of the `Int64` column of a timer's time.
pub const TIME_COLUMN: &str = "__time";

/// One of an operator's tables, in the order in which they were declared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TableId(pub usize);

/// What a table holds for a key.
#[derive(Clone, Debug)]
pub enum TableKind {
    /// One row.
    Value,
    /// One row, into which others are folded: a function for each value column.
    Aggregate(Vec<Fold>),
    /// A row for each key of its own, whose columns these are.
    Map(Vec<Field>),
    /// Rows in the order in which they were appended.
    List,
    /// Times, without values.
    Timers,
}

/// How a value column takes another value in. Nulls change nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fold {
    /// The sum; integers wrap.
    Sum,
    /// The smallest; of floats in total order.
    Min,
    /// The largest; of floats in total order.
    Max,
    /// The one that came last.
    Last,
}

/// A table to be declared.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// Unique in the operator; the name in snapshots.
    pub name: String,
    /// The key's columns; they decide on the key group.
    pub key: Vec<Field>,
    /// What is held for a key.
    pub kind: TableKind,
    /// The columns of a row.
    pub values: Vec<Field>,
    /// How long a row is there after its last write, in milliseconds of processing time; `None`: until it is removed.
    pub time_to_live_millis: Option<i64>,
}

/// Columns of keys, a row of which is a key: the table's key, then for maps the map's own.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// One for each of the key's columns.
    pub columns: &'a [ArrayRef],
    /// How many keys.
    pub rows: usize,
}

/// The entries of maps or lists for a batch of keys.
#[derive(Clone, Debug)]
pub struct Entries {
    /// For each entry, the position of its key in the batch that was asked for; entries of one key stand together, lists in
    /// order.
    pub owners: Vec<u32>,
    /// The map's own key; of a list the position.
    pub keys: Vec<ArrayRef>,
    /// The value columns.
    pub values: Vec<ArrayRef>,
}

/// Timers that are due, in the order of time, then of key group.
#[derive(Clone, Debug)]
pub struct Due {
    /// When each was due.
    pub times: Vec<i64>,
    /// The key's columns.
    pub keys: Vec<ArrayRef>,
}

/// Makes backends: what `state.backend.type` chooses.
pub trait StateBackends: Send + Sync + std::fmt::Debug {
    /// An empty one for an instance of an operator.
    fn open(&self, instance: Instance) -> Result<Box<dyn StateBackend>>;
}

/// Whose state it is.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The operator.
    pub uid: OperatorUid,
    /// The key groups it owns.
    pub key_groups: KeyGroupRange,
    /// How many key groups there are.
    pub max_parallelism: u32,
    /// The most bytes its state may take.
    pub limit_bytes: u64,
    /// Processing time, for what expires.
    pub clock: std::sync::Arc<dyn crate::clock::Clock>,
}

impl Instance {
    /// Of the operator with this context.
    #[must_use]
    pub fn of(context: &OperatorContext) -> Self {
        Self {
            uid: context.uid.clone(),
            key_groups: context.key_groups,
            max_parallelism: context.max_parallelism,
            limit_bytes: context.state_limit_bytes,
            clock: std::sync::Arc::clone(&context.clock),
        }
    }
}

/// An operator's tables. All are declared before the first is used and before state is imported.
pub trait StateBackend: KeyedState {
    /// Adds a table.
    fn declare(&mut self, spec: TableSpec) -> Result<TableId>;

    /// Sets `rows` to the row of each key, [`ABSENT`] for keys without one. Not of lists and timers.
    fn find(&mut self, table: TableId, keys: Keys<'_>, rows: &mut Vec<u32>) -> Result<()>;

    /// Like [`StateBackend::find`], but adds rows for keys without one; their values are null.
    fn intern(&mut self, table: TableId, keys: Keys<'_>, rows: &mut Vec<u32>) -> Result<()>;

    /// The value columns of some rows; null for [`ABSENT`].
    fn read(&self, table: TableId, rows: &[u32]) -> Result<Vec<ArrayRef>>;

    /// Overwrites the values of some rows; of a row that comes twice the last holds.
    fn write(&mut self, table: TableId, rows: &[u32], values: &[ArrayRef]) -> Result<()>;

    /// Folds values into the rows of an aggregate table, in order.
    fn fold(&mut self, table: TableId, rows: &[u32], values: &[ArrayRef]) -> Result<()>;

    /// Removes some rows; [`ABSENT`] is skipped.
    fn remove(&mut self, table: TableId, rows: &[u32]) -> Result<()>;

    /// Appends an element to the list of each key, in order.
    fn append(&mut self, table: TableId, keys: Keys<'_>, values: &[ArrayRef]) -> Result<()>;

    /// All entries of the maps or lists of these keys, which are keys of the table without the map's own.
    fn entries(&mut self, table: TableId, keys: Keys<'_>) -> Result<Entries>;

    /// Removes all entries of the maps or lists of these keys.
    fn clear(&mut self, table: TableId, keys: Keys<'_>) -> Result<()>;

    /// Sets a timer for each key at its time; one that is there already stays.
    fn set_timers(&mut self, table: TableId, keys: Keys<'_>, times: &[i64]) -> Result<()>;

    /// Takes timers back; those that aren't there are skipped.
    fn unset_timers(&mut self, table: TableId, keys: Keys<'_>, times: &[i64]) -> Result<()>;

    /// Takes out up to `most` timers whose time isn't after `until`, the earliest first.
    fn due(&mut self, table: TableId, until: i64, most: usize) -> Result<Due>;

    /// The earliest timer.
    fn next_timer(&self, table: TableId) -> Option<i64>;

    /// The schema of a table in snapshots.
    fn schema(&self, table: TableId) -> Result<SchemaRef>;

    /// The backend as what a task freezes and fills.
    fn keyed_state(&mut self) -> &mut dyn KeyedState;
}

/// The watermark that may be passed on while event timers wait: below the earliest of those that it has made due, so that what they
/// emit isn't late.
#[must_use]
pub fn held_below(watermark: Watermark, next_timer: Option<i64>) -> Watermark {
    match next_timer {
        Some(timer) if timer <= watermark.0 => Watermark(timer.saturating_sub(1)),
        _ => watermark,
    }
}

/// For tasks whose operators keep all state in tables of their own.
#[derive(Clone, Copy, Debug)]
pub struct NoBackends;

impl StateBackends for NoBackends {
    fn open(&self, instance: Instance) -> Result<Box<dyn StateBackend>> {
        Err(Error::new(
            Code::Unsupported,
            format!("operator {} asks for a state backend where there is none", instance.uid),
        ))
    }
}
