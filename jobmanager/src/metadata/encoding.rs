//! A job's record as bytes: a protobuf message with a format number.
//!
//! Invariant: what is decoded was checked like what is planned; a record that can't be understood is an error that names the
//! job, never a job that silently lacks something. The graph is the one part that another version may not understand; the SQL
//! beside it is what it can be planned from again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::JobGraph;
use weir_api::id::{Attempt, CheckpointId, JobId, OperatorUid, SubtaskIndex, TaskManagerId, VertexIndex};
use weir_api::sink::{Blob, Prepared};
use weir_proto::v1 as proto;

use crate::control::checkpoint::Retained;
use crate::control::checkpoint::part::committable;
use crate::control::job::exceptions::Exception;
use crate::control::job::record::{JobRecord, JobSpec, SinkCommit, Snapshots, Stage};
use crate::control::job::status::JobStatus;

const FORMAT: u32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    sql: String,
    #[prost(btree_map = "string, string", tag = "5")]
    config: std::collections::BTreeMap<String, String>,
    #[prost(bool, tag = "6")]
    bounded: bool,
    #[prost(int64, tag = "7")]
    submitted_unix_millis: i64,
    #[prost(message, optional, tag = "8")]
    graph: Option<proto::JobGraph>,
    #[prost(message, repeated, tag = "9")]
    splits: Vec<proto::SplitAssignment>,
    #[prost(uint32, tag = "10")]
    attempt: u32,
    #[prost(message, repeated, tag = "11")]
    exceptions: Vec<Failure>,
    #[prost(oneof = "Progress", tags = "12, 13, 14")]
    progress: Option<Progress>,
    /// Vertices with the milliseconds after which their sources look for further splits.
    #[prost(btree_map = "uint32, uint64", tag = "15")]
    discovery: std::collections::BTreeMap<u32, u64>,
    /// Oldest first.
    #[prost(message, repeated, tag = "16")]
    retained: Vec<RetainedSnapshot>,
    #[prost(uint64, tag = "17")]
    reserved_checkpoint_id: u64,
    /// Sinks by uid.
    #[prost(btree_map = "string, uint32", tag = "18")]
    writers: std::collections::BTreeMap<String, u32>,
}

#[derive(Clone, PartialEq, Message)]
struct RetainedSnapshot {
    #[prost(uint64, tag = "1")]
    checkpoint_id: u64,
    #[prost(string, tag = "2")]
    path: String,
    /// It is the user's, and never deleted.
    #[prost(bool, tag = "3")]
    is_savepoint: bool,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Progress {
    #[prost(message, tag = "12")]
    Active(Active),
    #[prost(message, tag = "13")]
    Committing(Committing),
    #[prost(message, tag = "14")]
    Ended(Ended),
}

#[derive(Clone, PartialEq, Message)]
struct Active {}

#[derive(Clone, PartialEq, Message)]
struct Committing {
    #[prost(message, repeated, tag = "1")]
    sinks: Vec<SinkResults>,
}

#[derive(Clone, PartialEq, Message)]
struct SinkResults {
    #[prost(uint32, tag = "1")]
    vertex: u32,
    #[prost(uint32, tag = "2")]
    operator: u32,
    /// As versions without checkpoints wrote them.
    #[prost(bytes = "vec", repeated, tag = "3")]
    committables: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    prepared: Vec<PreparedOutput>,
}

#[derive(Clone, PartialEq, Message)]
struct PreparedOutput {
    #[prost(uint64, tag = "1")]
    checkpoint_id: u64,
    #[prost(uint32, tag = "2")]
    subtask: u32,
    #[prost(message, optional, tag = "3")]
    committable: Option<proto::Prepared>,
}

#[derive(Clone, PartialEq, Message)]
struct Ended {
    #[prost(string, tag = "1")]
    status: String,
    #[prost(int64, tag = "2")]
    unix_millis: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Failure {
    #[prost(string, tag = "1")]
    code: String,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(bool, tag = "3")]
    restartable: bool,
    #[prost(int64, tag = "4")]
    unix_millis: i64,
    #[prost(string, optional, tag = "5")]
    task: Option<String>,
    #[prost(string, optional, tag = "6")]
    manager: Option<String>,
    #[prost(message, repeated, tag = "7")]
    concurrent: Vec<Failure>,
}

/// The record as bytes.
#[must_use]
pub fn encode(record: &JobRecord) -> Vec<u8> {
    let spec = &record.spec;
    let progress = match &record.stage {
        Stage::Active => Progress::Active(Active {}),
        Stage::Committing(sinks) => Progress::Committing(Committing {
            sinks: sinks
                .iter()
                .map(|sink| SinkResults {
                    vertex: sink.vertex.0,
                    operator: sink.operator,
                    committables: Vec::new(),
                    prepared: sink.prepared.iter().map(prepared).collect(),
                })
                .collect(),
        }),
        Stage::Ended { status, unix_millis } => {
            Progress::Ended(Ended { status: status.as_str().to_owned(), unix_millis: *unix_millis })
        }
    };
    Record {
        format: FORMAT,
        id: spec.id.as_bytes().to_vec(),
        name: spec.name.clone(),
        sql: spec.sql.clone(),
        config: spec.config.clone(),
        bounded: spec.bounded,
        submitted_unix_millis: spec.submitted_unix_millis,
        graph: Some(spec.graph.as_ref().into()),
        splits: record.splits.to_vec(),
        attempt: record.attempt.0,
        exceptions: record.exceptions.iter().map(failure).collect(),
        progress: Some(progress),
        discovery: spec
            .discovery
            .iter()
            .map(|(vertex, interval)| (*vertex, interval.as_millis().try_into().unwrap_or(u64::MAX)))
            .collect(),
        retained: record.snapshots.retained.iter().map(retained).collect(),
        reserved_checkpoint_id: record.snapshots.reserved.0,
        writers: (record.snapshots.writers.iter())
            .map(|(uid, count)| (uid.as_str().to_owned(), *count))
            .collect(),
    }
    .encode_to_vec()
}

/// The record in these bytes.
pub fn decode(job: JobId, bytes: &[u8]) -> Result<JobRecord> {
    read(job, bytes).map_err(|error| error.context(format!("read the metadata of job {job}")))
}

fn read(job: JobId, bytes: &[u8]) -> Result<JobRecord> {
    let malformed = |what: &str| Error::new(Code::MalformedMessage, what.to_owned());
    let record = Record::decode(bytes).map_err(|error| malformed("it isn't a record").with_source(error))?;
    if record.format != FORMAT {
        return Err(malformed(&format!("it has format {}, this version reads {FORMAT}", record.format)));
    }
    if JobId::try_from_slice(&record.id)? != job {
        return Err(malformed("it is another job's"));
    }
    let stage = match record.progress.ok_or_else(|| malformed("it doesn't say how far the job is"))? {
        Progress::Active(_) => Stage::Active,
        Progress::Committing(committing) => {
            Stage::Committing(committing.sinks.into_iter().map(sink_commit).collect::<Result<_>>()?)
        }
        Progress::Ended(ended) => {
            let status = JobStatus::from_name(&ended.status).filter(|status| status.is_terminal());
            let status = status.ok_or_else(|| malformed("it ended in an unknown state"))?;
            Stage::Ended { status, unix_millis: ended.unix_millis }
        }
    };
    let graph: JobGraph = record.graph.ok_or_else(|| malformed("it has no graph"))?.try_into()?;
    let spec = JobSpec {
        id: job,
        name: record.name,
        sql: record.sql,
        graph: Arc::new(graph),
        discovery: record
            .discovery
            .into_iter()
            .map(|(vertex, millis)| (vertex, Duration::from_millis(millis)))
            .collect(),
        config: record.config,
        bounded: record.bounded,
        submitted_unix_millis: record.submitted_unix_millis,
    };
    let snapshots = Snapshots {
        retained: record.retained.into_iter().map(retained_from).collect(),
        reserved: CheckpointId(record.reserved_checkpoint_id),
        writers: (record.writers.into_iter())
            .map(|(uid, count)| Ok((OperatorUid::new(uid)?, count)))
            .collect::<Result<_>>()?,
    };
    Ok(JobRecord {
        spec: Arc::new(spec),
        splits: Arc::new(record.splits),
        attempt: Attempt(record.attempt),
        stage,
        snapshots,
        exceptions: record.exceptions.into_iter().map(exception).collect(),
    })
}

fn retained(retained: &Retained) -> RetainedSnapshot {
    RetainedSnapshot {
        checkpoint_id: retained.checkpoint.0,
        path: retained.path.clone(),
        is_savepoint: retained.is_savepoint,
    }
}

fn retained_from(retained: RetainedSnapshot) -> Retained {
    Retained {
        checkpoint: CheckpointId(retained.checkpoint_id),
        path: retained.path,
        is_savepoint: retained.is_savepoint,
    }
}

fn prepared(prepared: &Prepared) -> PreparedOutput {
    let blob = |blob: &Blob| proto::Blob {
        name: blob.name.clone(),
        bytes: blob.bytes,
        hash: blob.hash.to_be_bytes().to_vec(),
    };
    PreparedOutput {
        checkpoint_id: prepared.checkpoint.0,
        subtask: prepared.subtask.0,
        committable: Some(proto::Prepared {
            payload: prepared.committable.payload.to_vec(),
            blobs: prepared.committable.blobs.iter().map(blob).collect(),
        }),
    }
}

fn sink_commit(sink: SinkResults) -> Result<SinkCommit> {
    let old = sink.committables.into_iter().map(|payload| {
        let committable = payload.into();
        Ok(Prepared { checkpoint: CheckpointId(0), subtask: SubtaskIndex(0), committable })
    });
    let new = sink.prepared.into_iter().map(|one| {
        Ok(Prepared {
            checkpoint: CheckpointId(one.checkpoint_id),
            subtask: SubtaskIndex(one.subtask),
            committable: committable(one.committable.unwrap_or_default())?,
        })
    });
    Ok(SinkCommit {
        vertex: VertexIndex(sink.vertex),
        operator: sink.operator,
        prepared: old.chain(new).collect::<Result<_>>()?,
        // What is recorded is committed when all have ended.
        ended: BTreeSet::new(),
    })
}

fn failure(exception: &Exception) -> Failure {
    Failure {
        code: exception.code.clone(),
        message: exception.message.clone(),
        restartable: exception.restartable,
        unix_millis: exception.unix_millis,
        task: exception.task.clone(),
        manager: exception.manager.as_ref().map(|manager| manager.as_str().to_owned()),
        concurrent: exception.concurrent.iter().map(failure).collect(),
    }
}

fn exception(failure: Failure) -> Exception {
    Exception {
        code: failure.code,
        message: failure.message,
        restartable: failure.restartable,
        unix_millis: failure.unix_millis,
        task: failure.task,
        manager: failure.manager.and_then(|manager| TaskManagerId::new(manager).ok()),
        concurrent: failure.concurrent.into_iter().map(exception).collect(),
    }
}
