//! Operators' identities, from what they mean: state finds its operator again after another planning of the same text.
//!
//! A uid is a hash of what a node does and of its inputs' uids. It depends neither on parallelism, nor on how operators are
//! chained, nor on other statements of the job. Equal nodes of one job are one node, so two inserts that read the same share
//! it, unless an expression may differ from one evaluation to the next.

use std::collections::HashMap;
use std::fmt::Write;

use weir_api::error::Result;
use weir_api::id::OperatorUid;
use xxhash_rust::xxh3::xxh3_128;

use super::predicates::text_of;
use super::stream::{Kind, Node, NodeId, StreamPlan};

/// A node's identity; phases of one node add their own word.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct NodeUid {
    kind: &'static str,
    hash: u128,
}

impl NodeUid {
    /// The uid of the node's only operator.
    pub fn operator(&self) -> Result<OperatorUid> {
        OperatorUid::new(format!("{}-{:032x}", self.kind, self.hash))
    }

    /// The uid of one of the node's operators.
    pub fn phase(&self, phase: &str) -> Result<OperatorUid> {
        OperatorUid::new(format!("{phase}-{}-{:032x}", self.kind, self.hash))
    }
}

/// The uids of all nodes, in their order.
pub(super) fn uids_of(plan: &StreamPlan) -> Result<Vec<NodeUid>> {
    let owners = owners_of(plan)?;
    let mut seen: HashMap<NodeUid, usize> = HashMap::new();
    let mut uids: Vec<NodeUid> = Vec::with_capacity(plan.nodes.len());
    for (index, node) in plan.nodes.iter().enumerate() {
        let mut meaning = meaning_of(node);
        for input in &node.inputs {
            if let Some(uid) = uids.get(input.0) {
                let _ = write!(meaning, "\n{}-{:032x}", uid.kind, uid.hash);
            }
        }
        let alone = is_alone(node);
        if alone && !matches!(node.kind, Kind::Sink(_)) {
            let _ = write!(meaning, "\nfor {}", owners.get(index).map_or("", String::as_str));
        }
        let kind = kind_of(node);
        let mut uid = NodeUid { kind, hash: xxh3_128(meaning.as_bytes()) };
        // The same query into the same sink twice: two sinks.
        let before = seen.entry(uid.clone()).or_default();
        *before += 1;
        if alone && *before > 1 {
            let _ = write!(meaning, "\nnumber {before}");
            uid = NodeUid { kind, hash: xxh3_128(meaning.as_bytes()) };
        }
        uids.push(uid);
    }
    Ok(uids)
}

const fn kind_of(node: &Node) -> &'static str {
    match node.kind {
        Kind::Scan(_) => "source",
        Kind::Calc(_) => "calc",
        Kind::Window(_) => "window",
        Kind::Unnest(_) => "unnest",
        Kind::Aggregate(_) => "aggregate",
        Kind::Over(_) => "over",
        Kind::Union => "union",
        Kind::Sink(_) => "sink",
        Kind::Side(_) => "side",
    }
}

/// Whether an equal node must stay another one.
fn is_alone(node: &Node) -> bool {
    match &node.kind {
        Kind::Sink(_) => true,
        Kind::Calc(calc) => calc
            .predicate
            .iter()
            .chain(calc.projection.iter().map(|item| &item.expression))
            .any(|e| e.is_volatile()),
        _ => false,
    }
}

/// What a node does, as a text that is the same after every planning.
fn meaning_of(node: &Node) -> String {
    let mut text = String::new();
    let written = match &node.kind {
        Kind::Scan(scan) => {
            let filters: Vec<String> = scan.filters.iter().map(text_of).collect();
            let watermark = scan.watermark.as_ref().map(ToString::to_string).unwrap_or_default();
            let fields: Vec<String> =
                scan.fields.iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
            let variant = &scan.table.variant;
            write!(text, "source {}{variant} {fields:?} {filters:?} {watermark}", scan.table.name)
        }
        Kind::Calc(calc) => {
            let predicate = calc.predicate.as_ref().map(ToString::to_string).unwrap_or_default();
            let items: Vec<String> =
                calc.projection.iter().map(|item| format!("{} AS {}", item.expression, item.name)).collect();
            write!(text, "calc {predicate} {items:?}")
        }
        Kind::Window(window) => write!(text, "window {:?} {}", window.window, window.time),
        Kind::Unnest(unnest) => write!(
            text,
            "unnest {} {:?} {:?} {:?} {}",
            unnest.collection, unnest.kept, unnest.elements, unnest.ordinality, unnest.outer
        ),
        Kind::Aggregate(aggregate) => write!(
            text,
            "aggregate {:?} {:?} {:?} {:?}{}",
            aggregate.span,
            aggregate.keys,
            aggregate.calls,
            aggregate.properties,
            aggregate.late.as_ref().map_or_else(String::new, |late| format!(" late {:?}", late.columns))
        ),
        // What is only passed on isn't what its state means.
        Kind::Over(over) => write!(text, "over {:?} {:?} {:?}", over.keys, over.event, over.calls),
        Kind::Union => write!(text, "union"),
        Kind::Sink(sink) => write!(text, "sink {}", sink.spec.name),
        Kind::Side(side) => write!(text, "side {side:?}"),
    };
    debug_assert!(written.is_ok(), "writing to a string never fails");
    text
}

/// For each node the sink that it works for; of several, the first.
fn owners_of(plan: &StreamPlan) -> Result<Vec<String>> {
    let mut owners = vec![String::new(); plan.nodes.len()];
    for root in &plan.roots {
        let name = match &plan.node(*root)?.kind {
            Kind::Sink(sink) => sink.spec.name.clone(),
            _ => "query".to_owned(),
        };
        let mut open = vec![*root];
        while let Some(NodeId(index)) = open.pop() {
            match owners.get_mut(index) {
                Some(owner) if owner.is_empty() => owner.clone_from(&name),
                _ => continue,
            }
            open.extend(plan.node(NodeId(index))?.inputs.iter().copied());
        }
    }
    Ok(owners)
}
