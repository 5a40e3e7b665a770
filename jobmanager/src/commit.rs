//! Runs the committers of a job's sinks.
//!
//! Invariant: only what the core decided, or what a completed snapshot holds, is committed, sink by sink; a failure names the sink. It
//! remembers nothing: all operations are idempotent and the core repeats them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_api::error::{Code, Error, Result};
use weir_api::fail_point::FailPoint;
use weir_api::graph::OperatorNode;
use weir_api::id::{Attempt, CheckpointId, JobId, OperatorUid, VertexIndex};
use weir_api::sink::{Blobs, CommitScope, Prepared, Sink};
use weir_proto::v1::operator_spec::Kind;
use weir_snapshots::blobs::BlobFolder;
use weir_snapshots::manifest::Manifest;

use crate::control::job::record::SinkCommit;
use crate::control::regions::Vertices;
use crate::snapshots::recover::Found;
use crate::snapshots::{JobPlan, Snapshots};

/// How long the sinks of a job may take to commit before it is tried again.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(600);
/// How long they may take to remove leftovers before the job goes on without.
const ABORT_TIMEOUT: Duration = Duration::from_secs(30);

/// What is needed to find a job's sinks.
#[derive(Clone)]
pub(crate) struct Sinks {
    pub(crate) snapshots: Snapshots,
    pub(crate) plan: JobPlan,
}

/// Whose output a snapshot holds.
pub(crate) struct Origin<'a> {
    job: JobId,
    attempt: Attempt,
    found: &'a Found,
}

impl<'a> Origin<'a> {
    pub(crate) const fn of(found: &'a Found) -> Self {
        Self { job: found.manifest.job, attempt: found.manifest.attempt, found }
    }
}

impl Sinks {
    /// Makes output visible: of a checkpoint, while the job runs, or (`None`) its last, when it has ended. Then it also removes what
    /// earlier attempts left.
    pub(crate) async fn commit(
        &self,
        attempt: Attempt,
        checkpoint: Option<CheckpointId>,
        sinks: Vec<SinkCommit>,
    ) -> Result<()> {
        if checkpoint.is_some() {
            FailPoint::PointerPublished.passed().await?;
        }
        let blobs = self.snapshots.blobs(&self.plan, attempt)?;
        let fence = checkpoint.is_none().then_some(attempt);
        let all = async {
            let mut runs = Vec::new();
            for commit in sinks {
                let node = self.node(&commit)?;
                let Some(sink) = self.sink(node)? else { continue };
                let mut prepared = commit.prepared;
                if checkpoint.is_some() && sink.commits_in_task() {
                    // Tasks that live commit themselves.
                    prepared.retain(|one| commit.ended.contains(&one.subtask));
                    if prepared.is_empty() {
                        continue;
                    }
                }
                let parallelism = self.parallelism(node);
                let scope = self.scope(self.plan.job, node, fence, parallelism, blobs.clone());
                runs.push(run(sink, node, scope, prepared));
            }
            together(runs).await
        };
        in_time(all).await?;
        if checkpoint.is_some() {
            return FailPoint::BeforeNotify.passed().await;
        }
        if attempt.0 > 1 {
            self.abort(Attempt(attempt.0 - 1)).await;
        }
        Ok(())
    }

    /// Makes visible what the job's own snapshot holds, and keeps the attempts up to this one from committing anything after that:
    /// those of all sinks, or only those of `part`, beside which the others go on.
    pub(crate) async fn fence(
        &self,
        attempt: Attempt,
        part: Option<&Vertices>,
        found: Option<&Found>,
        writers: &BTreeMap<OperatorUid, u32>,
    ) -> Result<()> {
        let blobs = self.snapshots.blobs(&self.plan, attempt)?;
        let all = async {
            let mut runs = Vec::new();
            for (vertex, node) in self.placed_nodes() {
                let Some(sink) = self.sink(node)? else { continue };
                let is_over = part.is_none_or(|part| part.contains(&vertex));
                // Tasks that live commit themselves.
                if !is_over && sink.commits_in_task() {
                    continue;
                }
                let prepared = found.map_or_else(Vec::new, |found| prepared(&found.manifest, &node.uid));
                let most = writers.get(&node.uid).copied().unwrap_or(0).max(self.parallelism(node));
                let fence = is_over.then_some(attempt);
                let scope = self.scope(self.plan.job, node, fence, most, blobs.clone());
                runs.push(run(sink, node, scope, prepared));
            }
            together(runs).await
        };
        in_time(all).await
    }

    /// Makes visible what another job's snapshot holds, in that job's name: what that job has committed itself isn't committed
    /// twice. Without a fence: that job may be running.
    pub(crate) async fn commit_snapshot(
        &self,
        origin: Origin<'_>,
        manifest: &Manifest,
        writers: &BTreeMap<OperatorUid, u32>,
    ) -> Result<()> {
        let (storage, _) = self.snapshots.open(&origin.found.retained.path)?;
        let folder = origin.found.folder.blobs(manifest.kind);
        let blobs: Arc<dyn Blobs> = Arc::new(BlobFolder::new(storage, folder, origin.attempt));
        let all = async {
            let mut runs = Vec::new();
            for node in self.nodes() {
                let prepared = prepared(manifest, &node.uid);
                let Some(sink) = self.sink(node)?.filter(|_| !prepared.is_empty()) else { continue };
                let most = writers.get(&node.uid).copied().unwrap_or(0);
                let scope = self.scope(origin.job, node, None, most, Some(Arc::clone(&blobs)));
                runs.push(run(sink, node, scope, prepared));
            }
            together(runs).await
        };
        in_time(all).await
    }

    /// A savepoint holds what is prepared: it isn't removed with what the attempts left.
    pub(crate) async fn keep(&self, manifest: &Manifest) -> Result<()> {
        let blobs = self.snapshots.blobs(&self.plan, manifest.attempt)?;
        let all = async {
            for node in self.nodes() {
                let prepared = prepared(manifest, &node.uid);
                let committer = match self.sink(node)? {
                    Some(sink) if !prepared.is_empty() => sink.committer(),
                    _ => None,
                };
                let Some(committer) = committer else { continue };
                let parallelism = self.parallelism(node);
                let scope = self.scope(self.plan.job, node, None, parallelism, blobs.clone());
                let kept = committer.keep(&scope, &prepared).await;
                kept.map_err(|error| error.context(format!("keep the output of sink {}", node.name)))?;
            }
            Ok(())
        };
        in_time(all).await
    }

    /// Removes what the attempts up to this one left uncommitted, as far as that goes.
    pub(crate) async fn abort(&self, attempt: Attempt) {
        let job = self.plan.job;
        let all = async {
            for node in self.nodes() {
                let aborted = match self.sink(node).map(|sink| sink.and_then(|sink| sink.committer())) {
                    Ok(Some(committer)) => committer.abort(job, attempt).await,
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                };
                if let Err(error) = aborted {
                    let error = error.chain();
                    tracing::warn!(%job, %attempt, sink = node.name, error, "uncommitted output stays");
                }
            }
        };
        if tokio::time::timeout(ABORT_TIMEOUT, all).await.is_err() {
            tracing::warn!(%job, %attempt, "removing uncommitted output takes too long; the job goes on");
        }
    }

    /// The sinks whose output becomes visible by a commit.
    pub(crate) fn committing(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for node in self.nodes() {
            if self.sink(node)?.is_some_and(|sink| sink.committer().is_some()) {
                names.push(node.name.clone());
            }
        }
        Ok(names)
    }

    fn nodes(&self) -> impl Iterator<Item = &OperatorNode> {
        self.placed_nodes().map(|(_, node)| node)
    }

    fn placed_nodes(&self) -> impl Iterator<Item = (VertexIndex, &OperatorNode)> {
        let vertices = (0..).map(VertexIndex).zip(self.plan.graph.vertices());
        let nodes = vertices.flat_map(|(index, vertex)| vertex.chain.iter().map(move |node| (index, node)));
        nodes.filter(|(_, node)| matches!(node.spec.kind, Some(Kind::Sink(_))))
    }

    fn node(&self, sink: &SinkCommit) -> Result<&OperatorNode> {
        let vertex = self.plan.graph.vertices().get(sink.vertex.0 as usize);
        vertex.and_then(|vertex| vertex.chain.get(sink.operator as usize)).ok_or_else(|| {
            Error::new(
                Code::MalformedMessage,
                format!("results of operator {} of vertex {}, which isn't there", sink.operator, sink.vertex),
            )
        })
    }

    fn parallelism(&self, node: &OperatorNode) -> u32 {
        let mut vertices = self.plan.graph.vertices().iter();
        let vertex = vertices.find(|vertex| vertex.chain.iter().any(|other| other.uid == node.uid));
        vertex.map_or(0, |vertex| vertex.parallelism)
    }

    fn scope(
        &self,
        job: JobId,
        node: &OperatorNode,
        fence: Option<Attempt>,
        parallelism: u32,
        blobs: Option<Arc<dyn Blobs>>,
    ) -> CommitScope {
        CommitScope { job, uid: node.uid.to_string(), fence, parallelism, blobs }
    }

    fn sink(&self, node: &OperatorNode) -> Result<Option<Arc<dyn Sink>>> {
        match node.spec.kind.as_ref() {
            Some(Kind::Sink(spec)) => {
                let table = spec.table.as_ref().ok_or_else(|| {
                    Error::new(Code::MalformedMessage, format!("sink {} without a table", node.name))
                })?;
                self.snapshots.connectors().sink(table).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// What a snapshot holds of a sink's output, subtask by subtask, each one's oldest first.
fn prepared(manifest: &Manifest, uid: &OperatorUid) -> Vec<Prepared> {
    let operators = manifest.operators.iter().filter(|operator| operator.uid == *uid);
    let mut all = Vec::new();
    for subtask in operators.flat_map(|operator| &operator.subtasks) {
        for pending in &subtask.committables {
            all.extend(pending.entries.iter().map(|entry| Prepared {
                checkpoint: pending.checkpoint,
                subtask: subtask.index,
                committable: entry.clone(),
            }));
        }
    }
    all
}

/// All sinks at once, each to its end: one may have to wait for what another one ends. Transactions that a lost attempt left open
/// hold up whoever reads the progress topic that its sinks share.
async fn together(runs: Vec<impl Future<Output = Result<()>>>) -> Result<()> {
    futures::future::join_all(runs).await.into_iter().collect()
}

async fn run(
    sink: Arc<dyn Sink>,
    node: &OperatorNode,
    scope: CommitScope,
    prepared: Vec<Prepared>,
) -> Result<()> {
    let Some(committer) = sink.committer() else {
        if prepared.is_empty() {
            return Ok(());
        }
        let what = format!("sink {} prepared results but has no committer", node.name);
        return Err(Error::internal(what));
    };
    let committed = committer.commit(&scope, prepared).await;
    committed.map_err(|error| error.context(format!("commit sink {}", node.name)))
}

async fn in_time(all: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::time::timeout(COMMIT_TIMEOUT, all).await.map_err(|_| {
        Error::new(Code::Io, format!("the sinks didn't commit within {} s", COMMIT_TIMEOUT.as_secs()))
    })?
}
