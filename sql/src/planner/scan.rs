//! A table scan: filters offered to the connector, computed columns put in, what the filters say used to shorten them.
//!
//! A filter that the connector takes holds for every row of the source, so also for its watermark; one that it doesn't take
//! holds for what comes after the Calc behind the source.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, TableScan};
use weir_api::error::{Error, Result};
use weir_proto::v1::Predicate;

use super::calc::{guarantees, is_true, simplify};
use super::lower::{names_of, unqualified};
use super::predicates::predicate_of;
use super::ranges::implied;
use super::stream::{Item, Kind, NodeId, Scan, StreamPlan, internal};
use super::table::{BoundTable, CatalogSource};

/// The scan as a source and, where there is something to compute or to filter, a Calc.
pub(super) fn lower_scan(plan: &mut StreamPlan, scan: &TableScan) -> Result<NodeId> {
    let source = scan
        .source
        .downcast_ref::<CatalogSource>()
        .ok_or_else(|| Error::internal(format!("a scan of {} that isn't of the catalog", scan.table_name)))?;
    let table = source.0.clone();
    let physical = Arc::new(DFSchema::try_from(table.physical.clone()).map_err(|error| internal(&error))?);
    let options = plan.options.clone();

    let mut conjuncts = Vec::new();
    for filter in &scan.filters {
        let inlined = unqualified(filter.clone()).and_then(|filter| table.inline(filter));
        let filter = simplify(inlined.map_err(|error| internal(&error))?, &physical, &options, Vec::new())?;
        conjuncts.extend(split_conjunction_owned(filter).into_iter().filter(|conjunct| !is_true(conjunct)));
    }
    let (filters, accepted, rest) = offer(&table, conjuncts);

    let watermark = watermark_of(&table, &accepted, &options)?;
    let fields = table.physical.fields().iter().cloned().collect();
    let known = guarantees(accepted.iter().chain(&rest));
    let time = table.watermark.as_ref().map(|watermark| watermark.column.clone());

    let projected = match &scan.projection {
        Some(columns) => columns.clone(),
        None => (0..table.columns.len()).collect(),
    };
    let names = names_of(&scan.projected_schema);
    let mut projection = Vec::with_capacity(projected.len());
    for (index, name) in projected.into_iter().zip(names) {
        let column = table
            .columns
            .get(index)
            .ok_or_else(|| Error::internal(format!("table {} has no column {index}", table.name)))?;
        let is_physical = matches!(column.value, Expr::Column(_));
        let expression = if is_physical {
            column.value.clone()
        } else {
            simplify(column.value.clone(), &physical, &options, known.clone())?
        };
        let rowtime = time.as_ref() == Some(&column.name);
        projection.push(Item { name, expression, rowtime });
    }
    let source = plan.add(Kind::Scan(Scan { table, fields, filters, accepted, watermark }), Vec::new())?;
    plan.calc(source, conjunction(rest), projection)
}

/// The watermark of a row of the source, of which the predicates `accepted` hold.
pub(super) fn watermark_of(
    table: &BoundTable,
    accepted: &[Expr],
    options: &Arc<ConfigOptions>,
) -> Result<Option<Expr>> {
    let Some(watermark) = &table.watermark else { return Ok(None) };
    let read = Arc::new(DFSchema::try_from(table.physical.clone()).map_err(|error| internal(&error))?);
    simplify(watermark.expression.clone(), &read, options, guarantees(accepted.iter())).map(Some)
}

/// What the connector takes, in its form and as expressions, and what it leaves.
fn offer(table: &Arc<BoundTable>, conjuncts: Vec<Expr>) -> (Vec<Predicate>, Vec<Expr>, Vec<Expr>) {
    let (mut filters, mut accepted, mut rest) = ask(table, conjuncts);
    // Of what it leaves, what follows for the range of a column may help it still.
    let implied: Vec<Expr> = rest.iter().flat_map(implied).collect();
    let (more, holds, _) = ask(table, implied);
    for (filter, expression) in more.into_iter().zip(holds) {
        if !filters.contains(&filter) {
            filters.push(filter);
            accepted.push(expression);
        }
    }
    rest.retain(|conjunct| !accepted.contains(conjunct));
    (filters, accepted, rest)
}

/// Those that the connector takes, in its form and as expressions, and the others.
fn ask(table: &Arc<BoundTable>, conjuncts: Vec<Expr>) -> (Vec<Predicate>, Vec<Expr>, Vec<Expr>) {
    let mut offered = Vec::new();
    let mut candidates = Vec::new();
    let mut rest = Vec::new();
    for conjunct in conjuncts {
        let predicate = predicate_of(&conjunct, &table.physical);
        // Connectors filter records by what they hold; metadata isn't part of one.
        match predicate.filter(|predicate| predicate.path.first().is_none_or(|name| !table.is_metadata(name)))
        {
            Some(predicate) => {
                offered.push(predicate);
                candidates.push(conjunct);
            }
            None => rest.push(conjunct),
        }
    }
    let verdicts = if offered.is_empty() { Vec::new() } else { table.source.accepts(&offered) };
    let mut filters = Vec::new();
    let mut accepted = Vec::new();
    for (index, (predicate, conjunct)) in offered.into_iter().zip(candidates).enumerate() {
        if verdicts.get(index).copied().unwrap_or(false) {
            filters.push(predicate);
            accepted.push(conjunct);
        } else {
            rest.push(conjunct);
        }
    }
    (filters, accepted, rest)
}
