//! A query's tree as Flink reads it, before DataFusion does: names of output columns, approximate numbers, units of time.
//!
//! An output column without a name is called like the last part of the column or field that it is, else `EXPR$n`; of two of
//! one name the second gets a number. A number with an exponent is a DOUBLE, `ROW(…)` names its fields, SIMILAR TO becomes a
//! regular expression. VALUES and UNNEST take the forms in which [`super::relation`] plans them. Nothing else changes, and places
//! are kept.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    CastKind, CeilFloorKind, DataType, DateTimeField, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident, Join, JoinConstraint,
    JoinOperator, ObjectName, ObjectNamePart, Parens, Query, Select, SelectFlavor, SelectItem, SetExpr,
    Spanned, TableFactor, TableWithJoins, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};

use super::similar::regex_of;
use crate::catalog::{DEFAULT_CATALOG, DEFAULT_DATABASE};
use crate::statement::{Query as ParsedQuery, WindowInput};

/// The query with what DataFusion would read otherwise written out.
pub(super) fn normalise(query: &ParsedQuery) -> ParsedQuery {
    let mut query = query.clone();
    rewrite(&mut query.ast);
    for call in &mut query.windows {
        if let WindowInput::Query(input) = &mut call.input {
            rewrite(input);
        }
    }
    query
}

/// An expression, likewise.
pub(super) fn normalise_expression(expression: &Expr) -> Expr {
    let mut expression = expression.clone();
    let _ = VisitMut::visit(&mut expression, &mut Normaliser);
    expression
}

fn rewrite(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Normaliser);
}

struct Normaliser;

impl VisitorMut for Normaliser {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        name_outputs(&mut query.body);
        rewrite_relations(&mut query.body);
        ControlFlow::Continue(())
    }

    // Before its parts are visited: a unit isn't an expression.
    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Self::Break> {
        let replaced = match expression {
            Expr::Value(value) => approximate_number(value),
            Expr::Floor { expr, field } => rounded_time("FLOOR", expr, field),
            Expr::Ceil { expr, field } => rounded_time("CEIL", expr, field),
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                similar(*negated, expr, pattern, escape_char.as_ref())
            }
            Expr::Function(function) => {
                quote_unit(function);
                name_fields(function);
                name_of_place(function)
            }
            _ => None,
        };
        if let Some(replaced) = replaced {
            *expression = replaced;
        }
        ControlFlow::Continue(())
    }
}

/// `CURRENT_DATABASE()` and `CURRENT_CATALOG()` as the names that they stand for.
fn name_of_place(function: &Function) -> Option<Expr> {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let place = match name.value.to_ascii_uppercase().as_str() {
        "CURRENT_DATABASE" => DEFAULT_DATABASE,
        "CURRENT_CATALOG" => DEFAULT_CATALOG,
        _ => return None,
    };
    let value = Value::SingleQuotedString(place.to_owned());
    list.args.is_empty().then_some(Expr::Value(ValueWithSpan { value, span: name.span }))
}

/// A number with an exponent, as a cast of its text.
fn approximate_number(value: &ValueWithSpan) -> Option<Expr> {
    let Value::Number(text, _) = &value.value else { return None };
    if !text.contains(['e', 'E']) {
        return None;
    }
    let literal = ValueWithSpan { value: Value::SingleQuotedString(text.clone()), span: value.span };
    Some(Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(literal)),
        data_type: DataType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
    })
}

/// `FLOOR(time TO unit)` as a call with the unit's name.
fn rounded_time(name: &str, time: &Expr, unit: &CeilFloorKind) -> Option<Expr> {
    let CeilFloorKind::DateTimeField(unit) = unit else { return None };
    if *unit == DateTimeField::NoDateTime {
        return None;
    }
    let unit = Value::SingleQuotedString(unit.to_string().to_uppercase());
    Some(call(name, time, Expr::Value(unit.into())))
}

/// `text SIMILAR TO 'pattern'` as a regular expression; other patterns are refused where types are checked.
fn similar(negated: bool, text: &Expr, pattern: &Expr, escape: Option<&ValueWithSpan>) -> Option<Expr> {
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(pattern), .. }) = pattern else {
        return None;
    };
    let escape = match escape.map(|escape| &escape.value) {
        None => None,
        Some(Value::SingleQuotedString(escape)) => {
            let mut characters = escape.chars();
            let only = characters.next()?;
            if characters.next().is_some() {
                return None;
            }
            Some(only)
        }
        Some(_) => return None,
    };
    let regex = Value::SingleQuotedString(regex_of(pattern, escape)?);
    let matches = call("REGEXP", text, Expr::Value(regex.into()));
    Some(if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(matches) } } else { matches })
}

/// A call of a function, at the place of its first argument.
fn call(name: &str, first: &Expr, second: Expr) -> Expr {
    let args = [first.clone(), second].map(unnamed).into();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::with_span(first.span(), name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

const fn unnamed(expression: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expression))
}

/// `ROW(a, b)` as a row whose fields have Flink's names for them.
fn name_fields(function: &mut Function) {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_mut_slice() else { return };
    let FunctionArguments::List(list) = &mut function.args else { return };
    if !name.value.eq_ignore_ascii_case("ROW") || list.args.is_empty() {
        return;
    }
    name.value = "NAMED_STRUCT".to_owned();
    let fields = std::mem::take(&mut list.args);
    for (index, field) in fields.into_iter().enumerate() {
        let name = Value::SingleQuotedString(format!("EXPR${index}"));
        list.args.extend([unnamed(Expr::Value(name.into())), field]);
    }
}

/// `TIMESTAMPDIFF(unit, …)` and its like with the unit's name in quotes.
fn quote_unit(function: &mut Function) {
    let takes_unit = match function.name.0.as_slice() {
        [part] => part.as_ident().is_some_and(|ident| {
            ["TIMESTAMPDIFF", "TIMESTAMPADD"].iter().any(|name| ident.value.eq_ignore_ascii_case(name))
        }),
        _ => false,
    };
    let FunctionArguments::List(list) = &mut function.args else { return };
    if takes_unit
        && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = list.args.first_mut()
        && let Expr::Identifier(unit) = first
        && unit.quote_style.is_none()
    {
        let text = Value::SingleQuotedString(unit.value.to_uppercase());
        *first = Expr::Value(ValueWithSpan { value: text, span: unit.span });
    }
}

fn name_outputs(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            name_outputs(left);
            name_outputs(right);
        }
        SetExpr::Select(select) => name_items(&mut select.projection),
        _ => {}
    }
}

fn name_items(items: &mut [SelectItem]) {
    let mut taken: HashSet<String> = items
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
            _ => None,
        })
        .collect();
    let mut unnamed = 0;
    for item in items {
        let SelectItem::UnnamedExpr(expression) = item else { continue };
        let name = match last_part(expression) {
            Some(name) => name,
            None => {
                unnamed += 1;
                format!("EXPR${}", unnamed - 1)
            }
        };
        let mut free = name.clone();
        let mut number = 0;
        while !taken.insert(free.clone()) {
            free = format!("{name}{number}");
            number += 1;
        }
        if matches!(expression, Expr::Identifier(_)) && free == name {
            continue;
        }
        let alias = Ident::with_quote('`', free);
        *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias };
    }
}

/// VALUES as a table function, UNNEST as a part of the relation before it.
fn rewrite_relations(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            rewrite_relations(left);
            rewrite_relations(right);
        }
        SetExpr::Values(values) => {
            let rows = std::mem::take(&mut values.rows);
            *body = SetExpr::Select(Box::new(select_from(values_function(rows))));
        }
        SetExpr::Select(select) => {
            let relations = std::mem::take(&mut select.from);
            select.from = with_unnests(relations);
        }
        _ => {}
    }
}

/// The function that VALUES becomes: a tuple for each row.
pub(super) const VALUES: &str = "$values";

fn values_function(rows: Vec<Parens<Vec<Expr>>>) -> TableFactor {
    let args = rows.into_iter().map(|row| unnamed(Expr::Tuple(row.content))).collect();
    TableFactor::Function {
        lateral: false,
        name: ObjectName::from(vec![Ident::with_quote('`', VALUES)]),
        args,
        with_ordinality: false,
        alias: None,
    }
}

fn select_from(relation: TableFactor) -> Select {
    Select {
        projection: vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
        from: vec![TableWithJoins { relation, joins: Vec::new() }],
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        exclude: None,
        into: None,
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}

/// Each UNNEST nested with what stands before it, so that both are planned together.
fn with_unnests(relations: Vec<TableWithJoins>) -> Vec<TableWithJoins> {
    let mut rewritten: Vec<TableWithJoins> = Vec::with_capacity(relations.len());
    for TableWithJoins { relation, joins } in relations {
        let before = match relation {
            // `FROM t, UNNEST(…)`.
            unnest @ TableFactor::UNNEST { .. } => match rewritten.pop() {
                Some(TableWithJoins { relation, joins }) if joins.is_empty() => {
                    let operator = JoinOperator::CrossJoin(JoinConstraint::None);
                    nested(relation, Join { relation: unnest, global: false, join_operator: operator })
                }
                other => {
                    rewritten.extend(other);
                    unnest
                }
            },
            other => other,
        };
        let mut all = TableWithJoins { relation: before, joins: Vec::new() };
        for join in joins {
            if all.joins.is_empty() && matches!(join.relation, TableFactor::UNNEST { .. }) {
                all.relation = nested(all.relation, join);
            } else {
                all.joins.push(join);
            }
        }
        rewritten.push(all);
    }
    rewritten
}

fn nested(relation: TableFactor, join: Join) -> TableFactor {
    let table_with_joins = Box::new(TableWithJoins { relation, joins: vec![join] });
    TableFactor::NestedJoin { table_with_joins, alias: None }
}

fn last_part(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(ident) => Some(ident.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.clone()),
        Expr::Nested(inner) => last_part(inner),
        _ => None,
    }
}
