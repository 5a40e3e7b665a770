//! Messages of TaskManagers, read and checked.
//!
//! Invariant: what passes here is of a bounded size and has valid ids; whether it still counts is the core's decision.

use std::sync::Arc;

use weir_api::error::{Code, Error, Result};
use weir_api::id::{
    Attempt, CheckpointId, ExecutionId, JobId, LeaderEpoch, SubtaskIndex, TaskManagerId, VertexIndex,
};
use weir_proto::v1::{
    CheckpointAcknowledged, CheckpointDeclined, MetricsReport, Register, SubtaskId, TaskManagerMessage,
    TaskStateChanged, task_manager_message::Body,
};

use super::checkpoint::part::Part;
use super::event::{ManagerInfo, Said};
use super::task::TaskState;

/// The longest host name, address or version.
const MAX_NAME_BYTES: usize = 1_024;
/// The longest reason of a declined checkpoint that is kept.
const MAX_REASON_BYTES: usize = 4_096;

/// The first message of a session.
pub fn registration(message: TaskManagerMessage) -> Result<(LeaderEpoch, ManagerInfo)> {
    let epoch = LeaderEpoch(message.leader_epoch);
    match message.body {
        Some(Body::Register(register)) => Ok((epoch, info(register)?)),
        _ => Err(malformed("a session begins with a registration")),
    }
}

/// Any later message.
pub fn said(message: TaskManagerMessage) -> Result<(LeaderEpoch, Said)> {
    let epoch = LeaderEpoch(message.leader_epoch);
    let said = match message.body {
        None => return Err(malformed("a message without a body")),
        Some(Body::Register(_)) => return Err(malformed("a second registration in one session")),
        Some(Body::Heartbeat(_)) => Said::Heartbeat,
        Some(Body::TaskState(changed)) => task_state(changed)?,
        Some(Body::Metrics(report)) => metrics(report)?,
        Some(Body::CheckpointAcknowledged(acknowledged)) => checkpoint(acknowledged)?,
        Some(Body::CheckpointDeclined(declined)) => self::declined(declined)?,
    };
    Ok((epoch, said))
}

fn info(register: Register) -> Result<ManagerInfo> {
    let names = [&register.data_address, &register.metrics_address, &register.version, &register.host];
    if names.iter().any(|name| name.len() > MAX_NAME_BYTES) {
        return Err(malformed("a registration with a name of more than 1024 bytes"));
    }
    Ok(ManagerInfo {
        id: TaskManagerId::new(register.task_manager_id)?,
        data_address: register.data_address,
        metrics_address: register.metrics_address,
        slots: register.slots,
        version: register.version,
        host: register.host,
        cpu_cores: register.cpu_cores,
        physical_memory_bytes: register.physical_memory_bytes,
        network_memory_bytes: register.network_memory_bytes,
    })
}

fn task_state(changed: TaskStateChanged) -> Result<Said> {
    let state = TaskState::from_message(changed.state)
        .ok_or_else(|| malformed(&format!("the task state {}", changed.state)))?;
    let task = execution(changed.task)?;
    let part = if state == TaskState::Finished {
        let snapshot = changed.snapshot.unwrap_or_default();
        Some(Arc::new(Part { finished: true, ..Part::read(task.subtask, snapshot)? }))
    } else {
        None
    };
    Ok(Said::Task { task, state, failure: changed.failure, part })
}

fn checkpoint(acknowledged: CheckpointAcknowledged) -> Result<Said> {
    let task = execution(acknowledged.task)?;
    let snapshot = acknowledged.snapshot.ok_or_else(|| malformed("an acknowledgement without a snapshot"))?;
    let part = Part {
        alignment_millis: acknowledged.alignment_millis,
        freeze_micros: acknowledged.freeze_micros,
        upload_millis: acknowledged.upload_millis,
        ..Part::read(task.subtask, snapshot)?
    };
    let checkpoint = CheckpointId(acknowledged.checkpoint_id);
    Ok(Said::Acknowledged { task, checkpoint, part: Box::new(part) })
}

fn declined(declined: CheckpointDeclined) -> Result<Said> {
    let mut reason = declined.reason;
    if reason.len() > MAX_REASON_BYTES {
        let end = (0..=MAX_REASON_BYTES).rev().find(|end| reason.is_char_boundary(*end));
        reason.truncate(end.unwrap_or(0));
    }
    let checkpoint = CheckpointId(declined.checkpoint_id);
    Ok(Said::Declined { task: execution(declined.task)?, checkpoint, reason })
}

fn metrics(report: MetricsReport) -> Result<Said> {
    let tasks = report
        .subtasks
        .into_iter()
        .map(|mut metrics| Ok((execution(metrics.task.take())?, metrics)))
        .collect::<Result<_>>()?;
    Ok(Said::Metrics { tasks, process: report.process })
}

fn execution(id: Option<SubtaskId>) -> Result<ExecutionId> {
    let id = id.ok_or_else(|| malformed("a report about no task"))?;
    Ok(ExecutionId {
        job: JobId::try_from_slice(&id.job_id)?,
        attempt: Attempt(id.attempt),
        vertex: VertexIndex(id.vertex),
        subtask: SubtaskIndex(id.subtask),
    })
}

fn malformed(what: &str) -> Error {
    Error::new(Code::MalformedMessage, format!("the TaskManager sent {what}"))
}
