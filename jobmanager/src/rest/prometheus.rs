//! `/metrics` in Prometheus' text format: the JobManager's and the jobs' metrics under Flink's names.
//!
//! The prefix is `weir_`, or `flink_` by configuration so that existing dashboards work. Task metrics are served by the
//! TaskManagers themselves.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use weir_api::config::options;

use super::App;
use super::error::Refusal;
use super::metrics::{cluster_metrics, job_metrics};
use crate::control::Core;
use crate::control::now::Now;

/// Everything in one text.
pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Refusal> {
    let prefix = app.configuration.get(&options::METRICS_PREFIX).to_ascii_lowercase();
    let text = app.client.ask(move |core, now| text(core, now, &prefix)).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn text(core: &Core, now: Now, prefix: &str) -> String {
    let mut text = String::new();
    for (name, value) in cluster_metrics(core) {
        let name = format!("{prefix}_jobmanager_{name}");
        // Writing to a string can't fail.
        let _ = writeln!(text, "# TYPE {name} gauge\n{name} {value}");
    }
    let jobs: Vec<_> = core.jobs().filter(|job| !job.history().current().is_terminal()).collect();
    let metrics: Vec<_> = jobs.iter().map(|job| job_metrics(job, now)).collect();
    // The lines of one metric belong together.
    for (position, (name, _)) in metrics.first().into_iter().flatten().enumerate() {
        let full = format!("{prefix}_jobmanager_job_{name}");
        let _ = writeln!(text, "# TYPE {full} gauge");
        for (job, values) in jobs.iter().zip(&metrics) {
            if let Some((_, value)) = values.get(position) {
                let name = escaped(&job.spec().name);
                let _ = writeln!(text, "{full}{{job_id=\"{}\",job_name=\"{name}\"}} {value}", job.id());
            }
        }
    }
    text
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn labels_are_escaped() {
        assert_eq!(super::escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
