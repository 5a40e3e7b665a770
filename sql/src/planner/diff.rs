//! What a changed query does to a job's state: which operators keep theirs, which read it in another form, which lose it, which begin
//! without.
//!
//! State is found by operators' uids, so this compares uids first, and of equal ones what their state looks like. Operators that
//! hold nothing at a barrier are left out. Two queries are compared here, a snapshot and a query in [`held`].

mod held;

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use weir_api::error::Result;
use weir_api::graph::{JobGraph, OperatorNode, window_aggregate_layout};
use weir_api::id::OperatorUid;
use weir_api::schema;
use weir_proto::v1 as proto;
use weir_proto::v1::operator_spec::Kind as Spec;
use weir_proto::v1::window_aggregate_spec::Phase;

pub use self::held::{Held, diff_held};

use crate::types::flink_type_name;

/// What becomes of an operator's state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fate {
    /// Nobody takes it.
    Dropped,
    /// It is read by an operator whose own looks different; what can't be carried over is refused when the job starts.
    Migrated,
    /// The operator begins without any.
    New,
    /// It is taken as it is.
    Kept,
}

impl Fate {
    /// The word for users.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Migrated => "migrated",
            Self::New => "new",
            Self::Kept => "kept",
        }
    }
}

/// One stateful operator of either job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What becomes of its state.
    pub fate: Fate,
    /// `source`, `window aggregate`, `over aggregate` or `sink`.
    pub kind: &'static str,
    /// State is found by it.
    pub uid: OperatorUid,
    /// For people; the new job's where both have it.
    pub name: String,
    /// How the two differ, or why they don't belong together.
    pub details: Vec<String>,
}

/// Two jobs, compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diff {
    /// What is lost first, what stays as it is last; in the jobs' order otherwise.
    pub changes: Vec<Change>,
    /// The numbers of key groups, if they differ: no keyed state can be carried over then.
    pub max_parallelism: Option<(u32, u32)>,
}

/// An operator that holds something when a barrier passes.
struct Stateful<'a> {
    node: &'a OperatorNode,
    kind: &'static str,
    table: Option<&'a proto::TableSpec>,
    /// What its keyed state is made of; empty for sources and sinks.
    columns: BTreeMap<String, String>,
    /// What else its state depends on.
    form: Vec<(&'static str, String)>,
}

/// What becomes of the state of `old` in `new`.
pub fn diff(old: &JobGraph, new: &JobGraph) -> Result<Diff> {
    let (before, after) = (stateful(old)?, stateful(new)?);
    let uids = |operators: &[Stateful<'_>]| -> BTreeSet<OperatorUid> {
        operators.iter().map(|operator| operator.node.uid.clone()).collect()
    };
    let (uids_before, uids_after) = (uids(&before), uids(&after));
    let lone_before: Vec<_> = before.iter().filter(|old| !uids_after.contains(&old.node.uid)).collect();
    let lone_after: Vec<_> = after.iter().filter(|new| !uids_before.contains(&new.node.uid)).collect();
    let mut changes: Vec<Change> =
        lone_before.iter().map(|old| old.alone(Fate::Dropped, &lone_after)).collect();
    for operator in &after {
        changes.push(match before.iter().find(|old| old.node.uid == operator.node.uid) {
            Some(old) => operator.beside(old),
            None => operator.alone(Fate::New, &lone_before),
        });
    }
    changes.sort_by_key(|change| change.fate);
    let groups = (old.max_parallelism(), new.max_parallelism());
    let is_keyed = before.iter().any(|operator| !operator.columns.is_empty());
    Ok(Diff { changes, max_parallelism: Some(groups).filter(|(old, new)| is_keyed && old != new) })
}

fn stateful(graph: &JobGraph) -> Result<Vec<Stateful<'_>>> {
    let nodes = graph.vertices().iter().flat_map(|vertex| &vertex.chain);
    nodes.filter_map(|node| Stateful::of(node).transpose()).collect()
}

impl<'a> Stateful<'a> {
    /// `None` where nothing is held at a barrier.
    fn of(node: &'a OperatorNode) -> Result<Option<Self>> {
        let Some(spec) = &node.spec.kind else { return Ok(None) };
        let plain = |kind, table| Self { node, kind, table, columns: BTreeMap::new(), form: Vec::new() };
        Ok(match spec {
            Spec::Source(source) => Some(plain("source", source.table.as_ref())),
            Spec::Sink(sink) => Some(plain("sink", sink.table.as_ref())),
            // What its first phase holds leaves before each barrier.
            Spec::WindowAggregate(spec) if spec.phase() != Phase::Local => {
                let input = schema::decode(&spec.input_schema)?;
                let partial = proto::WindowAggregateSpec { phase: Phase::Local.into(), ..spec.clone() };
                let layout = window_aggregate_layout(&partial, &input)?;
                let columns = columns_of(&layout);
                Some(Self { columns, ..plain("window aggregate", None) })
            }
            Spec::OverAggregate(spec) => {
                let columns = node.output_schema.as_ref().map(|schema| over_columns(spec, schema));
                let form = vec![("time to live of state, in ms", spec.state_ttl_millis.to_string())];
                Some(Self { columns: columns.unwrap_or_default(), form, ..plain("over aggregate", None) })
            }
            _ => None,
        })
    }

    /// In both jobs.
    fn beside(&self, old: &Self) -> Change {
        let mut details = Vec::new();
        for (column, data_type) in &self.columns {
            match old.columns.get(column) {
                None => details.push(format!("+ {column} {data_type}")),
                Some(before) if before != data_type => {
                    details.push(format!("{column} {before} becomes {data_type}"));
                }
                Some(_) => {}
            }
        }
        let gone = old.columns.iter().filter(|(column, _)| !self.columns.contains_key(*column));
        details.extend(gone.map(|(column, data_type)| format!("- {column} {data_type}")));
        for ((what, before), (_, after)) in old.form.iter().zip(&self.form) {
            if before != after {
                details.push(format!("{what}: {before} becomes {after}"));
            }
        }
        let connectors = [old.table, self.table].map(|table| table.map(|table| table.connector.as_str()));
        if let [Some(before), Some(after)] = connectors
            && before != after
        {
            details.push(format!("connector: {before} becomes {after}"));
        }
        let fate = if details.is_empty() { Fate::Kept } else { Fate::Migrated };
        if let (Some(before), Some(after)) = (old.table, self.table) {
            let options = changed_options(before, after);
            if !options.is_empty() {
                details.push(format!("changed options: {}", options.join(", ")));
            }
        }
        self.change(fate, details)
    }

    /// In one job; `others` are the lone ones of the other.
    fn alone(&self, fate: Fate, others: &[&Self]) -> Change {
        let same = others.iter().find(|other| other.kind == self.kind && other.node.name == self.node.name);
        let table = |operator: &Self| operator.table.map(|table| table.name.clone());
        let of_table = others
            .iter()
            .find(|other| other.kind == self.kind && self.table.is_some() && table(other) == table(self));
        let Some(other) = same.or(of_table) else { return self.change(fate, Vec::new()) };
        let how = match self.kind {
            "source" if same.is_none() => "reads other columns or with other filters",
            "source" => "reads its table in another form, or with another watermark,",
            "sink" => "writes something else into its table",
            _ => "reads something else",
        };
        let detail = format!("{how} than {}", other.node.uid);
        self.change(fate, vec![detail])
    }

    fn change(&self, fate: Fate, details: Vec<String>) -> Change {
        let OperatorNode { uid, name, .. } = self.node;
        Change { fate, kind: self.kind, uid: uid.clone(), name: name.clone(), details }
    }
}

fn columns_of(schema: &Schema) -> BTreeMap<String, String> {
    let column = |field: &datafusion::arrow::datatypes::FieldRef| {
        (field.name().clone(), flink_type_name(field.data_type(), true))
    };
    schema.fields().iter().map(column).collect()
}

/// In event time rows wait with what is passed on of them; in processing time only results are held.
fn over_columns(spec: &proto::OverAggregateSpec, output: &SchemaRef) -> BTreeMap<String, String> {
    let passed_on = if spec.time_column.is_some() { 0 } else { spec.kept_columns.len() };
    let held: Vec<_> = output.fields().iter().skip(passed_on).cloned().collect();
    columns_of(&Schema::new(held))
}

fn changed_options(before: &proto::TableSpec, after: &proto::TableSpec) -> Vec<String> {
    let keys: BTreeSet<&String> = before.options.keys().chain(after.options.keys()).collect();
    let changed = keys.into_iter().filter(|key| before.options.get(*key) != after.options.get(*key));
    changed.map(|key| format!("'{key}'")).collect()
}
