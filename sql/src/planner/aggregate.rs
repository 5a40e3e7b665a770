//! GROUP BY: which window a group spans, and what is computed before and after.
//!
//! Groups that hold `window_start` and `window_end` span that window. If the window function stands right below (behind
//! nothing but Calcs that leave its columns alone), the aggregation takes its place, so that no row is copied per window;
//! otherwise rows carry their windows along. Groups without a window need an input that ends. Keys, arguments and filters
//! are made plain columns by a Calc before; a Calc after restores names and order.

use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Aggregate as LogicalAggregate, Expr};
use weir_api::error::{Code, Error};

use super::grouping::{Before, Group, Outputs, column_name, windowed_by};
use super::late::keep_late_rows;
use super::lower::{lower, names_of, resolve};
use super::pull_up::{Pulled, WindowPredicate, pull_window};
use super::stream::{Aggregate, Call, Item, Kind, NodeId, Property, Role, Span, StreamPlan};
use crate::error::{SqlError, SqlResult};

/// Lowers a logical aggregation.
pub(super) fn lower_aggregate(plan: &mut StreamPlan, logical: &LogicalAggregate) -> SqlResult<NodeId> {
    let input = lower(plan, &logical.input)?;
    let schema = logical.input.schema();
    let names = names_of(&logical.schema);
    let mut groups = Vec::with_capacity(logical.group_expr.len());
    for (expression, name) in logical.group_expr.iter().zip(&names) {
        if matches!(expression, Expr::GroupingSet(_)) {
            return Err(SqlError::new(
                Code::Unsupported,
                "GROUPING SETS, CUBE and ROLLUP aren't supported yet",
            ));
        }
        let expression = resolve(expression, schema)?;
        let role = match &expression {
            Expr::Column(column) => plan.node(input)?.role(&column.name),
            _ => Role::Plain,
        };
        groups.push(Group { name: name.clone(), expression, role });
    }
    let mut before = Before::default();
    let mut outputs = Outputs::default();
    for (expression, name) in logical.aggr_expr.iter().zip(names.iter().skip(groups.len())) {
        outputs.add(before.call(expression, schema)?, name);
    }
    match windowed_by(&groups) {
        Some(window) => windowed(plan, input, window, &groups, before, outputs),
        None => unwindowed(plan, input, &groups, before, outputs),
    }
}

/// Groups that span a window.
fn windowed(
    plan: &mut StreamPlan,
    input: NodeId,
    window: NodeId,
    groups: &[Group],
    mut before: Before,
    mut outputs: Outputs,
) -> SqlResult<NodeId> {
    let mut keys: Vec<String> = Vec::new();
    let mut key_of_group = Vec::new();
    for group in groups {
        let key = match group.property(window) {
            Some(_) => None,
            None => Some(before.column(group.expression.clone(), &group.name)),
        };
        if let Some(key) = key.as_ref().filter(|key| !keys.contains(*key)) {
            keys.push(key.clone());
        }
        key_of_group.push(key);
    }
    outputs.avoid(&keys);
    let (below, span, above) = span_of(plan, input, window, groups, before)?;
    let (below, late) = keep_late_rows(plan, below)?;

    let properties = properties_of(groups, window, &above, |name| {
        keys.contains(name) || outputs.calls.iter().any(|call| call.name == *name)
    });
    let column_of = |property: Property| {
        let found = properties.iter().find(|(known, _)| *known == property);
        found.map(|(_, name)| name.clone()).unwrap_or_default()
    };
    let predicate = conjunction(above.iter().map(|predicate| predicate.over(&column_of)));
    let mut projection = Vec::new();
    for (group, key) in groups.iter().zip(key_of_group) {
        let column = match (key, group.property(window)) {
            (Some(key), _) => key,
            (None, Some(property)) => column_of(property),
            (None, None) => return Err(Error::internal("a group that is neither key nor window").into()),
        };
        projection.push(Item::renamed(&column, &group.name));
    }
    let Outputs { calls, items } = outputs;
    projection.extend(items);
    let aggregate =
        plan.add(Kind::Aggregate(Aggregate { span, keys, calls, properties, late }), vec![below])?;
    Ok(plan.calc(aggregate, predicate, projection)?)
}

/// What the aggregation reads, which window its groups span, and what is filtered only behind it.
fn span_of(
    plan: &mut StreamPlan,
    input: NodeId,
    window: NodeId,
    groups: &[Group],
    mut before: Before,
) -> SqlResult<(NodeId, Span, Vec<WindowPredicate>)> {
    if let Some(Pulled { below, window, time, above }) = pull_window(plan, input, window, &before)? {
        return Ok((below, Span::Window { window, time }, above));
    }
    let mut column = |property, name| -> SqlResult<String> {
        let group = groups.iter().find(|group| group.property(window) == Some(property));
        let group = group.ok_or_else(|| Error::internal("a window without its columns"))?;
        Ok(before.column(group.expression.clone(), name))
    };
    let start = column(Property::Start, "$window_start")?;
    let end = column(Property::End, "$window_end")?;
    let items = before.into_items(&plan.node(input)?.schema);
    let below = plan.calc(input, None, items)?;
    Ok((below, Span::Attached { start, end }, Vec::new()))
}

/// The window columns that are grouped by or filtered by, with names that aren't taken.
fn properties_of(
    groups: &[Group],
    window: NodeId,
    above: &[WindowPredicate],
    taken: impl Fn(&String) -> bool,
) -> Vec<(Property, String)> {
    let mut properties: Vec<(Property, String)> = Vec::new();
    let grouped = groups.iter().filter_map(|group| group.property(window));
    for property in grouped.chain(above.iter().flat_map(WindowPredicate::columns)) {
        if properties.iter().any(|(known, _)| *known == property) {
            continue;
        }
        let mut free = column_name(property);
        while taken(&free) || properties.iter().any(|(_, known)| *known == free) {
            free.push('$');
        }
        properties.push((property, free));
    }
    properties
}

/// Groups that span all of an input that ends.
fn unwindowed(
    plan: &mut StreamPlan,
    input: NodeId,
    groups: &[Group],
    mut before: Before,
    mut outputs: Outputs,
) -> SqlResult<NodeId> {
    if !plan.is_bounded(input)? {
        return Err(SqlError::new(Code::SqlUnbounded, unbounded_reason(groups, &outputs.calls)));
    }
    let mut keys: Vec<String> = Vec::new();
    let mut projection = Vec::new();
    for group in groups {
        let key = before.column(group.expression.clone(), &group.name);
        projection.push(Item::renamed(&key, &group.name));
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    outputs.avoid(&keys);
    let Outputs { calls, items } = outputs;
    projection.extend(items);
    let items = before.into_items(&plan.node(input)?.schema);
    let below = plan.calc(input, None, items)?;
    let aggregate = Aggregate { span: Span::EndOfInput, keys, calls, properties: Vec::new(), late: None };
    let aggregate = plan.add(Kind::Aggregate(aggregate), vec![below])?;
    Ok(plan.calc(aggregate, None, projection)?)
}

fn unbounded_reason(groups: &[Group], calls: &[Call]) -> String {
    let remedy = "group by window_start, window_end of TUMBLE, HOP or CUMULATE, or read a bounded source";
    let has = |wanted: fn(&Role) -> bool| groups.iter().any(|group| wanted(&group.role));
    let start = has(|role| matches!(role, Role::WindowStart(_)));
    let end = has(|role| matches!(role, Role::WindowEnd(_)));
    if start || end || has(|role| matches!(role, Role::WindowTime(_))) {
        let missing = match (start, end) {
            (true, false) => "window_end is missing",
            (false, true) => "window_start is missing",
            _ => "window_start and window_end are missing",
        };
        return format!(
            "a windowed aggregation groups by both window_start and window_end, but {missing} from GROUP BY; without \
             it every row that ever comes can change a group, so state would grow forever"
        );
    }
    let what = match (groups.is_empty(), calls.is_empty()) {
        (_, true) => "SELECT DISTINCT (or GROUP BY without a window, or UNION without ALL)",
        (true, _) => "an aggregation over all rows",
        (false, _) => "GROUP BY without a window",
    };
    format!(
        "{what} keeps state forever and updates its result with every row, which an unbounded source never ends: {remedy}"
    )
}
