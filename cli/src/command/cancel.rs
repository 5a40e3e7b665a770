//! `weir cancel`.

use serde_json::json;
use weir_api::error::Result;

use crate::args::{Format, JobArgs};
use crate::client::Client;
use crate::output;

/// Asks for the job's cancellation; it is carried out within a second or two.
pub fn execute(arguments: &JobArgs, format: Format) -> Result<()> {
    let client = Client::new(&arguments.client.jobmanager);
    let job = client.resolve_job(&arguments.job)?;
    client.patch(&format!("/jobs/{job}?mode=cancel"))?;
    output::print(format, &json!({ "jobid": job }), |_| format!("Cancelling job {job}."))
}
