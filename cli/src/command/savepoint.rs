//! `weir savepoint`, `weir checkpoint` and `weir stop`: requests that take a while, followed to their end unless detached.

use std::time::Duration;

use serde_json::{Map, Value, json};
use weir_api::error::{Code, Error, Result};

use crate::args::{CheckpointArgs, Format, JobArgs, SavepointArgs, StopArgs};
use crate::client::Client;
use crate::output;

/// The pause between two looks: short at first, so that small jobs are quick.
const FIRST_POLL: Duration = Duration::from_millis(20);
const LONGEST_POLL: Duration = Duration::from_millis(500);

/// Takes a savepoint.
pub fn savepoint(arguments: &SavepointArgs, format: Format) -> Result<()> {
    let mut body = Map::new();
    insert(&mut body, "target-directory", arguments.target.as_deref());
    let request = Request::post(&arguments.job, "savepoints", "savepoints", body)?;
    if arguments.detached {
        return request.print_taken(format);
    }
    let location = request.follow()?["location"].clone();
    output::print(format, &json!({ "jobid": request.job, "location": location }), |_| {
        format!(
            "Savepoint completed: {}\nGo on from it with: weir run -s {} FILE",
            output::cell(&location),
            output::cell(&location)
        )
    })
}

/// Takes a checkpoint.
pub fn checkpoint(arguments: &CheckpointArgs, format: Format) -> Result<()> {
    let mut body = Map::new();
    insert(&mut body, "checkpointType", arguments.full.then_some("FULL"));
    let request = Request::post(&arguments.job, "checkpoints", "checkpoints", body)?;
    let location = request.follow()?["location"].clone();
    output::print(format, &json!({ "jobid": request.job, "location": location }), |_| {
        format!("Checkpoint completed: {}", output::cell(&location))
    })
}

/// Stops a job behind a savepoint.
pub fn stop(arguments: &StopArgs, format: Format) -> Result<()> {
    let mut body = Map::new();
    insert(&mut body, "targetDirectory", arguments.target.as_deref());
    body.insert("drain".to_owned(), json!(arguments.drain));
    let request = Request::post(&arguments.job, "stop", "savepoints", body)?;
    if arguments.detached {
        return request.print_taken(format);
    }
    let location = request.follow()?["location"].clone();
    output::print(format, &json!({ "jobid": request.job, "location": location }), |_| {
        format!("Job {} has stopped. Savepoint: {}", request.job, output::cell(&location))
    })
}

fn insert(body: &mut Map<String, Value>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        body.insert(key.to_owned(), json!(value));
    }
}

/// A request that was taken.
struct Request {
    client: Client,
    job: String,
    /// Where its result is.
    path: String,
    id: String,
}

impl Request {
    fn post(job: &JobArgs, what: &str, result: &str, body: Map<String, Value>) -> Result<Self> {
        let client = Client::new(&job.client.jobmanager);
        let job = client.resolve_job(&job.job)?;
        let answer = client.post(&format!("/jobs/{job}/{what}"), &Value::Object(body))?;
        let id = answer["request-id"].as_str().map(str::to_owned).ok_or_else(|| {
            Error::new(Code::Io, format!("the answer to the request has no request-id: {answer}"))
        })?;
        Ok(Self { path: format!("/jobs/{job}/{result}/{id}"), client, job, id })
    }

    fn print_taken(&self, format: Format) -> Result<()> {
        output::print(format, &json!({ "jobid": self.job, "request-id": self.id }), |_| {
            format!("The request is {}: GET {}", self.id, self.path)
        })
    }

    /// Waits for its end.
    fn follow(&self) -> Result<Value> {
        let mut pause = FIRST_POLL;
        loop {
            let now = self.client.get(&self.path)?;
            if now["status"]["id"] == "COMPLETED" {
                let operation = &now["operation"];
                return match operation["failure-cause"]["stack-trace"].as_str() {
                    None => Ok(operation.clone()),
                    Some(reason) => Err(Error::new(Code::Io, format!("job {}: {reason}", self.job))),
                };
            }
            std::thread::sleep(pause);
            pause = (pause * 3 / 2).min(LONGEST_POLL);
        }
    }
}
