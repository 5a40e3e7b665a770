//! The columns of `nexmark`: a table may declare them all or some, in any order, under their names and types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use weir_api::error::{Code, Error, Result};
use weir_proto::v1::TableSpec;

use crate::types::{field_named, sql_name};

const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// Which event a row is: 0, 1, 2 for person, auction, bid.
pub const EVENT_TYPE: &str = "event_type";

fn row(name: &str, fields: &[(&str, DataType)]) -> Field {
    let fields: Fields =
        fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
    Field::new(name, DataType::Struct(fields), true)
}

/// All columns.
#[must_use]
pub fn full() -> SchemaRef {
    use DataType::{Int32, Int64, Utf8};
    let person = [
        ("id", Int64),
        ("name", Utf8),
        ("emailAddress", Utf8),
        ("creditCard", Utf8),
        ("city", Utf8),
        ("state", Utf8),
        ("dateTime", TIME),
        ("extra", Utf8),
    ];
    let auction = [
        ("id", Int64),
        ("itemName", Utf8),
        ("description", Utf8),
        ("initialBid", Int64),
        ("reserve", Int64),
        ("dateTime", TIME),
        ("expires", TIME),
        ("seller", Int64),
        ("category", Int64),
        ("extra", Utf8),
    ];
    let bid = [
        ("auction", Int64),
        ("bidder", Int64),
        ("price", Int64),
        ("channel", Utf8),
        ("url", Utf8),
        ("dateTime", TIME),
        ("extra", Utf8),
    ];
    Arc::new(Schema::new(vec![
        Field::new(EVENT_TYPE, Int32, true),
        row("person", &person),
        row("auction", &auction),
        row("bid", &bid),
    ]))
}

/// Refuses a declared column that there isn't or that has another type.
pub fn check(table: &TableSpec, declared: &Schema) -> Result<()> {
    check_fields(&table.name, "", declared.fields(), full().fields())
}

fn check_fields(table: &str, within: &str, declared: &Fields, known: &Fields) -> Result<()> {
    for field in declared {
        let path = format!("{within}{}", field.name());
        let Some(expected) = field_named(known, field.name()) else {
            let names: Vec<_> = known.iter().map(|field| field.name().as_str()).collect();
            return Err(Error::new(
                Code::TableOptions,
                format!(
                    "table {table}: connector 'nexmark' has no column `{path}`; there are {}",
                    names.join(", ")
                ),
            ));
        };
        match (field.data_type(), expected.data_type()) {
            (DataType::Struct(_), DataType::Struct(_)) if !field.is_nullable() => {
                return Err(Error::new(
                    Code::TableOptions,
                    format!("table {table}: column `{path}` is NOT NULL, but rows of other events have none"),
                ));
            }
            (DataType::Struct(inner), DataType::Struct(known)) => {
                check_fields(table, &format!("{path}."), inner, known)?;
            }
            (is, should) if is == should => {}
            (is, should) => {
                return Err(Error::new(
                    Code::TableOptions,
                    format!(
                        "table {table}: column `{path}` is {}, where {} belongs",
                        sql_name(is),
                        sql_name(should)
                    ),
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_columns_in_any_order_are_fine_and_others_are_named() {
        let table = TableSpec { name: "t".into(), ..TableSpec::default() };
        let bid = |data_type| row("bid", &[("price", data_type), ("auction", DataType::Int64)]);
        assert!(check(&table, &Schema::new(vec![bid(DataType::Int64)])).is_ok());
        let error = check(&table, &Schema::new(vec![bid(DataType::Utf8)])).expect_err("type");
        assert_eq!(error.message(), "table t: column `bid.price` is STRING, where BIGINT belongs");
        let error =
            check(&table, &Schema::new(vec![Field::new("bids", DataType::Int32, true)])).expect_err("name");
        assert!(error.message().contains("`bids`"), "{error}");
    }
}
