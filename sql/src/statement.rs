//! What a text of SQL says, statement by statement: the tree between the parser and the session.
//!
//! Queries and expressions are sqlparser's own trees; window table functions have been taken out of them into [`WindowCall`]s.
//! Invariant: every part that an error may speak of knows its [`Position`]. Nothing here has been resolved: names may not
//! exist, types may not fit.

use std::fmt;

use datafusion::sql::sqlparser::ast::{self, Expr};

use crate::types::FlinkType;

/// A place in the text, counted from 1; the column counts characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The character in the line.
    pub column: u64,
}

impl Position {
    /// The beginning of a text.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place where a span of sqlparser begins; `None` for nodes that were not written but made.
    #[must_use]
    pub fn of(span: datafusion::sql::sqlparser::tokenizer::Span) -> Option<Self> {
        let start = span.start;
        (start.line > 0).then_some(Self { line: start.line, column: start.column.max(1) })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One identifier as it was written, without back-quotes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// The text; its case counts.
    pub value: String,
    /// Where it was written.
    pub position: Position,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

/// The name of a table or view, of one to three parts: `[catalog.][database.]table`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableName {
    /// The parts as written; never empty.
    pub parts: Vec<Name>,
    /// Where the first part was written.
    pub position: Position,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            f.write_str(&part.value)?;
        }
        Ok(())
    }
}

/// One statement.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `CREATE TABLE`.
    CreateTable(Box<CreateTable>),
    /// `CREATE VIEW`.
    CreateView(Box<CreateView>),
    /// `DROP TABLE` or `DROP VIEW`.
    Drop(Drop),
    /// `INSERT INTO`.
    Insert(Box<Insert>),
    /// `EXECUTE STATEMENT SET BEGIN …; END` and its older form.
    StatementSet(Vec<Insert>),
    /// `SET 'key' = 'value'`.
    Set(Set),
    /// `RESET` or `RESET 'key'`.
    Reset(Reset),
    /// `EXPLAIN`.
    Explain(Box<Explain>),
    /// A query that stands alone: its rows are for the person who asks.
    Query(Box<Query>),
}

/// `CREATE [TEMPORARY] TABLE [IF NOT EXISTS] name (…) [COMMENT …] [PARTITIONED BY (…)] WITH (…)`.
#[derive(Clone, Debug)]
pub struct CreateTable {
    /// The table's name.
    pub name: TableName,
    /// Whether it is gone with the session; all of ours are.
    pub temporary: bool,
    /// Whether an existing table of this name is kept silently.
    pub if_not_exists: bool,
    /// The columns in their order; empty where the connector knows them.
    pub columns: Vec<ColumnDefinition>,
    /// `WATERMARK FOR … AS …`.
    pub watermark: Option<WatermarkDefinition>,
    /// The columns of `PRIMARY KEY (…) NOT ENFORCED`; empty without one.
    pub primary_key: Vec<Name>,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
    /// The columns of `PARTITIONED BY (…)`.
    pub partitioned_by: Vec<Name>,
    /// `WITH (…)`, in the order written.
    pub options: Vec<TableOption>,
    /// Where the statement begins.
    pub position: Position,
}

/// One `'key' = 'value'` of a WITH clause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableOption {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// Where the key was written.
    pub position: Position,
}

/// One column of a CREATE TABLE.
#[derive(Clone, Debug)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: Name,
    /// Where its values come from.
    pub kind: ColumnKind,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
}

/// Where a column's values come from.
#[derive(Clone, Debug)]
pub enum ColumnKind {
    /// The connector reads and writes it.
    Physical(FlinkType),
    /// `name AS expression` over the other columns.
    Computed(Box<Expr>),
    /// `name TYPE METADATA [FROM 'key'] [VIRTUAL]`.
    Metadata {
        /// The declared type.
        data_type: FlinkType,
        /// The connector's key; the column's name where it is left out.
        key: Option<String>,
        /// Whether a sink leaves it out.
        is_virtual: bool,
    },
}

/// `WATERMARK FOR column AS expression`.
#[derive(Clone, Debug)]
pub struct WatermarkDefinition {
    /// The time attribute.
    pub column: Name,
    /// The watermark of one row.
    pub expression: Expr,
    /// Where the clause begins.
    pub position: Position,
}

/// `CREATE [TEMPORARY] VIEW [IF NOT EXISTS] name [(columns)] [COMMENT …] AS query`.
#[derive(Clone, Debug)]
pub struct CreateView {
    /// The view's name.
    pub name: TableName,
    /// Whether it is gone with the session; all of ours are.
    pub temporary: bool,
    /// Whether an existing table or view of this name is kept silently.
    pub if_not_exists: bool,
    /// New names for the query's columns; empty keeps theirs.
    pub columns: Vec<Name>,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
    /// What the view reads as.
    pub query: Query,
    /// Where the statement begins.
    pub position: Position,
}

/// `DROP [TEMPORARY] TABLE|VIEW [IF EXISTS] name`.
#[derive(Clone, Debug)]
pub struct Drop {
    /// Whether a view is dropped, else a table.
    pub is_view: bool,
    /// The name.
    pub name: TableName,
    /// Whether a missing one is fine.
    pub if_exists: bool,
    /// Where the statement begins.
    pub position: Position,
}

/// `INSERT INTO table [(columns)] query`.
#[derive(Clone, Debug)]
pub struct Insert {
    /// The sink.
    pub table: TableName,
    /// The columns that the query's columns go to, in its order; empty: the table's own.
    pub columns: Vec<Name>,
    /// The rows.
    pub query: Query,
    /// Where the statement begins.
    pub position: Position,
}

/// `SET 'key' = 'value'`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Set {
    /// The configuration key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Where the key was written.
    pub position: Position,
}

/// `RESET ['key']`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reset {
    /// The one key to reset; `None`: all.
    pub key: Option<String>,
    /// Where the statement begins.
    pub position: Position,
}

/// `EXPLAIN [PLAN FOR | details] statement`.
#[derive(Clone, Debug)]
pub struct Explain {
    /// What to explain.
    pub target: ExplainTarget,
    /// `ESTIMATED_COST`, `CHANGELOG_MODE`, `JSON_EXECUTION_PLAN`, `PLAN_ADVICE`, in upper case.
    pub details: Vec<String>,
    /// Where the statement begins.
    pub position: Position,
}

/// What an EXPLAIN speaks of.
#[derive(Clone, Debug)]
pub enum ExplainTarget {
    /// A query.
    Query(Query),
    /// One or, of a statement set, several inserts.
    Inserts(Vec<Insert>),
}

/// A query whose window table functions have become names.
#[derive(Clone, Debug)]
pub struct Query {
    /// The tree; where a window table function stood there is a table named [`WindowCall::placeholder`], with the alias
    /// that the function had.
    pub ast: Box<ast::Query>,
    /// The window table functions, inner ones before those that read them.
    pub windows: Vec<WindowCall>,
    /// Where the query begins.
    pub position: Position,
}

/// A call of `TUMBLE`, `HOP` or `CUMULATE` in a FROM clause.
#[derive(Clone, Debug)]
pub struct WindowCall {
    /// The one-part name that stands for it in the tree; unique in the text, and no name that a user can have meant.
    pub placeholder: String,
    /// Which windows.
    pub kind: WindowKind,
    /// What it reads.
    pub input: WindowInput,
    /// The column of `DESCRIPTOR(…)`.
    pub time_column: Name,
    /// Where the function's name was written.
    pub position: Position,
}

/// What a window table function reads.
#[derive(Clone, Debug)]
pub enum WindowInput {
    /// `TABLE name`: a table, a view, or a name of an enclosing WITH.
    Table(TableName),
    /// `(SELECT …)` or `TABLE (SELECT …)`; its windows are in the same [`Query::windows`].
    Query(Box<ast::Query>),
}

/// How rows fall into windows; all lengths in milliseconds, sizes and slides above 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WindowKind {
    /// Windows that follow one another.
    Tumble {
        /// Their length.
        size_millis: u64,
        /// What they are shifted by against the epoch.
        offset_millis: i64,
    },
    /// Windows that overlap.
    Hop {
        /// The distance of their starts.
        slide_millis: u64,
        /// Their length.
        size_millis: u64,
        /// What they are shifted by against the epoch.
        offset_millis: i64,
    },
    /// Windows that begin together and end one step after the other.
    Cumulate {
        /// The distance of their ends.
        step_millis: u64,
        /// The length of the largest.
        size_millis: u64,
        /// What they are shifted by against the epoch.
        offset_millis: i64,
    },
}

impl WindowKind {
    /// The function's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tumble { .. } => "TUMBLE",
            Self::Hop { .. } => "HOP",
            Self::Cumulate { .. } => "CUMULATE",
        }
    }
}
