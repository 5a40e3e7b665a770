//! Filters, projections, and what they keep: permits, row kinds, buffers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, AsArray, Int8Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion_expr::Operator as Op;
use weir_api::batch::{Batch, Permit, RowKind};
use weir_api::element::StreamElement;
use weir_api::error::{Code, Result};
use weir_api::graph::OperatorNode;
use weir_api::id::OperatorUid;
use weir_api::operator::Operator;
use weir_api::output::{Emitted, Output};
use weir_proto::v1::operator_spec::Kind;
use weir_proto::v1::{CalcSpec, NamedExpression, OperatorSpec};

use crate::expression::tests::{binary, column, encode, literal};

fn schema(fields: &[&str], nullable: bool) -> SchemaRef {
    let fields: Vec<Field> = fields.iter().map(|name| Field::new(*name, DataType::Int64, nullable)).collect();
    Arc::new(Schema::new(fields))
}

fn try_calc(predicate: Option<i64>, output: SchemaRef) -> Result<Box<dyn Operator>> {
    let predicate = predicate.map(|limit| encode(&binary(column("a", 0), Op::Gt, literal(limit))));
    let named =
        |name: &str, expression| NamedExpression { name: name.to_owned(), expression: encode(&expression) };
    let projection =
        vec![named("c", column("c", 2)), named("twice", binary(column("a", 0), Op::Multiply, literal(2)))];
    let projection = projection.into_iter().take(output.fields().len()).collect();
    let spec = CalcSpec { predicate: predicate.unwrap_or_default(), projection };
    let node = OperatorNode {
        uid: OperatorUid::new("calc")?,
        name: "Calc".to_owned(),
        spec: OperatorSpec { kind: Some(Kind::Calc(spec)) },
        output_schema: Some(output),
    };
    crate::create(&node, Some(schema(&["a", "b", "c"], true)))
}

fn calc(predicate: Option<i64>) -> Box<dyn Operator> {
    try_calc(predicate, schema(&["c", "twice"], true)).unwrap()
}

fn input() -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)])),
        Arc::new(Int64Array::from(vec![0; 4])),
        Arc::new(Int64Array::from(vec![10, 20, 30, 40])),
    ];
    RecordBatch::try_new(schema(&["a", "b", "c"], true), columns).unwrap()
}

fn run(operator: &mut dyn Operator, batch: Batch) -> Option<Batch> {
    let mut out = Output::new(1);
    operator.process(0, batch, &mut out).unwrap();
    out.pop().map(|element| match element {
        Emitted::Element(StreamElement::Batch(batch)) => batch,
        other => panic!("{other:?}"),
    })
}

fn values(batch: &Batch, column: usize) -> Vec<Option<i64>> {
    batch.records().column(column).as_primitive::<Int64Type>().iter().collect()
}

#[test]
fn rows_that_pass_are_projected() {
    let result = run(calc(Some(2)).as_mut(), Batch::new(input())).unwrap();
    assert_eq!((values(&result, 0), values(&result, 1)), (vec![Some(30), Some(40)], vec![Some(6), Some(8)]));
    assert!(run(calc(Some(9)).as_mut(), Batch::new(input())).is_none());
}

#[test]
fn without_dropped_rows_columns_are_shared() {
    let input = input();
    let result = run(calc(None).as_mut(), Batch::new(input.clone())).unwrap();
    assert!(Arc::ptr_eq(result.records().column(0), input.column(2)));
    let later = input.slice(2, 2);
    let result = run(calc(Some(2)).as_mut(), Batch::new(later.clone())).unwrap();
    assert!(Arc::ptr_eq(result.records().column(0), later.column(2)));
}

#[test]
fn permits_and_row_kinds_stay_with_the_rows() {
    struct Held(Arc<AtomicUsize>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let returned = Arc::new(AtomicUsize::new(0));
    let kinds = [RowKind::Insert, RowKind::Delete, RowKind::UpdateBefore, RowKind::UpdateAfter];
    let kinds = Int8Array::from(kinds.map(|kind| kind as i8).to_vec());
    let batch =
        Batch::with_kinds(input(), kinds).unwrap().with_permit(Permit::new(Held(Arc::clone(&returned))));
    let result = run(calc(Some(2)).as_mut(), batch).unwrap();
    assert_eq!(result.kinds().unwrap().values(), &[RowKind::UpdateBefore as i8, RowKind::UpdateAfter as i8]);
    assert_eq!(returned.load(Ordering::Relaxed), 0);
    drop(result);
    assert_eq!(returned.load(Ordering::Relaxed), 1);
}

#[test]
fn rows_without_columns_are_counted() {
    let result = run(try_calc(Some(2), schema(&[], true)).unwrap().as_mut(), Batch::new(input())).unwrap();
    assert_eq!((result.records().num_columns(), result.num_rows()), (0, 2));
}

#[test]
fn types_must_fit_and_nulls_in_columns_that_have_none_are_an_error() {
    let text = Arc::new(Schema::new(vec![Field::new("c", DataType::Utf8, true)]));
    assert_eq!(try_calc(None, text).err().unwrap().code(), Code::MalformedMessage);
    let mut calc = try_calc(None, schema(&["c", "twice"], false)).unwrap();
    let error = calc.process(0, Batch::new(input()), &mut Output::new(1)).unwrap_err();
    assert_eq!(error.code(), Code::Evaluation, "{}", error.chain());
}
