//! `weir explain`.

use weir_api::error::Result;

use crate::args::{ExplainArgs, Format};
use crate::client::Client;
use crate::{job_file, output};

/// Prints how the job would run, as the JobManager plans it.
pub fn execute(arguments: &ExplainArgs, format: Format) -> Result<()> {
    let body = job_file::request_body(&arguments.job)?;
    let answer = Client::new(&arguments.client.jobmanager).post("/v1/jobs/explain", &body)?;
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        eprintln!("warning: {}", output::cell(warning));
    }
    output::print(format, &answer, |answer| output::cell(&answer["plan"]))
}
