//! A job's record as bytes: a protobuf message with a format number.
//!
//! Invariant: what is decoded was checked like what is planned; a record that can't be understood is an error that names the
//! job, never a job that silently lacks something. The graph is the one part that another version may not understand; the SQL
//! beside it is what it can be planned from again.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use weir_api::error::{Code, Error, Result};
use weir_api::graph::JobGraph;
use weir_api::id::{Attempt, JobId, TaskManagerId, VertexIndex};
use weir_proto::v1 as proto;

use crate::control::job::exceptions::Exception;
use crate::control::job::record::{JobRecord, JobSpec, SinkCommit, Stage};
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
    #[prost(bytes = "vec", repeated, tag = "3")]
    committables: Vec<Vec<u8>>,
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
                    committables: sink.committables.clone(),
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
            let sinks = committing.sinks.into_iter().map(|sink| SinkCommit {
                vertex: VertexIndex(sink.vertex),
                operator: sink.operator,
                committables: sink.committables,
            });
            Stage::Committing(sinks.collect())
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
    Ok(JobRecord {
        spec: Arc::new(spec),
        splits: Arc::new(record.splits),
        attempt: Attempt(record.attempt),
        stage,
        exceptions: record.exceptions.into_iter().map(exception).collect(),
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
