//! Predicates in the simple form that connectors understand: path, operator, literal.
//!
//! What isn't of this form stays an expression. Invariant: the predicate and the expression keep the same rows.

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use weir_proto::v1::literal::Value;
use weir_proto::v1::{Literal, Predicate, predicate};

use super::paths::path_of;

/// The conjunct as a connector would be asked to apply it; `None` if it has another form.
pub(super) fn predicate_of(conjunct: &Expr, schema: &Schema) -> Option<Predicate> {
    let (path, operator, value) = match conjunct {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (path_of(left), right.as_ref()) {
            (Some(path), Expr::Literal(value, _)) => (path, operator_of(*op)?, value.clone()),
            _ => match (left.as_ref(), path_of(right)) {
                (Expr::Literal(value, _), Some(path)) => (path, operator_of(op.swap()?)?, value.clone()),
                _ => return None,
            },
        },
        Expr::Not(inner) => (path_of(inner)?, predicate::Operator::Eq, ScalarValue::from(false)),
        _ => (path_of(conjunct)?, predicate::Operator::Eq, ScalarValue::from(true)),
    };
    if type_at(schema, &path)? != value.data_type() {
        return None;
    }
    let literal = Literal { value: Some(literal_of(&value)?) };
    Some(Predicate {
        path: path.into_iter().map(str::to_owned).collect(),
        operator: operator.into(),
        literal: Some(literal),
    })
}

fn type_at(schema: &Schema, path: &[&str]) -> Option<DataType> {
    let (column, fields) = path.split_first()?;
    let mut data_type = schema.field_with_name(column).ok()?.data_type();
    for name in fields {
        let DataType::Struct(fields) = data_type else { return None };
        data_type = fields.iter().find(|field| field.name() == name)?.data_type();
    }
    Some(data_type.clone())
}

const fn operator_of(operator: Operator) -> Option<predicate::Operator> {
    Some(match operator {
        Operator::Eq => predicate::Operator::Eq,
        Operator::NotEq => predicate::Operator::NotEq,
        Operator::Lt => predicate::Operator::Lt,
        Operator::LtEq => predicate::Operator::LtEq,
        Operator::Gt => predicate::Operator::Gt,
        Operator::GtEq => predicate::Operator::GtEq,
        _ => return None,
    })
}

/// The literal as connectors and operators get it; `None` for a type that has none.
pub(super) fn literal_of(value: &ScalarValue) -> Option<Value> {
    Some(match value {
        ScalarValue::Boolean(Some(value)) => Value::Boolean(*value),
        ScalarValue::Int8(Some(value)) => Value::Integer(i64::from(*value)),
        ScalarValue::Int16(Some(value)) => Value::Integer(i64::from(*value)),
        ScalarValue::Int32(Some(value)) => Value::Integer(i64::from(*value)),
        ScalarValue::Int64(Some(value)) => Value::Integer(*value),
        ScalarValue::Float32(Some(value)) => Value::Float(f64::from(*value)),
        ScalarValue::Float64(Some(value)) => Value::Float(*value),
        ScalarValue::Utf8(Some(value)) => Value::String(value.clone()),
        ScalarValue::Date32(Some(value)) => Value::DateDays(*value),
        ScalarValue::TimestampMillisecond(Some(value), _) => Value::TimestampMillis(*value),
        _ => return None,
    })
}

/// The predicate as plans show it.
pub(super) fn text_of(predicate: &Predicate) -> String {
    let operator = match predicate.operator() {
        predicate::Operator::Unspecified => "?",
        predicate::Operator::Eq => "=",
        predicate::Operator::NotEq => "<>",
        predicate::Operator::Lt => "<",
        predicate::Operator::LtEq => "<=",
        predicate::Operator::Gt => ">",
        predicate::Operator::GtEq => ">=",
    };
    let value = predicate.literal.as_ref().map_or_else(|| "NULL".to_owned(), literal_text);
    format!("{} {operator} {value}", predicate.path.join("."))
}

/// A literal as plans show it.
pub(super) fn literal_text(literal: &Literal) -> String {
    match &literal.value {
        None => "NULL".to_owned(),
        Some(Value::Boolean(value)) => value.to_string(),
        Some(Value::Integer(value)) => value.to_string(),
        Some(Value::Float(value)) => value.to_string(),
        Some(Value::String(value)) => format!("'{}'", value.replace('\'', "''")),
        Some(Value::TimestampMillis(value)) => format!("TIMESTAMP {value} ms"),
        Some(Value::DateDays(value)) => format!("DATE {value} d"),
    }
}
