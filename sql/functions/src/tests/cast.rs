//! Casts to strings.

use datafusion_common::ScalarValue;

use super::{NO_TEXT, NULL, cases, date, decimal, timestamp, timestamp_ltz};

#[test]
fn text_is_flink_s() {
    cases!("flink_cast_to_string"; true => "TRUE"; false => "FALSE"; None::<bool> => NO_TEXT; 42_i64 => "42"; "a" => "a"; NULL => NO_TEXT);
    cases!("flink_cast_to_string"; decimal(1_250, 6, 2) => "12.50"; decimal(-5, 6, 2) => "-0.05");
}

#[test]
fn floating_point_looks_as_in_java() {
    cases!("flink_cast_to_string";
        1.0 => "1.0"; 0.1 => "0.1"; -2.5 => "-2.5"; 123_456.789 => "123456.789"; 1e7 => "1.0E7"; 9_999_999.0 => "9999999.0";
        1.5e10 => "1.5E10"; 0.001 => "0.001"; 0.000_12 => "1.2E-4"; 0.0 => "0.0"; -0.0 => "-0.0"; f64::NAN => "NaN";
        f64::NEG_INFINITY => "-Infinity"; 100.0 => "100.0"; 1_234_567.0 => "1234567.0"; None::<f64> => NO_TEXT);
    cases!("flink_cast_to_string"; 0.1_f32 => "0.1"; 1.1e10_f32 => "1.1E10"; 3.0_f32 => "3.0");
}

#[test]
fn times_show_the_digits_of_their_types() {
    let micros = ScalarValue::TimestampMicrosecond(Some(1_500_000), None);
    cases!("flink_cast_to_string";
        timestamp("2024-05-01 08:00:00") => "2024-05-01 08:00:00.000"; timestamp("1969-12-31 23:59:59.999") => "1969-12-31 23:59:59.999";
        micros => "1970-01-01 00:00:01.500000"; ScalarValue::TimestampSecond(Some(1), None) => "1970-01-01 00:00:01";
        ScalarValue::TimestampMillisecond(None, None) => NO_TEXT; date("2024-02-29") => "2024-02-29";
        ScalarValue::Time32Millisecond(Some(3_661_000)) => "01:01:01"; ScalarValue::Time32Millisecond(Some(3_661_020)) => "01:01:01.020");
    cases!("flink_cast_to_string" in "Asia/Tokyo"; timestamp_ltz("2024-05-01 20:00:00") => "2024-05-02 05:00:00.000";
        timestamp("2024-05-01 20:00:00") => "2024-05-01 20:00:00.000");
}
