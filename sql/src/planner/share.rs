//! Scans of one table become one: a job reads a table once, whatever its queries read of it.
//!
//! The connector applies only the filters that all readers have; each reader's others are applied right behind the source.
//! Columns need no care here: a scan has all of them until [`super::prune`] keeps what its readers need. Invariant: every reader
//! sees the rows that it saw before.

use std::sync::Arc;

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use weir_api::error::{Error, Result};
use weir_proto::v1::Predicate;

use super::scan::watermark_of;
use super::stream::{Item, Kind, Node, NodeId, Scan, StreamPlan};

/// The plan with one scan for each table.
pub(super) fn share_scans(plan: &StreamPlan) -> Result<StreamPlan> {
    let mut shared = StreamPlan::new(plan.options.clone());
    let mut merged: Vec<(Scan, NodeId)> = Vec::new();
    let mut moved: Vec<NodeId> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let inputs = node
            .inputs
            .iter()
            .map(|input| {
                moved.get(input.0).copied().ok_or_else(|| Error::internal("a node before its input"))
            })
            .collect::<Result<Vec<_>>>()?;
        let id = match &node.kind {
            Kind::Scan(scan) => {
                let known = merged.iter().find(|(known, _)| is_same(known, scan));
                let (all, source) = match known {
                    Some((all, source)) => (all.clone(), *source),
                    None => {
                        let all = for_all_readers(plan, scan)?;
                        let source = shared.add(Kind::Scan(all.clone()), Vec::new())?;
                        merged.push((all.clone(), source));
                        (all, source)
                    }
                };
                let items = all.fields.iter().map(|field| Item::column(field.name())).collect();
                shared.calc(source, conjunction(left_out(scan, &all)), items)?
            }
            Kind::Calc(calc) => {
                let [input] = inputs.as_slice() else {
                    return Err(Error::internal("a Calc with several inputs"));
                };
                shared.calc(*input, calc.predicate.clone(), calc.projection.clone())?
            }
            kind => shared.add(kind.clone(), inputs)?,
        };
        moved.push(id);
    }
    shared.roots = plan.roots.iter().filter_map(|root| moved.get(root.0).copied()).collect();
    Ok(shared)
}

/// Whether both read the same table, with the same options.
fn is_same(a: &Scan, b: &Scan) -> bool {
    let (a, b) = (&a.table, &b.table);
    Arc::ptr_eq(a, b) || (a.name == b.name && a.variant == b.variant && a.spec == b.spec)
}

/// The scan of all readers of its table: with the filters that they have in common.
fn for_all_readers(plan: &StreamPlan, scan: &Scan) -> Result<Scan> {
    let readers = || {
        plan.nodes.iter().filter_map(|node: &Node| match &node.kind {
            Kind::Scan(other) if is_same(other, scan) => Some(other),
            _ => None,
        })
    };
    let in_common = |filter: &Predicate| readers().all(|reader| reader.filters.contains(filter));
    let (filters, accepted): (Vec<Predicate>, Vec<Expr>) = scan
        .filters
        .iter()
        .zip(&scan.accepted)
        .filter(|(filter, _)| in_common(filter))
        .map(|(filter, expression)| (filter.clone(), expression.clone()))
        .unzip();
    let watermark = watermark_of(&scan.table, &accepted, &plan.options)?;
    Ok(Scan { filters, accepted, watermark, ..scan.clone() })
}

/// What a reader asked of the connector that isn't asked of it for all readers.
fn left_out(scan: &Scan, all: &Scan) -> Vec<Expr> {
    scan.filters
        .iter()
        .zip(&scan.accepted)
        .filter(|(filter, _)| !all.filters.contains(filter))
        .map(|(_, expression)| expression.clone())
        .collect()
}
