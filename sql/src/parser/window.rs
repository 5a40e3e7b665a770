//! Window table functions: out of the tree, into [`WindowCall`]s.
//!
//! `TUMBLE`, `HOP` and `CUMULATE` in a FROM clause become the name of a placeholder table. Invariant: afterwards no window table function
//! is left anywhere in the tree; one in a place where it means nothing is refused here, with its place.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query as AstQuery,
    Spanned, Statement as AstStatement, TableAlias, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};

use super::dialect::TABLE_ARGUMENT;
use super::hints::Hints;
use super::interval::Interval;
use crate::catalog::Moment;
use crate::error::{SqlError, SqlResult};
use crate::statement::{Name, Position, Query, TableHint, TableName, WindowCall, WindowInput, WindowKind};

/// What separates a placeholder's function from its number.
const PLACEHOLDER_MARK: char = '#';

/// What stands in a tree for something else: the numbers of placeholders, unique within a text, and hints.
#[derive(Debug, Default)]
pub(super) struct Placeholders {
    used: usize,
    /// The hints of the statement that is being read.
    pub(super) hints: Hints,
}

impl Placeholders {
    fn next(&mut self, function: WindowFunction) -> String {
        self.used += 1;
        format!("{}{PLACEHOLDER_MARK}{}", function.name(), self.used)
    }
}

/// Whether a name looks like a placeholder; users' names must not.
pub(super) fn is_placeholder(name: &str) -> bool {
    name.split_once(PLACEHOLDER_MARK).is_some_and(|(function, number)| {
        matches!(function, "TUMBLE" | "HOP" | "CUMULATE")
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// A query with its window table functions taken out.
pub(super) fn take_out(
    mut ast: Box<AstQuery>,
    text: String,
    position: Position,
    placeholders: &mut Placeholders,
) -> SqlResult<Query> {
    let mut extraction = Extraction { placeholders, windows: Vec::new(), hints: Vec::new() };
    if let ControlFlow::Break(error) = VisitMut::visit(&mut ast, &mut extraction) {
        return Err((*error).or_at(position));
    }
    let Extraction { windows, hints, .. } = extraction;
    if let ControlFlow::Break(error) = Visit::visit(&ast, &mut Refusal) {
        return Err(error.or_at(position));
    }
    for window in &windows {
        if let WindowInput::Query(query) = &window.input
            && let ControlFlow::Break(error) = Visit::visit(query, &mut Refusal)
        {
            return Err(error.or_at(position));
        }
    }
    Ok(Query { ast, windows, hints, text, position, moment: Moment::default() })
}

/// Refuses window table functions where no FROM clause is near.
pub(super) fn refuse_in_expression(expression: &Expr) -> SqlResult<()> {
    match Visit::visit(expression, &mut Refusal) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// A window table function of Flink's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WindowFunction {
    Tumble,
    Hop,
    Cumulate,
    Session,
}

impl WindowFunction {
    fn of(name: &ObjectName) -> Option<Self> {
        let [part] = name.0.as_slice() else { return None };
        let ident = part.as_ident().filter(|ident| ident.quote_style.is_none())?;
        Some(match ident.value.to_ascii_uppercase().as_str() {
            "TUMBLE" => Self::Tumble,
            "HOP" => Self::Hop,
            "CUMULATE" => Self::Cumulate,
            "SESSION" => Self::Session,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Tumble => "TUMBLE",
            Self::Hop => "HOP",
            Self::Cumulate => "CUMULATE",
            Self::Session => "SESSION",
        }
    }

    /// The arguments' names in their order; the last one may be left out.
    const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Tumble => &["DATA", "TIMECOL", "SIZE", "OFFSET"],
            Self::Hop => &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
            Self::Cumulate => &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"],
            Self::Session => &["DATA", "TIMECOL", "GAP"],
        }
    }

    const fn usage(self) -> &'static str {
        match self {
            Self::Hop => "HOP(TABLE t, DESCRIPTOR(time), slide, size [, offset])",
            Self::Cumulate => "CUMULATE(TABLE t, DESCRIPTOR(time), step, size [, offset])",
            _ => "TUMBLE(TABLE t, DESCRIPTOR(time), size [, offset])",
        }
    }
}

/// Takes window table functions out, inner ones first.
struct Extraction<'p> {
    placeholders: &'p mut Placeholders,
    windows: Vec<WindowCall>,
    hints: Vec<TableHint>,
}

impl Extraction<'_> {
    /// Takes the hint of a table; the table is called by its name all the same.
    fn take_hint(&mut self, name: &ObjectName, alias: &mut Option<TableAlias>) {
        let Some(ident) = name.0.last().and_then(|part| part.as_ident()) else { return };
        let Some(hint) = self.placeholders.hints.take(&ident.value) else { return };
        let plain = TableHint::split(&ident.value).0.to_owned();
        self.hints.push(hint);
        if alias.is_none() {
            let name = Ident { value: plain, quote_style: Some('`'), span: ident.span };
            *alias = Some(TableAlias { explicit: false, name, columns: Vec::new(), at: None });
        }
    }
}

impl VisitorMut for Extraction<'_> {
    type Break = Box<SqlError>;

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        if let Some(unnest) = unnest_of(factor) {
            *factor = unnest;
            return ControlFlow::Continue(());
        }
        if let TableFactor::Table { name, args: None, alias, .. } = factor {
            self.take_hint(name, alias);
        }
        let call = match factor {
            TableFactor::Table { name, args: Some(arguments), alias, .. } => WindowFunction::of(name)
                .map(|function| (function, name.clone(), std::mem::take(&mut arguments.args), alias.take())),
            TableFactor::TableFunction { expr: Expr::Function(call), alias } => {
                match WindowFunction::of(&call.name) {
                    Some(function) => match arguments_of(call) {
                        Some(arguments) => Some((function, call.name.clone(), arguments, alias.take())),
                        None => return ControlFlow::Break(Box::new(misused(function, &call.name))),
                    },
                    None => None,
                }
            }
            _ => None,
        };
        let Some((function, name, arguments, alias)) = call else { return ControlFlow::Continue(()) };
        let position = Position::of(name.span()).unwrap_or(Position::START);
        let placeholder = self.placeholders.next(function);
        match window_call(function, arguments, position, placeholder.clone()) {
            Ok(window) => {
                if let WindowInput::Table(table) = &window.input
                    && let Some(last) = table.parts.last()
                {
                    self.hints.extend(self.placeholders.hints.take(&last.value));
                }
                self.windows.push(window);
                *factor = placeholder_factor(placeholder, &name, alias);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(Box::new(error.or_at(position))),
        }
    }

    fn pre_visit_statement(&mut self, statement: &mut AstStatement) -> ControlFlow<Self::Break> {
        let position = Position::of(statement.span()).unwrap_or(Position::START);
        ControlFlow::Break(Box::new(SqlError::syntax(
            position,
            "a statement within a query; only SELECT can be there",
        )))
    }
}

/// An UNNEST that was read as any other table function.
fn unnest_of(factor: &mut TableFactor) -> Option<TableFactor> {
    let TableFactor::Table { name, args: Some(arguments), alias, with_ordinality, .. } = factor else {
        return None;
    };
    let is_unnest = matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|ident| {
        ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("UNNEST")
    }));
    if !is_unnest {
        return None;
    }
    let array_exprs = arguments
        .args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect::<Option<Vec<Expr>>>()?;
    Some(TableFactor::UNNEST {
        alias: alias.take(),
        array_exprs,
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: *with_ordinality,
    })
}

/// The arguments of a plain call; `None` if it has clauses that a window table function can't have.
fn arguments_of(call: &mut Function) -> Option<Vec<FunctionArg>> {
    let is_plain = call.filter.is_none() && call.over.is_none() && call.within_group.is_empty();
    match &mut call.args {
        FunctionArguments::List(list)
            if is_plain && list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
        {
            Some(std::mem::take(&mut list.args))
        }
        _ => None,
    }
}

fn placeholder_factor(placeholder: String, written: &ObjectName, alias: Option<TableAlias>) -> TableFactor {
    let ident = Ident { value: placeholder, quote_style: Some('`'), span: written.span() };
    TableFactor::Table {
        name: ObjectName::from(vec![ident]),
        alias,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// Refuses what is left of window functions: they stand where they mean nothing.
struct Refusal;

impl Visitor for Refusal {
    type Break = Box<SqlError>;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::Function(call) => match WindowFunction::of(&call.name) {
                Some(function) => ControlFlow::Break(Box::new(misused(function, &call.name))),
                None => ControlFlow::Continue(()),
            },
            Expr::Prefixed { prefix, .. } if prefix.value == TABLE_ARGUMENT => {
                let position = Position::of(prefix.span).unwrap_or(Position::START);
                let message = "TABLE … can only be an argument of a window table function";
                ControlFlow::Break(Box::new(SqlError::syntax(position, message)))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn misused(function: WindowFunction, name: &ObjectName) -> SqlError {
    let position = Position::of(name.span()).unwrap_or(Position::START);
    let name = function.name();
    SqlError::unsupported(
        position,
        format!(
            "{name} is a table function: write FROM {} and GROUP BY window_start, window_end",
            function.usage()
        ),
    )
}

fn window_call(
    function: WindowFunction,
    arguments: Vec<FunctionArg>,
    position: Position,
    placeholder: String,
) -> SqlResult<WindowCall> {
    if function == WindowFunction::Session {
        let message = "SESSION windows are not supported yet; TUMBLE, HOP and CUMULATE are";
        return Err(SqlError::unsupported(position, message));
    }
    let slots = assign(function, arguments)?;
    let mut slots = slots.into_iter();
    let (data, time) = (slots.next().flatten(), slots.next().flatten());
    let lengths: Vec<Option<Expr>> = slots.collect();
    let (Some(data), Some(time)) = (data, time) else { return Err(missing(function)) };
    let kind = match (function, lengths.as_slice()) {
        (WindowFunction::Tumble, [Some(size), offset]) => WindowKind::Tumble {
            size_millis: length(size, "SIZE")?,
            offset_millis: offset_of(offset.as_ref())?,
        },
        (WindowFunction::Hop, [Some(slide), Some(size), offset]) => {
            let (slide_millis, size_millis) = (length(slide, "SLIDE")?, length(size, "SIZE")?);
            if size_millis % slide_millis != 0 {
                let message = format!(
                    "HOP needs a size that is a multiple of its slide, and {size_millis} ms isn't one of {slide_millis} ms"
                );
                return Err(at_expr(size, message));
            }
            WindowKind::Hop { slide_millis, size_millis, offset_millis: offset_of(offset.as_ref())? }
        }
        (WindowFunction::Cumulate, [Some(step), Some(size), offset]) => {
            let (step_millis, size_millis) = (length(step, "STEP")?, length(size, "SIZE")?);
            if size_millis % step_millis != 0 {
                let message = format!(
                    "CUMULATE needs a size that is a multiple of its step, and {size_millis} ms isn't one of {step_millis} ms"
                );
                return Err(at_expr(size, message));
            }
            WindowKind::Cumulate { step_millis, size_millis, offset_millis: offset_of(offset.as_ref())? }
        }
        _ => return Err(missing(function)),
    };
    Ok(WindowCall { placeholder, kind, input: input_of(data)?, time_column: descriptor(&time)?, position })
}

/// The arguments in the order of the parameters.
fn assign(function: WindowFunction, arguments: Vec<FunctionArg>) -> SqlResult<Vec<Option<Expr>>> {
    let parameters = function.parameters();
    let mut slots: Vec<Option<Expr>> = vec![None; parameters.len()];
    let mut seen_named = false;
    for (index, argument) in arguments.into_iter().enumerate() {
        let (slot, value) = match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) if !seen_named => {
                (slots.get_mut(index), value)
            }
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                seen_named = true;
                let slot = parameters.iter().position(|known| name.value.eq_ignore_ascii_case(known));
                let Some(slot) = slot else {
                    let message = format!(
                        "{} has no argument '{}'; there are {}",
                        function.name(),
                        name.value,
                        parameters.join(", ")
                    );
                    let position = Position::of(name.span).unwrap_or(Position::START);
                    return Err(SqlError::syntax(position, message));
                };
                (slots.get_mut(slot), value)
            }
            other => {
                let message = format!("'{other}' is no argument of {}", function.usage());
                return Err(match Position::of(other.span()) {
                    Some(position) => SqlError::syntax(position, message),
                    None => SqlError::new(weir_api::error::Code::SqlSyntax, message),
                });
            }
        };
        match slot {
            Some(slot @ None) => *slot = Some(value),
            Some(Some(_)) => {
                return Err(at_expr(&value, format!("an argument of {} is given twice", function.name())));
            }
            None => return Err(at_expr(&value, format!("one argument too many: {}", function.usage()))),
        }
    }
    Ok(slots)
}

fn missing(function: WindowFunction) -> SqlError {
    SqlError::new(weir_api::error::Code::SqlSyntax, format!("an argument is missing: {}", function.usage()))
}

fn at_expr(expr: &Expr, message: impl Into<String>) -> SqlError {
    let error = SqlError::new(weir_api::error::Code::SqlSyntax, message);
    match Position::of(expr.span()) {
        Some(position) => error.or_at(position),
        None => error,
    }
}

/// A length above zero.
fn length(expr: &Expr, what: &str) -> SqlResult<u64> {
    match millis(expr, what)? {
        millis @ 1.. => Ok(millis.unsigned_abs()),
        _ => Err(at_expr(expr, format!("{what} must be longer than zero"))),
    }
}

fn offset_of(expr: Option<&Expr>) -> SqlResult<i64> {
    expr.map_or(Ok(0), |expr| millis(expr, "OFFSET"))
}

fn millis(expr: &Expr, what: &str) -> SqlResult<i64> {
    match Interval::of_expr(expr) {
        Some(Interval::Millis(millis)) => Ok(millis),
        Some(Interval::Months(_)) => Err(at_expr(
            expr,
            format!("{what} can't be in months or years, whose lengths vary; use days or less"),
        )),
        None => Err(at_expr(
            expr,
            format!("{what} must be an interval, as in INTERVAL '10' SECOND, not '{expr}'"),
        )),
    }
}

fn input_of(data: Expr) -> SqlResult<WindowInput> {
    let names = |parts: Vec<Ident>| -> SqlResult<WindowInput> {
        let parts: Vec<Name> = parts.iter().map(name_of).collect();
        let Some(position) = parts.first().map(|part| part.position) else {
            return Err(SqlError::new(weir_api::error::Code::SqlSyntax, "a table without a name"));
        };
        Ok(WindowInput::Table(TableName { parts, position }))
    };
    match data {
        Expr::Prefixed { prefix, value } if prefix.value == TABLE_ARGUMENT => match *value {
            Expr::CompoundIdentifier(parts) => names(parts),
            Expr::Subquery(query) => Ok(WindowInput::Query(query)),
            other => Err(at_expr(&other, format!("'{other}' is no table"))),
        },
        Expr::Subquery(query) => Ok(WindowInput::Query(query)),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
            Err(at_expr(&data, format!("a table as an argument is written TABLE {data}")))
        }
        other => Err(at_expr(&other, format!("expected TABLE name or (SELECT …), found '{other}'"))),
    }
}

/// The column of `DESCRIPTOR(column)`.
fn descriptor(expr: &Expr) -> SqlResult<Name> {
    let column = match expr {
        Expr::Function(call) => {
            let is_descriptor = matches!(call.name.0.as_slice(),
                [part] if part.as_ident().is_some_and(|ident| ident.value.eq_ignore_ascii_case("DESCRIPTOR")));
            match &call.args {
                FunctionArguments::List(list) if is_descriptor => match list.args.as_slice() {
                    [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(column)))] => Some(column),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    };
    match column {
        Some(column) => Ok(name_of(column)),
        None => Err(at_expr(expr, format!("expected DESCRIPTOR(column) with one column, found '{expr}'"))),
    }
}

fn name_of(ident: &Ident) -> Name {
    Name { value: ident.value.clone(), position: Position::of(ident.span).unwrap_or(Position::START) }
}
