//! Job graphs to and from their messages; what comes in is checked like what is planned.

use weir_proto::v1 as proto;

use super::{JobEdge, JobGraph, JobVertex, OperatorNode, Partitioning};
use crate::error::{Code, Error, Result};
use crate::id::{OperatorUid, VertexId};
use crate::schema;

impl From<&Partitioning> for proto::Partitioning {
    fn from(partitioning: &Partitioning) -> Self {
        use proto::partitioning as kind;
        let kind = match partitioning {
            Partitioning::Forward => kind::Kind::Forward(kind::Forward {}),
            Partitioning::Hash(columns) => kind::Kind::Hash(kind::Hash {
                columns: columns.iter().map(|&column| column as u32).collect(),
            }),
            Partitioning::Rebalance => kind::Kind::Rebalance(kind::Rebalance {}),
            Partitioning::Rescale => kind::Kind::Rescale(kind::Rescale {}),
            Partitioning::Broadcast => kind::Kind::Broadcast(kind::Broadcast {}),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<proto::Partitioning> for Partitioning {
    type Error = Error;

    fn try_from(message: proto::Partitioning) -> Result<Self> {
        use proto::partitioning::Kind;
        Ok(match message.kind {
            Some(Kind::Forward(_)) => Self::Forward,
            Some(Kind::Hash(hash)) => {
                Self::Hash(hash.columns.into_iter().map(|column| column as usize).collect())
            }
            Some(Kind::Rebalance(_)) => Self::Rebalance,
            Some(Kind::Rescale(_)) => Self::Rescale,
            Some(Kind::Broadcast(_)) => Self::Broadcast,
            None => return Err(Error::new(Code::MalformedMessage, "an edge without a partitioning")),
        })
    }
}

impl From<&JobGraph> for proto::JobGraph {
    fn from(graph: &JobGraph) -> Self {
        Self {
            name: graph.name.clone(),
            max_parallelism: graph.max_parallelism,
            vertices: graph.vertices.iter().map(vertex_to_message).collect(),
            edges: graph
                .edges
                .iter()
                .map(|edge| proto::JobEdge {
                    source: edge.source as u32,
                    target: edge.target as u32,
                    input: edge.input,
                    partitioning: Some((&edge.partitioning).into()),
                    side_output: edge
                        .side_output
                        .as_ref()
                        .map(|uid| uid.as_str().to_owned())
                        .unwrap_or_default(),
                })
                .collect(),
            config: graph.config.clone().into_iter().collect(),
        }
    }
}

fn vertex_to_message(vertex: &JobVertex) -> proto::JobVertex {
    proto::JobVertex {
        id: vertex.id.as_bytes().to_vec(),
        name: vertex.name.clone(),
        parallelism: vertex.parallelism,
        chain: vertex
            .chain
            .iter()
            .map(|node| proto::OperatorNode {
                uid: node.uid.as_str().to_owned(),
                name: node.name.clone(),
                spec: Some(node.spec.clone()),
                output_schema: node.output_schema.as_deref().map(schema::encode).unwrap_or_default(),
            })
            .collect(),
    }
}

impl TryFrom<proto::JobGraph> for JobGraph {
    type Error = Error;

    fn try_from(message: proto::JobGraph) -> Result<Self> {
        let vertices = message.vertices.into_iter().map(vertex_from_message).collect::<Result<_>>()?;
        let edges = message
            .edges
            .into_iter()
            .map(|edge| {
                let partitioning = edge
                    .partitioning
                    .ok_or_else(|| Error::new(Code::MalformedMessage, "an edge without a partitioning"))?;
                let side_output = match edge.side_output.as_str() {
                    "" => None,
                    uid => Some(OperatorUid::new(uid)?),
                };
                Ok(JobEdge {
                    source: edge.source as usize,
                    target: edge.target as usize,
                    input: edge.input,
                    partitioning: partitioning.try_into()?,
                    side_output,
                })
            })
            .collect::<Result<_>>()?;
        Self::new(
            message.name,
            message.max_parallelism,
            vertices,
            edges,
            message.config.into_iter().collect(),
        )
    }
}

fn vertex_from_message(message: proto::JobVertex) -> Result<JobVertex> {
    let chain = message
        .chain
        .into_iter()
        .map(|node| {
            let uid = OperatorUid::new(node.uid)?;
            let output_schema =
                if node.output_schema.is_empty() { None } else { Some(schema::decode(&node.output_schema)?) };
            let spec = node.spec.ok_or_else(|| {
                Error::new(Code::MalformedMessage, format!("operator {uid} without a spec"))
            })?;
            Ok(OperatorNode { uid, name: node.name, spec, output_schema })
        })
        .collect::<Result<Vec<_>>>()?;
    let id = VertexId::try_from_slice(&message.id)?;
    Ok(JobVertex { id, name: message.name, parallelism: message.parallelism, chain })
}
