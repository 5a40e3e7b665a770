//! GROUP BY: which window a group spans, and what is computed before and after.
//!
//! Groups that hold `window_start` and `window_end` span that window. If the window function stands right below (behind
//! nothing but Calcs that leave its columns alone), the aggregation takes its place, so that no row is copied per window;
//! otherwise rows carry their windows along. Groups without a window need an input that ends. Keys, arguments and filters
//! are made plain columns by a Calc before; a Calc after restores names and order.

use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Aggregate as LogicalAggregate, Expr};
use weir_api::error::{Code, Error};
use weir_proto::v1::aggregate_call::Function;

use super::functions::function_of;
use super::lower::{lower, names_of, resolve};
use super::pull_up::{Pulled, pull_window};
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

/// The aggregate functions, and under which names their results go on.
#[derive(Default)]
struct Outputs {
    calls: Vec<Call>,
    items: Vec<Item>,
}

impl Outputs {
    /// Calls are named by what they do, not as the query calls their results: state survives another alias.
    fn add(&mut self, call: Call, name: &str) {
        let column = match self.calls.iter().find(|known| known.does_the_same(&call)) {
            Some(known) => known.name.clone(),
            None => {
                let column = call.name.clone();
                self.calls.push(call);
                column
            }
        };
        self.items.push(Item::renamed(&column, name));
    }
}

/// One expression of GROUP BY.
struct Group {
    name: String,
    expression: Expr,
    role: Role,
}

impl Group {
    /// Which column of `window` it is.
    fn property(&self, window: NodeId) -> Option<Property> {
        property_of(self.role, window)
    }
}

/// Which column of `window` a role says.
pub(super) fn property_of(role: Role, window: NodeId) -> Option<Property> {
    match role {
        Role::WindowStart(of) if of == window => Some(Property::Start),
        Role::WindowEnd(of) if of == window => Some(Property::End),
        Role::WindowTime(of) if of == window => Some(Property::Time),
        _ => None,
    }
}

/// The window that is grouped by its start and its end.
fn windowed_by(groups: &[Group]) -> Option<NodeId> {
    let has = |window, property| groups.iter().any(|group| group.property(window) == Some(property));
    groups
        .iter()
        .filter_map(|group| group.role.window())
        .find(|window| has(*window, Property::Start) && has(*window, Property::End))
}

/// The Calc before an aggregation: its columns so far.
#[derive(Default)]
struct Before {
    items: Vec<Item>,
}

impl Before {
    /// The name of the column that holds `expression`, which is added if there is none.
    fn column(&mut self, expression: Expr, name: &str) -> String {
        if let Some(item) = self.items.iter().find(|item| item.expression == expression) {
            return item.name.clone();
        }
        let mut free = match &expression {
            Expr::Column(column) => column.name.clone(),
            _ => name.to_owned(),
        };
        let taken = |name: &str| self.items.iter().any(|item| item.name == name);
        let mut number = 0;
        while taken(&free) {
            free = format!("{name}${number}");
            number += 1;
        }
        self.items.push(Item::new(&free, expression));
        free
    }

    fn call(&mut self, expression: &Expr, schema: &DFSchema) -> SqlResult<Call> {
        let AggregateFunction { func, params } = match expression {
            Expr::AggregateFunction(call) => call,
            Expr::Alias(alias) => return self.call(&alias.expr, schema),
            other => {
                return Err(Error::internal(format!("'{other}' where an aggregate function belongs")).into());
            }
        };
        let shown = func.name().to_uppercase();
        let function = function_of(func).ok_or_else(|| {
            SqlError::new(Code::Unsupported, format!("the aggregate function {shown} isn't supported"))
        })?;
        if !params.order_by.is_empty() || params.null_treatment.is_some() {
            let message = format!("ORDER BY and IGNORE NULLS inside {shown} aren't supported");
            return Err(SqlError::new(Code::Unsupported, message));
        }
        let argument = match params.args.as_slice() {
            [argument] => resolve(argument, schema)?,
            arguments => {
                let message =
                    format!("{shown} of {} arguments isn't supported: it takes one", arguments.len());
                return Err(SqlError::new(Code::Unsupported, message));
            }
        };
        // A count of what is never null is a count of rows.
        let counts_rows = function == Function::Count
            && !params.distinct
            && matches!(&argument, Expr::Literal(value, _) if !value.is_null());
        let argument = (!counts_rows).then(|| self.column(argument, &format!("$arg{}", self.items.len())));
        let filter = match &params.filter {
            Some(filter) => {
                let filter = resolve(filter, schema)?;
                Some(self.column(filter, &format!("$filter{}", self.items.len())))
            }
            None => None,
        };
        // The smallest of some values is the smallest of them without repetitions.
        let distinct = params.distinct && !matches!(function, Function::Min | Function::Max);
        Ok(Call::new(function, argument, filter, distinct))
    }
}

fn windowed(
    plan: &mut StreamPlan,
    input: NodeId,
    window: NodeId,
    groups: &[Group],
    mut before: Before,
    outputs: Outputs,
) -> SqlResult<NodeId> {
    let mut keys = Vec::new();
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
    let pulled = pull_window(plan, input, window, &before.items)?;
    let (below, span, after) = match pulled {
        Some(Pulled { below, window, time, above }) => (below, Span::Window { window, time }, above),
        None => {
            let column = |property| {
                let group = groups.iter().find(|group| group.property(window) == Some(property));
                group
                    .map(|group| group.expression.clone())
                    .ok_or_else(|| Error::internal("a window without its columns"))
            };
            let start = before.column(column(Property::Start)?, "$window_start");
            let end = before.column(column(Property::End)?, "$window_end");
            let below = plan.calc(input, None, before.items)?;
            (below, Span::Attached { start, end }, Vec::new())
        }
    };

    let Outputs { calls, items } = outputs;
    let taken = |name: &String| keys.contains(name) || calls.iter().any(|call| call.name == *name);
    let mut properties: Vec<(Property, String)> = Vec::new();
    let grouped = groups.iter().filter_map(|group| group.property(window));
    let compared = after.iter().flat_map(|(_, columns)| columns).copied();
    for property in grouped.chain(compared) {
        if properties.iter().all(|(known, _)| *known != property) {
            let mut free = column_name(property);
            while taken(&free) || properties.iter().any(|(_, known)| *known == free) {
                free.push('$');
            }
            properties.push((property, free));
        }
    }
    let column_of = |property: Property| {
        properties
            .iter()
            .find(|(known, _)| *known == property)
            .map(|(_, name)| name.clone())
            .unwrap_or_default()
    };
    let predicate = conjunction(after.iter().map(|(predicate, _)| predicate.over(&column_of)));
    let mut projection = Vec::new();
    for (group, key) in groups.iter().zip(key_of_group) {
        let column = match (key, group.property(window)) {
            (Some(key), _) => key,
            (None, Some(property)) => column_of(property),
            (None, None) => return Err(Error::internal("a group that is neither key nor window").into()),
        };
        projection.push(Item::renamed(&column, &group.name));
    }
    projection.extend(items);
    let aggregate = plan.add(Kind::Aggregate(Aggregate { span, keys, calls, properties }), vec![below])?;
    Ok(plan.calc(aggregate, predicate, projection)?)
}

fn column_name(property: Property) -> String {
    match property {
        Property::Start => "window_start",
        Property::End => "window_end",
        Property::Time => "window_time",
    }
    .to_owned()
}

/// Groups that span all of an input that ends.
fn unwindowed(
    plan: &mut StreamPlan,
    input: NodeId,
    groups: &[Group],
    mut before: Before,
    outputs: Outputs,
) -> SqlResult<NodeId> {
    let Outputs { calls, items } = outputs;
    if !plan.is_bounded(input)? {
        return Err(SqlError::new(Code::SqlUnbounded, unbounded_reason(groups, &calls)));
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
    projection.extend(items);
    let below = plan.calc(input, None, before.items)?;
    let aggregate = Aggregate { span: Span::EndOfInput, keys, calls, properties: Vec::new() };
    let aggregate = plan.add(Kind::Aggregate(aggregate), vec![below])?;
    Ok(plan.calc(aggregate, None, projection)?)
}

fn unbounded_reason(groups: &[Group], calls: &[Call]) -> String {
    let remedy = "group by window_start, window_end of TUMBLE or HOP, or read a bounded source";
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
        (_, true) => "SELECT DISTINCT (or UNION without ALL)",
        (true, _) => "an aggregation over all rows",
        (false, _) => "GROUP BY without a window",
    };
    format!(
        "{what} keeps state forever and updates its result with every row, which an unbounded source never ends: {remedy}"
    )
}
