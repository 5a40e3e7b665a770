//! `weir job diff`: what a changed query does to a job's state or to a snapshot's, told without any cluster.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use weir_api::config::{Configuration, Scope, options};
use weir_api::error::{Code, Error, Result};
use weir_api::graph::JobGraph;
use weir_snapshots::manifest::{Manifest, Operator};
use weir_snapshots::show;
use weir_sql::{Diff, Fate, Held, PlanRequest};

use super::state;
use crate::args::{DiffArgs, Format};
use crate::{configuration, job_file, output};

/// How many characters of an operator's name the table shows.
const LONGEST_NAME: usize = 60;

/// Plans both, or the new one and reads the snapshot, and prints how they differ.
pub fn diff(arguments: &DiffArgs, format: Format) -> Result<()> {
    let configuration = configuration::load(&arguments.config)?;
    match (&arguments.from_savepoint, &arguments.second) {
        (Some(path), _) => {
            let new = plan(&arguments.first, &configuration)?;
            let manifest = state::manifest(&configuration, path)?;
            let held = held(&manifest);
            let diff = weir_sql::diff_held(&held, manifest.max_parallelism, &new)?;
            print(
                &diff,
                "The snapshot holds state of what is dropped: it starts the job only with -n, which leaves that behind.",
                format,
            )
        }
        (None, new) => {
            let old = plan(&arguments.first, &configuration)?;
            let new = plan(new.as_ref().unwrap_or(&arguments.first), &configuration)?;
            let diff = weir_sql::diff(&old, &new)?;
            print(
                &diff,
                "A snapshot that holds state of what is dropped starts the new job only with -n, which leaves it behind.",
                format,
            )
        }
    }
}

/// What a snapshot holds, operator by operator.
fn held(manifest: &Manifest) -> Vec<Held> {
    let of = |(operator, summary): (&Operator, show::OperatorSummary)| {
        let rows: u64 = summary.states.values().map(|state| state.rows).sum();
        let tables = operator.subtasks.iter().flat_map(|subtask| &subtask.tables);
        let has_tables = tables.into_iter().any(|table| !table.layers.is_empty());
        let count = |count: usize, what: &str| {
            (count > 0).then(|| format!("holds {count} {what}{}", if count == 1 { "" } else { "s" }))
        };
        let rows = has_tables.then(|| format!("holds {rows} rows"));
        let contents = [
            rows,
            count(summary.operator_state_entries, "record"),
            count(summary.splits, "split"),
            count(summary.committables, "committable"),
        ];
        Held {
            uid: operator.uid.clone(),
            name: operator.name.clone(),
            states: operator.schemas.iter().map(|s| (s.state.clone(), s.schema.clone())).collect(),
            contents: contents.into_iter().flatten().collect(),
        }
    };
    manifest.operators.iter().zip(show::show(manifest)).map(of).collect()
}

fn print(diff: &Diff, dropped: &str, format: Format) -> Result<()> {
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
            let details = if change.details.is_empty() { "-".to_owned() } else { change.details.join("; ") };
            let name = output::shortened(&change.name, LONGEST_NAME);
            let cells = [change.fate.as_str(), change.kind, &name, change.uid.as_str(), &details];
            cells.map(str::to_owned).to_vec()
        });
        let mut text = output::table(&["STATE", "KIND", "OPERATOR", "UID", "DETAILS"], rows);
        text.push_str(&format!(
            "\n{} kept, {} migrated, {} dropped, {} new",
            value["kept"], value["migrated"], value["dropped"], value["new"]
        ));
        if count(Fate::Dropped) > 0 {
            text.push('\n');
            text.push_str(dropped);
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
