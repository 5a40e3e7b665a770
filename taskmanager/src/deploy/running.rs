//! The tasks that run in this process: found for cancellation, sampled for metrics, counted for the end of a session.
//!
//! Invariant: a task is here from its deployment until it has ended and everything that it held is dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_api::id::{Attempt, ExecutionId, JobId};
use weir_proto::v1::{Split, SubtaskId, SubtaskMetrics};

use crate::metrics::Labels;
use crate::region::Region;
use crate::task::checkpoint::Notice;
use crate::task::{Mailbox, TaskMetrics};

/// All tasks of this process; clones are the same one.
#[derive(Clone)]
pub(crate) struct Running {
    tasks: Arc<Mutex<HashMap<ExecutionId, Entry>>>,
    count: Arc<watch::Sender<usize>>,
}

struct Entry {
    labels: Arc<Labels>,
    metrics: Arc<TaskMetrics>,
    cancel: CancellationToken,
    mailbox: Mailbox,
    /// Looks since the cancellation that found the task still here.
    overdue: u32,
}

impl Running {
    pub(crate) fn new() -> Self {
        Self { tasks: Arc::default(), count: Arc::new(watch::Sender::new(0)) }
    }

    /// A task is about to start; the token cancels it, the mailbox takes splits for it.
    pub(crate) fn add(
        &self,
        id: ExecutionId,
        labels: Labels,
        metrics: Arc<TaskMetrics>,
        mailbox: Mailbox,
    ) -> CancellationToken {
        let cancel = CancellationToken::new();
        let entry = Entry { labels: Arc::new(labels), metrics, cancel: cancel.clone(), mailbox, overdue: 0 };
        let mut tasks = self.lock();
        tasks.insert(id, entry);
        self.count.send_replace(tasks.len());
        cancel
    }

    /// A task has ended; answers its last figures.
    pub(crate) fn remove(&self, id: ExecutionId) -> Option<SubtaskMetrics> {
        let mut tasks = self.lock();
        let entry = tasks.remove(&id);
        self.count.send_replace(tasks.len());
        entry.map(|entry| entry.metrics.snapshot(subtask_id(id)))
    }

    /// Hands splits to a task; one that isn't here has ended, and whoever comes after it gets them with its deployment.
    pub(crate) fn add_splits(&self, id: ExecutionId, first: usize, splits: Vec<Split>) {
        let mailbox = self.lock().get(&id).map(|entry| entry.mailbox.clone());
        match mailbox {
            Some(mailbox) => mailbox.put(first, splits),
            None => tracing::debug!(task = %id, count = splits.len(), "splits for a task that has ended"),
        }
    }

    /// Tells something to the tasks of this attempt, of no other.
    pub(crate) fn notify(&self, job: JobId, attempt: Attempt, notice: &Notice) {
        for (id, entry) in self.lock().iter() {
            if id.job == job && id.attempt == attempt {
                entry.mailbox.notify(notice.clone());
            }
        }
    }

    /// Cancels the tasks of attempts up to this one in a part of the job.
    pub(crate) fn cancel(&self, job: JobId, attempt: Attempt, region: &Region) {
        for (id, entry) in self.lock().iter() {
            if id.job == job && id.attempt <= attempt && region.has_vertex(id.vertex.0) {
                entry.cancel.cancel();
            }
        }
    }

    /// Cancels everything; answers which attempts that were.
    pub(crate) fn cancel_all(&self) -> Vec<(JobId, Attempt)> {
        let tasks = self.lock();
        tasks.values().for_each(|entry| entry.cancel.cancel());
        let mut jobs: Vec<_> = tasks.keys().map(|id| (id.job, id.attempt)).collect();
        jobs.sort_unstable();
        jobs.dedup();
        jobs
    }

    /// A look at the cancelled tasks: answers one that is still here after so many of them.
    pub(crate) fn overdue(&self, looks: u32) -> Option<ExecutionId> {
        let mut tasks = self.lock();
        let cancelled = tasks.iter_mut().filter(|(_, entry)| entry.cancel.is_cancelled());
        cancelled.fold(None, |found, (id, entry)| {
            entry.overdue += 1;
            found.or((entry.overdue > looks).then_some(*id))
        })
    }

    /// Waits until nothing runs.
    pub(crate) async fn drained(&self) {
        // The sender lives as long as `self`, so this can't fail.
        let _ = self.count.subscribe().wait_for(|&count| count == 0).await;
    }

    /// The figures of all tasks, in a fixed order.
    pub(crate) fn snapshot(&self) -> Vec<(ExecutionId, Arc<Labels>, SubtaskMetrics)> {
        let mut figures: Vec<_> = self
            .lock()
            .iter()
            .map(|(id, entry)| (*id, Arc::clone(&entry.labels), entry.metrics.snapshot(subtask_id(*id))))
            .collect();
        figures.sort_unstable_by_key(|(id, ..)| *id);
        figures
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExecutionId, Entry>> {
        // No critical section can panic half-way.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's identity as it travels.
pub(crate) fn subtask_id(id: ExecutionId) -> SubtaskId {
    SubtaskId {
        job_id: id.job.as_bytes().to_vec(),
        attempt: id.attempt.0,
        vertex: id.vertex.0,
        subtask: id.subtask.0,
    }
}
