//! What users see of operators: names in Flink's form, of limited length.

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Cast, Expr};
use weir_proto::v1::aggregate_call::Function;

use super::paths::path_of;
use super::predicates::text_of;
use super::stream::{
    Aggregate, Calc, Call, EventOrder, Item, Over, Property, Scan, Sink, Span, Unnest, WindowTable,
    column_named,
};
use super::window_node::WindowText;
use crate::types::flink_type_name;

/// The most characters of an operator's name.
const MAX_NAME: usize = 300;

pub(super) fn of_scan(scan: &Scan) -> String {
    let columns = joined(scan.fields.iter().map(field_text));
    let filters = joined(scan.filters.iter().map(text_of));
    let filters = if filters.is_empty() { filters } else { format!(", filter=[{filters}]") };
    limited(format!("Source: {}[{columns}{filters}]", scan.table.short_name))
}

fn field_text(field: &FieldRef) -> String {
    match field.data_type() {
        DataType::Struct(fields) => format!("{}({})", field.name(), joined(fields.iter().map(field_text))),
        _ => field.name().clone(),
    }
}

pub(super) fn of_calc(calc: &Calc) -> String {
    let select = joined(calc.projection.iter().map(item_text));
    let condition = match &calc.predicate {
        Some(predicate) => format!(", where=[{}]", expression_text(predicate)),
        None => String::new(),
    };
    limited(format!("Calc(select=[{select}]{condition})"))
}

fn item_text(item: &Item) -> String {
    let text = expression_text(&item.expression);
    if text == item.name { text } else { format!("{text} AS {}", item.name) }
}

/// An expression, its paths with points.
pub(super) fn expression_text(expression: &Expr) -> String {
    let written = |text: &str| Transformed::new(column_named(text), true, TreeNodeRecursion::Jump);
    let dotted = expression.clone().transform_down(|expression| {
        Ok(match (&expression, path_of(&expression)) {
            (_, Some(path)) => written(&path.join(".")),
            (Expr::Literal(value, _), _) => written(&literal_text(value)),
            (Expr::Cast(Cast { expr, field }), _) => written(&cast_text(expr, field.data_type())),
            _ => Transformed::no(expression),
        })
    });
    // The closure never fails.
    dotted.map_or_else(|_| expression.to_string(), |dotted| dotted.data.to_string())
}

/// Between numbers a cast is mostly implicit and says little.
fn cast_text(expression: &Expr, to: &DataType) -> String {
    let text = expression_text(expression);
    match (to.is_numeric(), expression) {
        (true, Expr::BinaryExpr(_)) => format!("({text})"),
        (true, _) => text,
        (false, _) => format!("CAST({text} AS {})", flink_type_name(to, true)),
    }
}

/// A constant as SQL would write it.
fn literal_text(value: &ScalarValue) -> String {
    match value {
        value if value.is_null() => "NULL".to_owned(),
        ScalarValue::Utf8(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        ScalarValue::Boolean(Some(value)) => value.to_string().to_uppercase(),
        ScalarValue::IntervalYearMonth(Some(months)) => format!("INTERVAL {months} MONTH"),
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            let millis = i64::from(interval.days) * 86_400_000 + interval.nanoseconds / 1_000_000;
            match interval.months {
                0 => format!("INTERVAL {millis} ms"),
                months => format!("INTERVAL {months} MONTH {millis} ms"),
            }
        }
        value => match value.cast_to(&DataType::Utf8) {
            Ok(ScalarValue::Utf8(Some(text))) if value.data_type().is_temporal() => {
                format!("{} '{}'", flink_type_name(&value.data_type(), true), text)
            }
            Ok(ScalarValue::Utf8(Some(text))) => text,
            _ => value.to_string(),
        },
    }
}

pub(super) fn of_window(window: &WindowTable) -> String {
    limited(format!("WindowTableFunction(window=[{}], time=[{}])", WindowText(window.window), window.time))
}

pub(super) fn of_unnest(unnest: &Unnest) -> String {
    let own = unnest.elements.iter().map(|(_, name)| name).chain(&unnest.ordinality).cloned();
    let kind = if unnest.outer { "LEFT" } else { "INNER" };
    limited(format!(
        "Unnest(collection=[{}], joinType=[{kind}], select=[{}])",
        unnest.collection,
        joined(unnest.kept.iter().cloned().chain(own))
    ))
}

/// The phase of an aggregation before rows are shuffled.
pub(super) const LOCAL: &str = "Local";
/// The phase of an aggregation after that.
pub(super) const GLOBAL: &str = "Global";

/// An aggregation's name; `phase` is [`LOCAL`], [`GLOBAL`] or nothing.
pub(super) fn of_aggregate(aggregate: &Aggregate, phase: &str) -> String {
    let mut parts = Vec::new();
    if !aggregate.keys.is_empty() {
        parts.push(format!("groupBy=[{}]", joined(aggregate.keys.iter().cloned())));
    }
    let kind = match &aggregate.span {
        Span::Window { window, time } => {
            parts.push(format!("window=[{}], time=[{time}]", WindowText(*window)));
            "WindowAggregate"
        }
        Span::Attached { start, end } => {
            parts.push(format!("window=[win_start=[{start}], win_end=[{end}]]"));
            "WindowAggregate"
        }
        Span::EndOfInput => "Aggregate",
    };
    let properties = aggregate.properties.iter().map(|(property, name)| match property {
        Property::Start => format!("start('w$) AS {name}"),
        Property::End => format!("end('w$) AS {name}"),
        Property::Time => format!("rowtime('w$) AS {name}"),
    });
    let properties = properties.take(if phase == LOCAL { 0 } else { usize::MAX });
    let select = joined(aggregate.calls.iter().map(call_text).chain(properties));
    if !select.is_empty() {
        parts.push(format!("select=[{select}]"));
    }
    limited(format!("{phase}{kind}({})", parts.join(", ")))
}

/// The name of running aggregates.
pub(super) fn of_over(over: &Over) -> String {
    let mut parts = Vec::new();
    if !over.keys.is_empty() {
        parts.push(format!("partitionBy=[{}]", joined(over.keys.iter().cloned())));
    }
    let (order, frame) = match &over.event {
        None => ("proctime".to_owned(), "RANGE"),
        Some(EventOrder { time, peers: true }) => (time.clone(), "RANGE"),
        Some(EventOrder { time, peers: false }) => (time.clone(), "ROWS"),
    };
    parts.push(format!("orderBy=[{order} ASC]"));
    parts.push(format!("window=[{frame} BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW]"));
    let select = over.kept.iter().cloned().chain(over.calls.iter().map(call_text));
    parts.push(format!("select=[{}]", joined(select)));
    limited(format!("OverAggregate({})", parts.join(", ")))
}

fn call_text(call: &Call) -> String {
    let function = match call.function {
        Function::Unspecified => "?",
        Function::Percentiles => Function::Percentile.as_str_name(),
        function => function.as_str_name(),
    };
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let argument = call.argument.as_deref().unwrap_or("*");
    let filter = call.filter.as_ref().map_or_else(String::new, |filter| format!(" FILTER {filter}"));
    let parameters = call.parameters_text();
    format!("{function}({distinct}{argument}{parameters}){filter} AS {}", call.name)
}

pub(super) fn of_sink(sink: &Sink) -> String {
    limited(format!("Sink: {}", sink.short_name))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn limited(name: String) -> String {
    if name.chars().count() <= MAX_NAME {
        return name;
    }
    name.chars().take(MAX_NAME - 1).chain(['…']).collect()
}
