//! What becomes of a snapshot in a query: as with two queries, but what is there is known, and so is what would be refused.
//!
//! Invariant: `dropped` is exactly what keeps a job from starting unless it may be left behind. Sizes and files aren't looked at.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::datatypes::{FieldRef, Schema, SchemaRef};
use weir_api::error::Result;
use weir_api::graph::JobGraph;
use weir_api::id::OperatorUid;
use weir_proto::v1::operator_spec::Kind as Spec;

use super::{Change, Diff, Fate, Stateful, columns_of, stateful};

/// The state of a window with its keys and aggregates, and the one of rows that wait for the watermark.
const PANES: &str = "panes";
const ROWS: &str = "rows";

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
    let lost: Vec<_> = held.iter().filter(|old| !is_there(old) && !old.contents.is_empty()).collect();
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
        let same = fresh
            .iter()
            .find(|new| new.kind == self.kind() && subject(&new.node.name) == subject(&self.name));
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

    /// What the query decides of a state with the same meaning: types, and the columns that are only passed on.
    fn changed_columns(&self, operator: &Stateful<'_>) -> Vec<String> {
        let Some((state, wanted)) = wanted(operator) else { return Vec::new() };
        let Some(found) = self.states.get(state) else { return Vec::new() };
        let found = columns_of(found);
        let changed = wanted.iter().filter_map(|(column, data_type)| match found.get(&column.held) {
            // Of the same keys and aggregates there are the same columns, if not always these.
            None if state == PANES => None,
            None => Some(format!("+ {} {data_type}", column.name)),
            Some(before) if before != data_type => {
                Some(format!("{} {before} becomes {data_type}", column.name))
            }
            Some(_) => None,
        });
        changed.collect()
    }

    fn change(&self, fate: Fate, details: Vec<String>) -> Change {
        Change { fate, kind: self.kind(), uid: self.uid.clone(), name: self.name.clone(), details }
    }
}

/// A column as the query calls it, and as it stands in a snapshot.
struct Column {
    name: String,
    held: String,
}

/// The state whose columns depend on the operator's query, and those columns with their types.
fn wanted(operator: &Stateful<'_>) -> Option<(&'static str, Vec<(Column, String)>)> {
    match &operator.node.spec.kind {
        Some(Spec::WindowAggregate(spec)) => {
            let columns = operator.columns.iter().map(|(name, data_type)| {
                // Partial results stand there by their aggregate's number.
                let numbered = spec.aggregates.iter().enumerate().find_map(|(number, call)| {
                    let part = name.strip_prefix(&call.name)?.strip_prefix('#')?;
                    Some(format!("{number}#{part}"))
                });
                let held = numbered.unwrap_or_else(|| name.clone());
                (Column { name: name.clone(), held }, data_type.clone())
            });
            Some((PANES, columns.collect()))
        }
        Some(Spec::OverAggregate(spec)) if spec.time_column.is_some() => {
            let fields = operator.node.output_schema.as_ref()?.fields();
            let passed_on = fields.iter().take(spec.kept_columns.len()).cloned().collect::<Vec<FieldRef>>();
            let columns = columns_of(&Schema::new(passed_on)).into_iter();
            let columns = columns.map(|(name, data_type)| (Column { held: name.clone(), name }, data_type));
            Some((ROWS, columns.collect()))
        }
        _ => None,
    }
}

/// What an operator's name is about: `Source: orders`, `GlobalWindowAggregate`.
fn subject(name: &str) -> &str {
    name.split(['[', '(']).next().unwrap_or(name)
}
