//! OVER: running aggregates of a key's rows in the order of a time attribute.
//!
//! Partition keys, arguments and filters are made plain columns by a Calc before; a Calc after gives the results their names. The
//! order is processing time, where rows are answered as they come, or event time, where they wait for the watermark. What its text
//! alone tells to be impossible has been refused in [`super::refuse_over`].

use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, WindowFunction};
use datafusion::logical_expr::{
    Expr, Window, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use weir_api::error::{Code, Error};

use super::errors::place_of_column;
use super::grouping::{Before, Outputs};
use super::lower::{lower, names_of, resolve};
use super::stream::{EventOrder, Item, Kind, NodeId, Over, Role, StreamPlan};
use crate::error::{SqlError, SqlResult};
use crate::types::flink_type_name;

/// Lowers a window of a logical plan.
pub(super) fn lower_over(plan: &mut StreamPlan, window: &Window) -> SqlResult<NodeId> {
    let input = lower(plan, &window.input)?;
    let schema = window.input.schema();
    let names = names_of(&window.schema);
    let (passed, results) = names.split_at_checked(schema.fields().len()).unwrap_or((&names, &[]));
    let functions = window.window_expr.iter().map(function_of).collect::<SqlResult<Vec<_>>>()?;
    let first = functions.first().ok_or_else(|| Error::internal("a window without functions"))?;
    if let Some(other) = functions.iter().find(|other| !is_same_window(first, other)) {
        let message = format!(
            "{} and {} are OVER different windows: all of one SELECT must have the same",
            first.fun, other.fun
        );
        return Err(SqlError::new(Code::Unsupported, message));
    }

    let mut before = Before { items: passed.iter().map(|name| Item::column(name)).collect() };
    let event = order_of(plan, input, first, window)?;
    let mut keys: Vec<String> = Vec::new();
    for (number, key) in first.params.partition_by.iter().enumerate() {
        let key = before.column(resolve(key, schema)?, &format!("$key{number}"));
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut outputs = Outputs::default();
    for (function, name) in functions.iter().zip(results) {
        outputs.add(before.call(&aggregate_of(function)?, schema)?, name);
    }
    outputs.avoid(passed);
    let Outputs { calls, items } = outputs;
    let below = plan.calc(input, None, before.items)?;
    let kept = passed.to_vec();
    let over = plan.add(Kind::Over(Over { keys, event, calls, kept, late: None }), vec![below])?;
    let passed = passed.iter().map(|name| Item::column(name));
    Ok(plan.calc(over, None, passed.chain(items).collect())?)
}

fn function_of(expression: &Expr) -> SqlResult<&WindowFunction> {
    match expression {
        Expr::Alias(alias) => function_of(&alias.expr),
        Expr::WindowFunction(function) => Ok(function),
        other => Err(Error::internal(format!("'{other}' where a function OVER belongs")).into()),
    }
}

/// The function as an aggregate function.
fn aggregate_of(function: &WindowFunction) -> SqlResult<Expr> {
    let WindowFunctionDefinition::AggregateUDF(func) = &function.fun else {
        let message = format!("{} OVER isn't supported", function.fun.name().to_uppercase());
        return Err(SqlError::new(Code::Unsupported, message));
    };
    let params = &function.params;
    Ok(Expr::AggregateFunction(AggregateFunction {
        func: func.clone(),
        params: AggregateFunctionParams {
            args: params.args.clone(),
            distinct: params.distinct,
            filter: params.filter.clone(),
            order_by: Vec::new(),
            null_treatment: params.null_treatment,
        },
    }))
}

fn is_same_window(a: &WindowFunction, b: &WindowFunction) -> bool {
    // Rules give an expression its old name where they replace it.
    let plain = |expression: &Expr| expression.clone().unalias_nested().data;
    let keys = |of: &WindowFunction| of.params.partition_by.iter().map(plain).collect::<Vec<_>>();
    let order =
        |of: &WindowFunction| of.params.order_by.iter().map(|sort| plain(&sort.expr)).collect::<Vec<_>>();
    keys(a) == keys(b) && order(a) == order(b) && a.params.window_frame.units == b.params.window_frame.units
}

/// The order of event time; `None`: processing time.
fn order_of(
    plan: &StreamPlan,
    input: NodeId,
    function: &WindowFunction,
    window: &Window,
) -> SqlResult<Option<EventOrder>> {
    let params = &function.params;
    let [order] = params.order_by.as_slice() else {
        return Err(Error::internal("OVER that isn't ordered by one time attribute").into());
    };
    let peers = frame_of(&params.window_frame)?;
    let place = match &order.expr {
        Expr::Column(column) => place_of_column(column),
        _ => None,
    };
    let refuse = |message: String| {
        let error = SqlError::new(Code::SqlType, message);
        match place {
            Some(place) => error.or_at(place),
            None => error,
        }
    };
    let remedy =
        "order by the column of WATERMARK FOR, passed on as it is, or by a column that is PROCTIME()";
    let resolved = resolve(&order.expr, window.input.schema())?;
    let Expr::Column(column) = &resolved else {
        let what =
            format!("OVER is ordered by an expression, '{}', not by a time attribute: {remedy}", order.expr);
        return Err(refuse(what));
    };
    let node = plan.node(input)?;
    match node.role(&column.name) {
        Role::Proctime => Ok(None),
        role if role.is_rowtime() => Ok(Some(EventOrder { time: column.name.clone(), peers })),
        _ => {
            let field = node.schema.field_with_name(&column.name).map_err(Error::from)?;
            Err(refuse(format!(
                "OVER is ordered by '{}', which is {} and not a time attribute, so nothing says which rows come first: {remedy}",
                column.name,
                flink_type_name(field.data_type(), field.is_nullable())
            )))
        }
    }
}

/// Whether rows of one time see each other.
fn frame_of(frame: &WindowFrame) -> SqlResult<bool> {
    let from_start = matches!(&frame.start_bound, WindowFrameBound::Preceding(bound) if bound.is_null());
    if !from_start || frame.end_bound != WindowFrameBound::CurrentRow {
        let message = "OVER has only windows BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW";
        return Err(SqlError::new(Code::Unsupported, message));
    }
    match frame.units {
        WindowFrameUnits::Rows => Ok(false),
        WindowFrameUnits::Range => Ok(true),
        WindowFrameUnits::Groups => {
            Err(SqlError::new(Code::Unsupported, "GROUPS isn't supported: it isn't Flink's"))
        }
    }
}
