//! `weir list`.

use serde_json::{Value, json};
use weir_api::error::Result;

use crate::args::{Format, ListArgs};
use crate::client::Client;
use crate::output;

/// States in which a job waits to run.
const SCHEDULED: &[&str] = &["INITIALIZING", "CREATED"];
/// States that a job doesn't leave.
const ENDED: &[&str] = &["FINISHED", "CANCELED", "FAILED"];

/// Lists jobs: running and scheduled ones unless flags say otherwise.
pub fn execute(arguments: &ListArgs, format: Format) -> Result<()> {
    let answer = Client::new(&arguments.client.jobmanager).get("/jobs/overview")?;
    let wanted = |job: &&Value| {
        let state = job["state"].as_str().unwrap_or_default();
        match (arguments.running, arguments.scheduled, arguments.all) {
            (true, _, _) => !SCHEDULED.contains(&state) && !ENDED.contains(&state),
            (_, true, _) => SCHEDULED.contains(&state),
            (_, _, true) => true,
            _ => !ENDED.contains(&state),
        }
    };
    let jobs: Vec<&Value> = answer["jobs"].as_array().into_iter().flatten().filter(wanted).collect();
    output::print(format, &json!({ "jobs": jobs }), |_| {
        if jobs.is_empty() {
            return "No jobs.".to_owned();
        }
        output::table(
            &["JOB ID", "NAME", "STATE", "STARTED", "DURATION", "TASKS"],
            jobs.iter().map(|job| {
                vec![
                    output::cell(&job["jid"]),
                    output::cell(&job["name"]),
                    output::cell(&job["state"]),
                    output::moment(job["start-time"].as_i64().unwrap_or(-1)),
                    output::duration(job["duration"].as_i64().unwrap_or(0)),
                    format!(
                        "{}/{} running",
                        output::cell(&job["tasks"]["running"]),
                        output::cell(&job["tasks"]["total"])
                    ),
                ]
            }),
        )
    })
}
