//! Functions that choose.

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::ScalarValue;
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{Expr, ReturnFieldArgs};
use datafusion_expr::{col, lit};
use std::sync::Arc;

use super::{NO_TEXT, NULL, call_values, cases, function};

#[test]
fn coalesce_takes_the_first_that_is_there() {
    cases!("coalesce"; None::<i64>, 2_i64, 3_i64 => 2_i64; 1_i64, 2_i64, 3_i64 => 1_i64; None::<i64>, None::<i64>, 3_i64 => 3_i64;
        None::<i64>, None::<i64>, None::<i64> => None::<i64>);
    cases!("coalesce"; NULL, "default" => "default"; "a" => "a"; None::<i32>, 5_i64 => 5_i64);
    cases!("ifnull"; NO_TEXT, "x" => "x"; "a", "x" => "a");
    assert!(
        call_values("coalesce", vec!["a".into(), 1_i64.into()])
            .unwrap_err()
            .to_string()
            .contains("no common type")
    );
}

#[test]
fn if_takes_the_second_unless_the_condition_is_true() {
    cases!("if"; true, "a", "b" => "a"; false, "a", "b" => "b"; None::<bool>, "a", "b" => "b"; true, NO_TEXT, "b" => NO_TEXT);
    cases!("if"; true, 1_i32, 2_i64 => 1_i64; false, 1_i32, NULL => None::<i32>);
}

#[test]
fn nullif_keeps_the_first_type() {
    cases!("nullif"; 5_i64, 5_i64 => None::<i64>; 5_i64, 0_i64 => 5_i64; None::<i64>, 0_i64 => None::<i64>; 5_i64, None::<i64> => 5_i64);
    cases!("nullif"; 5_i32, 5_i64 => None::<i32>; "a", "a" => NO_TEXT; "a", "b" => "a"; "a", NULL => "a");
}

#[test]
fn extremes_are_null_with_any_null() {
    cases!("greatest"; 1_i64, 3_i64, 2_i64 => 3_i64; 1_i64, None::<i64>, 2_i64 => None::<i64>);
    cases!("greatest"; "b", "a" => "b"; 1_i32, 2_i64 => 2_i64; 1.5 => 1.5; 1_i64, 2.5 => 2.5);
    cases!("least"; 1_i64, 3_i64, 2_i64 => 1_i64; 1_i64, None::<i64>, 2_i64 => None::<i64>; "b", "a" => "a");
}

#[test]
fn the_simplifier_gets_a_case() {
    for (name, args, expected) in [
        (
            "coalesce",
            vec![col("a"), col("b"), lit(1_i64)],
            "CASE WHEN a IS NOT NULL THEN a WHEN b IS NOT NULL THEN b ELSE Int64(1) END",
        ),
        ("if", vec![col("c"), col("a"), col("b")], "CASE WHEN c THEN a ELSE b END"),
        ("ifnull", vec![col("a"), col("b")], "CASE WHEN a IS NOT NULL THEN a ELSE b END"),
    ] {
        let context = SimplifyContext::default();
        match function(name).simplify(args, &context).unwrap() {
            ExprSimplifyResult::Simplified(case) => assert_eq!(case.to_string(), expected),
            ExprSimplifyResult::Original(_) => panic!("{name} wasn't simplified"),
        }
        let args: Vec<Expr> = vec![col("a"), col("b")];
        let (eager, lazy) = function(name).conditional_arguments(&args).unwrap();
        assert_eq!((eager.len(), lazy.len()), (1, 1));
    }
}

#[test]
fn nullability_follows_the_arguments() {
    let nullable = |name: &str, fields: &[bool]| {
        let fields: Vec<FieldRef> = fields
            .iter()
            .enumerate()
            .map(|(index, nullable)| {
                let data_type = if name == "if" && index == 0 { DataType::Boolean } else { DataType::Int64 };
                Arc::new(Field::new("a", data_type, *nullable))
            })
            .collect();
        let literals: Vec<Option<&ScalarValue>> = vec![None; fields.len()];
        let args = ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &literals };
        function(name).return_field_from_args(args).unwrap().is_nullable()
    };
    assert!(!nullable("coalesce", &[true, false]) && nullable("coalesce", &[true, true]));
    assert!(!nullable("ifnull", &[true, false]));
    assert!(!nullable("if", &[true, false, false]) && nullable("if", &[false, true, false]));
    assert!(!nullable("abs", &[false]) && nullable("abs", &[true]));
    assert!(!nullable("current_timestamp", &[]));
}
