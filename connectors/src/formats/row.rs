//! A row as Java's `Row.toString` shows it: `+I[1, abc, null, [1, 2], {k=v}]`.

use arrow::array::{Array, Int8Array, RecordBatch};
use weir_api::batch::RowKind;
use weir_api::error::Result;

use super::values::{Values, items, write_decimal, write_items};
use super::{float, text};

/// Appends every row, each on a line that starts with `prefix`.
pub fn write_rows(
    out: &mut Vec<u8>,
    prefix: &[u8],
    records: &RecordBatch,
    kinds: Option<&Int8Array>,
) -> Result<()> {
    let columns =
        records.columns().iter().map(|column| Values::new(column.as_ref())).collect::<Result<Vec<_>>>()?;
    for row in 0..records.num_rows() {
        let kind = kinds
            .filter(|kinds| row < kinds.len())
            .and_then(|kinds| RowKind::from_i8(kinds.value(row)))
            .unwrap_or(RowKind::Insert);
        out.extend_from_slice(prefix);
        out.extend_from_slice(kind.short().as_bytes());
        write_fields(out, &columns, row);
        out.push(b'\n');
    }
    Ok(())
}

fn write_fields(out: &mut Vec<u8>, columns: &[Values<'_>], row: usize) {
    out.push(b'[');
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        write_value(out, column, row);
    }
    out.push(b']');
}

fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn write_value(out: &mut Vec<u8>, values: &Values<'_>, row: usize) {
    if values.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match values {
        Values::Null => {}
        Values::Boolean(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
        Values::Int8(array) => integer(out, array.value(row)),
        Values::Int16(array) => integer(out, array.value(row)),
        Values::Int32(array) => integer(out, array.value(row)),
        Values::Int64(array) => integer(out, array.value(row)),
        Values::Float32(array) => float::write_float(out, array.value(row)),
        Values::Float64(array) => float::write_double(out, array.value(row)),
        Values::Decimal(array, scale) => write_decimal(out, array.value(row), *scale),
        Values::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
        Values::Binary(array) => write_bytes(out, array.value(row)),
        Values::FixedBinary(array) => write_bytes(out, array.value(row)),
        Values::Date(array) => text::write_date(out, i64::from(array.value(row))),
        Values::Time32(values, unit, _) => {
            let (_, seconds, nanos) = text::split(i64::from(values[row]), *unit);
            text::write_java_time(out, seconds, nanos);
        }
        Values::Time64(values, unit, _) => {
            let (_, seconds, nanos) = text::split(values[row], *unit);
            text::write_java_time(out, seconds, nanos);
        }
        Values::Timestamp(values, unit, zoned, _) => {
            let (days, seconds, nanos) = text::split(values[row], *unit);
            text::write_date(out, days);
            out.push(b'T');
            if *zoned {
                text::write_time(out, seconds, nanos, text::grouped_digits(nanos));
                out.push(b'Z');
            } else {
                text::write_java_time(out, seconds, nanos);
            }
        }
        Values::List(offsets, values, _) => write_items(out, "[, ]", items(offsets, row), |out, item| {
            write_value(out, values, item);
        }),
        Values::Map(offsets, entries, _) => write_items(out, "{, }", items(offsets, row), |out, item| {
            write_value(out, &entries.0, item);
            out.push(b'=');
            write_value(out, &entries.1, item);
        }),
        Values::Row(_, columns, _) => {
            out.extend_from_slice(b"+I");
            write_fields(out, columns, row);
        }
    }
}

/// Bytes as a Java array of signed bytes.
fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_items(out, "[, ]", 0..bytes.len(), |out, index| integer(out, bytes[index] as i8));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, Int64Array, StringArray, StructArray, TimestampMillisecondArray,
    };
    use arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn rows_look_as_javas_do() {
        let inner: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None, Some(9)]));
        let row = StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int64, true)), inner)]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            ("name", Arc::new(StringArray::from(vec![Some("a, \"b\""), None, Some("")]))),
            ("bytes", Arc::new(BinaryArray::from(vec![b"\x01\xFF".as_slice(), b"", b"\x00"]))),
            ("time", Arc::new(TimestampMillisecondArray::from(vec![0, 61_000, 1_500]))),
            ("zoned", Arc::new(TimestampMillisecondArray::from(vec![0, 61_000, 1_500]).with_timezone("UTC"))),
            ("row", Arc::new(row)),
        ];
        let records = RecordBatch::try_from_iter(columns).unwrap();
        let kinds = Int8Array::from(vec![
            RowKind::Delete as i8,
            RowKind::UpdateBefore as i8,
            RowKind::UpdateAfter as i8,
        ]);
        let mut out = Vec::new();
        write_rows(&mut out, b"x:2> ", &records, Some(&kinds)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                "x:2> -D[1, a, \"b\", [1, -1], 1970-01-01T00:00, 1970-01-01T00:00:00Z, +I[7]]\n",
                "x:2> -U[2, null, [], 1970-01-01T00:01:01, 1970-01-01T00:01:01Z, +I[null]]\n",
                "x:2> +U[3, , [0], 1970-01-01T00:00:01.500, 1970-01-01T00:00:01.500Z, +I[9]]\n",
            )
        );
    }
}
