//! Rows, arrays and maps.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::ScalarValue;
use datafusion_expr::ColumnarValue;

use super::{call, call_values};

fn bids(nulls: Option<Vec<bool>>) -> (StructArray, ArrayRef) {
    let price: ArrayRef = Arc::new(Int64Array::from(vec![Some(10), None, Some(30)]));
    let channel: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let fields = Fields::from(vec![
        Field::new("price", DataType::Int64, true),
        Field::new("channel", DataType::Utf8, true),
    ]);
    (StructArray::new(fields, vec![price.clone(), channel], nulls.map(NullBuffer::from)), price)
}

fn field(row: ArrayRef, names: &[&str]) -> ArrayRef {
    let mut args = vec![ColumnarValue::Array(row.clone())];
    args.extend(names.iter().map(|name| ColumnarValue::Scalar(ScalarValue::from(*name))));
    call("get_field", None, &args, row.len()).unwrap().into_array(row.len()).unwrap()
}

#[test]
fn a_field_is_the_row_s_own_column() {
    let (row, price) = bids(None);
    let found = field(Arc::new(row), &["price"]);
    assert!(Arc::ptr_eq(&found, &price), "no copy");
}

#[test]
fn a_null_row_has_null_fields_and_still_shares_their_values() {
    let (row, price) = bids(Some(vec![true, true, false]));
    let found = field(Arc::new(row), &["price"]);
    let found = found.as_primitive::<Int64Type>();
    assert_eq!(found.iter().collect::<Vec<_>>(), [Some(10), None, None]);
    let shared = price.as_primitive::<Int64Type>().values().as_ptr();
    assert_eq!(found.values().as_ptr(), shared, "no copy");
}

#[test]
fn fields_of_fields_and_of_slices() {
    let (row, _) = bids(Some(vec![true, false, true]));
    let outer = Fields::from(vec![Field::new("bid", row.data_type().clone(), true)]);
    let outer = StructArray::new(outer, vec![Arc::new(row)], Some(NullBuffer::from(vec![false, true, true])));
    let found = field(Arc::new(outer.clone()), &["bid", "channel"]);
    assert_eq!(found.as_string::<i32>().iter().collect::<Vec<_>>(), [None, None, Some("c")]);
    let found = field(Arc::new(outer.slice(1, 2)), &["bid", "channel"]);
    assert_eq!(found.as_string::<i32>().iter().collect::<Vec<_>>(), [None, Some("c")]);
}

#[test]
fn arrays() {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1), Some(2), Some(2)]),
        None,
        Some(vec![]),
        Some(vec![None]),
    ]);
    let column = [ColumnarValue::Array(Arc::new(lists.clone()))];
    let counts = call("cardinality", None, &column, 4).unwrap().into_array(4).unwrap();
    assert_eq!(
        counts.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(),
        [Some(3), None, Some(0), Some(1)]
    );
    assert!(call("element", None, &column, 4).unwrap_err().to_string().contains("an array of 3 elements"));
    let column = [ColumnarValue::Array(Arc::new(lists.slice(1, 3)))];
    let elements = call("element", None, &column, 3).unwrap().into_array(3).unwrap();
    assert_eq!(elements.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [None, None, None]);
    let args = vec![ScalarValue::List(Arc::new(lists.slice(0, 1))), 2_i64.into()];
    assert_eq!(call_values("array_element", args).unwrap(), ScalarValue::from(2_i64));
    assert!(call_values("cardinality", vec![1_i64.into()]).unwrap_err().to_string().contains("not BIGINT"));
}

#[test]
fn arrays_are_searched() {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(9)]),
        Some(vec![Some(1), Some(2), Some(2)]),
        None,
        Some(vec![]),
        Some(vec![None, Some(2)]),
    ]);
    // A slice: the elements don't start with the buffer.
    let array = ColumnarValue::Array(Arc::new(lists.slice(1, 4)));
    let column = |values: Vec<Option<i64>>| ColumnarValue::Array(Arc::new(Int64Array::from(values)));
    let run = |name: &str, needle: ColumnarValue| {
        let found = call(name, None, &[array.clone(), needle], 4).unwrap().into_array(4).unwrap();
        let options = FormatOptions::default().with_null("NULL");
        let formatter = ArrayFormatter::try_new(&found, &options).unwrap();
        (0..4).map(|row| formatter.value(row).to_string()).collect::<Vec<_>>()
    };
    let two = || ColumnarValue::Scalar(ScalarValue::from(2_i32));
    assert_eq!(run("array_contains", two()), ["true", "NULL", "false", "true"]);
    assert_eq!(
        run("array_contains", column(vec![None, None, None, None])),
        ["false", "NULL", "false", "true"]
    );
    assert_eq!(run("array_position", two()), ["2", "NULL", "0", "2"]);
    assert_eq!(
        run("array_position", column(vec![Some(1), Some(1), Some(1), None])),
        ["1", "NULL", "0", "NULL"]
    );
    assert_eq!(run("array_remove", two()), ["[1]", "NULL", "[]", "[NULL]"]);
    assert_eq!(
        run("array_remove", column(vec![Some(1), None, None, Some(2)])),
        ["[2, 2]", "NULL", "[]", "[NULL]"]
    );
    assert!(call_values("array_contains", vec![1_i64.into(), 1_i64.into()]).is_err());
}
