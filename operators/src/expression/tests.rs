//! Decoding never panics, evaluation names what failed, columns aren't copied.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion_proto::physical_plan::DefaultPhysicalExtensionCodec;
use datafusion_proto::physical_plan::to_proto::serialize_physical_expr;
use datafusion_proto::protobuf::physical_expr_node::ExprType;
use datafusion_proto::protobuf::{PhysicalBinaryExprNode, PhysicalColumn, PhysicalExprNode};
use proptest::prelude::*;
use prost::Message;
use weir_api::error::Code;

use super::Expression;
use super::limits::MAX_DEPTH;

type Tree = Arc<dyn PhysicalExpr>;

pub(crate) fn encode(tree: &Tree) -> Vec<u8> {
    serialize_physical_expr(tree, &DefaultPhysicalExtensionCodec {}).unwrap().encode_to_vec()
}

pub(crate) fn column(name: &str, index: usize) -> Tree {
    Arc::new(Column::new(name, index))
}

pub(crate) fn literal(value: i64) -> Tree {
    Arc::new(Literal::new(ScalarValue::Int64(Some(value))))
}

pub(crate) fn binary(left: Tree, operator: Operator, right: Tree) -> Tree {
    Arc::new(BinaryExpr::new(left, operator, right))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
    ]))
}

fn records() -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(10), None, Some(-7)])),
        Arc::new(Int64Array::from(vec![Some(2), Some(1), Some(0)])),
        Arc::new(StringArray::from(vec!["12", "x", "3"])),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn decode(tree: &Tree) -> Expression {
    Expression::decode(&encode(tree), &schema(), "Calc[1]", None).unwrap()
}

#[test]
fn columns_pass_through_without_a_copy() {
    let records = records();
    let value = decode(&column("s", 2)).evaluate(&records).unwrap();
    assert!(Arc::ptr_eq(&value, records.column(2)));
}

#[test]
fn literals_fill_every_row_and_null_is_not_true() {
    let value = decode(&literal(7)).evaluate(&records()).unwrap();
    assert_eq!(value.as_ref(), &Int64Array::from(vec![7; 3]));
    let larger = decode(&binary(column("a", 0), Operator::Gt, column("b", 1)));
    assert_eq!(larger.evaluate_predicate(&records()).unwrap(), BooleanArray::from(vec![true, false, false]));
}

#[test]
fn what_cannot_be_computed_names_operator_and_expression() {
    let cast: Tree = Arc::new(CastExpr::new(column("s", 2), DataType::Int64, None));
    for tree in [binary(column("a", 0), Operator::Divide, column("b", 1)), cast] {
        let error = decode(&tree).evaluate(&records()).unwrap_err();
        assert_eq!(error.code(), Code::Evaluation, "{}", error.chain());
        assert!(error.message().contains("Calc[1]") && error.message().contains('@'), "{error}");
    }
}

#[test]
fn functions_are_found_by_name() {
    let upper = weir_functions::registry().find("UPPER").unwrap().clone();
    let field = Arc::new(Field::new("upper", DataType::Utf8, true));
    let config = Arc::new(datafusion_common::config::ConfigOptions::new());
    let call: Tree = Arc::new(ScalarFunctionExpr::new("upper", upper, vec![column("s", 2)], field, config));
    let value = decode(&call).evaluate(&records()).unwrap();
    assert_eq!(value.as_ref(), &StringArray::from(vec!["12", "X", "3"]));
}

#[test]
fn an_expression_over_some_of_the_columns_computes_the_same() {
    let sum = decode(&binary(column("s", 2), Operator::StringConcat, column("s", 2)));
    assert_eq!(sum.columns(), [2]);
    let kept = records().project(&[2]).unwrap();
    let pruned = sum.over_columns(&[2]).unwrap();
    assert_eq!(&pruned.evaluate(&kept).unwrap(), &sum.evaluate(&records()).unwrap());
}

#[test]
fn a_column_beyond_the_schema_is_refused() {
    let error = Expression::decode(&encode(&column("z", 3)), &schema(), "Calc[1]", None).unwrap_err();
    assert_eq!(error.code(), Code::MalformedMessage);
}

fn chain_of(operands: usize) -> Vec<u8> {
    let column = PhysicalColumn { name: String::new(), index: 0 };
    let operand = PhysicalExprNode { expr_id: None, expr_type: Some(ExprType::Column(column)) };
    let binary =
        PhysicalBinaryExprNode { l: None, r: None, op: "Plus".to_owned(), operands: vec![operand; operands] };
    PhysicalExprNode { expr_id: None, expr_type: Some(ExprType::BinaryExpr(Box::new(binary))) }
        .encode_to_vec()
}

#[test]
fn trees_too_deep_for_the_stack_are_refused() {
    assert!(Expression::decode(&chain_of(MAX_DEPTH - 10), &schema(), "Calc[1]", None).is_ok());
    for operands in [MAX_DEPTH + 10, 100_000, 1_000_000] {
        let error = Expression::decode(&chain_of(operands), &schema(), "Calc[1]", None).unwrap_err();
        assert_eq!(error.code(), Code::MalformedMessage);
    }
}

proptest! {
    #[test]
    fn broken_messages_are_errors(position in 0..200_usize, bits in 1..255_u8, cut in 0..200_usize) {
        let list = ScalarValue::List(ScalarValue::new_list_nullable(&[ScalarValue::Int64(Some(1))], &DataType::Int64));
        let trees = [
            binary(column("a", 0), Operator::Plus, literal(1)),
            Arc::new(Literal::new(list)) as Tree,
            Arc::new(CastExpr::new(column("s", 2), DataType::Decimal128(10, 2), None)),
        ];
        for tree in &trees {
            let mut bytes = encode(tree);
            let position = position % bytes.len();
            bytes[position] ^= bits;
            let _ = Expression::decode(&bytes, &schema(), "Calc[1]", None);
            let cut = cut % bytes.len();
            let _ = Expression::decode(&bytes[..cut], &schema(), "Calc[1]", None);
        }
    }
}
