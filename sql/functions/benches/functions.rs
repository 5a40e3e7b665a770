//! Nanoseconds per row of the functions on the hot paths of Nexmark's queries, over URLs, times and JSON in the shape of its bids. Run
//! with `cargo bench -p weir-functions`, or with a filter: `... -- json`.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{Field, FieldRef};
use datafusion_common::ScalarValue;
use datafusion_common::config::ConfigOptions;
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};
use weir_functions::registry;

const ROWS: usize = 8192;
const ROUNDS: usize = 200;

fn urls() -> ArrayRef {
    let urls = (0..ROWS).map(|row| {
        format!(
            "https://www.nexmark.com/pe_{}/w{}/bid/item.htm?query=1&channel_id={}",
            row % 97,
            row % 13,
            row * 7919
        )
    });
    Arc::new(StringArray::from_iter_values(urls))
}

fn bids() -> ArrayRef {
    let bids = (0..ROWS).map(|row| {
        format!(
            r#"{{"auction":{row},"bidder":{},"price":{},"channel":"Apple","url":"https://www.nexmark.com/a/{row}","extra":"abcdefgh"}}"#,
            row * 3,
            row * 17
        )
    });
    Arc::new(StringArray::from_iter_values(bids))
}

fn times() -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter_values(
        (0..ROWS as i64).map(|row| 1_700_000_000_000 + row * 137),
    ))
}

fn literal(value: impl Into<ScalarValue>) -> ColumnarValue {
    ColumnarValue::Scalar(value.into())
}

fn measure(label: &str, function: &str, args: Vec<ColumnarValue>) -> Result<(), Box<dyn Error>> {
    let udf = registry().find(function).ok_or("no such function")?;
    let arg_fields: Vec<FieldRef> =
        args.iter().map(|arg| Arc::new(Field::new("a", arg.data_type(), true))).collect();
    let literals: Vec<Option<&ScalarValue>> = args
        .iter()
        .map(|arg| match arg {
            ColumnarValue::Scalar(value) => Some(value),
            ColumnarValue::Array(_) => None,
        })
        .collect();
    let return_field =
        udf.return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &literals })?;
    let config_options = Arc::new(ConfigOptions::new());
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let result = udf.invoke_with_args(ScalarFunctionArgs {
            args: args.clone(),
            arg_fields: arg_fields.clone(),
            number_rows: ROWS,
            return_field: Arc::clone(&return_field),
            config_options: Arc::clone(&config_options),
        })?;
        std::hint::black_box(result);
    }
    println!("{label:<24} {:>8.1} ns/row", start.elapsed().as_nanos() as f64 / (ROUNDS * ROWS) as f64);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let (url, bid, time) =
        (ColumnarValue::Array(urls()), ColumnarValue::Array(bids()), ColumnarValue::Array(times()));
    let cases: [(&str, &str, Vec<ColumnarValue>); 7] = [
        ("LOWER", "lower", vec![url.clone()]),
        ("SPLIT_INDEX", "split_index", vec![url.clone(), literal("/"), literal(4)]),
        ("REGEXP_EXTRACT", "regexp_extract", vec![url, literal("(&|^)channel_id=([^&]*)"), literal(2)]),
        ("DATE_FORMAT", "date_format", vec![time, literal("yyyy-MM-dd HH:mm")]),
        ("JSON_VALUE string", "json_value", vec![bid.clone(), literal("$.channel")]),
        ("JSON_VALUE number", "json_value", vec![bid.clone(), literal("$.price"), literal("BIGINT")]),
        ("JSON_EXISTS", "json_exists", vec![bid, literal("$.extra")]),
    ];
    for (label, function, args) in cases {
        if label.to_lowercase().contains(&wanted.to_lowercase()) {
            measure(label, function, args)?;
        }
    }
    Ok(())
}
