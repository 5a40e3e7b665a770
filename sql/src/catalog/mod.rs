//! What a text of SQL has declared so far: tables, views, configuration.
//!
//! A [`Session`] takes statements in their order and answers by name. Invariants: names are unique, tables' options have been
//! checked by their connectors, and every name in a table's watermark, key and partitioning is one of its columns. It
//! plans nothing: expressions and views are kept as trees.

mod metadata;
pub(crate) mod session;
mod side_tables;
mod table;

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast::Expr;
use weir_proto::v1::TableSpec;

pub use metadata::{SinkColumn, SinkTable};
pub use session::Session;
pub use side_tables::{SideTable, SideTables};

use crate::statement::{Name, Position, Query};

/// The catalog that names without one belong to.
pub const DEFAULT_CATALOG: &str = "default_catalog";
/// The database that names without one belong to.
pub const DEFAULT_DATABASE: &str = "default_database";

/// The full name of a table or view.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectPath {
    /// The catalog.
    pub catalog: String,
    /// The database.
    pub database: String,
    /// The table or view.
    pub object: String,
}

impl std::fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.database, self.object)
    }
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Relation {
    /// A table of a connector.
    Table(Box<Table>),
    /// A query with a name.
    View(View),
}

/// A table of a connector.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its full name.
    pub path: ObjectPath,
    /// What its connector is told when it is read: [`TableSpec::schema`] is [`Table::read_schema`]. [`Table::sink`] has what it
    /// is told when it is written to.
    pub spec: TableSpec,
    /// The columns that the connector reads and writes, in their order.
    pub physical_schema: SchemaRef,
    /// All columns, in their order.
    pub columns: Vec<Column>,
    /// Its watermark.
    pub watermark: Option<Watermark>,
    /// The columns of its primary key; empty without one. They are physical and `NOT NULL`.
    pub primary_key: Vec<String>,
    /// The physical columns that it is partitioned by.
    pub partition_keys: Vec<String>,
    /// Its comment.
    pub comment: Option<String>,
    /// Where its options were written.
    pub option_positions: BTreeMap<String, Position>,
    /// Where it was declared.
    pub position: Position,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name, unique in the table.
    pub name: String,
    /// Where its values come from.
    pub source: ColumnSource,
    /// Its comment.
    pub comment: Option<String>,
    /// Where it was declared.
    pub position: Position,
}

/// Where a column's values come from.
#[derive(Clone, Debug)]
pub enum ColumnSource {
    /// The field of this position in the table's physical schema.
    Physical(usize),
    /// An expression over the other columns, not over computed ones.
    Computed(Box<Expr>),
    /// The connector's metadata.
    Metadata {
        /// The declared type and nullability, under the column's name.
        field: arrow::datatypes::FieldRef,
        /// What the connector gives and takes, under the column's name.
        stored: arrow::datatypes::FieldRef,
        /// The connector's key.
        key: String,
        /// Whether a sink leaves it out.
        is_virtual: bool,
        /// Whether a sink can take it.
        writable: bool,
    },
}

/// A table's watermark.
#[derive(Clone, Debug)]
pub struct Watermark {
    /// The time attribute: a column of the table.
    pub column: String,
    /// The watermark of one row, over the table's columns, computed ones included.
    pub expression: Box<Expr>,
    /// Where it was declared.
    pub position: Position,
}

/// A query with a name.
#[derive(Clone, Debug)]
pub struct View {
    /// Its full name.
    pub path: ObjectPath,
    /// New names for the query's columns; empty keeps theirs.
    pub columns: Vec<Name>,
    /// The query.
    pub query: Query,
    /// Its comment.
    pub comment: Option<String>,
    /// Where it was declared.
    pub position: Position,
}

/// What [`Session::execute`] leaves to the planner.
#[derive(Clone, Debug)]
pub enum Deferred {
    /// Inserts to plan.
    Inserts(Vec<crate::statement::Insert>),
    /// A plan to show.
    Explain(Box<crate::statement::Explain>),
    /// A query whose rows are for the person who asks.
    Query(Box<Query>),
}

/// Configuration under Flink's keys, as written.
pub type Config = BTreeMap<String, String>;
