//! Keeps of a plan what its roots need: nodes, columns, fields of structs, watermarks.
//!
//! Needs go from the roots to the sources; then the plan is built again from the sources on, so that every schema is that of
//! what is really there. Expressions name columns and fields, so they stay right. Watermarks are made only where a window waits
//! for them: elsewhere they would cost a column.

use weir_api::error::{Error, Result};

use super::common::split_common;
use super::paths::{Need, Needs};
use super::stream::{Aggregate, Calc, Item, Kind, Node, NodeId, Over, Scan, Span, StreamPlan, Unnest};

/// The plan without what no root needs.
pub(super) fn prune(plan: &StreamPlan) -> Result<StreamPlan> {
    let needs = Requirements::of(plan)?;
    let mut pruned = StreamPlan::new(plan.options.clone());
    let mut moved: Vec<Option<NodeId>> = vec![None; plan.nodes.len()];
    for (index, node) in plan.nodes.iter().enumerate() {
        let Some(need) = needs.nodes.get(index).and_then(Option::as_ref) else { continue };
        let inputs = node
            .inputs
            .iter()
            .map(|input| {
                moved
                    .get(input.0)
                    .copied()
                    .flatten()
                    .ok_or_else(|| Error::internal("a node before its input"))
            })
            .collect::<Result<Vec<_>>>()?;
        let id = rebuild(&mut pruned, node, need, inputs)?;
        if let Some(slot) = moved.get_mut(index) {
            *slot = Some(id);
        }
    }
    pruned.roots = plan.roots.iter().filter_map(|root| moved.get(root.0).copied().flatten()).collect();
    without_strays(pruned)
}

/// The plan without nodes that merging has left behind.
fn without_strays(plan: StreamPlan) -> Result<StreamPlan> {
    let mut reached = vec![false; plan.nodes.len()];
    let mut open = plan.roots.clone();
    while let Some(node) = open.pop() {
        if let Some(reached @ false) = reached.get_mut(node.0) {
            *reached = true;
            open.extend(plan.node(node)?.inputs.iter().copied());
        }
    }
    let mut compact = StreamPlan::new(plan.options.clone());
    let mut moved: Vec<Option<NodeId>> = vec![None; plan.nodes.len()];
    for (index, node) in
        plan.nodes.into_iter().enumerate().filter(|(index, _)| reached.get(*index) == Some(&true))
    {
        let inputs = node.inputs.iter().filter_map(|input| moved.get(input.0).copied().flatten()).collect();
        let id = compact.add(node.kind, inputs)?;
        if let Some(slot) = moved.get_mut(index) {
            *slot = Some(id);
        }
    }
    compact.roots = plan.roots.iter().filter_map(|root| moved.get(root.0).copied().flatten()).collect();
    Ok(compact)
}

/// What is needed of one node.
#[derive(Clone, Default)]
struct Requirement {
    columns: Needs,
    /// Whether somebody waits for its watermark.
    watermark: bool,
}

struct Requirements {
    /// `None` for nodes that no root reads.
    nodes: Vec<Option<Requirement>>,
}

impl Requirements {
    fn of(plan: &StreamPlan) -> Result<Self> {
        let mut this = Self { nodes: vec![None; plan.nodes.len()] };
        for root in &plan.roots {
            let mut requirement = Requirement::default();
            let schema = &plan.node(*root)?.schema;
            schema.fields().iter().for_each(|field| requirement.columns.add(field.name(), &Need::All));
            this.add(*root, &requirement);
        }
        for (index, node) in plan.nodes.iter().enumerate().rev() {
            let Some(need) = this.nodes.get(index).cloned().flatten() else { continue };
            for input in &node.inputs {
                this.add(*input, &input_requirement(node, plan.node(*input)?, &need));
            }
        }
        Ok(this)
    }

    fn add(&mut self, node: NodeId, requirement: &Requirement) {
        if let Some(slot) = self.nodes.get_mut(node.0) {
            let slot = slot.get_or_insert_default();
            slot.columns.merge(&requirement.columns);
            slot.watermark |= requirement.watermark;
        }
    }
}

/// What a node needs of its input, for what is needed of itself.
fn input_requirement(node: &Node, input: &Node, need: &Requirement) -> Requirement {
    let mut columns = Needs::default();
    let mut watermark = need.watermark;
    match &node.kind {
        Kind::Scan(_) | Kind::Side(_) => {}
        Kind::Sink(_) => input.schema.fields().iter().for_each(|field| columns.add(field.name(), &Need::All)),
        // Whole columns: one input may compute a struct that another reads.
        Kind::Union => {
            kept_of_union(node, need).into_iter().for_each(|name| columns.add(name, &Need::All));
        }
        Kind::Calc(calc) => {
            calc.predicate.iter().for_each(|predicate| columns.add_expression(predicate));
            for item in &calc.projection {
                if let Some(of_column) = need.columns.get(&item.name) {
                    columns.add_result(&item.expression, of_column);
                }
            }
        }
        Kind::Window(window) => {
            watermark = true;
            columns.add(&window.time, &Need::All);
            for field in input.schema.fields() {
                if let Some(of_column) = need.columns.get(field.name()) {
                    columns.add(field.name(), of_column);
                }
            }
        }
        Kind::Unnest(unnest) => {
            columns.add(&unnest.collection, &Need::All);
            for name in &unnest.kept {
                if let Some(of_column) = need.columns.get(name) {
                    columns.add(name, of_column);
                }
            }
        }
        Kind::Aggregate(aggregate) => {
            watermark = aggregate.span != Span::EndOfInput;
            columns_of_aggregate(aggregate).for_each(|column| columns.add(column, &Need::All));
        }
        Kind::Over(over) => {
            watermark |= over.event.is_some();
            columns_of_over(over).for_each(|column| columns.add(column, &Need::All));
            // Whole columns: rows that wait are state, whose columns don't change with what is read of them.
            for name in over.kept.iter().filter(|name| need.columns.get(name).is_some()) {
                columns.add(name, &Need::All);
            }
        }
    }
    Requirement { columns, watermark }
}

/// The input columns that an aggregation reads.
fn columns_of_aggregate(aggregate: &Aggregate) -> impl Iterator<Item = &str> {
    let of_span = match &aggregate.span {
        Span::Window { time, .. } => vec![time],
        Span::Attached { start, end } => vec![start, end],
        Span::EndOfInput => Vec::new(),
    };
    let of_calls = aggregate.calls.iter().flat_map(|call| call.argument.iter().chain(&call.filter));
    let of_late = aggregate.late.iter().flat_map(|late| &late.columns).map(|(column, _)| column);
    aggregate.keys.iter().chain(of_calls).chain(of_span).chain(of_late).map(String::as_str)
}

/// The input columns that running aggregates read.
fn columns_of_over(over: &Over) -> impl Iterator<Item = &str> {
    let of_calls = over.calls.iter().flat_map(|call| call.argument.iter().chain(&call.filter));
    let time = over.event.iter().map(|event| &event.time);
    let of_late = over.late.iter().flat_map(|late| &late.columns).map(|(column, _)| column);
    over.keys.iter().chain(of_calls).chain(time).chain(of_late).map(String::as_str)
}

fn rebuild(plan: &mut StreamPlan, node: &Node, need: &Requirement, inputs: Vec<NodeId>) -> Result<NodeId> {
    let one = || match inputs.as_slice() {
        [input] => Ok(*input),
        _ => Err(Error::internal("a node with several inputs where one belongs")),
    };
    match &node.kind {
        Kind::Scan(scan) => plan.add(Kind::Scan(narrow_scan(scan, need)), inputs),
        Kind::Calc(calc) => {
            let needed = |item: &&Item| need.columns.get(&item.name).is_some();
            let items: Vec<Item> = calc.projection.iter().filter(needed).cloned().collect();
            let input = one()?;
            let calc = Calc { predicate: calc.predicate.clone(), projection: items };
            let schema = plan.node(input)?.schema.clone();
            match split_common(&calc, &schema)? {
                Some((before, after)) => {
                    let input = plan.calc(input, before.predicate, before.projection)?;
                    plan.calc(input, after.predicate, after.projection)
                }
                None => plan.calc(input, calc.predicate, calc.projection),
            }
        }
        Kind::Union => {
            let inputs = same_columns(plan, node, need, inputs)?;
            plan.add(Kind::Union, inputs)
        }
        Kind::Unnest(unnest) => plan.add(Kind::Unnest(narrow_unnest(unnest, need)), inputs),
        Kind::Over(over) => {
            let mut narrow = over.clone();
            narrow.kept.retain(|name| need.columns.get(name).is_some());
            plan.add(Kind::Over(narrow), inputs)
        }
        Kind::Window(_) | Kind::Aggregate(_) | Kind::Sink(_) | Kind::Side(_) => {
            plan.add(node.kind.clone(), inputs)
        }
    }
}

/// The columns that a union keeps; at least one, so that its inputs agree on it.
fn kept_of_union<'n>(node: &'n Node, need: &Requirement) -> Vec<&'n str> {
    let names = || node.schema.fields().iter().map(|field| field.name().as_str());
    let kept: Vec<&str> = names().filter(|name| need.columns.get(name).is_some()).collect();
    if kept.is_empty() { names().take(1).collect() } else { kept }
}

/// All inputs of a union with the same columns: some nodes can't leave columns out by themselves.
fn same_columns(
    plan: &mut StreamPlan,
    node: &Node,
    need: &Requirement,
    inputs: Vec<NodeId>,
) -> Result<Vec<NodeId>> {
    let kept = kept_of_union(node, need);
    inputs
        .into_iter()
        .map(|input| plan.calc(input, None, kept.iter().map(|name| Item::column(name)).collect()))
        .collect()
}

fn narrow_unnest(unnest: &Unnest, need: &Requirement) -> Unnest {
    let needed = |name: &String| need.columns.get(name).is_some();
    let mut narrow = unnest.clone();
    narrow.kept.retain(needed);
    narrow.elements.retain(|(_, name)| needed(name));
    narrow.ordinality = narrow.ordinality.filter(needed);
    // Rows are counted by one of their columns.
    if narrow.kept.is_empty() && narrow.elements.is_empty() && narrow.ordinality.is_none() {
        narrow.elements.extend(unnest.elements.first().cloned());
    }
    narrow
}

fn narrow_scan(scan: &Scan, need: &Requirement) -> Scan {
    let watermark = scan.watermark.clone().filter(|_| need.watermark);
    let mut columns = need.columns.clone();
    watermark.iter().for_each(|expression| columns.add_expression(expression));
    let mut fields: Vec<_> = scan
        .fields
        .iter()
        .filter_map(|field| columns.get(field.name()).map(|need| need.narrow(field)))
        .collect();
    // COUNT(*) reads no column, but it reads rows: the narrowest column of the record counts them.
    if fields.is_empty() {
        let physical = scan.fields.iter().filter(|field| !scan.table.is_metadata(field.name()));
        let narrowest =
            physical.min_by_key(|field| field.data_type().primitive_width().unwrap_or(usize::MAX));
        fields.extend(narrowest.cloned());
    }
    Scan { fields, watermark, ..scan.clone() }
}
