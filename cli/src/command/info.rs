//! `weir info`.

use serde_json::{Value, json};
use weir_api::error::Result;

use crate::args::{Format, JobArgs};
use crate::client::Client;
use crate::output;

/// How many characters of a vertex's name the table shows.
const LONGEST_NAME: usize = 80;

/// Prints a job's state, its vertices with their counters, and its last failure.
pub fn execute(arguments: &JobArgs, format: Format) -> Result<()> {
    let client = Client::new(&arguments.client.jobmanager);
    let id = client.resolve_job(&arguments.job)?;
    let job = client.get(&format!("/jobs/{id}"))?;
    let exceptions = client.get(&format!("/jobs/{id}/exceptions"))?;
    output::print(format, &json!({ "job": job, "exceptions": exceptions }), |_| table(&job, &exceptions))
}

fn table(job: &Value, exceptions: &Value) -> String {
    let mut text = format!(
        "{}  {}  {}  {}\n",
        output::cell(&job["jid"]),
        output::cell(&job["name"]),
        output::cell(&job["state"]),
        output::duration(job["duration"].as_i64().unwrap_or(0))
    );
    let vertices = job["vertices"].as_array().map(Vec::as_slice).unwrap_or_default();
    text.push_str(&output::table(
        &["VERTEX", "PARALLELISM", "STATUS", "RECORDS IN", "RECORDS OUT"],
        vertices.iter().map(|vertex| {
            vec![
                output::shortened(&output::cell(&vertex["name"]), LONGEST_NAME),
                output::cell(&vertex["parallelism"]),
                output::cell(&vertex["status"]),
                output::cell(&vertex["metrics"]["read-records"]),
                output::cell(&vertex["metrics"]["write-records"]),
            ]
        }),
    ));
    if let Some(failure) = exceptions["root-exception"].as_str() {
        text.push_str(&format!("\nLast failure: {failure}"));
    }
    text
}
