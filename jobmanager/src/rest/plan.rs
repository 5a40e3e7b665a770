//! `/jobs/:id/plan`: the vertices and their inputs.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_api::graph::{JobEdge, JobGraph};

use super::App;
use super::error::Answer;
use super::path::OfJob;
use crate::control::job::Job;

/// The answer's outer shell.
#[derive(Serialize, ToSchema)]
pub(super) struct PlanInfo {
    plan: Plan,
}

/// A job's vertices and how they are connected.
#[derive(Serialize, ToSchema)]
pub(super) struct Plan {
    jid: String,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    nodes: Vec<Node>,
}

/// A vertex of a plan.
#[derive(Serialize, ToSchema)]
struct Node {
    id: String,
    parallelism: u32,
    operator: &'static str,
    operator_strategy: &'static str,
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<Input>,
    #[schema(value_type = Object)]
    optimizer_properties: serde_json::Value,
}

/// An edge into a vertex.
#[derive(Serialize, ToSchema)]
struct Input {
    num: usize,
    id: String,
    ship_strategy: &'static str,
    exchange: &'static str,
    /// The operator whose side output (dead letters, late rows) the edge carries; absent: the vertex's results.
    #[serde(skip_serializing_if = "Option::is_none")]
    side_output: Option<String>,
}

/// A job's vertices and how they are connected.
#[utoipa::path(get, path = "/jobs/{jobid}/plan", tag = "jobs", params(("jobid" = String, Path)),
    responses((status = 200, body = PlanInfo), (status = 404, body = super::error::Errors)))]
pub(super) async fn plan(State(app): State<App>, OfJob(id): OfJob) -> Answer<PlanInfo> {
    let plan = app.client.ask(move |core, _| core.job(id).map(Plan::of));
    Ok(Json(PlanInfo { plan: plan.await?? }))
}

impl Plan {
    pub(super) fn of(job: &Job) -> Self {
        let graph = &job.spec().graph;
        let node = |(index, vertex): (usize, &weir_api::graph::JobVertex)| Node {
            id: vertex.id.to_string(),
            parallelism: vertex.parallelism,
            operator: "",
            operator_strategy: "",
            description: vertex.name.clone(),
            inputs: graph
                .inputs(index)
                .enumerate()
                .map(|(num, (_, edge))| Input {
                    num,
                    id: graph
                        .vertices()
                        .get(edge.source)
                        .map(|source| source.id.to_string())
                        .unwrap_or_default(),
                    ship_strategy: edge.partitioning.as_str(),
                    exchange: "pipelined_bounded",
                    side_output: side_output(graph, edge),
                })
                .collect(),
            optimizer_properties: serde_json::json!({}),
        };
        Self {
            jid: job.id().to_string(),
            name: job.spec().name.clone(),
            kind: "STREAMING",
            nodes: graph.vertices().iter().enumerate().map(node).collect(),
        }
    }
}

/// The name of the operator whose side output an edge carries.
fn side_output(graph: &JobGraph, edge: &JobEdge) -> Option<String> {
    let uid = edge.side_output.as_ref()?;
    let chain = &graph.vertices().get(edge.source)?.chain;
    chain.iter().find(|node| node.uid == *uid).map(|node| node.name.clone())
}
