//! What CREATE, ALTER and DROP say.

use std::fmt;

use datafusion::sql::sqlparser::ast::Expr;

use super::{Name, Position, Query, TableName};
use crate::types::FlinkType;

/// `CREATE [TEMPORARY] TABLE [IF NOT EXISTS] name (…) [COMMENT …] [PARTITIONED BY (…)] WITH (…)`.
#[derive(Clone, Debug)]
pub struct CreateTable {
    /// The table's name.
    pub name: TableName,
    /// Whether it hides another table of its name rather than colliding with it.
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
    Computed(Expression),
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

/// An expression, and how it was written.
#[derive(Clone, Debug)]
pub struct Expression {
    /// The tree.
    pub ast: Box<Expr>,
    /// The text, but for white space and comments.
    pub text: String,
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `WATERMARK FOR column AS expression`.
#[derive(Clone, Debug)]
pub struct WatermarkDefinition {
    /// The time attribute.
    pub column: Name,
    /// The watermark of one row.
    pub expression: Expression,
    /// Where the clause begins.
    pub position: Position,
}

/// `LIKE table [(…)]` behind a CREATE TABLE.
#[derive(Clone, Debug)]
pub struct Like {
    /// The table that is taken over.
    pub source: TableName,
    /// What becomes of its parts, where the clause says it.
    pub rules: Vec<(Feature, Merging)>,
}

/// A part of a table that LIKE speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// All the others.
    All,
    /// The primary key.
    Constraints,
    /// How rows are distributed; tables here aren't.
    Distribution,
    /// Computed columns.
    Generated,
    /// Metadata columns.
    Metadata,
    /// The options of WITH.
    Options,
    /// The columns of PARTITIONED BY.
    Partitions,
    /// The watermark.
    Watermarks,
}

/// What becomes of a part of the table that is taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merging {
    /// It is kept; the new table must not say the same again.
    Including,
    /// It is left out.
    Excluding,
    /// It is kept unless the new table says otherwise.
    Overwriting,
}

/// `AS query` behind a CREATE TABLE.
#[derive(Clone, Debug)]
pub struct AsQuery {
    /// The query's columns in the order that the table has them, where the statement lists names only.
    pub order: Vec<Name>,
    /// The rows.
    pub query: Query,
}

/// `CREATE [TEMPORARY] VIEW [IF NOT EXISTS] name [(columns)] [COMMENT …] AS query`.
#[derive(Clone, Debug)]
pub struct CreateView {
    /// The view's name.
    pub name: TableName,
    /// Whether it hides another view of its name rather than colliding with it.
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

/// `CREATE [TEMPORARY [SYSTEM]] FUNCTION [IF NOT EXISTS] name (parameters) RETURNS type [LANGUAGE SQL] RETURN expression`.
#[derive(Clone, Debug)]
pub struct CreateFunction {
    /// The function's name.
    pub name: TableName,
    /// Whether it hides another function of its name rather than colliding with it.
    pub temporary: bool,
    /// Whether it belongs to no database and hides a built-in function of its name.
    pub system: bool,
    /// Whether an existing function of this name is kept silently.
    pub if_not_exists: bool,
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// The type of its values.
    pub returns: FlinkType,
    /// Its value, over the parameters.
    pub body: Expression,
    /// Where the statement begins.
    pub position: Position,
}

/// A parameter of a function.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: Name,
    /// Its type: arguments are cast to it.
    pub data_type: FlinkType,
}

/// `CREATE CATALOG name WITH (…)` or `CREATE DATABASE [catalog.]name [COMMENT …] [WITH (…)]`.
#[derive(Clone, Debug)]
pub struct CreateNamespace {
    /// Whether it is a catalog, else a database.
    pub is_catalog: bool,
    /// The name, of one part for a catalog and of up to two for a database.
    pub name: TableName,
    /// Whether an existing one is kept silently.
    pub if_not_exists: bool,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
    /// `WITH (…)`, in the order written.
    pub options: Vec<TableOption>,
}

/// `ALTER TABLE [IF EXISTS] name …`.
#[derive(Clone, Debug)]
pub struct AlterTable {
    /// The table.
    pub name: TableName,
    /// Whether a missing one is fine.
    pub if_exists: bool,
    /// What changes.
    pub alteration: Alteration,
    /// Where the statement begins.
    pub position: Position,
}

/// What an ALTER TABLE changes.
#[derive(Clone, Debug)]
pub enum Alteration {
    /// `RENAME TO name`.
    Rename(TableName),
    /// `RENAME column TO name`.
    RenameColumn(Name, Name),
    /// `SET ('key' = 'value', …)`.
    Set(Vec<TableOption>),
    /// `RESET ('key', …)`.
    Reset(Vec<(String, Position)>),
    /// `ADD …`.
    Add(Vec<TableElement>),
    /// `MODIFY …`.
    Modify(Vec<TableElement>),
    /// `DROP column` or `DROP (column, …)`.
    DropColumns(Vec<Name>),
    /// `DROP PRIMARY KEY`, `DROP CONSTRAINT name`.
    DropKey(Position),
    /// `DROP WATERMARK`.
    DropWatermark(Position),
}

/// What ADD and MODIFY list.
#[derive(Clone, Debug)]
pub enum TableElement {
    /// A column.
    Column(ColumnDefinition, Option<ColumnPlace>),
    /// `PRIMARY KEY (…) NOT ENFORCED`.
    Key(Vec<Name>, Position),
    /// `WATERMARK FOR …`.
    Watermark(WatermarkDefinition),
}

/// Where a column goes.
#[derive(Clone, Debug)]
pub enum ColumnPlace {
    /// `FIRST`.
    First,
    /// `AFTER column`.
    After(Name),
}

/// `ALTER VIEW name …`.
#[derive(Clone, Debug)]
pub struct AlterView {
    /// The view.
    pub name: TableName,
    /// Whether a missing one is fine.
    pub if_exists: bool,
    /// What changes.
    pub alteration: ViewAlteration,
    /// Where the statement begins.
    pub position: Position,
}

/// What an ALTER VIEW changes.
#[derive(Clone, Debug)]
pub enum ViewAlteration {
    /// `RENAME TO name`.
    Rename(TableName),
    /// `AS query`.
    As(Box<Query>),
}

/// `DROP [TEMPORARY] TABLE|VIEW|… [IF EXISTS] name [RESTRICT|CASCADE]`.
#[derive(Clone, Debug)]
pub struct Drop {
    /// What is dropped.
    pub target: DropTarget,
    /// Whether the one that hides another is meant.
    pub temporary: bool,
    /// The name.
    pub name: TableName,
    /// Whether a missing one is fine.
    pub if_exists: bool,
    /// Whether a database goes with all that is in it.
    pub cascade: bool,
    /// Where the statement begins.
    pub position: Position,
}

/// What a DROP drops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropTarget {
    /// `DROP TABLE`.
    Table,
    /// `DROP VIEW`.
    View,
    /// `DROP FUNCTION`; `DROP TEMPORARY SYSTEM FUNCTION`, if true.
    Function {
        /// Whether it belongs to no database.
        system: bool,
    },
    /// `DROP DATABASE`.
    Database,
    /// `DROP CATALOG`.
    Catalog,
}
