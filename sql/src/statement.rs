//! What a text of SQL says, statement by statement: the tree between the parser and the session.
//!
//! Queries and expressions are sqlparser's own trees; window table functions have been taken out of them into [`WindowCall`]s.
//! Invariant: every part that an error may speak of knows its [`Position`]. Nothing here has been resolved: names may not
//! exist, types may not fit.

mod declare;
mod inspect;

use std::fmt;

use datafusion::sql::sqlparser::ast;

pub use declare::{
    AlterTable, AlterView, Alteration, AsQuery, ColumnDefinition, ColumnKind, ColumnPlace, CreateFunction,
    CreateNamespace, CreateTable, CreateView, Drop, DropTarget, Expression, Feature, Like, Merging,
    Parameter, TableElement, TableOption, ViewAlteration, WatermarkDefinition,
};
pub use inspect::{Inspect, Inspection, Pattern, Use, UseTarget};

use crate::catalog::Moment;

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
            f.write_str(TableHint::split(&part.value).0)?;
        }
        Ok(())
    }
}

/// One statement.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `CREATE TABLE`.
    CreateTable(Box<CreateTable>),
    /// `CREATE TABLE … LIKE`.
    CreateTableLike(Box<CreateTable>, Box<Like>),
    /// `CREATE TABLE … AS SELECT`.
    CreateTableAs(Box<CreateTable>, Box<AsQuery>),
    /// `CREATE VIEW`.
    CreateView(Box<CreateView>),
    /// `CREATE FUNCTION`.
    CreateFunction(Box<CreateFunction>),
    /// `CREATE CATALOG` or `CREATE DATABASE`.
    CreateNamespace(Box<CreateNamespace>),
    /// `ALTER TABLE`.
    AlterTable(Box<AlterTable>),
    /// `ALTER VIEW`.
    AlterView(Box<AlterView>),
    /// `DROP`.
    Drop(Drop),
    /// `USE`.
    Use(Use),
    /// `SHOW`, `DESCRIBE`, `SET` without a key.
    Inspect(Box<Inspect>),
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

/// `INSERT INTO table [PARTITION (…)] [(columns)] query`.
#[derive(Clone, Debug)]
pub struct Insert {
    /// The sink.
    pub table: TableName,
    /// The options of its hint `/*+ OPTIONS(…) */`.
    pub options: Vec<TableOption>,
    /// The columns of `PARTITION (column = value)` that have one value in all rows.
    pub partition: Vec<PartitionValue>,
    /// The columns that the query's columns go to, in its order; empty: the table's own.
    pub columns: Vec<Name>,
    /// The rows.
    pub query: Query,
    /// Where the statement begins.
    pub position: Position,
}

/// `column = value` of a PARTITION clause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionValue {
    /// The column.
    pub column: Name,
    /// The value as text, as a cast from STRING reads it; `None` is NULL.
    pub value: Option<String>,
    /// Where the value was written.
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
    /// `CREATE TABLE … AS`: the table and its insert.
    CreateTableAs(Box<CreateTable>, Box<AsQuery>),
}

/// A query whose window table functions have become names.
#[derive(Clone, Debug)]
pub struct Query {
    /// The tree; where a window table function stood there is a table named [`WindowCall::placeholder`], with the alias
    /// that the function had.
    pub ast: Box<ast::Query>,
    /// The window table functions, inner ones before those that read them.
    pub windows: Vec<WindowCall>,
    /// The hints `/*+ OPTIONS(…) */` of its tables.
    pub hints: Vec<TableHint>,
    /// The query as it was written, but for white space and comments.
    pub text: String,
    /// Where the query begins.
    pub position: Position,
    /// What its names stand for: known once the session has taken the statement in.
    pub moment: Moment,
}

/// What stands behind a table's name in a query: `/*+ OPTIONS('key' = 'value') */`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableHint {
    /// The name's last part as the tree has it, see [`TableHint::split`]; unique in the text.
    pub marked: String,
    /// The options, over the table's own.
    pub options: Vec<TableOption>,
    /// Where the hint begins.
    pub position: Position,
}

impl TableHint {
    /// What separates a name from the number of its hint; no name that a user can write has it.
    pub const MARK: char = '\u{1}';

    /// The name as it was written, and whether there is a hint behind it.
    #[must_use]
    pub fn split(part: &str) -> (&str, bool) {
        part.split_once(Self::MARK).map_or((part, false), |(name, _)| (name, true))
    }
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
