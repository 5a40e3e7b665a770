//! `weir savepoint`, `weir checkpoint` and `weir stop`: requests that take a while, followed to their end unless detached.

use std::time::Duration;

use serde_json::{Map, Value, json};
use weir_api::error::{Code, Error, Result};

use crate::args::{CheckpointArgs, ClientArgs, Format, JobArgs, SavepointArgs, StopArgs};
use crate::client::Client;
use crate::{output, place};

/// The pause between two looks: short at first, so that small jobs are quick.
const FIRST_POLL: Duration = Duration::from_millis(20);
const LONGEST_POLL: Duration = Duration::from_millis(500);

/// Takes a savepoint, or deletes one.
pub fn savepoint(arguments: &SavepointArgs, format: Format) -> Result<()> {
    if let Some(path) = &arguments.dispose {
        return dispose(&arguments.client, path, format);
    }
    let mut body = Map::new();
    insert_place(&mut body, "target-directory", arguments.target.as_deref());
    let job = JobArgs { client: arguments.client.clone(), job: arguments.job.clone().unwrap_or_default() };
    let request = Request::post(&job, "savepoints", "savepoints", body)?;
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

fn dispose(client: &ClientArgs, path: &str, format: Format) -> Result<()> {
    let (client, path) = (Client::new(&client.jobmanager), place::absolute(path));
    let answer = client.post("/savepoint-disposal", &json!({ "savepoint-path": path }))?;
    let id = id_of(&answer)?;
    follow(&client, &format!("/savepoint-disposal/{id}"))?.map_err(|reason| Error::new(Code::Io, reason))?;
    output::print(format, &json!({ "disposed": path }), |_| format!("Savepoint {path} is deleted."))
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
    insert_place(&mut body, "targetDirectory", arguments.target.as_deref());
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

fn insert_place(body: &mut Map<String, Value>, key: &str, place: Option<&str>) {
    insert(body, key, place.map(place::absolute).as_deref());
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
        let id = id_of(&answer)?;
        Ok(Self { path: format!("/jobs/{job}/{result}/{id}"), client, job, id })
    }

    fn print_taken(&self, format: Format) -> Result<()> {
        output::print(format, &json!({ "jobid": self.job, "request-id": self.id }), |_| {
            format!("The request is {}: GET {}", self.id, self.path)
        })
    }

    /// Waits for its end.
    fn follow(&self) -> Result<Value> {
        let ended = follow(&self.client, &self.path)?;
        ended.map_err(|reason| Error::new(Code::Io, format!("job {}: {reason}", self.job)))
    }
}

/// The number that an answer gives a request.
fn id_of(answer: &Value) -> Result<String> {
    answer["request-id"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::new(Code::Io, format!("the answer to the request has no request-id: {answer}")))
}

/// Waits until the request whose result is at `path` has ended; what came of it, or why it failed.
fn follow(client: &Client, path: &str) -> Result<std::result::Result<Value, String>> {
    let mut pause = FIRST_POLL;
    loop {
        let now = client.get(path)?;
        if now["status"]["id"] == "COMPLETED" {
            let operation = &now["operation"];
            let reason = operation["failure-cause"]["stack-trace"].as_str();
            return Ok(reason.map_or_else(|| Ok(operation.clone()), |reason| Err(reason.to_owned())));
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(LONGEST_POLL);
    }
}
