//! Obeys the JobManager's commands one after the other: starts what is placed here, cancels, drains.
//!
//! Invariants: all partitions and gates of a deployment exist before its first task runs; every subtask that was announced as
//! deploying gets exactly one final state; a deployment that can't be understood fails the job instead of hanging it. Commands
//! are obeyed in order, so a cancellation never overtakes the deployment that it is about.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::mpsc;
use weir_api::error::Code;
use weir_api::id::{Attempt, ExecutionId, JobId, TaskManagerId};
use weir_api::{Error, Result};
use weir_proto::v1::{DeployTasks, Split, TaskState};

use super::plan::{Plan, Subtask, meant_for};
use super::reports::Reports;
use super::running::Running;
use crate::metrics::Labels;
use crate::network::Network;
use crate::region::Region;
use crate::slot::{Ended, Launch, Slot, payload_text};
use crate::snapshot::{Home, Restoration};
use crate::task::checkpoint::Notice;
use crate::task::{Blueprint, Environment, Mailbox, TaskMetrics};

/// What the executor is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Start the tasks that are placed here.
    Deploy(JobId, Attempt, Box<DeployTasks>),
    /// Cancel the tasks of attempts up to this one in a part of the job, or in all of it.
    Cancel(JobId, Attempt, Region),
    /// Hand splits, which follow the first so many, to a task.
    AddSplits(ExecutionId, usize, Vec<Split>),
    /// Tell all tasks of the job's attempt.
    Checkpoint(JobId, Attempt, Notice),
    /// Cancel everything and say so when nothing runs any more.
    Drain,
}

/// Starts and cancels the tasks of one process.
pub(crate) struct Executor {
    pub(crate) own: TaskManagerId,
    pub(crate) slots: Vec<Slot>,
    pub(crate) network: Network,
    pub(crate) environment: Arc<Environment>,
    pub(crate) running: Running,
    pub(crate) reports: Reports,
}

impl Executor {
    /// Obeys until the commands end; then cancels what runs and answers the slots.
    pub(crate) async fn run(
        self,
        mut commands: mpsc::Receiver<Command>,
        drained: mpsc::Sender<()>,
    ) -> Vec<Slot> {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Deploy(job, attempt, message) => self.deploy(job, attempt, *message).await,
                Command::Cancel(job, attempt, region) => {
                    tracing::info!(%job, %attempt, ?region, "cancelling");
                    self.running.cancel(job, attempt, &region);
                    self.network.release(job, attempt, &region);
                }
                Command::AddSplits(task, first, splits) => {
                    tracing::info!(%task, count = splits.len(), "more splits");
                    self.running.add_splits(task, first, splits);
                }
                Command::Checkpoint(job, attempt, notice) => {
                    tracing::debug!(%job, %attempt, ?notice, "about a checkpoint");
                    self.running.notify(job, attempt, &notice);
                }
                Command::Drain => {
                    self.drain().await;
                    // Whoever asked may be gone by now.
                    let _ = drained.send(()).await;
                }
            }
        }
        self.drain().await;
        self.slots
    }

    async fn drain(&self) {
        for (job, attempt) in self.running.cancel_all() {
            self.network.release(job, attempt, &Region::default());
        }
        self.running.drained().await;
    }

    async fn deploy(&self, job: JobId, attempt: Attempt, message: DeployTasks) {
        let slots = self.slots.len() as u32;
        let meant = meant_for(job, attempt, &message, self.own.as_str());
        let plan =
            catch_unwind(AssertUnwindSafe(|| Plan::new(job, attempt, message, self.own.as_str(), slots)));
        let plan = plan.unwrap_or_else(|panic| {
            Err(Error::new(
                Code::MalformedMessage,
                format!("the deployment can't be decoded: {}", payload_text(panic.as_ref())),
            ))
        });
        let plan = match plan {
            Ok(plan) => plan,
            Err(error) => {
                tracing::error!(%job, %attempt, error = %error.chain(), "can't start a deployment");
                for task in meant {
                    self.reports.failed(task, &error, self.environment.clock.as_ref()).await;
                }
                return;
            }
        };
        tracing::info!(%job, %attempt, name = plan.graph.name(), subtasks = plan.subtasks.len(), "deploying");
        let restoration = plan.restore.clone().map(|restore| {
            let stores = Arc::clone(&self.environment.stores);
            let home = Home { job, location: plan.checkpoint_location.clone() };
            Arc::new(Restoration::new(stores, restore, plan.graph.max_parallelism(), home))
        });
        let mut launches = Vec::with_capacity(plan.subtasks.len());
        for subtask in &plan.subtasks {
            launches.push((subtask.slot, self.prepare(&plan, subtask, restoration.clone()).await));
        }
        for (slot, launch) in launches {
            let slot = self.slots.get(slot.0 as usize);
            // The plan knows how many slots there are, and their threads live as long as this.
            if let Some(slot) = slot
                && let Err(error) = slot.launch(launch).await
            {
                tracing::error!(%job, %attempt, error = %error.chain(), "can't hand a task to its slot");
            }
        }
    }

    /// Makes everything of a task that other tasks may look for, and announces it.
    async fn prepare(&self, plan: &Plan, subtask: &Subtask, restoration: Option<Arc<Restoration>>) -> Launch {
        let id = ExecutionId {
            job: plan.job,
            attempt: plan.attempt,
            vertex: subtask.vertex,
            subtask: subtask.index,
        };
        let operators =
            plan.graph.vertices().get(subtask.vertex.0 as usize).map_or(0, |vertex| vertex.chain.len());
        let metrics = Arc::new(TaskMetrics::new(operators));
        let mailbox = Mailbox::new(subtask.splits.len());
        let cancel = self.running.add(id, labels(plan, id), Arc::clone(&metrics), mailbox.clone());
        self.reports.state(id, TaskState::Deploying).await;
        // What can't be made fails its task when that starts, like anything else that goes wrong in it.
        let blueprint = self.blueprint(plan, subtask, id, metrics, mailbox, restoration);
        let (reports, environment) = (self.reports.clone(), Arc::clone(&self.environment));
        let start = {
            let reports = reports.clone();
            move |turn| crate::task::run(blueprint, turn, environment, id, reports).boxed_local()
        };
        let (running, clock) = (self.running.clone(), Arc::clone(&self.environment.clock));
        let ended = move |ended| {
            async move {
                if let Some(metrics) = running.remove(id) {
                    reports.last_metrics(metrics).await;
                }
                match ended {
                    Ended::Finished(finished) => {
                        tracing::info!(task = %id, "finished");
                        reports.finished(id, finished.snapshot).await;
                    }
                    Ended::Cancelled => {
                        tracing::info!(task = %id, "canceled");
                        reports.state(id, TaskState::Canceled).await;
                    }
                    Ended::Failed(error) => {
                        tracing::error!(task = %id, error = %error.chain(), code = %error.code(), "failed");
                        reports.failed(id, &error, clock.as_ref()).await;
                    }
                }
            }
            .boxed()
        };
        Launch { job: plan.job, cancel, start: Box::new(start), ended: Box::new(ended) }
    }

    fn blueprint(
        &self,
        plan: &Plan,
        subtask: &Subtask,
        id: ExecutionId,
        metrics: Arc<TaskMetrics>,
        mailbox: Mailbox,
        restoration: Option<Arc<Restoration>>,
    ) -> Result<Blueprint> {
        let partitions = plan.partitions(subtask)?;
        let gates = plan.gates(subtask)?;
        Ok(Blueprint {
            id,
            graph: Arc::clone(&plan.graph),
            checkpoint_location: plan.checkpoint_location.clone(),
            restore: restoration,
            splits: subtask.splits.clone(),
            mailbox,
            partitions: partitions
                .iter()
                .map(|spec| self.network.result_partition(spec))
                .collect::<Result<_>>()?,
            gates: gates.iter().map(|spec| self.network.input_gate(spec)).collect::<Result<_>>()?,
            metrics,
        })
    }
}

fn labels(plan: &Plan, id: ExecutionId) -> Labels {
    let vertex = plan.graph.vertices().get(id.vertex.0 as usize);
    Labels {
        job_id: id.job.to_string(),
        job_name: plan.graph.name().to_owned(),
        task_id: vertex.map(|vertex| vertex.id.to_string()).unwrap_or_default(),
        task_name: vertex.map(|vertex| vertex.name.clone()).unwrap_or_default(),
        task_attempt_id: format!("{}_{}_{}_{}", id.job, id.vertex, id.subtask, id.attempt),
        task_attempt_num: id.attempt.0,
        subtask_index: id.subtask.0,
    }
}
