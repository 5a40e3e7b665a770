//! Asks a source of a running job for the splits that have come since it was asked last.
//!
//! Decides how long that may take and how many splits a job may have. It remembers nothing: what came of a question is the
//! core's to keep, and a question that fails is asked again.

use std::sync::Arc;

use weir_api::connector::ConnectorRegistry;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::JobGraph;
use weir_api::id::VertexIndex;
use weir_proto::v1::{Split, SplitAssignment};

use crate::submit::{DISCOVERY_TIMEOUT, MAX_SPLITS, check_size, table};

/// One question to one source.
pub(crate) struct Question {
    pub(crate) registry: ConnectorRegistry,
    pub(crate) graph: Arc<JobGraph>,
    pub(crate) vertex: VertexIndex,
    /// What all sources of the job have said so far.
    pub(crate) known: Arc<Vec<SplitAssignment>>,
}

impl Question {
    /// The splits that have come.
    pub(crate) async fn ask(self) -> Result<Vec<Split>> {
        let Self { registry, graph, vertex, known } = self;
        let missing = || Error::internal(format!("vertex {vertex} looks for splits but isn't a source"));
        let source = graph.vertices().get(vertex.0 as usize).ok_or_else(missing)?;
        let reader = registry.source(table(source).ok_or_else(missing)?)?;
        let own = known.iter().filter(|assignment| assignment.vertex == vertex.0);
        let own: Vec<Split> = own.flat_map(|assignment| assignment.splits.iter().cloned()).collect();
        let found = tokio::time::timeout(DISCOVERY_TIMEOUT, reader.discover_more(&own))
            .await
            .map_err(|_| {
                let seconds = DISCOVERY_TIMEOUT.as_secs();
                Error::new(Code::Io, format!("the source didn't answer within {seconds} s"))
            })
            .flatten()
            .map_err(|error| error.context(format_args!("look for further splits of '{}'", source.name)))?;
        if !found.is_empty() {
            check_room(&graph, &known, vertex, &found)?;
        }
        Ok(found)
    }
}

/// With what was found the job must still be deployable.
fn check_room(
    graph: &JobGraph,
    known: &[SplitAssignment],
    vertex: VertexIndex,
    found: &[Split],
) -> Result<()> {
    let count = known.iter().map(|assignment| assignment.splits.len()).sum::<usize>() + found.len();
    if count > MAX_SPLITS {
        return Err(Error::new(
            Code::InvalidArgument,
            format!(
                "the job would have {count} splits, more than {MAX_SPLITS}; start it anew without those it has read"
            ),
        ));
    }
    let mut all = known.to_vec();
    all.push(SplitAssignment { vertex: vertex.0, subtask: 0, splits: found.to_vec() });
    check_size(graph, &all)
}
