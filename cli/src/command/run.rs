//! `weir run`: submits a job and follows it.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use weir_api::error::{Code, Error, Result};

use crate::args::{Format, RunArgs};
use crate::client::Client;
use crate::{job_file, output, place, results};

/// The pause between two looks at the job: short at first, so that short jobs end promptly.
const FIRST_POLL: Duration = Duration::from_millis(20);
const LONGEST_POLL: Duration = Duration::from_millis(500);
/// The exit code where the job failed.
const JOB_FAILED: u8 = 3;
/// The exit code where the job was cancelled.
const JOB_CANCELED: u8 = 4;

/// Submits to the cluster; unless detached, waits for the end.
pub fn execute(arguments: &RunArgs, format: Format) -> Result<ExitCode> {
    let client = Client::new(&arguments.client.jobmanager);
    submit_and_follow(&client, arguments, format)
}

/// The same against a given JobManager.
pub fn submit_and_follow(client: &Client, arguments: &RunArgs, format: Format) -> Result<ExitCode> {
    let mut body = job_file::request_body(&arguments.job)?;
    if let Some(path) = &arguments.from_savepoint {
        body["savepointPath"] = json!(place::absolute(path));
        body["allowNonRestoredState"] = json!(arguments.allow_non_restored_state);
    }
    if let Some(mode) = &arguments.claim_mode {
        body["claimMode"] = json!(mode);
    }
    let answer = client.post("/v1/jobs", &body).map_err(|error| at_file(error, arguments))?;
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        eprintln!("warning: {}", output::cell(warning));
    }
    let results = &answer["results"];
    if format == Format::Table {
        for result in results.as_array().into_iter().flatten() {
            output::line(&results::text(result))?;
        }
    }
    let Some(job) = answer["jobid"].as_str().map(str::to_owned) else {
        if results.as_array().is_none_or(Vec::is_empty) {
            let message = format!("the answer to the submission names no job: {answer}");
            return Err(Error::new(Code::Io, message));
        }
        output::print(format, &json!({ "jobid": null, "results": results }), |_| {
            "The statements run nothing, so no job was submitted.".to_owned()
        })?;
        return Ok(ExitCode::SUCCESS);
    };
    if format == Format::Table {
        output::line(&format!("Job has been submitted with JobID {job}"))?;
    }
    if arguments.detached {
        if format != Format::Table {
            output::print(format, &json!({ "jobid": job, "results": results }), |_| String::new())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let end = follow(client, &job)?;
    report(client, &job, &end, results, format)
}

/// Errors of the text name the file that it came from.
fn at_file(error: Error, arguments: &RunArgs) -> Error {
    if error.message().starts_with("line ") {
        return error.context(job_file::name(&arguments.job.file));
    }
    error
}

/// Polls until the job has ended; on a terminal, a line shows how it goes.
fn follow(client: &Client, job: &str) -> Result<Value> {
    let progress = progress_line();
    let mut pause = FIRST_POLL;
    loop {
        let now = client.get(&format!("/jobs/{job}"))?;
        let state = now["state"].as_str().unwrap_or_default();
        if matches!(state, "FINISHED" | "CANCELED" | "FAILED") {
            progress.finish_and_clear();
            return Ok(now);
        }
        progress.set_message(describe(&now));
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(LONGEST_POLL);
    }
}

fn progress_line() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let line = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
        line.set_style(style);
    }
    line.enable_steady_tick(Duration::from_millis(200));
    line
}

fn describe(job: &Value) -> String {
    let vertices = job["vertices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sum = |name: &str, pick: &dyn Fn(&&Value) -> bool| -> u64 {
        vertices.iter().filter(pick).filter_map(|vertex| vertex["metrics"][name].as_u64()).sum()
    };
    let is_source = |vertex: &&Value| vertex["name"].as_str().is_some_and(|name| name.starts_with("Source"));
    let seconds = job["duration"].as_f64().unwrap_or(0.0) / 1000.0;
    let read = sum("read-records", &is_source);
    let rate = if seconds > 0.0 { read as f64 / seconds } else { 0.0 };
    let waiting = job["status-reason"].as_str().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("{}{waiting}: {read} records read, {rate:.0}/s on average", output::cell(&job["state"]))
}

fn report(client: &Client, job: &str, end: &Value, results: &Value, format: Format) -> Result<ExitCode> {
    let state = output::cell(&end["state"]);
    let millis = end["duration"].as_i64().unwrap_or(0);
    let exceptions = client.get(&format!("/jobs/{job}/exceptions"))?;
    let failure = exceptions["root-exception"].as_str();
    let mut result = json!({ "jobid": job, "state": state, "duration": millis, "failure": failure });
    if results.as_array().is_some_and(|results| !results.is_empty()) {
        result["results"] = results.clone();
    }
    output::print(format, &result, |_| match (state.as_str(), failure) {
        ("FINISHED", _) => format!("Job finished. Runtime: {millis} ms"),
        ("FAILED", Some(failure)) => format!("Job failed after {}: {failure}", output::duration(millis)),
        _ => format!("Job ended as {state} after {}", output::duration(millis)),
    })?;
    Ok(match state.as_str() {
        "FINISHED" => ExitCode::SUCCESS,
        "FAILED" => ExitCode::from(JOB_FAILED),
        _ => ExitCode::from(JOB_CANCELED),
    })
}
