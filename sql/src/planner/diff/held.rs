//! What becomes of a snapshot in a query: as with two queries, but what is there is known, and so is what would be refused.
//!
//! Invariant: `dropped` is exactly what keeps a job from starting unless it may be left behind. Sizes and files aren't looked at.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use weir_api::error::Result;
use weir_api::graph::JobGraph;
use weir_api::id::OperatorUid;
use weir_proto::v1::operator_spec::Kind as Spec;

use super::{Change, Diff, Fate, Stateful, columns_of, stateful};

/// The state of a window with its keys and aggregates, and the one of rows that wait for the watermark.
const PANES: &str = "panes";
const ROWS: &str = "rows";
/// What columns begin with that no query names.
const INTERNAL: &str = "__";

/// What a snapshot holds of one operator.
#[derive(Clone, Debug)]
pub struct Held {
    /// State is found by it.
    pub uid: OperatorUid,
    /// As the operator was called.
    pub name: String,
    /// Its keyed states, by name.
    pub states: BTreeMap<String, SchemaRef>,
    /// What would be lost without it, for people; empty: nothing.
    pub contents: Vec<String>,
}

/// What becomes of what a snapshot with so many key groups holds in `new`.
pub fn diff_held(held: &[Held], max_parallelism: u32, new: &JobGraph) -> Result<Diff> {
    let after = stateful(new)?;
    let nodes = new.vertices().iter().flat_map(|vertex| &vertex.chain);
    let uids: BTreeSet<&OperatorUid> = nodes.map(|node| &node.uid).collect();
    let is_there = |operator: &&Held| uids.contains(&operator.uid);
    let fresh: Vec<_> = after.iter().filter(|new| held.iter().all(|old| old.uid != new.node.uid)).collect();
    let lost: Vec<_> =
        held.iter().filter(|old| !is_there(old) && !old.contents.is_empty()).collect();
    let mut changes: Vec<Change> = lost.iter().map(|old| old.dropped(&fresh)).collect();
    for operator in &after {
        changes.push(match held.iter().find(|old| old.uid == operator.node.uid) {
            Some(old) => old.taken_by(operator),
            None => operator.change(Fate::New, Vec::new()),
        });
    }
    // Whatever else holds something and is in the job.
    let others = held.iter().filter(is_there).filter(|old| !old.contents.is_empty());
    let others = others.filter(|old| after.iter().all(|new| new.node.uid != old.uid));
    changes.extend(others.map(|old| old.change(Fate::Kept, old.contents.clone())));
    changes.sort_by_key(|change| change.fate);
    let groups = (max_parallelism, new.max_parallelism());
    let is_keyed = held.iter().any(|old| !old.states.is_empty());
    Ok(Diff { changes, max_parallelism: Some(groups).filter(|(old, new)| is_keyed && old != new) })
}

impl Held {
    /// As the planner names kinds of operators.
    fn kind(&self) -> &'static str {
        let uid = self.uid.as_str();
        if uid.starts_with("source-") {
            "source"
        } else if uid.starts_with("sink-") {
            "sink"
        } else if uid.starts_with("over-") {
            "over aggregate"
        } else if uid.contains("aggregate-") {
            "window aggregate"
        } else {
            "operator"
        }
    }

    /// Nobody takes it; `fresh` are the operators that begin without state.
    fn dropped(&self, fresh: &[&Stateful<'_>]) -> Change {
        let mut details = self.contents.clone();
        let same = fresh.iter().find(|new| new.kind == self.kind() && subject(&new.node.name) == subject(&self.name));
        if let Some(same) = same {
            details.push(format!("{} means something else", same.node.uid));
        }
        self.change(Fate::Dropped, details)
    }

    fn taken_by(&self, operator: &Stateful<'_>) -> Change {
        let changed = self.changed_columns(operator);
        let fate = if changed.is_empty() { Fate::Kept } else { Fate::Migrated };
        operator.change(fate, changed.into_iter().chain(self.contents.clone()).collect())
    }

    fn changed_columns(&self, operator: &Stateful<'_>) -> Vec<String> {
        let Some((state, wanted)) = wanted(operator) else { return Vec::new() };
        let Some(found) = self.states.get(state) else { return Vec::new() };
        let found = columns_of(found);
        let mut changed = Vec::new();
        for (column, data_type) in &wanted {
            match found.get(column) {
                None => changed.push(format!("+ {column} {data_type}")),
                Some(before) if before != data_type => {
                    changed.push(format!("{column} {before} becomes {data_type}"));
                }
                Some(_) => {}
            }
        }
        // Rows that wait may hold columns for aggregates alone.
        if state == PANES {
            let gone = found.iter().filter(|(column, _)| is_named(column) && !wanted.contains_key(*column));
            changed.extend(gone.map(|(column, data_type)| format!("- {column} {data_type}")));
        }
        changed
    }

    fn change(&self, fate: Fate, details: Vec<String>) -> Change {
        Change { fate, kind: self.kind(), uid: self.uid.clone(), name: self.name.clone(), details }
    }
}

/// The state whose columns the operator's query decides, and those columns.
fn wanted(operator: &Stateful<'_>) -> Option<(&'static str, BTreeMap<String, String>)> {
    match &operator.node.spec.kind {
        Some(Spec::WindowAggregate(_)) => {
            let columns = operator.columns.iter().filter(|(column, _)| is_named(column));
            Some((PANES, columns.map(|(column, data_type)| (column.clone(), data_type.clone())).collect()))
        }
        Some(Spec::OverAggregate(spec)) if spec.time_column.is_some() => {
            let fields = operator.node.output_schema.as_ref()?.fields();
            let passed_on: Vec<FieldRef> = fields.iter().take(spec.kept_columns.len()).cloned().collect();
            Some((ROWS, columns_of(&datafusion::arrow::datatypes::Schema::new(passed_on))))
        }
        _ => None,
    }
}

fn is_named(column: &str) -> bool {
    !column.starts_with(INTERNAL)
}

/// What an operator's name is about: `Source: orders`, `GlobalWindowAggregate`.
fn subject(name: &str) -> &str {
    name.split(['[', '(']).next().unwrap_or(name)
}
