//! `weir job diff`: what a changed query does to a job's state, told without any cluster.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use weir_api::config::{Configuration, Scope, options};
use weir_api::error::{Code, Error, Result};
use weir_api::graph::JobGraph;
use weir_sql::{Fate, PlanRequest};

use crate::args::{DiffArgs, Format};
use crate::{configuration, job_file, output};

/// Plans both and prints how they differ.
pub fn diff(arguments: &DiffArgs, format: Format) -> Result<()> {
    let configuration = configuration::load(&arguments.config)?;
    let old = plan(&arguments.old, &configuration)?;
    let new = plan(&arguments.new, &configuration)?;
    let diff = weir_sql::diff(&old, &new)?;
    let count = |fate: Fate| diff.changes.iter().filter(|change| change.fate == fate).count();
    let operators: Vec<Value> = diff
        .changes
        .iter()
        .map(|change| {
            json!({
                "state": change.fate.as_str(),
                "kind": change.kind,
                "uid": change.uid.as_str(),
                "name": change.name,
                "details": change.details,
            })
        })
        .collect();
    let value = json!({
        "kept": count(Fate::Kept),
        "migrated": count(Fate::Migrated),
        "dropped": count(Fate::Dropped),
        "new": count(Fate::New),
        "max-parallelism": diff.max_parallelism.map(|(old, new)| json!({ "old": old, "new": new })),
        "operators": operators,
    });
    output::print(format, &value, |value| {
        let rows = diff.changes.iter().map(|change| {
            let cells = [change.fate.as_str(), change.kind, change.uid.as_str(), &change.name];
            let mut cells: Vec<String> = cells.map(str::to_owned).to_vec();
            cells.push(change.details.join("; "));
            cells
        });
        let mut text = output::table(&["STATE", "KIND", "UID", "OPERATOR", "DETAILS"], rows);
        text.push_str(&format!(
            "\n{} kept, {} migrated, {} dropped, {} new",
            value["kept"], value["migrated"], value["dropped"], value["new"]
        ));
        if count(Fate::Dropped) > 0 {
            text.push_str(
                "\nA snapshot that holds state of what is dropped starts the new job only with -n, which leaves it behind.",
            );
        }
        if let Some((old, new)) = diff.max_parallelism {
            text.push_str(&format!(
                "\nKeyed state can't be carried over from {old} to {new} key groups: set pipeline.max-parallelism to {old}."
            ));
        }
        text
    })
}

fn plan(file: &Path, configuration: &Configuration) -> Result<JobGraph> {
    let submission = job_file::submission(file)?;
    let mut config = for_jobs(configuration);
    config.extend(submission.config);
    let registry = weir_connectors::registry(configuration);
    let request = PlanRequest {
        sql: &submission.sql,
        name: submission.name,
        parallelism: submission.parallelism,
        config,
        registry: &registry,
    };
    let name = job_file::name(file);
    let planned = weir_sql::plan(request).map_err(|error| error.context(&name))?;
    planned.graph.ok_or_else(|| {
        let what = format!("{name} holds no INSERT INTO or SELECT, so there is no job to compare");
        Error::new(Code::InvalidArgument, what)
    })
}

/// A process' configuration without what doesn't concern jobs.
fn for_jobs(configuration: &Configuration) -> BTreeMap<String, String> {
    let is_jobs =
        |key: &str| options::ALL.iter().any(|option| option.key == key && option.scope == Scope::Job);
    let values = configuration.values().iter().filter(|(key, _)| is_jobs(key));
    values.map(|(key, value)| (key.clone(), value.clone())).collect()
}
