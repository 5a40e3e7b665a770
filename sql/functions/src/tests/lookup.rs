//! Names, descriptions, and the way of an expression through its encoding.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::DFSchema;
use datafusion_common::config::ConfigOptions;
use datafusion_expr::planner::{ExprPlanner, PlannerResult};
use datafusion_expr::registry::FunctionRegistry;
use datafusion_expr::{Expr, col, lit};
use datafusion_physical_expr::expressions::{Column, Literal};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion_proto::physical_plan::DefaultPhysicalExtensionCodec;
use datafusion_proto::physical_plan::from_proto::parse_physical_expr;
use datafusion_proto::physical_plan::to_proto::serialize_physical_expr;

use crate::{FlinkExprPlanner, describe, registry, scalar_udfs, task_context};

#[test]
fn every_function_is_described_once_and_found_by_all_its_names() {
    let described = describe();
    assert_eq!(described.len(), scalar_udfs().len());
    let mut seen = HashSet::new();
    for function in &described {
        assert!(seen.insert(function.name.clone()), "{} is there twice", function.name);
        assert_eq!(function.name, function.name.to_lowercase());
        assert!(!function.signature.is_empty() && function.description.ends_with('.'), "{}", function.name);
        for name in std::iter::once(&function.name).chain(&function.aliases) {
            let found = registry().find(name).unwrap();
            assert!(
                found.name() == function.name
                    || seen.contains(name)
                    || described.iter().any(|other| other.name == *name),
                "{name}"
            );
            assert_eq!(registry().udf(&name.to_uppercase()).unwrap().name(), found.name());
        }
    }
    assert!(registry().udf("no_such_function").is_err());
    assert!(described.windows(2).all(|pair| pair[0].name < pair[1].name));
}

#[test]
fn aliases_are_unambiguous() {
    let mut seen = HashSet::new();
    for function in describe() {
        for name in std::iter::once(function.name).chain(function.aliases) {
            assert!(seen.insert(name.clone()), "{name} names two functions");
        }
    }
}

#[test]
fn every_function_survives_its_encoding_by_name() {
    let context = task_context(None);
    let codec = DefaultPhysicalExtensionCodec {};
    for function in scalar_udfs() {
        let field = Arc::new(Field::new("result", DataType::Utf8, true));
        let config = Arc::new(ConfigOptions::new());
        let call = ScalarFunctionExpr::new(function.name(), function.clone(), vec![], field, config);
        let encoded = serialize_physical_expr(&(Arc::new(call) as Arc<dyn PhysicalExpr>), &codec).unwrap();
        let decoded = parse_physical_expr(&encoded, &context, &Schema::empty(), &codec).unwrap();
        let decoded = decoded.downcast_ref::<ScalarFunctionExpr>().unwrap();
        assert_eq!(*decoded.fun(), *function);
    }
}

#[test]
fn a_decoded_expression_evaluates_in_the_context_s_time_zone() {
    let schema = Schema::new(vec![Field::new("seconds", DataType::Int64, true)]);
    let args: Vec<Arc<dyn PhysicalExpr>> =
        vec![Arc::new(Column::new("seconds", 0)), Arc::new(Literal::new("HH:mm".into()))];
    let function = registry().find("FROM_UNIXTIME").unwrap().clone();
    let call = ScalarFunctionExpr::try_new(function, args, &schema, Arc::new(ConfigOptions::new())).unwrap();
    let codec = DefaultPhysicalExtensionCodec {};
    let encoded = serialize_physical_expr(&(Arc::new(call) as Arc<dyn PhysicalExpr>), &codec).unwrap();
    let decoded = parse_physical_expr(&encoded, &task_context(Some("Asia/Tokyo")), &schema, &codec).unwrap();
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![Some(0), None]))])
        .unwrap();
    let result = decoded.evaluate(&batch).unwrap().into_array(2).unwrap();
    assert_eq!(*result.as_string::<i32>(), StringArray::from(vec![Some("09:00"), None]));
}

fn planned(result: PlannerResult<Vec<Expr>>) -> Expr {
    match result {
        PlannerResult::Planned(expr) => expr,
        PlannerResult::Original(_) => panic!("not planned"),
    }
}

#[test]
fn special_forms_become_calls() {
    let planner = FlinkExprPlanner;
    let schema = DFSchema::empty();
    for (expr, expected) in [
        (planner.plan_extract(vec![lit("DAY"), col("t")]), "extract(Utf8(\"DAY\"), t)"),
        (planner.plan_substring(vec![col("s"), lit(1_i64)]), "substring(s, Int64(1))"),
        (planner.plan_position(vec![col("s"), lit("x")]), "instr(s, Utf8(\"x\"))"),
        (planner.plan_overlay(vec![col("s"), lit("x"), lit(1_i64)]), "overlay(s, Utf8(\"x\"), Int64(1))"),
        (planner.plan_array_literal(vec![col("a"), col("b")], &schema), "make_array(a, b)"),
        (planner.plan_make_map(vec![col("k"), col("v")]), "map(make_array(k), make_array(v))"),
        (
            planner.plan_compound_identifier(
                &Field::new("bid", DataType::Int64, true),
                None,
                &["price".to_owned()],
            ),
            "get_field(bid, Utf8(\"price\"))",
        ),
    ] {
        assert_eq!(planned(expr.unwrap()).to_string(), expected);
    }
}
