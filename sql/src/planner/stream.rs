//! The streaming plan between DataFusion's logical plan and the job graph: a few kinds of nodes, columns by name.
//!
//! Invariants: inputs stand before their consumers; the columns of a node have distinct names; an expression names columns of
//! its node's input, unqualified. What a column means for event time is its [`Role`], tracked through plain references only:
//! an expression over a time attribute isn't one.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::Expr;
use weir_api::error::{Error, Result};
use weir_api::schema::mark_rowtime;
use weir_api::source::Boundedness;
use weir_proto::v1::aggregate_call::Function;
use weir_proto::v1::{Literal, Predicate, TableSpec};

use super::predicates::literal_text;
use super::table::BoundTable;
use crate::catalog::SideTable;
use crate::statement::WindowKind;

/// Position of a node in its plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct NodeId(pub usize);

/// What a column means for event time. Window columns name the node that made them: start and end of one node belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Nothing.
    Plain,
    /// The time attribute.
    Rowtime,
    /// The time at which a row is processed.
    Proctime,
    /// The first instant of the row's window.
    WindowStart(NodeId),
    /// The instant after the last of the row's window.
    WindowEnd(NodeId),
    /// The last instant of the row's window, which is a time attribute.
    WindowTime(NodeId),
}

impl Role {
    /// Whether windows can be built on the column.
    pub const fn is_rowtime(self) -> bool {
        matches!(self, Self::Rowtime | Self::WindowTime(_))
    }

    /// The node whose window the column speaks of.
    pub const fn window(self) -> Option<NodeId> {
        match self {
            Self::WindowStart(node) | Self::WindowEnd(node) | Self::WindowTime(node) => Some(node),
            Self::Plain | Self::Rowtime | Self::Proctime => None,
        }
    }
}

/// A node and what it emits.
#[derive(Clone)]
pub(super) struct Node {
    /// What it does.
    pub kind: Kind,
    /// What it reads.
    pub inputs: Vec<NodeId>,
    /// Its columns; time attributes are marked.
    pub schema: SchemaRef,
    /// The columns' roles.
    pub roles: Vec<Role>,
}

impl Node {
    /// The role of a column, `Plain` for one that isn't there.
    pub fn role(&self, column: &str) -> Role {
        self.schema
            .index_of(column)
            .ok()
            .and_then(|index| self.roles.get(index).copied())
            .unwrap_or(Role::Plain)
    }
}

/// What a node does.
#[derive(Clone)]
pub(super) enum Kind {
    Scan(Scan),
    Calc(Calc),
    Window(WindowTable),
    Unnest(Unnest),
    Aggregate(Aggregate),
    Over(Over),
    Union,
    Sink(Sink),
    /// What leaves its input beside its results.
    Side(Side),
}

/// A side output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// A source's records that couldn't be decoded.
    DeadLetters,
    /// A window aggregation's rows that came after their windows.
    LateRows,
}

/// Reads a table's physical columns.
#[derive(Clone)]
pub(super) struct Scan {
    pub table: Arc<BoundTable>,
    /// The physical columns that are read; structs may hold fewer fields than declared.
    pub fields: Vec<FieldRef>,
    /// What the connector has promised to apply.
    pub filters: Vec<Predicate>,
    /// The same, as expressions over the physical columns.
    pub accepted: Vec<Expr>,
    /// The watermark of a row, over the physical columns; `None` where nobody waits for it.
    pub watermark: Option<Expr>,
}

/// Filters, then projects.
#[derive(Clone)]
pub(super) struct Calc {
    pub predicate: Option<Expr>,
    pub projection: Vec<Item>,
}

/// A column of a [`Calc`].
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Item {
    pub name: String,
    pub expression: Expr,
    /// Whether it computes the declared time attribute of a table.
    pub rowtime: bool,
}

impl Item {
    /// A column that is passed on under its name.
    pub fn column(name: &str) -> Self {
        Self::renamed(name, name)
    }

    /// A column that is passed on under another name.
    pub fn renamed(column: &str, name: &str) -> Self {
        Self::new(name, column_named(column))
    }

    pub fn new(name: impl Into<String>, expression: Expr) -> Self {
        Self { name: name.into(), expression, rowtime: false }
    }

    /// The input's column, if it is passed on as it is.
    pub fn plain(&self) -> Option<&str> {
        match &self.expression {
            Expr::Column(column) => Some(&column.name),
            _ => None,
        }
    }
}

/// An expression that is a column of the input.
pub(super) fn column_named(name: &str) -> Expr {
    Expr::Column(datafusion::common::Column::new_unqualified(name))
}

/// Appends window columns, a row for each window that holds it.
#[derive(Clone)]
pub(super) struct WindowTable {
    pub window: WindowKind,
    pub time: String,
}

/// A row for each element of a collection.
#[derive(Clone)]
pub(super) struct Unnest {
    /// The array or map: a column of the input.
    pub collection: String,
    /// The columns of the input that are passed on.
    pub kept: Vec<String>,
    /// The columns of an element by their position in it, and their names.
    pub elements: Vec<(usize, String)>,
    /// The name of the column that numbers the elements.
    pub ordinality: Option<String>,
    /// Whether rows without elements are kept.
    pub outer: bool,
}

/// Which rows an aggregate's group spans.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Span {
    /// Windows over a time attribute.
    Window { window: WindowKind, time: String },
    /// The window that the rows carry.
    Attached { start: String, end: String },
    /// All rows of an input that ends.
    EndOfInput,
}

/// Groups and aggregates.
#[derive(Clone)]
pub(super) struct Aggregate {
    pub span: Span,
    pub keys: Vec<String>,
    pub calls: Vec<Call>,
    /// The window columns that are emitted, with their names.
    pub properties: Vec<(Property, String)>,
    /// Where late rows go, if not away.
    pub late: Option<Late>,
}

/// Running aggregates: from a key's first row to the current one.
#[derive(Clone)]
pub(super) struct Over {
    pub keys: Vec<String>,
    /// `None`: processing time.
    pub event: Option<EventOrder>,
    pub calls: Vec<Call>,
    /// The columns of the input that are passed on.
    pub kept: Vec<String>,
    /// Where late rows go, if not away.
    pub late: Option<Late>,
}

/// The order of event time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct EventOrder {
    /// The time attribute.
    pub time: String,
    /// Rows of one key and one time see each other: RANGE, not ROWS.
    pub peers: bool,
}

/// What becomes of an aggregation's late rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Late {
    /// The source table that they come from, or several.
    pub of: String,
    /// The table that takes them.
    pub into: SideTable,
    /// What is kept of a row: columns of the input and their names in the source table; empty: all of the input.
    pub columns: Vec<(String, String)>,
}

/// One aggregate function.
#[derive(Clone, PartialEq)]
pub(super) struct Call {
    pub function: Function,
    /// `None`: `COUNT(*)`.
    pub argument: Option<String>,
    /// Arguments that are the same for all rows.
    pub parameters: Vec<Literal>,
    /// A boolean column.
    pub filter: Option<String>,
    pub distinct: bool,
    /// Nulls are values, too.
    pub keeps_nulls: bool,
    /// Distinct from the aggregation's keys and window columns.
    pub name: String,
}

// What a call doesn't have isn't shown: uids are made of this text, and stay when calls can have more.
impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Call");
        shown.field("function", &self.function).field("argument", &self.argument);
        shown.field("filter", &self.filter).field("distinct", &self.distinct).field("name", &self.name);
        if !self.parameters.is_empty() {
            shown.field("parameters", &self.parameters);
        }
        if self.keeps_nulls {
            shown.field("keeps_nulls", &true);
        }
        shown.finish()
    }
}

impl Call {
    /// The call with a name that says what it does.
    pub fn named(mut self) -> Self {
        let mut name = format!("{}(", self.function.as_str_name().to_lowercase());
        if self.distinct {
            name.push_str("distinct ");
        }
        name.push_str(self.argument.as_deref().unwrap_or("*"));
        name.push_str(&self.parameters_text());
        name.push(')');
        if let Some(filter) = &self.filter {
            name.push_str(&format!(" where {filter}"));
        }
        self.name = name;
        self
    }

    /// What follows the argument in a call's text.
    pub fn parameters_text(&self) -> String {
        let mut text = String::new();
        for parameter in &self.parameters {
            text.push_str(", ");
            text.push_str(&literal_text(parameter));
        }
        // ARRAY_AGG keeps nulls unless it is told not to.
        if self.function == Function::ArrayAgg && !self.keeps_nulls {
            text.push_str(" ignore nulls");
        }
        text
    }

    /// Whether both yield the same.
    pub fn does_the_same(&self, other: &Self) -> bool {
        Self { name: String::new(), ..self.clone() } == Self { name: String::new(), ..other.clone() }
    }
}

/// A column of the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Property {
    Start,
    End,
    Time,
}

/// Writes to a table.
#[derive(Clone)]
pub(super) struct Sink {
    pub spec: TableSpec,
    /// The last part of the table's name.
    pub short_name: String,
}

/// A plan under construction; nodes that nobody reads are left out of the job.
pub(super) struct StreamPlan {
    /// DataFusion's options, for constants that are computed while planning.
    pub options: Arc<ConfigOptions>,
    pub nodes: Vec<Node>,
    /// The sinks, and queries that have none.
    pub roots: Vec<NodeId>,
}

impl StreamPlan {
    /// A plan without nodes.
    pub const fn new(options: Arc<ConfigOptions>) -> Self {
        Self { options, nodes: Vec::new(), roots: Vec::new() }
    }

    /// Adds a node; its columns follow from its inputs.
    pub fn add(&mut self, kind: Kind, inputs: Vec<NodeId>) -> Result<NodeId> {
        let id = NodeId(self.nodes.len());
        let (fields, roles) = self.columns_of(id, &kind, &inputs)?;
        let fields: Vec<Field> =
            fields.into_iter().zip(&roles).map(|(field, role)| marked(&field, role.is_rowtime())).collect();
        self.nodes.push(Node { kind, inputs, schema: Arc::new(Schema::new(fields)), roles });
        Ok(id)
    }

    /// A node of this plan.
    pub fn node(&self, id: NodeId) -> Result<&Node> {
        self.nodes.get(id.0).ok_or_else(|| Error::internal(format!("the plan has no node {}", id.0)))
    }

    /// The only input of a node.
    pub fn input(&self, id: NodeId) -> Result<NodeId> {
        match self.node(id)?.inputs.as_slice() {
            [input] => Ok(*input),
            inputs => Err(Error::internal(format!("a node with {} inputs where one belongs", inputs.len()))),
        }
    }

    /// Whether everything that a node reads ends.
    pub fn is_bounded(&self, id: NodeId) -> Result<bool> {
        let node = self.node(id)?;
        if let Kind::Scan(scan) = &node.kind {
            return Ok(scan.table.source.boundedness() == Boundedness::Bounded);
        }
        for input in &node.inputs {
            if !self.is_bounded(*input)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The field with the mark of a time attribute and no other metadata.
fn marked(field: &Field, rowtime: bool) -> Field {
    let plain = field.clone().with_metadata(Default::default());
    if rowtime { mark_rowtime(plain) } else { plain }
}

/// An error of DataFusion's where none can be: the query has been typed before.
pub(super) fn internal(error: &datafusion::common::DataFusionError) -> Error {
    Error::internal(format!("an expression of the plan can't be typed: {}", error.strip_backtrace()))
}
