//! A job with one sink, as JobManager and TaskManagers run it: barriers, completions, commits, crashes, restarts.
//!
//! Invariant: it does what the protocol of `weir_api::sink` allows and nothing else. Rows are numbers that never come twice, so
//! the model is a set: the numbers that committed checkpoints hold.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use weir_api::error::{Error, Result};
use weir_api::id::{Attempt, CheckpointId, JobId, SubtaskIndex};
use weir_api::metrics::OperatorMetrics;
use weir_api::sink::{CommitScope, Committer, Prepared, SinkWriter, WriterContext};

use super::Subject;
use super::blobs::MemoryBlobs;

/// What didn't go as it must.
pub type Outcome = std::result::Result<(), String>;

/// The operator's uid.
const UID: &str = "sink-1";
/// How long a writer may take to commit, and others to see it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A writer, with what it prepared and isn't committed yet.
pub struct Task {
    subtask: u32,
    writer: Box<dyn SinkWriter>,
    pending: Vec<Prepared>,
    /// The rows of each checkpoint that is pending, and those since the last barrier.
    rows: Vec<(CheckpointId, Vec<i64>)>,
    fresh: Vec<i64>,
}

/// What all tasks have acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Its id.
    pub id: CheckpointId,
    /// All output that wasn't committed when it was taken.
    pub prepared: Vec<Prepared>,
    rows: Vec<i64>,
}

impl Snapshot {
    /// Its rows aren't looked for any more: they have been taken away.
    pub fn forget_rows(&mut self) {
        self.rows.clear();
    }
}

/// See the module.
pub struct Job<'a> {
    subject: &'a dyn Subject,
    io: Handle,
    slot: Runtime,
    blobs: Arc<MemoryBlobs>,
    id: JobId,
    attempt: Attempt,
    /// The most writers that it ever had.
    most: u32,
    checkpoint: CheckpointId,
    next_row: i64,
    tasks: Vec<Task>,
    /// The last completed checkpoint.
    pointer: Snapshot,
    /// The job that the first attempt's snapshot is of, and its writers.
    origin: Option<(JobId, u32)>,
    committed: BTreeSet<i64>,
}

impl<'a> Job<'a> {
    /// A job that hasn't started.
    pub fn new(subject: &'a dyn Subject, io: &Handle) -> std::result::Result<Self, String> {
        Ok(Self {
            subject,
            io: io.clone(),
            slot: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .map_err(|error| error.to_string())?,
            blobs: Arc::default(),
            id: new_id(),
            attempt: Attempt(0),
            most: 0,
            checkpoint: CheckpointId(0),
            next_row: 0,
            tasks: Vec::new(),
            pointer: Snapshot::default(),
            origin: None,
            committed: BTreeSet::new(),
        })
    }

    /// Another job that is started from a snapshot of this one.
    pub fn restored_from(&self, snapshot: &Snapshot) -> std::result::Result<Self, String> {
        let mut job = Self::new(self.subject, &self.io)?;
        job.blobs = Arc::clone(&self.blobs);
        // Numbers of its own, above those that this one writes.
        job.next_row = self.next_row + 1_000_000;
        job.committed.clone_from(&self.committed);
        job.pointer = snapshot.clone();
        job.checkpoint = snapshot.id;
        job.origin = Some((self.id, self.most));
        Ok(job)
    }

    /// How many writers there are.
    pub fn parallelism(&self) -> usize {
        self.tasks.len()
    }

    /// A new attempt: what the last checkpoint holds is committed, writers of earlier attempts are fenced, what they left goes.
    pub fn start(&mut self, parallelism: u32) -> Outcome {
        let fence = self.attempt;
        self.attempt = fence.next();
        let mut pointer = self.pointer.clone();
        if let Some((job, most)) = self.origin.take() {
            // In that job's name: what it has committed itself isn't committed twice.
            // Without a fence: that job may be running.
            let scope = CommitScope { job, parallelism: most, ..self.scope(None) };
            self.committing(scope, &pointer, None)?;
            self.committed.extend(&pointer.rows);
            pointer = Snapshot { id: pointer.id, ..Snapshot::default() };
            self.pointer = pointer.clone();
        }
        self.commit_fenced(fence, &pointer)?;
        self.abort(fence)?;
        self.most = self.most.max(parallelism);
        for subtask in 0..parallelism {
            let writer = self.sink()?.writer(WriterContext {
                job: self.id,
                attempt: self.attempt,
                uid: UID.to_owned(),
                subtask,
                parallelism,
                io: self.io.clone(),
                metrics: Arc::new(OperatorMetrics::default()),
                blobs: Some(self.blobs.clone()),
            });
            let writer = writer.map_err(|error| explained("make a writer", &error))?;
            self.tasks.push(Task {
                subtask,
                writer,
                pending: Vec::new(),
                rows: Vec::new(),
                fresh: Vec::new(),
            });
        }
        Ok(())
    }

    /// All tasks die at once; the tasks, for who lets them live on as zombies.
    pub fn crash(&mut self) -> Vec<Task> {
        std::mem::take(&mut self.tasks)
    }

    /// So many rows for every task, in batches.
    pub fn write(&mut self, rows: i64) -> Outcome {
        for task in &mut self.tasks {
            let first = self.next_row;
            self.next_row += rows;
            for start in (first..first + rows).step_by(100) {
                let numbers = start..(start + 100).min(first + rows);
                task.write(&self.slot, self.subject, numbers)?;
            }
        }
        Ok(())
    }

    /// A barrier goes through all tasks.
    pub fn barrier(&mut self) -> std::result::Result<Snapshot, String> {
        self.checkpoint = self.checkpoint.next();
        let mut snapshot = Snapshot { id: self.checkpoint, ..Snapshot::default() };
        for task in &mut self.tasks {
            task.prepare(&self.slot, self.checkpoint)?;
            snapshot.prepared.extend(task.pending.iter().cloned());
            snapshot.rows.extend(task.rows.iter().flat_map(|(_, rows)| rows));
        }
        snapshot.prepared.sort_by_key(|prepared| (prepared.checkpoint, prepared.subtask));
        Ok(snapshot)
    }

    /// The job's pointer leads to the checkpoint.
    pub fn publish(&mut self, snapshot: &Snapshot) {
        self.pointer = snapshot.clone();
    }

    /// The checkpoint's output becomes visible, while the job runs.
    pub fn commit(&mut self, snapshot: &Snapshot) -> Outcome {
        if !self.sink()?.commits_in_task() {
            self.commit_in_job_manager(None, snapshot)?;
        }
        for task in &mut self.tasks {
            task.writer.commit(snapshot.id).map_err(|error| explained("commit in a task", &error))?;
        }
        for task in &mut self.tasks {
            task.committed(&self.slot, snapshot.id)?;
        }
        self.committed.extend(&snapshot.rows);
        Ok(())
    }

    /// A whole checkpoint.
    pub fn checkpoint(&mut self) -> Outcome {
        let snapshot = self.barrier()?;
        self.publish(&snapshot);
        self.commit(&snapshot)
    }

    /// A commit of what a sink without commits in tasks prepared, as the JobManager makes it while the job runs.
    pub fn commit_in_job_manager(&self, fence: Option<Attempt>, snapshot: &Snapshot) -> Outcome {
        self.committing(self.scope(fence), snapshot, None)
    }

    /// One that is broken off after so long, as by the JobManager's death.
    pub fn commit_broken_off(&self, fence: Option<Attempt>, snapshot: &Snapshot, after: Duration) -> Outcome {
        self.committing(self.scope(fence), snapshot, Some(after))
    }

    /// Whether the sink's writers commit.
    pub fn commits_in_task(&self) -> std::result::Result<bool, String> {
        Ok(self.sink()?.commits_in_task())
    }

    /// The attempt that runs.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Commits and keeps writers of attempts up to `fence` from committing anything more.
    pub fn commit_fenced(&mut self, fence: Attempt, snapshot: &Snapshot) -> Outcome {
        self.committing(self.scope(Some(fence)), snapshot, None)?;
        self.committed.extend(&snapshot.rows);
        Ok(())
    }

    /// A savepoint, beside the job's checkpoints, holds the snapshot.
    pub fn keep(&self, snapshot: &Snapshot) -> Outcome {
        let committer = self.committer()?;
        let (scope, prepared) = (self.scope(None), snapshot.prepared.clone());
        let kept = self.on_io(async move { committer.keep(&scope, &prepared).await })?;
        kept.map_err(|error| explained("keep output for a savepoint", &error))
    }

    /// Removes what attempts up to this one left.
    pub fn abort(&self, attempt: Attempt) -> Outcome {
        let (committer, job) = (self.committer()?, self.id);
        let aborted = self.on_io(async move { committer.abort(job, attempt).await })?;
        aborted.map_err(|error| explained("remove leftovers", &error))
    }

    /// The input ends: tasks prepare what is left and finish, the JobManager commits it, nothing else stays.
    pub fn finish(mut self) -> Outcome {
        let last = self.barrier()?;
        self.publish(&last);
        self.tasks.clear();
        self.commit_fenced(self.attempt, &last)?;
        self.abort(self.attempt)?;
        self.expect("when the job has finished")?;
        let leftovers = self.subject.leftovers().map_err(|error| explained("look for leftovers", &error))?;
        if leftovers.is_empty() { Ok(()) } else { Err(format!("the job has left {leftovers:?}")) }
    }

    /// Another system takes the output away; false where that can't be.
    pub fn take_away(&mut self) -> std::result::Result<bool, String> {
        let taken = self.subject.take_away().map_err(|error| explained("take the output away", &error))?;
        if taken {
            self.committed.clear();
            self.pointer.rows.clear();
        }
        Ok(taken)
    }

    /// Others see exactly what was committed.
    pub fn expect(&self, when: &str) -> Outcome {
        let mut seen = self
            .subject
            .visible()
            .map_err(|error| explained(&format!("look at the output {when}"), &error))?;
        seen.sort_unstable();
        let expected: Vec<_> = self.committed.iter().copied().collect();
        if seen == expected {
            return Ok(());
        }
        let missing: Vec<_> = expected.iter().filter(|row| seen.binary_search(row).is_err()).collect();
        let strange: Vec<_> = seen.iter().filter(|row| !self.committed.contains(row)).collect();
        Err(format!(
            "{when}: {} rows are seen, {} were committed; {} are missing (of them {:?}), {} weren't committed (of them {:?}), {} are there twice",
            seen.len(),
            expected.len(),
            missing.len(),
            missing.iter().take(5).collect::<Vec<_>>(),
            strange.len(),
            strange.iter().take(5).collect::<Vec<_>>(),
            seen.windows(2).filter(|pair| pair[0] == pair[1]).count(),
        ))
    }

    /// What a task does that doesn't know that its attempt is over. It may fail at any step.
    pub fn haunt(&mut self, zombies: &mut [Task]) {
        let completed = self.pointer.id;
        for zombie in zombies {
            let first = self.next_row;
            self.next_row += 10;
            let _ = zombie.writer.commit(completed);
            let _ = zombie.write(&self.slot, self.subject, first..first + 10);
            let next = CheckpointId(self.checkpoint.0 + 1_000);
            let _ = zombie.prepare(&self.slot, next);
            let _ = zombie.writer.commit(next);
            let flush = poll_fn(|context| zombie.writer.poll_flush(context));
            let _ = self.slot.block_on(async { tokio::time::timeout(Duration::from_secs(10), flush).await });
        }
    }

    fn sink(&self) -> std::result::Result<Arc<dyn weir_api::sink::Sink>, String> {
        self.subject.sink().map_err(|error| explained("make the sink", &error))
    }

    fn committer(&self) -> std::result::Result<Box<dyn Committer>, String> {
        self.sink()?.committer().ok_or_else(|| "the sink has no committer".to_owned())
    }

    fn scope(&self, fence: Option<Attempt>) -> CommitScope {
        CommitScope {
            job: self.id,
            uid: UID.to_owned(),
            fence,
            parallelism: self.most,
            blobs: Some(self.blobs.clone()),
        }
    }

    fn committing(&self, scope: CommitScope, snapshot: &Snapshot, broken_off: Option<Duration>) -> Outcome {
        let committer = self.committer()?;
        let prepared = snapshot.prepared.clone();
        let commit = async move { committer.commit(&scope, prepared).await };
        let committed = match broken_off {
            None => self.on_io(commit)?,
            Some(after) => {
                let limited = async move { tokio::time::timeout(after, commit).await };
                self.on_io(limited)?.unwrap_or(Ok(()))
            }
        };
        committed.map_err(|error| explained(&format!("commit checkpoint {}", snapshot.id), &error))
    }

    /// The JobManager's work runs on the I/O runtime.
    fn on_io<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> std::result::Result<T, String> {
        self.slot.block_on(self.io.spawn(work)).map_err(|error| format!("the JobManager panicked: {error}"))
    }
}

impl Task {
    fn write(&mut self, slot: &Runtime, subject: &dyn Subject, numbers: Range<i64>) -> Outcome {
        let written: Result<()> = slot.block_on(async {
            poll_fn(|context| self.writer.poll_ready(context)).await?;
            self.writer.write(subject.batch(numbers.clone()))
        });
        self.fresh.extend(numbers);
        written.map_err(|error| explained("write", &error))
    }

    fn prepare(&mut self, slot: &Runtime, checkpoint: CheckpointId) -> Outcome {
        let committables = slot
            .block_on(async {
                poll_fn(|context| self.writer.poll_flush(context)).await?;
                poll_fn(|context| self.writer.poll_prepare(checkpoint, context)).await
            })
            .map_err(|error| explained(&format!("prepare for checkpoint {checkpoint}"), &error))?;
        let subtask = SubtaskIndex(self.subtask);
        self.pending.extend(committables.into_iter().map(|committable| Prepared {
            checkpoint,
            subtask,
            committable,
        }));
        self.rows.push((checkpoint, std::mem::take(&mut self.fresh)));
        Ok(())
    }

    /// Waits until the writer has committed up to `completed`, and forgets what that held.
    fn committed(&mut self, slot: &Runtime, completed: CheckpointId) -> Outcome {
        slot.block_on(async {
            let mut waited = Duration::ZERO;
            while self.writer.committed(completed) < completed {
                if waited >= PATIENCE {
                    return Err(format!(
                        "the writer hasn't committed checkpoint {completed} after {waited:?}"
                    ));
                }
                // Errors come from any call.
                let mut context = Context::from_waker(Waker::noop());
                if let Poll::Ready(Err(error)) = self.writer.poll_flush(&mut context) {
                    return Err(explained("commit in a task", &error));
                }
                tokio::time::sleep(LOOK).await;
                waited += LOOK;
            }
            Ok(())
        })?;
        self.pending.retain(|prepared| prepared.checkpoint > completed);
        self.rows.retain(|(checkpoint, _)| *checkpoint > completed);
        Ok(())
    }
}

fn explained(doing: &str, error: &Error) -> String {
    format!("{doing}: {}", error.chain())
}

/// An id that no other run of any test has.
fn new_id() -> JobId {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let seed = std::hash::BuildHasher::hash_one(
        &std::hash::RandomState::new(),
        COUNT.fetch_add(1, Ordering::Relaxed),
    );
    JobId::from_bytes((u128::from(seed) << 64 | u128::from(std::process::id())).to_be_bytes())
}
