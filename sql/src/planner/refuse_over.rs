//! What OVER can't say, told from its text alone, with its place.
//!
//! Invariant: what passes is one window for a whole SELECT, ordered by one expression, from the first row to the current one, of
//! functions that can be computed so. Whether the order is that of time is known only when types are.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArguments, NamedWindowExpr, Query, Select, Spanned, Visit,
    Visitor, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use crate::statement::Position;

/// Aggregates that have a result after every row without keeping all rows.
const RUNNING: &[&str] = &[
    "COUNT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "FIRST_VALUE",
    "LAST_VALUE",
    "VAR_POP",
    "VAR_SAMP",
    "VARIANCE",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "STDDEV",
];
/// Functions of OVER alone.
const RANKING: &[&str] =
    &["ROW_NUMBER", "RANK", "DENSE_RANK", "PERCENT_RANK", "CUME_DIST", "NTILE", "LAG", "LEAD", "NTH_VALUE"];

/// Why a SELECT is refused.
pub(super) struct Refused {
    pub place: Option<Position>,
    pub reason: String,
}

fn refused(at: &impl Spanned, reason: impl Into<String>) -> Refused {
    Refused { place: Position::of(at.span()), reason: reason.into() }
}

/// Why a SELECT's OVER can't be planned, if it can't.
pub(super) fn refusal_of_over(select: &Select) -> Option<Refused> {
    let elsewhere = [&select.selection, &select.having].into_iter().flatten();
    for expression in elsewhere {
        if let Some(function) = functions_of(expression).first() {
            let reason = format!(
                "{} OVER stands in WHERE or HAVING: filter by its result in a query around this one",
                function.name
            );
            return Some(refused(&function.name, reason));
        }
    }
    let named: HashMap<&str, &NamedWindowExpr> =
        select.named_window.iter().map(|named| (named.0.value.as_str(), &named.1)).collect();
    let functions = functions_of(&select.projection);
    let mut first: Option<(&Function, String)> = None;
    for function in &functions {
        let spec = match spec_of(function, &named) {
            Ok(spec) => spec,
            Err(refused) => return Some(refused),
        };
        let window = match function_refusal(function).or_else(|| spec_refusal(function, spec)) {
            Some(refused) => return Some(refused),
            None => window_text(spec),
        };
        match &first {
            None => first = Some((function, window)),
            Some((other, same)) if *same != window => {
                let reason = format!(
                    "{} and {} are OVER different windows: all of one SELECT must have the same; use a query for each",
                    other.name, function.name
                );
                return Some(refused(&function.name, reason));
            }
            Some(_) => {}
        }
    }
    None
}

fn spec_of<'a>(
    function: &'a Function,
    named: &HashMap<&str, &'a NamedWindowExpr>,
) -> Result<&'a WindowSpec, Refused> {
    let name = match &function.over {
        Some(WindowType::WindowSpec(spec)) => return Ok(spec),
        Some(WindowType::NamedWindow(name)) => name,
        None => return Err(refused(&function.name, format!("{} has no window", function.name))),
    };
    match named.get(name.value.as_str()) {
        Some(NamedWindowExpr::WindowSpec(spec)) => Ok(spec),
        Some(NamedWindowExpr::NamedWindow(_)) => {
            let reason = format!("the window '{}' is another one's name: write it out", name.value);
            Err(Refused { place: Position::of(name.span), reason })
        }
        None => {
            let reason = format!("there is no WINDOW '{}'", name.value);
            Err(Refused { place: Position::of(name.span), reason })
        }
    }
}

fn function_refusal(function: &Function) -> Option<Refused> {
    let name = function.name.to_string().to_uppercase();
    if RANKING.contains(&name.as_str()) {
        let reason = format!("{name} OVER isn't supported yet: OVER computes aggregates, such as COUNT(*)");
        return Some(refused(&function.name, reason));
    }
    if !RUNNING.contains(&name.as_str()) {
        let reason = format!("{name} OVER isn't supported: these are: {}", RUNNING.join(", "));
        return Some(refused(&function.name, reason));
    }
    match &function.args {
        FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) => {
            let reason = format!("{name}(DISTINCT …) OVER isn't supported yet: it keeps all values for ever");
            Some(refused(&function.name, reason))
        }
        _ => None,
    }
}

fn spec_refusal(function: &Function, spec: &WindowSpec) -> Option<Refused> {
    if let Some(name) = &spec.window_name {
        let reason = format!("the window '{}' is extended: write its parts out", name.value);
        return Some(Refused { place: Position::of(name.span), reason });
    }
    let order = match spec.order_by.as_slice() {
        [order] => order,
        [] => {
            let reason = format!(
                "{} OVER needs an ORDER BY a time attribute: without an order no row comes before another",
                function.name
            );
            return Some(refused(&function.name, reason));
        }
        [_, second, ..] => {
            let reason = "OVER is ordered by one time attribute alone: a stream has no other order";
            return Some(refused(&second.expr, reason));
        }
    };
    if order.options.asc == Some(false) {
        let reason = "OVER … ORDER BY … DESC isn't supported: time only goes on";
        return Some(refused(&order.expr, reason));
    }
    spec.window_frame.as_ref().filter(|frame| !is_from_start(frame)).map(|frame| {
        let reason = format!(
            "OVER … {}: only windows BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW are supported yet; \
             TUMBLE, HOP or CUMULATE aggregate over spans of time",
            frame_text(frame)
        );
        refused(&order.expr, reason)
    })
}

fn is_from_start(frame: &WindowFrame) -> bool {
    frame.units != WindowFrameUnits::Groups
        && frame.start_bound == WindowFrameBound::Preceding(None)
        && matches!(frame.end_bound, None | Some(WindowFrameBound::CurrentRow))
}

fn frame_text(frame: &WindowFrame) -> String {
    match &frame.end_bound {
        Some(end) => format!("{} BETWEEN {} AND {end}", frame.units, frame.start_bound),
        None => format!("{} {}", frame.units, frame.start_bound),
    }
}

/// The same for the same windows.
fn window_text(spec: &WindowSpec) -> String {
    let list =
        |expressions: &[Expr]| expressions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let order: Vec<String> = spec.order_by.iter().map(|order| order.expr.to_string()).collect();
    let units = spec.window_frame.as_ref().map_or(WindowFrameUnits::Range, |frame| frame.units);
    format!("{} / {} / {units}", list(&spec.partition_by), order.join(", "))
}

/// The functions OVER a window, in their order; those of queries inside are theirs.
fn functions_of(node: &impl Visit) -> Vec<Function> {
    let mut found = Found { functions: Vec::new(), depth: 0 };
    let _ = node.visit(&mut found);
    found.functions
}

struct Found {
    functions: Vec<Function>,
    depth: usize,
}

impl Visitor for Found {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Self::Break> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Self::Break> {
        match expression {
            Expr::Function(function) if function.over.is_some() && self.depth == 0 => {
                self.functions.push(function.clone());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
