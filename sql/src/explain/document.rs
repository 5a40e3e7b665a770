//! A plan as a document for programs: the same facts as its text.
//!
//! Invariant: fields are added, never renamed or removed; one that means something else gets another name. Its shape is in
//! docs/sql.md.

use datafusion::arrow::datatypes::Schema;
use serde::Serialize;
use weir_api::graph::{JobEdge, JobVertex, OperatorNode, Partitioning};
use weir_api::schema::{decode, is_rowtime};
use weir_proto::v1::operator_spec::Kind as Spec;

use super::leaves;
use crate::planner::{Explained, predicate_text};
use crate::types::flink_type_name;

/// A job's plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PlanDocument {
    /// The tables that are written to, in the order of the statements.
    pub sinks: Vec<String>,
    /// The vertices, each behind those that it reads.
    pub vertices: Vec<VertexDocument>,
}

/// A chain of operators that runs in one task for each of its subtasks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct VertexDocument {
    /// Its number, which inputs refer to.
    pub id: usize,
    /// The number of its subtasks.
    pub parallelism: u32,
    /// The edges into it.
    pub inputs: Vec<InputDocument>,
    /// Its chain, in the order of the rows.
    pub operators: Vec<OperatorDocument>,
}

/// An edge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InputDocument {
    /// The vertex that is read.
    pub vertex: usize,
    /// How its rows find their subtask: `FORWARD`, `HASH`, `REBALANCE` and so on.
    pub partitioning: &'static str,
    /// The columns of a `HASH`.
    pub columns: Vec<String>,
    /// The side output that is read, if it isn't the rows themselves.
    #[serde(rename = "sideOutput", skip_serializing_if = "Option::is_none")]
    pub side_output: Option<String>,
}

/// An operator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OperatorDocument {
    /// What its state is found by.
    pub uid: String,
    /// What it does, for people.
    pub name: String,
    /// The columns that it emits; a sink has none.
    pub output: Vec<ColumnDocument>,
    /// The kinds of rows that it emits: `I` for insertions.
    #[serde(rename = "changelogMode")]
    pub changelog_mode: Vec<&'static str>,
    /// What a source reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceDocument>,
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ColumnDocument {
    /// Its name.
    pub name: String,
    /// Its SQL type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether it is event time.
    pub rowtime: bool,
}

/// What a source reads, and what it does beyond that.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SourceDocument {
    /// The table's full name.
    pub table: String,
    /// Its connector.
    pub connector: String,
    /// How many columns and nested fields are read, of how many.
    pub projection: ProjectionDocument,
    /// The filters that the source applies; all of them hold.
    pub filters: Vec<String>,
    /// The watermark that it makes.
    pub watermark: Option<WatermarkDocument>,
}

/// A projection in a source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ProjectionDocument {
    /// The columns and nested fields that are read.
    pub read: usize,
    /// Those that the table has.
    pub declared: usize,
}

/// A watermark.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WatermarkDocument {
    /// The column of event time.
    pub column: String,
    /// The watermark of a row.
    pub expression: String,
    /// After how long without a row a split is idle; 0: never.
    #[serde(rename = "idleTimeoutMillis")]
    pub idle_timeout_millis: u64,
}

pub(super) fn document_of(explained: &Explained) -> PlanDocument {
    let layout = &explained.layout;
    let vertex = |(id, vertex): (usize, &JobVertex)| VertexDocument {
        id,
        parallelism: vertex.parallelism,
        inputs: layout
            .edges
            .iter()
            .filter(|edge| edge.target == id)
            .map(|edge| input(explained, edge))
            .collect(),
        operators: vertex.chain.iter().map(|node| operator(explained, node)).collect(),
    };
    PlanDocument {
        sinks: explained.logical.iter().filter_map(|(sink, _)| sink.clone()).collect(),
        vertices: layout.vertices.iter().enumerate().map(vertex).collect(),
    }
}

fn input(explained: &Explained, edge: &JobEdge) -> InputDocument {
    let schema = explained.layout.vertices.get(edge.source).and_then(JobVertex::output_schema);
    let name = |column: &usize| {
        let field = schema.and_then(|schema| schema.fields().get(*column));
        field.map_or_else(|| column.to_string(), |field| field.name().clone())
    };
    let columns = match &edge.partitioning {
        Partitioning::Hash(columns) => columns.iter().map(name).collect(),
        _ => Vec::new(),
    };
    InputDocument {
        vertex: edge.source,
        partitioning: edge.partitioning.as_str(),
        columns,
        side_output: edge.side_output.as_ref().map(ToString::to_string),
    }
}

fn operator(explained: &Explained, node: &OperatorNode) -> OperatorDocument {
    let output = node.output_schema.as_ref().map_or_else(Vec::new, |schema| columns(schema));
    OperatorDocument {
        uid: node.uid.to_string(),
        name: node.name.clone(),
        changelog_mode: if output.is_empty() { Vec::new() } else { vec!["I"] },
        output,
        source: source(explained, node),
    }
}

fn columns(schema: &Schema) -> Vec<ColumnDocument> {
    let column = |field: &datafusion::arrow::datatypes::FieldRef| ColumnDocument {
        name: field.name().clone(),
        data_type: flink_type_name(field.data_type(), field.is_nullable()),
        rowtime: is_rowtime(field),
    };
    schema.fields().iter().map(column).collect()
}

fn source(explained: &Explained, node: &OperatorNode) -> Option<SourceDocument> {
    let Some(Spec::Source(source)) = &node.spec.kind else { return None };
    let table = source.table.as_ref()?;
    let watermark = source.watermark.as_ref().map(|watermark| WatermarkDocument {
        column: watermark.column.clone(),
        expression: explained.watermarks.get(&node.uid).cloned().unwrap_or_default(),
        idle_timeout_millis: watermark.idle_timeout_millis,
    });
    Some(SourceDocument {
        table: table.name.clone(),
        connector: table.connector.clone(),
        projection: ProjectionDocument {
            read: node.output_schema.as_ref().map_or(0, |schema| leaves(schema)),
            declared: decode(&table.schema).map_or(0, |schema| leaves(&schema)),
        },
        filters: source.filters.iter().map(predicate_text).collect(),
        watermark,
    })
}
