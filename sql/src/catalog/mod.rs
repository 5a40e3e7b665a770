//! What a text of SQL has declared so far: tables, views, configuration.
//!
//! A [`Session`] takes statements in their order and answers by name, as things were at any [`Moment`] of the text.
//! Invariants: names are unique, tables' options have been checked by their connectors, and every name in a table's
//! watermark, key and partitioning is one of its columns. It plans nothing: expressions and views are kept as trees.

mod alter;
mod functions;
mod history;
mod like;
mod metadata;
mod namespaces;
mod session;
mod side_tables;
mod table;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast::Expr;
use weir_proto::v1::TableSpec;

pub use functions::Function;
pub(crate) use functions::signature;
pub use metadata::{SinkColumn, SinkTable};
pub use namespaces::{CatalogEntry, DatabaseEntry};
pub use session::Session;
pub use side_tables::{SideTable, SideTables};

use crate::statement::{AsQuery, CreateTable, Explain, Insert, Inspect, Name, Position, Query};

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

/// A moment of a text: which declarations hold, and what names without a database belong to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moment {
    version: u64,
    /// The current catalog.
    pub catalog: Arc<str>,
    /// The current database.
    pub database: Arc<str>,
}

impl Default for Moment {
    /// The end of the text, in the default database.
    fn default() -> Self {
        Self { version: u64::MAX, catalog: DEFAULT_CATALOG.into(), database: DEFAULT_DATABASE.into() }
    }
}

impl Moment {
    /// The full path of one to three parts.
    #[must_use]
    pub fn path(&self, parts: &[&str]) -> Option<ObjectPath> {
        let (catalog, database, object) = match *parts {
            [object] => (&*self.catalog, &*self.database, object),
            [database, object] => (&*self.catalog, database, object),
            [catalog, database, object] => (catalog, database, object),
            _ => return None,
        };
        Some(ObjectPath {
            catalog: catalog.to_owned(),
            database: database.to_owned(),
            object: object.to_owned(),
        })
    }

    /// The declarations of this moment, by the names of `names`: how a view's query reads its tables.
    #[must_use]
    pub fn with_names_of(&self, names: &Self) -> Self {
        Self { version: self.version, ..names.clone() }
    }
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Relation {
    /// A table of a connector.
    Table(Arc<DeclaredTable>),
    /// A query with a name.
    View(Arc<View>),
}

impl Relation {
    /// Where it was declared.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::Table(table) => table.position,
            Self::View(view) => view.position,
        }
    }

    /// What it is, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "table",
            Self::View(_) => "view",
        }
    }
}

/// A table with the statement that declares it, as ALTER and LIKE have left it.
#[derive(Clone, Debug)]
pub struct DeclaredTable {
    /// The table.
    pub table: Table,
    /// The statement.
    pub definition: CreateTable,
    /// What tells it from other tables that have its name at other places of the text; empty for the first. It is the same
    /// after each planning of the text.
    pub variant: String,
}

impl Deref for DeclaredTable {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
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
    /// The query; its names are those of where the view was declared.
    pub query: Query,
    /// Whether it hides another view of its name.
    pub temporary: bool,
    /// Its comment.
    pub comment: Option<String>,
    /// Where it was declared.
    pub position: Position,
}

/// What [`Session::execute`] leaves to others.
#[derive(Clone, Debug)]
pub enum Deferred {
    /// Inserts to plan.
    Inserts(Vec<Insert>),
    /// A table whose columns are a query's, see [`Session::create_table_as`], and its insert.
    CreateTableAs(Box<CreateTable>, Box<AsQuery>),
    /// A function whose types are to be checked before anything else happens.
    CheckFunction(Arc<Function>),
    /// A plan to show.
    Explain(Box<Explain>),
    /// Something to look up.
    Inspect(Box<Inspect>),
    /// A query whose rows are for the person who asks.
    Query(Box<Query>),
}

/// Configuration under Flink's keys, as written.
pub type Config = BTreeMap<String, String>;
