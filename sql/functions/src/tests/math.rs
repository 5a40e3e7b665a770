//! Functions on numbers.

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int32Type};
use datafusion_common::ScalarValue;

use super::{call, call_values, cases, decimal};

#[test]
fn signs_and_remainders_keep_their_types() {
    cases!("abs"; -5 => 5; 5_i64 => 5_i64; -1.5 => 1.5; i32::MIN => i32::MIN; None::<i64> => None::<i64>;
        decimal(-150, 5, 2) => decimal(150, 5, 2));
    cases!("sign"; -5 => -1; 0_i64 => 0_i64; 7_i64 => 1_i64; -0.5 => -1.0; 0.0 => 0.0; None::<f64> => None::<f64>;
        decimal(-150, 5, 2) => decimal(-100, 5, 2));
    cases!("mod"; 7_i64, 3_i64 => 1_i64; -7_i64, 3_i64 => -1_i64; 7_i64, -3_i64 => 1_i64; None::<i64>, 3_i64 => None::<i64>;
        7_i64, None::<i64> => None::<i64>);
    cases!("mod"; 10_007_i64, 10_000_i32 => 7_i32; 7_i32, 10_000_i64 => 7_i64);
    cases!("mod"; 7.5, 2.0 => 1.5; decimal(750, 5, 2), decimal(2, 3, 0) => decimal(150, 5, 2));
    let error = call_values("mod", vec![1_i64.into(), 0_i64.into()]).unwrap_err().to_string();
    assert!(error.contains("NULLIF"), "{error}");
}

#[test]
fn ceil_and_floor() {
    cases!("ceil"; 1.2 => 2.0; -1.2 => -1.0; 5 => 5; 5_i64 => 5_i64; None::<f64> => None::<f64>; 1.5_f32 => 2.0_f32;
        decimal(125, 5, 2) => decimal(2, 5, 0); decimal(-125, 5, 2) => decimal(-1, 5, 0); decimal(7, 5, 0) => decimal(7, 5, 0));
    cases!("ceiling"; 1.2 => 2.0);
    cases!("floor"; 1.8 => 1.0; -1.2 => -2.0; 5_i64 => 5_i64; None::<i64> => None::<i64>;
        decimal(125, 5, 2) => decimal(1, 5, 0); decimal(-125, 5, 2) => decimal(-2, 5, 0));
}

#[test]
fn rounding_keeps_types_and_goes_away_from_zero() {
    cases!("round"; 2.5 => 3.0; -2.5 => -3.0; 1.005, 2_i64 => 1.01; 1234.5, -2_i64 => 1200.0; None::<f64>, 2_i64 => None::<f64>;
        2.5, None::<i64> => None::<f64>; f64::INFINITY => f64::INFINITY);
    cases!("round"; 15 => 15; 15, -1_i64 => 20; -15_i64, -1_i64 => -20_i64; 15_i64, 3_i64 => 15_i64);
    cases!("round"; decimal(12_345, 7, 3), 2_i64 => decimal(1_235, 7, 2); decimal(-12_345, 7, 3), 2_i64 => decimal(-1_235, 7, 2);
        decimal(12_345, 7, 3) => decimal(12, 5, 0); decimal(12_345, 7, 3), -1_i64 => decimal(10, 5, 0);
        decimal(12_345, 7, 3), 2_i32 => decimal(1_235, 7, 2));
    cases!("truncate"; 42.324, 2_i64 => 42.32; 42.9 => 42.0; -1.99, 1_i64 => -1.9; 4.35, 2_i64 => 4.35; 17_i64, -1_i64 => 10_i64;
        decimal(12_399, 7, 3), 1_i64 => decimal(123, 6, 1); None::<i64>, 1_i64 => None::<i64>);
}

#[test]
fn floating_point_functions_return_double() {
    cases!("sqrt"; 16_i32 => 4.0; 2.25 => 1.5; None::<f64> => None::<f64>; decimal(400, 5, 2) => 2.0);
    cases!("power"; 2_i64, 10_i32 => 1024.0; 4.0, 0.5 => 2.0; None::<f64>, 2.0 => None::<f64>);
    cases!("exp"; 0_i64 => 1.0; None::<i64> => None::<f64>);
    cases!("ln"; 1.0 => 0.0; 0.0 => f64::NEG_INFINITY);
    cases!("log10"; 1000.0 => 3.0);
    cases!("log2"; 8_i64 => 3.0);
    cases!("log"; 1.0 => 0.0; 2_i64, 8_i64 => 3.0; None::<f64>, 8.0 => None::<f64>);
    cases!("sin"; 0.0 => 0.0; None::<f64> => None::<f64>);
    cases!("sinh"; 0.0 => 0.0);
    cases!("cos"; 0.0 => 1.0);
    cases!("cosh"; 0.0 => 1.0);
    cases!("tan"; 0.0 => 0.0);
    cases!("tanh"; 0.0 => 0.0);
    cases!("cot"; std::f64::consts::FRAC_PI_4 => 1.0 / std::f64::consts::FRAC_PI_4.tan());
    cases!("asin"; 1.0 => std::f64::consts::FRAC_PI_2);
    cases!("acos"; 1.0 => 0.0);
    cases!("atan"; 0.0 => 0.0);
    cases!("atan2"; 1.0, 1.0 => std::f64::consts::FRAC_PI_4; None::<f64>, 1.0 => None::<f64>);
    cases!("degrees"; std::f64::consts::PI => 180.0);
    cases!("radians"; 180_i64 => std::f64::consts::PI);
    assert_eq!(call_values("pi", vec![]).unwrap(), ScalarValue::from(std::f64::consts::PI));
    assert_eq!(call_values("e", vec![]).unwrap(), ScalarValue::from(std::f64::consts::E));
}

#[test]
fn random_numbers_differ_by_row_and_stay_in_range() {
    let drawn = call("rand", None, &[], 1000).unwrap().into_array(1000).unwrap();
    let drawn = drawn.as_primitive::<Float64Type>().values();
    assert!(drawn.iter().all(|value| (0.0..1.0).contains(value)));
    assert!(drawn.windows(2).any(|pair| pair[0] != pair[1]));
    let bounds = arrow::array::Int64Array::from_value(10, 1000);
    let args = [datafusion_expr::ColumnarValue::Array(std::sync::Arc::new(bounds))];
    let drawn = call("rand_integer", None, &args, 1000).unwrap().into_array(1000).unwrap();
    let drawn = drawn.as_primitive::<Int32Type>().values();
    assert!(drawn.iter().all(|value| (0..10).contains(value)) && drawn.contains(&0) && drawn.contains(&9));
    assert!(call_values("rand_integer", vec![0_i64.into()]).is_err());
    assert!(call_values("rand", vec![1_i64.into()]).unwrap_err().to_string().contains("with 1 arguments"));
}
