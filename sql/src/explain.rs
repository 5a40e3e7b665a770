//! `EXPLAIN`: the optimised logical plan and the streaming plan, as text and as a document.
//!
//! Invariant: what is shown is what would run; it comes from the same planning. It decides the layout of the text only.

mod document;

use std::fmt::Write;

use datafusion::arrow::datatypes::Schema;
use weir_api::config::Configuration;
use weir_api::error::{Code, Error};
use weir_api::graph::{JobVertex, OperatorNode, Partitioning};
use weir_api::schema::{decode, is_rowtime};
use weir_proto::v1::operator_spec::Kind as Spec;

pub use document::{
    ColumnDocument, InputDocument, OperatorDocument, PlanDocument, ProjectionDocument, SourceDocument,
    VertexDocument, WatermarkDocument,
};

use crate::catalog::Session;
use crate::error::{SqlError, SqlResult};
use crate::planner::{Explained, explain_inserts, explain_query, predicate_text};
use crate::statement::{Explain, ExplainTarget};
use crate::types::flink_type_name;

/// The detail that asks which kinds of rows operators emit.
const CHANGELOG_MODE: &str = "CHANGELOG_MODE";
/// The detail that asks for what a plan costs.
const ESTIMATED_COST: &str = "ESTIMATED_COST";
/// The detail that asks for the plan as a document too.
const JSON_EXECUTION_PLAN: &str = "JSON_EXECUTION_PLAN";
/// The detail that asks what could be better.
const PLAN_ADVICE: &str = "PLAN_ADVICE";

/// A plan for people and for programs.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// For people.
    pub text: String,
    /// For programs.
    pub plan: PlanDocument,
}

/// Explains a statement. `base` is the configuration that the session's own SETs are laid over.
pub fn explain(explain: &Explain, session: &Session, base: &Configuration) -> SqlResult<Explanation> {
    let explained = match &explain.target {
        ExplainTarget::Query(query) => explain_query(query, session, base)?,
        ExplainTarget::Inserts(inserts) => explain_inserts(inserts, session, base)?,
        ExplainTarget::CreateTableAs(create, _) => {
            let message = format!("the table {} isn't declared yet", create.name);
            return Err(SqlError::at(Code::Internal, explain.position, message));
        }
    };
    let asks = |detail: &str| explain.details.iter().any(|known| known == detail);
    let mut text = text_of(&explained, asks(CHANGELOG_MODE));
    let plan = document::document_of(&explained);
    if asks(ESTIMATED_COST) {
        text.push_str("\n== Estimated Cost ==\nnone: plans are made by rules, without statistics\n");
    }
    if asks(PLAN_ADVICE) {
        text.push_str("\n== Plan Advice ==\nnone\n");
    }
    if asks(JSON_EXECUTION_PLAN) {
        let json = serde_json::to_string_pretty(&plan)
            .map_err(|error| Error::internal("a plan isn't JSON").with_source(error))?;
        text.push_str("\n== Physical Execution Plan ==\n");
        text.push_str(&json);
        text.push('\n');
    }
    Ok(Explanation { text, plan })
}

fn text_of(explained: &Explained, changelog: bool) -> String {
    let mut text = String::from("== Optimized Logical Plan ==\n");
    for (sink, plan) in &explained.logical {
        let indent = match sink {
            Some(sink) => {
                push(&mut text, format_args!("Sink: {sink}"));
                "  "
            }
            None => "",
        };
        for line in plan.display_indent().to_string().lines() {
            push(&mut text, format_args!("{indent}{line}"));
        }
    }
    text.push_str("\n== Streaming Plan ==\n");
    for (index, vertex) in explained.layout.vertices.iter().enumerate() {
        vertex_text(&mut text, explained, index, vertex, changelog);
    }
    text
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string never fails.
    let _ = writeln!(text, "{line}");
}

fn vertex_text(text: &mut String, explained: &Explained, index: usize, vertex: &JobVertex, changelog: bool) {
    push(text, format_args!("Vertex {index}, parallelism {}", vertex.parallelism));
    for edge in explained.layout.edges.iter().filter(|edge| edge.target == index) {
        let schema = explained.layout.vertices.get(edge.source).and_then(JobVertex::output_schema);
        let how = partitioning_text(&edge.partitioning, schema.map(AsRef::as_ref));
        let what = match &edge.side_output {
            Some(uid) => format!(": what {uid} emits beside its results"),
            None => String::new(),
        };
        push(text, format_args!("  reads vertex {} by {how}{what}", edge.source));
    }
    for node in &vertex.chain {
        push(text, format_args!("  {}", node.name));
        push(text, format_args!("    uid: {}", node.uid));
        source_text(text, explained, node);
        if let Some(schema) = &node.output_schema {
            // Everything that can be planned so far only appends.
            let mode = if changelog { ", changelogMode=[I]" } else { "" };
            push(text, format_args!("    emits: {}{mode}", columns_text(schema)));
        }
    }
}

fn partitioning_text(partitioning: &Partitioning, schema: Option<&Schema>) -> String {
    match partitioning {
        Partitioning::Hash(columns) => {
            let names =
                columns.iter().map(|column| match schema.and_then(|schema| schema.fields().get(*column)) {
                    Some(field) => field.name().clone(),
                    None => column.to_string(),
                });
            format!("HASH[{}]", names.collect::<Vec<_>>().join(", "))
        }
        other => other.as_str().to_owned(),
    }
}

/// What the source does beyond reading.
fn source_text(text: &mut String, explained: &Explained, node: &OperatorNode) {
    let Some(Spec::Source(source)) = &node.spec.kind else { return };
    if let Some(table) = &source.table {
        push(text, format_args!("    table: {} (connector '{}')", table.name, table.connector));
        let declared = decode(&table.schema).map_or(0, |schema| leaves(&schema));
        let read = node.output_schema.as_ref().map_or(0, |schema| leaves(schema));
        push(text, format_args!("    projection pushed down: {read} of {declared} fields"));
    }
    if !source.filters.is_empty() {
        let filters: Vec<String> = source.filters.iter().map(predicate_text).collect();
        push(text, format_args!("    filters pushed down: {}", filters.join(" AND ")));
    }
    match &source.watermark {
        Some(watermark) => {
            let idle = match watermark.idle_timeout_millis {
                0 => String::new(),
                millis => format!(", idle after {millis} ms"),
            };
            let expression = explained.watermarks.get(&node.uid).map_or("?", String::as_str);
            push(text, format_args!("    watermark for {}: {expression}{idle}", watermark.column));
        }
        None => push(text, format_args!("    watermark: none (no window waits for it)")),
    }
}

/// How many columns and nested fields there are.
fn leaves(schema: &Schema) -> usize {
    fn count(data_type: &datafusion::arrow::datatypes::DataType) -> usize {
        match data_type {
            datafusion::arrow::datatypes::DataType::Struct(fields) => {
                fields.iter().map(|field| count(field.data_type())).sum()
            }
            _ => 1,
        }
    }
    schema.fields().iter().map(|field| count(field.data_type())).sum()
}

fn columns_text(schema: &Schema) -> String {
    let column = |field: &datafusion::arrow::datatypes::FieldRef| {
        let mark = if is_rowtime(field) { " *ROWTIME*" } else { "" };
        format!("{} {}{mark}", field.name(), flink_type_name(field.data_type(), field.is_nullable()))
    };
    schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
}
