//! Publishes what a checkpoint holds and its writers didn't publish: in the JobManager, before an attempt starts and at the end.
//!
//! Invariant: every transactional id is taken before the progress topic is read, and what is missing is published by the same
//! session; so whatever a writer of the fenced attempts still does, it publishes nothing after that. Without a fence, as when
//! another job was restored from this one's savepoint, ids are taken only if something of theirs is missing: the job may be
//! running, and its task would be restarted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use tokio::runtime::Handle;
use weir_api::error::{Code, Error, Result};
use weir_api::id::{Attempt, JobId};
use weir_api::sink::{CommitScope, Committer, Prepared};

use super::Log;
use super::committable::Output;
use super::limits;
use super::patience::Patience;
use super::progress;
use super::publisher::{Publisher, Role, Stored};

/// Transactional ids that are worked on at once: each has a client with its threads, and at most a chunk in memory.
const AT_ONCE: usize = 8;
/// What a try may take beside the time until brokers end a transaction that somebody left open.
const MARGIN: Duration = Duration::from_secs(30);

/// See the module.
pub struct LogCommitter {
    log: Arc<Log>,
}

/// A transactional id and what it is to publish, the oldest first.
struct Task {
    id: String,
    outputs: Vec<Output>,
    /// Whose owner may be at work: it isn't taken without need.
    is_spared: bool,
}

/// Ends what blocks when nobody waits any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl LogCommitter {
    /// For a table.
    pub fn new(log: Arc<Log>) -> Self {
        Self { log }
    }

    /// Whose turn it is, by id.
    fn tasks(&self, scope: &CommitScope, prepared: &[Prepared]) -> Result<Vec<Task>> {
        let writers = prepared.iter().map(|one| one.subtask.0 + 1).max().unwrap_or(0).max(scope.parallelism);
        let own = (0..writers).map(|subtask| self.log.transactional_id(scope.job, &scope.uid, subtask));
        let mut tasks: BTreeMap<String, Task> = match scope.fence {
            Some(_) => {
                own.map(|id| (id.clone(), Task { id, outputs: Vec::new(), is_spared: false })).collect()
            }
            None => BTreeMap::new(),
        };
        let job = scope.job.to_string();
        for one in prepared {
            let output = Output::of(&one.committable)?;
            if output.header.checkpoint != one.checkpoint.0 {
                return Err(Error::new(
                    Code::SnapshotDamaged,
                    format!(
                        "table {}: output that checkpoint {} holds says that it is of checkpoint {}",
                        self.log.table, one.checkpoint, output.header.checkpoint
                    ),
                ));
            }
            let is_spared = scope.fence.is_none() || output.header.job != job;
            let id = output.header.transactional_id.clone();
            let task = tasks.entry(id.clone()).or_insert_with(|| Task { id, outputs: Vec::new(), is_spared });
            task.outputs.push(output);
        }
        for task in tasks.values_mut() {
            task.outputs.sort_by_key(|output| output.header.checkpoint);
        }
        Ok(tasks.into_values().collect())
    }
}

#[async_trait]
impl Committer for LogCommitter {
    async fn commit(&self, scope: &CommitScope, prepared: Vec<Prepared>) -> Result<()> {
        let tasks = self.tasks(scope, &prepared)?;
        drop(prepared);
        let cancelled = CancelOnDrop(Arc::default());
        let time = self.log.properties.api_timeout.max(self.log.transaction_timeout() + MARGIN);
        let io = Handle::current();
        let work = Arc::new(Work {
            log: Arc::clone(&self.log),
            patience: Patience::of(time, Arc::clone(&cancelled.0)),
            stored: Stored { blobs: scope.blobs.clone(), io: io.clone() },
            io,
        });
        let mut tasks = tasks.into_iter().peekable();
        while tasks.peek().is_some() {
            work.group(tasks.by_ref().take(AT_ONCE).collect()).await?;
        }
        Ok(())
    }

    /// Transactions that were left open are aborted by who takes the id next, or by the brokers after a while; there is nothing
    /// else to remove.
    async fn abort(&self, _job: JobId, _attempt: Attempt) -> Result<()> {
        Ok(())
    }
}

struct Work {
    log: Arc<Log>,
    patience: Patience,
    stored: Stored,
    io: Handle,
}

impl Work {
    /// Takes the ids of a group, finds out what is missing, publishes it.
    async fn group(self: &Arc<Self>, tasks: Vec<Task>) -> Result<()> {
        let (spared, fenced): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|task| task.is_spared);
        let mut tasks = fenced;
        if !spared.is_empty() {
            let looked = self.blocking(move |work| work.missing(spared)).await?;
            tasks.extend(looked.into_iter().filter(|task| !task.outputs.is_empty()));
        }
        let opened = try_join_all(tasks.into_iter().map(|task| {
            self.blocking(move |work| {
                let mut publisher = work.publisher(&task)?;
                publisher.open()?;
                // A client has threads: who has nothing to publish is done.
                Ok((!task.outputs.is_empty()).then_some((publisher, task)))
            })
        }))
        .await?;
        let (publishers, tasks): (Vec<_>, Vec<_>) = opened.into_iter().flatten().unzip();
        if tasks.is_empty() {
            return Ok(());
        }
        let tasks = self.blocking(move |work| work.missing(tasks)).await?;
        try_join_all(publishers.into_iter().zip(tasks).map(|(mut publisher, task)| {
            self.blocking(move |work| {
                publisher.knows();
                task.outputs.iter().try_for_each(|output| publisher.publish(output, &work.stored))
            })
        }))
        .await?;
        Ok(())
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let me = Arc::clone(self);
        self.io.spawn_blocking(move || work(&me)).await.map_err(|error| {
            Error::new(Code::Internal, "publishing to Kafka in the JobManager ended early").with_source(error)
        })?
    }

    fn publisher(&self, task: &Task) -> Result<Publisher> {
        let topics: Vec<String> =
            task.outputs.iter().flat_map(|output| output.header.topics.clone()).collect();
        let message_bytes = limits::message_bytes(&self.log, &self.io, &topics, &self.patience)?;
        Ok(Publisher::new(
            Arc::clone(&self.log),
            task.id.clone(),
            message_bytes,
            self.patience.clone(),
            Role::Committer,
        ))
    }

    /// Leaves out what is published.
    fn missing(&self, mut tasks: Vec<Task>) -> Result<Vec<Task>> {
        let mut known = BTreeMap::new();
        for output in tasks.iter().flat_map(|task| &task.outputs) {
            if !known.contains_key(&output.header.progress_topic) {
                let progress = progress::read(&self.log, &output.header, &self.patience)?;
                known.insert(output.header.progress_topic.clone(), progress);
            }
        }
        for task in &mut tasks {
            let mut missing = Vec::with_capacity(task.outputs.len());
            for output in std::mem::take(&mut task.outputs) {
                let progress = known.get(&output.header.progress_topic);
                let is_published = progress
                    .map(|progress| progress.is_published(&self.log.table, &output.header))
                    .transpose()?;
                if is_published != Some(true) {
                    missing.push(output);
                }
            }
            task.outputs = missing;
        }
        Ok(tasks)
    }
}
