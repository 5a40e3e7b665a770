//! Runs the committers of a job's sinks.
//!
//! Invariant: only what the core decided is committed, sink by sink; a failure names the sink. It remembers nothing: both
//! operations are idempotent and the core repeats them.

use std::sync::Arc;
use std::time::Duration;

use weir_api::connector::ConnectorRegistry;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::{JobGraph, OperatorNode};
use weir_api::id::{Attempt, CheckpointId, JobId, SubtaskIndex};
use weir_api::sink::{CommitScope, Prepared};
use weir_proto::v1::operator_spec::Kind;

use crate::control::job::record::SinkCommit;

/// How long the sinks of a job may take to commit before it is tried again.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(600);
/// How long they may take to remove leftovers before the job goes on without.
const ABORT_TIMEOUT: Duration = Duration::from_secs(30);

/// What is needed to find a job's sinks.
#[derive(Clone)]
pub(crate) struct Sinks {
    pub(crate) registry: ConnectorRegistry,
    pub(crate) job: JobId,
    pub(crate) graph: Arc<JobGraph>,
}

impl Sinks {
    /// Makes the results visible, then removes what earlier attempts left.
    pub(crate) async fn commit(&self, attempt: Attempt, sinks: Vec<SinkCommit>) -> Result<()> {
        let all = async {
            for sink in sinks {
                let node = self.node(&sink)?;
                let committer = self.committer(node)?.ok_or_else(|| {
                    Error::internal(format!("sink {} prepared results but has no committer", node.name))
                })?;
                let scope = CommitScope {
                    job: self.job,
                    uid: node.uid.to_string(),
                    fence: None,
                    parallelism: 0,
                    blobs: None,
                };
                let prepared = sink.committables.into_iter().map(|payload| Prepared {
                    checkpoint: CheckpointId(0),
                    subtask: SubtaskIndex(0),
                    committable: payload.into(),
                });
                committer
                    .commit(&scope, prepared.collect())
                    .await
                    .map_err(|error| error.context(format!("commit sink {}", node.name)))?;
            }
            Ok::<(), Error>(())
        };
        tokio::time::timeout(COMMIT_TIMEOUT, all).await.map_err(|_| {
            Error::new(Code::Io, format!("the sinks didn't commit within {} s", COMMIT_TIMEOUT.as_secs()))
        })??;
        if attempt.0 > 1 {
            self.abort(Attempt(attempt.0 - 1)).await;
        }
        Ok(())
    }

    /// Removes what the attempts up to this one left uncommitted, as far as that goes.
    pub(crate) async fn abort(&self, attempt: Attempt) {
        let all = async {
            for node in self.graph.vertices().iter().filter_map(|vertex| vertex.chain.last()) {
                let aborted = match self.committer(node) {
                    Ok(Some(committer)) => committer.abort(self.job, attempt).await,
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                };
                if let Err(error) = aborted {
                    let error = error.chain();
                    tracing::warn!(job = %self.job, %attempt, sink = node.name, error, "uncommitted output stays");
                }
            }
        };
        if tokio::time::timeout(ABORT_TIMEOUT, all).await.is_err() {
            tracing::warn!(job = %self.job, %attempt, "removing uncommitted output takes too long; the job goes on");
        }
    }

    fn node(&self, sink: &SinkCommit) -> Result<&OperatorNode> {
        let vertex = self.graph.vertices().get(sink.vertex.0 as usize);
        vertex.and_then(|vertex| vertex.chain.get(sink.operator as usize)).ok_or_else(|| {
            Error::new(
                Code::MalformedMessage,
                format!("results of operator {} of vertex {}, which isn't there", sink.operator, sink.vertex),
            )
        })
    }

    fn committer(&self, node: &OperatorNode) -> Result<Option<Box<dyn weir_api::sink::Committer>>> {
        match node.spec.kind.as_ref() {
            Some(Kind::Sink(spec)) => {
                let table = spec.table.as_ref().ok_or_else(|| {
                    Error::new(Code::MalformedMessage, format!("sink {} without a table", node.name))
                })?;
                Ok(self.registry.sink(table)?.committer())
            }
            _ => Ok(None),
        }
    }
}
