//! From operators to the job graph: chains become vertices.
//!
//! An operator joins its producer's chain if rows stay in their subtask and nobody else reads the producer's results.

use weir_api::error::{Error, Result};
use weir_api::graph::{JobEdge, JobGraph, JobVertex, OperatorNode, Partitioning};
use weir_api::id::OperatorUid;
use weir_proto::v1::OperatorSpec;
use weir_proto::v1::operator_spec::Kind as Spec;

use super::config::PlannerConfig;
use super::operators::{Operator, Port};

/// Vertices and edges, in topological order.
pub(crate) struct Layout {
    pub vertices: Vec<JobVertex>,
    pub edges: Vec<JobEdge>,
}

/// Chains the operators.
pub(super) fn layout(operators: Vec<Operator>, config: &PlannerConfig) -> Result<Layout> {
    let mut consumers = vec![0_usize; operators.len()];
    for (port, _) in operators.iter().flat_map(|operator| &operator.inputs) {
        // A side output leaves the chain wherever its operator stands in it.
        if let Some(count) = consumers.get_mut(port.operator).filter(|_| !port.side) {
            *count += 1;
        }
    }
    let uids: Vec<OperatorUid> = operators.iter().map(|operator| operator.uid.clone()).collect();
    // The vertex of each operator so far.
    let mut placed: Vec<usize> = Vec::with_capacity(operators.len());
    let mut chains: Vec<(u32, Vec<OperatorNode>)> = Vec::new();
    let mut edges = Vec::new();
    for operator in operators {
        let Operator { uid, name, spec, schema, parallelism, inputs } = operator;
        let node = OperatorNode { uid, name, spec: OperatorSpec { kind: Some(spec) }, output_schema: schema };
        let joined = match inputs.as_slice() {
            [(Port { operator: producer, side: false }, Partitioning::Forward)]
                if config.chaining && consumers.get(*producer) == Some(&1) =>
            {
                placed.get(*producer).copied()
            }
            _ => None,
        };
        let vertex = match joined {
            Some(vertex) => {
                let (_, chain) =
                    chains.get_mut(vertex).ok_or_else(|| Error::internal("a chain that isn't there"))?;
                chain.push(node);
                vertex
            }
            None => {
                let target = chains.len();
                for (port, partitioning) in inputs {
                    let before = || Error::internal("an operator before its input");
                    let source = *placed.get(port.operator).ok_or_else(before)?;
                    let side_output = match port.side {
                        true => Some(uids.get(port.operator).ok_or_else(before)?.clone()),
                        false => None,
                    };
                    edges.push(JobEdge { source, target, input: 0, partitioning, side_output });
                }
                chains.push((parallelism, vec![node]));
                target
            }
        };
        placed.push(vertex);
    }
    let vertices = chains
        .into_iter()
        .map(|(parallelism, chain)| JobVertex::new(chain, parallelism))
        .collect::<Result<_>>()?;
    Ok(Layout { vertices, edges })
}

/// The layout as a job.
pub(super) fn job_graph(layout: Layout, config: PlannerConfig) -> Result<JobGraph> {
    let name = config.name.unwrap_or_else(|| default_name(&layout));
    JobGraph::new(name, config.max_parallelism, layout.vertices, layout.edges, config.all)
}

/// Flink's name for an insert.
fn default_name(layout: &Layout) -> String {
    let sinks =
        layout.vertices.iter().flat_map(|vertex| &vertex.chain).filter_map(|node| match &node.spec.kind {
            Some(Spec::Sink(sink)) => sink.table.as_ref().map(|table| table.name.as_str()),
            _ => None,
        });
    format!("insert-into_{}", sinks.collect::<Vec<_>>().join(","))
}
