//! `INSERT INTO t PARTITION (column = value)`: columns that have one value in all rows.
//!
//! Invariant: they are columns of PARTITIONED BY, and the query gives them no values of its own.

use datafusion::common::ScalarValue;
use weir_api::error::Code;

use crate::catalog::{SinkTable, Table};
use crate::error::{SqlError, SqlResult};
use crate::statement::Insert;
use crate::types::flink_type_name;

/// The values by the columns' places among the sink's.
pub(super) fn fixed_values(
    insert: &Insert,
    table: &Table,
    sink: &SinkTable,
) -> SqlResult<Vec<(usize, ScalarValue)>> {
    let mut fixed = Vec::with_capacity(insert.partition.len());
    for partition in &insert.partition {
        let name = &partition.column;
        let place = sink.columns.iter().position(|column| *column.declared.name() == name.value);
        let Some((index, column)) = place
            .filter(|_| table.partition_keys.contains(&name.value))
            .and_then(|index| Some((index, sink.columns.get(index)?)))
        else {
            let there = match table.partition_keys.as_slice() {
                [] => "the table isn't partitioned".to_owned(),
                keys => format!("PARTITIONED BY has: {}", keys.join(", ")),
            };
            let message = format!("INSERT INTO {}: '{name}' is no partition column; {there}", table.path);
            return Err(SqlError::at(Code::SqlUnknownName, name.position, message));
        };
        let twice = fixed.iter().any(|(known, _)| *known == index)
            || insert.columns.iter().any(|column| column.value == name.value);
        if twice {
            let message = format!("INSERT INTO {}: the column '{name}' is given twice", table.path);
            return Err(SqlError::at(Code::InvalidArgument, name.position, message));
        }
        let wanted = column.declared.data_type();
        let value = ScalarValue::Utf8(partition.value.clone()).cast_to(wanted).map_err(|_| {
            let text = partition.value.as_deref().unwrap_or("NULL");
            let message = format!(
                "INSERT INTO {}: '{text}' is no value of the column '{name}', which is {}",
                table.path,
                flink_type_name(wanted, true)
            );
            SqlError::at(Code::SqlType, partition.position, message)
        })?;
        if value.is_null() && !column.declared.is_nullable() {
            let message = format!("INSERT INTO {}: the column '{name}' is NOT NULL", table.path);
            return Err(SqlError::at(Code::SqlType, partition.position, message));
        }
        fixed.push((index, value));
    }
    Ok(fixed)
}
