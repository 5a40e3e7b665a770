//! Casts between rows: Flink's go by position, whatever the fields are called; Arrow's go by name.

use datafusion::arrow::datatypes::{DataType, Fields};
use datafusion::logical_expr::{Case, Cast, Expr, lit};
use weir_functions::registry;

/// The row with other fields, each cast from the one at its place; `None` if their numbers differ.
pub(super) fn cast_row(row: Expr, from: &Fields, to: &Fields) -> Option<Expr> {
    if from.len() != to.len() {
        return None;
    }
    let (make, field_of) = (registry().find("named_struct")?, registry().find("get_field")?);
    let mut parts = Vec::with_capacity(to.len() * 2);
    for (from, to) in from.iter().zip(to) {
        let field = field_of.call(vec![row.clone(), lit(from.name().as_str())]);
        parts.push(lit(to.name().as_str()));
        parts.push(cast_field(field, from.data_type(), to.data_type())?);
    }
    // A row that is NULL stays so: it doesn't become a row of NULLs.
    let there = Box::new(Expr::IsNotNull(Box::new(row)));
    Some(Expr::Case(Case {
        expr: None,
        when_then_expr: vec![(there, Box::new(make.call(parts)))],
        else_expr: None,
    }))
}

fn cast_field(field: Expr, from: &DataType, to: &DataType) -> Option<Expr> {
    match (from, to) {
        _ if from == to => Some(field),
        (DataType::Struct(from), DataType::Struct(to)) => cast_row(field, from, to),
        _ => Some(Expr::Cast(Cast::new(Box::new(field), to.clone()))),
    }
}
