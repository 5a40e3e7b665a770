//! A query's tree as Flink reads it, before DataFusion does: names of output columns, approximate numbers.
//!
//! An output column without a name is called like the last part of the column or field that it is, else `EXPR$n`; of two of
//! one name the second gets a number. A number with an exponent is a DOUBLE. Nothing else changes, and places are kept.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, Ident, Query, SelectItem, SetExpr, Value, VisitMut, VisitorMut,
};

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
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Self::Break> {
        if let Expr::Value(value) = expression
            && let Value::Number(text, _) = &value.value
            && text.contains(['e', 'E'])
        {
            let mut literal = value.clone();
            literal.value = Value::SingleQuotedString(text.clone());
            *expression = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(Expr::Value(literal)),
                data_type: DataType::Double(ExactNumberInfo::None),
                array: false,
                format: None,
            };
        }
        ControlFlow::Continue(())
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

fn last_part(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(ident) => Some(ident.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.clone()),
        Expr::Nested(inner) => last_part(inner),
        _ => None,
    }
}
